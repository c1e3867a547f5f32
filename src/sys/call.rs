//! System calls with only numeric arguments that lack a safe function in nix and the C library.
#![allow(unsafe_code)]

use super::{Result, check};
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

/// System calls without an address among their arguments: they never access memory of this process,
/// whatever the numbers.
#[derive(Clone, Copy)]
#[repr(i64)]
pub(super) enum Call {
    CloseRange = libc::SYS_close_range,
    Dup3 = libc::SYS_dup3,
    Flock = libc::SYS_flock,
    IoprioSet = libc::SYS_ioprio_set,
    Kill = libc::SYS_kill,
    SetResGid = libc::SYS_setresgid,
    SetResUid = libc::SYS_setresuid,
}

/// Makes the call. Returns -1 and sets `errno` on failure.
pub(super) fn call<const N: usize>(call: Call, arguments: [i64; N]) -> i64 {
    let at = |n| arguments.get(n).copied().unwrap_or(0);
    // SAFETY: no call of the list takes an address.
    unsafe { libc::syscall(call as libc::c_long, at(0), at(1), at(2), at(3)) }
}

/// Like [`Call`], for calls that create a file descriptor.
#[derive(Clone, Copy)]
#[repr(i64)]
pub(super) enum Opening {
    Fsmount = libc::SYS_fsmount,
    PidfdGetfd = libc::SYS_pidfd_getfd,
    PidfdOpen = libc::SYS_pidfd_open,
}

/// Makes the call and returns the new file descriptor.
pub(super) fn open(opening: Opening, [a, b, c]: [i64; 3], call: impl FnOnce() -> String) -> Result<OwnedFd> {
    // SAFETY: no call of the list takes an address, and each creates a new descriptor.
    unsafe { opened(libc::syscall(opening as libc::c_long, a, b, c), call) }
}

/// Converts the result of such a call: the new file descriptor, or the failure for -1.
///
/// # Safety
/// `value` must be the result of a call that has just created a descriptor.
pub(super) unsafe fn opened(value: impl Into<i64>, call: impl FnOnce() -> String) -> Result<OwnedFd> {
    // SAFETY: the descriptor is new, so that no other object owns it.
    check(value, call).map(|fd| unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// Commands of `fcntl(2)` with a numeric argument, for descriptors that no object of this program
/// owns.
#[derive(Clone, Copy)]
#[repr(i32)]
pub(super) enum Fcntl {
    DuplicateCloexec = libc::F_DUPFD_CLOEXEC,
    GetFlags = libc::F_GETFD,
    SetFlags = libc::F_SETFD,
}

/// `fcntl(2)` of a number that need not be an open file descriptor.
pub(super) fn fcntl(number: RawFd, command: Fcntl, argument: i32) -> i32 {
    // SAFETY: no command of the list takes an address or closes a descriptor.
    unsafe { libc::fcntl(number, command as i32, argument) }
}
