//! Processes: clone3, pidfds, waiting, signals, prctl, exec.
#![allow(unsafe_code)]

use super::file::own;
use super::{Errno, Failure, Result, check, check_again, failed, show};
use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

/// A process id as this process's pid namespace numbers it.
pub(crate) type Pid = i32;

/// Proof that this process has one thread, so that memory is whole in a child made without `execve`.
#[derive(Debug)]
pub(crate) struct SingleThreaded(());

impl SingleThreaded {
    /// Asks the kernel: a program that embeds the library may have threads.
    ///
    /// # Errors
    /// EBUSY: the process has several threads.
    pub(crate) fn of_caller() -> Result<SingleThreaded> {
        // SAFETY: takes no pointer. With CLONE_THREAD alone it changes nothing, and fails where there is a second thread
        // (unshare(2): EINVAL).
        if unsafe { libc::unshare(libc::CLONE_THREAD) } == 0 {
            return Ok(SingleThreaded(()));
        }
        // A seccomp filter may refuse unshare.
        match std::fs::read_dir("/proc/self/task").map(|entries| entries.count()) {
            Ok(1) => Ok(SingleThreaded(())),
            Ok(n) => Err(Failure::new(format!("clone3: this process has {n} threads"), Errno(libc::EBUSY))),
            Err(e) => Err(Failure::new("open(\"/proc/self/task\")", e.into())),
        }
    }

    /// For a test that calls nothing in the child but what it knows to need no other thread.
    #[cfg(test)]
    pub(crate) fn of_test() -> SingleThreaded {
        SingleThreaded(())
    }
}

/// Arguments of [`clone3`].
#[derive(Debug, Default)]
pub(crate) struct Clone<'fd> {
    /// CLONE_* flags; CLONE_PIDFD is always set, CLONE_VM is not for [`clone3`].
    pub flags: u64,
    /// The v2 cgroup that the child is born in (CLONE_INTO_CGROUP, Linux 5.7).
    pub into_cgroup: Option<BorrowedFd<'fd>>,
}

/// Which side of a [`clone3`] runs.
#[derive(Debug)]
pub(crate) enum Cloned {
    /// The caller, with the child's id and a descriptor of it.
    Parent(Pid, OwnedFd),
    /// The new process. libc's notion of the thread id is stale in it until `execve`: nothing may reach libc's raise,
    /// abort or pthread functions.
    Child,
}

/// `struct clone_args` of `clone3(2)`.
#[repr(C, align(8))]
#[derive(Default)]
pub(super) struct CloneArgs {
    pub(super) flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    pub(super) stack: u64,
    pub(super) stack_size: u64,
    pub(super) tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

impl CloneArgs {
    /// For a child whose descriptor the kernel writes to `pidfd`.
    pub(super) fn new(how: &Clone<'_>, pidfd: &mut RawFd) -> CloneArgs {
        let mut args = CloneArgs {
            flags: how.flags | libc::CLONE_PIDFD as u64,
            pidfd: &raw mut *pidfd as u64,
            // With CLONE_PARENT the kernel takes the parent's own exit signal and wants none here.
            exit_signal: if how.flags & libc::CLONE_PARENT as u64 != 0 { 0 } else { libc::SIGCHLD as u64 },
            ..CloneArgs::default()
        };
        if let Some(cgroup) = how.into_cgroup {
            args.flags |= CLONE_INTO_CGROUP;
            args.cgroup = cgroup.as_raw_fd() as u64;
        }
        args
    }
}

impl Clone<'_> {
    /// The call for an error text.
    pub(super) fn show(&self, flags: u64) -> String {
        format!("clone3({flags:#x}{})", self.into_cgroup.map(|c| format!(", cgroup {}", show(c))).unwrap_or_default())
    }
}

