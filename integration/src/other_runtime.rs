//! Containers that two runtimes manage: orlop, and another one that created them or comes after it.

#![allow(clippy::unwrap_used, clippy::panic)] // Tests alone use it.

use crate::bundle::Scene;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The other runtimes of this machine.
pub fn others() -> Vec<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    let found = |name: &str| path.split(':').map(|dir| Path::new(dir).join(name)).find(|file| file.exists());
    let more = std::env::var("OTHERS").unwrap_or_default();
    ["runc", "crun"].iter().filter_map(|name| found(name)).chain(more.split_whitespace().map(PathBuf::from)).collect()
}

/// How a command ended: its exit code, and all that it wrote.
pub fn ended(mut command: Command, scene: &Scene) -> (i32, String) {
    let file = scene.dir.join("output");
    let sink = || Stdio::from(fs::OpenOptions::new().create(true).append(true).open(&file).unwrap());
    fs::write(&file, "").unwrap();
    let status = command.stdin(Stdio::null()).stdout(sink()).stderr(sink()).status().unwrap();
    (status.code().unwrap_or(-1), fs::read_to_string(&file).unwrap())
}

/// A container of another runtime's.
pub struct Other {
    /// The bundle, and orlop.
    pub scene: Scene,
    /// The other runtime.
    pub runtime: PathBuf,
}

impl Other {
    pub fn new(runtime: &Path) -> Option<Other> {
        let mut scene = Scene::new()?;
        scene.config["process"]["args"] = json!(["/bin/sh", "-c", "touch /tmp/up; exec sleep 1000"]);
        scene.config["linux"]["cgroupsPath"] = Scene::cgroups_path(&scene.id).into();
        scene.config["linux"]["resources"] = json!({"memory": {"limit": 64 << 20}, "pids": {"limit": 50}});
        scene.config["process"]["noNewPrivileges"] = true.into();
        let list = json!(["CAP_KILL", "CAP_CHOWN"]);
        scene.config["process"]["capabilities"] = json!({"bounding": list, "permitted": list, "effective": list});
        scene.config["annotations"] = json!({"org.example.kept": "yes"});
        let other = Other { scene, runtime: runtime.to_owned() };
        fs::write(other.scene.dir.join("config.json"), other.scene.config.to_string()).unwrap();
        Some(other)
    }

    /// The other runtime; crun does not run beside the unified hierarchy of a hybrid host.
    pub fn theirs(&self, words: &[&str]) -> (i32, String) {
        self.theirs_with(words, &[])
    }

    pub fn theirs_with(&self, words: &[&str], more: &[&str]) -> (i32, String) {
        let mut command = Command::new("unshare");
        let script = "umount /sys/fs/cgroup/unified 2> /dev/null; exec \"$@\"";
        let hides = self.runtime.ends_with("crun") && Path::new("/sys/fs/cgroup/unified").exists();
        let script = if hides { script } else { "exec \"$@\"" };
        command.args(["--mount", "sh", "-c", script, "-"]).arg(&self.runtime);
        if Scene::by_systemd() {
            command.arg("--systemd-cgroup");
        }
        command.arg("--root").arg(self.scene.dir.join("state")).args(words).arg(&self.scene.id).args(more);
        command.current_dir(&self.scene.dir);
        ended(command, &self.scene)
    }

    pub fn ours(&self, words: &[&str], more: &[&str]) -> (i32, String) {
        ended(self.scene.command(words, more), &self.scene)
    }

    #[track_caller]
    pub fn theirs_ok(&self, words: &[&str], more: &[&str]) -> String {
        let (code, text) = self.theirs_with(words, more);
        assert_eq!(code, 0, "{}: {words:?}: {text}", self.runtime.display());
        text
    }

    #[track_caller]
    pub fn ours_ok(&self, words: &[&str], more: &[&str]) -> String {
        // `command` writes no diagnostics; the exit code tells.
        let (code, text) = self.ours(words, more);
        assert_eq!(code, 0, "{}: {words:?}: {text}", self.runtime.display());
        text
    }

    pub fn state(&self) -> Value {
        serde_json::from_str(&self.ours_ok(&["state"], &[])).unwrap()
    }

    pub fn directory(&self) -> PathBuf {
        self.scene.dir.join("state").join(&self.scene.id)
    }

    /// The value of a file of the pids controller.
    pub fn pids(&self, name: &str) -> Option<String> {
        let id = &self.scene.id;
        let cgroup = if Scene::by_systemd() { format!("system.slice/orlop-{id}.scope") } else { format!("orlop-{id}") };
        let root = Path::new("/sys/fs/cgroup");
        [root.join("pids"), root.to_owned()].iter().find_map(|at| fs::read_to_string(at.join(&cgroup).join(name)).ok())
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        self.theirs(&["delete", "--force"]);
    }
}

pub fn lives(pid: i64) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z"))
}
