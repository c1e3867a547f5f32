//! The command line as one table: parsing, help, suggestions, completions and man pages all read it.
//!
//! It holds plain data, so that the program that writes the man pages can read it too.

mod commands;
mod flags;

pub(crate) use commands::Name;
use commands::WORDS;
pub use flags::GLOBAL;
pub(crate) use flags::{BYTES, NUMBERS};

/// One command.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Command {
    pub(crate) name: Name,
    /// The name of the command.
    pub word: &'static str,
    /// One line, for the list of commands.
    pub summary: &'static str,
    /// The operands as the help shows them.
    pub operands: &'static str,
    /// The number of operands.
    pub count: Count,
    /// The treatment of flags after the first operand.
    pub(crate) order: Order,
    /// Paragraphs for the help, one line each.
    pub about: &'static str,
    /// Example command lines, one a line, with an explanation after a `#`.
    examples: &'static str,
    /// Its flags.
    pub flags: &'static [Flag],
}

/// The number of operands that a command takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// Exactly this number.
    Exactly(usize),
    /// This number or more.
    AtLeast(usize),
    /// From the first number to the second.
    Between(usize, usize),
}

/// The treatment of flags after the first operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Flags may follow operands.
    Anywhere,
    /// Flags end at the id: everything after it is an operand, for the container's program.
    UntilId,
    /// Only the command's own flags may follow, anything else is an operand (`kill ID -9` names a
    /// signal, not a flag).
    KnownOnly,
}

/// The value of a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// Nothing, or `=true` and `=false`.
    Switch,
    /// A path; the word is its name in the help.
    Path(&'static str),
    /// Any text.
    Text(&'static str),
    /// Any text; the flag is repeatable. Lists are not split at commas.
    List(&'static str),
    /// A whole number.
    Number(&'static str),
    /// One of these words, separated by `|`.
    Choice(&'static str),
}

impl Value {
    const fn path(name: &'static str) -> Value {
        Value::Path(name)
    }

    const fn text(name: &'static str) -> Value {
        Value::Text(name)
    }

    const fn list(name: &'static str) -> Value {
        Value::List(name)
    }

    const fn number(name: &'static str) -> Value {
        Value::Number(name)
    }
}

/// One flag.
#[derive(Debug)]
#[non_exhaustive]
pub struct Flag {
    /// Its name, without dashes.
    pub long: &'static str,
    /// Its letter.
    pub short: Option<char>,
    /// Its value, if it takes one.
    pub value: Value,
    /// Its line in the help.
    pub help: &'static str,
    /// The field of `linux.resources` that it sets; empty for other flags.
    pub(crate) resource: &'static str,
    /// Accepted for callers that pass it, but not shown in the help.
    pub hidden: bool,
}

impl Flag {
    pub(crate) const fn new(long: &'static str, value: Value, help: &'static str) -> Flag {
        Flag { long, short: None, value, help, resource: "", hidden: false }
    }

    pub(crate) const fn short(mut self, letter: char) -> Flag {
        self.short = Some(letter);
        self
    }

    const fn sets(mut self, resource: &'static str) -> Flag {
        self.resource = resource;
        self
    }

    pub(crate) const fn hidden(mut self) -> Flag {
        self.hidden = true;
        self
    }
}

impl Command {
    /// The command with the name `word`.
    pub(crate) fn find(word: &str) -> Option<Command> {
        WORDS.iter().find(|(known, _)| *known == word).map(|(_, name)| name.command())
    }

    /// All commands, sorted.
    pub fn all() -> impl Iterator<Item = Command> {
        WORDS.iter().map(|(_, name)| name.command())
    }

    /// The paragraphs of its help.
    pub(crate) fn paragraphs(&self) -> impl Iterator<Item = &'static str> {
        self.about.lines()
    }

    /// Example command lines with their explanations.
    pub fn examples(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        self.examples.lines().filter_map(|line| line.split_once(" # "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flag_has_one_meaning_in_its_command() {
        for command in Command::all() {
            for (n, flag) in command.flags.iter().enumerate() {
                let same = |o: &Flag| o.long == flag.long || (o.short.is_some() && o.short == flag.short);
                assert!(!command.flags[..n].iter().any(same), "{} --{}", command.word, flag.long);
            }
        }
    }

    #[test]
    fn commands_are_sorted_and_say_what_they_do() {
        assert!(Command::all().is_sorted_by_key(|c| c.word));
        for ((word, name), command) in WORDS.iter().zip(Command::all()) {
            assert_eq!((*word, *name), (command.word, command.name));
            assert!(!command.summary.ends_with('.') && !command.about.is_empty(), "{}", command.word);
            assert_eq!(command.examples().count(), command.examples.lines().count(), "{}", command.word);
        }
    }
}
