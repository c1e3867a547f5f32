//! A bundle with a busybox, for tests from outside.

#![allow(clippy::unwrap_used, clippy::missing_panics_doc)] // A panic is a failed test.

use crate::leaks;
use crate::skip::{is_root, skip};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// A bundle and a container of it, with a state directory of their own.
#[derive(Debug)]
pub struct Scene {
    pub dir: PathBuf,
    pub config: Value,
    pub runtime: PathBuf,
    /// The value of `--root`.
    pub state_root: PathBuf,
    pub id: String,
}

/// How a command of the runtime ended.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub out: String,
    pub error: String,
}

impl Ended {
    /// Its output, if it succeeded.
    #[track_caller]
    #[must_use]
    pub fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.out
    }

    /// Its only line of error, if it failed as a command of the runtime fails.
    #[track_caller]
    #[must_use]
    pub fn refused(self) -> String {
        assert_eq!((self.code, self.error.lines().count()), (Some(1), 1), "{self:?}");
        self.error
    }
}

impl Scene {
    /// `None`, with the reason reported, where the test cannot run.
    #[must_use]
    pub fn new() -> Option<Scene> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../out/orlop");
        let Ok(runtime) = std::env::var_os("RUNTIME").map_or(built, PathBuf::from).canonicalize() else {
            skip("no runtime; run `make` or set RUNTIME");
            return None;
        };
        if !is_root() {
            return None;
        }
        let program = std::env::current_exe().unwrap();
        let program = program.file_name().unwrap().to_str().unwrap();
        let program = program.rsplit_once('-').map_or(program, |(name, _)| name);
        let id = format!("{program}-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let dir = std::env::temp_dir().join(&id);
        for name in ["bin", "proc", "dev", "tmp"] {
            fs::create_dir_all(dir.join("rootfs").join(name)).unwrap();
        }
        fs::copy("/bin/busybox", dir.join("rootfs/bin/busybox")).unwrap();
        for applet in ["sh", "cat", "head", "sleep", "true", "touch", "yes"] {
            symlink("busybox", dir.join("rootfs/bin").join(applet)).unwrap();
        }
        let config = plain_config(&dir);
        Some(Scene { config, state_root: dir.join("state"), dir, runtime, id })
    }

    /// With the configuration that `spec` writes and all of busybox; the container's cgroup is known by its name, and its
    /// processes by their environment.
    #[must_use]
    pub fn of_spec() -> Option<Scene> {
        let mut scene = Scene::new()?;
        for name in ["sys", "etc", "data"] {
            fs::create_dir_all(scene.dir.join("rootfs").join(name)).unwrap();
        }
        let applets = Command::new("/bin/busybox").arg("--list").output().unwrap();
        for applet in String::from_utf8(applets.stdout).unwrap().lines().filter(|name| *name != "busybox") {
            let _ = symlink("busybox", scene.dir.join("rootfs/bin").join(applet));
        }
        let written = Command::new(&scene.runtime).args(["spec", "--bundle"]).arg(&scene.dir).status();
        assert!(written.unwrap().success());
        scene.config = serde_json::from_slice(&fs::read(scene.dir.join("config.json")).unwrap()).unwrap();
        scene.config["process"]["terminal"] = false.into();
        scene.config["linux"]["cgroupsPath"] = format!("/{}", scene.id).into();
        let mark = format!("SCENE={}", scene.dir.display());
        scene.config["process"]["env"].as_array_mut().unwrap().push(mark.into());
        Some(scene)
    }

    /// The global options that `FLAGS` names.
    #[must_use]
    pub fn flags() -> Vec<String> {
        std::env::var("FLAGS").unwrap_or_default().split_whitespace().map(str::to_owned).collect()
    }

    /// Whether `FLAGS` names systemd as the cgroup manager.
    #[must_use]
    pub fn by_systemd() -> bool {
        Scene::flags().iter().any(|flag| flag.contains("systemd"))
    }

    /// `linux.cgroupsPath` for a cgroup of this name, in the form that the cgroup manager of `FLAGS` has.
    #[must_use]
    pub fn cgroups_path(name: &str) -> String {
        if Scene::by_systemd() { format!("system.slice:orlop:{name}") } else { format!("/orlop-{name}") }
    }

    /// The program of the container.
    pub fn args(&mut self, args: &[&str]) {
        self.config["process"]["args"] = json!(args);
    }

    /// A shell command as the program of the container.
    pub fn script(&mut self, script: &str) {
        self.args(&["sh", "-c", script]);
    }

    /// Takes a kind of namespace away: the container has the runtime's.
    pub fn without_namespace(&mut self, kind: &str) {
        self.config["linux"]["namespaces"].as_array_mut().unwrap().retain(|entry| entry["type"] != kind);
    }

