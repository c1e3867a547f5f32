//! Our programs against libseccomp's and seccompiler's: what they answer, call by call.

#![cfg(target_arch = "x86_64")]

use std::collections::BTreeMap;
use std::path::Path;

use seccompiler::{SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule};

use super::oracle::Libseccomp;
use super::{X86, X86_64, model, seccomp};
use crate::config::{Seccomp, Syscall, SyscallArg, parse};
use crate::process::seccomp::tables::x86::ROWS;
use crate::process::seccomp::{ACTIONS, Action, Call, Filter, OPERATORS, SockFilter, all_flags, run};

const X32: u32 = 0x4000_0000;

#[test]
fn the_profiles_of_engines_are_answered_as_by_libseccomp() {
    let Some(mut libseccomp) = Libseccomp::start() else { return };
    for engine in ["docker", "docker-sys-admin", "containerd", "podman"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("src/config/testdata/engines/{engine}.json"));
        let json = std::fs::read_to_string(path).unwrap();
        let mut seccomp = seccomp(parse(&json).unwrap());
        let unknown = leave_known(&mut seccomp, &mut libseccomp);
        let theirs = libseccomp.program(&seccomp).unwrap();
        let ours = Filter::parse(&seccomp, all_flags()).unwrap().unwrap();
        let lengths = (ours.program.len(), theirs.len());
        eprintln!("{engine}: {} instructions, libseccomp {}; not known to it: {unknown:?}", lengths.0, lengths.1);
        let numbers: Vec<u32> = (0..700).chain([0xf_0001, X32 - 1]).collect();
        let mut pair = Pair::new(&ours, &theirs, &seccomp);
        pair.compare(&calls(&numbers, &arguments(&seccomp)));
        assert_eq!(pair.different, 0);
    }
}

#[test]
fn random_profiles_are_answered_as_they_say() {
    let known: Vec<&str> = ROWS.iter().map(|row| row.0).collect();
    let mut random = Random(0xf00d);
    for round in 0..50 {
        let seccomp = profile(&mut random, &known, round % 2 == 1, false);
        let ours = Filter::parse(&seccomp, all_flags()).unwrap().unwrap();
        for call in calls(&named(&seccomp), &arguments(&seccomp)) {
            let expected = model::answer(&seccomp, &call);
            assert_eq!(ours.answer(&call), expected, "{call:#x?} {seccomp:#?}");
        }
    }
}

#[test]
fn random_profiles_are_answered_as_by_libseccomp() {
    let Some(mut libseccomp) = Libseccomp::start() else { return };
    let mut knows = |name: &str, architecture: &str, number: u16| {
        number == u16::MAX || multiplexed(name) || libseccomp.number(architecture, name) >= 0
    };
    let known = ROWS.iter().filter(|(name, [x86_64, x86, x32])| {
        knows(name, "x86_64", *x86_64) && knows(name, "x86", *x86) && knows(name, "x32", *x32)
    });
    let known: Vec<&str> = known.map(|row| row.0).collect();
    let mut random = Random(0x5eed);
    let (mut compared, mut refused, mut different) = (0, 0, 0);
    for round in 0..1000 {
        // Of several rules for one call libseccomp follows one or, now and then, none; then what the rules say decides.
        let overlapping = round % 2 == 1;
        let seccomp = profile(&mut random, &known, overlapping, true);
        let Some(theirs) = libseccomp.program(&seccomp) else {
            refused += 1;
            continue;
        };
        let ours = Filter::parse(&seccomp, all_flags()).unwrap().unwrap();
        let mut pair = Pair::new(&ours, &theirs, &seccomp);
        pair.compare(&calls(&named(&seccomp), &arguments(&seccomp)));
        assert!(overlapping || pair.different == 0, "{seccomp:#?}");
        different += pair.different;
        compared += 1;
    }
    eprintln!("{compared} profiles compared, {refused} refused by libseccomp, {different} answers differ");
    assert!(compared > 900);
}

