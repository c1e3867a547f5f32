//! A bundle, how a container gets to where a command can be tried, and what it leaves on the machine.

use super::follow::{Seen, alive};
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A command that is killed, and on what.
pub(crate) struct Tested {
    pub(crate) name: &'static str,
    /// How far the container is when the command is tried.
    pub(crate) from: From,
    /// The command and its flags.
    pub(crate) words: &'static [&'static str],
    /// The words after the container's id.
    pub(crate) after: &'static [&'static str],
    /// What the bundle has beside the usual.
    pub(crate) change: fn(&mut Value),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum From {
    Nothing,
    Created,
    Running,
    Paused,
    /// Running, with a mount of `mounts add`.
    Added,
    Stopped,
    /// In images of CRIU, of which each restore has a copy.
    Saved,
}

pub(crate) const COMMANDS: &[Tested] = &[
    Tested { name: "create, with hooks", from: From::Nothing, words: &["create"], after: &[], change: hooks },
    Tested {
        name: "create, with user and time namespaces",
        from: From::Nothing,
        words: &["create"],
        after: &[],
        change: user_and_time,
    },
    Tested {
        name: "create, with a joined pid namespace",
        from: From::Nothing,
        words: &["create"],
        after: &[],
        change: joined,
    },
    Tested { name: "start", from: From::Created, words: &["start"], after: &[], change: hooks },
    Tested { name: "run", from: From::Nothing, words: &["run"], after: &[], change: ends_at_once },
    Tested {
        name: "run, with the reaping init",
        from: From::Nothing,
        words: &["run", "--init"],
        after: &[],
        change: ends_at_once,
    },
    Tested { name: "exec", from: From::Running, words: &["exec"], after: &["/bin/true"], change: |_| {} },
    Tested { name: "delete", from: From::Stopped, words: &["delete"], after: &[], change: hooks },
    Tested { name: "delete --force", from: From::Running, words: &["delete", "--force"], after: &[], change: hooks },
];

/// The commands as most callers give them, for counting what they cost.
pub(crate) const ORDINARY: &[Tested] = &[
    Tested { name: "run", from: From::Nothing, words: &["run"], after: &[], change: ends_at_once },
    Tested { name: "create", from: From::Nothing, words: &["create"], after: &[], change: |_| {} },
    Tested { name: "start", from: From::Created, words: &["start"], after: &[], change: |_| {} },
    Tested { name: "exec", from: From::Running, words: &["exec"], after: &["/bin/true"], change: |_| {} },
    Tested {
        name: "exec --tools",
        from: From::Running,
        words: &["exec", "--tools"],
        after: &["/bin/true"],
        change: |_| {},
    },
    Tested { name: "mounts add", from: From::Running, words: &["mounts", "add"], after: &[], change: |_| {} },
    Tested { name: "state", from: From::Running, words: &["state"], after: &[], change: |_| {} },
    Tested { name: "delete", from: From::Stopped, words: &["delete"], after: &[], change: |_| {} },
];

pub(crate) fn hooks(config: &mut Value) {
    let outside = json!([{"path": "/bin/true"}]);
    let mut all = json!({"startContainer": [{"path": "/bin/true"}]});
    for moment in ["createRuntime", "createContainer", "poststart", "poststop"] {
        all[moment] = outside.clone();
    }
    config["hooks"] = all;
}

pub(crate) fn user_and_time(config: &mut Value) {
    let spaces = json!([{"type": "user"}, {"type": "time"}, {"type": "pid"}, {"type": "mount"}, {"type": "ipc"}]);
    config["linux"]["namespaces"] = spaces;
    config["linux"]["timeOffsets"] = json!({"monotonic": {"secs": 100}});
    for maps in ["uidMappings", "gidMappings"] {
        config["linux"][maps] = json!([{"containerID": 0, "hostID": 0, "size": 65536}]);
    }
}

pub(crate) fn joined(config: &mut Value) {
    let pid = format!("/proc/{}/ns/pid", std::process::id());
    config["linux"]["namespaces"] = json!([{"type": "pid", "path": pid}, {"type": "mount"}, {"type": "network"}]);
}

fn ends_at_once(config: &mut Value) {
    config["process"]["args"] = json!(["/bin/true"]);
}

pub(crate) struct Scene<'a> {
    pub(crate) dir: PathBuf,
    runtime: &'a Path,
    tested: &'a Tested,
    pub(crate) id: String,
}

