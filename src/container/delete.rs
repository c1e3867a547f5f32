//! `delete`: what `create` made is undone.

use super::Context;
use super::request::{ContainerId, DeleteRequest};
use crate::config;
use crate::error::{Error, Kind, Result};
use crate::hooks::{self, Hooks, Moment};
use crate::log;
use crate::state::{Entry, Record, Status, Store};
use crate::sys::process::{self, SingleThreaded};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// How long a killed process may take to be gone.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long its end is waited for before it is looked at, in milliseconds.
const LOOK: i32 = 20;

/// `delete`.
///
/// # Errors
/// The container is not stopped (unless by force), or something of it cannot be removed.
pub fn delete(context: &Context, request: &DeleteRequest) -> Result<()> {
    let proof = &SingleThreaded::of_caller()?;
    log::step("read the state");
    let store = Store::at(&context.root);
    let entry = match store.open(request.id.as_str()) {
        Err(e) if request.force && e.kind() == Kind::NotFound => return Ok(()),
        other => other?,
    };
    let record = match entry.record() {
        Ok(Some(record)) => record,
        // `create` was killed before it wrote anything, or the file is damaged.
        Ok(None) if !request.force => return Err(Error::new(Kind::NotFound, "container does not exist")),
        Err(error) if !request.force => return Err(error),
        _ => return entry.remove(),
    };
    let status = record.status().unwrap_or(Status::Running);
    if status != Status::Stopped {
        if !request.force {
            let text = format!("cannot delete container {} that is not stopped: {}", request.id, status.word());
            return Err(Error::state(text));
        }
        end(&record)?;
    }
    let hooks = hooks_of(&store, &request.id);
    log::step("remove the container");
    destroy(&entry, &record)?;
    entry.unlock()?;
    run_poststop(&record, &hooks, proof);
    Ok(())
}

/// Kills the container's processes and waits for the first one to be gone.
fn end(record: &Record) -> Result<()> {
    let Some(pidfd) = record.init.map(|init| init.open()).transpose()?.flatten() else { return Ok(()) };
    match process::pidfd_send_signal(&pidfd, libc::SIGKILL) {
        Err(e) if e.is(libc::ESRCH) => return Ok(()),
        other => other?,
    }
    if record.cgroup().frozen().unwrap_or(false) {
        record.cgroup().thaw()?;
    }
    let pid = record.init.map_or(0, |init| init.pid);
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        let [ready] = process::poll([(Some(pidfd.as_fd()), libc::POLLIN)], LOOK)?;
        if ready != 0 || has_left(pid) {
            return Ok(());
        }
    }
    Err(Error::system(format!("process {pid} did not end within 10 s of SIGKILL"))
        .hint("it waits for a device or a file system (state D)"))
}

/// Whether a killed process has given up its memory, files and namespaces, so that nothing but its number is left: the first
/// process of a pid namespace keeps that until every other one has been waited for, and those that `exec` brought in have
/// a parent outside, which may take its time.
fn has_left(pid: i32) -> bool {
    std::fs::read_link(format!("/proc/{pid}/ns/mnt")).is_err_and(|e| e.raw_os_error() == Some(libc::ENOENT))
}

/// Removes a container that has ended, whose directory is not locked, and runs its poststop hooks.
pub(super) fn ended(entry: &Entry, record: &Record, hooks: &Hooks, proof: &SingleThreaded) -> Result<()> {
    log::step("remove the container");
    entry.lock()?;
    destroy(entry, record)?;
    entry.unlock()?;
    run_poststop(record, hooks, proof);
    Ok(())
}

/// Destroys a container with whose start a hook has failed, and runs its poststop hooks (runtime.md, steps 7 and 9): the
/// hook's error, and what is left of the container if it cannot be removed.
pub(super) fn after_failed_hook(
    entry: &Entry,
    record: &Record,
    hooks: &Hooks,
    proof: &SingleThreaded,
    error: Error,
) -> Error {
    match destroy_unless_deleted(entry, record, hooks, proof) {
        Ok(()) => error,
        Err(left) => error.hint(format!("the container could not be removed: {left}")),
    }
}

fn destroy_unless_deleted(entry: &Entry, record: &Record, hooks: &Hooks, proof: &SingleThreaded) -> Result<()> {
    end(record)?;
    entry.lock()?;
    // It was not locked while the hook ran: `delete --force` may have removed it, and another one may have its id by now.
    if entry.record()?.is_none() {
        return entry.unlock();
    }
    destroy(entry, record)?;
    entry.unlock()?;
    run_poststop(record, hooks, proof);
    Ok(())
}

/// Removes cgroups and state.
fn destroy(entry: &Entry, record: &Record) -> Result<()> {
    record.cgroup().remove()?;
    record.resctrl.iter().for_each(|group| group.remove());
    entry.remove()
}

fn hooks_of(store: &Store, id: &ContainerId) -> Hooks {
    let hooks = store.config(id.as_str()).and_then(|json| config::parse(&json).and_then(|spec| Hooks::parse(&spec)));
    hooks.unwrap_or_default()
}

/// The poststop hooks; one that fails is a warning, and the others run (runtime.md, step 13).
pub(super) fn run_poststop(record: &Record, hooks: &Hooks, proof: &SingleThreaded) {
    let hooks = hooks.at(Moment::Poststop);
    if hooks.is_empty() {
        return;
    }
    let state = super::query::document(record, Status::Stopped, 0).lines();
    for hook in hooks {
        if let Err(error) = hooks::run(proof, Moment::Poststop, std::slice::from_ref(hook), &state) {
            log::warning(error.to_string());
        }
    }
}
