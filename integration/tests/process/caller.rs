//! What a container gets of the state of the runtime's caller: each row of docs/caller.md.

use super::Scene;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// A caller that has changed everything that `fork` and `execve` keep.
const CALLER: &str = "
    umask 0027
    ulimit -Sn 500; ulimit -Hn 600; ulimit -Sc 7; ulimit -Hc 8
    renice -n 5 $$ >/dev/null
    chrt -b -p 0 $$
    ionice -c 2 -n 6 -p $$
    echo 123456 >/proc/$$/timerslack_ns
    choom -n 300 -p $$ >/dev/null
    taskset -pc 0 $$ >/dev/null
    export MARK=caller
    exec 9</dev/null
    set -- env --ignore-signal=INT,QUIT,HUP,CHLD,PIPE,USR1,34,64 --block-signal=USR2,TERM \"$@\"
    exec setarch -R setpriv --inh-caps +kill,+sys_nice --ambient-caps +kill --no-new-privs --groups 5,6 \"$@\"";

/// The files of /proc/PID that tell of a process's state.
const FILES: [&str; 7] = ["status", "limits", "timerslack_ns", "personality", "oom_score_adj", "stat", "environ"];

/// Whose a part of a process's state is.
#[derive(Clone, Copy, PartialEq)]
enum Whose {
    /// The caller's.
    Caller,
    /// That of a process of the container, whoever calls.
    Container,
}

use Whose::{Caller, Container};

/// For each part of the state: the caller's, the container's, and which of them init, exec and startContainer hooks have, then
/// createContainer hooks, then those that run in the runtime's namespaces. The first column is that of docs/caller.md.
const ROWS: [(&str, &str, &str, [Whose; 3]); 16] = [
    ("ignored signals", "8000000200011207", "0000000000000000", [Container; 3]),
    ("blocked signals", "0000000000004800", "0000000000000000", [Container; 3]),
    ("CPU affinity", "0", "", [Container, Container, Caller]),
    ("umask", "0027", "", [Caller; 3]),
    ("limit of open files", "500 600", "", [Caller; 3]),
    ("limit of core files", "3584 4096", "", [Caller; 3]),
    ("nice value", "5", "", [Caller; 3]),
    ("scheduling policy", "3", "", [Caller; 3]),
    ("timer slack", "123456", "", [Caller; 3]),
    ("OOM score", "300", "", [Caller; 3]),
    ("personality", "00040000", "", [Caller; 3]),
    ("no_new_privs", "1", "", [Caller; 3]),
    ("inheritable capabilities", "0000000000800020", "0000000000000000", [Container, Caller, Caller]),
    ("ambient capabilities", "0000000000000020", "0000000000000000", [Container, Caller, Caller]),
    ("supplementary groups", "5 6", "", [Container, Caller, Caller]),
    ("environment", "MARK=caller", "", [Container; 3]),
];

/// The state of a process, from the files in a directory.
fn state(directory: &Path) -> BTreeMap<&'static str, String> {
    let read = |name: &str| fs::read_to_string(directory.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
    let status = read("status");
    let of = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap_or_default().trim().to_owned()
    };
    let limits = read("limits");
    let limit = |name: &str| {
        let line = limits.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        line.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
    };
    let stat = read("stat");
    // After the name: the state is the third field of proc_pid_stat(5).
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let environ = read("environ");
    BTreeMap::from([
        ("ignored signals", of("SigIgn")),
        ("blocked signals", of("SigBlk")),
        ("umask", of("Umask")),
        ("limit of open files", limit("Max open files")),
        ("limit of core files", limit("Max core file size")),
        ("nice value", fields[19 - 3].into()),
        ("scheduling policy", fields[41 - 3].into()),
        ("timer slack", read("timerslack_ns").trim().into()),
        ("OOM score", read("oom_score_adj").trim().into()),
        ("CPU affinity", of("Cpus_allowed_list")),
        ("personality", read("personality").trim().into()),
        ("inheritable capabilities", of("CapInh")),
        ("ambient capabilities", of("CapAmb")),
        ("no_new_privs", of("NoNewPrivs")),
        ("supplementary groups", of("Groups")),
        ("environment", environ.split('\0').filter(|entry| entry.starts_with("MARK=")).collect()),
    ])
}

