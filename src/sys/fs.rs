//! Directory entries and file attributes: mkdir, mknod, symlink, stat, statfs, chown, chdir.
#![allow(unsafe_code)]

use super::call::opened;
use super::file::open_at;
use super::{Errno, Failure, Result, check, check_again, quote, show, with_c_str, wrap, wrap_again};
use nix::fcntl::AtFlags;
use nix::sys::stat::{Mode, SFlag, UtimensatFlags};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// The result of `fstat(2)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stat {
    /// The device of the file system.
    pub dev: u64,
    /// The number of the inode.
    pub ino: u64,
    /// The type (S_IF*) and the permission bits.
    pub mode: u32,
    /// Hard links. A directory in cgroupfs has two, and one more for each child directory.
    pub links: u64,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// The device number of a device node.
    pub rdev: u64,
    /// The size in bytes.
    pub size: i64,
    /// The allocated size, in units of 512 bytes.
    pub blocks: i64,
    /// Last access, in seconds and nanoseconds.
    pub atime: (i64, i64),
    /// Last modification, in seconds and nanoseconds.
    pub mtime: (i64, i64),
}

impl Stat {
    /// The file type, an S_IF* constant.
    pub(crate) fn kind(&self) -> u32 {
        self.mode & libc::S_IFMT
    }

    /// Whether it is a directory.
    pub fn is_dir(&self) -> bool {
        self.kind() == libc::S_IFDIR
    }

    /// Whether both describe the same file.
    pub(crate) fn same_file(&self, other: &Stat) -> bool {
        (self.dev, self.ino) == (other.dev, other.ino)
    }
}

/// `fstat(2)`. Works with O_PATH descriptors.
pub(crate) fn stat(fd: impl AsFd) -> Result<Stat> {
    let fd = fd.as_fd();
    wrap(nix::sys::stat::fstatat(fd, c"", AtFlags::AT_EMPTY_PATH), || format!("fstat({})", show(fd))).map(converted)
}

/// `fstatat(2)` of a name in `dir`, `None` if it does not exist. A symbolic link is not followed.
pub(crate) fn stat_at(dir: impl AsFd, name: impl AsRef<[u8]>) -> Result<Option<Stat>> {
    let (dir, name) = (dir.as_fd(), name.as_ref());
    match nix::sys::stat::fstatat(dir, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
        Err(nix::errno::Errno::ENOENT) => Ok(None),
        other => wrap(other, || format!("fstatat({}, {})", show(dir), quote(name))).map(|s| Some(converted(s))),
    }
}

#[allow(clippy::unnecessary_cast, reason = "the types differ between targets")]
fn converted(s: libc::stat) -> Stat {
    Stat {
        dev: s.st_dev as u64,
        ino: s.st_ino as u64,
        mode: s.st_mode,
        links: s.st_nlink as u64,
        uid: s.st_uid,
        gid: s.st_gid,
        rdev: s.st_rdev as u64,
        size: s.st_size as i64,
        blocks: s.st_blocks as i64,
        atime: (s.st_atime as i64, s.st_atime_nsec as i64),
        mtime: (s.st_mtime as i64, s.st_mtime_nsec as i64),
    }
}

/// The device number of `major` and `minor` in the format of `mknod`.
pub(crate) fn device_number(major: u32, minor: u32) -> u64 {
    libc::makedev(major, minor) as u64
}

/// Whether `fd` is the root of a mount (`statx(2)`, STATX_ATTR_MOUNT_ROOT, since Linux 5.8).
pub(crate) fn is_mount_root(fd: impl AsFd) -> Result<bool> {
    const MOUNT_ROOT: u64 = 0x2000;
    let fd = fd.as_fd();
    let raw = statx(fd, 0)?;
    if raw.stx_attributes_mask & MOUNT_ROOT == 0 {
        return Err(Failure::new(format!("statx({}): no STATX_ATTR_MOUNT_ROOT", show(fd)), Errno(libc::ENOSYS)));
    }
    Ok(raw.stx_attributes & MOUNT_ROOT != 0)
}

/// The id of the mount of `fd`, unique during the life of the mount (`statx(2)`, STATX_MNT_ID,
/// since Linux 5.8).
pub(crate) fn mount_id(fd: impl AsFd) -> Result<u64> {
    one_mount_id(fd.as_fd(), MNT_ID)
}

