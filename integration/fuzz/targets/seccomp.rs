//! Seccomp profiles: the generated program, run by an interpreter of its own, answers as the
//! profile says; where libseccomp is installed (`make fuzz`), as libseccomp's program does. And
//! filters that are given as programs.

use super::action::{ACTIONS, Action};
use super::tables::x86::ROWS;
use super::{Call, Filter, SockFilter, all_flags, condition, run};
use crate::config::{Seccomp, Syscall, SyscallArg};
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::LazyLock;

#[cfg(not(test))]
#[path = "../../../src/process/seccomp/tests/model.rs"]
mod model;
#[cfg(fuzzing)]
#[path = "../../../src/process/seccomp/tests/oracle.rs"]
mod oracle;
#[cfg(test)]
use super::tests::model;

const X86_64: u32 = 0xc000_003e;
const X86: u32 = 0x4000_0003;
const X32: u32 = 0x4000_0000;

/// A profile that the bytes of an input choose.
struct Choice<'a>(&'a [u8]);

impl Choice<'_> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn of<T: Copy>(&mut self, list: &[T]) -> T {
        let n = usize::from(self.byte()) << 8 | usize::from(self.byte());
        list[n % list.len()]
    }

    fn number(&mut self) -> u64 {
        let special = [0, 1, 2, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 0x1_0000_0000, u64::MAX, u64::MAX - 1];
        match self.byte() {
            n @ 0..64 => n.into(),
            64..192 => self.of(&special),
            _ => (0..8).fold(0, |all, _| all << 8 | u64::from(self.byte())),
        }
    }

    fn action(&mut self) -> (&'static str, Option<u32>) {
        let (name, action) = self.of(&ACTIONS);
        // A listener is another subject.
        if action == Action::NOTIFY {
            return ("SCMP_ACT_ALLOW", None);
        }
        let takes = ["SCMP_ACT_ERRNO", "SCMP_ACT_TRACE", "SCMP_ACT_TRAP"].contains(&name);
        (name, takes.then(|| self.byte().into()).filter(|n| *n != 0))
    }

    fn rule(&mut self, names: &[&'static str]) -> Syscall<'static> {
        let (action, errno_ret) = self.action();
        let count = 1 + self.byte() % 2;
        let names = (0..count).map(|_| Cow::Borrowed(self.of(names))).collect();
        let args = (0..self.byte() % 4).map(|_| SyscallArg {
            index: Some((self.byte() % 6).into()),
            value: Some(self.number()),
            value_two: Some(self.number()),
            op: Some(Cow::Borrowed(self.of(&condition::OPERATORS).0)),
        });
        Syscall { names: Some(names), action: Some(action.into()), errno_ret, args: Some(args.collect()) }
    }

    fn profile(&mut self) -> Seccomp<'static> {
        let (default, default_errno_ret) = self.action();
        let foreign = ["SCMP_ARCH_X86", "SCMP_ARCH_X32"];
        let bits = self.byte();
        let listed = foreign.iter().enumerate().filter(|(n, _)| bits >> n & 1 == 1).map(|(_, name)| *name);
        let architectures = ["SCMP_ARCH_X86_64"].into_iter().chain(listed).map(Cow::Borrowed).collect();
        static NAMES: LazyLock<Vec<&'static str>> = LazyLock::new(|| ROWS.iter().map(|row| row.0).collect());
        let rules = 1 + self.byte() % 6;
        Seccomp {
            default_action: Some(default.into()),
            default_errno_ret,
            architectures: Some(architectures),
            syscalls: Some((0..rules).map(|_| self.rule(&NAMES)).collect()),
            ..Seccomp::default()
        }
    }
}

pub(crate) fn profile(input: &[u8]) {
    let profile = Choice(input).profile();
    let Ok(Some(filter)) = Filter::parse(&profile, all_flags()) else { panic!("refused: {profile:#?}") };
    let calls = calls(&profile);
    for call in &calls {
        let expected = model::answer(&profile, call);
        assert_eq!(interpret(&filter.program, call), Ok(expected), "{call:#x?} {profile:#?}");
        assert_eq!(filter.answer(call), expected, "{call:#x?}");
    }
    #[cfg(fuzzing)]
    of_libseccomp(&profile, &filter, &calls);
}

