//! `linux.seccomp`, but for the listener.
//!
//! The call that is filtered is `sched_get_priority_max`: nothing else in the container needs it, it takes one number, and
//! what it gives for each is known (99 for SCHED_FIFO and SCHED_RR, 0 for SCHED_OTHER).

mod rules;

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
    all.extend(rules::cases());
    all
}
