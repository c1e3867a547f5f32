//! `start` of a container that runc or crun created: their init waits at a fifo, runc's to write a
//! byte, crun's to read one.

use crate::error::{Error, Result};
use crate::state::{ContainerDir, FIFO, Foreign};
use crate::sys::process;
use crate::sys::{file, fs};
use std::os::fd::{AsFd, OwnedFd};

/// Lets the program run, and removes the fifo, as its own runtime does it.
///
/// # Errors
/// The init process exits first.
pub(super) fn open_fifo(dir: &ContainerDir, foreign: &Foreign, pidfd: &OwnedFd) -> Result<()> {
    let is_read_by_init = foreign.runtime == "crun";
    let fifo = match dir.open_file(FIFO, if is_read_by_init { libc::O_WRONLY } else { libc::O_RDONLY }) {
        // No process reads it.
        Err(e) if e.errno() == libc::ENXIO => return Err(super::start::stopped()),
        other => other?,
    };
    if fs::stat(&fifo)?.kind() != libc::S_IFIFO {
        return Err(Error::system(format!("{FIFO} is no fifo")));
    }
    if is_read_by_init {
        file::write_all(fifo, b"0")?;
        return dir.remove_file(FIFO);
    }
    // A fifo without a writer is readable only once one has come.
    let [written, ended] =
        process::poll([(Some(fifo.as_fd()), libc::POLLIN), (Some(pidfd.as_fd()), libc::POLLIN)], -1)?;
    if written & libc::POLLIN == 0 && ended != 0 {
        return Err(super::start::stopped());
    }
    file::read(&fifo, &mut [0u8; 1])?;
    dir.remove_file(FIFO)
}
