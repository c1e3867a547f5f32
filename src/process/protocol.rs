//! What the runtime and its child say to each other.
//!
//! One pair of packet sockets for each launch; a packet is a message, descriptors ride on it. The child says:
//!
//! ```text
//!   child (A, or B after an early fork)            runtime
//!   ---------------------------------------------------------------------------------------------
//!   clone3                                         writes state.json, late limits
//!     UserReady      ids must be mapped      ->    writes uid_map, gid_map
//!                                            <-    Go {id-mapped trees}
//!     Forked {pidfd of B}  A ends            ->    reaps A; B is the child from now on
//!     Scope          with systemd           ->    has a scope made around it
//!                                            <-    Go
//!     Isolated       namespaces stand        ->    moves network devices in
//!                                            <-    Go
//!     Built          rootfs stands           ->    prestart and createRuntime hooks
//!                                            <-    Go
//!     Hooked         createContainer hooks   ->    may set the limit of processes
//!     Warning {text}                         ->    kept for the log
//!     Failed {error} and ends                ->    cleans up, returns the error
//!   executes the init image (src/init/)
//!     C              may not fork (pids.max) ->    moves A out of the cgroup that is full
//!                                            <-    Go
//!     F {pidfd}      forked late             ->    reaps A, moves B where A was
//!                                            <-    Go   (state saved, limits set)
//!     R              all is ready            ->    create returns
//!   waits at the gate, runs startContainer hooks, loads the filter, executes the program
//!     end of file on the socket (run, exec) or on the gate's connection (start): the program runs, or the report page
//!     tells why not
//! ```

use crate::error::{Error, Result};
use crate::sys::{self, socket};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

/// The longest message: an error's text may hold a long path or two.
const LONGEST: usize = 64 << 10;

/// What the child says.
#[derive(Debug)]
pub enum FromChild {
    /// It is in its new user namespace and waits for its ids.
    UserReady,
    /// It has forked; the descriptor is the new child's pidfd.
    Forked(OwnedFd),
    /// The container's cgroup has as many processes as it may have, and the late fork was refused.
    Crowded,
    /// It waits for a scope around it.
    Scope,
    /// It is in all its namespaces and waits for network devices.
    Isolated,
    /// The root filesystem stands, before the pivot.
    Built,
    /// The createContainer hooks have run: it does not fork any more before it is the image.
    Hooked,
    /// Everything is done that can be done before the program.
    Ready,
    /// Something to log when the command succeeds.
    Warning(String),
    /// It has failed and ends.
    Failed(Error),
    /// Nobody has the other end any more.
    End,
}

/// The runtime's end.
#[derive(Debug)]
pub struct ParentEnd(pub OwnedFd);

/// The child's end.
#[derive(Debug)]
pub struct ChildEnd(pub OwnedFd);

/// The two ends of a new exchange.
pub fn pair() -> Result<(ParentEnd, ChildEnd)> {
    let (parent, child) = socket::pair(libc::SOCK_SEQPACKET)?;
    Ok((ParentEnd(parent), ChildEnd(child)))
}

/// The child may end without having read what we had sent. That is said once (ECONNRESET), before what it has said itself.
fn despite_reset<T>(mut receive: impl FnMut() -> sys::Result<T>) -> sys::Result<T> {
    match receive() {
        Err(e) if e.is(libc::ECONNRESET) => receive(),
        other => other,
    }
}

