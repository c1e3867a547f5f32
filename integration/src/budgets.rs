//! Counts what orlop's commands cost in system calls and instructions, and compares with `integration/bench/budgets`.
//!
//! System calls are those of the command and of every process that it makes, until each waits, ends or executes the
//! container's program. Instructions are counted by callgrind, in commands that make no container: it cannot follow a
//! clone into namespaces. Both are the same on every machine of a kind (the cgroups' version, and who compiled the binary),
//! however busy it is, but for a small margin.

use crate::Request;
use crate::kills::follow::{Point, Seen, follow};
use crate::kills::scene::{ORDINARY, Scene};
use crate::work::Work;
use anyhow::{Context, Result, bail};
use integration::report::{Outcome, Report};
use integration::runtime;
use integration::scene::here;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

/// By how much a count may be above its budget: 1 in so many. Which of two processes waits for the other is chance, and a wait
/// costs a few system calls; instructions depend on the lengths of paths and numbers.
const MARGIN_OF_CALLS: u64 = 32;
const MARGIN_OF_INSTRUCTIONS: u64 = 50;

const INSTRUCTIONS: &str = "instructions";

/// What is measured, of what, and what it may cost at most.
type Budgets = BTreeMap<(String, String), u64>;

pub(crate) fn run(request: &Request) -> Result<bool> {
    let work = Work::make()?;
    let runtime = runtime::find("orlop", &work.0)?;
    let seen = measure(&work.0, &runtime.path)?;
    let kind = kind()?;
    let file = here().join("bench/budgets");
    let committed = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    if request.update {
        fs::write(&file, updated(&committed, &kind, &seen))?;
        println!("{} says now what the commands cost here", file.display());
    }
    let budgets = read(&fs::read_to_string(&file)?, &kind)?;
    let mut report = Report::default();
    for ((what, of), cost) in &seen {
        let outcome = judge(what, *cost, budgets.get(&(what.clone(), of.clone())).copied(), &kind);
        report.add("budgets", &format!("{what} of {of}"), "orlop", outcome);
    }
    Ok(report.close())
}

fn judge(what: &str, cost: u64, budget: Option<u64>, kind: &str) -> Outcome {
    let Some(budget) = budget else {
        return Outcome::Skipped(format!("no budget for {kind} machines (`make budgets UPDATE=1` writes one)"));
    };
    let margin = if what == INSTRUCTIONS { MARGIN_OF_INSTRUCTIONS } else { MARGIN_OF_CALLS };
    println!("     {cost} of {budget}");
    match cost > budget + budget / margin {
        true => Outcome::Failed(format!(
            "     {cost} {what}, the budget is {budget}: if it must be, `make budgets UPDATE=1` raises it"
        )),
        false => Outcome::Passed,
    }
}

/// Which budgets are this machine's: the cgroups' version with the number of hierarchies, and the toolchain.
fn kind() -> Result<String> {
    let toolchain = Command::new(here().join("tools/toolchain")).output()?;
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    let hierarchies = mounts.lines().filter(|line| line.split(' ').nth(2) == Some("cgroup")).count();
    let cgroups = if hierarchies > 0 { format!("v1x{hierarchies}") } else { "v2".into() };
    Ok(format!("{cgroups}-{}", String::from_utf8_lossy(&toolchain.stdout).trim()))
}

fn measure(work: &Path, runtime: &Path) -> Result<Budgets> {
    let mut seen = Budgets::new();
    for command in ORDINARY {
        let scene = Scene::make(work, runtime, command)?;
        // Now and then a wait is interrupted and made again: the least of a few is what the command needs.
        let mut least = u64::MAX;
        for _ in 0..5 {
            scene.reach()?;
            let followed = follow(&scene.command(), Point::Never)?;
            if command.name == "state" {
                callgrind(&mut seen, work, "state", &scene.command())?;
                callgrind(&mut seen, work, "list", &scene.list())?;
            }
            if command.name != "delete" {
                scene.delete()?;
            }
            least = least.min(calls(&followed));
        }
        seen.insert(("system calls".into(), command.name.into()), least);
    }
    let version = [runtime.display().to_string(), "--version".into()];
    callgrind(&mut seen, work, "--version", &version)?;
    Ok(seen)
}

