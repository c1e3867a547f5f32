//! The ground on which the attacker acts: a bundle with something of each kind, and beside it files and processes of the
//! host that must stay as they are.

use crate::kills::scene::Scene;
use anyhow::{Context, Result};
use integration::runtime::Runtime;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The directory of the whole run, known to functions that only have a config.
pub(super) fn work() -> PathBuf {
    std::env::temp_dir().join(format!("orlop-{}", std::process::id()))
}

/// The bundle of [`Scene`].
pub(super) fn bundle() -> PathBuf {
    work().join("kills")
}

/// The root file system.
pub(super) fn root() -> PathBuf {
    bundle().join("rootfs")
}

/// The host's files that a link of the attacker leads to.
pub(super) fn outside() -> PathBuf {
    work().join("outside")
}

pub(super) struct Ground {
    files: BTreeMap<PathBuf, String>,
    root: BTreeMap<PathBuf, String>,
    mounts: Vec<String>,
    canary: Child,
    status: String,
}

impl Ground {
    pub(super) fn make() -> Result<Self> {
        let (outside, none) = (outside(), None::<&str>);
        // As under systemd, where mounts of the host are shared.
        mount(Some(&work()), &work(), none, MsFlags::MS_BIND, none).context("bind the directory of the run")?;
        mount(none, &work(), none, MsFlags::MS_SHARED, none)?;
        for dir in ["dir/sub", "dir/keys", "dir/sys"] {
            fs::create_dir_all(outside.join(dir))?;
        }
        for file in ["file", "dir/file", "dir/null", "dir/passwd", "dir/group"] {
            // A user database of the host's, which would show in the container's environment.
            fs::write(outside.join(file), "root:x:0:0:root:/leaked:/bin/sh\n")?;
        }
        fs::write(work().join("hosts"), "127.0.0.1 localhost\n")?;
        fs::copy("/bin/busybox", work().join("hook"))?;
        fs::create_dir_all(bundle())?;
        make_root()?;
        let volume = work().join("volume");
        fs::create_dir_all(&volume)?;
        mount(Some("tmpfs"), &volume, Some("tmpfs"), MsFlags::empty(), none).context("mount the volume")?;
        mount(none, &volume, none, MsFlags::MS_SHARED, none).context("share the volume")?;
        for dir in ["inner", "below"] {
            fs::create_dir(volume.join(dir))?;
        }
        mount(Some("tmpfs"), &volume.join("below"), Some("tmpfs"), MsFlags::empty(), none)?;
        let canary = Command::new("sleep").arg("100000").stdin(Stdio::null()).spawn()?;
        let status = process(&canary);
        let mut files = BTreeMap::new();
        look(&outside, &mut files)?;
        let mut tree = BTreeMap::new();
        look(&root(), &mut tree)?;
        Ok(Self { files, root: tree, mounts: mounts(), canary, status })
    }

    /// What of the host's has changed.
    pub(super) fn changed(&self) -> Option<String> {
        let mut now = BTreeMap::new();
        let looked = look(&outside(), &mut now);
        if looked.is_err() || now != self.files {
            let new: Vec<_> = now.iter().filter(|(path, is)| self.files.get(*path) != Some(is)).collect();
            return Some(format!(
                "files of the host have changed: {new:?}, {} before, {}",
                self.files.len(),
                now.len()
            ));
        }
        let status = process(&self.canary);
        if status != self.status {
            return Some(format!("a process of the host has changed: {status:?}, before {:?}", self.status));
        }
        let new: Vec<_> = mounts().into_iter().filter(|line| !self.mounts.contains(line)).collect();
        (!new.is_empty()).then(|| format!("mounts of the host: {new:?}"))
    }

