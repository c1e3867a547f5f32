//! The messages of usual failures, each made once, as docs/troubleshooting.md has them.
//!
//! With `WRITE_MESSAGES=1` the page gets the messages as they are. `RUNTIME` names another program than `out/orlop`. Without
//! root, or without a runtime, the test says so and does nothing.

#![allow(clippy::unwrap_used, clippy::panic)] // The whole program is a test.

use integration::bundle::Scene;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;

/// A failure: its title in the page, and how it is made.
struct Case(&'static str, fn(&mut Scene) -> Vec<&'static str>);

const RUN: &[&str] = &["run", "ID"];

const CASES: &[Case] = &[
    Case("The program is not in PATH", |scene| args(scene, &["nosuch"])),
    Case("The program is not there", |scene| args(scene, &["/bin/nosuch"])),
    Case("The program is a directory", |scene| args(scene, &["/bin"])),
    Case("The program is not executable", |scene| program(scene, b"#!/bin/sh\n", 0o644)),
    Case("The program is another user's", |scene| {
        scene.config["process"]["user"] = json!({"uid": 1000, "gid": 1000});
        program(scene, b"#!/bin/sh\n", 0o700)
    }),
    Case("The program is on a noexec mount", |scene| {
        let source = scene.dir.join("data");
        fs::create_dir(&source).unwrap();
        fs::copy("/bin/busybox", source.join("sh")).unwrap();
        mount(scene, json!({"destination": "/data", "source": source, "options": ["bind", "noexec"]}));
        args(scene, &["/data/sh"])
    }),
    Case("A directory cannot be searched", |scene| {
        scene.config["process"]["user"] = json!({"uid": 1000, "gid": 1000});
        fs::create_dir_all(scene.dir.join("rootfs/srv/in")).unwrap();
        fs::copy("/bin/busybox", scene.dir.join("rootfs/srv/in/sh")).unwrap();
        fs::set_permissions(scene.dir.join("rootfs/srv"), fs::Permissions::from_mode(0o700)).unwrap();
        args(scene, &["/srv/in/sh"])
    }),
    Case("The program is for another architecture", |scene| {
        let mut elf = fs::read("/bin/busybox").unwrap();
        elf[18] = if cfg!(target_arch = "x86_64") { 183 } else { 62 };
        program(scene, &elf, 0o755)
    }),
    Case("The script has no first line", |scene| program(scene, b"echo hello\n", 0o755)),
    Case("The program is empty", |scene| program(scene, b"", 0o755)),
    Case("The interpreter is missing", |scene| program(scene, b"#!/usr/bin/python3 -u\n", 0o755)),
    Case("The script has line ends of Windows", |scene| program(scene, b"#!/bin/sh\r\necho hello\r\n", 0o755)),
    Case("The ELF loader is missing", |scene| program(scene, &dynamic("/lib64/ld-nosuch.so.2"), 0o755)),
    Case("A filter refuses execve", |scene| {
        filter(scene, "SCMP_ACT_ERRNO");
        args(scene, &["/bin/true"])
    }),
    Case("A filter kills at execve", |scene| {
        filter(scene, "SCMP_ACT_KILL_PROCESS");
        args(scene, &["/bin/true"])
    }),
    Case("The root filesystem is missing", |scene| {
        scene.config["root"]["path"] = json!("nosuch");
        args(scene, &["/bin/true"])
    }),
    Case("The source of a mount is missing", |scene| {
        mount(scene, json!({"destination": "/data", "source": "/nonexistent/data", "options": ["bind"]}));
        args(scene, &["/bin/true"])
    }),
    Case("The filesystem is unknown", |scene| {
        mount(scene, json!({"destination": "/data", "type": "tmpfss", "source": "tmpfss"}));
        args(scene, &["/bin/true"])
    }),
    Case("The group of the terminals is not mapped", |scene| {
        let map = json!([{"containerID": 0, "hostID": 0, "size": 2}]);
        scene.config["linux"]["uidMappings"] = map.clone();
        scene.config["linux"]["gidMappings"] = map;
        scene.config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({"type": "user"}));
        scene.config["mounts"][2]["options"].as_array_mut().unwrap().push(json!("gid=5"));
        args(scene, &["/bin/true"])
    }),
    Case("The filesystem does not have the option", |scene| {
        tmpfs(scene, "/data", json!(["sice=64k"]));
        args(scene, &["/bin/true"])
    }),
    Case("The option has another value", |scene| {
        tmpfs(scene, "/data", json!(["size=lots"]));
        args(scene, &["/bin/true"])
    }),
    Case("An overlay does not have the option", |scene| overlay(scene, json!(["lowerdir=/tmp:/usr", "upperdr=/tmp"]))),
    Case("A lower directory of an overlay is missing", |scene| {
        overlay(scene, json!(["lowerdir=/tmp:/nonexistent/layer"]))
    }),
    Case("The upper directory of an overlay is missing", |scene| {
        overlay(scene, json!(["lowerdir=/tmp", "upperdir=/nonexistent/upper", "workdir=/nonexistent/work"]))
    }),
    Case("An overlay has no lower directory", |scene| overlay(scene, json!([]))),
    Case("An overlay has an upper directory alone", |scene| overlay(scene, json!(["lowerdir=/tmp", "upperdir=/usr"]))),
    Case("The mount point is in a read-only mount", |scene| {
        mount(scene, json!({"destination": "/data", "source": "/usr", "options": ["bind", "ro"]}));
        tmpfs(scene, "/data/nosuch", json!([]));
        args(scene, &["/bin/true"])
    }),
    Case("The mount point is below a file", |scene| {
        fs::write(scene.dir.join("rootfs/file"), "").unwrap();
        mount(scene, json!({"destination": "/file", "source": "/etc/passwd", "options": ["bind"]}));
        tmpfs(scene, "/file/nosuch", json!([]));
        args(scene, &["/bin/true"])
    }),
    Case("The mount point is in a filesystem of the kernel", |scene| {
        mount(scene, json!({"destination": "/sys", "type": "sysfs", "source": "sysfs"}));
        tmpfs(scene, "/sys/nosuch", json!([]));
        args(scene, &["/bin/true"])
    }),
    Case("The limit of processes is too large", |scene| {
        scene.config["linux"]["resources"] = json!({"pids": {"limit": 99_999_999}});
        args(scene, &["/bin/true"])
    }),
    Case("A number stands in quotes", |scene| {
        written(scene, "{\n  \"linux\": {\"resources\": {\"memory\": {\"limit\": \"512M\"}}}\n}")
    }),
    Case("A truth value stands in quotes", |scene| {
        written(scene, "{\n  \"process\": {\n    \"terminal\": \"true\"\n  }\n}")
    }),
    Case("A text stands where a list is expected", |scene| written(scene, "{\"process\": {\"args\": \"sh\"}}")),
    Case("A text stands where an object is expected", |scene| written(scene, "{\"mounts\": [\"/proc\"]}")),
    Case("A number stands where a text is expected", |scene| written(scene, "{\n  \"hostname\": 5\n}")),
    Case("A number is too large", |scene| written(scene, "{\"process\": {\"user\": {\"uid\": 5000000000}}}")),
    Case("A namespace is missing", |scene| {
        let namespace = json!({"type": "network", "path": "/run/netns/nosuch"});
        scene.config["linux"]["namespaces"].as_array_mut().unwrap().push(namespace);
        args(scene, &["/bin/true"])
    }),
    Case("The quota of CPU time is too small", |scene| {
        scene.config["linux"]["resources"] = json!({"cpu": {"quota": 10}});
        args(scene, &["/bin/true"])
    }),
    Case("The CPUs are not there", |scene| {
        scene.config["linux"]["resources"] = json!({"cpu": {"cpus": "999"}});
        args(scene, &["/bin/true"])
    }),
    Case("The bundle is missing", |_| vec!["run", "--bundle", "/nonexistent/bundle", "ID"]),
    Case("The root filesystem is a file", |scene| {
        scene.config["root"]["path"] = json!("config.json");
        args(scene, &["/bin/true"])
    }),
    Case("The source of a mount is below a file", |scene| {
        mount(scene, json!({"destination": "/data", "source": "/etc/passwd/data", "options": ["bind"]}));
        args(scene, &["/bin/true"])
    }),
    Case("A comma too many in config.json", |scene| written(scene, "{\"ociVersion\": \"1.0.2\",}")),
    Case("A comment in config.json", |scene| written(scene, "{ // a web server\n\"ociVersion\": \"1.0.2\"}")),
    Case("Single quotes in config.json", |scene| written(scene, "{'ociVersion': '1.0.2'}")),
    Case("A byte order mark in config.json", |scene| written(scene, "\u{feff}{\"ociVersion\": \"1.0.2\"}")),
    Case("A terminal without a socket", |scene| {
        scene.config["process"]["terminal"] = json!(true);
        vec!["create", "ID"]
    }),
    Case("A socket without a terminal", |_| vec!["create", "--console-socket", "/nonexistent/socket", "ID"]),
    Case("Nobody listens on the socket of the terminal", |scene| {
        scene.config["process"]["terminal"] = json!(true);
        vec!["create", "--console-socket", "/nonexistent/socket", "ID"]
    }),
    Case("The state directory is another user's", |_| vec!["AS-USER", "state", "ID"]),
    Case("The state directory is another user's, at create", |_| vec!["AS-USER", "run", "ID"]),
    Case("The state directory is another user's, at list", |_| vec!["AS-USER", "list"]),
    Case("The container does not exist", |_| vec!["state", "ID"]),
    Case("The container's id has other characters", |_| vec!["state", "a b"]),
    Case("The format is unknown", |_| vec!["list", "--format", "yaml"]),
    Case("The signal is unknown", |_| vec!["kill", "ID", "SIGTREM"]),
    Case("The id is empty", |_| vec!["state", ""]),
    Case("A size is no number", |_| vec!["update", "--memory", "lots", "ID"]),
    Case("An option is misspelt", |_| vec!["run", "--bundel", "/bundle", "ID"]),
    Case("The format of the log is unknown", |_| vec!["--log-format", "yaml", "list"]),
    Case("A command of Docker: rm", |_| vec!["rm", "ID"]),
    Case("A command of Docker: stop", |_| vec!["stop", "ID"]),
    Case("A command of Docker: logs", |_| vec!["logs", "ID"]),
    Case("A command of Docker: stats", |_| vec!["stats", "ID"]),
    Case("A command of Docker: pull", |_| vec!["pull", "busybox"]),
    Case("A command of Docker: images", |_| vec!["images"]),
];

