//! What a profile says about a call, worked out in the plainest way: no ranges, no programs, nothing in common with the
//! generator but the tables.

#![cfg(target_arch = "x86_64")]

use super::{X86, X86_64};
use crate::config::{Seccomp, Syscall, SyscallArg};
use crate::process::seccomp::action::Place;
use crate::process::seccomp::tables::x86::ROWS;
use crate::process::seccomp::{Action, Call, multiplex};

const X32: u32 = 0x4000_0000;

pub(in crate::process::seccomp) fn answer(seccomp: &Seccomp<'_>, call: &Call) -> Action {
    let default = action(seccomp.default_action.as_ref().unwrap(), seccomp.default_errno_ret);
    let listed = |name: &str| seccomp.architectures.iter().flatten().any(|architecture| *architecture == name);
    let abi = match (call.architecture, call.number) {
        (X86_64, ..X32) => 0,
        (X86_64, _) if listed("SCMP_ARCH_X32") => 2,
        (X86_64, u32::MAX) => return default,
        (X86, _) if listed("SCMP_ARCH_X86") => 1,
        _ => return Action::KILL_THREAD,
    };
    let mut newest = None;
    let mut conditional: Option<Action> = None;
    for syscall in seccomp.syscalls.iter().flatten() {
        let rule = action(syscall.action.as_ref().unwrap(), syscall.errno_ret);
        for name in syscall.names.iter().flatten() {
            let direct = number(name, abi);
            let through = multiplex::selector(name).filter(|_| abi == 1);
            let through = through.map(|(multiplexer, selector)| (number(multiplexer, abi).unwrap(), selector));
            newest = newest.max(direct).max(through.map(|(number, _)| number));
            let direct = direct == Some(call.number);
            let selected = through == Some((call.number, call.arguments[0] as u32));
            if rule == default || !(direct || selected) {
                continue;
            }
            if syscall.args.iter().flatten().count() == 0 && direct {
                return rule;
            }
            if holds(syscall, call, abi, selected) {
                conditional = Some(conditional.map_or(rule, |other| stricter(other, rule)));
            }
        }
    }
    conditional.unwrap_or(match newest {
        Some(newest) if call.number > newest && !default.permits() && call.number != u32::MAX => {
            let beyond = abi != 2 && call.number >= X32;
            if beyond { default } else { Action::ENOSYS }
        }
        _ => default,
    })
}

fn action(name: &str, errno: Option<u32>) -> Action {
    Action::parse(name, errno, &Place::Default).unwrap()
}

fn number(name: &str, abi: usize) -> Option<u32> {
    let at = ROWS.binary_search_by(|row| row.0.cmp(name)).ok()?;
    let number = ROWS[at].1[abi];
    (number != u16::MAX).then(|| u32::from(number) + if abi == 2 { X32 } else { 0 })
}

fn stricter(one: Action, other: Action) -> Action {
    if other.strictness() < one.strictness() { other } else { one }
}

fn holds(syscall: &Syscall<'_>, call: &Call, abi: usize, selected: bool) -> bool {
    let args = syscall.args.as_deref().unwrap_or_default();
    let one = |arg: &SyscallArg<'_>| {
        let index = arg.index.unwrap();
        selected && index == 0 || compare(arg, call.arguments[index as usize], abi)
    };
    let mut indices: Vec<_> = args.iter().map(|arg| arg.index).collect();
    indices.sort_unstable();
    indices.dedup();
    if indices.len() == args.len() { args.iter().all(one) } else { args.iter().any(one) }
}

fn compare(arg: &SyscallArg<'_>, argument: u64, abi: usize) -> bool {
    let width = if abi == 0 { u64::MAX } else { u64::from(u32::MAX) };
    let (argument, value) = (argument & width, arg.value.unwrap() & width);
    match &arg.op.as_ref().unwrap()[9..] {
        "NE" => argument != value,
        "LT" => argument < value,
        "LE" => argument <= value,
        "EQ" => argument == value,
        "GE" => argument >= value,
        "GT" => argument > value,
        _ => argument & value == arg.value_two.unwrap() & value,
    }
}
