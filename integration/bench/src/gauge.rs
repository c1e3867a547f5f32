//! Runs commands under the gauge, a small program that measures them (`native/gauge.c`).

use anyhow::{Context, Result, bail};
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// What one command has cost, with all processes that it made.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sample {
    /// From its fork to its end, in nanoseconds.
    pub(crate) wall: u64,
    /// User and system time, in nanoseconds.
    pub(crate) cpu: u64,
    /// Peak resident memory of its largest process, in KiB.
    pub(crate) peak: u64,
    /// Page faults that were answered without a disk.
    pub(crate) faults: u64,
}

impl Sample {
    /// Both together.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            wall: self.wall + other.wall,
            cpu: self.cpu + other.cpu,
            peak: self.peak.max(other.peak),
            faults: self.faults + other.faults,
        }
    }
}

/// The gauge's program, and a directory for what the commands say.
#[derive(Clone, Debug)]
pub(crate) struct Gauge {
    pub(crate) program: PathBuf,
    pub(crate) dir: PathBuf,
}

/// Stands between two commands.
pub(crate) const THEN: &str = ",";
/// Waits for every process that the commands before it have left.
pub(crate) const WAIT: &str = "@wait";

/// A gauge that runs.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    said: PathBuf,
    words: Vec<String>,
}

impl Gauge {
    /// Runs the commands, with [`THEN`] between them; a sample for each.
    ///
    /// # Errors
    /// One of them has failed: what it said.
    pub(crate) fn measure(&self, words: &[String]) -> Result<Vec<Sample>> {
        self.begin(words, 0)?.end()
    }

    /// The same in two parts; `slot` tells those apart that run at the same time.
    pub(crate) fn begin(&self, words: &[String], slot: usize) -> Result<Running> {
        let said = self.dir.join(format!("said-{slot}"));
        let file = File::create(&said)?;
        let mut command = Command::new(&self.program);
        command.args(words).stdin(Stdio::null()).stderr(file.try_clone()?).stdout(file).current_dir("/");
        let child = command.spawn().context("start the gauge")?;
        Ok(Running { child, said, words: words.to_vec() })
    }
}

impl Running {
    pub(crate) fn end(mut self) -> Result<Vec<Sample>> {
        let status = self.child.wait()?;
        let said = fs::read_to_string(&self.said)?;
        let samples: Option<Vec<Sample>> = said.lines().map(sample).collect();
        let steps = self.words.split(|word| word == THEN).count();
        match samples {
            Some(samples) if status.success() && samples.len() == steps => Ok(samples),
            _ => bail!("{}: {status}: {}", self.words.join(" "), said.trim()),
        }
    }
}

/// A line of the gauge's; None if it is another's, or of a command that has failed.
fn sample(line: &str) -> Option<Sample> {
    let numbers: Vec<u64> = line.split(' ').map(str::parse).collect::<Result<_, _>>().ok()?;
    match numbers[..] {
        [wall, cpu, peak, faults, _, 0] => Some(Sample { wall, cpu, peak, faults }),
        _ => None,
    }
}
