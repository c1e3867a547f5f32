//! All pairs of namespaces, each of the two new or joined by its path.

use super::Scene;
use serde_json::json;
use std::fs;

/// The type in a config, and the name in /proc/PID/ns.
const KINDS: [(&str, &str); 8] = [
    ("pid", "pid"),
    ("network", "net"),
    ("mount", "mnt"),
    ("ipc", "ipc"),
    ("uts", "uts"),
    ("user", "user"),
    ("cgroup", "cgroup"),
    ("time", "time"),
];

/// The namespace of a process.
fn of(pid: &str, name: &str) -> String {
    let file = match name {
        "time" | "pid" if pid == "self" => format!("/proc/self/ns/{name}"),
        _ => format!("/proc/{pid}/ns/{name}"),
    };
    fs::read_link(file).unwrap().display().to_string()
}

/// A container with a new namespace of every kind, whose namespaces others join. The root belongs to its user namespace.
fn owner(with_user: bool) -> Option<(Scene, u32)> {
    let mut scene = Scene::new()?;
    for (kind, _) in KINDS.iter().filter(|(kind, _)| *kind != "user" || with_user) {
        scene.namespace(kind, None);
    }
    let pid = scene.run_detached();
    Some((scene, pid))
}

/// The container's namespaces of the kinds that are asked for, one a line, and its clock offsets.
const REPORT: &str = "for n in pid net mnt ipc uts user cgroup time; do echo $n $(readlink /proc/self/ns/$n); done; \
                      cat /proc/self/timens_offsets";

/// Runs a container with these two namespaces among those that every container has; compares each.
fn pair(kinds: [usize; 2], joins: [bool; 2], pid: u32) -> Result<(), String> {
    let mut scene = Scene::new().unwrap();
    let what = kinds.map(|n| KINDS[n].0);
    for (n, joins) in kinds.into_iter().zip(joins) {
        let path = format!("/proc/{pid}/ns/{}", KINDS[n].1);
        scene.namespace(KINDS[n].0, joins.then_some(&*path));
        if KINDS[n].0 == "time" && !joins {
            scene.config["linux"]["timeOffsets"] = json!({"monotonic": {"secs": 7777}, "boottime": {"secs": 8888}});
        }
    }
    scene.script(REPORT);
    let ended = scene.run();
    let fail = |text: String| Err(format!("{what:?} joined {joins:?}: {text}"));
    if what == ["pid", "user"] && joins == [true, false] && ended.code != Some(0) {
        // The kernel may let nobody in the new user namespace mount the procfs of a pid namespace above it, nor does runc.
        let named = ended.error.contains("joined pid namespace");
        return if named { Ok(()) } else { fail(format!("{ended:?}")) };
    }
    if ended.code != Some(0) {
        return fail(format!("{ended:?}"));
    }
    for (n, joins) in kinds.into_iter().zip(joins) {
        let (kind, name) = KINDS[n];
        let seen = ended.out.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).unwrap_or_default();
        let (theirs, ours) = (of(&pid.to_string(), name), of("self", name));
        if joins && seen != theirs {
            return fail(format!("the {kind} namespace is {seen}, not {theirs}"));
        }
        if !joins && (seen == ours || seen == theirs || seen.is_empty()) {
            return fail(format!("the {kind} namespace {seen} is not new"));
        }
        let offsets: Vec<&str> = ended.out.split_whitespace().rev().take(6).collect();
        if kind == "time" && !joins && offsets != ["0", "8888", "boottime", "0", "7777", "monotonic"] {
            return fail(format!("the offsets are {offsets:?}"));
        }
    }
    Ok(())
}

#[test]
fn every_pair_of_namespaces_is_made_or_joined_together() {
    let Some((_plain, plain)) = owner(false) else { return };
    let (_mapped, mapped) = owner(true).unwrap();
    let mut wrong = Vec::new();
    let mut tried = 0;
    for first in 0..KINDS.len() {
        for second in first + 1..KINDS.len() {
            for joins in [[false, false], [false, true], [true, false], [true, true]] {
                let kinds = [first, second];
                let joined = |name: &str| kinds.into_iter().zip(joins).any(|(n, joins)| joins && KINDS[n].0 == name);
                if joined("mount") {
                    // Another container's mount namespace has no path to this one's root.
                    continue;
                }
                tried += 1;
                // A namespace of the owner with a user namespace can be joined by root, and by those in its user namespace.
                let pid = if joined("user") { mapped } else { plain };
                wrong.extend(pair(kinds, joins, pid).err());
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {tried}: {wrong:#?}", wrong.len());
    assert_eq!(tried, 28 * 4 - 7 * 2, "the pairs");
}

#[test]
fn offsets_are_set_for_whatever_id_the_container_has_outside() {
    for base in [0, 1, 1000, 100_000] {
        let Some(mut scene) = Scene::new() else { return };
        scene.namespace("user", None);
        scene.namespace("time", None);
        let map = json!([{"containerID": 0, "hostID": base, "size": 65536}]);
        scene.config["linux"]["uidMappings"] = map.clone();
        scene.config["linux"]["gidMappings"] = map;
        scene.config["linux"]["timeOffsets"] = json!({"monotonic": {"secs": 5, "nanosecs": 6}});
        scene.script("cat /proc/self/timens_offsets");
        let seen = scene.run().ok();
        assert_eq!(
            seen.split_whitespace().collect::<Vec<_>>(),
            ["monotonic", "5", "6", "boottime", "0", "0"],
            "{base}"
        );
    }
}
