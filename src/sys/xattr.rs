//! Extended attributes of files (xattr(7)).
#![allow(unsafe_code)]

use super::{Errno, Result, check, done, show, with_c_str};
use std::ffi::{CStr, c_void};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

/// The kernel's limit for a value and for a list of names.
const LONGEST: usize = 64 << 10;

/// The attribute names of `fd` (`flistxattr(2)`). Empty if the filesystem has no attributes. Not
/// for O_PATH descriptors.
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

/// The file of an attribute.
enum Of<'a> {
    Fd(BorrowedFd<'a>),
    /// A path. A symbolic link at its end is followed when an attribute is set, but not when it is
    /// read.
    Path(&'a CStr),
    /// A path at whose end a symbolic link is never followed.
    Entry(&'a CStr),
}

/// The value of an attribute of `fd` (`fgetxattr(2)`), `None` if it is not set. Not for O_PATH
/// descriptors.
pub(crate) fn get(fd: impl AsFd, name: impl AsRef<[u8]>) -> Result<Option<Vec<u8>>> {
    with_c_str(name, |name| read(&Of::Fd(fd.as_fd()), name))
}

fn read(of: &Of<'_>, name: &CStr) -> Result<Option<Vec<u8>>> {
    let mut value = vec![0u8; LONGEST];
    let (at, size) = (value.as_mut_ptr().cast::<c_void>(), value.len());
    // SAFETY: names and paths are C strings; the pointer and the length are those of a live, writable buffer.
    let length = unsafe {
        match of {
            Of::Fd(fd) => libc::fgetxattr(fd.as_raw_fd(), name.as_ptr(), at, size),
            Of::Path(path) | Of::Entry(path) => libc::lgetxattr(path.as_ptr(), name.as_ptr(), at, size),
        }
    };
    let call = || match of {
        Of::Fd(fd) => format!("fgetxattr({}, {name:?})", show(fd)),
        Of::Path(path) | Of::Entry(path) => format!("lgetxattr({path:?}, {name:?})"),
    };
    match check(length as i64, call) {
        Ok(length) => {
            value.truncate(length as usize);
            Ok(Some(value))
        }
        Err(e) if matches!(e.errno(), Errno(libc::ENODATA | libc::EOPNOTSUPP)) => Ok(None),
        Err(e) => Err(e),
    }
}

/// The same for a name in the current directory (`lgetxattr(2)`). A symbolic link is not followed.
pub(crate) fn get_of_name(path: impl AsRef<[u8]>, name: impl AsRef<[u8]>) -> Result<Option<Vec<u8>>> {
    with_c_str(path, |path| with_c_str(name, |name| read(&Of::Path(path), name)))
}

/// Sets an attribute of `fd` (`fsetxattr(2)`). Not for O_PATH descriptors.
pub(crate) fn set(fd: impl AsFd, name: impl AsRef<[u8]>, value: &[u8]) -> Result<()> {
    with_c_str(name, |name| write(&Of::Fd(fd.as_fd()), name, value))
}

/// The same for an O_PATH descriptor (`setxattr(2)` through procfs, which must be the host's).
pub(crate) fn set_by_number(fd: impl AsFd, name: impl AsRef<[u8]>, value: &[u8]) -> Result<()> {
    let path = format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd());
    with_c_str(&path, |path| with_c_str(name, |name| write(&Of::Path(path), name, value)))
}

/// Sets an attribute of `entry` in `dir` (`lsetxattr(2)` through procfs, which must be the host's). A symbolic link is not
/// followed.
pub(crate) fn set_of_entry(dir: impl AsFd, entry: &[u8], name: impl AsRef<[u8]>, value: &[u8]) -> Result<()> {
    let path = [format!("/proc/self/fd/{}/", dir.as_fd().as_raw_fd()).as_bytes(), entry].concat();
    with_c_str(&path, |path| with_c_str(name, |name| write(&Of::Entry(path), name, value)))
}

fn write(of: &Of<'_>, name: &CStr, value: &[u8]) -> Result<()> {
    let (at, size) = (value.as_ptr().cast::<c_void>(), value.len());
    // SAFETY: names and paths are C strings; the pointer and the length are those of a live buffer.
    let value = unsafe {
        match of {
            Of::Fd(fd) => libc::fsetxattr(fd.as_raw_fd(), name.as_ptr(), at, size, 0),
            Of::Path(path) => libc::setxattr(path.as_ptr(), name.as_ptr(), at, size, 0),
            Of::Entry(path) => libc::lsetxattr(path.as_ptr(), name.as_ptr(), at, size, 0),
        }
    };
    done(value, || match of {
        Of::Fd(fd) => format!("fsetxattr({}, {name:?})", show(fd)),
        Of::Path(path) => format!("setxattr({path:?}, {name:?})"),
        Of::Entry(path) => format!("lsetxattr({path:?}, {name:?})"),
    })
}
