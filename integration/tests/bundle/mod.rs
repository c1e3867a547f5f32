//! A bundle with a busybox, for tests from outside.

#![allow(dead_code)] // Not every test needs all of it.

use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

pub(crate) struct Scene {
    pub(crate) dir: PathBuf,
    pub(crate) config: Value,
    pub(crate) runtime: PathBuf,
    pub(crate) id: String,
}

impl Scene {
    /// `None`, with the reason printed, where the test cannot run.
    pub(crate) fn new() -> Option<Scene> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../out/orlop");
        let Ok(runtime) = std::env::var_os("RUNTIME").map_or(built, PathBuf::from).canonicalize() else {
            eprintln!("skipped: no runtime; run `make` or set RUNTIME");
            return None;
        };
        if fs::metadata("/proc/self").unwrap().uid() != 0 {
            eprintln!("skipped: needs root");
            return None;
        }
        let id =
            format!("{}-{}-{}", env!("CARGO_CRATE_NAME"), std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let dir = std::env::temp_dir().join(&id);
        for name in ["bin", "proc", "dev", "tmp"] {
            fs::create_dir_all(dir.join("rootfs").join(name)).unwrap();
        }
        fs::copy("/bin/busybox", dir.join("rootfs/bin/busybox")).unwrap();
        for applet in ["sh", "cat", "head", "sleep", "true", "touch", "yes"] {
            symlink("busybox", dir.join("rootfs/bin").join(applet)).unwrap();
        }
        let config = json!({
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
        });
        Some(Scene { config, dir, runtime, id })
    }

    /// The global options that `FLAGS` names.
    pub(crate) fn flags() -> Vec<String> {
        std::env::var("FLAGS").unwrap_or_default().split_whitespace().map(str::to_owned).collect()
    }

    /// `linux.cgroupsPath` for a cgroup of this name, in the form that the cgroup manager of `FLAGS` has.
    pub(crate) fn cgroups_path(name: &str) -> String {
        let by_systemd = Scene::flags().iter().any(|flag| flag.contains("systemd"));
        if by_systemd { format!("system.slice:orlop:{name}") } else { format!("/orlop-{name}") }
    }

    /// A path in the container's /tmp.
    pub(crate) fn tmp(&self, name: &str) -> PathBuf {
        self.dir.join("rootfs/tmp").join(name)
    }

    /// The runtime itself, so that it can be sent signals; what hangs is ended by [`Running::ended`].
    pub(crate) fn command(&self, words: &[&str], more: &[&str]) -> Command {
        fs::write(self.dir.join("config.json"), self.config.to_string()).unwrap();
        let mut command = Command::new(&self.runtime);
        command.arg("--root").arg(self.dir.join("state")).args(Scene::flags()).args(words).arg(&self.id).args(more);
        command.current_dir(&self.dir).stdin(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// Until the program has made a file in its /tmp.
    pub(crate) fn wait_for(&self, name: &str) {
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
