//! The programs of `make dist` are static, of the architecture in their name, and with nothing of their builder.
//!
//! Without `out/dist` each test says so and does nothing.

#![allow(clippy::unwrap_used, clippy::panic)] // The whole program is a test.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The architectures by Debian's name, with e_machine of elf(5).
const ARCHITECTURES: [(&str, u8); 3] = [("amd64", 62), ("arm64", 183), ("riscv64", 243)];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// The built programs of this version whose names end with the architecture, or nothing with the reason printed.
fn built(arch: &str) -> Vec<PathBuf> {
    let ending = format!("-{}-{arch}", env!("CARGO_PKG_VERSION"));
    let entries = fs::read_dir(root().join("out/dist")).into_iter().flatten().flatten();
    let programs: Vec<_> =
        entries.map(|entry| entry.path()).filter(|path| path.to_string_lossy().ends_with(&ending)).collect();
    if programs.is_empty() {
        println!("SKIP no {arch} program of this version in out/dist: `make dist` builds them");
    }
    programs
}

fn machine(elf: &[u8]) -> u8 {
    assert_eq!(elf.get(..4), Some(&b"\x7fELF"[..]));
    assert_eq!(elf[19], 0);
    elf[18]
}

fn word(bytes: &[u8], at: usize, size: usize) -> usize {
    bytes[at..at + size].iter().rev().fold(0, |value, byte| value << 8 | usize::from(*byte))
}

/// The types of the program headers, with the offset and length of each segment in the file.
fn segments(elf: &[u8]) -> Vec<(usize, usize, usize)> {
    let (table, size, count) = (word(elf, 0x20, 8), word(elf, 0x36, 2), word(elf, 0x38, 2));
    let headers = (0..count).map(|n| table + n * size);
    headers.map(|at| (word(elf, at, 4), word(elf, at + 8, 8), word(elf, at + 32, 8))).collect()
}

#[test]
fn each_program_is_static_at_a_random_address_and_of_its_architecture() {
    const INTERPRETER: usize = 3;
    // elf(5): e_type, ET_DYN.
    const DYNAMIC: usize = 3;
    for (arch, expected) in ARCHITECTURES {
        for program in built(arch) {
            let elf = fs::read(&program).unwrap();
            assert_eq!(machine(&elf), expected, "{}", program.display());
            assert_eq!(word(&elf, 16, 2), DYNAMIC, "{} is at a fixed address", program.display());
            assert!(segments(&elf).iter().all(|segment| segment.0 != INTERPRETER), "{}", program.display());
        }
    }
}

#[test]
fn the_init_stub_of_each_runtime_is_of_its_architecture() {
    const LOAD: usize = 1;
    for (arch, expected) in ARCHITECTURES {
        let name = format!("orlop-{}-{arch}", env!("CARGO_PKG_VERSION"));
        if built(arch).iter().all(|program| !program.ends_with(&name)) {
            continue;
        }
        let linked = root().join("target/dist").join(arch).join("init.elf");
        let stub = fs::read(&linked).unwrap_or_else(|e| panic!("{}: {e}", linked.display()));
        assert_eq!(machine(&stub), expected, "{}", linked.display());
        // The runtime carries the segment without the header; its last kilobyte names the stub well enough.
        // Some linkers put the headers into a segment of their own: the code's is the longest.
        let loaded = segments(&stub).into_iter().filter(|segment| segment.0 == LOAD);
        let (_, from, length) = loaded.max_by_key(|segment| segment.2).unwrap();
        let code = &stub[from + length - 1024..from + length];
        let runtime = fs::read(root().join("out/dist").join(&name)).unwrap();
        assert!(runtime.windows(code.len()).any(|window| window == code), "{name} carries another stub");
    }
}

#[test]
fn no_program_names_a_folder_of_its_builder() {
    let home = std::env::var("HOME").unwrap();
    let folders = [root().to_string_lossy().into_owned(), format!("{home}/.cargo"), format!("{home}/.rustup")];
    for (arch, _) in ARCHITECTURES {
        for program in built(arch) {
            let bytes = fs::read(&program).unwrap();
            for folder in &folders {
                let found = bytes.windows(folder.len()).any(|window| window == folder.as_bytes());
                assert!(!found, "{} names {folder}", program.display());
            }
        }
    }
}

#[test]
fn sums_are_those_of_the_programs() {
    let directory = root().join("out/dist");
    if !directory.join("SHA256SUMS").exists() {
        println!("SKIP no out/dist/SHA256SUMS: `make dist` writes it");
        return;
    }
    let output = Command::new("sha256sum").args(["--check", "--strict", "SHA256SUMS"]).current_dir(&directory).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let sums = fs::read_to_string(directory.join("SHA256SUMS")).unwrap();
    for program in ARCHITECTURES.iter().flat_map(|(arch, _)| built(arch)) {
        let name = program.file_name().unwrap().to_string_lossy().into_owned();
        assert!(sums.lines().any(|line| line.ends_with(&format!("  {name}"))), "{name} has no sum");
    }
}
