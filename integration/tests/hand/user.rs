//! An unprivileged user.

use integration::bundle::{Scene, ended};
use integration::skip::skip;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

const USER: u32 = 1000;

/// The hierarchies of cgroup v1.
fn hierarchies() -> BTreeSet<PathBuf> {
    let entries = fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten();
    let paths = entries.filter(|entry| entry.path().join("tasks").exists());
    paths.map(|entry| entry.path().canonicalize().unwrap()).collect()
}

/// Cgroups of the user's, one in each hierarchy, which go with this.
struct Delegated(Vec<PathBuf>);

impl Delegated {
    fn new(name: &str) -> Self {
        let made: Vec<PathBuf> = hierarchies().into_iter().map(|dir| dir.join(name)).collect();
        for dir in &made {
            fs::create_dir(dir).unwrap();
            for file in ["cpuset.cpus", "cpuset.mems"] {
                if let Ok(text) = fs::read(dir.parent().unwrap().join(file)) {
                    fs::write(dir.join(file), text).unwrap();
                }
            }
            give(dir);
        }
        Delegated(made)
    }
}

impl Drop for Delegated {
    fn drop(&mut self) {
        for dir in &self.0 {
            let _ = fs::remove_dir(dir.join("box"));
            let _ = fs::remove_dir(dir);
        }
    }
}

/// Makes the user the owner of a directory and its entries.
fn give(dir: &Path) {
    chown(dir, Some(USER), Some(USER)).unwrap();
    for entry in fs::read_dir(dir).unwrap().flatten() {
        chown(entry.path(), Some(USER), Some(USER)).unwrap();
    }
}

/// A command of the user's own copy of the runtime.
fn by_user(scene: &Scene, words: &[&str]) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "1000", "--regid", "1000", "--clear-groups", "env", "-i", "PATH=/usr/bin:/bin"]);
    command.arg(format!("HOME={}", scene.dir.display())).arg(scene.dir.join("orlop")).args(words);
    command.current_dir(&scene.dir);
    command
}

#[test]
fn an_unprivileged_user_with_delegated_cgroups_of_v1_has_a_container_with_limits() {
    let Some(scene) = Scene::of_spec() else { return };
    if hierarchies().is_empty() {
        return skip("no hierarchies of cgroup v1");
    }
    let name = format!("user-of-{}", scene.id);
    let mine = Delegated::new(&name);
    fs::copy(&scene.runtime, scene.dir.join("orlop")).unwrap();
    fs::set_permissions(scene.dir.join("orlop"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::remove_file(scene.dir.join("config.json")).unwrap();
    give(&scene.dir);
    let _ = ended(by_user(&scene, &["spec", "--rootless"]), &scene.dir).ok();
    let file = scene.dir.join("config.json");
    let mut config: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    config["process"]["terminal"] = false.into();
    config["process"]["args"] = json!(["cat", "/proc/self/cgroup"]);
    config["linux"]["cgroupsPath"] = format!("/{name}/box").into();
    config["linux"]["resources"] = json!({"pids": {"limit": 33}});
    fs::write(&file, config.to_string()).unwrap();
    let root = scene.dir.join("users-state").display().to_string();
    let shown = ended(by_user(&scene, &["--root", &root, "run", "--keep", "box"]), &scene.dir).ok();
    let own = shown.lines().filter(|line| line.ends_with(&format!("/{name}/box"))).count();
    assert_eq!(own, mine.0.len(), "{shown}");
    let pids = mine.0.iter().find(|dir| dir.join("pids.max").exists()).unwrap();
    assert_eq!(fs::read_to_string(pids.join("box/pids.max")).unwrap(), "33\n");
    let _ = ended(by_user(&scene, &["--root", &root, "delete", "box"]), &scene.dir).ok();
    scene.nothing_left();
}
