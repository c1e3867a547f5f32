//! `mounts add` and `mounts remove`, in containers with and without a user namespace, of root and of an unprivileged user.
//!
//! `ORLOP` names another program than `out/orlop`. Without root, or without a runtime, a test says so and does nothing.

#![allow(clippy::unwrap_used)] // The whole file is a test.

use integration::runtime::find;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// The owner of a container.
#[derive(Clone, Copy, PartialEq)]
enum Owner {
    /// Root, without a user namespace.
    Root,
    /// Root, with a user namespace.
    Mapped,
    /// Another user, with a user namespace.
    Rootless,
}

const ALL: [Owner; 3] = [Owner::Root, Owner::Mapped, Owner::Rootless];
const FIRST: u32 = 100_000;
const USER: u32 = 1000;

/// A bundle with a busybox, and a directory `volume` that holds a file.
struct Scene {
    dir: PathBuf,
    config: Value,
    owner: Owner,
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_end().to_owned()
}

impl Scene {
    fn new(owner: Owner) -> Option<Scene> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        if fs::metadata("/proc/self").unwrap().uid() != 0 {
            eprintln!("skipped: needs root");
            return None;
        }
        let Ok(runtime) = find("orlop", &std::env::temp_dir()) else {
            eprintln!("skipped: no runtime; run `make` or set ORLOP");
            return None;
        };
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("added-{}-{number}", std::process::id()));
        for name in ["bin", "proc", "dev", "sys", "m", "n", "there"] {
            fs::create_dir_all(dir.join("bundle/rootfs").join(name)).unwrap();
        }
        fs::create_dir_all(dir.join("volume/sub")).unwrap();
        fs::write(dir.join("volume/file"), "of the host").unwrap();
        fs::create_dir_all(dir.join("outside")).unwrap();
        fs::copy(runtime.path, dir.join("orlop")).unwrap();
        fs::copy("/bin/busybox", dir.join("bundle/rootfs/bin/busybox")).unwrap();
        for applet in ["sh", "cat", "ls", "sleep", "stat", "touch", "mv", "ln", "rm"] {
            symlink("busybox", dir.join("bundle/rootfs/bin").join(applet)).unwrap();
        }
        let (first, size) = match owner {
            Owner::Root => (0, 1),
            Owner::Mapped => (FIRST, 65536),
            Owner::Rootless => (USER, 1),
        };
        let chown = Command::new("chown").args(["-R", &format!("{first}:{first}")]).arg(&dir).status().unwrap();
        assert!(chown.success());
        let mut kinds = vec!["pid", "mount", "ipc", "uts"];
        let ids = json!([{"containerID": 0, "hostID": first, "size": size}]);
        let mut linux = json!({"maskedPaths": ["/proc/keys"], "readonlyPaths": ["/proc/sys"]});
        if owner != Owner::Root {
            kinds.push("user");
            linux["uidMappings"] = ids.clone();
            linux["gidMappings"] = ids;
        }
        linux["namespaces"] = kinds.iter().map(|kind| json!({"type": kind})).collect();
        let config = json!({
            "ociVersion": "1.0.2",
            "root": {"path": "rootfs"},
            "process": {"cwd": "/", "user": {"uid": 0, "gid": 0}, "args": ["sleep", "1000"], "env": ["PATH=/bin"]},
            "mounts": [
                {"destination": "/proc", "type": "proc", "source": "proc"},
                {"destination": "/there", "type": "tmpfs", "source": "tmpfs"}
            ],
            "linux": linux
        });
        Some(Scene { dir, config, owner })
    }

    /// The same, with a running container.
    fn running(owner: Owner) -> Option<Scene> {
        let scene = Scene::new(owner)?;
        scene.does(&["run", "--detach", "--bundle", "bundle", "c"]);
        Some(scene)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let user = if self.owner == Owner::Rootless { USER } else { 0 }.to_string();
        let mut command = Command::new("timeout");
        command.args(["60", "setpriv", "--reuid", &user, "--regid", &user, "--clear-groups", "./orlop", "--root"]);
        command.arg(self.dir.join("state")).args(["--cgroup-manager", "disabled"]).args(arguments);
        command.current_dir(&self.dir).stdin(Stdio::null());
        command
    }

    fn tries(&self, arguments: &[&str]) -> Output {
        fs::write(self.dir.join("bundle/config.json"), self.config.to_string()).unwrap();
        if arguments[0] != "run" && arguments[0] != "create" {
            return self.command(arguments).output().unwrap();
        }
        // The container keeps standard output and error open.
        let errors = self.dir.join("errors");
        let file = fs::File::create(&errors).unwrap();
        let status = self.command(arguments).stdout(Stdio::null()).stderr(file).status().unwrap();
        Output { status, stdout: Vec::new(), stderr: fs::read(errors).unwrap() }
    }

    fn does(&self, arguments: &[&str]) -> String {
        let output = self.tries(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    fn mounts(&self, action: &str, list: &Value) -> Result<(), String> {
        let file = self.dir.join("list.json");
        fs::write(&file, list.to_string()).unwrap();
        let output = self.tries(&["mounts", action, "c", file.to_str().unwrap()]);
        if output.status.success() { Ok(()) } else { Err(text(&output.stderr)) }
    }

    fn exec(&self, script: &str) -> String {
        self.does(&["exec", "c", "/bin/sh", "-c", script])
    }

    fn volume(&self, destination: &str, options: &[&str]) -> Value {
        let options: Vec<&str> = ["bind"].iter().chain(options).copied().collect();
        json!({"destination": destination, "type": "bind", "source": self.dir.join("volume"), "options": options})
    }

    /// Destination and attributes of the container's mounts, in their order.
    fn table(&self) -> Vec<(String, String)> {
        let state: Value = serde_json::from_str(&self.does(&["state", "c"])).unwrap();
        let table = fs::read_to_string(format!("/proc/{}/mountinfo", state["pid"])).unwrap();
        let rows = table.lines().map(|line| line.split(' ').collect::<Vec<_>>());
        rows.map(|fields| (fields[4].to_owned(), fields[5].to_owned())).collect()
    }

    fn at(&self, destination: &str) -> Vec<String> {
        self.table().into_iter().filter(|(point, _)| point == destination).map(|(_, attributes)| attributes).collect()
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = self.command(&["delete", "--force", "c"]).output();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

#[test]
fn a_volume_is_added_with_its_options_and_removed_again() {
    for owner in ALL {
        let Some(scene) = Scene::running(owner) else { return };
        let list = json!([scene.volume("/m", &["ro", "nosuid", "nodev"])]);
        scene.mounts("add", &list).unwrap();
        assert_eq!(scene.at("/m"), ["ro,nosuid,nodev,relatime"]);
        assert_eq!(scene.exec("cat /m/file; touch /m/new 2>/dev/null || echo refused"), "of the hostrefused");
        scene.mounts("remove", &list).unwrap();
        assert_eq!(scene.at("/m"), [""; 0]);
        let error = scene.mounts("remove", &list).unwrap_err();
        assert!(error.contains("mounts[0]: unmount /m: nothing is mounted there"), "{error}");
        assert_eq!(fs::read_dir(scene.dir.join("bundle/rootfs/m")).unwrap().count(), 0);
    }
}

#[test]
fn a_file_is_mounted_over_a_file_and_removed_again() {
    let Some(scene) = Scene::running(Owner::Root) else { return };
    let mut mount = scene.volume("/n/made", &["ro"]);
    mount["source"] = json!(scene.dir.join("volume/file"));
    scene.mounts("add", &json!([mount])).unwrap();
    assert_eq!(scene.exec("cat /n/made"), "of the host");
    scene.mounts("remove", &json!([{"destination": "/n/made"}])).unwrap();
    assert_eq!(scene.exec("cat /n/made"), "");
}

#[test]
fn a_new_filesystem_belongs_to_the_user_namespace_of_the_container() {
    for owner in ALL {
        let Some(scene) = Scene::running(owner) else { return };
        let options = ["mode=750", "size=64k", "noexec"];
        let list = json!([{"destination": "/m/made", "type": "tmpfs", "source": "tmpfs", "options": options}]);
        scene.mounts("add", &list).unwrap();
        assert_eq!(scene.at("/m/made"), ["rw,noexec,relatime"]);
        assert_eq!(scene.exec("touch /m/made/file; stat -c '%u %a' /m/made /m/made/file"), "0 750\n0 644");
    }
}

#[test]
fn a_procfs_shows_the_processes_of_the_container() {
    let Some(scene) = Scene::running(Owner::Root) else { return };
    let list = json!([{"destination": "/m", "type": "proc", "source": "proc"}]);
    match scene.mounts("add", &list) {
        Ok(()) => assert_eq!(scene.exec("cat /m/1/comm"), "sleep"),
        Err(error) => assert!(error.contains("before Linux 6.17 only `create` mounts a procfs"), "{error}"),
    }
}

#[test]
fn of_several_mounts_all_are_made_or_none() {
    let Some(scene) = Scene::running(Owner::Root) else { return };
    let before = scene.table();
    let tmpfs = |destination: &str| json!({"destination": destination, "type": "tmpfs", "source": "tmpfs"});
    fs::write(scene.dir.join("bundle/rootfs/file"), "").unwrap();
    for last in [tmpfs("/file"), json!({"destination": "/n", "type": "no such", "source": "x"})] {
        let error = scene.mounts("add", &json!([tmpfs("/m"), scene.volume("/m/v", &[]), last])).unwrap_err();
        assert!(error.contains("mounts[2]: mount /"), "{error}");
        assert_eq!(scene.table(), before);
    }
    let list = json!([tmpfs("/m"), scene.volume("/m/v", &["ro"]), tmpfs("/m/v/sub")]);
    scene.mounts("add", &list).unwrap();
    assert_eq!(scene.table().len(), before.len() + 3);
    scene.mounts("remove", &list).unwrap();
    assert_eq!(scene.table(), before);
}

#[test]
fn a_read_only_tmpfs_is_filled_before_it_becomes_so() {
    let Some(scene) = Scene::running(Owner::Root) else { return };
    let tmpfs = json!({"destination": "/m", "type": "tmpfs", "source": "tmpfs", "options": ["ro"]});
    scene.mounts("add", &json!([tmpfs, scene.volume("/m/volume", &[])])).unwrap();
    assert_eq!(scene.at("/m"), ["ro,relatime"]);
    assert_eq!(scene.exec("cat /m/volume/file"), "of the host");
}

#[test]
fn a_paused_and_a_created_container_get_mounts_and_a_stopped_one_is_an_error() {
    let Some(scene) = Scene::new(Owner::Root) else { return };
    scene.does(&["create", "--bundle", "bundle", "c"]);
    scene.mounts("add", &json!([scene.volume("/m", &[])])).unwrap();
    scene.does(&["start", "c"]);
    assert_eq!(scene.exec("cat /m/file"), "of the host");
    scene.does(&["kill", "c", "KILL"]);
    let state = || serde_json::from_str::<Value>(&scene.does(&["state", "c"])).unwrap();
    while state()["status"] != "stopped" {
        std::thread::yield_now();
    }
    for action in ["add", "remove"] {
        let error = scene.mounts(action, &json!([scene.volume("/m", &[])])).unwrap_err();
        assert!(error.contains("container not running"), "{error}");
    }
}

#[test]
fn mounts_of_the_config_and_masks_are_never_removed() {
    for owner in ALL {
        let Some(scene) = Scene::running(owner) else { return };
        let before = scene.table();
        for destination in ["/", "/proc", "/proc/keys", "/proc/sys", "/there", "/dev/null", "/n/../there"] {
            let error = scene.mounts("remove", &json!([{"destination": destination}])).unwrap_err();
            let said = ["`mounts add` did not make the mount that is there", "nothing is mounted there"];
            assert!(said.iter().any(|text| error.contains(text)), "{destination}: {error}");
            assert_eq!(scene.table(), before, "{destination}");
        }
        // What was added over such a mount is removed; the mount itself stays.
        let list = json!([scene.volume("/there", &[])]);
        scene.mounts("add", &list).unwrap();
        scene.mounts("remove", &list).unwrap();
        scene.mounts("remove", &list).unwrap_err();
        assert_eq!(scene.table(), before);
    }
}

#[test]
fn a_container_cannot_steer_a_removal_to_another_mount() {
    let Some(scene) = Scene::running(Owner::Root) else { return };
    scene.mounts("add", &json!([scene.volume("/m/keys", &[])])).unwrap();
    let before = scene.table();
    // The directory of a mount point may be renamed, and the name lead to a mask then.
    scene.exec("mv /m /old && ln -s /proc /m");
    let error = scene.mounts("remove", &json!([{"destination": "/m/keys"}])).unwrap_err();
    assert!(error.contains("did not make the mount that is there"), "{error}");
    assert_eq!(scene.table().len(), before.len());
    scene.mounts("remove", &json!([{"destination": "/old/keys"}])).unwrap();
}

#[test]
fn a_destination_is_looked_up_within_the_root() {
    for owner in ALL {
        let Some(scene) = Scene::running(owner) else { return };
        let outside = scene.dir.join("outside").display().to_string();
        scene.exec(&format!("ln -s {outside} /link; ln -s ../../../../../../.. /up"));
        let tmpfs = |destination: &str| json!({"destination": destination, "type": "tmpfs", "source": "tmpfs"});
        scene.mounts("add", &json!([tmpfs("/link/made"), tmpfs("/up/new"), tmpfs("../../x")])).unwrap();
        for point in [&format!("{outside}/made"), "/new", "/x"] {
            assert_eq!(scene.at(point).len(), 1, "{point}: {:?}", scene.table());
        }
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
        assert!(!PathBuf::from("/new").exists() && !PathBuf::from("/x").exists());
    }
}

#[test]
fn sources_are_those_of_the_host_whatever_the_container_has_there() {
    let Some(scene) = Scene::running(Owner::Root) else { return };
    let lower = scene.dir.join("volume");
    let other = scene.dir.join("bundle/rootfs").join(lower.strip_prefix("/").unwrap());
    fs::create_dir_all(&other).unwrap();
    fs::write(other.join("file"), "of the container").unwrap();
    let options = [format!("lowerdir={}:{}", lower.display(), scene.dir.join("outside").display())];
    let overlay = json!({"destination": "/n", "type": "overlay", "source": "overlay", "options": options});
    scene.mounts("add", &json!([scene.volume("/m", &[]), overlay])).unwrap();
    assert_eq!(scene.exec("cat /m/file /n/file"), "of the hostof the host");
    fs::remove_file(lower.join("file")).unwrap();
    let mut missing = scene.volume("/m", &[]);
    missing["source"] = json!(lower.join("file"));
    let error = scene.mounts("add", &json!([missing])).unwrap_err();
    assert!(error.contains("no such file or directory"), "{error}");
}

#[test]
fn what_create_alone_may_mount_is_refused_with_its_field() {
    let Some(scene) = Scene::running(Owner::Root) else { return };
    let before = scene.table();
    let inside = scene.dir.join("bundle/rootfs/there");
    for (mount, field) in [
        (json!({"destination": "/proc/sys", "options": ["remount", "rw"]}), "mounts[0].options"),
        (json!({"destination": "/m", "type": "cgroup", "source": "cgroup"}), "mounts[0].type"),
        (json!({"destination": "/m", "type": "cgroup2", "source": "cgroup"}), "mounts[0].type"),
        (json!({"destination": "/proc", "type": "proc", "source": "proc"}), "mounts[0].destination"),
        (json!({"destination": "/proc/keys", "type": "tmpfs", "source": "tmpfs"}), "inside /proc"),
        (
            json!({"destination": "/proc", "type": "bind", "source": "/proc", "options": ["rbind"]}),
            "it would cover /proc/keys",
        ),
        (json!({"destination": "/m", "type": "bind", "source": inside, "options": ["rbind"]}), "mounts[0].source"),
        (
            json!({"destination": "/m", "type": "bind", "source": "/m", "options": ["bind", "copy-symlink"]}),
            "mounts[0].options",
        ),
        (json!({"destination": "/", "type": "tmpfs", "source": "tmpfs"}), "the root of a container does not change"),
        (json!({"destination": "/m", "type": "tmpfs", "source": "tmpfs", "options": [7]}), "[0].options"),
    ] {
        let error = scene.mounts("add", &json!([mount])).unwrap_err();
        assert!(error.contains(field), "{mount}: {error}");
        assert_eq!(scene.table(), before, "{mount}");
    }
    assert!(scene.mounts("add", &json!({"destination": "/m"})).unwrap_err().contains("expected a list"));
    let output = scene.tries(&["mounts", "change", "c", "-"]);
    assert_eq!(text(&output.stderr).matches("is neither add nor remove").count(), 1);
}

#[test]
fn the_list_is_read_from_standard_input_and_delete_leaves_nothing() {
    let Some(scene) = Scene::running(Owner::Root) else { return };
    let file = scene.dir.join("list.json");
    fs::write(&file, json!([scene.volume("/m", &[])]).to_string()).unwrap();
    let status = scene.command(&["mounts", "add", "c", "-"]).stdin(fs::File::open(&file).unwrap()).status().unwrap();
    assert!(status.success());
    assert_eq!(scene.at("/m").len(), 1);
    scene.does(&["delete", "--force", "c"]);
    assert_eq!(fs::read_dir(scene.dir.join("state")).unwrap().count(), 0);
    assert_eq!(fs::read_to_string(scene.dir.join("volume/file")).unwrap(), "of the host");
}
