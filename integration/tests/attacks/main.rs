//! Hostile bundles and containers against the whole runtime: each published hole of runc, crun and youki that a program can
//! be tried with. `docs/attacks.md` says which test belongs to which.
//!
//! `RUNTIME` names another program to attack than `out/orlop`. Without root, or without a runtime, a test says so and does
//! nothing.

#![allow(clippy::unwrap_used, clippy::panic)] // The whole program is a test.

mod added;
mod annotations;
mod descriptors;
mod files;
mod hooks;
mod identity;
mod inputs;
mod keyrings;
mod namespaces;
mod nested;
mod notify;
mod older_kernel;
mod paths;
mod races;
mod sealed;
mod state;
mod table;
mod tracer;

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// A bundle with a busybox, and beside it a directory `outside` in which nothing may change.
pub struct Scene {
    pub dir: PathBuf,
    pub config: Value,
    /// Flags before the command.
    pub global: Vec<String>,
    /// The value of `--root`.
    pub state_root: PathBuf,
    runtime: PathBuf,
    id: String,
    outside: BTreeMap<String, String>,
}

/// How a command of the runtime ended.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub out: String,
    pub error: String,
}

impl Scene {
    /// `None`, with the reason printed, where the test cannot run.
    pub fn new() -> Option<Scene> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let Some(runtime) = runtime() else {
            integration::skip::skip("no runtime; run `make` or set RUNTIME");
            return None;
        };
        if fs::metadata("/proc/self").unwrap().uid() != 0 {
            integration::skip::skip("needs root");
            return None;
        }
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let id = format!("attack-{}-{number}", std::process::id());
        let dir = std::env::temp_dir().join(&id);
        for name in ["bin", "proc", "sys", "dev", "etc", "tmp"] {
            fs::create_dir_all(dir.join("bundle/rootfs").join(name)).unwrap();
        }
        fs::create_dir_all(dir.join("outside/dir")).unwrap();
        fs::write(dir.join("outside/file"), "canary").unwrap();
        let state_root = dir.join("state");
        let mut scene =
            Scene { config: config(), global: Vec::new(), state_root, runtime, id, outside: BTreeMap::new(), dir };
        fs::copy("/bin/busybox", scene.root("bin/busybox")).unwrap();
        for applet in ["sh", "cat", "ls", "id", "sleep", "true", "stat", "readlink", "grep", "touch", "dd", "head"] {
            symlink("busybox", scene.root(&format!("bin/{applet}"))).unwrap();
        }
        scene.outside = scene.look_outside();
        Some(scene)
    }

    /// A path in the root filesystem.
    pub fn root(&self, path: &str) -> PathBuf {
        self.dir.join("bundle/rootfs").join(path)
    }

    /// A path outside, for a link.
    pub fn out(&self, path: &str) -> String {
        self.dir.join("outside").join(path).display().to_string()
    }

    /// Puts a link into the root filesystem, in the place of what is there.
    pub fn plant(&self, path: &str, target: &str) {
        let link = self.root(path);
        let _ = fs::remove_dir_all(&link);
        let _ = fs::remove_file(&link);
        symlink(target, link).unwrap();
    }

    /// The command of the container.
    pub fn script(&mut self, script: &str) {
        self.config["process"]["args"] = json!(["/bin/sh", "-c", script]);
    }

    pub fn mount(&mut self, mount: Value) {
        self.config["mounts"].as_array_mut().unwrap().push(mount);
    }

    /// Takes all mounts at and beneath /dev away.
    pub fn without_dev(&mut self) {
        let mounts = self.config["mounts"].as_array_mut().unwrap();
        mounts.retain(|mount| !mount["destination"].as_str().unwrap().starts_with("/dev"));
    }

    /// Has the container stay in the network namespace of the caller: the end of one is a quarter of a second on an emulated
    /// machine, which is most of a launch.
    pub fn without_network(&mut self) {
        let namespaces = self.config["linux"]["namespaces"].as_array_mut().unwrap();
        namespaces.retain(|namespace| namespace["type"] != "network");
    }

    pub fn write_config(&self) {
        fs::write(self.dir.join("bundle/config.json"), self.config.to_string()).unwrap();
    }

    /// The runtime's command, on this scene's container.
    pub fn command(&self, name: &str, flags: &[&str], more: &[&str]) -> Command {
        // What hangs is a finding too, and must not hang the tests.
        let mut command = Command::new("timeout");
        command
            .args(["-k", "1", "60"])
            .arg(&self.runtime)
            .arg("--root")
            .arg(&self.state_root)
            .args(&self.global)
            .arg(name)
            .args(flags)
            .arg(&self.id)
            .args(more);
        command.current_dir(self.dir.join("bundle")).stdin(Stdio::null());
        command
    }

    pub fn run(&self) -> Ended {
        self.write_config();
        ended(self.command("run", &[], &[]).output().unwrap())
    }

    /// Runs the container in the background until it is removed.
    pub fn run_detached(&self) {
        self.write_config();
        let mut command = self.command("run", &["--detach"], &[]);
        command.stdout(Stdio::null()).stderr(fs::File::create(self.dir.join("error")).unwrap());
        let status = command.status().unwrap();
        assert!(status.success(), "{}", fs::read_to_string(self.dir.join("error")).unwrap());
    }

    pub fn exec(&self, flags: &[&str], program: &[&str]) -> Ended {
        ended(self.command("exec", flags, program).output().unwrap())
    }

    /// Whether there is something to attack with `exec`; says so if not.
    pub fn has_exec(&self) -> bool {
        let has = self.exec(&[], &["/bin/true"]);
        if has.error.contains("not in this build") {
            integration::skip::skip("exec is not in this build");
            return false;
        }
        assert_eq!(has.code, Some(0), "{has:?}");
        true
    }

    /// The container's first process.
    pub fn pid(&self) -> u32 {
        let state = ended(self.command("state", &[], &[]).output().unwrap());
        let state: Value = serde_json::from_str(&state.out).unwrap_or_else(|_| panic!("{state:?}"));
        state["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok()).unwrap()
    }

    pub fn delete(&self) {
        let _ = self.command("delete", &["--force"], &[]).output();
    }

    /// The container's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Gives the container another id.
    pub fn rename(&mut self, id: &str) {
        self.id = id.to_owned();
    }

    /// The container's directory below the state root.
    pub fn state(&self) -> PathBuf {
        self.state_root.join(&self.id)
    }

    /// Another command of the runtime.
    pub fn does(&self, name: &str, flags: &[&str], more: &[&str]) -> Ended {
        ended(self.command(name, flags, more).output().unwrap())
    }

    /// The pid of the container's first process.
    pub fn init(&self) -> i32 {
        let state: Value = serde_json::from_str(&self.does("state", &[], &[]).out).unwrap();
        state["pid"].as_i64().unwrap() as i32
    }

    /// The runtime that is attacked.
    pub fn runtime(&self) -> &Path {
        &self.runtime
    }

    /// Fails if anything outside has changed, or a mount of the test is left on the host.
    pub fn nothing_outside(&self) {
        assert_eq!(self.look_outside(), self.outside, "something outside the root filesystem has changed");
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let left: Vec<&str> = mounts.lines().filter(|line| line.contains(&*self.dir.to_string_lossy())).collect();
        assert!(left.is_empty(), "{left:?}");
    }

    fn look_outside(&self) -> BTreeMap<String, String> {
        let mut all = BTreeMap::new();
        look(&self.dir.join("outside"), &mut all);
        all
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.delete();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn look(dir: &Path, all: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(dir).unwrap().flatten() {
        let meta = entry.metadata().unwrap();
        let text = if meta.is_file() { fs::read_to_string(entry.path()).unwrap() } else { String::new() };
        let seen = format!("{:o} {} {} {} {text}", meta.mode(), meta.uid(), meta.gid(), meta.ino());
        all.insert(entry.path().display().to_string(), seen);
        if meta.is_dir() {
            look(&entry.path(), all);
        }
    }
}

fn runtime() -> Option<PathBuf> {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../out/orlop");
    let path = std::env::var_os("RUNTIME").map_or(built, PathBuf::from);
    path.canonicalize().ok()
}

pub fn ended(output: Output) -> Ended {
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ended { code: output.status.code(), out: text(output.stdout), error: text(output.stderr) }
}

/// What an engine would write, without a terminal.
fn config() -> Value {
    let kernel = ["nosuid", "noexec", "nodev"];
    let capabilities = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"];
    json!({
        "ociVersion": "1.2.0",
        "root": {"path": "rootfs"},
        "process": {
            "cwd": "/", "user": {"uid": 0, "gid": 0}, "args": ["/bin/true"],
            "env": ["PATH=/bin"],
            "capabilities": {"bounding": capabilities, "effective": capabilities, "permitted": capabilities},
            "noNewPrivileges": true
        },
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc", "options": kernel},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
             "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
            {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
             "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]},
            {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"]}
        ],
        "linux": {
            "namespaces": [{"type": "pid"}, {"type": "network"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}],
            "maskedPaths": ["/proc/keys", "/proc/timer_list", "/sys/firmware"],
            "readonlyPaths": ["/proc/bus", "/proc/sys"]
        }
    })
}
