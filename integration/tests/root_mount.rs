//! Containers whose first mount has the destination `/`, and so becomes the root.
//!
//! `ORLOP` names another program than `out/orlop`. Without root, or without a runtime, a test says so and does nothing.

#![allow(clippy::unwrap_used)] // The whole file is a test.

use integration::runtime::find;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// A bundle with an empty root directory, beside a layer with a busybox and the directories of an overlay.
struct Scene {
    dir: PathBuf,
    runtime: PathBuf,
    config: Value,
}

impl Scene {
    /// With this as the first mount; `DIR` in its texts stands for the directory of the scene.
    fn new(root: &Value) -> Option<Scene> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        if fs::metadata("/proc/self").unwrap().uid() != 0 {
            integration::skip::skip("needs root");
            return None;
        }
        let Ok(runtime) = find("orlop", &std::env::temp_dir()) else {
            integration::skip::skip("no runtime; run `make` or set ORLOP");
            return None;
        };
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("root-mount-{}-{number}", std::process::id()));
        for name in ["bundle/rootfs", "low/bin", "low/secret", "upper", "work", "volume", "state"] {
            fs::create_dir_all(dir.join(name)).unwrap();
        }
        fs::copy("/bin/busybox", dir.join("low/bin/busybox")).unwrap();
        for applet in ["sh", "cat", "ls", "grep", "mkdir", "touch", "sleep", "pwd", "test", "echo", "stat"] {
            symlink("busybox", dir.join("low/bin").join(applet)).unwrap();
        }
        fs::write(dir.join("low/secret/key"), "key").unwrap();
        fs::write(dir.join("volume/file"), "volume\n").unwrap();
        let root = serde_json::from_str(&root.to_string().replace("DIR", dir.to_str().unwrap())).unwrap();
        let mounts: [Value; 2] = [root, json!({"destination": "/proc", "type": "proc", "source": "proc"})];
        let namespaces = ["pid", "mount", "ipc", "uts"].map(|kind| json!({"type": kind}));
        let config = json!({
            "ociVersion": "1.0.2",
            "root": {"path": "rootfs"},
            "process": {"cwd": "/", "user": {"uid": 0, "gid": 0}, "args": [], "env": ["PATH=/bin"]},
            "mounts": mounts,
            "linux": {"namespaces": namespaces}
        });
        Some(Scene { dir, runtime: runtime.path, config })
    }

    fn id(&self) -> &str {
        self.dir.file_name().unwrap().to_str().unwrap()
    }

    fn orlop(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.runtime);
        command.arg("--root").arg(self.dir.join("state")).args(arguments).current_dir(self.dir.join("bundle"));
        command.stdin(Stdio::null());
        command
    }

    fn write(&mut self, script: &str) {
        self.config["process"]["args"] = json!(["/bin/sh", "-c", script]);
        fs::write(self.dir.join("bundle/config.json"), self.config.to_string()).unwrap();
    }

    fn run(&mut self, script: &str) -> Output {
        self.write(script);
        self.orlop(&["run", self.id()]).output().unwrap()
    }

    /// The output of a script that succeeds.
    fn says(&mut self, script: &str) -> String {
        let ended = self.run(script);
        assert!(ended.status.success(), "{}", text(&ended.stderr));
        text(&ended.stdout)
    }

    /// Starts the container in the background.
    fn detach(&self) {
        let error = fs::File::create(self.dir.join("error")).unwrap();
        let started = self.orlop(&["run", "--detach", self.id()]).stdout(Stdio::null()).stderr(error).status();
        assert!(started.unwrap().success(), "{}", fs::read_to_string(self.dir.join("error")).unwrap());
    }

    /// Fails if the host has a mount below the directory, or the root directory a file.
    fn assert_clean(&self) {
        let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!table.contains(self.dir.to_str().unwrap()), "mounted on the host: {table}");
        assert_eq!(fs::read_dir(self.dir.join("bundle/rootfs")).unwrap().count(), 0, "written to the root directory");
    }

    fn processes(&self) -> Vec<String> {
        let all = fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path());
        let command = |path: &PathBuf| fs::read(path.join("cmdline")).unwrap_or_default();
        all.filter(|path| text(&command(path)).contains(self.id())).map(|path| path.display().to_string()).collect()
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = self.orlop(&["delete", "--force", self.id()]).output();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// Whether the kernel is older, which prints that the test does nothing.
fn older_than(version: [u32; 2]) -> bool {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let numbers: Vec<u32> = release.split(['.', '-']).take(2).map(|n| n.parse().unwrap_or(0)).collect();
    let is_older = numbers[..] < version[..];
    if is_older {
        eprintln!("skipped: needs Linux {}.{}", version[0], version[1]);
    }
    is_older
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_end().to_owned()
}

