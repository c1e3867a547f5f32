//! File systems that are full at each of many moments, have no inode left, or are read-only.
//!
//! `IMAGE_SIZES` is how many sizes are tried (default: 8).

use crate::archive::{Entry, dir, file, symlink, whiteout};
use crate::layout::{Form, Layout, architecture, base};
use crate::registry::Registry;
use crate::{Scene, says, text};
use integration::skip::skip;
use rustix::fs::statvfs;
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A file system on the scene's directory `disk`, until it is dropped.
pub(crate) struct Disk(PathBuf);

const LARGE: &str = "size=100m,nr_inodes=100000";

impl Disk {
    fn new(scene: &Scene, options: &str) -> Disk {
        Disk::mounted(scene, &["-t", "tmpfs", "-o", options, "tmpfs"])
    }

    /// A file system that is mounted with options of mount(8).
    pub(crate) fn mounted(scene: &Scene, options: &[&str]) -> Disk {
        let at = scene.path("disk");
        fs::create_dir_all(&at).unwrap();
        says(Command::new("mount").args(options).arg(&at));
        Disk(at)
    }

    fn remount(&self, options: &str) {
        says(Command::new("mount").args(["-o", &format!("remount,{options}")]).arg(&self.0));
    }

    /// Bytes and inodes that are used.
    fn used(&self) -> (u64, u64) {
        let status = statvfs(&self.0).unwrap();
        ((status.f_blocks - status.f_bfree) * status.f_frsize, status.f_files - status.f_ffree)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).output();
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    Pull,
    Run,
    Unpack,
    UnpackOverlay,
}

/// An image whose store and bundle are on a disk.
pub(crate) struct Images {
    pub(crate) scene: Scene,
    pub(crate) image: String,
    registry: Option<Registry>,
}

fn layers() -> Vec<Vec<Entry>> {
    let layer = |n: usize| -> Vec<Entry> {
        let data: Vec<u8> = (0..9000_usize).map(|at| ((at * at * (n + 7)) >> 3) as u8).collect();
        let files = (0..40).map(|k| file(&format!("d{n}/{k}"), &data[..k * 200]));
        let more = [symlink(&format!("d{n}/link"), "1"), whiteout(&format!("d{}/3", n - 1))];
        [dir(&format!("d{n}"))].into_iter().chain(files).chain(more).collect()
    };
    [vec![base()], (1..4).map(layer).collect()].concat()
}

impl Images {
    pub(crate) fn new(name: &str, is_remote: bool) -> Option<Images> {
        let scene = Scene::new(name)?;
        let layout = Layout::new(&scene.path("layout"));
        layout.tag(&[("one", &layout.image(&layers(), Form::Gzip, &json!({ "Cmd": ["sh"] }), architecture()))]);
        let mut image = format!("oci:{}:one", scene.at("layout"));
        let mut registry = None;
        if is_remote {
            let started = Registry::new(&scene);
            if started.is_none() {
                skip("no docker-registry on this machine");
            }
            let started = started?;
            started.push(&scene, "oci:layout:one", "app:v1");
            image = format!("docker://{}/app:v1", started.host);
            registry = Some(started);
        }
        Some(Images { scene, image, registry })
    }

    pub(crate) fn at(&self, name: &str) -> String {
        self.scene.at(&format!("disk/{name}"))
    }

    pub(crate) fn image(&self, arguments: &[&str]) -> Command {
        let mut command = self.scene.orlop(&["image"]);
        command.args(arguments).args(["--store", &self.at("store")]);
        command
    }

    pub(crate) fn command(&self, word: Word) -> Command {
        let insecure: &[&str] = if self.registry.is_some() { &["--insecure", "--quiet"] } else { &["--quiet"] };
        let mut command = match word {
            Word::Pull => self.image(&[&["pull", &self.image], insecure].concat()),
            Word::Unpack => self.image(&[&["unpack", &self.image, &self.at("bundle")], insecure].concat()),
            Word::UnpackOverlay => {
                self.image(&[&["unpack", "--overlay", &self.image, &self.at("bundle")], insecure].concat())
            }
            Word::Run => {
                let mut run = self.scene.orlop(&["run", "--store", &self.at("store"), "--id", self.scene.id()]);
                run.args(insecure).args(["--image", &self.image, "echo", "ran"]);
                run
            }
        };
        command.stdin(Stdio::null());
        command
    }

