//! The protocol between the runtime and its child.
//!
//! One pair of SOCK_SEQPACKET sockets for each launch. A packet is a message, with descriptors
//! attached. The child sends:
//!
//! ```text
//!   child (A, or B after an early fork)            runtime
//!   ---------------------------------------------------------------------------------------------
//!   clone3
//!     UserReady      ids must be mapped      ->    writes uid_map, gid_map
//!                                            <-    Go {id-mapped trees}
//!     Keyring {serial, owner}               ->    writes state.json
//!     Forked {pidfd of B}  A ends            ->    reaps A; B is the child from now on
//!                                            <-    Go   to B, which has waited for it
//!     Scope          with systemd           ->    has a scope made around it
//!                                            <-    Go
//!     Isolated       namespaces entered      ->    moves network devices in
//!                                            <-    Go
//!     Procfs         no procfs of the joined pid namespace   ->    has a helper open contexts (procfs.rs)
//!                                            <-    Go {contexts}
//!     Built          rootfs mounted          ->    prestart and createRuntime hooks
//!                                            <-    Go
//!     Hooked         createContainer hooks   ->    may set the limit of processes
//!     Said {level, text}                     ->    kept for the log
//!     Failed {error} and ends                ->    cleans up, returns the error
//!   executes the init stub (src/init/)
//!     C              may not fork (pids.max) ->    moves A out of the cgroup that is full
//!                                            <-    Go
//!     F {pidfd}      forked late             ->    reaps A, moves B where A was
//!                                            <-    Go   (state saved, limits set)
//!     R              all is ready            ->    create returns
//!   waits at the gate, runs startContainer hooks, loads the filter, executes the program
//!     end of file on the socket (run, exec) or on the gate's connection (start): the program runs, or the report page
//!     tells why not
//! ```
//!
//! After a fork two processes have the socket. The kernel names the sender of each packet
//! (SCM_CREDENTIALS). A packet of another process than the expected one, or one that is not due
//! ([`Due`]), ends the launch: processes in a joined pid namespace may trace the stub.

use crate::error::{Error, Result};
use crate::log::{Level, LogRecord};
use crate::namespaces::recipe::Fork;
use crate::sys;
use crate::sys::process::Pid;
use crate::sys::socket::{self, SockType};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

/// The longest message in bytes: an error's text may hold a long path or two.
const LONGEST: usize = 64 << 10;

/// A message of the child.
#[derive(Debug)]
pub(crate) enum FromChild {
    /// It is in its new user namespace and waits for its ids.
    UserReady,
    /// It has forked; the descriptor is the new child's pidfd.
    Forked(OwnedFd),
    /// The container's cgroup has reached `pids.max`, and the late fork was refused.
    Crowded,
    /// It has joined a session keyring of the container's own, with this serial number and owner;
    /// `None` if the kernel has no keyrings.
    Keyring(Option<(i32, u32)>),
    /// It waits for systemd to move it into a scope.
    Scope,
    /// It has entered all its namespaces and waits for network devices.
    Isolated,
    /// It needs a context for each procfs mount of the joined pid namespace.
    Procfs,
    /// The root filesystem is mounted; the pivot is still to come.
    Built,
    /// The createContainer hooks have run: it forks no more before it executes the stub.
    Hooked,
    /// It is ready: only startContainer hooks, the filter and the program remain.
    Ready,
    /// A record for the log.
    Said(LogRecord),
    /// It has failed and exits.
    Failed(Error),
    /// End of file: no process has the other end open.
    End,
}

/// The messages that are still due; each of them comes once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Due {
    /// [`FromChild::UserReady`].
    pub ids: bool,
    /// [`FromChild::Forked`], by an early or a late fork.
    pub fork: Fork,
    /// [`FromChild::Keyring`].
    pub keyring: bool,
    /// [`FromChild::Scope`].
    pub scope: bool,
    /// [`FromChild::Isolated`].
    pub devices: bool,
    /// [`FromChild::Procfs`], unless the kernel makes it unnecessary.
    pub procfs: bool,
    /// [`FromChild::Built`].
    pub hooks: bool,
    /// [`FromChild::Hooked`]: before it, `pids.max` could refuse the hooks their processes.
    pub inner_hooks: bool,
    /// [`FromChild::Crowded`], if it has to fork.
    pub crowded: bool,
    /// [`FromChild::Ready`].
    pub ready: bool,
    /// Whether the stub has forked late: the sender is now visible to the processes of the pid
    /// namespace.
    pub seen_by_others: bool,
}

