//! Signals of this process and to others.
#![allow(unsafe_code)]

use super::call::{Call, call};
use super::process::Pid;
use super::{Result, check, done, file, wrap};
use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use std::os::fd::{AsFd, OwnedFd};

/// The names and numbers of the signals that are not real-time ones.
pub(crate) fn signals() -> impl Iterator<Item = (&'static str, i32)> {
    Signal::iterator().map(|signal| (signal.as_str(), signal as i32))
}

/// `kill(2)`. nix does not support real-time signals.
pub(crate) fn kill(pid: Pid, signal: i32) -> Result<()> {
    done(call(Call::Kill, [pid.into(), signal.into()]), || format!("kill({pid}, {signal})"))
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
    Ok(file::read_if_there(fd, &mut info)?.map(|_| i32::from_ne_bytes([info[0], info[1], info[2], info[3]])))
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
    let fd = file::open("/proc/thread-self/status", libc::O_RDONLY).ok()?;
    let mut buffer = [0u8; 4096];
    let length = file::read(fd, &mut buffer).ok()?;
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

/// Ignores SIGPIPE, so that writes to a closed pipe or socket fail with EPIPE, also after
/// `execve(2)`.
pub(crate) fn ignore_broken_pipes() {
    set_disposition(libc::SIGPIPE, Disposition::Ignored);
}
