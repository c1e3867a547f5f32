//! All unsafe code of the suite.

#![allow(unsafe_code)]

use std::os::fd::{FromRawFd, OwnedFd, RawFd};

/// Takes over a descriptor that `recvmsg` has just put into this process.
pub(crate) fn own(fd: RawFd) -> OwnedFd {
    // SAFETY: callers pass numbers fresh from SCM_RIGHTS, which nobody else owns.
    unsafe { OwnedFd::from_raw_fd(fd) }
}
