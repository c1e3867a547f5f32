//! Limits of a container that could hit what the runtime does to make it: each in every command, where the container is at the
//! limit, and one and two below.

use super::{Ended, Scene, USER_BASE};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::chown;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// What else the container has.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Variant {
    Plain,
    /// A reaping init of the runtime's.
    Init,
    /// A user namespace of its own.
    Mapped,
    /// A terminal.
    Terminal,
    /// A hook of each kind that runs in the container's namespaces.
    Hooks,
    /// More mounts than a small limit of open files has places.
    Mounts,
}

use Variant::{Hooks, Init, Mapped, Mounts, Plain, Terminal};

const VARIANTS: [Variant; 6] = [Plain, Init, Mapped, Terminal, Hooks, Mounts];

/// A limit, as it is put into a config.
struct Limit {
    name: String,
    set: Box<dyn Fn(&mut Value)>,
    /// The line of /proc/PID/limits and its soft and hard value, if it is one of `setrlimit(2)`.
    seen: Option<(&'static str, String)>,
}

fn rlimit(name: &str, line: &'static str, value: u64) -> Limit {
    let kind = format!("RLIMIT_{name}");
    Limit {
        name: format!("{kind} {value}"),
        set: Box::new(move |config| {
            config["process"]["rlimits"] = json!([{"type": kind, "soft": value, "hard": value}]);
        }),
        seen: Some((line, format!("{value} {value}"))),
    }
}

fn resources(name: &str, resources: Value) -> Limit {
    Limit {
        name: format!("{name} {resources}"),
        set: Box::new(move |config| config["linux"]["resources"] = resources.clone()),
        seen: None,
    }
}

/// The smallest of these values with which the host runs the program of the containers.
fn smallest(flag: &str, values: &[u64]) -> u64 {
    let runs = |value: &&u64| {
        let mut command = Command::new("prlimit");
        command.arg(format!("--{flag}={value}:{value}")).args(["/bin/busybox", "cat", "/proc/self/limits"]);
        command.output().unwrap().status.success()
    };
    *values.iter().find(runs).unwrap()
}

fn limits() -> Vec<Limit> {
    let sizes: Vec<u64> = (14..30).map(|shift| 1 << shift).collect();
    let mut all = Vec::new();
    for value in [0, 1, 2, 3, 5, 8, 16, 20, 64] {
        all.push(rlimit("NOFILE", "Max open files", value));
    }
    for value in [0, 1, 4096] {
        all.push(rlimit("FSIZE", "Max file size", value));
        all.push(rlimit("MEMLOCK", "Max locked memory", value));
        all.push(rlimit("CORE", "Max core file size", value));
        all.push(rlimit("SIGPENDING", "Max pending signals", value));
    }
    all.push(rlimit("CPU", "Max cpu time", 1));
    all.push(rlimit("STACK", "Max stack size", smallest("stack", &sizes)));
    all.push(rlimit("AS", "Max address space", smallest("as", &sizes)));
    all.push(rlimit("DATA", "Max data size", smallest("data", &sizes)));
    for limit in [1, 2, 3] {
        all.push(resources("pids", json!({"pids": {"limit": limit}})));
    }
    all.push(resources("memory", json!({"memory": {"limit": 4 << 20}})));
    all.push(resources("cpuset", json!({"cpu": {"cpus": "0", "mems": "0"}})));
    all
}

/// A container with the limit, whose program says which limits it has and stays.
fn scene(variant: Variant, limit: &Limit) -> Option<Scene> {
    let mut scene = Scene::new()?;
    scene.config["process"]["args"] = json!(["/bin/sleep", "1000"]);
    (limit.set)(&mut scene.config);
    match variant {
        Mapped => {
            scene.namespace("user", None);
            chown(scene.dir.join("bundle/rootfs"), Some(USER_BASE), Some(USER_BASE)).unwrap();
        }
        Terminal => scene.config["process"]["terminal"] = json!(true),
        Hooks => {
            let hook = json!([{"path": "/bin/busybox", "args": ["busybox", "true"]}]);
            scene.config["hooks"] = json!({"createContainer": hook, "startContainer": hook});
        }
        Mounts => {
            let source = scene.dir.join("source");
            fs::create_dir(&source).unwrap();
            for n in 0..40 {
                let mount = json!({"destination": format!("/many/{n}"), "source": source, "options": ["bind"]});
                scene.config["mounts"].as_array_mut().unwrap().push(mount);
            }
        }
        Plain | Init => {}
    }
    scene.write_config();
    Some(scene)
}

/// Whether the kernel alone refuses it: the container has one more process of its own than it may have.
fn is_too_small(variant: Variant, limit: &Limit) -> bool {
    limit.name.contains("{\"limit\":1}") && matches!(variant, Init | Hooks)
}

/// Compares the limits of a process with what the config says.
fn check(pid: u32, limit: &Limit) -> Result<(), String> {
    let Some((line, expected)) = &limit.seen else { return Ok(()) };
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).map_err(|e| format!("{pid}: {e}"))?;
    let found = limits.lines().find_map(|text| text.strip_prefix(line)).unwrap_or_default();
    let found = found.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
    if found == *expected { Ok(()) } else { Err(format!("{line} is {found}, not {expected}")) }
}

