//! What is wrong in a configuration is named, and nothing is created.

use integration::bundle::Scene;
use serde_json::{Value, json};
use std::fs;

/// Changes the value at a path of names; the name "+" appends, null removes.
fn put(config: &mut Value, path: &str, value: Value) {
    let (last, above) = path.split('/').collect::<Vec<_>>().split_last().map(|(l, a)| (*l, a.to_vec())).unwrap();
    let mut place = config;
    for name in above {
        place = &mut place[name];
    }
    match (last, value.is_null()) {
        ("+", _) => place.as_array_mut().unwrap().push(value),
        (_, true) => drop(place.as_object_mut().unwrap().remove(last)),
        _ => place[last] = value,
    }
}

/// The field that the message names, the path that is changed, and its value.
fn table() -> Vec<(&'static str, &'static str, Value)> {
    let limit = json!({"type": "RLIMIT_CORE", "soft": 1, "hard": 1});
    let rule =
        |action: &str| json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["read"], "action": action}]});
    vec![
        ("ociVersion", "ociVersion", json!(1)),
        ("root", "root", json!(null)),
        ("root.path", "root/path", json!("/no/such")),
        ("process.cwd", "process/cwd", json!("relative")),
        ("process.args", "process/args", json!([])),
        ("process.args", "process/args", json!("sh")),
        ("process.user.uid", "process/user/uid", json!(-1)),
        ("process.user.uid", "process/user/uid", json!("root")),
        ("process.rlimits", "process/rlimits", json!([{"type": "RLIMIT_NOSUCH", "soft": 1, "hard": 1}])),
        ("process.rlimits", "process/rlimits", json!([limit, limit])),
        ("linux.namespaces", "linux/namespaces/+", json!({"type": "nosuch"})),
        ("linux.namespaces", "linux/namespaces/+", json!({"type": "pid"})),
        ("linux.namespaces", "linux/namespaces", json!([{"type": "mount"}, {"type": "pid", "path": "/no/such"}])),
        ("mounts", "mounts/+", json!({"type": "tmpfs"})),
        ("mounts", "mounts/+", json!({"destination": "/x", "type": "bind", "source": "/no/such", "options": ["bind"]})),
        ("linux.resources.memory.limit", "linux/resources/memory", json!({"limit": "much"})),
        ("linux.resources.cpu.cpus", "linux/resources/cpu", json!({"cpus": "a-b"})),
        ("linux.seccomp.defaultAction", "linux/seccomp", json!({"defaultAction": "SCMP_ACT_NOSUCH"})),
        ("linux.seccomp.syscalls", "linux/seccomp", rule("SCMP_ACT_X")),
        (
            "linux.seccomp.flags",
            "linux/seccomp",
            json!({"defaultAction": "SCMP_ACT_ALLOW", "flags": ["SECCOMP_FILTER_FLAG_X"]}),
        ),
        ("linux.sysctl", "linux/sysctl", json!({"vm.swappiness": "1"})),
        ("hooks", "hooks", json!({"poststart": [{"path": "relative"}]})),
        ("linux.devices", "linux/devices", json!([{"path": "/dev/x", "type": "z"}])),
        ("linux.rootfsPropagation", "linux/rootfsPropagation", json!("sideways")),
        // Without a uts namespace.
        ("hostname", "linux/namespaces", json!([{"type": "mount"}])),
        ("linux.uidMappings", "linux/uidMappings", json!([{"containerID": 0, "hostID": 0, "size": 1}])),
        ("process.consoleSize", "process/consoleSize", json!({"height": "x", "width": 1})),
        ("process.oomScoreAdj", "process/oomScoreAdj", json!(5000)),
    ]
}

#[test]
fn every_wrong_thing_in_a_config_is_named_and_nothing_is_created() {
    let Some(mut scene) = Scene::of_spec() else { return };
    let right = scene.config.clone();
    for (field, path, value) in table() {
        scene.config = right.clone();
        put(&mut scene.config, path, value);
        let said = scene.call(&["create"], &[]).refused();
        assert!(said.contains(field), "{field}: {said}");
    }
    fs::write(scene.dir.join("config.json"), "{\"ociVersion\": ").unwrap();
    let _ = scene.as_it_is(&["create"], &[]).refused();
    scene.nothing_left();
}
