//! Bind mounts with a source below the container's root.
//!
//! Such a source may be in an earlier mount of the container, so it is opened in the container's
//! tree when its entry's turn comes. It is resolved within that tree: a symbolic link from the
//! container's image never leads to the host.

use super::Rootfs;
use super::attach::Built;
use super::mount::MountEntry;
use super::options::Depth;
use super::prepare::map_tree;
use crate::error::{Context, Error, Result};
use crate::path::{Handle, InRoot, Root};
use crate::sys::fs;
use crate::sys::mount::{self, AT_RECURSIVE, OPEN_TREE_CLONE};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// The path of `source` relative to `root`, if it is below `root` lexically.
pub(crate) fn below(root: &Path, source: &Path) -> Option<InRoot> {
    let [root, source] = [root, source].map(|path| path.to_str().map(InRoot::new));
    let (root, source) = (root?, source?);
    (source.is_within(&root) && source != root).then(|| InRoot::new(source.beneath(&root)))
}

/// A detached copy of `found`, with the mounts beneath it for `rbind`.
fn copy(mount: &MountEntry, found: impl AsFd) -> Result<OwnedFd> {
    let depth = if mount.options.bind == Depth::Mount { 0 } else { AT_RECURSIVE };
    Ok(mount::open_tree(found, "", OPEN_TREE_CLONE | depth)?)
}

impl Rootfs {
    /// Opens the source in the root directory, for the parent, which has more privileges than a
    /// child in a user namespace. `None` if the source is in an earlier mount of the container, or
    /// does not exist yet.
    pub(crate) fn open_inside(&self, root: &Root, mount: &MountEntry, path: &InRoot) -> Result<Option<OwnedFd>> {
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

    /// The path itself, and the path in the root directory that it resolves to, if that is another
    /// one.
    pub(super) fn places_of(&self, root: &Root, path: &InRoot) -> Vec<InRoot> {
        let found = root.find_if_there(path).ok().flatten();
        let place = found.and_then(|found| place_of(root, &found)).filter(|place| place != path);
        std::iter::once(path.clone()).chain(place).collect()
    }
}

/// The path of `found` in the root, by the kernel's name for the descriptor.
fn place_of(root: &Root, found: &Handle) -> Option<InRoot> {
    let (root, found) = (super::external::path_of(root)?, super::external::path_of(found)?);
    Some(InRoot::new(found.strip_prefix(root).ok()?.to_str()?))
}

impl Built<'_> {
    /// Copies the source from the container's tree, id-mapped with the user namespace `userns` if
    /// there is one.
    pub(crate) fn open_inside(&self, mount: &MountEntry, path: &InRoot, userns: Option<OwnedFd>) -> Result<OwnedFd> {
        let found = match mount.options.source_no_follow {
            true => self.tree.find_no_follow(path)?,
            false => self.tree.find(path)?,
        };
        let found = found.ok_or_else(|| super::put::missing(path)).context("source in the root filesystem")?;
        self.refuse_unmasked(mount, &found.path, &found.handle)?;
        let tree = copy(mount, &found.handle)?;
        match userns {
            Some(userns) => map_tree(mount, tree, userns.as_fd()).hint_on(
                libc::EPERM,
                "the source is on a filesystem of the host, where a user namespace has no privileges",
            ),
            None => Ok(tree),
        }
    }

    /// Refuses to copy the container's procfs or sysfs: the copy would lack its masks and read-only
    /// paths.
    fn refuse_unmasked(&self, mount: &MountEntry, path: &InRoot, found: &Handle) -> Result<()> {
        if self.rootfs.masked.is_empty() && self.rootfs.readonly_paths.is_empty() {
            return Ok(());
        }
        let of_kernel = |magic: i64| magic == libc::PROC_SUPER_MAGIC || magic == libc::SYSFS_MAGIC;
        let beneath = mount.options.bind != Depth::Mount
            && self.tree.mounts_within(path).any(|mount| {
                // If the type of the filesystem is unknown, the copy is refused, too.
                fs::filesystem_magic(mount).map_or(true, of_kernel)
            });
        if beneath || of_kernel(fs::filesystem_magic(found)?) {
            return Err(Error::system(
                "the source contains a procfs or sysfs of the container, which would be there without masks",
            )
            .hint("mount a new one there"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
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
