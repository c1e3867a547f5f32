//! Removal of a cgroup, with its remaining processes and nested cgroups.

use super::beneath::{self, Visit};
use super::hierarchy_cgroup::{HierarchyCgroup, unless_gone};
use super::{freezer, kill};
use crate::error::{Error, Ignore as _, IoContext, Result};
use std::time::{Duration, Instant};

/// The time for one removal. The kernel keeps a cgroup for a while after its processes were killed.
const REMOVAL_TIMEOUT: Duration = Duration::from_secs(10);

/// Kills the remaining processes, then removes the directories, the cgroups nested in them and the
/// parents that were made with them. Directories that are already gone are ignored.
///
/// # Errors
/// No cgroup could be removed for ten seconds.
pub(super) fn all(cgroups: &[HierarchyCgroup]) -> Result<()> {
    all_until(cgroups, Instant::now() + REMOVAL_TIMEOUT)
}

/// Like [`all`], with a deadline for the first removal. Each removal starts a new timeout.
pub(super) fn all_until(cgroups: &[HierarchyCgroup], mut deadline: Instant) -> Result<()> {
    let mut failed = None;
    let mut rounds = 0;
    for cgroup in cgroups {
        match directory(&cgroup.directory(), &mut deadline, &mut || help(cgroups, &mut rounds)) {
            Ok(()) => cgroup.remove_parents(),
            Err(e) => drop(failed.get_or_insert(e)),
        }
    }
    failed.map_or(Ok(()), Err)
}

/// The round in which the cgroup is frozen to kill processes that fork faster than they are killed.
const FREEZE_ROUND: u32 = 3;

/// The round in which a frozen cgroup above the container's is reported as the reason. A round waits
/// up to 100 ms for a killed process.
const FROZEN_ABOVE_ROUND: u32 = 20;

/// Unblocks a busy cgroup. Freezing works in the freezer's hierarchy, whichever is being removed.
fn help(cgroups: &[HierarchyCgroup], rounds: &mut u32) -> Result<()> {
    *rounds += 1;
    unless_gone(match *rounds {
        1 => freezer::thaw_all(cgroups),
        FREEZE_ROUND => kill::signal_all(cgroups, libc::SIGKILL),
        FROZEN_ABOVE_ROUND => freezer::frozen_above(cgroups).map_or(Ok(()), |above| Err(freezer::cannot_end(&above))),
        _ => Ok(()),
    })
}

fn directory(path: &str, deadline: &mut Instant, help: &mut dyn FnMut() -> Result<()>) -> Result<()> {
    let mut pause = Duration::from_micros(200);
    loop {
        let error = match std::fs::remove_dir(path) {
            Ok(()) => {
                *deadline = Instant::now() + REMOVAL_TIMEOUT;
                return Ok(());
            }
            // `cgroupsPath` may name a control file, which is not a directory.
            Err(e) if matches!(e.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR)) => return Ok(()),
            Err(e) => e,
        };
        let refused = |e| Err(e).io_context(|| format!("rmdir({path:?})")).map_err(|e| explain(e, path));
        if !matches!(error.raw_os_error(), Some(libc::EBUSY | libc::ENOTEMPTY)) {
            return refused(error);
        }
        help()?;
        let ended = unless_gone(kill::end_all(path, *deadline))?;
        if ended.removed {
            *deadline = Instant::now() + REMOVAL_TIMEOUT;
        } else if Instant::now() >= *deadline {
            return refused(error);
        }
        if !ended.killed {
            // No process is visible: the last one is exiting.
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(20));
        }
    }
}

/// Removes a directory and the cgroups in it, except those with processes.
pub(super) fn empty(path: &str) {
    let mut leave = |visit: Visit<'_>| {
        if let Visit::Leave { parent, name } = visit {
            crate::sys::file::unlink_at(parent, name, libc::AT_REMOVEDIR).ignore("a cgroup with processes stays");
        }
        Ok(())
    };
    beneath::open(path).and_then(|top| beneath::walk(top, &mut leave)).ignore("a cgroup with processes stays");
    std::fs::remove_dir(path).ignore("a cgroup with processes stays");
}

/// Adds the processes that keep the cgroup busy.
fn explain(error: Error, path: &str) -> Error {
    let left: Vec<String> = kill::processes(path).unwrap_or_default().iter().take(8).map(i32::to_string).collect();
    match left.is_empty() {
        true => error,
        false => error.context(format!("still in the cgroup: processes {}", left.join(", "))),
    }
}
