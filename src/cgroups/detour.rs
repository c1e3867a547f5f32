//! A temporary cgroup for one fork beyond the pids limit (`pids.max`).
//!
//! The kernel lets processes join a full cgroup and refuses only forks. `exec` joins first and then
//! forks into the container's pid namespace. If that fork is refused, the process moves to a new
//! cgroup below the runtime's own and forks there. The runtime then moves the child into the
//! container's cgroup before the child continues.
//!
//! Other processes of the pid namespace see the child meanwhile, and may trace it if they have
//! CAP_SYS_PTRACE. So the temporary cgroup has the container's device filters, and every process
//! that is left in it at the end is killed.

use super::cgroup::Cgroup;
use super::hierarchy_cgroup::HierarchyCgroup;
use super::layout::Layout;
use super::remove;
use crate::error::{Error, Ignore as _, Result};
use crate::sys::{bpf, file};
use std::os::fd::OwnedFd;

/// A process in a temporary cgroup.
#[derive(Debug)]
pub(crate) struct Detour {
    /// The `cgroup.procs` files of its former cgroups.
    left: Vec<OwnedFd>,
    /// The temporary cgroups.
    made: Vec<HierarchyCgroup>,
}

impl Cgroup {
    /// Moves the process `pid` out of its cgroups that enforce a pids limit.
    ///
    /// # Errors
    /// A cgroup below the runtime's own cannot be created or joined.
    pub(crate) fn detour(&self, pid: i32) -> Result<Detour> {
        let (theirs, ours) = (Layout::read_of(pid)?, Layout::read()?);
        let mut detour = Detour { left: Vec::new(), made: Vec::new() };
        for cgroup in counting(&self.cgroups) {
            let of = |layout: &Layout| -> Result<HierarchyCgroup> {
                let found = layout.hierarchies.iter().find(|h| h.controllers == cgroup.controllers);
                let found =
                    found.ok_or_else(|| Error::system("the hierarchy of the pids controller is not mounted"))?;
                Ok(HierarchyCgroup::at(found, found.own_directory()?.trim_end_matches('/').to_owned()))
            };
            let old = of(&theirs)?;
            detour.left.push(file::open(old.file("cgroup.procs"), libc::O_WRONLY)?);
            let mut new = of(&ours)?;
            new.path += &format!("/orlop-exec-{pid}");
            new.make()?;
            detour.made.push(new.clone());
            if cgroup.is_unified() {
                copy_device_filters(&old.mount, &old.path, &new)?;
            }
            new.write("cgroup.procs", &pid.to_string())?;
        }
        Ok(detour)
    }
}

impl Detour {
    /// Moves the process `pid` into the former cgroups, and removes the temporary ones.
    ///
    /// # Errors
    /// A cgroup refuses the process.
    pub(crate) fn end(mut self, pid: i32) -> Result<()> {
        for list in std::mem::take(&mut self.left) {
            file::write_value(&list, pid.to_string().as_bytes())?;
        }
        remove::all(&std::mem::take(&mut self.made))
    }
}

impl Drop for Detour {
    fn drop(&mut self) {
        remove::all(&self.made).ignore("delete removes a cgroup that is left");
    }
}

/// The cgroups in the hierarchy of the pids controller.
fn counting(cgroups: &[HierarchyCgroup]) -> Vec<&HierarchyCgroup> {
    let v1: Vec<&HierarchyCgroup> = cgroups.iter().filter(|cgroup| cgroup.has("pids")).collect();
    if v1.is_empty() { cgroups.iter().filter(|cgroup| cgroup.is_unified()).collect() } else { v1 }
}

/// Attaches to `new` the device filters that apply to the cgroup `path`: its own and those of the
/// cgroups above it.
fn copy_device_filters(mount: &str, path: &str, new: &HierarchyCgroup) -> Result<()> {
    let directory = |path: &str| file::open(path, libc::O_RDONLY | libc::O_DIRECTORY);
    let new = directory(&new.directory())?;
    let mut rest = path;
    loop {
        match bpf::device_filters(&directory(&format!("{mount}{rest}"))?) {
            // A runtime without the privilege to query filters has attached none, and an old kernel
            // has none.
            Err(e) if [libc::EPERM, libc::ENOSYS, libc::EINVAL].contains(&e.errno().0) => return Ok(()),
            filters => attach(&new, filters?)?,
        }
        match rest.rsplit_once('/') {
            Some((above, _)) => rest = above,
            None => return Ok(()),
        }
    }
}

fn attach(new: &OwnedFd, filters: Vec<(OwnedFd, bpf::Name)>) -> Result<()> {
    filters.iter().try_for_each(|(filter, _)| Ok(bpf::attach_device_filter(new, filter, None)?))
}
