//! An engine that runs with a private root for one runtime, and the scripts that are run in it.

use crate::operation::Operation;
use crate::runtime::Runtime;
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// An engine's fixture (`engines/fixtures/NAME`) in a directory of its own.
#[derive(Debug)]
pub struct Scene {
    engine: String,
    dir: PathBuf,
    runtime: Runtime,
}

impl Scene {
    /// Makes the root filesystem and image, and starts the engine.
    ///
    /// # Errors
    /// The engine does not start; its log is part of the message.
    pub fn start(engine: &str, runtime: &Runtime, work: &Path) -> Result<Self> {
        let dir = work.join(format!("{engine}-{}", runtime.name));
        fs::create_dir_all(&dir)?;
        let scene = Self { engine: engine.into(), dir, runtime: runtime.clone() };
        let made = Command::new(here().join("tools/image")).arg(&scene.dir).output().context("make an image")?;
        if !made.status.success() {
            bail!("image: {}", String::from_utf8_lossy(&made.stderr));
        }
        let (status, output) = scene.step("start", 120)?;
        if status != 0 {
            bail!("{engine} does not start: {output}");
        }
        Ok(scene)
    }

    /// Runs an operation and removes what it left; gives what it printed, made comparable, with its status at the end.
    ///
    /// # Errors
    /// The script could not be written or started.
    pub fn run(&self, operation: &Operation) -> Result<String> {
        let script = self.dir.join("script");
        fs::write(&script, &operation.script)?;
        let mut command = self.command(operation.seconds);
        command.arg("run").arg(&script);
        let (status, output) = finish(command, &self.dir)?;
        self.step("clean", 60)?;
        let mut seen = self.comparable(&output);
        if status == 124 || status == 137 {
            seen.push_str("TIMED OUT\n");
        }
        Ok(seen)
    }

    /// The engine's own name and version, by its fixture.
    ///
    /// # Errors
    /// The fixture cannot be started.
    pub fn version(&self) -> Result<String> {
        Ok(self.step("version", 30)?.1.trim().to_string())
    }

    /// Ends the engine and removes its directory.
    ///
    /// # Errors
    /// The directory cannot be removed.
    pub fn stop(self) -> Result<()> {
        self.step("stop", 60)?;
        fs::remove_dir_all(&self.dir).with_context(|| self.dir.display().to_string())
    }

    fn step(&self, name: &str, seconds: u32) -> Result<(i32, String)> {
        let mut command = self.command(seconds);
        command.arg(name);
        finish(command, &self.dir)
    }

    fn command(&self, seconds: u32) -> Command {
        let mut command = Command::new("timeout");
        command
            .args(["-k", "5", &seconds.to_string()])
            .arg(here().join("engines/fixtures/scene"))
            .arg(&self.engine)
            .env("DIR", &self.dir)
            .env("RUNTIME_PATH", &self.runtime.path)
            .env("RUNTIME_NAME", &self.runtime.name)
            .current_dir(&self.dir);
        command
    }

    /// Replaces what differs from run to run: ids, the runtime's name where an engine quotes it, paths.
    fn comparable(&self, output: &str) -> String {
        let output = output
            .replace(&self.dir.display().to_string(), "DIR")
            .replace(&self.runtime.path.display().to_string(), "RUNTIME")
            .replace("error during container init: exec: ", "exec: ")
            .replace(": permission denied: it is a directory", ": permission denied")
            // runc since 1.2, whose words Docker makes longer for the sake of the exit status.
            .replace("\": is a directory: permission denied", "\": permission denied")
            .replace("\": is a directory", "\": permission denied")
            .replace("orlop create failed: ", "runc create failed: ")
            .replace("orlop run failed: ", "runc run failed: ");
        let mut seen = String::new();
        // Docker's client says this or not, as its calls happen to end.
        for line in output.lines().filter(|l| !l.contains("error waiting for container: context canceled")) {
            seen.push_str(&without_ids(&without_time(&without_hint(line))));
            seen.push('\n');
        }
        seen
    }
}

/// The hint behind an error, which no other runtime gives: `integration/tests/messages.rs` has its words.
fn without_hint(line: &str) -> String {
    match (line.find(" (hint: "), line.rfind(')')) {
        (Some(start), Some(end)) if start < end => format!("{}{}", &line[..start], &line[end + 1..]),
        _ => line.to_string(),
    }
}

/// Times in logs, as in `time="2026-01-01T00:00:00Z"`.
fn without_time(line: &str) -> String {
    for mark in ["time=\"20", "\"time\":\"20"] {
        if let Some(start) = line.find(mark)
            && let Some(length) = line[start + mark.len()..].find('"')
        {
            let end = start + mark.len() + length;
            return format!("{}TIME{}", &line[..start], &line[end + 1..]);
        }
    }
    line.to_string()
}

/// Words of 12 or 64 hexadecimal digits are ids.
fn without_ids(line: &str) -> String {
    let mut text = String::new();
    let mut word = String::new();
    for c in line.chars().chain(['\n']) {
        if c.is_ascii_alphanumeric() {
            word.push(c);
            continue;
        }
        let hex = word.chars().all(|c| c.is_ascii_hexdigit());
        text.push_str(if hex && matches!(word.len(), 12 | 64) { "ID" } else { &word });
        word.clear();
        text.push(c);
    }
    text.trim_end().to_string()
}

/// Where the fixtures and operations lie.
#[must_use]
pub fn here() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Runs to the end with both outputs in one file (a pipe would be held open by daemons that the command leaves).
fn finish(mut command: Command, dir: &Path) -> Result<(i32, String)> {
    let path = dir.join("output");
    let file = fs::File::create(&path)?;
    let status =
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file).status().context("start a scene")?;
    let output = String::from_utf8_lossy(&fs::read(&path)?).into_owned();
    Ok((status.code().unwrap_or(137), output))
}
