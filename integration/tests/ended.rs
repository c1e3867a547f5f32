//! With `--init`, `state` shows how the program of a stopped container ended.
//!
//! `RUNTIME` names another program than `out/orlop`. Without root, or without a runtime, a test says
//! so and does nothing.

#![allow(clippy::unwrap_used, clippy::panic)] // The whole program is a test.

use integration::bundle::Scene;
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

fn succeeds(scene: &Scene, words: &[&str], more: &[&str]) -> String {
    let output = scene.command(words, more).stderr(Stdio::piped()).output().unwrap();
    assert!(output.status.success(), "{words:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn state(scene: &Scene) -> Value {
    serde_json::from_str(&succeeds(scene, &["state"], &[])).unwrap()
}

/// Starts a script under the reaping init.
fn start(scene: &mut Scene, script: &str) {
    scene.config["process"]["args"] = json!(["/bin/sh", "-c", script]);
    let created = scene.command(&["create", "--init"], &[]).stdout(Stdio::null()).status().unwrap();
    assert!(created.success(), "{script}");
    assert!(state(scene).get("ended").is_none());
    succeeds(scene, &["start"], &[]);
}

/// The state of the container once its first process has ended.
fn stopped(scene: &Scene) -> Value {
    loop {
        let state = state(scene);
        if state["status"] == "stopped" {
            return state;
        }
        assert!(state.get("ended").is_none(), "{state}");
        std::thread::yield_now();
    }
}

fn record(scene: &Scene) -> PathBuf {
    scene.dir.join("state").join(&scene.id).join("ended")
}

/// Between its seconds: for a comparison of times.
fn today() -> String {
    let output = Command::new("date").args(["-u", "+%Y-%m-%dT"]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn the_state_shows_the_exit_code_or_the_signal_with_the_time() {
    let cases = [
        ("exit 0", 0, None, "exited"),
        ("exit 7", 7, None, "exited"),
        ("exit 137", 137, None, "exited"),
        ("kill -SEGV $$", 139, Some("SIGSEGV"), "signal"),
        ("kill -KILL $$", 137, Some("SIGKILL"), "signal"),
    ];
    for (script, code, signal, reason) in cases {
        let Some(mut scene) = Scene::new() else { return };
        let before = today();
        start(&mut scene, script);
        let state = stopped(&scene);
        let ended = &state["ended"];
        assert_eq!(ended["exitCode"], code, "{script}: {state}");
        assert_eq!(ended.get("signal").and_then(Value::as_str), signal, "{script}: {state}");
        assert_eq!(ended["reason"], reason, "{script}: {state}");
        let time = ended["time"].as_str().unwrap();
        assert!(time.starts_with(&before) || time.starts_with(&today()), "{script}: {state}");
        assert!(time >= state["created"].as_str().unwrap() && time.ends_with('Z'), "{script}: {state}");
        succeeds(&scene, &["delete"], &[]);
        assert!(!record(&scene).exists());
    }
}

#[test]
fn memory_is_the_reason_only_where_the_oom_killer_acted_in_the_containers_own_cgroup() {
    const MIB: u64 = 1 << 20;
    let Some(mut scene) = Scene::new() else { return };
    scene.config["linux"]["resources"] = json!({"memory": {"limit": 16 * MIB, "swap": 16 * MIB}});
    start(&mut scene, "x=a; while :; do x=$x$x; done");
    let state = stopped(&scene);
    assert_eq!(state["ended"]["reason"], "out-of-memory", "{state}");
    assert_eq!(state["ended"]["exitCode"], 137, "{state}");
    // The limit alone is no reason.
    let Some(mut scene) = Scene::new() else { return };
    scene.config["linux"]["resources"] = json!({"memory": {"limit": 16 * MIB, "swap": 16 * MIB}});
    start(&mut scene, "kill -KILL $$");
    assert_eq!(stopped(&scene)["ended"]["reason"], "signal");
}

#[test]
fn an_init_that_was_killed_leaves_no_exit_code() {
    let Some(mut scene) = Scene::new() else { return };
    start(&mut scene, "sleep 1000");
    succeeds(&scene, &["kill"], &["KILL"]);
    assert_eq!(stopped(&scene)["ended"], json!({"reason": "init-killed"}));
}

#[test]
fn without_the_reaping_init_there_is_no_record_and_no_key() {
    let Some(scene) = Scene::new() else { return };
    assert!(scene.command(&["create"], &[]).stdout(Stdio::null()).status().unwrap().success());
    succeeds(&scene, &["start"], &[]);
    let state = stopped(&scene);
    assert!(state.get("ended").is_none() && !record(&scene).exists(), "{state}");
    let path = scene.dir.join("state").join(&scene.id).join("state.json");
    let text = fs::read_to_string(path).unwrap();
    assert!(!text.contains("recordsEnd") && !text.contains("newCgroup"), "{text}");
}

/// A filter that refuses write(2), a neighbour in the pid namespace, and a process that may trace.
#[test]
fn there_is_no_record_where_it_could_not_be_written_or_could_be_reached() {
    let changes: [fn(&mut Value); 3] = [
        |config| {
            let rule = json!({"names": ["write"], "action": "SCMP_ACT_ERRNO"});
            config["linux"]["seccomp"] = json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]});
        },
        |config| config["linux"]["namespaces"].as_array_mut().unwrap().retain(|it| it["type"] != "pid"),
        |config| config["process"]["capabilities"] = json!({"bounding": ["CAP_SYS_PTRACE"]}),
    ];
    for (n, change) in changes.into_iter().enumerate() {
        let Some(mut scene) = Scene::new() else { return };
        change(&mut scene.config);
        start(&mut scene, "exit 3");
        let state = stopped(&scene);
        assert!(state.get("ended").is_none() && !record(&scene).exists(), "{n}: {state}");
    }
}