/// Makes a container by these commands, and one more process in it; what went wrong.
fn walk(variant: Variant, limit: &Limit, by_run: bool) -> Result<(), String> {
    let Some(scene) = scene(variant, limit) else { return Ok(()) };
    let socket = scene.dir.join("console");
    let _console = UnixListener::bind(&socket).unwrap();
    let mut flags: Vec<&str> = Vec::new();
    if variant == Terminal {
        flags.extend(["--console-socket", socket.to_str().unwrap()]);
    }
    if variant == Init {
        flags.push("--init");
    }
    let failed = |what: &str, ended: Ended| Err(format!("{what}: {:?} {}", ended.code, ended.error));
    let mut made = if by_run {
        scene.try_detached("run", &[&flags[..], &["--detach"]].concat())
    } else {
        scene.try_detached("create", &flags)
    };
    if made.code == Some(0) && !by_run {
        made = scene.start();
    }
    if is_too_small(variant, limit) {
        let named = made.code == Some(1) && made.error.contains("pids.limit");
        return if named { Ok(()) } else { failed("a container that is too small", made) };
    }
    if made.code != Some(0) {
        return failed("make", made);
    }
    let init = fs::read_to_string(scene.dir.join("pid")).unwrap().parse().unwrap();
    check(init, limit)?;
    let pid = scene.dir.join("exec-pid");
    let mut flags = vec!["--detach", "--pid-file", pid.to_str().unwrap()];
    if variant == Terminal {
        flags.extend(["--tty", "--console-socket", socket.to_str().unwrap()]);
    }
    let error = scene.dir.join("error");
    let mut command = scene.command("exec", &flags, &["/bin/sleep", "1000"]);
    command.stdout(std::process::Stdio::null()).stderr(fs::File::create(&error).unwrap());
    let code = command.status().unwrap().code();
    if code != Some(0) {
        return Err(format!("exec: {code:?} {}", fs::read_to_string(&error).unwrap()));
    }
    let exec: u32 = fs::read_to_string(&pid).unwrap().parse().unwrap();
    check(exec, limit)?;
    // One after another enters, and each is counted.
    let (theirs, ours) = (cgroups(init)?, cgroups(exec)?);
    if theirs != ours { Err(format!("exec is in {ours:?}, not {theirs:?}")) } else { nothing_left() }
}

fn cgroups(pid: u32) -> Result<String, String> {
    fs::read_to_string(format!("/proc/{pid}/cgroup")).map_err(|e| format!("{pid}: {e}"))
}

/// No cgroup is left that was made for one fork.
fn nothing_left() -> Result<(), String> {
    let cgroups = fs::read_to_string("/proc/self/cgroup").unwrap();
    for line in cgroups.lines() {
        let (names, path) = line.split_once(':').unwrap().1.split_once(':').unwrap();
        let mount = match names {
            "" if Path::new("/sys/fs/cgroup/cgroup.controllers").exists() => String::new(),
            "" => "/unified".into(),
            names => format!("/{}", names.trim_start_matches("name=")),
        };
        let directory = format!("/sys/fs/cgroup{mount}{path}");
        let list = fs::read_dir(directory).into_iter().flatten().flatten();
        let left: Vec<_> =
            list.filter(|entry| entry.file_name().to_string_lossy().starts_with("orlop-exec-")).collect();
        // Other tests may be in theirs.
        let is_old =
            |entry: &fs::DirEntry| fs::read_to_string(entry.path().join("cgroup.procs")).is_ok_and(|p| p.is_empty());
        if let Some(entry) = left.iter().find(|entry| is_old(entry) && entry.path().exists()) {
            return Err(format!("{:?} is left", entry.path()));
        }
    }
    Ok(())
}

