//! A crate that knows nothing of this code: `cgroups-rs` reads the limits of a container from outside.

#![allow(clippy::unwrap_used, clippy::panic)] // The whole program is a test.

use cgroups_rs::cpu::CpuController;
use cgroups_rs::memory::MemController;
use cgroups_rs::pid::PidController;
use cgroups_rs::{Cgroup, Controller, MaxValue, hierarchies};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A container that waits for its start, and all that is left of it when the test ends.
struct Container {
    runtime: PathBuf,
    dir: PathBuf,
    id: String,
}

impl Container {
    /// In the cgroup `/ID`, with these resources.
    fn create(runtime: PathBuf, resources: &Value) -> Container {
        let id = format!("orlop-oracle-{}", std::process::id());
        let dir = std::env::temp_dir().join(&id);
        fs::create_dir_all(dir.join("rootfs/proc")).unwrap();
        let container = Container { runtime, dir, id };
        assert!(container.call(&["spec"]));
        let file = container.dir.join("config.json");
        let mut config: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        config["process"]["terminal"] = json!(false);
        // Never started: it only has to be there.
        config["process"]["args"] = json!(["/program"]);
        config["mounts"] = json!([{ "destination": "/proc", "type": "proc", "source": "proc" }]);
        config["linux"]["cgroupsPath"] = json!(format!("/{}", container.id));
        config["linux"]["resources"] = resources.clone();
        fs::write(file, config.to_string()).unwrap();
        fs::copy("/bin/true", container.dir.join("rootfs/program")).unwrap();
        assert!(container.call(&["create", &container.id]));
        container
    }

    fn call(&self, words: &[&str]) -> bool {
        let mut command = Command::new(&self.runtime);
        command.arg("--root").arg(self.dir.join("state")).args(words).current_dir(&self.dir);
        command.stdin(Stdio::null()).stdout(Stdio::null()).status().unwrap().success()
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        self.call(&["delete", "--force", &self.id]);
        let _ = fs::remove_dir_all(&self.dir);
    }
}

#[test]
fn limits_are_what_cgroups_rs_reads() {
    let runtime = Path::new(env!("CARGO_MANIFEST_DIR")).join("../out/orlop");
    let root = fs::read_to_string("/proc/self/status").unwrap().contains("\nUid:\t0\t0\t");
    if !root || !runtime.exists() {
        integration::skip::skip("needs root, and out/orlop, which `make` builds");
        return;
    }
    let resources = json!({
        "memory": { "limit": 64 << 20, "reservation": 32 << 20 },
        "cpu": { "quota": 30_000, "period": 60_000 },
        "pids": { "limit": 42 },
    });
    let container = Container::create(runtime.canonicalize().unwrap(), &resources);
    let seen = Cgroup::load(hierarchies::auto(), &container.id);
    let memory: &MemController = seen.controller_of().unwrap();
    assert_eq!(memory.memory_stat().limit_in_bytes, 64 << 20);
    assert_eq!(memory.memory_stat().soft_limit_in_bytes, 32 << 20);
    let cpu: &CpuController = seen.controller_of().unwrap();
    assert_eq!((cpu.cfs_quota().unwrap(), cpu.cfs_period().unwrap()), (30_000, 60_000));
    let pids: &PidController = seen.controller_of().unwrap();
    assert_eq!(pids.get_pid_max().unwrap(), MaxValue::Value(42));
    assert_eq!(memory.tasks().len(), 1);
}