    /// Makes the root file system anew where a trial has left something in it, and removes what has appeared outside.
    pub(super) fn restore(&self) -> Result<()> {
        let mut now = BTreeMap::new();
        look(&outside(), &mut now)?;
        for path in now.keys().filter(|path| !self.files.contains_key(*path)) {
            let _ = fs::remove_file(path).or_else(|_| fs::remove_dir_all(path));
        }
        let mut now = BTreeMap::new();
        if look(&root(), &mut now).is_err() || now.keys().ne(self.root.keys()) {
            let _ = fs::remove_dir_all(root());
            make_root()?;
        }
        for dir in ["inner", "below"] {
            fs::create_dir_all(work().join("volume").join(dir))?;
        }
        Ok(())
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        let _ = self.canary.kill();
        let _ = self.canary.wait();
        let _ = umount2(&work().join("volume/below"), MntFlags::MNT_DETACH);
        let _ = umount2(&work().join("volume"), MntFlags::MNT_DETACH);
        let _ = umount2(&work(), MntFlags::MNT_DETACH);
    }
}

fn make_root() -> Result<()> {
    let root = root();
    for dir in ["bin", "proc", "dev", "sys", "etc", "work", "secret", "fixed", "data", "elsewhere/keys"] {
        fs::create_dir_all(root.join(dir))?;
    }
    fs::copy("/bin/busybox", root.join("bin/busybox")).context("/bin/busybox")?;
    for applet in ["sleep", "true", "sh", "cat"] {
        symlink("busybox", root.join("bin").join(applet))?;
    }
    fs::write(root.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n")?;
    fs::write(root.join("etc/group"), "root:x:0:\n")?;
    for file in ["etc/hosts", "etc/shadow", "etc/fixed", "secret/file", "fixed/file", "elsewhere/file"] {
        fs::write(root.join(file), "")?;
    }
    Ok(())
}

/// Mounts at and beneath the directory of the run, without those of the volume.
fn mounts() -> Vec<String> {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let (work, volume) = (work().display().to_string(), work().join("volume").display().to_string());
    let ours = table.lines().filter(|line| line.contains(&work) && !line.contains(&volume));
    ours.map(ToOwned::to_owned).collect()
}

/// The state of a process of the host's.
fn process(child: &Child) -> String {
    let text = |name: &str| fs::read_to_string(format!("/proc/{}/{name}", child.id())).unwrap_or_default();
    let is_dead = text("status").contains("State:\tZ");
    format!("{is_dead} {:?}", ["cgroup", "oom_score_adj", "limits"].map(text))
}

/// Each entry beneath a directory: mode, owner, inode, size, and the text of small files.
fn look(dir: &Path, all: &mut BTreeMap<PathBuf, String>) -> Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let meta = entry.metadata()?;
        let text = match meta.is_file() && meta.len() < 1000 {
            true => fs::read_to_string(entry.path())?,
            false => String::new(),
        };
        let seen = format!("{:o} {} {} {} {text}", meta.mode(), meta.uid(), meta.gid(), meta.ino());
        all.insert(entry.path(), seen);
        if meta.is_dir() {
            look(&entry.path(), all)?;
        }
    }
    Ok(())
}

/// The scene of a command on this ground.
pub(super) fn scene<'a>(runtime: &'a Runtime, command: &'a crate::kills::scene::Tested) -> Result<Scene<'a>> {
    Scene::make(&work(), &runtime.path, command)
}

