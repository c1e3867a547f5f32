//! The runtime's side of a launch: clones the child, answers its messages, and reports the outcome.

mod child;
mod follow;
mod listener;
mod name;

pub(crate) use listener::{fetch_listener, listeners};
pub(crate) use name::{name_of, new_waiting_name, pid_of};

use super::plan::LaunchPlan;
use super::protocol::{self, ChildEnd};
use super::report::Report;
use crate::cgroups;
use crate::error::{Error, Ignore as _, Result};
use crate::hooks::Moment;
use crate::log;
use crate::rootfs::Prepared;
use crate::sys;
use crate::sys::process::{self, Pid, SingleThreaded};
use child::{ChildSpec, enter_root, explain_clone};
use follow::Launch;
use std::cell::Cell;
use std::os::fd::OwnedFd;

/// Callbacks of a launch: the events at which the child waits for the runtime, or goes on beside
/// it.
pub(crate) trait Watch {
    /// The process exists; a late fork may change its pid until [`Watch::confined`].
    fn born(&mut self, _: Pid) -> Result<()> {
        Ok(())
    }
    /// The process has a session keyring of its own, with this serial number and owner; [`Watch::born`] follows.
    fn keyring(&mut self, _: Option<(i32, u32)>) {}
    /// The process waits for systemd to make a scope around it.
    fn scope(&mut self, _: Pid) -> Result<()> {
        Ok(())
    }
    /// The process has entered all its namespaces and waits for its network devices.
    fn isolated(&mut self, _: Pid) -> Result<()> {
        Ok(())
    }
    /// The root filesystem is mounted at its host path in the namespaces of `pid`.
    fn built(&mut self, _: Pid) -> Result<()> {
        Ok(())
    }
    /// The process waits for the last message before the gate or the program; `pid` is final.
    fn confined(&mut self, _: Pid) -> Result<()> {
        Ok(())
    }
    /// The process could not fork, since its cgroup has reached `pids.max`. It tries once more
    /// afterwards.
    fn crowded(&mut self, _: Pid) -> Result<()> {
        Ok(())
    }
    /// The process has sent no message for a while. An error ends the launch.
    fn waiting(&mut self) -> Result<()> {
        Ok(())
    }
    /// Sends the listener of the process's seccomp filter to the seccomp agent.
    fn listener(&mut self, pid: Pid, listener: OwnedFd) -> Result<()>;
}

/// Input of a launch beside the plan: descriptors and callbacks.
pub(crate) struct LaunchInput<'a> {
    /// Proof for `clone3`.
    pub proof: &'a SingleThreaded,
    /// The steps of the child.
    /// The cgroups of the child.
    pub cgroup: Option<&'a cgroups::CgroupFds>,
    /// Opens the cgroup to try if the kernel refuses a process in `cgroup` (EBUSY): the container
    /// has enabled controllers for cgroups below, so only those may hold processes.
    pub fallback_cgroup: Option<&'a dyn Fn() -> Result<cgroups::CgroupFds>>,
    /// Host descriptors for the root filesystem.
    pub prepared: Option<Prepared>,
    /// The socket that receives the terminal's master.
    pub console: Option<OwnedFd>,
    /// The listening gate.
    pub gate: Option<OwnedFd>,
    /// The file to which the reaping init writes the end of the program.
    pub end_file: Option<OwnedFd>,
    /// The container state that hooks of a moment read on standard input, for a pid.
    pub state: &'a dyn Fn(Moment, Pid) -> Vec<u8>,
}

/// A process that waits at the gate, or runs the program.
pub(crate) struct Launched {
    /// Its pid.
    pub pid: Pid,
    /// Its pidfd.
    pub pidfd: OwnedFd,
}

impl Launched {
    /// Kills the process and reaps it.
    pub(crate) fn kill(&self) {
        process::pidfd_send_signal(&self.pidfd, libc::SIGKILL).ignore("it may have ended by itself");
        process::wait(self.pid).ignore("a process that is gone has been reaped");
    }
}

/// Launches the process of `plan`. Returns when the process waits at the gate or, without a gate,
/// runs the program.
///
/// # Errors
/// The first failure of either side; the process is then killed.
pub(crate) fn launch(plan: &LaunchPlan, mut input: LaunchInput<'_>, watch: &mut dyn Watch) -> Result<Launched> {
    log::step("make the process");
    let _raised = plan.raise_limits()?;
    let (parent, child) = protocol::pair()?;
    if plan.forks() {
        sys::socket::pass_credentials(&parent.0)?;
    }
    let report = Report::new()?;
    let home = input.prepared.as_ref().map(enter_root).transpose()?;
    let trees = Cell::new(input.prepared.as_mut().map(Prepared::take_trees).unwrap_or_default());
    let ends = Cell::new(Some((parent, child)));
    let spec = ChildSpec { plan, input: &input, report: &report, trees: &trees, ends: &ends };
    let other;
    let born = match (spec.clone_or_join(input.cgroup), input.fallback_cgroup) {
        (Err(e), Some(fallback_cgroup)) if e.is(libc::EBUSY) => {
            other = fallback_cgroup()?;
            spec.clone_or_join(Some(&other))
        }
        (born, _) => born,
    };
    let born = born.or_else(|failure| spec.clone_outside(failure));
    let (pid, pidfd) = born.map_err(|e| explain_clone(e, plan.entered.is_none()))?;
    let Some((parent, child)) = ends.take() else { unreachable!("the child takes its copies") };
    drop::<ChildEnd>(child);
    let awaits_scope = input.cgroup.is_some_and(|fds| fds.awaits_scope);
    let listeners = if plan.waits_at_gate { 0 } else { listeners(plan.filter.as_ref(), &plan.hooks) };
    let (parent, proof) = (&parent, input.proof);
    let mut launch =
        Launch { plan, proof, parent, report: &report, pid, pidfd, told: false, awaits_scope, warned: 0, listeners };
    let followed = match home {
        Some(home) => sys::fs::change_dir_to(&home).map_err(Error::from).and_then(|()| launch.follow(watch)),
        None => launch.follow(watch),
    };
    if followed.is_err() {
        launch.end();
    }
    followed.map(|()| Launched { pid: launch.pid, pidfd: launch.pidfd })
}
