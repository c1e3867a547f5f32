//! The option `tmpcopyup`: copying the contents of a mount point into the tmpfs that is mounted
//! over it.

use super::acl;
use super::mount::MountEntry;
use crate::error::{Context, Error, Result};
use crate::path::Handle;
use crate::sys::file::{self, Whence};
use crate::sys::fs::{self, Stat};
use crate::sys::memory::truncate;
use crate::sys::{self, xattr};
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;

/// The limit of the directory depth. Each level holds two file descriptors.
const DEEPEST: u32 = 200;

/// The parameter `mode` for a tmpfs over an existing directory: the directory's mode, unless an
/// option sets it.
pub(super) fn mode_of_covered(mount: &MountEntry, place: &Handle) -> Result<Option<(&'static str, String)>> {
    if says_mode(mount) {
        return Ok(None);
    }
    Ok(Some(("mode", format!("{:o}", acl::mode_of(place)?))))
}

fn says_mode(mount: &MountEntry) -> bool {
    mount.options.data.iter().any(|p| p.key == "mode")
}

/// For the option `tmpcopyup`: copies the contents of the directory at `place` to a new tmpfs.
pub(super) fn copy_up(mount: &MountEntry, place: &Handle, tree: &OwnedFd) -> Result<()> {
    if !mount.options.copy_up {
        return Ok(());
    }
    up(&file::open_at(place, ".", libc::O_RDONLY | libc::O_DIRECTORY, 0)?, tree, says_mode(mount))
}

/// Copies the contents of `from` to `to`: directories, files with holes and hard links, symbolic
/// links and nodes, with owners, permissions, extended attributes and times. The extended
/// attributes of `from` itself are copied, too, except the access control list if `keeps_mode` is
/// set, since an option sets another mode.
///
/// Symbolic links are not followed; directories that are mount points are. `to` must not be visible
/// to other processes.
fn up(from: &OwnedFd, to: &OwnedFd, keeps_mode: bool) -> Result<()> {
    let to = file::open_at(to, ".", libc::O_RDONLY | libc::O_DIRECTORY, 0)?;
    let mut copy = Copy { root: &to, links: BTreeMap::new() };
    copy.directory(from, &to, &mut Vec::new(), 0).context("tmpcopyup")?;
    // `to` was created with a mode that is safe without the access control list.
    attributes(from, &to, keeps_mode).map(drop).context("tmpcopyup")
}

struct Copy<'a> {
    root: &'a OwnedFd,
    /// The paths below the root of copied files with more than one hard link, by device and inode.
    links: BTreeMap<(u64, u64), Vec<u8>>,
}

impl Copy<'_> {
    /// Copies the entries of a directory; `path` is the path of `to` below the root.
    fn directory(&mut self, from: &OwnedFd, to: &OwnedFd, path: &mut Vec<u8>, depth: u32) -> Result<()> {
        if depth > DEEPEST {
            return Err(Error::system(format!("more than {DEEPEST} directories deep")));
        }
        for name in fs::names(from)? {
            let length = path.len();
            path.extend_from_slice(if length == 0 { b"" } else { b"/" });
            path.extend_from_slice(&name);
            let copied = self.entry(from, to, &name, path, depth);
            path.truncate(length);
            copied.with_context(|| String::from_utf8_lossy(&name).into_owned())?;
        }
        Ok(())
    }

    fn entry(&mut self, from: &OwnedFd, to: &OwnedFd, name: &[u8], path: &mut Vec<u8>, depth: u32) -> Result<()> {
        let seen = file::open_at(from, name, libc::O_PATH | libc::O_NOFOLLOW, 0)?;
        let stat = fs::stat(&seen)?;
        if stat.links > 1 && !stat.is_dir() {
            match self.links.get(&(stat.dev, stat.ino)) {
                // No other process sees the tree, so the path still leads to the copy.
                Some(first) => return Ok(fs::link_at(self.root, first, to, name)?),
                None => _ = self.links.insert((stat.dev, stat.ino), path.clone()),
            }
        }
        match stat.kind() {
            libc::S_IFDIR => {
                fs::mkdir_at(to, name, 0o700)?;
                let source = open_same(from, name, libc::O_RDONLY | libc::O_DIRECTORY, &stat)?;
                let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NOFOLLOW;
                let copy = file::open_at(to, name, flags, 0)?;
                self.directory(&source, &copy, path, depth + 1)?;
                settle(&source, &copy, &stat)?;
            }
            libc::S_IFREG => {
                let source = open_same(from, name, libc::O_RDONLY | libc::O_NONBLOCK, &stat)?;
                let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW;
                let copy = file::open_at(to, name, flags, 0o600)?;
                contents(&source, &copy, &stat)?;
                settle(&source, &copy, &stat)?;
            }
            kind => {
                match kind {
                    libc::S_IFLNK => fs::symlink_at(fs::read_link_at(&seen, "")?, to, name)?,
                    // A node must not be opened, so its attributes cannot be copied.
                    _ => {
                        fs::mknod_at(to, name, stat.kind() | acl::without(&stat, acl::of_name(from, name)?), stat.rdev)?
                    }
                }
                let copy = file::open_at(to, name, libc::O_PATH | libc::O_NOFOLLOW, 0)?;
                fs::chown(&copy, stat.uid, stat.gid)?;
            }
        }
        Ok(fs::set_times_at(to, name, stat.atime, stat.mtime)?)
    }
}