impl Due {
    /// Whether the runtime still has to act for the child.
    pub(crate) fn anything(&self) -> bool {
        let made = self.ids || self.keyring || self.scope || self.devices;
        made || self.hooks || self.inner_hooks || self.fork != Fork::None
    }

    /// Whether `message` is due; it is not due again afterwards. `is_child`: the sender is the
    /// process that the runtime follows.
    pub(crate) fn take(&mut self, message: &FromChild, is_child: bool) -> bool {
        if matches!(message, FromChild::End) {
            return true;
        }
        // The child of an early fork sends nothing before the runtime knows it.
        let before_fork = matches!(self.fork, Fork::Early(_));
        let may_come = match message {
            FromChild::Ready => std::mem::take(&mut self.ready) && !self.anything(),
            _ if self.seen_by_others => false,
            FromChild::UserReady => std::mem::take(&mut self.ids),
            FromChild::Forked(_) => {
                self.seen_by_others = self.fork == Fork::Late;
                std::mem::take(&mut self.fork) != Fork::None
            }
            FromChild::Keyring(_) => std::mem::take(&mut self.keyring) && !before_fork,
            FromChild::Scope => std::mem::take(&mut self.scope) && !before_fork,
            FromChild::Isolated => std::mem::take(&mut self.devices) && !before_fork,
            FromChild::Procfs => std::mem::take(&mut self.procfs) && !before_fork,
            FromChild::Built => std::mem::take(&mut self.hooks) && !before_fork,
            FromChild::Hooked => std::mem::take(&mut self.inner_hooks) && !before_fork,
            FromChild::Crowded => std::mem::take(&mut self.crowded) && self.fork != Fork::None,
            FromChild::Said(_) | FromChild::Failed(_) | FromChild::End => true,
        };
        may_come && is_child
    }
}

/// The runtime's end.
#[derive(Debug)]
pub(crate) struct ParentEnd(pub OwnedFd);

/// The child's end.
#[derive(Debug)]
pub(crate) struct ChildEnd(pub OwnedFd);

/// A new pair of connected ends.
pub(crate) fn pair() -> Result<(ParentEnd, ChildEnd)> {
    let (parent, child) = socket::pair(SockType::SeqPacket)?;
    Ok((ParentEnd(parent), ChildEnd(child)))
}

/// Receives past ECONNRESET. The kernel reports it once, before the child's last messages, if the
/// child exits without having read all messages.
fn despite_reset<T>(mut receive: impl FnMut() -> sys::Result<T>) -> sys::Result<T> {
    match receive() {
        Err(e) if e.is(libc::ECONNRESET) => receive(),
        other => other,
    }
}

fn keyring_bytes(made: Option<(i32, u32)>) -> Vec<u8> {
    made.map_or_else(Vec::new, |(serial, owner)| [serial.to_ne_bytes(), owner.to_ne_bytes()].concat())
}

fn keyring(bytes: &[u8]) -> Option<Option<(i32, u32)>> {
    if bytes.is_empty() {
        return Some(None);
    }
    let (serial, owner) = bytes.split_first_chunk::<4>()?;
    Some(Some((i32::from_ne_bytes(*serial), u32::from_ne_bytes(owner.try_into().ok()?))))
}

impl ParentEnd {
    /// Waits for the child's next message.
    pub(crate) fn receive(&self) -> Result<FromChild> {
        self.receive_from().map(|(_, message)| message)
    }

