//! `orlop explain`: the plan of a bundle, and the drift of a container from it.

use integration::bundle;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn orlop() -> Option<PathBuf> {
    let orlop = std::env::var_os("RUNTIME").map_or_else(|| here().join("../out/orlop"), PathBuf::from);
    if !orlop.exists() || !orlop.with_file_name("orlop-bundle").exists() {
        integration::skip::skip("no orlop and orlop-bundle; run `make` or set RUNTIME");
        return None;
    }
    Some(orlop)
}

fn output(command: &mut Command) -> (i32, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    (status.code().unwrap(), String::from_utf8(stdout).unwrap() + &String::from_utf8(stderr).unwrap())
}

/// A question about a config: the heading of its section, the subject of the line, and a part of the answer. A part that begins
/// with `!` must not be in it.
type Question = (&'static str, &'static str, &'static str);

/// The lines of a section that have this subject.
fn answer(text: &str, heading: &str, subject: &str) -> String {
    let section = text.split("\n\n").find(|section| section.trim_start().starts_with(heading));
    let section = section.unwrap_or_else(|| panic!("no section {heading}:\n{text}"));
    let lines: Vec<&str> = section.lines().collect();
    let mut found = String::new();
    for (n, line) in lines.iter().enumerate().filter(|(_, line)| line.starts_with(&format!("  {subject}"))) {
        let next = if line.trim() == subject { lines.get(n + 1).copied() } else { None };
        found += line.strip_prefix("  ").unwrap().strip_prefix(subject).unwrap();
        found += next.unwrap_or_default();
    }
    assert!(!found.is_empty(), "{heading}: no line about {subject}:\n{section}");
    found
}

fn ask(engine: &str, questions: &[Question]) {
    let Some(orlop) = orlop() else { return };
    let config = here().join(format!("../src/config/testdata/engines/{engine}.json"));
    let (code, text) = output(Command::new(orlop).arg("explain").arg(config));
    assert_eq!(code, 0, "{text}");
    for (heading, subject, part) in questions {
        let answer = answer(&text, heading, subject);
        match part.strip_prefix('!') {
            Some(part) => assert!(!answer.contains(part), "{engine}: {heading}: {subject}: {answer}"),
            None => assert!(answer.contains(part), "{engine}: {heading}: {subject}: {answer}, not {part}"),
        }
    }
}

#[test]
fn ten_questions_about_a_container_of_docker_are_answered() {
    ask(
        "docker",
        &[
            ("Namespaces", "pid", "new"),
            ("Namespaces", "user", "the host's"),
            (
                "Control groups",
                "directory (",
                "/docker/96567842fb099a1e1955e990a17c15f5403dfe6b5523537dcab2bc8ec17ce7b6",
            ),
            ("Mounts", "/dev/shm", "size=67108864"),
            ("Mounts", "/sys  ", "ro,nosuid,nodev,noexec"),
            ("Masked paths", "/proc/kcore", "masked"),
            ("Read-only paths", "/proc/sys  ", "read-only"),
            ("Hooks", "prestart[0]", "on the host"),
            ("Credentials", "bounding capabilities", "!CAP_SYS_ADMIN"),
            ("System calls", "mount  ", "fails with EPERM"),
            ("System calls", "clone  ", "allowed if argument 0 & 0x7e020000 == 0x0"),
            ("Writable places", "/etc/resolv.conf", "the host's /var/lib/docker/containers/"),
            ("Kernel parameters", "/proc/sys/net/ipv4/ip_unprivileged_port_start", "0"),
        ],
    );
}

#[test]
fn ten_questions_about_a_container_of_podman_are_answered() {
    ask(
        "podman",
        &[
            ("Processes", "count", "1 from the clone to the program"),
            ("Namespaces", "hostname", "20c179c66b0a"),
            ("Namespaces", "cgroup", "the host's"),
            ("Control groups", "pids.max", "\"2048\""),
            ("Mounts", "/dev/shm", "bind of /var/lib/containers/storage"),
            ("Mounts", "/dev/shm", "nosuid,nodev,noexec"),
            ("Mounts", "/sys/fs/cgroup", "rprivate"),
            ("Credentials", "umask", "0022"),
            ("Credentials", "no_new_privs", "not set"),
            ("Limits", "RLIMIT_NPROC", "soft 32768, hard 32768"),
            ("System calls", "mount  ", "allowed"),
            ("System calls", "keyctl", "allowed"),
            ("Writable places", "/run/.containerenv", "the host's /run/containers/storage"),
        ],
    );
}

#[test]
fn ten_questions_about_a_container_of_containerd_are_answered() {
    ask(
        "containerd",
        &[
            ("Processes", "clone3", "mount, pid, network, ipc, uts"),
            ("Namespaces", "time", "the host's"),
            ("Control groups", "directory (", "/default/cfgx"),
            ("Root filesystem", "source", "/rootfs"),
            ("Root filesystem", "access", "writable"),
            ("Mounts", "/run", "new tmpfs (source tmpfs) with mode=755,size=65536k; rw,nosuid,strictatime"),
            ("Device nodes", "/dev/null", "character device 1:3, mode 0666"),
            ("Device rules", "rule 1 ", "deny a *:* rwm"),
            ("Program", "command", "\"/bin/sh\" \"-c\" \"echo hi\""),
            ("Credentials", "no_new_privs", "set: execve gives no rights"),
            ("Credentials", "user", "0"),
            ("Limits", "RLIMIT_NOFILE", "soft 1024, hard 1024"),
            ("System calls", "execve  ", "allowed"),
            ("Writable places", "/run", "gone with the container"),
        ],
    );
}

/// A bundle with a busybox in a place that everyone may enter, and a container made of it.
struct Scene {
    directory: PathBuf,
    orlop: PathBuf,
    name: String,
}

impl Scene {
    fn new() -> Option<Scene> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        if fs::metadata("/proc/self").unwrap().uid() != 0 {
            integration::skip::skip("needs root");
            return None;
        }
        let orlop = orlop()?;
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("orlop-explain-{}-{number}", std::process::id());
        let directory = std::env::temp_dir().join(&name);
        for name in ["bin", "proc", "dev", "sys", "m/a", "m/b", "masked", "read-only"] {
            fs::create_dir_all(directory.join("rootfs").join(name)).unwrap();
        }
        for name in ["volume", "state"] {
            fs::create_dir(directory.join(name)).unwrap();
        }
        fs::copy("/bin/busybox", directory.join("rootfs/bin/busybox")).unwrap();
        for applet in ["sh", "sleep", "mount", "umount"] {
            symlink("busybox", directory.join("rootfs/bin").join(applet)).unwrap();
        }
        fs::write(directory.join("rootfs/secret"), "x").unwrap();
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o755)).unwrap();
        Some(Scene { directory, orlop, name })
    }

    fn run(&self, words: &[&str]) -> (i32, String) {
        let mut command = Command::new(&self.orlop);
        command
            .arg("--root")
            .arg(self.directory.join("state"))
            .args(bundle::Scene::flags())
            .args(words)
            .current_dir(&self.directory);
        // The container's process keeps the descriptors of `create`, so that a pipe would stay open.
        let file = self.directory.join("output");
        let sink = || Stdio::from(fs::OpenOptions::new().create(true).append(true).open(&file).unwrap());
        fs::write(&file, "").unwrap();
        let status = command.stdin(Stdio::null()).stdout(sink()).stderr(sink()).status().unwrap();
        (status.code().unwrap(), fs::read_to_string(&file).unwrap())
    }

    fn create(&self, config: &Value) {
        fs::write(self.directory.join("config.json"), config.to_string()).unwrap();
        let (code, text) = self.run(&["create", &self.name]);
        assert_eq!(code, 0, "{text}\n{config:#}");
    }

    fn pid(&self) -> String {
        let (_, state) = self.run(&["state", &self.name]);
        serde_json::from_str::<Value>(&state).unwrap()["pid"].to_string()
    }

    /// Waits until the program is executed.
    fn wait_for_program(&self) {
        let file = format!("/proc/{}/cmdline", self.pid());
        while !fs::read_to_string(&file).unwrap().contains("sleep\u{0}1000") {
            std::thread::yield_now();
        }
    }

    /// The exit code, and the plan with its drift.
    fn explain(&self) -> (i32, Value) {
        let (code, text) = self.run(&["explain", "--format", "json", &self.name]);
        (code, serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}")))
    }

    /// The one difference between the plan and the kernel: its section and subject.
    fn drift(&self) -> Vec<(String, String)> {
        let (code, plan) = self.explain();
        assert_eq!(plan["sections"][0]["lines"][0]["value"], "compared with the kernel");
        let drift = plan["drift"].as_array().unwrap();
        assert_eq!(code, i32::from(!drift.is_empty()), "{drift:#?}");
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        drift.iter().map(|drift| (text(&drift["section"]), text(&drift["subject"]))).collect()
    }

    fn delete(&self) {
        self.run(&["delete", "--force", &self.name]);
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.delete();
        fs::remove_dir_all(&self.directory).unwrap();
    }
}

