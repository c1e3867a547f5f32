//! What is done with a cgroup that has processes: looked at, signalled, frozen, changed, and removed in the end.

use super::cgroup::Cgroup;
use super::hierarchy_cgroup::is_gone;
use super::limits::Limits;
use super::oom::OomEvents;
use super::stats::{self, Stats};
use super::systemd::Unit;
use super::{freezer, kill, remove, update};
use crate::error::{Context, Ignore as _, Result};

impl Cgroup {
    /// The processes in it and in the cgroups within it; none when it is gone.
    ///
    /// # Errors
    /// The list cannot be read.
    pub(crate) fn processes(&self) -> Result<Vec<i32>> {
        let Some(cgroup) = freezer::cgroup(&self.cgroups).or(self.cgroups.first()) else { return Ok(Vec::new()) };
        match kill::processes(&cgroup.directory()) {
            Err(e) if is_gone(&e) => Ok(Vec::new()),
            done => done,
        }
    }

    /// Whether there is a directory of it.
    pub(crate) fn exists(&self) -> bool {
        self.cgroups.iter().any(super::hierarchy_cgroup::HierarchyCgroup::exists)
    }

    /// Sends every process in it a signal, also to those born meanwhile.
    ///
    /// # Errors
    /// The container has no cgroup, or a signal is refused.
    pub(crate) fn kill_all(&self, signal: i32) -> Result<()> {
        kill::signal_all(&self.cgroups, signal)
    }

    /// Freezes it, and waits until every task stands still.
    ///
    /// # Errors
    /// It does not freeze within ten seconds (then it is thawed again), or is gone, or there is no freezer.
    pub(crate) fn freeze(&self) -> Result<()> {
        freezer::freeze(&self.cgroups)
    }

    /// Thaws it.
    ///
    /// # Errors
    /// The freezer refuses, or is gone.
    pub(crate) fn thaw(&self) -> Result<()> {
        freezer::thaw(&self.cgroups)
    }

    /// Thaws it and the cgroups in it, so that processes that are killed can end. A cgroup above it stays as it is.
    ///
    /// # Errors
    /// A cgroup cannot be looked at.
    pub(crate) fn thaw_all(&self) -> Result<()> {
        freezer::thaw_all(&self.cgroups)
    }

    /// Refuses what would freeze or kill the runtime itself, which was moved into the cgroup.
    ///
    /// # Errors
    /// This process is in it.
    pub(crate) fn refuse_own(&self) -> Result<()> {
        let Some(directory) = self.freezer() else { return Ok(()) };
        kill::refuse_own(&self.processes()?, &directory)
    }

    /// Tells why killed processes do not end, where a v1 cgroup above the container's is frozen.
    ///
    /// # Errors
    /// There is such a cgroup.
    pub(crate) fn refuse_frozen_above(&self) -> Result<()> {
        freezer::frozen_above(&self.cgroups).map_or(Ok(()), |above| Err(freezer::cannot_end(&above)))
    }

    /// Whether it is frozen; a cgroup that is gone is not.
    ///
    /// # Errors
    /// The freezer's state cannot be read.
    pub(crate) fn frozen(&self) -> Result<bool> {
        or_gone(freezer::frozen(&self.cgroups))
    }

    /// Whether what enters it stands still, since it is frozen or a cgroup above it is; a cgroup that is gone is not.
    ///
    /// # Errors
    /// As [`Cgroup::frozen`].
    pub(crate) fn stands_still(&self) -> Result<bool> {
        or_gone(freezer::stands_still(&self.cgroups))
    }

    /// Removes it, the cgroups within it and the parents made for it; kills what is still in it.
    ///
    /// # Errors
    /// A directory that the kernel does not let go within ten seconds.
    pub(crate) fn remove(&self) -> Result<()> {
        if self.unit.is_some() {
            // systemd asks first, and waits for a minute and a half for those that do not listen.
            kill::signal_all(&self.cgroups, libc::SIGKILL).ignore("systemd kills those that are left, only later");
        }
        let stopped = self.unit.as_ref().map_or(Ok(()), Unit::stop);
        let removed = remove::all(&self.cgroups).context("remove the cgroup");
        stopped.and(removed)
    }

    /// Applies new limits to a cgroup in use: all, or none when one is refused.
    ///
    /// # Errors
    /// The first value that cannot be applied, with its field.
    pub(crate) fn update(&self, limits: &Limits) -> Result<()> {
        update::update(&self.cgroups, self.unit.as_ref(), &update::complete(&self.cgroups, limits))
    }

    /// What is used in it.
    pub(crate) fn stats(&self) -> Stats {
        stats::read(&self.cgroups)
    }

    /// Begins to watch for the end of its memory.
    ///
    /// # Errors
    /// There is no memory controller, or the cgroup is gone.
    pub(crate) fn oom_events(&self) -> Result<OomEvents> {
        OomEvents::watch(&self.cgroups)
    }
}

pub(super) fn or_gone(frozen: Result<bool>) -> Result<bool> {
    match frozen {
        Err(e) if is_gone(&e) => Ok(false),
        done => done,
    }
}
