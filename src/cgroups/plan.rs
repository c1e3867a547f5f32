//! What the config asks of cgroups, checked.

use super::cgroups_path::CgroupsPath;
use super::devices;
use super::limits::Limits;
use super::owner;
use super::systemd::{self, Property};
use crate::config::Spec;
use crate::error::Result;

/// Who makes and fills the cgroup.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum CgroupManager {
    /// The runtime writes to the cgroup file system.
    #[default]
    Cgroupfs,
    /// systemd makes a scope.
    Systemd,
    /// None: the container stays in its caller's cgroup.
    Disabled,
}

/// The cgroup of a container, before it is known which hierarchies there are.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct CgroupPlan {
    /// Where it is to be; nowhere without a manager.
    pub place: Option<CgroupsPath>,
    /// Whether the config names the place.
    pub named: bool,
    /// What the container may use; always with device rules.
    pub limits: Limits,
    /// Further properties of systemd's scope, from annotations.
    pub properties: Vec<Property>,
    /// v2: the host's id of the user who is to own the cgroup, if it is not ours.
    pub owner: Option<u32>,
    /// Whether missing rights over cgroups are forgiven as far as no limit needs them.
    pub rootless: bool,
}

impl CgroupPlan {
    /// Checks `linux.cgroupsPath` and `linux.resources` of a container to be.
    ///
    /// # Errors
    /// The field that cannot be meant.
    pub(crate) fn parse(spec: &Spec<'_>, id: &str, manager: CgroupManager, rootless: bool) -> Result<CgroupPlan> {
        let linux = spec.linux.as_ref();
        let path = linux.and_then(|l| l.cgroups_path.as_deref());
        let resources = linux.and_then(|l| l.resources.as_ref());
        let mut limits = match resources {
            Some(resources) => Limits::parse(resources, "linux.resources")?,
            None => Limits::default(),
        };
        limits.devices.get_or_insert_default().extend(devices::defaults());
        let place = match manager {
            CgroupManager::Cgroupfs => Some(CgroupsPath::parse(path, id)?),
            CgroupManager::Systemd => Some(CgroupsPath::parse_scope(path, id)?),
            CgroupManager::Disabled => None,
        };
        let properties = match manager {
            CgroupManager::Systemd => systemd::parse_annotations(spec.annotations.as_deref().unwrap_or_default())?,
            _ => Vec::new(),
        };
        Ok(CgroupPlan {
            place,
            named: path.is_some_and(|p| !p.is_empty()),
            limits,
            properties,
            owner: owner::parse(spec)?,
            rootless,
        })
    }
}
