//! The command line as one table: parsing, help, suggestions, completions and man pages all read it.
//!
//! It holds data and depends on words only, so that the program that writes the man pages reads it too.

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
    /// What is typed.
    pub word: &'static str,
    /// One line, for the list of commands.
    pub summary: &'static str,
    /// The operands as the help shows them.
    pub operands: &'static str,
    /// How many operands there must be.
    pub count: Count,
    /// What happens to flags behind the first operand.
    pub(crate) order: Order,
    /// Paragraphs for the help, one line each.
    about: &'static str,
    /// Commands to try, one line each, with what it does behind a `#`.
    examples: &'static str,
    /// Its flags.
    pub flags: &'static [Flag],
}

/// How many operands a command takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// So many.
    Exactly(usize),
    /// So many or more.
    AtLeast(usize),
    /// From the first number to the second.
    Between(usize, usize),
}

/// What happens to flags behind the first operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// They are flags.
    Anywhere,
    /// They belong to somebody else's program: everything behind the id is an operand.
    UntilId,
    /// Those of the command are flags, anything else is an operand (`kill ID -9` names a signal, not a flag).
    KnownOnly,
}

/// What a flag takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// Nothing, or `=true` and `=false`.
    Switch,
    /// A path; the word is its name in the help.
    Path(&'static str),
    /// Any text.
    Text(&'static str),
    /// Any text, and it may be given again. Lists are not split at commas.
    List(&'static str),
    /// A whole number.
    Number(&'static str),
    /// One of these words, with a bar between.
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
    /// Accepted for callers that pass it, and not shown.
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
    /// The command that is typed as `word`.
    pub(crate) fn find(word: &str) -> Option<Command> {
        WORDS.iter().find(|(known, _)| *known == word).map(|(_, name)| name.command())
    }

    /// All of them, sorted.
    pub fn all() -> impl Iterator<Item = Command> {
        WORDS.iter().map(|(_, name)| name.command())
    }

    /// What the help says of it.
    pub fn paragraphs(&self) -> impl Iterator<Item = &'static str> {
        self.about.lines()
    }

    /// Commands to try, each with what it does.
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
