//! Standard output, written without ever waiting for whoever reads it.
//!
//! O_NONBLOCK belongs to an open file, which this process shares with its caller: a shell would find its terminal changed. So
//! a terminal or a pipe is opened once more. What cannot be opened again is written in pieces that fit wherever `poll(2)` says
//! that something does.

use crate::sys::{Result, file, fs, socket, terminal};
use std::os::fd::OwnedFd;

/// How standard output is written.
pub(super) enum Output {
    /// Through an open file of our own, which does not wait.
    Own(OwnedFd),
    /// A socket, where each call can say that it does not wait.
    Socket,
    /// As it is, at most so many bytes at once.
    Pieces(usize),
}

impl Output {
    /// Finds out what standard output is.
    pub(super) fn new() -> Output {
        let stdout = std::io::stdout();
        let Ok(stat) = fs::stat(&stdout) else { return Output::Pieces(1) };
        // The other side of a terminal cannot be opened again: that would make a new terminal.
        let is_terminal =
            stat.kind() == libc::S_IFCHR && terminal::is_terminal(&stdout) && stat.rdev != fs::device_number(5, 2);
        match stat.kind() {
            libc::S_IFSOCK => Output::Socket,
            libc::S_IFIFO => open_again().map_or(Output::Pieces(libc::PIPE_BUF), Output::Own),
            _ if is_terminal => open_again().map_or(Output::Pieces(1), Output::Own),
            libc::S_IFCHR if terminal::is_terminal(&stdout) => Output::Pieces(1),
            // Nobody has to read a file.
            _ => Output::Pieces(usize::MAX),
        }
    }

    /// Writes what goes.
    pub(super) fn write(&self, bytes: &[u8]) -> Result<usize> {
        match self {
            Output::Own(own) => file::write(own, bytes),
            Output::Socket => socket::send_some(std::io::stdout(), bytes),
            Output::Pieces(most) => file::write(std::io::stdout(), &bytes[..bytes.len().min(*most)]),
        }
    }
}

/// Fails where there is no /proc, the terminal is another user's, or nobody reads the pipe.
fn open_again() -> Option<OwnedFd> {
    file::open("/proc/self/fd/1", libc::O_WRONLY | libc::O_NONBLOCK | libc::O_NOCTTY).ok()
}
