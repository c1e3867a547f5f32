//! The checked form of the config's fields for cgroups.

use super::cgroups_path::CgroupsPath;
use super::devices;
use super::layout::{Layout, Mode};
use super::limits::Limits;
use super::owner;
use super::systemd::{self, Property};
use super::write::Write;
use super::{apply, v1, v2};
use crate::config::Spec;
use crate::error::Result;

/// The manager that creates and configures cgroups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum CgroupManager {
    /// The runtime writes to the cgroup file system.
    #[default]
    Cgroupfs,
    /// systemd starts a scope.
    Systemd,
    /// No manager: the container stays in its caller's cgroup.
    Disabled,
}

/// The requested cgroup of a container, independent of the mounted hierarchies.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct CgroupPlan {
    /// The requested path. None without a manager.
    pub cgroups_path: Option<CgroupsPath>,
    /// Whether the config has a `cgroupsPath`.
    pub named: bool,
    /// The limits, always with device rules.
    pub limits: Limits,
    /// Additional properties of the systemd scope, from annotations.
    pub properties: Vec<Property>,
    /// v2: the host's user id of the cgroup's new owner. None keeps the owner.
    pub owner: Option<u32>,
    /// Whether missing permissions are ignored for cgroups that no limit needs.
    pub rootless: bool,
}

impl CgroupPlan {
    /// Whether this machine's cgroups have a place for each limit, for an explanation before anything is made.
    ///
    /// # Errors
    /// The first limit that has none, as `create` would tell of it.
    pub(crate) fn check_here(&self) -> Result<()> {
        let layout = Layout::read()?;
        let writes = match layout.mode() {
            Mode::None => return Ok(()),
            Mode::Unified => return v2::writes(&self.limits).map(drop),
            Mode::Legacy | Mode::Hybrid => v1::writes(&self.limits)?,
        };
        let is_here =
            |write: &&Write| layout.hierarchies.iter().any(|of| of.controllers.contains(&write.controller.to_string()));
        match writes.iter().find(|write| !write.optional && !is_here(write)) {
            Some(write) if !self.rootless => Err(apply::no_controller(write)),
            _ => Ok(()),
        }
    }

    /// Checks `linux.cgroupsPath` and `linux.resources` of a new container.
    ///
    /// # Errors
    /// A field has an invalid value.
    pub(crate) fn parse(spec: &Spec<'_>, id: &str, manager: CgroupManager, rootless: bool) -> Result<CgroupPlan> {
        let linux = spec.linux.as_ref();
        let path = linux.and_then(|l| l.cgroups_path.as_deref());
        let resources = linux.and_then(|l| l.resources.as_ref());
        let mut limits = match resources {
            Some(resources) => Limits::parse(resources, "linux.resources")?,
            None => Limits::default(),
        };
        limits.devices.get_or_insert_default().extend(devices::defaults());
        let cgroups_path = match manager {
            CgroupManager::Cgroupfs => Some(CgroupsPath::parse(path, id)?),
            CgroupManager::Systemd => Some(CgroupsPath::parse_scope(path, id)?),
            CgroupManager::Disabled => None,
        };
        let properties = match manager {
            CgroupManager::Systemd => systemd::parse_annotations(spec.annotations.as_deref().unwrap_or_default())?,
            _ => Vec::new(),
        };
        Ok(CgroupPlan {
            cgroups_path,
            named: path.is_some_and(|p| !p.is_empty()),
            limits,
            properties,
            owner: owner::parse(spec)?,
            rootless,
        })
    }
}
