//! Hooks of all six kinds, with the same standard input, environment, timeout, output and failure: each test goes through the
//! kinds, from outside.
//!
//! `RUNTIME` names another program than `out/orlop`; with runc or crun the same tests show where those differ
//! (docs/differences.md). Without root, or without a runtime, a test says so and does nothing.

#![allow(clippy::unwrap_used, clippy::panic)] // The whole program is a test.

mod signals;

use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

const KINDS: [&str; 6] = ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];

/// How a container is brought to life.
const LIVES: [&str; 3] = ["create and start", "run", "run --detach"];

/// A bundle with a busybox, and a directory `seen` that hooks of both sides can write to.
struct Scene {
    dir: PathBuf,
    config: Value,
    runtime: PathBuf,
    id: String,
}

impl Scene {
    /// `None`, with the reason printed, where the test cannot run.
    fn new() -> Option<Scene> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../out/orlop");
        let Ok(runtime) = std::env::var_os("RUNTIME").map_or(built, PathBuf::from).canonicalize() else {
            integration::skip::skip("no runtime; run `make` or set RUNTIME");
            return None;
        };
        if fs::metadata("/proc/self").unwrap().uid() != 0 {
            integration::skip::skip("needs root");
            return None;
        }
        let id = format!("hooks-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let dir = std::env::temp_dir().join(&id);
        for name in ["bin", "proc", "dev", "seen"] {
            fs::create_dir_all(dir.join("rootfs").join(name)).unwrap();
        }
        fs::copy("/bin/busybox", dir.join("rootfs/bin/busybox")).unwrap();
        for applet in ["sh", "cat", "env", "sleep", "true", "wc", "yes"] {
            symlink("busybox", dir.join("rootfs/bin").join(applet)).unwrap();
        }
        Some(Scene { config: config(&dir.join("rootfs")), dir, runtime, id })
    }

    /// Adds a hook that runs `script` with `$SEEN` as the directory that it writes to.
    fn hook(&mut self, kind: &str, script: &str, more: &Value) {
        let seen = if kind == "startContainer" { "/seen".into() } else { self.seen("").display().to_string() };
        let mut entry = json!({"path": "/bin/sh", "args": ["sh", "-c", script.replace("$SEEN", &seen)]});
        entry.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let list = &mut self.config["hooks"][kind];
        if list.is_null() {
            *list = json!([]);
        }
        list.as_array_mut().unwrap().push(entry);
    }

    fn seen(&self, name: &str) -> PathBuf {
        self.dir.join("rootfs/seen").join(name)
    }

    fn read(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.seen(name)).ok()
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("timeout");
        command.args(["-k", "1", "30"]).arg(&self.runtime).arg("--root").arg(self.dir.join("state"));
        command.args(words).arg(&self.id).current_dir(&self.dir);
        command.stdin(Stdio::null()).env("OF_THE_RUNTIME", "yes");
        command
    }

    /// Runs a command; its output goes to files, as what a container keeps open would keep a pipe from ending.
    fn call(&self, words: &[&str]) -> Output {
        let at = |name: &str| self.dir.join(name);
        let files = ["out", "error"].map(|name| fs::File::create(at(name)).unwrap());
        let [out, error] = files;
        let status = self.command(words).stdout(out).stderr(error).status().unwrap();
        Output { status, stdout: fs::read(at("out")).unwrap(), stderr: fs::read(at("error")).unwrap() }
    }

    /// The first command of a life that fails, or the last one.
    fn live(&self, life: &str) -> Output {
        fs::write(self.dir.join("config.json"), self.config.to_string()).unwrap();
        match life {
            "create and start" => {
                let created = self.call(&["create"]);
                if created.status.success() { self.call(&["start"]) } else { created }
            }
            life => self.call(&life.split(' ').collect::<Vec<_>>()),
        }
    }

    fn exists(&self) -> bool {
        self.call(&["state"]).status.success()
    }

    /// Takes what is left away, for the next life.
    fn reset(&self) {
        self.call(&["delete", "--force"]);
        for entry in fs::read_dir(self.seen("")).unwrap().flatten() {
            fs::remove_file(entry.path()).unwrap();
        }
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.call(&["delete", "--force"]);
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn config(root: &Path) -> Value {
    json!({
        "ociVersion": "1.0.2",
        "root": {"path": root},
        "process": {
            "cwd": "/", "user": {"uid": 0, "gid": 0}, "args": ["/bin/true"],
            "env": ["PATH=/bin", "OF_THE_CONTAINER=yes"], "noNewPrivileges": true
        },
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["mode=755"]},
            {"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": ["newinstance", "ptmxmode=0666"]}
        ],
        "linux": {"namespaces": [{"type": "pid"}, {"type": "network"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}]}
    })
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A whole life with one hook of each kind in turn, and what it saw.
fn each_kind(script: &str, more: &Value, check: impl Fn(&str, &Scene, Output)) {
    for kind in KINDS {
        let Some(mut scene) = Scene::new() else { return };
        scene.hook(kind, script, more);
        let output = scene.live("run");
        check(kind, &scene, output);
    }
}

