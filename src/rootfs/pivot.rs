//! The root directory becomes `/`.

use super::Built;
use super::attributes::{self, Change};
use crate::error::{Context, Result};
use crate::sys::mount::{self, Mount};
use crate::sys::{file, fs};
use libc::{MS_REC, MS_SLAVE};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;

/// How the root directory becomes `/`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Enter {
    /// `pivot_root(2)`: the host's mounts are gone from the namespace.
    #[default]
    Pivot,
    /// By moving the mount over `/` and `chroot(2)` (`--no-pivot`), for a host whose root is an initramfs. Less of a wall.
    Move,
}

impl Built<'_> {
    /// Makes the root filesystem the root directory, and the current one.
    pub fn pivot(&self, how: Enter) -> Result<()> {
        match how {
            Enter::Pivot => self.pivot_root()?,
            Enter::Move => self.move_root()?,
        }
        if let Some(propagation) = self.rootfs.root_propagation() {
            attributes::apply_attached(&self.root, vec![Change::propagating(propagation)])
                .at("linux.rootfsPropagation")?;
            fs::change_dir("/")?;
        }
        Ok(())
    }

    /// `pivot_root(".", ".")` stacks the old root onto the new one, where it is detached at once; no directory is needed for
    /// it (pivot_root(2), notes).
    fn pivot_root(&self) -> Result<()> {
        let old = if self.rootfs.keeps_peers() { Some(old_root()?) } else { None };
        fs::change_dir_to(&self.root)?;
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
        mount::move_mount(&self.root, &old)?;
        fs::change_dir_to(&self.root)?;
        fs::change_root_here()?;
        Ok(fs::change_dir("/")?)
    }

    /// The host's procfs and sysfs, which stay below the new root, would let a new one be mounted in a user namespace.
    fn detach_kernel_filesystems(&self) -> Result<()> {
        let table = file::read_to_end(file::open("/proc/thread-self/mountinfo", libc::O_RDONLY)?, 64 << 20)?;
        let own = self.rootfs.path().as_os_str().as_bytes();
        for line in table.split(|c| *c == b'\n').rev() {
            let Some((target, kind)) = target_and_kind(line) else { continue };
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

/// The mount point and the filesystem of a line of mountinfo (proc_pid_mountinfo(5)).
fn target_and_kind(line: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut fields = line.split(|c| *c == b' ');
    let target = unescape(fields.nth(4)?);
    let kind = fields.skip_while(|field| *field != b"-").nth(1)?;
    Some((target, kind))
}

/// Space, tab, newline and backslash are written in octal there.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [first, tail @ ..] = rest {
        match rest {
            [b'\\', a @ b'0'..=b'7', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..] => {
                bytes.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest = after;
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    bytes
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn a_line_of_mountinfo_gives_its_mount_point_and_filesystem() {
        let line = br"36 35 98:0 /mnt1 /mnt\0402\134 rw,noatime master:1 - ext3 /dev/root rw";
        assert_eq!(target_and_kind(line), Some((br"/mnt 2\".to_vec(), &b"ext3"[..])));
        assert_eq!(target_and_kind(b""), None);
    }
}
