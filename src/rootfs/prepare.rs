//! What the parent opens on the host before (and, for id mappings, after) the child is there.

use super::Rootfs;
use super::mount::{IdmapOf, Kind, Mount};
use super::options::{Bind, Idmap};
use crate::error::{Context, Error, Result};
use crate::path::{InRoot, Root};
use crate::sys::file;
use crate::sys::fs::{self, Stat};
use crate::sys::mount::{
    self, AT_RECURSIVE, AT_SYMLINK_NOFOLLOW, MOUNT_ATTR_IDMAP, MountAttr, OPEN_TREE_CLONE, mount_setattr, since,
};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Who opens the sources of bind mounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sources {
    /// The child, one after the other, in its own mount namespace: no descriptor is held for long.
    ByChild,
    /// The parent, all at once, before the child is made: for a child in a user namespace, to which directories on the way
    /// may be closed and single mounts of a locked tree are refused.
    ByParent,
}

/// Descriptors left to the rest of the launch where the limit of open files is reached.
const SPARE: usize = 64;

/// Descriptors of the host for [`Rootfs::build`]; a child made by `clone3` has them as they are.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) root: Root,
    pub(crate) stat: Stat,
    pub(crate) trees: Trees,
}

/// A detached tree for each of the mounts that the child does not open itself.
#[derive(Debug, Default)]
pub(crate) struct Trees(Vec<Option<OwnedFd>>);

impl Rootfs {
    /// Opens what only the parent can.
    ///
    /// # Errors
    /// When the root directory is missing, or is a symbolic link.
    pub(crate) fn prepare(&self, sources: Sources) -> Result<Prepared> {
        let flags = libc::O_PATH | libc::O_DIRECTORY | libc::O_NOFOLLOW;
        let directory = file::open(self.path.as_os_str().as_bytes(), flags)
            .map_err(|e| match e.errno().0 {
                libc::ENOTDIR | libc::ELOOP => Error::from(e).at("not a directory, or a symlink"),
                _ => e.into(),
            })
            .at("root.path")?;
        let stat = fs::stat(&directory)?;
        // A source that is to stay a peer of the host's mount must be opened before `propagate` makes the mount private that
        // the root is on: it may be the same one.
        let now = sources == Sources::ByParent || self.keeps_peers();
        let mut trees: Vec<Option<OwnedFd>> = Vec::new();
        let root = Root::from(directory);
        for mount in &self.mounts {
            trees.push(match &mount.kind {
                Kind::Bind { source, inside, idmap: None } if now => match self.open(&root, mount, source, inside) {
                    Err(e) if e.errno() == libc::EMFILE => break,
                    // An unprivileged user may copy mounts only in a mount namespace of the container's user namespace. All
                    // mounts are slaves of the host's there: none could stay a peer.
                    Err(e) if e.errno() == libc::EPERM => None,
                    other => other.with(|| mount.name())?,
                },
                _ => None,
            });
        }
        if trees.len() < self.mounts.len() {
            // The limit of open files is too low for all; the child opens the rest itself, if it can.
            trees.truncate(trees.len().saturating_sub(SPARE));
            trees.resize_with(self.mounts.len(), || None);
        }
        Ok(Prepared { root, stat, trees: Trees(trees) })
    }

    /// The id mappings that mounts need, with the numbers of the mounts, in the order of the config.
    pub(crate) fn id_mapped(&self) -> impl Iterator<Item = (usize, &IdmapOf)> {
        self.mounts.iter().filter_map(|mount| match &mount.kind {
            Kind::Bind { idmap: Some(of), .. } => Some((mount.index, of)),
            _ => None,
        })
    }

    /// The numbers of the mounts whose ids are those of the container's own user namespace.
    pub(crate) fn mapped_by_container(&self) -> impl Iterator<Item = usize> {
        self.id_mapped().filter(|(_, of)| matches!(of, IdmapOf::Container)).map(|(index, _)| index)
    }

    /// The numbers of the mounts that are a procfs: of which pid namespace is decided where their context is opened.
    pub(crate) fn procfs_mounts(&self) -> impl Iterator<Item = usize> {
        let is_proc = |mount: &&Mount| matches!(&mount.kind, Kind::Filesystem { kind, .. } if kind == "proc");
        self.mounts.iter().filter(is_proc).map(|mount| mount.index)
    }

