//! Tests with a kernel: each in a thread with a mount namespace of its own, where /mnt is a fresh tmpfs.

mod attacks;
mod build;
mod cwd;
mod held;
mod parse;
mod root;

use super::*;
use crate::sys::{credentials, mount as calls, namespace};
use std::os::unix::fs::MetadataExt;

/// Runs `test` in a mount namespace of its own, with `/mnt/bundle/rootfs` (empty but for /proc, /sys and /dev) and
/// `/mnt/outside`, in which nothing may ever change. Without privileges the test prints so and does nothing.
pub(super) fn in_namespace(test: impl FnOnce() + Send + 'static) {
    if credentials::effective_uid() != 0 || namespace::unshare(0).is_err() {
        crate::skip::skip("needs root");
        return;
    }
    let body = move || {
        namespace::unshare(libc::CLONE_NEWNS | libc::CLONE_FS).unwrap();
        let private = calls::MountArgs { flags: libc::MS_REC | libc::MS_PRIVATE, ..Default::default() };
        calls::mount("/", &private).unwrap();
        let tmpfs = calls::MountArgs { source: Some("scene"), kind: Some("tmpfs"), ..Default::default() };
        calls::mount("/mnt", &tmpfs).unwrap();
        for dir in ["bundle/rootfs/proc", "bundle/rootfs/sys", "bundle/rootfs/dev", "outside/dir"] {
            std::fs::create_dir_all(format!("/mnt/{dir}")).unwrap();
        }
        std::fs::write("/mnt/outside/file", "canary").unwrap();
        let before = outside();
        test();
        assert_eq!(outside_by_handle(), before, "something outside the root has changed");
    };
    if let Err(panic) = std::thread::spawn(body).join() {
        std::panic::resume_unwind(panic);
    }
}

/// Whether this Linux is older than a version, which prints that its test does nothing.
fn older_than(version: (u32, u32)) -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split(['.', '-']).map(|n| n.parse().unwrap_or(0));
    let this = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if this < version {
        crate::skip::skip(&format!("needs Linux {}.{}, this is {release}", version.0, version.1));
    }
    this < version
}

thread_local! {
    static OUTSIDE: std::cell::RefCell<Option<std::fs::File>> = const { std::cell::RefCell::new(None) };
}

fn outside() -> Vec<String> {
    OUTSIDE.set(Some(std::fs::File::open("/mnt/outside").unwrap()));
    outside_by_handle()
}

/// What is outside, through a descriptor, as the test may have left the host's tree.
fn outside_by_handle() -> Vec<String> {
    let mut all = Vec::new();
    OUTSIDE.with_borrow(|dir| list(dir.as_ref().unwrap(), "", &mut all));
    all.sort();
    all
}

fn list(dir: &std::fs::File, prefix: &str, all: &mut Vec<String>) {
    use std::os::fd::AsFd;
    let dir = crate::sys::file::open_at(dir.as_fd(), ".", libc::O_RDONLY | libc::O_DIRECTORY, 0).unwrap();
    for name in crate::sys::fs::names(&dir).unwrap() {
        let name = String::from_utf8(name).unwrap();
        let path = format!("{prefix}/{name}");
        let entry = crate::sys::file::open_at(&dir, &name, libc::O_PATH | libc::O_NOFOLLOW, 0).unwrap();
        let stat = crate::sys::fs::stat(&entry).unwrap();
        all.push(format!("{path} {:o} {} {} {}", stat.mode, stat.uid, stat.gid, stat.ino));
        if stat.is_dir() {
            let open = crate::sys::file::open_at(&dir, &name, libc::O_RDONLY | libc::O_DIRECTORY, 0).unwrap();
            list(&std::fs::File::from(open), &path, all);
        }
    }
}

/// The checked root filesystem of a config with these mounts, and `linux` fields.
pub(super) fn parsed(mounts: &str, linux: &str) -> Result<Rootfs> {
    let json = format!(r#"{{"root":{{"path":"rootfs"}},"mounts":[{mounts}],"linux":{{{linux}}}}}"#);
    Rootfs::parse(&config::parse(&json)?, Path::new("/mnt/bundle"), false)
}

/// Builds it; the current directory is the root afterwards.
pub(super) fn built(rootfs: &Rootfs) -> Result<Built<'_>> {
    built_with(rootfs, Sources::ByChild, &CgroupView::default())
}

pub(super) fn built_with<'a>(rootfs: &'a Rootfs, sources: Sources, view: &CgroupView) -> Result<Built<'a>> {
    let mut prepared = rootfs.prepare(sources)?;
    crate::sys::fs::change_dir_to(prepared.directory())?;
    rootfs.propagate()?;
    let trees = prepared.take_trees();
    rootfs.build(&prepared, trees, view)
}

/// Somebody in another mount namespace, to whom the root is a directory like any other: it can rename what mounts are on.
pub(super) struct Neighbour {
    names: std::sync::mpsc::Sender<[String; 2]>,
    done: std::sync::mpsc::Receiver<()>,
}

impl Neighbour {
    pub(super) fn new() -> Neighbour {
        let (names, asked) = std::sync::mpsc::channel::<[String; 2]>();
        let (ready, done) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            namespace::unshare(libc::CLONE_NEWNS | libc::CLONE_FS).unwrap();
            ready.send(()).unwrap();
            for [one, other] in asked {
                crate::sys::tests::exchange_at(crate::sys::file::CWD, &one, &other).unwrap();
                ready.send(()).unwrap();
            }
        });
        done.recv().unwrap();
        Neighbour { names, done }
    }

    /// Exchanges two names in the root.
    pub(super) fn exchange(&self, one: &str, other: &str) {
        self.names.send([one, other].map(|name| format!("/mnt/bundle/rootfs/{name}"))).unwrap();
        self.done.recv().unwrap();
    }
}

/// The fields of the mount at `target` from mountinfo: per-mount options, optional fields, type, superblock options.
pub(super) fn mount_at(target: &str) -> Option<[String; 4]> {
    let table = std::fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
    let line = table.lines().rfind(|line| line.split(' ').nth(4) == Some(target))?;
    let (front, back) = line.split_once(" - ").unwrap();
    let mut front = front.split(' ').skip(5);
    let options = front.next().unwrap().to_string();
    let optional = front.collect::<Vec<_>>().join(" ");
    let mut back = back.split(' ');
    let kind = back.next().unwrap().to_string();
    Some([options, optional, kind, back.next_back().unwrap().to_string()])
}

pub(super) fn mode(path: &str) -> u32 {
    std::fs::symlink_metadata(path).unwrap().mode()
}

/// What every engine asks for.
pub(super) const USUAL: &str = r#"
    {"destination":"/proc","type":"proc","source":"proc","options":["nosuid","noexec","nodev"]},
    {"destination":"/dev","type":"tmpfs","source":"tmpfs","options":["nosuid","strictatime","mode=755","size=65536k"]},
    {"destination":"/dev/pts","type":"devpts","source":"devpts",
     "options":["nosuid","noexec","newinstance","ptmxmode=0666","mode=0620","gid=5"]},
    {"destination":"/dev/shm","type":"tmpfs","source":"shm","options":["nosuid","noexec","nodev","mode=1777","size=65536k"]},
    {"destination":"/dev/mqueue","type":"mqueue","source":"mqueue","options":["nosuid","noexec","nodev"]},
    {"destination":"/sys","type":"sysfs","source":"sysfs","options":["nosuid","noexec","nodev","ro"]}"#;
