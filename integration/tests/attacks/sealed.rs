//! The runtime's program (CVE-2019-5736), as a container with CAP_SYS_PTRACE looks for it among the processes of others that
//! come into its pid namespace.

use super::tracer::{self, Victim};
use super::{Scene, ended, older_kernel};
use serde_json::{Value, json};
use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

pub(super) fn grant(scene: &mut Scene, names: &[&str]) {
    for set in ["bounding", "effective", "permitted"] {
        scene.config["process"]["capabilities"][set] = json!(names);
    }
}

/// A scene whose container runs until the end of the test.
fn running(capabilities: &[&str], script: &str) -> Option<Scene> {
    let mut scene = Scene::new()?;
    fs::write(scene.root("runtime"), "").unwrap();
    let runtime = scene.runtime().display().to_string();
    scene.mount(json!({"destination": "/runtime", "type": "bind", "source": runtime, "options": ["bind", "ro"]}));
    grant(&mut scene, capabilities);
    scene.script(script);
    scene.run_detached();
    Some(scene)
}

fn state(scene: &Scene) -> Value {
    serde_json::from_str(&ended(scene.command("state", &[], &[]).output().unwrap()).out).unwrap()
}

fn create(scene: &Scene, flags: &[&str]) {
    scene.write_config();
    let mut command = scene.command("create", flags, &[]);
    assert!(command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success());
}

/// Another container that joins the pid namespace of a running one.
fn neighbour(scene: &Scene) -> Scene {
    let mut other = Scene::new().unwrap();
    let path = format!("/proc/{}/ns/pid", state(scene)["pid"]);
    for namespace in other.config["linux"]["namespaces"].as_array_mut().unwrap() {
        if namespace["type"] == "pid" {
            *namespace = json!({"type": "pid", "path": path});
        }
    }
    other.script("true");
    other
}

