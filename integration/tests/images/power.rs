//! Power cuts: an ext4 file system on a loop device is shut down without a flush of its journal (`FS_IOC_SHUTDOWN`), and
//! a copy of the device is mounted anew. What was only in the page cache is lost, as when the machine loses its power.
//!
//! `IMAGE_CUTS` is how many pulls are cut (default: 6), `IMAGE_SEED` the numbers' beginning.

use crate::full::{Disk, Images, Word};
use crate::kills::Numbers;
use crate::walk::{differences, walk};
use crate::{says, text};
use integration::skip::skip;
use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

/// Shuts the file system of a directory down, with EXT4_GOING_FLAGS_NOLOGFLUSH.
const SHUTDOWN: &str = "import fcntl, os, struct, sys
fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587D, struct.pack('I', 2))";

/// Images on a file system whose power is cut.
struct Machine {
    images: Images,
    disk: Option<Disk>,
}

impl Machine {
    fn new(name: &str) -> Option<Machine> {
        let programs: [(&str, &[&str]); 3] =
            [("python3", &["--version"]), ("mkfs.ext4", &["-V"]), ("losetup", &["--find"])];
        for (program, arguments) in programs {
            if !Command::new(program).args(arguments).output().is_ok_and(|output| output.status.success()) {
                skip(&format!("no {program}, or no loop device, on this machine"));
                return None;
            }
        }
        let mut machine = Machine { images: Images::new(name, false)?, disk: None };
        machine.begin();
        Some(machine)
    }

    /// An empty file system.
    fn begin(&mut self) {
        self.disk = None;
        let file = self.images.scene.at("device");
        let _ = fs::remove_file(&file);
        says(Command::new("truncate").args(["--size", "48M", &file]));
        says(Command::new("mkfs.ext4").args(["-q", &file]));
        self.disk = Some(Disk::mounted(&self.images.scene, &["-o", "loop", &file]));
    }

    /// Cuts the power, and starts the machine again.
    fn cut(&mut self, running: Option<Child>) {
        let scene = &self.images.scene;
        says(Command::new("python3").args(["-c", SHUTDOWN]).arg(scene.path("disk")));
        if let Some(mut child) = running {
            child.wait().unwrap();
        }
        let (file, copy) = (scene.at("device"), scene.at("copy"));
        says(Command::new("cp").args(["--sparse=always", &file, &copy]));
        self.disk = None;
        fs::rename(&copy, &file).unwrap();
        self.disk = Some(Disk::mounted(scene, &["-o", "loop", &file]));
    }

    /// The store is whole, the command works, and nothing is left that does not belong there.
    fn check(&self, word: Word, what: &str) {
        if self.images.names("store").contains(&"images".to_owned()) {
            says(&mut self.images.image(&["verify"]));
        }
        let _ = self.images.scene.orlop(&["delete", "--force", self.images.scene.id()]).output();
        self.images.check_works(word, what);
    }
}

#[test]
fn an_image_that_was_pulled_is_whole_after_a_power_cut() {
    let Some(mut machine) = Machine::new("cut-pull") else { return };
    says(&mut machine.images.command(Word::Pull));
    machine.cut(None);
    let listed = says(&mut machine.images.image(&["list"]));
    assert!(listed.contains(&machine.images.image), "{listed}");
    let verified = says(&mut machine.images.image(&["verify"]));
    assert!(verified.contains("of 4 layers"), "{verified}");
    machine.check(Word::Run, "after a pull");
}