/// `clone3(2)`: a child that goes on with a copy of the memory and of the descriptor table.
pub(crate) fn clone3(_: &SingleThreaded, how: &Clone<'_>) -> Result<Cloned> {
    let mut pidfd: RawFd = -1;
    let mut args = CloneArgs::new(how, &mut pidfd);
    // SAFETY: without CLONE_VM the child has a copy of everything, stack included, and this process is single-threaded
    // (by the proof), so no lock is held by a thread that the child lacks. `args` and `pidfd` are live and writable.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw mut args, size_of::<CloneArgs>()) };
    match check(pid, || how.show(args.flags))? {
        0 => Ok(Cloned::Child),
        pid => Ok(Cloned::Parent(pid as Pid, own(pidfd.into()))),
    }
}

/// `pidfd_open(2)` (Linux 5.3). ESRCH where there is no such process.
pub(crate) fn pidfd_open(pid: Pid) -> Result<OwnedFd> {
    // SAFETY: takes no pointer.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    check(fd, || format!("pidfd_open({pid})")).map(own)
}

/// `pidfd_send_signal(2)`.
///
/// A container's AppArmor profile takes signals of unconfined processes, and refuses (EACCES) those of a profile that only
/// lets its program make user namespaces: such a profile is left then.
pub(crate) fn pidfd_send_signal(pidfd: impl AsFd, signal: i32) -> Result<()> {
    let pidfd = pidfd.as_fd();
    match send_signal(pidfd, signal) {
        Err(e) if e.is(libc::EACCES) && leave_profile() => send_signal(pidfd, signal),
        sent => sent,
    }
}

/// Whether this process had an AppArmor profile that lets its program leave it.
fn leave_profile() -> bool {
    const FILES: [&str; 2] = ["/proc/thread-self/attr/apparmor/current", "/proc/thread-self/attr/current"];
    FILES.iter().any(|file| std::fs::write(file, "changeprofile unconfined").is_ok())
}

fn send_signal(pidfd: BorrowedFd<'_>, signal: i32) -> Result<()> {
    let null = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: a null siginfo means what kill(2) would fill in.
    check(unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, null, 0) }, || {
        format!("pidfd_send_signal({}, {signal})", show(pidfd))
    })?;
    Ok(())
}

/// `pidfd_getfd(2)` (Linux 5.6): a duplicate of the other process's descriptor `number`.
pub(crate) fn pidfd_getfd(pidfd: impl AsFd, number: RawFd) -> Result<OwnedFd> {
    let pidfd = pidfd.as_fd();
    // SAFETY: takes no pointer.
    check(unsafe { libc::syscall(libc::SYS_pidfd_getfd, pidfd.as_raw_fd(), number, 0) }, || {
        format!("pidfd_getfd({}, {number})", show(pidfd))
    })
    .map(own)
}

/// `kill(2)`.
pub(crate) fn kill(pid: Pid, signal: i32) -> Result<()> {
    // SAFETY: takes no pointer.
    check(unsafe { libc::kill(pid, signal) }, || format!("kill({pid}, {signal})"))?;
    Ok(())
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// It exited with this status.
    Exited(i32),
    /// This signal ended it.
    Signaled(i32),
}

impl Ended {
    /// The status that a shell reports: the exit status, or 128 plus the signal.
    pub(crate) fn status(self) -> i32 {
        match self {
            Ended::Exited(status) => status,
            Ended::Signaled(signal) => 128 + signal,
        }
    }

    fn from_wait_status(status: i32) -> Option<Ended> {
        if libc::WIFEXITED(status) {
            Some(Ended::Exited(libc::WEXITSTATUS(status)))
        } else if libc::WIFSIGNALED(status) {
            Some(Ended::Signaled(libc::WTERMSIG(status)))
        } else {
            None
        }
    }
}

/// Waits for the child `pid` to end and reaps it (`wait4(2)`).
pub(crate) fn wait(pid: Pid) -> Result<Ended> {
    loop {
        let mut status = 0;
        // SAFETY: `status` is live and writable; no usage is asked for.
        let got = check_again(
            || unsafe { libc::wait4(pid, &mut status, 0, std::ptr::null_mut()) },
            || format!("wait4({pid})"),
        );
        got?;
        if let Some(ended) = Ended::from_wait_status(status) {
            return Ok(ended);
        }
    }
}

