//! What callers ask of `run` and `exec` by flags, descriptors and environment.
//!
//! `RUNTIME` names another program than `out/orlop`. Without root, or without a runtime, a test says so and does nothing.

#![allow(clippy::unwrap_used, clippy::panic)] // The whole program is a test.

use integration::bundle::Scene;
use serde_json::json;
use std::fs;
use std::process::{Command, Output, Stdio};

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs the scene's container in the background, where it sleeps.
fn run_detached(scene: &mut Scene) {
    scene.config["process"]["args"] = json!(["/bin/sleep", "100"]);
    let status = scene.command(&["run", "--detach"], &[]).stdout(Stdio::null()).status();
    assert!(status.unwrap().success());
}

/// The runtime's command as a shell's, with what the shell is to do before.
fn in_a_shell(scene: &Scene, before: &str, words: &[&str], more: &[&str]) -> Output {
    let command = scene.command(words, more);
    let words: Vec<String> = [command.get_program()]
        .into_iter()
        .chain(command.get_args())
        .map(|word| format!("'{}'", word.to_str().unwrap()))
        .collect();
    let script = format!("{before} exec {}", words.join(" "));
    Command::new("sh").args(["-c", &script]).current_dir(&scene.dir).stdin(Stdio::null()).output().unwrap()
}

const LIST: &str =
    "for n in 3 4 5 6 7 8 9; do test -e /proc/self/fd/$n && echo $n $(readlink /proc/self/fd/$n); done; true";

#[test]
fn of_the_descriptors_to_preserve_those_that_are_open_are_passed_on_and_nothing_else() {
    for by in ["run", "exec"] {
        for (before, count, expected) in [
            ("exec 5</etc/passwd;", "3", "5 /etc/passwd\n"),
            ("exec 4</etc/passwd 6</etc/group;", "5", "4 /etc/passwd\n6 /etc/group\n"),
            ("exec 5</etc/passwd 6</etc/group;", "3", "5 /etc/passwd\n"),
            ("", "7", ""),
        ] {
            let Some(mut scene) = Scene::new() else { return };
            std::os::unix::fs::symlink("busybox", scene.dir.join("rootfs/bin/readlink")).unwrap();
            let before = format!("exec 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-; {before}");
            let output = if by == "run" {
                scene.config["process"]["args"] = json!(["/bin/sh", "-c", LIST]);
                in_a_shell(&scene, &before, &["--log", "log", "run", "--preserve-fds", count], &[])
            } else {
                run_detached(&mut scene);
                in_a_shell(&scene, &before, &["exec", "--preserve-fds", count], &["/bin/sh", "-c", LIST])
            };
            assert!(output.status.success(), "{by}, {before}: {}", text(&output.stderr));
            assert_eq!(text(&output.stdout), expected, "{by}, {before}");
        }
    }
}

#[test]
fn an_activation_socket_that_is_not_there_is_an_error() {
    let Some(scene) = Scene::new() else { return };
    let before = "exec 3>&- 4>&-; exec 4</etc/passwd; export LISTEN_FDS=2 LISTEN_PID=$$;";
    let output = in_a_shell(&scene, before, &["run"], &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("LISTEN_FDS=2: descriptor 3 is not open"), "{}", text(&output.stderr));
}

#[test]
fn a_service_manager_that_is_not_there_is_a_warning() {
    for address in ["/no/such/socket", "/etc/passwd", "@no such socket", "neither"] {
        for words in [&["run"][..], &["run", "--detach"]] {
            let Some(scene) = Scene::new() else { return };
            let mut command = scene.command(words, &[]);
            let log = fs::File::create(scene.dir.join("error")).unwrap();
            let status = command.env("NOTIFY_SOCKET", address).stdout(Stdio::null()).stderr(log).status().unwrap();
            let said = fs::read_to_string(scene.dir.join("error")).unwrap();
            assert!(status.success(), "{address}: {said}");
            assert!(said.contains("level=warning") && said.contains("NOTIFY_SOCKET"), "{address}: {said}");
        }
        let Some(scene) = Scene::new() else { return };
        for name in ["create", "start"] {
            let mut command = scene.command(&[name], &[]);
            let status = command.env("NOTIFY_SOCKET", address).stdout(Stdio::null()).status().unwrap();
            assert!(status.success(), "{address}: {name}");
        }
    }
}

