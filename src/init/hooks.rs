//! The startContainer hooks: in the container, confined, after `start` and before the program.

use crate::plan::{Hook, Step, word};
use crate::{Init, raw};

/// Runs them in order; one that fails ends the container.
pub(crate) fn run(init: &Init) {
    for (n, hook) in raw::list::<Hook>(init.plan.hooks).iter().enumerate() {
        init.say(word::DETAIL, n as u32);
        init.begin(Step::Hook);
        if let Err(errno) = run_one(init, hook) {
            init.fail(errno);
        }
    }
}

fn run_one(init: &Init, hook: &Hook) -> raw::Result<()> {
    const SIGKILL: i32 = 9;
    let [ours, theirs] = raw::socket_pair()?;
    let child = raw::fork(0)?;
    if child.pid == 0 {
        execute(hook, theirs);
    }
    raw::close(theirs);
    send_state(init, ours);
    raw::close(ours);
    let ended = raw::wait_readable(child.pidfd, hook.timeout);
    if !ended {
        let _ = raw::kill(child.pid, SIGKILL);
    }
    raw::close(child.pidfd);
    let (_, status) = raw::wait(child.pid, 0)?;
    if !ended {
        init.begin(Step::HookTimeout);
        return Err(raw::ETIMEDOUT);
    }
    if status != 0 {
        init.begin(Step::HookStatus);
        init.say(word::STATUS, status);
        return Err(raw::EINVAL);
    }
    Ok(())
}

/// Sends the state with this process's pid; a hook need not read it.
fn send_state(init: &Init, socket: i32) {
    let state = raw::list::<u8>(init.plan.state);
    let Some((head, tail)) = state.split_at_checked(init.plan.pid_at as usize) else { return };
    let mut digits = [b'0'; 10];
    let mut from = digits.len();
    let mut rest = raw::pid();
    while let Some(digit) = digits[..from].last_mut() {
        *digit = b'0' + (rest % 10) as u8;
        from -= 1;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    for part in [head, &digits[from..], tail] {
        let _ = raw::send(socket, part, None);
    }
}

/// The hook's side: the state on standard input, then its program. The page has the error number of a failure before it
/// ends, as the parent only reports once this process is gone.
fn execute(hook: &Hook, stdin: i32) -> ! {
    const NOT_EXECUTED: i32 = 127;
    if raw::duplicate_to(stdin, 0).is_ok() {
        raw::execve(hook.path, hook.argv, hook.envp);
    }
    raw::exit(NOT_EXECUTED)
}
