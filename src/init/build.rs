//! Builds the init stub and embeds it in the library, with the commit of the sources.
//!
//! The init stub is a separate program without a libc (`src/init/main.rs`), compiled by the same
//! compiler for the same architecture, with the `core` of the GNU target, or of the build's target
//! if only that is installed; for another architecture than the host's, by cargo's linker for the
//! target. Only its single segment is kept; orlop writes the ELF header at run time.
//!
//! `ORLOP_INIT_IMAGE=FILE` takes a stub that was linked elsewhere, for cross builds without that `core`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

mod commit;

fn main() {
    name_commit();
    println!("cargo::rerun-if-changed=src/init");
    println!("cargo::rerun-if-env-changed=ORLOP_INIT_IMAGE");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let linked = match env::var_os("ORLOP_INIT_IMAGE") {
        Some(file) => PathBuf::from(file),
        None => compile(&out),
    };
    let elf = fs::read(&linked).unwrap_or_else(|e| panic!("{}: {e}", linked.display()));
    check_machine(&elf);
    let (code, entry) = segment(&elf);
    fs::write(out.join("init.bin"), code).expect("OUT_DIR can be written");
    fs::write(out.join("init.entry"), entry.to_string()).expect("OUT_DIR can be written");
}

/// Tells the library the commit of the sources, in a release build: an unoptimized one would be compiled anew for each
/// commit.
fn name_commit() {
    let is_release = env::var("PROFILE").is_ok_and(|profile| profile == "release");
    let (commit, inputs) = if is_release { commit::of(Path::new(".")) } else { ("unknown".into(), Vec::new()) };
    for file in inputs {
        println!("cargo::rerun-if-changed={}", file.display());
    }
    println!("cargo::rustc-env=ORLOP_COMMIT={commit}");
}

/// Compiles the stub for the first target with an installed `core`.
fn compile(out: &Path) -> PathBuf {
    let arch = env::var("CARGO_CFG_TARGET_ARCH").expect("cargo sets CARGO_CFG_TARGET_ARCH");
    let target = env::var("TARGET").expect("cargo sets TARGET");
    let rustc = env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    let file = out.join("init.elf");
    let mut said = String::new();
    for target in [format!("{arch}-unknown-linux-gnu"), format!("{arch}-unknown-linux-musl"), target] {
        let output = Command::new(&rustc)
            .args(["--edition=2024", "--crate-name=orlop_init", "--crate-type=bin", "--target", &target])
            .args(["-Copt-level=s", "-Cpanic=abort", "-Clto=fat", "-Ccodegen-units=1", "-Crelocation-model=static"])
            .args(["-Cforce-unwind-tables=no", "-Cstrip=symbols", "-Coverflow-checks=off", "-Cdebug-assertions=off"])
            // Newer compilers refuse the option on targets without self-contained linking.
            .args(target.contains("musl").then_some("-Clink-self-contained=no"))
            .arg(format!("-Clinker={}", linker(&arch)))
            .args(["-Clink-args=-nostdlib -nostartfiles -static -no-pie"])
            .args(["-Clink-args=-fuse-ld=bfd -Wl,--build-id=none -Wl,-Tsrc/init/image.ld"])
            .arg("-o")
            .arg(&file)
            .arg("src/init/main.rs")
            // The outer build's flags are for the outer target; the bootstrap key would let this source use unstable features.
            .env_remove("RUSTFLAGS")
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .env_remove("RUSTC_BOOTSTRAP")
            .output()
            .unwrap_or_else(|e| panic!("{rustc}: {e}"));
        if output.status.success() {
            return file;
        }
        said += &format!("for {target}:\n{}\n", String::from_utf8_lossy(&output.stderr));
    }
    panic!("the init image could not be built (ORLOP_INIT_IMAGE=FILE takes one built elsewhere)\n{said}");
}

/// The host's `cc` for the host's architecture, else the linker that cargo has for the target.
fn linker(arch: &str) -> String {
    println!("cargo::rerun-if-env-changed=RUSTC_LINKER");
    let host = env::var("HOST").expect("cargo sets HOST");
    let own = || if host.starts_with(arch) { None } else { env::var("RUSTC_LINKER").ok() };
    own().unwrap_or_else(|| "cc".into())
}

/// Ends the build for a stub of another architecture: the header that orlop writes at run time is the target's.
fn check_machine(elf: &[u8]) {
    let arch = env::var("CARGO_CFG_TARGET_ARCH").expect("cargo sets CARGO_CFG_TARGET_ARCH");
    // elf(5): EM_X86_64, EM_AARCH64, EM_RISCV.
    let Some((_, machine)) = [("x86_64", 62), ("aarch64", 183), ("riscv64", 243)].into_iter().find(|(a, _)| *a == arch)
    else {
        return;
    };
    assert!(elf.get(18..20) == Some(&[machine, 0]), "the init image is not of the architecture {arch}");
}

/// The bytes of the section `.text` and the entry's address.
fn segment(elf: &[u8]) -> (&[u8], u64) {
    let word = |at: usize, size: usize| -> u64 {
        elf[at..at + size].iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
    };
    let entry = word(0x18, 8);
    let (table, size, count) = (word(0x20, 8) as usize, word(0x36, 2) as usize, word(0x38, 2) as usize);
    for n in 0..count {
        let header = table + n * size;
        let (kind, flags) = (word(header, 4), word(header + 4, 4));
        if kind == 1 && flags & 1 != 0 {
            let (offset, at, length) = (word(header + 8, 8), word(header + 16, 8), word(header + 32, 8));
            // The linker may start the segment at its page; only the bytes from CODE_AT on count.
            let skip = 0x10100u64.saturating_sub(at);
            let from = (offset + skip) as usize;
            return (&elf[from..(offset + length) as usize], entry);
        }
    }
    panic!("the init image has no executable segment");
}
