//! Mounts in a running container: `mounts add` and `mounts remove`.
//!
//! ```text
//!  runtime   Rootfs::parse            with the mounts of the request in the place of the config's
//!            Rootfs::check_added      what only `create` can do
//!            Rootfs::open_on_host     sources of bind mounts
//!  helper    in every namespace of the container but its mount namespace:
//!            Rootfs::open_on_host     sources that the runtime may not copy; filesystems with a path or device as source
//!            in the mount namespace of the container:
//!            Rootfs::add              filesystems without a source; attaches everything
//! ```
//!
//! The helper has rights that the container lacks. So no name of the host is looked up in the
//! container's mount namespace, where a link or a device node would decide what is mounted. Mount
//! points are looked up there, within the root, as `create` does.

use super::attach::Built;
use super::attributes::{self, Change};
use super::filesystem::{New, is_pseudo};
use super::mount::{MountEntry, MountKind};
use super::options::Depth;
use super::prepare::{Sources, Trees, open_source};
use super::tree::Tree;
use super::{CgroupView, Rootfs};
use crate::error::{Context, Error, Ignore as _, Result};
use crate::path::{InRoot, Root};
use crate::sys::credentials::set_umask;
use crate::sys::mount::{self, MOUNT_ATTR_RDONLY};
use crate::sys::{file, fs};
use std::os::fd::OwnedFd;

impl Rootfs {
    /// Refuses mounts that only `create` makes.
    ///
    /// # Errors
    /// The first of them, with its JSON path.
    pub(crate) fn check_added(&self) -> Result<()> {
        self.mounts.iter().try_for_each(|mount| self.refuse_added(mount))
    }

    fn refuse_added(&self, mount: &MountEntry) -> Result<()> {
        let refuse = |field: &str, problem: &str| {
            let error = Error::config(format_args!("mounts[{}].{field}", mount.index), problem);
            Err(error.hint("only `create` makes such a mount"))
        };
        match &mount.kind {
            _ if mount.is_new_root() => return refuse("destination", "the root of a container does not change"),
            MountKind::Remount => return refuse("options", "a remount would change a mount of the config"),
            MountKind::Bind { .. } if mount.options.copy_symlink => {
                return refuse("options", "copy-symlink makes a link and no mount");
            }
            MountKind::Bind { inside: Some(_), idmap, .. } if idmap.is_some() || mount.options.bind == Depth::Tree => {
                return refuse(
                    "source",
                    "it is in the root filesystem: an id mapping or rbind could copy masked mounts",
                );
            }
            MountKind::Cgroup => return refuse("type", "it shows the cgroups at the start of the container"),
            MountKind::Filesystem { kind, .. } if kind == "cgroup2" => {
                return refuse("type", "it shows the cgroups at the start of the container");
            }
            _ => {}
        }
        // A mask is made last, over everything; between the mount and a new mask the container
        // could open the file.
        let mut protected = self.masked.iter().chain(&self.readonly_paths);
        match protected.find(|path| path.is_within(&mount.destination)) {
            Some(path) => refuse("destination", &format!("it would cover {path}, which the config masks or protects")),
            None => Ok(()),
        }
    }

    /// Opens sources and makes filesystems in the mount namespace of the host, or in a copy of it,
    /// for [`Rootfs::add`]. The runtime opens sources of bind mounts only, and leaves them to the
    /// helper where it may not copy them. `pids` is the file of the container's pid namespace.
    ///
    /// # Errors
    /// A source is missing, or the kernel refuses a filesystem.
    pub(crate) fn open_on_host(&self, by: Sources, pids: Option<&str>, trees: &mut Trees) -> Result<()> {
        for mount in &self.mounts {
            let made = match &mount.kind {
                _ if trees.has(mount.index) => continue,
                MountKind::Bind { source, inside: None, .. } => open_source(mount, source),
                _ if by == Sources::ByParent => continue,
                MountKind::Filesystem { kind, source, .. } => match (kind.as_str(), pids) {
                    ("proc", Some(pids)) => procfs_of(pids),
                    _ if is_pseudo(kind) => continue,
                    _ => self.make(mount, kind, source),
                },
                _ => continue,
            };
            match made {
                Err(e) if by == Sources::ByParent && e.errno() == libc::EPERM => {}
                made => trees.set(mount.index, made.with_context(|| mount.name())?),
            }
        }
        Ok(())
    }

