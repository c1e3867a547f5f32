//! Identity of a process in a record.

use crate::error::Result;
use crate::json::readable;
use crate::sys::process::{self, Pid};
use crate::sys::{self, file};
use serde::Serialize;
use std::os::fd::OwnedFd;

/// A process: its pid, and its start time in clock ticks since boot, since a pid alone may be
/// reused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct ProcessId {
    /// The pid in the runtime's pid namespace.
    pub pid: Pid,
    /// Field 22 of /proc/PID/stat.
    pub start: u64,
}

readable! { ProcessId { pid = "pid", start = "start" } }

/// Fields of /proc/PID/stat.
pub(crate) struct Stat {
    /// The name, `comm`.
    pub name: String,
    /// Whether it is dead or a zombie.
    pub dead: bool,
    /// The start time in clock ticks since boot.
    pub start: u64,
}

/// The fields of the process that has this pid now; `None` if there is none.
///
/// # Errors
/// Its file cannot be read, so nothing is known of the process.
pub(crate) fn look_at(pid: Pid) -> Result<Option<Stat>> {
    // A function of its own, so that its stack frame is gone before the read: each stack page is a
    // page fault.
    #[inline(never)]
    fn open(pid: Pid) -> sys::Result<OwnedFd> {
        file::open(format!("/proc/{pid}/stat"), libc::O_RDONLY)
    }
    match open(pid).and_then(read_stat) {
        Err(e) if e.is(libc::ENOENT) || e.is(libc::ESRCH) => Ok(None),
        other => Ok(other?),
    }
}

#[inline(never)]
fn read_stat(fd: OwnedFd) -> sys::Result<Option<Stat>> {
    let mut buffer = [0u8; 1024];
    let length = file::read(fd, &mut buffer)?;
    Ok(fields(&buffer[..length]))
}

pub(super) fn fields(text: &[u8]) -> Option<Stat> {
    let (open, close) = (text.iter().position(|b| *b == b'(')?, text.iter().rposition(|b| *b == b')')?);
    let mut fields = text.get(close + 2..)?.split(|b| *b == b' ');
    let dead = matches!(fields.next()?, b"Z" | b"X" | b"x");
    // The state is field 3, the start time field 22.
    let start = std::str::from_utf8(fields.nth(18)?).ok()?.parse().ok()?;
    Some(Stat { name: String::from_utf8_lossy(text.get(open + 1..close)?).into_owned(), dead, start })
}

impl ProcessId {
    /// The process that has this pid now.
    pub(crate) fn of(pid: Pid) -> Result<Option<ProcessId>> {
        Ok(look_at(pid)?.map(|stat| ProcessId { pid, start: stat.start }))
    }

    fn is(self, seen: &Stat) -> bool {
        seen.start == self.start && !seen.dead
    }

    /// Whether it exists and is not a zombie. A process of which nothing can be learnt counts as
    /// living: it is not forgotten.
    pub(crate) fn lives(self) -> bool {
        look_at(self.pid).map_or(true, |seen| seen.is_some_and(|seen| self.is(&seen)))
    }

    /// Whether it has exited, is exiting, or has a pending SIGKILL.
    pub(crate) fn is_ending(self) -> bool {
        const SIGKILL_BIT: u64 = 1 << (libc::SIGKILL - 1);
        /// PF_EXITING and PF_SIGNALED of the kernel.
        const LEAVING: u32 = 0x4 | 0x400;
        let text = |name: &str| {
            let fd = file::open(format!("/proc/{}/{name}", self.pid), libc::O_RDONLY).ok()?;
            Some(String::from_utf8_lossy(&file::read_to_end(fd, 1 << 16).ok()?).into_owned())
        };
        // Pending signals are read first: a signal delivered between the two reads has set its flag
        // for the second.
        let pending = text("status").is_some_and(|status| {
            let sets = status.lines().filter_map(|line| line.strip_prefix("SigPnd:").or(line.strip_prefix("ShdPnd:")));
            sets.filter_map(|set| u64::from_str_radix(set.trim(), 16).ok()).any(|set| set & SIGKILL_BIT != 0)
        });
        let flags = text("stat").and_then(|stat| stat.rsplit_once(") ")?.1.split(' ').nth(6)?.parse::<u32>().ok());
        pending || flags.is_some_and(|flags| flags & LEAVING != 0) || !self.lives()
    }

    /// A pidfd of this process; `None` if it has exited.
    pub(crate) fn open(self) -> Result<Option<OwnedFd>> {
        let Some(pidfd) = self.open_number()? else { return Ok(None) };
        // The pidfd was opened before this check: if the start time matches now, it matched then.
        Ok(look_at(self.pid)?.filter(|seen| self.is(seen)).map(|_| pidfd))
    }

    /// A pidfd of the process that has this pid now.
    pub(super) fn open_number(self) -> Result<Option<OwnedFd>> {
        match process::pidfd_open(self.pid) {
            Err(e) if e.is(libc::ESRCH) || e.is(libc::EINVAL) => Ok(None),
            other => Ok(Some(other?)),
        }
    }
}

/// Whether a killed process has released its memory, files and namespaces, so that only its pid is
/// left. The first process of a pid namespace stays in that state until every other one is reaped,
/// and the parents of those that `exec` brought in are outside and may be slow.
pub(crate) fn has_left(pid: Pid) -> bool {
    std::fs::read_link(format!("/proc/{pid}/ns/mnt")).is_err_and(|e| e.raw_os_error() == Some(libc::ENOENT))
}
