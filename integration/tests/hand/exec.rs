//! `exec`: its processors, and a container that is paused at the same time.

use integration::bundle::{Scene, ended};
use integration::skip::skip;
use serde_json::json;
use std::fs;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

/// The line of /proc/PID/status with the processors that a process may use.
const ALLOWED: &str = "Cpus_allowed_list:";

fn allowed(status: &str) -> String {
    status.lines().find_map(|line| line.strip_prefix(ALLOWED)).unwrap().trim().to_owned()
}

/// A running container with this `execCPUAffinity`.
fn with_affinity(affinity: &serde_json::Value) -> Option<Scene> {
    let mut scene = Scene::of_spec()?;
    scene.args(&["sleep", "1000"]);
    scene.config["process"]["execCPUAffinity"] = affinity.clone();
    scene.begin();
    Some(scene)
}

#[test]
fn exec_runs_on_the_processors_of_exec_cpu_affinity() {
    if std::thread::available_parallelism().unwrap().get() < 2 {
        return skip("one CPU");
    }
    for affinity in [json!({"initial": "0-1", "final": "0"}), json!({"initial": "0"})] {
        let Some(scene) = with_affinity(&affinity) else { return };
        let status = |pid: &str| scene.call(&["exec"], &["cat", &format!("/proc/{pid}/status")]).ok();
        assert_eq!(allowed(&status("self")), "0", "{affinity}");
        let own = fs::read_to_string("/proc/self/status").unwrap();
        assert_eq!(allowed(&status("1")), allowed(&own), "the program: {affinity}");
        let _ = scene.call(&["delete", "--force"], &[]).ok();
        scene.nothing_left();
    }
}

/// Repeats `pause` and `resume` until it is over.
fn pause_and_resume(scene: &Scene, is_over: &AtomicBool) {
    while !is_over.load(Ordering::Relaxed) {
        let _ = scene.call(&["pause"], &[]);
        std::thread::sleep(Duration::from_millis(20));
        let _ = scene.call(&["resume"], &[]);
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Counts of `exec` that ran, and of those that were refused since the container was paused.
#[derive(Default)]
struct Counts {
    ran: AtomicU32,
    refused: AtomicU32,
}

/// `exec` again and again, until both have happened: on a busy machine that may take longer.
fn exec_again_and_again(scene: &Scene, counts: &Counts) {
    let rounds = std::env::var("SOAK_EXECS").ok().and_then(|text| text.parse().ok()).unwrap_or(15);
    let both = || counts.ran.load(Ordering::Relaxed) > 0 && counts.refused.load(Ordering::Relaxed) > 0;
    for round in 0..2000 {
        if round >= rounds && both() {
            return;
        }
        let ended = scene.call(&["exec"], &["true"]);
        match ended.code {
            Some(0) => &counts.ran,
            _ if ended.error.contains("paused") => &counts.refused,
            _ => panic!("neither: {ended:?}"),
        }
        .fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn exec_runs_or_is_refused_while_another_process_pauses_and_resumes() {
    let Some(mut scene) = Scene::of_spec() else { return };
    scene.args(&["sleep", "1000"]);
    scene.begin();
    let (scene, counts, is_over) = (&scene, &Counts::default(), &AtomicBool::new(false));
    std::thread::scope(|threads| {
        threads.spawn(|| pause_and_resume(scene, is_over));
        let workers = [0; 8].map(|_| threads.spawn(|| exec_again_and_again(scene, counts)));
        let ended = workers.map(|worker| worker.join());
        is_over.store(true, Ordering::Relaxed);
        assert!(ended.iter().all(Result::is_ok));
    });
    assert!(counts.ran.load(Ordering::Relaxed) > 0 && counts.refused.load(Ordering::Relaxed) > 0);
    let _ = scene.call(&["resume"], &[]);
    assert_eq!(scene.call(&["exec"], &["echo", "awake"]).ok(), "awake\n");
}

#[test]
fn sysctls_may_be_of_a_network_device_that_comes_into_the_container() {
    let Some(mut scene) = Scene::of_spec() else { return };
    let device = format!("hand{}", std::process::id());
    let link = |words: &[&str]| Command::new("ip").arg("link").args(words).status().unwrap().success();
    assert!(link(&["add", &device, "type", "veth", "peer", "name", &format!("{device}p")]));
    scene.config["linux"]["netDevices"] = json!({device.as_str(): {"name": "inner0"}});
    scene.config["linux"]["sysctl"] = json!({"net.ipv4.conf.inner0.forwarding": "1"});
    scene.args(&["cat", "/proc/sys/net/ipv4/conf/inner0/forwarding"]);
    let ended = ended(scene.command(&["run"], &[]), &scene.dir);
    let _ = Command::new("ip").args(["link", "delete", &device]).output();
    assert_eq!(ended.ok(), "1\n");
    scene.nothing_left();
}
