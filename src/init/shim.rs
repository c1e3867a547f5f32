//! The reaping init (`--init`): stays as pid 1, runs the program as its child, forwards signals, reaps orphans.
//!
//! Pid 1 must not exit early: once it is confined it ignores every error and exits only after the
//! program.

use crate::confine::PR_SET_NO_NEW_PRIVS;
use crate::plan::{StubStep, end_record, flag, word};
use crate::{Init, execute, limits, sys};

const SIGTERM: i32 = 15;
const SIGKILL: i32 = 9;
const SIGCHLD: i32 = 17;
const SIGTTIN: i32 = 21;
const SIGTTOU: i32 = 22;
const WNOHANG: usize = 1;
const PR_SET_CHILD_SUBREAPER: usize = 36;
const CAP_KILL: u64 = 1 << 5;

/// Runs the program as a child; does not return.
pub(crate) fn run(init: &Init, program: u64) -> ! {
    if init.has(flag::SUBREAPER) {
        init.must(StubStep::Shim, sys::prctl(PR_SET_CHILD_SUBREAPER, 1, 0));
    }
    sys::block_signals(true);
    if init.has(flag::LISTENER) {
        init.report(word::CHILD, 1);
    }
    let child = init.step(StubStep::Shim, || sys::fork(0));
    if child.pid == 0 {
        foreground(init);
        sys::block_signals(false);
        execute(init, program);
    }
    if init.has(flag::LISTENER) {
        init.report(word::CHILD, child.pidfd as u32 + 2);
        await_fetch(init, child.pidfd);
    }
    let _ = limits::before_execute(init);
    confine(init);
    let status = serve(child.pid);
    if init.plan.end_file >= 0 {
        let _ = sys::write(END_FILE, &end_record(status));
    }
    end_the_rest(init);
    sys::exit(shell_status(status))
}

/// The runtime finds the child that has the listener through a pidfd of this process, which stays
/// open until then.
fn await_fetch(init: &Init, child: i32) {
    const MILLISECOND: u64 = 1;
    while let Some(fetched) = init.page.word(word::FETCHED)
        && fetched.load(core::sync::atomic::Ordering::Acquire) == 0
        && sys::poll(&mut [sys::Watched::to_read(child)], Some(MILLISECOND)) == Ok(0)
    {}
}

/// Gives this process its own process group, in the foreground of the terminal if there is one.
fn foreground(init: &Init) {
    sys::own_process_group();
    if init.has(flag::TERMINAL) {
        // A background process that sets the foreground group is stopped by SIGTTOU; all signals are blocked here.
        sys::to_foreground(0);
    }
}

/// The number that the file for the record of the end has while the program runs.
const END_FILE: i32 = 0;

/// Drops everything that forwarding signals and reaping do not need. A step is noted in the report
/// page only if it fails: the program's process writes its own steps there.
fn confine(init: &Init) {
    let plan = init.plan;
    // The name first: `start` checks it as soon as its connection is closed.
    init.must(StubStep::Shim, sys::set_name(b"orlop-init\0\0\0\0\0\0"));
    let end_file = init.plan.end_file;
    let is_kept = end_file >= 0 && sys::duplicate_to(end_file, END_FILE).is_ok();
    sys::close_from(if is_kept { END_FILE + 1 } else { 0 }, false);
    let kept = plan.permitted & CAP_KILL;
    init.must(StubStep::Shim, sys::capset(kept, kept, 0));
    if plan.filter != 0 {
        // It executes nothing, so that the filter needs no privilege in this process, whatever the
        // program has.
        init.must(StubStep::Shim, sys::prctl(PR_SET_NO_NEW_PRIVS, 1, 0));
        init.must(StubStep::Shim, sys::load_filter(plan.filter, plan.filter_flags as u32 & !NEW_LISTENER).map(drop));
    }
}

/// SECCOMP_FILTER_FLAG_NEW_LISTENER and WAIT_KILLABLE_RECV, which goes only with it.
const NEW_LISTENER: u32 = 8 | 32;

/// Forwards signals and reaps until the program has exited; returns its wait status.
pub(crate) fn serve(program: i32) -> u32 {
    loop {
        match sys::next_signal(None) {
            Ok(SIGCHLD) => {
                if let Some(status) = reap(program) {
                    return status;
                }
            }
            // The terminal's job control concerns the program's own group.
            Ok(SIGTTIN | SIGTTOU) | Err(_) => {}
            Ok(signal) => {
                let _ = sys::kill(program, signal);
            }
        }
    }
}

/// Reaps every exited child; returns the program's status if it is among them.
fn reap(program: i32) -> Option<u32> {
    let mut ended = None;
    while let Ok((pid @ 1.., status)) = sys::wait(-1, WNOHANG) {
        if pid == program {
            ended = Some(status);
        }
    }
    ended
}

/// The exit status, or 128 plus the signal.
pub(crate) fn shell_status(status: u32) -> i32 {
    match status & 0x7f {
        0 => (status >> 8 & 0xff) as i32,
        signal => 128 + signal as i32,
    }
}

/// Ends the processes that the program left, with SIGTERM and the grace time first if one was asked
/// for. Only as pid 1, for every process of the namespace; otherwise no set of processes is surely
/// the container's, and the removal of the cgroup kills them.
fn end_the_rest(init: &Init) {
    if init.has(flag::SUBREAPER) || init.plan.grace == 0 {
        return;
    }
    if sys::kill(-1, SIGTERM).is_ok() {
        let mut left = u64::from(init.plan.grace);
        // Each wait is at most 100 ms, so that the sum needs no clock.
        while left > 0 {
            // Several exits may cause one SIGCHLD.
            while let Ok((1.., _)) = sys::wait(-1, WNOHANG) {}
            // Processes of `exec` are not children, but get the grace time, too.
            if sys::kill(-1, 0).is_err() {
                return;
            }
            let slice = left.min(100);
            if sys::next_signal(Some(slice)) == Err(sys::EAGAIN) {
                left -= slice;
            }
        }
        let _ = sys::kill(-1, SIGKILL);
    }
}
