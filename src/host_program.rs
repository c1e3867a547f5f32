//! Programs of the host, run to their end: ps(1), newuidmap(1), newgidmap(1).

use crate::error::{Error, IoContext, Result};
use crate::sys::memory::{self, MemoryFile};
use crate::sys::process::{self, Clone, Cloned, Ended, SingleThreaded};
use crate::sys::{self, Failure, file, signal};
use std::ffi::{CStr, CString, OsString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The most bytes that are read of a helper's output.
const MOST_OUTPUT: usize = 1 << 28;

/// The exit status of a child that cannot execute the program, as in a shell.
pub(crate) const NOT_EXECUTED: i32 = 127;

/// A helper that has ended, and its output.
#[derive(Debug)]
pub(crate) struct Output {
    pub ended: Ended,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
}

/// The first executable file with this name in the directories of [`search_path`].
pub(crate) fn find(name: &Path) -> Option<PathBuf> {
    let executes = |path: &PathBuf| path.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0);
    std::env::split_paths(&search_path()).map(|directory| directory.join(name)).find(executes)
}

/// `$PATH`, or a default for engines that do not set it.
fn search_path() -> OsString {
    const USUAL: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    std::env::var_os("PATH").filter(|path| !path.is_empty()).unwrap_or_else(|| USUAL.into())
}

/// [`search_path`] as an entry of an environment.
pub(crate) fn path_entry() -> Option<CString> {
    CString::new([b"PATH=", search_path().as_bytes()].concat()).ok()
}

/// Runs a program of [`search_path`] with the arguments and the environment, and reads its output.
/// Its standard input is /dev/null.
///
/// # Errors
/// There is no such program; a process cannot be made; the output cannot be read. A program that
/// cannot be executed is an [`Output`] with the exit status 127.
pub(crate) fn run(proof: &SingleThreaded, name: &str, args: &[String], env: &[CString]) -> Result<Output> {
    let path = find(Path::new(name)).ok_or_else(|| Error::system("not found in $PATH"))?;
    let texts = std::iter::once(name).chain(args.iter().map(String::as_str)).map(CString::new);
    let args = texts.collect::<std::result::Result<Vec<_>, _>>().map_err(|_| Error::system("a NUL byte"))?;
    let path = CString::new(path.into_os_string().into_vec()).map_err(|_| Error::system("a NUL byte"))?;
    let null = file::open("/dev/null", libc::O_RDONLY)?;
    let errors = memory::memfd("orlop-errors", MemoryFile::Data)?;
    let (reads, writes) = std::io::pipe().io_context(|| "pipe2()".into())?;
    let pid = match process::clone3(proof, &Clone::default())? {
        Cloned::Child => {
            let failure = execute(&path, &args, env, [null.as_fd(), writes.as_fd(), errors.as_fd()]);
            #[expect(clippy::let_underscore_must_use, reason = "the status says that it failed")]
            let _ = file::write_all(&errors, failure.to_string().as_bytes());
            process::exit_now(NOT_EXECUTED)
        }
        Cloned::Parent(pid, _) => pid,
    };
    drop(writes);
    let stdout = file::read_to_end(&reads, MOST_OUTPUT);
    // After a failure the helper must not wait for a reader.
    drop(reads);
    let ended = process::wait(pid)?;
    let mut stderr = vec![0; 4096];
    let length = file::read_at(&errors, &mut stderr, 0)?;
    stderr.truncate(length);
    Ok(Output { ended, stdout: stdout?, stderr })
}

/// Executes a program of the host in a child: with these standard streams, no other descriptor, and
/// the caller's umask and limits. Returns only on failure.
pub(crate) fn execute(path: &CStr, args: &[CString], env: &[CString], streams: [BorrowedFd<'_>; 3]) -> Failure {
    if let Err(failure) = redirect(streams) {
        return failure;
    }
    signal::reset_signals();
    sys::limits::restore();
    sys::credentials::restore_umask();
    process::execute(path, args, env)
}

fn redirect(streams: [BorrowedFd<'_>; 3]) -> sys::Result<()> {
    for (number, stream) in (0..).zip(streams) {
        file::duplicate_to(stream, number, false)?;
    }
    // The caller of `execute` may write its failure to the last one.
    file::close_by_execute(3, &[streams[2].as_raw_fd()])
}
