//! Where a cgroup is to be in each hierarchy, and what is to be written to it.

use super::cgroups_path::CgroupsPath;
use super::hierarchy_cgroup::HierarchyCgroup;
use super::layout::{Hierarchy, Layout, Mode};
use super::limits::Limits;
use super::write::Write;
use super::{freezer, v1, v2};
use crate::error::{Error, Result};

pub(super) fn cgroups_at(place: &CgroupsPath, layout: &Layout) -> Result<Vec<HierarchyCgroup>> {
    let mut cgroups = Vec::with_capacity(layout.hierarchies.len());
    for hierarchy in &layout.hierarchies {
        let cgroup = HierarchyCgroup::plan(hierarchy, path_in(hierarchy, place, layout.mode())?);
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

/// A relative place is below our own cgroup; on v2 beside it, since ours has processes and so no children with
/// controllers.
pub(super) fn path_in(hierarchy: &Hierarchy, place: &CgroupsPath, mode: Mode) -> Result<String> {
    let path = match place {
        CgroupsPath::Absolute(path) => return Ok(path.clone()),
        CgroupsPath::Relative(path) => path,
        CgroupsPath::Scope(_) => return Err(Error::internal("a systemd scope has no place of ours")),
    };
    let own = hierarchy.own_directory()?;
    let base = match mode {
        Mode::Unified => own.rsplit_once('/').map_or("", |(parent, _)| parent),
        _ => own.trim_end_matches('/'),
    };
    Ok([base, "/", path].concat())
}

/// An existing cgroup is taken over only when nobody is in it.
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
