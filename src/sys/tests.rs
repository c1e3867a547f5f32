//! System calls that tests alone make.

#![allow(unsafe_code)]

use super::{Result, check, done, quote, show, with_c_str};
use std::os::fd::{AsFd, AsRawFd};

/// Atomically exchanges two names in one directory (`renameat2(2)`, RENAME_EXCHANGE).
pub(crate) fn exchange_at(dir: impl AsFd, one: &str, other: &str) -> Result<()> {
    let dir = dir.as_fd();
    let number = dir.as_raw_fd();
    with_c_str(one, |a| {
        with_c_str(other, |b| {
            // SAFETY: both are C strings that outlive the call. nix has it for glibc alone.
            done(
                unsafe {
                    libc::syscall(libc::SYS_renameat2, number, a.as_ptr(), number, b.as_ptr(), libc::RENAME_EXCHANGE)
                },
                || format!("renameat2({}, {}, {}, RENAME_EXCHANGE)", show(dir), quote(one), quote(other)),
            )
        })
    })
}

/// Loads the instructions `bytes` as a filter of this thread. Returns whether the kernel accepts
/// them.
pub(crate) fn load_filter(bytes: &[u8]) -> bool {
    let program = libc::sock_fprog { len: (bytes.len() / 8) as u16, filter: bytes.as_ptr().cast_mut().cast() };
    // SAFETY: a sock_fprog of live instructions that the kernel copies.
    let loaded = || unsafe {
        check(libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program), || {
            "seccomp".into()
        })
    };
    nix::sys::prctl::set_no_new_privs().is_ok() && loaded().is_ok()
}

/// Whether the kernel accepts the instructions `bytes` as a filter. A separate thread loads them,
/// so they must allow the calls of its exit.
pub(crate) fn takes_filter(bytes: Vec<u8>) -> bool {
    std::thread::spawn(move || load_filter(&bytes)).join().unwrap_or(false)
}
