//! Processes: clone3, pidfds, wait, poll, prctl, exec.
#![allow(unsafe_code)]

use super::call::{self, Opening, opened};
use super::{Errno, Failure, Result, check, check_again, done, failed_with, file, show, wrap, wrap_again};
use nix::fcntl::AtFlags;
use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::sched::CloneFlags;
use nix::sys::signal::Signal;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt as _;
/// A process id in this process's pid namespace.
pub(crate) type Pid = i32;

/// Proof that this process has one thread, so that memory is consistent in a child without
/// `execve`.
#[derive(Debug)]
pub(crate) struct SingleThreaded(());

impl SingleThreaded {
    /// Asks the kernel: a program that embeds the library may have several threads.
    ///
    /// # Errors
    /// EBUSY if the process has several threads.
    pub(crate) fn of_caller() -> Result<SingleThreaded> {
        // A single-threaded process is unaffected. With a second thread the call fails (unshare(2):
        // EINVAL).
        if nix::sched::unshare(CloneFlags::CLONE_THREAD).is_ok() {
            return Ok(SingleThreaded(()));
        }
        // A seccomp filter may refuse unshare.
        match std::fs::read_dir("/proc/self/task").map(|entries| entries.count()) {
            Ok(1) => Ok(SingleThreaded(())),
            Ok(n) => Err(Failure::new(format!("clone3: this process has {n} threads"), Errno(libc::EBUSY))),
            Err(e) => Err(Failure::new("open(\"/proc/self/task\")", e.into())),
        }
    }

    /// For tests with a child that makes only calls without dependencies on other threads.
    #[cfg(test)]
    pub(crate) fn of_test() -> SingleThreaded {
        SingleThreaded(())
    }
}

/// Arguments of [`clone3`].
#[derive(Debug, Default)]
pub(crate) struct Clone<'fd> {
    /// CLONE_* flags. CLONE_PIDFD is always set, CLONE_VM never for [`clone3`].
    pub flags: u64,
    /// The v2 cgroup of the child (CLONE_INTO_CGROUP, Linux 5.7).
    pub into_cgroup: Option<BorrowedFd<'fd>>,
}

/// The two sides of a [`clone3`].
#[derive(Debug)]
pub(crate) enum Cloned {
    /// The caller, with the child's id and pidfd.
    Parent(Pid, OwnedFd),
    /// The new process. libc's thread id is stale in it until `execve`: it must not call libc's
    /// raise, abort or pthread functions.
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
    /// The arguments for a child whose pidfd the kernel writes to `pidfd`.
    pub(super) fn new(how: &Clone<'_>, pidfd: &mut RawFd) -> CloneArgs {
        let mut args = CloneArgs {
            flags: how.flags | libc::CLONE_PIDFD as u64,
            pidfd: &raw mut *pidfd as u64,
            // With CLONE_PARENT the kernel uses the parent's own exit signal and requires 0 here.
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
    /// The rendered call for an error message.
    pub(super) fn show(&self, flags: u64) -> String {
        format!("clone3({flags:#x}{})", self.into_cgroup.map(|c| format!(", cgroup {}", show(c))).unwrap_or_default())
    }
}

/// `clone3(2)`: a child with a copy of the address space and of the file descriptor table.
pub(crate) fn clone3(_: &SingleThreaded, how: &Clone<'_>) -> Result<Cloned> {
    let mut pidfd: RawFd = -1;
    let mut args = CloneArgs::new(how, &mut pidfd);
    // SAFETY: without CLONE_VM the child has a copy of everything, stack included, and this process is single-threaded
    // (by the proof), so no lock is held by a thread that the child lacks. `args` and `pidfd` are live and writable.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw mut args, size_of::<CloneArgs>()) };
    match check(pid, || how.show(args.flags))? {
        0 => Ok(Cloned::Child),
        // SAFETY: the kernel has written the new descriptor there.
        pid => Ok(Cloned::Parent(pid as Pid, unsafe { opened(pidfd, || how.show(args.flags)) }?)),
    }
}

/// `pidfd_open(2)` (Linux 5.3). ESRCH if the process does not exist.
pub(crate) fn pidfd_open(pid: Pid) -> Result<OwnedFd> {
    call::open(Opening::PidfdOpen, [pid.into(), 0, 0], || format!("pidfd_open({pid})"))
}

/// `pidfd_send_signal(2)`.
///
/// A container's AppArmor profile accepts signals of unconfined processes, and refuses (EACCES)
/// those of a profile that only allows user namespaces: such a profile is left on EACCES.
pub(crate) fn pidfd_send_signal(pidfd: impl AsFd, signal: i32) -> Result<()> {
    let pidfd = pidfd.as_fd();
    match send_signal(pidfd, signal) {
        Err(e) if e.is(libc::EACCES) && leave_profile() => send_signal(pidfd, signal),
        sent => sent,
    }
}

/// Sends a signal to a process that may have ended. Returns whether it was still there.
pub(crate) fn signal_if_alive(pidfd: impl AsFd, signal: i32) -> Result<bool> {
    match pidfd_send_signal(pidfd, signal) {
        Err(e) if e.is(libc::ESRCH) => Ok(false),
        sent => sent.map(|()| true),
    }
}

/// Whether this process could leave an AppArmor profile.
fn leave_profile() -> bool {
    const FILES: [&str; 2] = ["/proc/thread-self/attr/apparmor/current", "/proc/thread-self/attr/current"];
    FILES.iter().any(|file| std::fs::write(file, "changeprofile unconfined").is_ok())
}

fn send_signal(pidfd: BorrowedFd<'_>, signal: i32) -> Result<()> {
    let null = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: a null siginfo makes the kernel fill in the values of kill(2).
    done(unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, null, 0) }, || {
        format!("pidfd_send_signal({}, {signal})", show(pidfd))
    })
}

