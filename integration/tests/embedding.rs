//! Programs that embed the library: those of `integration/examples`, run on a bundle.
//!
//! Without root a test says so and does nothing.

#![allow(clippy::unwrap_used, clippy::panic)] // The whole program is a test.

use integration::bundle::Scene;
use serde_json::json;
use std::fs;
use std::process::{Command, Output};

/// The example is built first where `cargo test --test embedding` has not: cargo builds examples with all tests alone.
fn example(scene: &Scene, name: &str) -> Output {
    fs::write(scene.dir.join("config.json"), scene.config.to_string()).unwrap();
    let built =
        Command::new(env!("CARGO")).args(["build", "--locked", "-q", "-p", "integration", "--example", name]).status();
    assert!(built.unwrap().success());
    let tests = std::env::current_exe().unwrap();
    let program = tests.parent().unwrap().parent().unwrap().join("examples").join(name);
    let mut command = Command::new(program);
    command.arg(scene.dir.join("state")).arg(&scene.dir).arg(&scene.id).current_dir(&scene.dir);
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_program_runs_a_container_in_its_foreground_and_goes_on_as_before() {
    let Some(mut scene) = Scene::new() else { return };
    scene.config["process"]["args"] = json!(["/bin/sh", "-c", "echo inside; exit 7"]);
    let ended = example(&scene, "foreground");
    assert_eq!((ended.status.code(), text(&ended.stdout).as_str()), (Some(7), "inside\n"), "{ended:?}");
    assert_eq!(fs::read_dir(scene.dir.join("state")).unwrap().count(), 0);
}

#[test]
fn a_program_leads_a_container_through_its_life() {
    let Some(mut scene) = Scene::new() else { return };
    scene.config["process"]["args"] = json!(["/bin/sleep", "100"]);
    let ended = example(&scene, "lifecycle");
    let output = text(&ended.stdout);
    assert!(ended.status.success(), "{ended:?}");
    for part in ["\"created\"\n", "exec ended with 3\n", &scene.id, "running", "killed by SIGKILL\n"] {
        assert!(output.contains(part), "{part} is not in {output}");
    }
    assert_eq!(fs::read_dir(scene.dir.join("state")).unwrap().count(), 0);
}

#[test]
fn an_error_of_the_library_is_the_error_of_the_program() {
    let Some(mut scene) = Scene::new() else { return };
    scene.config["process"]["args"] = json!(["/bin/missing"]);
    for name in ["foreground", "lifecycle"] {
        let ended = example(&scene, name);
        assert!(!ended.status.success() && text(&ended.stderr).contains("/bin/missing"), "{ended:?}");
        let _ = Command::new(&scene.runtime)
            .arg("--root")
            .arg(scene.dir.join("state"))
            .args(["delete", "--force"])
            .arg(&scene.id)
            .output();
    }
}
