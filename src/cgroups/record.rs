//! The cgroups in a container's state.

use super::branch::{Branch, is_zero};
use super::freezer;
use super::in_use::or_gone;
use super::layout::{is_standard_mount, standard_mount};
use super::systemd::Unit;
use crate::error::Result;
use crate::json::{self, Reader, Value, readable};
use serde::{Serialize, Serializer};

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
#[derive(Default, Serialize)]
struct Written {
    #[serde(skip_serializing_if = "String::is_empty")]
    path: String,
    #[serde(skip_serializing_if = "is_zero")]
    parents: usize,
    /// The controllers of each, with commas between; an empty one is the unified hierarchy.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    hierarchies: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    branches: Vec<Branch>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unit: Option<Unit>,
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

    /// As `Cgroup::thaw_all`, and names the frozen cgroup above the container's, if there is one.
    ///
    /// # Errors
    /// A cgroup cannot be thawed.
    pub(crate) fn thaw_all(&self) -> Result<Option<String>> {
        let Some(branch) = freezer::branch(&self.branches) else { return Ok(None) };
        let frozen = self.frozen()?;
        if frozen || branch.has_children() {
            freezer::thaw_all(&self.branches)?;
        }
        Ok(if frozen { freezer::frozen_above(&self.branches) } else { None })
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
        let mut written = Written { unit: self.unit.clone(), ..Written::default() };
        match self.branches.first() {
            Some(first) if self.is_standard(first) => {
                (written.path, written.parents) = (first.path.clone(), first.parents);
                written.hierarchies = self.branches.iter().map(|branch| branch.controllers.join(",")).collect();
            }
            _ => written.branches = self.branches.clone(),
        }
        written.serialize(serializer)
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