/// `pidfd_getfd(2)` (Linux 5.6): a duplicate of the other process's descriptor `number`.
pub(crate) fn pidfd_getfd(pidfd: impl AsFd, number: RawFd) -> Result<OwnedFd> {
    let pidfd = pidfd.as_fd();
    call::open(Opening::PidfdGetfd, [pidfd.as_raw_fd().into(), number.into(), 0], || {
        format!("pidfd_getfd({}, {number})", show(pidfd))
    })
}

/// The end of the kernel's log (`syslog(2)`, SYSLOG_ACTION_READ_ALL), as much of it as the buffer holds: its length.
pub(crate) fn kernel_log(buffer: &mut [u8]) -> Result<usize> {
    const READ_ALL: libc::c_int = 3;
    let length = libc::c_int::try_from(buffer.len()).unwrap_or(libc::c_int::MAX);
    // SAFETY: pointer and length of a live, writable buffer.
    let read = unsafe { libc::klogctl(READ_ALL, buffer.as_mut_ptr().cast(), length) };
    check(read, || "syslog(SYSLOG_ACTION_READ_ALL)".to_owned()).map(|read| read as usize)
}

/// The end of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The exit status.
    Exited(i32),
    /// The signal that killed it.
    Signaled(i32),
}

impl Ended {
    /// The exit status in a shell: the process's own, or 128 plus the signal.
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

/// `wait4(2)`: the child (0 for none) and its status. nix does not support real-time signals in it.
fn wait4(pid: Pid, flags: i32, call: impl FnOnce() -> String) -> Result<(Pid, i32)> {
    let mut status = 0;
    // SAFETY: `status` is live and writable; no usage is asked for.
    let got = check_again(|| unsafe { libc::wait4(pid, &mut status, flags, std::ptr::null_mut()) }, call)?;
    Ok((got as Pid, status))
}

/// Waits for the child `pid` to exit and reaps it (`wait4(2)`).
pub(crate) fn wait(pid: Pid) -> Result<Ended> {
    loop {
        let (_, status) = wait4(pid, 0, || format!("wait4({pid})"))?;
        if let Some(ended) = Ended::from_wait_status(status) {
            return Ok(ended);
        }
    }
}

/// Reaps the child `pid` if it has exited (`wait4(2)`, WNOHANG). A traced child can be reaped only
/// after its tracer has.
pub(crate) fn wait_if_ended(pid: Pid) -> Result<Option<Ended>> {
    let (got, status) = wait4(pid, libc::WNOHANG, || format!("wait4({pid}, WNOHANG)"))?;
    Ok(if got == 0 { None } else { Ended::from_wait_status(status) })
}

/// Reaps any exited child without waiting. None if there is none.
pub(crate) fn reap_any() -> Option<(Pid, Ended)> {
    loop {
        let (pid, status) =
            wait4(-1, libc::WNOHANG, || "wait4(-1, WNOHANG)".into()).ok().filter(|(pid, _)| *pid > 0)?;
        if let Some(ended) = Ended::from_wait_status(status) {
            return Some((pid, ended));
        }
    }
}

/// An exited child that is not reaped yet, and is left so (`waitid(2)`, WNOWAIT).
pub(crate) fn ended_child() -> Option<Pid> {
    // SAFETY: all zeroes is a valid siginfo_t, and the kernel writes a whole one.
    let pid = unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
        if libc::waitid(libc::P_ALL, 0, &mut info, flags) == 0 { info.si_pid() } else { 0 }
    };
    Some(pid).filter(|pid| *pid > 0)
}

/// Whether this program was executed with more privileges than its caller has (`getauxval(3)`,
/// AT_SECURE).
pub(crate) fn is_secure_execution() -> bool {
    // SAFETY: takes no pointer and cannot fail.
    unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
}

/// Whether this process is a child subreaper: it adopts orphaned descendants (`prctl(2)`,
/// PR_GET_CHILD_SUBREAPER).
pub(crate) fn is_subreaper() -> Result<bool> {
    wrap(nix::sys::prctl::get_child_subreaper(), || "prctl(PR_GET_CHILD_SUBREAPER)".into())
}

/// Makes this process a child subreaper, or not (`prctl(2)`, PR_SET_CHILD_SUBREAPER).
pub(crate) fn set_subreaper(on: bool) -> Result<()> {
    wrap(nix::sys::prctl::set_child_subreaper(on), || format!("prctl(PR_SET_CHILD_SUBREAPER, {on})"))
}

