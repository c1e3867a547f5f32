//! Containers of the previous build are managed by this one, and the other way round; the program is exchanged while
//! containers start.
//!
//! `integration/data/previous` names the previous build and the fields of its records. `PREVIOUS` is its program, which
//! `integration/tools/previous` builds for `make soak`. Without it this build stands in for it, and the fields of the records
//! are compared.

#![allow(clippy::unwrap_used, clippy::panic)] // The whole program is a test.

use integration::bundle::{Scene, ended, eventually};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The program of the previous build.
fn previous(scene: &Scene) -> PathBuf {
    std::env::var_os("PREVIOUS")
        .map_or_else(|| scene.runtime.clone(), |path| PathBuf::from(path).canonicalize().unwrap())
}

/// Both directions: the program that creates a container, and the one that manages it.
fn directions() -> Vec<(PathBuf, PathBuf)> {
    let Some(scene) = Scene::new() else { return Vec::new() };
    let (old, new) = (previous(&scene), scene.runtime.clone());
    vec![(old.clone(), new.clone()), (new, old)]
}

/// A container that sleeps, made by a program, and from then on in the hands of another.
fn handed_over(words: &[&str], from: &Path, to: PathBuf) -> Scene {
    let mut scene = Scene::new().unwrap();
    scene.runtime = from.to_owned();
    scene.config["process"]["args"] = json!(["/bin/sh", "-c", "touch /tmp/up; exec sleep 1000"]);
    scene.config["linux"]["cgroupsPath"] = Scene::cgroups_path(&scene.id).into();
    scene.config["linux"]["resources"] = json!({"pids": {"limit": 50}});
    scene.config["annotations"] = json!({"org.example.kept": "yes"});
    let _ = scene.call(words, &[]).ok();
    scene.runtime = to;
    scene
}

#[test]
fn each_build_manages_the_running_containers_of_the_other() {
    for (from, to) in directions() {
        let scene = handed_over(&["run", "--detach"], &from, to);
        scene.wait_for("up");
        let state = scene.state();
        assert_eq!((&state["status"], &state["annotations"]["org.example.kept"]), (&json!("running"), &json!("yes")));
        assert_eq!(scene.call(&["exec"], &["/bin/cat", "/proc/1/comm"]).ok(), "sleep\n");
        assert!(scene.call(&["ps"], &[]).ok().contains("sleep"));
        assert!(scene.call(&["events", "--stats"], &[]).ok().contains("\"pids\""));
        let _ = scene.call(&["update", "--pids-limit", "40"], &[]).ok();
        let _ = scene.call(&["pause"], &[]).ok();
        scene.until_status("paused");
        let _ = scene.call(&["resume"], &[]).ok();
        let _ = scene.call(&["delete"], &[]).refused();
        let _ = scene.call(&["kill"], &["KILL"]).ok();
        scene.until_status("stopped");
        let _ = scene.call(&["delete"], &[]).ok();
        scene.nothing_left();
    }
}

#[test]
fn each_build_starts_or_ends_the_created_containers_of_the_other() {
    for (from, to) in directions() {
        let scene = handed_over(&["create"], &from, to.clone());
        assert_eq!(scene.state()["status"], "created");
        let _ = scene.call(&["start"], &[]).ok();
        scene.wait_for("up");
        let _ = scene.call(&["delete", "--force"], &[]).ok();
        scene.nothing_left();
        let scene = handed_over(&["create"], &from, to);
        let _ = scene.call(&["delete", "--force"], &[]).ok();
        scene.nothing_left();
    }
}

/// A package manager writes the new program beside the old one and renames it.
#[test]
fn the_program_is_exchanged_while_fifty_containers_start() {
    let Some(scene) = Scene::new() else { return };
    let programs = [("new", scene.runtime.clone()), ("old", previous(&scene))].map(|(name, from)| {
        let program = scene.dir.join(name);
        fs::copy(from, &program).unwrap();
        program
    });
    let (program, next) = (scene.dir.join("orlop"), scene.dir.join("next"));
    let exchange = |from: &Path| {
        fs::hard_link(from, &next).unwrap();
        fs::rename(&next, &program).unwrap();
    };
    exchange(&programs[1]);
    let scenes: Vec<Scene> = (0..50).map(|_| sleeping().unwrap()).collect();
    std::thread::scope(|scope| {
        let part = |part: &[Scene]| part.iter().for_each(|scene| begin(&program, scene));
        let parts: Vec<_> = scenes.chunks(13).map(|scenes| scope.spawn(move || part(scenes))).collect();
        while parts.iter().any(|part| !part.is_finished()) {
            programs.iter().for_each(|from| exchange(from));
        }
    });
    for (number, scene) in scenes.iter().enumerate() {
        assert_eq!(scene.state()["status"], "running", "{}", scene.id);
        let _ = scene.as_it_is(&["delete", "--force"], &[]).ok();
        assert_eq!(fs::read_dir(&scene.state_root).unwrap().count(), 0);
        if number % 10 == 0 {
            scene.nothing_left();
        }
    }
}

fn sleeping() -> Option<Scene> {
    let mut scene = Scene::new()?;
    scene.config["process"]["args"] = json!(["/bin/sleep", "1000"]);
    scene.write_config();
    Some(scene)
}

fn begin(program: &Path, scene: &Scene) {
    let mut command = Command::new(program);
    command.arg("--root").arg(&scene.state_root).args(Scene::flags()).args(["run", "--detach", &scene.id]);
    let _ = ended(command, &scene.dir).ok();
}

/// `name type` of each field of a record, with those of its objects.
fn fields(record: &Value) -> Vec<String> {
    fn add(prefix: &str, value: &Value, list: &mut Vec<String>) {
        let kind = match value {
            Value::Object(_) => "object",
            Value::Array(_) => "array",
            Value::String(_) => "string",
            Value::Number(_) => "number",
            Value::Bool(_) => "boolean",
            Value::Null => "null",
        };
        list.push(format!("{prefix} {kind}"));
        let own_keys = ["annotations", "cgroup_paths", "namespace_paths"].iter().any(|name| prefix.ends_with(name));
        for (name, below) in value.as_object().into_iter().flatten().filter(|_| !own_keys) {
            add(&format!("{prefix}.{name}"), below, list);
        }
    }
    let mut list = Vec::new();
    record.as_object().unwrap().iter().for_each(|(name, value)| add(name, value, &mut list));
    list
}

#[test]
fn the_records_have_each_field_of_the_previous_build() {
    let Some(scene) = Scene::new() else { return };
    let scene = handed_over(&["run", "--detach"], &scene.runtime, scene.runtime.clone());
    eventually("its record", || scene.state()["status"] == "running");
    let record = fs::read(scene.state_root.join(&scene.id).join("state.json")).unwrap();
    let found = fields(&serde_json::from_slice(&record).unwrap());
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/previous");
    let known = fs::read_to_string(file).unwrap();
    let known: Vec<_> = known.lines().filter_map(|line| line.strip_prefix("field ")).collect();
    assert!(known.len() > 20, "{found:#?}");
    for field in known {
        assert!(found.iter().any(|name| name == field), "the record has no {field:?}: {found:#?}");
    }
}