fn same_file(one: &Path, other: &Path) -> bool {
    let (one, other) = (fs::metadata(one).unwrap(), fs::metadata(other).unwrap());
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

#[test]
fn nobody_in_a_joined_pid_namespace_ever_has_the_runtimes_program() {
    // Only builtins in the loop, so that it looks thousands of times in a second.
    let look = "[ $p/exe -ef /bin/busybox ] || { [ $p/exe -ef /runtime ] && echo $p >> /tmp/found; }
        [ $p/exe -ef /bin/busybox ] || [ ! -e $p/exe ] || : > /tmp/seen";
    let script = format!("while :; do for p in /proc/[0-9]*; do {look}; done; done");
    let Some(scene) = running(&["CAP_SYS_PTRACE", "CAP_DAC_OVERRIDE", "CAP_SYS_ADMIN"], &script) else { return };
    let before = fs::read(scene.runtime()).unwrap();
    let other = neighbour(&scene);
    for round in 0..rounds() {
        match round % 2 {
            0 => create(&other, &[]),
            _ => {
                other.write_config();
                assert_eq!(older_kernel::run(&other.command("create", &[], &[])), Some(0));
            }
        }
        assert!(ended(other.command("start", &[], &[]).output().unwrap()).code == Some(0));
        other.delete();
        let _ = scene.exec(&[], &["/bin/true"]);
    }
    create(&other, &["--init"]);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while !scene.root("tmp/seen").exists() && std::time::Instant::now() < deadline {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert!(scene.root("tmp/seen").exists(), "the attacker never saw a process at the gate");
    let found = fs::read_to_string(scene.root("tmp/found")).unwrap_or_default();
    assert_eq!(found, "", "these had the runtime's program");
    assert!(before == fs::read(scene.runtime()).unwrap(), "the runtime's program has changed");
}

/// How often the attacks on what comes into a pid namespace are tried.
fn rounds() -> u32 {
    std::env::var("ATTACK_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(20)
}

/// A container that traces whatever comes into its pid namespace.
fn tracing(change: impl Fn(&mut Scene)) -> Option<Scene> {
    let mut scene = Scene::new()?;
    tracer::plant(&mut scene);
    change(&mut scene);
    scene.run_detached();
    let patience = Instant::now() + Duration::from_secs(30);
    while !scene.root("tmp/ready").exists() {
        assert!(Instant::now() < patience, "the tracer does not begin");
        std::thread::sleep(Duration::from_millis(10));
    }
    Some(scene)
}

/// What a tracer may find: the sealed program, no directory of the host, no descriptor of one, at most these capabilities.
fn assert_worthless(scene: &Scene, granted: u64) -> Vec<Victim> {
    let victims = tracer::victims(scene);
    let image = |victim: &Victim| victim.exe.contains("orlop-init");
    for victim in &victims {
        assert!(image(victim), "another program than the sealed one: {victim:?}");
        assert!(!victim.root.iter().any(|name| name == "root"), "{victim:?}");
        let harmless =
            ["socket:", "anon_inode:[pidfd]", "anon_inode:[fscontext]", "pipe:", "/dev/null", "/memfd:orlop-report"];
        for descriptor in &victim.descriptors {
            assert!(harmless.iter().any(|name| descriptor.starts_with(name)), "{descriptor}: {victim:?}");
        }
        if victim.same_user_namespace {
            assert_eq!(victim.capabilities & !granted, 0, "{victim:?}");
            continue;
        }
        // The helper's child: nothing of the runtime's, and a filter for what it does. Root of a joined user namespace is the
        // tracer itself.
        let user = victim.user != 0 || scene.config["linux"]["uidMappings"].is_array();
        assert!(user && victim.root.is_empty() && victim.seccomp == 2, "{victim:?}");
        assert!(!victim.descriptors.iter().any(|name| name.starts_with('/')), "{victim:?}");
    }
    let helpers = victims.iter().filter(|victim| !victim.same_user_namespace).count();
    eprintln!("the tracer has caught {} processes, {helpers} of them in another user namespace", victims.len());
    victims
}

/// Launches containers into the pid namespace of a tracer: what it has caught.
fn trace_launches(scene: &Scene, mut other: Scene) -> Vec<Victim> {
    other.script("true");
    other.write_config();
    for round in 0..rounds() {
        assert_eq!(older_kernel::run(&other.command("run", &[], &[])), Some(0), "round {round}");
        other.delete();
    }
    let kill_and_more = 1 << 5 | 1 << 29 | 1 << 10;
    let victims = assert_worthless(scene, kill_and_more);
    assert!(!victims.is_empty(), "the tracer has caught nothing");
    victims
}

#[test]
fn what_a_tracer_catches_in_a_joined_pid_namespace_has_no_rights_over_the_host() {
    let Some(scene) = tracing(|_| {}) else { return };
    let mut other = neighbour(&scene);
    other.without_network();
    trace_launches(&scene, other);
}

#[test]
fn what_a_tracer_catches_in_joined_pid_and_user_namespaces_has_no_rights_over_the_host() {
    let mapped = |scene: &mut Scene| {
        map_ids(scene);
        fs::set_permissions(scene.root("tmp"), fs::Permissions::from_mode(0o777)).unwrap();
    };
    let Some(scene) = tracing(mapped) else { return };
    let mut other = neighbour(&scene);
    let path = format!("/proc/{}/ns/user", state(&scene)["pid"]);
    other.config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({"type": "user", "path": path}));
    trace_launches(&scene, other);
}

/// Before Linux 5.12 a path is made read-only through a procfs, and the one of the container shows a namespace where the process
/// that protects it has no number.
#[test]
fn paths_are_protected_in_joined_user_and_pid_namespaces_without_mount_setattr() {
    let Some(mut scene) = Scene::new() else { return };
    map_ids(&mut scene);
    scene.script("sleep 1000");
    scene.run_detached();
    let mut other = neighbour(&scene);
    let path = format!("/proc/{}/ns/user", state(&scene)["pid"]);
    other.config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({"type": "user", "path": path}));
    other.script("echo x > /proc/sys/kernel/domainname; grep -c ' /proc/sys ro,' /proc/self/mountinfo");
    other.write_config();
    let run = other.command("run", &[], &[]);
    let mut strace = Command::new("strace");
    strace.args(["-f", "-o", "/dev/null", "-e", "trace=mount_setattr", "-e", "inject=mount_setattr:error=ENOSYS"]);
    strace.arg(run.get_program()).args(run.get_args()).current_dir(other.dir.join("bundle"));
    let ended = ended(strace.stdin(Stdio::null()).output().unwrap());
    assert!(ended.out == "1\n" && ended.error.contains("Read-only file system"), "{ended:?}");
}

/// Gives a container a filter, and lets its programs gain privileges.
fn filter(scene: &mut Scene, refused: &str) {
    scene.config["process"]["noNewPrivileges"] = json!(false);
    let rule = json!({"names": [refused], "action": "SCMP_ACT_ERRNO", "errnoRet": 38});
    let all = ["SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"];
    scene.config["linux"]["seccomp"] =
        json!({"defaultAction": "SCMP_ACT_ALLOW", "architectures": all, "syscalls": [rule]});
}

/// Every process that was caught has the filter, and no capability that its program does not get.
fn assert_filtered(scene: &Scene) {
    let kill_and_more = 1 << 5 | 1 << 29 | 1 << 10;
    let trace = 1 << 19 | 1 << 1;
    let victims = assert_worthless(scene, kill_and_more | trace);
    assert!(!victims.is_empty(), "the tracer has caught nothing");
    assert!(victims.iter().all(|victim| victim.seccomp == 2), "without the filter: {victims:?}");
}

#[test]
fn what_a_tracer_catches_of_an_exec_is_filtered_and_has_no_more_than_the_program() {
    // Without clone3, as engines' default profiles are.
    for refused in ["sethostname", "clone3"] {
        let Some(scene) = tracing(|scene| filter(scene, refused)) else { return };
        for _ in 0..rounds() {
            let ended = scene.exec(&[], &["/bin/true"]);
            assert_eq!(ended.code, Some(0), "{ended:?}");
        }
        assert_filtered(&scene);
    }
}

#[test]
fn what_a_tracer_catches_at_the_gate_is_filtered_and_has_no_more_than_the_program() {
    let Some(scene) = tracing(|_| {}) else { return };
    let mut other = neighbour(&scene);
    other.without_network();
    filter(&mut other, "sethostname");
    for _ in 0..rounds() {
        create(&other, &[]);
        let start = ended(other.command("start", &[], &[]).output().unwrap());
        assert_eq!(start.code, Some(0), "{start:?}");
        other.delete();
    }
    assert_filtered(&scene);
}

#[test]
fn what_a_tracer_has_its_victim_send_to_the_runtime_is_not_believed() {
    let Some(scene) = tracing(|scene| {
        filter(scene, "sethostname");
        scene.config["process"]["env"].as_array_mut().unwrap().push(json!("FLOOD=1"));
    }) else {
        return;
    };
    let patience = Instant::now() + Duration::from_secs(60);
    while !scene.root("tmp/sent").exists() {
        assert!(Instant::now() < patience, "nothing was sent");
        let mut exec = Command::new("sh");
        // 64 MiB of memory: what is sent would be many times that.
        exec.args(["-c", "ulimit -v 65536; exec \"$@\"", "sh"]);
        let many = "W".repeat(70_000);
        let texts = ["/bin/true", many.as_str(), "Eforged text", "Iforged text", "Bforged text"];
        let command = scene.command("exec", &[], &texts);
        exec.arg(command.get_program()).args(command.get_args());
        let ended = ended(exec.current_dir(&scene.dir).stdin(Stdio::null()).output().unwrap());
        assert!(!ended.error.contains("forged") && ended.error.len() < 2000, "{ended:?}");
        assert!(matches!(ended.code, Some(0 | 1 | 255)), "{ended:?}");
    }
}

#[test]
fn an_exec_that_a_tracer_stops_for_good_comes_to_an_end() {
    let Some(scene) = tracing(|scene| {
        filter(scene, "sethostname");
        scene.config["process"]["env"].as_array_mut().unwrap().push(json!("HOLDER=1"));
    }) else {
        return;
    };
    let patience = Instant::now() + Duration::from_secs(60);
    while !scene.root("tmp/held").exists() {
        assert!(Instant::now() < patience, "nothing was held");
        let mut exec = scene.command("exec", &["--detach"], &["/bin/true"]);
        let error = fs::File::create(scene.dir.join("error-of-exec")).unwrap();
        let code = exec.stdout(Stdio::null()).stderr(error).status().unwrap().code();
        // 124 is the watchdog's.
        assert!(matches!(code, Some(0 | 1 | 255)), "{code:?}");
    }
    let said = fs::read_to_string(scene.dir.join("error-of-exec")).unwrap();
    assert!(said.is_empty() || said.contains("was stopped before it executed its program"), "{said}");
}

/// A container with a user namespace of its own.
pub(super) fn map_ids(scene: &mut Scene) {
    let map = json!([{"containerID": 0, "hostID": 1_000_000, "size": 65536}]);
    scene.config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({"type": "user"}));
    scene.config["linux"]["uidMappings"] = map.clone();
    scene.config["linux"]["gidMappings"] = map;
}

