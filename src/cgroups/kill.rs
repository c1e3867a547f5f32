//! The processes of a cgroup, and signals to all of them.

use super::branch::{Branch, is_gone, read, tree, write};
use super::freezer;
use crate::error::{Error, Result};
use crate::sys::process::{self, pidfd_open, pidfd_send_signal};
use std::collections::BTreeSet;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

/// The processes of a directory and of all cgroups in it. Those of other pid namespaces (0) are not told.
///
/// # Errors
/// The directory cannot be read, perhaps since it [is gone](is_gone).
pub(super) fn processes(directory: &str) -> Result<Vec<i32>> {
    let mut pids = BTreeSet::new();
    for (n, directory) in tree(directory).iter().enumerate() {
        match read(&format!("{directory}/cgroup.procs")) {
            Ok(text) => pids.extend(text.lines().filter_map(|l| l.parse::<i32>().ok())),
            // A threaded cgroup lists its processes at its domain, and a nested one may be gone by now.
            Err(_) if n > 0 => {}
            Err(e) => return Err(e.into()),
        }
    }
    pids.remove(&0);
    Ok(pids.into_iter().collect())
}

/// Signals every process of the cgroup, once, also those that are born meanwhile: the cgroup is frozen for as long as
/// it takes. A cgroup that was frozen before stays so, except for SIGKILL, which must be seen to work.
///
/// # Errors
/// The cgroup's processes cannot be listed, or a signal is refused.
pub(super) fn signal_all(branches: &[Branch], signal: i32) -> Result<()> {
    let Some(branch) = freezer::branch(branches).or(branches.first()) else {
        return Err(Error::state("the container has no cgroup of its own whose processes could be signalled"));
    };
    let directory = branch.directory();
    if signal == libc::SIGKILL && branch.is_unified() && write(&branch.file("cgroup.kill"), "1").is_ok() {
        return Ok(());
    }
    let frozen_before = freezer::frozen(branches).unwrap_or(false);
    let froze = !frozen_before && freezer::freeze(branches).is_ok();
    let done = match signal_each(&directory, signal) {
        // Who is killed while frozen is gone before the next look, on v2, and systemd removes the empty cgroup at once.
        Err(e) if is_gone(&e) => Ok(()),
        done => done,
    };
    if froze || signal == libc::SIGKILL {
        match freezer::thaw(branches) {
            Err(e) if is_gone(&e) => {}
            thawed => thawed?,
        }
    }
    done
}

fn signal_each(directory: &str, signal: i32) -> Result<()> {
    let mut told = BTreeSet::new();
    // Without a freezer somebody may fork before our signal comes: look until nobody is new.
    for _ in 0..100 {
        let new: Vec<i32> = processes(directory)?.into_iter().filter(|pid| told.insert(*pid)).collect();
        if new.is_empty() {
            break;
        }
        for pid in new {
            signal_one(directory, pid, signal)?;
        }
    }
    Ok(())
}

/// Signals a process by a descriptor that is known to be of a member of the cgroup.
fn signal_one(directory: &str, pid: i32, signal: i32) -> Result<()> {
    let gone = |e: &crate::sys::Failure| e.is(libc::ESRCH);
    let pidfd = match pidfd_open(pid) {
        Err(e) if gone(&e) => return Ok(()),
        Err(e) if e.is(libc::EINVAL) => return Ok(()),
        pidfd => pidfd?,
    };
    if !processes(directory)?.contains(&pid) {
        return Ok(());
    }
    match pidfd_send_signal(&pidfd, signal) {
        Err(e) if gone(&e) => Ok(()),
        done => Ok(done?),
    }
}

/// How long the end of one process is waited for before the cgroup is tried again: the first process of a pid namespace leaves
/// its cgroup some time before it has ended.
const WAIT: Duration = Duration::from_millis(100);

/// Kills what is in a directory (not in those within it) and waits for its end for a while. Says whether there was anybody.
pub(super) fn end_all(directory: &str, deadline: Instant) -> bool {
    let pids = read(&format!("{directory}/cgroup.procs")).unwrap_or_default();
    let pidfds: Vec<OwnedFd> = pids
        .lines()
        .filter_map(|line| line.parse().ok().filter(|pid| *pid > 0))
        .filter_map(|pid| pidfd_open(pid).ok())
        .collect();
    if pidfds.is_empty() {
        return false;
    }
    // Still the same list: no pid has been given to another process since.
    if read(&format!("{directory}/cgroup.procs")).unwrap_or_default() != pids {
        return true;
    }
    for pidfd in &pidfds {
        let _ = pidfd_send_signal(pidfd, libc::SIGKILL);
    }
    freezer::thaw_directory(directory);
    for pidfd in &pidfds {
        let left = deadline.saturating_duration_since(Instant::now()).min(WAIT);
        let _ = process::poll([(Some(pidfd.as_fd()), libc::POLLIN)], left.as_millis() as i32);
    }
    true
}
