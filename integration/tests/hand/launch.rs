//! `create` and `start` where something is in their way.

use integration::bundle::{Ended, Scene, ended, eventually};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::Stdio;

/// A scene whose `createRuntime` hook makes the file `hangs` and then sleeps.
fn with_a_hanging_hook() -> Option<Scene> {
    let mut scene = Scene::of_spec()?;
    let script = format!("touch {}; exec sleep 1000", scene.dir.join("hangs").display());
    scene.config["hooks"] = json!({"createRuntime": [{"path": "/bin/sh", "args": ["sh", "-c", script]}]});
    Some(scene)
}

/// Runs `create`, and `meanwhile` as soon as its hook hangs.
fn while_it_hangs(scene: &Scene, meanwhile: impl FnOnce()) -> Ended {
    std::thread::scope(|threads| {
        let create = threads.spawn(|| scene.call(&["create"], &[]));
        let hangs = scene.dir.join("hangs");
        eventually("a hook that runs", || hangs.exists());
        meanwhile();
        fs::remove_file(hangs).unwrap();
        create.join().unwrap()
    })
}

#[test]
fn while_create_hangs_in_a_hook_state_answers_and_delete_ends_it() {
    let Some(scene) = with_a_hanging_hook() else { return };
    let create = while_it_hangs(&scene, || {
        assert_eq!(scene.state()["status"], "creating");
        let _ = scene.call(&["delete", "--force"], &[]).ok();
    });
    assert_eq!(create.code, Some(1), "{create:?}");
    scene.nothing_left();
}

#[test]
fn while_create_hangs_in_a_hook_kill_ends_it() {
    let Some(scene) = with_a_hanging_hook() else { return };
    let create = while_it_hangs(&scene, || {
        let _ = scene.call(&["kill"], &["KILL"]).ok();
    });
    assert!(create.refused().contains("the container's process has ended"));
    let _ = scene.call(&["delete", "--force"], &[]).ok();
    scene.nothing_left();
}

fn pid(scene: &Scene) -> Pid {
    Pid::from_raw(scene.state()["pid"].as_i64().unwrap() as i32)
}

#[test]
fn start_of_a_container_whose_process_is_dead_is_an_error() {
    let Some(scene) = Scene::of_spec() else { return };
    let _ = scene.call(&["create"], &[]).ok();
    kill(pid(&scene), Signal::SIGKILL).unwrap();
    scene.until_status("stopped");
    let _ = scene.call(&["start"], &[]).refused();
    let _ = scene.call(&["delete", "--force"], &[]).ok();
    scene.nothing_left();
}

#[test]
fn start_waits_for_a_process_that_is_stopped_until_it_goes_on() {
    let Some(scene) = Scene::of_spec() else { return };
    let _ = scene.call(&["create"], &[]).ok();
    let init = pid(&scene);
    kill(init, Signal::SIGSTOP).unwrap();
    let mut start = scene.command(&["start"], &[]).stdout(Stdio::null()).spawn().unwrap();
    let stat = format!("/proc/{}/stat", start.id());
    eventually("a command that sleeps", || fs::read_to_string(&stat).unwrap().contains("(orlop) S "));
    kill(init, Signal::SIGCONT).unwrap();
    assert!(start.wait().unwrap().success());
    let _ = scene.call(&["delete", "--force"], &[]).ok();
    scene.nothing_left();
}

/// A frozen cgroup, which is thawed and removed with this.
struct Frozen {
    dir: PathBuf,
    file: PathBuf,
    thawed: &'static str,
}

impl Frozen {
    fn new(name: &str) -> Self {
        let v1 = PathBuf::from("/sys/fs/cgroup/freezer");
        let (above, file, frozen, thawed) = match v1.exists() {
            true => (v1, "freezer.state", "FROZEN", "THAWED"),
            false => (PathBuf::from("/sys/fs/cgroup"), "cgroup.freeze", "1", "0"),
        };
        let dir = above.join(name);
        fs::create_dir(&dir).unwrap();
        let file = dir.join(file);
        fs::write(&file, frozen).unwrap();
        Frozen { dir, file, thawed }
    }

    fn thaw(&self) {
        fs::write(&self.file, self.thawed).unwrap();
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        self.thaw();
        let _ = fs::remove_dir(&self.dir);
    }
}

#[test]
fn create_below_a_frozen_cgroup_names_it_instead_of_waiting() {
    let Some(mut scene) = Scene::of_spec() else { return };
    scene.config["linux"]["cgroupsPath"] = format!("/{}/box", scene.id).into();
    let frozen = Frozen::new(&scene.id);
    assert!(scene.call(&["run"], &[]).refused().contains("is frozen"));
    frozen.thaw();
    let _ = scene.call(&["delete", "--force"], &[]).ok();
    drop(frozen);
    scene.nothing_left();
}

#[test]
fn of_many_that_create_the_same_id_one_succeeds() {
    let Some(mut scene) = Scene::of_spec() else { return };
    scene.args(&["sleep", "1000"]);
    scene.write_config();
    let created = std::thread::scope(|threads| {
        let all = [0; 6].map(|_| threads.spawn(|| scene.call(&["create"], &[]).code));
        all.into_iter().map(|one| one.join().unwrap()).filter(|code| *code == Some(0)).count()
    });
    assert_eq!(created, 1);
    let _ = scene.call(&["delete", "--force"], &[]).ok();
    scene.nothing_left();
}

/// A container in a root without the working directory, of another user than root.
fn without_directory(mapped: bool) -> Option<Scene> {
    let mut scene = Scene::of_spec()?;
    scene.config["root"]["readonly"] = true.into();
    scene.config["process"]["cwd"] = "/work/dir".into();
    scene.config["process"]["user"] = json!({"uid": 1000, "gid": 1000});
    scene.script("pwd; stat -c '%A %u %g %n' /work /work/dir");
    if mapped {
        scene.config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({"type": "user"}));
        for ids in ["uidMappings", "gidMappings"] {
            scene.config["linux"][ids] = json!([{"containerID": 0, "hostID": 0, "size": 65536}]);
        }
    }
    Some(scene)
}

#[test]
fn a_working_directory_that_the_root_lacks_is_roots_whatever_the_callers_umask() {
    for mapped in [false, true] {
        let Some(scene) = without_directory(mapped) else { return };
        let command = scene.command(&["run"], &[]);
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", "umask 077; exec \"$@\"", "sh"]).arg(command.get_program()).args(command.get_args());
        let shown = ended(shell, &scene.dir).ok();
        assert_eq!(shown, "/work/dir\ndrwxr-xr-x 0 0 /work\ndrwxr-xr-x 0 0 /work/dir\n", "mapped: {mapped}");
        assert_eq!(fs::metadata(scene.dir.join("rootfs/work/dir")).unwrap().uid(), 0);
        scene.nothing_left();
    }
}

#[test]
fn exec_makes_no_working_directory() {
    let Some(mut scene) = Scene::of_spec() else { return };
    scene.config["root"]["readonly"] = false.into();
    scene.args(&["sleep", "1000"]);
    scene.begin();
    assert_ne!(scene.call(&["exec", "--cwd", "/nowhere/here"], &["true"]).code, Some(0));
    assert!(!scene.dir.join("rootfs/nowhere").exists());
}