/// A hook that copies its own state to a directory, without a shell, which would change it.
fn hook(busybox: &str, directory: &str) -> Value {
    let files = FILES.map(|name| format!("/proc/self/{name}"));
    let mut args = vec!["busybox".to_owned(), "cp".to_owned()];
    args.extend(files);
    args.push(directory.to_owned());
    json!([{"path": busybox, "args": args, "env": ["PATH=/bin"]}])
}

/// The states of a container's processes and of its hooks, made by a caller in this state.
fn states(caller: &str) -> Option<BTreeMap<String, BTreeMap<&'static str, String>>> {
    let mut scene = Scene::new()?;
    let mut hooks = serde_json::Map::new();
    for moment in ["prestart", "createRuntime", "createContainer", "poststart", "poststop"] {
        let directory = scene.dir.join(moment);
        fs::create_dir(&directory).unwrap();
        hooks.insert(moment.into(), hook("/bin/busybox", &directory.display().to_string()));
    }
    fs::create_dir(scene.dir.join("bundle/rootfs/tmp/startContainer")).unwrap();
    hooks.insert("startContainer".into(), hook("/bin/busybox", "/tmp/startContainer"));
    scene.config["hooks"] = hooks.into();
    scene.config["process"]["noNewPrivileges"] = json!(false);
    scene.caller = caller.into();
    let mut all = BTreeMap::new();
    let init = scene.create();
    scene.start().ok();
    all.insert("init".into(), state(format!("/proc/{init}").as_ref()));
    let priority = |pid: u32| {
        let output = std::process::Command::new("ionice").args(["-p", &pid.to_string()]).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let exec = scene.exec_detached(&["/bin/sleep", "1000"]);
    all.insert("exec".into(), state(format!("/proc/{exec}").as_ref()));
    let expected = "best-effort: prio 6";
    assert_eq!([priority(init), priority(exec)], [expected; 2], "the I/O priority");
    assert_eq!(fs::read_dir(format!("/proc/{init}/fd")).unwrap().count(), 3, "the descriptors of init");
    assert_eq!(fs::read_dir(format!("/proc/{exec}/fd")).unwrap().count(), 3, "the descriptors of exec");
    scene.delete();
    for moment in ["prestart", "createRuntime", "createContainer", "poststart", "poststop"] {
        all.insert(moment.into(), state(&scene.dir.join(moment)));
    }
    all.insert("startContainer".into(), state(&scene.dir.join("bundle/rootfs/tmp/startContainer")));
    Some(all)
}

/// The column of [`ROWS`] for a process.
fn column(process: &str) -> usize {
    match process {
        "init" | "exec" | "startContainer" => 0,
        "createContainer" => 1,
        _ => 2,
    }
}

