//! Where the cgroup of a container must be that no record tells of any more.

use super::cgroup::Cgroup;
use super::cgroups_path::{CgroupsPath, expand_slice};
use super::hierarchy_cgroup::HierarchyCgroup;
use super::layout::{Hierarchy, Layout};
use super::prepare::path_in;
use super::record::CgroupRecord;
use super::systemd::{self, Unit};
use crate::error::Result;
use crate::sys::credentials::effective_uid;

/// The cgroups that a container with this `linux.cgroupsPath` would have been given from here, by either driver, as far as
/// they are there.
///
/// # Errors
/// The hierarchies cannot be found.
pub(crate) fn expected(path: Option<&str>, id: &str) -> Result<Vec<Cgroup>> {
    let layout = Layout::read()?;
    let mut found = Vec::new();
    let mut add = |cgroups: Vec<HierarchyCgroup>, unit: Option<Unit>| {
        if cgroups.iter().any(HierarchyCgroup::exists) {
            found.push(Cgroup::open(CgroupRecord { cgroups, unit }));
        }
    };
    if let Ok(place) = CgroupsPath::parse(path, id) {
        let cgroup = |h| Ok(HierarchyCgroup::plan(h, path_in(h, &place, layout.mode())?));
        add(layout.hierarchies.iter().map(cgroup).collect::<Result<_>>()?, None);
    }
    if let Ok(CgroupsPath::Scope(scope)) = CgroupsPath::parse_scope(path, id) {
        let user = effective_uid() != 0;
        let root = if user { systemd::user_root().unwrap_or_default() } else { String::new() };
        let slice = scope.slice.clone().unwrap_or_else(|| if user { "user.slice" } else { "system.slice" }.to_owned());
        let unit = Unit::of(&scope, user);
        let directory = format!("{root}{}/{}", expand_slice(&slice)?.trim_end_matches('/'), unit.name);
        add(layout.hierarchies.iter().map(|h| HierarchyCgroup::plan(h, directory.clone())).collect(), Some(unit));
    }
    Ok(found)
}

/// The cgroup that a process lives in, in each hierarchy in which `own` tells which part of the path is the container's. With it
/// goes the unit that systemd has made for it, if the process is in that one.
///
/// # Errors
/// The process is gone.
pub(crate) fn around(pid: i32, path: Option<&str>, id: &str, own: impl Fn(&str) -> Option<String>) -> Result<Cgroup> {
    let layout = Layout::read_of(pid)?;
    let cgroup = |h: &Hierarchy| Some(HierarchyCgroup::plan(h, own(&h.own_directory().ok()?)?));
    let cgroups: Vec<HierarchyCgroup> = layout.hierarchies.iter().filter_map(cgroup).collect();
    let unit = match CgroupsPath::parse_scope(path, id) {
        Ok(CgroupsPath::Scope(scope)) => Some(Unit::of(&scope, effective_uid() != 0)),
        _ => None,
    };
    let is_in = |unit: &Unit| cgroups.iter().any(|cgroup| cgroup.path.ends_with(&format!("/{}", unit.name)));
    Ok(Cgroup::open(CgroupRecord { unit: unit.filter(is_in), cgroups }))
}

/// Removes the cgroups at these paths of every hierarchy, and those in them, that have no processes.
///
/// # Errors
/// The hierarchies cannot be found.
pub(crate) fn remove_empty(paths: &[String]) -> Result<()> {
    let layout = Layout::read()?;
    for (hierarchy, path) in layout.hierarchies.iter().flat_map(|h| paths.iter().map(move |path| (h, path))) {
        let cgroup = HierarchyCgroup::plan(hierarchy, path.clone());
        if path.len() > 1 && cgroup.exists() {
            super::remove::empty(&cgroup.directory());
        }
    }
    Ok(())
}
