//! Writes values to the files of a cgroup.

use super::hierarchy_cgroup::HierarchyCgroup;
use super::write::Write;
use crate::error::{Context, Error, Result};
use crate::sys::credentials::effective_uid;
use crate::sys::{self, file};
use std::os::fd::OwnedFd;

/// Performs the writes in their order.
///
/// # Errors
/// The first value that the kernel refuses, with its field.
pub(super) fn all(cgroups: &[HierarchyCgroup], writes: &[&Write]) -> Result<()> {
    let mut files = Files { cgroups, open: None };
    writes.chunk_by(|one, next| are_bound(one, next)).try_for_each(|group| files.group(group))
}

fn are_bound(one: &Write, next: &Write) -> bool {
    one.retry_group.is_some() && one.retry_group == next.retry_group
}

/// The writes in their order, grouped by their dependencies.
pub(super) fn groups(writes: &[Write]) -> impl Iterator<Item = &[Write]> {
    writes.chunk_by(are_bound)
}

/// Performs one of [`groups`].
///
/// # Errors
/// As [`all`].
pub(super) fn group(cgroups: &[HierarchyCgroup], group: &[Write]) -> Result<()> {
    Files { cgroups, open: None }.group(&group.iter().collect::<Vec<_>>())
}

/// Checks that the file of each write exists.
///
/// # Errors
/// The first write without a file, with the same error as [`all`].
pub(super) fn check(cgroups: &[HierarchyCgroup], writes: &[Write]) -> Result<()> {
    for write in writes {
        let cgroup = cgroup_of(cgroups, &write.controller).ok_or_else(|| no_controller(write))?;
        let missing = |name: &str| file::open(cgroup.file(name), libc::O_WRONLY).err().filter(|e| e.is(libc::ENOENT));
        let Some(failure) = missing(&write.file) else { continue };
        if write.optional || write.instead.as_ref().is_some_and(|(file, _)| missing(file).is_none()) {
            continue;
        }
        return Err(match cgroup.is_unified() {
            true => unavailable(cgroup, write, failure),
            false => Error::from(failure).context(format!("linux.resources.{}", write.field)),
        });
    }
    Ok(())
}

struct Files<'a> {
    cgroups: &'a [HierarchyCgroup],
    /// The last file: device rules are written to the same one, one by one.
    open: Option<(String, OwnedFd)>,
}

impl Files<'_> {
    /// Writes values that depend on each other: a write that fails with EINVAL is tried again after
    /// another one has succeeded.
    fn group(&mut self, writes: &[&Write]) -> Result<()> {
        let mut left = writes.to_vec();
        loop {
            let (before, mut refused) = (left.len(), None);
            let mut again = Vec::new();
            for write in left {
                match self.one(write) {
                    Err(e) if e.errno() == libc::EINVAL && writes.len() > 1 => {
                        refused.get_or_insert(e);
                        again.push(write);
                    }
                    other => other?,
                }
            }
            match refused {
                None => return Ok(()),
                Some(error) if again.len() == before => return Err(error),
                Some(_) => left = again,
            }
        }
    }

    fn one(&mut self, write: &Write) -> Result<()> {
        let field = || format!("linux.resources.{}", write.field);
        let Some(cgroup) = cgroup_of(self.cgroups, &write.controller) else {
            return Err(no_controller(write));
        };
        let mut done = self.write(cgroup, &write.file, &write.value);
        if let (Err(e), Some((file, value))) = (&done, &write.instead)
            && e.is(libc::ENOENT)
        {
            done = self.write(cgroup, file, value);
        }
        match done {
            Err(e) if e.is(libc::ENOENT) && write.optional => Ok(()),
            Err(e) if e.is(libc::ENOENT) && cgroup.is_unified() => Err(unavailable(cgroup, write, e)),
            Err(e) if e.is(libc::EBUSY) && write.file == "memory.limit_in_bytes" => {
                Err(in_use(cgroup, write)).with_context(field)
            }
            Err(e) => Err(with_range(Error::from(e), write).context(field())),
            Ok(()) => Ok(()),
        }
    }

    fn write(&mut self, cgroup: &HierarchyCgroup, name: &str, value: &str) -> sys::Result<()> {
        let path = cgroup.file(name);
        let fd = match self.open.take() {
            Some((open, fd)) if open == path => fd,
            _ => file::open(&*path, libc::O_WRONLY)?,
        };
        let done = file::write_value(&fd, value.as_bytes()).map(drop);
        self.open = Some((path, fd));
        done
    }
}

