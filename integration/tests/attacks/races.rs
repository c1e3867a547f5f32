//! A neighbour that exchanges two directories of the root, again and again, while containers are made: what appears outside,
//! and what the container that was made may read and write.

use super::Scene;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A process that exchanges two names until it is dropped.
pub(super) struct Swapper(Child);

impl Swapper {
    pub(super) fn start(scene: &Scene, one: &str, other: &str, microseconds: u64) -> Swapper {
        // A process of its own, as the attacker is: a container that shares a volume with the one that is made.
        let program = std::env::current_exe().unwrap();
        let child = Command::new(program)
            .args(["--exact", "races::swapper", "--ignored", "--nocapture"])
            .env("SWAP_ONE", scene.root(one))
            .env("SWAP_OTHER", scene.root(other))
            .env("SWAP_EVERY", microseconds.to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Swapper(child)
    }

    /// Sends a signal, and waits until every thread is stopped, or none is.
    fn signal(&self, signal: nix::sys::signal::Signal, stopped: bool) {
        let pid = i32::try_from(self.0.id()).unwrap();
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal).unwrap();
        let is_stopped = |task: fs::DirEntry| {
            let stat = fs::read_to_string(task.path().join("stat")).unwrap();
            stat.rsplit_once(") ").unwrap().1.starts_with('T')
        };
        while fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten().any(|task| is_stopped(task) != stopped) {
            std::thread::yield_now();
        }
    }

    pub(super) fn stop(&self) {
        self.signal(nix::sys::signal::SIGSTOP, true);
    }

    pub(super) fn go_on(&self) {
        self.signal(nix::sys::signal::SIGCONT, false);
    }
}

impl Drop for Swapper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Not a test: the attacker's program, which ends when it is killed or when the names are gone.
#[test]
#[ignore = "the attacker of the other tests"]
fn swapper() {
    let word = |name: &str| std::env::var(name);
    let (Ok(one), Ok(other), Ok(every)) = (word("SWAP_ONE"), word("SWAP_OTHER"), word("SWAP_EVERY")) else { return };
    let every = Duration::from_micros(every.parse().unwrap());
    while exchange(Path::new(&one), Path::new(&other)) {
        let exchanged = Instant::now();
        while exchanged.elapsed() < every {
            std::hint::spin_loop();
        }
    }
}

fn exchange(one: &Path, other: &Path) -> bool {
    let flags = nix::fcntl::RenameFlags::RENAME_EXCHANGE;
    nix::fcntl::renameat2(nix::fcntl::AT_FDCWD, one, nix::fcntl::AT_FDCWD, other, flags).is_ok()
}

/// How often each race is run with each period, by turns with `create` and `run`; `SOAK_RACES` says another number.
pub(super) fn rounds() -> u32 {
    std::env::var("SOAK_RACES").map_or(50, |number| number.parse().expect("SOAK_RACES is a number"))
}

/// Exchanges two names while containers are created and run; looks at each container that was made, and outside.
/// Gives back how many of how many were made.
fn raced(scene: &mut Scene, one: &str, other: &str, microseconds: u64) -> (u32, u32) {
    // A user namespace needs one of its own for sysfs.
    let namespaces = scene.config["linux"]["namespaces"].as_array().unwrap();
    if !namespaces.iter().any(|namespace| namespace["type"] == "user") {
        scene.without_network();
    }
    scene.config["process"]["args"] = json!(["/bin/sleep", "1000"]);
    scene.write_config();
    let swapper = Swapper::start(scene, one, other, microseconds);
    let pid_file = scene.dir.join("pid").display().to_string();
    let (mut made, mut moved, mut tried) = (0, 0, 0);
    for round in 0..rounds() {
        let (name, flags) = if round % 2 == 0 { ("create", &[][..]) } else { ("run", &["--detach"][..]) };
        let flags = [flags, &["--pid-file", &pid_file]].concat();
        let error = scene.dir.join("error");
        let mut command = scene.command(name, &flags, &[]);
        let status = command.stdout(Stdio::null()).stderr(fs::File::create(&error).unwrap()).status().unwrap();
        tried += 1;
        if status.success() {
            made += 1;
            swapper.stop();
            let pid = fs::read_to_string(&pid_file).unwrap().parse().unwrap();
            let round = format!("{name} {round}, every {microseconds} us");
            moved += u32::from(look_inside(scene, pid, one, other, &round));
            swapper.go_on();
        } else {
            let text = fs::read_to_string(&error).unwrap();
            assert!(!text.is_empty() && !text.contains("panic"), "{name}: {status} {text:?}");
        }
        scene.delete();
    }
    drop(swapper);
    scene.nothing_outside();
    let failed = tried - made;
    eprintln!(
        "{one} exchanged with {other} every {microseconds} us: {made} of {tried} containers were made, \
         {moved} of them with a procfs or sysfs under the other name; {failed} failed with a message"
    );
    (made, tried)
}

