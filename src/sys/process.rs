//! Processes: clone3, pidfds, wait, signals, prctl, exec.
#![allow(unsafe_code)]

use super::call::{self, Call, Opening, call, opened};
use super::{Errno, Failure, Result, check, check_again, done, failed_with, file, show, wrap};
use nix::fcntl::AtFlags;
use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::sched::CloneFlags;
use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
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

/// The names and numbers of the signals that are not real-time ones.
pub(crate) fn signals() -> impl Iterator<Item = (&'static str, i32)> {
    Signal::iterator().map(|signal| (signal.as_str(), signal as i32))
}

/// `kill(2)`. nix does not support real-time signals.
pub(crate) fn kill(pid: Pid, signal: i32) -> Result<()> {
    done(call(Call::Kill, [pid.into(), signal.into()]), || format!("kill({pid}, {signal})"))
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
    const SECCOMP_MODE_FILTER: i32 = 2;
    ask(Question::Seccomp, 0) == SECCOMP_MODE_FILTER
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
pub(crate) fn execute_fd(fd: impl AsFd, argv: &[&CStr], envp: &[&CStr]) -> Failure {
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

/// `prlimit(2)`: sets a limit of `pid` (0: this process), in the unit of the resource.
pub(crate) fn set_rlimit(pid: Pid, resource: u32, soft: u64, hard: u64) -> Result<()> {
    let new = libc::rlimit64 { rlim_cur: soft, rlim_max: hard };
    prlimit(pid, resource, Some(&new), || format!("prlimit({pid}, {resource}, {{{soft}, {hard}}})")).map(drop)
}

/// `prlimit(2)`: the soft and hard limit of `pid` (0: this process).
pub(crate) fn rlimit(pid: Pid, resource: u32) -> Result<(u64, u64)> {
    let old = prlimit(pid, resource, None, || format!("prlimit({pid}, {resource})"))?;
    Ok((old.rlim_cur, old.rlim_max))
}

/// `prlimit(2)`: returns the previous limit and sets `new`.
fn prlimit(
    pid: Pid,
    resource: u32,
    new: Option<&libc::rlimit64>,
    call: impl FnOnce() -> String,
) -> Result<libc::rlimit64> {
    let mut old = libc::rlimit64 { rlim_cur: 0, rlim_max: 0 };
    let new = new.map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: `new` is null or live, `old` is live and writable.
    check(unsafe { libc::syscall(libc::SYS_prlimit64, pid, resource, new, &raw mut old) }, call)?;
    Ok(old)
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
    // SAFETY: `attr` is live and contains its size.
    done(unsafe { libc::syscall(libc::SYS_sched_setattr, pid, &raw const attr, 0) }, || {
        format!("sched_setattr({pid}, {attr:?})")
    })
}

/// `ioprio_set(2)` of the process `pid` (0: this one). `value` is class << 13 | level.
pub(crate) fn ioprio_set(pid: Pid, value: i32) -> Result<()> {
    const IOPRIO_WHO_PROCESS: i32 = 1;
    done(call(Call::IoprioSet, [IOPRIO_WHO_PROCESS.into(), pid.into(), value.into()]), || {
        format!("ioprio_set(IOPRIO_WHO_PROCESS, {pid}, {value:#x})")
    })
}

/// `sched_setaffinity(2)` of `pid` (0: this thread). `mask` has 64 CPUs in a word, since nix's set
/// ends at the 1024th CPU.
pub(crate) fn sched_setaffinity(pid: Pid, mask: &[u64]) -> Result<()> {
    // SAFETY: the pointer and the size are those of a live slice.
    done(unsafe { libc::syscall(libc::SYS_sched_setaffinity, pid, size_of_val(mask), mask.as_ptr()) }, || {
        format!("sched_setaffinity({pid}, {mask:x?})")
    })
}

/// `personality(2)`.
pub(crate) fn personality(persona: u64) -> Result<()> {
    let bits = nix::sys::personality::Persona::from_bits_retain(persona as libc::c_int);
    wrap(nix::sys::personality::set(bits), || format!("personality({persona:#x})")).map(drop)
}

/// `set_mempolicy(2)`. `nodes` has 64 nodes in a word. It is empty for a mode without nodes.
pub(crate) fn set_mempolicy(mode: i32, nodes: &[u64]) -> Result<()> {
    let (mask, bits) = if nodes.is_empty() { (std::ptr::null(), 0) } else { (nodes.as_ptr(), nodes.len() * 64 + 1) };
    // SAFETY: the mask has at least `bits` - 1 bits, which is how the kernel reads maxnode.
    done(unsafe { libc::syscall(libc::SYS_set_mempolicy, mode, mask, bits) }, || {
        format!("set_mempolicy({mode:#x}, {nodes:x?})")
    })
}

/// `keyctl(2)` KEYCTL_JOIN_SESSION_KEYRING: joins or creates the session keyring `name`. Returns
/// its serial number.
pub(crate) fn join_session_keyring(name: &CStr) -> Result<i32> {
    const KEYCTL_JOIN_SESSION_KEYRING: i32 = 1;
    // SAFETY: `name` is a C string that outlives the call.
    let serial = check(unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, name.as_ptr()) }, || {
        format!("keyctl(KEYCTL_JOIN_SESSION_KEYRING, {name:?})")
    })?;
    Ok(serial as i32)
}

