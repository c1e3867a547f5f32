//! The startContainer hooks: in the container, confined as the program will be, after `start` and before the program.

use crate::plan::{Hook, StubStep, flag, word};
use crate::sys::Watched;
use crate::{Init, limits, sys};

/// Runs the hooks in order; a failed hook ends the container.
pub(crate) fn run(init: &Init) {
    for (n, hook) in sys::list::<Hook>(init.plan.hooks).iter().enumerate() {
        init.report(word::DETAIL, n as u32);
        init.begin(StubStep::Hook);
        if let Err(errno) = run_one(init, hook) {
            init.fail(errno);
        }
    }
}

pub(crate) fn run_one(init: &Init, hook: &Hook) -> sys::Result<()> {
    const SIGKILL: i32 = 9;
    let stdin = sys::pipe()?;
    let output = sys::pipe()?;
    expect_listener(init, true);
    let child = sys::fork(0)?;
    if child.pid == 0 {
        execute(init, hook, stdin[0], output[1]);
    }
    if init.has(flag::LISTENER) {
        init.report(word::CHILD, child.pidfd as u32 + 2);
    }
    sys::close(output[1]);
    let mut tail = Tail { bytes: [0; word::OUTPUT_MOST], length: 0 };
    let ended = serve(init, hook, child.pidfd, stdin[1], output[0], &mut tail);
    // A hook of another user cannot be killed from here. It dies with the container.
    if !ended && sys::kill(child.pid, SIGKILL).is_err() {
        return fail(init, StubStep::HookTimeout, &tail, sys::ETIMEDOUT);
    }
    let (_, status) = sys::wait(child.pid, 0)?;
    for fd in [stdin[0], output[0], child.pidfd] {
        sys::close(fd);
    }
    if !ended {
        return fail(init, StubStep::HookTimeout, &tail, sys::ETIMEDOUT);
    }
    if status != 0 {
        init.report(word::STATUS, status);
        return fail(init, StubStep::HookStatus, &tail, sys::EINVAL);
    }
    expect_listener(init, false);
    Ok(())
}

/// Notes the reason of a hook's failure, with the end of its output.
fn fail(init: &Init, step: StubStep, tail: &Tail, errno: sys::Errno) -> sys::Result<()> {
    init.begin(step);
    init.report_bytes(&tail.bytes[..tail.length]);
    Err(errno)
}

/// Notes for the runtime that the former listener is done, and which process has the next: a child
/// of this process, or itself.
fn expect_listener(init: &Init, of_child: bool) {
    if init.has(flag::LISTENER) {
        // FETCHED last: the runtime reads the other words only once it is 0.
        init.report(word::LISTENER, 0);
        init.report(word::CHILD, of_child.into());
        init.report(word::FETCHED, 0);
    }
}

/// The last bytes of a hook's output.
struct Tail {
    bytes: [u8; word::OUTPUT_MOST],
    length: usize,
}

impl Tail {
    /// Reads once; false at the end of the output.
    fn read(&mut self, fd: i32) -> bool {
        let mut more = [0; word::OUTPUT_MOST];
        let Ok(count @ 1..) = sys::read(fd, &mut more) else { return false };
        let kept = self.length.min(word::OUTPUT_MOST - count);
        self.bytes.copy_within(self.length - kept..self.length, 0);
        for (to, from) in self.bytes[kept..].iter_mut().zip(&more[..count]) {
            *to = *from;
        }
        self.length = kept + count;
        true
    }
}

/// Writes the state to the hook and reads its output until it exits. False if it did not exit in
/// time.
///
/// This process also holds the reading end of the hook's standard input: a hook that does not read
/// causes no SIGPIPE here.
fn serve(init: &Init, hook: &Hook, child: i32, stdin: i32, output: i32, tail: &mut Tail) -> bool {
    if sys::never_wait(stdin).is_err() || sys::never_wait(output).is_err() {
        return false;
    }
    let mut digits = [b'0'; 10];
    let mut parts = state(init, &mut digits);
    let deadline = sys::now().saturating_add(hook.timeout);
    let (mut writes, mut reads) = (stdin, output);
    loop {
        let left = (hook.timeout != 0).then(|| deadline.saturating_sub(sys::now()));
        let mut watched = [Watched::to_read(child), Watched::to_read(reads), Watched::to_write(writes)];
        let ready = sys::poll(&mut watched, left);
        let [ended, said, hears] = watched;
        if hears.is_ready() && write_next(writes, &mut parts) {
            sys::close(writes);
            writes = -1;
        }
        if said.is_ready() && !tail.read(reads) {
            reads = -1;
        }
        if ended.is_ready() {
            // Processes that it left behind may write on: read at most the capacity of a pipe.
            let _ = (0..64).find(|_| reads < 0 || !tail.read(reads));
            if writes >= 0 {
                sys::close(writes);
            }
            return true;
        }
        if ready.is_err() || left == Some(0) {
            return false;
        }
    }
}

/// Writes as much as possible of the first part that is left; returns whether all parts are
/// written.
fn write_next(fd: i32, parts: &mut [&[u8]; 3]) -> bool {
    if let Some(part) = parts.iter_mut().find(|part| !part.is_empty())
        && let Ok(count) = sys::write_some(fd, part)
    {
        *part = &part[count..];
    }
    parts.iter().all(|part| part.is_empty())
}

/// The state with this process's pid, in three parts.
pub(crate) fn state<'a>(init: &Init, digits: &'a mut [u8; 10]) -> [&'a [u8]; 3] {
    let state = sys::list::<u8>(init.plan.state);
    let Some((head, tail)) = state.split_at_checked(init.plan.pid_at as usize) else { return [state, b"", b""] };
    let mut from = digits.len();
    let mut rest = sys::pid();
    while let Some(digit) = digits[..from].last_mut() {
        *digit = b'0' + (rest % 10) as u8;
        from -= 1;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    [head, &digits[from..], tail]
}

/// The hook's side: state on standard input, the filter, then the program. The error number of a
/// failure is in the page before this process exits, since the parent reports only afterwards.
fn execute(init: &Init, hook: &Hook, stdin: i32, output: i32) -> ! {
    const NOT_EXECUTED: i32 = 127;
    let confined = redirect(stdin, output)
        .and_then(|()| {
            init.report(word::HOOK_STEP, StubStep::Limits as u32);
            limits::before_execute(init)
        })
        .and_then(|()| {
            init.report(word::HOOK_STEP, StubStep::Filter as u32);
            crate::load_filter(init)
        });
    let errno = confined.err().unwrap_or_else(|| {
        init.report(word::HOOK_STEP, StubStep::Execute as u32);
        sys::execve(hook.path, hook.argv, hook.envp)
    });
    init.report(word::HOOK_ERRNO, errno as u32);
    sys::exit(NOT_EXECUTED)
}

/// Sets standard input and output, and closes all other descriptors: those that the caller passed
/// on are for the program.
fn redirect(stdin: i32, output: i32) -> sys::Result<()> {
    sys::duplicate_to(stdin, 0)?;
    sys::duplicate_to(output, 1)?;
    sys::duplicate_to(output, 2)?;
    sys::close_from(3, true);
    Ok(())
}
