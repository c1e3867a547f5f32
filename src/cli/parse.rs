//! Parses arguments by the table of flags; values are interpreted later (`requests.rs`).
//!
//! The syntax is that of runc and crun: `--flag value`, `--flag=value`, `-f value`, `-fvalue`,
//! joined letters (`-dt`), a long name after one dash (`-bundle DIR`, as Go programs allow); `--`
//! ends the flags.

use super::table::{Command, Count, Flag, GLOBAL, Order, Value};
use crate::error::{Error, Kind, Result};
use crate::nearest;
use lexopt::{Arg, Parser};
use std::ffi::{OsStr, OsString};

/// The given flags, in their order.
#[derive(Debug, Default)]
pub(crate) struct Flags(Vec<(&'static Flag, OsString)>);

impl Flags {
    /// The last value of a flag.
    pub(crate) fn last(&self, long: &str) -> Option<&OsStr> {
        self.0.iter().rev().find(|(flag, _)| flag.long == long).map(|(_, value)| value.as_os_str())
    }

    /// All values of a repeatable flag.
    pub(crate) fn all<'a>(&'a self, long: &'a str) -> impl Iterator<Item = &'a OsStr> {
        self.0.iter().filter(move |(flag, _)| flag.long == long).map(|(_, value)| value.as_os_str())
    }

    /// The value of a switch, if it was given.
    pub(crate) fn switch(&self, long: &str) -> Option<bool> {
        self.last(long).map(|value| value == "true")
    }
}

/// A command with its flags and operands.
#[derive(Debug)]
pub(crate) struct Invocation {
    pub(crate) command: Command,
    pub(crate) flags: Flags,
    pub(crate) operands: Vec<OsString>,
}

/// Parses the global flags, and the command's name if there is one.
pub(crate) fn globals(parser: &mut Parser) -> (Flags, Result<Option<OsString>>) {
    let mut flags = Flags::default();
    let word = loop {
        match next(parser, &[&GLOBAL], &mut flags, None) {
            Ok(Argument::Flag) => (),
            Ok(Argument::Operand(word)) => break Ok(Some(word)),
            Ok(Argument::End) => break Ok(None),
            Err(error) => break Err(error),
        }
    };
    (flags, word)
}

/// Parses the flags and operands of a command.
pub(crate) fn command(parser: &mut Parser, command: Command) -> Result<Invocation> {
    const HELP: &[Flag] = &[Flag::new("help", Value::Switch, "").short('h').hidden()];
    let mut invocation = Invocation { command, flags: Flags::default(), operands: Vec::new() };
    loop {
        if command.order == Order::UntilId && !invocation.operands.is_empty() {
            let rest = parser.raw_args().map_err(|e| usage(e.to_string(), command.word))?;
            invocation.operands.extend(rest);
            return Ok(invocation);
        }
        let lenient = command.order == Order::KnownOnly && !invocation.operands.is_empty();
        if lenient && let Some(operand) = take_unknown(parser, &command) {
            invocation.operands.push(operand);
            continue;
        }
        match next(parser, &[command.flags, HELP], &mut invocation.flags, Some(&command))? {
            Argument::Flag => (),
            Argument::Operand(operand) => invocation.operands.push(operand),
            Argument::End => return Ok(invocation),
        }
    }
}

/// Refuses too few or too many operands, in runc's words.
pub(crate) fn count(invocation: &Invocation, program: &str) -> Result<()> {
    let (n, word) = (invocation.operands.len(), invocation.command.word);
    let expected = match invocation.command.count {
        Count::Exactly(count) if n != count => format!("exactly {count}"),
        Count::AtLeast(least) | Count::Between(least, _) if n < least => format!("a minimum of {least}"),
        Count::Between(_, most) if n > most => format!("a maximum of {most}"),
        _ => return Ok(()),
    };
    Err(usage(format!("{program}: \"{word}\" requires {expected} argument(s)"), word))
}

enum Argument {
    Flag,
    Operand(OsString),
    End,
}

fn next(parser: &mut Parser, known: &[&'static [Flag]], flags: &mut Flags, at: Option<&Command>) -> Result<Argument> {
    let word = at.map_or("", |c| c.word);
    let find = |wanted: &dyn Fn(&Flag) -> bool| known.iter().flat_map(|flags| flags.iter()).find(|f| wanted(f));
    if let Some((name, value)) = single_dash(parser, &|name| find(&|f| is_named(f, name)).is_some()) {
        let flag = find(&|f| is_named(f, &name)).ok_or_else(|| unknown(&format!("-{name}"), known, at))?;
        let value = match (value, flag.value) {
            (Some(value), _) => value,
            (None, Value::Switch) => "true".into(),
            (None, _) => parser.value().map_err(|_| no_value(&format!("-{name}"), word))?,
        };
        return accept(flag, value, &format!("-{name}"), flags, word);
    }
    let (flag, written) = match parser.next().map_err(|e| usage(e.to_string(), word))? {
        None => return Ok(Argument::End),
        Some(Arg::Value(operand)) => return Ok(Argument::Operand(operand)),
        Some(Arg::Long(name)) => match find(&|f| f.long == name) {
            Some(flag) => (flag, flag.long.len()),
            None => return Err(unknown(&format!("--{name}"), known, at)),
        },
        Some(Arg::Short(letter)) => match find(&|f| f.short == Some(letter)) {
            Some(flag) => (flag, 0),
            None => return Err(unknown(&format!("-{letter}"), known, at)),
        },
    };
    let written = if written == 0 { format!("-{}", flag.short.unwrap_or('?')) } else { format!("--{}", flag.long) };
    let value = match flag.value {
        Value::Switch if written.starts_with("--") => parser.optional_value().unwrap_or_else(|| "true".into()),
        Value::Switch => "true".into(),
        _ => parser.value().map_err(|_| no_value(&written, word))?,
    };
    accept(flag, value, &written, flags, word)
}

/// Takes the next argument if it is `-name` or `-name=value` with a known name, which lexopt would
/// split into letters.
fn single_dash(parser: &mut Parser, known: &dyn Fn(&str) -> bool) -> Option<(String, Option<OsString>)> {
    let mut raw = parser.try_raw_args()?;
    let text = raw.peek()?.to_str()?;
    let body = text.strip_prefix('-').filter(|b| !b.starts_with('-'))?;
    let (name, value) = body.split_once('=').map_or((body, None), |(name, value)| (name, Some(value)));
    if !(name.len() > 1 || value.is_some()) || !known(name) {
        return None;
    }
    let found = (name.to_owned(), value.map(OsString::from));
    raw.next_if(|_| true);
    Some(found)
}

fn is_named(flag: &Flag, name: &str) -> bool {
    flag.long == name || (name.len() == 1 && flag.short.is_some_and(|c| name.starts_with(c)))
}

/// Takes the next argument if it looks like a flag and is none of the command's.
fn take_unknown(parser: &mut Parser, command: &Command) -> Option<OsString> {
    let known = |text: &str| {
        let name = text.trim_start_matches('-').split('=').next().unwrap_or("");
        text == "--" || ["h", "help"].contains(&name) || command.flags.iter().any(|f| is_named(f, name))
    };
    let mut raw = parser.try_raw_args()?;
    raw.next_if(|argument| argument.to_str().is_some_and(|text| text.starts_with('-') && !known(text)))
}

fn accept(flag: &'static Flag, value: OsString, written: &str, flags: &mut Flags, word: &str) -> Result<Argument> {
    let text = value.to_str();
    let value = match (flag.value, text) {
        (Value::Switch, _) => match text.and_then(boolean) {
            Some(true) => "true".into(),
            Some(false) => "false".into(),
            None => return Err(bad_value("boolean value", &value, written, "true or false", word)),
        },
        (Value::Number(_), _) if text.is_none_or(|t| t.parse::<i64>().is_err()) => {
            return Err(bad_value("value", &value, written, "a whole number", word));
        }
        (Value::Choice(words), _) if text.is_none_or(|t| words.split('|').all(|word| word != t)) => {
            return Err(bad_value("value", &value, written, &words.replace('|', ", "), word));
        }
        _ => value,
    };
    flags.0.push((flag, value));
    Ok(Argument::Flag)
}

/// The value of a switch, by the rules of Go's `strconv.ParseBool`.
pub(crate) fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "True" | "TRUE" => Some(true),
        "0" | "f" | "F" | "false" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}

/// A usage error, with a hint at `--help`.
pub(crate) fn usage(text: impl Into<String>, word: &str) -> Error {
    let more = if word.is_empty() { "see --help".to_owned() } else { format!("see {word} --help") };
    Error::new(Kind::Config, text).hint(more)
}

/// The way to do here what a command of Docker or Podman does. A table would be relocated at each
/// start of the program.
fn instead_of(engines_word: &str) -> Option<&'static str> {
    Some(match engines_word {
        "rm" => "`delete` removes a stopped container, `delete --force` a running one",
        "stop" => "`kill ID TERM` asks the program to end, `kill ID KILL` ends it; `delete` removes the container",
        "logs" => "a runtime keeps no output: it goes to the standard output of `run` or `create`",
        "inspect" => "`state ID` has the state, config.json in the bundle the settings",
        "top" => "`ps ID` lists the processes, `events --stats ID` has what they use",
        "stats" => "`events --stats ID` prints it once, `events ID` again and again",
        "unpause" => "`resume ID`",
        "ls" => "`list`",
        "attach" => "`run` shows the terminal; `exec --tty ID sh` starts a shell beside the program",
        "info" => "`features`",
        "version" => "`--version`",
        "restart" => "`delete ID`, then `run`",
        "build" => "a runtime has no images: Docker, Podman or Buildah build and unpack them into a bundle",
        "pull" => "`orlop image unpack` makes a bundle of an image",
        "images" => "a runtime keeps no images: `orlop image` looks at them and makes bundles of them",
        _ => return None,
    })
}

/// The error for an unknown command, with a suggestion.
pub(crate) fn no_command(word: &OsStr) -> Error {
    let word = word.to_string_lossy();
    let text = format!("no such command '{word}'");
    if let Some(instead) = instead_of(&word) {
        return Error::new(Kind::Config, text).hint(instead);
    }
    let words = Command::all().map(|c| c.word).chain(super::companion::WORDS.iter().map(|(word, _)| *word));
    match nearest::nearest(&word, words) {
        Some(near) => Error::new(Kind::Config, text).hint(format!("did you mean {near}?")),
        None => usage(text, ""),
    }
}

fn unknown(written: &str, known: &[&'static [Flag]], at: Option<&Command>) -> Error {
    let name = written.trim_start_matches('-');
    let text = format!("flag provided but not defined: {written}");
    if let Some(command) = at
        && GLOBAL.iter().any(|f| is_named(f, name))
    {
        return Error::new(Kind::Config, text).hint(format!("{written} is global: it stands before {}", command.word));
    }
    let shown = known.iter().flat_map(|flags| flags.iter()).filter(|f| !f.hidden);
    match nearest::nearest(name, shown.map(|f| f.long)) {
        Some(near) if name.len() > 1 => Error::new(Kind::Config, text).hint(format!("did you mean --{near}?")),
        _ => usage(text, at.map_or("", |c| c.word)),
    }
}

fn no_value(written: &str, word: &str) -> Error {
    usage(format!("flag needs an argument: {written}"), word)
}

fn bad_value(what: &str, value: &OsStr, written: &str, wanted: &str, word: &str) -> Error {
    usage(format!("invalid {what} {:?} for flag {written}: expected {wanted}", value.to_string_lossy()), word)
}