/// Makes the kernel kill this process when its parent thread exits (`prctl(2)`, PR_SET_PDEATHSIG).
pub(crate) fn end_with_parent() -> Result<()> {
    wrap(nix::sys::prctl::set_pdeathsig(Signal::SIGKILL), || "prctl(PR_SET_PDEATHSIG, SIGKILL)".into())
}

/// Sets whether unprivileged processes may inspect this one (`prctl(2)`, PR_SET_DUMPABLE).
pub(crate) fn set_dumpable(on: bool) -> Result<()> {
    wrap(nix::sys::prctl::set_dumpable(on), || format!("prctl(PR_SET_DUMPABLE, {on})"))
}

/// Whether the kernel supports the capability (`prctl(2)`, PR_CAPBSET_READ).
pub(crate) fn knows_capability(number: u32) -> bool {
    ask(Question::BoundingSet, number.into()) >= 0
}

/// Whether this process runs under a seccomp filter (`PR_GET_SECCOMP(2const)`).
pub(crate) fn is_filtered() -> bool {
    ask(Question::Seccomp, 0) == libc::SECCOMP_MODE_FILTER as i32
}

/// The options of `prctl(2)` with a numeric argument and result.
#[derive(Clone, Copy)]
#[repr(i32)]
enum Question {
    BoundingSet = libc::PR_CAPBSET_READ,
    Seccomp = libc::PR_GET_SECCOMP,
}

fn ask(question: Question, argument: u64) -> i32 {
    // SAFETY: no option of the list takes an address.
    unsafe { libc::prctl(question as i32, argument, 0u64, 0u64, 0u64) }
}

/// Sets the name of this process (`prctl(2)`, PR_SET_NAME), at most 15 bytes.
pub(crate) fn set_name(name: &CStr) -> Result<()> {
    wrap(nix::sys::prctl::set_name(name), || format!("prctl(PR_SET_NAME, {name:?})"))
}

/// `execve(2)`. Returns only on failure.
pub(crate) fn execute(path: &CStr, argv: &[impl AsRef<CStr>], envp: &[impl AsRef<CStr>]) -> Failure {
    let Err(errno) = nix::unistd::execve(path, argv, envp);
    failed_with(errno, || format!("execve({path:?})"))
}

/// `execveat(2)` of an open program file. Returns only on failure.
pub(crate) fn execute_fd(fd: impl AsFd, argv: &[impl AsRef<CStr>], envp: &[impl AsRef<CStr>]) -> Failure {
    let fd = fd.as_fd();
    let Err(errno) = nix::unistd::execveat(fd, c"", argv, envp, AtFlags::AT_EMPTY_PATH);
    failed_with(errno, || format!("execveat({})", show(fd)))
}

/// The environment of this process, for [`execute`].
pub(crate) fn environment() -> Vec<CString> {
    let entries = std::env::vars_os().map(|(name, value)| [name.as_bytes(), b"=", value.as_bytes()].concat());
    entries.filter_map(|entry| CString::new(entry).ok()).collect()
}

/// `_exit(2)`: exits without cleanup by libc or Rust.
pub(crate) fn exit_now(status: i32) -> ! {
    // SAFETY: does not return.
    unsafe { libc::_exit(status) }
}

/// This process's pid. musl, and glibc since 2.25, do not cache it across a raw clone.
pub(crate) fn pid() -> Pid {
    nix::unistd::getpid().as_raw()
}

/// `personality(2)`.
pub(crate) fn personality(persona: u64) -> Result<()> {
    let bits = nix::sys::personality::Persona::from_bits_retain(persona as libc::c_int);
    wrap(nix::sys::personality::set(bits), || format!("personality({persona:#x})")).map(drop)
}

/// `poll(2)`: waits until one of `fds` is ready, for at most `timeout` milliseconds (-1: no limit).
///
/// Returns the events of each descriptor, 0 if it is not ready. After an interruption by a signal
/// all are 0.
pub(crate) fn poll<const N: usize>(fds: [(Option<BorrowedFd<'_>>, i16); N], timeout: i32) -> Result<[i16; N]> {
    // The kernel ignores negative numbers.
    let mut list = fds.map(|(fd, events)| PollFd::new(fd.unwrap_or(file::CWD), PollFlags::from_bits_retain(events)));
    let timeout = PollTimeout::try_from(timeout).unwrap_or(PollTimeout::NONE);
    wrap_again(|| nix::poll::poll(&mut list, timeout), || "poll".into())?;
    Ok(list.map(|entry| entry.revents().map_or(0, |events| events.bits())))
}

/// Makes this process the leader of its own process group (`setpgid(2)`).
pub(crate) fn lead_group() -> Result<()> {
    let own = nix::unistd::Pid::from_raw(0);
    wrap(nix::unistd::setpgid(own, own), || "setpgid(0, 0)".into())
}

/// Random bytes of the kernel (`getrandom(2)`).
pub(crate) fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    // SAFETY: the pointer and the length are those of a live, writable array.
    check_again(|| unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), N, 0) as i64 }, || "getrandom".into())?;
    Ok(bytes)
}
