//! Files and descriptors: open, read, write, flock, rename.
#![allow(unsafe_code)]

use super::{Errno, Failure, Result, check, check_again, quote, show, with_c_str};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// The descriptor that stands for the current directory in the `*at` calls.
// SAFETY: AT_FDCWD is no descriptor that anybody can close, and the `*at` calls take it.
pub const CWD: BorrowedFd<'static> = unsafe { BorrowedFd::borrow_raw(libc::AT_FDCWD) };

/// `openat(2)`; O_CLOEXEC is always set.
pub fn open_at(dir: impl AsFd, path: impl AsRef<[u8]>, flags: i32, mode: u32) -> Result<OwnedFd> {
    let (dir, path) = (dir.as_fd(), path.as_ref());
    with_c_str(path, |c| {
        let fd = check_again(
            // SAFETY: `c` is a C string that outlives the call; the kernel writes nothing.
            || unsafe { libc::openat(dir.as_raw_fd(), c.as_ptr(), flags | libc::O_CLOEXEC, mode) },
            || format!("openat({}, {}, {flags:#x})", show(dir), quote(path)),
        )?;
        Ok(own(fd))
    })
}

/// `open(2)` relative to the current directory; O_CLOEXEC is always set.
pub fn open(path: impl AsRef<[u8]>, flags: i32) -> Result<OwnedFd> {
    open_at(CWD, path, flags, 0)
}

/// Takes a new descriptor that a system call has just given to this process.
pub(crate) fn own(fd: i64) -> OwnedFd {
    // SAFETY: called with the fresh result of a call that makes a descriptor, so nobody else owns it.
    unsafe { OwnedFd::from_raw_fd(fd as RawFd) }
}

/// Whether the number is an open descriptor.
pub fn is_open(fd: RawFd) -> bool {
    // SAFETY: F_GETFD only asks.
    unsafe { libc::fcntl(fd, libc::F_GETFD) >= 0 }
}

/// `read(2)`, once.
pub fn read(fd: impl AsFd, buffer: &mut [u8]) -> Result<usize> {
    let fd = fd.as_fd();
    let n = check_again(
        // SAFETY: the pointer and the length are those of a live, writable slice.
        || unsafe { libc::read(fd.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len()) as i64 },
        || format!("read({})", show(fd)),
    )?;
    Ok(n as usize)
}

/// Reads a regular file to its end, failing with EFBIG past `limit` bytes: there, less than was asked for is the end.
pub fn read_regular(fd: impl AsFd, limit: usize) -> Result<Vec<u8>> {
    read_whole(fd.as_fd(), limit, true)
}

/// Reads to the end, failing with EFBIG past `limit` bytes.
pub fn read_to_end(fd: impl AsFd, limit: usize) -> Result<Vec<u8>> {
    read_whole(fd.as_fd(), limit, false)
}

fn read_whole(fd: BorrowedFd<'_>, limit: usize, regular: bool) -> Result<Vec<u8>> {
    let mut bytes = vec![0; 4096.min(limit + 1)];
    let mut length = 0;
    loop {
        if length == bytes.len() {
            if length > limit {
                return Err(Failure::new(format!("read({}): more than {limit} bytes", show(fd)), Errno(libc::EFBIG)));
            }
            bytes.resize((length * 4).min(limit + 1), 0);
        }
        let n = read(fd, &mut bytes[length..])?;
        length += n;
        if n == 0 || regular && length < bytes.len() {
            break;
        }
    }
    bytes.truncate(length);
    Ok(bytes)
}

/// `write(2)` until all is written.
pub fn write_all(fd: impl AsFd, mut bytes: &[u8]) -> Result<()> {
    let fd = fd.as_fd();
    while !bytes.is_empty() {
        let n = write(fd, bytes)?;
        if n == 0 {
            return Err(Failure::new(format!("write({})", show(fd)), Errno(libc::EIO)));
        }
        bytes = &bytes[n..];
    }
    Ok(())
}

/// `write(2)`, once: what files of cgroupfs and procfs want.
pub fn write(fd: impl AsFd, bytes: &[u8]) -> Result<usize> {
    let fd = fd.as_fd();
    let n = check_again(
        // SAFETY: the pointer and the length are those of a live slice.
        || unsafe { libc::write(fd.as_raw_fd(), bytes.as_ptr().cast(), bytes.len()) as i64 },
        || format!("write({}, {})", show(fd), quote(&bytes[..bytes.len().min(80)])),
    )?;
    Ok(n as usize)
}

/// `flock(2)` with `operation` (LOCK_EX, LOCK_SH, LOCK_UN, with LOCK_NB or without).
pub fn flock(fd: impl AsFd, operation: i32) -> Result<()> {
    let fd = fd.as_fd();
    // SAFETY: takes no pointer.
    check_again(|| unsafe { libc::flock(fd.as_raw_fd(), operation) }, || format!("flock({}, {operation})", show(fd)))?;
    Ok(())
}

/// `renameat(2)` within one directory.
pub fn rename_at(dir: impl AsFd, from: impl AsRef<[u8]>, to: impl AsRef<[u8]>) -> Result<()> {
    let (dir, from, to) = (dir.as_fd(), from.as_ref(), to.as_ref());
    with_c_str(from, |a| {
        with_c_str(to, |b| {
            // SAFETY: both are C strings that outlive the call.
            check(unsafe { libc::renameat(dir.as_raw_fd(), a.as_ptr(), dir.as_raw_fd(), b.as_ptr()) }, || {
                format!("renameat({}, {}, {})", show(dir), quote(from), quote(to))
            })
        })
    })?;
    Ok(())
}

