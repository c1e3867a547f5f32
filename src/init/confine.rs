//! From the runtime's privileges to the container's.

use crate::plan::{StubStep, flag};
use crate::{Init, limits, look, sys};

const PR_SET_PDEATHSIG: usize = 1;
const PR_SET_DUMPABLE: usize = 4;
const PR_SET_KEEPCAPS: usize = 8;
const PR_CAPBSET_DROP: usize = 24;
pub(crate) const PR_SET_NO_NEW_PRIVS: usize = 38;
const PR_CAP_AMBIENT: usize = 47;
const PR_CAP_AMBIENT_RAISE: usize = 2;
const PR_CAP_AMBIENT_CLEAR_ALL: usize = 4;
const CAP_SYS_ADMIN: u32 = 21;

/// Makes the process non-dumpable until it executes the program: only a process with CAP_SYS_PTRACE
/// in the host's user namespace can inspect it.
pub(crate) fn hide(init: &Init) {
    init.must(StubStep::Hide, sys::prctl(PR_SET_DUMPABLE, 0, 0));
}

/// Joins the memory cgroup with a small limit, now that the set-up of the container is done and
/// only the program's memory is charged to it.
pub(crate) fn enter_cgroup(init: &Init) {
    let plan = init.plan;
    if plan.cgroup_file < 0 {
        return;
    }
    init.step(StubStep::Cgroup, || sys::write(plan.cgroup_file, b"0"));
    sys::close(plan.cgroup_file);
    if init.has(flag::CGROUP_NAMESPACE) {
        init.step(StubStep::CgroupNamespace, sys::unshare_cgroup);
    }
}

/// Sets the label that the security module gives the program at `execve`.
pub(crate) fn label(init: &Init) {
    let plan = init.plan;
    if plan.label_file != 0 {
        init.step(StubStep::Label, || sys::write_file(plan.procfs, plan.label_file, sys::list(plan.label)));
    }
    if plan.procfs >= 0 {
        sys::close(plan.procfs);
    }
}

/// Sets user, groups, capabilities, working directory, umask and no_new_privs; returns the path of
/// the program.
///
/// If a filter must be loaded without no_new_privs, CAP_SYS_ADMIN stays until `execve` drops it.
pub(crate) fn confine(init: &Init) -> u64 {
    let plan = init.plan;
    let entered = enter_directory(init, false);
    if init.has(flag::CAPABILITIES) {
        init.step(StubStep::Bounding, || drop_bounding(init));
    }
    if init.has(flag::GROUPS) {
        let groups = sys::list(plan.groups);
        init.step(StubStep::Groups, || match sys::setgroups(groups) {
            // In a user namespace of an unprivileged user the groups of its creator stay
            // (user_namespaces(7)).
            Err(sys::EPERM) if groups.is_empty() => Ok(()),
            other => other,
        });
    }
    init.step(StubStep::Gid, || sys::setgid(plan.gid));
    let _ = sys::prctl(PR_SET_KEEPCAPS, 1, 0);
    limits::change_user(init, || init.step(StubStep::Uid, || sys::setuid(plan.uid)));
    let _ = sys::prctl(PR_SET_KEEPCAPS, 0, 0);
    if init.has(flag::CAPABILITIES) {
        set_capabilities(init);
    }
    if !entered {
        enter_directory(init, true);
    }
    init.begin(StubStep::CwdOutside);
    if sys::cwd_is_inside() != Ok(true) {
        init.fail(sys::ENOENT);
    }
    if init.has(flag::UMASK) {
        sys::umask(plan.umask);
    }
    if init.has(flag::NO_NEW_PRIVS) {
        init.must(StubStep::NoNewPrivs, sys::prctl(PR_SET_NO_NEW_PRIVS, 1, 0));
    }
    if init.has(flag::NO_PROGRAM) {
        return 0;
    }
    init.step(StubStep::Find, || find(init))
}

/// Enters the working directory with the runtime's privileges or, if those are refused (a
/// filesystem that only the user may access), again with the user's. Returns whether it succeeded.
fn enter_directory(init: &Init, last: bool) -> bool {
    init.begin(StubStep::Cwd);
    match sys::chdir(init.plan.cwd) {
        Ok(()) => true,
        Err(sys::EACCES | sys::EPERM) if !last => false,
        Err(errno) => init.fail(errno),
    }
}

fn drop_bounding(init: &Init) -> sys::Result<()> {
    for capability in 0..=init.plan.last_capability {
        if init.plan.bounding & 1 << capability == 0 {
            sys::prctl(PR_CAPBSET_DROP, capability as usize, 0)?;
        }
    }
    Ok(())
}

fn set_capabilities(init: &Init) {
    let plan = init.plan;
    init.must(StubStep::Ambient, sys::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0));
    let loads_privileged = plan.filter != 0 && !init.has(flag::NO_NEW_PRIVS);
    let kept = if loads_privileged { 1 << CAP_SYS_ADMIN } else { 0 };
    let sets = (plan.effective | kept, plan.permitted | kept, plan.inheritable);
    init.must(StubStep::Capabilities, sys::capset(sets.0, sets.1, sets.2));
    init.begin(StubStep::Ambient);
    for capability in 0..=plan.last_capability {
        if plan.ambient & 1 << capability != 0
            && let Err(errno) = sys::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability as usize)
        {
            init.fail(errno);
        }
    }
}

/// Drops the CAP_SYS_ADMIN that [`confine`] kept for loading the filter.
pub(crate) fn give_up_admin(init: &Init) {
    let plan = init.plan;
    if init.has(flag::CAPABILITIES) && !init.has(flag::NO_NEW_PRIVS) {
        init.must(StubStep::Capabilities, sys::capset(plan.effective, plan.permitted, plan.inheritable));
    }
}

/// Creates the session and sets the controlling terminal.
pub(crate) fn session(init: &Init) {
    const TIOCSCTTY: usize = 0x540e;
    if init.has(flag::SESSION) {
        init.step(StubStep::Session, sys::setsid);
    }
    if init.has(flag::TERMINAL) {
        init.step(StubStep::Terminal, || sys::ioctl(0, TIOCSCTTY, 0));
    }
}

/// The first candidate that can be executed. If there is none, the error is that of a candidate
/// that exists.
pub(crate) fn find(init: &Init) -> sys::Result<u64> {
    let mut error = sys::ENOENT;
    let mut refused = 0;
    for &path in sys::list::<u64>(init.plan.candidates) {
        match sys::executable(path) {
            Ok(()) => return Ok(path),
            Err(sys::ENOENT | sys::ENOTDIR) => {}
            Err(errno) => (error, refused) = (errno, path),
        }
    }
    if error == sys::EACCES {
        look::at(init, refused);
    }
    Err(error)
}

/// Lets the process outlive the runtime.
pub(crate) fn let_go(init: &Init) {
    init.must(StubStep::ParentSignal, sys::prctl(PR_SET_PDEATHSIG, 0, 0));
}