fn args(scene: &mut Scene, args: &[&str]) -> Vec<&'static str> {
    scene.config["process"]["args"] = json!(args);
    RUN.to_vec()
}

/// Runs a file with these bytes and this mode.
fn program(scene: &mut Scene, bytes: &[u8], mode: u32) -> Vec<&'static str> {
    let path = scene.dir.join("rootfs/bin/program");
    fs::write(&path, bytes).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    args(scene, &["/bin/program"])
}

/// Runs with this text as the config.
fn written(scene: &mut Scene, text: &str) -> Vec<&'static str> {
    fs::write(scene.dir.join("written.json"), text).unwrap();
    vec!["run", "--config", "written.json", "ID"]
}

fn mount(scene: &mut Scene, mount: Value) {
    scene.config["mounts"].as_array_mut().unwrap().push(mount);
}

fn tmpfs(scene: &mut Scene, destination: &str, options: Value) {
    mount(scene, json!({"destination": destination, "type": "tmpfs", "source": "tmpfs", "options": options}));
}

/// Runs with an overlay of these options.
fn overlay(scene: &mut Scene, options: Value) -> Vec<&'static str> {
    mount(scene, json!({"destination": "/data", "type": "overlay", "source": "overlay", "options": options}));
    args(scene, &["/bin/true"])
}