/// Sets owner, permissions and extended attributes of a copy, in this order: chown(2) clears
/// set-user-ID bits and file capabilities.
fn settle(from: &OwnedFd, copy: &OwnedFd, stat: &Stat) -> Result<()> {
    fs::chown(copy, stat.uid, stat.gid)?;
    fs::chmod(copy, stat.mode & 0o7777)?;
    match attributes(from, copy, false)? {
        // The middle digit of the source's mode is the mask of its list.
        Some(list) => Ok(fs::chmod(copy, acl::without(stat, Some(list)))?),
        None => Ok(()),
    }
}

/// Copies extended attributes. Returns the access control list if the copy cannot have it. Other
/// attributes that cannot be set are skipped, such as a security module's label, or `user.*` before
/// Linux 6.6.
fn attributes(from: &OwnedFd, copy: &OwnedFd, keeps_mode: bool) -> Result<Option<Vec<u8>>> {
    let mut lost = None;
    for name in xattr::list(from)? {
        if keeps_mode && name == acl::ACCESS {
            continue;
        }
        let Some(value) = xattr::get(from, &name)? else { continue };
        match xattr::set(copy, &name, &value) {
            Err(e) if is_refusal(&e) && name == acl::ACCESS => lost = Some(value),
            Err(e) if is_refusal(&e) => {}
            other => other?,
        }
    }
    Ok(lost)
}

/// Whether a filesystem, a security module or a user namespace refused an attribute.
fn is_refusal(failure: &sys::Failure) -> bool {
    let refusals = [libc::EOPNOTSUPP, libc::EPERM, libc::EACCES, libc::EINVAL, libc::EOVERFLOW];
    refusals.iter().any(|errno| failure.is(*errno))
}

/// Opens the file that was seen before; fails if another one has replaced it.
fn open_same(dir: &OwnedFd, name: &[u8], flags: i32, seen: &Stat) -> Result<OwnedFd> {
    let fd = file::open_at(dir, name, flags | libc::O_NOFOLLOW, 0)?;
    if fs::stat(&fd)?.same_file(seen) { Ok(fd) } else { Err(Error::system("was replaced while it was copied")) }
}

/// Copies the data of a file. If it occupies less space than its size, it has holes, which are
/// skipped.
fn contents(from: &OwnedFd, to: &OwnedFd, stat: &Stat) -> sys::Result<()> {
    if stat.blocks.saturating_mul(512) >= stat.size {
        return range(from, to, 0, u64::MAX).map(drop);
    }
    let mut place = 0;
    loop {
        let Some(data) = file::seek(from, place, Whence::SeekData)? else {
            // The rest of the file is a hole.
            return truncate(to, stat.size as u64);
        };
        let end = file::seek(from, data, Whence::SeekHole)?.unwrap_or(u64::MAX);
        file::seek(to, data, Whence::SeekSet)?;
        place = range(from, to, data, end)?;
        // Fewer bytes than expected: a file of a kernel filesystem, or one that was truncated
        // meanwhile.
        if place < end || place >= stat.size as u64 {
            return Ok(());
        }
    }
}

/// Copies the bytes from `start` to `end` or the end of the file. Returns the offset of the end.
fn range(from: &OwnedFd, to: &OwnedFd, start: u64, end: u64) -> sys::Result<u64> {
    let mut buffer = [0; 32 << 10];
    let mut place = start;
    while place < end {
        let most = usize::try_from(end - place).unwrap_or(usize::MAX).min(buffer.len());
        match file::read_at(from, &mut buffer[..most], place)? {
            0 => break,
            n => {
                file::write_all(to, &buffer[..n])?;
                place += n as u64;
            }
        }
    }
    Ok(place)
}