/// The calls that the runtime and its children make of those that matter for who may look into them, with the pids before them.
pub(super) fn calls(scene: &Scene, command: &Command) -> Vec<String> {
    let trace = scene.dir.join("trace");
    let mut strace = Command::new("strace");
    strace.args(["-f", "-e", "trace=prctl,setns,setresuid,execve,execveat", "-o"]).arg(&trace);
    strace.arg(command.get_program()).args(command.get_args()).current_dir(scene.dir.join("bundle"));
    let ended = ended(strace.stdin(Stdio::null()).output().unwrap());
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let lines = fs::read_to_string(trace).unwrap();
    lines.lines().filter(|line| !line.contains("CAPBSET")).map(str::to_owned).collect()
}

/// Where a process joins a user namespace it is hidden before, and after each change of its user before it does anything else.
pub(super) fn assert_hidden(calls: &[String]) {
    let joins = |line: &&String| line.contains("setns(") && line.contains("CLONE_NEWUSER");
    let pid = calls.iter().find(joins).expect("no user namespace was joined").split(' ').next().unwrap();
    let own: Vec<&String> = calls.iter().filter(|line| line.split(' ').next() == Some(pid)).collect();
    let mut hidden = false;
    let mut inside = false;
    for line in own {
        if line.contains("PR_SET_DUMPABLE") {
            hidden = line.contains("SUID_DUMP_DISABLE") || line.contains("PR_SET_DUMPABLE, 0");
            assert!(hidden || !inside, "{calls:#?}");
        } else if line.contains("setresuid(") {
            hidden = false;
        } else {
            inside |= line.contains("CLONE_NEWUSER");
            assert!(hidden || !inside, "not hidden at {line}: {calls:#?}");
        }
        if inside && (line.contains("execve") || line.contains("exited with 0")) {
            return;
        }
    }
    panic!("it came to no end: {calls:#?}");
}

