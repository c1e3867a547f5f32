//! A container's cgroup in all hierarchies: made, joined, limited, frozen, killed, removed.

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

/// A container's cgroup. Without cgroups the container has none, and there is nothing to do.
#[derive(Clone, Debug)]
pub(crate) struct Cgroup {
    pub(super) cgroups: Vec<HierarchyCgroup>,
    pub(super) unit: Option<Unit>,
    /// The scope, until it is made.
    pub(super) pending: Option<PendingScope>,
    pub(super) writes: Vec<Write>,
    /// Rules for a filter: only where there is no v1 controller of devices.
    devices: Option<Vec<Rule>>,
    owner: Option<u32>,
    rootless: bool,
    named: bool,
    /// Whether its memory may not suffice to make the container.
    low_memory: bool,
}

impl Cgroup {
    /// Decides where the cgroup is to be, and what will be written to it; makes nothing yet.
    ///
    /// # Errors
    /// Limits that this machine's version of cgroups has no place for; a cgroup that is there and not empty, or frozen.
    pub(crate) fn prepare(plan: &CgroupPlan, layout: &Layout) -> Result<Cgroup> {
        let Some(place) = &plan.place else { return Ok(Cgroup::open(CgroupRecord::default())) };
        if layout.mode() == Mode::None && !plan.rootless {
            return Err(Error::system("no cgroup file system is mounted").hint("mount cgroup2 on /sys/fs/cgroup"));
        }
        let (pending, cgroups) = match place {
            CgroupsPath::Scope(scope) => {
                let (pending, cgroups) = scope::plan(plan, scope, layout)?;
                (Some(pending), cgroups)
            }
            place => (None, prepare::cgroups_at(place, layout)?),
        };
        let mut limits = plan.limits.clone();
        if pending.is_some() && cgroups.iter().all(HierarchyCgroup::is_unified) {
            systemd::round(&mut limits);
        }
        let writes = prepare::writes(&cgroups, &limits)?;
        let (rootless, named) = (plan.rootless, plan.named);
        let unit = pending.as_ref().map(|p| p.unit().clone());
        let low_memory = plan.limits.memory_is_low();
        let (devices, owner) = (None, None);
        let mut cgroup = Cgroup { cgroups, unit, pending, writes, devices, owner, rootless, named, low_memory };
        if cgroup.unified_only() {
            cgroup.devices = plan.limits.devices.clone();
            cgroup.owner = plan.owner;
        }
        Ok(cgroup)
    }

    /// The cgroup that a record tells of.
    pub(crate) fn open(record: CgroupRecord) -> Cgroup {
        Cgroup {
            cgroups: record.cgroups,
            unit: record.unit,
            pending: None,
            writes: Vec::new(),
            devices: None,
            owner: None,
            rootless: false,
            named: true,
            low_memory: false,
        }
    }

    /// What a later process needs; also true before [`Cgroup::create`], so that it can be kept before anything is made.
    pub(crate) fn record(&self) -> CgroupRecord {
        CgroupRecord { cgroups: self.cgroups.clone(), unit: self.unit.clone() }
    }

    /// Brings a record of [`Cgroup::record`] up to date, mostly without a change.
    pub(crate) fn renew(&self, record: &mut CgroupRecord) {
        if record.cgroups != self.cgroups || record.unit != self.unit {
            *record = self.record();
        }
    }

    /// The cgroup in each hierarchy.
    pub(crate) fn cgroups(&self) -> &[HierarchyCgroup] {
        &self.cgroups
    }

    /// For a container whose cgroups must be new. systemd makes no unit of a name that it has.
    ///
    /// # Errors
    /// One is there already.
    pub(crate) fn refuse_existing(&self) -> Result<()> {
        match self
            .cgroups
            .iter()
            .map(HierarchyCgroup::directory)
            .find(|directory| std::path::Path::new(directory).exists())
        {
            Some(directory) => Err(Error::state(format!("the cgroup {directory:?} exists"))),
            None => Ok(()),
        }
    }

