//! Bind mounts whose source lies below the container's own root.
//!
//! Such a source may be what an earlier mount has put there, so it is opened in its turn, in the container's tree. And it is a
//! path in that tree: a symbolic link in the root, which the container's image brings, never leads to the host.

use super::Rootfs;
use super::attach::Built;
use super::filesystem::{PROC_SUPER_MAGIC, SYSFS_MAGIC};
use super::mount::Mount;
use super::options::Bind;
use super::prepare::map_tree;
use crate::error::{Context, Error, Result};
use crate::path::{Handle, InRoot, Root};
use crate::sys::fs;
use crate::sys::mount::{self, AT_RECURSIVE, OPEN_TREE_CLONE};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// The path below `root` that `source` names, if it does: as it is written, but for `.` and `..`.
pub(crate) fn below(root: &Path, source: &Path) -> Option<InRoot> {
    let [root, source] = [root, source].map(|path| path.to_str().map(InRoot::new));
    let (root, source) = (root?, source?);
    (source.is_within(&root) && source != root).then(|| InRoot::new(source.beneath(&root)))
}

/// A copy of what was found, with what is mounted beneath if the options say so.
fn copy(mount: &Mount, found: impl AsFd) -> Result<OwnedFd> {
    let depth = if mount.options.bind == Bind::Mount { 0 } else { AT_RECURSIVE };
    Ok(mount::open_tree(found, "", OPEN_TREE_CLONE | depth)?)
}

impl Rootfs {
    /// For the parent, which may enter and copy more than a child in a user namespace: the source in the root directory, unless
    /// an earlier mount puts something else there, or it is not there yet.
    pub(crate) fn open_inside(&self, root: &Root, mount: &Mount, path: &InRoot) -> Result<Option<OwnedFd>> {
        let found = match mount.options.source_no_follow {
            true => root.find_no_follow(path)?,
            false => root.find_if_there(path)?,
        };
        let Some(found) = found else { return Ok(None) };
        let sources = [Some(path.clone()), place_of(root, &found)];
        let earlier = self.mounts.iter().take(mount.index);
        let mut places = earlier.flat_map(|earlier| self.places_of(root, &earlier.destination));
        if places.any(|place| sources.iter().flatten().any(|source| source.is_within(&place))) {
            return Ok(None);
        }
        copy(mount, &found).map(Some)
    }

    /// Where a path leads in the root directory: itself, and what it is without symbolic links.
    pub(super) fn places_of(&self, root: &Root, path: &InRoot) -> Vec<InRoot> {
        let found = root.find_if_there(path).ok().flatten();
        let place = found.and_then(|found| place_of(root, &found)).filter(|place| place != path);
        std::iter::once(path.clone()).chain(place).collect()
    }
}

/// The path in the root of what was found there.
fn place_of(root: &Root, found: &Handle) -> Option<InRoot> {
    let (root, found) = (super::outside::path_of(root)?, super::outside::path_of(found)?);
    Some(InRoot::new(found.strip_prefix(root).ok()?.to_str()?))
}

impl Built<'_> {
    /// Copies the source from the tree as it is now; `userns`: seen through its id mapping.
    pub(crate) fn open_inside(&self, mount: &Mount, path: &InRoot, userns: Option<OwnedFd>) -> Result<OwnedFd> {
        let found = match mount.options.source_no_follow {
            true => self.tree.find_no_follow(path)?,
            false => self.tree.find(path)?,
        };
        let found = found.ok_or_else(|| super::attach::missing(path)).at("source in the root filesystem")?;
        self.refuse_unmasked(mount, &found.path, &found.handle)?;
        let tree = copy(mount, &found.handle)?;
        match userns {
            Some(userns) => map_tree(mount, tree, userns.as_fd()).map_err(|e| match e.errno() {
                libc::EPERM => {
                    e.hint("the source is of the host, over whose filesystems a user namespace has no rights")
                }
                _ => e,
            }),
            None => Ok(tree),
        }
    }

    /// A copy of the container's procfs or sysfs at another place would not have its masks and read-only paths.
    fn refuse_unmasked(&self, mount: &Mount, path: &InRoot, found: &Handle) -> Result<()> {
        if self.rootfs.masked.is_empty() && self.rootfs.readonly_paths.is_empty() {
            return Ok(());
        }
        let of_kernel = |magic: i64| magic == PROC_SUPER_MAGIC || magic == SYSFS_MAGIC;
        let beneath = mount.options.bind != Bind::Mount
            && self.tree.mounts_within(path).any(|mount| {
                // One that cannot be asked is none to be copied either.
                fs::filesystem_magic(mount).map_or(true, of_kernel)
            });
        if beneath || of_kernel(fs::filesystem_magic(found)?) {
            return Err(Error::system(
                "the source holds a procfs or sysfs of the container, which would be there without masks",
            )
            .hint("mount another one there"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn a_source_is_in_the_root_by_its_text() {
        let of = |source: &str| below(Path::new("/b/root"), Path::new(source)).map(|path| path.as_str().to_owned());
        assert_eq!(of("/b/root/data/x").as_deref(), Some("/data/x"));
        assert_eq!(of("/b//./root/../root/data/").as_deref(), Some("/data"));
        for outside in ["/b/root", "/b/root/", "/b/rootdata", "/b/root/../data", "/b/root/../../etc", "/b"] {
            assert_eq!(of(outside), None, "{outside}");
        }
    }
}
