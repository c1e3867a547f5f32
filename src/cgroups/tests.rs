//! Tests on real cgroups below the test's own cgroup, removed at the end.

use super::hierarchy_cgroup::HierarchyCgroup;
use super::*;
use crate::config;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A cgroup of a test, removed when it is dropped.
struct Fixture {
    cgroup: Cgroup,
    children: Vec<Child>,
}

impl Drop for Fixture {
    fn drop(&mut self) {
        let _ = self.cgroup.remove();
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Waits for an event, with a timeout.
fn wait(events: &mut OomEvents, milliseconds: i32) -> Oom {
    let (fd, awaited) = events.pollable();
    match crate::sys::process::poll([(Some(fd), awaited)], milliseconds).unwrap() {
        [0] => Oom::Quiet,
        _ => events.look().unwrap(),
    }
}

fn may_make_cgroups() -> bool {
    let able = Layout::read().is_ok_and(|l| l.hierarchies.iter().all(|h| Path::new(&h.mount).exists()))
        && std::fs::metadata("/sys/fs/cgroup").is_ok_and(|_| crate::sys::credentials::effective_uid() == 0);
    if !able {
        crate::skip::skip("needs root and a mounted cgroup file system");
    }
    able
}

fn name(test: &str) -> String {
    format!("orlop-test-{}-{test}", std::process::id())
}

fn plan(path: &str, resources: &str) -> CgroupPlan {
    let json = format!(r#"{{"linux":{{"cgroupsPath":"{path}","resources":{resources}}}}}"#);
    CgroupPlan::parse(&config::parse(json.as_bytes()).unwrap(), "id", CgroupManager::Cgroupfs, false).unwrap()
}

impl Fixture {
    fn new(test: &str, resources: &str) -> Fixture {
        Fixture::at(&name(test), resources)
    }

    fn at(path: &str, resources: &str) -> Fixture {
        let layout = Layout::read().unwrap();
        let mut cgroup = Cgroup::prepare(&plan(path, resources), &layout).unwrap();
        cgroup.create().unwrap();
        Fixture { cgroup, children: Vec::new() }
    }

    /// Starts a shell that joins the cgroup and runs the script.
    fn shell(&mut self, script: &str) -> i32 {
        let mut joined = String::new();
        for cgroup in self.cgroup.cgroups() {
            let file = if cgroup.is_unified() { "cgroup.procs" } else { "tasks" };
            joined.push_str(&format!("echo 0 > {} || exit 99\n", cgroup.file(file)));
        }
        let child = Command::new("/bin/sh")
            .args(["-c", &format!("{joined}echo joined; {script}")])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        self.children.push(child);
        let child = self.children.last_mut().unwrap();
        let mut line = String::new();
        let mut reader = std::io::BufReader::new(child.stdout.take().unwrap());
        std::io::BufRead::read_line(&mut reader, &mut line).unwrap();
        assert_eq!(line, "joined\n");
        child.id() as i32
    }

    /// Waits until a thread that has joined and exited has left its cgroups: `cgroup.procs` lists it
    /// as this process for a moment longer, and a removal would kill this process.
    fn await_thread(&self) {
        for cgroup in self.cgroup.cgroups() {
            eventually("the thread has left", || kill::processes(&cgroup.directory()).unwrap().is_empty());
        }
    }

    fn cgroup(&self, controller: &str) -> Option<&HierarchyCgroup> {
        self.cgroup.cgroups().iter().find(|b| b.has(controller))
    }
}

fn eventually(what: &str, mut check: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !check() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn state_of(pid: i32) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .map(|stat| stat.rsplit(") ").next().unwrap_or_default()[..1].to_owned())
        .unwrap_or_else(|_| "gone".into())
}

#[test]
fn a_cgroup_is_made_in_every_hierarchy_and_removed_without_a_trace() {
    if !may_make_cgroups() {
        return;
    }
    let fixture = Fixture::at(&format!("{}/deep/er", name("made")), "{}");
    let cgroups = fixture.cgroup.cgroups().to_vec();
    assert_eq!(cgroups.len(), Layout::read().unwrap().hierarchies.len());
    assert!(cgroups.iter().all(|b| b.exists() && b.parents == 2));
    drop(fixture);
    for cgroup in cgroups {
        assert!(!cgroup.exists());
        assert!(!Path::new(&cgroup.mount).join(name("made")).exists());
    }
}

#[test]
fn every_removed_cgroup_starts_the_timeout_of_removal_anew() {
    if !may_make_cgroups() {
        return;
    }
    let fixture = Fixture::new("anew", "{}");
    fixture.cgroup.cgroups().iter().for_each(cgroup_child);
    // The deadline has passed: only a nested cgroup that is removed in the same round extends it.
    remove::all_until(fixture.cgroup.cgroups(), Instant::now()).unwrap();
    assert!(!fixture.cgroup.exists());
}

#[test]
fn the_name_of_a_file_of_the_kernels_is_refused_and_nothing_is_left_to_remove() {
    if !may_make_cgroups() {
        return;
    }
    let mut cgroup = Cgroup::prepare(&plan("/cgroup.procs", "{}"), &Layout::read().unwrap()).unwrap();
    assert_eq!(cgroup.create().unwrap_err().errno(), libc::ENOTDIR);
    Cgroup::open(cgroup.record()).remove().unwrap();
}

#[test]
fn a_thread_joins_all_v1_hierarchies_by_itself() {
    if !may_make_cgroups() || Layout::read().unwrap().mode() == Mode::Unified {
        return;
    }
    let fixture = Fixture::new("join", "{}");
    let fds = fixture.cgroup.open_fds().unwrap();
    let text = std::thread::spawn(move || {
        fds.join_self().unwrap();
        std::fs::read_to_string("/proc/thread-self/cgroup").unwrap()
    });
    let text = text.join().unwrap();
    let inside = membership::Membership::parse_all(&text);
    for member in inside.iter().filter(|m| !m.controllers.is_empty()) {
        assert!(member.path.ends_with(&name("join")), "{text}");
    }
    fixture.await_thread();
}

#[test]
fn a_later_process_finds_the_cgroup_by_its_record() {
    if !may_make_cgroups() {
        return;
    }
    let mut fixture = Fixture::new("record", "{}");
    let pid = fixture.shell("sleep 1000");
    let json = serde_json::to_string(&fixture.cgroup.record()).unwrap();
    let again = Cgroup::open(crate::json::document(json.as_bytes()).ok().unwrap());
    assert!(again.processes().unwrap().contains(&pid));
    again.remove().unwrap();
    eventually("killed with its cgroup", || matches!(&*state_of(pid), "Z" | "gone"));
    assert!(again.processes().unwrap().is_empty());
    assert!(!again.frozen().unwrap());
}

#[test]
fn freezing_stops_every_process_until_it_is_thawed() {
    if !may_make_cgroups() {
        return;
    }
    let mut fixture = Fixture::new("freeze", "{}");
    let pid = fixture.shell("n=0; while :; do n=$((n+1)); done");
    assert!(!fixture.cgroup.frozen().unwrap());
    fixture.cgroup.freeze().unwrap();
    assert!(fixture.cgroup.frozen().unwrap());
    let ticks = |pid| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        stat.rsplit(") ").next().unwrap().split(' ').nth(11).unwrap().parse::<u64>().unwrap()
    };
    let before = ticks(pid);
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(ticks(pid), before);
    fixture.cgroup.thaw().unwrap();
    assert!(!fixture.cgroup.frozen().unwrap());
    eventually("it runs again", || ticks(pid) > before);
}

#[test]
fn a_signal_reaches_everybody_also_in_nested_cgroups() {
    if !may_make_cgroups() {
        return;
    }
    let mut fixture = Fixture::new("kill", "{}");
    let first = fixture.shell("sleep 1000 & sleep 1000");
    for cgroup in fixture.cgroup.cgroups() {
        cgroup_child(cgroup);
    }
    eventually("both run", || fixture.cgroup.processes().unwrap().len() >= 3);
    let pids = fixture.cgroup.processes().unwrap();
    assert!(pids.contains(&first));
    fixture.cgroup.freeze().unwrap();
    fixture.cgroup.kill_all(libc::SIGKILL).unwrap();
    for pid in pids {
        eventually("killed, though it was frozen", || matches!(&*state_of(pid), "Z" | "gone"));
    }
}

/// Creates a nested cgroup, like a container.
fn cgroup_child(cgroup: &HierarchyCgroup) {
    std::fs::create_dir(format!("{}/nested", cgroup.directory())).unwrap();
}

#[test]
fn a_cgroup_with_processes_is_not_taken_over() {
    if !may_make_cgroups() {
        return;
    }
    let mut fixture = Fixture::new("busy", "{}");
    let pid = fixture.shell("exec sleep 1000");
    let error = Cgroup::prepare(&plan(&name("busy"), "{}"), &Layout::read().unwrap()).unwrap_err();
    assert!(error.to_string().contains("container's cgroup is not empty: 1 process(es) found"), "{error}");
    assert!(!matches!(&*state_of(pid), "Z" | "gone"));
}

#[test]
fn limits_are_seen_in_the_files_of_the_kernel() {
    if !may_make_cgroups() || Layout::read().unwrap().mode() == Mode::Unified {
        return;
    }
    let resources = r#"{"memory":{"limit":67108864,"swap":134217728,"swappiness":7},"pids":{"limit":11},
        "cpu":{"shares":77,"quota":20000,"period":50000,"cpus":"0","mems":"0"}}"#;
    let fixture = Fixture::new("limits", resources);
    fixture.cgroup.apply_early().unwrap();
    fixture.cgroup.apply_late().unwrap();
    for (controller, file, value) in [
        ("memory", "memory.limit_in_bytes", "67108864"),
        ("memory", "memory.memsw.limit_in_bytes", "134217728"),
        ("memory", "memory.swappiness", "7"),
        ("pids", "pids.max", "11"),
        ("cpu", "cpu.shares", "77"),
        ("cpu", "cpu.cfs_quota_us", "20000"),
        ("cpu", "cpu.cfs_period_us", "50000"),
        ("cpuset", "cpuset.cpus", "0"),
    ] {
        if let Some(cgroup) = fixture.cgroup(controller) {
            assert_eq!(cgroup.read(file).unwrap(), value, "{file}");
        }
    }
    if let Some(devices) = fixture.cgroup("devices") {
        let list = devices.read("devices.list").unwrap();
        assert!(list.contains("c 1:3 rwm") && !list.contains("a *:* rwm"), "{list}");
    }
}

#[test]
fn limits_for_a_missing_controller_are_an_error_that_names_the_field() {
    if !may_make_cgroups() {
        return;
    }
    let layout = Layout::read().unwrap();
    if layout.mode() == Mode::Unified || layout.hierarchies.iter().any(|h| h.controllers.contains(&"net_cls".into())) {
        return;
    }
    let fixture = Fixture::new("missing", r#"{"network":{"classID":1}}"#);
    let error = fixture.cgroup.apply_early().unwrap_err().to_string();
    assert!(error.starts_with("linux.resources.network.classID: "), "{error}");
}

#[test]
fn without_a_driver_there_is_nothing_to_do() {
    let spec = config::parse(b"{}").unwrap();
    let plan = CgroupPlan::parse(&spec, "id", CgroupManager::Disabled, false).unwrap();
    let mut cgroup = Cgroup::prepare(&plan, &Layout::default()).unwrap();
    let fds = cgroup.create().unwrap();
    assert!(fds.clone_into().is_none() && !fds.has_v1());
    cgroup.apply_early().unwrap();
    cgroup.apply_late().unwrap();
    assert!(cgroup.processes().unwrap().is_empty());
    assert!(cgroup.freeze().is_err());
    cgroup.remove().unwrap();
}

#[test]
fn an_update_that_is_refused_leaves_the_old_limits() {
    if !may_make_cgroups() || Layout::read().unwrap().mode() == Mode::Unified {
        return;
    }
    let fixture = Fixture::new("update", r#"{"cpu":{"shares":500},"pids":{"limit":20}}"#);
    fixture.cgroup.apply_early().unwrap();
    fixture.cgroup.apply_late().unwrap();
    let limits = |json: &str| Limits::parse(&config::parse_resources(json).unwrap(), "").unwrap();
    let error = fixture
        .cgroup
        .update(&limits(r#"{"cpu":{"shares":600},"memory":{"limit":9000000},"pids":{"limit":4194305000}}"#));
    let shares = |f: &Fixture| f.cgroup("cpu").map(|b| b.read("cpu.shares").unwrap());
    if fixture.cgroup("pids").is_some() {
        let error = error.unwrap_err().to_string();
        assert!(error.starts_with("linux.resources.pids.limit: "), "{error}");
        assert!(shares(&fixture).is_none_or(|s| s == "500"));
        let unlimited =
            |b: &HierarchyCgroup| b.read("memory.limit_in_bytes").unwrap().parse::<u64>().unwrap() > 1 << 60;
        assert!(fixture.cgroup("memory").is_none_or(unlimited));
    }
    fixture.cgroup.update(&limits(r#"{"cpu":{"shares":700}}"#)).unwrap();
    assert!(shares(&fixture).is_none_or(|s| s == "700"));
}

/// The content of each file of a limit, by its controller and name.
fn limits_of(fixture: &Fixture) -> Vec<(String, String)> {
    let files = [
        ("cpu", "cpu.shares cpu.cfs_quota_us cpu.cfs_period_us cpu.cfs_burst_us"),
        ("cpu", "cpu.idle cpu.weight cpu.max cpu.max.burst"),
        ("memory", "memory.limit_in_bytes memory.memsw.limit_in_bytes memory.soft_limit_in_bytes memory.swappiness"),
        ("memory", "memory.oom_control memory.max memory.high memory.low memory.min memory.swap.max memory.oom.group"),
        ("cpuset", "cpuset.cpus cpuset.mems"),
        ("blkio", "blkio.weight blkio.bfq.weight"),
        ("io", "io.weight io.bfq.weight io.max"),
        ("pids", "pids.max"),
        ("devices", "devices.list"),
    ];
    let mut list = Vec::new();
    for (controller, names) in files {
        let cgroup = super::apply::cgroup_of(fixture.cgroup.cgroups(), controller);
        for name in names.split(' ') {
            list.extend(cgroup.and_then(|b| b.read(name).ok()).map(|text| (name.to_owned(), text)));
        }
    }
    list
}

/// Gives the parent of a fixture's cgroup processor time of which its children can have no greater part (v1).
fn bound_parent(fixture: &Fixture) {
    let Some(cgroup) = fixture.cgroup("cpu") else { return };
    let parent = HierarchyCgroup { path: cgroup.path.rsplit_once('/').unwrap().0.to_owned(), ..cgroup.clone() };
    parent.write("cpu.cfs_period_us", "100000").unwrap();
    parent.write("cpu.cfs_quota_us", "40000").unwrap();
}

#[test]
fn no_two_values_that_are_written_together_stay_when_an_update_is_refused() {
    if !may_make_cgroups() {
        return;
    }
    let limits = |json: &str| Limits::parse(&config::parse_resources(json).unwrap(), "").unwrap();
    let quota = |quota: u32, period: u32| format!(r#""quota":{quota},"period":{period}"#);
    let with_burst = |quota: u32, burst: u32| format!(r#""quota":{quota},"burst":{burst}"#);
    let memory = |limit: u32, swap: u32| format!(r#""limit":{},"swap":{}"#, limit << 20, swap << 20);
    let mut cases: Vec<(String, String)> = Vec::new();
    let mut both = |group: &str, one: String, other: String| {
        let json = |fields: &str| format!(r#"{{"{group}":{{{fields}}},"#);
        cases.push((json(&one), json(&other)));
        cases.push((json(&other), json(&one)));
    };
    both("cpu", quota(40_000, 100_000), quota(4000, 10_000));
    both("cpu", quota(20_000, 50_000), quota(400_000, 1_000_000));
    both("cpu", with_burst(10_000, 10_000), with_burst(20_000, 20_000));
    both("cpu", with_burst(20_000, 20_000), with_burst(20_000, 0));
    both("cpu", r#""shares":500"#.into(), r#""idle":1"#.into());
    both("cpu", r#""shares":500,"idle":0"#.into(), r#""shares":700"#.into());
    both("cpu", r#""cpus":"0""#.into(), r#""shares":500"#.into());
    both("memory", memory(50, 100), memory(200, 300));
    both("memory", memory(60, 60), memory(50, 300));
    both("memory", r#""reservation":1048576"#.into(), r#""limit":67108864"#.into());
    for (n, (before, after)) in cases.iter().enumerate() {
        // A kernel without swap accounting or burst refuses the first value.
        let fixture = Fixture::at(&format!("/{}/c", name(&format!("bound{n}"))), "{}");
        bound_parent(&fixture);
        if let Err(e) = fixture.cgroup.update(&limits(&format!(r#"{before}"pids":{{"limit":30}}}}"#))) {
            eprintln!("skipped: {before}: {e}");
            continue;
        }
        let old = limits_of(&fixture);
        let error = fixture.cgroup.update(&limits(&format!(r#"{after}"pids":{{"limit":99999999999}}}}"#))).unwrap_err();
        assert!(error.to_string().starts_with("linux.resources."), "{after}: {error}");
        assert!(!error.to_string().contains("not all back"), "{error}");
        assert_eq!(limits_of(&fixture), old, "{before} {after}");
        if old.iter().any(|(file, _)| file == "cpu.max") {
            let unknown = format!(r#"{after}"pids":{{"limit":40}},"unified":{{"no.such":"1"}}}}"#);
            fixture.cgroup.update(&limits(&unknown)).unwrap_err();
            assert_eq!(limits_of(&fixture), old, "{before} {unknown}");
        }
    }
}

#[test]
fn an_update_tells_of_what_it_could_not_bring_back() {
    if !may_make_cgroups() || Layout::read().unwrap().mode() == Mode::Unified {
        return;
    }
    let fixture = Fixture::at(&format!("/{}/c", name("untold")), r#"{"cpu":{"quota":30000}}"#);
    let Some(cgroup) = fixture.cgroup("cpu").cloned() else { return };
    fixture.cgroup.apply_early().unwrap();
    let group = [super::write::Write::new("cpu.quota", "cpu", "cpu.cfs_quota_us", "10000".into())];
    let undo = super::undo::Undo::of(fixture.cgroup.cgroups(), &group);
    cgroup.write("cpu.cfs_quota_us", "10000").unwrap();
    // Meanwhile another process takes the CPU time that the old value needs.
    let parent = HierarchyCgroup { path: cgroup.path.rsplit_once('/').unwrap().0.to_owned(), ..cgroup.clone() };
    parent.write("cpu.cfs_quota_us", "10000").unwrap();
    let error = undo.bring_back(fixture.cgroup.cgroups()).unwrap_err().to_string();
    assert!(error.contains("cpu.cfs_quota_us") && error.contains("EINVAL"), "{error}");
}

#[test]
fn memory_and_swap_grow_and_shrink_in_whichever_order_the_kernel_takes() {
    if !may_make_cgroups() {
        return;
    }
    let fixture = Fixture::new("memory", "{}");
    let Some(cgroup) = fixture.cgroup("memory").filter(|b| b.read("memory.memsw.limit_in_bytes").is_ok()) else {
        return;
    };
    for (limit, swap) in [(50, 100), (200, 300), (20, 20), (100, 100)] {
        let (limit, swap) = (limit << 20, swap << 20);
        let json = format!(r#"{{"memory":{{"limit":{limit},"swap":{swap}}}}}"#);
        fixture.cgroup.update(&Limits::parse(&config::parse_resources(&json).unwrap(), "").unwrap()).unwrap();
        assert_eq!(cgroup.read("memory.limit_in_bytes").unwrap(), limit.to_string());
        assert_eq!(cgroup.read("memory.memsw.limit_in_bytes").unwrap(), swap.to_string());
    }
}

#[test]
fn the_end_of_memory_is_told() {
    if !may_make_cgroups() {
        return;
    }
    let mut fixture = Fixture::new("oom", r#"{"memory":{"limit":8388608,"swap":8388608}}"#);
    if fixture.cgroup("memory").is_none() && Layout::read().unwrap().mode() != Mode::Unified {
        return;
    }
    fixture.cgroup.apply_late().unwrap();
    let mut events = fixture.cgroup.oom_events().unwrap();
    assert_eq!(wait(&mut events, 0), Oom::Quiet);
    fixture.shell("x=0123456789; while :; do x=$x$x; done");
    eventually("told", || wait(&mut events, 100) == Oom::Happened);
    fixture.cgroup.remove().unwrap();
    eventually("told of the cgroup's end", || wait(&mut events, 100) == Oom::Gone);
}

#[test]
fn what_is_used_is_counted() {
    if !may_make_cgroups() {
        return;
    }
    let mut fixture = Fixture::new("stats", r#"{"pids":{"limit":9}}"#);
    fixture.cgroup.apply_early().unwrap();
    fixture.cgroup.apply_late().unwrap();
    fixture.shell("exec sleep 1000");
    eventually("time is counted", || fixture.cgroup.stats().cpu.usage.total > 0);
    let stats = fixture.cgroup.stats();
    assert_eq!((stats.pids.current, stats.pids.limit), (1, 9));
    assert!(stats.memory.usage.usage > 0 && !stats.cpuset.cpus.is_empty());
}

#[test]
fn one_can_join_a_cgroup_that_the_container_has_made() {
    if !may_make_cgroups() || Layout::read().unwrap().mode() == Mode::Unified {
        return;
    }
    let fixture = Fixture::new("below", "{}");
    assert!(fixture.cgroup.below(&[(&[], "nested")]).unwrap().open_fds().is_err());
    fixture.cgroup.cgroups().iter().for_each(cgroup_child);
    let fds = fixture.cgroup.below(&[(&["cpu".into()], "nested")]).unwrap().open_fds().unwrap();
    let moved = std::thread::spawn(move || {
        fds.join_self().unwrap();
        std::fs::read_to_string("/proc/thread-self/cgroup").unwrap()
    });
    let text = moved.join().unwrap();
    for member in membership::Membership::parse_all(&text) {
        let nested = member.path.ends_with("/nested");
        assert_eq!(nested, member.controllers.contains(&"cpu".to_owned()), "{text}");
    }
    fixture.await_thread();
}

#[test]
fn a_device_filter_holds_and_is_replaced_at_once() {
    if !may_make_cgroups() {
        return;
    }
    let mut fixture = Fixture::new("filter", "{}");
    let Some(cgroup) = fixture.cgroup.cgroups().iter().find(|b| b.is_unified()).cloned() else { return };
    let directory = crate::sys::file::open(cgroup.directory(), libc::O_RDONLY | libc::O_DIRECTORY).unwrap();
    let null_only = |allow: bool| {
        let rule = |kind, allow| devices::Rule { allow, kind, major: None, minor: None, access: 7 };
        [
            rule(devices::Type::All, true),
            devices::Rule { major: Some(1), minor: Some(7), ..rule(devices::Type::Char, allow) },
        ]
    };
    match filter::enforce(&directory, &null_only(true)) {
        Err(e) if matches!(e.errno(), libc::EPERM | libc::ENOSYS | libc::EINVAL) => {
            crate::skip::skip(&format!("the kernel takes no filter of devices: {e}"));
            return;
        }
        done => done.unwrap(),
    }
    filter::enforce(&directory, &null_only(false)).unwrap();
    assert_eq!(crate::sys::bpf::device_filters(&directory).unwrap().len(), 1);
    let marks = std::env::temp_dir().join(name("filter"));
    std::fs::create_dir_all(&marks).unwrap();
    fixture
        .shell(&format!("cd {}; (: < /dev/null) && : > null; (: < /dev/full) && : > full; : > done", marks.display()));
    eventually("the script ends", || marks.join("done").exists());
    assert!(marks.join("null").exists() && !marks.join("full").exists());
    std::fs::remove_dir_all(&marks).unwrap();
}

/// A process of the test's own that waits, for a scope to be made around it.
fn waiting() -> Child {
    Command::new("/bin/sleep").arg("1000").spawn().unwrap()
}

#[test]
fn systemd_makes_a_scope_with_the_limits_and_takes_it_away() {
    if !Path::new("/run/systemd/system").exists() {
        crate::skip::skip("systemd does not run here");
        return;
    }
    let json = r#"{"annotations":{"org.systemd.property.TimeoutStopSec":"7"},
        "linux":{"resources":{"memory":{"limit":67108864},"pids":{"limit":11},
        "cpu":{"shares":512,"quota":20000,"period":50000,"cpus":"0"}}}}"#;
    let spec = config::parse(json).unwrap();
    let id = name("scope");
    let rootless = crate::sys::credentials::effective_uid() != 0;
    if rootless && Layout::read().unwrap().mode() != Mode::Unified {
        crate::skip::skip("a user's systemd has no controllers of v1");
        return;
    }
    let plan = CgroupPlan::parse(&spec, &id, CgroupManager::Systemd, rootless).unwrap();
    let mut cgroup = Cgroup::prepare(&plan, &Layout::read().unwrap()).unwrap();
    cgroup.create().unwrap();
    let child = waiting();
    let pid = child.id() as i32;
    cgroup.enter(pid).unwrap();
    cgroup.apply_late().unwrap();
    let _fixture = Fixture { cgroup: cgroup.clone(), children: vec![child] };
    assert_eq!(cgroup.processes().unwrap(), [pid]);
    let mut show = Command::new("systemctl");
    if rootless {
        show.arg("--user");
    }
    let unit = cgroup.record().unit.unwrap().name;
    let properties =
        "MemoryMax,TasksMax,CPUWeight,CPUQuotaPerSecUSec,TimeoutStopUSec,Delegate,AllowedCPUs,DevicePolicy";
    let out = show.args(["show", &unit, "-p", properties]).output().unwrap().stdout;
    let out = String::from_utf8(out).unwrap();
    for line in [
        "TasksMax=11",
        "CPUQuotaPerSecUSec=400ms",
        "TimeoutStopUSec=7s",
        "Delegate=yes",
        "AllowedCPUs=0",
        "DevicePolicy=strict",
    ] {
        assert!(out.lines().any(|l| l == line), "{line}\n{out}");
    }
    if Layout::read().unwrap().mode() == Mode::Unified {
        assert!(out.contains("MemoryMax=67108864") && out.contains("CPUWeight=59"), "{out}");
        assert_eq!(cgroup.cgroups()[0].read("memory.max").unwrap(), "67108864");
    }
    let again = Limits::parse(&config::parse_resources(r#"{"pids":{"limit":22}}"#).unwrap(), "").unwrap();
    cgroup.update(&again).unwrap();
    assert_eq!(cgroup.stats().pids.limit, 22);
    // Another container of the same name is refused, and does not get this one's cgroup.
    let error = Cgroup::prepare(&plan, &Layout::read().unwrap()).unwrap_err().to_string();
    assert!(error.contains(&unit) && error.contains("unit already exists"), "{error}");
    assert_eq!(cgroup.processes().unwrap(), [pid]);
    cgroup.remove().unwrap();
    assert!(!cgroup.cgroups()[0].exists());
    eventually("ended with its scope", || matches!(&*state_of(pid), "Z" | "gone"));
}

#[test]
fn limits_are_seen_in_the_files_of_v2() {
    if !may_make_cgroups() || Layout::read().unwrap().mode() != Mode::Unified {
        return;
    }
    let resources = r#"{"memory":{"limit":67108864,"swap":134217728,"reservation":1048576},"pids":{"limit":11},
        "cpu":{"shares":512,"quota":20000,"period":50000,"cpus":"0","mems":"0"},"unified":{"memory.high":"33554432"}}"#;
    let fixture = Fixture::new("limits2", resources);
    fixture.cgroup.apply_early().unwrap();
    fixture.cgroup.apply_late().unwrap();
    let cgroup = &fixture.cgroup.cgroups()[0];
    for (file, value) in [
        ("memory.max", "67108864"),
        ("memory.swap.max", "67108864"),
        ("memory.low", "1048576"),
        ("memory.high", "33554432"),
        ("pids.max", "11"),
        ("cpu.weight", "59"),
        ("cpu.max", "20000 50000"),
        ("cpuset.cpus", "0"),
    ] {
        assert_eq!(cgroup.read(file).unwrap(), value, "{file}");
    }
    let limits = |json: &str| Limits::parse(&config::parse_resources(json).unwrap(), "").unwrap();
    fixture.cgroup.update(&limits(r#"{"cpu":{"quota":10000}}"#)).unwrap();
    assert_eq!(cgroup.read("cpu.max").unwrap(), "10000 50000");
    if cgroup.read("cpu.max.burst").is_ok() {
        fixture.cgroup.update(&limits(r#"{"cpu":{"burst":1000}}"#)).unwrap();
        assert_eq!(cgroup.read("cpu.max.burst").unwrap(), "1000");
    } else {
        eprintln!("skipped: bursts need Linux 5.14");
    }
    let error = fixture.cgroup.update(&limits(r#"{"cpu":{"shares":1024},"unified":{"nosuch.max":"1"}}"#)).unwrap_err();
    assert!(error.to_string().contains("controller \"nosuch\" not available"), "{error}");
    assert_eq!(cgroup.read("cpu.weight").unwrap(), "59");
}

#[test]
fn an_existing_parent_without_controllers_is_made_fit() {
    if !may_make_cgroups() || Layout::read().unwrap().mode() != Mode::Unified {
        return;
    }
    let mut fixture = Fixture::at(&format!("/{}/a/b", name("parents")), r#"{"memory":{"limit":67108864}}"#);
    fixture.cgroup.apply_late().unwrap();
    let pid = fixture.shell("sleep 1000");
    assert!(fixture.cgroup.processes().unwrap().contains(&pid));
    fixture.cgroup.kill_all(libc::SIGKILL).unwrap();
    eventually("killed at once", || fixture.cgroup.processes().unwrap().is_empty());
}

#[test]
fn a_record_is_short_where_all_is_as_distributions_have_it_and_whole_elsewhere() {
    let cgroup = |controllers: &[&str], mount: &str| HierarchyCgroup {
        controllers: controllers.iter().map(|name| name.to_string()).collect(),
        mount: mount.into(),
        path: "/a/b,c".into(),
        parents: 1,
    };
    let both = |cgroups: Vec<HierarchyCgroup>| {
        let record = CgroupRecord { cgroups, unit: None };
        let json = serde_json::to_string(&record).unwrap();
        assert_eq!(crate::json::document::<CgroupRecord>(json.as_bytes()).ok().unwrap(), record, "{json}");
        json
    };
    let (cpu, systemd) = (
        cgroup(&["cpu", "cpuacct"], "/sys/fs/cgroup/cpu,cpuacct"),
        cgroup(&["name=systemd"], "/sys/fs/cgroup/systemd"),
    );
    let unified = cgroup(&[], "/sys/fs/cgroup/unified");
    let short = r#"{"path":"/a/b,c","parents":1,"hierarchies":["cpu,cpuacct","name=systemd",""]}"#;
    assert_eq!(both(vec![cpu.clone(), systemd, unified.clone()]), short);
    assert_eq!(both(vec![cgroup(&[], "/sys/fs/cgroup")]), r#"{"path":"/a/b,c","parents":1,"hierarchies":[""]}"#);
    assert!(both(vec![unified]).contains("mount"));
    assert!(both(vec![cpu.clone(), cgroup(&["pids"], "/elsewhere/pids")]).contains("/elsewhere"));
    assert!(both(vec![HierarchyCgroup { path: "/other".into(), ..cpu.clone() }, cpu]).contains("/other"));
    assert_eq!(both(Vec::new()), "{}");
}
