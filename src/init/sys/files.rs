//! Files, directories and descriptors.

use super::{CWD, EINVAL, EISDIR, ENOSYS, EPERM, Result, call, done, number};

/// `chdir(2)`; `path` is the address of a C string of the plan.
pub(crate) fn chdir(path: u64) -> Result<()> {
    // SAFETY: C strings of the plan are made by process/stub.rs with their NUL.
    done(unsafe { call(number::CHDIR, [path as usize, 0, 0, 0, 0, 0]) })
}

/// Whether the current directory lies below the root: the kernel's `getcwd(2)` begins with a slash only then.
pub(crate) fn cwd_is_inside() -> Result<bool> {
    let mut buffer = [0u8; 4096];
    // SAFETY: pointer and length of a live, writable array.
    unsafe { call(number::GETCWD, [buffer.as_mut_ptr() as usize, buffer.len(), 0, 0, 0, 0]) }?;
    Ok(buffer[0] == b'/')
}

/// Whether the plan's path is a file that this user may execute: the error if not.
pub(crate) fn executable(path: u64) -> Result<()> {
    const X_OK: usize = 1;
    const AT_EACCESS: usize = 0x200;
    const STATX_TYPE: usize = 1;
    let mut stat = [0u16; 128];
    // SAFETY: a C string of the plan, and a statx buffer of 256 live, writable bytes.
    match unsafe { call(number::STATX, [CWD, path as usize, 0, STATX_TYPE, stat.as_mut_ptr() as usize, 0]) } {
        // An old filter around this process may refuse the call; execve will tell.
        Err(ENOSYS | EPERM) => return Ok(()),
        other => other?,
    };
    // stx_mode is the 16-bit word at byte 28.
    if stat[14] & 0o170000 == 0o040000 {
        return Err(EISDIR);
    }
    // SAFETY: a C string of the plan.
    match unsafe { call(number::FACCESSAT2, [CWD, path as usize, X_OK, AT_EACCESS, 0, 0]) } {
        // Kernels before 5.8 lack the call, and old filters around this process may refuse it; execve will tell.
        Err(ENOSYS | EPERM) => Ok(()),
        other => done(other),
    }
}

/// Mode, owner and group of the file at `path`, the address of a C string.
pub(crate) fn status(path: u64) -> Result<[u32; 3]> {
    const STATX_BASIC: usize = 0x7ff;
    let mut stat = [0u32; 64];
    // SAFETY: a C string, and a statx buffer of 256 live, writable bytes.
    unsafe { call(number::STATX, [CWD, path as usize, 0, STATX_BASIC, stat.as_mut_ptr() as usize, 0]) }?;
    // stx_uid, stx_gid and the 16 bits of stx_mode are at bytes 20, 24 and 28.
    Ok([stat[7] & 0xffff, stat[5], stat[6]])
}

/// The flags of the mount that has the file at `path`; 0 if they cannot be read.
pub(crate) fn mount_flags(path: u64) -> u32 {
    let mut found = [0u64; 15];
    // SAFETY: a C string of the plan, and a statfs buffer of 120 live, writable bytes; f_flags is at byte 80.
    match unsafe { call(number::STATFS, [path as usize, found.as_mut_ptr() as usize, 0, 0, 0, 0]) } {
        Ok(_) => found[10] as u32,
        Err(_) => 0,
    }
}

/// The first bytes of the file at `path`: how many there are.
pub(crate) fn read_beginning(path: u64, buffer: &mut [u8]) -> Result<usize> {
    // O_NOCTTY, O_NONBLOCK and O_CLOEXEC: it may have become another file by now.
    const FLAGS: usize = 0o400 | 0o4000 | 0o200_0000;
    // SAFETY: a C string of the plan.
    let fd = unsafe { call(number::OPENAT, [CWD, path as usize, FLAGS, 0, 0, 0]) }?;
    read(fd as i32, buffer)
}

/// `close(2)`.
pub(crate) fn close(fd: i32) {
    // SAFETY: takes no pointer.
    let _ = unsafe { call(number::CLOSE, [fd as usize, 0, 0, 0, 0, 0]) };
}

/// `close_range(2)` from `first` to the last; at the next `execve` with `cloexec`. Kernels or filters without it: one by one.
pub(crate) fn close_from(first: i32, cloexec: bool) {
    const CLOEXEC: usize = 4;
    const F_SETFD: usize = 2;
    let flags = if cloexec { CLOEXEC } else { 0 };
    // SAFETY: takes no pointer.
    if unsafe { call(number::CLOSE_RANGE, [first as usize, i32::MAX as usize, flags, 0, 0, 0]) }.is_ok() {
        return;
    }
    // orlop closed everything else before this program began, and its own descriptors are numbered from `first` on.
    for fd in first..first + 16 {
        if cloexec {
            // SAFETY: takes no pointer.
            let _ = unsafe { call(number::FCNTL, [fd as usize, F_SETFD, 1, 0, 0, 0]) };
        } else {
            close(fd);
        }
    }
}

/// `dup3(2)`, kept over `execve`.
pub(crate) fn duplicate_to(fd: i32, number: i32) -> Result<()> {
    // SAFETY: takes no pointer.
    done(unsafe { call(number::DUP3, [fd as usize, number as usize, 0, 0, 0, 0]) })
}

/// Opens a file of the plan below the directory `dir` for writing, writes the bytes at once and closes it.
pub(crate) fn write_file(dir: i32, path: u64, bytes: &[u8]) -> Result<()> {
    const WRITE_CLOEXEC: usize = 0o2000001;
    // SAFETY: a C string of the plan.
    let fd = unsafe { call(number::OPENAT, [dir as usize, path as usize, WRITE_CLOEXEC, 0, 0, 0]) }?;
    let written = write(fd as i32, bytes);
    close(fd as i32);
    written
}

/// `write(2)` of all the bytes at once.
pub(crate) fn write(fd: i32, bytes: &[u8]) -> Result<()> {
    write_some(fd, bytes).and_then(|n| if n == bytes.len() { Ok(()) } else { Err(EINVAL) })
}

/// Sets O_NONBLOCK on `fd`.
pub(crate) fn never_wait(fd: i32) -> Result<()> {
    const F_SETFL: usize = 4;
    const NONBLOCK: usize = 0o4000;
    // SAFETY: takes no pointer.
    done(unsafe { call(number::FCNTL, [fd as usize, F_SETFL, NONBLOCK, 0, 0, 0]) })
}

/// `read(2)`: how many bytes came.
pub(crate) fn read(fd: i32, buffer: &mut [u8]) -> Result<usize> {
    // SAFETY: pointer and length of a live, writable slice.
    unsafe { call(number::READ, [fd as usize, buffer.as_mut_ptr() as usize, buffer.len(), 0, 0, 0]) }
}

/// `write(2)`: how many bytes went.
pub(crate) fn write_some(fd: i32, bytes: &[u8]) -> Result<usize> {
    // SAFETY: pointer and length of a live slice.
    unsafe { call(number::WRITE, [fd as usize, bytes.as_ptr() as usize, bytes.len(), 0, 0, 0]) }
}
