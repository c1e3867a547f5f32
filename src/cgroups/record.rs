//! The cgroups in a container's state.

use super::branch::Branch;
use super::freezer;
use super::in_use::or_gone;
use super::layout::{is_standard_mount, standard_mount};
use super::systemd::Unit;
use crate::error::Result;
use crate::json::{self, Reader, Value, objects, readable};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use std::borrow::Cow;

/// What a later process needs to find the cgroup again: a part of the container's state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Record {
    /// One for each hierarchy; none where the container has no cgroup of its own.
    pub branches: Vec<Branch>,
    /// The unit, where systemd has made the cgroup.
    pub unit: Option<Unit>,
}

/// A record as JSON. Mostly all branches lie where distributions mount the hierarchies, at one path: then their names say
/// all, in a third of the bytes, which every command reads.
#[derive(Default)]
struct Written {
    path: String,
    parents: usize,
    /// The controllers of each, with commas between; an empty one is the unified hierarchy.
    hierarchies: Vec<String>,
    branches: Vec<Branch>,
    unit: Option<Unit>,
}

objects! {
    /// What of a record tells whether the cgroup is frozen. The fields are those of [`Written`].
    #[allow(missing_docs)]
    Glance<'a> {
        path: Cow<'a, str> = "path",
        hierarchies: Vec<Cow<'a, str>> = "hierarchies",
        branches: Vec<BranchGlance<'a>> = "branches",
    }

    /// A branch, as far as the freezer is concerned.
    #[allow(missing_docs)]
    BranchGlance<'a> {
        controllers: Vec<Cow<'a, str>> = "controllers",
        mount: Cow<'a, str> = "mount",
        path: Cow<'a, str> = "path",
    }
}

impl Glance<'_> {
    /// The branch that can freeze.
    fn freezer(&self) -> Option<Branch> {
        let path = self.path.as_deref().unwrap_or_default();
        let names: Vec<&str> = self.hierarchies.iter().flatten().map(|names| &**names).collect();
        let freezes = |names: &&&str| names.split(',').any(|name| name == "freezer");
        let standard = names.iter().find(freezes).or_else(|| names.iter().find(|names| names.is_empty()));
        if let Some(found) = standard {
            return Some(place(found, names.len() == 1, path, 0));
        }
        let branches: Vec<Branch> = self.branches.iter().flatten().map(BranchGlance::branch).collect();
        freezer::branch(&branches).cloned()
    }

    /// As [`Cgroup::frozen`].
    ///
    /// # Errors
    /// The freezer's state cannot be read.
    pub(crate) fn frozen(&self) -> Result<bool> {
        or_gone(self.freezer().map_or(Ok(false), |branch| freezer::frozen(&[branch])))
    }

    /// As [`Cgroup::thaw_all`], and names the frozen cgroup above the container's, if there is one.
    ///
    /// # Errors
    /// As [`Cgroup::thaw_all`].
    pub(crate) fn thaw_all(&self) -> Result<Option<String>> {
        let Some(branch) = self.freezer() else { return Ok(None) };
        let branches = [branch];
        let frozen = or_gone(freezer::frozen(&branches))?;
        if frozen || branches[0].has_children() {
            freezer::thaw_all(&branches)?;
        }
        Ok(if frozen { freezer::frozen_above(&branches) } else { None })
    }
}

impl BranchGlance<'_> {
    fn branch(&self) -> Branch {
        let text = |text: &Option<Cow<'_, str>>| text.as_deref().unwrap_or_default().to_owned();
        let controllers = self.controllers.iter().flatten().map(|name| name.to_string()).collect();
        Branch { controllers, mount: text(&self.mount), path: text(&self.path), parents: 0 }
    }
}

impl Record {
    /// Whether each branch says where it is.
    pub(crate) fn is_whole(&self) -> bool {
        self.branches.iter().all(|branch| branch.mount.starts_with('/') && branch.path.starts_with('/'))
    }

    /// Whether all lie where distributions mount the hierarchies, at the path of `first`.
    fn is_standard(&self, first: &Branch) -> bool {
        let alone = self.branches.len() == 1;
        self.branches.iter().all(|branch| {
            let place = (&branch.path, branch.parents) == (&first.path, first.parents);
            place && is_standard_mount(&branch.mount, &branch.controllers, alone)
        })
    }

    /// As [`Cgroup::frozen`].
    ///
    /// # Errors
    /// The freezer's state cannot be read.
    pub(crate) fn frozen(&self) -> Result<bool> {
        or_gone(freezer::frozen(&self.branches))
    }
}

/// The branch that the names of a hierarchy's controllers stand for.
fn place(names: &str, alone: bool, path: &str, parents: usize) -> Branch {
    let controllers = names.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
    Branch { controllers, mount: standard_mount(names, alone), path: path.to_owned(), parents }
}

/// As [`Written`].
impl Serialize for Record {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match self.branches.first() {
            None => {}
            Some(first) if self.is_standard(first) => {
                map.serialize_entry("path", &first.path)?;
                if first.parents != 0 {
                    map.serialize_entry("parents", &first.parents)?;
                }
                let names: Vec<String> = self.branches.iter().map(|branch| branch.controllers.join(",")).collect();
                map.serialize_entry("hierarchies", &names)?;
            }
            Some(_) => map.serialize_entry("branches", &self.branches)?,
        }
        if let Some(unit) = &self.unit {
            map.serialize_entry("unit", unit)?;
        }
        map.end()
    }
}

readable! {
    Written {
        path = "path",
        parents = "parents",
        hierarchies = "hierarchies",
        branches = "branches",
        unit = "unit",
    }
}

impl<'a> Value<'a> for Record {
    fn read(&mut self, reader: &mut Reader<'a>) -> json::Result<()> {
        let mut written = Written::default();
        written.read(reader)?;
        *self = written.into();
        Ok(())
    }
}

impl From<Written> for Record {
    fn from(written: Written) -> Record {
        let branches = if written.branches.is_empty() { written.places().collect() } else { written.branches };
        Record { branches, unit: written.unit }
    }
}

impl Written {
    /// The branches that the names stand for.
    fn places(&self) -> impl Iterator<Item = Branch> {
        let alone = self.hierarchies.len() == 1;
        self.hierarchies.iter().map(move |names| place(names, alone, &self.path, self.parents))
    }
}
