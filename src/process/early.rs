//! Whether the init stub can load the filter before it forks into a joined pid namespace.
//!
//! A process of that namespace with CAP_SYS_PTRACE can trace the child as soon as it is forked. So
//! the child should hold only the program's privileges: with the filter already loaded, and without
//! the CAP_SYS_ADMIN that loading a filter without no_new_privs needs. The filter then judges every
//! later system call of the stub. If the filter refuses one of those calls, or sends it to a
//! seccomp agent, the filter is loaded at the end, as for every other container.

use super::plan::LaunchPlan;
use super::seccomp::Filter;
use super::stub::plan::{StubPlan, flag};
use crate::hooks::Moment;

/// Stand-ins for pointers, which are not known yet. Profiles do not compare pointers; a filter that
/// does must accept two very different ones.
const POINTERS: [u64; 2] = [0x2000_0000, 0x7fff_ffff_f000];

type Needed = (libc::c_long, [u64; 6]);

/// The flags for the stub: none, or [`flag::EARLY_FILTER`] and the kind of fork.
pub(super) fn flags(plan: &LaunchPlan, stub: &StubPlan) -> u32 {
    let Some(filter) = plan.filter.as_ref().filter(|filter| filter.notify.is_none()) else { return 0 };
    let inside = flag::SHIM | flag::NO_PROGRAM;
    let has_hooks = !plan.hooks.at(Moment::StartContainer).is_empty();
    if stub.flags & flag::FORK == 0 || stub.flags & inside != 0 || has_hooks {
        return 0;
    }
    let allows = |calls: fn(&StubPlan, u64) -> Vec<Needed>| {
        POINTERS.iter().all(|pointer| calls(stub, *pointer).iter().all(|call| allows(filter, *call)))
    };
    match (allows(after_filter), allows(clone3), allows(clone)) {
        (true, true, _) => flag::EARLY_FILTER,
        (true, false, true) => flag::EARLY_FILTER | flag::PLAIN_CLONE,
        _ => 0,
    }
}

fn allows(filter: &Filter, (number, arguments): Needed) -> bool {
    filter.check(&[(number as u32, arguments)]).is_ok()
}

fn clone3(_: &StubPlan, pointer: u64) -> Vec<Needed> {
    vec![(libc::SYS_clone3, [pointer, 64, 0, 0, 0, 0])]
}

fn clone(_: &StubPlan, pointer: u64) -> Vec<Needed> {
    vec![(libc::SYS_clone, [(libc::CLONE_PARENT | libc::CLONE_PIDFD) as u64, 0, pointer, 0, 0, 0])]
}