#[test]
fn a_process_that_joins_a_user_namespace_is_never_dumpable_there() {
    let Some(mut scene) = Scene::new() else { return };
    map_ids(&mut scene);
    scene.script("sleep 1000");
    scene.run_detached();
    assert_hidden(&calls(&scene, &scene.command("exec", &[], &["/bin/true"])));
    let mut other = Scene::new().unwrap();
    let path = format!("/proc/{}/ns/user", state(&scene)["pid"]);
    other.config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({"type": "user", "path": path}));
    other.write_config();
    assert_hidden(&calls(&other, &other.command("run", &[], &[])));
}

#[test]
fn a_process_at_the_gate_cannot_be_looked_into_by_its_neighbours() {
    let Some(scene) = running(&["CAP_KILL", "CAP_DAC_OVERRIDE"], "sleep 1000") else { return };
    let other = neighbour(&scene);
    create(&other, &[]);
    let script = "for p in /proc/[0-9]*; do grep -q orlop $p/comm && { readlink $p/exe; readlink $p/fd/*; cat $p/environ; }; done";
    let ended = scene.exec(&[], &["/bin/sh", "-c", script]);
    assert_eq!(ended.out, "", "{ended:?}");
    assert!(ended.error.contains("ermission denied"), "{ended:?}");
}

#[test]
fn the_gate_and_the_reaping_init_have_a_sealed_program_of_their_own() {
    let Some(mut scene) = Scene::new() else { return };
    scene.script("sleep 1000");
    create(&scene, &["--init"]);
    let exe = format!("/proc/{}/exe", state(&scene)["pid"]);
    assert!(!same_file(Path::new(&exe), scene.runtime()));
    let start = ended(scene.command("start", &[], &[]).output().unwrap());
    assert_eq!(start.code, Some(0), "{start:?}");
    assert!(!same_file(Path::new(&exe), scene.runtime()));
    assert!(fs::read_link(&exe).unwrap().to_string_lossy().contains("orlop-init"));
    // Held open until nobody executes it any more, as the attack goes.
    use std::os::fd::AsRawFd;
    let image = fs::File::open(&exe).unwrap();
    scene.delete();
    let path = format!("/proc/self/fd/{}", image.as_raw_fd());
    let written = fs::OpenOptions::new().write(true).open(path).and_then(|mut file| file.write_all(b"overwritten"));
    assert!(written.is_err(), "the init image can be written to");
}
