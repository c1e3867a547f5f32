//! The foreground of `run` and `exec`: passes signals on, shows the terminal, returns the exit
//! status.
//!
//! Neither a slow reader of the caller's terminal nor a program that does not read its own blocks
//! this process: signals and the program's exit are still handled.

use super::notify::NotifyProxy;
use super::output::Output;
use crate::error::{Ignore as _, Result};
use crate::process::launch::Launched;
use crate::sys::process::{self, Ended};
use crate::sys::terminal::{self, Modes, Size};
use crate::sys::{self, file, signal};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

/// The size of the buffer in either direction, in bytes.
const HELD: usize = 8192;
/// The time after the program has ended in which some of its last output must be read; the rest is then dropped.
const UNREAD_TIMEOUT: Duration = Duration::from_secs(3);
/// The most output that a terminal can hold, in bytes: if more arrives, another process still
/// writes.
const MOST_LEFT: usize = 128 << 10;

/// The container's terminal, shown on the caller's.
pub(super) struct Relay {
    master: OwnedFd,
    output: Output,
    restore: Option<Modes>,
    /// From standard input to the master.
    inward: Pipe,
    /// From the master to standard output.
    outward: Pipe,
}

/// Bytes that are read and not yet written.
#[derive(Default)]
struct Pipe {
    held: Vec<u8>,
    ended: bool,
}

impl Relay {
    /// Takes the master; the caller's terminal is in raw mode until the relay is dropped.
    pub(super) fn new(master: OwnedFd) -> Result<Relay> {
        file::set_nonblocking(&master, true)?;
        let output = Output::new();
        let stdin = std::io::stdin();
        let mut restore = None;
        if terminal::is_terminal(&stdin) {
            let modes = terminal::modes(&stdin)?;
            terminal::set_modes(&stdin, &modes.raw())?;
            restore = Some(modes);
        }
        Ok(Relay { master, output, restore, inward: Pipe::default(), outward: Pipe::default() })
    }

    /// Gives the container's terminal the size of the caller's.
    fn resize(&self) {
        let size = own_size();
        if size != Size::default() {
            terminal::set_size(&self.master, size).ignore("a wrong size disturbs only the picture");
        }
    }

    /// Moves bytes as far as the events of `poll(2)` allow.
    fn move_bytes(&mut self, stdin: i16, master: i16, stdout: i16) {
        const READABLE: i16 = libc::POLLIN | libc::POLLHUP | libc::POLLERR;
        if stdin & READABLE != 0 {
            self.inward.fill(std::io::stdin().as_fd());
            if self.inward.ended && self.inward.held.is_empty() && self.restore.is_none() {
                // End of file of a piped input becomes Ctrl-D.
                self.inward.held.push(4);
            }
        }
        if master & READABLE != 0 && self.outward.held.is_empty() {
            self.outward.fill(self.master.as_fd());
        }
        if master & libc::POLLOUT != 0 {
            self.inward.drain(|bytes| file::write(&self.master, bytes));
        }
        if stdout & (libc::POLLOUT | libc::POLLERR) != 0 {
            self.outward.drain(|bytes| self.output.write(bytes));
        }
    }

    fn wants(&self) -> (i16, i16, i16) {
        let on = |condition: bool, events: i16| if condition { events } else { 0 };
        let stdin = on(!self.inward.ended && self.inward.held.is_empty(), libc::POLLIN);
        let master = on(!self.outward.ended && self.outward.held.is_empty(), libc::POLLIN)
            | on(!self.inward.held.is_empty(), libc::POLLOUT);
        (stdin, master, on(!self.outward.held.is_empty(), libc::POLLOUT))
    }

    /// Shows the output that the container wrote before it exited, until its reader stalls or a
    /// signal arrives.
    fn finish(&mut self, signals: &OwnedFd) -> Result<()> {
        let mut left = MOST_LEFT;
        while left > 0 {
            if self.outward.held.is_empty() {
                let [ready] = process::poll([(Some(self.master.as_fd()), libc::POLLIN)], 0)?;
                if self.outward.ended || ready & libc::POLLIN == 0 {
                    break;
                }
                self.outward.fill(self.master.as_fd());
                left = left.saturating_sub(self.outward.held.len());
                continue;
            }
            let stdout = std::io::stdout();
            let fds = [(Some(stdout.as_fd()), libc::POLLOUT), (Some(signals.as_fd()), libc::POLLIN)];
            let [writable, signalled] = process::poll(fds, UNREAD_TIMEOUT.as_millis() as i32)?;
            if signalled != 0 && asks_to_end(signals)? || (writable, signalled) == (0, 0) {
                break;
            }
            if writable != 0 {
                self.outward.drain(|bytes| self.output.write(bytes));
            }
        }
        Ok(())
    }
}

