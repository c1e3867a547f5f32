//! Calls that a seccomp filter around this process refuses, for example the filter of an older
//! outer engine.
//!
//! Such a filter returns EPERM for every call that it does not know. The kernel checks the
//! arguments of the calls below before the privileges, so a call with invalid arguments has no
//! effect, and its error distinguishes the filter's EPERM from the kernel's.
#![allow(unsafe_code)]

use super::{Errno, Failure, process::is_filtered};

/// Calls that are newer than filters in use.
const NEWER: [(&str, libc::c_long); 17] = [
    ("getrandom", libc::SYS_getrandom),
    ("memfd_create", libc::SYS_memfd_create),
    ("execveat", libc::SYS_execveat),
    ("statx", libc::SYS_statx),
    ("keyctl", libc::SYS_keyctl),
    ("pidfd_send_signal", libc::SYS_pidfd_send_signal),
    ("open_tree", libc::SYS_open_tree),
    ("move_mount", libc::SYS_move_mount),
    ("fsopen", libc::SYS_fsopen),
    ("fsconfig", libc::SYS_fsconfig),
    ("fsmount", libc::SYS_fsmount),
    ("pidfd_open", libc::SYS_pidfd_open),
    ("clone3", libc::SYS_clone3),
    ("close_range", libc::SYS_close_range),
    ("openat2", libc::SYS_openat2),
    ("pidfd_getfd", libc::SYS_pidfd_getfd),
    ("mount_setattr", libc::SYS_mount_setattr),
];

/// The name of the failed call, if a filter refused it.
///
/// `move_mount`, `fsopen` and `fsmount` check privileges first: without CAP_SYS_ADMIN under a
/// filter the reason is uncertain.
pub(crate) fn by_filter(failure: &Failure) -> Option<&'static str> {
    let name = failure.call().split('(').next()?;
    let (name, number) = *NEWER.iter().find(|(known, _)| *known == name)?;
    let answer = failure.errno().0;
    (matches!(answer, libc::EPERM | libc::ENOSYS) && is_filtered() && probe(number) == answer).then_some(name)
}

/// Whether a filter refuses this call of [`NEWER`] with EPERM.
pub(crate) fn is_refused(number: libc::c_long) -> bool {
    is_filtered() && probe(number) == libc::EPERM
}

/// The error number of each of the newer calls with invalid arguments, from the kernel or from a
/// filter.
pub(crate) fn answers() -> impl Iterator<Item = (&'static str, Errno)> {
    NEWER.iter().map(|(name, number)| (*name, Errno(probe(*number))))
}

/// The error number of a call of [`NEWER`] with invalid arguments.
fn probe(number: libc::c_long) -> i32 {
    // SAFETY: -1 is no descriptor, no address that user space can have, a size above every structure's, and flags that none of
    // the calls knows; each of them gives an error before it does anything.
    match unsafe { libc::syscall(number, -1, -1isize, -1isize, -1isize, -1isize, -1isize) } {
        -1 => Errno::last().0,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonsense_is_refused_by_the_kernel_before_it_looks_at_rights() {
        // Root passes the privilege checks of all calls.
        if super::super::credentials::effective_uid() != 0 {
            return crate::skip::skip("needs root");
        }
        for (name, number) in NEWER {
            let answer = probe(number);
            assert!(![0, libc::EPERM].contains(&answer), "{name}: {answer}");
        }
    }
}
