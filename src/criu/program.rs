//! Finding and executing the CRIU program.

use crate::error::{Error, IoContext, Result};
use crate::host_program;
use crate::sys::socket::{self, SockType};
use crate::sys::{file, process, signal};
use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Finds the program: a name without a slash is looked up in `$PATH`.
///
/// # Errors
/// There is no such program.
pub(crate) fn find(program: &Path) -> Result<PathBuf> {
    if program.as_os_str().as_bytes().contains(&b'/') {
        return std::path::absolute(program).io_context(|| format!("absolute path of {program:?}"));
    }
    host_program::find(program).ok_or_else(|| {
        let text = format!("CRIU version check failed: exec: {program:?}: executable file not found in $PATH");
        Error::system(text)
            .hint("checkpoint and restore need CRIU (https://criu.org): install it, or pass its path with --criu")
    })
}

/// The parameters for starting CRIU.
pub(crate) struct Start<'a> {
    /// The path of the program.
    pub program: &'a Path,
    /// CLONE_NEW* flags of its process.
    pub flags: u64,
    /// The v2 cgroup to start the process in; `None` for the caller's.
    pub into_cgroup: Option<BorrowedFd<'a>>,
    /// Runs in the new process before it executes the program. It returns descriptors that CRIU
    /// gets as [`inherited`]`(0)` and so on. They are opened here, since CRIU cannot mount anything
    /// in a directory that was opened in another mount namespace.
    pub prepare: &'a dyn Fn() -> Result<Vec<OwnedFd>>,
    /// More descriptors for CRIU, with the following numbers.
    pub inherited: &'a [BorrowedFd<'a>],
}

/// The file descriptor of CRIU's end of the socket.
const SOCKET: RawFd = 3;

/// The file descriptor that CRIU gets for an element of [`Start::prepare`] and
/// [`Start::inherited`].
pub(crate) fn inherited(index: usize) -> RawFd {
    SOCKET + 1 + index as RawFd
}

/// Executes CRIU in the child after sending one end of a new socket to `caller`. Returns only on
/// failure.
pub(super) fn execute(start: &Start<'_>, caller: &OwnedFd, said: &OwnedFd) -> Error {
    let exec = || -> Result<Error> {
        let prepared = (start.prepare)()?;
        signal::reset_signals();
        // If the runtime is killed, also by Ctrl-C at a terminal, CRIU must survive to undo its
        // work.
        process::lead_group()?;
        signal::ignore_broken_pipes();
        let (ours, theirs) = socket::pair(SockType::SeqPacket)?;
        socket::send(caller, b"criu", &[theirs.as_raw_fd()])?;
        let null = file::open("/dev/null", libc::O_RDWR)?;
        // Moved above the target numbers first, so that no dup2 overwrites a descriptor that is
        // still needed.
        let least = inherited(prepared.len() + start.inherited.len());
        let above = |fd: BorrowedFd<'_>| file::duplicate_above(fd, least);
        let given = prepared.iter().map(AsFd::as_fd).chain(start.inherited.iter().copied());
        let given = given.map(above).collect::<crate::sys::Result<Vec<_>>>()?;
        let (socket, said) = (above(ours.as_fd())?, above(said.as_fd())?);
        file::duplicate_to(&null, 0, false)?;
        file::duplicate_to(&null, 1, false)?;
        file::duplicate_to(&said, 2, false)?;
        file::duplicate_to(&socket, SOCKET, false)?;
        for (index, fd) in given.iter().enumerate() {
            file::duplicate_to(fd, inherited(index), false)?;
        }
        file::close_by_execute(least, &[])?;
        let program = CString::new(start.program.as_os_str().as_bytes()).map_err(|_| Error::system("a NUL byte"))?;
        Ok(process::execute(&program, &[c"criu", c"swrk", c"3"], &environment()).into())
    };
    exec().unwrap_or_else(|error| error)
}

/// The environment of this process, always with a `$PATH`.
fn environment() -> Vec<CString> {
    let others = process::environment().into_iter().filter(|entry| !entry.to_bytes().starts_with(b"PATH="));
    others.chain(host_program::path_entry()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_nowhere_is_named() {
        let error = find(Path::new("orlop-no-such-criu")).unwrap_err().to_string();
        assert!(error.contains("exec: \"orlop-no-such-criu\": executable file not found in $PATH"), "{error}");
        assert_eq!(find(Path::new("/x/criu")).unwrap(), Path::new("/x/criu"));
    }
}
