//! `linux.seccomp`, but for the listener.
//!
//! The call that is filtered is `sched_get_priority_max`: nothing else in the container needs it, it takes one number, and
//! what it gives for each is known (99 for SCHED_FIFO and SCHED_RR, 0 for SCHED_OTHER).

use crate::bench::bundle::Bundle;
use crate::bench::prelude::*;

const NAME: &str = "sched_get_priority_max";

/// The probe's action for the call with this argument.
fn call(argument: u64) -> String {
    format!("syscall {} {argument}", libc::SYS_sched_get_priority_max)
}

fn architectures() -> Value {
    json!([if cfg!(target_arch = "aarch64") { "SCMP_ARCH_AARCH64" } else { "SCMP_ARCH_X86_64" }])
}

/// A filter that allows all but what these rules say.
fn filter(rules: Value) -> Value {
    json!({"defaultAction": "SCMP_ACT_ALLOW", "architectures": architectures(), "syscalls": rules})
}

fn rule(action: &str) -> Value {
    json!({"names": [NAME], "action": action})
}

fn with<'t>(t: &'t Trial, seccomp: Value) -> Result<Bundle<'t>> {
    Ok(t.bundle()?.set("/linux/seccomp", seccomp))
}

/// The errno of the call with each argument, 0 when it worked, under a rule with the given conditions.
fn under(t: &Trial, args: Value, arguments: &[u64]) -> Result<Vec<i32>> {
    let mut rule = rule("SCMP_ACT_ERRNO");
    rule["args"] = args;
    rule["errnoRet"] = json!(77);
    let actions: Vec<String> = arguments.iter().map(|&argument| call(argument)).collect();
    let actions: Vec<&str> = actions.iter().map(String::as_str).collect();
    let seen = with(t, filter(json!([rule])))?.does(&actions).observe()?;
    actions.iter().map(|action| Ok(seen.answer(action)?.err().unwrap_or(0))).collect()
}

fn condition(index: u32, op: &str, value: u64) -> Value {
    json!([{"index": index, "op": op, "value": value}])
}

/// What runtimes, their libraries and a static program need between them.
const NEEDED: &str = "accept4 access add_key arch_prctl bind brk capget capset chdir chmod chown chroot clock_getres clock_gettime \
    clock_nanosleep clone clone3 close close_range connect copy_file_range dup dup2 dup3 epoll_create1 epoll_ctl \
    epoll_pwait epoll_wait eventfd2 execve execveat exit exit_group faccessat faccessat2 fadvise64 fallocate \
    fchdir fchmod fchmodat fchown fchownat fcntl fdatasync fgetxattr flock fstat fstatfs fsync ftruncate futex \
    get_mempolicy get_robust_list getcwd getdents getdents64 getegid geteuid getgid getgroups getpgid getpgrp \
    getpid getppid getpriority getrandom getresgid getresuid getrlimit getsid getsockname getsockopt gettid \
    gettimeofday getuid getxattr inotify_init1 ioctl ioprio_get ioprio_set keyctl kill lgetxattr link listen lseek \
    lstat madvise membarrier memfd_create mincore mkdir mkdirat mknod mknodat mmap mount mprotect mremap munmap \
    nanosleep newfstatat open openat openat2 pause personality pidfd_getfd pidfd_open pidfd_send_signal pipe pipe2 \
    pivot_root poll ppoll prctl pread64 prlimit64 pselect6 pwrite64 read readlink readlinkat readv recvfrom \
    recvmsg rename renameat request_key restart_syscall rseq rt_sigaction rt_sigpending rt_sigprocmask \
    rt_sigreturn rt_sigsuspend rt_sigtimedwait sched_getaffinity sched_getattr sched_getparam sched_getscheduler \
    sched_setaffinity sched_setattr sched_setscheduler sched_yield seccomp select sendfile sendmsg sendto \
    set_mempolicy set_robust_list set_tid_address setdomainname setgid setgroups sethostname setns setpgid \
    setpriority setresgid setresuid setrlimit setsid setsockopt setuid shutdown sigaltstack signalfd4 socket \
    socketpair splice stat statfs statx symlink symlinkat sync sysinfo tee tgkill time timerfd_create times tkill \
    truncate umask umount2 uname unlink unlinkat unshare utimensat vfork wait4 waitid write writev";

fn needed() -> Vec<&'static str> {
    NEEDED.split_whitespace().collect()
}

