//! The runtime's program (CVE-2019-5736), as a container with CAP_SYS_PTRACE looks for it among the processes of others that
//! come into its pid namespace.

use super::{Scene, ended};
use serde_json::{Value, json};
use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Stdio;

fn grant(scene: &mut Scene, names: &[&str]) {
    for set in ["bounding", "effective", "permitted"] {
        scene.config["process"]["capabilities"][set] = json!(names);
    }
}

/// A scene whose container runs until the end of the test.
fn running(capabilities: &[&str], script: &str) -> Option<Scene> {
    let mut scene = Scene::new()?;
    fs::write(scene.root("runtime"), "").unwrap();
    let runtime = scene.runtime().display().to_string();
    scene.mount(json!({"destination": "/runtime", "type": "bind", "source": runtime, "options": ["bind", "ro"]}));
    grant(&mut scene, capabilities);
    scene.script(script);
    scene.run_detached();
    Some(scene)
}

fn state(scene: &Scene) -> Value {
    serde_json::from_str(&ended(scene.command("state", &[], &[]).output().unwrap()).out).unwrap()
}

fn create(scene: &Scene, flags: &[&str]) {
    scene.write_config();
    let mut command = scene.command("create", flags, &[]);
    assert!(command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success());
}

/// Another container that joins the pid namespace of a running one.
fn neighbour(scene: &Scene) -> Scene {
    let mut other = Scene::new().unwrap();
    let path = format!("/proc/{}/ns/pid", state(scene)["pid"]);
    for namespace in other.config["linux"]["namespaces"].as_array_mut().unwrap() {
        if namespace["type"] == "pid" {
            *namespace = json!({"type": "pid", "path": path});
        }
    }
    other.script("true");
    other
}

fn same_file(one: &Path, other: &Path) -> bool {
    let (one, other) = (fs::metadata(one).unwrap(), fs::metadata(other).unwrap());
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

#[test]
fn nobody_in_a_joined_pid_namespace_ever_has_the_runtimes_program() {
    // Only builtins in the loop, so that it looks thousands of times in a second.
    let look = "[ $p/exe -ef /bin/busybox ] || { [ $p/exe -ef /runtime ] && echo $p >> /tmp/found; }
        [ $p/exe -ef /bin/busybox ] || [ ! -e $p/exe ] || : > /tmp/seen";
    let script = format!("while :; do for p in /proc/[0-9]*; do {look}; done; done");
    let Some(scene) = running(&["CAP_SYS_PTRACE", "CAP_DAC_OVERRIDE", "CAP_SYS_ADMIN"], &script) else { return };
    let before = fs::read(scene.runtime()).unwrap();
    let other = neighbour(&scene);
    for _ in 0..20 {
        create(&other, &[]);
        assert!(ended(other.command("start", &[], &[]).output().unwrap()).code == Some(0));
        other.delete();
        let _ = scene.exec(&[], &["/bin/true"]);
    }
    create(&other, &["--init"]);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while !scene.root("tmp/seen").exists() && std::time::Instant::now() < deadline {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert!(scene.root("tmp/seen").exists(), "the attacker never saw a process at the gate");
    let found = fs::read_to_string(scene.root("tmp/found")).unwrap_or_default();
    assert_eq!(found, "", "these had the runtime's program");
    assert!(before == fs::read(scene.runtime()).unwrap(), "the runtime's program has changed");
}

#[test]
fn a_process_at_the_gate_cannot_be_looked_into_by_its_neighbours() {
    let Some(scene) = running(&["CAP_KILL", "CAP_DAC_OVERRIDE"], "sleep 1000") else { return };
    let other = neighbour(&scene);
    create(&other, &[]);
    let script = "for p in /proc/[0-9]*; do grep -q orlop $p/comm && { readlink $p/exe; readlink $p/fd/*; cat $p/environ; }; done";
    let ended = scene.exec(&[], &["/bin/sh", "-c", script]);
    assert_eq!(ended.out, "", "{ended:?}");
    assert!(ended.error.contains("ermission denied"), "{ended:?}");
}

#[test]
fn the_gate_and_the_reaping_init_have_a_sealed_program_of_their_own() {
    let Some(mut scene) = Scene::new() else { return };
    scene.script("sleep 1000");
    create(&scene, &["--init"]);
    let exe = format!("/proc/{}/exe", state(&scene)["pid"]);
    assert!(!same_file(Path::new(&exe), scene.runtime()));
    let start = ended(scene.command("start", &[], &[]).output().unwrap());
    assert_eq!(start.code, Some(0), "{start:?}");
    assert!(!same_file(Path::new(&exe), scene.runtime()));
    assert!(fs::read_link(&exe).unwrap().to_string_lossy().contains("orlop-init"));
    // Held open until nobody executes it any more, as the attack goes.
    use std::os::fd::AsRawFd;
    let image = fs::File::open(&exe).unwrap();
    scene.delete();
    let path = format!("/proc/self/fd/{}", image.as_raw_fd());
    let written = fs::OpenOptions::new().write(true).open(path).and_then(|mut file| file.write_all(b"overwritten"));
    assert!(written.is_err(), "the init image can be written to");
}
