//! Containers with next to no memory.

use integration::bundle::Scene;
use serde_json::json;
use std::fs;
use std::io::Read;
use std::path::PathBuf;

/// A container with 4 MiB and the cgroup namespace of its own.
fn scene() -> Option<Scene> {
    let mut scene = Scene::of_spec()?;
    scene.config["linux"]["resources"]["memory"] = json!({"limit": 4_194_304});
    scene.without_namespace("cgroup");
    scene.config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({"type": "cgroup"}));
    Some(scene)
}

/// A mount of this type at /tmp.
fn mount(scene: &mut Scene, kind: &str, options: &[&str]) {
    let mount = json!({"destination": "/tmp", "type": kind, "source": kind, "options": options});
    scene.config["mounts"].as_array_mut().unwrap().push(mount);
}

/// Where the unified hierarchy is mounted.
fn unified() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let line = mounts.lines().find(|line| line.contains(" - cgroup2 "))?;
    line.split(' ').nth(4).map(PathBuf::from)
}

#[test]
fn a_mount_shows_the_containers_own_cgroup_whatever_others_there_are() {
    let Some(mut scene) = scene() else { return };
    let another = unified().map(|dir| dir.join(format!("another-{}", scene.id)));
    if let Some(another) = &another {
        fs::create_dir(another).unwrap();
    }
    mount(&mut scene, "cgroup2", &[]);
    scene.script("echo children $(ls -d /tmp/*/ 2>/dev/null | wc -l)");
    let ended = scene.call(&["run"], &[]);
    if let Some(another) = &another {
        fs::remove_dir(another).unwrap();
    }
    assert_eq!(ended.ok(), "children 0\n");
    scene.nothing_left();
}

#[test]
fn files_that_are_copied_into_a_mount_are_charged_to_the_container() {
    let Some(mut scene) = scene() else { return };
    let mut big = fs::File::create(scene.tmp("big")).unwrap();
    std::io::copy(&mut std::io::repeat(b'y').take(100 << 20), &mut big).unwrap();
    mount(&mut scene, "tmpfs", &["tmpcopyup"]);
    scene.script("ls /tmp");
    let ended = scene.call(&["run"], &[]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    scene.nothing_left();
}
