//! What `process` of a config says, or does not say, seen from outside.

use super::{Scene, ended};
use serde_json::json;
use std::fs;

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
