//! Changing the root: the root filesystem becomes `/`.

use super::Built;
use super::attributes::{self, Change};
use crate::error::{Context, Result};
use crate::mountinfo;
use crate::sys::mount::{self, MountArgs};
use crate::sys::{file, fs};
use libc::{MS_REC, MS_SLAVE};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;

/// The way to change the root.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Enter {
    /// `pivot_root(2)`: the host's mounts are removed from the mount namespace.
    #[default]
    Pivot,
    /// Moving the mount over `/`, and `chroot(2)` (`--no-pivot`), for a host with an initramfs as
    /// root. It isolates less.
    Move,
}

impl Built<'_> {
    /// Makes the root filesystem the root and current directory.
    pub(crate) fn pivot(&self, how: Enter) -> Result<()> {
        match how {
            Enter::Pivot => self.pivot_root()?,
            Enter::Move => self.move_root()?,
        }
        if let Some(propagation) = self.rootfs.root_propagation() {
            attributes::apply_attached(self.tree.root(), vec![Change::propagating(propagation)])
                .context("linux.rootfsPropagation")?;
            fs::change_dir("/")?;
        }
        Ok(())
    }

    /// `pivot_root(".", ".")` stacks the old root onto the new one, where it is then detached, so
    /// that no directory for the old root is needed (pivot_root(2), notes).
    fn pivot_root(&self) -> Result<()> {
        let old = if self.rootfs.keeps_peers() { Some(old_root()?) } else { None };
        fs::change_dir_to(self.tree.root())?;
        mount::pivot_root_here()?;
        if let Some(old) = &old {
            // The old root's mounts are still peers of the host's; without this the unmount would
            // propagate to them.
            fs::change_dir_to(old)?;
            mount::mount(".", &MountArgs { flags: MS_SLAVE | MS_REC, ..MountArgs::default() })?;
        }
        mount::detach(".", 0).context("detach the old root")?;
        Ok(fs::change_dir("/")?)
    }

    fn move_root(&self) -> Result<()> {
        self.detach_kernel_filesystems()?;
        let old = old_root()?;
        mount::move_mount(self.tree.root(), &old)?;
        fs::change_dir_to(self.tree.root())?;
        fs::change_root_here()?;
        Ok(fs::change_dir("/")?)
    }

    /// Unmounts the host's procfs and sysfs, which stay below the new root: the kernel allows new
    /// mounts of them in a user namespace only if an unmasked one is visible.
    fn detach_kernel_filesystems(&self) -> Result<()> {
        let table = mountinfo::table("thread-self")?;
        let own = self.rootfs.path.as_os_str().as_bytes();
        for mounted in mountinfo::mounts(&table).rev() {
            let (target, kind) = (mounted.point(), mounted.kind);
            let inside = target.strip_prefix(own).is_some_and(|rest| rest.is_empty() || rest[0] == b'/');
            if (kind == b"proc" || kind == b"sysfs") && !inside {
                match mount::detach(&target, libc::UMOUNT_NOFOLLOW) {
                    // The mount is locked in a user namespace, and as masked as the caller's.
                    Err(e) if e.is(libc::EINVAL) || e.is(libc::EPERM) => {}
                    other => other?,
                }
            }
        }
        Ok(())
    }
}

fn old_root() -> Result<OwnedFd> {
    Ok(file::open("/", libc::O_PATH | libc::O_DIRECTORY)?)
}
