//! `exec --tools`: a busybox of the host in containers whose image has no shell.
//!
//! `ORLOP` names another program than `out/orlop`. Without root, a runtime or a static busybox, a test says so and does nothing.

#![allow(clippy::unwrap_used)] // The whole file is a test.

use integration::runtime::find;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// The owner of a container: root without and with a user namespace, and another user.
#[derive(Clone, Copy, PartialEq)]
enum Owner {
    Root,
    Mapped,
    Rootless,
}

const ALL: [Owner; 3] = [Owner::Root, Owner::Mapped, Owner::Rootless];
const USER: u32 = 1000;

/// A container whose image has one program, which sleeps.
struct Scene {
    dir: PathBuf,
    owner: Owner,
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_end().to_owned()
}

impl Scene {
    fn new(owner: Owner, change: impl Fn(&mut Value)) -> Option<Scene> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        if fs::metadata("/proc/self").unwrap().uid() != 0 || !fs::exists("/bin/busybox").unwrap() {
            eprintln!("skipped: needs root and /bin/busybox");
            return None;
        }
        let Ok(runtime) = find("orlop", &std::env::temp_dir()) else {
            eprintln!("skipped: no runtime; run `make` or set ORLOP");
            return None;
        };
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("tools-{}-{number}", std::process::id()));
        let root = dir.join("bundle/rootfs");
        for name in ["proc", "dev", "usr/sbin", "etc"] {
            fs::create_dir_all(root.join(name)).unwrap();
        }
        fs::write(root.join("etc/passwd"), "").unwrap();
        fs::write(root.join("hello"), "of the image").unwrap();
        symlink("usr/sbin", root.join("sbin")).unwrap();
        fs::copy("/bin/busybox", root.join("usr/sbin/sleep")).unwrap();
        fs::copy(runtime.path, dir.join("orlop")).unwrap();
        let (first, size) = match owner {
            Owner::Root => (0, 1),
            Owner::Mapped => (100_000, 65536),
            Owner::Rootless => (USER, 1),
        };
        let mut kinds = vec!["pid", "mount", "ipc", "uts"];
        let ids = json!([{"containerID": 0, "hostID": first, "size": size}]);
        let mut linux = json!({"maskedPaths": ["/proc/keys"], "readonlyPaths": ["/proc/sys"]});
        if owner != Owner::Root {
            kinds.push("user");
            linux["uidMappings"] = ids.clone();
            linux["gidMappings"] = ids;
        }
        linux["namespaces"] = kinds.iter().map(|kind| json!({"type": kind})).collect();
        let mut config = json!({
            "ociVersion": "1.0.2",
            "root": {"path": "rootfs", "readonly": true},
            "process": {
                "cwd": "/etc", "user": {"uid": 0, "gid": 0}, "args": ["sleep", "1000"], "env": ["PATH=/sbin"],
                "noNewPrivileges": true
            },
            "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
            "linux": linux
        });
        change(&mut config);
        fs::write(dir.join("bundle/config.json"), config.to_string()).unwrap();
        let chown = Command::new("chown").args(["-hR", &format!("{first}:{first}")]).arg(&dir).status().unwrap();
        assert!(chown.success());
        fs::set_permissions(&root, fs::Permissions::from_mode(0o751)).unwrap();
        let scene = Scene { dir, owner };
        let errors = fs::File::create(scene.dir.join("errors")).unwrap();
        let mut command = scene.command(&["run", "--detach", "--bundle", "bundle", "c"]);
        let status = command.stdout(Stdio::null()).stderr(errors).status().unwrap();
        assert!(status.success(), "{}", fs::read_to_string(scene.dir.join("errors")).unwrap());
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

    fn tools(&self, more: &[&str]) -> Output {
        self.command(&[&["exec", "--tools", "c"], more].concat()).output().unwrap()
    }

    fn script(&self, script: &str) -> String {
        let output = self.tools(&["sh", "-c", script]);
        assert!(output.status.success(), "{script}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    fn pid(&self) -> String {
        let state = self.command(&["state", "c"]).output().unwrap();
        serde_json::from_slice::<Value>(&state.stdout).unwrap()["pid"].to_string()
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = self.command(&["delete", "--force", "c"]).output();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

#[test]
fn an_image_without_a_shell_gets_one_that_no_other_process_sees() {
    for owner in ALL {
        let Some(scene) = Scene::new(owner, |_| ()) else { return };
        let table = || fs::read_to_string(format!("/proc/{}/mountinfo", scene.pid())).unwrap();
        let before = table();
        assert_eq!(scene.script("cat /hello; echo; pwd; ls -d /.orlop-tools"), "of the image\n/etc\n/.orlop-tools");
        assert_eq!(scene.script("ls -d /proc/1/root/.orlop-tools 2>/dev/null || echo none"), "none");
        assert_eq!(table(), before);
        assert!(!scene.dir.join("bundle/rootfs/.orlop-tools").exists());
    }
}

#[test]
fn the_root_is_the_images_with_its_links_mounts_and_masks() {
    for owner in ALL {
        let Some(scene) = Scene::new(owner, |_| ()) else { return };
        assert_eq!(scene.script("readlink /sbin; stat -c '%a %u' /"), "usr/sbin\n751 0");
        assert_eq!(scene.script("ls -A / | tr '\\n' ' '"), ".orlop-tools dev etc hello proc sbin usr");
        assert_eq!(scene.script("cat /proc/keys; cat /proc/1/comm"), "sleep");
        for place in ["/made", "/etc/made", "/.orlop-tools/made", "/proc/sys/kernel/core_pattern"] {
            let refused = scene.script(&format!("echo x 2>/dev/null > {place} || echo refused"));
            assert_eq!(refused, "refused", "{place}");
        }
        let rows = scene.script("cat /proc/self/mountinfo");
        let tools: Vec<&str> = rows.lines().filter(|row| row.contains(" /.orlop-tools ")).collect();
        assert_eq!(tools.len(), 1, "{rows}");
        assert!(tools[0].contains(" ro,nosuid,nodev,relatime - tmpfs "), "{rows}");
    }
}

#[test]
fn files_of_a_writable_root_are_the_containers_own() {
    let Some(scene) = Scene::new(Owner::Root, |config| config["root"]["readonly"] = json!(false)) else { return };
    scene.script("echo written > /etc/made");
    assert_eq!(fs::read_to_string(scene.dir.join("bundle/rootfs/etc/made")).unwrap(), "written\n");
}

#[test]
fn without_a_command_it_is_the_shell_and_the_images_programs_come_first() {
    let Some(scene) = Scene::new(Owner::Root, |_| ()) else { return };
    let mut command = scene.command(&["exec", "--tools", "c"]);
    fs::write(scene.dir.join("script"), "echo $0 $PATH; which sleep").unwrap();
    let output = command.stdin(fs::File::open(scene.dir.join("script")).unwrap()).output().unwrap();
    assert_eq!(text(&output.stdout), "/.orlop-tools/sh /sbin:/.orlop-tools\n/sbin/sleep", "{output:?}");
}

#[test]
fn the_process_is_confined_as_that_of_an_exec_without_tools() {
    for owner in ALL {
        let profile =
            json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_ERRNO"}]});
        let Some(scene) = Scene::new(owner, |config| config["linux"]["seccomp"] = profile.clone()) else { return };
        let status = scene.script("cat /proc/self/status");
        for row in ["CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"] {
            assert!(status.contains(row), "{row}: {status}");
        }
        let namespaces = scene.script("readlink /proc/self/ns/mnt; readlink /proc/1/ns/mnt");
        let (own, first) = namespaces.split_once('\n').unwrap();
        assert_ne!(own, first);
    }
}

#[test]
fn a_mount_made_with_the_tools_stays_with_the_process() {
    let Some(scene) = Scene::new(Owner::Root, |config| {
        config["linux"]["rootfsPropagation"] = json!("shared");
        for set in ["bounding", "effective", "permitted"] {
            config["process"]["capabilities"][set] = json!(["CAP_SYS_ADMIN"]);
        }
    }) else {
        return;
    };
    let before = fs::read_to_string(format!("/proc/{}/mountinfo", scene.pid())).unwrap();
    let host = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert_eq!(scene.script("mount -t tmpfs tmpfs /etc && ls /etc"), "");
    assert_eq!(fs::read_to_string(format!("/proc/{}/mountinfo", scene.pid())).unwrap(), before);
    assert_eq!(fs::read_to_string("/proc/self/mountinfo").unwrap(), host);
    // The program is a copy: the host's file is out of reach.
    let program = scene.script(
        "mount -o remount,rw,bind /.orlop-tools && echo x >> /.orlop-tools/ls.new; stat -c %d /.orlop-tools/busybox",
    );
    assert_ne!(program, fs::metadata("/bin/busybox").unwrap().dev().to_string());
}
