//! What a config may not say.

use super::{filter, try_filter};
use crate::config::parse;
use crate::process::seccomp::Filter;

fn refused(json: &str) -> String {
    try_filter(json).unwrap_err().to_string()
}

fn refused_rule(rule: &str) -> String {
    refused(&format!(r#"{{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{{"names":["getpid"],{rule}}}]}}"#))
}

#[test]
fn an_empty_object_is_no_filter() {
    assert_eq!(try_filter("{}").unwrap(), None);
    assert_eq!(try_filter(r#"{"architectures":["SCMP_ARCH_X86"],"syscalls":[]}"#).unwrap(), None);
    assert_eq!(refused(r#"{"syscalls":[{}]}"#), "linux.seccomp.defaultAction: missing");
}

#[test]
fn unknown_words_are_refused_with_their_place() {
    assert_eq!(refused(r#"{"defaultAction":"ALLOW"}"#), "linux.seccomp.defaultAction: unknown action ALLOW");
    assert_eq!(refused_rule(r#""args":[]"#), "linux.seccomp.syscalls[0].action: missing");
    assert_eq!(refused_rule(r#""action":"X""#), "linux.seccomp.syscalls[0].action: unknown action X");
    let args = r#""action":"SCMP_ACT_LOG","args":[{"op":"SCMP_CMP_EQ"},{"index":1,"op":"=="}]"#;
    assert_eq!(refused_rule(args), "linux.seccomp.syscalls[0].args[1].op: unknown operator ==");
    let architectures = r#"{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_ARM","SCMP_ARCH_VAX"]}"#;
    assert_eq!(refused(architectures), "linux.seccomp.architectures[1]: unknown architecture SCMP_ARCH_VAX");
    let flags = r#"{"defaultAction":"SCMP_ACT_ALLOW","flags":["SECCOMP_FILTER_FLAG_NEW_LISTENER"]}"#;
    assert_eq!(refused(flags), "linux.seccomp.flags[0]: unknown flag SECCOMP_FILTER_FLAG_NEW_LISTENER");
}

#[test]
fn a_seventh_argument_is_refused() {
    let text = refused_rule(r#""action":"SCMP_ACT_LOG","args":[{"index":6,"op":"SCMP_CMP_EQ"}]"#);
    assert_eq!(text, "linux.seccomp.syscalls[0].args[0].index: 6 is more than 5: calls have six arguments");
}

#[test]
fn an_error_number_is_refused_where_the_action_takes_none_or_the_kernel_would_change_it() {
    for action in ["KILL", "KILL_PROCESS", "KILL_THREAD", "ALLOW", "LOG", "NOTIFY"] {
        let text = refused_rule(&format!(r#""action":"SCMP_ACT_{action}","errnoRet":1"#));
        let expected = format!("linux.seccomp.syscalls[0].errnoRet: SCMP_ACT_{action} takes no error number");
        assert_eq!(text, expected);
    }
    let default = refused(r#"{"defaultAction":"SCMP_ACT_ALLOW","defaultErrnoRet":1}"#);
    assert_eq!(default, "linux.seccomp.defaultErrnoRet: SCMP_ACT_ALLOW takes no error number");
    let large = refused_rule(r#""action":"SCMP_ACT_ERRNO","errnoRet":4096"#);
    assert_eq!(large, "linux.seccomp.syscalls[0].errnoRet: 4096 is more than 4095");
    let larger = refused_rule(r#""action":"SCMP_ACT_TRACE","errnoRet":65536"#);
    assert_eq!(larger, "linux.seccomp.syscalls[0].errnoRet: 65536 is more than 65535");
}

#[test]
fn a_flag_that_the_kernel_lacks_is_refused_and_not_set_by_itself() {
    let json = super::document(r#"{"defaultAction":"SCMP_ACT_ALLOW","flags":["SECCOMP_FILTER_FLAG_LOG"]}"#);
    let text = Filter::parse(&super::seccomp(parse(&json).unwrap()), 0).unwrap_err().to_string();
    assert_eq!(text, "linux.seccomp.flags[0]: this kernel does not support SECCOMP_FILTER_FLAG_LOG");
    let json = super::document(r#"{"defaultAction":"SCMP_ACT_ALLOW"}"#);
    assert_eq!(Filter::parse(&super::seccomp(parse(&json).unwrap()), 0).unwrap().unwrap().flags, 0);
}

#[test]
fn a_listener_is_needed_for_notify_and_only_then_looked_at() {
    let rule = |action: &str| format!(r#""syscalls":[{{"names":["getpid"],"action":"{action}"}}]"#);
    let notify = rule("SCMP_ACT_NOTIFY");
    let text = refused(&format!(r#"{{"defaultAction":"SCMP_ACT_ALLOW",{notify}}}"#));
    assert_eq!(text, "linux.seccomp.listenerPath: missing: SCMP_ACT_NOTIFY needs it");
    let text = refused(&format!(r#"{{"defaultAction":"SCMP_ACT_ALLOW","listenerMetadata":"x",{notify}}}"#));
    assert_eq!(text, "linux.seccomp.listenerMetadata: set without listenerPath");
    let unused = rule("SCMP_ACT_LOG");
    let filter = filter(&format!(r#"{{"defaultAction":"SCMP_ACT_ALLOW","listenerPath":"/x",{unused}}}"#));
    assert_eq!(filter.notify, None);
}

#[test]
fn a_filter_that_the_kernel_cannot_take_is_refused() {
    let rules: Vec<String> = (0..2000)
        .map(|n| format!(r#"{{"names":["read"],"action":"SCMP_ACT_LOG","args":[{{"value":{n},"op":"SCMP_CMP_EQ"}}]}}"#))
        .collect();
    let text = refused(&format!(r#"{{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{}]}}"#, rules.join(",")));
    assert!(text.starts_with("linux.seccomp: the filter needs "), "{text}");
}
