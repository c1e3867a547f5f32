//! Device rules on cgroup v2: an eBPF program that the kernel runs at every open and mknod of a
//! device.
//!
//! It evaluates the rules from the last to the first, with the set of requested accesses (`r`, `w`,
//! `m`). A rule that denies one of them denies the request. A rule that allows some removes them
//! from the set, and an empty set allows the request. Accesses without a matching rule are denied.
//!
//! The verifier takes a few microseconds for each instruction, at every `create`. So consecutive
//! rules of the same kind (all allow, or all deny) are sorted, since their order has no effect, and
//! common conditions are tested once.

use super::devices::{EVERYTHING, MKNOD, READ, Rule, Type, WRITE};
use crate::error::{Context, Error, Result};
use crate::sys::bpf::{self, Instruction, Name};
use std::os::fd::{AsFd, OwnedFd};

/// The name by which a later `update` finds the program.
const NAME: &Name = b"orlop_devices\0\0\0";

// Operations (linux/bpf_common.h, linux/bpf.h).
const LOAD_WORD: u8 = 0x61;
const AND: u8 = 0x54;
const SHIFT_RIGHT: u8 = 0x74;
const MOVE: u8 = 0xb7;
const JUMP: u8 = 0x05;
const JUMP_IF_EQUAL: u8 = 0x16;
const JUMP_UNLESS_EQUAL: u8 = 0x56;
const JUMP_IF_ANY: u8 = 0x46;
const EXIT: u8 = 0x95;

// Registers: the answer, the context, and its values.
const ANSWER: u8 = 0;
const CONTEXT: u8 = 1;
const TYPE: u8 = 2;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;
const ACCESS: u8 = 3;

/// Compiles the rules.
///
/// # Errors
/// The jumps are too long, at about ten thousand rules. The kernel refuses programs with E2BIG from
/// a few hundred to two thousand rules on, if their devices are all different.
pub(crate) fn program(rules: &[Rule]) -> Result<Vec<Instruction>> {
    // struct bpf_cgroup_dev_ctx: access and type in one word, then major and minor. The answer
    // starts as 1 (allow).
    let begin = vec![
        load_word(TYPE, 0),
        immediate(AND, TYPE, 0xffff),
        load_word(ACCESS, 0),
        immediate(SHIFT_RIGHT, ACCESS, 16),
        load_word(MAJOR, 4),
        load_word(MINOR, 8),
        immediate(MOVE, ANSWER, 1),
    ];
    let mut writer = Writer { program: begin, ..Writer::default() };
    // A rule for all devices and accesses overrides all rules before it.
    let last = rules.iter().rposition(Rule::is_everything);
    let mut otherwise = last.is_some_and(|at| rules[at].allow);
    let rest = &rules[last.map_or(0, |at| at + 1)..];
    for alike in rest.chunk_by(|one, other| one.allow == other.allow).rev() {
        let mut alike = alike.to_vec();
        alike.sort_unstable_by_key(|rule| (rule.kind as u8, rule.major, rule.minor));
        if writer.group(&alike, &[by_type, by_major, by_minor]) {
            otherwise = true;
            break;
        }
    }
    writer.end(otherwise)
}

/// A register and its value in a matching request. None if any value matches.
type Condition = fn(&Rule) -> Option<(u8, u32)>;

fn by_type(rule: &Rule) -> Option<(u8, u32)> {
    match rule.kind {
        Type::All => None,
        Type::Block => Some((TYPE, 1)),
        Type::Char => Some((TYPE, 2)),
    }
}

fn by_major(rule: &Rule) -> Option<(u8, u32)> {
    rule.major.map(|major| (MAJOR, major))
}

fn by_minor(rule: &Rule) -> Option<(u8, u32)> {
    rule.minor.map(|minor| (MINOR, minor))
}

/// A program and its jumps to the two exits.
#[derive(Default)]
struct Writer {
    program: Vec<Instruction>,
    to_yes: Vec<usize>,
    to_no: Vec<usize>,
}

impl Writer {
    /// Adds rules of the same kind, sorted by these conditions. Returns whether the rest is
    /// unreachable: the rules allow everything without a condition, so the last instruction is an
    /// unconditional jump.
    fn group(&mut self, rules: &[Rule], conditions: &[Condition]) -> bool {
        let Some((condition, finer)) = conditions.split_first() else { return self.effect(rules) };
        for alike in rules.chunk_by(|one, other| condition(one) == condition(other)) {
            match condition(&alike[0]) {
                // Unreachable: the other rules of the group have more conditions.
                None if self.group(alike, finer) => return true,
                None => {}
                Some((register, value)) => {
                    // Without further conditions the jump is the answer, for the remaining rules of
                    // the group too.
                    let bare = alike.iter().take_while(|rule| finer.iter().all(|finer| finer(rule).is_none()));
                    if is_whole(bare) {
                        self.to_yes.push(self.program.len());
                        self.program.push(jump(JUMP_IF_EQUAL, register, value as i32, 0));
                        continue;
                    }
                    let from = self.program.len();
                    self.program.push(jump(JUMP_UNLESS_EQUAL, register, value as i32, 0));
                    self.group(alike, finer);
                    self.lead_here(&[from]);
                }
            }
        }
        false
    }

