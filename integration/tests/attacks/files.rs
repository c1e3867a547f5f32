//! Files that the runtime makes and reads: whatever the caller's umask is, and whatever another user has put in their place.

use super::{Ended, Scene, ended};
use serde_json::json;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The runtime's command, behind some words of the shell.
fn after(words: &str, command: &Command) -> Ended {
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("{words}; exec \"$@\"")).arg("sh").arg(command.get_program()).args(command.get_args());
    shell.current_dir(command.get_current_dir().unwrap()).stdin(Stdio::null());
    // The container has these descriptors for as long as it lives.
    let place = command.get_current_dir().unwrap();
    let (out, error) = (place.join("said.out"), place.join("said.error"));
    shell.stdout(fs::File::create(&out).unwrap()).stderr(fs::File::create(&error).unwrap());
    let code = shell.status().unwrap().code();
    Ended { code, out: fs::read_to_string(out).unwrap(), error: fs::read_to_string(error).unwrap() }
}

/// All files below a directory, and itself.
fn all_below(path: &Path) -> Vec<PathBuf> {
    let mut all = vec![path.to_owned()];
    if fs::symlink_metadata(path).unwrap().is_dir() {
        fs::read_dir(path).unwrap().for_each(|entry| all.extend(all_below(&entry.unwrap().path())));
    }
    all
}

#[test]
fn no_file_of_the_runtimes_has_a_mode_that_comes_from_the_callers_umask() {
    for mask in ["0", "0777", "022"] {
        let Some(mut scene) = Scene::new() else { return };
        let [pids, log, trace] = ["pid", "log", "trace"].map(|name| scene.dir.join(name));
        scene.global = vec!["--log".into(), log.display().to_string(), "--trace".into(), trace.display().to_string()];
        scene.script("umask");
        scene.write_config();
        let made =
            after(&format!("umask {mask}"), &scene.command("create", &["--pid-file", &pids.to_string_lossy()], &[]));
        assert_eq!(made.code, Some(0), "{mask}: {made:?}");
        let cgroup = fs::metadata(super::state::cgroup_of(scene.init())).unwrap();
        assert_eq!(cgroup.mode() & 0o777, 0o755, "umask {mask}: the cgroup");
        let started = after(&format!("umask {mask}"), &scene.command("start", &[], &[]));
        assert_eq!(started.code, Some(0), "{mask}: {started:?}");
        let files = all_below(&scene.state_root);
        assert!(files.len() >= 4, "{files:?}");
        for file in &files {
            let found = fs::symlink_metadata(file).unwrap();
            if found.is_symlink() {
                continue; // It has no mode of its own (symlink(7)).
            }
            let (mode, owner) = (found.mode() & 0o777, if found.is_dir() { 0o700 } else { 0o600 });
            assert_eq!(mode & owner, owner, "umask {mask}: {file:?} {mode:o} is not the owner's");
            assert_eq!(mode & 0o022, 0, "umask {mask}: {file:?} {mode:o} is for others to write");
        }
        for file in [&pids, &log, &trace] {
            let mode = fs::symlink_metadata(file).map_or(0, |found| found.mode());
            assert_eq!(mode & 0o022, 0, "umask {mask}: {file:?} {mode:o}");
        }
    }
}

#[test]
fn no_other_user_can_start_a_container() {
    let Some(mut scene) = Scene::new() else { return };
    scene.script("exec sleep 1000");
    scene.write_config();
    let made = after("umask 0", &scene.command("create", &[], &[]));
    assert_eq!(made.code, Some(0), "{made:?}");
    let gate = scene.state().join("gate");
    assert!(fs::symlink_metadata(&gate).unwrap().file_type().is_socket());
    // Whoever may pass the directories meets the socket's own mode.
    for directory in [&scene.dir, &scene.state_root, &scene.state()] {
        fs::set_permissions(directory, fs::Permissions::from_mode(0o711)).unwrap();
    }
    let connect = "import os, socket, sys
os.setgroups([]); os.setgid(65534); os.setuid(65534)
try: socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET).connect(sys.argv[1])
except PermissionError: sys.exit(7)";
    let status = Command::new("python3").args(["-c", connect]).arg(&gate).status().unwrap();
    assert_eq!(status.code(), Some(7), "another user has gone through the gate");
}

