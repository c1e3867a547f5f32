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

/// What is in the place of a record.
#[derive(Debug)]
enum Damage {
    Removed,
    Directory,
    Bytes(Vec<u8>),
}

impl Damage {
    fn put(&self, file: &Path) {
        match self {
            Damage::Removed => fs::remove_file(file).unwrap(),
            Damage::Directory => {
                fs::remove_file(file).unwrap();
                fs::create_dir(file).unwrap();
            }
            Damage::Bytes(bytes) => fs::write(file, bytes).unwrap(),
        }
    }
}

/// How many bytes there are from one that is tried to the next.
fn step() -> usize {
    if std::env::var_os("SOAK").is_some() { 1 } else { 53 }
}

/// Ways to break a record as a whole.
fn whole_damages(record: &[u8]) -> Vec<(String, Damage)> {
    let text = |text: &str| Damage::Bytes(text.as_bytes().to_vec());
    let whole: Value = serde_json::from_slice(record).unwrap();
    let (pid, start) = (&whole["init"]["pid"], &whole["init"]["start"]);
    vec![
        ("removed".to_owned(), Damage::Removed),
        ("a directory".to_owned(), Damage::Directory),
        ("zeros".to_owned(), Damage::Bytes(vec![0; record.len()])),
        ("not JSON".to_owned(), text("nonsense")),
        ("another document".to_owned(), text("[]")),
        ("runc's".to_owned(), text(&format!(r#"{{"id":"x","init_process_pid":{pid},"init_process_start":{start}}}"#))),
        ("youki's".to_owned(), text(&format!(r#"{{"ociVersion":"v1.0.2","id":"x","status":"running","pid":{pid}}}"#))),
    ]
}

/// The damage of this number: first the whole record, then each length that it may be cut to, then three changes of each byte.
fn damage(record: &[u8], mut number: usize) -> Option<(String, Damage)> {
    let mut whole = whole_damages(record);
    if number < whole.len() {
        return Some(whole.swap_remove(number));
    }
    number = (number - whole.len()) * step();
    if number < record.len() {
        return Some((format!("cut at {number}"), Damage::Bytes(record[..number].to_vec())));
    }
    let (at, change) = ((number - record.len()) % record.len(), (number - record.len()) / record.len());
    let mut bytes = record.to_vec();
    bytes[at] = match change {
        // Digits stay digits, so that the record can still be read.
        0 if bytes[at].is_ascii_digit() => b'0' + (bytes[at] - b'0' + 3) % 10,
        0 => bytes[at] ^ 1,
        1 => 0,
        2 if bytes[at] == b' ' => return damage(record, whole.len() + (number + 1) / step()),
        2 => b' ',
        _ => return None,
    };
    Some((
        format!("byte {at} is {:?} and not {:?}", char::from(bytes[at]), char::from(record[at])),
        Damage::Bytes(bytes),
    ))
}

/// `delete --force` has ended the container, or has refused and named its process. Then nothing lives.
fn never_forgotten(scene: &Scene, pids: &BTreeSet<i32>, what: &str) {
    let cgroups: Vec<PathBuf> = pids.iter().flat_map(|pid| own_cgroups(*pid, scene.id())).collect();
    let deleted = scene.does("delete", &["--force"], &[]);
    let left: Vec<i32> = pids.iter().copied().filter(|pid| lives(*pid)).collect();
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

/// Each damage with a container of its own; `more` is done to it first.
fn never_forgets(make: fn(&mut Scene), more: fn(&Scene)) {
    let Some(mut scene) = Scene::new() else { return };
    make(&mut scene);
    scene.script("sleep 1001 & exec sleep 1000");
    for number in 0.. {
        scene.run_detached();
        let pids = BTreeSet::from([scene.init()]);
        let file = scene.state().join("state.json");
        let Some((what, damage)) = damage(&fs::read(&file).unwrap(), number) else {
            assert_eq!(scene.does("delete", &["--force"], &[]).code, Some(0));
            return;
        };
        more(&scene);
        damage.put(&file);
        never_forgotten(&scene, &pids, &what);
    }
}

#[test]
fn delete_never_forgets_a_process_whatever_is_wrong_with_the_record() {
    never_forgets(|_| (), |_| ());
}

#[test]
fn delete_never_forgets_a_process_in_the_hosts_pids_whatever_is_wrong_with_the_record() {
    never_forgets(in_the_hosts_pids, |_| ());
}

#[test]
fn delete_never_forgets_a_process_without_a_cgroup_whatever_is_wrong_with_the_record() {
    never_forgets(without_cgroup, |_| ());
}

/// As an older version has left them.
#[test]
fn delete_never_forgets_a_process_that_no_link_names_whatever_is_wrong_with_the_record() {
    never_forgets(|_| (), |scene| drop(fs::remove_file(scene.state().join("init"))));
}

/// Nothing that `delete --force` finds costs a process its life or the container its end, although it looks much alike.
fn stranger(shared: &Scene) -> Option<(Scene, i32)> {
    let mut stranger = Scene::new()?;
    without_cgroup(&mut stranger);
    stranger.state_root = shared.state_root.with_extension("other");
    stranger.script("exec sleep 1000");
    stranger.run_detached();
    let pid = stranger.init();
    Some((stranger, pid))
}

/// A container without a cgroup of its own, and with a relative root.
fn without_cgroup(scene: &mut Scene) {
    scene.global = vec!["--cgroup-manager".into(), "disabled".into()];
}

fn start_of(pid: i32) -> String {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit_once(") ").unwrap().1.split(' ').nth(19).unwrap().to_owned()
}

/// FNV-1a, as the link has it.
fn link_of(pid: i32, start: &str) -> String {
    let words = format!("{pid} {start}");
    let sum = words
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |sum: u64, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    format!("{words} {sum:016x}")
}

fn name_in_link(scene: &Scene, text: &str) {
    let link = scene.state().join("init");
    let _ = fs::remove_file(&link);
    std::os::unix::fs::symlink(text, link).unwrap();
}

/// A container whose process is dead, and a living one with the same end of its root's path, in another state root.
#[test]
fn a_stranger_with_the_same_end_of_the_roots_path_is_no_reason_to_refuse() {
    for keeps_link in [true, false] {
        let Some(mut scene) = Scene::new() else { return };
        without_cgroup(&mut scene);
        scene.script("exec sleep 1000");
        scene.run_detached();
        let Some((_other, pid)) = stranger(&scene) else { return };
        kill(&BTreeSet::from([scene.init()]));
        fs::remove_file(scene.state().join("state.json")).unwrap();
        if !keeps_link {
            fs::remove_file(scene.state().join("init")).unwrap();
        }
        let deleted = scene.does("delete", &["--force"], &[]);
        assert_eq!(deleted.code, Some(0), "{keeps_link}: {deleted:?}");
        assert!(!scene.state().exists() && lives(pid));
    }
}

#[test]
fn a_stranger_that_was_started_in_the_same_tick_is_no_reason_to_refuse() {
    for keeps_link in [true, false] {
        let Some(mut scene) = Scene::new() else { return };
        without_cgroup(&mut scene);
        scene.script("exec sleep 1000");
        scene.run_detached();
        let Some((_other, pid)) = stranger(&scene) else { return };
        let init = scene.init();
        kill(&BTreeSet::from([init]));
        // Cut behind the start, which is that of the stranger.
        let cut = format!(r#"{{"ociVersion":"1.3.0","id":"x","init":{{"pid":{init},"start":{}"#, start_of(pid));
        fs::write(scene.state().join("state.json"), cut).unwrap();
        if keeps_link {
            name_in_link(&scene, &link_of(init, &start_of(pid)));
        } else {
            fs::remove_file(scene.state().join("init")).unwrap();
        }
        let deleted = scene.does("delete", &["--force"], &[]);
        assert_eq!(deleted.code, Some(0), "{keeps_link}: {deleted:?}");
        assert!(!scene.state().exists() && lives(pid));
    }
}

/// One wrong digit of a pid, and two processes that were started in the same tick: the record is readable, and means another.
#[test]
fn a_stranger_that_a_changed_record_names_lives_on_and_the_container_does_not() {
    let Some(mut scene) = Scene::new() else { return };
    without_cgroup(&mut scene);
    scene.script("exec sleep 1000");
    scene.run_detached();
    let Some((_other, pid)) = stranger(&scene) else { return };
    let (init, file) = (scene.init(), scene.state().join("state.json"));
    let mut record: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    let old = json!({ "pid": init, "start": start_of(init).parse::<u64>().unwrap() }).to_string();
    assert_eq!(record["init"].to_string(), old);
    let text = fs::read_to_string(&file).unwrap();
    let new = json!({ "pid": pid, "start": start_of(pid).parse::<u64>().unwrap() }).to_string();
    fs::write(&file, text.replace(&old, &new)).unwrap();
    record = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    assert_eq!(record["init"]["pid"], pid);
    let deleted = scene.does("delete", &["--force"], &[]);
    assert_eq!(deleted.code, Some(0), "{deleted:?}");
    assert!(lives(pid) && !lives(init) && !scene.state().exists());
}

/// Without the link a damaged record that names a stranger to the digit is a suspicion: nothing is killed for it.
#[test]
fn a_stranger_that_only_a_changed_record_names_is_named_and_lives_on() {
    let Some(mut scene) = Scene::new() else { return };
    without_cgroup(&mut scene);
    scene.script("exec sleep 1000");
    scene.run_detached();
    let Some((other, pid)) = stranger(&scene) else { return };
    kill(&BTreeSet::from([scene.init()]));
    fs::remove_file(scene.state().join("init")).unwrap();
    let cut = format!(r#"{{"ociVersion":"1.3.0","id":"x","init":{{"pid":{pid},"start":{}}}"#, start_of(pid));
    fs::write(scene.state().join("state.json"), cut).unwrap();
    let deleted = scene.does("delete", &["--force"], &[]);
    assert!(deleted.code == Some(1) && deleted.error.contains(&format!("{pid} (the record names it)")), "{deleted:?}");
    assert!(lives(pid) && scene.state().exists());
    assert_eq!(other.does("delete", &["--force"], &[]).code, Some(0));
    assert_eq!(scene.does("delete", &["--force"], &[]).code, Some(0));
    assert!(!scene.state().exists());
}

#[test]
fn a_pid_that_was_given_out_again_is_no_reason_to_refuse() {
    let Some(mut scene) = Scene::new() else { return };
    scene.script("exec sleep 1000");
    scene.run_detached();
    let Some((_other, pid)) = stranger(&scene) else { return };
    let start = start_of(scene.init());
    kill(&BTreeSet::from([scene.init()]));
    // What the record and the link say of a process that is long dead, whose pid a stranger has by now.
    let before = (start.parse::<u64>().unwrap() / 3).to_string();
    name_in_link(&scene, &link_of(pid, &before));
    fs::write(scene.state().join("state.json"), format!(r#"{{"init":{{"pid":{pid},"start":{before}}},"#)).unwrap();
    let deleted = scene.does("delete", &["--force"], &[]);
    assert_eq!(deleted.code, Some(0), "{deleted:?}");
    assert!(!scene.state().exists() && lives(pid));
}

/// A cgroup of the container's name, made anew for a process that has nothing to do with it.
#[test]
fn strangers_in_a_cgroup_of_the_containers_name_are_not_killed() {
    for shares_pids in [false, true] {
        let Some(mut scene) = Scene::new() else { return };
        if shares_pids {
            in_the_hosts_pids(&mut scene);
        }
        scene.script("exec sleep 1000");
        scene.run_detached();
        let cgroup = cgroup_of(scene.init());
        kill(&BTreeSet::from([scene.init()]));
        fs::remove_dir(&cgroup).unwrap();
        fs::create_dir(&cgroup).unwrap();
        let mut other = Command::new("sleep").arg("1000").spawn().unwrap();
        let pid = other.id() as i32;
        fs::write(cgroup.join("cgroup.procs"), pid.to_string()).unwrap();
        fs::write(scene.state().join("state.json"), "").unwrap();
        let deleted = scene.does("delete", &["--force"], &[]);
        if shares_pids {
            // Who did not die with the first process may be in it: it is refused until the process is gone or elsewhere.
            assert!(deleted.code == Some(1) && deleted.error.contains(&format!("{pid} (cgroup ")), "{deleted:?}");
        } else {
            assert_eq!(deleted.code, Some(0), "{deleted:?}");
            assert!(deleted.error.contains(" stays: it has processes") && !scene.state().exists(), "{deleted:?}");
        }
        assert!(lives(pid) && cgroup.exists());
        other.kill().unwrap();
        other.wait().unwrap();
        assert_eq!(scene.does("delete", &["--force"], &[]).code, Some(0));
        assert!(!scene.state().exists());
        let _ = fs::remove_dir(&cgroup);
    }
}

/// Without a cgroup and a pid namespace of their own, processes are known by the mount namespace that was made for init.
#[test]
fn the_processes_of_a_damaged_container_without_cgroup_and_pid_namespace_end_with_it() {
    let Some(mut scene) = Scene::new() else { return };
    without_cgroup(&mut scene);
    in_the_hosts_pids(&mut scene);
    scene.script("sleep 1001 & echo $! > /tmp/pid; exec sleep 1000");
    scene.run_detached();
    let second = || fs::read_to_string(scene.root("tmp/pid")).unwrap_or_default().trim().parse::<i32>();
    eventually("the second process", || second().is_ok());
    let (init, second) = (scene.init(), second().unwrap());
    fs::write(scene.state().join("state.json"), "").unwrap();
    let deleted = scene.does("delete", &["--force"], &[]);
    assert_eq!(deleted.code, Some(0), "{deleted:?}");
    assert!(!lives(init) && !lives(second));
}

#[test]
fn every_command_says_what_is_wrong_with_a_damaged_record() {
    let Some(mut scene) = Scene::new() else { return };
    let Some(mut neighbour) = Scene::new() else { return };
    neighbour.state_root = scene.state_root.clone();
    for scene in [&mut scene, &mut neighbour] {
        scene.script("exec sleep 1000");
        scene.run_detached();
    }
    let file = scene.state().join("state.json");
    let record = fs::read(&file).unwrap();
    let mut changed = record.clone();
    let pid = record.windows(6).position(|window| window == b"\"pid\":").unwrap() + 6;
    changed[pid] = b'1' + (changed[pid] - b'0') % 9;
    for (damage, wrong) in [
        (Damage::Bytes(changed), "state.json is damaged: its sum"),
        (Damage::Bytes(record[..record.len() / 2].to_vec()), "state.json is damaged"),
        (Damage::Bytes(Vec::new()), "state.json is damaged"),
        (Damage::Bytes(vec![0; 100]), "state.json is damaged"),
        (Damage::Directory, "state.json"),
        (Damage::Removed, "has no state.json"),
    ] {
        fs::write(&file, &record).unwrap();
        damage.put(&file);
        for (name, more) in [
            ("state", &[][..]),
            ("kill", &["KILL"]),
            ("ps", &[]),
            ("exec", &["true"]),
            ("start", &[]),
            ("pause", &[]),
            ("resume", &[]),
            ("update", &[]),
            ("events", &[]),
            ("delete", &[]),
        ] {
            let ended = scene.does(name, &[], more);
            assert!(ended.code != Some(0) && ended.error.contains(wrong), "{name}: {damage:?}: {ended:?}");
        }
        let mut list = Command::new(scene.runtime());
        let listed = super::ended(list.arg("--root").arg(&scene.state_root).arg("list").output().unwrap());
        assert!(listed.out.contains(neighbour.id()) && !listed.out.contains(scene.id()), "{damage:?}: {listed:?}");
        assert!(listed.error.contains(wrong) && listed.error.contains(scene.id()), "{damage:?}: {listed:?}");
        if let Damage::Directory = damage {
            fs::remove_dir(&file).unwrap();
        }
    }
    let deleted = scene.does("delete", &["--force"], &[]);
    assert_eq!(deleted.code, Some(0), "{deleted:?}");
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
        integration::skip::skip("no freezer of cgroup v1");
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

/// Whether a process is stopped (SIGSTOP).
fn is_stopped(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") T "))
}

#[test]
fn a_runtime_that_wakes_late_leaves_the_next_container_of_its_id_alone() {
    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;
    // A `run` in the foreground whose container was deleted, and a `create` that waits for a hook.
    for late in ["run", "create"] {
        let Some(mut scene) = Scene::new() else { return };
        scene.script("exec sleep 1003");
        if late == "create" {
            let hook = json!([{"path": "/bin/sh", "args": ["sh", "-c", "touch $SEEN; exec sleep 1004"],
                "env": ["PATH=/bin:/usr/bin", format!("SEEN={}/waits", scene.dir.display())]}]);
            scene.config["hooks"] = json!({ "createRuntime": hook });
        }
        scene.write_config();
        // Not by a watchdog, which signals would reach in its place.
        let mut command = Command::new(&scene.runtime);
        command.arg("--root").arg(&scene.state_root).arg(late).arg(&scene.id).current_dir(scene.dir.join("bundle"));
        let quiet = || std::process::Stdio::null();
        let mut first = command.stdin(quiet()).stdout(quiet()).stderr(quiet()).spawn().unwrap();
        eventually("the first container is there", || match late {
            "create" => scene.dir.join("waits").exists(),
            _ => scene
                .command("state", &[], &[])
                .output()
                .is_ok_and(|o| String::from_utf8_lossy(&o.stdout).contains("running")),
        });
        kill(Pid::from_raw(first.id() as i32), Signal::SIGSTOP).unwrap();
        eventually("it is stopped", || is_stopped(first.id()));
        assert!(scene.command("delete", &["--force"], &[]).status().unwrap().success(), "{late}");
        scene.config.as_object_mut().unwrap().remove("hooks");
        scene.run_detached();
        let second = scene.init();
        kill(Pid::from_raw(first.id() as i32), Signal::SIGCONT).unwrap();
        first.wait().unwrap();
        assert!(lives(second), "{late}: the second container was killed");
        let state = scene.command("state", &[], &[]).output().unwrap();
        assert!(String::from_utf8_lossy(&state.stdout).contains("running"), "{late}: {state:?}");
    }
}