    /// Waits for the next message; also returns the sender if the socket passes credentials.
    pub(crate) fn receive_from(&self) -> Result<(Option<Pid>, FromChild)> {
        let mut buffer = match despite_reset(|| socket::next_length(&self.0)) {
            Ok(0) => return Ok((None, FromChild::End)),
            Ok(length) => vec![0u8; length.min(LONGEST)],
            Err(e) if e.is(libc::ECONNRESET) => return Ok((None, FromChild::End)),
            Err(e) => return Err(e.into()),
        };
        // The child may also exit between the two calls.
        let mut packet = despite_reset(|| socket::receive(&self.0, &mut buffer))?;
        let Some((tag, rest)) = buffer[..packet.length].split_first() else { return Ok((None, FromChild::End)) };
        let garbled = || Error::internal(format!("a child process sent a message that cannot be read ({tag})"));
        let message = match tag {
            b'U' => FromChild::UserReady,
            b'F' => FromChild::Forked(packet.fds.pop().ok_or_else(garbled)?),
            b'C' => FromChild::Crowded,
            b'K' => FromChild::Keyring(keyring(rest).ok_or_else(garbled)?),
            b'S' => FromChild::Scope,
            b'I' => FromChild::Isolated,
            b'P' => FromChild::Procfs,
            b'B' => FromChild::Built,
            b'H' => FromChild::Hooked,
            b'R' => FromChild::Ready,
            b'W' => FromChild::Said(record(Level::Warning, rest)),
            b'D' => FromChild::Said(record(Level::Debug, rest)),
            b'E' => FromChild::Failed(Error::decode(rest)),
            _ => return Err(garbled()),
        };
        Ok((packet.sender, message))
    }