/// Numbers that look random, the same in each run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    fn some<'a>(&mut self, list: &[&'a str]) -> Vec<&'a str> {
        list.iter().copied().filter(|_| self.roll(2) == 0).collect()
    }
}

/// A config of chance that every Linux of today can make.
fn config(scene: &Scene, seed: u64) -> Value {
    let mut dice = Dice(seed);
    let options = ["nosuid", "nodev", "noexec", "ro", "noatime", "nodiratime"];
    let mut namespaces: Vec<Value> = ["pid", "mount"].iter().map(|kind| json!({"type": kind})).collect();
    namespaces.extend(dice.some(&["ipc", "uts", "network", "cgroup"]).into_iter().map(|kind| json!({"type": kind})));
    let with_users = dice.roll(3) == 0;
    let mut linux = json!({
        "cgroupsPath": bundle::Scene::cgroups_path(&scene.name),
        "maskedPaths": dice.some(&["/proc/kcore", "/masked", "/secret", "/proc/scsi", "/nowhere"]),
        "readonlyPaths": dice.some(&["/proc/sys", "/read-only", "/proc/bus", "/nowhere/else"]),
        "resources": {
            "memory": {"limit": 100_000_000 + dice.roll(1 << 24)},
            "pids": {"limit": 20 + dice.roll(100)},
            "cpu": {"shares": 2 + dice.roll(5000), "quota": 20_000 + dice.roll(50_000), "period": 100_000},
            "devices": [{"allow": false, "access": "rwm"}, {"allow": true, "type": "c", "major": 10, "minor": dice.roll(200), "access": "rw"}],
        },
    });
    if with_users {
        namespaces.push(json!({"type": "user"}));
        linux["uidMappings"] = json!([{"containerID": 0, "hostID": 100_000, "size": 65_536}]);
        linux["gidMappings"] = linux["uidMappings"].clone();
    }
    linux["namespaces"] = namespaces.into();
    let caps = dice.some(&["CAP_KILL", "CAP_CHOWN", "CAP_NET_RAW", "CAP_SETUID", "CAP_SETGID", "CAP_SYS_ADMIN"]);
    let filter = json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        {"names": ["swapon"], "action": "SCMP_ACT_ERRNO"}]});
    if dice.roll(2) == 0 {
        linux["seccomp"] = filter;
    }
    let bound = [vec!["bind", "rprivate"], dice.some(&options)].concat();
    json!({
        "ociVersion": "1.0.2",
        "root": {"path": "rootfs", "readonly": dice.roll(2) == 0},
        "process": {
            "args": ["/bin/sh", "-c", "exec /bin/sleep 1000"], "cwd": "/", "env": ["PATH=/bin"],
            "user": {"uid": dice.roll(3) * 1000, "gid": dice.roll(2) * 1000, "additionalGids": [5, 6 + dice.roll(4)]},
            "capabilities": {"bounding": caps, "permitted": caps, "effective": caps, "inheritable": [], "ambient": []},
            "noNewPrivileges": dice.roll(2) == 0,
            "oomScoreAdj": dice.roll(1000),
            "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200 + dice.roll(100)}],
        },
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "nodev", "noexec"]},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "strictatime", "mode=755"]},
            {"destination": "/sys", "type": "bind", "source": "/sys", "options": ["rbind", "rro"]},
            {"destination": "/m", "type": "tmpfs", "source": "tmpfs", "options": dice.some(&options)},
            {"destination": "/m2", "type": "tmpfs", "source": "tmpfs", "options": dice.some(&options)},
            {"destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": dice.some(&options)},
            {"destination": "/read-only", "type": "bind", "source": scene.directory.join("volume"),
             "options": bound},
        ],
        "linux": linux,
    })
}

