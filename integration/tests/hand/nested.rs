//! The runtime in a container of its own.

use integration::bundle::Scene;
use serde_json::json;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

const CAPABILITIES: [&str; 18] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "NET_BIND_SERVICE",
    "NET_ADMIN",
    "NET_RAW",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_ADMIN",
    "MKNOD",
    "AUDIT_WRITE",
    "SETFCAP",
];

#[test]
fn a_container_runs_in_a_container() {
    let Some(mut scene) = Scene::of_spec() else { return };
    if !super::program::is_static(&scene.runtime) {
        return;
    }
    let (root, inner) = (scene.dir.join("rootfs"), scene.dir.join("rootfs/inner"));
    fs::create_dir(&inner).unwrap();
    let copied = Command::new("cp").arg("-a").arg(&root).arg(scene.dir.join("copy")).status().unwrap();
    assert!(copied.success());
    fs::rename(scene.dir.join("copy"), inner.join("rootfs")).unwrap();
    fs::copy(&scene.runtime, root.join("bin/orlop")).unwrap();
    fs::set_permissions(root.join("bin/orlop"), fs::Permissions::from_mode(0o755)).unwrap();

    let mut config = scene.config.clone();
    config["root"]["path"] = "rootfs".into();
    config["linux"]["cgroupsPath"] = "/inner".into();
    config["process"]["args"] = json!(["sh", "-c", "echo inner pid $$"]);
    fs::write(inner.join("config.json"), config.to_string()).unwrap();

    scene.script("orlop --root /tmp/state run -b /inner inner");
    scene.config["root"]["readonly"] = false.into();
    let all = CAPABILITIES.map(|name| format!("CAP_{name}"));
    for (_, set) in scene.config["process"]["capabilities"].as_object_mut().unwrap() {
        *set = json!(all);
    }
    for paths in ["maskedPaths", "readonlyPaths"] {
        scene.config["linux"][paths] = json!([]);
    }
    scene.config["linux"]["resources"] = json!({});
    let mounts = scene.config["mounts"].as_array_mut().unwrap();
    for mount in mounts.iter_mut().filter(|mount| mount["type"] == "cgroup") {
        mount["options"].as_array_mut().unwrap().retain(|option| option != "ro");
    }
    assert_eq!(scene.call(&["run"], &[]).ok(), "inner pid 1\n");
    scene.nothing_left();
}
