//! Children, signals, filters and the next program.

use super::{EINTR, EINVAL, Errno, Result, call, done, exit, number};

/// `execve(2)` with lists of the plan; returns only on failure.
pub(crate) fn execve(path: u64, argv: u64, envp: u64) -> Errno {
    // SAFETY: a C string and null-terminated lists of the plan.
    unsafe { call(number::EXECVE, [path as usize, argv as usize, envp as usize, 0, 0, 0]) }.err().unwrap_or(EINVAL)
}

/// The signal to the parent when a child exits.
pub(crate) const SIGCHLD: u64 = 17;

/// Loads a filter that kills the process on every call other than those that the helper and its
/// child still need.
pub(crate) fn load_helper_filter() -> Result<()> {
    const CALLS: [usize; 5] = [number::FSOPEN, number::SENDMSG, number::WAIT4, number::EXIT_GROUP, number::EXIT];
    const ALLOW: u32 = 0x7fff_0000;
    const KILL_PROCESS: u32 = 0x8000_0000;
    const PIDFD: u32 = 0x1000;
    let (load, equal, answer) = (0x20, 0x15, 0x06);
    let step = |code: u16, yes: u8, no: u8, k: u32| {
        u64::from(code) | (yes as u64) << 16 | (no as u64) << 24 | (k as u64) << 32
    };
    let mut program = [0u64; 16];
    // Offsets in struct seccomp_data: the number 0, the architecture 4, the words of the first argument 16 and 20.
    program[0] = step(load, 0, 0, 4);
    program[1] = step(equal, 1, 0, number::ARCHITECTURE);
    program[2] = step(answer, 0, 0, KILL_PROCESS);
    program[3] = step(load, 0, 0, 0);
    for (n, call) in CALLS.into_iter().enumerate() {
        program[4 + n] = step(equal, 9 - n as u8, 0, call as u32);
    }
    program[9] = step(equal, 0, 3, number::CLONE as u32);
    program[10] = step(load, 0, 0, 16);
    program[11] = step(equal, 0, 1, PIDFD | SIGCHLD as u32);
    program[12] = step(answer, 0, 0, ALLOW);
    program[13] = step(answer, 0, 0, KILL_PROCESS);
    program[14] = step(answer, 0, 0, ALLOW);
    let head = crate::plan::Program { count: 15, at: program.as_ptr() as u64 };
    load_filter(&raw const head as u64, 0).map(drop)
}

/// `clone(2)` like fork, with CLONE_PIDFD and `flags`, among them the signal at the end: for where a filter has to see the
/// flags, or knows no `clone3(2)`.
pub(crate) fn fork_by_clone(flags: u64) -> Result<Child> {
    const PIDFD: u64 = 0x1000;
    let mut pidfd: i32 = -1;
    // SAFETY: without CLONE_VM the child has a copy of all memory, the stack included; the kernel writes one live int.
    let pid = unsafe { call(number::CLONE, [(flags | PIDFD) as usize, 0, &raw mut pidfd as usize, 0, 0, 0]) }? as i32;
    Ok(Child { pid, pidfd })
}

/// A child, and a descriptor of it; 0 on the child's side.
pub(crate) struct Child {
    pub(crate) pid: i32,
    pub(crate) pidfd: i32,
}

/// `clone3(2)` without sharing memory: like fork, with CLONE_PIDFD and `flags`.
pub(crate) fn fork(flags: u64) -> Result<Child> {
    const PIDFD: u64 = 0x1000;
    const PARENT: u64 = 0x8000;
    let mut pidfd: i32 = -1;
    let exit_signal = if flags & PARENT != 0 { 0 } else { SIGCHLD };
    let args = [flags | PIDFD, &raw mut pidfd as u64, 0, 0, exit_signal, 0, 0, 0];
    // SAFETY: the first version of clone_args, 64 bytes; the child gets a copy of all memory, the stack included.
    let pid = unsafe { call(number::CLONE3, [args.as_ptr() as usize, 64, 0, 0, 0, 0]) }? as i32;
    Ok(Child { pid, pidfd })
}

/// Waits for the child `pid` (-1: any) and reaps it: its id and wait status. `options` is 0 or WNOHANG (1).
pub(crate) fn wait(pid: i32, options: usize) -> Result<(i32, u32)> {
    let mut status = 0u32;
    loop {
        // SAFETY: writes one int into a live variable; no usage is asked for.
        let got = unsafe { call(number::WAIT4, [pid as usize, &raw mut status as usize, options, 0, 0, 0]) };
        match got {
            Err(EINTR) => continue,
            other => return other.map(|pid| (pid as i32, status)),
        }
    }
}

/// `kill(2)`.
pub(crate) fn kill(pid: i32, signal: i32) -> Result<()> {
    // SAFETY: takes no pointer.
    done(unsafe { call(number::KILL, [pid as usize, signal as usize, 0, 0, 0, 0]) })
}

/// Blocks (or unblocks) every signal.
pub(crate) fn block_signals(block: bool) {
    const SET: usize = 2;
    let mask: u64 = if block { !0 } else { 0 };
    // SAFETY: reads eight live bytes; no old mask is asked for.
    let _ = unsafe { call(number::SIGPROCMASK, [SET, &raw const mask as usize, 0, 8, 0, 0]) };
}

/// Installs (or resets) a handler for the signals that terminate a process by default: it exits
/// with 128 plus the signal number. Pid 1 needs it, since the kernel drops signals for which it has
/// no handler.
pub(crate) fn end_on_signals(on: bool) {
    const ASKING: [usize; 7] = [1, 2, 3, 10, 12, 14, 15];
    const REAL_TIME: core::ops::RangeInclusive<usize> = 32..=64;
    extern "C" fn end(signal: i32) -> ! {
        exit(128 + signal)
    }
    let handler = if on { end as extern "C" fn(i32) -> ! as usize } else { 0 };
    // x86_64 delivers nothing without a way back (SA_RESTORER), though this handler never takes it. Elsewhere the third and
    // fourth word are the mask, empty.
    let action =
        if on && cfg!(target_arch = "x86_64") { [handler, 0x0400_0000, handler, 0] } else { [handler, 0, 0, 0] };
    for signal in ASKING.into_iter().chain(REAL_TIME) {
        // SAFETY: reads a live sigaction; its handler is a function of this program that needs no state and never returns.
        let _ = unsafe { call(number::SIGACTION, [signal, action.as_ptr() as usize, 0, 8, 0, 0]) };
    }
}

/// The next blocked signal (`rt_sigtimedwait(2)`), waiting at most `milliseconds` (None: without an end).
pub(crate) fn next_signal(milliseconds: Option<u64>) -> Result<i32> {
    let mask: u64 = !0;
    let time = milliseconds.map(|ms| [ms / 1000, ms % 1000 * 1_000_000]);
    let at = time.as_ref().map_or(0, |time| time.as_ptr() as usize);
    // SAFETY: reads a live mask and a live timespec; no siginfo is asked for.
    unsafe { call(number::SIGTIMEDWAIT, [&raw const mask as usize, 0, at, 8, 0, 0]) }.map(|n| n as i32)
}

/// `seccomp(2)` SECCOMP_SET_MODE_FILTER with a program of the plan: the listener's number, or 0.
pub(crate) fn load_filter(program: u64, flags: u32) -> Result<usize> {
    // SAFETY: a sock_fprog of the plan, made by process/stub.rs.
    unsafe { call(number::SECCOMP, [1, flags as usize, program as usize, 0, 0, 0]) }
}
