//! Freezing and thawing: v1's freezer controller, or v2's `cgroup.freeze`.

use super::beneath::{self, Visit};
use super::hierarchy_cgroup::{HierarchyCgroup, read, unless_gone};
use super::kill;
use crate::error::{Error, Ignore as _, Result};
use crate::sys::file;
use crate::sys::process::poll;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

/// The time for a cgroup to freeze. A process in uninterruptible sleep delays it.
const FREEZE_TIMEOUT: Duration = Duration::from_secs(10);

/// The cgroup in v1's freezer hierarchy, or else in the unified one.
pub(super) fn cgroup(cgroups: &[HierarchyCgroup]) -> Option<&HierarchyCgroup> {
    cgroups.iter().find(|b| b.has("freezer")).or(cgroups.iter().find(|b| b.is_unified()))
}

/// Whether the cgroup is frozen or freezing.
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
        // FREEZING, by its own state or by that of a cgroup above it.
        _ => Ok(cgroup.read("freezer.self_freezing")? == "1"),
    }
}

/// Whether processes that join the cgroup are frozen, by the cgroup itself or by one above it.
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

/// Freezes the cgroup and waits until every task is frozen. On failure it is thawed again.
///
/// # Errors
/// The cgroup does not freeze within ten seconds or is gone, there is no freezer, or this process
/// is in the cgroup.
pub(super) fn freeze(cgroups: &[HierarchyCgroup]) -> Result<()> {
    let cgroup = cgroup(cgroups).ok_or_else(|| Error::system("there is no freezer: the container has no cgroup"))?;
    let directory = cgroup.directory();
    kill::refuse_own(&kill::processes(&directory)?, &directory)?;
    let done = if cgroup.is_unified() { freeze_unified(cgroup) } else { freeze_v1(cgroup) };
    if done.is_err() {
        thaw(cgroups).ignore("the first error is reported");
    }
    done
}

fn still_freezing(cgroup: &HierarchyCgroup) -> Error {
    let directory = cgroup.directory();
    Error::system(format!("unable to freeze {directory}: it is still freezing after {FREEZE_TIMEOUT:?}"))
}

fn freeze_v1(cgroup: &HierarchyCgroup) -> Result<()> {
    let deadline = Instant::now() + FREEZE_TIMEOUT;
    let mut pause = Duration::from_micros(50);
    for round in 1.. {
        // Each write makes the kernel freeze tasks that have forked or moved since the last one.
        cgroup.write("freezer.state", "FROZEN")?;
        if cgroup.read("freezer.state")? == "FROZEN" {
            return Ok(());
        }
        if Instant::now() >= deadline {
            break;
        }
        if round % 25 == 0 {
            // A task that waits for a frozen task, such as the parent of a vfork, can freeze only
            // after the other one runs.
            cgroup.write("freezer.state", "THAWED")?;
        }
        // The controller sends no event.
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(10));
    }
    Err(still_freezing(cgroup))
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
        // A read of the polled descriptor arms it for the next event.
        let mut buffer = [0; 256];
        let _ = crate::sys::file::read(&events, &mut buffer)?;
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        poll([(Some(events.as_fd()), libc::POLLPRI)], left.min(Duration::from_millis(100)).as_millis() as i32)?;
    }
    Err(still_freezing(cgroup))
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

/// Thaws the cgroup and its nested cgroups: in a frozen v1 cgroup a killed process exits only when
/// it is thawed. Cgroups above the container's are never written. A cgroup that is gone is ignored.
///
/// # Errors
/// A cgroup's state cannot be read or written.
pub(super) fn thaw_all(cgroups: &[HierarchyCgroup]) -> Result<()> {
    let Some(cgroup) = cgroup(cgroups) else { return Ok(()) };
    unless_gone(beneath::open(&cgroup.directory()).and_then(|top| {
        beneath::walk(top, &mut |visit| {
            if let Visit::Enter(directory) = visit {
                thaw_directory(directory);
            }
            Ok(())
        })
    }))
}

/// Thaws a directory of any hierarchy, if it has a freezer.
pub(super) fn thaw_directory(directory: &OwnedFd) {
    for (name, value) in [("freezer.state", "THAWED"), ("cgroup.freeze", "0")] {
        if beneath::read(directory, name).is_ok_and(|state| state != value) {
            beneath::write(directory, name, value).ignore("a cgroup that is gone has no process to thaw");
        }
    }
}

/// The error for killed processes that cannot exit.
pub(super) fn cannot_end(above: &str) -> Error {
    Error::system("the container's processes were killed but cannot exit: a cgroup above the container's is frozen")
        .hint(format!("thaw it: echo THAWED > {above}/freezer.state"))
}

/// The nearest v1 cgroup above the container's that is frozen by its own state, which keeps the
/// container's processes from exiting.
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
