//! Being told when a container runs out of memory.

use super::hierarchy_cgroup::HierarchyCgroup;
use crate::error::{Error, Ignore as _, Result};
use crate::sys::{cgroup::eventfd, file};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// A watch on a cgroup's memory; drop it to end the watch.
#[derive(Debug)]
pub(crate) struct OomEvents {
    cgroup: HierarchyCgroup,
    /// v1: the counter that the kernel adds to. v2: `memory.events`, which can be polled for changes.
    fd: OwnedFd,
    /// v1: kept open, as the event belongs to it.
    _control: Option<OwnedFd>,
    /// v2: how many processes have been killed.
    killed: u64,
}

/// What a wait has brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Oom {
    /// Memory ran out.
    Happened,
    /// Nothing (new) has happened.
    Quiet,
    /// The cgroup is gone, and no more will come.
    Gone,
}

impl OomEvents {
    /// # Errors
    /// There is no memory controller, or the cgroup is gone.
    pub(super) fn watch(cgroups: &[HierarchyCgroup]) -> Result<OomEvents> {
        let cgroup = super::apply::cgroup_of(cgroups, "memory")
            .ok_or_else(|| Error::system("there is no memory controller that could tell of the end of memory"))?
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

    /// The descriptor, and the events of `poll(2)` to wait for on it, before [`OomEvents::look`].
    pub(crate) fn pollable(&self) -> (BorrowedFd<'_>, i16) {
        (self.fd.as_fd(), if self.cgroup.is_unified() { libc::POLLPRI } else { libc::POLLIN })
    }

    /// What has happened, after the descriptor became ready.
    ///
    /// # Errors
    /// The counter cannot be read.
    pub(crate) fn look(&mut self) -> Result<Oom> {
        if self.cgroup.is_unified() {
            // Reading the polled descriptor arms it again; its offset stays at the end.
            file::read(&self.fd, &mut [0; 512]).ignore("the count is read from the file below");
            let Ok(now) = killed(&self.cgroup) else { return Ok(Oom::Gone) };
            let before = std::mem::replace(&mut self.killed, now);
            return Ok(if now > before { Oom::Happened } else { Oom::Quiet });
        }
        file::read(&self.fd, &mut [0; 8])?;
        // The kernel also counts when the cgroup is removed.
        Ok(if self.cgroup.exists() { Oom::Happened } else { Oom::Gone })
    }
}

fn killed(cgroup: &HierarchyCgroup) -> Result<u64> {
    let text = cgroup.read("memory.events")?;
    let count = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
    Ok(count.and_then(|n| n.parse().ok()).unwrap_or(0))
}
