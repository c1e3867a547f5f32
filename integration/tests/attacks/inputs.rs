//! Configs that are too large, too deep, or written for the terminal of whoever reads the message.

use super::{Scene, ended};
use serde_json::{Value, json};
use std::fs;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Text that erases the line, sets the window's title, begins a line of its own, and turns the direction of what follows.
const HOSTILE: &str = "X\r\x1b[2K\x1b]0;owned\x07\norlop: warning: forged\u{9b}2J\u{202e}\u{2066}\u{2028}Y";

fn names(prefix: &str, many: u32) -> Vec<String> {
    (0..many).map(|n| format!("{prefix}{n}")).collect()
}

#[test]
fn no_long_list_of_a_config_keeps_the_runtime_busy() {
    let many = 300_000;
    let env: Vec<String> = names("VARIABLE", many).into_iter().map(|name| name + "=x").collect();
    let devices: serde_json::Map<String, Value> = names("d", many).into_iter().map(|name| (name, json!({}))).collect();
    let rule = json!({"allow": true, "type": "c", "major": 1, "minor": 3, "access": "r"});
    let lists = [
        ("/process/env", json!(env)),
        ("/process/user/additionalGids", json!((1..=many * 2).collect::<Vec<u32>>())),
        ("/process/capabilities/bounding", json!(names("CAP_", many))),
        ("/linux/netDevices", json!(devices)),
        ("/linux/resources/devices", json!(vec![rule; many as usize])),
        ("/linux/cgroupsPath", json!("/x".repeat(many as usize))),
        ("/linux/resources/cpu/cpus", json!("0-65535,".repeat(many as usize))),
    ];
    for (field, value) in lists {
        let Some(mut scene) = Scene::new() else { return };
        scene.config["linux"]["resources"] = json!({"cpu": {}});
        scene.config["linux"]["cgroupsPath"] = json!("/attack");
        let (parent, key) = field.rsplit_once('/').unwrap();
        scene.config.pointer_mut(parent).unwrap()[key] = value;
        let ended = scene.run();
        // 124 is the watchdog's, and what is above it a signal's.
        assert!(ended.code.is_some_and(|code| code < 124), "{field}: {:?}", ended.code);
        assert!(ended.error.len() < 20_000, "{field}: a message of {} bytes", ended.error.len());
    }
}

#[test]
fn no_nesting_in_an_annotation_ends_the_runtime() {
    for open in ["<", "[", "(", "@u ", "uint32 ", "([<"] {
        let Some(mut scene) = Scene::new() else { return };
        scene.config["annotations"] = json!({"org.systemd.property.Xyz": open.repeat(1_000_000)});
        scene.config["linux"]["cgroupsPath"] = json!("system.slice:a:b");
        scene.write_config();
        let mut command = Command::new(scene.runtime());
        let state = scene.dir.join("state");
        command
            .arg("--root")
            .arg(&state)
            .args(["--systemd-cgroup", "run", "-b"])
            .arg(scene.dir.join("bundle"))
            .arg("x");
        let ended = ended(command.output().unwrap());
        assert_eq!(ended.code, Some(1), "{open}");
        assert!(ended.error.contains("annotations[") && ended.error.len() < 2000, "{open}: {}", ended.error);
    }
}

