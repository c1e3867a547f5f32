//! One run of one case: its directory, its bundles, what it may skip for.

use super::bundle::Bundle;
use super::machine::Machine;
use super::runtime::{Output, Runtime, unique};
use crate::case::skip;
use anyhow::{Context, Result};
use serde_json::Value;
use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What all cases of a run share.
pub(crate) struct Bench {
    pub(crate) runtime: Runtime,
    pub(crate) machine: Machine,
    /// The run's scratch directory.
    pub(crate) work: PathBuf,
    pub(crate) rootless: bool,
    pub(crate) systemd: bool,
    /// Parent of all the cgroups of the run, as in `cgroupsPath`.
    pub(crate) cgroup: String,
    /// The probe, in `work`.
    pub(crate) probe: PathBuf,
    /// The newest spec version that the runtime says it knows.
    pub(crate) version: String,
}

pub(crate) struct Trial {
    pub(crate) bench: Arc<Bench>,
    pub(crate) dir: PathBuf,
    /// Run in reverse order when the trial ends.
    cleanups: RefCell<Vec<Box<dyn FnOnce()>>>,
}

impl Trial {
    pub(crate) fn new(bench: &Arc<Bench>) -> Result<Self> {
        let dir = bench.work.join(format!("trial-{}", unique()));
        std::fs::create_dir(&dir).with_context(|| format!("create {}", dir.display()))?;
        Ok(Trial { bench: bench.clone(), dir, cleanups: RefCell::default() })
    }

    /// A new bundle with a root filesystem and a plain config.
    pub(crate) fn bundle(&self) -> Result<Bundle<'_>> {
        Bundle::new(self)
    }

    /// Runs an operation of the runtime with plain arguments.
    pub(crate) fn runtime(&self, args: &[&str]) -> Result<Output> {
        self.bench.runtime.call(args, &self.dir)
    }

    pub(crate) fn on_end(&self, cleanup: impl FnOnce() + 'static) {
        self.cleanups.borrow_mut().push(Box::new(cleanup));
    }

    /// An absolute path in the trial's directory, as text.
    pub(crate) fn path(&self, name: &str) -> String {
        self.dir.join(name).display().to_string()
    }

    pub(crate) fn machine(&self) -> &Machine {
        &self.bench.machine
    }

    pub(crate) fn needs_root(&self) -> Result<()> {
        if self.machine().root && !self.bench.rootless { Ok(()) } else { skip("needs a runtime that runs as root") }
    }

    pub(crate) fn needs_capability(&self, number: u32, name: &str) -> Result<()> {
        if self.machine().has_capability(number) { Ok(()) } else { skip(format!("this machine does not grant {name}")) }
    }

    pub(crate) fn needs_file(&self, path: &str) -> Result<()> {
        if Path::new(path).exists() { Ok(()) } else { skip(format!("this kernel has no {path}")) }
    }

    /// Skips when the runtime says that it knows no specification as new as `1.minor`, where a property began.
    pub(crate) fn needs_version(&self, minor: u32) -> Result<()> {
        let known = self.bench.version.split('.').nth(1).and_then(|part| part.parse::<u32>().ok());
        match (&self.bench.runtime.features, known) {
            (Some(_), Some(known)) if known < minor => {
                skip(format!("the runtime knows the specification up to {} only", self.bench.version))
            }
            _ => Ok(()),
        }
    }

    /// Skips when the runtime's `features` say that `value` is not in the list at `pointer`.
    pub(crate) fn needs_listed(&self, pointer: &str, value: &str) -> Result<()> {
        let Some(list) = self.bench.runtime.features.as_ref().and_then(|f| f.pointer(pointer)) else {
            return Ok(());
        };
        let listed = list.as_array().is_some_and(|items| items.iter().any(|item| item == value));
        if listed { Ok(()) } else { skip(format!("the runtime's features do not list {value} at {pointer}")) }
    }

    /// Skips when the runtime's `features` do not say `true` at `pointer`; also when they say nothing there.
    pub(crate) fn needs_enabled(&self, pointer: &str) -> Result<()> {
        match self.features()?.pointer(pointer) {
            Some(Value::Bool(true)) => Ok(()),
            _ => skip(format!("the runtime's features do not have {pointer}")),
        }
    }

    pub(crate) fn features(&self) -> Result<&Value> {
        match &self.bench.runtime.features {
            Some(features) => Ok(features),
            None => skip("the runtime has no features structure, which is optional"),
        }
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        for cleanup in self.cleanups.take().into_iter().rev() {
            cleanup();
        }
        super::mounts::detach_below(&self.dir);
        // A directory that cannot be removed goes with the run's own.
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}
