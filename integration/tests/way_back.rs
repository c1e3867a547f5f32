//! runc manages the containers that orlop created, when the program is changed back on a live host: `OTHERS` has paths of runcs to
//! try besides the installed one, as `integration/engines/newer-runtimes` leaves them.

#![allow(clippy::unwrap_used, clippy::panic)] // The whole program is a test.

use integration::other_runtime::{Other, ended, lives, others};
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// A container of ours, made with a change to its config, and the runc that finds it.
fn ours_for_runc(words: &[&str], change: impl Fn(&mut Other)) -> Vec<Other> {
    let is_runc = |runtime: &PathBuf| runtime.ends_with("runc");
    let make = |runtime: PathBuf| {
        let mut other = Other::new(&runtime)?;
        let hook = json!(["sh", "-c", format!("cat > {}/gone", other.scene.dir.display())]);
        other.scene.config["hooks"] = json!({"poststop": [{"path": "/bin/sh", "args": hook}]});
        change(&mut other);
        other.scene.write_config();
        other.ours_ok(words, &[]);
        assert!(fs::metadata(other.directory().join("state.json")).unwrap().len() < 2560);
        Some(other)
    };
    others().into_iter().filter(is_runc).filter_map(make).collect()
}

/// Ends it by runc, and sees that nothing is left.
fn ended_by_runc(other: &Other, pid: i64) {
    let at = other.runtime.display();
    other.theirs_ok(&["kill"], &["KILL"]);
    while !other.theirs_ok(&["state"], &[]).contains("\"stopped\"") {
        std::thread::yield_now();
    }
    other.theirs_ok(&["delete"], &[]);
    assert!(!lives(pid) && !other.directory().exists() && other.pids("pids.max").is_none(), "{at}");
    let hook = fs::read_to_string(other.scene.dir.join("gone")).unwrap();
    assert!(hook.contains("org.example.kept") && hook.contains(&other.scene.id), "{at}: {hook}");
}

#[test]
fn runc_manages_a_container_of_ours() {
    let own_path = |_: &mut Other| {};
    let default_path = |other: &mut Other| drop(other.scene.config["linux"]["cgroupsPath"].take());
    let own_users = |other: &mut Other| {
        let map = json!([{"containerID": 0, "hostID": 0, "size": 65536}]);
        other.scene.config["linux"]["uidMappings"] = map.clone();
        other.scene.config["linux"]["gidMappings"] = map;
        other.scene.config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({"type": "user"}));
    };
    let changes: [&dyn Fn(&mut Other); 3] = [&own_path, &default_path, &own_users];
    for other in changes.into_iter().flat_map(|change| ours_for_runc(&["run", "--detach"], change)) {
        let at = other.runtime.display();
        other.scene.wait_for("up");
        let pid = other.state()["pid"].as_i64().unwrap();
        let state: Value = serde_json::from_str(&other.theirs_ok(&["state"], &[])).unwrap();
        assert_eq!((&state["status"], &state["pid"]), (&json!("running"), &json!(pid)), "{at}");
        assert_eq!(state["rootfs"], json!(other.scene.dir.join("rootfs")), "{at}");
        assert_eq!(state["annotations"]["org.example.kept"], "yes", "{at}");
        let mut list = Command::new(&other.runtime);
        list.arg("--root").arg(other.scene.dir.join("state")).args(["list", "--format", "json"]);
        assert!(ended(list, &other.scene).1.contains(&format!("\"pid\":{pid}")), "{at}");
        assert!(other.theirs_ok(&["ps", "--format", "json"], &[]).contains(&pid.to_string()), "{at}");
        assert!(other.theirs_ok(&["events", "--stats"], &[]).contains("\"pids\""), "{at}");
        let seen = other.theirs_ok(&["exec"], &["/bin/sh", "-c", "cat /proc/self/status /proc/1/cmdline"]);
        assert!(seen.contains("CapEff:\t0000000000000021") && seen.contains("NoNewPrivs:\t1"), "{at}: {seen}");
        assert!(seen.contains("sleep"), "{at}: it is in the container's pid namespace: {seen}");
        other.theirs_ok(&["pause"], &[]);
        assert_eq!(other.state()["status"], "paused", "{at}");
        other.theirs_ok(&["resume"], &[]);
        // It writes the record anew, which then is one of runc's.
        other.theirs_ok(&["update", "--pids-limit", "33"], &[]);
        assert_eq!(other.state()["status"], "running", "{at}");
        ended_by_runc(&other, pid);
    }
}

#[test]
fn runc_ends_a_container_of_ours_that_was_never_started() {
    for other in ours_for_runc(&["create"], |_| {}) {
        let pid = other.state()["pid"].as_i64().unwrap();
        assert_ne!(other.theirs(&["start"]).0, 0, "{}: our init waits at no fifo", other.runtime.display());
        ended_by_runc(&other, pid);
    }
}

/// Its form of the filter is not in the record: the program must not run without.
#[test]
fn runc_executes_nothing_in_a_container_of_ours_with_a_filter() {
    let filter = |other: &mut Other| {
        let rule = json!({"names": ["mkdir"], "action": "SCMP_ACT_ERRNO"});
        other.scene.config["linux"]["seccomp"] = json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]});
    };
    for other in ours_for_runc(&["run", "--detach"], filter) {
        let pid = other.state()["pid"].as_i64().unwrap();
        let (code, text) = other.theirs_with(&["exec"], &["/bin/sh", "-c", "echo it ran"]);
        assert!(code != 0 && text.contains("seccomp") && !text.contains("it ran"), "{text}");
        ended_by_runc(&other, pid);
    }
}

/// Without a pid namespace of its own the container's processes do not die with the first one.
#[test]
fn runc_ends_every_process_of_a_container_of_ours_that_shares_the_pids_of_the_host() {
    let two = |other: &mut Other| {
        other.scene.without_namespace("pid");
        other.scene.config["process"]["args"] =
            json!(["/bin/sh", "-c", "sleep 1000 & echo $! > /tmp/second; touch /tmp/up; exec sleep 1000"]);
    };
    for other in ours_for_runc(&["run", "--detach"], two) {
        other.scene.wait_for("up");
        let pid = other.state()["pid"].as_i64().unwrap();
        let second = fs::read_to_string(other.scene.dir.join("rootfs/tmp/second")).unwrap();
        other.theirs_ok(&["delete", "--force"], &[]);
        assert!(!lives(pid) && !lives(second.trim().parse().unwrap()) && !other.directory().exists());
    }
}