/// Fails where a container has a procfs or sysfs, under whatever name, without a mask or read-only path that its config asks for.
/// Gives back whether one of them was found elsewhere than at its destination.
fn look_inside(scene: &Scene, pid: u32, one: &str, other: &str, round: &str) -> bool {
    let mut moved = false;
    let root = PathBuf::from(format!("/proc/{pid}/root"));
    for mount in scene.config["mounts"].as_array().unwrap() {
        let (kind, destination) = (mount["type"].as_str().unwrap(), mount["destination"].as_str().unwrap());
        let magic = match kind {
            "proc" => "self",
            "sysfs" => "kernel",
            _ => continue,
        };
        let found = kernel_filesystems(pid);
        let of_kind: Vec<&str> = found.iter().filter(|(k, _)| k == kind).map(|(_, point)| &**point).collect();
        assert_eq!(of_kind.len(), 1, "{round}: {found:?}");
        for point in of_kind {
            let mounted = root.join(point.trim_start_matches('/'));
            assert!(mounted.join(magic).symlink_metadata().is_ok(), "{round}: {mounted:?} is no {kind}");
            for path in listed(scene, "maskedPaths", destination) {
                is_masked(&mounted, &path, round);
            }
            for path in listed(scene, "readonlyPaths", destination) {
                is_read_only(&mounted.join(&path), round);
            }
        }
        // One of the two directories bears that name, or will after one more exchange.
        let there = |kind: &str| kernel_filesystems(pid).iter().any(|(k, point)| k == kind && point == destination);
        if !there(kind) {
            moved = true;
            assert!(exchange(&scene.root(one), &scene.root(other)));
            assert!(there(kind), "{round}: no {kind} at {destination}: {found:?}");
        }
    }
    moved
}

/// Type and mount point of each whole procfs and sysfs of a process, by its own table.
fn kernel_filesystems(pid: u32) -> Vec<(String, String)> {
    let table = fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap();
    let of_kernel = table.lines().filter_map(|line| {
        let (front, back) = line.split_once(" - ").unwrap();
        let front: Vec<&str> = front.split(' ').collect();
        let kind = back.split(' ').next().unwrap();
        let whole = front[3] == "/" && matches!(kind, "proc" | "sysfs");
        whole.then(|| (kind.to_owned(), front[4].to_owned()))
    });
    of_kernel.collect()
}

/// The paths of a list beneath `destination`, relative to it.
fn listed(scene: &Scene, list: &str, destination: &str) -> Vec<String> {
    let paths = scene.config["linux"][list].as_array().unwrap().iter().map(|path| path.as_str().unwrap());
    paths.filter_map(|path| path.strip_prefix(destination)?.strip_prefix('/').map(str::to_owned)).collect()
}

fn is_masked(mounted: &Path, path: &str, round: &str) {
    let Ok(found) = fs::metadata(mounted.join(path)) else { return };
    if found.is_dir() {
        let names = fs::read_dir(mounted.join(path)).unwrap().count();
        assert_eq!(names, 0, "{round}: {path} is not masked");
    } else {
        assert_eq!(found.rdev(), 0x103, "{round}: {path} is not masked");
    }
}

/// Tries to write, to the first file beneath that has a mode for it.
fn is_read_only(path: &Path, round: &str) {
    if !path.exists() {
        return;
    }
    let flags = nix::sys::statvfs::statvfs(path).unwrap().flags();
    assert!(flags.contains(nix::sys::statvfs::FsFlags::ST_RDONLY), "{round}: {path:?} is writable");
    let pattern = path.join("kernel/core_pattern");
    if pattern.exists() {
        let error = fs::OpenOptions::new().append(true).open(&pattern).expect_err(round);
        assert_eq!(error.raw_os_error(), Some(nix::libc::EROFS), "{round}: {pattern:?}");
    }
}

