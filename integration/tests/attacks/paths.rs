//! Links in the root filesystem that lead out of it.

use super::Scene;
use serde_json::json;
use std::fs;

/// Runs with each kind of link at `place` to what is outside; whatever comes of it, nothing may change there.
fn planted(place: &str, target: &str, change: impl Fn(&mut Scene)) {
    for relative in [false, true] {
        let Some(mut scene) = Scene::new() else { return };
        let absolute = scene.out(target);
        let link = if relative { format!("../../outside/{target}") } else { absolute };
        scene.plant(place, &link);
        change(&mut scene);
        let _ = scene.run();
        scene.nothing_outside();
    }
}

#[test]
fn a_linked_mount_destination_stays_in_the_root() {
    planted("data", "dir", |scene| {
        scene.mount(json!({"destination": "/data", "type": "tmpfs", "source": "tmpfs"}));
        scene.mount(json!({"destination": "/data/made/deep", "type": "tmpfs", "source": "tmpfs"}));
    });
}

#[test]
fn a_linked_dev_gets_no_mount_device_or_link_outside() {
    planted("dev", "dir", |_| {});
    planted("dev", "dir", Scene::without_dev);
    for name in ["dev/null", "dev/ptmx", "dev/fd", "dev/pts"] {
        planted(name, "file", Scene::without_dev);
        planted(name, "new", Scene::without_dev);
    }
}

#[test]
fn a_linked_console_is_not_made_outside() {
    for target in ["file", "new"] {
        planted("dev/console", target, |scene| {
            scene.without_dev();
            scene.mount(json!({"destination": "/dev/pts", "type": "devpts", "source": "devpts"}));
            scene.config["process"]["terminal"] = json!(true);
        });
    }
}

#[test]
fn a_linked_proc_or_sys_is_an_error() {
    for place in ["proc", "sys"] {
        let Some(scene) = Scene::new() else { return };
        scene.plant(place, &scene.out("dir"));
        let ended = scene.run();
        assert_eq!(ended.code, Some(1));
        assert!(ended.error.contains("must be mounted on ordinary directory"), "{}", ended.error);
        scene.nothing_outside();
    }
}

#[test]
fn a_volume_over_proc_is_an_error() {
    for mount in [
        json!({"destination": "/proc", "type": "tmpfs", "source": "tmpfs"}),
        json!({"destination": "/proc", "type": "bind", "source": "/tmp", "options": ["bind"]}),
        json!({"destination": "/proc/self/attr", "type": "tmpfs", "source": "tmpfs"}),
        json!({"destination": "/proc/sys", "type": "tmpfs", "source": "tmpfs"}),
        json!({"destination": "/tmp/../proc/sys/kernel", "type": "bind", "source": "/tmp", "options": ["bind"]}),
        json!({"destination": "/alias/sys", "type": "tmpfs", "source": "tmpfs"}),
    ] {
        let Some(mut scene) = Scene::new() else { return };
        scene.plant("alias", "/proc");
        scene.mount(mount);
        let ended = scene.run();
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(ended.error.contains("proc"), "{}", ended.error);
    }
}

#[test]
fn a_null_device_of_the_image_is_neither_mask_nor_standard_input() {
    let Some(mut scene) = Scene::new() else { return };
    scene.without_dev();
    scene.plant("dev/null", "/etc/target");
    fs::write(scene.root("etc/target"), "not the null device").unwrap();
    scene.script("cat /proc/keys");
    let ended = scene.run();
    assert!(ended.code != Some(0) && !ended.out.contains("not the null device"), "{ended:?}");
    assert_eq!(fs::read_to_string(scene.root("etc/target")).unwrap(), "not the null device");
}

#[test]
fn a_mask_cannot_be_used_to_change_the_hosts_null_device() {
    use std::os::unix::fs::MetadataExt;
    let Some(mut scene) = Scene::new() else { return };
    scene.script(
        "chmod 000 /proc/keys; chown 7:7 /proc/keys; cat /proc/keys | head -c 1; echo x > /proc/keys && echo written",
    );
    let capabilities = json!(["CAP_FOWNER", "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_SYS_ADMIN"]);
    for set in ["bounding", "effective", "permitted"] {
        scene.config["process"]["capabilities"][set] = capabilities.clone();
    }
    let before = fs::metadata("/dev/null").unwrap();
    assert_eq!(scene.run().out, "written\n");
    let after = fs::metadata("/dev/null").unwrap();
    assert_eq!((after.mode(), after.uid(), after.gid()), (before.mode(), before.uid(), before.gid()));
}

#[test]
fn a_user_database_that_is_no_file_does_not_hang_and_a_link_stays_inside() {
    let Some(mut scene) = Scene::new() else { return };
    let fifo = scene.root("etc/passwd");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    scene.script("true");
    assert_eq!(scene.run().code, Some(0));
    fs::write(scene.out("passwd"), "root:x:0:0::/leaked:/bin/sh\n").unwrap();
    scene.plant("etc/passwd", &scene.out("passwd"));
    scene.script("echo $HOME");
    assert_eq!(scene.run().out, "/\n");
}

#[test]
fn ids_cannot_lead_out_of_the_state_directory() {
    let Some(scene) = Scene::new() else { return };
    scene.write_config();
    for id in ["../x", "..", ".", "a/b", "/etc", "", "a\nb"] {
        for name in ["run", "state", "delete", "kill"] {
            let mut command = std::process::Command::new(scene.runtime());
            command.arg("--root").arg(scene.dir.join("state")).arg(name).arg(id).current_dir(scene.dir.join("bundle"));
            assert!(!command.output().unwrap().status.success(), "{name} {id:?}");
        }
    }
    scene.nothing_outside();
}

#[test]
fn very_long_strings_are_errors_or_taken_whole() {
    let Some(mut scene) = Scene::new() else { return };
    let long = "x".repeat(70_000);
    scene.config["annotations"] = json!({"long": long});
    scene.script("echo fine");
    assert_eq!(scene.run().out, "fine\n");
    scene.mount(json!({"destination": "/x", "type": "bind", "source": format!("/{long}"), "options": ["bind"]}));
    let ended = scene.run();
    assert_eq!(ended.code, Some(1));
    assert!(ended.error.contains("mounts[4].source"), "{}", &ended.error[..200]);
}
