//! A container's cgroup in all hierarchies: creation, joining and limits.

use super::cgroups_path::CgroupsPath;
use super::devices::Rule;
use super::fds::CgroupFds;
use super::hierarchy_cgroup::HierarchyCgroup;
use super::layout::{Layout, Mode};
use super::plan::CgroupPlan;
use super::record::CgroupRecord;
use super::scope::{self, PendingScope};
use super::systemd::Unit;
use super::write::{Moment, Write};
use super::{apply, freezer, owner, prepare, remove, systemd, unified};
use crate::error::{Error, Ignore as _, Kind, Result};
use crate::sys::file;

/// A container's cgroup in all hierarchies. The list is empty if the container stays in its
/// caller's cgroup; every operation is then a no-op.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cgroup {
    pub(super) cgroups: Vec<HierarchyCgroup>,
    pub(super) unit: Option<Unit>,
    /// The scope, until systemd has started it.
    pub(super) pending: Option<PendingScope>,
    pub(super) writes: Vec<Write>,
    /// Rules for a device filter (eBPF), only without a v1 device controller.
    devices: Option<Vec<Rule>>,
    owner: Option<u32>,
    rootless: bool,
    named: bool,
    /// Whether the memory limit may be too small for the launch of the container.
    low_memory: bool,
    /// Whether [`Cgroup::create`] found a directory of it.
    pub(super) existed: bool,
}

impl Cgroup {
    /// Determines the paths and limits of the cgroup. Creates nothing yet.
    ///
    /// # Errors
    /// The mounted version of cgroups does not support a limit; the cgroup exists and has
    /// processes, or is frozen.
    pub(crate) fn prepare(plan: &CgroupPlan, layout: &Layout) -> Result<Cgroup> {
        let Some(cgroups_path) = &plan.cgroups_path else { return Ok(Cgroup::open(CgroupRecord::default())) };
        if layout.mode() == Mode::None && !plan.rootless {
            return Err(Error::system("no cgroup file system is mounted").hint("mount cgroup2 on /sys/fs/cgroup"));
        }
        let (pending, cgroups) = match cgroups_path {
            CgroupsPath::Scope(scope) => {
                let (pending, cgroups) = scope::plan(plan, scope, layout)?;
                (Some(pending), cgroups)
            }
            cgroups_path => (None, prepare::cgroups_at(cgroups_path, layout)?),
        };
        let mut limits = plan.limits.clone();
        if pending.is_some() && cgroups.iter().all(HierarchyCgroup::is_unified) {
            systemd::round(&mut limits);
        }
        let writes = prepare::writes(&cgroups, &limits)?;
        let (rootless, named) = (plan.rootless, plan.named);
        let unit = pending.as_ref().map(|p| p.unit().clone());
        let low_memory = plan.limits.memory_is_low();
        let mut cgroup = Cgroup { cgroups, unit, pending, writes, rootless, named, low_memory, ..Cgroup::default() };
        if cgroup.unified_only() {
            cgroup.devices = plan.limits.devices.clone();
            cgroup.owner = plan.owner;
        }
        Ok(cgroup)
    }

    /// The cgroup of a record in the container's state.
    pub(crate) fn open(record: CgroupRecord) -> Cgroup {
        Cgroup { cgroups: record.cgroups, unit: record.unit, named: true, ..Cgroup::default() }
    }

    /// The state that a later process needs to find the cgroup. It is valid before
    /// [`Cgroup::create`], so that it can be saved first.
    pub(crate) fn record(&self) -> CgroupRecord {
        CgroupRecord { cgroups: self.cgroups.clone(), unit: self.unit.clone() }
    }

    /// Updates a record of [`Cgroup::record`]. In most cases nothing has changed.
    pub(crate) fn renew(&self, record: &mut CgroupRecord) {
        if record.cgroups != self.cgroups || record.unit != self.unit {
            *record = self.record();
        }
    }

    /// The cgroup in each hierarchy.
    pub(crate) fn cgroups(&self) -> &[HierarchyCgroup] {
        &self.cgroups
    }

    /// Refuses cgroups that exist, for a container whose cgroups must be new. Units need no check:
    /// systemd refuses a second unit with the same name.
    ///
    /// # Errors
    /// A cgroup exists.
    pub(crate) fn refuse_existing(&self) -> Result<()> {
        match self.cgroups.iter().find(|cgroup| cgroup.exists()) {
            Some(cgroup) => Err(Error::state(format!("the cgroup {:?} exists", cgroup.directory()))),
            None => Ok(()),
        }
    }

