//! A container's cgroup in all hierarchies: made, joined, limited, frozen, killed, removed.

use super::branch::Branch;
use super::devices::Rule;
use super::join::Joiner;
use super::layout::{Hierarchy, Layout, Mode};
use super::limits::Limits;
use super::oom::OomEvents;
use super::place::Place;
use super::plan::Plan;
use super::scope::{self, Pending};
use super::stats::{self, Stats};
use super::systemd::Unit;
use super::write::{Moment, Write};
use super::{apply, freezer, kill, owner, remove, unified, update, v1, v2};
use crate::error::{Context, Error, Kind, Result};
use crate::sys::file;
use serde::{Deserialize, Serialize};

/// What a later process needs to find the cgroup again: a part of the container's state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// One for each hierarchy; none where the container has no cgroup of its own.
    pub branches: Vec<Branch>,
    /// The unit, where systemd has made the cgroup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<Unit>,
}

/// A container's cgroup. Without branches the container has none, and there is nothing to do.
#[derive(Clone, Debug)]
pub struct Cgroup {
    branches: Vec<Branch>,
    unit: Option<Unit>,
    /// The scope, until it is made.
    pending: Option<Pending>,
    writes: Vec<Write>,
    /// Rules for a filter: only where there is no v1 controller of devices.
    devices: Option<Vec<Rule>>,
    owner: Option<u32>,
    rootless: bool,
    named: bool,
}

impl Cgroup {
    /// Decides where the cgroup is to be, and what will be written to it; makes nothing yet.
    ///
    /// # Errors
    /// Limits that this machine's version of cgroups has no place for; a cgroup that is there and not empty, or frozen.
    pub fn prepare(plan: &Plan, layout: &Layout) -> Result<Cgroup> {
        let Some(place) = &plan.place else { return Ok(Cgroup::open(Record::default())) };
        if layout.mode() == Mode::None && !plan.rootless {
            return Err(Error::system("no cgroup file system is mounted").hint("mount cgroup2 on /sys/fs/cgroup"));
        }
        let (pending, branches) = match place {
            Place::Scope(scope) => {
                let (pending, branches) = scope::plan(plan, scope, layout)?;
                (Some(pending), branches)
            }
            place => (None, branches_at(place, layout)?),
        };
        let writes = writes(&branches, &plan.limits)?;
        let (rootless, named) = (plan.rootless, plan.named);
        let unit = pending.as_ref().map(|p| p.unit().clone());
        let mut cgroup = Cgroup { branches, unit, pending, writes, devices: None, owner: None, rootless, named };
        if cgroup.unified_only() {
            cgroup.devices = plan.limits.devices.clone();
            cgroup.owner = plan.owner;
        }
        Ok(cgroup)
    }

    /// The cgroup that a record tells of.
    pub fn open(record: Record) -> Cgroup {
        Cgroup {
            branches: record.branches,
            unit: record.unit,
            pending: None,
            writes: Vec::new(),
            devices: None,
            owner: None,
            rootless: false,
            named: true,
        }
    }

    /// What a later process needs; also true before [`Cgroup::create`], so that it can be kept before anything is made.
    pub fn record(&self) -> Record {
        Record { branches: self.branches.clone(), unit: self.unit.clone() }
    }

    /// The cgroup in each hierarchy.
    pub fn branches(&self) -> &[Branch] {
        &self.branches
    }

    /// Makes the directories and opens the ways in. What it has made is removed again when it fails.
    ///
    /// # Errors
    /// A directory cannot be made; without rights that is forgiven if the plan says so and the config names no place.
    pub fn create(&mut self) -> Result<Joiner> {
        if self.pending.is_some() {
            return Ok(Joiner { scope: true, ..Joiner::default() });
        }
        let mut made = Vec::new();
        let mut absent = Vec::new();
        let unified_only = self.unified_only();
        for (n, branch) in self.branches.iter().enumerate() {
            match branch.make() {
                Ok(false) => made.push(branch.clone()),
                Ok(true) => {}
                Err(e) if self.rootless && !self.named && is_refusal(&e) => absent.push(n),
                Err(e) => {
                    let _ = remove::all(&made);
                    return Err(e);
                }
            }
        }
        for n in absent.into_iter().rev() {
            self.branches.remove(n);
        }
        let ready = match unified_only {
            true => self.branches.iter().try_for_each(|b| unified::enable(b, &self.writes)).and_then(|()| self.give()),
            false => Ok(()),
        };
        ready.and_then(|()| self.joiner()).inspect_err(|_| drop(remove::all(&made)))
    }

    /// With systemd: makes the scope around the process, which must wait for it, and writes the early limits. Without,
    /// the process has already joined and there is nothing to do.
    ///
    /// # Errors
    /// systemd refuses or does not answer, a hierarchy cannot be joined, a limit is refused. The scope is then stopped.
    pub fn enter(&mut self, pid: i32) -> Result<()> {
        let Some(pending) = self.pending.take() else { return Ok(()) };
        let unified = self.unified_only();
        if let Err(e) = pending.start(pid, unified) {
            // Whatever there is of that name is not ours to stop.
            self.unit = None;
            self.branches.clear();
            return Err(e);
        }
        let done = self.settle(pending.unit(), pid).and_then(|()| self.apply_early());
        if done.is_err() {
            let _ = self.remove();
        }
        done
    }