#[test]
fn a_pid_file_is_not_written_through_a_link_that_lies_in_wait() {
    let Some(mut scene) = Scene::new() else { return };
    scene.script("exec sleep 1000");
    scene.write_config();
    let place = scene.dir.join("shared");
    fs::create_dir(&place).unwrap();
    let target = scene.out("file");
    for name in [".p", ".p.tmp", ".pid", "p.tmp", "p"] {
        symlink(&target, place.join(name)).unwrap();
    }
    let file = place.join("p");
    let made = after(":", &scene.command("create", &["--pid-file", &file.to_string_lossy()], &[]));
    assert_eq!(made.code, Some(0), "{made:?}");
    scene.nothing_outside();
    assert!(fs::symlink_metadata(&file).unwrap().is_file());
    assert_eq!(fs::read_to_string(&file).unwrap(), scene.init().to_string());
    let executed = after(
        ":",
        &scene.command("exec", &["--detach", "--pid-file", &file.to_string_lossy()], &["/bin/sleep", "1000"]),
    );
    // A created container has no program yet, but takes another one.
    assert_eq!(executed.code, Some(0), "{executed:?}");
    scene.nothing_outside();
}

#[test]
fn a_pid_file_that_cannot_be_put_in_its_place_leaves_nothing() {
    let Some(mut scene) = Scene::new() else { return };
    scene.script("exec sleep 1000");
    scene.write_config();
    let place = scene.dir.join("shared");
    fs::create_dir_all(place.join("p")).unwrap();
    let made = after(":", &scene.command("create", &["--pid-file", &place.join("p").to_string_lossy()], &[]));
    assert!(made.code == Some(1) && made.error.contains("--pid-file"), "{made:?}");
    let left: Vec<_> = fs::read_dir(&place).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["p"]);
}

fn fifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

#[test]
fn a_fifo_in_the_place_of_a_document_is_an_error_and_nothing_is_waited_for() {
    let Some(mut scene) = Scene::new() else { return };
    scene.script("exec sleep 1000");
    let config = scene.dir.join("bundle/config.json");
    fifo(&config);
    let mut tries = vec![scene.does("create", &[], &[]), scene.does("run", &[], &[])];
    fs::remove_file(&config).unwrap();
    scene.run_detached();
    let place = scene.dir.join("fifo");
    fifo(&place);
    let name = place.to_string_lossy();
    tries.push(scene.does("exec", &["--process", &name], &[]));
    tries.push(scene.does("update", &["--resources", &name], &[]));
    for tried in tries {
        assert!(!matches!(tried.code, Some(0 | 124)) && tried.error.contains("is a FIFO"), "{tried:?}");
    }
    // A log that nobody reads.
    scene.global = vec!["--log".into(), name.to_string()];
    let logged = scene.does("state", &[], &[]);
    assert!(!matches!(logged.code, Some(0 | 124)), "{logged:?}");
    scene.global.clear();
    // Standard input is the caller's own, whatever it is.
    let mut command = scene.command("exec", &["--process", "/dev/stdin"], &[]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let process = json!({"args": ["/bin/sh", "-c", "echo from a pipe"], "cwd": "/", "env": ["PATH=/bin"]});
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), process.to_string().as_bytes()).unwrap();
    let read = ended(child.wait_with_output().unwrap());
    assert_eq!((read.code, &*read.out), (Some(0), "from a pipe\n"), "{read:?}");
}

#[test]
fn a_write_that_fails_does_not_put_the_config_into_the_message() {
    let Some(mut scene) = Scene::new() else { return };
    scene.config["process"]["env"] = json!(["PASSWORD=correct-horse"]);
    scene.config["annotations"] = json!({"password": "battery-staple"});
    scene.script("true");
    scene.write_config();
    // The message goes to a pipe, which the limit does not hit.
    let command = scene.command("run", &[], &[]);
    let mut shell = Command::new("sh");
    shell.arg("-c").arg("ulimit -f 0; exec \"$@\"").arg("sh").arg(command.get_program()).args(command.get_args());
    let failed = ended(shell.current_dir(scene.dir.join("bundle")).output().unwrap());
    assert_ne!(failed.code, Some(0), "{failed:?}");
    for word in ["correct-horse", "battery-staple", "PASSWORD", "ociVersion"] {
        assert!(!failed.error.contains(word), "{failed:?}");
    }
}