fn filter(scene: &mut Scene, action: &str) {
    let rule = json!({"names": ["execve", "execveat"], "action": action});
    scene.config["linux"]["seccomp"] = json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]});
}

/// An ELF file of this machine that names a loader and has nothing else.
fn dynamic(loader: &str) -> Vec<u8> {
    let mut elf = fs::read("/bin/busybox").unwrap()[..64].to_vec();
    elf[32..40].copy_from_slice(&64u64.to_le_bytes());
    elf[56..58].copy_from_slice(&1u16.to_le_bytes());
    let length = loader.len() as u64 + 1;
    let words = [3 | 4 << 32, 120, 120, 120, length, length, 1u64];
    elf.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    elf.extend(loader.as_bytes());
    elf.push(0);
    elf
}

/// The message of the failure, with the names of this run replaced.
fn message(case: &Case) -> Option<String> {
    message_of(case, |_| {})
}

/// The same with another change of the scene.
fn message_of(case: &Case, change: impl Fn(&mut Scene)) -> Option<String> {
    // A copy of the runtime that another thread's child still has open for writing cannot be executed (ETXTBSY).
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = ALONE.lock();
    let mut scene = Scene::new()?;
    let mut words = case.1(&mut scene);
    change(&mut scene);
    fs::write(scene.dir.join("config.json"), scene.config.to_string()).unwrap();
    let state = scene.dir.join("state");
    fs::create_dir_all(&state).unwrap();
    let runtime = scene.dir.join("orlop");
    fs::copy(&scene.runtime, &runtime).unwrap();
    let mut command = Command::new(&runtime);
    command.arg0("orlop").arg("--root").arg(&state);
    if words[0] == "AS-USER" {
        words.remove(0);
        fs::set_permissions(&state, fs::Permissions::from_mode(0o700)).unwrap();
        command.uid(1000).gid(1000);
    }
    command.args(words.iter().map(|word| if *word == "ID" { scene.id.as_str() } else { *word }));
    command.current_dir(&scene.dir).stdin(Stdio::null()).stdout(Stdio::null()).env_remove("XDG_RUNTIME_DIR");
    let output = command.output().unwrap();
    assert!(!output.status.success(), "{}: it succeeded", case.0);
    let said = String::from_utf8(output.stderr).unwrap();
    let line = said.lines().next_back().unwrap_or_default();
    let said = line.split_once("level=error msg=").map_or(line, |(_, said)| said);
    let said = serde_json::from_str::<String>(said).unwrap_or_else(|_| said.to_owned());
    let said = said.replace(scene.dir.to_str().unwrap(), "/bundle").replace(&scene.id, "box");
    let cpus = fs::read_to_string("/sys/devices/system/cpu/online").unwrap();
    let said = said.replace(&format!("the CPUs {};", cpus.trim()), "the CPUs 0-1;");
    // As do the numbers of descriptors on the number of hierarchies.
    let said = said.split("(fd ").enumerate().fold(String::new(), |all, (n, part)| match n {
        0 => part.to_owned(),
        _ => all + "(fd N" + part.trim_start_matches(|c: char| c.is_ascii_digit()),
    });
    // Number, file and value depend on the version of cgroups.
    let Some((before, call)) = said.split_once(": write(fd") else { return Some(said) };
    Some(format!("{before}: write(...)){}", call.split_once("\")").unwrap().1).replace("...))", "...)"))
}

