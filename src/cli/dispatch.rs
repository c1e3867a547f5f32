//! One command from its arguments to its exit code.

use super::caller::Caller;
use super::companion;
use super::help;
use super::parse::{self, Given, Line};
use super::perform;
use super::table::{Command, Name};
use crate::error::{Error, Result};
use crate::log::{self, Form, Level, Target};
use crate::sys::{Failure, file, process};
use lexopt::Parser;
use std::ffi::{OsStr, OsString};

/// The exit code of a command that failed.
const FAILED: u8 = 1;
/// The exit code of a word that is no command.
const NO_COMMAND: u8 = 3;
/// The exit code of an `exec` that the runtime could not carry out: other numbers are the program's.
const EXEC_FAILED: u8 = 255;

/// Does what the arguments say, and says in one line why if it cannot.
pub(crate) fn run(mut parser: Parser) -> u8 {
    std::panic::set_hook(Box::new(|info| {
        log::panicked(&Error::internal(format!("panic: {info}")).to_string());
        process::exit_now(FAILED.into())
    }));
    process::reset_own_signals();
    let caller = Caller::new(parser.bin_name());
    let (given, word) = parse::globals(&mut parser);
    let outcome = open_log(&caller, &given)
        .and(word)
        .map_err(|error| (error, FAILED))
        .and_then(|word| answer(&caller, &given, word, &mut parser));
    match outcome {
        Ok(code) => {
            log::succeed();
            code
        }
        Err((error, code)) => {
            log::fail(&error.to_string());
            code
        }
    }
}

/// Its own exit code, or an error with the one that goes with it.
type Outcome = std::result::Result<u8, (Error, u8)>;

fn open_log(caller: &Caller, given: &Given) -> Result<()> {
    let text = |flag: &str| given.last(flag).map(OsStr::to_string_lossy);
    let form = text("log-format").map_or(Ok(Form::Text), |form| form.parse())?;
    let level = match text("log-level") {
        _ if given.switch("debug") == Some(true) => Level::Debug,
        Some(level) => level.parse()?,
        None => Level::Warning,
    };
    // The form counts for the error about the target too.
    log::open(&caller.name, Target::Stderr, form, level);
    if let Some(target) = given.last("log") {
        log::open(&caller.name, Target::open(target, &caller.name)?, form, level);
    }
    if let Some(file) = given.last("trace").filter(|file| !file.is_empty()) {
        log::trace(log::Trace::open(file.as_ref())?);
    }
    Ok(())
}

fn answer(caller: &Caller, given: &Given, word: Option<OsString>, parser: &mut Parser) -> Outcome {
    let plain = |result: Result<()>| result.map(|()| 0).map_err(|error| (error, FAILED));
    let on = |flag| given.switch(flag) == Some(true);
    let Some(word) = word.filter(|_| !on("help") && !on("version")) else {
        return plain(if on("version") && !on("help") {
            print(&caller.version())
        } else {
            print(&help::program(caller))
        });
    };
    if word == "help" || word == "h" {
        return explain(caller, parser);
    }
    if caller.is_person() && word.to_str().is_some_and(companion::has) {
        return Err((companion::execute(), FAILED));
    }
    let command = find(&word)?;
    let line = parse::command(parser, command).map_err(|error| (error, FAILED))?;
    if line.given.switch("help") == Some(true) {
        return plain(print(&help::command(caller, &command)));
    }
    plain(parse::count(&line, &caller.name))?;
    perform(caller, given, &line)
}

fn find(word: &OsStr) -> std::result::Result<Command, (Error, u8)> {
    word.to_str().and_then(Command::find).ok_or_else(|| (parse::no_command(word), NO_COMMAND))
}

/// `help [COMMAND]`.
fn explain(caller: &Caller, parser: &mut Parser) -> Outcome {
    let word = parser.raw_args().ok().and_then(|mut raw| raw.next());
    let text = match word {
        Some(word) if caller.is_person() && word.to_str().is_some_and(companion::has) => {
            return Err((companion::execute(), FAILED));
        }
        Some(word) => help::command(caller, &find(&word)?),
        None => help::program(caller),
    };
    print(&text).map(|()| 0).map_err(|error| (error, FAILED))
}

/// Carries the command out; errors begin as runc's do.
fn perform(caller: &Caller, given: &Given, line: &Line) -> Outcome {
    let name = line.command.name;
    perform::perform(caller, given, line).map_err(too_few_files).map_err(|error| match name {
        Name::Create | Name::Run => (error.context(format!("{} {} failed", caller.name, line.command.word)), FAILED),
        Name::Exec => (error.context("exec failed"), EXEC_FAILED),
        _ => (error, FAILED),
    })
}

/// The soft limit is raised as far as it goes.
fn too_few_files(error: Error) -> Error {
    match error.errno() {
        libc::EMFILE => error.hint("the hard limit of open files of the caller (ulimit -Hn) is too low"),
        _ => error,
    }
}

/// Writes `text` to standard output, all of it, past the buffer that would split it at its last line break.
pub(crate) fn print(text: &str) -> Result<()> {
    let written = file::write_all(std::io::stdout(), text.as_bytes());
    written.map_err(|e| Failure::new("write to standard output", e.errno()).into())
}
