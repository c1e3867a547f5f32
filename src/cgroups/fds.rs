//! How a process gets into the container's cgroup.

use crate::error::Result;
use crate::sys::file;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Open ways into a cgroup, one for each hierarchy. They are close-on-exec.
///
/// Moving another process by its pid waits for an RCU grace period, 5 to 11 ms for each hierarchy. A process that moves
/// itself by writing `0` into v1's `tasks` does not wait, since a single thread needs no lock on its thread group; nor
/// does one that is cloned into a v2 cgroup.
#[derive(Debug, Default)]
pub(crate) struct CgroupFds {
    pub(super) unified: Option<OwnedFd>,
    pub(super) tasks: Vec<OwnedFd>,
    /// v1's memory hierarchy, where the limit is so small that little more than the program may be counted.
    pub(super) deferred_memory: Option<OwnedFd>,
    pub(super) scope: bool,
}

impl CgroupFds {
    /// The directory for CLONE_INTO_CGROUP, where there is a unified hierarchy.
    pub(crate) fn clone_into(&self) -> Option<BorrowedFd<'_>> {
        self.unified.as_ref().map(AsFd::as_fd)
    }

    /// Moves the calling process into the unified cgroup, for a child that was not born there: joining a cgroup that has as many
    /// processes as it may have is not refused, being born in it is.
    ///
    /// # Errors
    /// As [`CgroupFds::join_self`].
    pub(crate) fn join_unified(&self) -> Result<()> {
        let Some(directory) = &self.unified else { return Ok(()) };
        let list = file::open_at(directory, b"cgroup.procs", libc::O_WRONLY, 0)?;
        file::write_value(&list, b"0")?;
        Ok(())
    }

    /// Whether there are v1 hierarchies, which have the controllers then.
    pub(crate) fn has_v1(&self) -> bool {
        !self.tasks.is_empty() || self.deferred_memory.is_some()
    }

    /// Whether the process is to wait until systemd has made a scope around it, see [`super::Cgroup::enter`].
    pub(crate) fn awaits_scope(&self) -> bool {
        self.scope
    }

    /// The `tasks` files of the v1 hierarchies, for a child that cannot call [`CgroupFds::join_self`].
    pub(crate) fn tasks(&self) -> &[OwnedFd] {
        &self.tasks
    }

    /// Moves the calling thread, which must be the only one of its process, into the v1 cgroups, but for [`CgroupFds::last`].
    ///
    /// # Errors
    /// A hierarchy that refuses: EPERM, or ENOSPC where a cpuset is empty.
    pub(crate) fn join_self(&self) -> Result<()> {
        for tasks in &self.tasks {
            file::write_value(tasks, b"0")?;
        }
        Ok(())
    }

    /// The way into a cgroup that the process is to join as the last thing before it is confined: what it has allocated until
    /// then is counted where it came from.
    pub(crate) fn deferred_memory(&self) -> Option<&OwnedFd> {
        self.deferred_memory.as_ref()
    }

    /// Has all of them joined by [`CgroupFds::join_self`].
    pub(crate) fn join_all_now(&mut self) {
        self.tasks.extend(self.deferred_memory.take());
    }
}