/// The attributes of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    /// The user id of its owner.
    pub owner: u32,
    /// Its permissions, in the format of KEYCTL_SETPERM.
    pub permissions: u32,
}

/// `keyctl(2)` KEYCTL_DESCRIBE.
pub(crate) fn describe_key(serial: i32) -> Result<Key> {
    const KEYCTL_DESCRIBE: i32 = 6;
    let call = || format!("keyctl(KEYCTL_DESCRIBE, {serial})");
    // `type;uid;gid;permissions;description`. Only the last field has a variable format.
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
    done(unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_SETPERM, serial, permissions) }, || {
        format!("keyctl(KEYCTL_SETPERM, {serial}, {permissions:#x})")
    })
}

/// `poll(2)`: waits until one of `fds` is ready, for at most `timeout` milliseconds (-1: no limit).
///
/// Returns the events of each descriptor, 0 if it is not ready. After an interruption by a signal
/// all are 0.
pub(crate) fn poll<const N: usize>(fds: [(Option<BorrowedFd<'_>>, i16); N], timeout: i32) -> Result<[i16; N]> {
    // The kernel ignores negative numbers.
    let mut list = fds.map(|(fd, events)| PollFd::new(fd.unwrap_or(file::CWD), PollFlags::from_bits_retain(events)));
    let timeout = PollTimeout::try_from(timeout).unwrap_or(PollTimeout::NONE);
    match nix::poll::poll(&mut list, timeout) {
        Err(nix::errno::Errno::EINTR) => Ok([0; N]),
        Err(e) => Err(failed_with(e, || "poll".into())),
        Ok(_) => Ok(list.map(|entry| entry.revents().map_or(0, |events| events.bits()))),
    }
}

/// Blocks all signals of this thread and returns a file descriptor that reads them (`signalfd(2)`).
pub(crate) fn all_signals_as_fd() -> Result<OwnedFd> {
    let all = SigSet::all();
    wrap(all.thread_set_mask(), || "sigprocmask".into())?;
    signal_fd(&all)
}

fn signal_fd(signals: &SigSet) -> Result<OwnedFd> {
    let fd = SignalFd::with_flags(signals, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK);
    wrap(fd, || "signalfd".into()).map(OwnedFd::from)
}

/// The blocked signals of a thread.
#[derive(Clone, Copy)]
pub(crate) struct SignalMask(SigSet);

impl SignalMask {
    /// The mask of this thread (`pthread_sigmask(3)`).
    pub(crate) fn of_this_thread() -> Result<SignalMask> {
        wrap(SigSet::thread_get_mask(), || "sigprocmask".into()).map(SignalMask)
    }

    /// Blocks exactly these signals for this thread.
    pub(crate) fn set(&self) {
        replace_mask(&self.0);
    }
}

fn replace_mask(mask: &SigSet) {
    #[expect(clippy::let_underscore_must_use, reason = "it fails for a bad pointer alone")]
    let _ = mask.thread_set_mask();
}

/// The next signal number from a descriptor of [`all_signals_as_fd`], if one is pending.
pub(crate) fn next_signal(fd: impl AsFd) -> Result<Option<i32>> {
    let mut info = [0u8; size_of::<libc::signalfd_siginfo>()];
    Ok(super::file::read_if_there(fd, &mut info)?.map(|_| i32::from_ne_bytes([info[0], info[1], info[2], info[3]])))
}

/// SIGTERM, SIGINT, SIGQUIT and SIGHUP.
fn end_signals() -> SigSet {
    SigSet::from_iter([Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGHUP])
}

/// Blocks SIGTERM, SIGINT, SIGQUIT and SIGHUP while it lives, so that this process can clean up.
/// [`pending_end`] and [`end_signals_as_fd`] take them; the others act when this is dropped.
pub(crate) struct EndHeld(SigSet);

impl EndHeld {
    /// Blocks these signals (`sigprocmask(2)`).
    ///
    /// # Errors
    /// The system call fails.
    pub(crate) fn hold() -> Result<EndHeld> {
        wrap(end_signals().thread_swap_mask(SigmaskHow::SIG_BLOCK), || "sigprocmask".into()).map(EndHeld)
    }
}

impl Drop for EndHeld {
    fn drop(&mut self) {
        replace_mask(&self.0);
    }
}

/// A descriptor from which [`next_signal`] reads the signals that [`EndHeld`] blocks (`signalfd(2)`).
pub(crate) fn end_signals_as_fd() -> Result<OwnedFd> {
    signal_fd(&end_signals())
}

/// Takes a pending, blocked SIGTERM, SIGINT, SIGQUIT or SIGHUP (`sigtimedwait(2)`). Ignored signals
/// are skipped: the kernel queues them while they are blocked.
pub(crate) fn pending_end() -> Result<Option<i32>> {
    let now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    loop {
        // SAFETY: the pointers are to live objects; no siginfo_t is asked for.
        let taken = unsafe { libc::sigtimedwait(end_signals().as_ref(), std::ptr::null_mut(), &now) };
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

/// Unblocks every signal and resets its disposition to the default, which a new program expects:
/// `execve(2)` would keep signals that the caller ignores (nohup, a shell's `&`).
pub(crate) fn reset_signals() {
    replace_mask(&SigSet::empty());
    let ignored = ignored_signals().unwrap_or(u64::MAX);
    (1..=64).filter(|signal| ignored & 1 << (signal - 1) != 0).for_each(reset_signal);
}

/// Resets SIGCHLD and SIGPIPE to the default disposition in the runtime: with SIGCHLD ignored the
/// kernel reaps children itself, and `wait4(2)` fails to return their exit status. Other signals
/// are unchanged.
pub(crate) fn reset_own_signals() {
    [libc::SIGCHLD, libc::SIGPIPE].into_iter().for_each(reset_signal);
}

/// The signals that this process ignores, as a mask of the kernel (`proc_pid_status(5)`, SigIgn).
fn ignored_signals() -> Option<u64> {
    let fd = super::file::open("/proc/thread-self/status", libc::O_RDONLY).ok()?;
    let mut buffer = [0u8; 4096];
    let length = super::file::read(fd, &mut buffer).ok()?;
    let text = std::str::from_utf8(&buffer[..length]).ok()?;
    let mask = text.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
    u64::from_str_radix(mask.trim(), 16).ok()
}

fn reset_signal(signal: i32) {
    // SIGKILL and SIGSTOP are refused, and always have the default disposition.
    set_disposition(signal, Disposition::Default);
}

/// A signal disposition without a handler.
#[derive(Clone, Copy)]
#[repr(u64)]
enum Disposition {
    Default = libc::SIG_DFL as u64,
    Ignored = libc::SIG_IGN as u64,
}

/// `rt_sigaction(2)`: libc's function refuses the real-time signals that it reserves.
fn set_disposition(signal: i32, disposition: Disposition) {
    // The kernel's `struct sigaction`: handler, flags, restorer and a mask of 64 bits.
    let action = [disposition as u64, 0, 0, 0];
    // SAFETY: the structure is live, and neither disposition installs code.
    unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, action.as_ptr(), std::ptr::null_mut::<u64>(), 8) };
}

/// Makes this process the leader of its own process group (`setpgid(2)`).
pub(crate) fn lead_group() -> Result<()> {
    let own = nix::unistd::Pid::from_raw(0);
    wrap(nix::unistd::setpgid(own, own), || "setpgid(0, 0)".into())
}

/// Ignores SIGPIPE, so that writes to a closed pipe or socket fail with EPIPE, also after
/// `execve(2)`.
pub(crate) fn ignore_broken_pipes() {
    set_disposition(libc::SIGPIPE, Disposition::Ignored);
}

/// Random bytes of the kernel (`getrandom(2)`).
pub(crate) fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    // SAFETY: the pointer and the length are those of a live, writable array.
    check_again(|| unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), N, 0) as i64 }, || "getrandom".into())?;
    Ok(bytes)
}
