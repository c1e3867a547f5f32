//! The container's root filesystem: what is mounted in it, made, hidden and protected.
//!
//! [`Rootfs::parse`] checks the config; everything else happens in this order, each a step of the launch:
//!
//! ```text
//!  parent   Rootfs::prepare       host descriptors: the root directory, sources that the child could not open
//!           Prepared::directory   the current directory when the mount namespace is made, so that it is found again there
//!           Rootfs::make_nodes    device nodes that a user namespace may not make
//!           Rootfs::map_ids       id-mapped sources, once the user namespace has its ids
//!  child    Rootfs::propagate     no mount made from here on reaches the host
//!           Rootfs::build         the root at its host path, all mounts, devices and links in it
//!           (hooks of the runtime and createContainer)
//!           Built::pivot          the root becomes /
//!           Built::console        a pseudo-terminal of the container's, and /dev/console
//!           Built::protect        the working directory, read-only and masked paths, read-only root
//! ```
//!
//! The container's tree may be hostile and may change while all this happens. Every place in it is looked up once and then held;
//! mounts are made detached and attached to what is held. They stay held, too: what is done with a mount later, or with what is
//! in it, is done through its descriptor (`tree.rs`), since its name may lead to something else by then.

mod acl;
mod attach;
mod attributes;
mod cgroup;
mod console;
mod copy;
mod cwd;
mod device;
mod filesystem;
mod idmap;
mod inside;
mod mask;
mod mount;
mod node;
mod options;
mod outside;
mod pivot;
mod prepare;
mod propagation;
#[cfg(test)]
mod tests;
mod tree;

pub(crate) use attach::Built;
pub(crate) use cgroup::{CgroupView, Hierarchy};
pub(crate) use console::Console;
pub(crate) use idmap::user_namespace;
pub(crate) use mount::IdmapOf;
pub(crate) use options::names as mount_options;
pub(crate) use pivot::Enter;
pub(crate) use prepare::{Prepared, Sources, Trees};

use crate::config;
use crate::error::{Error, Result};
use crate::idmap::IdMaps;
use crate::path::InRoot;
use device::Device;
use mount::{Mount, Surroundings};
use options::Propagation;
use std::path::{Path, PathBuf};

/// What is true of the host, as far as a config may need it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Facts {
    /// Whether SELinux is enabled.
    pub selinux: bool,
}

/// The root filesystem that a config describes, checked.
#[derive(Debug)]
pub(crate) struct Rootfs {
    /// On the host, absolute.
    path: PathBuf,
    readonly: bool,
    /// As the config says; slave without.
    propagation: Option<Propagation>,
    mounts: Vec<Mount>,
    devices: Vec<Device>,
    /// Devices are mounts of nodes made outside.
    user_namespace: bool,
    /// Of that namespace, as the config has them.
    ids: IdMaps,
    masked: Vec<InRoot>,
    readonly_paths: Vec<InRoot>,
    /// The working directory of the container's program.
    cwd: Option<InRoot>,
    label: Option<String>,
}

impl Rootfs {
    /// Checks `root`, `mounts` and the parts of `linux` that are about files; `bundle` is the bundle's absolute path.
    ///
    /// Nothing of the host is looked at.
    ///
    /// # Errors
    /// What is wrong, with the JSON path of the field.
    pub(crate) fn parse(spec: &config::Spec<'_>, bundle: &Path, facts: Facts) -> Result<Rootfs> {
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
        let around = Surroundings { bundle, root: &path, user_namespace, ids };
        let mounts = spec.mounts.iter().flatten().enumerate().map(|(n, mount)| Mount::parse(mount, n, &around));
        let mounts = mounts.collect::<Result<_>>()?;
        let ids = around.ids;
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
            label: label(linux.mount_label.as_deref(), facts)?,
        })
    }

    /// Whether it matters in which cgroups the process is that builds it: the cgroup namespace is what a mount of cgroup v2 shows,
    /// and what `tmpcopyup` copies is charged to who copies it.
    pub(crate) fn is_of_cgroups(&self) -> bool {
        let shows = |mount: &Mount| matches!(&mount.kind, mount::Kind::Filesystem { kind, .. } if kind == "cgroup2");
        self.mounts.iter().any(|mount| mount.options.copy_up || shows(mount))
    }

    /// Where the root directory is on the host.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What the config asks for that has no effect, each with its place in the config.
    pub(crate) fn warnings(&self) -> Vec<String> {
        self.mounts.iter().filter_map(Mount::warning).collect()
    }

    /// Each procfs and sysfs in which no path is masked or read-only, though the config protects others: the lists name paths, and
    /// a second one has other paths.
    pub(crate) fn unprotected(&self) -> Vec<String> {
        let of_kernel = |mount: &&Mount| matches!(&mount.kind, mount::Kind::Filesystem { kind, .. } if kind == "proc" || kind == "sysfs");
        let protects = |mount: &Mount| {
            self.masked.iter().chain(&self.readonly_paths).any(|path| path.is_within(&mount.destination))
        };
        let bare = self.mounts.iter().filter(of_kernel).filter(|mount| !protects(mount));
        let lists = "linux.maskedPaths and linux.readonlyPaths name nothing in it";
        if self.masked.is_empty() && self.readonly_paths.is_empty() {
            return Vec::new();
        }
        bare.map(|mount| format!("mounts[{}]: {} is not protected: {lists}", mount.index, mount.destination)).collect()
    }

    /// Whether /dev is the container's own, to be filled; a bind mount of the host's /dev is left as it is.
    fn owns_dev(&self) -> bool {
        let dev = InRoot::new("/dev");
        !self.mounts.iter().any(|mount| mount.binds_over(&dev))
    }
}

fn label(label: Option<&str>, facts: Facts) -> Result<Option<String>> {
    match label {
        None | Some("") => Ok(None),
        Some(_) if !facts.selinux => Err(Error::config(
            "linux.mountLabel",
            "selinux label is specified in config, but selinux is disabled or not supported",
        )),
        Some(label) if label.contains(['\0', '"']) => {
            Err(Error::config("linux.mountLabel", "holds a NUL byte or a quotation mark"))
        }
        Some(label) => Ok(Some(label.to_string())),
    }
}
