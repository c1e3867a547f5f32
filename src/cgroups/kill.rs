//! Lists and signals the processes of a cgroup.

use super::beneath::{self, Visit};
use super::freezer;
use super::hierarchy_cgroup::{HierarchyCgroup, is_gone, unless_gone, write};
use crate::error::{Error, Ignore as _, Result};
use crate::sys::file::unlink_at;
use crate::sys::process::{self, pidfd_open, signal_if_alive};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

/// The number of pidfds that are open at once.
const HELD: usize = 256;

/// The processes of a directory and of all cgroups in it, except processes of other pid namespaces,
/// which are listed as 0.
///
/// # Errors
/// The directory cannot be read, perhaps since it [is gone](is_gone).
pub(super) fn processes(directory: &str) -> Result<Vec<i32>> {
    let mut pids = Vec::new();
    let top = beneath::open(directory)?;
    let mut members = Members::of(&top);
    beneath::walk(top, &mut |visit| {
        if let Visit::Enter(directory) = visit {
            pids.extend(members.list(directory)?);
        }
        Ok(())
    })?;
    pids.retain(|pid| *pid != 0);
    Ok(sorted(pids))
}

/// The pids in ascending order, each once.
fn sorted(mut pids: Vec<i32>) -> Vec<i32> {
    pids.sort_unstable();
    pids.dedup();
    pids
}

/// Lists the processes of a tree of cgroups.
struct Members {
    /// Whether the tree is in a threaded subtree of v2: its cgroups list only threads, and the
    /// processes are listed in the domain above.
    threaded: bool,
    /// Whether a directory was listed. The first one must be readable.
    listed: bool,
}

impl Members {
    fn of(top: &OwnedFd) -> Members {
        let threaded = beneath::read(top, "cgroup.type").is_ok_and(|kind| kind == "threaded");
        Members { threaded, listed: false }
    }

    /// The processes of one cgroup, sorted.
    fn list(&mut self, directory: &OwnedFd) -> Result<Vec<i32>> {
        let name = if self.threaded { "cgroup.threads" } else { "cgroup.procs" };
        let numbers = match beneath::read(directory, name) {
            // A threaded cgroup lists its processes in its domain, and a nested one may be gone.
            Err(e) if self.listed && (is_gone(&e) || e.errno() == libc::EOPNOTSUPP) => return Ok(Vec::new()),
            read => read?,
        };
        self.listed = true;
        let numbers = numbers.lines().filter_map(|line| line.parse::<i32>().ok());
        Ok(sorted(if self.threaded { numbers.filter_map(process_of).collect() } else { numbers.collect() }))
    }
}

