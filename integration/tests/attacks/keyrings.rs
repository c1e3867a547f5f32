//! Session keyrings: a neighbour with the same user id knows the id of a container, and may make keyrings of any name.

use super::Scene;
use super::state::eventually;
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

/// A process that holds a session keyring: it runs a script with `keyctl`, prints the keyring's number, and stays.
struct Holder(Child, u64);

impl Holder {
    fn new(script: &str, name: &str) -> Holder {
        let script = format!(
            "import ctypes, sys, time
libc = ctypes.CDLL(None, use_errno=True)
def keyctl(*arguments):
    done = libc.syscall(250, *arguments)
    assert done >= 0, (arguments, ctypes.get_errno())
    return done
name = sys.argv[1].encode()
{script}
time.sleep(1000)"
        );
        let mut child = Command::new("python3").args(["-c", &script, name]).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Holder(child, line.trim().parse().unwrap())
    }

    /// A keyring of this name that everybody may do everything with.
    fn open_to_all(name: &str) -> Holder {
        Holder::new("key = keyctl(1, name); keyctl(5, key, 0x3f3f3f3f); print(key, flush=True)", name)
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// How many hold a key: the third field of its line in /proc/keys; 0 if it is gone.
fn holders(serial: u64) -> u32 {
    let keys = fs::read_to_string("/proc/keys").unwrap();
    let line = keys.lines().find(|line| line.starts_with(&format!("{serial:08x}")));
    line.map_or(0, |line| line.split_ascii_whitespace().nth(2).unwrap().parse().unwrap())
}

fn keyring(scene: &Scene) -> (String, u64) {
    let record: Value = serde_json::from_slice(&fs::read(scene.state().join("state.json")).unwrap()).unwrap();
    let made = &record["sessionKeyring"];
    (made["name"].as_str().unwrap().to_owned(), made["serial"].as_u64().unwrap())
}

fn exec_detached(scene: &Scene) {
    let mut command = scene.command("exec", &["--detach"], &["/bin/sleep", "1000"]);
    // Whoever reads what it says would wait for the program, too.
    assert!(command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success());
}

/// The number of the system call is that of x86_64.
fn has_keyrings() -> bool {
    let has = cfg!(target_arch = "x86_64") && fs::metadata("/proc/keys").is_ok();
    if !has {
        integration::skip::skip("no keyrings here");
    }
    has
}

#[test]
fn a_keyring_that_a_neighbour_has_named_after_the_container_is_not_joined() {
    let Some(mut scene) = Scene::new().filter(|_| has_keyrings()) else { return };
    let trap = Holder::open_to_all(&format!("_ses.{}", scene.id()));
    let before = holders(trap.1);
    assert!(before > 0);
    scene.script("exec sleep 1000");
    scene.run_detached();
    exec_detached(&scene);
    assert_eq!(holders(trap.1), before, "the container has the neighbour's keyring");
}

#[test]
fn exec_joins_the_containers_keyring_and_no_other_one_of_its_name() {
    let Some(mut scene) = Scene::new().filter(|_| has_keyrings()) else { return };
    scene.script("exec sleep 1000");
    scene.run_detached();
    let (name, serial) = keyring(&scene);
    assert!(holders(serial) > 0);
    // More than may hold it for another reason: what has ended lets go of it some time later.
    (0..20).for_each(|_| exec_detached(&scene));
    assert!(holders(serial) >= 20, "exec has another keyring");
    // The neighbour joins it by its name, forbids to search it, and makes another one.
    let trap = Holder::new(
        "key = keyctl(1, name); keyctl(5, key, 0x3f010000); key = keyctl(1, name); keyctl(5, key, 0x3f3f3f3f); print(key, flush=True)",
        &name,
    );
    assert_ne!(trap.1, serial);
    let before = holders(trap.1);
    let refused = scene.exec(&[], &["/bin/true"]);
    assert_eq!(refused.code, Some(255), "{refused:?}");
    assert!(refused.error.contains("session keyring") && refused.error.contains(&serial.to_string()), "{refused:?}");
    eventually("nobody else has the neighbour's keyring", || holders(trap.1) == before);
}

#[test]
fn exec_gets_a_keyring_of_its_own_where_the_containers_is_gone() {
    let Some(mut scene) = Scene::new().filter(|_| has_keyrings()) else { return };
    scene.script("exec sleep 1000");
    scene.run_detached();
    let (name, serial) = keyring(&scene);
    drop(Holder::new("key = keyctl(1, name); keyctl(3, key); print(key, flush=True)", &name));
    let trap = Holder::open_to_all(&name);
    assert_ne!(trap.1, serial);
    let before = holders(trap.1);
    exec_detached(&scene);
    eventually("nobody else has the neighbour's keyring", || holders(trap.1) == before);
}

#[test]
fn an_id_may_be_as_long_as_the_name_of_a_file() {
    for length in [230, 240, 255] {
        let Some(mut scene) = Scene::new() else { return };
        scene.rename(&format!("{}-{}", scene.id(), "x".repeat(255 - 1 - scene.id().len()))[..length]);
        scene.script("exec sleep 1000");
        scene.run_detached();
        assert_eq!(scene.exec(&[], &["/bin/true"]).code, Some(0), "{length}");
        assert_eq!(scene.does("kill", &[], &["KILL"]).code, Some(0), "{length}");
        assert_eq!(scene.does("delete", &[], &[]).code, Some(0), "{length}");
    }
}
