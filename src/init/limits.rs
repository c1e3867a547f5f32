//! Resource limits. They are the program's, so they are lowered last: no earlier step may fail
//! because of them. The runtime has raised its own limits where the program's are higher.

use crate::plan::{Limit, StubStep, flag};
use crate::{Init, sys};

const NPROC: u64 = 6;
const NOFILE: u64 = 7;

/// Whether this process only forks and then executes the program: its child is visible in the
/// container at once, so it has its limits from the start.
fn come_early(init: &Init) -> bool {
    let waits = init.has(flag::GATE) || init.has(flag::SHIM) || init.plan.hooks.count != 0;
    init.has(flag::FORK) && !waits
}

/// Before the late fork: all limits except those that would refuse the fork.
pub(crate) fn before_fork(init: &Init) {
    if come_early(init) {
        init.step(StubStep::Limits, || set(init, |limit| !matches!(limit.resource, NPROC | NOFILE)));
    }
}

/// After the late fork.
pub(crate) fn after_fork(init: &Init) {
    if come_early(init) {
        init.step(StubStep::Limits, || set(init, |limit| matches!(limit.resource, NPROC | NOFILE)));
    }
}

/// Before the program or a hook is executed.
pub(crate) fn before_execute(init: &Init) -> sys::Result<()> {
    if come_early(init) { Ok(()) } else { set(init, |_| true) }
}

fn set(init: &Init, which: impl Fn(&Limit) -> bool) -> sys::Result<()> {
    let mut limits = sys::list::<Limit>(init.plan.limits).iter().filter(|limit| which(limit));
    limits.try_for_each(|limit| sys::set_limit(limit.resource, limit.soft, limit.hard))
}

/// Changes the user by `change` under the program's RLIMIT_NPROC. The kernel compares the number of
/// the user's processes with it at this point, and `execve` fails if there are too many. Before and
/// after, this process may have to fork.
pub(crate) fn change_user<T>(init: &Init, change: impl FnOnce() -> T) -> T {
    let limits = sys::list::<Limit>(init.plan.limits);
    let Some(limit) = limits.iter().find(|limit| limit.resource == NPROC) else { return change() };
    let before = sys::limit(NPROC);
    if let Ok((_, hard)) = before {
        let _ = sys::set_limit(NPROC, limit.soft, hard);
    }
    let changed = change();
    if let Ok((soft, hard)) = before {
        let _ = sys::set_limit(NPROC, soft, hard);
    }
    changed
}