/// Reaps the child `pid` if it has ended (`wait4(2)`, WNOHANG). One that a tracer follows can be reaped only when the tracer
/// has seen its end.
pub(crate) fn wait_if_ended(pid: Pid) -> Result<Option<Ended>> {
    let mut status = 0;
    let got = check_again(
        // SAFETY: `status` is live and writable; no usage is asked for.
        || unsafe { libc::wait4(pid, &mut status, libc::WNOHANG, std::ptr::null_mut()) },
        || format!("wait4({pid}, WNOHANG)"),
    )?;
    Ok(if got == 0 { None } else { Ended::from_wait_status(status) })
}

/// Reaps any child that has ended, without waiting. None when there is none.
pub(crate) fn reap_any() -> Option<(Pid, Ended)> {
    loop {
        let mut status = 0;
        // SAFETY: `status` is live and writable.
        let pid = unsafe { libc::waitpid(-1, &mut status, libc::WNOHANG) };
        if pid <= 0 {
            return None;
        }
        if let Some(ended) = Ended::from_wait_status(status) {
            return Some((pid, ended));
        }
    }
}

/// A child that has ended and waits to be reaped, left as it is (`waitid(2)`, WNOWAIT).
pub(crate) fn ended_child() -> Option<Pid> {
    // SAFETY: all zeroes is a valid siginfo_t, and the kernel writes a whole one.
    let pid = unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
        if libc::waitid(libc::P_ALL, 0, &mut info, flags) == 0 { info.si_pid() } else { 0 }
    };
    Some(pid).filter(|pid| *pid > 0)
}

/// Whether processes that lose their parent below this one become its children (`prctl(2)`, PR_GET_CHILD_SUBREAPER).
pub(crate) fn is_subreaper() -> Result<bool> {
    let mut on: libc::c_int = 0;
    // SAFETY: the pointer is to a live and writable int.
    check(unsafe { libc::prctl(libc::PR_GET_CHILD_SUBREAPER, &raw mut on) }, || {
        "prctl(PR_GET_CHILD_SUBREAPER)".into()
    })?;
    Ok(on != 0)
}

/// Sets the name of this process (`prctl(2)`, PR_SET_NAME), at most 15 bytes.
pub(crate) fn set_name(name: &CStr) -> Result<()> {
    // SAFETY: a C string that outlives the call.
    check(unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) }, || format!("prctl(PR_SET_NAME, {name:?})"))?;
    Ok(())
}

fn pointers(list: &[&CStr]) -> Vec<*const libc::c_char> {
    list.iter().map(|s| s.as_ptr()).chain([std::ptr::null()]).collect()
}

/// `execve(2)`; comes back only on failure.
pub(crate) fn execute(path: &CStr, argv: &[&CStr], envp: &[&CStr]) -> Failure {
    let (argv, envp) = (pointers(argv), pointers(envp));
    // SAFETY: both lists are null-terminated arrays of C strings that outlive the call.
    unsafe { libc::syscall(libc::SYS_execve, path.as_ptr(), argv.as_ptr(), envp.as_ptr()) };
    failed(|| format!("execve({path:?})"))
}

/// `execveat(2)` of an open program file; comes back only on failure.
pub(crate) fn execute_fd(fd: impl AsFd, argv: &[&CStr], envp: &[&CStr]) -> Failure {
    let (argv, envp) = (pointers(argv), pointers(envp));
    let fd = fd.as_fd();
    // SAFETY: both lists are null-terminated arrays of C strings that outlive the call; the path is empty.
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            fd.as_raw_fd(),
            c"".as_ptr(),
            argv.as_ptr(),
            envp.as_ptr(),
            libc::AT_EMPTY_PATH,
        );
    }
    failed(|| format!("execveat({})", show(fd)))
}

/// `_exit(2)`: ends the process without running anything of libc's or Rust's.
pub(crate) fn exit_now(status: i32) -> ! {
    // SAFETY: does not come back.
    unsafe { libc::_exit(status) }
}

/// `prctl(2)` with plain numbers.
pub(crate) fn prctl(option: i32, a: u64, b: u64, c: u64, d: u64) -> Result<i32> {
    // SAFETY: only called with options that take numbers (see the callers in this crate; pointers go elsewhere).
    check(unsafe { libc::prctl(option, a, b, c, d) }, || format!("prctl({option}, {a:#x}, {b:#x})")).map(|n| n as i32)
}

