//! The errors with which each system call of the runtime may fail, the likeliest first.

use crate::kills::failure::Failure;
use nix::errno::Errno::{self, *};
use nix::libc;

/// A system call.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) name: &'static str,
    pub(crate) errors: &'static [Errno],
}

/// The call with this number. Absent are calls that fail with wrong arguments alone, those that end a process or a signal
/// handler, and those by which the C library sets up its thread before `main`: without them no program runs.
pub(crate) fn call(number: u64) -> Option<Call> {
    let number = i64::try_from(number).ok()?;
    let found = CALLS.iter().chain(OLD_CALLS).find(|(known, ..)| *known == number);
    found.map(|(_, name, errors)| Call { name, errors })
}

/// The ways in which it may fail, the likeliest first.
pub(super) fn ways(call: &Call) -> Vec<Failure> {
    let mut ways: Vec<Failure> = call.errors.iter().map(|errno| Failure::Errno(*errno as i32)).collect();
    if matches!(call.name, "read" | "write" | "getdents64") {
        ways.push(Failure::Short);
    }
    if matches!(call.name, "read" | "recvfrom" | "recvmsg") {
        ways.push(Failure::End);
    }
    ways
}

/// The way for people.
pub(super) fn name(way: Failure) -> String {
    match way {
        Failure::Errno(errno) => format!("{:?}", Errno::from_raw(errno)),
        Failure::End => "end".to_owned(),
        Failure::Short => "short".to_owned(),
    }
}

/// Whether a command must succeed all the same: it makes an interrupted call again, and one that was done in part goes on.
pub(super) fn goes_on(number: u64, way: Failure) -> bool {
    const AGAIN: &[&str] = &[
        "accept4",
        "clock_nanosleep",
        "close",
        "epoll_wait",
        "flock",
        "futex",
        "getrandom",
        "nanosleep",
        "poll",
        "ppoll",
        "read",
        "recvfrom",
        "recvmsg",
        "sendmsg",
        "sendto",
        "wait4",
        "waitid",
        "write",
        "writev",
    ];
    match way {
        Failure::Short => true,
        Failure::Errno(errno) if errno == EINTR as i32 => call(number).is_some_and(|call| AGAIN.contains(&call.name)),
        _ => false,
    }
}

/// Whether a call is left out, see [`call`].
pub(crate) fn cannot_fail(number: u64) -> bool {
    let without = [
        libc::SYS_exit,
        libc::SYS_exit_group,
        libc::SYS_rt_sigreturn,
        libc::SYS_restart_syscall,
        libc::SYS_arch_prctl,
        libc::SYS_set_tid_address,
        libc::SYS_rt_sigaction,
        libc::SYS_rt_sigprocmask,
        libc::SYS_umask,
        libc::SYS_uname,
        // A failure is taken as the answer that the directory is outside of the root.
        libc::SYS_getcwd,
        // Of memory: the report page.
        libc::SYS_pread64,
        libc::SYS_getuid,
        libc::SYS_geteuid,
        libc::SYS_getgid,
        libc::SYS_getegid,
        libc::SYS_getpid,
        libc::SYS_getppid,
        libc::SYS_gettid,
    ];
    without.iter().any(|known| u64::try_from(*known) == Ok(number))
}

/// Whether it is a call for memory.
pub(crate) fn is_memory(number: u64) -> bool {
    [libc::SYS_mmap, libc::SYS_mprotect].iter().any(|known| u64::try_from(*known) == Ok(number))
}