    /// The names in a directory of the store or the bundle.
    pub(crate) fn names(&self, directory: &str) -> Vec<String> {
        let entries = fs::read_dir(self.at(directory)).into_iter().flatten();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// The command has failed for want of space: it says so, the store is whole, and nothing of the command is seen.
    fn check_refused(&self, word: Word, ended: &Output, what: &str) {
        let said = text(&ended.stderr);
        assert!(said.contains("(ENOSPC)") && said.contains(&self.at("")), "{what}: {said}");
        if self.names("store").contains(&"blobs".to_owned()) {
            says(&mut self.image(&["verify"]));
            says(&mut self.image(&["list"]));
            says(&mut self.image(&["gc"]));
        }
        if word == Word::Pull {
            assert_eq!(self.names("store/images"), [""; 0], "{what}: an image is seen");
        }
        assert_eq!(self.names("bundle"), [""; 0], "{what}: the bundle is not empty");
    }

    /// The same command works, and leaves nothing that does not belong there.
    pub(crate) fn check_works(&self, word: Word, what: &str) {
        let said = says(&mut self.command(word));
        assert!(word != Word::Run || said == "ran", "{what}: {said}");
        says(&mut self.image(&["verify"]));
        says(&mut self.image(&["gc"]));
        for directory in ["images", "layers", "containers", "blobs"] {
            let names = self.names(&format!("store/{directory}"));
            let bundles = usize::from(word == Word::UnpackOverlay && directory == "containers");
            let strays: Vec<_> = names.iter().filter(|name| name.starts_with('.')).collect();
            assert_eq!(strays.len(), bundles, "{what}: {directory} has {names:?}");
        }
        let bundle: &[&str] = match word {
            Word::Unpack => &["config.json", "rootfs"],
            Word::UnpackOverlay => &["config.json", "rootfs", "upper", "work"],
            _ => &[],
        };
        assert_eq!(self.names("bundle"), bundle, "{what}");
    }

    /// Tries a command on disks with each of many limits; how often it was refused.
    fn try_limits(&self, word: Word, most: u64, option: impl Fn(u64) -> String) -> u64 {
        let count = std::env::var("IMAGE_SIZES").ok().and_then(|text| text.parse().ok()).unwrap_or(8);
        let mut refused = 0;
        for n in 0..count {
            let options = option(most * n / count);
            let what = format!("{word:?}, {options}");
            let disk = Disk::new(&self.scene, &options);
            let ended = self.command(word).output().unwrap();
            if ended.status.success() {
                let _ = fs::remove_dir_all(self.at("bundle"));
            } else {
                refused += 1;
                self.check_refused(word, &ended, &what);
            }
            disk.remount(LARGE);
            self.check_works(word, &what);
        }
        refused
    }

    fn is_refused_wherever_the_disk_is_full(&self, words: &[Word]) {
        for word in words {
            let disk = Disk::new(&self.scene, LARGE);
            says(&mut self.command(*word));
            let (bytes, inodes) = disk.used();
            drop(disk);
            let refused = self.try_limits(*word, bytes, |bytes| format!("size={}", bytes.max(4096)));
            assert!(refused > 0, "{word:?} was never refused for want of bytes");
            let refused = self.try_limits(*word, inodes, |inodes| format!("size=100m,nr_inodes={}", inodes.max(2)));
            assert!(refused > 0, "{word:?} was never refused for want of inodes");
        }
    }
}

#[test]
fn a_full_disk_is_said_and_leaves_the_store_whole() {
    let Some(images) = Images::new("full", false) else { return };
    images.is_refused_wherever_the_disk_is_full(&[Word::Pull, Word::Run, Word::Unpack, Word::UnpackOverlay]);
}

#[test]
fn a_full_disk_under_a_pull_from_a_registry_is_said_and_leaves_the_store_whole() {
    let Some(images) = Images::new("full-registry", true) else { return };
    images.is_refused_wherever_the_disk_is_full(&[Word::Pull]);
}

#[test]
fn a_quota_that_is_used_up_is_named() {
    let Some(images) = Images::new("quota", false) else { return };
    for (call, nth) in [("write", 3), ("mkdirat", 6), ("symlinkat", 2)] {
        let _disk = Disk::new(&images.scene, LARGE);
        let pull = images.command(Word::Pull);
        let mut traced = Command::new("strace");
        traced.args(["-f", "-o", "/dev/null", "-e", &format!("inject={call}:error=EDQUOT:when={nth}")]);
        let Ok(ended) = traced.arg(pull.get_program()).args(pull.get_args()).output() else {
            return skip("no strace on this machine");
        };
        let said = text(&ended.stderr);
        let is_right = said.contains("(EDQUOT)") && said.contains(&images.at("store")) && said.contains("quota");
        assert!(!ended.status.success() && is_right, "{call}: {said}");
        images.check_works(Word::Pull, call);
    }
}

#[test]
fn a_read_only_store_is_listed_and_verified_and_nothing_else() {
    let Some(images) = Images::new("read-only", false) else { return };
    let disk = Disk::new(&images.scene, LARGE);
    says(&mut images.command(Word::Pull));
    disk.remount("ro");
    assert!(says(&mut images.image(&["list"])).contains(&images.image));
    says(&mut images.image(&["verify"]));
    for word in [Word::Run, Word::UnpackOverlay, Word::Unpack] {
        let ended = images.command(word).output().unwrap();
        let said = text(&ended.stderr);
        assert!(!ended.status.success() && said.contains("(EROFS)") && said.contains(&images.at("")), "{said}");
    }
    for arguments in [&["gc"][..], &["rm", &images.image]] {
        let ended = images.image(arguments).output().unwrap();
        let is_right = ended.status.success() == (arguments[0] == "gc");
        assert!(is_right, "{arguments:?}: {}", text(&ended.stderr));
    }
    disk.remount("rw");
    images.check_works(Word::Run, "writable again");
    drop(disk);
    // A store that is not there yet.
    let disk = Disk::new(&images.scene, "ro");
    let said = text(&images.command(Word::Pull).output().unwrap().stderr);
    assert!(said.contains("(EROFS)") && said.contains(&images.at("store")), "{said}");
    assert!(Path::new(&disk.0).exists());
}