#[test]
fn the_state_is_on_standard_input_and_can_be_opened_by_its_name() {
    for source in ["cat", "cat /dev/stdin", "cat /proc/self/fd/0"] {
        each_kind(&format!("{source} > $SEEN/state"), &json!({}), |kind, scene, output| {
            assert!(output.status.success(), "{kind}, {source}: {}", text(&output.stderr));
            let state: Value = serde_json::from_str(&scene.read("state").unwrap()).unwrap();
            assert_eq!(state["id"], scene.id, "{kind}, {source}");
        });
    }
}

#[test]
fn a_long_state_arrives_whole_at_a_hook_that_reads_late() {
    for kind in KINDS {
        let Some(mut scene) = Scene::new() else { return };
        for n in 0..300 {
            scene.config["annotations"][format!("com.example.{n}")] = "x".repeat(1000).into();
        }
        scene.hook(kind, "sleep 0.1; cat > $SEEN/state", &json!({"timeout": 20}));
        let output = scene.live("run");
        assert!(output.status.success(), "{kind}: {}", text(&output.stderr));
        let state: Value = serde_json::from_str(&scene.read("state").unwrap()).unwrap();
        assert_eq!(state["annotations"].as_object().unwrap().len(), 300, "{kind}");
    }
}

#[test]
fn a_hook_without_env_has_the_environment_of_its_side_and_an_empty_one_is_empty() {
    each_kind("env > $SEEN/env", &json!({}), |kind, scene, output| {
        assert!(output.status.success(), "{kind}: {}", text(&output.stderr));
        let env = scene.read("env").unwrap();
        let inside = kind == "startContainer";
        assert_eq!(env.contains("OF_THE_CONTAINER=yes\n"), inside, "{kind}: {env}");
        assert_eq!(env.contains("OF_THE_RUNTIME=yes\n"), !inside, "{kind}: {env}");
        assert_eq!(env.contains("HOME="), inside || std::env::var_os("HOME").is_some(), "{kind}: {env}");
    });
    for given in [json!([]), json!(["MINE=1"])] {
        each_kind("env > $SEEN/env", &json!({"env": given}), |kind, scene, output| {
            assert!(output.status.success(), "{kind}: {}", text(&output.stderr));
            let env = scene.read("env").unwrap();
            assert!(!env.contains("OF_THE_"), "{kind}: {env}");
            assert_eq!(env.contains("MINE=1"), given != json!([]), "{kind}: {env}");
        });
    }
}

#[test]
fn the_timeout_holds_for_a_hook_that_reads_nothing_and_for_one_that_only_writes() {
    for script in ["exec sleep 25", "exec yes"] {
        for kind in KINDS {
            let Some(mut scene) = Scene::new() else { return };
            for n in 0..300 {
                scene.config["annotations"][format!("com.example.{n}")] = "x".repeat(1000).into();
            }
            scene.hook(kind, script, &json!({"timeout": 1}));
            let output = scene.live("run");
            let said = text(&output.stderr);
            // `timeout` would give 124; a hook that was waited for would have succeeded.
            assert_eq!(output.status.code(), Some(i32::from(kind != "poststop")), "{kind}: {said}");
            assert!(said.contains("did not end within its timeout of 1 s"), "{kind}: {said}");
        }
    }
}

#[test]
fn a_timeout_that_no_clock_reaches_is_none() {
    each_kind("true > $SEEN/ran", &json!({"timeout": i64::MAX}), |kind, scene, output| {
        assert!(output.status.success(), "{kind}: {}", text(&output.stderr));
        assert!(scene.read("ran").is_some(), "{kind}");
    });
}

