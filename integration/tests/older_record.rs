//! Containers of an older version are managed by this one.
//!
//! An older version wrote no link `init`, no sum and no session keyring: they are taken away from a
//! container of this version. `RUNTIME` names another program than `out/orlop`. Without root, or
//! without a runtime, a test says so and does nothing.

#![allow(clippy::unwrap_used, clippy::panic)] // The whole program is a test.

use integration::bundle::Scene;
use serde_json::{Value, json};
use std::fs;
use std::process::{Output, Stdio};

/// Makes the record that of an older version.
fn make_older(scene: &Scene) {
    let directory = scene.dir.join("state").join(&scene.id);
    fs::remove_file(directory.join("init")).unwrap_or_else(|e| panic!("the link: {e}"));
    let path = directory.join("state.json");
    let mut record: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let record = record.as_object_mut().unwrap();
    for newer in ["sum", "sessionKeyring"] {
        assert!(record.remove(newer).is_some(), "{newer}");
    }
    assert!(record["keyring"].as_bool().unwrap());
    fs::write(path, serde_json::to_vec(record).unwrap()).unwrap();
}

fn call(scene: &Scene, words: &[&str], more: &[&str]) -> Output {
    scene.command(words, more).stderr(Stdio::piped()).output().unwrap()
}

fn succeeds(scene: &Scene, words: &[&str], more: &[&str]) -> String {
    let output = call(scene, words, more);
    assert!(output.status.success(), "{words:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn status(scene: &Scene) -> String {
    let state: Value = serde_json::from_str(&succeeds(scene, &["state"], &[])).unwrap();
    state["status"].as_str().unwrap().to_owned()
}

fn list(scene: &Scene) -> String {
    let mut command = std::process::Command::new(&scene.runtime);
    let output = command.arg("--root").arg(scene.dir.join("state")).arg("list").output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// A container that sleeps, created or also started; with the pid namespace of the host, processes
/// do not die with the first one.
fn older(words: &[&str], own_pids: bool) -> Option<Scene> {
    let mut scene = Scene::new()?;
    scene.config["process"]["args"] = json!(["/bin/sh", "-c", "sleep 1000 & touch /tmp/up; wait"]);
    if !own_pids {
        scene.config["linux"]["namespaces"].as_array_mut().unwrap().retain(|it| it["type"] != "pid");
    }
    let made = scene.command(words, &[]).stdout(Stdio::null()).status().unwrap();
    assert!(made.success());
    if words[0] == "run" {
        scene.wait_for("up");
    }
    make_older(&scene);
    Some(scene)
}

#[test]
fn a_running_container_of_an_older_version_is_managed() {
    let Some(scene) = older(&["run", "--detach"], true) else { return };
    assert!(list(&scene).contains(&format!("{} ", scene.id)));
    assert_eq!(status(&scene), "running");
    assert_eq!(succeeds(&scene, &["exec"], &["/bin/cat", "/proc/1/comm"]), "sh\n");
    assert!(succeeds(&scene, &["ps"], &[]).contains("sleep"));
    assert!(succeeds(&scene, &["events", "--stats"], &[]).contains("\"cpu\""));
    succeeds(&scene, &["update", "--pids-limit", "50"], &[]);
    succeeds(&scene, &["pause"], &[]);
    assert_eq!(status(&scene), "paused");
    succeeds(&scene, &["resume"], &[]);
    let refused = call(&scene, &["delete"], &[]);
    assert!(!refused.status.success(), "{refused:?}");
    succeeds(&scene, &["kill"], &["KILL"]);
    while status(&scene) != "stopped" {
        std::thread::yield_now();
    }
    succeeds(&scene, &["delete"], &[]);
    assert!(!list(&scene).contains(&scene.id));
}

#[test]
fn a_created_container_of_an_older_version_is_started() {
    let Some(scene) = older(&["create"], true) else { return };
    assert_eq!(status(&scene), "created");
    succeeds(&scene, &["start"], &[]);
    scene.wait_for("up");
    assert_eq!(status(&scene), "running");
}

#[test]
fn delete_force_ends_all_processes_of_a_container_of_an_older_version() {
    for own_pids in [true, false] {
        for words in [&["create"][..], &["run", "--detach"]] {
            let Some(scene) = older(words, own_pids) else { return };
            let table = succeeds(&scene, &["ps", "--format", "json"], &[]);
            let pids: Vec<i32> = serde_json::from_str(&table).unwrap();
            assert_eq!(pids.len(), if words[0] == "create" { 1 } else { 2 });
            succeeds(&scene, &["delete", "--force"], &[]);
            for pid in pids {
                let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
                assert!(stat.is_empty() || stat.contains(") Z "), "{words:?}: {stat}");
            }
            assert!(!list(&scene).contains(&scene.id));
        }
    }
}
