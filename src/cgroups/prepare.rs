//! The paths of a new cgroup in each hierarchy, and the values of its limits.

use super::cgroups_path::CgroupsPath;
use super::hierarchy_cgroup::HierarchyCgroup;
use super::layout::{Hierarchy, Layout, Mode};
use super::limits::Limits;
use super::write::Write;
use super::{freezer, v1, v2};
use crate::error::{Error, Result};

pub(super) fn cgroups_at(cgroups_path: &CgroupsPath, layout: &Layout) -> Result<Vec<HierarchyCgroup>> {
    let mut cgroups = Vec::with_capacity(layout.hierarchies.len());
    for hierarchy in &layout.hierarchies {
        let cgroup = HierarchyCgroup::plan(hierarchy, path_in(hierarchy, cgroups_path, layout.mode())?);
        if cgroup.exists() {
            check_unused(&cgroup)?;
        }
        cgroups.push(cgroup);
    }
    Ok(cgroups)
}

pub(super) fn writes(cgroups: &[HierarchyCgroup], limits: &Limits) -> Result<Vec<Write>> {
    match cgroups.iter().any(|b| !b.is_unified()) {
        true => v1::writes(limits),
        false => v2::writes(limits),
    }
}

/// A relative path is below the runtime's own cgroup. On v2 it is beside it: the runtime's cgroup
/// contains processes, so its children cannot have controllers.
pub(super) fn path_in(hierarchy: &Hierarchy, cgroups_path: &CgroupsPath, mode: Mode) -> Result<String> {
    let path = match cgroups_path {
        CgroupsPath::Absolute(path) => return Ok(path.clone()),
        CgroupsPath::Relative(path) => path,
        CgroupsPath::Scope(_) => return Err(Error::internal("systemd chooses the path of a scope")),
    };
    let own = hierarchy.own_directory()?;
    let base = match mode {
        Mode::Unified => own.rsplit_once('/').map_or("", |(parent, _)| parent),
        _ => own.trim_end_matches('/'),
    };
    Ok([base, "/", path].concat())
}

/// Refuses an existing cgroup with processes, or a frozen one.
fn check_unused(cgroup: &HierarchyCgroup) -> Result<()> {
    let processes = cgroup.read("cgroup.procs").map(|text| text.lines().count()).unwrap_or(0);
    if processes > 0 {
        let problem = format!("container's cgroup is not empty: {processes} process(es) found");
        return Err(Error::state(problem).context(cgroup.directory()));
    }
    if freezer::frozen(std::slice::from_ref(cgroup)).unwrap_or(false) {
        return Err(Error::state("container's cgroup unexpectedly frozen").context(cgroup.directory()));
    }
    Ok(())
}