/// The process of a thread.
fn process_of(thread: i32) -> Option<i32> {
    let status = std::fs::read_to_string(format!("/proc/{thread}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("Tgid:")?.trim().parse().ok())
}

/// Sends a signal once to every process of the cgroup, including processes that are forked
/// meanwhile: the cgroup is frozen during the operation. A cgroup that was frozen before stays
/// frozen, except after SIGKILL, which must take effect.
///
/// # Errors
/// The processes cannot be listed, or a signal is refused, or this process is one of them.
pub(super) fn signal_all(cgroups: &[HierarchyCgroup], signal: i32) -> Result<()> {
    let Some(cgroup) = freezer::cgroup(cgroups).or(cgroups.first()) else {
        return Err(Error::state(
            "the container has no cgroup of its own, so its processes cannot be signalled together",
        ));
    };
    let directory = cgroup.directory();
    if let Err(e) = processes(&directory).and_then(|pids| refuse_own(&pids, &directory)) {
        return unless_gone(Err(e));
    }
    if signal == libc::SIGKILL && cgroup.is_unified() && write(&cgroup.file("cgroup.kill"), "1").is_ok() {
        return Ok(());
    }
    let frozen_before = freezer::frozen(cgroups).unwrap_or(false);
    let froze = !frozen_before && freezer::freeze(cgroups).is_ok();
    // On v2 a frozen process can be killed and gone before the next listing. systemd removes the
    // empty cgroup at once.
    let done = unless_gone(signal_each(&directory, signal));
    if signal == libc::SIGKILL {
        freezer::thaw_all(cgroups)?;
    } else if froze {
        unless_gone(freezer::thaw(cgroups))?;
    }
    done
}

/// A runtime in the container's cgroup would freeze or kill itself, and leave the operation
/// unfinished.
pub(super) fn refuse_own(pids: &[i32], directory: &str) -> Result<()> {
    if pids.contains(&process::pid()) {
        let text = format!("the runtime itself, process {}, is in the container's cgroup {directory}", process::pid());
        return Err(Error::state(text)
            .hint("move the calling shell or service to another cgroup: it joined this one after create"));
    }
    Ok(())
}

fn signal_each(directory: &str, signal: i32) -> Result<()> {
    let mut told = Vec::new();
    // Without a freezer a process may fork before the signal arrives: repeat until no new process
    // is listed.
    for _ in 0..100 {
        let mut new = processes(directory)?;
        new.retain(|pid| told.binary_search(pid).is_err());
        if new.is_empty() {
            break;
        }
        signal_members(&new, signal, || processes(directory))?;
        told = sorted([told, new].concat());
    }
    Ok(())
}

/// Signals those of `pids` that `members` still lists once their pidfds are open: the pidfds refer
/// to members of the cgroup then. Returns the pidfd of the last one.
fn signal_members(pids: &[i32], signal: i32, mut members: impl FnMut() -> Result<Vec<i32>>) -> Result<Option<OwnedFd>> {
    let mut last = None;
    for some in pids.chunks(HELD) {
        let held = hold(some)?;
        let now = members()?;
        for (_, pidfd) in held.into_iter().filter(|(pid, _)| now.binary_search(pid).is_ok()) {
            signal_if_alive(&pidfd, signal)?;
            last = Some(pidfd);
        }
    }
    Ok(last)
}

/// Opens pidfds of the processes that still exist.
fn hold(pids: &[i32]) -> Result<Vec<(i32, OwnedFd)>> {
    let mut held = Vec::new();
    for pid in pids.iter().copied().filter(|pid| *pid > 0) {
        match pidfd_open(pid) {
            Err(e) if matches!(e.errno().0, libc::ESRCH | libc::EINVAL | libc::ENOENT) => {}
            pidfd => held.push((pid, pidfd?)),
        }
    }
    Ok(held)
}

/// The time to wait for the exit of one process before the cgroup is tried again: the first process
/// of a pid namespace leaves its cgroup some time before it has exited.
const EXIT_TIMEOUT: Duration = Duration::from_millis(100);

/// The progress of [`end_all`].
#[derive(Default)]
pub(super) struct Ended {
    /// Whether processes were killed.
    pub killed: bool,
    /// Whether nested cgroups were removed.
    pub removed: bool,
}

/// Kills the processes of a cgroup and of the cgroups nested in it, thaws all of them, and removes
/// the nested ones that are not busy. Waits up to [`EXIT_TIMEOUT`] for one of the killed processes.
///
/// # Errors
/// A cgroup cannot be read, or contains this process.
pub(super) fn end_all(directory: &str, deadline: Instant) -> Result<Ended> {
    let top = beneath::open(directory)?;
    let mut members = Members::of(&top);
    let (mut last, mut removed) = (None, false);
    beneath::walk(top, &mut |visit| {
        match visit {
            Visit::Enter(directory) => last = kill_members(&mut members, directory)?.or(last.take()),
            // The caller tries a busy cgroup again.
            Visit::Leave { parent, name } => removed |= unlink_at(parent, name, libc::AT_REMOVEDIR).is_ok(),
        }
        Ok(())
    })?;
    if let Some(pidfd) = &last {
        let left = deadline.saturating_duration_since(Instant::now()).min(EXIT_TIMEOUT);
        process::poll([(Some(pidfd.as_fd()), libc::POLLIN)], left.as_millis() as i32)
            .ignore("the caller looks again, and has a deadline");
    }
    Ok(Ended { killed: last.is_some(), removed })
}

/// Kills the processes of one cgroup. Returns the pidfd of one of them.
fn kill_members(members: &mut Members, directory: &OwnedFd) -> Result<Option<OwnedFd>> {
    let pids = members.list(directory)?;
    refuse_own(&pids, &crate::sys::show(directory))?;
    let last = signal_members(&pids, libc::SIGKILL, || members.list(directory))?;
    freezer::thaw_directory(directory);
    Ok(last)
}
