//! A runtime that is itself under a seccomp filter, as in a container of an older engine: the filter answers to calls that it has
//! never heard of.

use super::{Ended, Scene, ended};
use std::process::Command;

/// Loads a filter that answers to some calls with an error number, and executes a program.
const DENY: &str = r#"
import ctypes, os, struct, sys
numbers, errno = [int(n) for n in sys.argv[1].split(",")], int(sys.argv[2])
load, equal, give = 0x20, 0x15, 0x06
program = [(load, 0, 0, 0)]
program += [(equal, len(numbers) - n, 0, number) for n, number in enumerate(numbers)]
program += [(give, 0, 0, 0x7fff0000), (give, 0, 0, 0x00050000 | errno)]
code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in program))
class Filter(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_void_p)]
filter = Filter(len(program), ctypes.addressof(code))
if ctypes.CDLL(None).prctl(22, 2, ctypes.byref(filter), 0, 0):
    sys.exit("no filter")
os.execv(sys.argv[3], sys.argv[3:])
"#;

/// Every call that is newer than some filter in use, with its number; on x86_64 those before Linux 5.1 have others than elsewhere.
const NEWER: [(&str, u32); 18] = [
    ("getrandom", if cfg!(target_arch = "x86_64") { 318 } else { 278 }),
    ("memfd_create", if cfg!(target_arch = "x86_64") { 319 } else { 279 }),
    ("execveat", if cfg!(target_arch = "x86_64") { 322 } else { 281 }),
    ("statx", if cfg!(target_arch = "x86_64") { 332 } else { 291 }),
    ("keyctl", if cfg!(target_arch = "x86_64") { 250 } else { 219 }),
    ("rseq", if cfg!(target_arch = "x86_64") { 334 } else { 293 }),
    ("pidfd_send_signal", 424),
    ("open_tree", 428),
    ("move_mount", 429),
    ("fsopen", 430),
    ("fsconfig", 431),
    ("fsmount", 432),
    ("pidfd_open", 434),
    ("clone3", 435),
    ("close_range", 436),
    ("openat2", 437),
    ("faccessat2", 439),
    ("mount_setattr", 442),
];

const EPERM: i32 = 1;
const ENOSYS: i32 = 38;

fn under_filter(scene: &Scene, number: u32, errno: i32, arguments: &[&str]) -> Ended {
    let mut command = Command::new("/usr/bin/python3");
    command.args(["-c", DENY, &number.to_string(), &errno.to_string()]).arg(scene.runtime());
    command.arg("--root").arg(scene.dir.join("state")).args(arguments);
    ended(command.current_dir(scene.dir.join("bundle")).stdin(std::process::Stdio::null()).output().unwrap())
}

/// It works, or the message names the call and says that a filter refuses it.
fn works_or_says(ended: &Ended, name: &str, expected: &str) -> bool {
    if ended.code == Some(0) && ended.out == expected {
        return true;
    }
    assert_ne!(ended.code, Some(0), "{name}: {ended:?}");
    assert!(ended.error.contains(name), "{name}: {ended:?}");
    assert!(ended.error.contains("a seccomp filter around this process refuses"), "{name}: {ended:?}");
    false
}

/// The names of calls without which `work` does not succeed.
fn needed(errno: i32, mut work: impl FnMut(u32, &str) -> bool) -> Vec<&'static str> {
    let calls = NEWER.into_iter().filter(|(name, number)| !work(*number, name));
    let mut names: Vec<&str> = calls.map(|(name, _)| name).collect();
    names.sort();
    eprintln!("{errno}: {names:?}");
    names
}

#[test]
fn under_a_filter_a_container_runs_or_the_call_and_the_filter_are_named() {
    let Some(mut scene) = Scene::new() else { return };
    scene.script("echo inside");
    // What is masked and read-only has changed mounts, which mount_setattr does elsewhere.
    scene.config["root"]["readonly"] = serde_json::json!(true);
    scene.write_config();
    let id = scene.id.clone();
    let needs = |errno| {
        needed(errno, |number, name| {
            let ended = under_filter(&scene, number, errno, &["run", &id]);
            scene.delete();
            works_or_says(&ended, name, "inside\n")
        })
    };
    let mount_api = ["fsconfig", "fsmount", "fsopen"];
    let others = ["clone3", "execveat", "getrandom", "keyctl", "memfd_create", "move_mount", "open_tree", "openat2"];
    let mut expected = [&mount_api[..], &others[..]].concat();
    expected.sort();
    assert_eq!(needs(EPERM), expected);
    // Without keys in the kernel there is no session to be left.
    expected.retain(|name| *name != "keyctl");
    assert_eq!(needs(ENOSYS), expected);
}

#[test]
fn under_a_filter_exec_and_kill_work_or_the_call_and_the_filter_are_named() {
    let Some(mut scene) = Scene::new() else { return };
    scene.script("sleep 100");
    scene.run_detached();
    let id = scene.id.clone();
    for errno in [EPERM, ENOSYS] {
        let exec = needed(errno, |number, name| {
            let program = ["exec", &id, "/bin/sh", "-c", "echo inside"];
            works_or_says(&under_filter(&scene, number, errno, &program), name, "inside\n")
        });
        let mut expected = vec!["clone3", "execveat", "getrandom", "keyctl", "memfd_create", "pidfd_open"];
        expected.retain(|name| *name != "keyctl" || errno == EPERM);
        assert_eq!(exec, expected);
        let kill = needed(errno, |number, name| {
            works_or_says(&under_filter(&scene, number, errno, &["kill", &id, "0"]), name, "")
        });
        assert_eq!(kill, ["pidfd_open", "pidfd_send_signal"]);
        for command in ["state", "list", "events"] {
            let arguments = match command {
                "list" => vec!["list", "-q"],
                "events" => vec!["events", "--stats", &id],
                _ => vec![command, &*id],
            };
            let needs = needed(errno, |number, _| under_filter(&scene, number, errno, &arguments).code == Some(0));
            assert!(needs.is_empty(), "{command}: {needs:?}");
        }
    }
}
