//! Mounts: the file descriptor based calls of Linux 5.2 and later, and `mount(2)` for the rest.
#![allow(unsafe_code)]

use super::call::{self, Opening, opened};
use super::{Errno, Failure, Result, check, done, file, quote, show, with_c_str, wrap};
pub(crate) use libc::{
    OPEN_TREE_CLONE, RESOLVE_BENEATH, RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS, RESOLVE_NO_XDEV,
};
use nix::fcntl::{OFlag, OpenHow, ResolveFlag};
use nix::mount::{MntFlags, MsFlags};
use nix::sys::stat::Mode;
use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// `open_tree`: copy the mounts beneath it too.
pub(crate) const AT_RECURSIVE: u32 = 0x8000;
/// `open_tree`: do not follow a symbolic link at the end.
pub(crate) const AT_SYMLINK_NOFOLLOW: u32 = libc::AT_SYMLINK_NOFOLLOW as u32;

const AT_EMPTY_PATH: u32 = libc::AT_EMPTY_PATH as u32;
const OPEN_TREE_CLOEXEC: u32 = libc::O_CLOEXEC as u32;

pub(crate) const MOUNT_ATTR_RDONLY: u64 = 0x1;
pub(crate) const MOUNT_ATTR_NOSUID: u64 = 0x2;
pub(crate) const MOUNT_ATTR_NODEV: u64 = 0x4;
pub(crate) const MOUNT_ATTR_NOEXEC: u64 = 0x8;
/// The bits for the access time: relatime (0), `MOUNT_ATTR_NOATIME`, `MOUNT_ATTR_STRICTATIME`.
pub(crate) const MOUNT_ATTR_ATIME: u64 = 0x70;
pub(crate) const MOUNT_ATTR_NOATIME: u64 = 0x10;
pub(crate) const MOUNT_ATTR_STRICTATIME: u64 = 0x20;
pub(crate) const MOUNT_ATTR_NODIRATIME: u64 = 0x80;
pub(crate) const MOUNT_ATTR_IDMAP: u64 = 0x10_0000;
/// Since Linux 5.14 in `mount_setattr(2)`, since 5.10 in `mount(2)`.
pub(crate) const MOUNT_ATTR_NOSYMFOLLOW: u64 = 0x20_0000;

/// The argument of `mount_setattr(2)`, in the kernel's layout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct MountAttr {
    /// Attributes to set.
    pub set: u64,
    /// Attributes to clear, before others are set.
    pub clear: u64,
    /// 0, MS_SHARED, MS_SLAVE, MS_PRIVATE or MS_UNBINDABLE.
    pub propagation: u64,
    /// With `MOUNT_ATTR_IDMAP`: the file descriptor of a user namespace.
    pub userns: u64,
}

/// `openat2(2)`, since Linux 5.6. O_CLOEXEC is always set.
///
/// EAGAIN (a concurrent rename or mount may have affected the lookup) is retried a limited number
/// of times.
pub(crate) fn openat2(dir: impl AsFd, path: impl AsRef<[u8]>, flags: i32, mode: u32, resolve: u64) -> Result<OwnedFd> {
    let (dir, path) = (dir.as_fd(), path.as_ref());
    try_openat2(dir, path, flags, mode, resolve).map_err(|errno| openat2_failed(dir, path, flags, resolve, errno))
}

/// Like [`openat2`], but `None` if the file does not exist (ENOENT). That error may be expected, so
/// it is not rendered.
pub(crate) fn openat2_if_there(
    dir: impl AsFd,
    path: impl AsRef<[u8]>,
    flags: i32,
    mode: u32,
    resolve: u64,
) -> Result<Option<OwnedFd>> {
    let (dir, path) = (dir.as_fd(), path.as_ref());
    match try_openat2(dir, path, flags, mode, resolve) {
        Ok(fd) => Ok(Some(fd)),
        Err(Errno(libc::ENOENT)) => Ok(None),
        Err(errno) => Err(openat2_failed(dir, path, flags, resolve, errno)),
    }
}

fn try_openat2(
    dir: BorrowedFd<'_>,
    path: &[u8],
    flags: i32,
    mode: u32,
    resolve: u64,
) -> std::result::Result<OwnedFd, Errno> {
    const ATTEMPTS: u32 = 128;
    let how = OpenHow::new()
        .flags(OFlag::from_bits_retain(flags | libc::O_CLOEXEC))
        .mode(Mode::from_bits_retain(mode))
        .resolve(ResolveFlag::from_bits_retain(resolve));
    let mut attempts = 0;
    loop {
        match nix::fcntl::openat2(dir, path, how).map_err(Errno::from) {
            Err(Errno(libc::EINTR)) => {}
            Err(Errno(libc::EAGAIN)) if attempts < ATTEMPTS => attempts += 1,
            outcome => return outcome,
        }
    }
}

