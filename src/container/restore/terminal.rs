//! The receiver of a restored container's terminal.

use crate::error::{Context as _, Error, Result};
use crate::log;
use crate::sys::socket;
use std::os::fd::{AsRawFd, OwnedFd};

/// The receiver of the terminal's master.
pub(super) enum Terminal {
    Ours,
    To(OwnedFd),
    /// The config has no terminal, and there is no receiver.
    None,
}

/// Sends the terminal's master on, or keeps it.
///
/// # Errors
/// A terminal without a receiver: its program would get SIGHUP.
pub(super) fn give(master: Option<OwnedFd>, terminal: &Terminal) -> Result<Option<OwnedFd>> {
    match (master, terminal) {
        (None, Terminal::To(_)) => {
            log::warning("the images hold no terminal, so the console socket gets none");
            Ok(None)
        }
        (None, _) => Ok(None),
        (master, Terminal::Ours) => Ok(master),
        (Some(master), Terminal::To(console)) => {
            let sent = socket::send(console, b"/dev/ptmx", &[master.as_raw_fd()]);
            sent.context("send the terminal to the console socket").map(|()| None)
        }
        (Some(_), Terminal::None) => {
            Err(Error::config("process.terminal", "is not set, and the images hold a terminal"))
        }
    }
}