    /// Runs a command to its end. The outputs are files: processes that a command leaves would hold a pipe open.
    #[must_use]
    pub fn call(&self, words: &[&str], more: &[&str]) -> Ended {
        self.write_config();
        self.as_it_is(words, more)
    }

    /// Runs a command to its end, with the `config.json` that is there.
    #[must_use]
    pub fn as_it_is(&self, words: &[&str], more: &[&str]) -> Ended {
        ended(self.command_on(words, more), &self.dir)
    }

    /// Creates the container and starts it.
    #[track_caller]
    pub fn begin(&self) {
        let _ = self.call(&["create"], &[]).ok();
        let _ = self.call(&["start"], &[]).ok();
    }

    /// `state` as JSON; null where there is no container.
    #[must_use]
    pub fn state(&self) -> Value {
        serde_json::from_str(&self.as_it_is(&["state"], &[]).out).unwrap_or_default()
    }

    /// Waits until `state` says so.
    pub fn until_status(&self, status: &str) {
        eventually(status, || self.state()["status"] == status);
    }

    /// Fails where the container has left a mount, a cgroup, a process, a key or a record.
    #[track_caller]
    pub fn nothing_left(&self) {
        let deadline = Instant::now() + Duration::from_secs(20);
        let mut left = self.left();
        while !left.is_empty() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
            left = self.left();
        }
        assert!(left.is_empty(), "left: {left:#?}");
    }

    fn left(&self) -> Vec<String> {
        let (names, work) = ([self.id.as_str()], self.dir.display().to_string());
        let mut left: Vec<String> = leaks::lists(&leaks::Scope { cgroups: &names, work: &work }).into_iter().collect();
        // Network namespaces and keys with an engine's name are other people's.
        left.retain(|line| !line.starts_with("mount /run/netns/") && !line.starts_with("key "));
        left.extend(fs::read_dir(&self.state_root).into_iter().flatten().flatten().map(|e| format!("{e:?}")));
        let keys = fs::read_to_string("/proc/keys").unwrap_or_default();
        let key = format!("_ses.{}:", self.id);
        left.extend(keys.lines().filter(|line| line.contains(&key)).map(str::to_owned));
        left
    }

    /// A path in the container's /tmp.
    pub fn tmp(&self, name: &str) -> PathBuf {
        self.dir.join("rootfs/tmp").join(name)
    }

    /// The runtime itself, so that it can be sent signals; what hangs is ended by [`Running::ended`].
    pub fn command(&self, words: &[&str], more: &[&str]) -> Command {
        self.write_config();
        let mut command = self.command_on(words, more);
        command.stderr(Stdio::null());
        command
    }

    /// A command on the container as it is, whatever `config` says by now.
    fn command_on(&self, words: &[&str], more: &[&str]) -> Command {
        let mut command = Command::new(&self.runtime);
        command.arg("--root").arg(&self.state_root).args(Scene::flags()).args(words).arg(&self.id).args(more);
        command.current_dir(&self.dir).stdin(Stdio::null());
        command
    }

    /// Writes `config.json`.
    pub fn write_config(&self) {
        fs::write(self.dir.join("config.json"), self.config.to_string()).unwrap();
    }

    /// Until the program has made a file in its /tmp.
    pub fn wait_for(&self, name: &str) {
        while !self.tmp(name).exists() {
            std::thread::yield_now();
        }
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = self.command(&["delete", "--force"], &[]).stdout(Stdio::null()).status();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// A small configuration: proc, a tmpfs on /dev and terminals.
fn plain_config(dir: &Path) -> Value {
    json!({
        "ociVersion": "1.0.2",
        "root": {"path": dir.join("rootfs")},
        "process": {"cwd": "/", "user": {"uid": 0, "gid": 0}, "args": ["/bin/true"], "env": ["PATH=/bin"]},
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["mode=755"]},
            {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
             "options": ["newinstance", "ptmxmode=0666"]}
        ],
        "linux": {"namespaces": [{"type": "pid"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}]}
    })
}

/// Runs a command to its end, with its outputs in files of `dir`; a command that hangs ends after a minute with the code 124.
#[must_use]
pub fn ended(command: Command, dir: &Path) -> Ended {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let paths = ["out", "error"].map(|name| dir.join(format!("{name}-{number}")));
    let [out, error] = paths.each_ref().map(|path| fs::File::create(path).unwrap());
    let mut timed = Command::new("timeout");
    timed.args(["-k", "5", "60"]).arg(command.get_program()).args(command.get_args());
    timed.current_dir(dir).stdin(Stdio::null()).stdout(out).stderr(error);
    let status = timed.status().unwrap();
    let [out, error] = paths.map(|path| {
        let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
        fs::remove_file(path).unwrap();
        text
    });
    Ended { code: status.code(), out, error }
}

/// Waits for a condition, at most half a minute.
#[track_caller]
pub fn eventually(expected: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !is_so() {
        assert!(Instant::now() < deadline, "not within 30 seconds: {expected}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
