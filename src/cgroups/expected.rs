//! Where the cgroup of a container must be that no record tells of any more.

use super::branch::Branch;
use super::cgroup::Cgroup;
use super::decide::path_in;
use super::layout::{Hierarchy, Layout};
use super::place::{Place, expand_slice};
use super::record::Record;
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
    let mut add = |branches: Vec<Branch>, unit: Option<Unit>| {
        if branches.iter().any(Branch::exists) {
            found.push(Cgroup::open(Record { branches, unit }));
        }
    };
    if let Ok(place) = Place::parse(path, id) {
        let branch = |h| Ok(Branch::plan(h, path_in(h, &place, layout.mode())?));
        add(layout.hierarchies.iter().map(branch).collect::<Result<_>>()?, None);
    }
    if let Ok(Place::Scope(scope)) = Place::parse_scope(path, id) {
        let user = effective_uid() != 0;
        let root = if user { systemd::user_root().unwrap_or_default() } else { String::new() };
        let slice = scope.slice.clone().unwrap_or_else(|| if user { "user.slice" } else { "system.slice" }.to_owned());
        let unit = Unit::of(&scope, user);
        let directory = format!("{root}{}/{}", expand_slice(&slice)?.trim_end_matches('/'), unit.name);
        add(layout.hierarchies.iter().map(|h| Branch::plan(h, directory.clone())).collect(), Some(unit));
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
    let branch = |h: &Hierarchy| Some(Branch::plan(h, own(&h.own_directory().ok()?)?));
    let branches: Vec<Branch> = layout.hierarchies.iter().filter_map(branch).collect();
    let unit = match Place::parse_scope(path, id) {
        Ok(Place::Scope(scope)) => Some(Unit::of(&scope, effective_uid() != 0)),
        _ => None,
    };
    let is_in = |unit: &Unit| branches.iter().any(|branch| branch.path.ends_with(&format!("/{}", unit.name)));
    Ok(Cgroup::open(Record { unit: unit.filter(is_in), branches }))
}

/// Removes the cgroups at these paths of every hierarchy, and those in them, that have no processes.
///
/// # Errors
/// The hierarchies cannot be found.
pub(crate) fn remove_empty(paths: &[String]) -> Result<()> {
    let layout = Layout::read()?;
    for (hierarchy, path) in layout.hierarchies.iter().flat_map(|h| paths.iter().map(move |path| (h, path))) {
        let branch = Branch::plan(hierarchy, path.clone());
        if path.len() > 1 && branch.exists() {
            super::remove::empty(&branch.directory());
        }
    }
    Ok(())
}
