//! A filter as a listing that people can read: names in place of numbers, and labels at the targets of jumps.

use super::action::Action;
use super::architecture::FAMILY;
use super::program::{SockFilter, code, offset};
use super::summary::names_of;
use std::collections::BTreeSet;

/// The content of the accumulator and the architecture, as far as every way to an instruction agrees about them.
#[derive(Clone, Copy, PartialEq)]
struct Known {
    loaded: Option<u32>,
    architecture: Option<u32>,
}

/// One line for each instruction.
pub(crate) fn listing(program: &[SockFilter]) -> Vec<String> {
    let (known, targets) = follow(program);
    let label = |at: usize| format!("L{at}");
    program
        .iter()
        .zip(known)
        .enumerate()
        .map(|(at, (instruction, known))| {
            let name = if targets.contains(&at) { label(at) + ":" } else { String::new() };
            let known = known.unwrap_or(Known { loaded: None, architecture: None });
            format!("{at:5}  {name:<7}{}", words(instruction, at, known, label))
        })
        .collect()
}

/// Jumps go forward only, so that one pass sees each instruction after all those before it.
fn follow(program: &[SockFilter]) -> (Vec<Option<Known>>, BTreeSet<usize>) {
    let mut known: Vec<Option<Known>> = vec![None; program.len()];
    let mut targets = BTreeSet::new();
    if let Some(first) = known.first_mut() {
        *first = Some(Known { loaded: None, architecture: None });
    }
    for (at, instruction) in program.iter().enumerate() {
        let Some(now) = known[at] else { continue };
        let mut reach = |target: usize, state: Known| {
            if target != at + 1 {
                targets.insert(target);
            }
            if let Some(place) = known.get_mut(target) {
                let agree = |one: Option<u32>, other: Option<u32>| one.filter(|_| one == other);
                *place = Some(place.map_or(state, |old| Known {
                    loaded: agree(old.loaded, state.loaded),
                    architecture: agree(old.architecture, state.architecture),
                }));
            }
        };
        let SockFilter { code, jt, jf, k } = *instruction;
        let (yes, no) = (at + 1 + usize::from(jt), at + 1 + usize::from(jf));
        match code {
            code::RETURN => {}
            code::LOAD => reach(at + 1, Known { loaded: Some(k), ..now }),
            code::JUMP => reach(at + 1 + k as usize, now),
            code::JUMP_EQUAL if now.loaded == Some(offset::ARCHITECTURE) => {
                reach(yes, Known { architecture: Some(k), ..now });
                reach(no, now);
            }
            code::JUMP_EQUAL | code::JUMP_GREATER | code::JUMP_GREATER_OR_EQUAL => {
                reach(yes, now);
                reach(no, now);
            }
            _ => reach(at + 1, now),
        }
    }
    (known, targets)
}

fn words(instruction: &SockFilter, at: usize, known: Known, label: impl Fn(usize) -> String) -> String {
    let SockFilter { code, jt, jf, k } = *instruction;
    let goto = |distance: u8| match distance {
        0 => "next".to_owned(),
        _ => label(at + 1 + usize::from(distance)),
    };
    let test = match code {
        code::LOAD => return format!("load {}", field(k)),
        code::AND => return format!("and {k:#x}"),
        code::JUMP => return format!("goto {}", label(at + 1 + k as usize)),
        code::RETURN => return format!("return {:#010x}  # {}", k, Action(k).words()),
        code::JUMP_EQUAL => "==",
        code::JUMP_GREATER => ">",
        code::JUMP_GREATER_OR_EQUAL => ">=",
        _ => return format!("code {code:#06x} {jt} {jf} {k:#x}"),
    };
    let subject = known.loaded.map_or_else(|| "value".to_owned(), field);
    format!("if {subject} {test} {k:#x}{} goto {} else {}", name(known, k), goto(jt), goto(jf))
}

fn field(at: u32) -> String {
    let half = |at: u32| if (at % 8 == 4) == cfg!(target_endian = "little") { "high" } else { "low" };
    match at {
        offset::NUMBER => "number".into(),
        offset::ARCHITECTURE => "architecture".into(),
        offset::ARGUMENTS.. => format!("argument{}.{}", (at - offset::ARGUMENTS) / 8, half(at)),
        _ => format!("data[{at}]"),
    }
}

/// The name of the architecture or system call with the number `k`.
fn name(known: Known, k: u32) -> String {
    let found = match (known.loaded, known.architecture) {
        (Some(offset::ARCHITECTURE), _) => FAMILY.iter().find(|known| known.audit == k).map(|known| known.name),
        (Some(offset::NUMBER), Some(audit)) => names_of(audit, k).map(|(_, name)| name),
        _ => None,
    };
    found.map_or_else(String::new, |name| format!(" ({name})"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Seccomp;
    use crate::process::seccomp::{Filter, all_flags};

    #[test]
    fn a_listing_names_calls_and_labels_every_target() {
        let json = r#"{"linux":{"seccomp":{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[
            {"names":["mount"],"action":"SCMP_ACT_ERRNO","errnoRet":13},
            {"names":["clone"],"action":"SCMP_ACT_KILL_PROCESS","args":[{"index":0,"value":5,"op":"SCMP_CMP_EQ"}]}]}}}"#;
        let spec = crate::config::parse(json).unwrap();
        let seccomp: Seccomp<'_> = spec.linux.unwrap().seccomp.unwrap();
        let filter = Filter::parse(&seccomp, all_flags()).unwrap().unwrap();
        let lines = listing(&filter.program);
        let text = lines.join("\n");
        assert_eq!(lines.len(), filter.program.len());
        for part in ["load architecture", "(mount)", "argument0.low == 0x5", "fails with EACCES", "kills the process"] {
            assert!(text.contains(part), "{part}:\n{text}");
        }
        for target in text.split("goto ").skip(1).flat_map(|rest| {
            rest.split('\n').next().unwrap_or_default().split(" else ").map(str::to_owned).collect::<Vec<_>>()
        }) {
            assert!(target == "next" || text.contains(&format!("  {target}:")), "{target}:\n{text}");
        }
    }
}
