//! The expected cgroups of a container without a record.

use super::cgroup::Cgroup;
use super::cgroups_path::CgroupsPath;
use super::hierarchy_cgroup::HierarchyCgroup;
use super::layout::{Hierarchy, Layout};
use super::prepare::path_in;
use super::record::CgroupRecord;
use super::systemd::{self, Unit};
use crate::error::Result;
use crate::sys::credentials::effective_uid;

/// The existing cgroups that either driver would choose for this `linux.cgroupsPath`, if it ran in
/// the caller's cgroup.
///
/// # Errors
/// The hierarchies cannot be read.
pub(crate) fn expected(path: Option<&str>, id: &str) -> Result<Vec<Cgroup>> {
    let layout = Layout::read()?;
    let mut found = Vec::new();
    let mut add = |cgroups: Vec<HierarchyCgroup>, unit: Option<Unit>| {
        if cgroups.iter().any(HierarchyCgroup::exists) {
            found.push(Cgroup::open(CgroupRecord { cgroups, unit }));
        }
    };
    if let Ok(cgroups_path) = CgroupsPath::parse(path, id) {
        let cgroup = |h| Ok(HierarchyCgroup::plan(h, path_in(h, &cgroups_path, layout.mode())?));
        add(layout.hierarchies.iter().map(cgroup).collect::<Result<_>>()?, None);
    }
    if let Ok(CgroupsPath::Scope(scope)) = CgroupsPath::parse_scope(path, id) {
        let user = effective_uid() != 0;
        let root = if user { systemd::user_root().unwrap_or_default() } else { String::new() };
        let (unit, _, directory) = super::scope::place(&scope, user, &root)?;
        add(layout.hierarchies.iter().map(|h| HierarchyCgroup::plan(h, directory.clone())).collect(), Some(unit));
    }
    Ok(found)
}

/// The cgroups of a process in each hierarchy for which `own` returns the container's part of the
/// path, with the systemd unit if the process is in its cgroup.
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

/// Removes the cgroups at these paths in every hierarchy, and their nested cgroups, except those
/// with processes.
///
/// # Errors
/// The hierarchies cannot be read.
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
