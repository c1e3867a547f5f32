//! Reports the container's process to the caller.

use crate::error::{Context as _, Error, Kind, Result};
use crate::process::launch::Launched;
use crate::sys::process::{self, Pid};
use crate::sys::{credentials, file};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Writes the pid file and sends the pidfd, as far as the caller or the config asks for them.
pub(super) fn hand_over(
    pidfd_socket: &Option<PathBuf>,
    pid_file: &Option<PathBuf>,
    receiver: Option<&Path>,
    launched: &Launched,
) -> Result<()> {
    if let Some(path) = pidfd_socket {
        super::console::send_fd(path, &launched.pidfd, b"pidfd").context("--pidfd-socket")?;
    }
    if let Some(path) = receiver {
        super::console::send_fd(path, &launched.pidfd, b"pidfd").context("run.oci.pidfd_receiver")?;
    }
    pid_file.as_ref().map_or(Ok(()), |path| write_pid_file(path, launched.pid))
}

/// Writes the pid in decimal without a line break. The file appears complete, by a rename.
///
/// Other users may create files in the directory: the temporary name is random, and must not exist.
fn write_pid_file(path: &Path, pid: Pid) -> Result<()> {
    const CONTEXT: &str = "--pid-file";
    let no_file = || Error::new(Kind::Config, format!("--pid-file {path:?} names no file"));
    let (name, parent) = (path.file_name().ok_or_else(no_file)?, path.parent().ok_or_else(no_file)?);
    let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    let directory = file::open(parent.as_os_str().as_bytes(), libc::O_PATH | libc::O_DIRECTORY).context(CONTEXT)?;
    let hidden = format!(".pid-{:016x}", u64::from_ne_bytes(process::random()?));
    let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW;
    let fd = file::open_at(&directory, &hidden, flags, credentials::callers_mode(0o644)).context(CONTEXT)?;
    let written = file::write_all(fd, pid.to_string().as_bytes());
    let done = written.and_then(|()| file::rename_at(&directory, &hidden, name.as_bytes()));
    done.inspect_err(|_| drop(file::unlink_at(&directory, &hidden, 0))).context(CONTEXT)
}