#[test]
fn thirty_containers_of_chance_are_as_they_were_planned_before_and_after_start() {
    for seed in 0..30 {
        let Some(scene) = Scene::new() else { return };
        for name in ["m2", "m"] {
            fs::create_dir_all(scene.directory.join("rootfs").join(name)).unwrap();
        }
        let config = config(&scene, seed);
        scene.create(&config);
        assert_eq!(scene.drift(), [], "{seed}: {:#}\n{config:#}", scene.explain().1["drift"]);
        let (_, plan) = scene.explain();
        equals_mountinfo(&plan, &scene.pid());
        let (code, text) = scene.run(&["start", &scene.name]);
        assert_eq!(code, 0, "{seed}: {text}");
        scene.wait_for_program();
        assert_eq!(scene.drift(), [], "{seed}: {:#}\n{config:#}", scene.explain().1["drift"]);
    }
}

/// The attributes that the plan names for a tmpfs are those in mountinfo: compared here by other code than the companion's.
fn equals_mountinfo(plan: &Value, pid: &str) {
    let table = fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap();
    let mounts = plan["sections"].as_array().unwrap().iter().find(|section| section["id"] == "mounts").unwrap();
    let mut seen = 0;
    for line in mounts["lines"].as_array().unwrap() {
        let (point, value) = (line["subject"].as_str().unwrap(), line["value"].as_str().unwrap());
        if !value.starts_with("new tmpfs") {
            continue;
        }
        let planned: Vec<&str> = value.split("; ").nth(1).unwrap().split(',').collect();
        let found =
            table.lines().rev().find(|line| line.split(' ').nth(4) == Some(point)).unwrap_or_else(|| panic!("{table}"));
        let found: Vec<&str> = found.split(' ').nth(5).unwrap().split(',').collect();
        for attribute in ["ro", "rw", "nosuid", "nodev", "noexec", "noatime", "nodiratime"] {
            assert_eq!(
                planned.contains(&attribute),
                found.contains(&attribute),
                "{point} {attribute}: {value} {found:?}"
            );
        }
        seen += 1;
    }
    assert!(seen >= 4, "{seen} mounts");
}

