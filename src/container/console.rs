//! The receiver of the terminal's master.

use crate::error::{Context, Error, Kind, Result};
use crate::sys::socket::{self, SockFlag, SockType};
use crate::sys::terminal::Size;
use crate::sys::{file, process};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The receiver of the master; whether there is a terminal is not known yet.
pub(super) enum Give {
    /// The listener of this socket.
    To(PathBuf),
    /// This process, which shows the terminal.
    Ours,
    /// None: a detached container without a console socket must have no terminal.
    Nowhere,
}

const NOT_ALLOWED: &str = "cannot use console socket if runc will not detach or allocate tty";

impl Give {
    /// For `create`, and for a command that does not wait for the program.
    pub(super) fn detached(socket: &Option<PathBuf>) -> Give {
        match socket {
            Some(path) => Give::To(std::path::absolute(path).unwrap_or_else(|_| path.clone())),
            None => Give::Nowhere,
        }
    }

    /// For a command that waits for the program.
    ///
    /// # Errors
    /// There is a console socket.
    pub(super) fn foreground(socket: &Option<PathBuf>) -> Result<Give> {
        if socket.is_some() { Err(Error::new(Kind::Config, NOT_ALLOWED)) } else { Ok(Give::Ours) }
    }

    /// The size of the caller's terminal, if it shows the container's.
    pub(super) fn size(&self) -> Option<Size> {
        matches!(self, Give::Ours).then(super::terminal::own_size)
    }

    /// The socket for the child and, if this process shows the terminal, the other end of it.
    ///
    /// # Errors
    /// A terminal without a receiver, or a receiver without a terminal; in runc's words.
    pub(super) fn check(self, has_terminal: bool) -> Result<(Option<OwnedFd>, Option<OwnedFd>)> {
        let problem = |text: &str, hint: &'static str| Err(Error::new(Kind::Config, text).hint(hint));
        match (self, has_terminal) {
            (Give::Nowhere, true) => problem(
                "cannot allocate tty if runc will detach without setting console socket",
                "process.terminal is true: set it to false, pass --console-socket, or stay in the foreground (`run`)",
            ),
            (Give::To(_), false) => {
                problem(NOT_ALLOWED, "process.terminal is false: set it to true, or leave --console-socket out")
            }
            (Give::To(path), true) => {
                let hint = "a program that receives the terminal must listen on this socket";
                let connected = connect(&path).map_err(|error| error.context("--console-socket").hint(hint))?;
                Ok((Some(connected), None))
            }
            (Give::Ours, true) => {
                let (ours, theirs) = socket::pair(SockType::Stream)?;
                Ok((Some(theirs), Some(ours)))
            }
            (Give::Ours | Give::Nowhere, false) => Ok((None, None)),
        }
    }
}

/// Connects to a stream socket; its path may be longer than `sun_path`.
fn connect(path: &Path) -> Result<OwnedFd> {
    let connection = socket::unix(SockType::Stream, SockFlag::empty())?;
    let bytes = path.as_os_str().as_bytes();
    if bytes.len() < 108 {
        socket::connect(&connection, bytes)?;
        return Ok(connection);
    }
    let target = file::open(bytes, libc::O_PATH)?;
    socket::connect(&connection, format!("/proc/self/fd/{}", target.as_raw_fd()))?;
    Ok(connection)
}

/// Sends a descriptor to the listener of a socket.
pub(super) fn send_fd(path: &Path, fd: &OwnedFd, text: &[u8]) -> Result<()> {
    Ok(socket::send(connect(path)?, text, &[fd.as_raw_fd()])?)
}

/// Receives the terminal's master, if the container has a terminal: the child has sent it before
/// its program runs.
pub(super) fn master(socket: &OwnedFd) -> Result<Option<OwnedFd>> {
    let [ready] = process::poll([(Some(socket.as_fd()), libc::POLLIN)], 0)?;
    if ready == 0 {
        return Ok(None);
    }
    let mut name = [0u8; 64];
    Ok(socket::receive(socket, &mut name).context("receive the container's terminal")?.fds.pop())
}
