//! How writes are carried out.

use super::branch::Branch;
use super::write::Write;
use crate::error::{Context, Error, Result};
use crate::sys::{self, file};
use std::os::fd::OwnedFd;

/// Carries out the writes in their order.
///
/// # Errors
/// The first value that the kernel refuses, with the field that it comes from.
pub(super) fn all(branches: &[Branch], writes: &[&Write]) -> Result<()> {
    let mut files = Files { branches, open: None };
    let mut rest = writes;
    while let Some(first) = rest.first() {
        let bound = rest.iter().take_while(|w| w.bond.is_some() && w.bond == first.bond).count();
        let (now, later) = rest.split_at(bound.max(1));
        files.bound(now)?;
        rest = later;
    }
    Ok(())
}

struct Files<'a> {
    branches: &'a [Branch],
    /// The last file, as device rules are written one by one into the same.
    open: Option<(String, OwnedFd)>,
}

impl Files<'_> {
    /// Writes that depend on each other: what is refused with EINVAL is tried again once another has succeeded.
    fn bound(&mut self, writes: &[&Write]) -> Result<()> {
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
        let Some(branch) = branch_of(self.branches, &write.controller) else {
            return Err(no_controller(write));
        };
        let mut done = self.write(branch, &write.file, &write.value);
        if let (Err(e), Some((file, value))) = (&done, &write.instead)
            && e.is(libc::ENOENT)
        {
            done = self.write(branch, file, value);
        }
        match done {
            Err(e) if e.is(libc::ENOENT) && write.optional => Ok(()),
            Err(e) if e.is(libc::ENOENT) && branch.is_unified() => Err(unavailable(branch, write, e)),
            Err(e) if e.is(libc::EBUSY) && write.file == "memory.limit_in_bytes" => {
                Err(in_use(branch, write)).with(field)
            }
            done => done.with(field),
        }
    }

    fn write(&mut self, branch: &Branch, name: &str, value: &str) -> sys::Result<()> {
        let path = branch.file(name);
        let fd = match self.open.take() {
            Some((open, fd)) if open == path => fd,
            _ => file::open(&*path, libc::O_WRONLY)?,
        };
        let done = file::write(&fd, value.as_bytes()).map(drop);
        self.open = Some((path, fd));
        done
    }
}

/// The branch whose hierarchy has the controller; a cgroup of v2 alone has all of them in its one.
pub(super) fn branch_of<'a>(branches: &'a [Branch], controller: &str) -> Option<&'a Branch> {
    match branches {
        [only] if only.is_unified() => Some(only),
        branches => branches.iter().find(|b| b.has(controller)),
    }
}

fn no_controller(write: &Write) -> Error {
    let name = write.field.split('.').next().unwrap_or_default();
    let problem = format!(
        "cannot set {name} limit: container could not join or create cgroup: there is none of the {} controller",
        write.controller
    );
    Error::config(format!("linux.resources.{}", write.field), problem)
}

/// On v2 a file is missing when its controller is not enabled, or when the kernel is too old for it.
fn unavailable(branch: &Branch, write: &Write, failure: sys::Failure) -> Error {
    let enabled = branch.read("cgroup.controllers").unwrap_or_default();
    let field = format!("linux.resources.{}", write.field);
    if write.controller == "cgroup" || enabled.split(' ').any(|c| c == write.controller) {
        return Error::from(failure).at(field);
    }
    let what = if write.field.starts_with("unified.") {
        format!("unified resource {:?} can't be set: controller {:?} not available", write.file, write.controller)
    } else {
        format!("controller {:?} is not available in {}", write.controller, branch.directory())
    };
    Error::config(field, what)
}

/// v1 refuses a memory limit that what is in use cannot be shrunk to.
fn in_use(branch: &Branch, write: &Write) -> Error {
    let number = |file| branch.read(file).unwrap_or_else(|_| "unknown".into());
    Error::system(format!(
        "unable to set memory limit to {} (current usage: {}, peak usage: {})",
        write.value,
        number("memory.usage_in_bytes"),
        number("memory.max_usage_in_bytes")
    ))
}
