//! The system calls of `run` with the time that each waits, as `strace -c -w` counts them: orlop's beside the floor's.

use crate::bundle::Scenario;
use crate::subject::{TINY, floor};
use crate::suite::Bench;
use anyhow::{Context, Result, bail};
use std::fmt::Write as _;
use std::fs;
use std::process::{Command, Stdio};

/// How many of orlop's are shown.
const SHOWN: usize = 15;

/// A line of strace's: microseconds in all, how often, and which.
type Call = (f64, u64, String);

impl Bench<'_> {
    /// A table of those that take the longest; tracing makes each of them slower by about the same.
    pub(crate) fn calls(&mut self) -> Result<()> {
        let Some(subject) = self.subjects.iter().find(|s| s.name == "orlop") else { return Ok(()) };
        let bundle = subject.bundle(self.work, Scenario::Plain, "calls", TINY)?;
        let ours = self.count(&subject.words(&["run", "-b", &bundle, "calls"]))?;
        let theirs = self.count(&floor(self.work, self.machine, Scenario::Plain, Some("floor"), TINY))?;
        let sum = |calls: &[Call]| calls.iter().map(|(_, count, _)| count).sum::<u64>();
        let mut table = format!(
            "\n### the system calls of `run` that take the longest\n\nUnder strace, which adds the same to each; calls that wait for \
             the other process are among them. orlop makes {} in all, the floor {}.\n\n\
             | system call | orlop: calls | us in all | floor: calls | us in all |\n|{}\n",
            sum(&ours),
            sum(&theirs),
            " --- |".repeat(5)
        );
        for (time, count, name) in ours.iter().take(SHOWN) {
            let (floor_time, floor_count) =
                theirs.iter().find(|(_, _, n)| n == name).map_or((0.0, 0), |(time, count, _)| (*time, *count));
            let _ = writeln!(table, "| {name} | {count} | {time:.0} | {floor_count} | {floor_time:.0} |");
        }
        self.notes += &table;
        Ok(())
    }

    fn count(&self, words: &[String]) -> Result<Vec<Call>> {
        let file = self.work.dir.join("strace");
        let mut command = Command::new("strace");
        command
            .args(["-f", "-c", "-w", "-U", "calls,total-time,name", "-S", "total-time", "-o"])
            .arg(&file)
            .args(words);
        let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status().context("strace is not installed")?;
        if !status.success() {
            bail!("strace {}: {status}", words.join(" "));
        }
        let text = fs::read_to_string(&file)?;
        let call = |line: &str| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [count, seconds, name] = words[..] else { return None };
            let seconds: f64 = seconds.parse().ok()?;
            (name != "total").then_some((seconds * 1e6, count.parse().ok()?, name.to_owned()))
        };
        Ok(text.lines().filter_map(call).collect())
    }
}