#[test]
fn random_profiles_are_answered_as_by_seccompiler() {
    let known: Vec<&str> = ROWS.iter().filter(|row| row.1[0] != u16::MAX).map(|row| row.0).collect();
    let mut random = Random(0xb0a7);
    for _ in 0..1000 {
        let mut seccomp = profile(&mut random, &known, false, true);
        seccomp.architectures = None;
        // It has one action for all rules.
        let action = seccomp.syscalls.as_ref().unwrap()[0].action.clone();
        seccomp.syscalls.iter_mut().flatten().for_each(|syscall| {
            syscall.action = action.clone();
            syscall.errno_ret = None;
        });
        let Some(theirs) = seccompiler_program(&seccomp) else { continue };
        let ours = Filter::parse(&seccomp, all_flags()).unwrap().unwrap();
        let mut pair = Pair::new(&ours, &theirs, &seccomp);
        let mut calls = calls(&named(&seccomp), &arguments(&seccomp));
        calls.retain(|call| call.architecture == X86_64 && call.number < X32);
        pair.compare(&calls);
        assert_eq!(pair.different, 0);
    }
}

/// Two programs for one profile.
struct Pair<'a> {
    ours: &'a Filter,
    theirs: &'a [SockFilter],
    seccomp: &'a Seccomp<'a>,
    default: Action,
    different: usize,
}

impl<'a> Pair<'a> {
    fn new(ours: &'a Filter, theirs: &'a [SockFilter], seccomp: &'a Seccomp<'a>) -> Self {
        let default = seccomp.default_action.as_ref().unwrap();
        let place = crate::process::seccomp::action::Place::Default;
        let default = Action::parse(default, seccomp.default_errno_ret, &place).unwrap();
        Self { ours, theirs, seccomp, default, different: 0 }
    }

    fn compare(&mut self, calls: &[Call]) {
        // From the end, so that it is known whether libseccomp's program has anything to say about a later number.
        let mut newest: BTreeMap<(u32, bool), u32> = BTreeMap::new();
        let answers: Vec<(Action, Action)> = calls.iter().map(|call| self.answers(call)).collect();
        for (call, (_, theirs)) in calls.iter().zip(&answers) {
            if *theirs != self.default && *theirs != Action::KILL_THREAD {
                let newest = newest.entry((call.architecture, call.number >= X32)).or_default();
                *newest = call.number.max(*newest);
            }
        }
        for (call, (ours, theirs)) in calls.iter().zip(answers) {
            let newest = newest.get(&(call.architecture, call.number >= X32)).copied().unwrap_or_default();
            if ours == theirs || (ours == Action::ENOSYS && theirs == self.default && call.number > newest) {
                continue;
            }
            self.different += 1;
            let said = model::answer(self.seccomp, call);
            assert_eq!(ours, said, "{call:x?}, libseccomp {theirs:x?}");
        }
    }

    fn answers(&self, call: &Call) -> (Action, Action) {
        (self.ours.answer(call), run(self.theirs, call).unwrap())
    }
}

/// Removes the names that the installed libseccomp is too old for, and returns them.
fn leave_known(seccomp: &mut Seccomp<'_>, libseccomp: &mut Libseccomp) -> Vec<String> {
    let mut unknown = Vec::new();
    for names in seccomp.syscalls.iter_mut().flatten().filter_map(|syscall| syscall.names.as_mut()) {
        names.retain(|name| {
            let known = libseccomp.number("x86_64", name) != -1;
            if !known {
                unknown.push(name.to_string());
            }
            known
        });
    }
    unknown
}