/// The system calls of `src/init/main.rs` between the filter and the program, without the fork.
fn after_filter(stub: &StubPlan, pointer: u64) -> Vec<Needed> {
    const WORD: u64 = 8;
    const TIOCSCTTY: u64 = 0x540e;
    let sync = stub.sync as u64;
    let mut calls = vec![
        (libc::SYS_capset, [pointer, pointer, 0, 0, 0, 0]),
        (libc::SYS_sendmsg, [sync, pointer, libc::MSG_NOSIGNAL as u64, 0, 0, 0]),
        (libc::SYS_recvmsg, [sync, pointer, libc::MSG_CMSG_CLOEXEC as u64, 0, 0, 0]),
        (libc::SYS_setsid, [0; 6]),
        (libc::SYS_execve, [pointer, pointer, pointer, 0, 0, 0]),
        (libc::SYS_exit_group, [1, 0, 0, 0, 0, 0]),
    ];
    if stub.flags & flag::TERMINAL != 0 {
        calls.push((libc::SYS_ioctl, [0, TIOCSCTTY, 0, 0, 0, 0]));
    }
    if stub.limits.count > 0 {
        calls.extend((0..=15).map(|resource| (libc::SYS_prlimit64, [0, resource, pointer, 0, 0, 0])));
    }
    if stub.flags & flag::GATE != 0 {
        let gate = stub.gate as u64;
        calls.extend((1..=64).map(|signal| (libc::SYS_rt_sigaction, [signal, pointer, 0, WORD, 0, 0])));
        calls.push((libc::SYS_accept4, [gate, 0, 0, libc::SOCK_CLOEXEC as u64, 0, 0]));
        // The descriptor numbers of the connection and of the report page that comes over it are
        // not known yet.
        for fd in 3..16 {
            calls.push((libc::SYS_recvmsg, [fd, pointer, libc::MSG_CMSG_CLOEXEC as u64, 0, 0, 0]));
            calls.push((
                libc::SYS_mmap,
                [0, 4096, (libc::PROT_READ | libc::PROT_WRITE) as u64, libc::MAP_SHARED as u64, fd, 0],
            ));
            calls.push((libc::SYS_close, [fd, 0, 0, 0, 0, 0]));
        }
    }
    calls
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use crate::process::seccomp::all_flags;

    fn filter(default: &str, rules: &str) -> Filter {
        let json = format!(r#"{{"linux":{{"seccomp":{{"defaultAction":"{default}","syscalls":[{rules}]}}}}}}"#);
        let spec = config::parse(json.as_bytes()).unwrap();
        let seccomp = spec.linux.unwrap().seccomp.unwrap();
        Filter::parse(&seccomp, all_flags()).unwrap().unwrap()
    }

    fn refusing(name: &str) -> Filter {
        filter("SCMP_ACT_ALLOW", &format!(r#"{{"names":["{name}"],"action":"SCMP_ACT_ERRNO"}}"#))
    }

    fn flags_of(filter: Filter, flags: u32) -> u32 {
        let plan = LaunchPlan { filter: Some(filter), ..LaunchPlan::default() };
        super::flags(&plan, &StubPlan { flags, sync: 3, gate: 4, ..StubPlan::default() })
    }

    #[test]
    fn a_filter_that_lets_the_rest_of_the_way_through_is_loaded_before_the_fork() {
        assert_eq!(flags_of(refusing("sethostname"), flag::FORK), flag::EARLY_FILTER);
        assert_eq!(flags_of(refusing("sethostname"), flag::FORK | flag::GATE), flag::EARLY_FILTER);
        // As engines' default profiles have it.
        assert_eq!(flags_of(refusing("clone3"), flag::FORK), flag::EARLY_FILTER | flag::PLAIN_CLONE);
    }

    #[test]
    fn without_a_fork_the_filter_comes_last() {
        assert_eq!(flags_of(refusing("sethostname"), 0), 0);
        assert_eq!(flags_of(refusing("sethostname"), flag::FORK | flag::SHIM), 0);
    }

    #[test]
    fn a_filter_that_refuses_a_call_on_the_way_comes_last() {
        for name in ["capset", "sendmsg", "recvmsg", "setsid", "execve", "exit_group"] {
            assert_eq!(flags_of(refusing(name), flag::FORK), 0, "{name}");
        }
        assert_eq!(flags_of(refusing("accept4"), flag::FORK), flag::EARLY_FILTER);
        assert_eq!(flags_of(refusing("accept4"), flag::FORK | flag::GATE), 0);
        assert_eq!(flags_of(refusing("ioctl"), flag::FORK | flag::TERMINAL), 0);
        let neither = filter("SCMP_ACT_ALLOW", r#"{"names":["clone","clone3"],"action":"SCMP_ACT_ERRNO"}"#);
        assert_eq!(flags_of(neither, flag::FORK), 0);
    }

    #[test]
    fn a_filter_that_looks_at_a_pointer_comes_last() {
        let rule = r#"{"names":["execve"],"action":"SCMP_ACT_ERRNO","args":[{"index":0,"value":2147483648,"op":"SCMP_CMP_GT"}]}"#;
        assert_eq!(flags_of(filter("SCMP_ACT_ALLOW", rule), flag::FORK), 0);
    }
}
