//! Queries about system call filters (`seccomp(2)`).
#![allow(unsafe_code)]

use super::Errno;

/// Whether the kernel supports a flag for loading filters.
///
/// The kernel checks flags before it reads the program. With a null program, EFAULT means that it
/// accepts the flag, and no filter is loaded.
pub(crate) fn knows_flag(flag: u32) -> bool {
    let flag = libc::c_ulong::from(flag);
    // The kernel accepts this flag only together with a listener.
    let listener =
        if flag == libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV { libc::SECCOMP_FILTER_FLAG_NEW_LISTENER } else { 0 };
    let no_program = std::ptr::null::<libc::sock_fprog>();
    // SAFETY: the kernel is given no memory to read: a null program is an error, whatever the flags.
    let result =
        unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flag | listener, no_program) };
    result == -1 && Errno::last().0 == libc::EFAULT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_flags_are_known_and_invented_ones_are_not() {
        assert!(knows_flag(1));
        assert!(!knows_flag(1 << 30));
    }
}
