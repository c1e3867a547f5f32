//! `orlop inspect`: what it says of real containers is what the kernel's files say.

use integration::bundle::Scene;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// A container that sleeps, with limits; `None` where the test cannot run.
fn sleeping() -> Option<Scene> {
    let mut scene = Scene::new()?;
    if !scene.runtime.with_file_name("orlop-bundle").exists() {
        integration::skip::skip("no orlop-bundle beside the runtime");
        return None;
    }
    scene.config["process"]["args"] = json!(["/bin/sh", "-c", "touch /tmp/up; exec sleep 1000"]);
    scene.config["annotations"] = json!({"who": "a\u{1b}[2J"});
    scene.config["linux"]["cgroupsPath"] = Scene::cgroups_path(&scene.id).into();
    scene.config["linux"]["resources"] = json!({
        "memory": {"limit": 64 << 20}, "pids": {"limit": 11}, "cpu": {"quota": 50000, "period": 100000}
    });
    start(&scene);
    Some(scene)
}

fn start(scene: &Scene) {
    let run = scene.command(&["run", "--detach"], &[]).stdout(Stdio::null()).status();
    assert!(run.unwrap().success());
    scene.wait_for("up");
    let state = scene.command(&["state"], &[]).output().unwrap();
    let state: Value = serde_json::from_slice(&state.stdout).unwrap();
    while fs::read_to_string(format!("/proc/{}/comm", state["pid"])).unwrap() != "sleep\n" {
        std::thread::yield_now();
    }
}

fn inspect(scene: &Scene) -> Value {
    let output = scene.command(&["inspect", "--format", "json"], &[]).output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {output:?}"))
}

/// The directory of the cgroup with a controller.
fn directory(document: &Value, controller: &str) -> PathBuf {
    let rows = document["cgroups"].as_array().unwrap();
    let names = |row: &&Value| row["controllers"].as_array().unwrap().clone();
    let row = rows.iter().find(|row| names(row).iter().any(|name| name == controller));
    let row = row.or_else(|| rows.iter().find(|row| names(row).is_empty())).unwrap();
    PathBuf::from(row["directory"].as_str().unwrap())
}

fn number(directory: &Path, names: [&str; 2]) -> u64 {
    let text = names.iter().find_map(|name| fs::read_to_string(directory.join(name)).ok()).unwrap();
    text.trim().parse().unwrap()
}

#[test]
fn limits_processes_and_cgroups_are_those_of_the_kernel() {
    let Some(scene) = sleeping() else { return };
    let found = inspect(&scene);
    assert_eq!((&found["status"], &found["id"]), (&json!("running"), &json!(scene.id)));
    let usage = &found["usage"];
    let (memory, pids) = (directory(&found, "memory"), directory(&found, "pids"));
    assert_eq!(usage["memory"]["limit"], number(&memory, ["memory.max", "memory.limit_in_bytes"]));
    assert_eq!(usage["memory"]["oomKills"], 0);
    assert_eq!(usage["pids"]["limit"], number(&pids, ["pids.max", "pids.max"]));
    assert_eq!(usage["pids"]["current"], number(&pids, ["pids.current", "pids.current"]));
    assert_eq!(usage["cpu"]["quota"], 0.5);
    let pid = found["pid"].as_i64().unwrap();
    let listed = fs::read_to_string(pids.join("cgroup.procs")).unwrap();
    let processes = found["processes"].as_array().unwrap();
    assert_eq!(listed.trim().parse::<i64>().unwrap(), pid);
    assert_eq!(processes.len(), 1);
    assert_eq!((&processes[0]["pid"], &processes[0]["pidInContainer"]), (&json!(pid), &json!(1)));
    assert_eq!(processes[0]["command"], json!(["sleep", "1000"]));
}

#[test]
fn namespaces_and_mounts_are_those_of_the_first_process() {
    let Some(scene) = sleeping() else { return };
    let found = inspect(&scene);
    let pid = found["pid"].as_i64().unwrap();
    for (kind, is_shared) in [("pid", false), ("mnt", false), ("uts", false), ("net", true), ("user", true)] {
        let link = fs::read_link(format!("/proc/{pid}/ns/{kind}")).unwrap();
        let row = &found["namespaces"][kind];
        assert_eq!(link.to_str().unwrap(), format!("{kind}:[{}]", row["inode"]), "{kind}");
        assert_eq!(row["shared"], is_shared, "{kind}");
    }
    let table = fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap();
    let expected: Vec<&str> = table.lines().map(|line| line.split(' ').nth(4).unwrap()).collect();
    let mounts = found["mounts"].as_array().unwrap();
    let points: Vec<&str> = mounts.iter().map(|mount| mount["destination"].as_str().unwrap()).collect();
    assert_eq!(points, expected);
    let dev = mounts.iter().find(|mount| mount["destination"] == "/dev").unwrap();
    assert_eq!((&dev["type"], &dev["source"]), (&json!("tmpfs"), &json!("tmpfs")));
    assert!(dev["superOptions"].as_array().unwrap().contains(&json!("mode=755")), "{dev}");
}

#[test]
fn processes_that_the_oom_killer_ended_are_counted() {
    let Some(scene) = sleeping() else { return };
    // A line without an end is kept in memory.
    let script = "busybox head -c 200000000 /dev/zero | busybox tail -n 1 > /dev/null";
    scene.command(&["exec"], &["/bin/busybox", "sh", "-c", script]).status().unwrap();
    let found = inspect(&scene);
    let memory = directory(&found, "memory");
    let files = ["memory.events", "memory.oom_control"].map(|name| fs::read_to_string(memory.join(name)));
    let text = files.into_iter().find_map(Result::ok).unwrap();
    let kills: u64 = text.lines().find_map(|line| line.strip_prefix("oom_kill ")).unwrap().parse().unwrap();
    assert!(kills > 0, "{text}");
    assert_eq!(found["usage"]["memory"]["oomKills"], kills);
}

#[test]
fn text_has_every_part_and_nothing_that_acts_on_a_terminal() {
    let Some(scene) = sleeping() else { return };
    let output = scene.command(&["inspect"], &[]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    for part in
        ["running", "of 64.0M", "quota 0.50 CPUs", "1 of 11", "sleep 1000", "shared with this shell", "/dev/pts"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(text.contains("who=a\\u{1b}[2J") && !text.contains('\x1b'), "{text}");
}

#[test]
fn a_paused_a_stopped_and_a_missing_container_are_told_apart() {
    let Some(scene) = sleeping() else { return };
    assert!(scene.command(&["pause"], &[]).status().unwrap().success());
    assert_eq!(inspect(&scene)["status"], "paused");
    assert!(scene.command(&["resume"], &[]).status().unwrap().success());
    assert!(scene.command(&["kill"], &["KILL"]).status().unwrap().success());
    while inspect(&scene)["status"] != "stopped" {
        std::thread::yield_now();
    }
    let found = inspect(&scene);
    assert!(found["usage"].is_null() && found["mounts"].is_null() && found["processes"] == json!([]), "{found}");
    assert!(scene.command(&["delete"], &[]).status().unwrap().success());
    assert_eq!(scene.command(&["inspect"], &[]).output().unwrap().status.code(), Some(1));
}