/// A scene with the masks that engines ask for.
fn scene() -> Option<Scene> {
    let mut scene = Scene::new()?;
    let masked =
        ["/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list", "/sys/firmware"];
    scene.config["linux"]["maskedPaths"] = json!(masked);
    let read_only = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];
    scene.config["linux"]["readonlyPaths"] = json!(read_only);
    Some(scene)
}

#[test]
fn a_racing_exchange_of_a_mount_destination() {
    let Some(mut scene) = scene() else { return };
    fs::create_dir_all(scene.root("vol/dir")).unwrap();
    scene.plant("vol/link", &scene.out("dir"));
    for n in 0..8 {
        scene.mount(json!({"destination": format!("/vol/dir/{n}/made"), "type": "tmpfs", "source": "tmpfs"}));
    }
    let busybox = "/bin/busybox";
    scene.mount(json!({"destination": "/vol/dir/file", "type": "bind", "source": busybox, "options": ["bind"]}));
    raced(&mut scene, "vol/dir", "vol/link", 0);
}

#[test]
fn a_racing_exchange_of_dev() {
    for own in [true, false] {
        let Some(mut scene) = scene() else { return };
        if !own {
            scene.without_dev();
        }
        scene.plant("link", &scene.out("dir"));
        raced(&mut scene, "dev", "link", 0);
    }
}

#[test]
fn a_racing_exchange_of_proc_with_a_link() {
    let Some(mut scene) = scene() else { return };
    scene.plant("link", &scene.out("dir"));
    raced(&mut scene, "proc", "link", 0);
}

/// At 200 us, a period in which a launch could be lucky, some must be made: refusing all of them is no protection.
fn enough((made, tried): (u32, u32), microseconds: u64) {
    assert!(microseconds < 200 || made * 5 >= tried, "{made} of {tried} containers were made");
}

#[test]
fn a_racing_exchange_of_proc() {
    for microseconds in [0, 50, 200] {
        let Some(mut scene) = scene() else { return };
        fs::create_dir(scene.root("empty")).unwrap();
        enough(raced(&mut scene, "proc", "empty", microseconds), microseconds);
    }
}

#[test]
fn a_racing_exchange_of_proc_in_a_user_namespace() {
    let Some(mut scene) = scene() else { return };
    let linux = &mut scene.config["linux"];
    linux["namespaces"].as_array_mut().unwrap().push(json!({"type": "user"}));
    for ids in ["uidMappings", "gidMappings"] {
        linux[ids] = json!([{"containerID": 0, "hostID": 0, "size": 65536}]);
    }
    fs::create_dir(scene.root("empty")).unwrap();
    enough(raced(&mut scene, "proc", "empty", 200), 200);
}

#[test]
fn a_racing_exchange_of_proc_and_sys() {
    for microseconds in [0, 50, 200] {
        let Some(mut scene) = scene() else { return };
        enough(raced(&mut scene, "proc", "sys", microseconds), microseconds);
    }
}

/// Both are mounts beneath a directory of the root: the destination of the second is a name in the first.
#[test]
fn a_racing_exchange_above_a_procfs() {
    let Some(mut scene) = scene() else { return };
    for name in ["data/proc", "other"] {
        fs::create_dir_all(scene.root(name)).unwrap();
    }
    scene.mount(json!({"destination": "/data", "type": "tmpfs", "source": "tmpfs"}));
    let mounts = scene.config["mounts"].as_array_mut().unwrap();
    mounts.retain(|mount| mount["destination"] != "/proc");
    scene.mount(json!({"destination": "/data/proc", "type": "proc", "source": "proc"}));
    for list in ["maskedPaths", "readonlyPaths"] {
        let paths = scene.config["linux"][list].as_array().unwrap().iter();
        let moved = paths.map(|path| path.as_str().unwrap().replacen("/proc/", "/data/proc/", 1));
        scene.config["linux"][list] = Value::from(moved.collect::<Vec<_>>());
    }
    raced(&mut scene, "data", "other", 50);
}
