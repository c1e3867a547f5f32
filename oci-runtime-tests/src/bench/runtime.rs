//! The runtime under test: one process for each operation, with a deadline.

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde_json::Value;
use std::ffi::OsString;
use std::fs::File;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// How long one operation may take before the runtime counts as hung.
fn patience() -> Duration {
    stretched(Duration::from_secs(20))
}

static PERCENT: AtomicU32 = AtomicU32::new(100);

/// Makes every deadline longer, for slow machines, or shorter, for defects that let many cases wait in vain.
pub(crate) fn stretch_deadlines(percent: u32) {
    PERCENT.store(percent.max(1), Ordering::Relaxed);
}

pub(crate) fn stretched(time: Duration) -> Duration {
    time * PERCENT.load(Ordering::Relaxed) / 100
}

pub(crate) struct Runtime {
    pub(crate) path: PathBuf,
    /// Global options before the command.
    pub(crate) options: Vec<OsString>,
    /// What `features` answers, if the runtime has that.
    pub(crate) features: Option<Value>,
}

pub(crate) struct Output {
    /// Exit status; 128 + n after signal n.
    pub(crate) status: i32,
    /// Did a signal end the runtime?
    pub(crate) died: bool,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Output {
    pub(crate) fn succeeded(&self) -> bool {
        self.status == 0
    }

    /// The error if the operation failed.
    pub(crate) fn expect_success(self, operation: &str) -> Result<Self> {
        ensure!(self.succeeded(), "{operation} failed with status {}: {}", self.status, self.words());
        Ok(self)
    }

    pub(crate) fn expect_failure(self, operation: &str) -> Result<Self> {
        ensure!(!self.succeeded(), "{operation} succeeded, but had to generate an error");
        ensure!(!self.died, "{operation} did not generate an error but died: status {}: {}", self.status, self.words());
        Ok(self)
    }

    pub(crate) fn words(&self) -> String {
        let text = if self.stderr.trim().is_empty() { &self.stdout } else { &self.stderr };
        let lines: Vec<&str> = text.lines().filter(|l| !l.trim().is_empty()).collect();
        lines[lines.len().saturating_sub(3)..].join(" | ")
    }
}

impl Runtime {
    pub(crate) fn new(path: PathBuf, options: Vec<OsString>, scratch: &Path) -> Result<Self> {
        let mut runtime = Runtime { path, options, features: None };
        let output = runtime.call(&["features"], scratch).context("ask the runtime for its features")?;
        if output.succeeded() {
            runtime.features = serde_json::from_str(&output.stdout).ok();
        }
        Ok(runtime)
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.path);
        command.args(&self.options).args(args).stdin(Stdio::null()).process_group(0);
        command
    }

    /// Runs one operation; its output goes through files in `scratch`, so that a container that keeps them open blocks
    /// nobody.
    pub(crate) fn call(&self, args: &[&str], scratch: &Path) -> Result<Output> {
        let name = format!("{}.{}", args.first().unwrap_or(&""), unique());
        let (out, err) = (scratch.join(format!("{name}.out")), scratch.join(format!("{name}.err")));
        let mut command = self.command(args);
        self.finish(&mut command, &out, &err, &args.join(" "))
    }

    /// Runs a prepared command with its output in the given files.
    pub(crate) fn finish(&self, command: &mut Command, out: &Path, err: &Path, what: &str) -> Result<Output> {
        let file = |path: &Path| File::create(path).with_context(|| format!("create {}", path.display()));
        wait_for_ever_when_ending();
        command.stdout(file(out)?).stderr(file(err)?);
        let mut child = command.spawn().with_context(|| format!("run {}", self.path.display()))?;
        let end = wait(&mut child).with_context(|| format!("`{what}`"))?;
        let text = |path| std::fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        let status = end.code().unwrap_or_else(|| 128 + end.signal().unwrap_or(0));
        Ok(Output { status, died: end.code().is_none(), stdout: text(out)?, stderr: text(err)? })
    }
}

static ENDING: AtomicBool = AtomicBool::new(false);

/// From now on no thread starts a process: whoever wants to waits for ever.
pub(crate) fn start_nothing_more() {
    ENDING.store(true, Ordering::SeqCst);
}

fn wait_for_ever_when_ending() {
    while ENDING.load(Ordering::SeqCst) {
        std::thread::park();
    }
}

pub(crate) fn unique() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Waits for the end of a process; kills its group when it takes too long.
fn wait(child: &mut Child) -> Result<ExitStatus> {
    let deadline = Instant::now() + patience();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if Instant::now() > deadline {
            // The group may be gone already; the process itself is reaped below in any case.
            let _ = killpg(Pid::from_raw(child.id().cast_signed()), Signal::SIGKILL);
            let _ = child.kill();
            child.wait()?;
            bail!("hung: did not end within {} s", patience().as_secs());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}