/// Places of a config whose text comes back in a message, and whether the container is made nevertheless.
fn hostile_places() -> Vec<(&'static str, Value)> {
    vec![
        ("/process/capabilities/bounding", json!([HOSTILE])),
        ("/process/cwd", json!(format!("/{HOSTILE}"))),
        ("/process/args", json!([HOSTILE])),
        ("/process/env", json!([HOSTILE])),
        ("/process/rlimits", json!([{"type": HOSTILE, "soft": 1, "hard": 1}])),
        ("/process/apparmorProfile", json!("X\x1b[2K\u{202e}")),
        ("/mounts/0/destination", json!(format!("/{HOSTILE}"))),
        ("/mounts/0/type", json!(HOSTILE)),
        ("/mounts/0/options", json!([HOSTILE])),
        ("/linux/cgroupsPath", json!(HOSTILE)),
        ("/linux/namespaces/0/type", json!(HOSTILE)),
        ("/linux/sysctl", json!({ HOSTILE: "1" })),
        ("/linux/seccomp", json!({"defaultAction": HOSTILE})),
        ("/linux/resources", json!({"devices": [{"allow": true, "type": "c", "access": HOSTILE}]})),
        ("/linux/netDevices", json!({ HOSTILE: {} })),
        ("/linux/rootfsPropagation", json!(HOSTILE)),
        ("/linux/maskedPaths", json!([HOSTILE])),
        ("/hooks", json!({"createRuntime": [{"path": HOSTILE}]})),
        ("/hostname", json!(HOSTILE)),
        ("/root/path", json!(HOSTILE)),
        ("/annotations", json!({format!("org.systemd.property.{HOSTILE}"): HOSTILE})),
        ("/ociVersion", json!(HOSTILE)),
    ]
}

/// The characters of a terminal's own line ends aside, nothing that is no letter.
fn assert_harmless(field: &str, text: &str) {
    let text = text.replace("\r\n", "\n");
    let bad = text.lines().flat_map(str::chars).find(|c| c.is_control() || "\u{202e}\u{2066}\u{2028}".contains(*c));
    assert_eq!(bad, None, "{field}: {text:?}");
    assert!(text.lines().all(|line| !line.starts_with("orlop: warning: forged")), "{field}: {text:?}");
}

#[test]
fn no_text_of_a_config_acts_on_the_terminal_or_the_log() {
    for (field, value) in hostile_places() {
        for flags in [&[][..], &["--debug"], &["--log-format", "json"], &["--log", "log", "--debug"]] {
            let Some(mut scene) = Scene::new() else { return };
            let (parent, key) = field.rsplit_once('/').unwrap();
            let place = scene.config.pointer_mut(parent).unwrap();
            match key.parse::<usize>() {
                Ok(n) => place[n] = value.clone(),
                Err(_) => place[key] = value.clone(),
            }
            scene.write_config();
            let (runtime, dir) = (scene.runtime().display(), scene.dir.display());
            let line = format!("{runtime} --root {dir}/state {} run -b {dir}/bundle x", flags.join(" "));
            // A terminal of its own; what the runtime writes to it comes to standard output.
            let mut script = Command::new("script");
            script.args(["-qefc", &line, "/dev/null"]).current_dir(&scene.dir).stdin(Stdio::null());
            let output = String::from_utf8(script.output().unwrap().stdout).unwrap();
            assert_harmless(field, &output);
            let log = fs::read(scene.dir.join("log")).unwrap_or_default();
            assert_harmless(field, &String::from_utf8(log).unwrap());
            assert!(!output.contains("orlop: orlop"), "the program's name twice: {output}");
        }
    }
}

#[test]
fn a_run_that_is_still_being_made_ends_with_sigterm() {
    let Some(mut scene) = Scene::new() else { return };
    let begun = scene.root("tmp/begun");
    scene.config["hooks"] = json!({"createContainer": [
        {"path": "/bin/sh", "args": ["sh", "-c", format!("> {}; exec sleep 60", begun.display())]}]});
    scene.write_config();
    // Without the watchdog, which would pass the signal on to the hook too.
    let mut run = Command::new(scene.runtime());
    run.arg("--root").arg(scene.dir.join("state")).args(["run", "-b"]).arg(scene.dir.join("bundle")).arg("x");
    let child = run.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let patience = Instant::now() + Duration::from_secs(30);
    while !begun.exists() {
        assert!(Instant::now() < patience, "the hook has not begun");
        sleep(Duration::from_millis(10));
    }
    let pid = nix::unistd::Pid::from_raw(child.id().try_into().unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    let ended = ended(child.wait_with_output().unwrap());
    assert!(ended.error.contains("ended by signal 15 while the container is made"), "{ended:?}");
    let state = scene.dir.join("state");
    assert_eq!(fs::read_dir(&state).unwrap().count(), 0, "a state is left");
}
