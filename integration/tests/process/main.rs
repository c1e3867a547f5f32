//! Processes of containers from outside: what they get of the caller's state, which limits and namespaces they live with.
//!
//! `RUNTIME` names another program than `out/orlop`, `FLAGS` its global flags. Without root, or without a runtime, a test says so and does nothing.

#![allow(clippy::unwrap_used, clippy::panic)] // The whole program is a test.

mod caller;
mod cgroups;
mod limits;
mod namespaces;
mod program;

use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// A bundle with a busybox, and a container of it.
pub struct Scene {
    pub dir: PathBuf,
    pub config: Value,
    /// A shell fragment that gives the runtime's caller a state; the runtime replaces the shell.
    pub caller: String,
    flags: Vec<String>,
    runtime: PathBuf,
    id: String,
}

/// How a command of the runtime ended.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub out: String,
    pub error: String,
}

impl Ended {
    /// What it wrote, if it succeeded.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.out
    }
}

impl Scene {
    /// `None`, with the reason printed, where the test cannot run.
    pub fn new() -> Option<Scene> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../out/orlop");
        let path = std::env::var_os("RUNTIME").map_or(built, PathBuf::from);
        let Ok(runtime) = path.canonicalize() else {
            integration::skip::skip("no runtime; run `make` or set RUNTIME");
            return None;
        };
        if fs::metadata("/proc/self").unwrap().uid() != 0 {
            integration::skip::skip("needs root");
            return None;
        }
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let id = format!("process-{}-{number}", std::process::id());
        let dir = std::env::temp_dir().join(&id);
        for name in ["bin", "proc", "sys", "dev", "etc", "tmp"] {
            fs::create_dir_all(dir.join("bundle/rootfs").join(name)).unwrap();
        }
        fs::copy("/bin/busybox", dir.join("bundle/rootfs/bin/busybox")).unwrap();
        for applet in ["sh", "cat", "sleep", "true", "grep", "readlink"] {
            symlink("busybox", dir.join("bundle/rootfs/bin").join(applet)).unwrap();
        }
        let flags = std::env::var("FLAGS").unwrap_or_default();
        let flags = flags.split_whitespace().map(str::to_owned).collect();
        Some(Scene { config: config(), runtime, id, caller: String::new(), flags, dir })
    }

    /// The command of the container.
    pub fn script(&mut self, script: &str) {
        self.config["process"]["args"] = json!(["/bin/sh", "-c", script]);
    }

    /// A new namespace of this kind, or one that is joined; in the place of what is there.
    pub fn namespace(&mut self, kind: &str, path: Option<&str>) {
        let list = self.config["linux"]["namespaces"].as_array_mut().unwrap();
        list.retain(|entry| entry["type"] != kind);
        list.push(match path {
            Some(path) => json!({"type": kind, "path": path}),
            None => json!({"type": kind}),
        });
        if kind == "user" && path.is_none() {
            let map = json!([{"containerID": 0, "hostID": USER_BASE, "size": 65536}]);
            self.config["linux"]["uidMappings"] = map.clone();
            self.config["linux"]["gidMappings"] = map;
        }
    }

    pub fn write_config(&self) {
        fs::write(self.dir.join("bundle/config.json"), self.config.to_string()).unwrap();
    }

    /// The runtime's command, on this scene's container, by a caller in the scene's state.
    pub fn command(&self, name: &str, flags: &[&str], more: &[&str]) -> Command {
        // A command that hangs is a finding too, and must not hang the tests.
        let mut command = Command::new("timeout");
        command.args(["-k", "1", "60", "sh", "-c"]).arg(format!("{}\nexec \"$@\"", self.caller)).arg("sh");
        command.arg(&self.runtime).args(&self.flags).arg("--root").arg(self.dir.join("state"));
        command.arg(name).args(flags).arg(&self.id).args(more);
        command.current_dir(self.dir.join("bundle")).stdin(Stdio::null());
        command
    }

    pub fn run(&self) -> Ended {
        self.write_config();
        ended(self.command("run", &[], &[]).output().unwrap())
    }

    /// Runs the container in the background until it is removed: its init process.
    pub fn run_detached(&self) -> u32 {
        self.write_config();
        self.detached("run", &["--detach"])
    }

    /// Creates the container: its init process.
    pub fn create(&self) -> u32 {
        self.write_config();
        self.detached("create", &[])
    }

    fn detached(&self, name: &str, flags: &[&str]) -> u32 {
        let ended = self.try_detached(name, flags);
        ended.ok();
        fs::read_to_string(self.dir.join("pid")).unwrap().parse().unwrap()
    }

    /// A command whose process lives on, with its output in files so that nobody waits for the process.
    pub fn try_detached(&self, name: &str, flags: &[&str]) -> Ended {
        let pid = self.dir.join("pid").display().to_string();
        let mut command = self.command(name, &[flags, &["--pid-file", &pid]].concat(), &[]);
        let (out, error) = (self.dir.join("out"), self.dir.join("error"));
        command.stdout(fs::File::create(&out).unwrap()).stderr(fs::File::create(&error).unwrap());
        let status = command.status().unwrap();
        let read = |path: &Path| fs::read_to_string(path).unwrap();
        Ended { code: status.code(), out: read(&out), error: read(&error) }
    }

    pub fn start(&self) -> Ended {
        ended(self.command("start", &[], &[]).output().unwrap())
    }

    pub fn exec(&self, flags: &[&str], program: &[&str]) -> Ended {
        ended(self.command("exec", flags, program).output().unwrap())
    }

    /// A process beside init that lives on: its pid.
    pub fn exec_detached(&self, program: &[&str]) -> u32 {
        let pid = self.dir.join("exec-pid");
        let mut command = self.command("exec", &["--detach", "--pid-file", pid.to_str().unwrap()], program);
        let error = self.dir.join("error");
        command.stdout(Stdio::null()).stderr(fs::File::create(&error).unwrap());
        assert!(command.status().unwrap().success(), "{}", fs::read_to_string(error).unwrap());
        fs::read_to_string(pid).unwrap().parse().unwrap()
    }

    pub fn delete(&self) {
        let _ = self.command("delete", &["--force"], &[]).output();
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.caller.clear();
        self.delete();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// The first id of the host that a user namespace of [`Scene::namespace`] maps.
pub const USER_BASE: u32 = 300_000;

pub fn ended(output: Output) -> Ended {
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ended { code: output.status.code(), out: text(output.stdout), error: text(output.stderr) }
}

/// A container with little around it, and no terminal.
fn config() -> Value {
    let kernel = ["nosuid", "noexec", "nodev"];
    let capabilities = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"];
    json!({
        "ociVersion": "1.0.2",
        "root": {"path": "rootfs"},
        "process": {
            "cwd": "/", "user": {"uid": 0, "gid": 0}, "args": ["/bin/sleep", "1000"],
            "env": ["PATH=/bin"],
            "capabilities": {"bounding": capabilities, "effective": capabilities, "permitted": capabilities},
            "noNewPrivileges": true
        },
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc", "options": kernel},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
             "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
            {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
             "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]}
        ],
        "linux": {
            "namespaces": [{"type": "pid"}, {"type": "network"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}],
            "resources": {}
        }
    })
}
