//! Writing the program of a filter: classic BPF over `struct seccomp_data` (linux/filter.h).
//!
//! The program is written from its end to its start: jumps only go forward, so that the target of a
//! jump is always written before the jump.
//!
//! ```text
//!   load arch
//!   arch == ONE ? section : next ...            else kill
//!   section:  load number
//!             number >= middle ? right : left    a binary search over ranges of numbers
//!             return ACTION                      or conditions on arguments, then return ACTION
//! ```

use super::action::Action;
use super::condition::{Condition, Test};
use super::decision::{Alternative, Outcome, Range};
use crate::error::{Error, Result};

/// An instruction: `struct sock_filter` of linux/filter.h.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SockFilter {
    pub code: u16,
    pub jt: u8,
    pub jf: u8,
    pub k: u32,
}

/// The kernel's limit of instructions (`BPF_MAXINSNS` in linux/bpf_common.h).
const MAX_LENGTH: usize = 4096;

/// The opcodes that generated filters use.
pub(super) mod code {
    pub(in super::super) const LOAD: u16 = 0x20;
    pub(in super::super) const AND: u16 = 0x54;
    pub(in super::super) const JUMP: u16 = 0x05;
    pub(in super::super) const JUMP_EQUAL: u16 = 0x15;
    pub(in super::super) const JUMP_GREATER: u16 = 0x25;
    pub(in super::super) const JUMP_GREATER_OR_EQUAL: u16 = 0x35;
    pub(in super::super) const RETURN: u16 = 0x06;
}

/// Offsets in `struct seccomp_data`.
pub(super) mod offset {
    pub(in super::super) const NUMBER: u32 = 0;
    pub(in super::super) const ARCHITECTURE: u32 = 4;
    pub(in super::super) const ARGUMENTS: u32 = 16;
}

/// The position of an instruction, counted from the end of the program.
#[derive(Clone, Copy, PartialEq)]
struct Place(usize);

/// The longest distance of a conditional jump.
const REACH: usize = u8::MAX as usize;

struct Writer {
    /// The instructions in reverse order.
    code: Vec<SockFilter>,
    /// For each action the `RETURN` instruction that was written last.
    returns: Vec<(Action, Place)>,
    default: Action,
}

