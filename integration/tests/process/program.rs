//! What `process` of a config says, or does not say, seen from outside.

use super::{Scene, ended};
use serde_json::json;
use std::fs;
use std::os::unix::fs::PermissionsExt;

#[test]
fn run_without_a_process_is_refused_by_the_name_of_the_field() {
    let Some(mut scene) = Scene::new() else { return };
    scene.config.as_object_mut().unwrap().remove("process");
    for flags in [&[][..], &["--detach"]] {
        scene.write_config();
        let refused = scene.try_detached("run", flags);
        assert_eq!(refused.code, Some(1), "{refused:?}");
        assert!(refused.error.contains("process: missing, so there is no program to run"), "{refused:?}");
    }
    let state = ended(scene.command("state", &[], &[]).output().unwrap());
    assert!(state.error.contains("does not exist"), "{state:?}");
    // What is created can be looked at.
    scene.create();
    let refused = scene.start();
    assert!(refused.code == Some(1) && refused.error.contains("process: missing"), "{refused:?}");
}

#[test]
fn groups_that_are_there_twice_are_the_programs_once() {
    let Some(mut scene) = Scene::new() else { return };
    scene.config["process"]["user"] = json!({"uid": 1, "gid": 2, "additionalGids": [5, 7, 5, 2, 7]});
    let init = scene.run_detached();
    let status = fs::read_to_string(format!("/proc/{init}/status")).unwrap();
    assert!(status.contains("Groups:\t2 5 7 \n"), "{status}");
    let seen = scene
        .exec(&["--additional-gids", "5", "--additional-gids", "9"], &["/bin/grep", "Groups", "/proc/self/status"]);
    assert_eq!(seen.ok(), "Groups:\t2 5 7 9 \n");
}

#[test]
fn a_nice_value_is_taken_for_every_policy_and_ignored_where_the_kernel_ignores_it() {
    for (policy, expected) in [("SCHED_OTHER", "7 0"), ("SCHED_BATCH", "7 3"), ("SCHED_IDLE", "0 5")] {
        let Some(mut scene) = Scene::new() else { return };
        scene.config["process"]["scheduler"] = json!({"policy": policy, "nice": 7});
        let init = scene.run_detached();
        let stat = fs::read_to_string(format!("/proc/{init}/stat")).unwrap();
        let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        assert_eq!(format!("{} {}", fields[19 - 3], fields[41 - 3]), expected, "{policy}");
    }
}

/// A program named `ps` in a directory of its own, which alone is the caller's `$PATH`.
fn with_ps(scene: &mut Scene, script: Option<&str>) {
    let directory = scene.dir.join("path");
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir(&directory).unwrap();
    if let Some(script) = script {
        fs::write(directory.join("ps"), script).unwrap();
        fs::set_permissions(directory.join("ps"), fs::Permissions::from_mode(0o755)).unwrap();
    }
    scene.caller = format!("export PATH={}", directory.display());
}

#[test]
fn ps_tells_why_the_hosts_ps_printed_no_table() {
    let Some(mut scene) = Scene::new() else { return };
    scene.run_detached();
    let refused = |scene: &Scene, more: &[&str]| {
        let ended = ended(scene.command("ps", &[], more).output().unwrap());
        assert_eq!((ended.code, &*ended.out), (Some(1), ""), "{ended:?}");
        ended.error
    };
    let told = refused(&scene, &["--", "--no-such-option"]);
    assert!(told.contains("--no-such-option: exit status "), "{told}");
    for (script, expected) in [
        (None, "ps -ef: not found in $PATH"),
        (Some("no program"), "ps -ef: exit status 127: execve("),
        (Some("#!/bin/sh\nkill -KILL $$\n"), "ps -ef: killed by signal 9: it printed nothing"),
        (Some("#!/bin/sh\necho first >&2; echo second >&2; exit 3\n"), "ps -ef: exit status 3: first"),
        (Some("#!/bin/sh\necho out; exit 3\n"), "ps -ef: exit status 3: out"),
        (Some("#!/bin/sh\necho a b\n"), "couldn't find PID field in ps output"),
    ] {
        with_ps(&mut scene, script);
        let told = refused(&scene, &[]);
        assert!(told.contains(expected), "{script:?}: {told}");
    }
}

#[test]
fn the_hosts_ps_may_write_much_and_inherits_nothing_but_the_environment() {
    let Some(mut scene) = Scene::new() else { return };
    let init = scene.run_detached();
    // More than a pipe holds, on either stream.
    let lines = "head -c 300000 /dev/zero | tr '\\0' '\\n'";
    let script = format!(
        "#!/bin/sh\nPATH=/usr/bin:/bin\necho PID CMD\n{lines}\n{lines} >&2\necho {init} $MARK $(ls /proc/self/fd) $(readlink /proc/self/fd/0)\n"
    );
    with_ps(&mut scene, Some(&script));
    scene.caller += "; export MARK=mark; exec 9</dev/null";
    let table = ended(scene.command("ps", &[], &[]).output().unwrap()).ok();
    // The last of ls's descriptors is its directory's.
    assert_eq!(table, format!("PID CMD\n{init} mark 0 1 2 3 /dev/null\n"));
}