    /// Creates the directories and opens them for joining. On failure it removes the directories
    /// that it created.
    ///
    /// # Errors
    /// A directory cannot be created. A missing permission is ignored for a rootless container if
    /// the config has no `cgroupsPath`, or if the hierarchy is the unified one beside v1.
    pub(crate) fn create(&mut self) -> Result<CgroupFds> {
        if self.pending.is_some() {
            return Ok(CgroupFds { awaits_scope: true, ..CgroupFds::default() });
        }
        let mut made = Vec::new();
        let mut absent = Vec::new();
        let unified_only = self.unified_only();
        for (n, cgroup) in self.cgroups.iter().enumerate() {
            match cgroup.make() {
                Ok(false) => made.push(cgroup.clone()),
                Ok(true) => self.existed = true,
                // Beside v1 the unified hierarchy has no controllers: no limit needs it, and it is
                // rarely delegated.
                Err(e) if self.rootless && (!self.named || cgroup.is_unified() && !unified_only) && is_refusal(&e) => {
                    absent.push(n);
                }
                Err(e) => {
                    remove::all(&made).ignore("the first error is reported");
                    return Err(e);
                }
            }
        }
        for n in absent.into_iter().rev() {
            self.cgroups.remove(n);
        }
        let ready = match unified_only {
            true => self.cgroups.iter().try_for_each(|b| unified::enable(b, &self.writes)).and_then(|()| self.give()),
            false => Ok(()),
        };
        ready.and_then(|()| self.open_fds()).inspect_err(|_| drop(remove::all(&made)))
    }

    /// With the systemd driver: starts the scope around the process, which must wait for it, and
    /// writes the early limits. With cgroupfs the process has already joined, and this does
    /// nothing.
    ///
    /// # Errors
    /// systemd refuses or does not answer, a hierarchy cannot be joined, or a limit is refused. The
    /// scope is then stopped.
    pub(crate) fn enter(&mut self, pid: i32) -> Result<()> {
        let Some(pending) = self.pending.take() else { return Ok(()) };
        let unified = self.unified_only();
        if let Err(e) = pending.start(pid, unified) {
            // A unit with this name belongs to another container.
            self.unit = None;
            self.cgroups.clear();
            return Err(e);
        }
        let done = self.settle(pending.unit(), pid).and_then(|()| self.apply_early());
        self.postpone_pids();
        if done.is_err() {
            self.remove().ignore("the first error is reported");
        }
        done
    }

    /// Lifts the pids limit that systemd has set with the scope: it must not count processes that
    /// hooks fork during the launch. The late limits set it again.
    fn postpone_pids(&self) {
        let late = self.writes.iter().filter(|write| write.moment == Moment::Late && write.file == "pids.max");
        for cgroup in late
            .flat_map(|write| self.cgroups.iter().filter(|cgroup| cgroup.is_unified() || cgroup.has(&write.controller)))
        {
            cgroup.write("pids.max", "max").ignore("the late limits write it again");
        }
    }

    /// Finds the cgroups that systemd created, and completes the parts that it leaves to the
    /// runtime.
    fn settle(&mut self, unit: &Unit, pid: i32) -> Result<()> {
        if self.cgroups.iter().any(|b| b.is_unified() && !b.exists()) {
            let path = unit.cgroup()?;
            self.cgroups.iter_mut().for_each(|b| b.path.clone_from(&path));
        }
        if self.unified_only() {
            self.cgroups.iter().try_for_each(|b| unified::enable(b, &self.writes))?;
            return self.give();
        }
        let join = |cgroup: &HierarchyCgroup| -> Result<()> {
            let existed = cgroup.make()?;
            let entered = cgroup.write("cgroup.procs", &pid.to_string());
            // A hierarchy without permission is not in the record, so remove its directory here.
            Ok(entered.inspect_err(|_| drop((!existed).then(|| remove::all(std::slice::from_ref(cgroup)))))?)
        };
        let mut entered = Ok(());
        for cgroup in std::mem::take(&mut self.cgroups) {
            match if cgroup.is_unified() || entered.is_err() { Ok(()) } else { join(&cgroup) } {
                // A user's systemd delegates no v1 hierarchy but its own (`name=systemd`).
                Err(e) if self.rootless && is_refusal(&e) => continue,
                Err(e) => entered = Err(e),
                Ok(()) => {}
            }
            // Keep the cgroup after a failure too, so that it is removed.
            self.cgroups.push(cgroup);
        }
        entered
    }

    fn give(&self) -> Result<()> {
        match (self.owner, &self.cgroups[..]) {
            (Some(uid), [only]) => match owner::give(only, uid) {
                // chown to another uid needs privileges that the caller may lack.
                Err(e) if self.rootless && is_refusal(&e) => Ok(()),
                done => done,
            },
            _ => Ok(()),
        }
    }