impl<'a> Scene<'a> {
    pub(crate) fn make(work: &Path, runtime: &'a Path, tested: &'a Tested) -> Result<Self> {
        let id = format!("orlop-kills-{}", std::process::id());
        let scene = Self { dir: work.join("kills"), runtime, tested, id };
        let root = scene.dir.join("rootfs");
        if !root.exists() {
            for name in ["bin", "proc", "dev", "sys", "data"] {
                fs::create_dir_all(root.join(name))?;
            }
            fs::copy("/bin/busybox", root.join("bin/busybox")).context("/bin/busybox")?;
            for applet in ["sleep", "true", "sh", "cat"] {
                symlink("busybox", root.join("bin").join(applet))?;
            }
        }
        let mut config = scene.config();
        (tested.change)(&mut config);
        fs::write(scene.dir.join("config.json"), config.to_string())?;
        let mounts = json!([{"destination": "/dev/added", "type": "tmpfs", "source": "tmpfs"}]);
        fs::write(scene.dir.join("mounts.json"), mounts.to_string())?;
        Ok(scene)
    }

    fn config(&self) -> Value {
        let capabilities = json!(["CAP_KILL"]);
        json!({
            "ociVersion": "1.2.0",
            "root": {"path": "rootfs", "readonly": true},
            "process": {
                "cwd": "/", "user": {"uid": 0, "gid": 0}, "args": ["/bin/sleep", "1000"], "env": ["PATH=/bin"],
                "capabilities": {"bounding": capabilities, "effective": capabilities, "permitted": capabilities},
                "noNewPrivileges": true
            },
            "mounts": [
                {"destination": "/proc", "type": "proc", "source": "proc"},
                {"destination": "/dev", "type": "tmpfs", "source": "tmpfs"},
            ],
            "linux": {
                "cgroupsPath": if is_with_systemd() { format!(":orlop:{}", self.id) } else { format!("/{}/box", self.id) },
                "resources": {"pids": {"limit": 100}, "memory": {"limit": 100_000_000}},
                "namespaces": [{"type": "pid"}, {"type": "network"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}],
                "maskedPaths": ["/proc/keys"], "readonlyPaths": ["/proc/sys"],
                "seccomp": {"defaultAction": "SCMP_ACT_ALLOW",
                    "syscalls": [{"names": ["swapon"], "action": "SCMP_ACT_ERRNO"}]}
            }
        })
    }

    /// A command line of the runtime's, in which `{dir}` is the scene's directory and `{id}` the container. The id stands
    /// behind the words if they have neither.
    pub(crate) fn words(&self, words: &[&str]) -> Vec<String> {
        let dir = self.dir.display().to_string();
        let mut all =
            vec![self.runtime.display().to_string(), "--root".into(), self.dir.join("state").display().to_string()];
        if is_with_systemd() {
            all.push("--systemd-cgroup".into());
        }
        if let (true, Some(criu)) = (matches!(words[0], "checkpoint" | "restore"), Self::criu()) {
            all.extend(["--criu".to_owned(), criu.display().to_string()]);
        }
        all.extend(words.iter().map(|word| word.replace("{dir}", &dir).replace("{id}", &self.id)));
        let is_without =
            matches!(words[0], "list" | "features" | "spec" | "check" | "image") || words.contains(&"{id}");
        if is_without || words == ["explain", "{dir}"] {
            return all;
        }
        if matches!(words[0], "create" | "run" | "restore") {
            all.extend(["-b".into(), dir]);
        }
        all.push(self.id.clone());
        if words[0] == "mounts" {
            all.push(self.dir.join("mounts.json").display().to_string());
        }
        all
    }

    /// The command that is killed.
    pub(crate) fn command(&self) -> Vec<String> {
        let mut words = self.words(self.tested.words);
        words.extend(self.tested.after.iter().map(ToString::to_string));
        words
    }

    /// A CRIU that knows kernels of today.
    pub(crate) fn criu() -> Option<PathBuf> {
        let fetched = Path::new(env!("CARGO_MANIFEST_DIR")).join("../out/criu/trixie/criu");
        [fetched, "/usr/sbin/criu".into()].into_iter().find(|path| path.exists())
    }

    /// `list`, which has no id.
    pub(crate) fn list(&self) -> Vec<String> {
        self.words(&["list"])
    }

    /// Brings the container to where the command can be tried.
    pub(crate) fn reach(&self) -> Result<()> {
        let from = self.tested.from;
        for made in ["images", "pid", "spec.json"].map(|name| self.dir.join(name)) {
            let _ = if made.is_dir() { fs::remove_dir_all(made) } else { fs::remove_file(made) };
        }
        if from == From::Saved && !self.dir.join("saved").exists() {
            self.orlop(&["create"])?;
            self.orlop(&["start"])?;
            self.orlop(&["checkpoint", "--image-path", "{dir}/saved"])?;
            return self.delete();
        }
        if !matches!(from, From::Nothing | From::Saved) {
            self.orlop(&["create"])?;
        }
        if !matches!(from, From::Nothing | From::Created | From::Saved) {
            self.orlop(&["start"])?;
        }
        match from {
            From::Paused => self.orlop(&["pause"]),
            From::Added => self.orlop(&["mounts", "add"]),
            From::Stopped => self.stop(),
            _ => Ok(()),
        }
    }

