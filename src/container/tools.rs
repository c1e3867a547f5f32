//! The busybox for `exec --tools`.

use crate::error::{Error, Result};
use crate::process::plan::TOOLS;
use crate::process::refusal::elf_number;
use crate::sys::file;

/// The paths where distributions have a busybox.
const PLACES: [&str; 5] =
    ["/bin/busybox", "/usr/bin/busybox", "/bin/busybox.static", "/usr/bin/busybox.static", "/sbin/busybox"];
const LARGEST: usize = 16 << 20;

/// Reads the first busybox of the host that needs no interpreter and so runs in any image.
///
/// # Errors
/// There is none.
pub(super) fn find() -> Result<Vec<u8>> {
    let read = |place: &&str| file::read_regular(file::open(place, libc::O_RDONLY | libc::O_NONBLOCK)?, LARGEST);
    let found = PLACES.iter().filter_map(|place| read(place).ok()).find(|program| is_static(program));
    found.ok_or_else(|| {
        let text = format!("--tools: the host has no statically linked busybox ({})", PLACES.join(", "));
        Error::system(text).hint("install one: busybox-static in Debian, busybox in Alpine and Fedora")
    })
}

/// Whether it is a 64-bit ELF program without PT_INTERP (elf(5)).
fn is_static(program: &[u8]) -> bool {
    let number = |at: u64, length| elf_number(program, usize::try_from(at).ok()?, length);
    let (Some(table), Some(size), Some(count)) = (number(32, 8), number(54, 2), number(56, 2)) else { return false };
    let kind = |n| number(table.checked_add(size * n)?, 4);
    program.starts_with(b"\x7fELF\x02\x01")
        && (0..count).all(|n| kind(n).is_some_and(|kind| kind != u64::from(libc::PT_INTERP)))
}

/// Adds the directory of the tools at the end of `PATH`.
pub(super) fn add_to_path(env: &mut Vec<String>) {
    match env.iter_mut().find(|entry| entry.starts_with("PATH=")) {
        Some(path) => *path = format!("{path}:/{TOOLS}"),
        None => env.push(format!("PATH=/{TOOLS}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The beginning of an ELF program with one program header of this type.
    fn elf(kind: u8) -> Vec<u8> {
        let mut program = vec![0; 120];
        program[..6].copy_from_slice(b"\x7fELF\x02\x01");
        (program[32], program[54], program[56], program[64]) = (64, 56, 1, kind);
        program
    }

    #[test]
    fn a_program_with_an_interpreter_is_not_static() {
        assert!(is_static(&elf(1)));
        assert!(!is_static(&elf(3)));
        assert!(!is_static(&elf(1)[..66]));
        assert!(!is_static(b"#!/bin/sh"));
    }

    #[test]
    fn the_tools_come_last_in_the_path() {
        let mut env = vec!["A=B".to_owned(), "PATH=/bin".to_owned()];
        add_to_path(&mut env);
        assert_eq!(env, ["A=B", "PATH=/bin:/.orlop-tools"]);
        let mut env = Vec::new();
        add_to_path(&mut env);
        assert_eq!(env, ["PATH=/.orlop-tools"]);
    }
}