    /// Adds the effect of rules with matching conditions.
    fn effect(&mut self, rules: &[Rule]) -> bool {
        let bits = kernel_bits(rules.iter().fold(0, |all, rule| all | rule.access));
        if is_whole(rules.iter()) {
            self.to_yes.push(self.program.len());
            self.program.push(jump(JUMP, 0, 0, 0));
            return true;
        }
        if rules[0].allow {
            self.program.push(immediate(AND, ACCESS, i32::from(!bits & 7)));
            self.to_yes.push(self.program.len());
            self.program.push(jump(JUMP_IF_EQUAL, ACCESS, 0, 0));
        } else {
            self.to_no.push(self.program.len());
            self.program.push(jump(JUMP_IF_ANY, ACCESS, bits.into(), 0));
        }
        false
    }

    /// Adds the exit for requests without a matching rule, and the other exit if a jump leads to
    /// it.
    fn end(mut self, yes: bool) -> Result<Vec<Instruction>> {
        let (to_yes, to_no) = (std::mem::take(&mut self.to_yes), std::mem::take(&mut self.to_no));
        let exit = immediate(EXIT, 0, 0);
        if yes {
            self.lead_here(&to_yes);
            self.program.push(exit);
        }
        if !yes || !to_no.is_empty() {
            self.lead_here(&to_no);
            self.program.push(immediate(MOVE, ANSWER, 0));
            if !yes {
                self.lead_here(&to_yes);
            }
            self.program.push(exit);
        }
        if self.program.len() > i16::MAX as usize {
            return Err(Error::system("too many device rules: the filter's jumps would be too long"));
        }
        Ok(self.program)
    }

    /// Points jumps to the next instruction.
    fn lead_here(&mut self, jumps: &[usize]) {
        for from in jumps {
            // A jump that is too long makes `program` fail.
            self.program[*from].offset = (self.program.len() - from - 1) as i16;
        }
    }
}

/// Whether rules with the same conditions together allow everything.
fn is_whole<'a>(rules: impl Iterator<Item = &'a Rule>) -> bool {
    rules.filter(|rule| rule.allow).fold(0, |all, rule| all | rule.access) == EVERYTHING
}

/// BPF_DEVCG_ACC_*: mknod is 1, read 2, write 4.
fn kernel_bits(access: u8) -> u8 {
    [(MKNOD, 1), (READ, 2), (WRITE, 4)].iter().filter(|(ours, _)| access & ours != 0).map(|(_, theirs)| theirs).sum()
}

fn load_word(register: u8, offset: i16) -> Instruction {
    Instruction { code: LOAD_WORD, registers: register | CONTEXT << 4, offset, immediate: 0 }
}

fn immediate(code: u8, register: u8, value: i32) -> Instruction {
    Instruction { code, registers: register, offset: 0, immediate: value }
}

fn jump(code: u8, register: u8, value: i32, distance: i16) -> Instruction {
    Instruction { code, registers: register, offset: distance, immediate: value }
}

/// Attaches the rules to the cgroup of a directory and replaces orlop's earlier program atomically.
/// Programs of others stay attached.
///
/// # Errors
/// The kernel refuses the program (EPERM without privileges in the initial user namespace).
pub(crate) fn enforce(directory: &OwnedFd, rules: &[Rule]) -> Result<()> {
    put(directory, &load(rules)?)
}

/// Loads the rules as a verified program.
///
/// # Errors
/// The kernel refuses it.
pub(crate) fn load(rules: &[Rule]) -> Result<OwnedFd> {
    bpf::load_device_filter(&program(rules)?, NAME).context("device filter")
}

