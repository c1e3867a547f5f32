//! Seccomp filters on the calls that start a program, and agents.

use integration::bundle::{Scene, eventually};
use integration::scene::here;
use serde_json::{Value, json};
use std::fs;
use std::process::{Command, Stdio};

fn filter(names: &[&str], action: &str) -> Value {
    json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": names, "action": format!("SCMP_ACT_{action}")}]})
}

/// Exit codes that no implementation can choose. The other combinations end in some way, and say why.
const CODES: [(&str, &str, &str, i32); 5] = [
    ("sendmsg", "ERRNO", "echo", 0),
    ("sendmsg", "ERRNO", "nosuch", 1),
    ("write", "KILL_PROCESS", "echo", 159),
    ("execve", "KILL_PROCESS", "echo", 1),
    ("execve", "ERRNO", "nosuch", 1),
];

#[test]
fn a_filter_on_the_calls_that_start_a_program_hides_no_reason() {
    let Some(mut scene) = Scene::of_spec() else { return };
    for call in ["sendmsg", "write", "close", "exit_group", "execve"] {
        for action in ["ERRNO", "KILL_PROCESS", "KILL_THREAD", "TRAP"] {
            for program in ["echo", "nosuch"] {
                scene.args(&[program, "hello"]);
                scene.config["linux"]["seccomp"] = filter(&[call], action);
                let ended = scene.call(&["run"], &[]);
                let case = format!("{call} {action} {program}: {ended:?}");
                assert_ne!(ended.code, Some(124), "{case}");
                assert!(program == "echo" || ended.error.contains("executable file not found"), "{case}");
                let code = CODES.iter().find(|code| (code.0, code.1, code.2) == (call, action, program));
                assert!(code.is_none_or(|code| ended.code == Some(code.3)), "{case}");
            }
        }
    }
    scene.nothing_left();
}

/// Runs the container beside an agent that lets every call go on: the agent's output and the container's.
fn with_agent(scene: &mut Scene, mut profile: Value, words: &[&str]) -> (String, String) {
    let (socket, log) = (scene.dir.join("agent"), scene.dir.join("agent.log"));
    profile["listenerPath"] = socket.to_str().unwrap().into();
    scene.config["linux"]["seccomp"] = profile;
    let mut agent = Command::new(here().join("engines/agent"));
    agent.arg(&socket).stdin(Stdio::null()).stdout(fs::File::create(&log).unwrap());
    let mut agent = agent.spawn().unwrap();
    eventually("a socket", || socket.exists());
    let shown = scene.call(words, &[]).ok();
    assert!(agent.wait().unwrap().success());
    fs::remove_file(socket).unwrap();
    (fs::read_to_string(log).unwrap(), shown)
}

#[test]
fn an_agent_may_be_notified_of_every_call_and_lets_it_go_on() {
    let Some(mut scene) = Scene::of_spec() else { return };
    scene.script("echo hello");
    for profile in [json!({"defaultAction": "SCMP_ACT_NOTIFY"}), filter(&["write", "sendmsg", "execve"], "NOTIFY")] {
        let mut profile = profile.clone();
        profile["listenerMetadata"] = "MKNOD=/dev/null".into();
        let (agent, shown) = with_agent(&mut scene, profile, &["run"]);
        assert_eq!(agent, format!("['seccompFd'] MKNOD=/dev/null {} 1 descriptor\n", scene.id));
        assert_eq!(shown, "hello\n");
    }
}

#[test]
fn the_listener_is_of_the_child_of_the_reaping_init() {
    let Some(mut scene) = Scene::of_spec() else { return };
    scene.script("mkdir /dev/shm/x && echo made");
    let (agent, shown) = with_agent(&mut scene, filter(&["mkdir", "execve"], "NOTIFY"), &["run", "--init"]);
    assert_eq!(agent, format!("['seccompFd'] None {} 1 descriptor\n", scene.id));
    assert_eq!(shown, "made\n");
}