#[test]
fn no_process_of_the_container_reaches_the_record() {
    let Some(mut scene) = Scene::new() else { return };
    let all = ["CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_SYS_ADMIN", "CAP_KILL"];
    scene.config["process"]["capabilities"] = json!({"bounding": all, "effective": all, "permitted": all});
    let script = "for n in 0 1 2 3 4 5 6 7 8 9; do echo forged > /proc/1/fd/$n && touch /tmp/forged; done; \
                  busybox readlink /proc/1/fd/0 && touch /tmp/forged; set -- /proc/1/fd/*; echo \"$@\" > /tmp/up; exit 5";
    start(&mut scene, script);
    let state = stopped(&scene);
    assert_eq!(state["ended"]["exitCode"], 5, "{state}");
    assert!(!scene.tmp("forged").exists());
    // It is there, and all that the init has open.
    assert_eq!(fs::read_to_string(scene.tmp("up")).unwrap(), "/proc/1/fd/0\n");
    // The program itself has no descriptor of it.
    let Some(mut scene) = Scene::new() else { return };
    start(
        &mut scene,
        "for fd in /proc/self/fd/*; do busybox readlink $fd; done > /tmp/mine; touch /tmp/up; sleep 1000",
    );
    scene.wait_for("up");
    let mine = fs::read_to_string(scene.tmp("mine")).unwrap();
    assert!(!mine.contains("ended"), "{mine}");
}

#[test]
fn whatever_the_file_holds_the_state_is_shown() {
    let Some(mut scene) = Scene::new() else { return };
    start(&mut scene, "exit 3");
    let whole = stopped(&scene);
    let path = record(&scene);
    let bytes = fs::read(&path).unwrap();
    assert_eq!(bytes.len(), 8);
    let mut forged: Vec<Vec<u8>> = (1..8).map(|length| bytes[..length].to_vec()).collect();
    forged.extend((0..8).map(|at| {
        let mut changed = bytes.clone();
        changed[at] ^= 0xff;
        changed
    }));
    forged.extend([[&bytes[..], b"\n"].concat(), vec![b'e'; 1 << 20]]);
    for content in forged {
        fs::write(&path, &content).unwrap();
        let state = state(&scene);
        let ended = state.get("ended");
        assert!(ended.is_none() || ended.unwrap()["exitCode"].as_u64().unwrap() < 256, "{content:?}: {state}");
        assert_eq!(state["status"], "stopped");
    }
    let no_files: [fn(&str) -> Command; 3] = [
        |path| command("mkfifo", &[path]),
        |path| command("ln", &["-s", "/etc/passwd", path]),
        |path| command("mkdir", &[path]),
    ];
    for make in no_files {
        let _ = fs::remove_file(&path);
        assert!(make(&path.display().to_string()).status().unwrap().success());
        assert!(state(&scene).get("ended").is_none());
    }
    assert_eq!(whole["ended"]["exitCode"], 3);
    succeeds(&scene, &["delete"], &[]);
}

fn command(program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments);
    command
}

#[test]
fn inspect_shows_the_end() {
    let Some(mut scene) = Scene::new() else { return };
    if !scene.runtime.with_file_name("orlop-bundle").exists() {
        eprintln!("skipped: no orlop-bundle beside the runtime");
        return;
    }
    start(&mut scene, "exit 4");
    stopped(&scene);
    let text = succeeds(&scene, &["inspect"], &[]);
    assert!(text.lines().any(|line| line.starts_with("ended") && line.contains("exited, exit code 4, ")), "{text}");
    let json: Value = serde_json::from_str(&succeeds(&scene, &["inspect", "--format", "json"], &[])).unwrap();
    assert_eq!(json["ended"]["exitCode"], 4);
}
