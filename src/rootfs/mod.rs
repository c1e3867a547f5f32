//! The container's root filesystem: mounts, devices, masked and read-only paths.
//!
//! [`Rootfs::parse`] checks the config. The other functions are called in this order, each in a
//! step of the launch:
//!
//! ```text
//!  parent   Rootfs::prepare       host descriptors: the root directory, sources that the child could not open
//!           Prepared::directory   the current directory at the creation of the mount namespace
//!           Rootfs::make_nodes    device nodes, which a user namespace cannot create
//!           Rootfs::map_ids       id-mapped sources, once the user namespace has its mappings
//!  child    Rootfs::propagate     no later mount propagates to the host
//!           Rootfs::build         the root at its host path, all mounts, devices and links in it
//!           (hooks of the runtime and createContainer)
//!           Built::pivot          the root becomes /
//!           Built::console        the container's pseudo-terminal, and /dev/console
//!           Built::protect        the working directory, read-only and masked paths, read-only root
//! ```
//!
//! The container's tree may be hostile and may change meanwhile. Every path in it is looked up
//! once, and the descriptor is kept; mounts are created detached and attached to the descriptor of
//! their mount point. Later changes of a mount or lookups in it use its descriptor (`tree.rs`),
//! since its path may lead to another file by then.

mod acl;
mod added;
mod attach;
mod attributes;
mod cgroup;
mod console;
mod copy;
mod cwd;
mod device;
mod external;
mod filesystem;
mod idmap;
mod inside;
mod mask;
mod mount;
mod node;
pub(crate) mod options;
mod pivot;
mod prepare;
mod propagation;
mod put;
mod root;
#[cfg(test)]
mod tests;
mod tree;

pub(crate) use added::remove;
pub(crate) use attach::Built;
pub(crate) use attributes::hold_procfs;
pub(crate) use cgroup::{CgroupView, Hierarchy};
pub(crate) use console::Console;
pub(crate) use device::Device;
pub(crate) use idmap::user_namespace;
pub(crate) use mount::{IdmapOf, MountEntry, MountKind};
pub(crate) use options::{Depth, names as mount_options};
pub(crate) use pivot::Enter;
pub(crate) use prepare::{Prepared, Sources, Trees};

use crate::config;
use crate::error::{Error, Result};
use crate::idmap::IdMaps;
use crate::path::InRoot;
use mount::MountContext;
use options::Propagation;
use std::path::{Path, PathBuf};

/// The checked root filesystem of a config.
#[derive(Debug)]
pub(crate) struct Rootfs {
    /// The absolute path of the root directory on the host.
    pub path: PathBuf,
    /// Whether the root mount is read-only.
    pub readonly: bool,
    /// `linux.rootfsPropagation`; `None` stands for slave.
    propagation: Option<Propagation>,
    /// The mounts in the order in which they are made.
    pub mounts: Vec<MountEntry>,
    devices: Vec<Device>,
    /// Whether the container has a user namespace, so that devices are bind mounts.
    user_namespace: bool,
    /// The id mappings of the user namespace in the config.
    ids: IdMaps,
    pub masked: Vec<InRoot>,
    /// The paths that are made read-only before others are masked.
    pub readonly_paths: Vec<InRoot>,
    /// The working directory of the container's program.
    cwd: Option<InRoot>,
    label: Option<String>,
}

