//! `$NOTIFY_SOCKET`: the service manager hears of the container's own processes, and of no other user's.

use super::Scene;
use serde_json::json;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Sends READY=1 to the socket that is its argument; the exit code is the error number.
const SEND: &str = r#"use Socket; socket(S, AF_UNIX, SOCK_DGRAM, 0) or exit $!;
    defined(send(S, "READY=1", 0, pack_sockaddr_un($ARGV[0]))) or exit int($!)"#;

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < Duration::from_secs(30), "not within 30 s: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A container that is told to be ready, and the service manager that hears of it.
struct Service {
    scene: Scene,
    manager: UnixDatagram,
    runtime: Child,
}

/// How the container is started: `run`, or `start` after `create`.
fn service(scene: Scene, life: &str) -> Service {
    scene.write_config();
    // Engines and users make the state root themselves, so that others may pass through it.
    fs::create_dir_all(&scene.state_root).unwrap();
    fs::set_permissions(&scene.state_root, fs::Permissions::from_mode(0o755)).unwrap();
    let path = scene.dir.join("manager");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_nonblocking(true).unwrap();
    let words: Vec<&str> = life.split(' ').collect();
    let command = |name: &str, flags: &[&str]| {
        let mut command = scene.command(name, flags, &[]);
        command.env("NOTIFY_SOCKET", &path).stdout(Stdio::null());
        command.stderr(fs::File::create(scene.dir.join("error")).unwrap());
        command
    };
    if life == "start" {
        assert!(command("create", &[]).status().unwrap().success());
    }
    let runtime = command(words[0], &words[1..]).spawn().unwrap();
    Service { scene, manager, runtime }
}

impl Service {
    /// The container's socket, as its name is on the host.
    fn sockets(&self) -> Vec<std::path::PathBuf> {
        fn below(directory: &Path, all: &mut Vec<std::path::PathBuf>) {
            for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
                match entry.file_name() == "notify.sock" {
                    true => all.push(entry.path()),
                    false => below(&entry.path(), all),
                }
            }
        }
        let mut all = Vec::new();
        below(&self.scene.state(), &mut all);
        all
    }

    fn heard(&self) -> Option<String> {
        let mut text = [0; 256];
        let length = self.manager.recv(&mut text).ok()?;
        Some(String::from_utf8_lossy(&text[..length]).into_owned())
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.scene.delete();
        // A detached runtime waits until the manager has read its last word.
        while self.runtime.try_wait().unwrap().is_none() {
            if self.heard().is_none() {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }
}

fn has(program: &str) -> bool {
    let is_there = Path::new(program).exists();
    if !is_there {
        integration::skip::skip(&format!("no {program}"));
    }
    is_there
}

#[test]
fn another_user_of_the_host_cannot_say_that_a_container_is_ready() {
    for life in ["run", "run --detach", "start"] {
        let Some(mut scene) = Scene::new().filter(|_| has("/usr/bin/perl")) else { return };
        scene.script("sleep 1000");
        let service = service(scene, life);
        until("the socket is there", || !service.sockets().is_empty());
        let sent = Command::new("setpriv")
            .args(["--reuid=65534", "--regid=65534", "--clear-groups", "/usr/bin/perl", "-e", SEND])
            .arg(&service.sockets()[0])
            .status()
            .unwrap();
        assert_eq!(sent.code(), Some(13), "{life}: not refused (EACCES)");
        assert_eq!(service.heard(), None, "{life}");
    }
}

#[test]
fn every_user_of_the_container_can_say_that_it_is_ready() {
    for life in ["run", "run --detach", "start"] {
        for (uid, has_user_namespace) in [(0, false), (1000, false), (0, true), (1000, true)] {
            let Some(mut scene) = Scene::new().filter(|_| has("/usr/bin/perl")) else { return };
            for (link, target) in [("lib", "usr/lib"), ("lib64", "usr/lib64")] {
                symlink(target, scene.root(link)).unwrap();
            }
            // The root of a user namespace cannot make them in a root filesystem that is the host's.
            ["usr", "run/notify"].iter().for_each(|name| fs::create_dir_all(scene.root(name)).unwrap());
            scene.mount(json!({"destination": "/usr", "type": "bind", "source": "/usr", "options": ["rbind", "ro"]}));
            scene.config["process"]["user"] = json!({"uid": uid, "gid": uid});
            if has_user_namespace {
                scene.config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({"type": "user"}));
                let map = json!([{"containerID": 0, "hostID": 300_000, "size": 65536}]);
                scene.config["linux"]["uidMappings"] = map.clone();
                scene.config["linux"]["gidMappings"] = map;
            }
            // `start` makes the socket before it opens the gate; `run` as well, before the program.
            scene.script(&format!("/usr/bin/perl -e '{SEND}' \"$NOTIFY_SOCKET\"; sleep 1000"));
            let service = service(scene, life);
            let mut heard = None;
            until(&format!("{life}, user {uid}, user namespace {has_user_namespace}: the manager hears"), || {
                let said = fs::read_to_string(service.scene.dir.join("error")).unwrap();
                assert_eq!(said, "", "{life}, {uid}, {has_user_namespace}");
                heard = service.heard();
                heard.is_some()
            });
            assert_eq!(heard.as_deref(), Some("READY=1"), "{life}, {uid}, {has_user_namespace}");
        }
    }
}
