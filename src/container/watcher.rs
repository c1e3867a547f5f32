//! The runtime's part in the launch of a new container.

use super::cgroup_setup::frozen;
use super::query::hook_state;
use crate::cgroups::{self, Cgroup};
use crate::error::{Context as _, Error, Result};
use crate::hooks::{self, Hooks, Moment};
use crate::namespaces::{Moved, NetDevices};
use crate::process::keyring::{self, Keyring};
use crate::process::launch::Watch;
use crate::process::plan::LaunchPlan;
use crate::state::{ContainerDir, ProcessId, Record, Status};
use crate::sys::process::{self, Pid, SingleThreaded};
use crate::sys::signal;
use std::os::fd::{AsFd, OwnedFd};

/// The callbacks of a launch for a new container.
pub(super) struct Watcher<'a> {
    pub(super) dir: &'a ContainerDir,
    pub(super) record: &'a mut Record,
    pub(super) cgroup: &'a mut Cgroup,
    pub(super) plan: &'a LaunchPlan,
    pub(super) proof: &'a SingleThreaded,
    pub(super) devices: &'a NetDevices,
    pub(super) moved: &'a mut Moved,
    pub(super) detour: Option<cgroups::Detour>,
}

impl Watch for Watcher<'_> {
    fn born(&mut self, pid: Pid) -> Result<()> {
        self.record.creator = None;
        born(self.dir, self.record, pid)
    }

    fn keyring(&mut self, made: Option<(i32, u32)>) {
        if let (Some((serial, owner)), Keyring::New(name)) = (made, &self.plan.keyring) {
            self.record.session_keyring =
                Some(keyring::CreatedKeyring { name: name.clone(), serial, owner, outside: false });
        }
    }

    fn scope(&mut self, pid: Pid) -> Result<()> {
        let entered = self.cgroup.enter(pid);
        self.cgroup.renew(&mut self.record.cgroup);
        self.dir.save(self.record)?;
        entered
    }

    fn isolated(&mut self, pid: Pid) -> Result<()> {
        *self.moved = self.devices.move_to(pid)?;
        Ok(())
    }

    fn built(&mut self, pid: Pid) -> Result<()> {
        run_runtime_hooks(self.record, &self.plan.hooks, pid, self.proof)
    }

    fn crowded(&mut self, pid: Pid) -> Result<()> {
        self.detour = Some(self.cgroup.detour(pid).context("fork beside the processes of a full cgroup")?);
        Ok(())
    }

    fn confined(&mut self, pid: Pid) -> Result<()> {
        if let Some(detour) = self.detour.take() {
            detour.end(pid)?;
        }
        if self.record.init.is_none_or(|init| init.pid != pid) {
            self.born(pid)?;
        }
        limit(self.record, self.cgroup, pid)
    }

    fn waiting(&mut self) -> Result<()> {
        if self.cgroup.stands_still()? {
            return Err(frozen());
        }
        match signal::pending_end()? {
            Some(signal) => Err(Error::state(format!("ended by signal {signal} while the container is made"))),
            None => Ok(()),
        }
    }

    fn listener(&mut self, pid: Pid, listener: OwnedFd) -> Result<()> {
        super::listener::give(self.plan.filter.as_ref(), self.record, Status::Creating, pid, listener)
    }
}

/// Records the container's first process.
///
/// # Errors
/// Its start time cannot be read, or the container was deleted meanwhile.
pub(super) fn born(dir: &ContainerDir, record: &mut Record, pid: Pid) -> Result<()> {
    record.init = ProcessId::of(pid)?;
    dir.save_born(record).context("the container was deleted meanwhile")
}

/// Runs the prestart and createRuntime hooks.
pub(super) fn run_runtime_hooks(record: &Record, hooks: &Hooks, pid: Pid, proof: &SingleThreaded) -> Result<()> {
    let state = hook_state(record, Status::Creating, pid);
    let init = process::pidfd_open(pid)?;
    for moment in [Moment::Prestart, Moment::CreateRuntime] {
        hooks::run_for(Some(init.as_fd()), proof, moment, hooks.at(moment), &state)?;
    }
    Ok(())
}

/// Sets the limits that must wait until the process is complete.
pub(super) fn limit(record: &Record, cgroup: &Cgroup, pid: Pid) -> Result<()> {
    if let Some(group) = &record.resctrl {
        group.join(pid)?;
    }
    cgroup.apply_late()
}