/// `unlinkat(2)`; `flags` is 0 or AT_REMOVEDIR.
pub fn unlink_at(dir: impl AsFd, name: impl AsRef<[u8]>, flags: i32) -> Result<()> {
    let (dir, name) = (dir.as_fd(), name.as_ref());
    with_c_str(name, |c| {
        // SAFETY: `c` is a C string that outlives the call.
        check(unsafe { libc::unlinkat(dir.as_raw_fd(), c.as_ptr(), flags) }, || {
            format!("unlinkat({}, {}, {flags:#x})", show(dir), quote(name))
        })
    })?;
    Ok(())
}

/// Sets or clears FD_CLOEXEC (`fcntl(2)`).
pub fn set_cloexec(fd: impl AsFd, on: bool) -> Result<()> {
    let fd = fd.as_fd();
    // SAFETY: takes no pointer.
    check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFD, if on { libc::FD_CLOEXEC } else { 0 }) }, || {
        format!("fcntl({}, F_SETFD)", show(fd))
    })?;
    Ok(())
}

/// Clears FD_CLOEXEC of the descriptor `number`, which somebody else owns.
pub fn keep_over_exec(number: RawFd) -> Result<()> {
    // SAFETY: takes no pointer, and changes a flag of the number alone.
    check(unsafe { libc::fcntl(number, libc::F_SETFD, 0) }, || format!("fcntl({number}, F_SETFD, 0)"))?;
    Ok(())
}

/// A duplicate with a number of at least `least` (`fcntl(2)`, F_DUPFD_CLOEXEC).
pub fn duplicate_above(fd: impl AsFd, least: RawFd) -> Result<OwnedFd> {
    let fd = fd.as_fd();
    // SAFETY: takes no pointer.
    let new = check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, least) }, || {
        format!("fcntl({}, F_DUPFD_CLOEXEC, {least})", show(fd))
    })?;
    Ok(own(new))
}

/// Descriptor `number` of this process, which it was born with: a copy of one that its maker owns, and that nobody owns here.
pub fn inherited(number: RawFd) -> OwnedFd {
    own(number.into())
}

/// Standard input, output and error, which are always open (`sys/start.rs`): without std's objects, whose buffers a child that
/// borrows this process's memory would make for both.
pub fn standard() -> [BorrowedFd<'static>; 3] {
    // SAFETY: nobody owns these numbers, and nobody closes them.
    [0, 1, 2].map(|number| unsafe { BorrowedFd::borrow_raw(number) })
}

/// `dup3(2)`: makes `number` a duplicate of `fd`, replacing what was there; kept over `execve` unless `cloexec`.
pub fn duplicate_to(fd: impl AsFd, number: RawFd, cloexec: bool) -> Result<()> {
    let fd = fd.as_fd();
    if fd.as_raw_fd() == number {
        return set_cloexec(fd, cloexec);
    }
    // SAFETY: takes no pointer; the caller decides what `number` stands for, as with `close_range`.
    check(unsafe { libc::dup3(fd.as_raw_fd(), number, if cloexec { libc::O_CLOEXEC } else { 0 }) }, || {
        format!("dup3({}, {number})", show(fd))
    })?;
    Ok(())
}

/// `close_range(2)` from `first` to `last`, closing at once or (`cloexec`) at the next `execve`.
///
/// Without the call (before Linux 5.11 for `cloexec`, or refused by a filter) each number is done by itself. Descriptors of that range that Rust objects own must not be used afterwards.
pub fn close_range(first: RawFd, last: RawFd, cloexec: bool) -> Result<()> {
    if first > last {
        return Ok(());
    }
    const CLOSE_RANGE_CLOEXEC: u32 = 4;
    let flags = if cloexec { CLOSE_RANGE_CLOEXEC } else { 0 };
    // SAFETY: takes no pointer; see above for descriptors that are owned.
    let done = check(unsafe { libc::syscall(libc::SYS_close_range, first, last, flags) }, || {
        format!("close_range({first}, {last}, {flags})")
    });
    match done {
        Err(e) if e.is(libc::ENOSYS) || e.is(libc::EINVAL) || e.is(libc::EPERM) => {
            close_one_by_one(first, last, cloexec)
        }
        other => other.map(drop),
    }
}

/// The descriptors that are open, by trying, since in a container's mount namespace /proc is missing or a lie. The kernel gives
/// the lowest free number, so that many that are free end the list. Also the last number that was tried.
fn open_numbers(first: RawFd, last: RawFd) -> (Vec<RawFd>, RawFd) {
    const GAP: RawFd = 1 << 18;
    let mut open = Vec::new();
    let mut end = last.min(first.saturating_add(GAP));
    let mut next = Some(first);
    while let Some(fd) = next.filter(|fd| *fd <= end) {
        // SAFETY: takes no pointer.
        if unsafe { libc::fcntl(fd, libc::F_GETFD) } >= 0 {
            open.push(fd);
            end = last.min(fd.saturating_add(GAP));
        }
        next = fd.checked_add(1);
    }
    (open, end)
}

fn close_one_by_one(first: RawFd, last: RawFd, cloexec: bool) -> Result<()> {
    let (open, tried) = open_numbers(first, last);
    if tried < last {
        // None of ours is so high, but a caller may have put one there: closed at once, which the call can do since 5.9.
        // SAFETY: takes no pointer; nothing that a Rust object owns has such a number.
        unsafe { libc::syscall(libc::SYS_close_range, tried + 1, last, 0) };
    }
    for fd in open {
        if cloexec {
            // SAFETY: takes no pointer; a number that is no longer open is EBADF, which is as good.
            unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
        } else {
            // SAFETY: see `close_range` for descriptors that are owned.
            unsafe { libc::close(fd) };
        }
    }
    Ok(())
}
