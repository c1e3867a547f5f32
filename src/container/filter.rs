//! The seccomp filter of a container, for this kernel and for orlop's own code that runs under it.

use super::annotations;
use crate::config::{Seccomp, Spec};
use crate::error::{Error, Kind, Result};
use crate::log;
use crate::process::seccomp::{FLAGS, Filter};
use crate::sys::filter::knows_flag;

/// The filter of `spec`: that of an annotation, which replaces `linux.seccomp` as with crun, or
/// that of `linux.seccomp`. Rules without effect are in the debug log.
///
/// # Errors
/// Those of [`Filter::parse`] and [`Filter::from_base64`]; the name of an unknown system call, if
/// an annotation asks for that.
pub(crate) fn of(spec: &Spec<'_>) -> Result<Option<Filter>> {
    if let Some(text) = annotations::filter(spec) {
        let filter = Filter::from_base64(text).map_err(|problem| annotations::refuse(annotations::FILTER, &problem))?;
        return Ok(Some(filter));
    }
    let Some(seccomp) = asked(spec) else { return Ok(None) };
    let flags = FLAGS.iter().filter(|(_, flag)| knows_flag(*flag)).fold(0, |all, (_, flag)| all | flag);
    let filter = Filter::parse(seccomp, flags)?;
    let fails = annotations::unknown_calls_fail(spec)?;
    for warning in filter.iter().flat_map(|filter| &filter.warnings) {
        if fails {
            return Err(Error::new(Kind::Config, warning.as_str())
                .hint(format!("the annotation {} makes this an error", annotations::UNKNOWN_CALLS)));
        }
        log::debug(|| warning.clone());
    }
    Ok(filter)
}

/// The filter of `spec` if it may have a listener, as `start` needs it.
///
/// # Errors
/// As [`of`].
pub(super) fn with_listener(spec: &Spec<'_>) -> Result<Option<Filter>> {
    let notifies = |seccomp: &Seccomp<'_>| {
        let rules = seccomp.syscalls.iter().flatten().map(|syscall| &syscall.action);
        rules.chain([&seccomp.default_action]).any(|action| action.as_deref() == Some("SCMP_ACT_NOTIFY"))
    };
    if annotations::filter(spec).is_none() && asked(spec).is_some_and(notifies) { of(spec) } else { Ok(None) }
}

/// The profile that the filter is generated from; none where an annotation gives the program.
pub(crate) fn asked_profile<'s, 'a>(spec: &'s Spec<'a>) -> Option<&'s Seccomp<'a>> {
    if annotations::filter(spec).is_some() { None } else { asked(spec) }
}

fn asked<'s, 'a>(spec: &'s Spec<'a>) -> Option<&'s Seccomp<'a>> {
    spec.linux.as_ref()?.seccomp.as_ref()
}

/// Checks that the filter allows the system calls of the reaping init, which runs under it
/// (`src/init/shim.rs`).
///
/// # Errors
/// A call that the filter does not simply allow.
pub(super) fn check_init(filter: &Filter) -> Result<()> {
    const ANY_CHILD: u64 = u64::MAX;
    let needed = [
        ("rt_sigtimedwait", libc::SYS_rt_sigtimedwait, [0, 0, 0, 8, 0, 0]),
        ("wait4", libc::SYS_wait4, [ANY_CHILD, 0, libc::WNOHANG as u64, 0, 0, 0]),
        ("kill", libc::SYS_kill, [2, libc::SIGTERM as u64, 0, 0, 0, 0]),
        ("exit_group", libc::SYS_exit_group, [0; 6]),
    ];
    for (name, number, arguments) in needed {
        if filter.check(&[(number as u32, arguments)]).is_err() {
            return Err(Error::config("linux.seccomp", format!("refuses {name}, which the reaping init needs"))
                .hint("allow it, or do without --init and orlop.init"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;

    fn document(default: &str, names: &str) -> String {
        let rule = format!(r#"{{"names":[{names}],"action":"SCMP_ACT_ALLOW"}}"#);
        format!(r#"{{"linux":{{"seccomp":{{"defaultAction":"{default}","syscalls":[{rule}]}}}}}}"#)
    }

    #[test]
    fn a_filter_under_which_the_reaping_init_cannot_work_is_refused() {
        let json = document("SCMP_ACT_ERRNO", r#""rt_sigtimedwait","wait4","exit_group""#);
        let filter = of(&parse(&json).unwrap()).unwrap().unwrap();
        let text = check_init(&filter).unwrap_err().to_string();
        assert!(text.starts_with("linux.seccomp: refuses kill, which the reaping init needs"), "{text}");
        let json = document("SCMP_ACT_LOG", r#""read""#);
        check_init(&of(&parse(&json).unwrap()).unwrap().unwrap()).unwrap();
    }

    #[test]
    fn only_a_filter_that_notifies_is_worked_out_again_at_start() {
        let json = document("SCMP_ACT_ERRNO", r#""read""#);
        assert_eq!(with_listener(&parse(&json).unwrap()).unwrap(), None);
        let json = json.replace("SCMP_ACT_ALLOW", "SCMP_ACT_NOTIFY").replace(r#""def"#, r#""listenerPath":"/x","def"#);
        assert!(with_listener(&parse(&json).unwrap()).unwrap().unwrap().notify.is_some());
    }
}