/// Like [`enforce`], with a program of [`load`].
///
/// # Errors
/// The program cannot be attached.
pub(crate) fn put(directory: &OwnedFd, program: &OwnedFd) -> Result<()> {
    let ours = bpf::device_filters(directory)?.into_iter().find(|(_, name)| name == NAME);
    bpf::attach_device_filter(directory, program.as_fd(), ours.as_ref().map(|(fd, _)| fd)).context("device filter")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroups::devices::{Access, defaults};

    /// Interprets a program like the kernel.
    fn run(program: &[Instruction], kind: Type, major: u32, minor: u32, access: Access) -> bool {
        let kind = if kind == Type::Block { 1 } else { 2 };
        let context = [u32::from(kernel_bits(access)) << 16 | kind, major, minor];
        let mut registers = [0u32; 8];
        let mut at = 0usize;
        loop {
            let i = program[at];
            at += 1;
            let register = usize::from(i.registers & 15);
            let distance = i.offset as usize;
            match i.code {
                LOAD_WORD => registers[register] = context[distance / 4],
                AND => registers[register] &= i.immediate as u32,
                SHIFT_RIGHT => registers[register] >>= i.immediate,
                MOVE => registers[register] = i.immediate as u32,
                JUMP => at += distance,
                JUMP_IF_EQUAL if registers[register] == i.immediate as u32 => at += distance,
                JUMP_UNLESS_EQUAL if registers[register] != i.immediate as u32 => at += distance,
                JUMP_IF_ANY if registers[register] & i.immediate as u32 != 0 => at += distance,
                JUMP_IF_EQUAL | JUMP_UNLESS_EQUAL | JUMP_IF_ANY => {}
                EXIT => return registers[0] == 1,
                other => panic!("unknown operation {other:#x}"),
            }
        }
    }

    /// Like the kernel's verifier, fails for an unreachable instruction or a jump out of the
    /// program.
    fn is_all_reached(program: &[Instruction]) -> bool {
        let mut reached = vec![false; program.len()];
        let mut next = vec![0];
        while let Some(at) = next.pop() {
            if !std::mem::replace(&mut reached[at], true) {
                let i = program[at];
                let target = at + 1 + i.offset as usize;
                match i.code {
                    JUMP => next.push(target),
                    JUMP_IF_EQUAL | JUMP_UNLESS_EQUAL | JUMP_IF_ANY => next.extend([at + 1, target]),
                    EXIT => {}
                    _ => next.push(at + 1),
                }
            }
        }
        reached.iter().all(|reached| *reached)
    }

    /// The reference semantics: for each access the last matching rule counts.
    fn allowed(rules: &[Rule], kind: Type, major: u32, minor: u32, access: Access) -> bool {
        let one = |bit: Access| {
            let matches = |r: &&Rule| {
                (r.kind == Type::All || r.kind == kind)
                    && r.major.is_none_or(|n| n == major)
                    && r.minor.is_none_or(|n| n == minor)
                    && r.access & bit != 0
            };
            rules.iter().rev().find(matches).is_some_and(|r| r.allow)
        };
        [READ, WRITE, MKNOD].into_iter().filter(|bit| access & bit != 0).all(one)
    }

    #[test]
    fn the_program_says_what_the_rules_mean() {
        // Knuth's linear congruential generator, so that a failure is reproducible.
        let mut state = 42u64;
        let mut next = |below: u64| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 33) % below
        };
        let may_load = bpf::load_device_filter(&program(&[]).unwrap(), NAME).is_ok();
        for round in 0..20_000 {
            let rules: Vec<Rule> = (0..next(if round % 2 == 0 { 6 } else { 20 }))
                .map(|_| Rule {
                    allow: next(2) == 0,
                    kind: [Type::All, Type::Block, Type::Char][next(3) as usize],
                    major: [None, Some(1), Some(u32::MAX)][next(3) as usize],
                    minor: [None, Some(3), Some(5)][next(3) as usize],
                    access: if next(2) == 0 { EVERYTHING } else { next(7) as u8 + 1 },
                })
                .collect();
            let program = program(&rules).unwrap();
            assert!(is_all_reached(&program), "{rules:?}: {program:?}");
            if round < 300 && may_load {
                bpf::load_device_filter(&program, NAME).unwrap_or_else(|e| panic!("{e}: {rules:?}: {program:?}"));
            }
            for kind in [Type::Block, Type::Char] {
                for (major, minor) in [(1, 3), (1, 5), (u32::MAX, 3), (2, 2)] {
                    for access in 1..=EVERYTHING {
                        let (says, means) =
                            (run(&program, kind, major, minor, access), allowed(&rules, kind, major, minor, access));
                        assert_eq!(says, means, "{kind:?} {major}:{minor} {access} {rules:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn the_default_rules_allow_null_and_no_disk() {
        let program = program(&defaults()).unwrap();
        assert!(run(&program, Type::Char, 1, 3, READ | WRITE));
        assert!(run(&program, Type::Block, 8, 0, MKNOD));
        assert!(!run(&program, Type::Block, 8, 0, READ));
    }

    #[test]
    fn rules_before_one_for_everything_cost_nothing() {
        let all = Rule { allow: true, kind: Type::All, major: None, minor: None, access: EVERYTHING };
        assert_eq!(program(&[defaults(), vec![all]].concat()).unwrap().len(), 8);
    }

    #[test]
    fn what_rules_have_in_common_is_asked_once() {
        let nothing = Rule { allow: false, kind: Type::All, major: None, minor: None, access: EVERYTHING };
        let program = program(&[vec![nothing], defaults()].concat()).unwrap();
        assert!(program.len() <= 30, "{} instructions", program.len());
    }

    #[test]
    fn more_rules_than_a_jump_is_wide_are_refused() {
        let rule = |n| Rule { allow: true, kind: Type::Char, major: Some(n), minor: Some(n), access: READ };
        let rules: Vec<Rule> = (0..20_000).map(rule).collect();
        assert!(program(&rules).unwrap_err().to_string().contains("too many device rules"));
        assert!(program(&rules[..5000]).is_ok());
    }
}
