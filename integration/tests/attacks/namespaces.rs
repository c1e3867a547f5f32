//! A namespace that the config gives by a path and that is the runtime's own: nothing may be changed in it.
//!
//! The runtime itself has namespaces of its own here, so that a hole harms these, and not the machine. Only its user, time and
//! cgroup namespaces are the machine's.

use super::{Ended, Scene, ended};
use serde_json::{Value, json};
use std::process::Command;

/// Every kind: its word in a config, and its file in /proc/PID/ns.
const KINDS: [(&str, &str); 8] = [
    ("mount", "mnt"),
    ("pid", "pid"),
    ("network", "net"),
    ("ipc", "ipc"),
    ("uts", "uts"),
    ("user", "user"),
    ("cgroup", "cgroup"),
    ("time", "time"),
];

/// Ways to name a namespace: a process, the first one, a thread, a descriptor, a link, a bind mount.
const SPELLINGS: [&str; 6] = [
    "/proc/self/ns/FILE",
    "/proc/1/ns/FILE",
    "/proc/thread-self/ns/FILE",
    "/proc/1/fd/9",
    "/tmp/../proc/self/ns/../ns/FILE",
    "HERE/bound",
];

/// Fields that write into a namespace of a kind, with a value that no machine has.
fn fields() -> Vec<(&'static str, &'static str, Value)> {
    let sysctl = |name: &str, value: &str| json!({"linux": {"sysctl": {name: value}}});
    let map = json!([{"containerID": 0, "hostID": 0, "size": 1}]);
    vec![
        ("network", "linux.sysctl", sysctl("net.ipv4.ip_default_ttl", "63")),
        ("network", "linux.sysctl", sysctl("net/ipv4/ip_default_ttl", "63")),
        ("network", "linux.netDevices", json!({"linux": {"netDevices": {"d0": {"name": "d1"}}}})),
        ("ipc", "linux.sysctl", sysctl("kernel.shmmni", "4095")),
        ("ipc", "linux.sysctl", sysctl("kernel.msgmax", "8191")),
        ("ipc", "linux.sysctl", sysctl("fs.mqueue.msg_max", "11")),
        ("uts", "hostname", json!({"hostname": "changed"})),
        ("uts", "domainname", json!({"domainname": "changed"})),
        ("uts", "linux.sysctl", sysctl("kernel.hostname", "changed")),
        ("uts", "linux.sysctl", sysctl("kernel.domainname", "changed")),
        ("user", "linux.sysctl", sysctl("user.max_time_namespaces", "77")),
        ("user", "linux.uidMappings", json!({"linux": {"uidMappings": map.clone(), "gidMappings": map}})),
        ("time", "linux.timeOffsets", json!({"linux": {"timeOffsets": {"monotonic": {"secs": 7}}}})),
    ]
}