/// Writes the program for `sections`, which are ranges by `AUDIT_ARCH_*`. System calls of other
/// architectures kill the thread, as with libseccomp.
pub(super) fn write(sections: &[(u32, Vec<Range<'_>>)], default: Action) -> Result<Vec<SockFilter>> {
    let mut writer = Writer { code: Vec::with_capacity(1024), returns: vec![], default };
    let mut other = None;
    for (audit, ranges) in sections.iter().rev() {
        let tree = writer.tree(ranges);
        let section = writer.push(code::LOAD, offset::NUMBER, tree);
        let next = other.unwrap_or_else(|| writer.action(Action::KILL_THREAD));
        other = Some(writer.branch(code::JUMP_EQUAL, *audit, section, next));
    }
    let start = other.unwrap_or_else(|| writer.action(Action::KILL_THREAD));
    writer.push(code::LOAD, offset::ARCHITECTURE, start);
    let Writer { code: mut program, .. } = writer;
    program.reverse();
    match program.len() {
        ..=MAX_LENGTH => Ok(program),
        length => Err(Error::config(
            "linux.seccomp",
            format!("the filter needs {length} instructions, more than the kernel's limit of {MAX_LENGTH}"),
        )),
    }
}

impl Writer {
    fn put(&mut self, code: u16, jt: usize, jf: usize, k: u32) -> Place {
        self.code.push(SockFilter { code, jt: jt as u8, jf: jf as u8, k });
        Place(self.code.len() - 1)
    }

    /// The number of instructions between the next instruction to be written and `target`.
    fn distance(&self, target: Place) -> usize {
        self.code.len() - 1 - target.0
    }

    /// Writes an instruction that is not a jump and continues at `next`.
    fn push(&mut self, code: u16, k: u32, next: Place) -> Place {
        if self.distance(next) != 0 {
            self.jump(next);
        }
        self.put(code, 0, 0, k)
    }

    fn jump(&mut self, target: Place) -> Place {
        let distance = self.distance(target) as u32;
        self.put(code::JUMP, 0, 0, distance)
    }

    fn action(&mut self, action: Action) -> Place {
        let known = self.returns.iter().position(|(other, _)| *other == action);
        if let Some(index) = known {
            let place = self.returns[index].1;
            // The margin is for jumps that are written later.
            if self.distance(place) < REACH - 32 {
                return place;
            }
            self.returns.swap_remove(index);
        }
        let place = self.put(code::RETURN, 0, 0, action.0);
        self.returns.push((action, place));
        place
    }

    fn branch(&mut self, code: u16, k: u32, yes: Place, no: Place) -> Place {
        let (mut yes, mut no) = (yes, no);
        // A new instruction for one target increases the distance to the other.
        while self.distance(yes) > REACH || self.distance(no) > REACH {
            if self.distance(yes) > REACH {
                yes = self.nearer(yes);
            }
            if self.distance(no) > REACH {
                no = self.nearer(no);
            }
        }
        self.put(code, self.distance(yes), self.distance(no), k)
    }

    /// A new instruction within reach that has the effect of `far`.
    fn nearer(&mut self, far: Place) -> Place {
        let instruction = self.code[far.0];
        match instruction.code {
            code::RETURN => self.action(Action(instruction.k)),
            _ => self.jump(far),
        }
    }

    fn tree(&mut self, ranges: &[Range<'_>]) -> Place {
        match ranges {
            [] => self.action(self.default),
            [only] => self.outcome(&only.outcome),
            // A single number with another outcome than its neighbours.
            [before, one, after] if before.outcome == after.outcome && after.start - one.start == 1 => {
                let no = self.outcome(&before.outcome);
                let yes = self.outcome(&one.outcome);
                self.branch(code::JUMP_EQUAL, one.start, yes, no)
            }
            _ => {
                let (left, right) = ranges.split_at(ranges.len() / 2);
                let middle = right[0].start;
                let right = self.tree(right);
                let left = self.tree(left);
                self.branch(code::JUMP_GREATER_OR_EQUAL, middle, right, left)
            }
        }
    }

    fn outcome(&mut self, outcome: &Outcome<'_>) -> Place {
        let alternatives = match outcome {
            Outcome::Always(action) => return self.action(*action),
            Outcome::FirstOf(alternatives) => alternatives,
        };
        let mut place = self.action(self.default);
        for alternative in alternatives.iter().rev() {
            place = self.alternative(alternative, place);
        }
        place
    }

    fn alternative(&mut self, alternative: &Alternative<'_>, otherwise: Place) -> Place {
        let mut place = self.action(alternative.action);
        for condition in alternative.conditions.iter().rev() {
            let (yes, no) = if condition.contrary { (otherwise, place) } else { (place, otherwise) };
            place = self.condition(condition, alternative.wide, yes, no);
        }
        place
    }

    /// Compares an argument. Instructions compare 32 bits, so the upper half comes first, and the
    /// lower one only if the upper halves are equal. On 32-bit architectures the upper half of the
    /// value is ignored, as with libseccomp.
    fn condition(&mut self, condition: &Condition, wide: bool, yes: Place, no: Place) -> Place {
        let (low, high) = (condition.value as u32, (condition.value >> 32) as u32);
        let (low_mask, high_mask) = (condition.mask as u32, (condition.mask >> 32) as u32);
        let (test, test_high) = match condition.test {
            Test::Equal => (code::JUMP_EQUAL, None),
            Test::Greater => (code::JUMP_GREATER, Some(code::JUMP_GREATER)),
            Test::GreaterOrEqual => (code::JUMP_GREATER_OR_EQUAL, Some(code::JUMP_GREATER)),
        };
        let argument = offset::ARGUMENTS + 8 * u32::from(condition.argument);
        let (low_offset, high_offset) = if cfg!(target_endian = "big") { (4, 0) } else { (0, 4) };
        let place = self.branch(test, low, yes, no);
        let place = self.load(argument + low_offset, low_mask, place);
        if !wide || high_mask == 0 {
            return place;
        }
        let mut place = self.branch(code::JUMP_EQUAL, high, place, no);
        if let Some(test_high) = test_high {
            place = self.branch(test_high, high, yes, place);
        }
        self.load(argument + high_offset, high_mask, place)
    }

    fn load(&mut self, offset: u32, mask: u32, next: Place) -> Place {
        let next = if mask == u32::MAX { next } else { self.push(code::AND, mask, next) };
        self.push(code::LOAD, offset, next)
    }
}