/// The cgroup in the hierarchy that has the controller. On v2 alone it is the only cgroup.
pub(super) fn cgroup_of<'a>(cgroups: &'a [HierarchyCgroup], controller: &str) -> Option<&'a HierarchyCgroup> {
    match cgroups {
        [only] if only.is_unified() => Some(only),
        cgroups => cgroups.iter().find(|b| b.has(controller)),
    }
}

pub(super) fn no_controller(write: &Write) -> Error {
    let name = write.field.split('.').next().unwrap_or_default();
    let problem = format!(
        "cannot set {name} limit: container could not join or create cgroup: no hierarchy has the {} controller",
        write.controller
    );
    let error = Error::config(format!("linux.resources.{}", write.field), problem);
    match effective_uid() {
        0 => error,
        _ => error.hint(
            "an unprivileged user may set limits in a delegated cgroup only: use the systemd cgroup driver, or leave the limit out",
        ),
    }
}

/// Adds a hint with the valid range, if it is known.
fn with_range(error: Error, write: &Write) -> Error {
    let online = |what: &str| std::fs::read_to_string(format!("/sys/devices/system/{what}/online")).unwrap_or_default();
    match (write.field.as_ref(), error.errno()) {
        ("cpu.cpus", libc::EINVAL | libc::ERANGE | libc::EACCES | libc::ENOSPC) => {
            let cpus = online("cpu");
            error.hint(format!("this machine has the CPUs {}; a cgroup has at most those of its parent", cpus.trim()))
        }
        ("cpu.mems", libc::EINVAL | libc::ERANGE | libc::EACCES | libc::ENOSPC) => {
            error.hint(format!("this machine has the memory nodes {}", online("node").trim()))
        }
        ("cpu.quota" | "cpu.period", libc::EINVAL) => {
            error.hint("in microseconds: a quota of at least 1000, or -1 for none, in a period from 1000 to 1000000")
        }
        ("memory.swap", libc::EINVAL) => {
            error.hint("memory and swap together: set memory.limit too, to no more than it")
        }
        ("pids.limit", libc::EINVAL) => error.hint("the kernel takes at most 4194304; -1 is no limit"),
        _ => error,
    }
}

/// On v2 a file is missing if its controller is not enabled, or if the kernel is too old for it.
fn unavailable(cgroup: &HierarchyCgroup, write: &Write, failure: sys::Failure) -> Error {
    let enabled = cgroup.read("cgroup.controllers").unwrap_or_default();
    let field = format!("linux.resources.{}", write.field);
    if write.controller == "cgroup" || enabled.split(' ').any(|c| c == write.controller) {
        return Error::from(failure).context(field);
    }
    let what = if write.field.starts_with("unified.") {
        format!("unified resource {:?} can't be set: controller {:?} not available", write.file, write.controller)
    } else {
        format!("controller {:?} is not available in {}", write.controller, cgroup.directory())
    };
    Error::config(field, what)
}

/// v1 refuses a memory limit if the current usage cannot be reclaimed to it.
fn in_use(cgroup: &HierarchyCgroup, write: &Write) -> Error {
    let number = |file| cgroup.read(file).unwrap_or_else(|_| "unknown".into());
    let error = Error::system(format!(
        "unable to set memory limit to {} (current usage: {}, peak usage: {})",
        write.value,
        number("memory.usage_in_bytes"),
        number("memory.max_usage_in_bytes")
    ));
    error.hint("a program needs 1048576 at least, most need more")
}
