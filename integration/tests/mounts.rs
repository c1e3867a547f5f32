//! Mounts and devices of whole containers in user namespaces, of root and of an unprivileged user.
//!
//! `ORLOP` names another program than `out/orlop`. Without root, or without a runtime, a test says so and does nothing.

#![allow(clippy::unwrap_used)] // The whole file is a test.

use integration::runtime::find;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// A bundle with a busybox, a directory `volume`, and the runtime, in a place that everyone may enter.
struct Scene {
    dir: PathBuf,
    config: Value,
    /// What is mounted for the runtime to see, in a mount namespace that ends with it.
    host: String,
    user: u32,
}

struct Ended {
    fine: bool,
    out: String,
    error: String,
}

/// The host's ids of the container: those of the unprivileged user, or root's container's first.
const USER: u32 = 1000;
const FIRST: u32 = 100_000;

impl Scene {
    fn new(user: u32) -> Option<Scene> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        if fs::metadata("/proc/self").unwrap().uid() != 0 {
            integration::skip::skip("needs root");
            return None;
        }
        let Ok(runtime) = find("orlop", &std::env::temp_dir()) else {
            integration::skip::skip("no runtime; run `make` or set ORLOP");
            return None;
        };
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("mounts-{}-{number}", std::process::id()));
        for name in ["bin", "proc", "dev", "m", "etc"] {
            fs::create_dir_all(dir.join("bundle/rootfs").join(name)).unwrap();
        }
        for name in ["volume", "state"] {
            fs::create_dir(dir.join(name)).unwrap();
        }
        fs::copy(runtime.path, dir.join("orlop")).unwrap();
        fs::copy("/bin/busybox", dir.join("bundle/rootfs/bin/busybox")).unwrap();
        for applet in ["sh", "cat", "ls", "grep", "stat", "readlink", "head", "mkdir", "id", "sed"] {
            symlink("busybox", dir.join("bundle/rootfs/bin").join(applet)).unwrap();
        }
        let (first, size) = if user == 0 { (FIRST, 65536) } else { (user, 1) };
        let owner = format!("{first}:{first}");
        assert!(Command::new("chown").arg("-R").arg(owner).arg(&dir).status().unwrap().success());
        let ids = json!([{"containerID": 0, "hostID": first, "size": size}]);
        let kinds = ["pid", "mount", "user", "ipc", "uts"];
        let config = json!({
            "ociVersion": "1.0.2",
            "root": {"path": "rootfs"},
            "process": {"cwd": "/", "user": {"uid": 0, "gid": 0}, "args": [], "env": ["PATH=/bin"]},
            "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
            "linux": {
                "namespaces": kinds.map(|kind| json!({"type": kind})),
                "uidMappings": ids, "gidMappings": ids
            }
        });
        Some(Scene { dir, config, host: String::new(), user })
    }

    fn mount(&mut self, mount: Value) -> &mut Scene {
        self.config["mounts"].as_array_mut().unwrap().push(mount);
        self
    }

    /// A bind mount of the volume, or what is in it.
    fn volume(&mut self, options: Value) {
        let source = self.dir.join("volume");
        self.mount(json!({"destination": "/m", "type": "bind", "source": source, "options": options}));
    }

    fn run(&mut self, script: &str) -> Ended {
        self.config["process"]["args"] = json!(["/bin/sh", "-c", script]);
        fs::write(self.dir.join("bundle/config.json"), self.config.to_string()).unwrap();
        let id = self.dir.file_name().unwrap().to_str().unwrap();
        let runtime = format!(
            "cd bundle; exec setpriv --reuid {0} --regid {0} --clear-groups ../orlop --debug --root ../state run {id} < /dev/null",
            self.user
        );
        let output = Command::new("timeout")
            .args(["60", "unshare", "-m", "--propagation", "private", "sh", "-ec"])
            .arg(format!("{}\n{runtime}", self.host))
            .current_dir(&self.dir)
            .output()
            .unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).trim_end().to_owned();
        Ended { fine: output.status.success(), out: text(output.stdout), error: text(output.stderr) }
    }

    /// The attributes and propagation of the container's mounts at and below `/m`.
    fn mounts(&mut self) -> Vec<String> {
        let ended = self.run("cat /proc/self/mountinfo");
        assert!(ended.fine, "{}", ended.error);
        let rows = ended.out.lines().map(|line| line.split(' ').collect::<Vec<_>>());
        let here = rows.filter(|fields| fields[4] == "/m" || fields[4].starts_with("/m/"));
        here.map(|fields| {
            fields[5..]
                .iter()
                .take_while(|field| **field != "-")
                .map(|f| f.split(':').next().unwrap())
                .collect::<Vec<_>>()
                .join(" ")
        })
        .collect()
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// A volume that is read-only and all else, with one like it and one without attributes in it.
const LOCKED: &str = "
for place in volume volume/locked volume/plain; do
    [ -d $place ] || mkdir $place
    mount -t tmpfs tmpfs $place
done
for place in volume volume/locked; do mount -o remount,bind,ro,nosuid,nodev,noexec,noatime $place; done";

#[test]
fn what_an_option_clears_stays_where_the_users_mount_has_it_locked_and_the_debug_log_says_so() {
    let all = "ro,nosuid,nodev,noexec,noatime";
    for (options, mount, said) in [
        (json!(["rbind", "rw"]), all, vec!["ro"]),
        (json!(["rbind", "suid", "dev", "exec", "ro"]), all, vec!["nosuid", "nodev", "noexec"]),
        (json!(["rbind", "rrw", "rsuid"]), all, vec!["ro", "nosuid"]),
        (json!(["rbind", "relatime"]), all, vec!["the atime mode"]),
        (json!(["rbind", "rw", "nosymfollow"]), "ro,nosuid,nodev,noexec,noatime,nosymfollow", vec!["ro"]),
        (json!(["rbind", "ro", "nosuid", "nodev", "noexec"]), all, vec![]),
    ] {
        let Some(mut scene) = Scene::new(USER) else { return };
        scene.host = LOCKED.into();
        scene.volume(options.clone());
        assert_eq!(scene.mounts(), [mount, all, "rw,relatime"], "{options}");
        let error = scene.run("true").error;
        for word in &said {
            let text = format!("mounts[1].options: {word} stays on mounts where");
            assert!(error.contains(&text), "{options}: {text}: {error}");
        }
        assert_eq!(error.matches("stays").count(), said.len(), "{error}");
    }
}

#[test]
fn an_option_that_sets_what_is_locked_otherwise_is_an_error() {
    for options in [json!(["rbind", "strictatime"]), json!(["rbind", "rw", "rstrictatime"])] {
        let Some(mut scene) = Scene::new(USER) else { return };
        scene.host = LOCKED.into();
        scene.volume(options.clone());
        let ended = scene.run("true");
        assert!(
            !ended.fine && ended.error.contains("mounts[1]: mount /m: mount_setattr"),
            "{options}: {}",
            ended.error
        );
    }
}

#[test]
fn an_option_clears_what_is_locked_for_users_where_the_runtime_is_root() {
    let Some(mut scene) = Scene::new(0) else { return };
    scene.host = LOCKED.into();
    scene.volume(json!(["rbind", "rrw", "suid", "exec"]));
    assert_eq!(scene.mounts(), ["rw,nodev,noatime", "rw,nosuid,nodev,noexec,noatime", "rw,relatime"]);
}

#[test]
fn an_unprivileged_users_root_may_be_shared_and_its_volumes_are_slaves_of_the_hosts() {
    for (propagation, peers) in [("shared", ""), ("rshared", " shared")] {
        for (host, master) in [("private", ""), ("shared", " master")] {
            let Some(mut scene) = Scene::new(USER) else { return };
            scene.host = format!("mount -t tmpfs tmpfs volume; mount --make-{host} volume");
            scene.config["linux"]["rootfsPropagation"] = json!(propagation);
            scene.volume(json!(["rbind"]));
            assert_eq!(scene.mounts(), [format!("rw,relatime{peers}{master}")], "{propagation} {host}");
        }
    }
}

#[test]
fn a_copied_up_file_whose_access_list_names_ids_that_are_not_mapped_is_not_open_to_more_people() {
    let Some(mut scene) = Scene::new(0) else { return };
    let file = scene.dir.join("bundle/rootfs/m/file");
    fs::write(&file, "text").unwrap();
    std::os::unix::fs::chown(&file, Some(FIRST), Some(FIRST)).unwrap();
    // user::rw- user:7:rw- group::r-- mask::rw- other::---, and user 7 is the host's.
    let entries = [(1, 6, !0), (2, 6, 7), (4, 4, !0), (16, 6, !0), (32, 0, !0_u32)];
    let mut list = vec![2, 0, 0, 0];
    for (tag, permissions, id) in entries {
        list.extend([tag, 0, permissions, 0]);
        list.extend(id.to_le_bytes());
    }
    let opened = fs::File::open(&file).unwrap();
    // Python has the call; no program that sets the list by its bytes is on every machine.
    let hex: String = list.iter().map(|byte| format!("{byte:02x}")).collect();
    let script = "import os, sys; os.setxattr(sys.argv[1], 'system.posix_acl_access', bytes.fromhex(sys.argv[2]))";
    let set = Command::new("python3").args(["-c", script]).arg(&file).arg(hex).status().unwrap();
    assert!(set.success());
    assert_eq!(opened.metadata().unwrap().mode() & 0o777, 0o660);
    scene.mount(json!({"destination": "/m", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup"]}));
    let ended = scene.run("stat -c '%a %u:%g' /m/file; cat /m/file");
    assert!(ended.fine, "{}", ended.error);
    assert_eq!(ended.out, "640 0:0\ntext");
}

/// Type, numbers, mode and owner of a node, as the container sees them.
const NODE: &str =
    "for node in /dev/foo /run/bar /dev/null; do stat -c '%F %t:%T %a %u:%g' $node; done; head -c 3 /run/bar | cat -v";

#[test]
fn a_device_in_a_user_namespace_has_its_owner_and_mode_though_the_host_has_none_of_that_name() {
    for umask in ["0", "77"] {
        let Some(mut scene) = Scene::new(0) else { return };
        scene.host = format!("umask {umask}");
        scene.config["linux"]["devices"] = json!([
            {"path": "/dev/foo", "type": "c", "major": 1, "minor": 5, "uid": 5, "gid": 6, "fileMode": 0o640},
            {"path": "/run/bar", "type": "c", "major": 1, "minor": 7},
            {"path": "/dev/null", "type": "c", "major": 1, "minor": 3, "fileMode": 0o622, "uid": 0, "gid": 0}
        ]);
        scene.mount(json!({"destination": "/dev", "type": "tmpfs", "source": "tmpfs"}));
        let ended = scene.run(NODE);
        assert!(ended.fine, "{}", ended.error);
        let special = "character special file";
        let expected = format!("{special} 1:5 640 5:6\n{special} 1:7 666 0:0\n{special} 1:3 622 0:0\n^@^@^@");
        assert_eq!(ended.out, expected, "{umask}");
        assert_eq!(fs::read_dir(scene.dir.join("state")).unwrap().count(), 0);
    }
}

#[test]
fn an_owner_of_a_device_that_the_user_namespace_does_not_map_is_an_error_that_names_it() {
    let Some(mut scene) = Scene::new(0) else { return };
    scene.config["linux"]["devices"] = json!([{"path": "/dev/foo", "type": "c", "major": 1, "minor": 5, "gid": 70000}]);
    let ended = scene.run("true");
    assert!(!ended.fine);
    let text = "device /dev/foo: linux.devices: gid of /dev/foo: 70000 is not mapped in the container's user namespace";
    assert!(ended.error.contains(text), "{}", ended.error);
}

#[test]
fn a_device_is_made_for_a_joined_user_namespace_whose_ids_the_config_repeats_or_not() {
    for repeats in [true, false] {
        let Some(mut scene) = Scene::new(0) else { return };
        // A process that stays in the user namespace until its standard input ends, which is when the runtime has ended.
        scene.host = format!(
            "mkfifo fifo ready
            unshare --user sh -c 'echo > ready; read end < fifo' &
            read ready < ready; pid=$!
            for map in uid_map gid_map; do echo 0 {FIRST} 65536 > /proc/$pid/$map; done
            sed -i s,USERNS,/proc/$pid/ns/user, bundle/config.json
            exec 9> fifo"
        );
        scene.config["linux"]["namespaces"][2] = json!({"type": "user", "path": "USERNS"});
        if !repeats {
            scene.config["linux"].as_object_mut().unwrap().retain(|name, _| !name.ends_with("Mappings"));
        }
        scene.config["linux"]["devices"] = json!([
            {"path": "/dev/foo", "type": "c", "major": 1, "minor": 5, "uid": 5, "gid": 6, "fileMode": 0o640}
        ]);
        let ended = scene.run("stat -c '%t:%T %a %u:%g' /dev/foo");
        assert!(ended.fine, "{}", ended.error);
        assert_eq!(ended.out, "1:5 640 5:6", "{repeats}");
    }
}

#[test]
fn an_unprivileged_users_device_is_the_hosts() {
    let Some(mut scene) = Scene::new(USER) else { return };
    scene.config["linux"]["devices"] =
        json!([{"path": "/dev/zero", "type": "c", "major": 1, "minor": 5, "uid": 5, "fileMode": 0o640}]);
    let ended = scene.run("stat -c '%t:%T' /dev/zero");
    assert!(ended.fine && ended.out == "1:5", "{}", ended.error);
    scene.config["linux"]["devices"] = json!([{"path": "/dev/foo", "type": "c", "major": 1, "minor": 5}]);
    let ended = scene.run("true");
    assert!(!ended.fine && ended.error.contains("device /dev/foo: bind the host's device"), "{}", ended.error);
}

#[test]
fn a_listed_ptmx_is_the_link_to_the_containers_own_with_and_without_a_user_namespace() {
    for has_user in [true, false] {
        let Some(mut scene) = Scene::new(0) else { return };
        if !has_user {
            scene.config["linux"]["namespaces"].as_array_mut().unwrap().retain(|namespace| namespace["type"] != "user");
            scene.config["linux"].as_object_mut().unwrap().retain(|name, _| !name.ends_with("Mappings"));
        }
        scene.config["linux"]["devices"] = json!([
            {"path": "/dev/ptmx", "type": "c", "major": 5, "minor": 2, "fileMode": 0o600},
            {"path": "/dev/pts/../ptmx", "type": "c", "major": 5, "minor": 2},
            {"path": "/dev/console", "type": "c", "major": 5, "minor": 1}
        ]);
        scene.mount(json!({"destination": "/dev", "type": "tmpfs", "source": "tmpfs"}));
        let options = ["newinstance", "ptmxmode=0666"];
        scene.mount(json!({"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": options}));
        let ended = scene.run("readlink /dev/ptmx; stat -L -c %a /dev/ptmx");
        assert!(ended.fine, "{}", ended.error);
        assert_eq!(ended.out, "pts/ptmx\n666");
    }
}

/// Root with a user namespace, root without one, an unprivileged user.
fn everyone(test: impl Fn(Scene, &str)) {
    for name in ["root", "root with a user namespace", "user"] {
        let Some(mut scene) = Scene::new(if name == "user" { USER } else { 0 }) else { return };
        if name == "root" {
            scene.config["linux"]["namespaces"].as_array_mut().unwrap().retain(|namespace| namespace["type"] != "user");
            scene.config["linux"].as_object_mut().unwrap().retain(|name, _| !name.ends_with("Mappings"));
        }
        test(scene, name);
    }
}

impl Scene {
    /// A bind mount of what is at `path` in the root.
    fn inside(&mut self, path: &str, destination: &str, options: Value) {
        let source = self.dir.join("bundle/rootfs").join(path);
        self.mount(json!({"destination": destination, "type": "bind", "source": source, "options": options}));
    }
}

#[test]
fn a_source_in_the_root_is_what_an_earlier_mount_has_put_there() {
    everyone(|mut scene, name| {
        // One is missing below the mounts, one is not; one is reached by a link.
        for dir in ["there", "volume/sub"] {
            fs::create_dir_all(scene.dir.join("bundle/rootfs").join(dir)).unwrap();
        }
        fs::create_dir_all(scene.dir.join("volume/sub")).unwrap();
        fs::write(scene.dir.join("volume/sub/file"), "of the volume").unwrap();
        symlink("/there", scene.dir.join("bundle/rootfs/link")).unwrap();
        scene.mount(json!({"destination": "/made", "type": "tmpfs", "source": "made"}));
        scene.mount(json!({"destination": "/there", "type": "tmpfs", "source": "there"}));
        let volume = scene.dir.join("volume");
        scene.mount(json!({"destination": "/volume", "type": "bind", "source": volume, "options": ["rbind"]}));
        scene.inside("made", "/m/made", json!(["bind"]));
        scene.inside("there", "/m/there", json!(["rbind", "ro"]));
        scene.inside("link", "/m/link", json!(["rbind"]));
        scene.inside("volume/sub", "/m/sub", json!(["rbind"]));
        scene.inside("volume/sub/file", "/m/file", json!(["bind"]));
        let ended = scene.run(
            "for to in made there link; do grep \" /m/$to \" /proc/self/mountinfo | sed 's/.* - //; s/ [^ ]*$//'; done
            cat /m/sub/file /m/file; echo x 2> /dev/null > /m/there/x || echo ' read-only'",
        );
        assert!(ended.fine, "{name}: {}", ended.error);
        let expected = "tmpfs made\ntmpfs there\ntmpfs there\nof the volumeof the volume read-only";
        assert_eq!(ended.out, expected, "{name}");
    });
}

#[test]
fn a_link_in_the_root_never_leads_a_source_to_the_host() {
    everyone(|mut scene, name| {
        let outside = scene.dir.join("volume");
        fs::write(outside.join("file"), "the host's").unwrap();
        let below = scene.dir.join("bundle/rootfs").join(outside.strip_prefix("/").unwrap());
        for options in [json!(["rbind"]), json!(["bind"])] {
            for (link, source) in [("link", "link"), ("up", "up/volume"), ("up", "up/volume/file")] {
                let target = if link == "up" { "../../../.." } else { outside.to_str().unwrap() };
                let path = scene.dir.join("bundle/rootfs").join(link);
                let _ = fs::remove_file(&path);
                symlink(target, path).unwrap();
                scene.config["mounts"].as_array_mut().unwrap().truncate(1);
                scene.inside(source, "/m", options.clone());
                let ended = scene.run("cat /m /m/file");
                assert!(!ended.out.contains("host"), "{name} {source}: {}", ended.out);
                assert!(!ended.fine && ended.error.contains("mounts[1]: mount /m"), "{name} {source}: {}", ended.error);
            }
        }
        // Where the root has something of that name, that it is.
        fs::create_dir_all(&below).unwrap();
        fs::write(below.join("file"), "the root's").unwrap();
        scene.config["mounts"].as_array_mut().unwrap().truncate(1);
        scene.inside("link", "/m", json!(["rbind"]));
        let ended = scene.run("cat /m/file");
        assert!(ended.fine && ended.out == "the root's", "{name}: {} {}", ended.out, ended.error);
    });
}

#[test]
fn a_source_in_the_root_is_seen_through_its_id_mapping() {
    for user_namespace in [false, true] {
        let Some(mut scene) = Scene::new(0) else { return };
        if !user_namespace {
            scene.config["linux"]["namespaces"].as_array_mut().unwrap().retain(|namespace| namespace["type"] != "user");
            scene.config["linux"].as_object_mut().unwrap().retain(|name, _| !name.ends_with("Mappings"));
        }
        let base = if user_namespace { FIRST } else { 0 };
        let file = scene.dir.join("bundle/rootfs/there/file");
        fs::create_dir(file.parent().unwrap()).unwrap();
        fs::write(&file, "").unwrap();
        std::os::unix::fs::chown(&file, Some(7), Some(7)).unwrap();
        let ids =
            json!([{"containerID": 7, "hostID": base + 70, "size": 1}, {"containerID": 0, "hostID": base, "size": 1}]);
        let source = |path: &str| scene.dir.join("bundle/rootfs").join(path);
        let mut mounts = vec![json!({"destination": "/m/there", "type": "bind", "source": source("there"),
            "options": ["rbind"], "uidMappings": ids, "gidMappings": ids})];
        if !user_namespace {
            // What the container itself has mounted is mapped there.
            mounts.insert(
                0,
                json!({"destination": "/made", "type": "tmpfs", "source": "made", "options": ["uid=7", "gid=7"]}),
            );
            mounts.push(json!({"destination": "/m/made", "type": "bind", "source": source("made"),
                "options": ["bind"], "uidMappings": ids, "gidMappings": ids}));
        }
        for mount in mounts {
            scene.mount(mount);
        }
        let script = if user_namespace { "" } else { "stat -c '%u:%g' /m/made" };
        let ended = scene.run(&format!("stat -c '%u:%g' /m/there/file; {script}"));
        if ended.error.contains("EINVAL") {
            eprintln!("skipped in part: the filesystem has no id-mapped mounts: {}", ended.error);
            continue;
        }
        assert!(ended.fine, "{}", ended.error);
        assert_eq!(ended.out, if user_namespace { "70:70" } else { "70:70\n70:70" });
    }
}

#[test]
fn the_containers_procfs_is_not_bound_to_a_place_without_its_masks() {
    everyone(|mut scene, name| {
        symlink("/proc/../proc", scene.dir.join("bundle/rootfs/link")).unwrap();
        scene.config["linux"]["maskedPaths"] = json!(["/proc/kcore"]);
        for source in ["proc", "link", "proc/sys"] {
            scene.config["mounts"].as_array_mut().unwrap().truncate(1);
            scene.inside(source, "/m", json!(["rbind"]));
            let ended = scene.run("ls /m");
            assert!(
                !ended.fine && ended.error.contains("would be there without masks"),
                "{name} {source}: {}",
                ended.error
            );
        }
    });
}