    /// Finds what systemd has made, and does what it leaves to us.
    fn settle(&mut self, unit: &Unit, pid: i32) -> Result<()> {
        if self.branches.iter().any(|b| b.is_unified() && !b.exists()) {
            let path = unit.cgroup()?;
            self.branches.iter_mut().for_each(|b| b.path.clone_from(&path));
        }
        if self.unified_only() {
            self.branches.iter().try_for_each(|b| unified::enable(b, &self.writes))?;
            return self.give();
        }
        for branch in self.branches.iter().filter(|b| !b.is_unified()) {
            branch.make()?;
            branch.write("cgroup.procs", &pid.to_string())?;
        }
        Ok(())
    }

    fn give(&self) -> Result<()> {
        match (self.owner, &self.branches[..]) {
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
    pub fn below(&self, asked: &[(&[String], &str)]) -> Result<Cgroup> {
        let mut below = self.clone();
        for (controllers, path) in asked {
            for name in *controllers {
                if !self.branches.iter().any(|branch| branch.has(name)) {
                    return Err(Error::new(Kind::Config, format!("--cgroup: unknown controller {name}")));
                }
            }
            let meant = |branch: &Branch| controllers.is_empty() || controllers.iter().any(|name| branch.has(name));
            for branch in below.branches.iter_mut().filter(|branch| meant(branch) && !path.is_empty()) {
                branch.path = format!("{}/{path}", branch.path.trim_end_matches('/'));
            }
        }
        Ok(below)
    }

    /// Opens the ways into the cgroup as it is.
    ///
    /// # Errors
    /// A directory is gone, or may not be entered.
    pub fn joiner(&self) -> Result<Joiner> {
        let mut joiner = Joiner { tasks: Vec::with_capacity(self.branches.len()), ..Joiner::default() };
        for branch in &self.branches {
            if branch.is_unified() {
                let flags = libc::O_PATH | libc::O_DIRECTORY;
                joiner.unified = Some(file::open(branch.directory(), flags)?);
            } else {
                joiner.tasks.push(branch.tasks()?);
            }
        }
        Ok(joiner)
    }

    /// Writes the limits that the first process must find when it joins.
    ///
    /// # Errors
    /// The first value that the kernel refuses, with its field.
    pub fn apply_early(&self) -> Result<()> {
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
        match (&self.devices, &self.branches[..]) {
            (Some(rules), [only]) => unified::enforce_devices(only, rules),
            _ => Ok(()),
        }
    }

    /// Writes the limits that building the container would meet: call it after the runtime's last fork.
    ///
    /// # Errors
    /// The first value that the kernel refuses, with its field.
    pub fn apply_late(&self) -> Result<()> {
        self.apply(Moment::Late)
    }

    fn apply(&self, moment: Moment) -> Result<()> {
        let writes: Vec<&Write> = self.writes.iter().filter(|w| w.moment == moment).collect();
        let (devices, rest): (Vec<&Write>, Vec<&Write>) = writes.into_iter().partition(|w| w.field == "devices");
        match apply::all(&self.branches, &devices) {
            // Only root of the first user namespace says which devices may be used.
            Err(_) if self.rootless => {}
            done => done?,
        }
        apply::all(&self.branches, &rest)
    }

    /// The processes in it and in the cgroups within it; none when it is gone.
    ///
    /// # Errors
    /// The list cannot be read.
    pub fn processes(&self) -> Result<Vec<i32>> {
        let Some(branch) = freezer::branch(&self.branches).or(self.branches.first()) else { return Ok(Vec::new()) };
        match kill::processes(&branch.directory()) {
            Err(e) if matches!(e.errno(), libc::ENOENT | libc::ENODEV) => Ok(Vec::new()),
            done => done,
        }
    }

    /// Sends every process in it a signal, also to those born meanwhile.
    ///
    /// # Errors
    /// The container has no cgroup, or a signal is refused.
    pub fn kill_all(&self, signal: i32) -> Result<()> {
        kill::signal_all(&self.branches, signal)
    }

    /// Freezes it, and waits until every task stands still.
    ///
    /// # Errors
    /// It does not freeze within ten seconds (then it is thawed again), or is gone, or there is no freezer.
    pub fn freeze(&self) -> Result<()> {
        freezer::freeze(&self.branches)
    }

    /// Thaws it.
    ///
    /// # Errors
    /// The freezer refuses, or is gone.
    pub fn thaw(&self) -> Result<()> {
        freezer::thaw(&self.branches)
    }

    /// Whether it is frozen; a cgroup that is gone is not.
    ///
    /// # Errors
    /// The freezer's state cannot be read.
    pub fn frozen(&self) -> Result<bool> {
        match freezer::frozen(&self.branches) {
            Err(e) if matches!(e.errno(), libc::ENOENT | libc::ENODEV) => Ok(false),
            done => done,
        }
    }

    /// Removes it, the cgroups within it and the parents made for it; kills what is still in it.
    ///
    /// # Errors
    /// A directory that the kernel does not let go within ten seconds.
    pub fn remove(&self) -> Result<()> {
        let stopped = self.unit.as_ref().map_or(Ok(()), Unit::stop);
        let removed = remove::all(&self.branches).at("remove the cgroup");
        stopped.and(removed)
    }

    /// Opens the ways into cgroups below it: for each hierarchy the first of `below` that names one of its controllers,
    /// or names none and so means all.
    ///
    /// # Errors
    /// A cgroup that is not there, or may not be entered.
    pub fn joiner_below(&self, below: &[(&[String], &str)]) -> Result<Joiner> {
        let mut inner = self.clone();
        for branch in &mut inner.branches {
            let means = |list: &[String]| list.is_empty() || list.iter().any(|c| branch.names(c));
            if let Some((_, path)) = below.iter().find(|(list, _)| means(list)) {
                branch.descend(path);
            }
        }
        inner.joiner()
    }

    /// Opens the ways into the cgroups that a process (of the container) is in now: its init may have moved into one
    /// below, and enabled controllers so that nobody can join above.
    ///
    /// # Errors
    /// The process is gone, or its cgroups are not visible.
    pub fn joiner_of(&self, pid: i32) -> Result<Joiner> {
        let layout = Layout::read_of(pid)?;
        let mut current = self.clone();
        for branch in &mut current.branches {
            if let Some(h) = layout.hierarchies.iter().find(|h| h.controllers == branch.controllers) {
                branch.path = h.own_directory()?.trim_end_matches('/').to_owned();
                branch.mount = h.mount.clone();
            }
        }
        current.joiner()
    }

    /// Applies new limits to a cgroup in use: all, or none when one is refused.
    ///
    /// # Errors
    /// The first value that cannot be applied, with its field.
    pub fn update(&self, limits: &Limits) -> Result<()> {
        let limits = update::complete(&self.branches, limits);
        if let Some(unit) = &self.unit {
            unit.set(&scope::limits(&limits, self.unified_only(), unit.user)?)?;
        }
        update::update(&self.branches, &limits)
    }

    /// What is used in it.
    pub fn stats(&self) -> Stats {
        stats::read(&self.branches)
    }

    /// Begins to watch for the end of its memory.
    ///
    /// # Errors
    /// There is no memory controller, or the cgroup is gone.
    pub fn oom_events(&self) -> Result<OomEvents> {
        OomEvents::watch(&self.branches)
    }

    /// Whether there is only the unified hierarchy.
    fn unified_only(&self) -> bool {
        matches!(&self.branches[..], [only] if only.is_unified())
    }
}

fn branches_at(place: &Place, layout: &Layout) -> Result<Vec<Branch>> {
    let mut branches = Vec::with_capacity(layout.hierarchies.len());
    for hierarchy in &layout.hierarchies {
        let branch = Branch::plan(hierarchy, path_in(hierarchy, place, layout.mode())?);
        if branch.exists() {
            check_unused(&branch)?;
        }
        branches.push(branch);
    }
    Ok(branches)
}

fn writes(branches: &[Branch], limits: &Limits) -> Result<Vec<Write>> {
    match branches.iter().any(|b| !b.is_unified()) {
        true => v1::writes(limits),
        false => v2::writes(limits),
    }
}

/// A relative place is below our own cgroup; on v2 beside it, since ours has processes and so no children with
/// controllers.
fn path_in(hierarchy: &Hierarchy, place: &Place, mode: Mode) -> Result<String> {
    let path = match place {
        Place::Absolute(path) => return Ok(path.clone()),
        Place::Relative(path) => path,
        Place::Scope(_) => return Err(Error::internal("a systemd scope has no place of ours")),
    };
    let own = hierarchy.own_directory()?;
    let base = match mode {
        Mode::Unified => own.rsplit_once('/').map_or("", |(parent, _)| parent),
        _ => own.trim_end_matches('/'),
    };
    Ok(format!("{base}/{path}"))
}

/// An existing cgroup is taken over only when nobody is in it.
fn check_unused(branch: &Branch) -> Result<()> {
    let processes = branch.read("cgroup.procs").map(|text| text.lines().count()).unwrap_or(0);
    if processes > 0 {
        let problem = format!("container's cgroup is not empty: {processes} process(es) found");
        return Err(Error::state(problem).at(branch.directory()));
    }
    if freezer::frozen(std::slice::from_ref(branch)).unwrap_or(false) {
        return Err(Error::state("container's cgroup unexpectedly frozen").at(branch.directory()));
    }
    Ok(())
}

fn is_refusal(error: &Error) -> bool {
    matches!(error.errno(), libc::EACCES | libc::EPERM | libc::EROFS)
}