/// This process's pid, asked of the kernel (libc may remember an old one after a raw clone).
pub(crate) fn pid() -> Pid {
    // SAFETY: takes nothing and cannot fail.
    unsafe { libc::syscall(libc::SYS_getpid) as Pid }
}

/// `prlimit(2)`: sets a limit of `pid` (0: this process), values in the resource's own unit.
pub(crate) fn set_rlimit(pid: Pid, resource: u32, soft: u64, hard: u64) -> Result<()> {
    let new = libc::rlimit64 { rlim_cur: soft, rlim_max: hard };
    check(
        // SAFETY: `new` is live; no old value is asked for.
        unsafe {
            libc::syscall(libc::SYS_prlimit64, pid, resource, &raw const new, std::ptr::null_mut::<libc::rlimit64>())
        },
        || format!("prlimit({pid}, {resource}, {{{soft}, {hard}}})"),
    )?;
    Ok(())
}

/// `prlimit(2)`: this process's soft and hard limit.
pub(crate) fn rlimit(resource: u32) -> Result<(u64, u64)> {
    let mut old = libc::rlimit64 { rlim_cur: 0, rlim_max: 0 };
    check(
        // SAFETY: `old` is live and writable; nothing is set.
        unsafe { libc::syscall(libc::SYS_prlimit64, 0, resource, std::ptr::null::<libc::rlimit64>(), &raw mut old) },
        || format!("prlimit(0, {resource})"),
    )?;
    Ok((old.rlim_cur, old.rlim_max))
}

/// `struct sched_attr` of `sched_setattr(2)`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SchedAttr {
    /// Size of this structure in bytes.
    pub size: u32,
    /// SCHED_* policy.
    pub policy: u32,
    /// SCHED_FLAG_* flags.
    pub flags: u64,
    /// Nice value.
    pub nice: i32,
    /// Static priority, for SCHED_FIFO and SCHED_RR.
    pub priority: u32,
    /// Nanoseconds, for SCHED_DEADLINE.
    pub runtime: u64,
    /// Nanoseconds, for SCHED_DEADLINE.
    pub deadline: u64,
    /// Nanoseconds, for SCHED_DEADLINE.
    pub period: u64,
}

/// `sched_setattr(2)` of `pid` (0: this thread).
pub(crate) fn sched_setattr(pid: Pid, attr: &SchedAttr) -> Result<()> {
    let attr = SchedAttr { size: size_of::<SchedAttr>() as u32, ..*attr };
    // SAFETY: `attr` is live and tells its size.
    check(unsafe { libc::syscall(libc::SYS_sched_setattr, pid, &raw const attr, 0) }, || {
        format!("sched_setattr({pid}, {attr:?})")
    })?;
    Ok(())
}

/// `ioprio_set(2)` of the process `pid` (0: this one); `value` is class << 13 | level.
pub(crate) fn ioprio_set(pid: Pid, value: i32) -> Result<()> {
    const IOPRIO_WHO_PROCESS: i32 = 1;
    // SAFETY: takes no pointer.
    check(unsafe { libc::syscall(libc::SYS_ioprio_set, IOPRIO_WHO_PROCESS, pid, value) }, || {
        format!("ioprio_set(IOPRIO_WHO_PROCESS, {pid}, {value:#x})")
    })?;
    Ok(())
}

/// `sched_setaffinity(2)` of `pid` (0: this thread), `mask` as bits of 64 CPUs a word.
pub(crate) fn sched_setaffinity(pid: Pid, mask: &[u64]) -> Result<()> {
    // SAFETY: the pointer and the size are those of a live slice.
    check(unsafe { libc::syscall(libc::SYS_sched_setaffinity, pid, size_of_val(mask), mask.as_ptr()) }, || {
        format!("sched_setaffinity({pid}, {mask:x?})")
    })?;
    Ok(())
}

