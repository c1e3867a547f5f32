//! A cgroup that the caller has prepared, and that takes no process.

use super::Scene;
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};

/// A cgroup of the unified hierarchy beside v1, with what is in it.
struct Tree(PathBuf);

impl Tree {
    /// `None`, with the reason printed, where there is no such hierarchy.
    fn new(name: &str) -> Option<Tree> {
        if !integration::skip::is_root() {
            return None;
        }
        let unified = Path::new("/sys/fs/cgroup/unified");
        if !unified.join("cgroup.procs").exists() {
            integration::skip::skip("no unified hierarchy beside v1");
            return None;
        }
        let tree = unified.join(format!("orlop-{name}-{}", std::process::id()));
        fs::create_dir(&tree).unwrap();
        Some(Tree(tree))
    }

    fn name(&self) -> String {
        self.0.file_name().unwrap().to_string_lossy().into_owned()
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        fn remove(directory: &Path) {
            for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    remove(&entry.path());
                }
            }
            let _ = fs::remove_dir(directory);
        }
        remove(&self.0);
    }
}

/// Beside v1 the unified hierarchy limits nothing; a process that cannot be in it is in the v1 cgroups all the same.
#[test]
fn a_container_lives_where_the_unified_cgroup_is_below_a_threaded_one() {
    for (place, with_user) in [("thread/box", false), ("thread/box", true), ("box", false), ("domain/there", false)] {
        let Some(tree) = Tree::new("threaded") else { return };
        let Some(mut scene) = Scene::new() else { return };
        fs::create_dir_all(tree.0.join("thread")).unwrap();
        fs::create_dir_all(tree.0.join("domain/there")).unwrap();
        fs::write(tree.0.join("thread/cgroup.type"), "threaded").unwrap();
        scene.config["linux"]["cgroupsPath"] = json!(format!("/{}/{place}", tree.name()));
        scene.config["linux"]["resources"] = json!({"pids": {"limit": 50}});
        scene.namespace("cgroup", None);
        if with_user {
            scene.namespace("user", None);
        }
        let init = scene.create();
        scene.start().ok();
        let exec = scene.exec_detached(&["/bin/sleep", "1000"]);
        for pid in [init, exec] {
            let cgroups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
            assert!(cgroups.contains(&format!("pids:/{}/{place}\n", tree.name())), "{place}: {cgroups}");
        }
        let killed = super::ended(scene.command("kill", &["--all"], &["KILL"]).output().unwrap());
        killed.ok();
        scene.delete();
        assert!(!Path::new(&format!("/proc/{init}/root/bin")).exists(), "{place}: init lives");
        assert!(!Path::new("/sys/fs/cgroup/pids").join(tree.name()).exists(), "{place}: the v1 cgroup is left");
    }
}
