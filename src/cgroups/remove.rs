//! Removing a cgroup, with what is left in it.

use super::branch::{Branch, children, read};
use super::kill;
use crate::error::{Error, IoContext, Result};
use std::time::{Duration, Instant};

/// How long the kernel may take to let go of a cgroup whose processes have been killed.
const PATIENCE: Duration = Duration::from_secs(10);

/// Removes the directories, the cgroups that the container made in them, and the parents made with them. Processes that
/// are still there are killed. What is gone already is fine.
///
/// # Errors
/// A directory that cannot be removed within ten seconds.
pub(super) fn all(branches: &[Branch]) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    let mut failed = None;
    for branch in branches {
        match directory(&branch.directory(), deadline) {
            Ok(()) => branch.remove_parents(),
            Err(e) => drop(failed.get_or_insert(e)),
        }
    }
    failed.map_or(Ok(()), Err)
}

fn directory(path: &str, deadline: Instant) -> Result<()> {
    let mut pause = Duration::from_micros(200);
    loop {
        match std::fs::remove_dir(path) {
            Ok(()) => return Ok(()),
            // What is no directory is a file of the kernel's, whose name was asked for in vain.
            Err(e) if matches!(e.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR)) => return Ok(()),
            Err(e)
                if !matches!(e.raw_os_error(), Some(libc::EBUSY | libc::ENOTEMPTY)) || Instant::now() >= deadline =>
            {
                return Err(e).call(|| format!("rmdir({path:?})")).map_err(|e| explain(e, path));
            }
            Err(_) => {}
        }
        let nested = children(path);
        for child in &nested {
            directory(child, deadline)?;
        }
        let ended = kill::end_all(path, deadline);
        if nested.is_empty() && !ended {
            // Nobody is in it that we can see: its last process is on its way out.
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(20));
        }
    }
}

/// Tells who keeps the cgroup busy.
fn explain(error: Error, path: &str) -> Error {
    let left = read(&format!("{path}/cgroup.procs")).unwrap_or_default();
    let left: Vec<&str> = left.lines().take(8).collect();
    match left.is_empty() {
        true => error,
        false => error.at(format!("still in the cgroup: processes {}", left.join(", "))),
    }
}