    /// Lets the child go on, with descriptors for it.
    pub(crate) fn go(&self, fds: &[OwnedFd]) -> Result<()> {
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
    /// Sends a message without waiting for an answer.
    pub(crate) fn send(&self, message: &FromChild) -> Result<()> {
        let (tag, text) = match message {
            FromChild::UserReady => (b'U', Vec::new()),
            FromChild::Forked(pidfd) => return Ok(socket::send(&self.0, b"F", &[pidfd.as_raw_fd()])?),
            FromChild::Crowded => (b'C', Vec::new()),
            FromChild::Keyring(made) => (b'K', keyring_bytes(*made)),
            FromChild::Scope => (b'S', Vec::new()),
            FromChild::Isolated => (b'I', Vec::new()),
            FromChild::Procfs => (b'P', Vec::new()),
            FromChild::Built => (b'B', Vec::new()),
            FromChild::Hooked => (b'H', Vec::new()),
            FromChild::Ready => (b'R', Vec::new()),
            FromChild::Said(record) => {
                let tag = if record.level == Level::Debug { b'D' } else { b'W' };
                (tag, record.text.clone().into_bytes())
            }
            FromChild::Failed(error) => (b'E', error.encode()),
            FromChild::End => return Ok(()),
        };
        let mut bytes = vec![tag];
        bytes.extend_from_slice(&text[..text.len().min(LONGEST - 1)]);
        Ok(socket::send(&self.0, &bytes, &[])?)
    }

    /// Waits for the runtime's answer; returns the descriptors attached to it.
    ///
    /// # Errors
    /// The runtime has exited: there is nothing left to do.
    pub(crate) fn wait(&self) -> Result<Vec<OwnedFd>> {
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

fn record(level: Level, text: &[u8]) -> LogRecord {
    LogRecord { level, text: String::from_utf8_lossy(text).into_owned() }
}

impl AsFd for ChildEnd {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(any(test, fuzzing))]
#[path = "../../integration/fuzz/targets/protocol.rs"]
pub(crate) mod fuzz;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_child_says_keeps_its_level() {
        let (parent, child) = pair().unwrap();
        for level in [Level::Warning, Level::Debug] {
            let said = LogRecord { level, text: "a step".into() };
            child.send(&FromChild::Said(said.clone())).unwrap();
            assert!(matches!(parent.receive().unwrap(), FromChild::Said(heard) if heard == said), "{level:?}");
        }
    }

    #[test]
    fn what_a_child_said_last_is_heard_whenever_it_ends() {
        for round in 0..200 {
            let (parent, child) = pair().unwrap();
            parent.go(&[]).unwrap();
            child.send(&FromChild::Failed(Error::internal("the last words"))).unwrap();
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

    /// Every message; the numbers name them below.
    fn messages() -> Vec<FromChild> {
        let pidfd = || std::fs::File::open("/dev/null").unwrap().into();
        vec![
            FromChild::UserReady,
            FromChild::Forked(pidfd()),
            FromChild::Scope,
            FromChild::Isolated,
            FromChild::Procfs,
            FromChild::Built,
            FromChild::Hooked,
            FromChild::Crowded,
            FromChild::Ready,
            FromChild::Said(record(Level::Warning, b"w")),
            FromChild::Failed(Error::internal("f")),
            FromChild::End,
            FromChild::Keyring(None),
        ]
    }
    const IDS: usize = 0;
    const FORKED: usize = 1;
    const SCOPE: usize = 2;
    const DEVICES: usize = 3;
    const PROCFS: usize = 4;
    const HOOKS: usize = 5;
    const HOOKED: usize = 6;
    const CROWDED: usize = 7;
    const READY: usize = 8;
    const WARNING: usize = 9;
    const FAILED: usize = 10;
    const END: usize = 11;
    const KEYRING: usize = 12;

    fn everything(fork: Fork) -> Due {
        let (ids, scope, devices, procfs, hooks, ready) = (true, true, true, true, true, true);
        let (inner_hooks, keyring, crowded, seen_by_others) = (true, true, fork != Fork::None, false);
        Due { ids, fork, keyring, scope, devices, procfs, hooks, inner_hooks, crowded, ready, seen_by_others }
    }

    /// Which messages may come after `said` ones of the child.
    fn due_after(fork: Fork, said: &[usize], is_child: bool) -> Vec<usize> {
        let all = messages();
        let mut due = everything(fork);
        for message in said {
            assert!(due.take(&all[*message], true), "{message} after {said:?}");
        }
        (0..all.len()).filter(|n| due.clone().take(&all[*n], is_child)).collect()
    }

    #[test]
    fn before_an_early_fork_nothing_is_taken_that_is_the_second_processs() {
        let early = Fork::Early(0);
        assert_eq!(due_after(early, &[], true), [IDS, FORKED, CROWDED, WARNING, FAILED, END]);
        assert_eq!(due_after(early, &[IDS], true), [FORKED, CROWDED, WARNING, FAILED, END]);
        assert_eq!(due_after(early, &[IDS, CROWDED], true), [FORKED, WARNING, FAILED, END]);
        let second = [SCOPE, DEVICES, PROCFS, HOOKS, HOOKED, WARNING, FAILED, END, KEYRING];
        assert_eq!(due_after(early, &[IDS, FORKED], true), second);
        let all = [IDS, FORKED, KEYRING, SCOPE, DEVICES, PROCFS, HOOKS, HOOKED];
        assert_eq!(due_after(early, &all, true), [READY, WARNING, FAILED, END]);
    }

    #[test]
    fn after_a_late_fork_nothing_but_readiness_is_taken() {
        let first = [IDS, FORKED, SCOPE, DEVICES, PROCFS, HOOKS, HOOKED, CROWDED, WARNING, FAILED, END, KEYRING];
        assert_eq!(due_after(Fork::Late, &[], true), first);
        let all = [IDS, KEYRING, SCOPE, DEVICES, PROCFS, HOOKS, HOOKED];
        assert_eq!(due_after(Fork::Late, &all, true), [FORKED, CROWDED, WARNING, FAILED, END]);
        assert_eq!(
            due_after(Fork::Late, &[IDS, KEYRING, SCOPE, DEVICES, PROCFS, HOOKS, HOOKED, FORKED], true),
            [READY, END]
        );
        let ready = [IDS, KEYRING, SCOPE, DEVICES, PROCFS, HOOKS, HOOKED, FORKED, READY];
        assert_eq!(due_after(Fork::Late, &ready, true), [END]);
    }

    #[test]
    fn what_another_process_sends_is_taken_in_no_state() {
        let orders: [&[usize]; 4] = [&[], &[IDS], &[IDS, FORKED], &[IDS, FORKED, SCOPE, DEVICES]];
        for fork in [Fork::Early(0), Fork::Late] {
            for said in orders.into_iter().filter(|said| fork != Fork::Late || said.len() < 4) {
                assert_eq!(due_after(fork, said, false), [END], "{fork:?} {said:?}");
            }
        }
    }

    #[test]
    fn without_a_fork_each_message_is_taken_once() {
        let all = [IDS, KEYRING, SCOPE, DEVICES, PROCFS, HOOKS, HOOKED];
        for n in 0..all.len() {
            assert!(!due_after(Fork::None, &all[..=n], true).contains(&all[n]));
        }
        assert_eq!(due_after(Fork::None, &all, true), [READY, WARNING, FAILED, END]);
    }

    #[test]
    fn the_sender_of_a_message_is_known() {
        let (parent, child) = pair().unwrap();
        socket::pass_credentials(&parent.0).unwrap();
        child.send(&FromChild::Scope).unwrap();
        let (sender, message) = parent.receive_from().unwrap();
        assert!(matches!(message, FromChild::Scope));
        assert_eq!(sender, Some(std::process::id() as Pid));
    }
}