/// Reads the pending signals; returns whether one of them asks to end: the program has exited, so
/// it is for this process.
fn asks_to_end(signals: &OwnedFd) -> Result<bool> {
    let mut asks = false;
    while let Some(signal) = signal::next_signal(signals)? {
        asks |= ![libc::SIGCHLD, libc::SIGWINCH, libc::SIGPIPE, libc::SIGURG, libc::SIGCONT].contains(&signal);
    }
    Ok(asks)
}

impl Drop for Relay {
    fn drop(&mut self) {
        if let Some(modes) = &self.restore {
            terminal::set_modes(std::io::stdin(), modes).ignore("the terminal may be gone");
        }
    }
}

impl Pipe {
    fn fill(&mut self, from: BorrowedFd<'_>) {
        let mut buffer = [0u8; HELD];
        match file::read(from, &mut buffer) {
            Ok(0) => self.ended = true,
            Ok(n) => self.held.extend_from_slice(&buffer[..n]),
            Err(e) if e.is(libc::EAGAIN) => {}
            // EIO from a master: no process has the slave open.
            Err(_) => self.ended = true,
        }
    }

    fn drain(&mut self, write: impl FnOnce(&[u8]) -> sys::Result<usize>) {
        if self.held.is_empty() {
            return;
        }
        match write(&self.held) {
            Ok(n) => drop(self.held.drain(..n)),
            Err(e) if e.is(libc::EAGAIN) => {}
            Err(e) => {
                if !e.is(libc::EPIPE) {
                    crate::log::warning(format!("output of the program is lost: {e}"));
                }
                self.held.clear();
            }
        }
    }
}

/// The size of the caller's terminal, all zeroes without one.
pub(super) fn own_size() -> Size {
    let (stdin, stdout) = (std::io::stdin(), std::io::stdout());
    [stdin.as_fd(), stdout.as_fd()].into_iter().find_map(|ours| terminal::size(ours).ok()).unwrap_or_default()
}

/// Serves the process until it exits, and returns its status. Passes on READY=1 for `notify`
/// meanwhile.
pub(super) fn serve(
    launched: &Launched,
    signals: &OwnedFd,
    mut relay: Option<Relay>,
    mut notify: Option<NotifyProxy>,
) -> Result<Ended> {
    loop {
        let (stdin, stdout) = (std::io::stdin(), std::io::stdout());
        let wants = relay.as_ref().map_or((0, 0, 0), Relay::wants);
        let master = relay.as_ref().map(|relay| relay.master.as_fd()).filter(|_| wants.1 != 0);
        let ready = process::poll(
            [
                (Some(signals.as_fd()), libc::POLLIN),
                (Some(launched.pidfd.as_fd()), libc::POLLIN),
                (Some(stdin.as_fd()).filter(|_| wants.0 != 0), wants.0),
                (master, wants.1),
                (Some(stdout.as_fd()).filter(|_| wants.2 != 0), wants.2),
                (notify.as_ref().map(AsFd::as_fd), libc::POLLIN),
            ],
            -1,
        )?;
        if ready[0] != 0 {
            forward(launched, signals, relay.as_ref())?;
        }
        if let Some(relay) = &mut relay {
            relay.move_bytes(ready[2], ready[3], ready[4]);
        }
        if ready[5] != 0 && notify.as_ref().is_none_or(NotifyProxy::pass_on_if_ready) {
            notify = None;
        }
        if ready[1] != 0 {
            let ended = process::wait(launched.pid)?;
            if let Some(relay) = &mut relay {
                relay.finish(signals)?;
            }
            while process::reap_any().is_some() {}
            return Ok(ended);
        }
    }
}

/// Handles pending signals: reaps children on SIGCHLD, resizes the terminal on SIGWINCH, passes the
/// others to the container.
fn forward(launched: &Launched, signals: &OwnedFd, relay: Option<&Relay>) -> Result<()> {
    while let Some(signal) = signal::next_signal(signals)? {
        match signal {
            libc::SIGCHLD => reap_others(launched),
            libc::SIGWINCH if relay.is_some() => relay.into_iter().for_each(Relay::resize),
            libc::SIGPIPE | libc::SIGURG => {}
            signal => _ = process::signal_if_alive(&launched.pidfd, signal)?,
        }
    }
    Ok(())
}

/// Reaps orphans that came to this subreaper, but not the container's own process, which is waited
/// for by its pidfd.
fn reap_others(launched: &Launched) {
    while let Some(pid) = process::ended_child() {
        if pid == launched.pid || process::wait(pid).is_err() {
            return;
        }
    }
}
