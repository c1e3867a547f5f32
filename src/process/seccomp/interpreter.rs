//! An interpreter for filter programs, which answers for a system call as the kernel would.

use super::action::Action;
use super::program::{SockFilter, code, offset};

/// The input of a filter: `struct seccomp_data` of linux/seccomp.h, without the instruction
/// pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    pub number: u32,
    /// `AUDIT_ARCH_*`.
    pub architecture: u32,
    pub arguments: [u64; 6],
}

impl Call {
    fn word(&self, at: u32) -> Option<u32> {
        match at {
            offset::NUMBER => return Some(self.number),
            offset::ARCHITECTURE => return Some(self.architecture),
            _ => {}
        }
        let at = at.checked_sub(offset::ARGUMENTS).filter(|at| at % 4 == 0)?;
        let argument = *self.arguments.get(at as usize / 8)?;
        let second = at % 8 == 4;
        Some(if second == cfg!(target_endian = "little") { (argument >> 32) as u32 } else { argument as u32 })
    }
}

/// The answer of `program` to `call`. `None` if the program contains an instruction that generated
/// filters do not use, or runs past its end.
pub(crate) fn run(program: &[SockFilter], call: &Call) -> Option<Action> {
    let mut accumulator = 0;
    let mut at = 0_usize;
    loop {
        let SockFilter { code, jt, jf, k } = *program.get(at)?;
        let choose = |yes: bool| usize::from(if yes { jt } else { jf });
        at += 1;
        at += match code {
            code::LOAD => {
                accumulator = call.word(k)?;
                0
            }
            code::AND => {
                accumulator &= k;
                0
            }
            code::JUMP => k as usize,
            code::JUMP_EQUAL => choose(accumulator == k),
            code::JUMP_GREATER => choose(accumulator > k),
            code::JUMP_GREATER_OR_EQUAL => choose(accumulator >= k),
            code::RETURN => return Some(Action(k)),
            _ => return None,
        };
    }
}