/// The id of the mount of `fd`, which no later mount will have (STATX_MNT_ID_UNIQUE, since Linux
/// 6.8); the [`mount_id`] on an older kernel.
pub(crate) fn unique_mount_id(fd: impl AsFd) -> Result<u64> {
    one_mount_id(fd.as_fd(), MNT_ID | MNT_ID_UNIQUE)
}

const MNT_ID: u32 = 0x1000;
const MNT_ID_UNIQUE: u32 = 0x4000;

fn one_mount_id(fd: BorrowedFd<'_>, mask: u32) -> Result<u64> {
    let raw = statx(fd, mask)?;
    if raw.stx_mask & mask == 0 {
        return Err(Failure::new(format!("statx({}): no STATX_MNT_ID", show(fd)), Errno(libc::ENOSYS)));
    }
    Ok(raw.stx_mnt_id)
}

fn statx(fd: BorrowedFd<'_>, mask: u32) -> Result<libc::statx> {
    let mut raw = MaybeUninit::<libc::statx>::zeroed();
    let (number, path, at) = (fd.as_raw_fd(), c"".as_ptr(), raw.as_mut_ptr());
    // SAFETY: the empty path is a static C string, and `raw` is a writable `struct statx`, of which all zeroes is a valid
    // value. Raw, since musl has no wrapper before 1.2.4.
    unsafe {
        check(libc::syscall(libc::SYS_statx, number, path, libc::AT_EMPTY_PATH, mask, at), || {
            format!("statx({})", show(fd))
        })?;
        Ok(raw.assume_init())
    }
}

/// The magic number of the filesystem (`fstatfs(2)`).
pub(crate) fn filesystem_magic(fd: impl AsFd) -> Result<i64> {
    let fd = fd.as_fd();
    let stat = wrap_again(|| nix::sys::statfs::fstatfs(fd), || format!("fstatfs({})", show(fd)))?;
    #[allow(clippy::unnecessary_cast, reason = "the type differs between targets")]
    Ok(stat.filesystem_type().0 as i64)
}

/// The flags of the mount of `fd`, as ST_* constants (`fstatfs(2)`). nix drops flags that it does
/// not know.
pub(crate) fn mount_flags(fd: impl AsFd) -> Result<libc::c_ulong> {
    let fd = fd.as_fd();
    let mut raw = MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: `raw` is a writable `struct statvfs`, which libc has filled when the call has succeeded.
    unsafe {
        check_again(|| libc::fstatvfs(fd.as_raw_fd(), raw.as_mut_ptr()), || format!("fstatvfs({})", show(fd)))?;
        Ok(raw.assume_init().f_flag)
    }
}

/// `mkdirat(2)`.
pub(crate) fn mkdir_at(dir: impl AsFd, name: impl AsRef<[u8]>, mode: u32) -> Result<()> {
    let (dir, name) = (dir.as_fd(), name.as_ref());
    wrap(nix::sys::stat::mkdirat(dir, name, Mode::from_bits_retain(mode)), || {
        format!("mkdirat({}, {}, {mode:#o})", show(dir), quote(name))
    })
}

/// `mknodat(2)`. Never follows a symbolic link at `name`, and never replaces a file.
pub(crate) fn mknod_at(dir: impl AsFd, name: impl AsRef<[u8]>, mode: u32, device: u64) -> Result<()> {
    let (dir, name) = (dir.as_fd(), name.as_ref());
    let (kind, permissions) = (SFlag::from_bits_truncate(mode), Mode::from_bits_truncate(mode));
    wrap(nix::sys::stat::mknodat(dir, name, kind, permissions, device as libc::dev_t), || {
        format!("mknodat({}, {}, {mode:#o}, {device:#x})", show(dir), quote(name))
    })
}

/// `linkat(2)`. A symbolic link at the end of `path` is not followed.
pub(crate) fn link_at(from: impl AsFd, path: impl AsRef<[u8]>, dir: impl AsFd, name: impl AsRef<[u8]>) -> Result<()> {
    let (from, path, dir, name) = (from.as_fd(), path.as_ref(), dir.as_fd(), name.as_ref());
    wrap(nix::unistd::linkat(from, path, dir, name, AtFlags::empty()), || {
        format!("linkat({}, {}, {}, {})", show(from), quote(path), show(dir), quote(name))
    })
}