    /// Makes the directories and opens the ways in. What it has made is removed again when it fails.
    ///
    /// # Errors
    /// A directory cannot be made. Without rights that is forgiven if the plan says so, and the config names no place or
    /// the hierarchy is the unified one beside v1.
    pub(crate) fn create(&mut self) -> Result<CgroupFds> {
        if self.pending.is_some() {
            return Ok(CgroupFds { scope: true, ..CgroupFds::default() });
        }
        let mut made = Vec::new();
        let mut absent = Vec::new();
        let unified_only = self.unified_only();
        for (n, cgroup) in self.cgroups.iter().enumerate() {
            match cgroup.make() {
                Ok(false) => made.push(cgroup.clone()),
                Ok(true) => {}
                // Beside v1 the unified tree has no controllers: no limit needs it, and few delegate it.
                Err(e) if self.rootless && (!self.named || cgroup.is_unified() && !unified_only) && is_refusal(&e) => {
                    absent.push(n);
                }
                Err(e) => {
                    remove::all(&made).ignore("the first error is the one to tell");
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

    /// With systemd: makes the scope around the process, which must wait for it, and writes the early limits. Without,
    /// the process has already joined and there is nothing to do.
    ///
    /// # Errors
    /// systemd refuses or does not answer, a hierarchy cannot be joined, a limit is refused. The scope is then stopped.
    pub(crate) fn enter(&mut self, pid: i32) -> Result<()> {
        let Some(pending) = self.pending.take() else { return Ok(()) };
        let unified = self.unified_only();
        if let Err(e) = pending.start(pid, unified) {
            // Whatever there is of that name is not ours to stop.
            self.unit = None;
            self.cgroups.clear();
            return Err(e);
        }
        let done = self.settle(pending.unit(), pid).and_then(|()| self.apply_early());
        self.postpone_pids();
        if done.is_err() {
            self.remove().ignore("the first error is the one to tell");
        }
        done
    }

    /// systemd has set the limit of processes with the scope: what the container's hooks fork before it is ready is not counted
    /// against it. It comes back with the late limits.
    fn postpone_pids(&self) {
        let late = self.writes.iter().filter(|write| write.moment == Moment::Late && write.file == "pids.max");
        for cgroup in late
            .flat_map(|write| self.cgroups.iter().filter(|cgroup| cgroup.is_unified() || cgroup.has(&write.controller)))
        {
            cgroup.write("pids.max", "max").ignore("the late limits write it again");
        }
    }

    /// Finds what systemd has made, and does what it leaves to us.
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
            // One that is passed over is in no record.
            Ok(entered.inspect_err(|_| drop((!existed).then(|| remove::all(std::slice::from_ref(cgroup)))))?)
        };
        let mut entered = Ok(());
        for cgroup in std::mem::take(&mut self.cgroups) {
            match if cgroup.is_unified() || entered.is_err() { Ok(()) } else { join(&cgroup) } {
                // Of v1 a user's systemd has nothing but its own hierarchy to give.
                Err(e) if self.rootless && is_refusal(&e) => continue,
                Err(e) => entered = Err(e),
                Ok(()) => {}
            }
            // Also where it failed: what is there must be found to be removed.
            self.cgroups.push(cgroup);
        }
        entered
    }

    fn give(&self) -> Result<()> {
        match (self.owner, &self.cgroups[..]) {
            (Some(uid), [only]) => match owner::give(only, uid) {
                // Another user's than ours it can only be where we may say so.
                Err(e) if self.rootless && is_refusal(&e) => Ok(()),
                done => done,
            },
            _ => Ok(()),
        }
    }

    /// The same cgroup, but with those below it in the hierarchies of the named controllers (none: in all), which must be
    /// there.
    ///
    /// # Errors
    /// A controller that no hierarchy has.
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

    /// Opens the ways into the cgroup as it is.
    ///
    /// # Errors
    /// A directory is gone, or may not be entered.
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

    /// Writes the limits that the first process must find when it joins.
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

    /// Writes the limits that building the container would meet: call it after the runtime's last fork.
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
            // Only root of the first user namespace says which devices may be used.
            Err(_) if self.rootless => {}
            done => done?,
        }
        apply::all(&self.cgroups, &rest)
    }

    /// Opens the ways into the cgroups that a process (of the container) is in now: its init may have moved into one
    /// below, and enabled controllers so that nobody can join above.
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

    /// The directory by which the cgroup is frozen; none where there is no freezer.
    pub(crate) fn freezer(&self) -> Option<String> {
        freezer::cgroup(&self.cgroups).map(HierarchyCgroup::directory)
    }

    /// For each controller or named hierarchy (`name=NAME`; an empty one is the unified hierarchy): where the cgroup is below the
    /// hierarchy's mount.
    pub(crate) fn paths(&self) -> Vec<(String, String)> {
        let names = |cgroup: &HierarchyCgroup| match cgroup.is_unified() {
            true => vec![String::new()],
            false => cgroup.controllers.clone(),
        };
        self.cgroups.iter().flat_map(|b| names(b).into_iter().map(|name| (name, b.path.clone()))).collect()
    }

    /// Whether systemd is to make it around a process, see [`Cgroup::enter`].
    pub(crate) fn awaits_scope(&self) -> bool {
        self.pending.is_some()
    }

    /// Whether there is only the unified hierarchy.
    pub(super) fn unified_only(&self) -> bool {
        matches!(&self.cgroups[..], [only] if only.is_unified())
    }
}

fn is_refusal(error: &Error) -> bool {
    matches!(error.errno(), libc::EACCES | libc::EPERM | libc::EROFS)
}