fn overlay() -> Value {
    let options = ["lowerdir=DIR/low", "upperdir=DIR/upper", "workdir=DIR/work"];
    json!({"destination": "/", "type": "overlay", "source": "overlay", "options": options})
}

#[test]
fn an_overlay_as_first_mount_is_the_root_and_takes_what_the_container_writes() {
    let Some(mut scene) = Scene::new(&overlay()) else { return };
    let volume =
        json!({"destination": "/data", "type": "bind", "source": scene.dir.join("volume"), "options": ["bind"]});
    scene.config["mounts"].as_array_mut().unwrap().push(volume);
    scene.config["linux"]["maskedPaths"] = json!(["/secret/key"]);
    scene.config["linux"]["readonlyPaths"] = json!(["/bin"]);
    scene.config["process"]["cwd"] = json!("/new/place");
    let seen = scene.says("pwd; cat /secret/key /data/file; echo x > /bin/x || echo protected; echo kept > /kept; test -c /dev/null && echo device");
    assert_eq!(seen, "/new/place\nvolume\nprotected\ndevice");
    assert_eq!(fs::read_to_string(scene.dir.join("upper/kept")).unwrap(), "kept\n");
    assert!(!scene.dir.join("low/kept").exists());
    scene.assert_clean();
}

#[test]
fn a_tmpfs_or_a_bind_mount_as_first_mount_is_the_root_by_any_spelling() {
    for (destination, kind, options) in
        [("/.", "bind", "rbind"), ("//", "bind", "bind"), ("/x/..", "tmpfs", "mode=755")]
    {
        let root = json!({"destination": destination, "type": kind, "source": "DIR/low", "options": [options]});
        let Some(mut scene) = Scene::new(&root) else { return };
        if kind == "tmpfs" {
            let bin = json!({"destination": "/bin", "type": "bind", "source": scene.dir.join("low/bin"), "options": ["bind"]});
            scene.config["mounts"].as_array_mut().unwrap().push(bin);
        }
        let seen = scene.says("ls /; grep -c ' / / ' /proc/self/mountinfo; touch /here");
        let names = if kind == "tmpfs" { "bin\ndev\nproc\n1" } else { "bin\ndev\nproc\nsecret\n0" };
        assert_eq!(seen, names, "{destination}");
        assert_eq!(scene.dir.join("low/here").exists(), kind == "bind");
        scene.assert_clean();
    }
}

#[test]
fn the_root_is_read_only_by_its_mount_and_by_the_config() {
    for by_config in [false, true] {
        let mut root = overlay();
        if !by_config {
            root["options"].as_array_mut().unwrap().extend([json!("ro"), json!("nosuid")]);
        }
        let Some(mut scene) = Scene::new(&root) else { return };
        scene.config["root"]["readonly"] = json!(by_config);
        let seen = scene.says("touch /x 2>/dev/null || echo protected; grep ' / / ' /proc/self/mountinfo");
        let attributes = if by_config { " / / ro,relatime" } else { " / / ro,nosuid,relatime" };
        assert!(seen.starts_with("protected") && seen.contains(attributes), "{seen}");
        scene.assert_clean();
    }
}

#[test]
fn a_later_mount_at_the_root_is_an_error_that_says_so() {
    let Some(mut scene) = Scene::new(&overlay()) else { return };
    let second = json!({"destination": "/bin/..", "type": "tmpfs", "source": "tmpfs"});
    scene.config["mounts"].as_array_mut().unwrap().push(second);
    let ended = scene.run("true");
    assert!(!ended.status.success());
    let error = text(&ended.stderr);
    assert!(error.contains("mounts[2].destination: only the first mount can be at /"), "{error}");
}

