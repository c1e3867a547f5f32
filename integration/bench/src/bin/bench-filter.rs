//! What it costs to generate Docker's default filter for three architectures, and to load it: orlop's generator beside
//! libseccomp. Build it as the release is built (`cargo run --release`), or orlop's figures mean nothing.

use anyhow::{Context, Result, bail};
use orlop::explain::SeccompProfile;
use serde_json::Value;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

const ROUNDS: usize = 300;

fn main() -> Result<()> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let dir = std::env::temp_dir().join(format!("orlop-bench-filter-{}", std::process::id()));
    fs::create_dir_all(&dir)?;
    let table = measure(here, &dir);
    fs::remove_dir_all(&dir)?;
    print!("{}", table?);
    Ok(())
}

fn measure(here: &Path, dir: &Path) -> Result<String> {
    let json = fs::read(here.join("../../src/config/testdata/engines/docker.json"))?;
    let profile = SeccompProfile::of_config(&json)?.context("the profile is missing")?;
    let written: Value = serde_json::from_slice(&json)?;
    let seccomp = &written["linux"]["seccomp"];
    let tool = dir.join("filter");
    let compiled = Command::new("cc")
        .arg("-O2")
        .arg("-o")
        .arg(&tool)
        .arg(here.join("native/filter.c"))
        .arg("-lseccomp")
        .status()?;
    if !compiled.success() {
        bail!("libseccomp-dev is not installed");
    }
    let (ours, program) = generate(&profile)?;
    fs::write(dir.join("ours.bpf"), &program)?;
    let mut said = run(&tool, dir, &["generate", &ROUNDS.to_string()], &rules(seccomp)?)?;
    let theirs_length = said.pop().context("no program")?;
    let mut table = String::from(
        "\n### Docker's default seccomp profile for x86_64, x86 and x32\n\n| generator | instructions | generate us | load us |\n\
         | --- | --- | --- | --- |\n",
    );
    for (name, length, times, file) in
        [("orlop", program.len() as u64 / 8, ours, "ours.bpf"), ("libseccomp", theirs_length, said, "filter.bpf")]
    {
        let loaded = run(&tool, dir, &["load", &ROUNDS.to_string(), file], "")?;
        let _ = writeln!(table, "| {name} | {length} | {} | {} |", microseconds(times), microseconds(loaded));
    }
    Ok(table)
}

/// The times in nanoseconds, and the program as the kernel takes it.
fn generate(profile: &SeccompProfile<'_>) -> Result<(Vec<u64>, Vec<u8>)> {
    let mut times = Vec::new();
    let mut program = Vec::new();
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        program = profile.compile()?.context("no filter")?;
        times.push(u64::try_from(begun.elapsed().as_nanos())?);
    }
    Ok((times, program))
}

/// The profile as lines for the tool, as runc gives it to libseccomp.
fn rules(seccomp: &Value) -> Result<String> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let action = |name: &Value, errno: &Value| -> Result<u64> {
        match name.as_str() {
            Some("SCMP_ACT_ALLOW") => Ok(0x7fff_0000),
            Some("SCMP_ACT_ERRNO") => Ok(0x0005_0000 | errno.as_u64().unwrap_or(1)),
            other => bail!("the profile has the action {other:?}"),
        }
    };
    let default = action(&seccomp["defaultAction"], &seccomp["defaultErrnoRet"])?;
    let mut text = format!("begin {default}\n");
    for architecture in list(&seccomp["architectures"]) {
        let name = architecture.as_str().unwrap_or_default();
        let _ = writeln!(text, "arch {}", name.trim_start_matches("SCMP_ARCH_").to_lowercase());
    }
    for rule in list(&seccomp["syscalls"]) {
        let action = action(&rule["action"], &rule["errnoRet"])?;
        for name in list(&rule["names"]).iter().filter(|_| action != default) {
            let _ = write!(text, "rule {action} {}", name.as_str().unwrap_or_default());
            for arg in list(&rule["args"]) {
                let op = ["", "NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"];
                let word = arg["op"].as_str().unwrap_or_default().trim_start_matches("SCMP_CMP_");
                let op = op.iter().position(|op| *op == word).with_context(|| format!("the operator {word}"))?;
                let number = |name: &str| arg[name].as_u64().unwrap_or(0);
                let _ = write!(text, " {}:{op}:{}:{}", number("index"), number("value"), number("valueTwo"));
            }
            text.push('\n');
        }
    }
    Ok(text)
}

/// The numbers that the tool writes.
fn run(tool: &Path, dir: &Path, words: &[&str], input: &str) -> Result<Vec<u64>> {
    let said: PathBuf = dir.join("said");
    let mut command = Command::new(tool);
    command.args(words).current_dir(dir).stdin(Stdio::piped()).stdout(fs::File::create(&said)?);
    let mut child = command.spawn()?;
    child.stdin.take().context("no input")?.write_all(input.as_bytes())?;
    if !child.wait()?.success() {
        bail!("filter {} failed", words.join(" "));
    }
    let text = fs::read_to_string(&said)?;
    text.split_whitespace().map(|word| word.parse().with_context(|| format!("filter says {word}"))).collect()
}

/// The median, and in brackets the first: it finds caches cold, as a runtime does.
#[allow(clippy::cast_precision_loss)]
fn microseconds(mut times: Vec<u64>) -> String {
    let first = times.first().copied().unwrap_or(0);
    times.sort_unstable();
    let median = times.get(times.len() / 2).copied().unwrap_or(0);
    format!("{:.0} ({:.0})", median as f64 / 1e3, first as f64 / 1e3)
}