#[test]
fn a_bundle_that_was_unpacked_is_whole_after_a_power_cut() {
    let Some(mut machine) = Machine::new("cut-unpack") else { return };
    says(&mut machine.images.command(Word::Unpack));
    let root = machine.images.scene.path("disk/bundle/rootfs");
    let (before, config) = (walk(&root), fs::read(machine.images.at("bundle/config.json")).unwrap());
    machine.cut(None);
    let differ = differences(&before, &walk(&root));
    assert!(differ.is_empty() && before.len() > 100, "{differ:#?}");
    assert_eq!(fs::read(machine.images.at("bundle/config.json")).unwrap(), config);
    machine.begin();
    says(&mut machine.images.command(Word::UnpackOverlay));
    machine.cut(None);
    let names = machine.images.names("bundle");
    assert_eq!(names, ["config.json", "rootfs", "upper", "work"]);
    says(&mut machine.images.image(&["verify"]));
    says(&mut machine.images.image(&["gc"]));
    let listed = says(&mut machine.images.image(&["list"]));
    assert!(listed.contains(&format!("bundle {}", machine.images.at("bundle"))), "{listed}");
}

#[test]
fn a_store_is_whole_after_a_power_cut_behind_a_container() {
    let Some(mut machine) = Machine::new("cut-run") else { return };
    says(&mut machine.images.command(Word::Run));
    machine.cut(None);
    machine.check(Word::Run, "after run --image");
    // A kept container has its layers, though its image was removed.
    let scene = &machine.images.scene;
    let mut kept = scene.orlop(&["run", "--quiet", "--keep", "--id", "kept", "--store", &machine.images.at("store")]);
    says(kept.args(["--image", &machine.images.image, "echo", "kept"]));
    says(&mut scene.orlop(&["delete", "kept"]));
    says(&mut machine.images.image(&["rm", &machine.images.image]));
    machine.cut(None);
    says(&mut machine.images.image(&["gc"]));
    assert!(says(&mut machine.images.image(&["list"])).contains("kept container kept"));
    assert!(says(&mut machine.images.image(&["verify"])).contains("of 4 layers"));
}

#[test]
fn each_layer_that_has_its_name_is_whole_after_a_power_cut_within_a_pull() {
    let Some(mut machine) = Machine::new("cut-within") else { return };
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64;
    let number = |name: &str, default| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default);
    let (count, seed) = (number("IMAGE_CUTS", 6), number("IMAGE_SEED", now | 1));
    let mut numbers = Numbers(seed);
    let start = Instant::now();
    says(&mut machine.images.command(Word::Pull));
    let longest = start.elapsed().as_nanos() as u64;
    let mut layers = Vec::new();
    for n in 0..count {
        machine.begin();
        let after = Duration::from_nanos(longest / count * n + numbers.below(longest / count));
        let mut pull = machine.images.command(Word::Pull);
        let child = pull.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let start = Instant::now();
        while start.elapsed() < after {
            std::thread::yield_now();
        }
        machine.cut(Some(child));
        let named = machine.images.names("store/layers").into_iter().filter(|name| !name.starts_with('.'));
        layers.push(named.count());
        machine.check(Word::Pull, &format!("cut after {after:?}, IMAGE_SEED={seed}"));
    }
    eprintln!("layers that were whole at each cut: {layers:?}; IMAGE_SEED={seed}");
}

/// Errors are seen: a file whose content was never on the disk is found.
#[test]
fn a_file_that_a_power_cut_took_is_found() {
    let Some(mut machine) = Machine::new("cut-found") else { return };
    says(&mut machine.images.command(Word::Pull));
    let layers = fs::read_dir(machine.images.at("store/layers")).unwrap().map(|entry| entry.unwrap().path());
    let file = layers.map(|layer| layer.join("d2/17")).find(|path| path.exists()).unwrap();
    let (content, time) = (fs::read(&file).unwrap(), fs::metadata(&file).unwrap().modified().unwrap());
    fs::write(&file, vec![0; content.len()]).unwrap();
    fs::File::options().write(true).open(&file).unwrap().sync_all().unwrap();
    fs::write(&file, &content).unwrap();
    fs::File::options().write(true).open(&file).unwrap().set_modified(time).unwrap();
    says(&mut machine.images.image(&["verify"]));
    machine.cut(None);
    let said = text(&machine.images.image(&["verify"]).output().unwrap().stderr);
    assert!(said.contains("d2/17: has "), "{said}");
}
