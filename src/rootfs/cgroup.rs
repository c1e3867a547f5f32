//! A mount of type `cgroup`: what a container sees of its cgroups.

use super::attach::{put, put_into};
use super::attributes::{self, Change};
use super::filesystem::New;
use super::mount::Mount;
use super::options::{Attributes, Options, Parameter};
use crate::error::{Context, Error, Result};
use crate::path::Handle;
use crate::sys::cgroup::CGROUP2_MAGIC;
use crate::sys::mount::{self, MOUNT_ATTR_RDONLY, OPEN_TREE_CLONE};
use crate::sys::{file, fs};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The container's cgroups, as a mount of type `cgroup` is to show them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CgroupView {
    /// Those of version 1; empty where the host has version 2 alone.
    pub hierarchies: Vec<Hierarchy>,
    /// The container's directory in the tree of version 2, where the host has that alone.
    pub unified: Option<PathBuf>,
    /// Whether the process is in the runtime's cgroup namespace, or in the machine's first one.
    pub shared: bool,
    /// Where the host has mounted the tree of version 2, where a container that shares the namespace has the rights for a mount
    /// of it. It is bound from there: in the first cgroup namespace a new mount sets the options that all mounts of the tree
    /// have in common (`nsdelegate`, `memory_recursiveprot`) to its own, and so takes them from the host, and waits until the
    /// kernel has done it.
    pub tree: Option<PathBuf>,
    /// Whether the process is in a cgroup namespace of the container's own by the time of [`super::Rootfs::build`].
    pub namespace: bool,
    /// Whether the directories are what a mount in that namespace would show, and may be mounted as anybody likes: the
    /// namespace is new, and no user namespace keeps attributes of the host's mounts.
    pub same: bool,
}

/// A hierarchy of cgroup version 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hierarchy {
    /// The name of its directory, such as `cpu,cpuacct` or `systemd`.
    pub name: String,
    /// Other names, which become links to it, such as `cpu`.
    pub links: Vec<String>,
    /// The container's directory in it, on the host.
    pub directory: PathBuf,
    /// What mounts it, such as `cpu`, `cpuacct`, or `name=systemd`.
    pub parameters: Vec<String>,
}

/// A mount of type `cgroup`; gives back the mount that was made.
pub(crate) fn mount(mount: &Mount, place: &Handle, view: &CgroupView, label: Option<&str>) -> Result<OwnedFd> {
    match &view.unified {
        Some(_) => version_2(mount, place, view),
        None => {
            refuse_options(mount, view)?;
            separate(mount, place, view, label)
        }
    }
}

/// A mount of type `cgroup`, or one of type `cgroup2` in the host's cgroup namespace, where there is version 2 to be shown.
pub(crate) fn version_2(mount: &Mount, place: &Handle, view: &CgroupView) -> Result<OwnedFd> {
    refuse_options(mount, view)?;
    match (&view.tree, &view.unified) {
        (Some(tree), _) => bind(tree, mount, place),
        (None, Some(directory)) => {
            let tree = unified(directory)?;
            put(&tree, place, attributes::of(mount))?;
            Ok(tree)
        }
        (None, None) => {
            Err(Error::config(format!("mounts[{}].type", mount.index), "the host has no cgroup2 that it could show")
                .hint("give the container a cgroup namespace"))
        }
    }
}

/// Options of the filesystem are those of the host's mounts too.
fn refuse_options(mount: &Mount, view: &CgroupView) -> Result<()> {
    refuse_flags(mount)?;
    let Some(parameter) = mount.options.data.first() else { return Ok(()) };
    let at = format!("mounts[{}].options[{}]", mount.index, parameter.option);
    let error = Error::config(at, format!("{:?} is no option of a cgroup mount", parameter.key));
    let hint = "without a cgroup namespace of its own the container would set it for the host";
    Err(if view.shared { error.hint(hint) } else { error })
}

/// Flags that all mounts of the filesystem have in common, also those in other cgroup namespaces.
pub(crate) fn refuse_flags(mount: &Mount) -> Result<()> {
    match mount.options.superblock.iter().find(|flag| matches!(**flag, "sync" | "dirsync" | "lazytime" | "mand")) {
        None => Ok(()),
        Some(flag) => {
            let what = format!("{flag:?} would be an option of the host's cgroup mounts too");
            Err(Error::config(format!("mounts[{}].options", mount.index), what))
        }
    }
}

/// The host's tree, as a new mount would show it.
fn bind(tree: &Path, mount: &Mount, place: &Handle) -> Result<OwnedFd> {
    let clone = mount::open_tree(file::CWD, tree.as_os_str().as_bytes(), OPEN_TREE_CLONE)?;
    // In a joined mount namespace something else may stand there.
    if fs::filesystem_magic(&clone)? != CGROUP2_MAGIC {
        return Err(Error::system(format!("{} is no cgroup2 in this mount namespace", tree.display())));
    }
    let mut changes = attributes::of(mount);
    attributes::as_of_new_mount(&mut changes);
    put(&clone, place, changes)?;
    Ok(clone)
}

/// A mount of version 2; where that is not allowed (no cgroup namespace that the user namespace owns), the container's own
/// directory alone, as the rest is not the container's to change (CVE-2023-25809).
fn unified(directory: &Path) -> Result<OwnedFd> {
    let options = Options::default();
    let new = New { kind: "cgroup2", source: "cgroup", options: &options, label: None, extra: None, context: None };
    match new.make(false) {
        Err(e) if e.errno() == libc::EPERM || e.errno() == libc::EBUSY => {
            Ok(mount::open_tree(file::CWD, directory.as_os_str().as_bytes(), OPEN_TREE_CLONE)?)
        }
        other => other,
    }
}

/// A tmpfs with a directory for each hierarchy of version 1.
fn separate(mount: &Mount, place: &Handle, view: &CgroupView, label: Option<&str>) -> Result<OwnedFd> {
    let mode = Parameter { key: "mode".into(), value: Some("755".into()), option: 0 };
    let own = mount.options.own().set;
    let writable = Attributes::setting(own & !MOUNT_ATTR_RDONLY);
    let options = Options { data: vec![mode], attributes: writable, ..Options::default() };
    let tmpfs =
        New { kind: "tmpfs", source: "tmpfs", options: &options, label, extra: None, context: None }.make(false)?;
    let propagation = mount.options.propagation.iter().copied().map(Change::propagating).collect();
    put(&tmpfs, place, propagation)?;
    for hierarchy in &view.hierarchies {
        hierarchy.attach(&tmpfs, mount, view).with(|| format!("cgroup {}", hierarchy.name))?;
    }
    if own & MOUNT_ATTR_RDONLY != 0 {
        attributes::apply_attached(&tmpfs, vec![Change::setting(MOUNT_ATTR_RDONLY)])?;
    }
    Ok(tmpfs)
}

impl Hierarchy {
    fn attach(&self, tmpfs: &OwnedFd, mount: &Mount, view: &CgroupView) -> Result<()> {
        let mut changes = attributes::of(mount);
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