/// The file of a controller, on cgroup v1 or v2.
fn cgroup_file(scene: &Scene, v1: (&str, &str), v2: &str) -> PathBuf {
    let (root, name) = (Path::new("/sys/fs/cgroup"), format!("orlop-{}", scene.name));
    let legacy = root.join(v1.0).join(&name).join(v1.1);
    let scope = root.join(format!("system.slice/{name}.scope")).join(v2);
    [legacy, scope].into_iter().find(|file| file.exists()).unwrap_or_else(|| root.join(&name).join(v2))
}

#[test]
fn a_change_behind_the_runtimes_back_is_named() {
    let Some(scene) = Scene::new() else { return };
    for name in ["m2", "m"] {
        fs::create_dir_all(scene.directory.join("rootfs").join(name)).unwrap();
    }
    let mut config = config(&scene, 1);
    config["linux"]["namespaces"] = json!(["pid", "mount", "ipc"].map(|kind| json!({"type": kind})));
    let linux = config["linux"].as_object_mut().unwrap();
    linux.retain(|name, _| !name.ends_with("Mappings"));
    config["linux"]["maskedPaths"] = json!(["/proc/kcore", "/masked"]);
    config["linux"]["readonlyPaths"] = json!(["/read-only", "/proc/sys"]);
    config["mounts"][3]["options"] = json!(["ro", "nosuid"]);
    config["mounts"][6]["options"] = json!(["bind", "rprivate"]);
    config["root"]["readonly"] = true.into();
    let memory = |scene: &Scene| cgroup_file(scene, ("memory", "memory.limit_in_bytes"), "memory.max");
    let inside = |pid: &str, words: &[&str]| {
        let mut command = Command::new("nsenter");
        let status = command.args(["-t", pid, "-m", "-p", "/bin/busybox"]).args(words).status().unwrap();
        assert!(status.success(), "{words:?}");
    };
    type Change<'a> = (&'a str, &'a str, &'a dyn Fn(&str));
    let changes: [Change<'_>; 9] = [
        ("cgroups", "memory.", &|_| fs::write(memory(&scene), "200003584").unwrap()),
        ("cgroups", "pids.max", &|_| fs::write(cgroup_file(&scene, ("pids", "pids.max"), "pids.max"), "7").unwrap()),
        ("limits", "oom_score_adj", &|pid| fs::write(format!("/proc/{pid}/oom_score_adj"), "1000").unwrap()),
        ("mounts", "/m", &|pid| inside(pid, &["mount", "-o", "remount,bind,rw,nosuid", "/m"])),
        ("mounts", "/m", &|pid| inside(pid, &["umount", "/m"])),
        ("mounts", "/dev/shm", &|pid| inside(pid, &["mount", "-t", "proc", "proc", "/dev/shm"])),
        ("masked", "/masked", &|pid| inside(pid, &["umount", "/masked"])),
        ("read-only", "/read-only", &|pid| inside(pid, &["umount", "/read-only"])),
        ("root", "access", &|pid| inside(pid, &["mount", "-o", "remount,bind,rw", "/"])),
    ];
    for (section, subject, change) in changes {
        scene.create(&config);
        assert_eq!(scene.drift(), [], "before {section} {subject}");
        change(&scene.pid());
        let drift = scene.drift();
        assert_eq!(drift.len(), 1, "{section} {subject}: {drift:?}");
        assert!(drift[0].0 == section && drift[0].1.starts_with(subject), "{section} {subject}: {drift:?}");
        let (code, text) = scene.run(&["explain", &scene.name]);
        assert!(code == 1 && text.contains("Drift: "), "{text}");
        scene.delete();
    }
}

