//! Somebody who exchanges a directory with a link, again and again, while containers are made.

use super::Scene;
use serde_json::json;
use std::process::{Child, Command, Stdio};
use std::thread;

/// A process that exchanges two names until it is dropped.
struct Swapper(Child);

impl Swapper {
    fn start(scene: &Scene, one: &str, other: &str) -> Swapper {
        // A process of its own, as the attacker is: a container that shares a volume with the one that is made.
        let program = std::env::current_exe().unwrap();
        let child = Command::new(program)
            .args(["--exact", "races::swapper", "--ignored", "--nocapture"])
            .env("SWAP_ONE", scene.root(one))
            .env("SWAP_OTHER", scene.root(other))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Swapper(child)
    }
}

impl Drop for Swapper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Not a test: the attacker's program, which ends when it is killed or when the names are gone.
#[test]
#[ignore = "the attacker of the other tests"]
fn swapper() {
    let (Ok(one), Ok(other)) = (std::env::var("SWAP_ONE"), std::env::var("SWAP_OTHER")) else { return };
    while orlop::sys::fs::exchange_at(orlop::sys::file::CWD, &one, &other).is_ok() {}
}

fn raced(one: &str, other: &str, rounds: u32, change: impl Fn(&mut Scene)) {
    let Some(mut scene) = Scene::new() else { return };
    change(&mut scene);
    scene.plant(other, &scene.out("dir"));
    scene.script("true");
    let swapper = Swapper::start(&scene, one, other);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..rounds / 2 {
                    let _ = scene.run();
                }
            });
        }
    });
    drop(swapper);
    scene.delete();
    scene.nothing_outside();
}

#[test]
fn a_racing_exchange_of_a_mount_destination() {
    raced("vol/dir", "vol/link", 300, |scene| {
        std::fs::create_dir_all(scene.root("vol/dir")).unwrap();
        for n in 0..8 {
            scene.mount(json!({"destination": format!("/vol/dir/{n}/made"), "type": "tmpfs", "source": "tmpfs"}));
        }
        let busybox = "/bin/busybox";
        scene.mount(json!({"destination": "/vol/dir/file", "type": "bind", "source": busybox, "options": ["bind"]}));
    });
}

#[test]
fn a_racing_exchange_of_dev() {
    raced("dev", "link", 200, Scene::without_dev);
    raced("dev", "link", 200, |_| {});
}

#[test]
fn a_racing_exchange_of_proc() {
    raced("proc", "link", 200, |_| {});
}