fn page() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/troubleshooting.md")
}

/// The messages of the page by their titles.
fn parse(page: &str) -> Vec<(String, String)> {
    let section = |text: &str| {
        let (title, rest) = text.split_once('\n')?;
        let message = rest.trim_start().strip_prefix("```text\n")?.split_once("\n```")?.0;
        Some((title.trim().to_owned(), message.to_owned()))
    };
    page.split("\n## ").skip(1).filter_map(section).collect()
}

fn write(messages: &[(String, String)]) {
    let mut text = fs::read_to_string(page()).unwrap_or_default();
    let head = text.find("\n## ").unwrap_or(text.len());
    text.truncate(head);
    for (title, message) in messages {
        text += &format!("\n## {title}\n\n```text\n{message}\n```\n");
    }
    fs::write(page(), text).unwrap();
}

#[test]
fn every_usual_failure_has_the_message_that_the_troubleshooting_page_shows() {
    let mut made = Vec::new();
    for case in CASES {
        let Some(message) = message(case) else { return };
        made.push((case.0.to_owned(), message));
    }
    if std::env::var_os("WRITE_MESSAGES").is_some() {
        return write(&made);
    }
    let shown = parse(&fs::read_to_string(page()).unwrap());
    for (made, shown) in made.iter().zip(&shown) {
        assert_eq!(made, shown);
    }
    assert_eq!(made.len(), shown.len());
}

/// Where the kernel notices it depends on the version of cgroups.
#[test]
fn a_memory_limit_that_is_too_small_to_start_is_named_with_the_least_that_is_needed() {
    for limit in [4096, 8192] {
        let case = Case("The limit of memory is too small to start", |scene| args(scene, &["/bin/true"]));
        let Some(message) = message_of(&case, |scene| {
            scene.config["linux"]["resources"] = json!({"memory": {"limit": limit}});
        }) else {
            return;
        };
        let is_named = message.contains("linux.resources.memory.limit") && message.contains(&limit.to_string());
        assert!(is_named && message.contains("1048576 at least"), "{limit}: {message}");
    }
}
