//! `delete`: what `create` made is undone.

use super::Context;
use super::remains::Remains;
use super::request::{ContainerId, DeleteRequest};
use crate::config;
use crate::error::{Error, Kind, Result};
use crate::hooks::{self, Hooks, Moment};
use crate::log;
use crate::state::{Entry, Record, Status, Store, has_left};
use crate::sys::process::{self, SingleThreaded};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// How long a killed process may take to be gone.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a process that is about to be gone is waited for, and how long nothing but a frozen cgroup keeps a killed one.
const ENDING: Duration = Duration::from_secs(2);
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
    let Known { record, doubt } = Known::read(&entry, request)?;
    let remains = doubt.as_ref().map(|_| Remains::of(&store, &entry, &request.id));
    let Some(record) = record else {
        let why = match remains.as_ref().and_then(Remains::foreign) {
            Some(runtime) => format!("its state was written by {runtime}"),
            None => doubt.unwrap_or_default(),
        };
        return forget(&entry, remains, None, &why);
    };
    let status = record.status().unwrap_or(Status::Running);
    if status != Status::Stopped {
        if request.force {
            record.cgroup().refuse_own()?;
            end(&record)?;
        } else if !await_end(&entry, &record)? {
            let text = format!("cannot delete container {} that is not stopped: {}", request.id, status.word());
            return Err(Error::state(text));
        }
    }
    let hooks = hooks_of(&store, &request.id);
    log::step("remove the container");
    match doubt {
        Some(why) => forget(&entry, remains, Some(&record), &why)?,
        None => destroy(&entry, &record)?,
    }
    entry.unlock()?;
    run_poststop(&record, &hooks, proof);
    Ok(())
}

/// What is known of a container that is to be deleted.
struct Known {
    record: Option<Record>,
    /// Why the record cannot be trusted.
    doubt: Option<String>,
}

impl Known {
    /// Without force only what can be read is deleted.
    fn read(entry: &Entry, request: &DeleteRequest) -> Result<Known> {
        let bytes = match entry.bytes() {
            // `create` was killed before it wrote anything, or the file was removed.
            Ok(None) if !request.force => return Err(Error::new(Kind::NotFound, "container does not exist")),
            Ok(None) => return Ok(Known { record: None, doubt: Some("it has no state.json".into()) }),
            Ok(Some(bytes)) => Ok(bytes),
            Err(error) => Err(error),
        };
        match bytes.and_then(|bytes| Ok((Record::parse(&bytes)?, Record::is_intact(&bytes)))) {
            Ok((record, intact)) => {
                let doubt = (!intact).then(|| "its state.json was changed by another program".to_owned());
                Ok(Known { record: Some(record), doubt })
            }
            Err(error) if !request.force => Err(error),
            Err(error) => Ok(Known { record: None, doubt: Some(error.to_string()) }),
        }
    }
}

/// Removes a container whose record is in doubt, once none of its processes lives.
fn forget(entry: &Entry, remains: Option<Remains>, record: Option<&Record>, why: &str) -> Result<()> {
    if let Some(mut remains) = remains {
        remains.end(record)?;
        remains.refuse_living(why)?;
    }
    if let Some(group) = record.and_then(|record| record.resctrl.as_ref()) {
        group.remove();
    }
    entry.remove()
}

/// Waits for a process that is about to be gone, without the lock. Whether the container has stopped.
fn await_end(entry: &Entry, record: &Record) -> Result<bool> {
    let Some(init) = record.init.filter(|init| init.is_ending()) else { return Ok(false) };
    let Some(pidfd) = init.open()? else { return Ok(true) };
    entry.unlock()?;
    let deadline = Instant::now() + ENDING;
    let mut ended = false;
    while !ended && Instant::now() < deadline {
        let [ready] = process::poll([(Some(pidfd.as_fd()), libc::POLLIN)], LOOK)?;
        ended = ready != 0 || has_left(init.pid);
    }
    entry.lock()?;
    match entry.bytes()? {
        Some(_) => Ok(ended),
        // It was deleted meanwhile.
        None => Err(Error::new(Kind::NotFound, "container does not exist")),
    }
}

/// Kills the container's processes and waits for the first one to be gone.
fn end(record: &Record) -> Result<()> {
    let Some(pidfd) = record.init.map(|init| init.open()).transpose()?.flatten() else { return Ok(()) };
    match process::pidfd_send_signal(&pidfd, libc::SIGKILL) {
        Err(e) if e.is(libc::ESRCH) => return Ok(()),
        other => other?,
    }
    let cgroup = record.cgroup();
    cgroup.thaw_all()?;
    let pid = record.init.map_or(0, |init| init.pid);
    let begin = Instant::now();
    while begin.elapsed() < PATIENCE {
        let [ready] = process::poll([(Some(pidfd.as_fd()), libc::POLLIN)], LOOK)?;
        if ready != 0 || has_left(pid) {
            return Ok(());
        }
        if begin.elapsed() >= ENDING {
            cgroup.refuse_frozen_above()?;
        }
    }
    Err(Error::system(format!("process {pid} did not end within 10 s of SIGKILL"))
        .hint("it waits for a device or a file system (state D)"))
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
    if entry.bytes()?.is_none() {
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
