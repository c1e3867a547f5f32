//! Removing a cgroup, with what is left in it.

use super::beneath::{self, Visit};
use super::hierarchy_cgroup::{HierarchyCgroup, is_gone};
use super::{freezer, kill};
use crate::error::{Error, Ignore as _, IoContext, Result};
use std::time::{Duration, Instant};

/// How long the kernel may take to let go of a cgroup whose processes have been killed.
const PATIENCE: Duration = Duration::from_secs(10);

/// Removes the directories, the cgroups that the container made in them, and the parents made with them. Processes that
/// are still there are killed. What is gone already is fine.
///
/// # Errors
/// A directory that cannot be removed within ten seconds.
pub(super) fn all(cgroups: &[HierarchyCgroup]) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    let mut failed = None;
    let mut rounds = 0;
    for cgroup in cgroups {
        match directory(&cgroup.directory(), deadline, &mut || help(cgroups, &mut rounds)) {
            Ok(()) => cgroup.remove_parents(),
            Err(e) => drop(failed.get_or_insert(e)),
        }
    }
    failed.map_or(Ok(()), Err)
}

/// The round after which processes that fork faster than they are killed are frozen for it.
const PERSISTENT: u32 = 3;

/// The round after which a frozen cgroup above the container's is taken for the reason: each takes 100 ms, as processes that
/// were killed are waited for.
const PATIENT: u32 = 20;

/// What a cgroup that is busy needs in the hierarchy of the freezer, which may not be the one that is being removed.
fn help(cgroups: &[HierarchyCgroup], rounds: &mut u32) -> Result<()> {
    *rounds += 1;
    let done = match *rounds {
        1 => freezer::thaw_all(cgroups),
        PERSISTENT => kill::signal_all(cgroups, libc::SIGKILL),
        PATIENT => freezer::frozen_above(cgroups).map_or(Ok(()), |above| Err(freezer::cannot_end(&above))),
        _ => Ok(()),
    };
    match done {
        Err(e) if is_gone(&e) => Ok(()),
        done => done,
    }
}

fn directory(path: &str, deadline: Instant, help: &mut dyn FnMut() -> Result<()>) -> Result<()> {
    let mut pause = Duration::from_micros(200);
    loop {
        match std::fs::remove_dir(path) {
            Ok(()) => return Ok(()),
            // What is no directory is a file of the kernel's, whose name was asked for in vain.
            Err(e) if matches!(e.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR)) => return Ok(()),
            Err(e)
                if !matches!(e.raw_os_error(), Some(libc::EBUSY | libc::ENOTEMPTY)) || Instant::now() >= deadline =>
            {
                return Err(e).io_context(|| format!("rmdir({path:?})")).map_err(|e| explain(e, path));
            }
            Err(_) => {}
        }
        help()?;
        let ended = match kill::end_all(path, deadline) {
            Err(e) if is_gone(&e) => false,
            done => done?,
        };
        if !ended {
            // There is no process that we can see: the last one is on its way out.
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(20));
        }
    }
}

/// Removes a directory and those in it as far as there are no processes in them.
pub(super) fn empty(path: &str) {
    let mut leave = |visit: Visit<'_>| {
        if let Visit::Leave { parent, name } = visit {
            crate::sys::file::unlink_at(parent, name, libc::AT_REMOVEDIR).ignore("one that has a process stays");
        }
        Ok(())
    };
    beneath::open(path).and_then(|top| beneath::walk(top, &mut leave)).ignore("one that has a process stays");
    std::fs::remove_dir(path).ignore("one that has a process stays");
}

/// Tells who keeps the cgroup busy.
fn explain(error: Error, path: &str) -> Error {
    let left: Vec<String> = kill::processes(path).unwrap_or_default().iter().take(8).map(i32::to_string).collect();
    match left.is_empty() {
        true => error,
        false => error.context(format!("still in the cgroup: processes {}", left.join(", "))),
    }
}
