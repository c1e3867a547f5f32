//! Operations on a cgroup in use: list, signal, freeze, update, remove.

use super::cgroup::Cgroup;
use super::hierarchy_cgroup::unless_gone;
use super::limits::Limits;
use super::oom::{self, OomEvents, OomKills};
use super::stats::{self, Stats};
use super::systemd::Unit;
use super::{freezer, kill, remove, update};
use crate::error::{Context, Ignore as _, Result};

impl Cgroup {
    /// The processes of the cgroup and of its nested cgroups. Empty if the cgroup is gone.
    ///
    /// # Errors
    /// The list cannot be read.
    pub(crate) fn processes(&self) -> Result<Vec<i32>> {
        let Some(cgroup) = freezer::cgroup(&self.cgroups).or(self.cgroups.first()) else { return Ok(Vec::new()) };
        unless_gone(kill::processes(&cgroup.directory()))
    }

    /// Whether its directory exists in at least one hierarchy.
    pub(crate) fn exists(&self) -> bool {
        self.cgroups.iter().any(super::hierarchy_cgroup::HierarchyCgroup::exists)
    }

    /// Sends a signal to every process of the cgroup, including processes that are forked
    /// meanwhile.
    ///
    /// # Errors
    /// The container has no cgroup, or a signal is refused.
    pub(crate) fn kill_all(&self, signal: i32) -> Result<()> {
        kill::signal_all(&self.cgroups, signal)
    }

    /// Freezes the cgroup and waits until every task is frozen.
    ///
    /// # Errors
    /// The cgroup does not freeze within ten seconds (it is thawed again), it is gone, or there is
    /// no freezer.
    pub(crate) fn freeze(&self) -> Result<()> {
        freezer::freeze(&self.cgroups)
    }

    /// Thaws the cgroup.
    ///
    /// # Errors
    /// The freezer refuses, or is gone.
    pub(crate) fn thaw(&self) -> Result<()> {
        freezer::thaw(&self.cgroups)
    }

    /// Thaws the cgroup and its nested cgroups, so that killed processes can exit. Cgroups above it
    /// are not changed.
    ///
    /// # Errors
    /// A cgroup cannot be read.
    pub(crate) fn thaw_all(&self) -> Result<()> {
        freezer::thaw_all(&self.cgroups)
    }

    /// Refuses an operation that would freeze or kill the runtime itself, because it was moved into
    /// the cgroup.
    ///
    /// # Errors
    /// This process is in the cgroup.
    pub(crate) fn refuse_own(&self) -> Result<()> {
        let Some(directory) = self.freezer() else { return Ok(()) };
        kill::refuse_own(&self.processes()?, &directory)
    }

    /// Reports a frozen v1 cgroup above the container's, which keeps killed processes from exiting.
    ///
    /// # Errors
    /// There is such a cgroup.
    pub(crate) fn refuse_frozen_above(&self) -> Result<()> {
        freezer::frozen_above(&self.cgroups).map_or(Ok(()), |above| Err(freezer::cannot_end(&above)))
    }

    /// Whether the cgroup is frozen. False if it is gone.
    ///
    /// # Errors
    /// The freezer's state cannot be read.
    pub(crate) fn frozen(&self) -> Result<bool> {
        unless_gone(freezer::frozen(&self.cgroups))
    }

    /// Whether processes that join the cgroup are frozen, by the cgroup itself or by one above it.
    /// False if it is gone.
    ///
    /// # Errors
    /// As [`Cgroup::frozen`].
    pub(crate) fn stands_still(&self) -> Result<bool> {
        unless_gone(freezer::stands_still(&self.cgroups))
    }

    /// Kills the remaining processes, and removes the cgroup, its nested cgroups and the parents
    /// that were created for it.
    ///
    /// # Errors
    /// No directory could be removed for ten seconds.
    pub(crate) fn remove(&self) -> Result<()> {
        if self.unit.is_some() {
            // systemd would send SIGTERM first, and wait 90 s for processes that ignore it.
            kill::signal_all(&self.cgroups, libc::SIGKILL).ignore("systemd kills the remaining processes later");
        }
        let stopped = self.unit.as_ref().map_or(Ok(()), Unit::stop);
        let removed = remove::all(&self.cgroups).context("remove the cgroup");
        stopped.and(removed)
    }

    /// Applies new limits to a cgroup in use: all of them, or none if one is refused.
    ///
    /// # Errors
    /// The first value that cannot be applied, with its field.
    pub(crate) fn update(&self, limits: &Limits) -> Result<()> {
        update::update(&self.cgroups, self.unit.as_ref(), &update::complete(&self.cgroups, limits))
    }

    /// The counters of the cgroup.
    pub(crate) fn stats(&self) -> Stats {
        stats::read(&self.cgroups)
    }

    /// The kills of the OOM killer since it was made; `None` where they cannot be read.
    pub(crate) fn oom_kills(&self) -> Option<OomKills> {
        oom::kills(&self.cgroups)
    }

    /// The number of kills of the OOM killer since it was made; `None` where it cannot be read.
    pub(crate) fn oom_kill_count(&self) -> Option<u64> {
        oom::count(&self.cgroups)
    }

    /// Whether [`Cgroup::create`] made all of it.
    pub(crate) fn is_new(&self) -> bool {
        !self.existed
    }

    /// Starts to watch for out-of-memory events.
    ///
    /// # Errors
    /// There is no memory controller, or the cgroup is gone.
    pub(crate) fn oom_events(&self) -> Result<OomEvents> {
        OomEvents::watch(&self.cgroups)
    }
}
