//! A signal that asks a command to end while it waits for a hook that hangs.

use super::*;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::os::unix::process::CommandExt;
use std::process::Child;
use std::time::{Duration, Instant};

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < Duration::from_secs(30), "not within 30 s: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Whether a process runs: not one that has ended and was not reaped.
fn runs(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// A hook that hangs, with a process of its own that does, and tells of the two.
const HANGS: &str = "sleep 1000 & echo $$ $! > $SEEN/pids.new; mv $SEEN/pids.new $SEEN/pids; wait";

impl Scene {
    /// A command of the runtime in a process group of its own, without a watchdog, which would pass signals on. Shells start
    /// what runs in the background with SIGINT ignored, and the runtime would keep that.
    fn spawn(&self, words: &[&str]) -> Child {
        let mut command = Command::new("env");
        command
            .arg("--default-signal=INT,TERM,HUP")
            .arg(&self.runtime)
            .arg("--root")
            .arg(self.dir.join("state"))
            .args(words)
            .arg(&self.id)
            .current_dir(&self.dir);
        let file = |name: &str| fs::File::create(self.dir.join(name)).unwrap();
        command.stdin(Stdio::null()).stdout(file("out")).stderr(file("error")).process_group(0).spawn().unwrap()
    }

    /// The processes of the hook, by their pids on the host, once it hangs.
    fn hanging(&self, kind: &str) -> Vec<String> {
        until(&format!("{kind}: the hook hangs"), || self.seen("pids").exists());
        // A process has no command line while it executes its program.
        let mut all = Vec::new();
        until(&format!("{kind}: both processes of the hook"), || {
            all = self.processes_of_hook();
            all.len() == 2
        });
        all
    }

    /// By their command lines: those of createContainer and startContainer hooks are in the container's pid namespace.
    fn processes_of_hook(&self) -> Vec<String> {
        let mut all = Vec::new();
        let marks = ["sleep\x001000\0".to_owned(), HANGS.replace("$SEEN", &self.seen("").display().to_string())];
        let inside = HANGS.replace("$SEEN", "/seen");
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let name = entry.file_name().into_string().unwrap();
            let line = fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default();
            let of_scene = || {
                let stat = fs::read_to_string(entry.path().join("environ")).unwrap_or_default();
                stat.contains(&format!("SCENE={}\0", self.id))
            };
            if (marks.iter().any(|mark| line.contains(mark)) || line.contains(&inside)) && of_scene() {
                all.push(name);
            }
        }
        all
    }
}

/// Each kind of hook, in each command that waits for it, with each signal: the command ends, the hook's processes are gone, and
/// nothing is left of the container.
#[test]
fn a_signal_ends_a_command_that_waits_for_a_hook_and_the_hooks_process_group() {
    let waits = [
        ("prestart", "create"),
        ("createRuntime", "create"),
        ("createContainer", "create"),
        ("startContainer", "start"),
        ("poststart", "start"),
        ("poststop", "delete"),
    ];
    let mut all: Vec<(&str, &str)> = waits.to_vec();
    all.extend(KINDS.iter().map(|kind| (*kind, "run")));
    all.extend(KINDS[..3].iter().chain(&["poststart"]).map(|kind| (*kind, "run --detach")));
    for (n, (kind, command)) in all.into_iter().enumerate() {
        for (m, signal) in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP].into_iter().enumerate() {
            // Every signal with every kind, not with every command.
            if command != "run" && n % 3 != m {
                continue;
            }
            interrupt(kind, command, signal);
        }
    }
}

fn interrupt(kind: &str, command: &str, signal: Signal) {
    let Some(scene) = Scene::new() else { return };
    interrupt_in(scene, kind, command, signal);
}

