//! The parent's preparations: descriptors of files on the host, opened before the child exists, and
//! id-mapped mounts, which need the child's user namespace.

use super::Rootfs;
use super::mount::{IdmapOf, MountEntry, MountKind};
use super::options::Depth;
use crate::error::{Context, Error, Result};
use crate::path::{InRoot, Root};
use crate::sys::fs::{self, Stat};
use crate::sys::mount::{
    self, AT_RECURSIVE, AT_SYMLINK_NOFOLLOW, MOUNT_ATTR_IDMAP, MountAttr, OPEN_TREE_CLONE, mount_setattr, since,
};
use crate::sys::{Failure, file};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The process that opens the sources of bind mounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sources {
    /// The child, in its own mount namespace.
    ByChild,
    /// The parent, all at once, before it clones the child. A child in a user namespace may lack
    /// access to directories of the path, and cannot copy single mounts of a locked tree.
    ByParent,
}

/// How many file descriptors are kept free for the rest of the launch when the limit of open files
/// is reached.
const SPARE: usize = 64;

/// Descriptors of the host for [`Rootfs::build`]. The child inherits them.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) root: Root,
    pub(crate) stat: Stat,
    pub(crate) trees: Trees,
}

/// Detached trees by the index of their mount, for the mounts that the child does not open itself.
#[derive(Debug, Default)]
pub(crate) struct Trees(Vec<Option<OwnedFd>>);

impl Rootfs {
    /// Opens the root directory and, depending on `sources`, the sources of bind mounts.
    ///
    /// # Errors
    /// The root directory is missing or a symbolic link, or a source cannot be opened.
    pub(crate) fn prepare(&self, sources: Sources) -> Result<Prepared> {
        let flags = libc::O_PATH | libc::O_DIRECTORY | libc::O_NOFOLLOW;
        let directory = file::open(self.path.as_os_str().as_bytes(), flags)
            .map_err(|e| match e.errno().0 {
                libc::ENOTDIR | libc::ELOOP => Error::from(e).context("not a directory, or a symlink"),
                _ => Error::from(Failure::new(format!("open({:?})", self.path), e.errno())),
            })
            .map_err(|e| {
                e.hint("the directory of the root filesystem must be there; a relative path begins at the bundle")
            })
            .context("root.path")?;
        let stat = fs::stat(&directory)?;
        // A source that stays a peer of the host's mount must be opened before `propagate` makes
        // the mount of the root private, since that may be the same mount.
        let now = sources == Sources::ByParent || self.keeps_peers();
        let mut trees: Vec<Option<OwnedFd>> = Vec::new();
        let root = Root::from(directory);
        for mount in &self.mounts {
            trees.push(match &mount.kind {
                MountKind::Bind { source, inside, idmap: None } if now => match self.open(&root, mount, source, inside)
                {
                    Err(e) if e.errno() == libc::EMFILE => break,
                    // An unprivileged user may copy mounts only in a mount namespace that the
                    // container's user namespace owns. All mounts are slaves of the host's there,
                    // so none could stay a peer.
                    Err(e) if e.errno() == libc::EPERM => None,
                    other => other.with_context(|| mount.name())?,
                },
                MountKind::Filesystem { idmap: None, .. } if sources == Sources::ByParent && mount.is_new_root() => {
                    self.make_root(mount).with_context(|| mount.name())?
                }
                _ => None,
            });
        }
        if trees.len() < self.mounts.len() {
            // The limit of open files is too low for all sources; the child tries to open the rest.
            trees.truncate(trees.len().saturating_sub(SPARE));
            trees.resize_with(self.mounts.len(), || None);
        }
        Ok(Prepared { root, stat, trees: Trees(trees) })
    }

    /// The indices and id mappings of id-mapped mounts, in the order of the config.
    pub(crate) fn id_mapped(&self) -> impl Iterator<Item = (usize, &IdmapOf)> {
        self.mounts.iter().filter_map(|mount| match &mount.kind {
            MountKind::Bind { idmap: Some(of), .. } | MountKind::Filesystem { idmap: Some(of), .. } => {
                Some((mount.index, of))
            }
            _ => None,
        })
    }

    /// The indices of the mounts that have the id mappings of the container's user namespace.
    pub(crate) fn mapped_by_container(&self) -> impl Iterator<Item = usize> {
        self.id_mapped().filter(|(_, of)| matches!(of, IdmapOf::Container)).map(|(index, _)| index)
    }

    /// The indices of procfs mounts. The process that opens their filesystem context determines
    /// their pid namespace.
    pub(crate) fn procfs_mounts(&self) -> impl Iterator<Item = usize> {
        let is_proc = |mount: &&MountEntry| matches!(&mount.kind, MountKind::Filesystem { kind, .. } if kind == "proc");
        self.mounts.iter().filter(is_proc).map(|mount| mount.index)
    }

