//! Users, capabilities and devices: no more of them than the config grants.

use super::Scene;
use serde_json::json;
use std::fs;

const STATUS: &str = "grep -E '^Cap(Inh|Prm|Eff|Amb)' /proc/self/status";

#[test]
fn a_user_is_a_number_whatever_the_image_calls_so() {
    let Some(mut scene) = Scene::new() else { return };
    fs::write(scene.root("etc/passwd"), "1000:x:0:0::/:/bin/sh\nroot:x:0:0::/:/bin/sh\n").unwrap();
    scene.config["process"]["user"] = json!({"uid": 1000, "gid": 1000});
    scene.script("id -u");
    assert_eq!(scene.run().out, "1000\n");
    scene.script("sleep 100");
    scene.run_detached();
    if !scene.has_exec() {
        return;
    }
    for (user, ids) in [("1", "1 0"), ("1:2", "1 2"), ("1000", "1000 0"), ("2147483647:7", "2147483647 7")] {
        let ended = scene.exec(&["--user", user], &["/bin/sh", "-c", "echo $(id -u) $(id -g)"]);
        let uid = ids.split(' ').next().unwrap();
        assert!(ended.out.starts_with(uid), "{user}: {ended:?}");
        assert!(!user.contains(':') || ended.out.trim() == ids, "{user}: {ended:?}");
    }
    for user in [":", "x", "-1", "1:", ":1", "4294967296", "1:4294967296", "99999999999999999999", "1:2:3", " 1", "0x1"]
    {
        let ended = scene.exec(&["--user", user], &["/bin/id"]);
        assert_ne!(ended.code, Some(0), "{user:?}: {ended:?}");
    }
}

#[test]
fn another_user_has_no_capability_without_ambient_ones() {
    let Some(mut scene) = Scene::new() else { return };
    scene.config["process"]["user"] = json!({"uid": 1000, "gid": 1000});
    scene.script(STATUS);
    let none = "0000000000000000";
    for line in scene.run().out.lines() {
        assert!(line.ends_with(none), "{line}");
    }
    scene.script("sleep 100");
    scene.run_detached();
    if !scene.has_exec() {
        return;
    }
    let ended = scene.exec(&["--user", "1000"], &["/bin/sh", "-c", STATUS]);
    assert_eq!(ended.out.lines().filter(|line| line.ends_with(none)).count(), 4, "{ended:?}");
    let ended = scene.exec(&["--cap", "CAP_NET_RAW"], &["/bin/sh", "-c", STATUS]);
    assert!(ended.out.lines().any(|line| line.starts_with("CapInh") && line.ends_with(none)), "{ended:?}");
}

#[test]
fn the_made_config_has_no_inheritable_capabilities() {
    let Some(scene) = Scene::new() else { return };
    let spec = scene.dir.join("spec");
    fs::create_dir(&spec).unwrap();
    let status = std::process::Command::new(scene.runtime()).arg("spec").arg("-b").arg(&spec).status().unwrap();
    assert!(status.success());
    let config: serde_json::Value = serde_json::from_slice(&fs::read(spec.join("config.json")).unwrap()).unwrap();
    let inheritable = &config["process"]["capabilities"]["inheritable"];
    assert!(inheritable.is_null() || inheritable.as_array().unwrap().is_empty(), "{inheritable}");
}

/// A config that says nothing of devices grants the default ones only.
#[test]
fn devices_that_no_rule_allows_are_closed() {
    let Some(mut scene) = Scene::new() else { return };
    for set in ["bounding", "effective", "permitted"] {
        scene.config["process"]["capabilities"][set] = json!(["CAP_MKNOD", "CAP_DAC_OVERRIDE"]);
    }
    scene.script(
        "mknod /tmp/kmsg c 1 11; (head -c 1 /tmp/kmsg) 2>&1; mknod /tmp/zero c 1 5; head -c 1 /tmp/zero >/dev/null && echo zero",
    );
    symlink_applet(&scene, "mknod");
    let ended = scene.run();
    assert!(ended.out.contains("Operation not permitted") && ended.out.ends_with("zero\n"), "{ended:?}");
}

fn symlink_applet(scene: &Scene, name: &str) {
    std::os::unix::fs::symlink("busybox", scene.root(&format!("bin/{name}"))).unwrap();
}
