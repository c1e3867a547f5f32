//! `orlop doctor`: its lines are the kernel's answers, and its probes leave nothing.

use integration::bundle::Scene;
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Command;

/// The scene, where the companion is there too.
fn scene() -> Option<Scene> {
    let scene = Scene::new()?;
    if scene.runtime.with_file_name("orlop-bundle").exists() {
        return Some(scene);
    }
    integration::skip::skip("no orlop-bundle beside the runtime");
    None
}

/// The exit code and the lines, by a shell that runs `before` first and executes the rest in its own mount namespace.
fn after(scene: &Scene, before: &str) -> (i32, Vec<Value>) {
    let script = format!("{before}\nexec {} doctor --format json", scene.runtime.display());
    let output = Command::new("unshare").args(["--mount", "sh", "-ec", &script]).output().unwrap();
    let document: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {output:?}"));
    (output.status.code().unwrap(), document["lines"].as_array().unwrap().clone())
}

fn line<'a>(lines: &'a [Value], id: &str) -> &'a Value {
    lines.iter().find(|line| line["id"] == id).unwrap_or_else(|| panic!("no line {id}: {lines:#?}"))
}

#[test]
fn the_lines_are_those_of_the_kernels_files() {
    let Some(scene) = scene() else { return };
    let (_, lines) = after(&scene, "");
    let v2 = Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    assert_eq!(line(&lines, "cgroup.version")["state"], if v2 { "yes" } else { "limited" });
    let systemd = Path::new("/run/systemd/system").is_dir();
    assert_eq!(line(&lines, "systemd.running")["state"], if systemd { "yes" } else { "no" });
    let most = fs::read_to_string("/proc/sys/user/max_user_namespaces").unwrap();
    let about = line(&lines, "userns.max")["about"].as_str().unwrap().to_owned();
    assert!(about.ends_with(&format!(" {}", most.trim())), "{about}");
    for line in &lines {
        let is_good = line["state"] == "yes";
        assert!(is_good == line["consequence"].is_null() && is_good <= line["remedy"].is_null(), "{line:#}");
    }
}

#[test]
fn nothing_that_a_probe_made_is_left() {
    let Some(scene) = scene() else { return };
    // The mounts are a peer group of their own: a mount that is not private to a probe would appear.
    let script = format!(
        "mount --make-rshared /; cat /proc/self/mountinfo > before; echo $$ > pid\n\
         {} doctor > report || true; cat /proc/self/mountinfo > after; cmp before after",
        scene.runtime.display()
    );
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-ec", &script]).current_dir(&scene.dir);
    assert!(command.status().unwrap().success(), "the mounts differ");
    assert!(fs::read_to_string(scene.dir.join("report")).unwrap().contains("kernel.clone3"));
    let pid = fs::read_to_string(scene.dir.join("pid")).unwrap();
    let mut places = vec!["/run".to_owned(), "/tmp".to_owned(), "/sys/fs/cgroup".to_owned()];
    let cgroups = fs::read_to_string("/proc/self/cgroup").unwrap();
    places.extend(cgroups.lines().filter_map(|line| {
        let (names, path) = line.split_once(':')?.1.split_once(':')?;
        Some(format!("/sys/fs/cgroup/{names}{path}"))
    }));
    let entries = places.iter().filter_map(|place| fs::read_dir(place).ok()).flatten().flatten();
    // Other tests run their own at the same time: their processes are alive.
    let left: Vec<_> = entries
        .filter_map(|entry| entry.file_name().to_string_lossy().strip_prefix("orlop-doctor-").map(str::to_owned))
        .filter(|pid| !Path::new("/proc").join(pid).exists())
        .collect();
    assert!(left.is_empty(), "{left:?}, after the shell {pid}");
}

#[test]
fn a_configured_runtime_that_is_not_there_is_named_with_its_file() {
    let Some(scene) = scene() else { return };
    let rows = [
        ("docker/daemon.json", r#"{"runtimes": {"gone": {"path": "/missing/docker"}}}"#, "engine.docker.gone"),
        (
            "containerd/config.toml",
            "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.gone.options]\n\
             BinaryName = \"/missing/containerd\"\n",
            "engine.containerd.gone",
        ),
        ("containers/containers.conf", "[engine.runtimes]\ngone = [\"/missing/podman\"]\n", "engine.podman.gone"),
        ("crio/crio.conf", "[crio.runtime.runtimes.gone]\nruntime_path = \"/missing/crio\"\n", "engine.crio.gone"),
    ];
    let mut before = String::from("mount -t tmpfs tmpfs /etc\n");
    for (file, text, _) in rows {
        let path = scene.dir.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
    }
    before += &format!("cp -r {0}/docker {0}/containerd {0}/containers {0}/crio /etc/", scene.dir.display());
    let (code, lines) = after(&scene, &before);
    assert_eq!(code, 1);
    for (file, _, id) in rows {
        let line = line(&lines, id);
        assert!(line["hinders"] == true && line["about"].as_str().unwrap().contains(file), "{line:#}");
    }
}

#[test]
fn a_read_only_state_directory_and_cgroups_hinder() {
    let Some(scene) = scene() else { return };
    let (code, lines) = after(
        &scene,
        "mount -t tmpfs -o ro tmpfs /run\n\
         for at in /sys/fs/cgroup /sys/fs/cgroup/*; do if mountpoint -q $at; then mount -o bind,remount,ro $at; fi; done",
    );
    assert_eq!(code, 1);
    for id in ["state.directory", "cgroup.delegation"] {
        assert_eq!(line(&lines, id)["state"], "no", "{id}");
    }
}

#[test]
fn without_user_namespaces_the_switch_is_named() {
    let Some(scene) = scene() else { return };
    // The limit is of a user namespace: the one around this probe has it, the host keeps its own.
    let script =
        format!("echo 0 > /proc/sys/user/max_user_namespaces; exec {} doctor --format json", scene.runtime.display());
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "--pid", "--fork", "--mount-proc", "sh", "-ec", &script])
        .output()
        .unwrap();
    let document: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {output:?}"));
    let lines = document["lines"].as_array().unwrap();
    assert_eq!(line(lines, "userns.max")["state"], "no");
    let found = line(lines, "userns.create");
    assert_eq!(found["state"], "no");
    assert!(found["remedy"].as_str().unwrap().contains("user.max_user_namespaces"), "{found:#}");
}

#[test]
fn text_has_a_remedy_below_each_lack_and_no_colours_in_a_pipe() {
    let Some(scene) = scene() else { return };
    let output = Command::new(&scene.runtime).arg("doctor").env("PATH", "/missing").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let at = text.find("criu.program").unwrap_or_else(|| panic!("{text}"));
    assert!(text[at..].lines().nth(2).unwrap().trim_start().starts_with("do: "), "{text}");
    assert!(!text.contains('\x1b'));
    let usage = Command::new(&scene.runtime).args(["doctor", "--what"]).output().unwrap();
    assert_eq!(usage.status.code(), Some(2));
}