    /// Opens the source of mount number `index` as a detached tree with the id mapping of a user
    /// namespace. The parent calls it, since it has CAP_SYS_ADMIN over the source's filesystem. If
    /// the source is in an earlier mount of the container, it returns the user namespace, so that
    /// the child can map the tree.
    ///
    /// # Errors
    /// EINVAL if the filesystem does not support id-mapped mounts.
    pub(crate) fn map_ids(&self, index: usize, userns: impl AsFd) -> Result<OwnedFd> {
        let mount = self.mounts.get(index).ok_or_else(|| Error::internal("no mount of that number"))?;
        let MountKind::Bind { source, inside, .. } = &mount.kind else {
            return self.make_mapped_root(mount, userns.as_fd()).with_context(|| mount.name());
        };
        let mapped = || {
            let flags = libc::O_PATH | libc::O_DIRECTORY | libc::O_NOFOLLOW;
            let root = Root::from(file::open(self.path.as_os_str().as_bytes(), flags)?);
            match self.open(&root, mount, source, inside)? {
                Some(tree) => map_tree(mount, tree, userns.as_fd()),
                None => Ok(file::duplicate_above(&userns, 3)?),
            }
        };
        mapped().with_context(|| mount.name())
    }

    /// Opens the source of a bind mount as a detached tree. `None` if it exists only in the
    /// container's tree.
    fn open(&self, root: &Root, mount: &MountEntry, source: &Path, inside: &Option<InRoot>) -> Result<Option<OwnedFd>> {
        match inside {
            Some(path) => self.open_inside(root, mount, path),
            None => open_source(mount, source).map(Some),
        }
    }
}

/// Gives a detached tree the id mapping of a user namespace.
pub(crate) fn map_tree(mount: &MountEntry, tree: OwnedFd, userns: BorrowedFd<'_>) -> Result<OwnedFd> {
    let attr = MountAttr { set: MOUNT_ATTR_IDMAP, userns: userns.as_raw_fd() as u64, ..MountAttr::default() };
    let hint = "the filesystem of the source does not support id-mapped mounts, or the source is id-mapped already";
    let mapped = mount_setattr(&tree, mount.options.idmap == Depth::Tree, &attr).map_err(|e| since(e, "5.12"));
    mapped.hint_on(libc::EINVAL, hint).map(|()| tree)
}

/// Opens the source of a bind mount as a detached tree, in the mount namespace of the caller.
pub(crate) fn open_source(mount: &MountEntry, source: &Path) -> Result<OwnedFd> {
    let depth = if mount.options.bind == Depth::Mount { 0 } else { AT_RECURSIVE };
    let follow = if mount.options.source_no_follow { AT_SYMLINK_NOFOLLOW } else { 0 };
    mount::open_tree(file::CWD, source.as_os_str().as_bytes(), OPEN_TREE_CLONE | depth | follow).map_err(|e| {
        let is_missing = e.is(libc::ENOENT) || e.is(libc::ENOTDIR);
        let error = Error::from(Failure::new(format!("open_tree({source:?})"), e.errno()));
        let hint = "create the path on the host; a relative one begins at the bundle";
        if is_missing { error.hint(format!("mounts[{}].source: {hint}", mount.index)) } else { error }
    })
}

impl Prepared {
    /// The root directory. It must be the current directory of the process that creates the mount
    /// namespace: the kernel then makes the same directory the current one there, even if the child
    /// lacks access to its path.
    pub(crate) fn directory(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// Takes the detached trees, for [`Rootfs::build`].
    pub(crate) fn take_trees(&mut self) -> Trees {
        std::mem::take(&mut self.trees)
    }
}

impl Trees {
    /// Whether there is a tree for mount number `index`.
    pub(crate) fn has(&self, index: usize) -> bool {
        self.0.get(index).is_some_and(Option::is_some)
    }

    /// Stores the tree of mount number `index`, or the context of its filesystem.
    pub(crate) fn set(&mut self, index: usize, tree: OwnedFd) {
        if self.0.len() <= index {
            self.0.resize_with(index + 1, || None);
        }
        self.0[index] = Some(tree);
    }

    /// All trees with the indices of their mounts.
    pub(crate) fn into_numbered(self) -> impl Iterator<Item = (usize, OwnedFd)> {
        self.0.into_iter().enumerate().filter_map(|(index, tree)| Some((index, tree?)))
    }

    pub(crate) fn take(&mut self, index: usize) -> Option<OwnedFd> {
        self.0.get_mut(index).and_then(Option::take)
    }
}
