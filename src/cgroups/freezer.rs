//! Freezing and thawing: v1's freezer controller, or v2's `cgroup.freeze`.

use super::beneath::{self, Visit};
use super::hierarchy_cgroup::{HierarchyCgroup, is_gone, read};
use super::kill;
use crate::error::{Error, Ignore as _, Result};
use crate::sys::file;
use crate::sys::process::poll;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

/// How long a cgroup may take to freeze: a process in an uninterruptible wait holds it up.
const FREEZE_TIMEOUT: Duration = Duration::from_secs(10);

/// The cgroup that can freeze: v1's freezer, else the unified one.
pub(super) fn cgroup(cgroups: &[HierarchyCgroup]) -> Option<&HierarchyCgroup> {
    cgroups.iter().find(|b| b.has("freezer")).or(cgroups.iter().find(|b| b.is_unified()))
}

/// Whether the cgroup is frozen, or on its way to it.
///
/// # Errors
/// The state cannot be read; ENOENT where the cgroup is gone.
pub(super) fn frozen(cgroups: &[HierarchyCgroup]) -> Result<bool> {
    let Some(cgroup) = cgroup(cgroups) else { return Ok(false) };
    let name = if cgroup.is_unified() { "cgroup.freeze" } else { "freezer.state" };
    let mut word = [0; 16];
    let length = file::read(file::open(cgroup.file(name), libc::O_RDONLY)?, &mut word)?;
    match word[..length].trim_ascii_end() {
        b"THAWED" | b"0" => Ok(false),
        b"FROZEN" | b"1" => Ok(true),
        // On its way, by itself or with a parent that somebody else freezes.
        _ => Ok(cgroup.read("freezer.self_freezing")? == "1"),
    }
}

/// Whether what enters the cgroup stands still: it is frozen, or a cgroup above it is.
///
/// # Errors
/// The state cannot be read; ENOENT where the cgroup is gone.
pub(super) fn stands_still(cgroups: &[HierarchyCgroup]) -> Result<bool> {
    let Some(cgroup) = cgroup(cgroups) else { return Ok(false) };
    if cgroup.is_unified() {
        return Ok(cgroup.read("cgroup.events")?.lines().any(|l| l == "frozen 1"));
    }
    Ok(cgroup.read("freezer.state")? != "THAWED")
}

/// Freezes the cgroup and waits until every task stands still; if that fails, it is thawed again.
///
/// # Errors
/// It does not freeze within ten seconds, or has gone, or there is no freezer; this process is in it.
pub(super) fn freeze(cgroups: &[HierarchyCgroup]) -> Result<()> {
    let cgroup = cgroup(cgroups).ok_or_else(|| Error::system("there is no freezer: the container has no cgroup"))?;
    let directory = cgroup.directory();
    kill::refuse_own(&kill::processes(&directory)?, &directory)?;
    let done = if cgroup.is_unified() { freeze_unified(cgroup) } else { freeze_v1(cgroup) };
    if done.is_err() {
        thaw(cgroups).ignore("the first error is the one to tell");
    }
    done
}

fn freeze_v1(cgroup: &HierarchyCgroup) -> Result<()> {
    let deadline = Instant::now() + FREEZE_TIMEOUT;
    let mut pause = Duration::from_micros(50);
    for round in 1.. {
        // Writing again makes the kernel look again at tasks that have forked or moved since.
        cgroup.write("freezer.state", "FROZEN")?;
        if cgroup.read("freezer.state")? == "FROZEN" {
            return Ok(());
        }
        if Instant::now() >= deadline {
            break;
        }
        if round % 25 == 0 {
            // A task that waits for a frozen one, such as a vfork's parent, moves on only when that one may.
            cgroup.write("freezer.state", "THAWED")?;
        }
        // The controller has no event to wait for.
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(10));
    }
    Err(Error::system(format!(
        "unable to freeze {}: it is still freezing after {FREEZE_TIMEOUT:?}",
        cgroup.directory()
    )))
}

fn freeze_unified(cgroup: &HierarchyCgroup) -> Result<()> {
    // Opened before the write, so that no event is missed.
    let events = file::open(cgroup.file("cgroup.events"), libc::O_RDONLY)?;
    cgroup.write("cgroup.freeze", "1")?;
    let deadline = Instant::now() + FREEZE_TIMEOUT;
    loop {
        let text = cgroup.read("cgroup.events")?;
        if text.lines().any(|l| l == "frozen 1") {
            return Ok(());
        }
        // Reading the descriptor that is polled is what arms it for the next event.
        let mut buffer = [0; 256];
        let _ = crate::sys::file::read(&events, &mut buffer)?;
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        poll([(Some(events.as_fd()), libc::POLLPRI)], left.min(Duration::from_millis(100)).as_millis() as i32)?;
    }
    Err(Error::system(format!(
        "unable to freeze {}: it is still freezing after {FREEZE_TIMEOUT:?}",
        cgroup.directory()
    )))
}

/// Thaws the cgroup.
///
/// # Errors
/// The state cannot be written.
pub(super) fn thaw(cgroups: &[HierarchyCgroup]) -> Result<()> {
    let Some(cgroup) = cgroup(cgroups) else { return Ok(()) };
    match cgroup.is_unified() {
        true => cgroup.write("cgroup.freeze", "0")?,
        false => cgroup.write("freezer.state", "THAWED")?,
    }
    Ok(())
}

/// Thaws the cgroup and those in it: a process that is killed in a frozen v1 cgroup dies when it is thawed. A cgroup
/// above the container's is never written to. One that is gone needs nothing.
///
/// # Errors
/// A cgroup's state cannot be read or written.
pub(super) fn thaw_all(cgroups: &[HierarchyCgroup]) -> Result<()> {
    let Some(cgroup) = cgroup(cgroups) else { return Ok(()) };
    let done = beneath::open(&cgroup.directory()).and_then(|top| {
        beneath::walk(top, &mut |visit| {
            if let Visit::Enter(directory) = visit {
                thaw_directory(directory);
            }
            Ok(())
        })
    });
    match done {
        Err(e) if is_gone(&e) => Ok(()),
        done => done,
    }
}

/// Thaws a directory of any hierarchy, if it can be frozen at all.
pub(super) fn thaw_directory(directory: &OwnedFd) {
    for (name, value) in [("freezer.state", "THAWED"), ("cgroup.freeze", "0")] {
        if beneath::read(directory, name).is_ok_and(|state| state != value) {
            beneath::write(directory, name, value).ignore("a cgroup that is gone has no process to thaw");
        }
    }
}

/// Why killed processes do not end.
pub(super) fn cannot_end(above: &str) -> Error {
    Error::system("the container's processes were killed and cannot end: a cgroup above the container's is frozen")
        .hint(format!("thaw it: echo THAWED > {above}/freezer.state"))
}

/// The nearest v1 cgroup above the container's that is frozen by itself, so that nothing in the container can end.
pub(super) fn frozen_above(cgroups: &[HierarchyCgroup]) -> Option<String> {
    let cgroup = cgroup(cgroups).filter(|cgroup| !cgroup.is_unified())?;
    let mut path = &*cgroup.path;
    while let Some((parent, _)) = path.rsplit_once('/').filter(|(parent, _)| !parent.is_empty()) {
        let directory = [&*cgroup.mount, parent].concat();
        if read(&format!("{directory}/freezer.self_freezing")).is_ok_and(|word| word == "1") {
            return Some(directory);
        }
        path = parent;
    }
    None
}
