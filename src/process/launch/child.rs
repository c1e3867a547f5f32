//! Clones the child into its cgroup, with a copy of the runtime's memory.

use super::LaunchInput;
use crate::cgroups;
use crate::error::{Context, Error, Result};
use crate::process::plan::LaunchPlan;
use crate::process::protocol::{ChildEnd, ParentEnd};
use crate::process::report::Report;
use crate::process::sequence;
use crate::process::stage::{self, Stage};
use crate::rootfs::{Prepared, Trees};
use crate::sys::process::{self, Clone, Cloned, Pid};
use crate::sys::{self, file};
use std::cell::Cell;
use std::os::fd::OwnedFd;

/// Everything that the child is cloned with.
pub(super) struct ChildSpec<'a, 'b> {
    pub(super) plan: &'a LaunchPlan,
    pub(super) input: &'a LaunchInput<'b>,
    pub(super) report: &'a Report,
    pub(super) trees: &'a Cell<Trees>,
    /// The runtime's and the child's end of the socket pair; the child takes its copies.
    pub(super) ends: &'a Cell<Option<(ParentEnd, ChildEnd)>>,
}

/// How the child gets into the cgroup of the unified hierarchy.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unified {
    /// By CLONE_INTO_CGROUP.
    Born,
    /// By a write to `cgroup.procs`.
    Joins,
    /// Not at all.
    Outside,
}

impl ChildSpec<'_, '_> {
    /// Clones the child into `cgroup`. If that fails because the cgroup has reached `pids.max`
    /// (EAGAIN), the child joins by a write, which that limit never refuses.
    pub(super) fn clone_or_join(&self, cgroup: Option<&cgroups::CgroupFds>) -> sys::Result<(Pid, OwnedFd)> {
        let has_unified = cgroup.is_some_and(|fds| fds.clone_into().is_some());
        // A cgroup namespace takes the cgroup of its creation as root.
        let may_join = has_unified && self.plan.recipe.clone & libc::CLONE_NEWCGROUP == 0;
        match self.clone_child(cgroup, Unified::Born) {
            Err(e) if e.is(libc::EAGAIN) && may_join => self.clone_child(cgroup, Unified::Joins),
            born => born,
        }
    }

    /// Clones the child outside of the unified cgroup if that takes no process: it lies below a
    /// threaded cgroup (EOPNOTSUPP), or has controllers enabled for its children (EBUSY). Only on a
    /// hybrid hierarchy, where v1 enforces the limits.
    pub(super) fn clone_outside(&self, failure: sys::Failure) -> sys::Result<(Pid, OwnedFd)> {
        let takes_none = matches!(failure.errno().0, libc::EOPNOTSUPP | libc::EBUSY);
        match self.input.cgroup {
            Some(fds) if takes_none && fds.clone_into().is_some() && fds.has_v1() => {
                self.clone_child(Some(fds), Unified::Outside)
            }
            _ => Err(failure),
        }
    }

    /// Clones the child; returns in the runtime only.
    fn clone_child(&self, cgroup: Option<&cgroups::CgroupFds>, unified: Unified) -> sys::Result<(Pid, OwnedFd)> {
        let into_cgroup = cgroup.and_then(|fds| fds.clone_into()).filter(|_| unified == Unified::Born);
        let how = Clone { flags: self.plan.recipe.clone as u64, into_cgroup };
        match process::clone3(self.input.proof, &how)? {
            Cloned::Parent(pid, pidfd) => Ok((pid, pidfd)),
            Cloned::Child => self.run_child(cgroup, unified == Unified::Joins),
        }
    }

    fn run_child(&self, cgroup: Option<&cgroups::CgroupFds>, joins_unified: bool) -> ! {
        // With a copy of the runtime's end open, the child would never see end of file when the
        // runtime exits.
        let Some((theirs, channel)) = self.ends.take() else { unreachable!("the child takes them once") };
        drop::<ParentEnd>(theirs);
        stage::walk(
            Stage {
                plan: self.plan,
                input: self.input,
                channel,
                report: self.report.file(),
                cgroup,
                joins_unified,
                trees: self.trees.take(),
                built: None,
                terminal: None,
                procfs: None,
            },
            if self.plan.entered.is_some() { sequence::EXEC } else { sequence::CREATE },
        )
    }
}

/// Changes to the root directory, so that the clone's mount namespace has its own copy of that
/// mount as working directory. Returns the former working directory.
pub(super) fn enter_root(prepared: &Prepared) -> Result<OwnedFd> {
    let home = file::open(".", libc::O_PATH | libc::O_DIRECTORY)?;
    sys::fs::change_dir_to(prepared.directory()).context("root.path")?;
    Ok(home)
}

pub(super) fn explain_clone(failure: sys::Failure, is_first: bool) -> Error {
    let errno = failure.errno().0;
    let what = if is_first { "make the container's first process" } else { "make a process to enter the container" };
    let error = Error::from(failure).context(what);
    match errno {
        libc::EPERM if is_first => {
            error.hint("new namespaces need root, or a user namespace in linux.namespaces")
        }
        libc::ENOSPC if is_first => error.hint("a limit of /proc/sys/user/max_*_namespaces is reached"),
        libc::EACCES => error.hint(
            "a process can move itself only within the part of the cgroup tree that is delegated to its user: \
             start from a systemd user scope, such as systemd-run --user --scope",
        ),
        libc::EBUSY => error.hint("the container's cgroup has controllers enabled for cgroups below it"),
        libc::EOPNOTSUPP => error.hint(
            "a cgroup above the container's is threaded, so that this one takes no process (cgroup.type: domain invalid)",
        ),
        libc::EAGAIN => error.hint("a limit of processes is reached (RLIMIT_NPROC or pids.max)"),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clone_that_fails_is_told_as_what_it_was_for() {
        let text = |is_first, errno| {
            explain_clone(sys::Failure::new("clone3(0x1000)", sys::Errno(errno)), is_first).to_string()
        };
        let first = text(true, libc::EPERM);
        assert!(first.starts_with("make the container's first process: clone3(0x1000): "), "{first}");
        assert!(first.contains("new namespaces need root"), "{first}");
        let more = text(false, libc::EPERM);
        assert!(more.starts_with("make a process to enter the container: clone3(0x1000): "), "{more}");
        assert!(!more.contains("namespaces"), "{more}");
        assert!(text(false, libc::EAGAIN).contains("limit of processes"));
    }
}