impl ParentEnd {
    /// The child's next message; waits for it.
    pub fn receive(&self) -> Result<FromChild> {
        let mut buffer = match despite_reset(|| socket::next_length(&self.0)) {
            Ok(0) => return Ok(FromChild::End),
            Ok(length) => vec![0u8; length.min(LONGEST)],
            Err(e) if e.is(libc::ECONNRESET) => return Ok(FromChild::End),
            Err(e) => return Err(e.into()),
        };
        // Its end may also come between the two calls.
        let mut packet = despite_reset(|| socket::receive(&self.0, &mut buffer))?;
        let Some((tag, rest)) = buffer[..packet.length].split_first() else { return Ok(FromChild::End) };
        let garbled = || Error::internal(format!("a child process sent a message that cannot be read ({tag})"));
        Ok(match tag {
            b'U' => FromChild::UserReady,
            b'F' => FromChild::Forked(packet.fds.pop().ok_or_else(garbled)?),
            b'C' => FromChild::Crowded,
            b'S' => FromChild::Scope,
            b'I' => FromChild::Isolated,
            b'B' => FromChild::Built,
            b'H' => FromChild::Hooked,
            b'R' => FromChild::Ready,
            b'W' => FromChild::Warning(String::from_utf8_lossy(rest).into_owned()),
            b'E' => FromChild::Failed(Error::decode(rest)),
            _ => return Err(garbled()),
        })
    }

    /// Lets the child go on, with descriptors for it.
    pub fn go(&self, fds: &[OwnedFd]) -> Result<()> {
        let numbers: Vec<_> = fds.iter().map(|fd| fd.as_raw_fd()).collect();
        let mut chunks = numbers.chunks(socket::MOST_FDS).peekable();
        while let Some(chunk) = chunks.next() {
            // `g` says that more descriptors follow.
            let tag = if chunks.peek().is_some() { b"g" } else { b"G" };
            socket::send(&self.0, tag, chunk)?;
        }
        if numbers.is_empty() {
            socket::send(&self.0, b"G", &[])?;
        }
        Ok(())
    }
}

impl ChildEnd {
    /// Says something without waiting for an answer.
    pub fn say(&self, message: &FromChild) -> Result<()> {
        let (tag, text) = match message {
            FromChild::UserReady => (b'U', Vec::new()),
            FromChild::Forked(pidfd) => return Ok(socket::send(&self.0, b"F", &[pidfd.as_raw_fd()])?),
            FromChild::Crowded => (b'C', Vec::new()),
            FromChild::Scope => (b'S', Vec::new()),
            FromChild::Isolated => (b'I', Vec::new()),
            FromChild::Built => (b'B', Vec::new()),
            FromChild::Hooked => (b'H', Vec::new()),
            FromChild::Ready => (b'R', Vec::new()),
            FromChild::Warning(text) => (b'W', text.clone().into_bytes()),
            FromChild::Failed(error) => (b'E', error.encode()),
            FromChild::End => return Ok(()),
        };
        let mut bytes = vec![tag];
        bytes.extend_from_slice(&text[..text.len().min(LONGEST - 1)]);
        Ok(socket::send(&self.0, &bytes, &[])?)
    }

    /// Waits for the runtime's word; the descriptors that came with it.
    ///
    /// # Errors
    /// When the runtime is gone: then there is nothing left to do.
    pub fn wait(&self) -> Result<Vec<OwnedFd>> {
        let mut fds = Vec::new();
        loop {
            let mut tag = [0u8; 8];
            let packet = socket::receive(&self.0, &mut tag)?;
            fds.extend(packet.fds);
            match (packet.length, tag[0]) {
                (1, b'G') => return Ok(fds),
                (1, b'g') => {}
                _ => return Err(Error::internal("the runtime is gone")),
            }
        }
    }
}

impl AsFd for ChildEnd {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_child_said_last_is_heard_whenever_it_ends() {
        for round in 0..200 {
            let (parent, child) = pair().unwrap();
            parent.go(&[]).unwrap();
            child.say(&FromChild::Failed(Error::internal("the last words"))).unwrap();
            let ending = std::thread::spawn(move || drop(child));
            if round % 2 == 0 {
                std::thread::yield_now();
            }
            let heard = parent.receive().unwrap();
            assert!(matches!(&heard, FromChild::Failed(e) if e.to_string().contains("last words")), "{heard:?}");
            ending.join().unwrap();
            assert!(matches!(parent.receive().unwrap(), FromChild::End));
        }
    }
}
