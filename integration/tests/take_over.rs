//! Containers that another runtime created below the same state root are managed by orlop: what a change-over on a live host needs.
//!
//! `RUNTIME` names another program than `out/orlop`; `OTHERS` has paths of runtimes to try besides the installed ones, as
//! `integration/engines/newer-runtimes` leaves them.

#![allow(clippy::unwrap_used, clippy::panic)] // The whole program is a test.

use integration::other_runtime::{Other, ended, lives, others};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

#[test]
fn every_command_works_on_a_container_of_another_runtime() {
    for runtime in others() {
        let Some(other) = Other::new(&runtime) else { return };
        let at = runtime.display();
        let (code, text) = other.theirs(&["run", "--detach"]);
        assert_eq!(code, 0, "{at}: {text}");
        other.scene.wait_for("up");
        let state = other.state();
        let pid = state["pid"].as_i64().unwrap();
        assert_eq!((&state["status"], &state["id"]), (&json!("running"), &json!(other.scene.id)), "{at}");
        assert_eq!(state["rootfs"], json!(other.scene.dir.join("rootfs")), "{at}");
        assert_eq!(state["annotations"]["org.example.kept"], "yes", "{at}");
        let mut list = Command::new(&other.scene.runtime);
        list.arg("--root").arg(other.scene.dir.join("state")).args(["list", "--format", "json"]);
        let (_, listed) = ended(list, &other.scene);
        assert!(listed.contains(&format!("\"pid\":{pid}")), "{at}: {listed}");
        assert!(other.ours_ok(&["ps", "--format", "json"], &[]).contains(&pid.to_string()), "{at}");
        assert!(other.ours_ok(&["events", "--stats"], &[]).contains("\"pids\""), "{at}");
        let status = other.ours_ok(&["exec"], &["/bin/cat", "/proc/self/status"]);
        assert!(status.contains("CapEff:\t0000000000000021") && status.contains("NoNewPrivs:\t1"), "{at}: {status}");
        other.ours_ok(&["pause"], &[]);
        assert_eq!(other.state()["status"], "paused", "{at}");
        other.ours_ok(&["resume"], &[]);
        other.ours_ok(&["update", "--pids-limit", "33"], &[]);
        assert_eq!(other.pids("pids.max").as_deref().map(str::trim), Some("33"), "{at}");
        assert_ne!(other.ours(&["checkpoint"], &[]).0, 0, "{at}");
        assert_ne!(other.ours(&["delete"], &[]).0, 0, "{at}: it runs");
        assert!(lives(pid) && other.directory().exists(), "{at}");
        // Its own runtime finds it as before.
        assert!(other.theirs(&["state"]).1.contains("\"running\""), "{at}");
        other.ours_ok(&["kill"], &["KILL"]);
        while other.state()["status"] != "stopped" {
            std::thread::yield_now();
        }
        other.ours_ok(&["delete"], &[]);
        assert!(!other.directory().exists() && other.pids("pids.max").is_none(), "{at}");
    }
}

#[test]
fn a_container_that_another_runtime_created_is_started_and_deleted_by_force() {
    for runtime in others() {
        let Some(other) = Other::new(&runtime) else { return };
        let at = runtime.display();
        let (code, text) = other.theirs(&["create"]);
        assert_eq!(code, 0, "{at}: {text}");
        assert_eq!(other.state()["status"], "created", "{at}");
        other.ours_ok(&["start"], &[]);
        other.scene.wait_for("up");
        assert_eq!(other.state()["status"], "running", "{at}");
        assert_ne!(other.ours(&["start"], &[]).0, 0, "{at}");
        let pid = other.state()["pid"].as_i64().unwrap();
        other.ours_ok(&["delete", "--force"], &[]);
        assert!(!lives(pid) && !other.directory().exists() && other.pids("pids.max").is_none(), "{at}");
        // One that waits is deleted too.
        let (code, text) = other.theirs(&["create"]);
        assert_eq!(code, 0, "{at}: {text}");
        let pid = other.state()["pid"].as_i64().unwrap();
        other.ours_ok(&["delete", "--force"], &[]);
        assert!(!lives(pid) && !other.directory().exists(), "{at}");
    }
}

#[test]
fn a_record_whose_process_is_not_in_its_cgroup_is_an_error_for_every_command() {
    for runtime in others() {
        let Some(other) = Other::new(&runtime) else { return };
        let at = runtime.display();
        let (code, text) = other.theirs(&["run", "--detach"]);
        assert_eq!(code, 0, "{at}: {text}");
        let mut stranger = Command::new("sleep").arg("1000").spawn().unwrap();
        let stat = fs::read_to_string(format!("/proc/{}/stat", stranger.id())).unwrap();
        let start: u64 = stat.rsplit_once(") ").unwrap().1.split(' ').nth(19).unwrap().parse().unwrap();
        let file = [other.directory().join("state.json"), other.directory().join("status")];
        let file = file.iter().find(|file| file.exists()).unwrap();
        let kept = fs::read_to_string(file).unwrap();
        let mut record: Value = serde_json::from_str(&kept).unwrap();
        let (pid, begin) = match record.get("init_process_pid") {
            Some(_) => ("init_process_pid", "init_process_start"),
            None => ("pid", "process-start-time"),
        };
        record[pid] = stranger.id().into();
        record[begin] = start.into();
        fs::write(file, record.to_string()).unwrap();
        for words in [&["state"][..], &["kill"], &["exec"], &["delete"], &["delete", "--force"], &["pause"]] {
            let more: &[&str] = if words == ["exec"] { &["/bin/true"] } else { &[] };
            assert_ne!(other.ours(words, more).0, 0, "{at}: {words:?}");
            assert!(stranger.try_wait().unwrap().is_none() && other.directory().exists(), "{at}: {words:?}");
        }
        fs::write(file, kept).unwrap();
        stranger.kill().unwrap();
        stranger.wait().unwrap();
        other.ours_ok(&["delete", "--force"], &[]);
    }
}

