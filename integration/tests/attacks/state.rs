//! What a container, a neighbour or a broken disk does to the record and the cgroups of a container: no process is
//! forgotten, and nothing of another container is touched.

use super::Scene;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// Without a pid namespace of its own: nothing dies only because init does.
fn in_the_hosts_pids(scene: &mut Scene) {
    let namespaces = scene.config["linux"]["namespaces"].as_array_mut().unwrap();
    namespaces.retain(|namespace| namespace["type"] != "pid");
}

/// Two processes in the container, of which the first is init; waits until both are there.
fn two_processes(scene: &mut Scene) -> BTreeSet<i32> {
    scene.script("sleep 1000 & exec sleep 1001");
    scene.run_detached();
    let mut pids = BTreeSet::new();
    eventually("two processes", || {
        pids = members(scene.init());
        pids.len() == 2
    });
    pids
}

/// The processes in the freezer (v1) or the only (v2) cgroup of a process.
fn members(pid: i32) -> BTreeSet<i32> {
    let text = fs::read_to_string(cgroup_of(pid).join("cgroup.procs")).unwrap();
    text.lines().map(|line| line.parse().unwrap()).collect()
}

/// The directory of the cgroup of a process in the hierarchy that freezes.
pub(super) fn cgroup_of(pid: i32) -> PathBuf {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let path = |line: &str| line.splitn(3, ':').nth(2).unwrap().trim_start_matches('/').to_owned();
    match text.lines().find(|line| line.contains(":freezer:")) {
        Some(line) => Path::new("/sys/fs/cgroup/freezer").join(path(line)),
        None => Path::new("/sys/fs/cgroup").join(path(text.lines().last().unwrap())),
    }
}

/// The directories of the cgroups of a process that are called `id`.
fn own_cgroups(pid: i32, id: &str) -> Vec<PathBuf> {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let directory = |line: &str| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (name, path) = (fields.next().unwrap(), fields.next().unwrap());
        let name = if name.is_empty() { "unified" } else { name.trim_start_matches("name=") };
        let hybrid = Path::new("/sys/fs/cgroup").join(name);
        let mount = if hybrid.exists() { hybrid } else { "/sys/fs/cgroup".into() };
        mount.join(path.trim_start_matches('/'))
    };
    text.lines().map(directory).filter(|path| path.ends_with(id)).collect()
}

