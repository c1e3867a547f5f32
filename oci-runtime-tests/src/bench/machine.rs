//! What this machine has: cgroup layout, privileges, kernel interfaces.

use anyhow::{Context, Result};
use procfs::process::Process;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub(crate) struct Machine {
    /// Mount points of v1 controllers (named hierarchies as `name=...`).
    pub(crate) v1: BTreeMap<String, PathBuf>,
    pub(crate) unified: Option<PathBuf>,
    pub(crate) root: bool,
    /// Effective capabilities of the suite, as bits.
    pub(crate) capabilities: u64,
}

impl Machine {
    pub(crate) fn survey() -> Result<Self> {
        let me = Process::myself().context("read /proc/self")?;
        let status = me.status().context("read /proc/self/status")?;
        let mut machine =
            Machine { v1: BTreeMap::new(), unified: None, root: status.euid == 0, capabilities: status.capeff };
        let controllers: Vec<String> =
            me.cgroups().context("read /proc/self/cgroup")?.into_iter().flat_map(|group| group.controllers).collect();
        for mount in me.mountinfo().context("read /proc/self/mountinfo")? {
            match mount.fs_type.as_str() {
                "cgroup2" => machine.unified = Some(mount.mount_point),
                "cgroup" => {
                    for (option, value) in mount.super_options {
                        let name = value.map_or(option.clone(), |value| format!("{option}={value}"));
                        // Others, like `rw` or `release_agent=...`, are not the hierarchy's but the mount's.
                        if controllers.contains(&name) {
                            machine.v1.insert(name, mount.mount_point.clone());
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(machine)
    }

    /// Are v1 hierarchies and the unified one mounted side by side?
    pub(crate) fn is_hybrid(&self) -> bool {
        self.unified.is_some() && !self.v1.is_empty()
    }

    pub(crate) fn has_capability(&self, number: u32) -> bool {
        self.capabilities >> number & 1 == 1
    }

    /// Every directory where a hierarchy is mounted.
    pub(crate) fn hierarchies(&self) -> Vec<&Path> {
        let mut all: Vec<&Path> = self.v1.values().chain(&self.unified).map(PathBuf::as_path).collect();
        all.sort_unstable();
        all.dedup();
        all
    }
}
