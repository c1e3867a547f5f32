//! `delete`: undoes `create`.

use super::Context;
use super::query::hook_state;
use super::remains::Remains;
use super::request::{ContainerId, DeleteRequest};
use crate::cgroups::{Cgroup, resctrl};
use crate::config;
use crate::error::{Error, Kind, Result};
use crate::hooks::{self, Hooks, Moment};
use crate::log;
use crate::state::{self, ContainerDir, ProcessId, Record, Status, Store, has_left};
use crate::sys::process::{self, SingleThreaded};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// The time a killed process may take to exit.
const KILL_TIMEOUT: Duration = Duration::from_secs(10);
/// The time to wait for a process that is already exiting. A killed process that takes longer may
/// be in a frozen cgroup.
const EXIT_TIMEOUT: Duration = Duration::from_secs(2);
/// The time between two checks of an exiting process.
const CHECK_INTERVAL: Duration = Duration::from_millis(20);

/// `delete`.
///
/// # Errors
/// The container is not stopped (unless by force), or a part of it cannot be removed.
pub fn delete(context: &Context, request: &DeleteRequest) -> Result<()> {
    let proof = &SingleThreaded::of_caller()?;
    log::step("read the state");
    let store = Store::at(&context.root);
    let dir = match store.open(request.id.as_str()) {
        Err(e) if request.force && e.kind() == Kind::NotFound => return Ok(()),
        other => other?,
    };
    let record = match Known::read(&dir, request)? {
        Known::Sure(record) => record,
        Known::Doubtful { changed, why } => {
            let forgotten = Forgotten { store: &store, dir: &dir, id: &request.id, changed };
            return forgotten.forget(&why, proof);
        }
    };
    let status = record.status().unwrap_or(Status::Running);
    if status != Status::Stopped {
        if request.force {
            record.cgroup().refuse_own()?;
            end(&record)?;
        } else if !await_end(&dir, &record)? {
            let text = format!("cannot delete container {} that is not stopped: {}", request.id, status.word());
            return Err(Error::state(text));
        }
    }
    let hooks = hooks_of(&store, &request.id);
    log::step("remove the container");
    destroy(&dir, &record)?;
    dir.unlock()?;
    run_poststop(&record, &hooks, proof);
    Ok(())
}

/// The record of a container to delete.
enum Known {
    Sure(Box<Record>),
    Doubtful {
        /// The content of a record that was changed.
        changed: Option<Box<Record>>,
        /// The reason not to trust the record.
        why: String,
    },
}

impl Known {
    /// Without force only a container with an intact record is deleted.
    fn read(dir: &ContainerDir, request: &DeleteRequest) -> Result<Known> {
        let bytes = match dir.bytes() {
            // `create` was killed before it wrote the record, or the record was removed.
            Ok(None) if !request.force => return Err(state::without_record()),
            Ok(None) => return Ok(Known::Doubtful { changed: None, why: "it has no state.json".into() }),
            Ok(Some(bytes)) => Ok(bytes),
            Err(error) => Err(error.context("state.json")),
        };
        let changed = bytes.as_ref().ok().and_then(|bytes| Record::parse_changed(bytes).ok()).map(Box::new);
        match bytes.and_then(|bytes| Record::parse_in(&bytes, dir.path())) {
            Ok(record) => Ok(Known::Sure(Box::new(record))),
            Err(error) if !request.force => Err(error.hint("`delete --force` looks for its processes by what is left")),
            Err(error) => Ok(Known::Doubtful { changed, why: error.to_string() }),
        }
    }
}

/// A container with a record in doubt.
struct Forgotten<'a> {
    store: &'a Store,
    dir: &'a ContainerDir,
    id: &'a ContainerId,
    changed: Option<Box<Record>>,
}

impl Forgotten<'_> {
    /// Removes it, once none of its processes lives.
    fn forget(self, why: &str, proof: &SingleThreaded) -> Result<()> {
        let mut remains = Remains::of(self.store, self.dir, self.id);
        log::step("end what is left of the container");
        remains.end()?;
        let foreign = remains.foreign().map(|runtime| format!("its state was written by {runtime}"));
        remains.refuse_living(foreign.as_deref().unwrap_or(why))?;
        if remains.name_nothing() {
            let directory = self.dir.path().display();
            let text = format!("cannot tell which processes are container {}'s: {why}", self.id);
            return Err(Error::state(text).hint(format!("once none is left, remove {directory}")));
        }
        let hooks = hooks_of(self.store, self.id);
        log::step("remove the container");
        if let Some(group) = self.resctrl() {
            group.remove();
        }
        self.dir.remove()?;
        self.dir.unlock()?;
        if let Some(record) = &self.changed {
            run_poststop(record, &hooks, proof);
        }
        Ok(())
    }

    /// The resctrl group, if config and record name the same one.
    fn resctrl(&self) -> Option<&resctrl::ResctrlRecord> {
        let said = self.changed.as_ref()?.resctrl.as_ref()?;
        let json = self.store.config(self.id.as_str()).ok()?;
        let asked = resctrl::ResctrlPlan::parse(&config::parse(&json).ok()?, self.id.as_str()).ok()??.record().ok()?;
        (asked.group == said.group && asked.monitor == said.monitor).then_some(said)
    }
}