/// The numbers that the profile names, their neighbours, and some that nobody names.
fn named(seccomp: &Seccomp<'_>) -> Vec<u32> {
    let names = seccomp.syscalls.iter().flatten().flat_map(|syscall| syscall.names.iter().flatten());
    let rows = names.filter_map(|name| ROWS.iter().find(|row| row.0 == *name));
    let numbers = rows.flat_map(|row| row.1).filter(|&number| number != u16::MAX).map(u32::from);
    let mut numbers: Vec<u32> = numbers.flat_map(|number| [number, number + 1, number.saturating_sub(1)]).collect();
    numbers.extend([0, 102, 117, 1000, X32 - 1]);
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

/// Values at which the profile's conditions turn, in each of two arguments; and the selectors of multiplexers.
fn arguments(seccomp: &Seccomp<'_>) -> Vec<[u64; 6]> {
    let mut values = vec![0, 1, u64::MAX];
    for arg in seccomp.syscalls.iter().flatten().flat_map(|syscall| syscall.args.iter().flatten()) {
        for value in [arg.value, arg.value_two].into_iter().flatten() {
            values.extend([value, value.wrapping_add(1), value.wrapping_sub(1), value ^ 1 << 32, value & 0xffff_ffff]);
        }
    }
    values.sort_unstable();
    values.dedup();
    let uniform = values.iter().map(|&value| [value; 6]);
    let split = values.iter().enumerate().map(|(n, &value)| {
        let other = values[(n * 7 + 3) % values.len()];
        [value, other, value, other, value, other]
    });
    let selectors = (1..25).map(|selector| [selector, 5, 0, 0, 0, 0]);
    uniform.chain(split).chain(selectors).collect()
}

fn calls(numbers: &[u32], arguments: &[[u64; 6]]) -> Vec<Call> {
    let mut calls = Vec::new();
    for (architecture, bit) in [(X86_64, 0), (X86_64, X32), (X86, 0), (0xc000_00b7, 0)] {
        for &number in numbers {
            let number = number | bit;
            calls.extend(arguments.iter().map(|&arguments| Call { number, architecture, arguments }));
        }
    }
    calls.push(Call { number: u32::MAX, architecture: X86_64, arguments: [0; 6] });
    calls
}

/// xorshift64, so that each run tests the same.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as usize % end
    }

    fn one<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
}

/// Where rules name a call that a listed architecture lacks, libseccomp's program for it may not load the number, so that
/// no rule holds there; `on_each` leaves such calls out.
fn profile<'a>(random: &mut Random, names: &[&'a str], overlapping: bool, on_each: bool) -> Seccomp<'a> {
    let defaults = ["SCMP_ACT_ERRNO", "SCMP_ACT_ALLOW", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_LOG", "SCMP_ACT_TRAP"];
    let architectures = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"];
    let architectures: Vec<&str> = (0..random.below(4)).map(|_| random.one(&architectures)).collect();
    let mut names = names.to_vec();
    if on_each {
        let listed = [true, architectures.contains(&"SCMP_ARCH_X86"), architectures.contains(&"SCMP_ARCH_X32")];
        let lacks = |row: &[u16; 3]| listed.iter().zip(row).any(|(listed, number)| *listed && *number == u16::MAX);
        names.retain(|name| ROWS.iter().any(|row| row.0 == *name && !lacks(&row.1)));
    }
    let mut syscalls = Vec::new();
    for _ in 0..=random.below(12) {
        let name = if overlapping { random.one(&names[..40]) } else { names.swap_remove(random.below(names.len())) };
        let action = random.one(&ACTIONS[..8]).0.to_string();
        let errno_ret = (action == "SCMP_ACT_ERRNO" && random.below(2) == 0).then_some(38);
        let args = conditions(random, overlapping);
        // A condition on the first argument of a call that is multiplexed takes part in other calls' rules.
        let args = if multiplexed(name) { vec![] } else { args };
        let (names, args) = (Some(vec![name.into()]), Some(args));
        syscalls.push(Syscall { names, action: Some(action.into()), errno_ret, args });
    }
    Seccomp {
        default_action: Some(random.one(&defaults).into()),
        architectures: Some(architectures.into_iter().map(Into::into).collect()),
        listener_path: Some("/agent.sock".into()),
        syscalls: Some(syscalls),
        ..Seccomp::default()
    }
}

fn multiplexed(name: &str) -> bool {
    name == "socketcall" || name == "ipc" || crate::process::seccomp::multiplex::selector(name).is_some()
}

