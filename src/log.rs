//! The log: what engines read after a failure, and what people read with `--debug`.
//!
//! An engine takes the whole file for one JSON object, or the last line of level `error` for the reason. So a command that
//! fails writes exactly one line, and the same message on stderr; warnings wait until the command has succeeded, or its program
//! runs in the foreground, and are written at once only with `--debug`.
//!
//! Where another process does a part of the work, it calls [`divert`] first and its records are sent with [`take`] to the
//! process that writes, which calls [`repeat`].

mod line;
mod target;
mod trace;

pub(crate) use target::Target;
pub(crate) use trace::Trace;

use crate::error::{Error, Kind, Result};
use crate::text;
use std::borrow::Cow;
use std::io::{IsTerminal, Write};
use std::str::FromStr;
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

/// How much a record matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// The reason why a command failed; written once, by [`fail`].
    Error,
    /// Something that a person may want to change; the command goes on.
    Warning,
    /// What happens, step by step.
    Debug,
}

impl Level {
    /// The word in the log.
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
            _ => Err(Error::new(Kind::Config, format!("invalid log-level: {text}"))),
        }
    }
}

/// The form of a line.
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
            _ => Err(Error::new(Kind::Config, format!("invalid log-format: {text}"))),
        }
    }
}

/// One thing that was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// How much it matters.
    pub level: Level,
    /// What was said, one line.
    pub text: String,
}

struct Log {
    name: String,
    target: Target,
    form: Form,
    level: Level,
    diverted: bool,
    held: Vec<Record>,
    trace: Option<Trace>,
}

/// The most bytes of a warning or of a line of `--debug`: it may quote a value of the config, which is as long as its writer wants.
const LONGEST: usize = 8192;

static LOG: Mutex<Log> = Mutex::new(Log::new());

fn log() -> MutexGuard<'static, Log> {
    LOG.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sets who speaks (`orlop`), to where, in which form and from which level on.
pub(crate) fn open(name: &str, target: Target, form: Form, level: Level) {
    let mut log = log();
    (log.target, log.form, log.level) = (target, form, level);
    name.clone_into(&mut log.name);
}

/// Has every record and step written to `trace` at once, whatever the log shows.
pub(crate) fn trace(trace: Trace) {
    log().trace = Some(trace);
}

/// A step begins, and this process's step before it ends: for the trace, and for the log with `--debug`.
pub(crate) fn step(name: &str) {
    // For `integration/panics.rs`.
    #[cfg(debug_assertions)]
    assert!(std::env::var_os("ORLOP_PANIC_AT").is_none_or(|at| at != name), "asked for");
    let mut log = log();
    if let Some(trace) = &mut log.trace {
        trace.step(name);
    }
    if log.level >= Level::Debug {
        log.keep(Record { level: Level::Debug, text: name.to_owned() });
    }
}

/// Something that a person may want to change; the command goes on.
pub(crate) fn warning(text: impl Into<String>) {
    log().say(Record { level: Level::Warning, text: text.into() });
}

/// What happens, for those who look for a fault. The text is made only when somebody reads it.
pub(crate) fn debug(text: impl FnOnce() -> String) {
    let mut log = log();
    if log.level >= Level::Debug || log.trace.is_some() {
        log.say(Record { level: Level::Debug, text: text() });
    }
}

/// Whether somebody reads records of `level`.
pub(crate) fn reads(level: Level) -> bool {
    let log = log();
    log.level >= level || log.trace.is_some()
}

/// From now on this process only collects records: another one writes.
pub(crate) fn divert() {
    let mut log = log();
    log.diverted = true;
    log.held.clear();
}

/// The records that are held; none are afterwards.
pub(crate) fn take() -> Vec<Record> {
    std::mem::take(&mut log().held)
}

/// Says again what a process that is diverted has said; it has written its trace itself.
pub(crate) fn repeat(record: Record) {
    log().keep(record);
}

/// The program runs in the foreground, and what this command warned of is about it: writes the warnings that waited.
pub(crate) fn begun() {
    let mut log = log();
    for record in std::mem::take(&mut log.held) {
        log.write(&record);
    }
}

/// The command has succeeded: writes the warnings that waited for it.
pub(crate) fn succeed() {
    let mut log = log();
    for record in std::mem::take(&mut log.held) {
        log.write(&record);
    }
    if let Some(trace) = log.trace.take() {
        trace.close();
    }
}

/// The command has failed: forgets the warnings, writes `text` as the one line of the log, and on stderr.
pub(crate) fn fail(text: &str) {
    let mut log = log();
    log.held.clear();
    let record = Record { level: Level::Error, text: text.to_owned() };
    if let Some(mut trace) = log.trace.take() {
        trace.record(&record);
        trace.close();
    }
    log.write(&record);
    if !matches!(log.target, Target::Stderr) {
        to_stderr(&format!("{}\n", text::shown(text)));
    }
}

/// The program has a defect and ends at once: as [`fail`], but where the panic is the log's own.
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

    fn say(&mut self, mut record: Record) {
        if let Cow::Owned(short) = text::excerpt(&record.text, LONGEST) {
            record.text = short;
        }
        if let Some(trace) = &mut self.trace {
            trace.record(&record);
        }
        self.keep(record);
    }

    /// Writes it, or holds it for later.
    fn keep(&mut self, record: Record) {
        if record.level > self.level {
            return;
        }
        if !self.diverted && self.level == Level::Debug {
            self.write(&record);
        } else {
            self.held.push(record);
        }
    }

    fn write(&mut self, record: &Record) {
        match &mut self.target {
            Target::Stderr if self.form == Form::Text && std::io::stderr().is_terminal() => {
                to_stderr(&line::for_people(&self.name, record));
            }
            Target::Stderr => to_stderr(&line::formed(self.form, record)),
            target => target.write(self.form, record),
        }
    }
}

/// Where nobody can read it, there is nobody to tell.
fn to_stderr(line: &str) {
    let _ = std::io::stderr().write_all(line.as_bytes());
}