#[cold]
fn openat2_failed(dir: BorrowedFd<'_>, path: &[u8], flags: i32, resolve: u64, errno: Errno) -> Failure {
    Failure::new(format!("openat2({}, {}, {flags:#x}, resolve {resolve:#x})", show(dir), quote(path)), errno)
}

/// `open_tree(2)`, since Linux 5.2. An empty path means `dir` itself. O_CLOEXEC is always set.
pub(crate) fn open_tree(dir: impl AsFd, path: impl AsRef<[u8]>, flags: u32) -> Result<OwnedFd> {
    let (dir, path) = (dir.as_fd(), path.as_ref());
    let empty = if path.is_empty() { AT_EMPTY_PATH } else { 0 };
    let all = flags | OPEN_TREE_CLOEXEC | empty;
    with_c_str(path, |c| {
        // SAFETY: `c` is a C string that outlives the call, which makes a descriptor.
        unsafe {
            opened(libc::syscall(libc::SYS_open_tree, dir.as_raw_fd(), c.as_ptr(), all), || {
                format!("open_tree({}, {}, {flags:#x})", show(dir), quote(path))
            })
        }
    })
}

/// `move_mount(2)`, since Linux 5.2: attaches the mount with the root `mount` at `target`.
pub(crate) fn move_mount(mount: impl AsFd, target: impl AsFd) -> Result<()> {
    const FROM_AND_TO_EMPTY_PATH: u32 = 0x4 | 0x40;
    move_mount_to(mount.as_fd(), target.as_fd(), "", FROM_AND_TO_EMPTY_PATH)
}

/// The same, onto the entry `name` of the directory `parent`; a symbolic link is not followed.
pub(crate) fn move_mount_into(mount: impl AsFd, parent: impl AsFd, name: &str) -> Result<()> {
    const FROM_EMPTY_PATH: u32 = 0x4;
    move_mount_to(mount.as_fd(), parent.as_fd(), name, FROM_EMPTY_PATH)
}

fn move_mount_to(mount: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &str, flags: u32) -> Result<()> {
    with_c_str(name, |c| {
        check(
            // SAFETY: both paths are C strings that outlive the call.
            unsafe {
                let (from, to) = (mount.as_raw_fd(), to.as_raw_fd());
                libc::syscall(libc::SYS_move_mount, from, c"".as_ptr(), to, c.as_ptr(), flags)
            },
            || format!("move_mount({}, {}, {name:?})", show(mount), show(to)),
        )
    })?;
    Ok(())
}

/// `mount_setattr(2)` of the mount with the root `mount`, since Linux 5.12. `recursive` includes
/// the mounts beneath it.
pub(crate) fn mount_setattr(mount: impl AsFd, recursive: bool, attr: &MountAttr) -> Result<()> {
    let mount = mount.as_fd();
    let flags = AT_EMPTY_PATH | if recursive { AT_RECURSIVE } else { 0 };
    done(
        // SAFETY: `attr` has the kernel's layout and the size given, and outlives the call.
        unsafe {
            libc::syscall(
                libc::SYS_mount_setattr,
                mount.as_raw_fd(),
                c"".as_ptr(),
                flags,
                attr as *const MountAttr,
                size_of::<MountAttr>(),
            )
        },
        || {
            let MountAttr { set, clear, propagation, .. } = attr;
            let depth = if recursive { "recursive, " } else { "" };
            let kind = if *propagation != 0 { format!(", propagation {propagation:#x}") } else { String::new() };
            format!("mount_setattr({}, {depth}set {set:#x}, clear {clear:#x}{kind})", show(mount))
        },
    )
}

/// `fsopen(2)`, since Linux 5.2: the context of a filesystem to configure.
pub(crate) fn fsopen(kind: &str) -> Result<OwnedFd> {
    const FSOPEN_CLOEXEC: u32 = 1;
    with_c_str(kind, |c| {
        // SAFETY: `c` is a C string that outlives the call, which makes a descriptor.
        unsafe {
            opened(libc::syscall(libc::SYS_fsopen, c.as_ptr(), FSOPEN_CLOEXEC), || format!("fsopen({})", quote(kind)))
        }
    })
}

/// `fspick(2)`, since Linux 5.2: the context for a reconfiguration of the filesystem of a mount.
pub(crate) fn fspick(mount: impl AsFd) -> Result<OwnedFd> {
    const CLOEXEC_AND_EMPTY_PATH: u32 = 0x1 | 0x8;
    let mount = mount.as_fd();
    // SAFETY: the path is a static C string, and the call makes a descriptor.
    unsafe {
        opened(libc::syscall(libc::SYS_fspick, mount.as_raw_fd(), c"".as_ptr(), CLOEXEC_AND_EMPTY_PATH), || {
            format!("fspick({})", show(mount))
        })
    }
}