#[test]
fn the_end_of_what_a_failing_hook_writes_is_in_the_error_with_and_without_a_terminal() {
    for terminal in [false, true] {
        for kind in KINDS {
            let Some(mut scene) = Scene::new() else { return };
            scene.config["process"]["terminal"] = terminal.into();
            scene.hook(kind, "head -c 2000 /dev/zero; echo this is out; echo this is error >&2; exit 7", &json!({}));
            let output = scene.live("run");
            let said = text(&output.stderr);
            assert_eq!(output.status.success(), kind == "poststop", "{kind}: {said}");
            for words in [&*format!("error running {kind} hook #0"), "exit status 7", "this is out", "this is error"] {
                assert!(said.contains(words), "{kind}, terminal {terminal}: {words:?} is not in {said}");
            }
        }
    }
}

#[test]
fn what_a_hook_writes_that_succeeds_is_not_in_the_output_of_the_container() {
    each_kind("echo from the hook; echo from the hook >&2", &json!({}), |kind, _, output| {
        assert!(output.status.success(), "{kind}: {}", text(&output.stderr));
        let said = text(&output.stdout) + &text(&output.stderr);
        assert!(!said.contains("from the hook"), "{kind}: {said}");
    });
}

#[test]
fn a_hook_that_cannot_be_executed_is_an_error_that_names_its_path_and_the_reason() {
    for (path, reason) in [("/no/such/hook", "ENOENT"), ("/proc/self/status", "EACCES")] {
        for kind in KINDS {
            let Some(mut scene) = Scene::new() else { return };
            scene.config["hooks"][kind] = json!([{"path": path}]);
            let output = scene.live("run");
            let said = text(&output.stderr);
            assert_eq!(output.status.success(), kind == "poststop", "{kind}: {said}");
            assert!(said.contains(path) && said.contains(reason), "{kind}: {said}");
        }
    }
}

#[test]
fn a_failing_hook_destroys_the_container_whatever_command_started_it_and_then_the_poststop_hooks_run() {
    for life in LIVES {
        for kind in &KINDS[..5] {
            let Some(mut scene) = Scene::new() else { return };
            scene.config["process"]["args"] = json!(["/bin/sleep", "100"]);
            // What the hook leaves behind holds neither the command nor the removal up.
            scene.hook(kind, "cat > $SEEN/hook; sleep 25 > /dev/null 2>&1 & exit 3", &json!({}));
            scene.hook("poststop", "cat > $SEEN/poststop", &json!({}));
            let output = scene.live(life);
            let said = text(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{life}, {kind}: {said}");
            assert!(said.contains("exit status 3"), "{life}, {kind}: {said}");
            assert!(!scene.exists(), "{life}, {kind}: the container is still there");
            let state: Value = serde_json::from_str(&scene.read("poststop").unwrap_or_default()).unwrap_or_default();
            assert_eq!(state["status"], "stopped", "{life}, {kind}: poststop hooks were not called");
            scene.reset();
            // Its id is free again.
            scene.config["hooks"] = json!({});
            scene.config["process"]["args"] = json!(["/bin/true"]);
            let output = scene.live("run");
            assert!(output.status.success(), "{life}, {kind}: {}", text(&output.stderr));
        }
    }
}

#[test]
fn a_hook_that_fails_and_keep_leaves_nothing_either() {
    for kind in ["startContainer", "poststart"] {
        let Some(mut scene) = Scene::new() else { return };
        scene.config["process"]["args"] = json!(["/bin/sleep", "100"]);
        scene.hook(kind, "exit 3", &json!({}));
        assert_eq!(scene.live("run --keep").status.code(), Some(1), "{kind}");
        assert!(!scene.exists(), "{kind}");
    }
}

#[test]
fn a_hook_in_the_container_has_none_of_the_descriptors_that_are_passed_on_to_the_program() {
    let Some(mut scene) = Scene::new() else { return };
    scene.config["process"]["args"] = json!(["/bin/sh", "-c", "ls /proc/self/fd > /seen/program"]);
    symlink("busybox", scene.dir.join("rootfs/bin/ls")).unwrap();
    scene.hook("startContainer", "ls /proc/self/fd > $SEEN/hook", &json!({"env": ["PATH=/bin"]}));
    fs::write(scene.dir.join("config.json"), scene.config.to_string()).unwrap();
    let runtime = scene.runtime.display();
    let script = format!("exec 3</dev/null; exec {runtime} --root state run --preserve-fds 1 {}", scene.id);
    let output = Command::new("sh").args(["-c", &script]).current_dir(&scene.dir).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    // ls itself has the directory open.
    assert_eq!(scene.read("hook").unwrap(), "0\n1\n2\n3\n");
    assert_eq!(scene.read("program").unwrap(), "0\n1\n2\n3\n4\n");
}
