//! What a filter does, case by case. Numbers are those of x86_64, so the cases are.

#![cfg(target_arch = "x86_64")]

use super::{X86, X86_64, answer, filter};
use crate::process::seccomp::Action;

const GETPID: u32 = 39;
const X32: u32 = 0x4000_0000;
const EPERM: Action = Action::errno(1);

fn one_rule(default: &str, rule: &str) -> super::Filter {
    filter(&format!(r#"{{"defaultAction":"SCMP_ACT_{default}","syscalls":[{{"names":["getpid"],{rule}}}]}}"#))
}

#[test]
fn every_action_is_answered_as_the_kernel_spells_it() {
    for (action, word) in [
        (r#""SCMP_ACT_KILL""#, 0),
        (r#""SCMP_ACT_KILL_THREAD""#, 0),
        (r#""SCMP_ACT_KILL_PROCESS""#, 0x8000_0000),
        (r#""SCMP_ACT_TRAP""#, 0x0003_0000),
        (r#""SCMP_ACT_TRAP","errnoRet":7"#, 0x0003_0007),
        (r#""SCMP_ACT_ERRNO""#, 0x0005_0001),
        (r#""SCMP_ACT_ERRNO","errnoRet":0"#, 0x0005_0000),
        (r#""SCMP_ACT_ERRNO","errnoRet":38"#, 0x0005_0026),
        (r#""SCMP_ACT_TRACE""#, 0x7ff0_0001),
        (r#""SCMP_ACT_TRACE","errnoRet":65535"#, 0x7ff0_ffff),
        (r#""SCMP_ACT_LOG""#, 0x7ffc_0000),
    ] {
        let filter = one_rule("ALLOW", &format!(r#""action":{action}"#));
        assert_eq!(answer(&filter, X86_64, GETPID, &[]), Action(word), "{action}");
        assert_eq!(answer(&filter, X86_64, GETPID + 1, &[]), Action::ALLOW);
    }
}

#[test]
fn every_operator_compares_all_64_bits() {
    const V: u64 = 0x1_0000_0005;
    let values = [0, 4, 5, 6, V - 1, V, V + 1, V | 1 << 63, 0x2_0000_0005, 0x2_0000_0000, 1 << 32, u64::MAX];
    type Holds = fn(u64) -> bool;
    let operators: [(&str, Holds); 7] = [
        ("EQ", |a| a == V),
        ("NE", |a| a != V),
        ("LT", |a| a < V),
        ("LE", |a| a <= V),
        ("GT", |a| a > V),
        ("GE", |a| a >= V),
        ("MASKED_EQ", |a| a & V == 1),
    ];
    for (op, holds) in operators {
        let arg = format!(r#""args":[{{"index":3,"value":{V},"valueTwo":1,"op":"SCMP_CMP_{op}"}}]"#);
        let filter = one_rule("ALLOW", &format!(r#""action":"SCMP_ACT_ERRNO",{arg}"#));
        for value in values {
            let expected = if holds(value) { EPERM } else { Action::ALLOW };
            assert_eq!(answer(&filter, X86_64, GETPID, &[9, 9, 9, value]), expected, "{op} {value:#x}");
        }
    }
}

#[test]
fn conditions_on_different_arguments_must_hold_together_and_on_the_same_one_alone() {
    let args = |second: u32| {
        let args = r#""args":[{"index":0,"value":5,"op":"SCMP_CMP_EQ"},{"index":INDEX,"value":6,"op":"SCMP_CMP_EQ"}]"#;
        one_rule("ALLOW", &format!(r#""action":"SCMP_ACT_ERRNO",{}"#, args.replace("INDEX", &second.to_string())))
    };
    let both = args(1);
    assert_eq!(answer(&both, X86_64, GETPID, &[5, 6]), EPERM);
    assert_eq!(answer(&both, X86_64, GETPID, &[5, 5]), Action::ALLOW);
    let either = args(0);
    assert_eq!(answer(&either, X86_64, GETPID, &[5]), EPERM);
    assert_eq!(answer(&either, X86_64, GETPID, &[6]), EPERM);
    assert_eq!(answer(&either, X86_64, GETPID, &[7]), Action::ALLOW);
}

#[test]
fn the_first_rule_without_conditions_decides_alone() {
    let eq = r#""args":[{"index":0,"value":5,"op":"SCMP_CMP_EQ"}]"#;
    let rules = [
        format!(r#"{{"names":["getpid"],"action":"SCMP_ACT_KILL",{eq}}}"#),
        r#"{"names":["getpid"],"action":"SCMP_ACT_LOG"}"#.into(),
        r#"{"names":["getpid"],"action":"SCMP_ACT_ERRNO"}"#.into(),
    ];
    let filter = filter(&format!(r#"{{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{}]}}"#, rules.join(",")));
    assert_eq!(answer(&filter, X86_64, GETPID, &[5]), Action::LOG);
}

#[test]
fn of_conditions_that_hold_at_once_the_strictest_decides() {
    let rule = |action: &str, index: u32| {
        let args = format!(r#""args":[{{"index":{index},"value":5,"op":"SCMP_CMP_EQ"}}]"#);
        format!(r#"{{"names":["getpid"],"action":"SCMP_ACT_{action}",{args}}}"#)
    };
    let (log, kill) = (rule("LOG", 0), rule("KILL_PROCESS", 1));
    for rules in [[&*log, &kill], [&kill, &log]] {
        let filter = filter(&format!(r#"{{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{}]}}"#, rules.join(",")));
        assert_eq!(answer(&filter, X86_64, GETPID, &[5, 5]), Action::KILL_PROCESS);
        assert_eq!(answer(&filter, X86_64, GETPID, &[5, 4]), Action::LOG);
        assert_eq!(answer(&filter, X86_64, GETPID, &[4, 4]), Action::ALLOW);
    }
}

#[test]
fn a_call_newer_than_the_profile_does_not_exist() {
    for default in ["ERRNO", "KILL", "KILL_PROCESS", "TRAP"] {
        let filter = one_rule(default, r#""action":"SCMP_ACT_ALLOW""#);
        assert_eq!(answer(&filter, X86_64, GETPID, &[]), Action::ALLOW);
        assert_eq!(answer(&filter, X86_64, GETPID + 1, &[]), Action::ENOSYS);
        assert_ne!(answer(&filter, X86_64, GETPID - 1, &[]), Action::ENOSYS);
    }
    for default in ["LOG", "TRACE"] {
        let filter = one_rule(default, r#""action":"SCMP_ACT_ERRNO""#);
        assert_ne!(answer(&filter, X86_64, GETPID + 1, &[]), Action::ENOSYS, "{default}");
    }
}

#[test]
fn a_rule_that_says_what_the_default_says_still_names_its_calls() {
    let filter = one_rule("ERRNO", r#""action":"SCMP_ACT_ERRNO""#);
    assert_eq!(answer(&filter, X86_64, GETPID, &[]), EPERM);
    assert_eq!(answer(&filter, X86_64, GETPID + 1, &[]), Action::ENOSYS);
}

#[test]
fn architectures_that_are_not_listed_are_killed() {
    let alone = one_rule("ALLOW", r#""action":"SCMP_ACT_ERRNO""#);
    assert_eq!(answer(&alone, X86, 20, &[]), Action::KILL_THREAD);
    assert_eq!(answer(&alone, X86_64, X32 | GETPID, &[]), Action::KILL_THREAD);
    assert_eq!(answer(&alone, X86_64, u32::MAX - 1, &[]), Action::KILL_THREAD);
    assert_eq!(answer(&alone, X86_64, u32::MAX, &[]), Action::ALLOW);
    assert_eq!(answer(&alone, 0xc000_00b7, 0, &[]), Action::KILL_THREAD);
}

#[test]
fn architectures_that_are_listed_have_their_own_numbers() {
    let filter = filter(
        r#"{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86","SCMP_ARCH_X32","SCMP_ARCH_PPC"],
            "syscalls":[{"names":["getpid","rt_sigaction","_llseek"],"action":"SCMP_ACT_ERRNO"}]}"#,
    );
    for (architecture, number) in
        [(X86_64, GETPID), (X86, 20), (X86_64, X32 | GETPID), (X86_64, 13), (X86, 174), (X86_64, X32 | 512), (X86, 140)]
    {
        assert_eq!(answer(&filter, architecture, number, &[]), EPERM, "{architecture:#x} {number:#x}");
    }
    assert_eq!(answer(&filter, X86_64, X32 | 13, &[]), Action::ALLOW);
}

#[test]
fn a_rule_for_a_socket_call_also_holds_through_socketcall() {
    let filter = filter(
        r#"{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86"],"syscalls":[
            {"names":["socket","recv"],"action":"SCMP_ACT_ERRNO"}, {"names":["semget"],"action":"SCMP_ACT_LOG"}]}"#,
    );
    assert_eq!(answer(&filter, X86, 359, &[]), EPERM);
    assert_eq!(answer(&filter, X86, 102, &[1]), EPERM);
    assert_eq!(answer(&filter, X86, 102, &[10]), EPERM);
    assert_eq!(answer(&filter, X86, 102, &[2]), Action::ALLOW);
    assert_eq!(answer(&filter, X86, 117, &[2]), Action::LOG);
    assert_eq!(answer(&filter, X86_64, 41, &[]), EPERM);
}

#[test]
fn a_name_that_no_kernel_knows_is_a_warning() {
    let filter = one_rule("ERRNO", r#""names":["frobnicate"],"action":"SCMP_ACT_ALLOW""#);
    let text = r#"linux.seccomp.syscalls[0].names[0]: no system call "frobnicate" is known for this architecture"#;
    assert_eq!(filter.warnings, [text]);
    assert_eq!(answer(&filter, X86_64, GETPID, &[]), EPERM);
}

#[test]
fn flags_are_those_of_the_kernel() {
    let flags = |more: &str| filter(&format!(r#"{{"defaultAction":"SCMP_ACT_ALLOW"{more}}}"#)).flags;
    assert_eq!(flags(""), 4);
    assert_eq!(flags(r#","flags":null"#), 4);
    assert_eq!(flags(r#","flags":[]"#), 0);
    let all = r#","flags":["SECCOMP_FILTER_FLAG_TSYNC","SECCOMP_FILTER_FLAG_LOG","SECCOMP_FILTER_FLAG_SPEC_ALLOW",
        "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]"#;
    assert_eq!(flags(all), 1 | 2 | 4);
    let notify = r#","listenerPath":"/agent.sock","syscalls":[{"names":["read"],"action":"SCMP_ACT_NOTIFY"}]"#;
    assert_eq!(flags(&format!("{all}{notify}")), 1 | 2 | 4 | 8 | 16 | 32);
    assert_eq!(flags(&format!(r#","flags":[]{notify}"#)), 8);
}

#[test]
fn the_listener_is_handed_on() {
    let filter = filter(
        r#"{"defaultAction":"SCMP_ACT_NOTIFY","listenerPath":"/run/agent.sock","listenerMetadata":"MKNOD=/dev/null"}"#,
    );
    let listener = filter.notify.unwrap();
    assert_eq!((&*listener.path, &*listener.metadata), ("/run/agent.sock", "MKNOD=/dev/null"));
}

#[test]
fn a_needed_call_that_is_not_just_done_is_found() {
    let filter = one_rule("ALLOW", r#""action":"SCMP_ACT_TRACE""#);
    assert_eq!(filter.check(&[(0, [0; 6]), (1, [0; 6])]), Ok(()));
    assert_eq!(filter.check(&[(0, [0; 6]), (GETPID, [0; 6])]), Err((GETPID, Action(0x7ff0_0001))));
}