#[test]
fn exec_and_hooks_have_the_root_that_is_mounted() {
    let Some(mut scene) = Scene::new(&overlay()) else { return };
    let dir = scene.dir.clone();
    let hook = |script: String| json!([{"path": "/bin/sh", "args": ["sh", "-c", script]}]);
    let note = |name: &str, place: &str| format!("ls {place} > {}/{name}", dir.display());
    let in_runtime = "/proc/$(sed -n 's/.*\"pid\": *\\([0-9]*\\).*/\\1/p')";
    let rootfs = format!("{}/bundle/rootfs", dir.display());
    scene.config["hooks"] = json!({
        "createRuntime": hook(note("runtime", &format!("{in_runtime}/root{rootfs}"))),
        "createContainer": hook(note("container", &rootfs)),
        "startContainer": [{"path": "/bin/touch", "args": ["touch", "/started"]}],
    });
    scene.write("exec sleep 1000");
    scene.detach();
    for name in ["runtime", "container"] {
        assert_eq!(fs::read_to_string(dir.join(name)).unwrap(), "bin\ndev\nproc\nsecret\n", "{name}");
    }
    let seen = scene.orlop(&["exec", scene.id(), "/bin/sh", "-c", "cat /secret/key; ls /"]).output().unwrap();
    assert_eq!(text(&seen.stdout), "keybin\ndev\nproc\nsecret\nstarted");
    scene.assert_clean();
    assert!(scene.orlop(&["delete", "--force", scene.id()]).status().unwrap().success());
    assert_eq!(scene.processes(), [""; 0]);
}

/// CRIU puts a directory of the host in the place of the root.
#[test]
fn a_checkpoint_is_refused_before_anything_is_changed() {
    let Some(mut scene) = Scene::new(&overlay()) else { return };
    scene.write("exec sleep 1000");
    scene.detach();
    let images = scene.dir.join("images");
    let checkpoint = ["--criu", "/bin/true", "checkpoint", "--image-path", images.to_str().unwrap(), scene.id()];
    let ended = scene.orlop(&checkpoint).output().unwrap();
    let error = text(&ended.stderr);
    assert!(!ended.status.success() && error.contains("mounts[0]: CRIU cannot restore"), "{error}");
    assert!(!images.exists());
    let state = scene.orlop(&["state", scene.id()]).output().unwrap();
    assert!(text(&state.stdout).contains("\"running\""));
}

/// The runtime is killed while a hook outside of the container waits, and while one inside does.
#[test]
fn a_killed_runtime_leaves_no_mount_and_no_process() {
    for moment in ["createRuntime", "createContainer"] {
        let Some(mut scene) = Scene::new(&overlay()) else { return };
        let (reached, script) = (scene.dir.join("reached"), "echo > $0/reached; exec sleep 1000");
        assert!(Command::new("mkfifo").arg(&reached).status().unwrap().success());
        let mut hooks = serde_json::Map::new();
        let arguments = json!(["sh", "-c", script, scene.dir]);
        hooks.insert(moment.into(), json!([{"path": "/bin/sh", "args": arguments}]));
        scene.config["hooks"] = Value::Object(hooks);
        scene.write("true");
        let mut runtime = scene.orlop(&["run", scene.id()]).spawn().unwrap();
        assert!(Command::new("timeout").args(["60", "cat"]).arg(&reached).status().unwrap().success(), "{moment}");
        runtime.kill().unwrap();
        runtime.wait().unwrap();
        scene.assert_clean();
        assert!(scene.orlop(&["delete", "--force", scene.id()]).status().unwrap().success(), "{moment}");
        assert_eq!(fs::read_dir(scene.dir.join("state")).unwrap().count(), 0);
        // Nothing holds the overlay: its directories can be those of another one.
        let mut again = Scene { dir: scene.dir.clone(), runtime: scene.runtime.clone(), config: scene.config.clone() };
        again.config.as_object_mut().unwrap().remove("hooks");
        assert_eq!(again.says("echo again"), "again");
    }
}

/// What the companion says of it: no fault, what it has not looked at, and where the root and its changes are.
#[test]
fn check_and_explain_know_a_root_that_is_mounted() {
    let Some(mut scene) = Scene::new(&overlay()) else { return };
    if !scene.runtime.with_file_name("orlop-bundle").exists() {
        eprintln!("skipped: no orlop-bundle beside the runtime");
        return;
    }
    scene.write("true");
    let bundle = scene.dir.join("bundle");
    let says = |word: &str| text(&scene.orlop(&[word, bundle.to_str().unwrap()]).output().unwrap().stdout);
    let check = says("check");
    assert!(check.contains("\n0 errors,"), "{check}");
    assert!(check.contains("mounts[0]: the root will be a new overlay, which is not mounted here"), "{check}");
    let explain = says("explain");
    assert!(explain.contains("mounts[0], new overlay (source overlay) with lowerdir="), "{explain}");
    let upper = format!("overlay, the host's {}/upper", scene.dir.display());
    let writable = explain.split("Writable places").nth(1).unwrap();
    assert!(writable.contains(&upper), "{writable}");
    assert!(!writable.contains("bundle/rootfs"), "{writable}");
    scene.config["root"]["readonly"] = json!(true);
    scene.write("exec sleep 1000");
    scene.detach();
    let drift = text(&scene.orlop(&["explain", scene.id()]).output().unwrap().stdout);
    assert!(!drift.contains("overlay, the host's"), "{drift}");
}

