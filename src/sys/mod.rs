//! System calls: the only place with unsafe code, one function per call, knowing nothing of containers.
//!
//! Each function returns [`Result`], whose [`Failure`] renders the call as `strace` would print it, with descriptors
//! resolved to their paths, and the error number in words. What is rendered is made only when a call has failed.

pub(crate) mod bpf;
mod call;
pub(crate) mod cgroup;
pub(crate) mod credentials;
mod errno;
pub(crate) mod file;
pub(crate) mod filter;
pub(crate) mod fs;
pub(crate) mod limits;
pub(crate) mod memory;
pub(crate) mod mount;
pub(crate) mod namespace;
pub(crate) mod probe;
pub(crate) mod process;
pub(crate) mod refused;
pub(crate) mod regex;
pub(crate) mod socket;
pub(crate) mod terminal;
pub(crate) mod xattr;

pub(crate) use errno::Errno;

use std::fmt;
use std::os::fd::{AsFd, AsRawFd};

/// What a system call gives back.
pub(crate) type Result<T> = std::result::Result<T, Failure>;

/// A system call that failed: how it was called, and the error number.
///
/// Boxed, so that a `Result` stays as small as its success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure(Box<(String, Errno)>);

impl Failure {
    /// A failure of `call`, a rendering such as `chdir("/x")`.
    pub fn new(call: impl Into<String>, errno: Errno) -> Failure {
        Failure(Box::new((call.into(), errno)))
    }

    /// The call as it was made.
    pub fn call(&self) -> &str {
        &self.0.0
    }

    /// The error number.
    pub fn errno(&self) -> Errno {
        self.0.1
    }

    /// Whether the error number is `errno` (a constant of libc).
    pub fn is(&self, errno: i32) -> bool {
        self.0.1.0 == errno
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.call(), self.errno())
    }
}

impl std::error::Error for Failure {}

/// Turns the -1 of a libc call into a [`Failure`].
fn check(value: impl Into<i64>, call: impl FnOnce() -> String) -> Result<i64> {
    let value = value.into();
    if value >= 0 { Ok(value) } else { Err(failed(call)) }
}

/// Like [`check`], calling again for as long as a signal interrupts.
fn check_again<V: Into<i64>>(mut f: impl FnMut() -> V, call: impl FnOnce() -> String) -> Result<i64> {
    loop {
        let value = f().into();
        if value >= 0 {
            return Ok(value);
        }
        if Errno::last().0 != libc::EINTR {
            return Err(failed(call));
        }
    }
}

/// Gives an error of nix the call that it belongs to.
fn wrap<T>(result: nix::Result<T>, call: impl FnOnce() -> String) -> Result<T> {
    match result {
        Ok(value) => Ok(value),
        Err(errno) => Err(failed_with(errno, call)),
    }
}

/// Like [`wrap`], calling again for as long as a signal interrupts.
fn wrap_again<T>(mut f: impl FnMut() -> nix::Result<T>, call: impl FnOnce() -> String) -> Result<T> {
    loop {
        match f() {
            Err(nix::errno::Errno::EINTR) => {}
            result => return wrap(result, call),
        }
    }
}

#[cold]
fn failed_with(errno: nix::errno::Errno, call: impl FnOnce() -> String) -> Failure {
    let errno = Errno::from(errno);
    Failure::new(call(), errno)
}

/// The failure that errno tells of now; errno is read before `call` is rendered, which makes calls of its own.
#[cold]
fn failed(call: impl FnOnce() -> String) -> Failure {
    let errno = Errno::last();
    Failure::new(call(), errno)
}

/// A descriptor for an error text: `fd 9 </proc/kcore>`.
pub(crate) fn show(fd: impl AsFd) -> String {
    let number = fd.as_fd().as_raw_fd();
    if number == libc::AT_FDCWD {
        return "AT_FDCWD".into();
    }
    match std::fs::read_link(format!("/proc/self/fd/{number}")) {
        Ok(path) => format!("fd {number} <{}>", path.display()),
        Err(_) => format!("fd {number}"),
    }
}

/// Bytes for an error text, quoted.
pub(crate) fn quote(bytes: impl AsRef<[u8]>) -> String {
    format!("{:?}", String::from_utf8_lossy(bytes.as_ref()))
}

/// Calls `f` with the bytes as a C string, on the stack where they are short.
///
/// Bytes with a NUL inside are EINVAL, as no path of the kernel can hold them.
fn with_c_str<T>(bytes: impl AsRef<[u8]>, f: impl FnOnce(&std::ffi::CStr) -> Result<T>) -> Result<T> {
    let bytes = bytes.as_ref();
    let mut short = [0u8; 384];
    let long;
    let terminated = if bytes.len() < short.len() {
        short[..bytes.len()].copy_from_slice(bytes);
        &short[..=bytes.len()]
    } else {
        long = [bytes, b"\0"].concat();
        &long[..]
    };
    match std::ffi::CStr::from_bytes_with_nul(terminated) {
        Ok(c_str) => f(c_str),
        Err(_) => Err(Failure::new(format!("{} holds a NUL byte", quote(bytes)), Errno(libc::EINVAL))),
    }
}
