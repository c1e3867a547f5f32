//! Where the cgroup of a container must be that no record tells of any more.

use super::branch::Branch;
use super::cgroup::{Cgroup, Record};
use super::decide::path_in;
use super::layout::Layout;
use super::place::{Place, expand_slice};
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