/// `personality(2)`.
pub(crate) fn personality(persona: u64) -> Result<()> {
    // SAFETY: takes no pointer.
    check(unsafe { libc::personality(persona) }, || format!("personality({persona:#x})"))?;
    Ok(())
}

/// `set_mempolicy(2)`; `nodes` as bits of 64 nodes a word, empty for a mode without nodes.
pub(crate) fn set_mempolicy(mode: i32, nodes: &[u64]) -> Result<()> {
    let (mask, bits) = if nodes.is_empty() { (std::ptr::null(), 0) } else { (nodes.as_ptr(), nodes.len() * 64 + 1) };
    // SAFETY: the mask has at least `bits` - 1 bits, which is how the kernel reads maxnode.
    check(unsafe { libc::syscall(libc::SYS_set_mempolicy, mode, mask, bits) }, || {
        format!("set_mempolicy({mode:#x}, {nodes:x?})")
    })?;
    Ok(())
}

/// `keyctl(2)` KEYCTL_JOIN_SESSION_KEYRING: joins the session keyring called `name`, or makes one; gives its serial number.
pub(crate) fn join_session_keyring(name: &CStr) -> Result<i32> {
    const KEYCTL_JOIN_SESSION_KEYRING: i32 = 1;
    // SAFETY: `name` is a C string that outlives the call.
    let serial = check(unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, name.as_ptr()) }, || {
        format!("keyctl(KEYCTL_JOIN_SESSION_KEYRING, {name:?})")
    })?;
    Ok(serial as i32)
}

/// Facts about a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    /// The user id of its owner.
    pub owner: u32,
    /// Its permissions, as KEYCTL_SETPERM takes them.
    pub permissions: u32,
}

/// `keyctl(2)` KEYCTL_DESCRIBE.
pub(crate) fn describe_key(serial: i32) -> Result<Key> {
    const KEYCTL_DESCRIBE: i32 = 6;
    let call = || format!("keyctl(KEYCTL_DESCRIBE, {serial})");
    // `type;uid;gid;permissions;description`, of which the last part has no fixed length.
    let mut text = [0u8; 256];
    // SAFETY: the pointer and the length are those of a live, writable array.
    let ask = |text: &mut [u8]| unsafe {
        libc::syscall(libc::SYS_keyctl, KEYCTL_DESCRIBE, serial, text.as_mut_ptr(), text.len())
    };
    let length = check(ask(&mut text), call)? as usize;
    let mut long = Vec::new();
    let text = match length > text.len() {
        true => {
            long.resize(length, 0);
            check(ask(&mut long), call)?;
            &long[..]
        }
        false => &text[..length],
    };
    let text = String::from_utf8_lossy(text);
    let mut fields = text.split(';').skip(1);
    let owner = fields.next().and_then(|uid| uid.parse().ok());
    let permissions = fields.nth(1).and_then(|hex| u32::from_str_radix(hex, 16).ok());
    match (owner, permissions) {
        (Some(owner), Some(permissions)) => Ok(Key { owner, permissions }),
        _ => Err(Failure::new(format!("{} = {text:?}", call()), Errno(libc::EPROTO))),
    }
}

/// `keyctl(2)` KEYCTL_SETPERM.
pub(crate) fn set_key_permissions(serial: i32, permissions: u32) -> Result<()> {
    const KEYCTL_SETPERM: i32 = 5;
    // SAFETY: takes no pointer.
    check(unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_SETPERM, serial, permissions) }, || {
        format!("keyctl(KEYCTL_SETPERM, {serial}, {permissions:#x})")
    })?;
    Ok(())
}