/// Calls at which the profile's rules turn.
fn calls(profile: &Seccomp<'_>) -> Vec<Call> {
    let rules = || profile.syscalls.iter().flatten();
    let names = rules().flat_map(|rule| rule.names.iter().flatten());
    let rows = names.filter_map(|name| Some(&ROWS[ROWS.binary_search_by(|row| row.0.cmp(name)).ok()?]));
    let of_rows = rows.flat_map(|row| row.1).filter(|number| *number != u16::MAX).map(u32::from);
    let mut numbers: BTreeSet<u32> = of_rows.flat_map(|number| [number, number + 1]).collect();
    numbers.extend([102, 117, 1000, X32 - 1]);
    let args = || rules().flat_map(|rule| rule.args.iter().flatten());
    let values = args().flat_map(|arg| [arg.value, arg.value_two]).flatten();
    let mut values: BTreeSet<u64> =
        values.flat_map(|value| [value, value.wrapping_add(1), value.wrapping_sub(1), value ^ 1 << 32]).collect();
    values.extend([0, 3]);
    let indices: BTreeSet<u32> = args().filter_map(|arg| arg.index).chain([0]).collect();
    let mut calls = Vec::new();
    values = values.into_iter().take(24).collect();
    for (n, value) in values.iter().enumerate() {
        // Every third value in all arguments, the others in one.
        let index = indices.iter().nth(n % indices.len()).copied().unwrap_or_default() as usize;
        let arguments = std::array::from_fn(|at| if n % 3 == 0 || at == index { *value } else { 0 });
        for number in &numbers {
            for (architecture, number) in [(X86_64, *number), (X86, *number), (X86_64, number | X32)] {
                calls.push(Call { number, architecture, arguments });
            }
        }
    }
    // Of a great many, some of each kind.
    let step = 1 + calls.len() / 1000;
    let mut calls: Vec<Call> = calls.into_iter().step_by(step | 1).collect();
    calls.push(Call { number: u32::MAX, architecture: X86_64, arguments: [0; 6] });
    calls.push(Call { number: 0, architecture: 0x4000_0028, arguments: [0; 6] });
    calls
}

/// Asks libseccomp about a profile in which no call has two rules: of several, it follows one or
/// none.
#[cfg(fuzzing)]
fn of_libseccomp(profile: &Seccomp<'_>, filter: &Filter, calls: &[Call]) {
    use std::cell::RefCell;
    thread_local! {
        static LIBSECCOMP: RefCell<Option<oracle::Libseccomp>> = RefCell::new(oracle::Libseccomp::start());
    }
    let names: Vec<_> = profile.syscalls.iter().flatten().flat_map(|rule| rule.names.iter().flatten()).collect();
    let is_single = names.iter().collect::<BTreeSet<_>>().len() == names.len();
    let args = || profile.syscalls.iter().flatten().map(|rule| rule.args.iter().flatten());
    let has_alternatives = args().any(|args| {
        let indices: Vec<_> = args.map(|arg| arg.index).collect();
        indices.iter().collect::<BTreeSet<_>>().len() != indices.len()
    });
    // The calls that x86 has behind a multiplexer are rules for that one, too.
    let through = names.iter().any(|name| super::multiplex::selector(name).is_some());
    let multiplexed = through || names.iter().any(|name| ["socketcall", "ipc"].contains(&&***name));
    if !is_single || has_alternatives || multiplexed {
        return;
    }
    LIBSECCOMP.with_borrow_mut(|oracle| {
        let Some(oracle) = oracle else { return };
        if names.iter().any(|name| oracle.number("x86_64", name) < 0) {
            return;
        }
        let Some(theirs) = oracle.program(profile) else { return };
        for call in calls {
            let (ours, theirs) = (filter.answer(call), interpret(&theirs, call));
            // Ours answers ENOSYS beyond the newest call that the profile knows, as runc's does.
            let is_newer = ours == Action::ENOSYS;
            assert!(Ok(ours) == theirs || is_newer, "{call:#x?}: ours {ours:x?}, libseccomp {theirs:x?} {profile:#?}");
        }
    });
}