#[test]
fn each_part_of_the_callers_state_ends_where_the_document_says() {
    let Some(all) = states(CALLER) else { return };
    assert_eq!(all.len(), 8, "the processes");
    let cpus = fs::read_to_string("/proc/self/status").unwrap();
    let cpus = cpus.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap().trim().to_owned();
    let mut wrong = Vec::new();
    for (process, seen) in &all {
        for (part, callers, containers, whose) in ROWS {
            let containers = if part == "CPU affinity" { &*cpus } else { containers };
            let expected = if whose[column(process)] == Caller { callers } else { containers };
            if seen[part] != expected {
                wrong.push(format!("{process}: {part} is {:?}, not {expected:?}", seen[part]));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_document_has_each_part_of_the_callers_state() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/caller.md");
    let page = fs::read_to_string(page).unwrap();
    let words = |whose: Whose| if whose == Caller { "caller's" } else { "container's" };
    for (part, _, _, whose) in ROWS {
        let row = page.lines().find(|line| line.starts_with(&format!("| {part} |")));
        let cells: Vec<&str> = row.unwrap_or_else(|| panic!("no row {part}")).split('|').map(str::trim).collect();
        assert_eq!(cells[2..5], whose.map(words), "{part}");
    }
}

#[test]
fn a_caller_without_standard_descriptors_gets_a_container_with_null_devices() {
    for closed in ["0<&-", "1>&-", "2>&-", "0<&- 1>&-", "0<&- 1>&- 2>&-"] {
        let Some(mut scene) = Scene::new() else { return };
        scene.config["process"]["args"] = json!(["/bin/sleep", "1000"]);
        scene.caller = format!("exec \"$@\" {closed}");
        let init = scene.run_detached();
        for number in 0..3 {
            let target = fs::read_link(format!("/proc/{init}/fd/{number}")).unwrap();
            let is_closed = closed.contains(&number.to_string());
            assert!(!is_closed || target == Path::new("/dev/null"), "{closed}: {number} is {target:?}");
        }
        assert_eq!(fs::read_dir(format!("/proc/{init}/fd")).unwrap().count(), 3, "{closed}");
        let exec = scene.exec_detached(&["/bin/sleep", "1000"]);
        assert_eq!(fs::read_dir(format!("/proc/{exec}/fd")).unwrap().count(), 3, "{closed}");
    }
}

#[test]
fn the_runtime_works_in_a_directory_that_was_removed() {
    let Some(mut scene) = Scene::new() else { return };
    let gone = scene.dir.join("gone").display().to_string();
    scene.write_config();
    let bundle = scene.dir.join("bundle").display().to_string();
    scene.caller = format!("mkdir {gone}; cd {gone}; rmdir {gone}");
    let made = scene.try_detached("create", &["--bundle", &bundle]);
    made.ok();
    scene.start().ok();
    assert_eq!(scene.exec(&[], &["/bin/readlink", "/proc/self/cwd"]).ok(), "/\n");
    let deleted = super::ended(scene.command("delete", &["--force"], &[]).output().unwrap());
    deleted.ok();
}

#[test]
fn every_signal_is_default_in_a_container_whose_caller_ignores_it() {
    for signal in [1, 2, 3, 10, 13, 14, 15, 17, 20, 28, 34, 64] {
        let Some(mut scene) = Scene::new() else { return };
        scene.caller = format!("set -- env --ignore-signal={signal} \"$@\"");
        let init = scene.run_detached();
        let exec = scene.exec_detached(&["/bin/sleep", "1000"]);
        for pid in [init, exec] {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
            assert!(status.contains("SigIgn:\t0000000000000000\n"), "{signal}: {status}");
        }
    }
}

#[test]
fn exit_codes_and_hooks_are_known_to_a_caller_that_ignores_the_end_of_children() {
    let Some(mut scene) = Scene::new() else { return };
    scene.caller = "set -- env --ignore-signal=CHLD \"$@\"".into();
    scene.config["hooks"] = json!({"poststart": [{"path": "/bin/true"}], "poststop": [{"path": "/bin/true"}]});
    scene.script("exit 7");
    let ended = scene.run();
    assert_eq!((ended.code, &*ended.error), (Some(7), ""), "{ended:?}");
    scene.config["process"]["args"] = json!(["/bin/sleep", "1000"]);
    scene.run_detached();
    let ended = scene.exec(&[], &["/bin/sh", "-c", "exit 8"]);
    assert_eq!((ended.code, &*ended.error), (Some(8), ""), "{ended:?}");
    let listed = super::ended(scene.command("ps", &[], &[]).output().unwrap());
    assert!(listed.ok().contains("sleep"));
}

#[test]
fn the_reaping_init_ends_when_its_caller_ignores_the_end_of_children() {
    let Some(mut scene) = Scene::new() else { return };
    scene.caller = "set -- env --ignore-signal=CHLD \"$@\"".into();
    scene.script("exit 7");
    scene.write_config();
    let ended = super::ended(scene.command("run", &["--init"], &[]).output().unwrap());
    assert_eq!((ended.code, &*ended.error), (Some(7), ""), "{ended:?}");
}

#[test]
fn a_caller_on_one_cpu_gets_a_container_on_all_of_its_cpuset() {
    let Some(mut scene) = Scene::new() else { return };
    let allowed = |pid: u32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap().trim().to_owned()
    };
    let all = allowed(std::process::id());
    if !all.contains(['-', ',']) {
        integration::skip::skip("one CPU");
        return;
    }
    scene.caller = "taskset -pc 0 $$ >/dev/null".into();
    let init = scene.run_detached();
    assert_eq!(allowed(init), all);
    let process = |affinity: Value| {
        let mut process = scene.config["process"].clone();
        process["execCPUAffinity"] = affinity;
        let file = scene.dir.join("process.json");
        fs::write(&file, process.to_string()).unwrap();
        let pid = scene.dir.join("exec-pid");
        let flags = ["--detach", "--process", file.to_str().unwrap(), "--pid-file", pid.to_str().unwrap()];
        let mut command = scene.command("exec", &flags, &[]);
        assert!(command.stdout(std::process::Stdio::null()).status().unwrap().success());
        fs::read_to_string(pid).unwrap().parse().unwrap()
    };
    assert_eq!(allowed(process(Value::Null)), all);
    // What the kernel decides where only the first of the two is given (config.md).
    assert_eq!(allowed(process(json!({"initial": "1"}))), "1");
    assert_eq!(allowed(process(json!({"initial": "1", "final": "0"}))), "0");
    assert_eq!(allowed(process(json!({"final": "0-1"}))), "0-1");
}

#[test]
fn cpus_that_no_exec_could_have_are_refused_at_create() {
    for (field, list, problem) in [
        ("initial", "x", "is not a list such as 0-3,7"),
        ("final", "3-1", "is not a list such as 0-3,7"),
        ("initial", ",", "names no CPU"),
        ("final", "8000", "names no CPU of this machine"),
        ("initial", "8192", "is not a list such as 0-3,7"),
    ] {
        let Some(mut scene) = Scene::new() else { return };
        scene.config["process"]["execCPUAffinity"] = json!({field: list});
        scene.write_config();
        let ended = scene.try_detached("create", &[]);
        assert_eq!(ended.code, Some(1), "{list}: {ended:?}");
        assert!(ended.error.contains(&format!("process.execCPUAffinity.{field}: ")), "{list}: {ended:?}");
        assert!(ended.error.contains(problem), "{list}: {ended:?}");
    }
}

/// Sets what the kernel keeps over `fork` or `execve`, and executes the rest: PR_SET_THP_DISABLE, PR_SET_SECUREBITS
/// (SECBIT_KEEP_CAPS_LOCKED and SECBIT_NO_SETUID_FIXUP), PR_SET_CHILD_SUBREAPER.
const SET: &str =
    "for ([41, 1], [28, 0x24], [36, 1]) { syscall(157, $_->[0], $_->[1], 0, 0, 0) and die $! } exec @ARGV";

/// Prints what PR_GET_THP_DISABLE, PR_GET_SECUREBITS and PR_GET_CHILD_SUBREAPER say.
const GET: &str = "my $b = pack q(l), 9; syscall(157, 37, $b, 0, 0, 0) and die $!; \
    print join(q( ), syscall(157, 42, 0, 0, 0, 0), syscall(157, 27, 0, 0, 0, 0), unpack q(l), $b), qq(\n)";

#[test]
fn a_container_has_the_callers_huge_pages_and_securebits_and_is_no_subreaper() {
    if cfg!(not(target_arch = "x86_64")) || !Path::new("/usr/bin/perl").exists() {
        integration::skip::skip("no perl, or the system calls have other numbers here");
        return;
    }
    let Some(mut scene) = Scene::new() else { return };
    for (link, target) in [("lib", "usr/lib"), ("lib64", "usr/lib64")] {
        std::os::unix::fs::symlink(target, scene.dir.join("bundle/rootfs").join(link)).unwrap();
    }
    let usr = json!({"destination": "/usr", "type": "bind", "source": "/usr", "options": ["rbind", "ro"]});
    scene.config["mounts"].as_array_mut().unwrap().push(usr);
    let perl = |script: &str| json!(["/usr/bin/perl", "-e", script]);
    let (seen, hook) = (scene.dir.join("seen"), scene.dir.join("bundle/rootfs/tmp/hook"));
    let hooks = |kind: &str, file: &str| {
        let script = format!("open STDOUT, q(>), q({file}); {GET}");
        (kind.to_owned(), json!([{"path": "/usr/bin/perl", "args": ["perl", "-e", script]}]))
    };
    let of_host = hooks("createRuntime", &seen.display().to_string());
    scene.config["hooks"] = [of_host, hooks("startContainer", "/tmp/hook")].into_iter().collect();
    scene.config["process"]["args"] = perl(&format!("$| = 1; {GET}; sleep 1000"));
    scene.caller = format!("set -- /usr/bin/perl -e '{SET}' \"$@\"");
    scene.run_detached();
    let exec = scene.exec(&[], &["/usr/bin/perl", "-e", GET]);
    let out = scene.dir.join("out");
    let begin = std::time::Instant::now();
    while fs::read_to_string(&out).unwrap().is_empty() {
        assert!(begin.elapsed().as_secs() < 30, "the program says nothing");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    // Securebits 0x24 are 36.
    let expected = "1 36 0\n";
    assert_eq!(fs::read_to_string(out).unwrap(), expected, "init");
    assert_eq!(exec.out, expected, "exec: {exec:?}");
    assert_eq!(fs::read_to_string(hook).unwrap(), expected, "startContainer");
    assert_eq!(fs::read_to_string(seen).unwrap(), expected, "createRuntime");
}
