//! The tables of numbers, against the kernel's headers and libseccomp where they are installed.

use std::path::Path;

use super::oracle::Libseccomp;
use crate::process::seccomp::tables::{NONE, arm, riscv, x86};

fn column<const N: usize>(rows: &[(&'static str, [u16; N])], column: usize) -> Vec<(&'static str, u16)> {
    let numbers = rows.iter().map(|(name, numbers)| (*name, numbers[column]));
    numbers.filter(|(_, number)| *number != NONE).collect()
}

fn tables() -> Vec<(&'static str, Vec<(&'static str, u16)>)> {
    vec![
        ("x86_64", column(x86::ROWS, 0)),
        ("x86", column(x86::ROWS, 1)),
        ("x32", column(x86::ROWS, 2)),
        ("aarch64", column(arm::ROWS, 0)),
        ("arm", column(arm::ROWS, 1)),
        ("riscv64", column(riscv::ROWS, 0)),
    ]
}

#[test]
fn names_are_in_order_so_that_they_are_found() {
    for (architecture, table) in tables() {
        assert!(table.is_sorted_by(|one, other| one.0 < other.0), "{architecture}");
        assert!(table.len() > 300, "{architecture}");
    }
}

#[test]
fn the_numbers_are_those_of_the_headers() {
    let mut compared = 0;
    for (architecture, header) in [("x86_64", "unistd_64.h"), ("x86", "unistd_32.h"), ("x32", "unistd_x32.h")] {
        let path = Path::new("/usr/include/x86_64-linux-gnu/asm").join(header);
        let Ok(text) = std::fs::read_to_string(&path) else {
            eprintln!("skipped: no {}", path.display());
            continue;
        };
        let (_, table) = tables().into_iter().find(|(name, _)| *name == architecture).unwrap();
        for line in text.lines().filter_map(|line| line.strip_prefix("#define __NR_")) {
            let (name, number) = line.split_once(' ').unwrap();
            let number = number.trim_matches(['(', ')']).trim_start_matches("__X32_SYSCALL_BIT + ");
            let number: u16 = number.trim().parse().unwrap();
            assert!(table.contains(&(name, number)), "{architecture} {name} {number}");
            compared += 1;
        }
    }
    eprintln!("compared {compared} numbers");
}

#[test]
fn the_numbers_are_those_of_libseccomp() {
    let Some(mut libseccomp) = Libseccomp::start() else { return };
    for (architecture, table) in tables() {
        let mut known = 0;
        for (name, number) in table {
            // What is negative it does not know yet, or has as a part of a multiplexer.
            let theirs = libseccomp.number(architecture, name);
            if let Ok(theirs) = u32::try_from(theirs) {
                let theirs = if theirs >= 0x4000_0000 { theirs - 0x4000_0000 } else { theirs };
                let theirs = if theirs >= 0x000f_0000 { theirs - 0x000f_0000 + 0xf000 } else { theirs };
                assert_eq!(u32::from(number), theirs, "{architecture} {name}");
                known += 1;
            }
        }
        // One that it does not have at all is one that this libseccomp is too old for.
        assert!(known > 250 || known == 0, "{architecture}: {known}");
    }
}
