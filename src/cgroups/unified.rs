//! Preparation of a v2 cgroup before a process joins: controllers are enabled from the root down.

use super::devices::Rule;
use super::filter;
use super::hierarchy_cgroup::{HierarchyCgroup, read, write as write_file};
use super::write::Write;
use crate::error::{Context, Error, Ignore as _, Result};
use crate::sys::file;

/// Controllers that only a domain can have, since they cannot count by thread.
fn is_domain_controller(name: &str) -> bool {
    matches!(name, "memory" | "io" | "hugetlb" | "rdma" | "misc")
}

/// Enables the available controllers in each directory above the cgroup, and makes a cgroup in a
/// threaded subtree threaded.
///
/// # Errors
/// A threaded cgroup has limits that need a domain. A controller that cannot be enabled is an error
/// of the limit that needs it, if there is one.
pub(super) fn enable(cgroup: &HierarchyCgroup, writes: &[Write]) -> Result<()> {
    let mut directory = cgroup.mount.clone();
    for part in cgroup.path.split('/').skip(1) {
        enable_below(&directory);
        directory.push('/');
        directory.push_str(part);
    }
    let kind = cgroup.read("cgroup.type").unwrap_or_default();
    if kind != "domain invalid" && kind != "threaded" {
        return Ok(());
    }
    if let Some(write) = writes.iter().find(|w| is_domain_controller(&w.controller)) {
        let problem = format!("cannot enter cgroupv2 {:?} with domain controllers -- it is {kind}", cgroup.directory());
        return Err(Error::config(format!("linux.resources.{}", write.field), problem));
    }
    if kind == "domain invalid" {
        cgroup.write("cgroup.type", "threaded")?;
    }
    Ok(())
}

/// Enforces device rules: `linux.resources.devices` and the default ones.
///
/// # Errors
/// The directory is gone, or the kernel refuses the filter.
pub(super) fn enforce_devices(cgroup: &HierarchyCgroup, rules: &[Rule]) -> Result<()> {
    let directory = file::open(cgroup.directory(), libc::O_RDONLY | libc::O_DIRECTORY)?;
    filter::enforce(&directory, rules).context("linux.resources.devices")
}

/// Enables a directory's controllers for its children: all at once, or else one by one.
fn enable_below(directory: &str) {
    let list = |name: &str| read(&format!("{directory}/{name}")).unwrap_or_default();
    let (available, enabled) = (list("cgroup.controllers"), list("cgroup.subtree_control"));
    let missing: Vec<String> = available
        .split_whitespace()
        .filter(|c| enabled.split_whitespace().all(|e| e != *c))
        .map(|c| format!("+{c}"))
        .collect();
    if missing.is_empty() {
        return;
    }
    let file = format!("{directory}/cgroup.subtree_control");
    if write_file(&file, &missing.join(" ")).is_err() {
        for controller in missing {
            write_file(&file, &controller).ignore("the limits of an absent controller are refused by name");
        }
    }
}