/// `poll(2)`: waits until one of `fds` is ready or `timeout` milliseconds (-1: no end) are over.
///
/// Gives back the ready ones' events by position, 0 for the others; interrupted by a signal, it gives all zeroes.
pub(crate) fn poll<const N: usize>(fds: [(Option<BorrowedFd<'_>>, i16); N], timeout: i32) -> Result<[i16; N]> {
    let mut list = fds.map(|(fd, events)| libc::pollfd { fd: fd.map_or(-1, |fd| fd.as_raw_fd()), events, revents: 0 });
    // SAFETY: the pointer and the length are those of a live array.
    let done = check(unsafe { libc::poll(list.as_mut_ptr(), N as libc::nfds_t, timeout) }, || "poll".into());
    match done {
        Err(e) if e.is(libc::EINTR) => Ok([0; N]),
        Err(e) => Err(e),
        Ok(_) => Ok(list.map(|entry| entry.revents)),
    }
}

/// Blocks all signals for this thread and gives a descriptor that reads them (`signalfd(2)`).
pub(crate) fn all_signals_as_fd() -> Result<OwnedFd> {
    // SAFETY: sigset_t is plain data that sigfillset initialises; all pointers are to live objects.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&mut set);
        check(libc::sigprocmask(libc::SIG_SETMASK, &set, std::ptr::null_mut()), || "sigprocmask".into())?;
        check(libc::signalfd(-1, &set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK), || "signalfd".into()).map(own)
    }
}

/// The signals that are blocked for a thread.
#[derive(Clone, Copy)]
pub(crate) struct SignalMask(libc::sigset_t);

impl SignalMask {
    /// Those of this thread (`pthread_sigmask(3)`).
    pub(crate) fn of_this_thread() -> Result<SignalMask> {
        // SAFETY: sigset_t is plain data, and the call fills it; no new mask is given.
        unsafe {
            let mut mask: libc::sigset_t = std::mem::zeroed();
            check(libc::sigprocmask(libc::SIG_SETMASK, std::ptr::null(), &mut mask), || "sigprocmask".into())?;
            Ok(SignalMask(mask))
        }
    }

    /// Blocks these signals for this thread, and no others.
    pub(crate) fn set(&self) {
        // SAFETY: the pointer is to a live, initialised set; no old mask is asked for. It fails for a bad pointer alone.
        unsafe { libc::sigprocmask(libc::SIG_SETMASK, &self.0, std::ptr::null_mut()) };
    }
}

/// The next signal number that a descriptor of [`all_signals_as_fd`] holds, if any.
pub(crate) fn next_signal(fd: impl AsFd) -> Result<Option<i32>> {
    let mut info = [0u8; size_of::<libc::signalfd_siginfo>()];
    Ok(super::file::read_if_there(fd, &mut info)?.map(|_| i32::from_ne_bytes([info[0], info[1], info[2], info[3]])))
}

/// SIGTERM, SIGINT, SIGQUIT and SIGHUP.
fn end_signals() -> libc::sigset_t {
    // SAFETY: sigset_t is plain data that sigemptyset initialises; the numbers are those of signals.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGQUIT, libc::SIGHUP] {
            libc::sigaddset(&mut set, signal);
        }
        set
    }
}

/// Blocks SIGTERM, SIGINT, SIGQUIT and SIGHUP while it lives, so that this process can clean up.
/// [`pending_end`] and [`end_signals_as_fd`] take them; the others act when this is dropped.
pub(crate) struct EndHeld(libc::sigset_t);

impl EndHeld {
    /// Blocks these signals (`sigprocmask(2)`).
    ///
    /// # Errors
    /// The system call fails.
    pub(crate) fn hold() -> Result<EndHeld> {
        // SAFETY: all zeroes is a valid sigset_t, which the call writes to; the pointers are to live objects.
        unsafe {
            let mut before: libc::sigset_t = std::mem::zeroed();
            check(libc::sigprocmask(libc::SIG_BLOCK, &end_signals(), &mut before), || "sigprocmask".into())?;
            Ok(EndHeld(before))
        }
    }
}

impl Drop for EndHeld {
    fn drop(&mut self) {
        // SAFETY: the set is one that the kernel gave; no old mask is asked for.
        unsafe { libc::sigprocmask(libc::SIG_SETMASK, &self.0, std::ptr::null_mut()) };
    }
}

/// A descriptor from which [`next_signal`] reads the signals that [`EndHeld`] blocks (`signalfd(2)`).
pub(crate) fn end_signals_as_fd() -> Result<OwnedFd> {
    // SAFETY: the set is a live object.
    unsafe {
        check(libc::signalfd(-1, &end_signals(), libc::SFD_CLOEXEC | libc::SFD_NONBLOCK), || "signalfd".into()).map(own)
    }
}

