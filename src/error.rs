//! The error type of the library: plain data that is sent between processes without loss and prints
//! as one line.
//!
//! The text names the outermost step first and the system call last: `mask and protect paths:
//! /proc/kcore: move_mount(fd 9 </proc/kcore>): operation not permitted (EPERM)`. An error is
//! returned and not logged on the way; `main` prints it once.

use crate::sys::Failure;
use crate::text;
use std::borrow::Cow;
use std::fmt;

/// The result of the library's functions.
pub type Result<T> = std::result::Result<T, Error>;

/// The kind of an error, for programs; people read the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[non_exhaustive]
pub enum Kind {
    /// An invalid config.json, process.json or request.
    Config = 0,
    /// There is no container with this id.
    NotFound = 1,
    /// The container's status does not allow the operation.
    State = 2,
    /// A system call or another program failed.
    System = 3,
    /// The user's program could not be executed.
    Execute = 4,
    /// A bug in this program: a panic, or an impossible state.
    Internal = 5,
}

impl Kind {
    /// The kind with the number `n`, received from a socket.
    pub(crate) fn from_number(n: u8) -> Kind {
        [Kind::Config, Kind::NotFound, Kind::State, Kind::System, Kind::Execute]
            .into_iter()
            .find(|kind| *kind as u8 == n)
            .unwrap_or(Kind::Internal)
    }
}

/// An error: a kind, a chain of contexts from the outermost to the cause, the errno of a failed
/// system call, and possibly a hint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error(Box<Inner>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Inner {
    kind: Kind,
    errno: i32,
    /// Innermost first, so that a context is a push.
    chain: Vec<String>,
    hint: Option<String>,
}

impl Error {
    /// An error of `kind` with the text `cause`.
    pub(crate) fn new(kind: Kind, cause: impl Into<String>) -> Error {
        Error(Box::new(Inner { kind, errno: 0, chain: vec![cause.into()], hint: None }))
    }

    /// An error in the field at `path` of a config.json, such as `linux.seccomp.flags[0]`.
    pub(crate) fn config(path: impl fmt::Display, problem: impl fmt::Display) -> Error {
        Error::new(Kind::Config, format!("{path}: {problem}"))
    }

    /// A failure of the system that is not a failed system call.
    pub(crate) fn system(cause: impl Into<String>) -> Error {
        Error::new(Kind::System, cause)
    }

    /// An operation that the container's status does not allow.
    pub(crate) fn state(cause: impl Into<String>) -> Error {
        Error::new(Kind::State, cause)
    }

    /// A bug in this program.
    pub(crate) fn internal(cause: impl Into<String>) -> Error {
        Error::new(Kind::Internal, cause)
    }

    /// The kind of the error.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// The error number of the system call that failed, 0 if none did.
    pub fn errno(&self) -> i32 {
        self.0.errno
    }

    /// Adds `context` in front.
    pub(crate) fn context(mut self, context: impl Into<String>) -> Error {
        self.0.chain.push(context.into());
        self
    }

    /// Adds a hint, printed after the cause. The first (innermost) hint stays.
    pub(crate) fn hint(mut self, hint: impl Into<Cow<'static, str>>) -> Error {
        if self.0.hint.is_none() {
            self.0.hint = Some(hint.into().into_owned());
        }
        self
    }

    /// Adds a hint to an error of one errno.
    pub(crate) fn hint_on(self, errno: i32, hint: impl Into<Cow<'static, str>>) -> Error {
        if self.0.errno == errno { self.hint(hint) } else { self }
    }

    /// Replaces the hint by a more specific one.
    pub(crate) fn better_hint(mut self, hint: &str) -> Error {
        self.0.hint = Some(hint.to_owned());
        self
    }

    /// The bytes that [`Error::decode`] turns back into the error.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let inner = &self.0;
        let mut bytes = vec![inner.kind as u8];
        bytes.extend(inner.errno.to_le_bytes());
        for text in inner.hint.iter().map(|h| h.as_str()).chain([""].into_iter().filter(|_| inner.hint.is_none())) {
            push(&mut bytes, text);
        }
        for text in &inner.chain {
            push(&mut bytes, text);
        }
        bytes
    }

    /// Decodes the bytes of [`Error::encode`]; invalid bytes give an internal error that says so.
    pub(crate) fn decode(bytes: &[u8]) -> Error {
        let broken = || Error::internal("a child process sent an error that cannot be read");
        let Some((head, mut rest)) = bytes.split_at_checked(5) else { return broken() };
        let errno = i32::from_le_bytes([head[1], head[2], head[3], head[4]]);
        let Some(hint) = pull(&mut rest) else { return broken() };
        let mut chain = Vec::new();
        while let Some(text) = pull(&mut rest) {
            chain.push(text);
        }
        if chain.is_empty() {
            return broken();
        }
        let hint = Some(hint).filter(|h| !h.is_empty());
        Error(Box::new(Inner { kind: Kind::from_number(head[0]), errno, chain, hint }))
    }
}