/// `fsconfig(2)`: sets a parameter without a value.
pub(crate) fn fsconfig_flag(context: impl AsFd, key: &str) -> Result<()> {
    with_c_str(key, |key| fsconfig(context.as_fd(), 0, Some(key), None))
}

/// `fsconfig(2)`: sets a parameter.
pub(crate) fn fsconfig_string(context: impl AsFd, key: &str, value: &str) -> Result<()> {
    with_c_str(key, |key| with_c_str(value, |value| fsconfig(context.as_fd(), 1, Some(key), Some(value))))
}

/// `fsconfig(2)`: creates the filesystem of a context from [`fsopen`].
pub(crate) fn fsconfig_create(context: impl AsFd) -> Result<()> {
    fsconfig(context.as_fd(), 6, None, None)
}

/// `fsconfig(2)`: applies the changes of a context from [`fspick`].
pub(crate) fn fsconfig_reconfigure(context: impl AsFd) -> Result<()> {
    fsconfig(context.as_fd(), 7, None, None)
}

fn fsconfig(context: impl AsFd, command: u32, key: Option<&CStr>, value: Option<&CStr>) -> Result<()> {
    let context = context.as_fd();
    let pointer = |s: Option<&CStr>| s.map_or(std::ptr::null(), CStr::as_ptr);
    done(
        // SAFETY: each pointer is null or a C string that outlives the call, as the command wants.
        unsafe { libc::syscall(libc::SYS_fsconfig, context.as_raw_fd(), command, pointer(key), pointer(value), 0) },
        || {
            let text = |s: Option<&CStr>| s.map(|s| quote(s.to_bytes()));
            let arguments: Vec<String> = [text(key), text(value)].into_iter().flatten().collect();
            let what = match command {
                6 => "create".into(),
                7 => "reconfigure".into(),
                _ => arguments.join(", "),
            };
            format!("fsconfig({what}){}", reason(context))
        },
    )
}

/// The kernel's messages in a filesystem context, in brackets. Empty if there are none.
fn reason(context: impl AsFd) -> String {
    let mut buffer = [0; 512];
    let Ok(n) = file::read(context, &mut buffer) else { return String::new() };
    let message = String::from_utf8_lossy(&buffer[..n]);
    // Each begins with its level: `e`, `w` or `i`.
    let text = message.trim_end();
    let text = text.split_once(' ').filter(|(level, _)| level.len() == 1).map_or(text, |(_, text)| text);
    format!(" [{text}]")
}

/// `fsmount(2)`, since Linux 5.2: a detached mount of a filesystem, with attributes.
pub(crate) fn fsmount(context: impl AsFd, attributes: u64) -> Result<OwnedFd> {
    const FSMOUNT_CLOEXEC: u32 = 1;
    let context = context.as_fd();
    call::open(Opening::Fsmount, [context.as_raw_fd().into(), FSMOUNT_CLOEXEC.into(), attributes as i64], || {
        format!("fsmount({attributes:#x}){}", reason(context))
    })
}

/// The flags and strings of `mount(2)`. `None` is a null pointer.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct MountArgs<'a> {
    pub source: Option<&'a str>,
    pub kind: Option<&'a str>,
    pub flags: libc::c_ulong,
    pub data: Option<&'a str>,
}

/// `mount(2)`: for operations without a descriptor based call, and for kernels without
/// `mount_setattr`.
pub(crate) fn mount(target: impl AsRef<[u8]>, how: &MountArgs<'_>) -> Result<()> {
    let target = target.as_ref();
    let flags = MsFlags::from_bits_retain(how.flags);
    wrap(nix::mount::mount(how.source, target, how.kind, flags, how.data), || {
        format!("mount({}, {how:?})", quote(target))
    })
}

/// `pivot_root(".", ".")`: the current directory becomes the root, the old root is stacked on top of it.
pub(crate) fn pivot_root_here() -> Result<()> {
    wrap(nix::unistd::pivot_root(c".", c"."), || format!("pivot_root({}, \".\")", show(file::CWD)))
}

/// `umount2(2)` with MNT_DETACH; `flags` may add UMOUNT_NOFOLLOW.
pub(crate) fn detach(target: impl AsRef<[u8]>, flags: i32) -> Result<()> {
    let target = target.as_ref();
    wrap(nix::mount::umount2(target, MntFlags::from_bits_retain(libc::MNT_DETACH | flags)), || {
        format!("umount2({}, MNT_DETACH)", quote(target))
    })
}

/// Adds the first kernel version with the call to ENOSYS.
pub(crate) fn since(failure: Failure, version: &str) -> Failure {
    match failure.errno() {
        Errno(libc::ENOSYS) => Failure::new(format!("{} (needs Linux {version})", failure.call()), failure.errno()),
        _ => failure,
    }
}
