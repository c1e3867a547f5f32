//! Device rules on cgroup v2: an eBPF program that the kernel asks at every open and mknod of a device.
//!
//! It goes through the rules from the last to the first with the set of what is asked for (`r`, `w`, `m`). A rule that
//! denies any of it ends with no; a rule that allows a part takes it out of the set, and an empty set ends with yes.
//! What no rule speaks of is denied.

use super::devices::{EVERYTHING, MKNOD, READ, Rule, Type, WRITE};
use crate::error::{Context, Result};
use crate::sys::bpf::{self, Instruction, Name};
use std::os::fd::{AsFd, OwnedFd};

/// The name by which a later `update` finds the program again.
const NAME: &Name = b"orlop_devices\0\0\0";

// Operations (linux/bpf_common.h, linux/bpf.h).
const LOAD_WORD: u8 = 0x61;
const AND: u8 = 0x54;
const SHIFT_RIGHT: u8 = 0x74;
const MOVE: u8 = 0xb7;
const JUMP: u8 = 0x05;
const JUMP_UNLESS_EQUAL: u8 = 0x56;
const JUMP_IF_ANY: u8 = 0x46;
const EXIT: u8 = 0x95;

// Registers: the answer, the context, and what is read from it.
const ANSWER: u8 = 0;
const CONTEXT: u8 = 1;
const TYPE: u8 = 2;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;
const ACCESS: u8 = 3;

/// The program of the rules.
pub fn program(rules: &[Rule]) -> Vec<Instruction> {
    // struct bpf_cgroup_dev_ctx: access and type in one word, the major, the minor.
    let mut program = vec![
        load(TYPE, 0),
        immediate(AND, TYPE, 0xffff),
        load(ACCESS, 0),
        immediate(SHIFT_RIGHT, ACCESS, 16),
        load(MAJOR, 4),
        load(MINOR, 8),
    ];
    for rule in rules.iter().rev() {
        if rule.kind == Type::All && rule.major.or(rule.minor).is_none() && rule.access == EVERYTHING {
            // Whatever came before it says nothing any more.
            program.extend(answer(rule.allow));
            return program;
        }
        program.extend(block(rule));
    }
    program.extend(answer(false));
    program
}

/// The instructions of one rule; where it does not match they end behind themselves.
fn block(rule: &Rule) -> Vec<Instruction> {
    let mut conditions = Vec::new();
    match rule.kind {
        Type::All => {}
        Type::Block => conditions.push((TYPE, 1)),
        Type::Char => conditions.push((TYPE, 2)),
    }
    conditions.extend(rule.major.map(|n| (MAJOR, n)));
    conditions.extend(rule.minor.map(|n| (MINOR, n)));
    let bits = kernel_bits(rule.access);
    let [yes, exit] = answer(rule.allow);
    let tail = if rule.allow {
        let keep = i32::from(!bits & 7);
        vec![immediate(AND, ACCESS, keep), jump(JUMP_UNLESS_EQUAL, ACCESS, 0, 2), yes, exit]
    } else {
        vec![jump(JUMP_IF_ANY, ACCESS, bits.into(), 1), jump(JUMP, 0, 0, 2), yes, exit]
    };
    let length = conditions.len() + tail.len();
    let mut block = Vec::with_capacity(length);
    for (n, (register, value)) in conditions.into_iter().enumerate() {
        block.push(jump(JUMP_UNLESS_EQUAL, register, value as i32, (length - n - 1) as i16));
    }
    block.extend(tail);
    block
}

/// BPF_DEVCG_ACC_*: mknod is 1, read 2, write 4.
fn kernel_bits(access: u8) -> u8 {
    [(MKNOD, 1), (READ, 2), (WRITE, 4)].iter().filter(|(ours, _)| access & ours != 0).map(|(_, theirs)| theirs).sum()
}

fn load(register: u8, offset: i16) -> Instruction {
    Instruction { code: LOAD_WORD, registers: register | CONTEXT << 4, offset, immediate: 0 }
}

fn immediate(code: u8, register: u8, value: i32) -> Instruction {
    Instruction { code, registers: register, offset: 0, immediate: value }
}

fn jump(code: u8, register: u8, value: i32, distance: i16) -> Instruction {
    Instruction { code, registers: register, offset: distance, immediate: value }
}

fn answer(yes: bool) -> [Instruction; 2] {
    [immediate(MOVE, ANSWER, yes.into()), immediate(EXIT, 0, 0)]
}

/// Puts the rules into force for the cgroup of a directory, in the place of earlier ones of ours: at no moment are
/// there none, and filters of others stay.
///
/// # Errors
/// The kernel refuses the program (EPERM without rights over the first user namespace).
pub fn enforce(directory: &OwnedFd, rules: &[Rule]) -> Result<()> {
    let program = bpf::load_device_filter(&program(rules), NAME).at("device filter")?;
    let ours = bpf::device_filters(directory)?.into_iter().find(|(_, name)| name == NAME);
    bpf::attach_device_filter(directory, program.as_fd(), ours.as_ref().map(|(fd, _)| fd)).at("device filter")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroups::devices::{Access, defaults};

    /// Runs a program as the kernel would.
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
                JUMP_UNLESS_EQUAL if registers[register] != i.immediate as u32 => at += distance,
                JUMP_IF_ANY if registers[register] & i.immediate as u32 != 0 => at += distance,
                JUMP_UNLESS_EQUAL | JUMP_IF_ANY => {}
                EXIT => return registers[0] == 1,
                other => panic!("unknown operation {other:#x}"),
            }
        }
    }

    /// What the rules mean, said without a program: for each access by itself the last rule that matches counts.
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
        // A small generator of numbers (Knuth's), so that a failure can be seen again.
        let mut state = 42u64;
        let mut next = |below: u64| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 33) % below
        };
        for _ in 0..2000 {
            let rules: Vec<Rule> = (0..next(6))
                .map(|_| Rule {
                    allow: next(2) == 0,
                    kind: [Type::All, Type::Block, Type::Char][next(3) as usize],
                    major: [None, Some(1), Some(u32::MAX)][next(3) as usize],
                    minor: [None, Some(3), Some(5)][next(3) as usize],
                    access: next(7) as u8 + 1,
                })
                .collect();
            let program = program(&rules);
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
        let program = program(&defaults());
        assert!(run(&program, Type::Char, 1, 3, READ | WRITE));
        assert!(run(&program, Type::Block, 8, 0, MKNOD));
        assert!(!run(&program, Type::Block, 8, 0, READ));
    }

    #[test]
    fn rules_before_one_for_everything_cost_nothing() {
        let all = Rule { allow: true, kind: Type::All, major: None, minor: None, access: EVERYTHING };
        assert_eq!(program(&[defaults(), vec![all]].concat()).len(), 8);
    }
}
