//! What control groups need of the kernel beyond reading and writing files.
#![allow(unsafe_code)]

use super::{Result, check, check_again, file, quote, with_c_str};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;

/// The magic number of cgroup v1's file system.
pub(crate) const CGROUP_MAGIC: i64 = 0x27e0eb;
/// The magic number of cgroup v2's file system.
pub(crate) const CGROUP2_MAGIC: i64 = 0x6367_7270;

/// The magic number of the file system at `path` (`statfs(2)`).
pub(crate) fn magic_of(path: impl AsRef<[u8]>) -> Result<i64> {
    let path = path.as_ref();
    with_c_str(path, |c| {
        let mut buffer = MaybeUninit::<libc::statfs>::uninit();
        check_again(
            // SAFETY: `c` is a C string, and the buffer has the size that the kernel fills.
            || unsafe { libc::statfs(c.as_ptr(), buffer.as_mut_ptr()) },
            || format!("statfs({})", quote(path)),
        )?;
        // SAFETY: the call succeeded, so the kernel has filled the buffer.
        let filled = unsafe { buffer.assume_init() };
        #[allow(clippy::unnecessary_cast)] // The field's type differs between architectures and C libraries.
        Ok(filled.f_type as i64)
    })
}

/// A new counter that can be waited for (`eventfd(2)`), close-on-exec.
pub(crate) fn eventfd() -> Result<OwnedFd> {
    // SAFETY: takes no pointer.
    let fd = check(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) }, || "eventfd(0, EFD_CLOEXEC)".into())?;
    Ok(file::own(fd))
}
