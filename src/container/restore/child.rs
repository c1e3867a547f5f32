//! Helper processes of a restore: one reports its keyring, one holds a cgroup.

use crate::error::{Error, Ignore as _, Result};
use crate::process::keyring;
use crate::sys::process::{self, Clone, Cloned, Pid, SingleThreaded};
use crate::sys::socket::{self, SockType};
use crate::sys::{file, signal};
use std::os::fd::{AsFd, OwnedFd};

/// The pipe by which the process that becomes CRIU reports the session keyring that it created.
pub(super) struct KeyringPipe {
    ours: OwnedFd,
    theirs: OwnedFd,
}

impl KeyringPipe {
    pub(super) fn new() -> Result<KeyringPipe> {
        let (ours, theirs) = socket::pair(SockType::SeqPacket)?;
        Ok(KeyringPipe { ours, theirs })
    }

    pub(super) fn tell(&self, made: Option<keyring::CreatedKeyring>) -> Result<()> {
        let Some(made) = made else { return Ok(()) };
        let text = serde_json::to_vec(&made).map_err(|e| Error::internal(e.to_string()))?;
        Ok(socket::send(&self.theirs, &text, &[])?)
    }

    /// The keyring reported so far.
    pub(super) fn made(&self) -> Result<Option<keyring::CreatedKeyring>> {
        let mut text = [0; 512];
        let [there] = process::poll([(Some(self.ours.as_fd()), libc::POLLIN)], 0)?;
        if there == 0 {
            return Ok(None);
        }
        let length = socket::receive(&self.ours, &mut text)?.length;
        let made = crate::json::document(&text[..length]);
        made.map(Some).map_err(|_| Error::internal("a child process told of a keyring that cannot be read"))
    }
}

/// A process that only occupies a cgroup.
pub(super) struct Holder {
    pub(super) pid: Pid,
    /// The process exits when this is closed.
    _pipe: OwnedFd,
}

impl Holder {
    pub(super) fn new(proof: &SingleThreaded) -> Result<Holder> {
        let (ours, theirs) = socket::pair(SockType::Stream)?;
        match process::clone3(proof, &Clone::default())? {
            Cloned::Parent(pid, _) => Ok(Holder { pid, _pipe: ours }),
            Cloned::Child => {
                drop(ours);
                file::read(&theirs, &mut [0]).ignore("the end of the pipe is the end of the process");
                process::exit_now(0)
            }
        }
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        signal::kill(self.pid, libc::SIGKILL).ignore("it may have ended by itself");
        process::wait(self.pid).ignore("a process that is gone has been reaped");
    }
}