impl Rootfs {
    /// Checks `root`, `mounts` and the fields of `linux` about files; `bundle` is the bundle's
    /// absolute path. `selinux` is whether the host has SELinux.
    ///
    /// It does not read any file of the host.
    ///
    /// # Errors
    /// A field is wrong; the error names its JSON path.
    pub(crate) fn parse(spec: &config::Spec<'_>, bundle: &Path, selinux: bool) -> Result<Rootfs> {
        let none = config::Linux::default();
        let linux = spec.linux.as_ref().unwrap_or(&none);
        let user_namespace = linux.namespace("user").is_some();
        let ids = IdMaps::parse(linux)?;
        let root = spec.root.as_ref().ok_or_else(|| Error::config("root", "missing"))?;
        let path = root.path.as_deref().filter(|path| !path.is_empty());
        let path = path.ok_or_else(|| Error::config("root.path", "missing"))?;
        if path.contains('\0') {
            return Err(Error::config("root.path", "holds a NUL byte"));
        }
        let path = bundle.join(path);
        let context = MountContext { bundle, root: &path, user_namespace, ids };
        let mounts = spec.mounts.iter().flatten().enumerate().map(|(n, mount)| MountEntry::parse(mount, n, &context));
        let mounts = mounts.collect::<Result<_>>()?;
        let ids = context.ids;
        Ok(Rootfs {
            path,
            readonly: root.readonly.unwrap_or(false),
            propagation: propagation::parse(linux.rootfs_propagation.as_deref())?,
            mounts,
            devices: device::parse(linux.devices.as_deref().unwrap_or_default())?,
            user_namespace,
            ids,
            masked: mask::parse(linux.masked_paths.as_deref(), "linux.maskedPaths")?,
            readonly_paths: mask::parse(linux.readonly_paths.as_deref(), "linux.readonlyPaths")?,
            cwd: spec.process.as_ref().and_then(|process| process.cwd.as_deref()).map(InRoot::new),
            label: label(linux.mount_label.as_deref(), selinux)?,
        })
    }

    /// The destinations of the mounts, each with its index.
    pub(crate) fn destinations(&self) -> impl Iterator<Item = (usize, &str)> {
        self.mounts.iter().map(|mount| (mount.index, mount.destination.as_str()))
    }

    /// Whether the process that calls [`Rootfs::build`] must be in the container's cgroups: a mount
    /// of cgroup v2 depends on the cgroup namespace, and the memory for `tmpcopyup` is charged to
    /// the copying process.
    pub(crate) fn is_of_cgroups(&self) -> bool {
        let shows =
            |mount: &MountEntry| matches!(&mount.kind, mount::MountKind::Filesystem { kind, .. } if kind == "cgroup2");
        self.mounts.iter().any(|mount| mount.options.copy_up || shows(mount))
    }

    /// The device nodes; none if /dev is a bind mount.
    pub(crate) fn devices(&self) -> &[Device] {
        if self.owns_dev() { &self.devices } else { &[] }
    }

    /// The propagation of the root mount as in a config, and of the host's mounts while the container is built.
    pub(crate) fn propagation_name(&self) -> &'static str {
        self.propagation.map_or("rslave", Propagation::name)
    }

    /// Warnings about options without effect; each names its field.
    pub(crate) fn warnings(&self) -> Vec<String> {
        self.mounts.iter().filter_map(MountEntry::warning).collect()
    }

    /// Warnings about each procfs and sysfs without a masked or read-only path, if the config has
    /// such paths: the lists name paths, and a second procfs or sysfs has other paths.
    pub(crate) fn unprotected(&self) -> Vec<String> {
        let of_kernel = |mount: &&MountEntry| matches!(&mount.kind, mount::MountKind::Filesystem { kind, .. } if kind == "proc" || kind == "sysfs");
        let protects = |mount: &MountEntry| {
            self.masked.iter().chain(&self.readonly_paths).any(|path| path.is_within(&mount.destination))
        };
        let bare = self.mounts.iter().filter(of_kernel).filter(|mount| !protects(mount));
        let lists = "linux.maskedPaths and linux.readonlyPaths name nothing in it";
        if self.masked.is_empty() && self.readonly_paths.is_empty() {
            return Vec::new();
        }
        bare.map(|mount| format!("mounts[{}]: {} is not protected: {lists}", mount.index, mount.destination)).collect()
    }

    /// Whether the runtime creates devices and links in /dev. It does not if /dev is a bind mount.
    fn owns_dev(&self) -> bool {
        let dev = InRoot::new("/dev");
        !self.mounts.iter().any(|mount| mount.binds_over(&dev))
    }
}

fn label(label: Option<&str>, selinux: bool) -> Result<Option<String>> {
    match label {
        None | Some("") => Ok(None),
        Some(_) if !selinux => Err(Error::config(
            "linux.mountLabel",
            "selinux label is specified in config, but selinux is disabled or not supported",
        )),
        Some(label) if label.contains(['\0', '"']) => {
            Err(Error::config("linux.mountLabel", "holds a NUL byte or a quotation mark"))
        }
        Some(label) => Ok(Some(label.to_string())),
    }
}
