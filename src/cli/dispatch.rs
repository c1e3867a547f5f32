//! Runs one command, from its arguments to its exit code.

use super::companion;
use super::help;
use super::identity::Identity;
use super::parse::{self, Flags, Invocation};
use super::perform;
use super::table::{Command, Name};
use crate::error::{Context as _, Error, Result};
use crate::log::{self, Form, Level, Target};
use crate::sys::{Failure, file, process, signal};
use lexopt::Parser;
use std::ffi::{OsStr, OsString};

/// The exit code of a command that failed.
const FAILED: u8 = 1;
/// The exit code of an unknown command.
const NO_COMMAND: u8 = 3;
/// The exit code of an `exec` that failed before its program ran: other codes are the program's.
const EXEC_FAILED: u8 = 255;

/// Runs the command line; an error is printed as one line.
pub(crate) fn run(mut parser: Parser) -> u8 {
    std::panic::set_hook(Box::new(|info| {
        log::panicked(&Error::internal(format!("panic: {info}")).to_string());
        process::exit_now(FAILED.into())
    }));
    signal::reset_own_signals();
    let identity = Identity::new(parser.bin_name());
    let (flags, word) = parse::globals(&mut parser);
    let outcome = open_log(&identity, &flags)
        .and(word)
        .map_err(|error| (error, FAILED))
        .and_then(|word| answer(&identity, &flags, word, &mut parser));
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

/// An exit code, or an error with its exit code.
type Outcome = std::result::Result<u8, (Error, u8)>;

fn open_log(identity: &Identity, flags: &Flags) -> Result<()> {
    let text = |flag: &str| flags.last(flag).map(OsStr::to_string_lossy);
    let form = text("log-format").map_or(Ok(Form::Text), |form| form.parse())?;
    let level = match text("log-level") {
        _ if flags.switch("debug") == Some(true) => Level::Debug,
        Some(level) => level.parse()?,
        None => Level::Warning,
    };
    // The format also applies to an error about the log file.
    log::open(&identity.name, Target::Stderr, form, level);
    if let Some(target) = flags.last("log") {
        log::open(&identity.name, Target::open(target, &identity.name)?, form, level);
    }
    if let Some(file) = flags.last("trace").filter(|file| !file.is_empty()) {
        log::trace(log::Trace::open(file.as_ref())?);
    }
    Ok(())
}

fn answer(identity: &Identity, flags: &Flags, word: Option<OsString>, parser: &mut Parser) -> Outcome {
    let plain = |result: Result<()>| result.map(|()| 0).map_err(|error| (error, FAILED));
    let on = |flag| flags.switch(flag) == Some(true);
    let Some(word) = word.filter(|_| !on("help") && !on("version")) else {
        return plain(if on("version") && !on("help") {
            print(&identity.version())
        } else {
            print(&help::program(identity))
        });
    };
    if word == "help" || word == "h" {
        return explain(identity, parser);
    }
    if identity.is_person() && word.to_str().is_some_and(companion::has) {
        return Err((companion::execute(), FAILED));
    }
    if word == "run" && parser.try_raw_args().is_some_and(|raw| companion::runs_image(raw.as_slice())) {
        return Err((companion::execute_to_run(), FAILED));
    }
    let command = find(&word)?;
    let invocation = parse::command(parser, command).map_err(|error| (error, FAILED))?;
    if invocation.flags.switch("help") == Some(true) {
        return plain(print(&help::command(identity, &command)));
    }
    plain(parse::count(&invocation, &identity.name))?;
    perform(identity, flags, &invocation)
}

fn find(word: &OsStr) -> std::result::Result<Command, (Error, u8)> {
    word.to_str().and_then(Command::find).ok_or_else(|| (parse::no_command(word), NO_COMMAND))
}

/// `help [COMMAND]`.
fn explain(identity: &Identity, parser: &mut Parser) -> Outcome {
    let word = parser.raw_args().ok().and_then(|mut raw| raw.next());
    let text = match word {
        Some(word) if identity.is_person() && word.to_str().is_some_and(companion::has) => {
            return Err((companion::execute(), FAILED));
        }
        Some(word) => help::command(identity, &find(&word)?),
        None => help::program(identity),
    };
    print(&text).map(|()| 0).map_err(|error| (error, FAILED))
}

/// Runs the command; its errors begin as runc's do.
fn perform(identity: &Identity, flags: &Flags, invocation: &Invocation) -> Outcome {
    let name = invocation.command.name;
    // The soft limit was already raised to the hard limit.
    let done = perform::perform(identity, flags, invocation)
        .hint_on(libc::EMFILE, "the hard limit of open files of the caller (ulimit -Hn) is too low");
    done.map_err(|error| perform::not_found(error, identity, flags, invocation)).map_err(|error| match name {
        Name::Create | Name::Run => {
            (error.context(format!("{} {} failed", identity.name, invocation.command.word)), FAILED)
        }
        Name::Exec => (error.context("exec failed"), EXEC_FAILED),
        _ => (error, FAILED),
    })
}

/// Writes `text` to standard output in one piece: std's buffer would split it at its last line
/// break.
pub(crate) fn print(text: &str) -> Result<()> {
    let written = file::write_all(std::io::stdout(), text.as_bytes());
    written.map_err(|e| Failure::new("write to standard output", e.errno()).into())
}
