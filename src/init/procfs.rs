//! The helper that opens contexts of a procfs in a joined pid namespace (`src/process/procfs.rs`).
//!
//! The child that is born there may be traced by its neighbours. It has a user without files, a root without files, namespaces of
//! its own, one descriptor, and a filter that lets through what it does and nothing else.

use crate::plan::{Step, flag};
use crate::{Init, confine, sys};

const PR_SET_PDEATHSIG: usize = 1;
const PR_SET_KEEPCAPS: usize = 8;
const PR_SET_NO_NEW_PRIVS: usize = 38;
const SIGKILL: usize = 9;
const CAP_SYS_ADMIN: u64 = 1 << 21;
/// The first of the users that helpers run as, each another one, so that the limit of a user's processes counts its own alone.
const FIRST_USER: u32 = 0xff00_0000;
/// RLIMIT_NPROC.
const NPROC: u64 = 6;
/// The helper and its child.
const MOST_PROCESSES: u64 = 2;

/// Opens the contexts and never comes back.
pub(crate) fn run(mut init: Init) -> ! {
    let plan = init.plan;
    debug_assert!(plan.flags == flag::PROCFS);
    init.step(Step::Cwd, || sys::chdir(plan.cwd));
    leave_user(&init);
    init.step(Step::UserNamespace, sys::unshare_all);
    init.step(Step::Capabilities, || sys::capset(CAP_SYS_ADMIN, CAP_SYS_ADMIN, 0));
    confine::hide();
    let _ = sys::prctl(PR_SET_PDEATHSIG, SIGKILL, 0);
    init.step(Step::NoNewPrivs, || sys::prctl(PR_SET_NO_NEW_PRIVS, 1, 0));
    init.step(Step::Page, || init.page.keep_from_children());
    init.step(Step::Filter, sys::load_helper_filter);
    let child = init.step(Step::Fork, || sys::fork_by_clone(sys::SIGCHLD));
    if child.pid == 0 {
        init.page = sys::Page::NONE;
        sys::exit(open_contexts(&init));
    }
    let _ = sys::send(plan.sync, b"F", Some(child.pidfd));
    let _ = sys::wait(child.pid, 0);
    sys::exit(0)
}

/// Gives up the runtime's user and all capabilities but the one to make namespaces. In a user namespace that does not map the
/// other user, its root stays, whose rights end there.
fn leave_user(init: &Init) {
    let user = FIRST_USER + sys::pid();
    let _ = sys::setgroups(&[]);
    let _ = sys::setgid(user);
    init.step(Step::Capabilities, || sys::prctl(PR_SET_KEEPCAPS, 1, 0));
    if sys::setuid(user).is_ok() {
        init.step(Step::Limits, || sys::set_limit(NPROC, MOST_PROCESSES, MOST_PROCESSES));
    }
    init.step(Step::Capabilities, || sys::capset(CAP_SYS_ADMIN, CAP_SYS_ADMIN, 0));
}

/// What the child does: its exit status.
fn open_contexts(init: &Init) -> i32 {
    for _ in 0..init.plan.contexts {
        let Ok(context) = sys::fsopen_proc() else { return 1 };
        if sys::send(init.plan.sync, b"p", Some(context)).is_err() {
            return 1;
        }
    }
    0
}