/// Waits, without the lock, for a process that is exiting. Returns whether the container has
/// stopped.
fn await_end(dir: &ContainerDir, record: &Record) -> Result<bool> {
    let Some(init) = record.init.filter(|init| init.is_ending()) else { return Ok(false) };
    let Some(pidfd) = init.open()? else { return Ok(true) };
    dir.unlock()?;
    let deadline = Instant::now() + EXIT_TIMEOUT;
    let mut ended = false;
    while !ended && Instant::now() < deadline {
        let [ready] = process::poll([(Some(pidfd.as_fd()), libc::POLLIN)], CHECK_INTERVAL.as_millis() as i32)?;
        ended = ready != 0 || has_left(init.pid);
    }
    dir.lock()?;
    match dir.bytes()? {
        Some(_) => Ok(ended),
        // Deleted meanwhile.
        None => Err(Error::new(Kind::NotFound, "container does not exist")),
    }
}

/// Kills the container's processes and waits for the first one to exit.
fn end(record: &Record) -> Result<()> {
    record.init.map_or(Ok(()), |init| end_process(init, &record.cgroup()))
}

/// Kills a container's first process and waits for it to exit.
pub(super) fn end_process(init: ProcessId, cgroup: &Cgroup) -> Result<()> {
    let Some(pidfd) = init.open()? else { return Ok(()) };
    if !process::signal_if_alive(&pidfd, libc::SIGKILL)? {
        return Ok(());
    }
    cgroup.thaw_all()?;
    let begin = Instant::now();
    while begin.elapsed() < KILL_TIMEOUT {
        let [ready] = process::poll([(Some(pidfd.as_fd()), libc::POLLIN)], CHECK_INTERVAL.as_millis() as i32)?;
        if ready != 0 || has_left(init.pid) {
            return Ok(());
        }
        if begin.elapsed() >= EXIT_TIMEOUT {
            cgroup.refuse_frozen_above()?;
        }
    }
    Err(Error::system(format!("process {} did not end within 10 s of SIGKILL", init.pid))
        .hint("it waits for a device or a file system (state D)"))
}

/// Removes a container whose processes have ended, and runs its poststop hooks. The directory must
/// not be locked.
pub(super) fn ended(dir: &ContainerDir, record: &Record, hooks: &Hooks, proof: &SingleThreaded) -> Result<()> {
    log::step("remove the container");
    dir.lock()?;
    // `delete --force` may have removed it while it was unlocked, and its id and the cgroup of its
    // name may be another container's by now.
    if !dir.is_in_place()? {
        return dir.unlock();
    }
    destroy(dir, record)?;
    dir.unlock()?;
    run_poststop(record, hooks, proof);
    Ok(())
}

/// Destroys a container after a failure of its start, such as a hook's, and runs its poststop hooks
/// (runtime.md, steps 7 and 9). Returns the error, with any remains of the container that cannot be
/// removed.
pub(super) fn after_failure(
    dir: &ContainerDir,
    record: &Record,
    hooks: &Hooks,
    proof: &SingleThreaded,
    error: Error,
) -> Error {
    match end(record).and_then(|()| ended(dir, record, hooks, proof)) {
        Ok(()) => error,
        Err(left) => error.hint(format!("the container could not be removed: {left}")),
    }
}

/// Removes cgroups and state.
fn destroy(dir: &ContainerDir, record: &Record) -> Result<()> {
    record.cgroup().remove()?;
    record.resctrl.iter().for_each(|group| group.remove());
    dir.remove()
}

fn hooks_of(store: &Store, id: &ContainerId) -> Hooks {
    let hooks = store.config(id.as_str()).and_then(|json| config::parse(&json).and_then(|spec| Hooks::parse(&spec)));
    hooks.unwrap_or_default()
}

/// Runs the poststop hooks. A failed hook is a warning, and the others still run (runtime.md, step
/// 13).
pub(super) fn run_poststop(record: &Record, hooks: &Hooks, proof: &SingleThreaded) {
    let hooks = hooks.at(Moment::Poststop);
    if hooks.is_empty() {
        return;
    }
    let state = hook_state(record, Status::Stopped, 0);
    for hook in hooks {
        if let Err(error) = hooks::run(proof, Moment::Poststop, std::slice::from_ref(hook), &state) {
            log::warning(error.to_string());
        }
    }
}