/// `symlinkat(2)`.
pub(crate) fn symlink_at(target: impl AsRef<[u8]>, dir: impl AsFd, name: impl AsRef<[u8]>) -> Result<()> {
    let (target, dir, name) = (target.as_ref(), dir.as_fd(), name.as_ref());
    wrap(nix::unistd::symlinkat(target, dir, name), || {
        format!("symlinkat({}, {}, {})", quote(target), show(dir), quote(name))
    })
}

/// `readlinkat(2)`. An empty name reads the symbolic link `dir` itself. At most 4096 bytes
/// (PATH_MAX).
pub(crate) fn read_link_at(dir: impl AsFd, name: impl AsRef<[u8]>) -> Result<Vec<u8>> {
    let (dir, name) = (dir.as_fd(), name.as_ref());
    let mut buffer = vec![0u8; libc::PATH_MAX as usize];
    let n = with_c_str(name, |c| {
        // nix's function allocates three times.
        // SAFETY: `c` is a C string; the pointer and the length are those of a live, writable buffer.
        let n = unsafe { libc::readlinkat(dir.as_raw_fd(), c.as_ptr(), buffer.as_mut_ptr().cast(), buffer.len()) };
        check(n as i64, || format!("readlinkat({}, {})", show(dir), quote(name)))
    })?;
    buffer.truncate(n as usize);
    Ok(buffer)
}

/// The names in a directory, without `.` and `..` (`getdents64(2)`). `dir` must be open for
/// reading.
pub(crate) fn names(dir: impl AsFd) -> Result<Vec<Vec<u8>>> {
    let mut names = Vec::new();
    each_entry(dir.as_fd(), |name, _| names.push(name.to_vec()))?;
    Ok(names)
}

/// The names of the subdirectories of a directory, without `.` and `..`. `dir` must be open for
/// reading.
pub(crate) fn directories(dir: impl AsFd) -> Result<Vec<Vec<u8>>> {
    const OF_DIRECTORY: i32 = libc::O_PATH | libc::O_DIRECTORY | libc::O_NOFOLLOW;
    let (dir, mut names) = (dir.as_fd(), Vec::new());
    each_entry(dir, |name, kind| {
        // Some filesystems do not report the type.
        if kind == libc::DT_DIR || kind == libc::DT_UNKNOWN && open_at(dir, name, OF_DIRECTORY, 0).is_ok() {
            names.push(name.to_vec());
        }
    })?;
    Ok(names)
}

/// All entries of `getdents64(2)`: each name with its d_type.
fn each_entry(dir: BorrowedFd<'_>, mut take: impl FnMut(&[u8], u8)) -> Result<()> {
    /// The offset of d_type in a `struct linux_dirent64`, after d_ino, d_off and d_reclen. The name
    /// follows it.
    const TYPE: usize = 18;
    const NAME: usize = 19;
    let mut buffer = [0u8; 4096];
    loop {
        // SAFETY: the pointer and the length are those of a live, writable buffer.
        let n = check(
            unsafe { libc::syscall(libc::SYS_getdents64, dir.as_raw_fd(), buffer.as_mut_ptr(), buffer.len()) },
            || format!("getdents64({})", show(dir)),
        )?;
        let mut rest = &buffer[..n as usize];
        if rest.is_empty() {
            return Ok(());
        }
        while rest.len() > NAME {
            let length = u16::from_ne_bytes([rest[16], rest[17]]) as usize;
            let (record, next) = rest.split_at(length.clamp(NAME, rest.len()));
            let name = record[NAME..].split(|b| *b == 0).next().unwrap_or_default();
            if name != b"." && name != b".." {
                take(name, record[TYPE]);
            }
            rest = next;
        }
    }
}

/// Changes the owner of the file of `fd` (`fchownat(2)` with AT_EMPTY_PATH). Works with O_PATH
/// descriptors.
pub(crate) fn chown(fd: impl AsFd, uid: u32, gid: u32) -> Result<()> {
    let fd = fd.as_fd();
    let (owner, group) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
    wrap(nix::unistd::fchownat(fd, c"", owner, group, AtFlags::AT_EMPTY_PATH), || {
        format!("fchownat({}, {uid}, {gid})", show(fd))
    })
}