/// All system calls after the command was executed (before, its process was a shell), and those of its children.
fn calls(seen: &Seen) -> u64 {
    let execve = u64::try_from(nix::libc::SYS_execve).unwrap_or_default();
    let sum: usize = seen
        .processes
        .iter()
        .enumerate()
        .map(|(number, process)| {
            let begin = if number == 0 {
                process.calls.iter().position(|call| *call == execve).map_or(0, |at| at + 1)
            } else {
                0
            };
            process.calls.len() - begin
        })
        .sum();
    sum as u64
}

/// What callgrind sees of a command. The program's own path is some instructions per letter long: it is a short one, wherever
/// the repository lies.
fn callgrind(seen: &mut Budgets, work: &Path, name: &str, words: &[String]) -> Result<()> {
    let [program, arguments @ ..] = words else { bail!("no program") };
    let (Some(dir), Some(program)) = (Path::new(program).parent(), Path::new(program).file_name()) else {
        bail!("{program} is no path of a program");
    };
    let calls = work.join("callgrind");
    let output = Command::new("valgrind")
        .arg("--tool=callgrind")
        .arg(format!("--callgrind-out-file={}", calls.display()))
        .arg(Path::new(".").join(program))
        .args(arguments)
        .current_dir(dir)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .output()
        .context("valgrind is not installed")?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let count = said.lines().find_map(|line| line.split_once("Collected : ")?.1.trim().parse().ok());
    let Some(count) = count.filter(|_| output.status.success()) else {
        bail!("valgrind {}: {}: {said}", words.join(" "), output.status);
    };
    seen.insert((INSTRUCTIONS.into(), name.into()), count);
    Ok(())
}

/// The lines `KIND | WHAT | OF | AT MOST` of one kind.
fn read(text: &str, kind: &str) -> Result<Budgets> {
    let mut budgets = Budgets::new();
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let words: Vec<&str> = line.split('|').map(str::trim).collect();
        let [of_kind, what, of, most] = words[..] else { bail!("budgets: what is {line:?}?") };
        if of_kind == kind {
            budgets.insert((what.into(), of.into()), most.parse().with_context(|| line.to_owned())?);
        }
    }
    Ok(budgets)
}

/// The text with this kind's lines replaced.
fn updated(text: &str, kind: &str, seen: &Budgets) -> String {
    let mut new: String = text
        .lines()
        .filter(|line| line.split('|').next().map(str::trim) != Some(kind))
        .fold(String::new(), |all, line| all + line + "\n");
    for ((what, of), cost) in seen {
        let _ = writeln!(new, "{kind} | {what} | {of} | {cost}");
    }
    new
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again_and_other_kinds_stay() {
        let seen = Budgets::from([(("system calls".to_owned(), "run".to_owned()), 7)]);
        let text = updated(
            "# head\nv2-gnu | system calls | run | 9\nv1x9-debian | instructions | list | 1\n",
            "v1x9-debian",
            &seen,
        );
        assert_eq!(text, "# head\nv2-gnu | system calls | run | 9\nv1x9-debian | system calls | run | 7\n");
        assert_eq!(read(&text, "v1x9-debian").unwrap(), seen);
        assert!(read("nonsense", "v2").is_err());
    }

    #[test]
    fn what_costs_more_than_its_budget_and_margin_fails() {
        assert_eq!(judge("system calls", 31, Some(31), ""), Outcome::Passed);
        assert!(matches!(judge("system calls", 32, Some(31), ""), Outcome::Failed(_)));
        assert_eq!(judge("instructions", 102, Some(100), ""), Outcome::Passed);
        assert!(matches!(judge("instructions", 103, Some(100), ""), Outcome::Failed(_)));
    }
}