    /// Opens the source of mount number `index` as a detached tree that shows its owners through the id mapping of a user
    /// namespace. For the process that has CAP_SYS_ADMIN over the source's filesystem: the parent. Where an earlier mount of the
    /// container's makes the source, the namespace is given back, for the child to do the same.
    ///
    /// # Errors
    /// EINVAL means that the filesystem knows no id-mapped mounts.
    pub(crate) fn map_ids(&self, index: usize, userns: impl AsFd) -> Result<OwnedFd> {
        let mount = self.mounts.get(index).ok_or_else(|| Error::internal("no mount of that number"))?;
        let Kind::Bind { source, inside, .. } = &mount.kind else {
            return Err(Error::internal("an id mapping for what is no bind mount"));
        };
        let mapped = || {
            let flags = libc::O_PATH | libc::O_DIRECTORY | libc::O_NOFOLLOW;
            let root = Root::from(file::open(self.path.as_os_str().as_bytes(), flags)?);
            match self.open(&root, mount, source, inside)? {
                Some(tree) => map_tree(mount, tree, userns.as_fd()),
                None => duplicate(&userns),
            }
        };
        mapped().with(|| mount.name())
    }

    /// The source of a bind mount as a detached tree; `None` if only the container's tree has it.
    fn open(&self, root: &Root, mount: &Mount, source: &Path, inside: &Option<InRoot>) -> Result<Option<OwnedFd>> {
        match inside {
            Some(path) => self.open_inside(root, mount, path),
            None => open_source(mount, source).map(Some),
        }
    }
}

fn duplicate(fd: impl AsFd) -> Result<OwnedFd> {
    fd.as_fd().try_clone_to_owned().map_err(|e| Error::system(format!("duplicate a descriptor: {e}")))
}

/// Has a detached tree show its owners through the id mapping of a user namespace.
pub(crate) fn map_tree(mount: &Mount, tree: OwnedFd, userns: BorrowedFd<'_>) -> Result<OwnedFd> {
    let attr = MountAttr { set: MOUNT_ATTR_IDMAP, userns: userns.as_raw_fd() as u64, ..MountAttr::default() };
    match mount_setattr(&tree, mount.options.idmap == Idmap::Tree, &attr) {
        Ok(()) => Ok(tree),
        Err(e) if e.is(libc::EINVAL) => {
            let hint = "the kernel or the filesystem of the source has no id-mapped mounts, or it is mapped already";
            Err(Error::from(e).hint(hint))
        }
        Err(e) => Err(since(e, "5.12").into()),
    }
}

/// The source of a bind mount as a detached tree, in the mount namespace of the caller.
pub(crate) fn open_source(mount: &Mount, source: &Path) -> Result<OwnedFd> {
    let depth = if mount.options.bind == Bind::Mount { 0 } else { AT_RECURSIVE };
    let follow = if mount.options.source_no_follow { AT_SYMLINK_NOFOLLOW } else { 0 };
    Ok(mount::open_tree(file::CWD, source.as_os_str().as_bytes(), OPEN_TREE_CLONE | depth | follow)?)
}

impl Prepared {
    /// The root directory. It must be the current directory of whoever makes the mount namespace, at the time of making: the
    /// kernel then turns it into the same directory there, however closed to the child the way to it is.
    pub(crate) fn directory(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// The detached trees, for whoever builds the root filesystem.
    pub(crate) fn take_trees(&mut self) -> Trees {
        std::mem::take(&mut self.trees)
    }

    /// Takes the tree that [`Rootfs::map_ids`] made for mount number `index`, or the context for a procfs.
    pub(crate) fn set_tree(&mut self, index: usize, tree: OwnedFd) {
        self.trees.set(index, tree);
    }
}

impl Trees {
    /// Whether there is one for mount number `index`.
    pub(crate) fn has(&self, index: usize) -> bool {
        self.0.get(index).is_some_and(Option::is_some)
    }

    /// Takes the tree of mount number `index`, or the context for its filesystem.
    pub(crate) fn set(&mut self, index: usize, tree: OwnedFd) {
        if self.0.len() <= index {
            self.0.resize_with(index + 1, || None);
        }
        self.0[index] = Some(tree);
    }

    /// Each tree with the number of its mount.
    pub(crate) fn into_numbered(self) -> impl Iterator<Item = (usize, OwnedFd)> {
        self.0.into_iter().enumerate().filter_map(|(index, tree)| Some((index, tree?)))
    }

    pub(crate) fn take(&mut self, index: usize) -> Option<OwnedFd> {
        self.0.get_mut(index).and_then(Option::take)
    }
}