    /// The same cgroup, with a nested path in the hierarchies of the named controllers (all
    /// hierarchies, if no controller is named). The nested cgroups must exist.
    ///
    /// # Errors
    /// No hierarchy has the controller.
    pub(crate) fn below(&self, asked: &[(&[String], &str)]) -> Result<Cgroup> {
        let mut below = self.clone();
        for (controllers, path) in asked {
            for name in *controllers {
                if !self.cgroups.iter().any(|cgroup| cgroup.names(name)) {
                    return Err(Error::new(Kind::Config, format!("--cgroup: unknown controller {name}")));
                }
            }
            let meant =
                |cgroup: &HierarchyCgroup| controllers.is_empty() || controllers.iter().any(|name| cgroup.names(name));
            for cgroup in below.cgroups.iter_mut().filter(|cgroup| meant(cgroup) && !path.is_empty()) {
                cgroup.path = format!("{}/{path}", cgroup.path.trim_end_matches('/'));
            }
        }
        Ok(below)
    }

    /// Opens the cgroup for joining.
    ///
    /// # Errors
    /// A directory is gone, or its permissions deny access.
    pub(crate) fn open_fds(&self) -> Result<CgroupFds> {
        let mut fds = CgroupFds { tasks: Vec::with_capacity(self.cgroups.len()), ..CgroupFds::default() };
        for cgroup in &self.cgroups {
            if cgroup.is_unified() {
                let flags = libc::O_PATH | libc::O_DIRECTORY;
                fds.unified = Some(file::open(cgroup.directory(), flags)?);
            } else if self.low_memory && cgroup.has("memory") {
                fds.deferred_memory = Some(cgroup.tasks()?);
            } else {
                fds.tasks.push(cgroup.tasks()?);
            }
        }
        Ok(fds)
    }

    /// Writes the limits that must be in effect when the first process joins.
    ///
    /// # Errors
    /// The first value that the kernel refuses, with its field.
    pub(crate) fn apply_early(&self) -> Result<()> {
        if self.pending.is_some() {
            return Ok(());
        }
        match self.enforce_devices() {
            Err(e) if self.rootless && is_refusal(&e) => {}
            done => done?,
        }
        self.apply(Moment::Early)
    }

    fn enforce_devices(&self) -> Result<()> {
        match (&self.devices, &self.cgroups[..]) {
            (Some(rules), [only]) => unified::enforce_devices(only, rules),
            _ => Ok(()),
        }
    }

    /// Writes the limits that the launch itself might exceed. Call it after the runtime's last
    /// fork.
    ///
    /// # Errors
    /// The first value that the kernel refuses, with its field.
    pub(crate) fn apply_late(&self) -> Result<()> {
        self.apply(Moment::Late)
    }

    fn apply(&self, moment: Moment) -> Result<()> {
        let writes: Vec<&Write> = self.writes.iter().filter(|w| w.moment == moment).collect();
        let (devices, rest): (Vec<&Write>, Vec<&Write>) = writes.into_iter().partition(|w| w.field == "devices");
        match apply::all(&self.cgroups, &devices) {
            // Device rules need CAP_SYS_ADMIN in the initial user namespace.
            Err(_) if self.rootless => {}
            done => done?,
        }
        apply::all(&self.cgroups, &rest)
    }

    /// Opens the current cgroups of a process of the container for joining: its init process may
    /// have moved into a nested cgroup and enabled controllers, so that the cgroup above accepts no
    /// processes.
    ///
    /// # Errors
    /// The process is gone, or its cgroups are not visible.
    pub(crate) fn open_fds_of(&self, pid: i32) -> Result<CgroupFds> {
        let layout = Layout::read_of(pid)?;
        let mut current = self.clone();
        for cgroup in &mut current.cgroups {
            if let Some(h) = layout.hierarchies.iter().find(|h| h.controllers == cgroup.controllers) {
                cgroup.path = h.own_directory()?.trim_end_matches('/').to_owned();
                cgroup.mount = h.mount.clone();
            }
        }
        current.open_fds()
    }

    /// The directory that freezes the cgroup. None without a freezer.
    pub(crate) fn freezer(&self) -> Option<String> {
        freezer::cgroup(&self.cgroups).map(HierarchyCgroup::directory)
    }

    /// The path of the cgroup below the mount point, for each controller or named hierarchy
    /// (`name=NAME`; the empty name is the unified hierarchy).
    pub(crate) fn paths(&self) -> Vec<(String, String)> {
        let names = |cgroup: &HierarchyCgroup| match cgroup.is_unified() {
            true => vec![String::new()],
            false => cgroup.controllers.clone(),
        };
        self.cgroups.iter().flat_map(|b| names(b).into_iter().map(|name| (name, b.path.clone()))).collect()
    }

    /// Whether systemd has yet to start the scope around a process, see [`Cgroup::enter`].
    pub(crate) fn awaits_scope(&self) -> bool {
        self.pending.is_some()
    }

    /// Whether the unified hierarchy is the only one.
    pub(super) fn unified_only(&self) -> bool {
        matches!(&self.cgroups[..], [only] if only.is_unified())
    }
}

fn is_refusal(error: &Error) -> bool {
    matches!(error.errno(), libc::EACCES | libc::EPERM | libc::EROFS)
}