/// Classic BPF over `struct seccomp_data` with all instructions that seccomp(2) takes
/// (linux/filter.h). An error is an access or a jump that the kernel would not have let in.
fn interpret(program: &[SockFilter], call: &Call) -> Result<Action, String> {
    let mut data = Vec::new();
    data.extend(call.number.to_ne_bytes());
    data.extend(call.architecture.to_ne_bytes());
    data.extend([0; 8]);
    call.arguments.iter().for_each(|argument| data.extend(argument.to_ne_bytes()));
    let (mut a, mut x, mut memory, mut at) = (0u32, 0u32, [0u32; 16], 0usize);
    loop {
        let SockFilter { code, jt, jf, k } = *program.get(at).ok_or_else(|| format!("runs to {at}"))?;
        at += 1;
        let operand = if code & 8 == 0 { k } else { x };
        let cell = || usize::try_from(k).ok().filter(|k| *k < 16).ok_or_else(|| format!("cell {k} at {at}"));
        match (code & 7, code) {
            (0, 0x20) => {
                let word = data.get(k as usize..k as usize + 4).ok_or_else(|| format!("word {k} at {at}"))?;
                a = u32::from_ne_bytes([word[0], word[1], word[2], word[3]]);
            }
            (0, 0x80) => a = 64,
            (0, 0x00) => a = k,
            (0, 0x60) => a = memory[cell()?],
            (1, 0x81) => x = 64,
            (1, 0x01) => x = k,
            (1, 0x61) => x = memory[cell()?],
            (2, 0x02) => memory[cell()?] = a,
            (3, 0x03) => memory[cell()?] = x,
            (4, _) => {
                a = match arithmetic(code & 0xf0, a, operand) {
                    Some(value) => value,
                    // A division by X that is zero ends the program with 0.
                    None if code & 8 != 0 => return Ok(Action(0)),
                    None => return Err(format!("divides by zero at {at}")),
                }
            }
            (5, 0x05) => at += k as usize,
            (5, _) => {
                let holds = match code & 0xf0 {
                    0x10 => a == operand,
                    0x20 => a > operand,
                    0x30 => a >= operand,
                    0x40 => a & operand != 0,
                    _ => return Err(format!("code {code:#x} at {at}")),
                };
                at += usize::from(if holds { jt } else { jf });
            }
            (6, 0x06) => return Ok(Action(k)),
            (6, 0x16) => return Ok(Action(a)),
            (7, 0x07) => x = a,
            (7, 0x87) => a = x,
            _ => return Err(format!("code {code:#x} at {at}")),
        }
    }
}

fn arithmetic(operation: u16, a: u32, operand: u32) -> Option<u32> {
    Some(match operation {
        0x00 => a.wrapping_add(operand),
        0x10 => a.wrapping_sub(operand),
        0x20 => a.wrapping_mul(operand),
        0x30 => a.checked_div(operand)?,
        0x40 => a | operand,
        0x50 => a & operand,
        0x60 => a.wrapping_shl(operand),
        0x70 => a.wrapping_shr(operand),
        0x80 => a.wrapping_neg(),
        0xa0 => a ^ operand,
        _ => return None,
    })
}

/// A filter in base64: what is accepted is a program that runs to its end whatever it is asked.
pub(crate) fn raw(input: &[u8]) {
    if let Ok(text) = std::str::from_utf8(input) {
        let _ = Filter::from_base64(text);
    }
    let Ok(filter) = Filter::from_base64(&base64(input)) else { return };
    assert_eq!(filter.bytes(), input, "another program than the annotation's");
    for (number, architecture) in [(0, X86_64), (59, X86_64), (u32::MAX, X86_64), (11, X86)] {
        for argument in [0, 1, u64::MAX] {
            let call = Call { number, architecture, arguments: [argument; 6] };
            let answer = interpret(&filter.program, &call);
            assert!(answer.is_ok(), "{answer:?}: {:x?}", filter.program);
            if let Some(known) = run(&filter.program, &call) {
                assert_eq!(answer, Ok(known), "{call:#x?} {:x?}", filter.program);
            }
        }
    }
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word = (0..3).fold(0u32, |word, n| word << 8 | u32::from(*chunk.get(n).unwrap_or(&0)));
        let digits = (0..=chunk.len()).map(|n| char::from(DIGITS[(word >> (18 - 6 * n)) as usize & 63]));
        text.extend(digits);
    }
    text
}
