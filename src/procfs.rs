//! A private procfs that no other process can mount over.
//!
//! A write of a label, a sysctl or an id map through a path such as `/proc/self/attr/exec` follows
//! the mounts over /proc: an attacker may redirect it to a file without effect, or to another file
//! (CVE-2019-16884, CVE-2025-52881). So the runtime writes beneath the root of a detached mount and
//! crosses no mount and no link there.

use crate::error::{Context, Error, Result};
use crate::sys::mount::{
    self, MOUNT_ATTR_NODEV, MOUNT_ATTR_NOEXEC, MOUNT_ATTR_NOSUID, OPEN_TREE_CLONE, RESOLVE_BENEATH,
    RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS, RESOLVE_NO_XDEV, openat2,
};
use crate::sys::{self, file, fs};
use std::fmt::Display;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// A descriptor of the root of a procfs.
#[derive(Debug)]
pub struct ProcFd(OwnedFd);

const PROC_ROOT_INO: u64 = 1;

impl From<ProcFd> for OwnedFd {
    fn from(procfs: ProcFd) -> OwnedFd {
        procfs.0
    }
}

impl ProcFd {
    /// Mounts a procfs with processes only (`subset=pid`) of the caller's pid namespace.
    ///
    /// The kernel refuses the mount in a nested user namespace with a masked /proc. The fallback is
    /// a detached copy of /proc, or /proc itself, after a check that it is the root of a procfs.
    /// Lookups that meet a mount over it fail.
    pub(crate) fn open() -> Result<ProcFd> {
        ProcFd::own(true).or_else(|_| ProcFd::of_host()).context("open a procfs")
    }

    /// Mounts a complete procfs, with sysctls. Drop it before the container's processes could reach
    /// this process's file descriptors.
    pub(crate) fn open_full() -> Result<ProcFd> {
        ProcFd::own(false).or_else(|_| ProcFd::of_host()).context("open a procfs")
    }

    fn own(processes_only: bool) -> sys::Result<ProcFd> {
        let context = mount::fsopen("proc")?;
        if processes_only {
            mount::fsconfig_string(&context, "subset", "pid")?;
        }
        mount::fsconfig_create(&context)?;
        let attributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
        mount::fsmount(&context, attributes).map(ProcFd)
    }

    fn of_host() -> Result<ProcFd> {
        let copy = mount::open_tree(file::CWD, "/proc", OPEN_TREE_CLONE);
        let fd = copy.or_else(|_| file::open("/proc", libc::O_PATH | libc::O_DIRECTORY))?;
        ProcFd::checked(fd)
    }

    /// Checks that a descriptor, such as the mount for a container's /proc, is the root of a
    /// procfs.
    pub(crate) fn checked(fd: OwnedFd) -> Result<ProcFd> {
        if fs::filesystem_magic(&fd)? != libc::PROC_SUPER_MAGIC || fs::stat(&fd)?.ino != PROC_ROOT_INO {
            return Err(Error::system("/proc is not the root of a procfs"));
        }
        Ok(ProcFd(fd))
    }

    /// Opens a file beneath the root, such as `1/uid_map`, without crossing a mount or following a
    /// symbolic link.
    pub(crate) fn file(&self, path: &str, flags: i32) -> sys::Result<OwnedFd> {
        const RESOLVE: u64 = RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS;
        openat2(&self.0, path, flags | libc::O_NOFOLLOW, 0, RESOLVE)
    }

    /// Writes a file in one `write(2)`.
    pub(crate) fn write(&self, path: &str, bytes: impl AsRef<[u8]>) -> sys::Result<()> {
        let file = self.file(path, libc::O_WRONLY)?;
        file::write_value(file, bytes.as_ref()).map(drop)
    }

    /// Writes a file of the process `pid`, such as `uid_map`, `gid_map`, `setgroups` or
    /// `oom_score_adj`.
    pub(crate) fn write_of(&self, pid: impl Display, name: &str, value: impl AsRef<[u8]>) -> sys::Result<()> {
        self.write(&format!("{pid}/{name}"), value)
    }

    /// Sets the sysctl at a path of [`sysctl_path`].
    pub(crate) fn write_sysctl(&self, path: &str, value: &str) -> sys::Result<()> {
        self.write(&format!("sys/{path}"), value)
    }
}

impl AsFd for ProcFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The path of a sysctl beneath /proc/sys.
///
/// As in sysctl(8), the first `.` or `/` of the key is the separator. If it is the dot, a slash
/// stands for a dot within a component (`net.ipv4.conf.eth0/100.forwarding`).
pub(crate) fn sysctl_path(key: &str) -> String {
    let dotted = key.find(['.', '/']).is_some_and(|at| key.as_bytes()[at] == b'.');
    let swap = |c| match c {
        '.' if dotted => '/',
        '/' if dotted => '.',
        other => other,
    };
    key.chars().map(swap).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sysctl_is_named_with_dots_or_slashes() {
        assert_eq!(sysctl_path("net.ipv4.ip_forward"), "net/ipv4/ip_forward");
        assert_eq!(sysctl_path("net/ipv4/conf/eth0.1/forwarding"), "net/ipv4/conf/eth0.1/forwarding");
        assert_eq!(sysctl_path("net.ipv4.conf.eth0/1.forwarding"), "net/ipv4/conf/eth0.1/forwarding");
    }
}
