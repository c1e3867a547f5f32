//! The root directory becomes `/`.

use super::Built;
use super::attributes::{self, Change};
use crate::error::{Context, Result};
use crate::mountinfo;
use crate::sys::mount::{self, Mount};
use crate::sys::{file, fs};
use libc::{MS_REC, MS_SLAVE};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;

/// How the root directory becomes `/`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Enter {
    /// `pivot_root(2)`: the host's mounts are gone from the namespace.
    #[default]
    Pivot,
    /// By moving the mount over `/` and `chroot(2)` (`--no-pivot`), for a host whose root is an initramfs. Less of a wall.
    Move,
}

impl Built<'_> {
    /// Makes the root filesystem the root directory, and the current one.
    pub(crate) fn pivot(&self, how: Enter) -> Result<()> {
        match how {
            Enter::Pivot => self.pivot_root()?,
            Enter::Move => self.move_root()?,
        }
        if let Some(propagation) = self.rootfs.root_propagation() {
            attributes::apply_attached(self.tree.root(), vec![Change::propagating(propagation)])
                .at("linux.rootfsPropagation")?;
            fs::change_dir("/")?;
        }
        Ok(())
    }

    /// `pivot_root(".", ".")` stacks the old root onto the new one, where it is detached at once; no directory is needed for
    /// it (pivot_root(2), notes).
    fn pivot_root(&self) -> Result<()> {
        let old = if self.rootfs.keeps_peers() { Some(old_root()?) } else { None };
        fs::change_dir_to(self.tree.root())?;
        mount::pivot_root_here()?;
        if let Some(old) = &old {
            // Its mounts are still peers of the host's, whom the detaching must not reach.
            fs::change_dir_to(old)?;
            mount::mount(".", &Mount { flags: MS_SLAVE | MS_REC, ..Mount::default() })?;
        }
        mount::detach(".", 0).at("detach the old root")?;
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

    /// The host's procfs and sysfs, which stay below the new root, would let a new one be mounted in a user namespace.
    fn detach_kernel_filesystems(&self) -> Result<()> {
        let table = mountinfo::table("thread-self")?;
        let own = self.rootfs.path().as_os_str().as_bytes();
        for mounted in mountinfo::mounts(&table).rev() {
            let (target, kind) = (mounted.point(), mounted.kind);
            let inside = target.strip_prefix(own).is_some_and(|rest| rest.is_empty() || rest[0] == b'/');
            if (kind == b"proc" || kind == b"sysfs") && !inside {
                match mount::detach(&target, libc::UMOUNT_NOFOLLOW) {
                    // Locked in a user namespace; then it is as masked as it was for the caller.
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