fn push(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend((text.len() as u32).to_le_bytes());
    bytes.extend(text.as_bytes());
}

fn pull(bytes: &mut &[u8]) -> Option<String> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (text, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    *bytes = rest;
    Some(String::from_utf8_lossy(text).into_owned())
}

/// One line of limited length: line breaks, from a file name for example, are escaped.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, text) in self.0.chain.iter().rev().enumerate() {
            if n > 0 {
                f.write_str(": ")?;
            }
            write_line(f, text)?;
        }
        if let Some(hint) = &self.0.hint {
            f.write_str(" (hint: ")?;
            write_line(f, hint)?;
            f.write_str(")")?;
        }
        Ok(())
    }
}

/// The most bytes of one context: it may quote a value of the config, of any length.
const LONGEST: usize = 4096;

fn write_line(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    f.write_str(&text::shown(&text::excerpt(text, LONGEST)))
}

impl std::error::Error for Error {}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Error {
        let chain = vec![failure.errno().to_string(), failure.call().to_string()];
        let errno = failure.errno().0;
        let error = Error(Box::new(Inner { kind: Kind::System, errno, chain, hint: None }));
        match crate::sys::refused::by_filter(&failure) {
            Some(call) => {
                let older = if errno == libc::ENOSYS { ", or the kernel is older than the call" } else { "" };
                error.hint(format!(
                    "a seccomp filter around this process refuses {call}{older}: allow it in the profile"
                ))
            }
            None => error,
        }
    }
}

/// Adds context to an error, with the names of anyhow.
pub(crate) trait Context<T> {
    /// Adds `context` in front of the error.
    fn context(self, context: &str) -> Result<T>;
    /// Adds a context that is formatted only if there is an error.
    fn with_context(self, context: impl FnOnce() -> String) -> Result<T>;
    /// Adds a hint to an error of one errno.
    fn hint_on(self, errno: i32, hint: &'static str) -> Result<T>;
}

impl<T, E: Into<Error>> Context<T> for std::result::Result<T, E> {
    fn context(self, context: &str) -> Result<T> {
        self.map_err(|e| e.into().context(context))
    }

    fn with_context(self, context: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|e| e.into().context(context()))
    }

    fn hint_on(self, errno: i32, hint: &'static str) -> Result<T> {
        self.map_err(|e| e.into().hint_on(errno, hint))
    }
}

/// Names the system call behind an error of `std::io`.
pub(crate) trait IoContext<T> {
    /// Turns the error into a failed system call, shown as `call`, such as `mkdir("/run/x")`.
    fn io_context(self, call: impl FnOnce() -> String) -> Result<T>;
}

impl<T> IoContext<T> for std::io::Result<T> {
    fn io_context(self, call: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|e| Failure::new(call(), e.into()).into())
    }
}

/// For a failure without consequences.
pub(crate) trait Ignore {
    /// Ignores a failure for the given reason.
    fn ignore(self, reason: &'static str);
}

impl<T, E> Ignore for std::result::Result<T, E> {
    fn ignore(self, _: &'static str) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::Errno;

    #[test]
    fn an_error_reads_outermost_first_and_ends_with_the_error_number_in_words() {
        let error =
            Error::from(Failure::new("mkdir(\"/x\")", Errno(libc::EPERM))).context("devices").hint("become root");
        assert_eq!(error.to_string(), "devices: mkdir(\"/x\"): operation not permitted (EPERM) (hint: become root)");
    }

    #[test]
    fn an_error_is_one_line_whatever_a_file_is_called() {
        assert_eq!(Error::system("a\nb\x1b[1m").to_string(), "a\\nb\\u{1b}[1m");
        assert_eq!(Error::system("a").hint("\u{202e}\u{2028}").to_string(), "a (hint: \\u{202e}\\u{2028})");
        let long = Error::config("x", "y".repeat(1 << 20)).to_string();
        assert!(long.len() <= LONGEST && long.starts_with("x: yy") && long.contains("left out"), "{}", long.len());
    }

    #[test]
    fn an_error_crosses_a_socket_whole() {
        for error in
            [Error::config("root.path", "missing").context("load"), Error::from(Failure::new("x", Errno(7))).hint("h")]
        {
            assert_eq!(Error::decode(&error.encode()), error);
        }
        assert_eq!(Error::decode(b"junk").kind(), Kind::Internal);
    }
}
