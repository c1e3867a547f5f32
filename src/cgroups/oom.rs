//! Notification of out-of-memory events.

use super::hierarchy_cgroup::HierarchyCgroup;
use crate::error::{Error, Ignore as _, Result};
use crate::sys::{cgroup::eventfd, file};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// A watch on a cgroup's memory. It ends when it is dropped.
#[derive(Debug)]
pub(crate) struct OomEvents {
    cgroup: HierarchyCgroup,
    /// v1: the eventfd. v2: `memory.events`, which can be polled for changes.
    fd: OwnedFd,
    /// v1: kept open, because the registration of the eventfd belongs to it.
    _control: Option<OwnedFd>,
    /// v2: the number of processes killed so far.
    killed: u64,
}

/// The result of a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Oom {
    /// The cgroup ran out of memory.
    Happened,
    /// No new event.
    Quiet,
    /// The cgroup is gone. There will be no more events.
    Gone,
}

impl OomEvents {
    /// # Errors
    /// There is no memory controller, or the cgroup is gone.
    pub(super) fn watch(cgroups: &[HierarchyCgroup]) -> Result<OomEvents> {
        let cgroup = super::apply::cgroup_of(cgroups, "memory")
            .ok_or_else(|| Error::system("there is no memory controller, so there are no out-of-memory events"))?
            .clone();
        if cgroup.is_unified() {
            let fd = file::open(cgroup.file("memory.events"), libc::O_RDONLY)?;
            let killed = killed(&cgroup)?;
            return Ok(OomEvents { cgroup, fd, _control: None, killed });
        }
        let counter = eventfd()?;
        let control = file::open(cgroup.file("memory.oom_control"), libc::O_RDONLY)?;
        let request = format!("{} {}", counter.as_raw_fd(), control.as_raw_fd());
        cgroup.write("cgroup.event_control", &request)?;
        Ok(OomEvents { cgroup, fd: counter, _control: Some(control), killed: 0 })
    }

    /// The file descriptor and the poll(2) events to wait for, before [`OomEvents::look`].
    pub(crate) fn pollable(&self) -> (BorrowedFd<'_>, i16) {
        (self.fd.as_fd(), if self.cgroup.is_unified() { libc::POLLPRI } else { libc::POLLIN })
    }

    /// Reads the event after the file descriptor became ready.
    ///
    /// # Errors
    /// The counter cannot be read.
    pub(crate) fn look(&mut self) -> Result<Oom> {
        if self.cgroup.is_unified() {
            // A read of the polled descriptor arms it again. Its offset stays at the end.
            file::read(&self.fd, &mut [0; 512]).ignore("the count is read from the file below");
            let Ok(now) = killed(&self.cgroup) else { return Ok(Oom::Gone) };
            let before = std::mem::replace(&mut self.killed, now);
            return Ok(if now > before { Oom::Happened } else { Oom::Quiet });
        }
        file::read(&self.fd, &mut [0; 8])?;
        // The kernel also signals the eventfd when the cgroup is removed.
        Ok(if self.cgroup.exists() { Oom::Happened } else { Oom::Gone })
    }
}

/// The kills of the OOM killer in a cgroup, with the limit and the most that was used, in bytes.
#[derive(Debug)]
pub(crate) struct OomKills {
    pub(crate) count: u64,
    pub(crate) limit: Option<u64>,
    pub(crate) peak: Option<u64>,
}

/// Those of a cgroup; `None` where they cannot be read.
pub(super) fn kills(cgroups: &[HierarchyCgroup]) -> Option<OomKills> {
    const UNLIMITED: u64 = 1 << 62;
    let count = count(cgroups)?;
    if count == 0 {
        return Some(OomKills { count, limit: None, peak: None });
    }
    let cgroup = super::apply::cgroup_of(cgroups, "memory")?;
    let [limit, peak] = match cgroup.is_unified() {
        true => ["memory.max", "memory.peak"],
        false => ["memory.limit_in_bytes", "memory.max_usage_in_bytes"],
    };
    let value = |file| read_once(cgroup, file).and_then(|text| text.trim().parse().ok());
    Some(OomKills { count, limit: value(limit).filter(|limit| *limit < UNLIMITED), peak: value(peak) })
}

/// The number of kills; `None` where it cannot be read.
pub(super) fn count(cgroups: &[HierarchyCgroup]) -> Option<u64> {
    let cgroup = super::apply::cgroup_of(cgroups, "memory")?;
    let events = read_once(cgroup, if cgroup.is_unified() { "memory.events" } else { "memory.oom_control" })?;
    events.lines().find_map(|line| line.strip_prefix("oom_kill ")).and_then(|count| count.trim().parse().ok())
}

/// Reads a file that is shorter than one read.
fn read_once(cgroup: &HierarchyCgroup, name: &str) -> Option<String> {
    let mut text = [0; 512];
    let length = file::read(file::open(cgroup.file(name), libc::O_RDONLY).ok()?, &mut text).ok()?;
    Some(String::from_utf8_lossy(text.get(..length)?).into_owned())
}

fn killed(cgroup: &HierarchyCgroup) -> Result<u64> {
    let text = cgroup.read("memory.events")?;
    let count = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
    Ok(count.and_then(|n| n.parse().ok()).unwrap_or(0))
}
