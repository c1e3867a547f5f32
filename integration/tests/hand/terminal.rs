//! Console sockets. `tools/terminal` receives the terminal and is the person in front of it.

use integration::bundle::{Scene, ended, eventually};
use integration::scene::here;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Listens at `socket`, takes the terminal and plays `steps` there; its report goes to `log`.
fn receive(socket: &Path, steps: &str, log: &Path) -> Child {
    let mut terminal = Command::new(here().join("tools/terminal"));
    terminal.arg("receive").arg(socket).arg(steps).stdin(Stdio::null()).stdout(fs::File::create(log).unwrap());
    let child = terminal.spawn().unwrap();
    eventually("a console socket", || socket.exists());
    child
}

#[test]
fn a_console_socket_and_a_state_root_may_be_longer_than_a_socket_address() {
    let Some(mut scene) = Scene::of_spec() else { return };
    let long = ["x", "y", "z"].iter().fold(scene.dir.clone(), |dir, letter| dir.join(letter.repeat(60)));
    fs::create_dir_all(&long).unwrap();
    scene.state_root = long.join("state");
    scene.script("read x; echo long");
    scene.config["process"]["terminal"] = true.into();
    let (socket, log) = (long.join("console"), scene.dir.join("log"));
    let mut terminal = receive(&socket, r"type \n", &log);
    let _ = scene.call(&["create", "--console-socket", socket.to_str().unwrap()], &[]).ok();
    let _ = scene.call(&["start"], &[]).ok();
    assert!(terminal.wait().unwrap().success());
    let shown = fs::read_to_string(log).unwrap();
    assert!(shown.contains("received 1 descriptor, a terminal") && shown.contains("long"), "{shown:?}");
    scene.until_status("stopped");
    let _ = ended(scene.command(&["delete"], &[]), &scene.dir).ok();
    scene.nothing_left();
}