/// A running container, with the file of its record and the record.
fn running(runtime: &Path) -> Option<(Other, i64, PathBuf, Vec<u8>)> {
    let other = Other::new(runtime)?;
    let (code, text) = other.theirs(&["run", "--detach"]);
    assert_eq!(code, 0, "{}: {text}", runtime.display());
    let pid = other.state()["pid"].as_i64().unwrap();
    let files = [other.directory().join("state.json"), other.directory().join("status")];
    let file = files.into_iter().find(|file| file.exists()).unwrap();
    let kept = fs::read(&file).unwrap();
    Some((other, pid, file, kept))
}

/// Cut at every byte, and each byte changed: no command answers 0 and forgets a live process. `EVERY_BYTE` tries each.
#[test]
fn no_damage_to_the_record_of_another_runtime_loses_a_live_process() {
    for runtime in others() {
        let at = runtime.display();
        let Some((mut other, mut pid, mut file, mut kept)) = running(&runtime) else { return };
        let (mut refused, mut place) = (0, 0);
        let step = if std::env::var("EVERY_BYTE").is_ok() { 1 } else { kept.len() / 20 + 1 };
        while place < kept.len() {
            for change in [None, Some(1), Some(0x80)] {
                let damage = match change {
                    None => kept[..place].to_vec(),
                    Some(change) => [&kept[..place], &[kept[place] ^ change], &kept[place + 1..]].concat(),
                };
                fs::write(&file, &damage).unwrap();
                let (code, text) = other.ours(&["delete", "--force"], &[]);
                assert!(other.directory().exists() || !lives(pid), "{at}: byte {place}: {text}");
                if code != 0 {
                    refused += 1;
                    continue;
                }
                // It understood the record, and ended the container as it was told to.
                assert!(!lives(pid), "{at}: byte {place}, {change:?}: {text}");
                (other, pid, file, kept) = running(&runtime).unwrap();
            }
            place += step;
        }
        fs::write(&file, kept).unwrap();
        assert!(refused > 0, "{at}");
    }
}

/// A dead container cannot be held against its process: a record whose cgroup is another container's must not cost that one its
/// processes. Each path of the record in turn, with a pid namespace of the container's own and without.
#[test]
fn a_record_of_a_dead_container_costs_no_neighbour_its_processes() {
    for (runtime, own_pids) in others().iter().flat_map(|runtime| [(runtime, true), (runtime, false)]) {
        let (Some(mut other), Some((neighbour, alive, ..))) = (Other::new(runtime), running(runtime)) else { return };
        let at = format!("{}, own pids: {own_pids}", runtime.display());
        if !own_pids {
            other.scene.without_namespace("pid");
            other.scene.write_config();
        }
        let (code, text) = other.theirs(&["run", "--detach"]);
        assert_eq!(code, 0, "{at}: {text}");
        other.scene.wait_for("up");
        let files = [other.directory().join("state.json"), other.directory().join("status")];
        let file = files.into_iter().find(|file| file.exists()).unwrap();
        let kept = fs::read_to_string(&file).unwrap();
        other.ours_ok(&["kill"], &["KILL"]);
        while other.state()["status"] != "stopped" {
            std::thread::yield_now();
        }
        let record: Value = serde_json::from_str(&kept).unwrap();
        let (own, theirs) = (format!("orlop-{}", other.scene.id), format!("orlop-{}", neighbour.scene.id));
        let mut damaged: Vec<Value> = Vec::new();
        for key in record["cgroup_paths"].as_object().into_iter().flat_map(|paths| paths.keys()) {
            let mut changed = record.clone();
            changed["cgroup_paths"][key] = record["cgroup_paths"][key].as_str().unwrap().replace(&own, &theirs).into();
            damaged.push(changed);
        }
        if let Some(path) = record["cgroup-path"].as_str() {
            let mut changed = record.clone();
            changed["cgroup-path"] = path.replace(&own, &theirs).into();
            damaged.push(changed);
        }
        assert!(!damaged.is_empty(), "{at}");
        for changed in damaged {
            fs::write(&file, changed.to_string()).unwrap();
            for words in [&["delete"][..], &["delete", "--force"]] {
                let (code, text) = other.ours(words, &[]);
                assert!(lives(alive), "{at}: {words:?}: {changed:#}");
                assert!(code != 0 && other.directory().exists(), "{at}: {words:?}: {text} {changed:#}");
            }
        }
        fs::write(&file, kept).unwrap();
        other.ours_ok(&["delete"], &[]);
        assert!(lives(alive), "{at}");
    }
}
