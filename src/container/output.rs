//! Standard output, written without waiting for its reader.
//!
//! O_NONBLOCK belongs to the open file description, which this process shares with its caller: a
//! shell would find its terminal changed. So a terminal or a pipe is opened again. A file that
//! cannot be opened again is written in small pieces, each after `poll(2)` reports space.

use crate::sys::{Result, file, fs, socket, terminal};
use std::os::fd::OwnedFd;

/// The way standard output is written.
pub(super) enum Output {
    /// Through a non-blocking open file of this process.
    Own(OwnedFd),
    /// A socket, written with MSG_DONTWAIT.
    Socket,
    /// Through the caller's open file, at most this many bytes at once.
    Pieces(usize),
}

impl Output {
    /// Determines the kind of standard output.
    pub(super) fn new() -> Output {
        let stdout = std::io::stdout();
        let Ok(stat) = fs::stat(&stdout) else { return Output::Pieces(1) };
        // The master of a terminal cannot be opened again: that would create a new terminal.
        let is_terminal =
            stat.kind() == libc::S_IFCHR && terminal::is_terminal(&stdout) && stat.rdev != fs::device_number(5, 2);
        match stat.kind() {
            libc::S_IFSOCK => Output::Socket,
            libc::S_IFIFO => open_again().map_or(Output::Pieces(libc::PIPE_BUF), Output::Own),
            _ if is_terminal => open_again().map_or(Output::Pieces(1), Output::Own),
            libc::S_IFCHR if terminal::is_terminal(&stdout) => Output::Pieces(1),
            // A write to a regular file waits for no reader.
            _ => Output::Pieces(usize::MAX),
        }
    }

    /// Writes as many bytes as possible.
    pub(super) fn write(&self, bytes: &[u8]) -> Result<usize> {
        match self {
            Output::Own(own) => file::write(own, bytes),
            Output::Socket => socket::send_some(std::io::stdout(), bytes),
            Output::Pieces(most) => file::write(std::io::stdout(), &bytes[..bytes.len().min(*most)]),
        }
    }
}

/// Fails without /proc, for a terminal of another user, or for a pipe without a reader.
fn open_again() -> Option<OwnedFd> {
    file::open("/proc/self/fd/1", libc::O_WRONLY | libc::O_NONBLOCK | libc::O_NOCTTY).ok()
}