    fn make(&self, mount: &MountEntry, kind: &str, source: &str) -> Result<OwnedFd> {
        let label = self.label.as_deref();
        let new = New { kind, source, options: &mount.options, label, extra: None, context: None };
        if mount.options.legacy_flags != 0 {
            return Err(Error::system("a flag (iversion, silent, ...) needs mount(2), which only `create` uses"));
        }
        new.make(self.is_filled_later(mount))
    }

    /// Makes the mounts in the mount namespace that this process is in, all or none. Returns their
    /// unique ids.
    ///
    /// # Errors
    /// The first mount that fails.
    pub(crate) fn add(&self, mut trees: Trees) -> Result<Vec<u64>> {
        let mask = set_umask(0);
        let tree = Tree::new(root()?);
        let (sources, late) = (Trees::default(), Vec::new());
        let mut built = Built { rootfs: self, tree, null: None, sources, late, is_root_late: false, holds_all: true };
        let view = CgroupView::default();
        let attached = self
            .mounts
            .iter()
            .try_for_each(|mount| built.attach(mount, trees.take(mount.index), &view).with_context(|| mount.name()));
        let ids = attached.and_then(|()| built.finish_added());
        if ids.is_err() {
            let mounts: Vec<&OwnedFd> = built.tree.mounts_within(&InRoot::new("/")).collect();
            for mount in mounts.into_iter().rev() {
                attributes::detach_by_number(mount).ignore("the container itself may have unmounted it");
            }
        }
        set_umask(mask);
        ids
    }
}

impl Built<'_> {
    fn finish_added(&self) -> Result<Vec<u64>> {
        for mount in &self.late {
            attributes::apply_attached(mount, vec![Change::setting(MOUNT_ATTR_RDONLY)])?;
        }
        Ok(self.tree.mounts_within(&InRoot::new("/")).map(fs::unique_mount_id).collect::<crate::sys::Result<_>>()?)
    }
}

/// Detaches the mount at each destination, the last one first, in the mount namespace that this
/// process is in. `added` are the mounts that may be removed. Returns those that were.
///
/// # Errors
/// At a destination there is no mount, or none of `added`.
pub(crate) fn remove(destinations: &[InRoot], added: &[u64]) -> Result<Vec<u64>> {
    let tree = Tree::new(root()?);
    let removed = destinations.iter().enumerate().rev().map(|(index, destination)| {
        detach_added(&tree, destination, added).with_context(|| format!("mounts[{index}]: unmount {destination}"))
    });
    removed.collect()
}

fn detach_added(tree: &Tree, destination: &InRoot, added: &[u64]) -> Result<u64> {
    let found = tree.find(destination)?.ok_or_else(|| super::put::missing(destination))?;
    if !fs::is_mount_root(&found.handle)? {
        return Err(Error::state("nothing is mounted there"));
    }
    let id = fs::unique_mount_id(&found.handle)?;
    if !added.contains(&id) {
        let error = Error::state("`mounts add` did not make the mount that is there");
        return Err(
            error.hint("mounts of the config, masks and mounts from a checkpoint stay as long as the container")
        );
    }
    attributes::detach_by_number(&found.handle).map(|()| id)
}

/// The root of the mount namespace that this process is in.
fn root() -> Result<Root> {
    Ok(Root::from(file::open("/", libc::O_PATH | libc::O_DIRECTORY)?))
}

/// The context of a procfs of the pid namespace of this file.
fn procfs_of(pids: &str) -> Result<OwnedFd> {
    let context = mount::fsopen("proc")?;
    mount::fsconfig_string(&context, "pidns", pids)
        .hint_on(libc::EINVAL, "before Linux 6.17 only `create` mounts a procfs of the container")
        .map(|()| context)
}