pub(crate) fn cases() -> Vec<Case> {
    let mut all = Vec::new();
    // Operator, value, the arguments to try, and for which of them the rule holds.
    let table: [(&str, u64, [bool; 3]); 6] = [
        ("SCMP_CMP_NE", 1, [true, false, true]),
        ("SCMP_CMP_LT", 1, [true, false, false]),
        ("SCMP_CMP_LE", 1, [true, true, false]),
        ("SCMP_CMP_EQ", 1, [false, true, false]),
        ("SCMP_CMP_GE", 1, [false, true, true]),
        ("SCMP_CMP_GT", 1, [false, false, true]),
    ];
    for (op, value, holds) in table {
        all.push(Case::new(
            format!("the_operator_{}_compares", op.to_lowercase()),
            &["seccomp.args", "seccomp.args.op", "seccomp.args.value", "seccomp.args.index"],
            "The call with the arguments 0, 1 and 2 is refused just where the comparison with 1 holds.",
            move |t| {
                let seen = under(t, condition(0, op, value), &[0, 1, 2])?;
                equal("errors for 0, 1, 2", seen, holds.map(|held| if held { 77 } else { 0 }).to_vec())
            },
        ));
    }
    for action in ["SCMP_ACT_KILL", "SCMP_ACT_KILL_THREAD", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_TRAP"] {
        all.push(Case::new(
            format!("the_action_{}_ends_the_program", action.to_lowercase()),
            &["seccomp.action"],
            "The call is never answered: the program ends by SIGSYS.",
            move |t| {
                let seen = with(t, filter(json!([rule(action)])))?.does(&["report", &call(1)]).observe()?;
                seen.value("report")?;
                ensure!(seen.answer(&call(1)).is_err(), "the call was answered");
                ensure!(seen.status.is_none_or(|status| status == 128 + libc::SIGSYS), "the status is {:?}", seen.status);
                Ok(())
            },
        ));
    }
    for action in ["SCMP_ACT_ALLOW", "SCMP_ACT_LOG"] {
        all.push(Case::new(
            format!("the_action_{}_lets_the_call_through", action.to_lowercase()),
            &["seccomp.action"],
            "The call is answered by the kernel.",
            move |t| {
                let mut filter = filter(json!([rule(action)]));
                // With the same default there would be no rule at all.
                filter["syscalls"][0]["args"] = condition(0, "SCMP_CMP_EQ", 1);
                same("answer", with(t, filter)?.does(&[&call(1)]).observe()?.value(&call(1))?, 99)
            },
        ));
    }
    for flag in ["SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW"] {
        all.push(Case::new(
            format!("the_flag_{}_is_taken", flag.to_lowercase()),
            &["seccomp.flags"],
            "A filter with the flag is loaded and holds.",
            move |t| {
                t.needs_listed("/linux/seccomp/supportedFlags", flag)?;
                let mut filter = filter(json!([rule("SCMP_ACT_ERRNO")]));
                filter["flags"] = json!([flag]);
                with(t, filter)?.does(&[&call(1)]).observe()?.fails(&call(1), &[errno::EPERM])
            },
        ));
    }
    all.extend(single::cases());
    all
}

mod single {
    use super::*;

