//! A first mount with the destination `/`: it becomes the container's root.
//!
//! It is attached to the descriptor of the root directory, which is a mount of its own in the
//! container's mount namespace by then. Every later lookup begins at the new root, and the root
//! directory below it is never looked at again.

use super::Rootfs;
use super::attach::Built;
use super::attributes::{self, Change};
use super::filesystem::{PROC_SUPER_MAGIC, SYSFS_MAGIC};
use super::mount::MountEntry;
use crate::error::{Error, Result};
use crate::sys::fs;

impl Rootfs {
    /// The mount that becomes the root.
    pub(crate) fn new_root(&self) -> Option<&MountEntry> {
        self.mounts.first().filter(|mount| mount.is_new_root())
    }

    /// Refuses a checkpoint or restore of a container with such a root: CRIU restores the root as a
    /// directory of the host, and this one is mounted nowhere there.
    pub(crate) fn refuse_new_root(&self) -> Result<()> {
        match self.new_root() {
            None => Ok(()),
            Some(_) => Err(Error::state("mounts[0]: CRIU cannot restore a container with a mount as its root")
                .hint("mount the filesystem on the host, and name its directory in root.path")),
        }
    }
}

impl<'a> Built<'a> {
    /// Makes the only mount of the tree its root and the current directory.
    pub(super) fn change_root(mut self) -> Result<Built<'a>> {
        self.tree = self.tree.at_mount()?;
        let root = self.tree.root();
        if [PROC_SUPER_MAGIC, SYSFS_MAGIC].contains(&fs::filesystem_magic(root)?) {
            return Err(Error::system("the source is a procfs or sysfs, which cannot become the root"));
        }
        if self.rootfs.keeps_peers() {
            // pivot_root(2) refuses a shared root.
            let private = Change { propagation: libc::MS_PRIVATE, ..Change::default() };
            attributes::apply_attached(root, vec![private])?;
        }
        fs::change_dir_to(root)?;
        Ok(self)
    }
}
