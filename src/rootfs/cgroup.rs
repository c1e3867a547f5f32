//! Mounts of type `cgroup`: the container's view of its cgroups.

use super::attributes::{self, Change};
use super::filesystem::New;
use super::mount::MountEntry;
use super::options::{Attributes, Options, Parameter};
use super::put::{put, put_into};
use crate::error::{Context, Error, Result};
use crate::path::Handle;
use crate::sys::mount::{self, MOUNT_ATTR_RDONLY, OPEN_TREE_CLONE};
use crate::sys::{file, fs};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The container's cgroups, for mounts of type `cgroup`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CgroupView {
    /// The cgroup v1 hierarchies; empty if the host has only cgroup v2.
    pub hierarchies: Vec<Hierarchy>,
    /// The container's cgroup v2 directory, if the host has only cgroup v2.
    pub unified: Option<PathBuf>,
    /// Whether the process is in the runtime's cgroup namespace, or in the initial one.
    pub shared: bool,
    /// The host's mount point of cgroup v2, if the container shares the cgroup namespace and has
    /// the privileges to mount it. It is bind-mounted: in the initial cgroup namespace a new mount
    /// would reset the options that all mounts share (`nsdelegate`, `memory_recursiveprot`), also
    /// for the host, and would wait for the kernel to do so.
    pub tree: Option<PathBuf>,
    /// Whether the process is in a cgroup namespace of the container's own when it calls
    /// [`super::Rootfs::build`].
    pub namespace: bool,
    /// Whether bind mounts of the directories are equivalent to new mounts in that namespace: the
    /// namespace is new, and no user namespace locks attributes of the host's mounts.
    pub same: bool,
}

/// A cgroup v1 hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hierarchy {
    /// The name of its directory, such as `cpu,cpuacct` or `systemd`.
    pub name: String,
    /// The names of symbolic links to the directory, such as `cpu`.
    pub links: Vec<String>,
    /// The path of the container's cgroup on the host.
    pub directory: PathBuf,
    /// The mount options that select the hierarchy, such as `cpu`, `cpuacct`, or `name=systemd`.
    pub parameters: Vec<String>,
}

/// Makes and attaches a mount of type `cgroup`.
pub(crate) fn mount(mount: &MountEntry, place: &Handle, view: &CgroupView, label: Option<&str>) -> Result<OwnedFd> {
    match &view.unified {
        Some(_) => version_2(mount, place, view),
        None => {
            refuse_options(mount, view)?;
            separate(mount, place, view, label)
        }
    }
}

/// Makes and attaches a mount of cgroup v2: of type `cgroup` on a host with v2 only, or of type
/// `cgroup2` in the host's cgroup namespace.
pub(crate) fn version_2(mount: &MountEntry, place: &Handle, view: &CgroupView) -> Result<OwnedFd> {
    refuse_options(mount, view)?;
    match (&view.tree, &view.unified) {
        (Some(tree), _) => bind(tree, mount, place),
        (None, Some(directory)) => {
            let tree = unified(directory)?;
            put(&tree, place, attributes::of(mount))?;
            Ok(tree)
        }
        (None, None) => {
            Err(Error::config(format!("mounts[{}].type", mount.index), "the host has no cgroup2 mount to bind")
                .hint("give the container a cgroup namespace"))
        }
    }
}

/// Refuses options of the filesystem, which would apply to the host's mounts, too.
fn refuse_options(mount: &MountEntry, view: &CgroupView) -> Result<()> {
    refuse_flags(mount)?;
    let Some(parameter) = mount.options.data.first() else { return Ok(()) };
    let at = format!("mounts[{}].options[{}]", mount.index, parameter.option);
    let error = Error::config(at, format!("{:?} is not an option of a cgroup mount", parameter.key));
    let hint = "without a cgroup namespace of its own the container would set it for the host";
    Err(if view.shared { error.hint(hint) } else { error })
}

/// Refuses flags that all mounts of the filesystem share, also those in other cgroup namespaces.
pub(crate) fn refuse_flags(mount: &MountEntry) -> Result<()> {
    match mount.options.superblock.iter().find(|flag| matches!(**flag, "sync" | "dirsync" | "lazytime" | "mand")) {
        None => Ok(()),
        Some(flag) => {
            let problem = format!("{flag:?} would apply to the host's cgroup mounts, too");
            Err(Error::config(format!("mounts[{}].options", mount.index), problem))
        }
    }
}

/// Bind-mounts the host's cgroup v2 tree with the attributes of a new mount.
fn bind(tree: &Path, mount: &MountEntry, place: &Handle) -> Result<OwnedFd> {
    let clone = mount::open_tree(file::CWD, tree.as_os_str().as_bytes(), OPEN_TREE_CLONE)?;
    // A joined mount namespace may have another filesystem there.
    if fs::filesystem_magic(&clone)? != libc::CGROUP2_SUPER_MAGIC {
        return Err(Error::system(format!("{} is not a cgroup2 in this mount namespace", tree.display())));
    }
    let mut changes = attributes::of(mount);
    attributes::as_of_new_mount(&mut changes);
    put(&clone, place, changes)?;
    Ok(clone)
}

/// A new mount of cgroup v2. If that is not permitted (the user namespace owns no cgroup
/// namespace), a bind mount of only the container's own directory: the container must not be able
/// to change the rest (CVE-2023-25809).
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

/// Mounts a tmpfs with a directory for each cgroup v1 hierarchy.
fn separate(mount: &MountEntry, place: &Handle, view: &CgroupView, label: Option<&str>) -> Result<OwnedFd> {
    let mode = Parameter { key: "mode".into(), value: Some("755".into()), option: 0 };
    let own = mount.options.own().set;
    let writable = Attributes::setting(own & !MOUNT_ATTR_RDONLY);
    let options = Options { data: vec![mode], attributes: writable, ..Options::default() };
    let tmpfs =
        New { kind: "tmpfs", source: "tmpfs", options: &options, label, extra: None, context: None }.make(false)?;
    let propagation = mount.options.propagation.iter().copied().map(Change::propagating).collect();
    put(&tmpfs, place, propagation)?;
    for hierarchy in &view.hierarchies {
        hierarchy.attach(&tmpfs, mount, view).with_context(|| format!("cgroup {}", hierarchy.name))?;
    }
    if own & MOUNT_ATTR_RDONLY != 0 {
        attributes::apply_attached(&tmpfs, vec![Change::setting(MOUNT_ATTR_RDONLY)])?;
    }
    Ok(tmpfs)
}

impl Hierarchy {
    fn attach(&self, tmpfs: &OwnedFd, mount: &MountEntry, view: &CgroupView) -> Result<()> {
        let mut changes = attributes::of(mount);
        let tree = match view.namespace {
            // Equivalent to a new mount, with half as many system calls.
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

    /// A new mount of the hierarchy, as seen from the cgroup namespace.
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

    /// A bind mount of the container's directory in the host's mount.
    fn copy(&self) -> Result<OwnedFd> {
        Ok(mount::open_tree(file::CWD, self.directory.as_os_str().as_bytes(), OPEN_TREE_CLONE)?)
    }
}
