//! What it costs to generate Docker's default filter for three architectures, and to load it: orlop's generator beside
//! libseccomp. Build it as the release is built (`cargo run --release`), or orlop's figures mean nothing.

use anyhow::{Context, Result, bail};
use orlop::config::{self, Seccomp};
use orlop::process::seccomp::{ACTIONS, Filter, Kernel, OPERATORS};
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
    let spec = config::parse(&json)?;
    let seccomp = spec.linux.as_ref().and_then(|linux| linux.seccomp.as_ref()).context("the profile is missing")?;
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
    let (ours, program) = generate(seccomp)?;
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
fn generate(seccomp: &Seccomp<'_>) -> Result<(Vec<u64>, Vec<u8>)> {
    let mut times = Vec::new();
    let mut program = Vec::new();
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        let filter = Filter::parse(seccomp, &Kernel::default())?.context("no filter")?;
        times.push(u64::try_from(begun.elapsed().as_nanos())?);
        program = filter.program;
    }
    let bytes = program.iter().flat_map(|i| {
        let mut bytes = i.code.to_ne_bytes().to_vec();
        bytes.extend([i.jt, i.jf]);
        bytes.extend(i.k.to_ne_bytes());
        bytes
    });
    Ok((times, bytes.collect()))
}

/// The profile as lines for the tool, as runc gives it to libseccomp.
fn rules(seccomp: &Seccomp<'_>) -> Result<String> {
    let action = |name: Option<&str>, errno: Option<u32>| -> Result<u32> {
        let number = match name {
            Some("SCMP_ACT_ALLOW") => 0x7fff_0000,
            Some("SCMP_ACT_ERRNO") => 0x0005_0000 | errno.unwrap_or(1),
            other => bail!("the profile has {other:?}, one of {ACTIONS:?}"),
        };
        Ok(number)
    };
    let default = action(seccomp.default_action.as_deref(), seccomp.default_errno_ret)?;
    let mut text = format!("begin {default}\n");
    for architecture in seccomp.architectures.iter().flatten() {
        let _ = writeln!(text, "arch {}", architecture.trim_start_matches("SCMP_ARCH_").to_lowercase());
    }
    for rule in seccomp.syscalls.iter().flatten() {
        let action = action(rule.action.as_deref(), rule.errno_ret)?;
        for name in rule.names.iter().flatten().filter(|_| action != default) {
            let _ = write!(text, "rule {action} {name}");
            for arg in rule.args.iter().flatten() {
                let op = ["", "NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"];
                let word = arg.op.as_deref().unwrap_or_default().trim_start_matches("SCMP_CMP_");
                let op =
                    op.iter().position(|op| *op == word).with_context(|| format!("{word} is none of {OPERATORS:?}"))?;
                let (index, a, b) = (arg.index.unwrap_or(0), arg.value.unwrap_or(0), arg.value_two.unwrap_or(0));
                let _ = write!(text, " {index}:{op}:{a}:{b}");
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
