//! The one error of the library: plain data that crosses process borders whole and prints as one line.
//!
//! It reads like a sentence, outermost step first, the system call at the end:
//! `mask and protect paths: /proc/kcore: move_mount(fd 9 </proc/kcore>): operation not permitted (EPERM)`.
//! An error is returned, never logged on the way; `main` writes it once.

use crate::sys::Failure;
use crate::text;
use std::borrow::Cow;
use std::fmt;

/// What the library's functions give back.
pub type Result<T> = std::result::Result<T, Error>;

/// What went wrong, for those who decide by it; people read the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[non_exhaustive]
pub enum Kind {
    /// Something in a config.json, a process.json or a request that cannot be meant.
    Config = 0,
    /// No container of that id.
    NotFound = 1,
    /// The container is in no state for the operation.
    State = 2,
    /// A system call, or something else outside, failed.
    System = 3,
    /// The user's program could not be executed.
    Execute = 4,
    /// A defect of this program: a panic, or an answer that cannot be.
    Internal = 5,
}

impl Kind {
    /// The kind with the number `n`, as it crossed a socket.
    pub(crate) fn from_number(n: u8) -> Kind {
        [Kind::Config, Kind::NotFound, Kind::State, Kind::System, Kind::Execute]
            .into_iter()
            .find(|kind| *kind as u8 == n)
            .unwrap_or(Kind::Internal)
    }
}

/// An error: a kind, a chain of contexts from the outermost to the cause, the error number if a system call gave one,
/// and perhaps a hint at what a person can do.
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

    /// What is wrong with the field at `path` of a config.json, such as `linux.seccomp.flags[0]`.
    pub(crate) fn config(path: impl fmt::Display, problem: impl fmt::Display) -> Error {
        Error::new(Kind::Config, format!("{path}: {problem}"))
    }

    /// A failure outside that is no system call's.
    pub(crate) fn system(cause: impl Into<String>) -> Error {
        Error::new(Kind::System, cause)
    }

    /// The container is in no state for the operation.
    pub(crate) fn state(cause: impl Into<String>) -> Error {
        Error::new(Kind::State, cause)
    }

    /// A defect of this program.
    pub(crate) fn internal(cause: impl Into<String>) -> Error {
        Error::new(Kind::Internal, cause)
    }

    /// Its kind.
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

    /// With a hint at what a person can do, printed behind the cause; the first (innermost) one stays.
    pub(crate) fn hint(mut self, hint: impl Into<Cow<'static, str>>) -> Error {
        if self.0.hint.is_none() {
            self.0.hint = Some(hint.into().into_owned());
        }
        self
    }

    /// With a hint in place of another that knew less.
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

    /// An error from the bytes of [`Error::encode`]; what cannot be read is an internal error that says so.
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

/// One line of bounded length: line breaks that a file name brought in are escaped.
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

/// The most bytes of one context: a cause may quote a value of the config, which is as long as its writer wants.
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
}

impl<T, E: Into<Error>> Context<T> for std::result::Result<T, E> {
    fn context(self, context: &str) -> Result<T> {
        self.map_err(|e| e.into().context(context))
    }

    fn with_context(self, context: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|e| e.into().context(context()))
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

/// A failure that changes nothing.
pub(crate) trait Ignore {
    /// Passes over a failure, for the reason given.
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