    cases! {
        /// The mode in /proc/self/status.
        ["seccomp.default-action"]
        fn a_filter_is_loaded(t) {
            let seen = with(t, filter(json!([rule("SCMP_ACT_ERRNO")])))?.observe()?;
            same("Seccomp", seen.report("/seccomp")?, "2")?;
            same("Seccomp_filters", seen.report("/seccomp_filters")?, "1")?;
        }

        /// Without the property there is no filter.
        ["seccomp.default-action"]
        fn without_seccomp_there_is_no_filter(t) {
            same("Seccomp", t.bundle()?.observe()?.report("/seccomp")?, "0")?;
        }

        /// SCMP_ACT_ERRNO without a number.
        ["seccomp.errno.default", "seccomp.action"]
        fn a_refused_call_fails_with_eperm_by_default(t) {
            let seen = with(t, filter(json!([rule("SCMP_ACT_ERRNO")])))?.does(&[&call(1)]).observe()?;
            seen.fails(&call(1), &[errno::EPERM])?;
        }

        /// SCMP_ACT_ERRNO with a number.
        ["seccomp.errno"]
        fn a_refused_call_fails_with_the_number_of_the_rule(t) {
            let mut rule = rule("SCMP_ACT_ERRNO");
            rule["errnoRet"] = json!(libc::ENOSYS);
            with(t, filter(json!([rule])))?.does(&[&call(1)]).observe()?.fails(&call(1), &[errno::ENOSYS])?;
        }

        /// SCMP_ACT_ERRNO with the number 0: the call is not made, but says that it worked.
        ["seccomp.errno"]
        fn a_refused_call_with_the_number_zero_seems_to_work(t) {
            let mut rule = rule("SCMP_ACT_ERRNO");
            rule["errnoRet"] = json!(0);
            same("answer", with(t, filter(json!([rule])))?.does(&[&call(1)]).observe()?.value(&call(1))?, 0)?;
        }

        /// SCMP_ACT_TRACE without a tracer: the call fails with ENOSYS.
        ["seccomp.action"]
        fn a_traced_call_fails_without_a_tracer(t) {
            let seen = with(t, filter(json!([rule("SCMP_ACT_TRACE")])))?.does(&[&call(1)]).observe()?;
            seen.fails(&call(1), &[errno::ENOSYS])?;
        }

        /// The default action refuses what no rule allows.
        ["seccomp.default-action", "seccomp.default-errno"]
        fn the_default_action_is_for_calls_without_a_rule(t) {
            let seccomp = json!({
                "defaultAction": "SCMP_ACT_ERRNO",
                "defaultErrnoRet": 77,
                "architectures": architectures(),
                "syscalls": [{"names": needed(), "action": "SCMP_ACT_ALLOW"}],
            });
            with(t, seccomp)?.does(&[&call(1)]).observe()?.fails(&call(1), &[77])?;
        }

        /// The default action without a number.
        ["seccomp.default-action", "seccomp.errno.default"]
        fn the_default_action_fails_with_eperm_by_default(t) {
            let seccomp = json!({
                "defaultAction": "SCMP_ACT_ERRNO",
                "architectures": architectures(),
                "syscalls": [{"names": needed(), "action": "SCMP_ACT_ALLOW"}],
            });
            with(t, seccomp)?.does(&[&call(1)]).observe()?.fails(&call(1), &[errno::EPERM])?;
        }

        /// A bit of the argument is looked at.
        ["seccomp.args.op", "seccomp.args.value-two"]
        fn the_operator_masked_eq_compares_some_bits(t) {
            let args = json!([{"index": 0, "op": "SCMP_CMP_MASKED_EQ", "value": 2, "valueTwo": 2}]);
            equal("errors for 1, 2, 3", under(t, args, &[1, 2, 3])?, [0, 77, 77])?;
        }

        /// The upper half of an argument counts.
        ["seccomp.args.value"]
        fn all_64_bits_of_an_argument_are_compared(t) {
            let high = (1 << 32) + 1;
            equal("errors for 1, 2^32+1", under(t, condition(0, "SCMP_CMP_EQ", high), &[1, high])?, [0, 77])?;
        }

        /// A large number is not negative.
        ["seccomp.args.value", "seccomp.args.op"]
        fn arguments_are_compared_without_a_sign(t) {
            let args = condition(0, "SCMP_CMP_GT", 1 << 40);
            equal("errors for 1, 2^64-1", under(t, args, &[1, u64::MAX])?, [0, 77])?;
        }

        /// The second argument, which the kernel ignores for this call.
        ["seccomp.args.index"]
        fn the_index_chooses_the_argument(t) {
            let mut rule = rule("SCMP_ACT_ERRNO");
            rule["args"] = condition(1, "SCMP_CMP_EQ", 5);
            let (no, yes) = (format!("{} 4", call(1)), format!("{} 5", call(1)));
            let seen = with(t, filter(json!([rule])))?.does(&[&no, &yes]).observe()?;
            seen.value(&no)?;
            seen.fails(&yes, &[errno::EPERM])?;
        }

        /// All conditions of a rule must hold.
        ["seccomp.args"]
        fn all_conditions_of_a_rule_must_hold(t) {
            let mut rule = rule("SCMP_ACT_ERRNO");
            rule["args"] = json!([{"index": 0, "op": "SCMP_CMP_EQ", "value": 1}, {"index": 1, "op": "SCMP_CMP_EQ", "value": 5}]);
            let (one, both) = (format!("{} 4", call(1)), format!("{} 5", call(1)));
            let seen = with(t, filter(json!([rule])))?.does(&[&one, &both]).observe()?;
            seen.value(&one)?;
            seen.fails(&both, &[errno::EPERM])?;
        }

        /// Two rules for the same call: each is for its own argument.
        ["seccomp.args", "seccomp.names"]
        fn each_of_several_rules_holds_for_itself(t) {
            let one = |value: u64, errno: i32| {
                let mut rule = rule("SCMP_ACT_ERRNO");
                rule["args"] = condition(0, "SCMP_CMP_EQ", value);
                rule["errnoRet"] = json!(errno);
                rule
            };
            let actions = [call(0), call(1), call(2)];
            let actions: Vec<&str> = actions.iter().map(String::as_str).collect();
            let seen = with(t, filter(json!([one(1, 71), one(2, 72)])))?.does(&actions).observe()?;
            seen.value(actions[0])?;
            seen.fails(actions[1], &[71])?;
            seen.fails(actions[2], &[72])?;
        }

        /// Several names in one rule.
        ["seccomp.names"]
        fn a_rule_is_for_all_of_its_names(t) {
            let rule = json!({"names": ["sched_get_priority_min", NAME], "action": "SCMP_ACT_ERRNO"});
            let other = format!("syscall {} 1", libc::SYS_sched_get_priority_min);
            let seen = with(t, filter(json!([rule])))?.does(&[&call(1), &other]).observe()?;
            seen.fails(&call(1), &[errno::EPERM])?;
            seen.fails(&other, &[errno::EPERM])?;
        }

        /// The filter is there for children and after another `execve`.
        ["seccomp.default-action"]
        fn the_filter_stays_with_another_program(t) {
            let b = with(t, filter(json!([rule("SCMP_ACT_ERRNO")])))?;
            let args = json!(["/probe", "exec /probe report", "report"]);
            let seen = b.set("/process/args", args).observe()?;
            ensure!(seen.answers.len() == 1 || seen.report("/seccomp").is_ok(), "the second program did not report");
            same("Seccomp", seen.report("/seccomp")?, "2")?;
        }

        /// A user other than root, without no_new_privs.
        ["seccomp.default-action"]
        fn the_filter_is_loaded_for_another_user_without_no_new_privileges(t) {
            t.needs_root()?;
            let b = with(t, filter(json!([rule("SCMP_ACT_ERRNO")])))?.set("/process/noNewPrivileges", false);
            let b = b.set("/process/user", json!({"uid": 1000, "gid": 1000})).capabilities(&["bounding", "effective", "permitted"], &[]);
            let seen = b.does(&["report", &call(1)]).observe()?;
            seen.fails(&call(1), &[errno::EPERM])?;
            same("no_new_privs", seen.report("/no_new_privs")?, 0)?;
            same_set("effective", seen.report("/capabilities/effective")?, &json!([]))?;
        }

        /// A user other than root, with no_new_privs.
        ["seccomp.default-action", "process.no-new-privileges"]
        fn the_filter_is_loaded_for_another_user_with_no_new_privileges(t) {
            t.needs_root()?;
            let b = with(t, filter(json!([rule("SCMP_ACT_ERRNO")])))?.set("/process/noNewPrivileges", true);
            let seen = b.set("/process/user", json!({"uid": 1000, "gid": 1000})).does(&["report", &call(1)]).observe()?;
            seen.fails(&call(1), &[errno::EPERM])?;
            same("no_new_privs", seen.report("/no_new_privs")?, 1)?;
        }

        /// Root without no_new_privs has no more capabilities than the config says.
        ["seccomp.default-action", "process.capabilities.bounding"]
        fn a_filter_does_not_leave_more_capabilities(t) {
            let b = with(t, filter(json!([rule("SCMP_ACT_ERRNO")])))?.set("/process/noNewPrivileges", false);
            let seen = b.capabilities(&["bounding", "effective", "permitted"], &["CAP_KILL"]).observe()?;
            same_set("effective", seen.report("/capabilities/effective")?, &json!([5]))?;
            same_set("permitted", seen.report("/capabilities/permitted")?, &json!([5]))?;
        }

        /// In a user namespace.
        ["seccomp.default-action", "ns.user"]
        fn the_filter_is_loaded_in_a_user_namespace(t) {
            t.needs_root()?;
            let b = t.bundle()?.user_namespace(200_000)?.set("/linux/seccomp", filter(json!([rule("SCMP_ACT_ERRNO")])));
            b.does(&[&call(1)]).observe()?.fails(&call(1), &[errno::EPERM])?;
        }

        /// A filter that refuses calls which a runtime makes late: the program runs, or an error says why not, but nothing hangs.
        ["lifecycle.environment-error", "seccomp.default-action"]
        fn a_filter_against_the_runtimes_own_calls_is_no_trap(t) {
            let rule = json!({"names": ["sendmsg", "close", "chdir", "setresuid", "capset"], "action": "SCMP_ACT_ERRNO"});
            let (c, created) = with(t, filter(json!([rule])))?.try_create()?;
            if created.succeeded() && c.call("start", &[])?.succeeded() {
                c.finish()?;
            }
        }

        /// A filter that refuses `execve`: the program cannot be run, which is an error.
        ["lifecycle.environment-error", "start.program"]
        fn a_filter_against_execve_is_an_error(t) {
            let rule = json!({"names": ["execve", "execveat"], "action": "SCMP_ACT_ERRNO"});
            with(t, filter(json!([rule])))?.never_runs()?;
        }

        /// All architectures of the machine's family together.
        ["seccomp.architectures"]
        fn several_architectures_are_taken(t) {
            let mut filter = filter(json!([rule("SCMP_ACT_ERRNO")]));
            filter["architectures"] = if cfg!(target_arch = "aarch64") {
                json!(["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"])
            } else {
                json!(["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"])
            };
            with(t, filter)?.does(&[&call(1)]).observe()?.fails(&call(1), &[errno::EPERM])?;
        }

        /// No architectures: that of the machine.
        ["seccomp.architectures"]
        fn without_architectures_that_of_the_machine_is_meant(t) {
            let mut filter = filter(json!([rule("SCMP_ACT_ERRNO")]));
            filter.as_object_mut().context("filter")?.remove("architectures");
            with(t, filter)?.does(&[&call(1)]).observe()?.fails(&call(1), &[errno::EPERM])?;
        }

        /// An architecture that does not exist.
        ["seccomp.architectures", "valid-values"]
        fn an_unknown_architecture_is_refused(t) {
            let mut filter = filter(json!([rule("SCMP_ACT_ERRNO")]));
            filter["architectures"] = json!(["SCMP_ARCH_NO_SUCH"]);
            with(t, filter)?.never_runs()?;
        }

        /// An action that does not exist.
        ["seccomp.action", "valid-values"]
        fn an_unknown_action_is_refused(t) {
            with(t, filter(json!([rule("SCMP_ACT_NO_SUCH")])))?.never_runs()?;
        }

        /// A default action that does not exist.
        ["seccomp.default-action", "valid-values"]
        fn an_unknown_default_action_is_refused(t) {
            with(t, json!({"defaultAction": "SCMP_ACT_NO_SUCH"}))?.never_runs()?;
        }

        /// No default action.
        ["seccomp.default-action", "valid-values"]
        fn a_missing_default_action_is_refused(t) {
            with(t, json!({"architectures": architectures(), "syscalls": [rule("SCMP_ACT_ERRNO")]}))?.never_runs()?;
        }

        /// An operator that does not exist.
        ["seccomp.args.op", "valid-values"]
        fn an_unknown_operator_is_refused(t) {
            let mut rule = rule("SCMP_ACT_ERRNO");
            rule["args"] = condition(0, "SCMP_CMP_NO_SUCH", 1);
            with(t, filter(json!([rule])))?.never_runs()?;
        }

        /// A seventh argument.
        ["seccomp.args.index", "valid-values"]
        fn an_argument_that_no_call_has_is_refused(t) {
            let mut rule = rule("SCMP_ACT_ERRNO");
            rule["args"] = condition(6, "SCMP_CMP_EQ", 1);
            with(t, filter(json!([rule])))?.never_runs()?;
        }

        /// A flag that does not exist.
        ["seccomp.flags", "valid-values"]
        fn an_unknown_seccomp_flag_is_refused(t) {
            let mut filter = filter(json!([rule("SCMP_ACT_ERRNO")]));
            filter["flags"] = json!(["SECCOMP_FILTER_FLAG_NO_SUCH"]);
            with(t, filter)?.never_runs()?;
        }

        /// A rule without names.
        ["seccomp.names"]
        fn a_rule_without_names_is_refused(t) {
            with(t, filter(json!([{"names": [], "action": "SCMP_ACT_ERRNO"}])))?.never_runs()?;
        }

        /// A number for an action that takes none.
        ["seccomp.errno.unsupported"]
        fn a_number_for_an_action_without_one_is_refused(t) {
            let mut rule = rule("SCMP_ACT_KILL");
            rule["errnoRet"] = json!(5);
            with(t, filter(json!([rule])))?.never_runs()?;
        }

        /// A default number for a default action that takes none.
        ["seccomp.errno.unsupported", "seccomp.default-errno"]
        fn a_default_number_for_an_action_without_one_is_refused(t) {
            let mut filter = filter(json!([rule("SCMP_ACT_ERRNO")]));
            filter["defaultErrnoRet"] = json!(5);
            with(t, filter)?.never_runs()?;
        }
    }
}
