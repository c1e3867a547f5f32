//! The helper that opens contexts of a procfs in a joined pid namespace (`src/process/procfs.rs`).
//!
//! Processes of that pid namespace may trace the child. It runs as a user without files, with an
//! empty root, namespaces of its own, one descriptor, and a filter that allows only its own calls.

use crate::plan::{StubStep, flag};
use crate::{Init, confine, sys};

const PR_SET_PDEATHSIG: usize = 1;
const PR_SET_KEEPCAPS: usize = 8;
const SIGKILL: usize = 9;
const CAP_SYS_ADMIN: u64 = 1 << 21;
/// The first uid for helpers. Each helper has a uid of its own, so that RLIMIT_NPROC counts only
/// its processes.
const FIRST_USER: u32 = 0xff00_0000;
/// RLIMIT_NPROC.
const NPROC: u64 = 6;
/// The helper and its child.
const MOST_PROCESSES: u64 = 2;

/// Opens the contexts; does not return.
pub(crate) fn run(mut init: Init) -> ! {
    let plan = init.plan;
    debug_assert!(plan.flags == flag::PROCFS);
    init.step(StubStep::Cwd, || sys::chdir(plan.cwd));
    leave_user(&init);
    init.step(StubStep::UserNamespace, sys::unshare_all);
    init.must(StubStep::Capabilities, sys::capset(CAP_SYS_ADMIN, CAP_SYS_ADMIN, 0));
    confine::hide(&init);
    init.must(StubStep::ParentSignal, sys::prctl(PR_SET_PDEATHSIG, SIGKILL, 0));
    init.must(StubStep::NoNewPrivs, sys::prctl(confine::PR_SET_NO_NEW_PRIVS, 1, 0));
    init.step(StubStep::Page, || init.page.keep_from_children());
    init.step(StubStep::Filter, sys::load_helper_filter);
    let child = init.step(StubStep::Fork, || sys::fork_by_clone(sys::SIGCHLD));
    if child.pid == 0 {
        init.page = sys::Page::NONE;
        sys::exit(open_contexts(&init));
    }
    let _ = sys::send(plan.sync, b"F", Some(child.pidfd));
    let _ = sys::wait(child.pid, 0);
    sys::exit(0)
}

/// Drops the runtime's user and all capabilities except CAP_SYS_ADMIN, which creates namespaces. A
/// user namespace may not map the other uid; then the process stays its root, without privileges
/// outside.
fn leave_user(init: &Init) {
    let user = FIRST_USER + sys::pid();
    let _ = sys::setgroups(&[]);
    let _ = sys::setgid(user);
    init.must(StubStep::Capabilities, sys::prctl(PR_SET_KEEPCAPS, 1, 0));
    if sys::setuid(user).is_ok() {
        init.step(StubStep::Limits, || sys::set_limit(NPROC, MOST_PROCESSES, MOST_PROCESSES));
    }
    init.must(StubStep::Capabilities, sys::capset(CAP_SYS_ADMIN, CAP_SYS_ADMIN, 0));
}

/// The child's task; returns its exit status.
fn open_contexts(init: &Init) -> i32 {
    for _ in 0..init.plan.contexts {
        let Ok(context) = sys::fsopen_proc() else { return 1 };
        if sys::send(init.plan.sync, b"p", Some(context)).is_err() {
            return 1;
        }
    }
    0
}