/// Changes the owner of `name` in `dir` (`fchownat(2)`). A symbolic link is not followed.
pub(crate) fn chown_at(dir: impl AsFd, name: impl AsRef<[u8]>, uid: u32, gid: u32) -> Result<()> {
    let (dir, name) = (dir.as_fd(), name.as_ref());
    let (owner, group) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
    wrap(nix::unistd::fchownat(dir, name, owner, group, AtFlags::AT_SYMLINK_NOFOLLOW), || {
        format!("fchownat({}, {}, {uid}, {gid})", show(dir), quote(name))
    })
}

/// `fchmod(2)`. Not for O_PATH descriptors.
pub(crate) fn chmod(fd: impl AsFd, mode: u32) -> Result<()> {
    let fd = fd.as_fd();
    let bits = Mode::from_bits_retain(mode);
    wrap_again(|| nix::sys::stat::fchmod(fd, bits), || format!("fchmod({}, {mode:#o})", show(fd)))
}

/// Sets the times of `name` in `dir` (`utimensat(2)`), in seconds and nanoseconds. A symbolic link
/// is not followed.
pub(crate) fn set_times_at(dir: impl AsFd, name: impl AsRef<[u8]>, atime: (i64, i64), mtime: (i64, i64)) -> Result<()> {
    let (dir, name) = (dir.as_fd(), name.as_ref());
    let time = |(seconds, nanoseconds): (i64, i64)| TimeSpec::new(seconds as _, nanoseconds as libc::c_long);
    let done = nix::sys::stat::utimensat(dir, name, &time(atime), &time(mtime), UtimensatFlags::NoFollowSymlink);
    wrap(done, || format!("utimensat({}, {})", show(dir), quote(name)))
}

/// `fchdir(2)`.
pub(crate) fn change_dir_to(fd: impl AsFd) -> Result<()> {
    let fd = fd.as_fd();
    wrap_again(|| nix::unistd::fchdir(fd), || format!("fchdir({})", show(fd)))
}

/// `chdir(2)`.
pub(crate) fn change_dir(path: impl AsRef<[u8]>) -> Result<()> {
    let path = path.as_ref();
    wrap(nix::unistd::chdir(path), || format!("chdir({})", quote(path)))
}

/// `chroot(".")`.
pub(crate) fn change_root_here() -> Result<()> {
    wrap(nix::unistd::chroot(c"."), || "chroot(\".\")".into())
}

/// Unlocks a pseudo-terminal and opens its slave side through the devpts mount of its master
/// (`ioctl_tty(2)`, TIOCGPTPEER, since Linux 4.13).
pub(crate) fn pty_peer(master: impl AsFd) -> Result<OwnedFd> {
    let master = master.as_fd();
    let unlock: libc::c_int = 0;
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: TIOCSPTLCK reads one int; TIOCGPTPEER takes flags by value and gives a new descriptor.
    unsafe {
        check(libc::ioctl(master.as_raw_fd(), libc::TIOCSPTLCK as _, &unlock), || {
            format!("ioctl({}, TIOCSPTLCK)", show(master))
        })?;
        opened(libc::ioctl(master.as_raw_fd(), libc::TIOCGPTPEER as _, flags), || {
            format!("ioctl({}, TIOCGPTPEER)", show(master))
        })
    }
}

/// The index of the pseudo-terminal with this master (TIOCGPTN).
pub(crate) fn pty_index(master: impl AsFd) -> Result<u32> {
    let master = master.as_fd();
    let mut index: libc::c_uint = 0;
    // SAFETY: TIOCGPTN writes one unsigned int.
    check(unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCGPTN as _, &mut index) }, || {
        format!("ioctl({}, TIOCGPTN)", show(master))
    })?;
    Ok(index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_directories_are_among_the_directories() {
        let at = std::env::temp_dir().join(format!("orlop-directories-{}", std::process::id()));
        std::fs::create_dir_all(at.join("inside")).unwrap();
        std::fs::write(at.join("file"), "").unwrap();
        std::os::unix::fs::symlink("inside", at.join("link")).unwrap();
        let open = || std::fs::File::open(&at).unwrap();
        let mut all = names(open()).unwrap();
        all.sort();
        assert_eq!(all, [b"file".to_vec(), b"inside".to_vec(), b"link".to_vec()]);
        assert_eq!(directories(open()).unwrap(), [b"inside".to_vec()]);
        std::fs::remove_dir_all(&at).unwrap();
    }
}
