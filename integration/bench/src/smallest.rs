//! The smallest limit of memory with which a container's program starts.

use crate::bundle::{self, Scenario};
use crate::figures::FLOOR;
use crate::machine::PARENT;
use crate::subject::{BUSYBOX, TINY};
use crate::suite::Bench;
use anyhow::{Result, bail};
use std::fmt::Write as _;

/// A page, in KiB: limits are whole pages.
const PAGE: u64 = 4;
/// Where the search ends, in KiB.
const MOST: u64 = 64 << 10;
/// A limit counts when the program has started so often in a row.
const TIMES: usize = 5;

impl Bench<'_> {
    /// A table of the runtimes' smallest limits beside plain fork, late join and execve of the same program in C.
    pub(crate) fn memory(&mut self) -> Result<()> {
        let mut table = String::from("\n### the smallest memory limit that starts a program, KiB\n\n| program |");
        let names: Vec<String> =
            std::iter::once(FLOOR.to_owned()).chain(self.subjects.iter().map(|s| s.name.clone())).collect();
        let _ = writeln!(table, " {} |\n|{}", names.join(" | "), " --- |".repeat(names.len() + 1));
        for (label, program) in [("without a libc", TINY), ("busybox", BUSYBOX)] {
            let mut row = vec![self.smallest(|bench, limit| bench.plain_starts(program, limit))?];
            for number in 0..self.subjects.len() {
                row.push(self.smallest(|bench, limit| bench.container_starts(number, program, limit))?);
            }
            let row: Vec<String> = row.iter().map(ToString::to_string).collect();
            let _ = writeln!(table, "| {label} | {} |", row.join(" | "));
        }
        self.notes += &table;
        Ok(())
    }

    /// In KiB: by halves, and then upwards until it works every time.
    fn smallest(&self, starts: impl Fn(&Self, u64) -> Result<bool>) -> Result<u64> {
        let (mut fails, mut works) = (0, MOST);
        while works - fails > PAGE {
            let middle = (fails + works) / 2 / PAGE * PAGE;
            match starts(self, middle)? {
                true => works = middle,
                false => fails = middle,
            }
        }
        for limit in (works..=MOST).step_by(PAGE as usize) {
            let mut all = true;
            for _ in 0..TIMES {
                all = all && starts(self, limit)?;
            }
            if all {
                return Ok(limit);
            }
        }
        bail!("nothing starts with {MOST} KiB")
    }

    /// The floor: fork, join the cgroup, execute.
    fn plain_starts(&self, program: &[&str], limit: u64) -> Result<bool> {
        let path = |path: std::path::PathBuf| path.display().to_string();
        let (option, hierarchy) = match &self.machine.unified {
            Some(tree) => ("-u", tree.clone()),
            None => ("-h", self.machine.hierarchy("memory")),
        };
        let file = if option == "-u" { "memory.max" } else { "memory.limit_in_bytes" };
        let write = format!("{}={}", path(hierarchy.join(file)), limit << 10);
        let mut words = vec![path(self.work.dir.join("floor")), "run".into(), "-p".into()];
        words.extend([
            "-n".into(),
            format!("{PARENT}/floor"),
            option.into(),
            path(hierarchy),
            "-w".into(),
            write,
            "-".into(),
        ]);
        words.push(path(self.work.rootfs.join(program[0].trim_start_matches('/'))));
        Ok(self.gauge.measure(&words).is_ok())
    }

    fn container_starts(&self, number: usize, program: &[&str], limit: u64) -> Result<bool> {
        let subject = &self.subjects[number];
        let bundle = subject.bundle(self.work, Scenario::Plain, "memory", program)?;
        bundle::limit(&bundle, limit << 10)?;
        let started = self.gauge.measure(&subject.words(&["run", "-b", &bundle, "memory"])).is_ok();
        if !started {
            // Whatever is left of it; most often nothing is.
            let _ = subject.call(&["delete", "--force", "memory"]);
        }
        Ok(started)
    }
}
