//! Extended attributes of files (xattr(7)).
#![allow(unsafe_code)]

use super::{Errno, Result, check, quote, show, with_c_str};
use std::ffi::c_void;
use std::os::fd::{AsFd, AsRawFd};

/// The longest value, and the longest list of names, that the kernel knows.
const LONGEST: usize = 64 << 10;

/// The names of the attributes of `fd` (`flistxattr(2)`), none where the filesystem has no attributes; not for O_PATH descriptors.
pub(crate) fn list(fd: impl AsFd) -> Result<Vec<Vec<u8>>> {
    let fd = fd.as_fd();
    let size = |buffer: &mut [u8]| {
        // SAFETY: the pointer and the length are those of a live, writable buffer; an empty one is only measured.
        check(unsafe { libc::flistxattr(fd.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len()) } as i64, || {
            format!("flistxattr({})", show(fd))
        })
    };
    let names = match size(&mut []) {
        Ok(0) => return Ok(Vec::new()),
        Err(e) if e.is(libc::EOPNOTSUPP) => return Ok(Vec::new()),
        Err(e) => return Err(e),
        Ok(_) => {
            let mut buffer = vec![0; LONGEST];
            let length = size(&mut buffer)? as usize;
            buffer.truncate(length);
            buffer
        }
    };
    Ok(names.split(|byte| *byte == 0).filter(|name| !name.is_empty()).map(<[u8]>::to_vec).collect())
}

/// The value of an attribute of `fd` (`fgetxattr(2)`), `None` where it has none of that name; not for O_PATH descriptors.
pub(crate) fn get(fd: impl AsFd, name: impl AsRef<[u8]>) -> Result<Option<Vec<u8>>> {
    let (fd, name) = (fd.as_fd(), name.as_ref());
    let value = |buffer: &mut [u8]| {
        with_c_str(name, |c| {
            check(
                // SAFETY: `c` is a C string; the pointer and the length are those of a live, writable buffer.
                unsafe {
                    libc::fgetxattr(fd.as_raw_fd(), c.as_ptr(), buffer.as_mut_ptr().cast::<c_void>(), buffer.len())
                } as i64,
                || format!("fgetxattr({}, {})", show(fd), quote(name)),
            )
        })
    };
    found(value)
}

/// A value, where there is one.
fn found(get: impl Fn(&mut [u8]) -> Result<i64>) -> Result<Option<Vec<u8>>> {
    let mut value = vec![0; LONGEST];
    match get(&mut value) {
        Ok(length) => {
            value.truncate(length as usize);
            Ok(Some(value))
        }
        Err(e) if matches!(e.errno(), Errno(libc::ENODATA | libc::EOPNOTSUPP)) => Ok(None),
        Err(e) => Err(e),
    }
}

/// The same of a name in the current directory (`lgetxattr(2)`), which is not followed.
pub(crate) fn get_of_name(path: impl AsRef<[u8]>, name: impl AsRef<[u8]>) -> Result<Option<Vec<u8>>> {
    let (path, name) = (path.as_ref(), name.as_ref());
    let value = |buffer: &mut [u8]| {
        with_c_str(path, |path| {
            with_c_str(name, |c| {
                check(
                    // SAFETY: both are C strings; the pointer and the length are those of a live, writable buffer.
                    unsafe {
                        libc::lgetxattr(path.as_ptr(), c.as_ptr(), buffer.as_mut_ptr().cast::<c_void>(), buffer.len())
                    } as i64,
                    || format!("lgetxattr({path:?}, {})", quote(name)),
                )
            })
        })
    };
    found(value)
}

/// Sets an attribute of `fd` (`fsetxattr(2)`); not for O_PATH descriptors.
pub(crate) fn set(fd: impl AsFd, name: impl AsRef<[u8]>, value: &[u8]) -> Result<()> {
    let (fd, name) = (fd.as_fd(), name.as_ref());
    with_c_str(name, |c| {
        check(
            // SAFETY: `c` is a C string; the pointer and the length are those of a live buffer.
            unsafe { libc::fsetxattr(fd.as_raw_fd(), c.as_ptr(), value.as_ptr().cast::<c_void>(), value.len(), 0) },
            || format!("fsetxattr({}, {})", show(fd), quote(name)),
        )
    })?;
    Ok(())
}

/// The same for an O_PATH descriptor (`setxattr(2)` through procfs, which must be the host's).
pub(crate) fn set_by_number(fd: impl AsFd, name: impl AsRef<[u8]>, value: &[u8]) -> Result<()> {
    let (fd, name) = (fd.as_fd(), name.as_ref());
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    with_c_str(&path, |path| {
        with_c_str(name, |c| {
            check(
                // SAFETY: both are C strings; the pointer and the length are those of a live buffer.
                unsafe { libc::setxattr(path.as_ptr(), c.as_ptr(), value.as_ptr().cast::<c_void>(), value.len(), 0) },
                || format!("setxattr({}, {})", show(fd), quote(name)),
            )
        })
    })?;
    Ok(())
}
