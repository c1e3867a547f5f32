//! A container of the runtime under test; it is deleted by force when the value goes.

use super::bundle::Bundle;
use super::runtime::Output;
use super::seen::Seen;
use super::trial::Trial;
use super::watch::Watch;
use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::cell::Cell;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How long anything that must happen may take.
pub(crate) fn patience() -> Duration {
    super::runtime::stretched(Duration::from_secs(10))
}

pub(crate) struct Container<'t> {
    pub(crate) trial: &'t Trial,
    pub(crate) id: String,
    pub(crate) bundle: PathBuf,
    /// The container process, if there is one.
    pub(crate) init: Option<Watch>,
    deleted: Cell<bool>,
}

impl<'t> Container<'t> {
    pub(crate) fn create(bundle: Bundle<'t>) -> Result<(Self, Output)> {
        let Bundle { trial, dir, id, create_args, .. } = bundle;
        let pid_file = dir.join("pid");
        let text = |path: &PathBuf| path.display().to_string();
        let (bundle_path, pid_path) = (text(&dir), text(&pid_file));
        let mut args = vec!["create", "--bundle", &bundle_path, "--pid-file", &pid_path];
        args.extend(create_args.iter().map(String::as_str));
        args.push(&id);
        let runtime = &trial.bench.runtime;
        let mut container =
            Container { trial, id: id.clone(), bundle: dir.clone(), init: None, deleted: Cell::new(false) };
        let mut command = runtime.command(&args);
        command.current_dir(&dir);
        let output = runtime.finish(&mut command, &dir.join("out"), &dir.join("err"), "create")?;
        if let Ok(pid) = std::fs::read_to_string(&pid_file) {
            container.init = Some(Watch::over(pid.trim().parse().with_context(|| format!("pid file: {pid:?}"))?));
        }
        Ok((container, output))
    }

    pub(crate) fn call(&self, operation: &str, more: &[&str]) -> Result<Output> {
        let args: Vec<&str> = [operation, &self.id].into_iter().chain(more.iter().copied()).collect();
        self.trial.runtime(&args)
    }

    pub(crate) fn start(&self) -> Result<()> {
        self.call("start", &[])?.expect_success("start").map(|_| ())
    }

    pub(crate) fn kill(&self, signal: &str) -> Result<()> {
        self.call("kill", &[signal])?.expect_success("kill").map(|_| ())
    }

    pub(crate) fn delete(&self) -> Result<()> {
        self.call("delete", &[])?.expect_success("delete")?;
        self.deleted.set(true);
        Ok(())
    }

    pub(crate) fn state(&self) -> Result<Value> {
        let output = self.call("state", &[])?.expect_success("state")?;
        serde_json::from_str(&output.stdout).with_context(|| format!("state is no JSON: {:?}", output.stdout))
    }

    pub(crate) fn status(&self) -> Result<String> {
        let state = self.state()?;
        Ok(state["status"].as_str().with_context(|| format!("the state has no status: {state}"))?.to_owned())
    }

    pub(crate) fn must_not_exist(&self) -> Result<()> {
        self.call("state", &[])?.expect_failure("state").map(|_| ())
    }

    /// The container process as the runtime's own mount and pid namespace sees it.
    pub(crate) fn pid(&self) -> Result<i32> {
        Ok(self.init.as_ref().context("create wrote no pid file")?.pid)
    }

    /// A path under the container's `/proc/PID`.
    pub(crate) fn proc(&self, name: &str) -> Result<String> {
        Ok(format!("/proc/{}/{name}", self.pid()?))
    }

    pub(crate) fn seen_so_far(&self) -> Result<Seen> {
        let bytes = std::fs::read(self.bundle.join("out"))?;
        Ok(Seen::parse(String::from_utf8_lossy(&bytes).into_owned(), None))
    }

    /// Until `enough` is true of what the program said.
    pub(crate) fn until(&self, what: &str, enough: impl Fn(&Seen) -> bool) -> Result<Seen> {
        let deadline = Instant::now() + patience();
        loop {
            let ended = self.init.as_ref().is_some_and(Watch::ended);
            let seen = self.seen_so_far()?;
            if enough(&seen) {
                return Ok(seen);
            }
            let errors = || std::fs::read_to_string(self.bundle.join("err")).unwrap_or_default();
            ensure!(!ended, "the program ended before it said {what}; it wrote {:?} {:?}", seen.text, errors());
            ensure!(Instant::now() < deadline, "the program did not say {what}; it wrote {:?}", seen.text);
            std::thread::sleep(Duration::from_millis(3));
        }
    }

    pub(crate) fn until_waiting(&self) -> Result<Seen> {
        self.until("that it waits", |seen| seen.answers.iter().any(|a| a["do"] == "waiting"))
    }

    /// Waits for the end of the program; everything that it said.
    pub(crate) fn finish(&self) -> Result<Seen> {
        let init = self.init.as_ref().context("create wrote no pid file")?;
        let Some(status) = init.wait(patience()) else {
            bail!("the program did not end within {} s; it wrote {:?}", patience().as_secs(), self.seen_so_far()?.text)
        };
        Ok(Seen { status, ..self.seen_so_far()? })
    }

    /// Kills the container and waits until it is stopped.
    pub(crate) fn stop(&self) -> Result<()> {
        self.kill("KILL")?;
        self.finish().map(|_| ())
    }
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        if !self.deleted.get() {
            // The verdict is already made: cleaning up must go on whatever the runtime answers.
            let _ = self.trial.runtime(&["delete", "--force", &self.id]);
            if let Some(init) = self.init.as_ref().filter(|init| !init.ended()) {
                let _ = kill(Pid::from_raw(init.pid), Signal::SIGKILL);
                init.wait(Duration::from_secs(2));
            }
        }
        super::cgroup::remove(&self.trial.bench, &self.id);
    }
}