/// The ids that the container's user namespace has on the host.
const FIRST: u32 = 100_000;

impl Scene {
    /// A user namespace with these ids of the host; `upper` belongs to the first.
    fn in_user_namespace(&mut self, first: u32, size: u32) {
        let ids = json!([{"containerID": 0, "hostID": first, "size": size}]);
        self.config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({"type": "user"}));
        self.config["linux"]["uidMappings"] = ids.clone();
        self.config["linux"]["gidMappings"] = ids;
        std::os::unix::fs::chown(self.dir.join("upper"), Some(first), Some(first)).unwrap();
    }

    fn owner(&self, path: &str) -> u32 {
        fs::symlink_metadata(self.dir.join(path)).unwrap().uid()
    }
}

#[test]
fn root_mounts_an_overlay_for_a_user_namespace_and_may_map_the_ids_of_its_layers() {
    if older_than([5, 19]) {
        return;
    }
    let own = json!([{"containerID": 0, "hostID": FIRST, "size": 65536}]);
    for (option, mappings) in [(None, None), (Some("idmap"), None), (None, Some(own))] {
        let mut root = overlay();
        root["options"].as_array_mut().unwrap().extend(option.map(|option| json!(option)));
        if let Some(mappings) = &mappings {
            root["uidMappings"] = mappings.clone();
            root["gidMappings"] = mappings.clone();
        }
        let Some(mut scene) = Scene::new(&root) else { return };
        scene.in_user_namespace(FIRST, 65536);
        // The container's root has no way to the layers.
        let closed = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        fs::set_permissions(scene.dir.join("low"), closed).unwrap();
        fs::set_permissions(scene.dir.join("upper"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let seen = scene.says("echo new > /new; cat /new /secret/key; stat -c %u /secret/key /new");
        let layer = if option.is_some() || mappings.is_some() { 0 } else { 65534 };
        assert_eq!(seen, format!("new\nkey{layer}\n0"), "{option:?} {mappings:?}");
        assert_eq!((scene.owner("upper/new"), scene.owner("low/secret/key")), (FIRST, 0));
        scene.assert_clean();
    }
}

#[test]
fn an_unprivileged_user_has_an_overlay_as_root() {
    if older_than([5, 11]) {
        return;
    }
    let mut root = overlay();
    root["options"].as_array_mut().unwrap().push(json!("userxattr"));
    let Some(mut scene) = Scene::new(&root) else { return };
    const USER: u32 = 1000;
    scene.in_user_namespace(USER, 1);
    scene.write("echo new > /new; cat /secret/key");
    fs::copy(&scene.runtime, scene.dir.join("orlop")).unwrap();
    let owner = format!("{USER}:{USER}");
    assert!(Command::new("chown").args(["-R", &owner]).arg(&scene.dir).status().unwrap().success());
    let ended = Command::new("setpriv")
        .args(["--reuid", "1000", "--regid", "1000", "--clear-groups", "../orlop", "--root", "../state", "run"])
        .arg(scene.id())
        .current_dir(scene.dir.join("bundle"))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!((text(&ended.stdout), ended.status.success()), ("key".to_owned(), true), "{}", text(&ended.stderr));
    assert_eq!(scene.owner("upper/new"), USER);
    scene.assert_clean();
}

/// Layers of which no name is short: with and without id mappings each one is there.
#[test]
fn a_hundred_and_twenty_layers_are_all_there() {
    if older_than([6, 8]) {
        return;
    }
    for option in ["defaults", "idmap"] {
        let mut root = overlay();
        let dir = |n: usize| format!("DIR/layers/{n}-{}", "x".repeat(40));
        let list: Vec<String> = (0..120).map(dir).chain(["DIR/low".to_owned()]).collect();
        root["options"] =
            json!([option, format!("lowerdir={}", list.join(":")), "upperdir=DIR/upper", "workdir=DIR/work"]);
        let Some(mut scene) = Scene::new(&root) else { return };
        for n in 0..120 {
            fs::create_dir_all(dir(n).replace("DIR", scene.dir.to_str().unwrap()) + &format!("/layer-{n}")).unwrap();
        }
        if option == "idmap" {
            scene.in_user_namespace(FIRST, 65536);
        }
        assert_eq!(scene.says("ls / | grep -c layer-"), "120", "{option}");
        scene.assert_clean();
    }
}