const CALLS: &[(i64, &str, &[Errno])] = &[
    (libc::SYS_accept4, "accept4", &[EMFILE, ENOMEM, EINTR]),
    (libc::SYS_bind, "bind", &[EACCES, ENOMEM, EADDRINUSE, ENOSPC]),
    (libc::SYS_bpf, "bpf", &[EPERM, ENOSYS, ENOMEM]),
    (libc::SYS_brk, "brk", &[ENOMEM]),
    (libc::SYS_capget, "capget", &[EPERM]),
    (libc::SYS_capset, "capset", &[EPERM]),
    (libc::SYS_chdir, "chdir", &[EACCES, ENOENT, ENOMEM]),
    (libc::SYS_chroot, "chroot", &[EPERM]),
    (libc::SYS_clone, "clone", &[EAGAIN, ENOMEM]),
    (libc::SYS_clone3, "clone3", &[EAGAIN, ENOMEM, EPERM, ENOSPC, ENOSYS]),
    (libc::SYS_close, "close", &[EIO, EINTR]),
    // Without the call each possible number is tried, which takes too long under a tracer.
    (libc::SYS_close_range, "close_range", &[ENOMEM]),
    // ECONNREFUSED has a meaning of its own at the gate: the container runs.
    (libc::SYS_connect, "connect", &[EACCES, EAGAIN]),
    (libc::SYS_dup3, "dup3", &[EMFILE]),
    (libc::SYS_epoll_create1, "epoll_create1", &[EMFILE, ENOMEM]),
    (libc::SYS_epoll_ctl, "epoll_ctl", &[ENOMEM, ENOSPC]),
    (libc::SYS_execve, "execve", &[ENOMEM, EACCES, E2BIG]),
    (libc::SYS_execveat, "execveat", &[ENOMEM, EACCES, ENOSYS]),
    (libc::SYS_faccessat, "faccessat", &[EACCES]),
    (libc::SYS_faccessat2, "faccessat2", &[EACCES, ENOSYS]),
    (libc::SYS_fchdir, "fchdir", &[EACCES]),
    (libc::SYS_fchmod, "fchmod", &[EPERM, EROFS]),
    (libc::SYS_fchmodat, "fchmodat", &[EPERM, EROFS]),
    (libc::SYS_fchown, "fchown", &[EPERM, EROFS]),
    (libc::SYS_fchownat, "fchownat", &[EPERM, EROFS]),
    (libc::SYS_fcntl, "fcntl", &[EMFILE, EPERM, EINTR]),
    (libc::SYS_fgetxattr, "fgetxattr", &[EOPNOTSUPP, EACCES]),
    (libc::SYS_flock, "flock", &[ENOLCK, EINTR]),
    (libc::SYS_fsconfig, "fsconfig", &[EINVAL, ENOMEM, EPERM]),
    (libc::SYS_fsmount, "fsmount", &[EPERM, EMFILE, ENOMEM, ENOSYS]),
    (libc::SYS_fsopen, "fsopen", &[ENOMEM, EMFILE, EPERM, ENOSYS]),
    (libc::SYS_fspick, "fspick", &[EPERM, EMFILE, ENOSYS]),
    (libc::SYS_fstat, "fstat", &[ENOMEM, EIO]),
    (libc::SYS_fstatfs, "fstatfs", &[EIO, EINTR]),
    (libc::SYS_fsync, "fsync", &[EIO, ENOSPC]),
    (libc::SYS_fdatasync, "fdatasync", &[EIO, ENOSPC]),
    (libc::SYS_flistxattr, "flistxattr", &[EOPNOTSUPP]),
    (libc::SYS_ftruncate, "ftruncate", &[ENOSPC, EINTR]),
    (libc::SYS_futex, "futex", &[EINTR]),
    (libc::SYS_getdents64, "getdents64", &[EIO, ENOENT]),
    (libc::SYS_getrandom, "getrandom", &[ENOSYS, EINTR]),
    (libc::SYS_getsockopt, "getsockopt", &[ENOMEM]),
    (libc::SYS_getxattr, "getxattr", &[EOPNOTSUPP, EACCES]),
    (libc::SYS_get_mempolicy, "get_mempolicy", &[ENOSYS, EPERM]),
    (libc::SYS_ioctl, "ioctl", &[EIO, EPERM, EINTR]),
    (libc::SYS_keyctl, "keyctl", &[EDQUOT, ENOMEM, ENOSYS, EACCES]),
    (libc::SYS_kill, "kill", &[EPERM, ESRCH]),
    (libc::SYS_linkat, "linkat", &[EEXIST, EPERM, ENOSPC]),
    (libc::SYS_listen, "listen", &[EADDRINUSE]),
    (libc::SYS_listxattr, "listxattr", &[EOPNOTSUPP]),
    (libc::SYS_llistxattr, "llistxattr", &[EOPNOTSUPP]),
    (libc::SYS_lseek, "lseek", &[EINVAL]),
    (libc::SYS_madvise, "madvise", &[ENOMEM]),
    (libc::SYS_memfd_create, "memfd_create", &[EMFILE, ENOMEM, EACCES, ENOSYS]),
    (libc::SYS_mkdirat, "mkdirat", &[ENOSPC, EACCES, EROFS, ENOMEM]),
    (libc::SYS_mknodat, "mknodat", &[EPERM, ENOSPC, EACCES]),
    (libc::SYS_mmap, "mmap", &[ENOMEM]),
    (libc::SYS_mount, "mount", &[EPERM, ENOMEM, EBUSY]),
    (libc::SYS_mount_setattr, "mount_setattr", &[EPERM, ENOMEM, ENOSYS]),
    (libc::SYS_move_mount, "move_mount", &[EPERM, ENOMEM, EBUSY, ENOSYS]),
    (libc::SYS_mprotect, "mprotect", &[ENOMEM]),
    (libc::SYS_munmap, "munmap", &[ENOMEM]),
    (libc::SYS_nanosleep, "nanosleep", &[EINTR]),
    (libc::SYS_clock_nanosleep, "clock_nanosleep", &[EINTR]),
    (libc::SYS_newfstatat, "newfstatat", &[EACCES, ENOMEM, ENOENT]),
    (libc::SYS_open_tree, "open_tree", &[EPERM, EMFILE, ENOMEM, ENOSYS]),
    (libc::SYS_openat, "openat", &[EMFILE, EACCES, ENOMEM, ENOENT, EINTR]),
    (libc::SYS_openat2, "openat2", &[EMFILE, EACCES, EAGAIN, ENOMEM, ENOSYS]),
    (libc::SYS_pidfd_getfd, "pidfd_getfd", &[EPERM, EMFILE, ENOSYS]),
    (libc::SYS_pidfd_open, "pidfd_open", &[EMFILE, ESRCH, ENOSYS]),
    (libc::SYS_pidfd_send_signal, "pidfd_send_signal", &[EPERM, ESRCH, ENOSYS]),
    (libc::SYS_pipe2, "pipe2", &[EMFILE, ENFILE]),
    (libc::SYS_pivot_root, "pivot_root", &[EPERM, EINVAL, EBUSY]),
    (libc::SYS_ppoll, "ppoll", &[EINTR, ENOMEM]),
    (libc::SYS_prctl, "prctl", &[EPERM, EINVAL]),
    (libc::SYS_prlimit64, "prlimit64", &[EPERM, EINVAL]),
    (libc::SYS_pwrite64, "pwrite64", &[EIO, ENOSPC]),
    (libc::SYS_read, "read", &[EIO, EINTR, ENOMEM]),
    (libc::SYS_readlinkat, "readlinkat", &[EACCES, ENOENT]),
    (libc::SYS_recvfrom, "recvfrom", &[ENOMEM, ECONNRESET, EINTR]),
    (libc::SYS_recvmsg, "recvmsg", &[ENOMEM, ECONNRESET, EINTR]),
    (libc::SYS_renameat, "renameat", &[ENOSPC, EACCES, EIO]),
    (libc::SYS_renameat2, "renameat2", &[ENOSPC, EACCES, ENOSYS]),
    (libc::SYS_rt_sigtimedwait, "rt_sigtimedwait", &[EINTR, EAGAIN]),
    (libc::SYS_sched_getaffinity, "sched_getaffinity", &[EPERM]),
    (libc::SYS_sched_setaffinity, "sched_setaffinity", &[EPERM, EINVAL]),
    (libc::SYS_sched_setattr, "sched_setattr", &[EPERM]),
    (libc::SYS_seccomp, "seccomp", &[EINVAL, ENOMEM, EACCES, ENOSYS]),
    (libc::SYS_sendmsg, "sendmsg", &[ENOBUFS, EPIPE, EINTR]),
    (libc::SYS_sendto, "sendto", &[ENOBUFS, EPIPE, EINTR]),
    (libc::SYS_set_mempolicy, "set_mempolicy", &[EPERM, ENOSYS]),
    (libc::SYS_setgroups, "setgroups", &[EPERM, ENOMEM]),
    (libc::SYS_sethostname, "sethostname", &[EPERM]),
    (libc::SYS_setdomainname, "setdomainname", &[EPERM]),
    (libc::SYS_setns, "setns", &[EPERM, ENOMEM]),
    (libc::SYS_setpgid, "setpgid", &[EPERM]),
    (libc::SYS_setresgid, "setresgid", &[EPERM, EAGAIN]),
    (libc::SYS_setresuid, "setresuid", &[EPERM, EAGAIN]),
    (libc::SYS_setsid, "setsid", &[EPERM]),
    (libc::SYS_setsockopt, "setsockopt", &[ENOMEM]),
    (libc::SYS_setxattr, "setxattr", &[ENOSPC, EOPNOTSUPP]),
    (libc::SYS_sigaltstack, "sigaltstack", &[ENOMEM]),
    (libc::SYS_signalfd4, "signalfd4", &[EMFILE, ENOMEM]),
    (libc::SYS_socket, "socket", &[EMFILE, ENOMEM, EACCES]),
    (libc::SYS_socketpair, "socketpair", &[EMFILE, ENOMEM]),
    (libc::SYS_statfs, "statfs", &[EIO, EACCES]),
    (libc::SYS_statx, "statx", &[EACCES, ENOMEM, ENOSYS]),
    (libc::SYS_syncfs, "syncfs", &[EIO]),
    (libc::SYS_symlinkat, "symlinkat", &[ENOSPC, EACCES]),
    (libc::SYS_timerfd_create, "timerfd_create", &[EMFILE]),
    (libc::SYS_timerfd_settime, "timerfd_settime", &[EINVAL]),
    (libc::SYS_umount2, "umount2", &[EBUSY, EPERM]),
    (libc::SYS_unlinkat, "unlinkat", &[EBUSY, EACCES]),
    (libc::SYS_unshare, "unshare", &[EPERM, ENOMEM, ENOSPC]),
    (libc::SYS_utimensat, "utimensat", &[EPERM]),
    (libc::SYS_wait4, "wait4", &[EINTR]),
    (libc::SYS_waitid, "waitid", &[EINTR]),
    (libc::SYS_write, "write", &[EIO, ENOSPC, EINTR]),
    (libc::SYS_writev, "writev", &[EIO, ENOSPC]),
];

/// Calls that newer architectures do not have.
#[cfg(target_arch = "x86_64")]
const OLD_CALLS: &[(i64, &str, &[Errno])] = &[
    (libc::SYS_epoll_wait, "epoll_wait", &[EINTR]),
    (libc::SYS_mkdir, "mkdir", &[ENOSPC, EACCES, EROFS, ENOMEM]),
    (libc::SYS_open, "open", &[EMFILE, EACCES, ENOMEM, ENOENT, EINTR]),
    (libc::SYS_poll, "poll", &[EINTR, ENOMEM]),
    (libc::SYS_readlink, "readlink", &[EACCES, ENOENT]),
    (libc::SYS_rmdir, "rmdir", &[EBUSY, EACCES]),
    (libc::SYS_stat, "stat", &[EACCES, ENOMEM, ENOENT]),
    (libc::SYS_lstat, "lstat", &[EACCES, ENOMEM, ENOENT]),
    (libc::SYS_unlink, "unlink", &[EACCES, EBUSY]),
];
#[cfg(not(target_arch = "x86_64"))]
const OLD_CALLS: &[(i64, &str, &[Errno])] = &[];