/// What the runtime's own namespaces hold.
const LOOK: &str = "cat /proc/sys/net/ipv4/ip_default_ttl /proc/sys/kernel/shmmni /proc/sys/kernel/msgmax
    cat /proc/sys/fs/mqueue/msg_max /proc/sys/kernel/hostname /proc/sys/kernel/domainname
    cat /proc/sys/user/max_time_namespaces /proc/self/timens_offsets /proc/self/mountinfo
    cat /proc/net/dev | cut -d: -f1; ls /; ls -d /proc/1/ns/*";

/// Runs the container with a runtime that is in namespaces of its own, and looks at them before and after.
fn run_apart(scene: &Scene, file: &str) -> (Ended, bool) {
    scene.write_config();
    let (dir, runtime, id) = (scene.dir.display(), scene.runtime().display(), &scene.id);
    let script = format!(
        "m=$(cat /proc/sys/user/max_time_namespaces)
        exec 9</proc/self/ns/{file}; cd {dir}/bundle; ip link add d0 type veth peer name d2 2>/dev/null
        touch {dir}/bound; mount --bind /proc/self/ns/{file} {dir}/bound 2>/dev/null
        look() {{ {LOOK}; }}
        look >{dir}/before 2>&1
        timeout -k 1 30 {runtime} --root {dir}/state run {id} </dev/null; code=$?
        look >{dir}/after 2>&1
        (echo $m >/proc/sys/user/max_time_namespaces) 2>/dev/null
        cmp -s {dir}/before {dir}/after || {{ cp {dir}/after {dir}/changed; diff {dir}/before {dir}/after >&2; }}
        exit $code"
    );
    let _ = std::fs::remove_file(scene.dir.join("changed"));
    let unshare = ["--mount", "--net", "--ipc", "--uts", "--pid", "--fork", "--mount-proc"];
    let ended = ended(Command::new("unshare").args(unshare).args(["sh", "-c", &script]).output().unwrap());
    (ended, !scene.dir.join("changed").exists())
}

/// The namespaces of the config, with that of `kind` given by `path` or, without one, not at all.
fn give(config: &Value, kind: &str, path: Option<&str>) -> Value {
    let mut config = config.clone();
    let list = config["linux"]["namespaces"].as_array_mut().unwrap();
    list.retain(|entry| entry["type"] != kind);
    if let Some(path) = path {
        list.insert(0, json!({"type": kind, "path": path}));
    }
    config
}

fn merge(into: &mut Value, from: &Value) {
    match (into.as_object_mut(), from.as_object()) {
        (Some(into), Some(from)) => {
            from.iter().for_each(|(key, value)| merge(into.entry(key).or_insert(Value::Null), value));
        }
        _ => *into = from.clone(),
    }
}

fn spelled(scene: &Scene, spelling: &str, file: &str) -> String {
    spelling.replace("FILE", file).replace("HERE", &scene.dir.display().to_string())
}

#[test]
fn nothing_is_written_into_a_namespace_of_the_runtimes_own_that_a_path_gives() {
    let Some(mut scene) = Scene::new() else { return };
    let config = scene.config.clone();
    for (kind, field, part) in fields() {
        let file = KINDS.iter().find(|(word, _)| *word == kind).unwrap().1;
        for spelling in SPELLINGS {
            let path = spelled(&scene, spelling, file);
            scene.config = give(&config, kind, Some(&path));
            merge(&mut scene.config, &part);
            let (ended, unchanged) = run_apart(&scene, file);
            assert!(unchanged, "{field} of {kind} {path}: {ended:?}");
            assert_ne!(ended.code, Some(0), "{field} of {kind} {path}: {ended:?}");
            assert!(ended.error.contains(field), "{field} of {kind} {path}: {ended:?}");
        }
    }
}

#[test]
fn the_runtimes_own_mount_namespace_is_never_a_containers() {
    let Some(mut scene) = Scene::new() else { return };
    let config = scene.config.clone();
    // A mount namespace cannot be bound into itself.
    for spelling in SPELLINGS.iter().filter(|spelling| !spelling.ends_with("bound")) {
        let path = spelled(&scene, spelling, "mnt");
        scene.config = give(&config, "mount", Some(&path));
        let (ended, unchanged) = run_apart(&scene, "mnt");
        assert!(unchanged && ended.code != Some(0), "{path}: {ended:?}");
        assert!(ended.error.contains("linux.namespaces[0].path: "), "{path}: {ended:?}");
    }
    scene.config = give(&config, "mount", None);
    let (ended, unchanged) = run_apart(&scene, "mnt");
    assert!(unchanged && ended.code != Some(0), "{ended:?}");
    assert!(ended.error.contains("the runtime's own"), "{ended:?}");
}

#[test]
fn a_path_to_a_namespace_of_the_runtimes_own_means_what_no_entry_means() {
    let Some(mut scene) = Scene::new() else { return };
    let mut config = scene.config.clone();
    config["mounts"].as_array_mut().unwrap().extend([
        json!({"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue"}),
        json!({"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["ro"]}),
    ]);
    let devices = json!([{"type": "c", "path": "/dev/foo", "major": 1, "minor": 5, "fileMode": 0o640, "uid": 3}]);
    config["linux"]["devices"] = devices;
    let script = "readlink /proc/self/ns/* | grep -v mnt; cd /proc/self; cut -d' ' -f5-6 mountinfo; grep Cap status;
        stat -c '%F %a %u %t:%T' /dev/foo /dev/null";
    let dir = scene.dir.display().to_string();
    for (kind, file) in KINDS.into_iter().filter(|(kind, _)| *kind != "mount") {
        // All the others are the runtime's own, so that their names can be compared.
        let mut own = config.clone();
        own["linux"]["namespaces"] = json!([{"type": "mount"}]);
        own["process"]["args"] = json!(["/bin/sh", "-c", script]);
        let mut run = |path: Option<&str>| {
            scene.config = give(&own, kind, path);
            let (ended, unchanged) = run_apart(&scene, file);
            assert!(unchanged && ended.code == Some(0), "{kind} {path:?}: {ended:?}");
            assert!(ended.out.contains("character special file 640 3 1:5"), "{kind} {path:?}: {ended:?}");
            // The runtime's own namespaces are made anew for each run.
            ended.out.lines().filter(|line| !line.contains(":[")).map(str::to_owned).collect::<Vec<_>>()
        };
        let expected = run(None);
        for spelling in SPELLINGS {
            let path = spelling.replace("FILE", file).replace("HERE", &dir);
            assert_eq!(run(Some(&path)), expected, "{kind} {path}");
        }
    }
}

#[test]
fn exec_enters_a_container_whose_user_namespace_is_the_runtimes_own() {
    let Some(mut scene) = Scene::new() else { return };
    scene.config = give(&scene.config, "user", Some("/proc/self/ns/user"));
    scene.script("sleep 100");
    scene.run_detached();
    let ended = scene.exec(&[], &["/bin/sh", "-c", "readlink /proc/self/ns/user"]);
    let own = std::fs::read_link("/proc/self/ns/user").unwrap();
    assert_eq!((ended.code, ended.out.trim()), (Some(0), own.to_str().unwrap()), "{ended:?}");
}
