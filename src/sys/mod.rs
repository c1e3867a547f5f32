//! Safe wrappers of system calls, one function per call. All unsafe code of the library is here.
//! The module knows nothing of containers.
//!
//! Each function returns a [`Result`]. Its [`Failure`] renders the call like strace, with the paths
//! of its file descriptors and the text of the error number. The rendering happens only after a
//! failure.

pub(crate) mod bpf;
mod call;
pub(crate) mod cgroup;
pub(crate) mod credentials;
mod errno;
pub(crate) mod file;
pub(crate) mod filter;
pub(crate) mod fs;
pub(crate) mod keys;
pub(crate) mod limits;
pub(crate) mod memory;
pub(crate) mod mount;
pub(crate) mod namespace;
pub(crate) mod probe;
pub(crate) mod process;
pub(crate) mod refused;
pub(crate) mod regex;
pub(crate) mod scheduling;
pub(crate) mod signal;
pub(crate) mod socket;
pub(crate) mod terminal;
#[cfg(test)]
pub(crate) mod tests;
pub(crate) mod xattr;

pub(crate) use errno::Errno;

use std::fmt;
use std::os::fd::{AsFd, AsRawFd};

/// The result of a system call.
pub(crate) type Result<T> = std::result::Result<T, Failure>;

/// A failed system call with its error number.
///
/// Boxed, so that it does not enlarge a `Result`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure(Box<(String, Errno)>);

impl Failure {
    /// A failure of `call`, a rendering such as `chdir("/x")`.
    pub fn new(call: impl Into<String>, errno: Errno) -> Failure {
        Failure(Box::new((call.into(), errno)))
    }

    /// The rendered call.
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

/// Converts the -1 of a libc call to a [`Failure`].
fn check(value: impl Into<i64>, call: impl FnOnce() -> String) -> Result<i64> {
    let value = value.into();
    if value >= 0 { Ok(value) } else { Err(failed(call)) }
}

/// [`check`] for a call that returns nothing else.
fn done(value: impl Into<i64>, call: impl FnOnce() -> String) -> Result<()> {
    check(value, call).map(drop)
}

/// Like [`check`]. Repeats the call if a signal interrupts it.
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

/// Adds the call to an error of nix.
fn wrap<T>(result: nix::Result<T>, call: impl FnOnce() -> String) -> Result<T> {
    match result {
        Ok(value) => Ok(value),
        Err(errno) => Err(failed_with(errno, call)),
    }
}

/// Like [`wrap`]. Repeats the call if a signal interrupts it.
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

/// The failure for the current errno, which is read before `call` is rendered: the rendering itself
/// makes system calls.
#[cold]
fn failed(call: impl FnOnce() -> String) -> Failure {
    let errno = Errno::last();
    Failure::new(call(), errno)
}

/// A file descriptor for an error message: `fd 9 </proc/kcore>`.
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

/// Bytes for an error message, quoted.
pub(crate) fn quote(bytes: impl AsRef<[u8]>) -> String {
    format!("{:?}", String::from_utf8_lossy(bytes.as_ref()))
}

/// Calls `f` with the bytes as a C string, which is on the stack if it is short.
///
/// Bytes with an inner NUL fail with EINVAL: no path of the kernel can contain it.
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