fn interrupt_in(mut scene: Scene, kind: &str, command: &str, signal: Signal) {
    let what = format!("{kind}, {command}, {signal}");
    scene.config["process"]["args"] = match (kind, command) {
        ("poststop", "run") => json!(["/bin/true"]),
        _ => json!(["/bin/sleep", "500"]),
    };
    scene.hook(kind, HANGS, &json!({"env": ["PATH=/bin", format!("SCENE={}", scene.id)]}));
    if kind != "poststop" {
        scene.hook("poststop", "cat > $SEEN/poststop", &json!({}));
    }
    fs::write(scene.dir.join("config.json"), scene.config.to_string()).unwrap();
    match command {
        "start" => assert!(scene.call(&["create"]).status.success(), "{what}"),
        "delete" => {
            assert!(scene.call(&["create"]).status.success() && scene.call(&["start"]).status.success(), "{what}");
            assert!(scene.call(&["kill", "--all"]).status.success(), "{what}");
        }
        _ => {}
    }
    let mut words: Vec<&str> = command.split(' ').collect();
    if command == "delete" {
        words.push("--force");
    }
    let mut running = scene.spawn(&words);
    let pids = scene.hanging(kind);
    kill(Pid::from_raw(running.id() as i32), signal).unwrap();
    until(&format!("{what}: the command ends"), || running.try_wait().unwrap().is_some());
    let status = running.wait().unwrap();
    let said = fs::read_to_string(scene.dir.join("error")).unwrap();
    // runtime.md, step 13: what happens to a poststop hook is a warning.
    assert_eq!(status.code(), Some(i32::from(kind != "poststop")), "{what}: {said}");
    assert!(said.contains(&format!("signal {}", signal as i32)), "{what}: {said}");
    until(&format!("{what}: the hook's processes are gone"), || pids.iter().all(|pid| !runs(pid)));
    assert!(!scene.exists(), "{what}: the container is still there");
    assert!(kind == "poststop" || scene.seen("poststop").exists(), "{what}: poststop hooks were not called");
    if kind == "poststop" {
        return;
    }
    // The id and the cgroup are free for the next container.
    scene.config["hooks"] = json!({});
    scene.config["process"]["args"] = json!(["/bin/true"]);
    fs::write(scene.dir.join("config.json"), scene.config.to_string()).unwrap();
    assert!(scene.call(&["run"]).status.success(), "{what}: the next container of the id");
}

/// Nothing dies only because the first process does.
#[test]
fn a_signal_to_start_ends_a_hook_in_the_container_that_shares_the_hosts_pid_namespace() {
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        let Some(mut scene) = Scene::new() else { return };
        let namespaces = scene.config["linux"]["namespaces"].as_array_mut().unwrap();
        namespaces.retain(|namespace| namespace["type"] != "pid");
        interrupt_in(scene, "startContainer", "start", signal);
    }
}

/// runtime.md, step 13: the others run.
#[test]
fn a_signal_ends_one_poststop_hook_and_the_next_one_runs() {
    let Some(mut scene) = Scene::new() else { return };
    scene.hook("poststop", HANGS, &json!({"env": ["PATH=/bin", format!("SCENE={}", scene.id)]}));
    scene.hook("poststop", "true > $SEEN/next", &json!({}));
    fs::write(scene.dir.join("config.json"), scene.config.to_string()).unwrap();
    let mut running = scene.spawn(&["run"]);
    scene.hanging("poststop");
    kill(Pid::from_raw(running.id() as i32), Signal::SIGTERM).unwrap();
    until("the command ends", || running.try_wait().unwrap().is_some());
    assert!(scene.seen("next").exists());
}

/// A container that is being made dies with the runtime, and its hooks have nothing to wait for.
#[test]
fn a_hook_of_a_container_that_is_being_made_dies_with_a_runtime_that_is_killed() {
    for kind in &KINDS[..3] {
        let Some(mut scene) = Scene::new() else { return };
        scene.hook(kind, HANGS, &json!({"env": ["PATH=/bin", format!("SCENE={}", scene.id)]}));
        fs::write(scene.dir.join("config.json"), scene.config.to_string()).unwrap();
        let mut running = scene.spawn(&["create"]);
        let pids = scene.hanging(kind);
        // The first is the hook itself.
        let hook = pids.iter().find(|pid| {
            let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
            line.starts_with("sh\0")
        });
        running.kill().unwrap();
        running.wait().unwrap();
        until(&format!("{kind}: the hook is gone"), || !runs(hook.unwrap()));
        for pid in pids {
            let _ = kill(Pid::from_raw(pid.parse().unwrap()), Signal::SIGKILL);
        }
    }
}

