//! A panic in any step of the child is one line of error in the runtime, and nothing is left of the container. One in the
//! runtime itself is a line too, and what it leaves goes with `delete --force`.
//!
//! Only builds with debug assertions can be asked to panic; this test has one, built beside it.

#![allow(clippy::unwrap_used)] // The whole program is a test.

use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const SEQUENCE: &str = include_str!("../../../src/process/sequence.rs");

/// The names of a table's steps.
fn steps(table: &str) -> Vec<&'static str> {
    let from = SEQUENCE.find(&format!("static {table}: ")).unwrap();
    let length = SEQUENCE[from..].find("];").unwrap();
    let names: Vec<_> = SEQUENCE[from..from + length].split("name: \"").skip(1).collect();
    assert!(names.len() > 5, "{table} is written in another way");
    names.into_iter().map(|rest| rest.split('"').next().unwrap()).collect()
}

/// Reports the test as skipped, on a line that libtest does not capture.
fn skip(reason: &str) {
    let thread = std::thread::current();
    let _ = writeln!(std::io::stderr(), "SKIP {}: {reason}", thread.name().unwrap_or("a test"));
}

struct Scene {
    dir: PathBuf,
    id: String,
}

impl Scene {
    fn make(name: &str) -> Option<Scene> {
        if fs::metadata("/proc/self").unwrap().uid() != 0 || !Path::new("/bin/busybox").exists() {
            skip("needs root and /bin/busybox");
            return None;
        }
        let id = format!("orlop-panics-{name}-{}", std::process::id());
        let dir = std::env::temp_dir().join(&id);
        for name in ["bin", "proc", "dev"] {
            fs::create_dir_all(dir.join("rootfs").join(name)).unwrap();
        }
        fs::copy("/bin/busybox", dir.join("rootfs/bin/sleep")).unwrap();
        let config = serde_json::json!({
            "ociVersion": "1.2.0", "root": {"path": "rootfs"},
            "process": {"cwd": "/", "user": {"uid": 0, "gid": 0}, "args": ["/bin/sleep", "1000"]},
            "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
            "hooks": {"createRuntime": [{"path": "/bin/true"}], "createContainer": [{"path": "/bin/true"}]},
            "linux": {"cgroupsPath": format!("/{id}"),
                "namespaces": [{"type": "pid"}, {"type": "mount"}, {"type": "ipc"}], "maskedPaths": ["/proc/keys"]}
        });
        fs::write(dir.join("config.json"), config.to_string()).unwrap();
        Some(Scene { dir, id })
    }

    fn orlop(&self, words: &[&str], program: &[&str], panic_at: &str) -> Output {
        let said = self.dir.join("said");
        let mut command = Command::new(env!("CARGO_BIN_EXE_orlop"));
        command.arg("--root").arg(self.dir.join("state")).args(words).arg(&self.id).args(program);
        command.current_dir(&self.dir).env("ORLOP_PANIC_AT", panic_at).stdin(Stdio::null());
        // A file for what is said: a pipe would be held open by a container.
        let status = command.stdout(Stdio::null()).stderr(fs::File::create(&said).unwrap()).status().unwrap();
        Output { status, stdout: Vec::new(), stderr: fs::read(said).unwrap() }
    }

    fn cgroups(&self) -> Vec<PathBuf> {
        let hierarchies = fs::read_dir("/sys/fs/cgroup").unwrap().flatten().map(|entry| entry.path().join(&self.id));
        hierarchies.chain([Path::new("/sys/fs/cgroup").join(&self.id)]).filter(|path| path.exists()).collect()
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.orlop(&["delete", "--force"], &[], "");
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// Fails if anything but one line about the panic was said.
fn assert_panicked(output: &Output, step: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{step}: {said}");
    assert_eq!(said.lines().count(), 1, "{step}: {said}");
    assert!(said.contains("panic") && said.contains("asked for"), "{step}: {said}");
}

#[test]
fn a_panic_in_any_step_of_create_is_one_error_and_nothing_is_left() {
    let Some(scene) = Scene::make("create") else { return };
    for step in steps("CREATE") {
        assert_panicked(&scene.orlop(&["create"], &[], step), step);
        let state = fs::read_dir(scene.dir.join("state")).unwrap().count();
        assert_eq!((state, scene.cgroups()), (0, Vec::new()), "{step}");
    }
}

#[test]
fn a_panic_of_the_runtime_is_one_error_and_what_it_leaves_can_be_deleted() {
    let Some(scene) = Scene::make("runtime") else { return };
    let source = [
        include_str!("../../../src/container/create.rs"),
        include_str!("../../../src/container/made.rs"),
        include_str!("../../../src/container/cgroup_setup.rs"),
        include_str!("../../../src/process/launch.rs"),
        include_str!("../../../src/process/launch/follow.rs"),
    ]
    .concat();
    let steps: Vec<&str> = source.split("log::step(\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert!(steps.len() >= 7, "the steps are written in another way: {steps:?}");
    for step in steps {
        assert_panicked(&scene.orlop(&["create"], &[], step), step);
        let delete = scene.orlop(&["delete", "--force"], &[], "");
        assert!(delete.status.success(), "{step}: {}", String::from_utf8_lossy(&delete.stderr));
        let state = fs::read_dir(scene.dir.join("state")).map_or(0, Iterator::count);
        assert_eq!((state, scene.cgroups()), (0, Vec::new()), "{step}");
    }
}

#[test]
fn a_panic_in_any_step_of_exec_is_one_error_and_the_container_goes_on() {
    let Some(scene) = Scene::make("exec") else { return };
    let run = scene.orlop(&["run", "--detach"], &[], "");
    assert!(run.status.success(), "{run:?}");
    for step in steps("EXEC") {
        assert_panicked(&scene.orlop(&["exec"], &["/bin/sleep", "0"], step), step);
    }
    let exec = scene.orlop(&["exec"], &["/bin/sleep", "0"], "");
    assert!(exec.status.success(), "{exec:?}");
}
