//! The log: engines read it after a failure, people read it with `--debug`.
//!
//! An engine parses the whole file as one JSON object, or takes the last line of level `error` as
//! the reason. So a command that fails writes exactly one line, and the same message on stderr.
//! Warnings are held back until the command has succeeded or its program runs in the foreground;
//! only `--debug` writes them at once.
//!
//! A child process that does a part of the work calls [`divert`] first. It sends the records of
//! [`take`] to the runtime, which calls [`repeat`].

mod line;
mod target;
mod trace;

pub(crate) use target::Target;
pub(crate) use trace::Trace;

use crate::error::{Error, Ignore as _, Kind, Result};
use crate::text;
use std::borrow::Cow;
use std::io::{IsTerminal, Write};
use std::str::FromStr;
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

/// The severity of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// The reason why a command failed; written once, by [`fail`].
    Error,
    /// A problem that does not stop the command.
    Warning,
    /// The steps of the command.
    Debug,
}

impl Level {
    /// The name in the log.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Level::Error => "error",
            Level::Warning => "warning",
            Level::Debug => "debug",
        }
    }
}

impl FromStr for Level {
    type Err = Error;

    fn from_str(text: &str) -> Result<Level> {
        match text.to_ascii_lowercase().as_str() {
            "error" | "fatal" | "panic" => Ok(Level::Error),
            "warning" | "warn" | "info" => Ok(Level::Warning),
            "debug" | "trace" => Ok(Level::Debug),
            _ => Err(Error::new(Kind::Config, format!("invalid log-level: {text}")).hint("error, warning or debug")),
        }
    }
}

/// The format of a line, `--log-format`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Form {
    /// `time="…" level=error msg="…"`; on a terminal `orlop: …`.
    #[default]
    Text,
    /// `{"level":"error","msg":"…","time":"…"}`
    Json,
}

impl FromStr for Form {
    type Err = Error;

    fn from_str(text: &str) -> Result<Form> {
        match text {
            "text" => Ok(Form::Text),
            "json" => Ok(Form::Json),
            _ => Err(Error::new(Kind::Config, format!("invalid log-format: {text}")).hint("text or json")),
        }
    }
}

/// A log message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LogRecord {
    /// The severity.
    pub level: Level,
    /// The message.
    pub text: String,
}

struct Log {
    name: String,
    target: Target,
    form: Form,
    level: Level,
    diverted: bool,
    held: Vec<LogRecord>,
    trace: Option<Trace>,
}

/// The longest warning or debug message in bytes: it may quote a value of the config, which has no
/// limit.
const LONGEST: usize = 8192;

static LOG: Mutex<Log> = Mutex::new(Log::new());

fn log() -> MutexGuard<'static, Log> {
    LOG.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sets the name of the program, the target and format of the log, and the lowest severity to
/// write.
pub(crate) fn open(name: &str, target: Target, form: Form, level: Level) {
    let mut log = log();
    (log.target, log.form, log.level) = (target, form, level);
    name.clone_into(&mut log.name);
}

/// Writes every record and step to `trace` from now on, independent of the log's level.
pub(crate) fn trace(trace: Trace) {
    log().trace = Some(trace);
}

/// Records in the trace, and with `--debug` in the log, that a step of this process begins and the
/// previous one ends.
pub(crate) fn step(name: &str) {
    // For `integration/tests/binary/panics.rs`.
    #[cfg(debug_assertions)]
    assert!(std::env::var_os("ORLOP_PANIC_AT").is_none_or(|at| at != name), "asked for");
    let mut log = log();
    if let Some(trace) = &mut log.trace {
        trace.step(name);
    }
    if log.level >= Level::Debug {
        log.keep(LogRecord { level: Level::Debug, text: name.to_owned() });
    }
}

/// Logs a problem that does not stop the command.
pub(crate) fn warning(text: impl Into<String>) {
    log().say(LogRecord { level: Level::Warning, text: text.into() });
}

/// Logs a debug message. The text is built only if the log or the trace shows it.
pub(crate) fn debug(text: impl FnOnce() -> String) {
    let mut log = log();
    if log.level >= Level::Debug || log.trace.is_some() {
        log.say(LogRecord { level: Level::Debug, text: text() });
    }
}