#[test]
fn a_container_that_has_ended_is_shown_as_it_was_planned() {
    let Some(scene) = Scene::new() else { return };
    for name in ["m2", "m"] {
        fs::create_dir_all(scene.directory.join("rootfs").join(name)).unwrap();
    }
    scene.create(&config(&scene, 3));
    scene.run(&["kill", &scene.name, "KILL"]);
    while scene.run(&["state", &scene.name]).1.contains("\"status\": \"created\"") {
        std::thread::yield_now();
    }
    let (code, plan) = scene.explain();
    assert_eq!((code, &plan["drift"]), (0, &json!([])));
    assert_eq!(plan["sections"][0]["lines"][0]["value"], "not running: nothing to compare with");
}

#[test]
fn two_configs_differ_by_their_effect_and_not_by_their_text() {
    let Some(scene) = Scene::new() else { return };
    let write = |name: &str, config: &Value| fs::write(scene.directory.join(name), config.to_string()).unwrap();
    let one = config(&scene, 2);
    let mut other = one.clone();
    // Neither the order of options nor doubles have an effect.
    other["mounts"][3]["options"] = json!(["ro", "nosuid", "rw", "ro"]);
    let mut one = one;
    one["mounts"][3]["options"] = json!(["nosuid", "ro"]);
    write("a.json", &one);
    write("b.json", &other);
    let (code, text) = scene.run(&["explain", "--diff", "a.json", "b.json"]);
    assert_eq!((code, text.as_str()), (0, ""));
    other["process"]["noNewPrivileges"] = (one["process"]["noNewPrivileges"] == false).into();
    other["linux"]["seccomp"] = json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        {"names": ["swapoff"], "action": "SCMP_ACT_KILL_PROCESS"}]});
    other["process"]["env"] = json!(["PATH=/bin", "X=1"]);
    write("b.json", &other);
    let (code, text) = scene.run(&["explain", "--diff", "a.json", "b.json", "--format", "json"]);
    let document: Value = serde_json::from_str(&text).unwrap();
    let subjects: Vec<&str> =
        document["differences"].as_array().unwrap().iter().map(|d| d["subject"].as_str().unwrap()).collect();
    assert_eq!(code, 1);
    for subject in ["no_new_privs", "X"] {
        assert!(subjects.contains(&subject), "{subject}: {subjects:?}");
    }
    assert!(!subjects.iter().any(|subject| subject.starts_with("/m")), "{subjects:?}");
}

#[test]
fn the_listing_of_a_filter_names_system_calls_and_what_has_none_says_so() {
    let Some(orlop) = orlop() else { return };
    let engines = here().join("../src/config/testdata/engines");
    let (code, text) = output(Command::new(&orlop).args(["explain", "--seccomp"]).arg(engines.join("docker.json")));
    assert_eq!(code, 0, "{text}");
    for part in ["load architecture", "(SCMP_ARCH_X86_64)", "argument0.low", "fails with ENOSYS", "L"] {
        assert!(!cfg!(target_arch = "x86_64") || text.contains(part), "{part}: {text}");
    }
    let minimal = here().join("../src/config/testdata/spec/minimal.json");
    let (code, text) = output(Command::new(&orlop).args(["explain", "--seccomp"]).arg(minimal));
    assert_eq!((code, text.as_str()), (0, "no filter: every system call is allowed\n"));
}

#[test]
fn a_name_of_nothing_and_a_wrong_command_line_have_their_own_exit_code() {
    let Some(orlop) = orlop() else { return };
    let config = here().join("../src/config/testdata/engines/docker.json");
    let config = config.to_str().unwrap();
    for words in [
        &["explain", "no-such-container"][..],
        &["explain", "/no/such/bundle"],
        &["explain", "--diff", config],
        &["explain", "--section", "nothing", config],
    ] {
        let (code, text) = output(Command::new(&orlop).args(words));
        assert_eq!(code, 2, "{words:?}: {text}");
    }
}
