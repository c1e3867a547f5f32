//! File descriptors of a cgroup through which a process joins it.

use crate::error::Result;
use crate::sys::file;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Open file descriptors of a cgroup, one for each hierarchy. They are close-on-exec.
///
/// A write of another process's pid waits for an RCU grace period, 5 to 11 ms in each hierarchy. A
/// process that writes `0` into v1's `tasks` does not wait, since a single thread needs no lock on
/// its thread group; neither does a process that is cloned into a v2 cgroup.
#[derive(Debug, Default)]
pub(crate) struct CgroupFds {
    pub(super) unified: Option<OwnedFd>,
    pub(super) tasks: Vec<OwnedFd>,
    /// The `tasks` file of v1's memory hierarchy, if the limit is too small for the memory of the
    /// launch: the process joins it last, just before it is confined. Memory that it has allocated
    /// before is charged to its former cgroup.
    pub(crate) deferred_memory: Option<OwnedFd>,
    /// Whether the process must wait for the systemd scope around it, see [`super::Cgroup::enter`].
    pub(crate) awaits_scope: bool,
}

impl CgroupFds {
    /// The directory for CLONE_INTO_CGROUP, if there is a unified hierarchy.
    pub(crate) fn clone_into(&self) -> Option<BorrowedFd<'_>> {
        self.unified.as_ref().map(AsFd::as_fd)
    }

    /// Moves the calling process into the unified cgroup, for a child that was not cloned into it:
    /// at the pids limit the kernel refuses a clone into the cgroup, but not a move.
    ///
    /// # Errors
    /// As [`CgroupFds::join_self`].
    pub(crate) fn join_unified(&self) -> Result<()> {
        let Some(directory) = &self.unified else { return Ok(()) };
        let list = file::open_at(directory, b"cgroup.procs", libc::O_WRONLY, 0)?;
        file::write_value(&list, b"0")?;
        Ok(())
    }

    /// Whether there are v1 hierarchies. They have the controllers then.
    pub(crate) fn has_v1(&self) -> bool {
        !self.tasks.is_empty() || self.deferred_memory.is_some()
    }

    /// Moves the calling thread, the only one of its process, into the v1 cgroups, except
    /// [`CgroupFds::deferred_memory`].
    ///
    /// # Errors
    /// A hierarchy refuses the process: EPERM, or ENOSPC for an empty cpuset.
    pub(crate) fn join_self(&self) -> Result<()> {
        for tasks in &self.tasks {
            file::write_value(tasks, b"0")?;
        }
        Ok(())
    }

    /// Makes [`CgroupFds::join_self`] join the memory hierarchy too.
    pub(crate) fn join_all_now(&mut self) {
        self.tasks.extend(self.deferred_memory.take());
    }
}