/// Takes a blocked SIGTERM, SIGINT, SIGQUIT or SIGHUP that is pending (`sigtimedwait(2)`). Ignored
/// signals are passed over: the kernel queues them while they are blocked.
pub(crate) fn pending_end() -> Result<Option<i32>> {
    let now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    loop {
        // SAFETY: the pointers are to live objects; no siginfo_t is asked for.
        let taken = unsafe { libc::sigtimedwait(&end_signals(), std::ptr::null_mut(), &now) };
        match check(taken, || "sigtimedwait".into()) {
            Ok(signal) if ignores(signal as i32) => {}
            Ok(signal) => return Ok(Some(signal as i32)),
            Err(e) if e.is(libc::EAGAIN) => return Ok(None),
            Err(e) if e.is(libc::EINTR) => {}
            Err(e) => return Err(e),
        }
    }
}

/// Whether this process ignores a signal (`sigaction(2)`).
pub(crate) fn ignores(signal: i32) -> bool {
    // SAFETY: all zeroes is a valid sigaction, which the call writes to; nothing is changed.
    unsafe {
        let mut now: libc::sigaction = std::mem::zeroed();
        libc::sigaction(signal, std::ptr::null(), &mut now) == 0 && now.sa_sigaction == libc::SIG_IGN
    }
}

/// Unblocks every signal and gives each the default disposition, as a new program expects them: `execve(2)` would keep those
/// that the caller ignores (nohup, a shell's `&`).
pub(crate) fn reset_signals() {
    // SAFETY: plain data, a live pointer; no old mask is asked for.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        libc::sigprocmask(libc::SIG_SETMASK, &set, std::ptr::null_mut());
    }
    let ignored = ignored_signals().unwrap_or(u64::MAX);
    (1..=64).filter(|signal| ignored & 1 << (signal - 1) != 0).for_each(reset_signal);
}

/// Gives SIGCHLD and SIGPIPE the default disposition in the runtime itself: with SIGCHLD ignored the kernel reaps the children
/// whose exit status is wanted, and `wait4(2)` fails. The others stay as the caller has them.
pub(crate) fn reset_own_signals() {
    [libc::SIGCHLD, libc::SIGPIPE].into_iter().for_each(reset_signal);
}

/// The signals that this process ignores, as the kernel's mask (`proc_pid_status(5)`, SigIgn).
fn ignored_signals() -> Option<u64> {
    let fd = super::file::open("/proc/thread-self/status", libc::O_RDONLY).ok()?;
    let mut buffer = [0u8; 4096];
    let length = super::file::read(fd, &mut buffer).ok()?;
    let text = std::str::from_utf8(&buffer[..length]).ok()?;
    let mask = text.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
    u64::from_str_radix(mask.trim(), 16).ok()
}

/// SIG_DFL by `rt_sigaction(2)`: libc's function refuses the real-time signals that it keeps for itself.
fn reset_signal(signal: i32) {
    // The kernel's `struct sigaction`: handler, flags, restorer and a mask of 64 bits.
    let default = [0u64; 4];
    // SAFETY: the structure is live and SIG_DFL installs no code. SIGKILL and SIGSTOP are refused, and are default anyway.
    unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), std::ptr::null_mut::<u64>(), 8) };
}

/// Makes this process the leader of a process group of its own (`setpgid(2)`).
pub(crate) fn lead_group() -> Result<()> {
    // SAFETY: takes no pointer.
    check(unsafe { libc::setpgid(0, 0) }, || "setpgid(0, 0)".into())?;
    Ok(())
}

/// Has writes to a pipe or socket that nobody reads any more fail with EPIPE (SIGPIPE is ignored), also after `execve(2)`.
pub(crate) fn ignore_broken_pipes() {
    // SAFETY: SIG_IGN installs no code of ours.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
}

/// Bytes from the kernel's random source (`getrandom(2)`).
pub(crate) fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    // SAFETY: the pointer and the length are those of a live, writable array.
    check_again(|| unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), N, 0) as i64 }, || "getrandom".into())?;
    Ok(bytes)
}
