//! A process that a record names.

use crate::error::Result;
use crate::json::readable;
use crate::sys::file;
use crate::sys::process::{self, Pid};
use serde::Serialize;
use std::os::fd::OwnedFd;

/// A process: its pid, and the time of its start in clock ticks since boot, without which a pid means nothing later.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct ProcessId {
    /// In the pid namespace of the runtime.
    pub pid: Pid,
    /// Field 22 of /proc/PID/stat.
    pub start: u64,
}

readable! { ProcessId { pid = "pid", start = "start" } }

/// What /proc/PID/stat says.
pub(crate) struct Stat {
    /// The name, `comm`.
    pub name: String,
    /// Whether it has ended.
    pub dead: bool,
    /// When it was started, in clock ticks since boot.
    pub start: u64,
}

/// What is known of the process that has this pid now.
pub(crate) fn look_at(pid: Pid) -> Option<Stat> {
    stat_of(pid)
}

pub(super) fn stat_of(pid: Pid) -> Option<Stat> {
    // What opening needs of the stack is given back before reading needs it: each page of a stack is a fault.
    #[inline(never)]
    fn open(pid: Pid) -> Option<OwnedFd> {
        file::open(format!("/proc/{pid}/stat"), libc::O_RDONLY).ok()
    }
    read_stat(open(pid)?)
}

#[inline(never)]
fn read_stat(fd: OwnedFd) -> Option<Stat> {
    let mut buffer = [0u8; 1024];
    let length = file::read(fd, &mut buffer).ok()?;
    let text = &buffer[..length];
    let (open, close) = (text.iter().position(|b| *b == b'(')?, text.iter().rposition(|b| *b == b')')?);
    let mut fields = text.get(close + 2..)?.split(|b| *b == b' ');
    let dead = matches!(fields.next()?, b"Z" | b"X" | b"x");
    // The state is field 3, the start time field 22.
    let start = std::str::from_utf8(fields.nth(18)?).ok()?.parse().ok()?;
    Some(Stat { name: String::from_utf8_lossy(&text[open + 1..close]).into_owned(), dead, start })
}

impl ProcessId {
    /// The process that has this pid now.
    pub(crate) fn of(pid: Pid) -> Option<ProcessId> {
        stat_of(pid).map(|stat| ProcessId { pid, start: stat.start })
    }

    /// Whether it is still there and not a zombie.
    pub(crate) fn lives(self) -> bool {
        stat_of(self.pid).is_some_and(|stat| stat.start == self.start && !stat.dead)
    }

    /// Whether it is about to be gone, or is gone: it is exiting, or SIGKILL waits for it.
    pub(crate) fn is_ending(self) -> bool {
        const SIGKILL_BIT: u64 = 1 << (libc::SIGKILL - 1);
        /// PF_EXITING and PF_SIGNALED of the kernel.
        const LEAVING: u32 = 0x4 | 0x400;
        let text = |name: &str| {
            let fd = file::open(format!("/proc/{}/{name}", self.pid), libc::O_RDONLY).ok()?;
            Some(String::from_utf8_lossy(&file::read_to_end(fd, 1 << 16).ok()?).into_owned())
        };
        // What waits first: a signal that is taken between the two looks has left its mark for the second.
        let pending = text("status").is_some_and(|status| {
            let sets = status.lines().filter_map(|line| line.strip_prefix("SigPnd:").or(line.strip_prefix("ShdPnd:")));
            sets.filter_map(|set| u64::from_str_radix(set.trim(), 16).ok()).any(|set| set & SIGKILL_BIT != 0)
        });
        let flags = text("stat").and_then(|stat| stat.rsplit_once(") ")?.1.split(' ').nth(6)?.parse::<u32>().ok());
        pending || flags.is_some_and(|flags| flags & LEAVING != 0) || !self.lives()
    }

    /// A descriptor of this very process; None if it has ended.
    pub(crate) fn open(self) -> Result<Option<OwnedFd>> {
        let pidfd = self.open_number()?;
        // The descriptor was opened before the look: if the start time agrees now, it did then.
        Ok(pidfd.filter(|_| self.lives()))
    }

    /// A descriptor of the process that has this pid now.
    pub(super) fn open_number(self) -> Result<Option<OwnedFd>> {
        match process::pidfd_open(self.pid) {
            Err(e) if e.is(libc::ESRCH) || e.is(libc::EINVAL) => Ok(None),
            other => Ok(Some(other?)),
        }
    }
}

/// Whether a killed process has given up its memory, files and namespaces, so that nothing but its number is left: the first
/// process of a pid namespace keeps that until every other one has been waited for, and those that `exec` brought in have
/// a parent outside, which may take its time.
pub(crate) fn has_left(pid: Pid) -> bool {
    std::fs::read_link(format!("/proc/{pid}/ns/mnt")).is_err_and(|e| e.raw_os_error() == Some(libc::ENOENT))
}
