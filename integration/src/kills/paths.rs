//! The paths that a system call names, read from the memory of the process that is stopped at its entry.

use nix::libc;
use nix::unistd::Pid;
use std::os::unix::fs::FileExt;

/// System calls with the numbers of their arguments that are paths.
const CALLS: &[(i64, &[usize])] = &[
    (libc::SYS_bind, &[]),
    (libc::SYS_chdir, &[0]),
    (libc::SYS_chroot, &[0]),
    (libc::SYS_connect, &[]),
    (libc::SYS_execve, &[0]),
    (libc::SYS_execveat, &[1]),
    (libc::SYS_faccessat, &[1]),
    (libc::SYS_faccessat2, &[1]),
    (libc::SYS_fchmodat, &[1]),
    (libc::SYS_fchownat, &[1]),
    (libc::SYS_fspick, &[1]),
    (libc::SYS_linkat, &[1, 3]),
    (libc::SYS_mkdirat, &[1]),
    (libc::SYS_mknodat, &[1]),
    (libc::SYS_mount, &[0, 1]),
    (libc::SYS_mount_setattr, &[1]),
    (libc::SYS_move_mount, &[1, 3]),
    (libc::SYS_newfstatat, &[1]),
    (libc::SYS_open_tree, &[1]),
    (libc::SYS_openat, &[1]),
    (libc::SYS_openat2, &[1]),
    (libc::SYS_pivot_root, &[0, 1]),
    (libc::SYS_readlinkat, &[1]),
    (libc::SYS_renameat, &[1, 3]),
    (libc::SYS_renameat2, &[1, 3]),
    (libc::SYS_statfs, &[0]),
    (libc::SYS_statx, &[1]),
    (libc::SYS_symlinkat, &[0, 2]),
    (libc::SYS_umount2, &[0]),
    (libc::SYS_unlinkat, &[1]),
    (libc::SYS_utimensat, &[1]),
];

/// Calls that newer architectures do not have.
#[cfg(target_arch = "x86_64")]
const OLD_CALLS: &[(i64, &[usize])] = &[
    (libc::SYS_chmod, &[0]),
    (libc::SYS_chown, &[0]),
    (libc::SYS_lstat, &[0]),
    (libc::SYS_mkdir, &[0]),
    (libc::SYS_open, &[0]),
    (libc::SYS_readlink, &[0]),
    (libc::SYS_rename, &[0, 1]),
    (libc::SYS_rmdir, &[0]),
    (libc::SYS_stat, &[0]),
    (libc::SYS_unlink, &[0]),
];
#[cfg(not(target_arch = "x86_64"))]
const OLD_CALLS: &[(i64, &[usize])] = &[];

/// Whether a call looks names up.
pub(crate) fn takes_paths(number: u64) -> bool {
    arguments(number).is_some()
}

fn arguments(number: u64) -> Option<&'static [usize]> {
    let number = i64::try_from(number).ok()?;
    CALLS.iter().chain(OLD_CALLS).find(|(known, _)| *known == number).map(|(_, arguments)| *arguments)
}

/// The paths of the call at which `pid` is stopped, each with a space behind it.
pub(crate) fn of_call(pid: Pid, number: u64) -> String {
    let Some(arguments) = arguments(number) else { return String::new() };
    let line = std::fs::read_to_string(format!("/proc/{pid}/syscall")).unwrap_or_default();
    let words: Vec<&str> = line.split(' ').skip(1).collect();
    let Ok(memory) = std::fs::File::open(format!("/proc/{pid}/mem")) else { return String::new() };
    let text = |argument: &usize| {
        let at = u64::from_str_radix(words.get(*argument)?.trim_start_matches("0x"), 16).ok()?;
        let mut bytes = [0; 4096];
        // A path ends with its page, or goes on in the next.
        let page = usize::try_from(4096 - at % 4096).ok()?;
        let mut length = memory.read_at(&mut bytes[..page], at).ok()?;
        length += memory.read_at(&mut bytes[length..], at + length as u64).unwrap_or(0);
        let end = bytes[..length].iter().position(|byte| *byte == 0)?;
        Some(format!("{} ", String::from_utf8_lossy(&bytes[..end])))
    };
    arguments.iter().filter_map(text).collect()
}