    fn stop(&self) -> Result<()> {
        let mut kill = self.words(&["kill"]);
        kill.push("KILL".into());
        succeed(&kill)?;
        let deadline = Instant::now() + Duration::from_secs(20);
        while !self.is_stopped()? {
            if Instant::now() > deadline {
                bail!("the container does not stop");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    fn is_stopped(&self) -> Result<bool> {
        let words = self.words(&["state"]);
        let state = Command::new(&words[0]).args(&words[1..]).output()?;
        let state: Value = serde_json::from_slice(&state.stdout)?;
        Ok(state["status"] == "stopped")
    }

    pub(crate) fn orlop(&self, words: &[&str]) -> Result<()> {
        // CRIU saves no file of the host's that has no name.
        let is_saved = words[0] == "create" && matches!(self.tested.words[0], "checkpoint" | "restore");
        succeed_with(&self.words(words), is_saved)
    }

    /// `delete --force`.
    pub(crate) fn delete(&self) -> Result<()> {
        self.orlop(&["delete", "--force"])
    }

    /// What there still is of the container and of the processes that were seen.
    pub(crate) fn left(&self, seen: &Seen) -> Vec<String> {
        let mut left = self.cgroups();
        let living = seen.processes.iter().filter(|p| alive(p.pid, p.start));
        left.extend(living.map(|p| format!("process {}", p.pid)));
        let names = |dir: &Path| {
            fs::read_dir(dir)
                .into_iter()
                .flatten()
                .flatten()
                .map(|e| e.path().display().to_string())
                .collect::<Vec<_>>()
        };
        left.extend(names(&self.dir.join("state")));
        let dir = self.dir.display().to_string();
        let lines = |path: &str| fs::read_to_string(path).unwrap_or_default();
        left.extend(lines("/proc/self/mountinfo").lines().filter(|line| line.contains(&dir)).map(ToOwned::to_owned));
        left.extend(lines("/proc/keys").lines().filter(|line| line.contains(&self.id)).map(ToOwned::to_owned));
        left
    }

    /// Directories of cgroups, the deepest first.
    fn cgroups(&self) -> Vec<String> {
        let scope = PathBuf::from(format!("/sys/fs/cgroup/system.slice/orlop-{}.scope", self.id));
        let mut found: Vec<String> = scope.exists().then(|| scope.display().to_string()).into_iter().collect();
        let mut roots: Vec<PathBuf> =
            fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten().map(|e| e.path()).collect();
        roots.push("/sys/fs/cgroup".into());
        for root in roots {
            for path in [root.join(&self.id).join("box"), root.join(&self.id)] {
                if path.is_dir() && !fs::symlink_metadata(&root).is_ok_and(|meta| meta.is_symlink()) {
                    found.push(path.display().to_string());
                }
            }
        }
        found
    }

    /// Removes by hand what the runtime has left, so that the next point begins with nothing.
    pub(crate) fn clear(&self, seen: &Seen) {
        for process in seen.processes.iter().filter(|p| alive(p.pid, p.start)) {
            let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(process.pid), nix::sys::signal::Signal::SIGKILL);
        }
        std::thread::sleep(Duration::from_millis(200));
        for path in self.cgroups() {
            let _ = fs::remove_dir(path);
        }
        let _ = fs::remove_dir_all(self.dir.join("state"));
    }
}

/// `FAULTS_DRIVER=systemd`: systemd makes the cgroups.
fn is_with_systemd() -> bool {
    std::env::var_os("FAULTS_DRIVER").is_some_and(|driver| driver == "systemd")
}

fn succeed(words: &[String]) -> Result<()> {
    succeed_with(words, false)
}

fn succeed_with(words: &[String], is_silent: bool) -> Result<()> {
    // A file for what is said: a pipe would be held open by the container.
    let said = std::env::temp_dir().join(format!("orlop-kills-{}.said", std::process::id()));
    let file = fs::File::create(&said)?;
    let mut output = Command::new("timeout");
    output.args(["-k", "1", "20"]).args(words).stdin(Stdio::null()).stdout(Stdio::null());
    output.stderr(if is_silent { Stdio::null() } else { file.into() });
    let status = output.status()?;
    let text = fs::read_to_string(&said).unwrap_or_default();
    let _ = fs::remove_file(&said);
    if !status.success() {
        bail!("{}: {status}: {}", words[3], text.trim());
    }
    Ok(())
}