/// `nohup` and its like.
#[test]
fn a_signal_that_the_caller_ignores_ends_no_hook() {
    for (kind, command) in [("createRuntime", "create"), ("createContainer", "create"), ("createContainer", "run")] {
        let Some(mut scene) = Scene::new() else { return };
        scene.hook(kind, "echo > $SEEN/begun; until test -e $SEEN/go; do sleep 0.01; done", &json!({}));
        fs::write(scene.dir.join("config.json"), scene.config.to_string()).unwrap();
        let script =
            format!("trap '' HUP INT TERM; exec {} --root state {command} {}", scene.runtime.display(), scene.id);
        let file = |name: &str| fs::File::create(scene.dir.join(name)).unwrap();
        let mut shell = Command::new("sh");
        shell
            .args(["-c", &script])
            .current_dir(&scene.dir)
            .stdin(Stdio::null())
            .stdout(file("out"))
            .stderr(file("error"));
        let mut running = shell.spawn().unwrap();
        until("the hook runs", || scene.seen("begun").exists());
        for signal in [Signal::SIGHUP, Signal::SIGINT, Signal::SIGTERM] {
            kill(Pid::from_raw(running.id() as i32), signal).unwrap();
        }
        fs::write(scene.seen("go"), "").unwrap();
        let status = running.wait().unwrap();
        let said = fs::read_to_string(scene.dir.join("error")).unwrap();
        assert!(status.success(), "{kind}, {command}: {said}");
    }
}

#[test]
fn a_hook_whose_time_is_over_is_killed_with_its_process_group() {
    for kind in KINDS.into_iter().filter(|kind| *kind != "startContainer") {
        let Some(mut scene) = Scene::new() else { return };
        scene.hook(kind, HANGS, &json!({"timeout": 1, "env": ["PATH=/bin", format!("SCENE={}", scene.id)]}));
        fs::write(scene.dir.join("config.json"), scene.config.to_string()).unwrap();
        let mut running = scene.spawn(&["run"]);
        let pids = scene.hanging(kind);
        running.wait().unwrap();
        until(&format!("{kind}: the hook's processes are gone"), || pids.iter().all(|pid| !runs(pid)));
    }
}

/// As much as would not fit into memory twice.
#[test]
fn the_output_of_a_hook_takes_no_memory_of_the_runtimes() {
    for kind in KINDS {
        let Some(mut scene) = Scene::new() else { return };
        let script = "dd if=/dev/zero bs=1048576 count=100 2>/dev/null; echo; echo the last words; exit 7";
        scene.hook(kind, script, &json!({}));
        fs::write(scene.dir.join("config.json"), scene.config.to_string()).unwrap();
        let mut words = vec!["-c", "ulimit -v 60000; exec \"$@\"", "sh"];
        let runtime = scene.runtime.display().to_string();
        words.extend([&*runtime, "--root", "state", "run", &scene.id]);
        let output = Command::new("sh").args(words).current_dir(&scene.dir).stdin(Stdio::null()).output().unwrap();
        let said = text(&output.stderr);
        assert!(said.contains("exit status 7"), "{kind}: {said}");
        assert!(said.contains("the end of its output: ") && said.contains("the last words"), "{kind}: {said}");
        assert!(said.len() < 8192, "{kind}: {} bytes", said.len());
    }
}

/// A memory file without bound would hold it all: it shows in the machine's shared memory.
#[test]
fn the_output_of_a_hook_is_kept_in_no_file() {
    for kind in KINDS.into_iter().filter(|kind| *kind != "startContainer") {
        let Some(mut scene) = Scene::new() else { return };
        scene.hook(kind, "readlink /proc/self/fd/2 > $SEEN/outputs", &json!({}));
        assert!(scene.live("run").status.success(), "{kind}");
        let outputs = scene.read("outputs").unwrap();
        assert!(outputs.lines().all(|line| line.starts_with("pipe:")), "{kind}: {outputs}");
    }
}
