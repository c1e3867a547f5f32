//! A mount of type `cgroup`: what a container sees of its cgroups.

use super::attach::{put, put_into};
use super::attributes::{self, Change};
use super::filesystem::New;
use super::mount::Mount;
use super::options::{Attributes, Options, Parameter};
use crate::error::{Context, Error, Result};
use crate::path::Handle;
use crate::sys::mount::{self, MOUNT_ATTR_RDONLY, OPEN_TREE_CLONE};
use crate::sys::{file, fs};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The container's cgroups, as a mount of type `cgroup` is to show them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CgroupView {
    /// Those of version 1; empty where the host has version 2 alone.
    pub hierarchies: Vec<Hierarchy>,
    /// The container's directory in the tree of version 2, where the host has that alone.
    pub unified: Option<PathBuf>,
    /// Where the host has mounted the tree of version 2, where the container is in the host's cgroup namespace. It is bound from
    /// there: in the first cgroup namespace a new mount sets the options that all mounts of the tree have in common
    /// (`nsdelegate`, `memory_recursiveprot`) to its own, and so takes them from the host, and waits until the kernel has done it.
    pub tree: Option<PathBuf>,
    /// Whether the process is in a cgroup namespace of the container's own by the time of [`super::Rootfs::build`].
    pub namespace: bool,
    /// Whether the directories are what a mount in that namespace would show, and may be mounted as anybody likes: the
    /// namespace is new, and no user namespace keeps attributes of the host's mounts.
    pub same: bool,
}

/// A hierarchy of cgroup version 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hierarchy {
    /// The name of its directory, such as `cpu,cpuacct` or `systemd`.
    pub name: String,
    /// Other names, which become links to it, such as `cpu`.
    pub links: Vec<String>,
    /// The container's directory in it, on the host.
    pub directory: PathBuf,
    /// What mounts it, such as `cpu`, `cpuacct`, or `name=systemd`.
    pub parameters: Vec<String>,
}

pub(crate) fn mount(mount: &Mount, place: &Handle, view: &CgroupView, label: Option<&str>) -> Result<()> {
    if let Some(parameter) = mount.options.data.first() {
        let at = format!("mounts[{}].options[{}]", mount.index, parameter.option);
        let what = format!("{:?} is no option of a cgroup mount", parameter.key);
        let hint = "without a cgroup namespace of its own the container would set it for the host";
        let error = Error::config(at, what);
        return Err(if view.tree.is_some() { error.hint(hint) } else { error });
    }
    match (&view.tree, &view.unified) {
        (Some(tree), _) => bind(tree, mount, place),
        (None, Some(directory)) => {
            let tree = unified(mount, directory)?;
            put(&tree, place, attributes::of(&mount.options))
        }
        (None, None) => separate(mount, place, view, label),
    }
}

/// The host's tree, as a new mount would show it.
fn bind(tree: &Path, mount: &Mount, place: &Handle) -> Result<()> {
    let tree = mount::open_tree(file::CWD, tree.as_os_str().as_bytes(), OPEN_TREE_CLONE)?;
    let mut changes = attributes::of(&mount.options);
    attributes::as_of_new_mount(&mut changes);
    put(&tree, place, changes)
}

/// A mount of version 2; where that is not allowed (no cgroup namespace that the user namespace owns), the container's own
/// directory alone, as the rest is not the container's to change (CVE-2023-25809).
fn unified(mount: &Mount, directory: &Path) -> Result<OwnedFd> {
    let options = Options { superblock: mount.options.superblock.clone(), ..Options::default() };
    let new = New { kind: "cgroup2", source: "cgroup", options: &options, label: None, extra: None, context: None };
    match new.make(false) {
        Err(e) if e.errno() == libc::EPERM || e.errno() == libc::EBUSY => {
            Ok(mount::open_tree(file::CWD, directory.as_os_str().as_bytes(), OPEN_TREE_CLONE)?)
        }
        other => other,
    }
}

/// A tmpfs with a directory for each hierarchy of version 1.
fn separate(mount: &Mount, place: &Handle, view: &CgroupView, label: Option<&str>) -> Result<()> {
    let mode = Parameter { key: "mode".into(), value: Some("755".into()), option: 0 };
    let Attributes { set, clear } = mount.options.attributes;
    let writable = Attributes { set: set & !MOUNT_ATTR_RDONLY, clear: clear & !MOUNT_ATTR_RDONLY };
    let options = Options { data: vec![mode], attributes: writable, ..Options::default() };
    let tmpfs =
        New { kind: "tmpfs", source: "tmpfs", options: &options, label, extra: None, context: None }.make(false)?;
    let propagation = mount.options.propagation.iter().copied().map(Change::propagating).collect();
    put(&tmpfs, place, propagation)?;
    for hierarchy in &view.hierarchies {
        hierarchy.attach(&tmpfs, mount, view).with(|| format!("cgroup {}", hierarchy.name))?;
    }
    let read_only = (mount.options.attributes.set | mount.options.recursive.set) & MOUNT_ATTR_RDONLY;
    if read_only != 0 {
        attributes::apply_attached(&tmpfs, vec![Change::setting(MOUNT_ATTR_RDONLY)])?;
    }
    Ok(())
}

impl Hierarchy {
    fn attach(&self, tmpfs: &OwnedFd, mount: &Mount, view: &CgroupView) -> Result<()> {
        let mut changes = attributes::of(&mount.options);
        let tree = match view.namespace {
            // Half as many calls as a new mount takes, and the same for whoever looks.
            true if view.same => {
                attributes::as_of_new_mount(&mut changes);
                self.copy()?
            }
            true => self.make()?,
            false => self.copy()?,
        };
        fs::mkdir_at(tmpfs, &self.name, 0o755)?;
        put_into(&tree, tmpfs, &self.name, changes)?;
        for link in &self.links {
            fs::symlink_at(&self.name, tmpfs, link)?;
        }
        Ok(())
    }

    /// As seen from the cgroup namespace.
    fn make(&self) -> Result<OwnedFd> {
        let context = mount::fsopen("cgroup")?;
        mount::fsconfig_string(&context, "source", "cgroup")?;
        for parameter in &self.parameters {
            match parameter.split_once('=') {
                Some((key, value)) => {
                    mount::fsconfig_flag(&context, "none")?;
                    mount::fsconfig_string(&context, key, value)?;
                }
                None => mount::fsconfig_flag(&context, parameter)?,
            }
        }
        mount::fsconfig_create(&context)?;
        Ok(mount::fsmount(&context, 0)?)
    }

    /// The container's directory of the host's mount.
    fn copy(&self) -> Result<OwnedFd> {
        Ok(mount::open_tree(file::CWD, self.directory.as_os_str().as_bytes(), OPEN_TREE_CLONE)?)
    }
}
