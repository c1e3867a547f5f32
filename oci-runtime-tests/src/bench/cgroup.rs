//! The container's cgroups, looked at from outside.

use super::container::Container;
use super::trial::{Bench, Trial};
use crate::case::skip;
use anyhow::{Context, Result};
use procfs::process::Process;
use std::path::{Path, PathBuf};

/// One setting in both versions: controller and file of v1, file of v2.
pub(crate) struct Control {
    pub(crate) v1: Option<(&'static str, &'static str)>,
    pub(crate) v2: Option<&'static str>,
}

pub(crate) const fn control(controller: &'static str, v1: &'static str, v2: &'static str) -> Control {
    Control { v1: Some((controller, v1)), v2: if v2.is_empty() { None } else { Some(v2) } }
}

impl Trial {
    /// Is the controller on a v1 hierarchy? Skips when this machine has it nowhere.
    pub(crate) fn controller_is_v1(&self, controller: &str) -> Result<bool> {
        let machine = self.machine();
        if self.bench.rootless && !self.bench.systemd {
            return skip("without root and systemd the runtime has no groups of its own");
        }
        if machine.v1.contains_key(controller) {
            return Ok(true);
        }
        let name = match controller {
            "blkio" => "io",
            "devices" | "freezer" => {
                return v2_or_skip(machine.unified.is_some() && machine.v1.is_empty(), controller);
            }
            name => name,
        };
        let listed = machine.unified.as_ref().is_some_and(|unified| {
            std::fs::read_to_string(unified.join("cgroup.controllers"))
                .is_ok_and(|text| text.split_whitespace().any(|word| word == name))
        });
        v2_or_skip(listed && machine.v1.is_empty(), controller)
    }
}

impl Trial {
    /// Gives the group above the run's containers a share of realtime, where the kernel deals it out by groups. Gives what
    /// the container's own group then needs in `linux.resources.cpu`.
    pub(crate) fn realtime_share(&self) -> Result<Option<serde_json::Value>> {
        let Some(dir) = self.machine().v1.get("cpu").filter(|dir| dir.join("cpu.rt_runtime_us").exists()) else {
            return Ok(None);
        };
        if self.bench.systemd {
            return skip("realtime needs a share in every group above the container's, which systemd does not give");
        }
        let parent = dir.join(self.bench.cgroup.trim_start_matches('/'));
        std::fs::create_dir_all(&parent)?;
        std::fs::write(parent.join("cpu.rt_runtime_us"), "100000").context("give a share of realtime")?;
        Ok(Some(serde_json::json!({"realtimeRuntime": 10_000, "realtimePeriod": 500_000})))
    }
}

fn v2_or_skip(present: bool, controller: &str) -> Result<bool> {
    if present { Ok(false) } else { skip(format!("this machine has no {controller} controller")) }
}

impl Container<'_> {
    /// The container's directory in the hierarchy of a v1 controller, or in v2 for `None`.
    pub(crate) fn cgroup_dir(&self, controller: Option<&str>) -> Result<PathBuf> {
        let machine = self.trial.machine();
        let groups =
            Process::new(self.pid()?).and_then(|p| p.cgroups()).context("read the cgroups of the container")?;
        let found = groups.into_iter().find(|group| match controller {
            Some(name) => group.controllers.iter().any(|c| c == name),
            None => group.hierarchy == 0,
        });
        let path = found.with_context(|| format!("the container is in no cgroup of {controller:?}"))?.pathname;
        let mount = match controller {
            Some(name) => machine.v1.get(name),
            None => machine.unified.as_ref(),
        };
        Ok(mount.context("the hierarchy is not mounted")?.join(path.trim_start_matches('/')))
    }

    /// The text of a control file.
    pub(crate) fn control(&self, control: &Control) -> Result<String> {
        let path = match (control.v1, control.v2) {
            (Some((controller, file)), _) if self.trial.machine().v1.contains_key(controller) => {
                self.cgroup_dir(Some(controller))?.join(file)
            }
            (_, Some(file)) => self.cgroup_dir(None)?.join(file),
            _ => return skip("there is no such setting in cgroup v2"),
        };
        let text = std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        Ok(text.trim_end().to_owned())
    }
}

/// Removes what is left of a container's cgroups.
pub(crate) fn remove(bench: &Bench, name: &str) {
    for hierarchy in bench.machine.hierarchies() {
        remove_tree(&hierarchy.join(bench.cgroup.trim_start_matches('/')).join(name));
    }
}

pub(crate) fn remove_tree(dir: &Path) {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return;
    };
    for entry in entries.flatten().filter(|e| e.file_type().is_ok_and(|kind| kind.is_dir())) {
        remove_tree(&entry.path());
    }
    // Only empty groups can go; a process that is still dying keeps its group until the end of the run.
    let _ = std::fs::remove_dir(dir);
}
