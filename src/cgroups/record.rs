//! The cgroups in a container's state.

use super::freezer;
use super::hierarchy_cgroup::{HierarchyCgroup, is_zero, unless_gone};
use super::layout::{is_standard_mount, standard_mount};
use super::systemd::Unit;
use crate::error::Result;
use crate::json::{self, Reader, Value, readable};
use serde::{Serialize, Serializer};

/// The cgroups of a container as part of its state, from which a later process finds them again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CgroupRecord {
    /// One cgroup for each hierarchy. Empty if the container has no cgroup of its own.
    pub cgroups: Vec<HierarchyCgroup>,
    /// The unit, if systemd created the cgroup.
    pub unit: Option<Unit>,
}

readable! {
    /// The JSON form of a record. Usually all cgroups have the same path below the standard mount
    /// points. Then the names of the controllers suffice: a third of the bytes, which every command
    /// reads.
    #[derive(Default, Serialize)]
    struct Written {
        #[serde(skip_serializing_if = "String::is_empty")]
        path: String = "path",
        #[serde(skip_serializing_if = "is_zero")]
        parents: usize = "parents",
        /// The controllers of each hierarchy, comma-separated. The empty name is the unified hierarchy.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        hierarchies: Vec<String> = "hierarchies",
        #[serde(rename = "branches", skip_serializing_if = "Vec::is_empty")]
        cgroups: Vec<HierarchyCgroup> = "branches",
        #[serde(skip_serializing_if = "Option::is_none")]
        unit: Option<Unit> = "unit",
    }
}

impl CgroupRecord {
    /// Whether each cgroup has absolute paths.
    pub(crate) fn is_whole(&self) -> bool {
        self.cgroups.iter().all(|cgroup| cgroup.mount.starts_with('/') && cgroup.path.starts_with('/'))
    }

    /// Whether they have the same path in each hierarchy, below the standard mount points.
    pub(crate) fn has_one_path(&self) -> bool {
        self.cgroups.first().is_some_and(|first| self.is_standard(first))
    }

    /// Whether all cgroups are below the standard mount points, at the path of `first`.
    fn is_standard(&self, first: &HierarchyCgroup) -> bool {
        let alone = self.cgroups.len() == 1;
        self.cgroups.iter().all(|cgroup| {
            let same_path = (&cgroup.path, cgroup.parents) == (&first.path, first.parents);
            same_path && is_standard_mount(&cgroup.mount, &cgroup.controllers, alone)
        })
    }

    /// Whether the cgroup is frozen. False if it is gone.
    ///
    /// # Errors
    /// The freezer's state cannot be read.
    pub(crate) fn frozen(&self) -> Result<bool> {
        unless_gone(freezer::frozen(&self.cgroups))
    }

    /// Like `Cgroup::thaw_all`. Returns the frozen cgroup above the container's, if there is one.
    ///
    /// # Errors
    /// A cgroup cannot be thawed.
    pub(crate) fn thaw_all(&self) -> Result<Option<String>> {
        let Some(cgroup) = freezer::cgroup(&self.cgroups) else { return Ok(None) };
        let frozen = self.frozen()?;
        if frozen || cgroup.has_children() {
            freezer::thaw_all(&self.cgroups)?;
        }
        Ok(if frozen { freezer::frozen_above(&self.cgroups) } else { None })
    }
}

/// The cgroup in the hierarchy with these controllers, below its standard mount point.
fn standard_cgroup(names: &str, alone: bool, path: &str, parents: usize) -> HierarchyCgroup {
    let controllers = names.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
    HierarchyCgroup { controllers, mount: standard_mount(names, alone), path: path.to_owned(), parents }
}

/// Serialized as [`Written`].
impl Serialize for CgroupRecord {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut written = Written { unit: self.unit.clone(), ..Written::default() };
        match self.cgroups.first() {
            Some(first) if self.is_standard(first) => {
                (written.path, written.parents) = (first.path.clone(), first.parents);
                written.hierarchies = self.cgroups.iter().map(|cgroup| cgroup.controllers.join(",")).collect();
            }
            _ => written.cgroups = self.cgroups.clone(),
        }
        written.serialize(serializer)
    }
}

impl<'a> Value<'a> for CgroupRecord {
    fn read(&mut self, reader: &mut Reader<'a>) -> json::Result<()> {
        let mut written = Written::default();
        written.read(reader)?;
        *self = written.into();
        Ok(())
    }
}

impl From<Written> for CgroupRecord {
    fn from(written: Written) -> CgroupRecord {
        let cgroups = if written.cgroups.is_empty() { written.standard_cgroups().collect() } else { written.cgroups };
        CgroupRecord { cgroups, unit: written.unit }
    }
}

impl Written {
    /// The cgroups in the named hierarchies.
    fn standard_cgroups(&self) -> impl Iterator<Item = HierarchyCgroup> {
        let alone = self.hierarchies.len() == 1;
        self.hierarchies.iter().map(move |names| standard_cgroup(names, alone, &self.path, self.parents))
    }
}