/// Of several alternatives for one argument, libseccomp misses some where the upper halves of their values differ.
fn conditions(random: &mut Random, overlapping: bool) -> Vec<SyscallArg<'static>> {
    let small = [0, 1, 5, 0xffff_ffff, 0x8000_0000, 0x7e02_0000];
    let large = [0, 1, 5, 0xffff_ffff, 0x1_0000_0000, 0x1_0000_0005, 0x8000_0000, 0x7e02_0000, u64::MAX];
    let values = if overlapping { &small[..] } else { &large[..] };
    let mut indices = vec![0, 1, 2, 3, 4, 5];
    let count = random.below(4);
    let condition = |random: &mut Random, index, op: String| SyscallArg {
        index: Some(index),
        value: Some(random.one(values)),
        value_two: Some(random.one(values)),
        op: Some(op.into()),
    };
    if random.below(4) == 0 {
        return (0..count).map(|_| condition(random, 2, "SCMP_CMP_EQ".into())).collect();
    }
    let mut any = |random: &mut Random| {
        let index = indices.swap_remove(random.below(indices.len()));
        let op = random.one(&OPERATORS).0.to_string();
        condition(random, index, op)
    };
    (0..count).map(|_| any(random)).collect()
}

/// `None` where seccompiler cannot say it.
fn seccompiler_program(seccomp: &Seccomp<'_>) -> Option<Vec<SockFilter>> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    for syscall in seccomp.syscalls.iter().flatten() {
        let args = syscall.args.as_deref().unwrap_or_default();
        let conditions: Vec<SeccompCondition> = args.iter().map(seccompiler_condition).collect();
        let repeated = args.iter().enumerate().any(|(n, arg)| args[..n].iter().any(|other| other.index == arg.index));
        let rule = |conditions: Vec<SeccompCondition>| SeccompRule::new(conditions).unwrap();
        let alternatives = match repeated {
            true => conditions.into_iter().map(|condition| rule(vec![condition])).collect(),
            false if conditions.is_empty() => vec![],
            false => vec![rule(conditions)],
        };
        for name in syscall.names.iter().flatten() {
            let number = ROWS.iter().find(|row| row.0 == *name).unwrap().1[0];
            rules.insert(number.into(), alternatives.clone());
        }
    }
    let default = seccompiler_action(seccomp.default_action.as_ref()?)?;
    let action = seccompiler_action(seccomp.syscalls.as_ref()?[0].action.as_ref()?)?;
    let filter = SeccompFilter::new(rules, default, action, seccompiler::TargetArch::x86_64).ok()?;
    let program: seccompiler::BpfProgram = filter.try_into().ok()?;
    Some(program.iter().map(|each| SockFilter { code: each.code, jt: each.jt, jf: each.jf, k: each.k }).collect())
}

fn seccompiler_action(name: &str) -> Option<SeccompAction> {
    Some(match name {
        "SCMP_ACT_ERRNO" => SeccompAction::Errno(1),
        "SCMP_ACT_ALLOW" => SeccompAction::Allow,
        "SCMP_ACT_KILL_PROCESS" => SeccompAction::KillProcess,
        "SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD" => SeccompAction::KillThread,
        "SCMP_ACT_LOG" => SeccompAction::Log,
        "SCMP_ACT_TRAP" => SeccompAction::Trap,
        "SCMP_ACT_TRACE" => SeccompAction::Trace(1),
        _ => return None,
    })
}

fn seccompiler_condition(arg: &SyscallArg<'_>) -> SeccompCondition {
    let (value, value_two) = (arg.value.unwrap(), arg.value_two.unwrap());
    let (op, value) = match &**arg.op.as_ref().unwrap() {
        "SCMP_CMP_NE" => (SeccompCmpOp::Ne, value),
        "SCMP_CMP_LT" => (SeccompCmpOp::Lt, value),
        "SCMP_CMP_LE" => (SeccompCmpOp::Le, value),
        "SCMP_CMP_EQ" => (SeccompCmpOp::Eq, value),
        "SCMP_CMP_GE" => (SeccompCmpOp::Ge, value),
        "SCMP_CMP_GT" => (SeccompCmpOp::Gt, value),
        _ => (SeccompCmpOp::MaskedEq(value), value_two & value),
    };
    SeccompCondition::new(arg.index.unwrap() as u8, SeccompCmpArgLen::Qword, op, value).unwrap()
}