/// Whether the log or the trace shows records of `level`.
pub(crate) fn reads(level: Level) -> bool {
    let log = log();
    log.level >= level || log.trace.is_some()
}

/// Makes this process collect its records from now on instead of writing them.
pub(crate) fn divert() {
    let mut log = log();
    log.diverted = true;
    log.held.clear();
}

/// Collects records like [`divert`] while it lives, in a process that goes on with its own log.
pub(crate) struct Diverted {
    was_diverted: bool,
    held: Vec<LogRecord>,
}

impl Diverted {
    /// Begins to collect; records that wait in the log are put aside.
    pub(crate) fn begin() -> Diverted {
        let mut log = log();
        let was_diverted = std::mem::replace(&mut log.diverted, true);
        Diverted { was_diverted, held: std::mem::take(&mut log.held) }
    }
}

impl Drop for Diverted {
    fn drop(&mut self) {
        let mut log = log();
        log.diverted = self.was_diverted;
        log.held = std::mem::take(&mut self.held);
    }
}

/// Takes the collected records.
pub(crate) fn take() -> Vec<LogRecord> {
    std::mem::take(&mut log().held)
}

/// Logs the record of another process, which has already written it to the trace.
pub(crate) fn repeat(record: LogRecord) {
    log().keep(record);
}

/// Writes the warnings that were held back, since the container's program runs in the foreground
/// now.
pub(crate) fn begun() {
    log().write_held();
}

/// Ends a successful command: writes the warnings that were held back and closes the trace.
pub(crate) fn succeed() {
    let mut log = log();
    log.write_held();
    if let Some(trace) = log.trace.take() {
        trace.close();
    }
}

/// Ends a failed command: drops the warnings, writes `text` as the only line of the log and on
/// stderr.
pub(crate) fn fail(text: &str) {
    let mut log = log();
    log.held.clear();
    let record = LogRecord { level: Level::Error, text: text.to_owned() };
    if let Some(mut trace) = log.trace.take() {
        trace.record(&record);
        trace.close();
    }
    log.write(&record);
    if !matches!(log.target, Target::Stderr) {
        to_stderr(&format!("{}\n", text::shown(text)));
    }
}

/// Writes a line to stderr if that is a terminal. It is for the person there, and not for the log.
pub(crate) fn tell_person(text: impl FnOnce() -> Option<String>) {
    if std::io::stderr().is_terminal()
        && let Some(text) = text()
    {
        let record = LogRecord { level: Level::Error, text };
        to_stderr(&line::for_people(&log().name, &record));
    }
}

/// Reports a panic like [`fail`]. If the log itself panicked and holds its lock, it writes to
/// stderr only.
pub(crate) fn panicked(text: &str) {
    match LOG.try_lock().map(drop) {
        Err(TryLockError::WouldBlock) => to_stderr(&format!("{}\n", text::shown(text))),
        _ => fail(text),
    }
}

impl Log {
    const fn new() -> Log {
        Log {
            name: String::new(),
            target: Target::Stderr,
            form: Form::Text,
            level: Level::Warning,
            diverted: false,
            held: Vec::new(),
            trace: None,
        }
    }

    fn say(&mut self, mut record: LogRecord) {
        if let Cow::Owned(short) = text::excerpt(&record.text, LONGEST) {
            record.text = short;
        }
        if let Some(trace) = &mut self.trace {
            trace.record(&record);
        }
        self.keep(record);
    }

    /// Writes the record, or holds it back.
    fn keep(&mut self, record: LogRecord) {
        if record.level > self.level {
            return;
        }
        if !self.diverted && self.level == Level::Debug {
            self.write(&record);
        } else {
            self.held.push(record);
        }
    }

    fn write_held(&mut self) {
        for record in std::mem::take(&mut self.held) {
            self.write(&record);
        }
    }

    fn write(&mut self, record: &LogRecord) {
        match &mut self.target {
            Target::Stderr if self.form == Form::Text && std::io::stderr().is_terminal() => {
                to_stderr(&line::for_people(&self.name, record));
            }
            Target::Stderr => to_stderr(&line::formed(self.form, record)),
            target => target.write(self.form, record),
        }
    }
}

/// Writes to stderr. An error is ignored: there is no other place to report it.
fn to_stderr(line: &str) {
    std::io::stderr().write_all(line.as_bytes()).ignore("there is no other place to report it");
}