/// A config that names a path of each kind.
pub(super) fn full(config: &mut Value) {
    let kernel = ["nosuid", "noexec", "nodev"];
    config["root"]["readonly"] = json!(false);
    config["hostname"] = json!("box");
    config["process"]["cwd"] = json!("/work");
    config["process"]["user"]["additionalGids"] = json!([5, 6]);
    config["process"]["rlimits"] = json!([{"type": "RLIMIT_NOFILE", "soft": 512, "hard": 512}]);
    config["process"]["oomScoreAdj"] = json!(100);
    let file = |name: &str| work().join(name).display().to_string();
    config["mounts"] = json!([
        {"destination": "/proc", "type": "proc", "source": "proc", "options": kernel},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
        {"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": ["nosuid", "noexec", "newinstance"]},
        {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"]},
        {"destination": "/data", "type": "bind", "source": file("volume"), "options": ["rbind", "nosuid", "rslave"]},
        {"destination": "/data/inner", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "ro"]},
        {"destination": "/etc/hosts", "type": "bind", "source": file("hosts"), "options": ["bind", "ro"]},
        {"destination": "/made/here", "type": "tmpfs", "source": "tmpfs", "options": ["ro"]}
    ]);
    let linux = &mut config["linux"];
    linux["maskedPaths"] =
        json!(["/proc/keys", "/proc/timer_list", "/proc/acpi", "/sys/firmware", "/secret", "/etc/shadow"]);
    linux["readonlyPaths"] = json!(["/proc/bus", "/proc/sys", "/proc/irq", "/fixed", "/etc/fixed"]);
    linux["devices"] = json!([{"path": "/dev/box", "type": "c", "major": 1, "minor": 3, "fileMode": 438}]);
    linux["sysctl"] = json!({"kernel.msgmax": "8192"});
    // The end of a network namespace takes longer than all else.
    linux["namespaces"] = json!([{"type": "pid"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}]);
    linux["resources"]["devices"] = json!([{"allow": false, "access": "rwm"}]);
}

/// The same without a mount at /dev: devices and links are made in the root itself.
pub(super) fn without_dev(config: &mut Value) {
    full(config);
    let mounts = config["mounts"].as_array_mut().into_iter();
    mounts.for_each(|mounts| mounts.retain(|mount| !mount["destination"].to_string().contains("/dev")));
}

/// The same with hooks, the program of which is the caller's.
pub(super) fn hooks(config: &mut Value) {
    full(config);
    let hook = json!([{"path": work().join("hook"), "args": ["true"]}]);
    config["hooks"] = json!({"createRuntime": hook, "createContainer": hook, "poststart": hook, "poststop": hook,
        "startContainer": [{"path": "/bin/true"}]});
}

/// The same in a user namespace.
pub(super) fn user(config: &mut Value) {
    full(config);
    config["linux"]["namespaces"].as_array_mut().into_iter().for_each(|all| all.push(json!({"type": "user"})));
    config["mounts"].as_array_mut().into_iter().for_each(|all| all.retain(|mount| mount["type"] != "sysfs"));
    for maps in ["uidMappings", "gidMappings"] {
        config["linux"][maps] = json!([{"containerID": 0, "hostID": 0, "size": 65536}]);
    }
}

/// The same in the pid namespace of a neighbour.
pub(super) fn joined(config: &mut Value) {
    full(config);
    join(config, &["pid"]);
}

/// The same in the pid and user namespaces of a neighbour.
pub(super) fn joined_user(config: &mut Value) {
    user(config);
    config["linux"]["namespaces"].as_array_mut().into_iter().for_each(|all| all.retain(|kind| kind["type"] != "user"));
    for maps in ["uidMappings", "gidMappings"] {
        config["linux"][maps] = Value::Null;
    }
    config["linux"]["namespaces"].as_array_mut().into_iter().for_each(|all| all.push(json!({"type": "user"})));
    join(config, &["pid", "user"]);
}

/// The same in the mount namespace of a neighbour.
pub(super) fn joined_mount(config: &mut Value) {
    full(config);
    join(config, &["mount"]);
}

fn join(config: &mut Value, kinds: &[&str]) {
    let pid = super::neighbour::pid();
    for namespace in config["linux"]["namespaces"].as_array_mut().into_iter().flatten() {
        let kind = namespace["type"].as_str().unwrap_or_default().to_owned();
        if kinds.contains(&&*kind) {
            let file = if kind == "mount" { "mnt" } else { &*kind };
            namespace["path"] = json!(format!("/proc/{pid}/ns/{file}"));
        }
    }
}