#[test]
fn a_capability_of_exec_is_ambient_where_the_container_has_it_inheritable() {
    let Some(mut scene) = Scene::new() else { return };
    let own = json!(["CAP_KILL"]);
    scene.config["process"]["capabilities"] = json!({
        "bounding": ["CAP_KILL", "CAP_NET_RAW"], "effective": own, "permitted": own,
        "inheritable": ["CAP_KILL", "CAP_NET_RAW"], "ambient": []
    });
    run_detached(&mut scene);
    for (capability, user, ambient) in [
        ("CAP_NET_RAW", "0", "0000000000002000"),
        ("CAP_NET_RAW", "1000", "0000000000002000"),
        ("CAP_NET_ADMIN", "0", "0000000000000000"),
        ("CAP_NET_ADMIN", "1000", "0000000000000000"),
    ] {
        let words = ["exec", "--cap", capability, "--user", user];
        let output = scene.command(&words, &["/bin/cat", "/proc/self/status"]).output().unwrap();
        let status = text(&output.stdout);
        assert!(status.contains(&format!("CapAmb:\t{ambient}\n")), "{capability} of {user}: {status}");
        assert!(status.contains("CapInh:\t0000000000002020\n"), "{capability} of {user}: {status}");
    }
}

#[test]
fn exec_keeps_the_callers_groups_where_the_container_keeps_them() {
    for (value, expected) in [("1", "Groups:\t7 4242"), ("0", "Groups:\t")] {
        let Some(mut scene) = Scene::new() else { return };
        scene.config["annotations"] = json!({"run.oci.keep_original_groups": value});
        run_detached(&mut scene);
        let command = scene.command(&["exec"], &["/bin/cat", "/proc/self/status"]);
        let output = Command::new("setpriv")
            .args(["--groups", "7,4242"])
            .arg(command.get_program())
            .args(command.get_args())
            .output()
            .unwrap();
        let status = text(&output.stdout);
        let groups = status.lines().find(|line| line.starts_with("Groups:")).unwrap();
        assert_eq!(groups.trim(), expected.trim(), "{value}");
    }
}

#[test]
fn every_step_is_logged_as_debug_whichever_process_takes_it() {
    let Some(mut scene) = Scene::new() else { return };
    let mut command = scene.command(&["--debug", "--log", "log", "--log-format", "json", "run"], &[]);
    assert!(command.stdout(Stdio::null()).status().unwrap().success());
    let log = fs::read_to_string(scene.dir.join("log")).unwrap();
    assert!(log.contains("build the root filesystem"), "{log}");
    assert!(log.lines().all(|line| line.starts_with("{\"level\":\"debug\"")), "{log}");

    // Those up to a failure too, which is an error; and a warning stays one.
    let capabilities = json!(["CAP_NO_SUCH"]);
    scene.config["process"]["capabilities"] = json!({"bounding": capabilities});
    scene.config["mounts"].as_array_mut().unwrap().push(json!(
        {"destination": "/x", "type": "tmpfs", "source": "tmpfs", "options": ["no_such_option"]}
    ));
    fs::remove_file(scene.dir.join("log")).unwrap();
    let mut command = scene.command(&["--debug", "--log", "log", "--log-format", "json", "run"], &[]);
    assert!(!command.stdout(Stdio::null()).status().unwrap().success());
    let log = fs::read_to_string(scene.dir.join("log")).unwrap();
    let levels: Vec<&str> = log.lines().map(|line| line.split('"').nth(3).unwrap()).collect();
    assert_eq!(levels.last(), Some(&"error"), "{log}");
    assert_eq!(levels.iter().filter(|level| **level == "warning").count(), 1, "{log}");
    assert!(levels[..levels.len() - 1].iter().all(|level| matches!(*level, "debug" | "warning")), "{log}");
    assert!(log.contains("enter namespaces"), "{log}");
}

#[test]
fn warnings_of_a_foreground_command_come_when_its_program_runs() {
    for by in ["run", "exec"] {
        let Some(mut scene) = Scene::new() else { return };
        let script = "trap 'touch /tmp/got' USR1; touch /tmp/ready; while ! test -e /tmp/go; do true; done";
        let mut command = if by == "run" {
            scene.config["process"]["args"] = json!(["/bin/sh", "-c", script]);
            scene.config["process"]["capabilities"] = json!({"bounding": ["CAP_NO_SUCH"]});
            scene.command(&["--log", "log", "run"], &[])
        } else {
            run_detached(&mut scene);
            scene.command(&["--log", "log", "exec", "--cap", "CAP_NO_SUCH"], &["/bin/sh", "-c", script])
        };
        let mut running = command.stdout(Stdio::null()).spawn().unwrap();
        let log = scene.dir.join("log");
        let warned = || fs::read_to_string(&log).is_ok_and(|text| text.contains("CAP_NO_SUCH"));
        scene.wait_for("ready");
        // Once it passes a signal on, the command does nothing but serve the program.
        let pid = nix::unistd::Pid::from_raw(running.id() as i32);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGUSR1).unwrap();
        scene.wait_for("got");
        let in_time = warned();
        fs::write(scene.tmp("go"), "").unwrap();
        assert!(running.wait().unwrap().success());
        assert!(in_time, "{by}: no warning while the program ran");
        assert_eq!(fs::read_to_string(&log).unwrap().matches("CAP_NO_SUCH").count(), 1, "{by}: it is said once");
    }
}
