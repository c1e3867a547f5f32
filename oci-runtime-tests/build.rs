//! Compiles the probe as a static program of its own, to be embedded in the suite: so `cargo run` needs no second build.

use std::path::PathBuf;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=probe/src");
    let variable = |name: &str| std::env::var(name).unwrap_or_else(|_| panic!("cargo sets {name}"));
    let out = PathBuf::from(variable("OUT_DIR")).join("probe");
    let mut rustc = Command::new(variable("RUSTC"));
    rustc
        .args(["--edition", "2024", "--crate-name", "probe", "--crate-type", "bin", "-C", "target-feature=+crt-static"])
        .args(["-C", "relocation-model=static", "-C", "opt-level=s", "-C", "panic=abort", "-C", "strip=symbols"])
        .args(["--target", &variable("TARGET"), "-o"])
        .arg(&out)
        .arg("probe/src/main.rs");
    // Cargo's linker for the target, where another architecture needs its own.
    if let Ok(linker) = std::env::var("RUSTC_LINKER") {
        rustc.arg("-C").arg(format!("linker={linker}"));
    }
    let status = rustc.status().expect("rustc runs");
    assert!(status.success(), "the probe does not compile");
}
