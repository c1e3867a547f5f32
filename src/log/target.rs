//! The targets of `--log`.

use super::{Form, Level, LogRecord, line};
use crate::error::{Error, Ignore as _, IoContext, Kind, Result};
use crate::sys::{Failure, file};
use crate::text;
use std::ffi::OsStr;
use std::fs::File;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

const JOURNAL: &str = "/run/systemd/journal/socket";
const SYSLOG: &str = "/dev/log";

/// The facility `daemon` of syslog(3).
const DAEMON: u8 = 3 << 3;

/// An open target of the log.
#[derive(Debug)]
pub(crate) enum Target {
    /// Standard error.
    Stderr,
    /// A file, opened for appending.
    File(File),
    /// systemd's journal, with the SYSLOG_IDENTIFIER of the entries.
    Journal(UnixDatagram, String),
    /// The syslog daemon, with the tag of the messages.
    Syslog(UnixDatagram, String),
}

impl Target {
    /// Opens the value of `--log`: a path, `file:PATH`, `journald:NAME` or `syslog:NAME`; stderr if
    /// it is empty. A file is created with mode 0644 and appended to; an empty NAME stands for
    /// `name`.
    pub(crate) fn open(target: &OsStr, name: &str) -> Result<Target> {
        let bytes = target.as_bytes();
        let after = |kind: &str| bytes.strip_prefix(kind.as_bytes()).map(OsStr::from_bytes);
        let speaker = |given: &OsStr| match given.to_str() {
            Some("") => Ok(name.to_owned()),
            Some(given) if !given.contains(char::is_control) => Ok(given.to_owned()),
            _ => Err(Error::new(Kind::Config, format!("invalid log: {}", target.display()))),
        };
        if bytes.is_empty() {
            Ok(Target::Stderr)
        } else if let Some(given) = after("journald:") {
            Ok(Target::Journal(socket(JOURNAL)?, speaker(given)?))
        } else if let Some(given) = after("syslog:") {
            Ok(Target::Syslog(socket(SYSLOG)?, speaker(given)?))
        } else {
            Ok(Target::File(append(Path::new(after("file:").unwrap_or(target)))?))
        }
    }

    /// Writes one line or datagram, if that is possible.
    pub(super) fn write(&mut self, form: Form, record: &LogRecord) {
        let written = match self {
            Target::Stderr => std::io::stderr().write_all(line::formed(form, record).as_bytes()),
            Target::File(file) => file.write_all(line::formed(form, record).as_bytes()),
            Target::Journal(socket, name) => socket.send(&journal_entry(name, record)).map(drop),
            Target::Syslog(socket, name) => socket.send(syslog_entry(name, record).as_bytes()).map(drop),
        };
        written.ignore("it must not fail a running container");
    }
}

/// Opens a file for appending; a missing one is created with mode 0644.
///
/// # Errors
/// The file cannot be opened or created.
fn append(path: &Path) -> Result<File> {
    // With O_NONBLOCK no container waits for its log: a FIFO without a reader is an error, a full
    // one loses a line.
    let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_APPEND | libc::O_NONBLOCK | libc::O_NOCTTY;
    match file::open_at(file::CWD, path.as_os_str().as_bytes(), flags, 0o644) {
        Ok(fd) => Ok(fd.into()),
        Err(e) => Err(Failure::new(format!("open {}", path.display()), e.errno()).into()),
    }
}

fn socket(path: &str) -> Result<UnixDatagram> {
    let socket = UnixDatagram::unbound().io_context(|| "socket(AF_UNIX, SOCK_DGRAM)".into())?;
    socket.connect(path).io_context(|| format!("connect(\"{path}\")"))?;
    Ok(socket)
}

fn priority(level: Level) -> u8 {
    match level {
        Level::Error => 3,
        Level::Warning => 4,
        Level::Debug => 7,
    }
}

fn one_line(text: &str) -> String {
    text::shown(&text.replace('\n', " ")).into_owned()
}

/// An entry in the journal's native protocol: one field per line, since no value contains a line
/// break.
fn journal_entry(name: &str, record: &LogRecord) -> Vec<u8> {
    let text = one_line(&record.text);
    format!("PRIORITY={}\nSYSLOG_IDENTIFIER={name}\nMESSAGE={text}\n", priority(record.level)).into_bytes()
}

fn syslog_entry(name: &str, record: &LogRecord) -> String {
    let text = one_line(&record.text);
    format!("<{}>{name}[{}]: {text}", DAEMON | priority(record.level), std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> LogRecord {
        LogRecord { level: Level::Error, text: "no\nway".into() }
    }

    #[test]
    fn a_log_file_is_appended_to_with_and_without_its_prefix() {
        let path = std::env::temp_dir().join(format!("orlop-log-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        for target in [path.as_os_str().to_owned(), format!("file:{}", path.display()).into()] {
            Target::open(&target, "orlop").unwrap().write(Form::Text, &record());
        }
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(text.lines().count(), 2, "{text}");
    }

    #[test]
    fn a_log_that_cannot_be_opened_is_an_error_that_names_it() {
        let error = Target::open(OsStr::new("/nonexistent/x"), "orlop").unwrap_err().to_string();
        assert_eq!(error, "open /nonexistent/x: no such file or directory (ENOENT)");
    }

    #[test]
    fn no_log_is_stderr() {
        assert!(matches!(Target::open(OsStr::new(""), "orlop").unwrap(), Target::Stderr));
    }

    #[test]
    fn an_entry_is_one_field_or_one_line() {
        assert_eq!(journal_entry("x", &record()), b"PRIORITY=3\nSYSLOG_IDENTIFIER=x\nMESSAGE=no way\n");
        assert!(syslog_entry("x", &record()).starts_with("<27>x["));
        let record = LogRecord { level: Level::Error, text: "a\rb\x1b\u{202e}".into() };
        assert!(journal_entry("x", &record).ends_with(b"MESSAGE=a\\rb\\u{1b}\\u{202e}\n"));
        assert!(syslog_entry("x", &record).ends_with(": a\\rb\\u{1b}\\u{202e}"));
    }
}
