//! `mounts add` and `mounts remove` while the container, or a neighbour with the same root, works against them.

use super::races::{Swapper, rounds};
use super::{Scene, ended};
use serde_json::{Value, json};
use std::fs;
use std::process::Command;

/// The command `mounts` with this list.
fn command(scene: &Scene, action: &str, list: &Value) -> Command {
    let file = scene.dir.join("list.json");
    fs::write(&file, list.to_string()).unwrap();
    let mut command = Command::new("timeout");
    command.args(["-k", "1", "60"]).arg(scene.runtime()).arg("--root").arg(&scene.state_root);
    command.args(["mounts", action, scene.id()]).arg(file);
    command
}

/// Mount points of the container's first process.
fn points(scene: &Scene) -> Vec<String> {
    let table = fs::read_to_string(format!("/proc/{}/mountinfo", scene.pid())).unwrap();
    table.lines().map(|line| line.split(' ').nth(4).unwrap().to_owned()).collect()
}

#[test]
fn a_racing_exchange_of_the_destination_of_an_added_mount() {
    let Some(mut scene) = Scene::new() else { return };
    fs::create_dir_all(scene.root("vol/dir")).unwrap();
    scene.plant("vol/link", &scene.out("dir"));
    scene.script("sleep 1000");
    scene.without_network();
    scene.run_detached();
    let before = points(&scene);
    let list = json!([
        {"destination": "/vol/dir/made/here", "type": "tmpfs", "source": "tmpfs"},
        {"destination": "/vol/dir/file", "type": "bind", "source": "/bin/busybox", "options": ["bind", "ro"]},
        {"destination": "/vol/dir/sub", "type": "bind", "source": scene.dir.join("outside"), "options": ["bind", "ro"]}
    ]);
    let (mut made, mut tried) = (0, 0);
    for microseconds in [0, 200] {
        let swapper = Swapper::start(&scene, "vol/dir", "vol/link", microseconds);
        for _ in 0..rounds() {
            let added = ended(command(&scene, "add", &list).output().unwrap());
            assert!(!added.error.contains("panic"), "{added:?}");
            tried += 1;
            made += u32::from(added.code == Some(0));
            swapper.stop();
            scene.nothing_outside();
            let now = points(&scene);
            assert_eq!(now.len() - before.len(), if added.code == Some(0) { 3 } else { 0 }, "{added:?} {now:?}");
            if added.code == Some(0) {
                // The names are a matter of chance: mounts are removed by those that they have now.
                let here: Vec<Value> = now[before.len()..].iter().map(|point| json!({"destination": point})).collect();
                let removed = ended(command(&scene, "remove", &json!(here)).output().unwrap());
                assert_eq!((removed.code, points(&scene)), (Some(0), before.clone()), "{removed:?} {now:?}");
            }
            swapper.go_on();
        }
    }
    eprintln!("{made} of {tried} additions were made");
}

#[test]
fn a_racing_exchange_never_has_a_mask_or_a_mount_of_the_config_removed() {
    let Some(mut scene) = Scene::new() else { return };
    fs::create_dir_all(scene.root("vol/firmware")).unwrap();
    scene.plant("link", "/sys");
    scene.script("sleep 1000");
    scene.without_network();
    scene.run_detached();
    let before = points(&scene);
    let list = json!([{"destination": "/vol/firmware", "type": "tmpfs", "source": "tmpfs"}]);
    let swapper = Swapper::start(&scene, "vol", "link", 0);
    for _ in 0..rounds() {
        let added = ended(command(&scene, "add", &list).output().unwrap());
        let removed = ended(command(&scene, "remove", &list).output().unwrap());
        assert!(!added.error.contains("panic") && !removed.error.contains("panic"), "{added:?} {removed:?}");
        let now = points(&scene);
        for point in &before {
            assert!(now.contains(point), "{point} is gone: {added:?} {removed:?} {now:?}");
        }
    }
    drop(swapper);
    scene.nothing_outside();
}

#[test]
fn the_helper_of_added_mounts_is_never_dumpable_in_the_user_namespace_of_the_container() {
    let Some(mut scene) = Scene::new() else { return };
    super::sealed::map_ids(&mut scene);
    scene.script("sleep 1000");
    scene.run_detached();
    let list = json!([{"destination": "/tmp", "type": "tmpfs", "source": "tmpfs"}]);
    for action in ["add", "remove"] {
        super::sealed::assert_hidden(&super::sealed::calls(&scene, &command(&scene, action, &list)));
    }
}