/// Whether a process is there and is no zombie.
fn lives(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

pub(super) fn eventually(what: &str, mut check: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !check() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn kill(pids: &BTreeSet<i32>) {
    for pid in pids {
        let _ = Command::new("kill").args(["-9", &pid.to_string()]).output();
    }
    eventually("killed", || !pids.iter().any(|pid| lives(*pid)));
}

/// Runs a script of Python below a cgroup: only there are names any bytes, and paths longer than PATH_MAX.
fn python(directory: &Path, pid: i32, script: &str) {
    let status = Command::new("python3").arg("-c").arg(script).arg(directory).arg(pid.to_string()).status().unwrap();
    assert!(status.success(), "{script}");
}

/// Sub-cgroups as a container that may write to its cgroup makes them; a process is moved into the innermost.
const HIDDEN: [(&str, &str); 4] = [
    (
        "a name that is no text",
        "import os, sys; os.chdir(sys.argv[1]); os.mkdir(b'\\xff\\xfe'); os.chdir(b'\\xff\\xfe'); open('cgroup.procs', 'w').write(sys.argv[2])",
    ),
    (
        "a path longer than PATH_MAX",
        "import os, sys; os.chdir(sys.argv[1])
for n in range(25): os.mkdir('n' * 200); os.chdir('n' * 200)
open('cgroup.procs', 'w').write(sys.argv[2])",
    ),
    (
        "more levels than there are descriptors",
        "import os, sys; os.chdir(sys.argv[1])
for n in range(1500): os.mkdir('n'); os.chdir('n')
open('cgroup.procs', 'w').write(sys.argv[2])",
    ),
    (
        "one of thousands",
        "import os, sys; os.chdir(sys.argv[1])
for n in range(3000): os.mkdir('n%d' % n)
open('n2000/cgroup.procs', 'w').write(sys.argv[2])",
    ),
];

/// Variants of a container with a process in a cgroup that is hard to see: the process, and the container's cgroup.
fn hidden(script: &str) -> Option<(Scene, BTreeSet<i32>, PathBuf)> {
    let mut scene = Scene::new()?;
    in_the_hosts_pids(&mut scene);
    let pids = two_processes(&mut scene);
    let (init, other) = (scene.init(), *pids.iter().find(|pid| **pid != scene.init()).unwrap());
    let directory = cgroup_of(init);
    python(&directory, other, script);
    assert_eq!(members(init), BTreeSet::from([init]));
    Some((scene, pids, directory))
}

#[test]
fn ps_shows_a_process_whatever_its_cgroup_is_called_and_however_deep_it_is() {
    for (what, script) in HIDDEN {
        let Some((scene, pids, _)) = hidden(script) else { return };
        let shown: BTreeSet<i32> = serde_json::from_str(&scene.does("ps", &["-f", "json"], &[]).out).unwrap();
        assert_eq!(shown, pids, "{what}");
    }
}

#[test]
fn kill_all_reaches_a_process_whatever_its_cgroup_is_called_and_however_deep_it_is() {
    for (what, script) in HIDDEN {
        let Some((scene, pids, _)) = hidden(script) else { return };
        let killed = scene.does("kill", &["--all"], &["KILL"]);
        assert_eq!(killed.code, Some(0), "{what}: {killed:?}");
        eventually(what, || !pids.iter().any(|pid| lives(*pid)));
    }
}

#[test]
fn delete_removes_cgroups_whatever_they_are_called_and_however_deep_they_are() {
    for (what, script) in HIDDEN {
        let Some((scene, pids, directory)) = hidden(script) else { return };
        let deleted = scene.does("delete", &["--force"], &[]);
        assert_eq!(deleted.code, Some(0), "{what}: {deleted:?}");
        assert!(!pids.iter().any(|pid| lives(*pid)), "{what}");
        assert!(!directory.exists() && !scene.state().exists(), "{what}");
    }
}

/// Ways to break a record: what is in its place, and who it is then said to be from.
fn damages(record: &[u8]) -> Vec<(String, Option<Vec<u8>>)> {
    let text = |text: &str| Some(text.as_bytes().to_vec());
    let whole: Value = serde_json::from_slice(record).unwrap();
    let (pid, start) = (&whole["init"]["pid"], &whole["init"]["start"]);
    let mut all = vec![
        ("removed".to_owned(), None),
        ("empty".to_owned(), text("")),
        ("zeros".to_owned(), Some(vec![0; record.len()])),
        ("not JSON".to_owned(), text("nonsense")),
        ("another document".to_owned(), text("[]")),
        ("runc's".to_owned(), text(&format!(r#"{{"id":"x","init_process_pid":{pid},"init_process_start":{start}}}"#))),
        ("youki's".to_owned(), text(&format!(r#"{{"ociVersion":"v1.0.2","id":"x","status":"running","pid":{pid}}}"#))),
    ];
    for length in (0..record.len()).step_by(41) {
        all.push((format!("cut at {length}"), Some(record[..length].to_vec())));
    }
    all
}

/// Containers of which each is hard to find in another way.
fn shapes() -> [fn(&mut Scene); 3] {
    [
        |_| (),
        in_the_hosts_pids,
        // Without a cgroup of its own, and with the whole path of its root.
        |scene| {
            scene.global = vec!["--cgroup-manager".into(), "disabled".into()];
            scene.config["root"]["path"] = json!(scene.root("").display().to_string());
        },
    ]
}

/// `delete --force` has ended the container, or has refused and named its process. Then nothing lives.
fn never_forgotten(scene: &Scene, pids: &BTreeSet<i32>, what: &str) {
    let cgroups: Vec<PathBuf> = pids.iter().flat_map(|pid| own_cgroups(*pid, scene.id())).collect();
    let mut deleted = scene.does("delete", &["--force"], &[]);
    let left: Vec<i32> = pids.iter().copied().filter(|pid| lives(*pid)).collect();
    // Processes of a test beside this one, which began in the same moment, may be named: they end, and nothing is left then.
    let patience = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while left.is_empty() && deleted.code != Some(0) && std::time::Instant::now() < patience {
        deleted = scene.does("delete", &["--force"], &[]);
    }
    match deleted.code {
        Some(0) => {
            assert!(left.is_empty(), "{what}: {left:?} live on: {deleted:?}");
            assert!(!scene.state().exists(), "{what}");
            assert!(!cgroups.iter().any(|directory| directory.exists()), "{what}: {cgroups:?}");
        }
        _ => {
            assert!(scene.state().exists(), "{what}: {deleted:?}");
            assert!(left.iter().any(|pid| deleted.error.contains(&pid.to_string())), "{what}: {left:?}: {deleted:?}");
        }
    }
    kill(pids);
    if deleted.code != Some(0) {
        let again = scene.does("delete", &["--force"], &[]);
        assert_eq!(again.code, Some(0), "{what}: {again:?}");
        assert!(!scene.state().exists(), "{what}");
        // The cgroups are the other runtime's to remove, if the record was its.
        cgroups.iter().for_each(|directory| drop(fs::remove_dir(directory)));
    }
}

#[test]
fn delete_never_forgets_a_process_of_a_container_whose_record_is_damaged() {
    for (shape, make) in shapes().into_iter().enumerate() {
        let mut number = 0;
        loop {
            let Some(mut scene) = Scene::new() else { return };
            make(&mut scene);
            scene.script("exec sleep 1000");
            scene.run_detached();
            let pids = BTreeSet::from([scene.init()]);
            let file = scene.state().join("state.json");
            let all = damages(&fs::read(&file).unwrap());
            let Some((what, bytes)) = all.get(number) else {
                kill(&pids);
                break;
            };
            match bytes {
                Some(bytes) => fs::write(&file, bytes).unwrap(),
                None => fs::remove_file(&file).unwrap(),
            }
            never_forgotten(&scene, &pids, &format!("shape {shape}: {what}"));
            number += 1;
        }
    }
}

#[test]
fn delete_never_forgets_a_process_whichever_byte_of_the_record_is_wrong() {
    for (shape, make) in shapes().into_iter().enumerate() {
        let mut at = 0;
        loop {
            let Some(mut scene) = Scene::new() else { return };
            make(&mut scene);
            scene.script("sleep 1001 & exec sleep 1000");
            scene.run_detached();
            let pids = BTreeSet::from([scene.init()]);
            let file = scene.state().join("state.json");
            let mut bytes = fs::read(&file).unwrap();
            if at >= bytes.len() {
                kill(&pids);
                break;
            }
            // Digits stay digits, so that the record can still be read.
            bytes[at] = if bytes[at].is_ascii_digit() { b'0' + (bytes[at] - b'0' + 3) % 10 } else { bytes[at] ^ 1 };
            fs::write(&file, &bytes).unwrap();
            never_forgotten(&scene, &pids, &format!("shape {shape}: byte {at}"));
            at += 23;
        }
    }
}

#[test]
fn the_record_of_another_runtime_is_named_and_nothing_of_it_is_touched() {
    for (name, file, record) in [
        ("runc", "state.json", r#"{"id":"x","init_process_pid":PID,"init_process_start":START}"#),
        ("crun", "status", r#"{"pid":PID,"process-start-time":START,"cgroup-path":"/no/such","rootfs":"/no/such"}"#),
    ] {
        let Some(scene) = Scene::new() else { return };
        let mut other = Command::new("sleep").arg("1000").spawn().unwrap();
        let pid = other.id() as i32;
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let start = stat.rsplit_once(") ").unwrap().1.split(' ').nth(19).unwrap().to_owned();
        fs::create_dir_all(scene.state()).unwrap();
        let record = record.replace("PID", &pid.to_string()).replace("START", &start);
        fs::write(scene.state().join(file), record).unwrap();
        let deleted = scene.does("delete", &["--force"], &[]);
        assert_ne!(deleted.code, Some(0), "{name}");
        assert!(deleted.error.contains(name) && deleted.error.contains(&pid.to_string()), "{name}: {deleted:?}");
        assert!(lives(pid) && scene.state().join(file).exists(), "{name}");
        other.kill().unwrap();
        other.wait().unwrap();
        assert_eq!(scene.does("delete", &["--force"], &[]).code, Some(0), "{name}");
        assert!(!scene.state().exists(), "{name}");
    }
}

#[test]
fn a_damaged_record_does_not_cost_a_neighbour_its_processes() {
    let (Some(mut scene), Some(mut neighbour)) = (Scene::new(), Scene::new()) else { return };
    // The same root filesystem, config and state root: only the id differs.
    neighbour.config["root"]["path"] = json!(scene.root("").display().to_string());
    scene.config["root"]["path"] = neighbour.config["root"]["path"].clone();
    neighbour.state_root = scene.state_root.clone();
    scene.script("exec sleep 1000");
    neighbour.script("exec sleep 1000");
    scene.run_detached();
    neighbour.run_detached();
    let other = neighbour.init();
    fs::write(scene.state().join("state.json"), "").unwrap();
    let deleted = scene.does("delete", &["--force"], &[]);
    assert_eq!(deleted.code, Some(0), "{deleted:?}");
    assert!(lives(other) && neighbour.init() == other);
}

#[test]
fn kill_ends_every_process_of_a_container_without_a_pid_namespace_of_its_own() {
    for init_is_gone in [false, true] {
        let Some(mut scene) = Scene::new() else { return };
        in_the_hosts_pids(&mut scene);
        let pids = two_processes(&mut scene);
        if init_is_gone {
            kill(&BTreeSet::from([scene.init()]));
        }
        let killed = scene.does("kill", &[], &["KILL"]);
        assert_eq!(killed.code, Some(0), "{killed:?}");
        eventually("all are killed", || !pids.iter().any(|pid| lives(*pid)));
        let again = scene.does("kill", &[], &["KILL"]);
        assert!(again.code == Some(1) && again.error.contains("container not running"), "{again:?}");
    }
}

#[test]
fn kill_without_a_cgroup_ends_the_first_process_and_says_that_it_is_the_only_one() {
    let Some(mut scene) = Scene::new() else { return };
    in_the_hosts_pids(&mut scene);
    scene.global = vec!["--cgroup-manager".into(), "disabled".into()];
    scene.script("exec sleep 1000");
    scene.run_detached();
    let init = scene.init();
    let killed = scene.does("kill", &[], &["KILL"]);
    assert!(killed.code == Some(0) && killed.error.contains("no cgroup of its own"), "{killed:?}");
    eventually("init is killed", || !lives(init));
}

#[test]
fn delete_waits_for_a_container_that_was_killed() {
    let Some(mut scene) = Scene::new() else { return };
    // Many processes take their time to die.
    scene.script("n=0; while [ $n -lt 300 ]; do sleep 1000 & n=$((n + 1)); done; echo ready > /tmp/ready; wait");
    for _ in 0..10 {
        scene.run_detached();
        eventually("all are there", || scene.root("tmp/ready").exists());
        fs::remove_file(scene.root("tmp/ready")).unwrap();
        assert_eq!(scene.does("kill", &[], &["KILL"]).code, Some(0));
        let deleted = scene.does("delete", &[], &[]);
        assert_eq!(deleted.code, Some(0), "{deleted:?}");
    }
    scene.script("exec sleep 1000");
    scene.run_detached();
    let refused = scene.does("delete", &[], &[]);
    assert!(refused.error.contains("that is not stopped: running"), "{refused:?}");
}

/// The freezer of v1, where a frozen process takes SIGKILL only when it is thawed.
fn v1_freezer(directory: &Path) -> Option<PathBuf> {
    let file = directory.join("freezer.state");
    if !file.exists() {
        eprintln!("skipped: no freezer of cgroup v1");
    }
    file.exists().then_some(file)
}

#[test]
fn a_process_in_a_frozen_cgroup_of_the_containers_own_making_is_killed() {
    for command in [&["kill", "KILL"][..], &["kill", "KILL", "--all"], &["delete", "", "--force"]] {
        for private in [true, false] {
            let Some(mut scene) = Scene::new() else { return };
            if !private {
                in_the_hosts_pids(&mut scene);
            }
            let pids = two_processes(&mut scene);
            let nested = cgroup_of(scene.init()).join("nested");
            if v1_freezer(nested.parent().unwrap()).is_none() {
                return;
            }
            fs::create_dir(&nested).unwrap();
            pids.iter().for_each(|pid| fs::write(nested.join("cgroup.procs"), pid.to_string()).unwrap());
            fs::write(nested.join("freezer.state"), "FROZEN").unwrap();
            let more = if command[1].is_empty() { vec![] } else { vec![command[1]] };
            let done = scene.does(command[0], &command[2..], &more);
            assert_eq!(done.code, Some(0), "{command:?}: {done:?}");
            eventually("killed", || !pids.iter().any(|pid| lives(*pid)));
        }
    }
}

#[test]
fn a_frozen_cgroup_above_the_containers_is_named_and_not_written_to() {
    let Some(mut scene) = Scene::new() else { return };
    scene.config["linux"]["cgroupsPath"] = json!(format!("/{}/inner", scene.id()));
    scene.script("exec sleep 1000");
    scene.run_detached();
    let init = scene.init();
    let above = cgroup_of(init).parent().unwrap().to_owned();
    let Some(state) = v1_freezer(&above) else { return };
    fs::write(&state, "FROZEN").unwrap();
    let killed = scene.does("kill", &[], &["KILL"]);
    assert!(killed.code == Some(0) && killed.error.contains(&*above.to_string_lossy()), "{killed:?}");
    let deleted = scene.does("delete", &["--force"], &[]);
    assert!(deleted.code == Some(1) && deleted.error.contains(&*state.to_string_lossy()), "{deleted:?}");
    assert_eq!(fs::read_to_string(&state).unwrap().trim(), "FROZEN");
    fs::write(&state, "THAWED").unwrap();
    eventually("killed", || !lives(init));
    assert_eq!(scene.does("delete", &["--force"], &[]).code, Some(0));
}

/// A process that was moved into the container's cgroup after `create` is one of the container's.
#[test]
fn a_process_that_is_moved_into_the_containers_cgroup_is_the_containers() {
    let Some(mut scene) = Scene::new() else { return };
    scene.script("exec sleep 1000");
    scene.run_detached();
    let cgroup = cgroup_of(scene.init());
    let moved = || {
        let child = Command::new("sleep").arg("1002").spawn().unwrap();
        fs::write(cgroup.join("cgroup.procs"), child.id().to_string()).unwrap();
        child
    };
    let mut first = moved();
    let pid = first.id() as i32;
    let shown: BTreeSet<i32> = serde_json::from_str(&scene.does("ps", &["-f", "json"], &[]).out).unwrap();
    assert_eq!(shown, BTreeSet::from([scene.init(), pid]));
    assert_eq!(scene.does("pause", &[], &[]).code, Some(0));
    if let Some(state) = v1_freezer(&cgroup) {
        assert_eq!(fs::read_to_string(state).unwrap().trim(), "FROZEN");
    }
    assert_eq!(scene.does("resume", &[], &[]).code, Some(0));
    // TERM is for the moved process alone: the first one of a pid namespace takes no default action.
    assert_eq!(scene.does("kill", &["--all"], &["TERM"]).code, Some(0));
    first.wait().unwrap();
    let mut second = moved();
    let deleted = scene.does("delete", &["--force"], &[]);
    assert_eq!(deleted.code, Some(0), "{deleted:?}");
    assert!(!second.wait().unwrap().success() && !cgroup.exists());
}

/// It would freeze or kill itself, and leave the work half done.
#[test]
fn a_runtime_that_was_moved_into_the_containers_cgroup_says_so() {
    let Some(mut scene) = Scene::new() else { return };
    scene.script("exec sleep 1000");
    scene.run_detached();
    let (init, cgroup) = (scene.init(), cgroup_of(scene.init()));
    for (name, flags, more) in
        [("pause", &[][..], &[][..]), ("kill", &["--all"], &["KILL"]), ("delete", &["--force"], &[])]
    {
        let command = scene.command(name, flags, more);
        let script = format!("echo $$ > {}/cgroup.procs; exec \"$@\"", cgroup.display());
        let mut inside = Command::new("sh");
        inside.arg("-c").arg(script).arg("sh").arg(command.get_program()).args(command.get_args());
        let ended = super::ended(inside.current_dir(&scene.dir).output().unwrap());
        assert!(ended.code == Some(1) && ended.error.contains("the runtime itself"), "{name}: {ended:?}");
        assert!(lives(init), "{name}");
    }
}
