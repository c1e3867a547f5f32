//! `delete --force`.

use integration::bundle::{Scene, eventually};
use std::fs;
use std::process::{Command, Stdio};

/// A subreaper that starts its arguments, prints their pid and never waits for a child.
const CARELESS: &str = "import ctypes, signal, subprocess, sys
ctypes.CDLL(None).prctl(36, 1) # PR_SET_CHILD_SUBREAPER
print(subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL).pid)
signal.pause()";

#[test]
fn delete_does_not_wait_for_a_process_whose_parent_never_reaps_it() {
    let Some(mut scene) = Scene::of_spec() else { return };
    scene.args(&["sleep", "1000"]);
    scene.config["root"]["readonly"] = false.into();
    scene.begin();
    let exec = scene.command(&["exec"], &["sh", "-c", "touch /tmp/entered; exec sleep 1000"]);
    let printed = scene.dir.join("printed");
    let mut careless = Command::new("python3");
    careless.args(["-u", "-c", CARELESS]).arg(exec.get_program()).args(exec.get_args());
    careless.stdin(Stdio::null()).stdout(fs::File::create(&printed).unwrap());
    let mut careless = careless.spawn().unwrap();
    eventually("a process of exec", || scene.tmp("entered").exists());
    let exec: i32 = fs::read_to_string(printed).unwrap().trim().parse().unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(exec), nix::sys::signal::Signal::SIGKILL).unwrap();
    let deleted = scene.call(&["delete", "--force"], &[]);
    careless.kill().unwrap();
    careless.wait().unwrap();
    let _ = deleted.ok();
    scene.nothing_left();
}