#[test]
fn no_limit_of_a_container_hits_what_the_runtime_does_to_make_it_or_to_enter_it() {
    if Scene::new().is_none() {
        return;
    }
    let mut wrong = Vec::new();
    // An emulated machine takes seconds for a container: there it is those that depend on the machine.
    let only = std::env::var("LIMITS").unwrap_or_default();
    for (n, limit) in limits().iter().filter(|limit| limit.name.contains(&only)).enumerate() {
        for (m, variant) in VARIANTS.into_iter().enumerate() {
            // Both ways for each limit and for each variant; `make soak` tries all.
            let all = std::env::var_os("SOAK").is_some();
            for by_run in [true, false].into_iter().filter(|by_run| all || *by_run == ((n + m) % 2 == 0)) {
                if let Err(text) = walk(variant, limit, by_run) {
                    let how = if by_run { "run" } else { "create and start" };
                    wrong.push(format!("{}, {variant:?}, {how}: {text}", limit.name));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}: {wrong:#?}", wrong.len());
}

/// A user that nobody else has, so that the kernel counts the processes of one container alone.
fn own_user() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    1_000_000 + std::process::id() % 100_000 * 1000 + NEXT.fetch_add(1, Ordering::Relaxed)
}

#[test]
fn exec_gets_in_where_the_user_has_as_many_processes_as_it_may_have() {
    for variant in [Plain, Init, Terminal, Hooks] {
        for (processes, limit) in [(1, 1), (1, 2), (2, 2), (2, 3), (3, 3)] {
            if variant == Init && limit == 1 {
                // The reaping init is one of them.
                continue;
            }
            let limit = rlimit("NPROC", "Max processes", limit);
            let Some(mut scene) = scene(variant, &limit) else { return };
            let uid = own_user();
            scene.config["process"]["user"] = json!({"uid": uid, "gid": uid});
            scene.config["process"]["terminal"] = json!(false);
            scene.write_config();
            let flags: &[&str] = if variant == Init { &["--init", "--detach"] } else { &["--detach"] };
            let made = scene.try_detached("run", flags);
            assert_eq!(made.code, Some(0), "{} {variant:?}: {made:?}", limit.name);
            let own = if variant == Init { 2 } else { 1 };
            for _ in own..processes {
                check(scene.exec_detached(&["/bin/sleep", "1000"]), &limit).unwrap();
            }
            let last = scene.exec_detached(&["/bin/sleep", "1000"]);
            check(last, &limit).unwrap();
        }
    }
}

#[test]
fn a_program_whose_user_has_too_many_processes_is_refused_by_name() {
    let Some(mut scene) = Scene::new() else { return };
    let uid = own_user();
    let mut others: Vec<_> = (0..3)
        .map(|_| {
            let id = uid.to_string();
            let mut command = Command::new("setpriv");
            command.args(["--reuid", &id, "--regid", &id, "--clear-groups", "sleep", "100"]).spawn().unwrap()
        })
        .collect();
    // They are counted once they have become the user.
    let is_user =
        |pid: u32| fs::read_to_string(format!("/proc/{pid}/status")).unwrap().contains(&format!("Uid:\t{uid}"));
    while !others.iter().all(|other| is_user(other.id())) {
        std::thread::yield_now();
    }
    scene.config["process"]["user"] = json!({"uid": uid, "gid": uid});
    let rlimit = |soft: u64| json!([{"type": "RLIMIT_NPROC", "soft": soft, "hard": 100}]);
    scene.config["process"]["rlimits"] = rlimit(2);
    scene.config["process"]["args"] = json!(["/bin/true"]);
    let refused = scene.run();
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.error.contains("exec /bin/true: resource temporarily unavailable"), "{refused:?}");
    assert!(refused.error.contains(&format!("user {uid}")) && refused.error.contains("RLIMIT_NPROC"), "{refused:?}");
    scene.config["process"]["rlimits"] = rlimit(3);
    scene.run().ok();
    others.iter_mut().for_each(|other| {
        other.kill().unwrap();
        other.wait().unwrap();
    });
}

#[test]
fn a_limit_is_the_configs_whatever_the_number_of_mounts_and_the_callers_own() {
    for mapped in [false, true] {
        for mounts in [0, 500] {
            for (caller, expected) in
                [("", "512 20000"), ("ulimit -Sn 16", "512 20000"), ("ulimit -Sn 10", "512 20000")]
            {
                let limit = resources("none", json!({}));
                let Some(mut scene) = scene(if mapped { Mapped } else { Plain }, &limit) else { return };
                let source = scene.dir.join("source");
                fs::create_dir(&source).unwrap();
                for n in 0..mounts {
                    let mount = json!({"destination": format!("/many/{n}"), "source": source, "options": ["bind"]});
                    scene.config["mounts"].as_array_mut().unwrap().push(mount);
                }
                scene.config["process"]["rlimits"] = json!([{"type": "RLIMIT_NOFILE", "soft": 512, "hard": 20000}]);
                scene.caller = caller.into();
                let init = scene.run_detached();
                let exec = scene.exec_detached(&["/bin/sleep", "1000"]);
                let limit = Limit { seen: Some(("Max open files", expected.into())), ..limit };
                check(init, &limit).and_then(|()| check(exec, &limit)).unwrap();
            }
        }
    }
}

#[test]
fn every_command_works_for_a_caller_with_few_open_files() {
    let Some(mut scene) = Scene::new() else { return };
    scene.caller = "ulimit -Sn 12".into();
    let init = scene.create();
    let expected = fs::read_to_string("/proc/self/limits").unwrap();
    let hard = expected.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
    let hard = hard.split_whitespace().nth(1).unwrap();
    scene.start().ok();
    for (name, more) in [("state", &[][..]), ("ps", &[]), ("pause", &[]), ("resume", &[]), ("kill", &["0"])] {
        super::ended(scene.command(name, &[], more).output().unwrap()).ok();
    }
    let files = fs::read_to_string(format!("/proc/{init}/limits")).unwrap();
    let files = files.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
    assert_eq!(files.split_whitespace().take(2).collect::<Vec<_>>(), ["12", hard]);
    super::ended(scene.command("update", &["--pids-limit", "100"], &[]).output().unwrap()).ok();
    scene.exec(&[], &["/bin/true"]).ok();
    super::ended(scene.command("delete", &["--force"], &[]).output().unwrap()).ok();
}
