//! SIGKILL at random moments of the commands that change a store.
//!
//! `IMAGE_KILLS` is how many there are (default: 20), `IMAGE_SEED` the numbers' beginning.

use crate::archive::{Entry, dir, file, whiteout};
use crate::layout::{Form, Layout, architecture, base};
use crate::registry::Registry;
use crate::{Scene, says, text};
use integration::skip::skip;
use serde_json::json;
use std::fs;
use std::io::Read as _;
use std::net::TcpListener;
use std::os::unix::fs::chown;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

/// Pseudo-random numbers (xorshift64).
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn below(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % most.max(1)
    }
}

/// Layers of some hundred files, with data that no form makes smaller.
fn layers(numbers: &mut Numbers) -> Vec<Vec<Entry>> {
    let mut layer = |n: usize| -> Vec<Entry> {
        let data: Vec<u8> = (0..60_000).map(|_| numbers.below(256) as u8).collect();
        let files = (0..100).map(|k| file(&format!("d{n}/{k}"), &data[k * 600..k * 600 + 600]));
        let more = (n > 1).then(|| whiteout(&format!("d{}/7", n - 1)));
        [dir(&format!("d{n}")), file(&format!("d{n}/all"), data.clone())].into_iter().chain(files).chain(more).collect()
    };
    [vec![base()], (1..6).map(&mut layer).collect()].concat()
}

/// A command that is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    Pull,
    Unpack,
    Run,
    Gc,
    Rm,
}

const WORDS: [Word; 5] = [Word::Pull, Word::Unpack, Word::Run, Word::Gc, Word::Rm];

struct Kills {
    scene: Scene,
    insecure: &'static [&'static str],
    image: String,
}

impl Kills {
    fn image(&self, word: &str, arguments: &[&str]) -> Command {
        let options = if word == "pull" || word == "unpack" { self.insecure } else { &[] };
        let mut command = self.scene.image(&[&[word], options, arguments].concat());
        command.stdout(Stdio::null());
        command
    }

    fn command(&self, word: Word) -> Command {
        match word {
            Word::Pull => self.image("pull", &["--quiet", &self.image]),
            Word::Unpack => self.image("unpack", &["--quiet", &self.image, &self.scene.at("bundle")]),
            Word::Run => {
                let options = [self.insecure, &["--quiet", "--id", self.scene.id()]].concat();
                self.scene.run(&options, &self.image, &["echo", "ran"])
            }
            Word::Gc => self.image("gc", &[]),
            Word::Rm => self.image("rm", &[&self.image]),
        }
    }

    /// Brings the store into a state in which the command has work to do.
    fn prepare(&self, word: Word, is_full: bool) {
        let _ = fs::remove_dir_all(self.scene.path("bundle"));
        let _ = self.image("rm", &[&self.image]).output();
        if is_full || matches!(word, Word::Gc | Word::Rm) {
            says(&mut self.command(Word::Pull));
        }
        if word == Word::Gc {
            // Layers without an image.
            for record in fs::read_dir(self.scene.path("store/images")).unwrap() {
                fs::remove_file(record.unwrap().path()).unwrap();
            }
        }
    }

    /// Kills a command after a time; whether it was still there.
    fn kill(&self, word: Word, after: Duration) -> bool {
        let mut child = self.command(word).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let start = Instant::now();
        while start.elapsed() < after {
            if child.try_wait().unwrap().is_some() {
                return false;
            }
            std::thread::yield_now();
        }
        child.kill().unwrap();
        child.wait().unwrap().code().is_none()
    }

    /// The store is whole, the same command works, and nothing is left that does not belong there.
    fn check(&self, word: Word) -> Result<(), String> {
        let works = |command: &mut Command| {
            let output = command.output().unwrap();
            if output.status.success() { Ok(()) } else { Err(format!("{command:?}: {}", text(&output.stderr))) }
        };
        works(&mut self.image("verify", &[]))?;
        if word == Word::Run {
            // The container may have been made; its init process is the runtime's to remove.
            let _ = self.scene.orlop(&["delete", "--force", self.scene.id()]).output();
        }
        match word {
            // The image may be gone already, which is an error.
            Word::Rm => drop(self.command(word).output().unwrap()),
            // The bundle may be whole already, which is an error.
            Word::Unpack if self.scene.path("bundle/config.json").exists() => {}
            _ => works(&mut self.command(word))?,
        }
        works(&mut self.image("verify", &[]))?;
        works(&mut self.image("gc", &[]))?;
        self.nothing_is_left(word)
    }

    fn nothing_is_left(&self, word: Word) -> Result<(), String> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        if mounts.contains(self.scene.dir.to_str().unwrap()) {
            return Err(format!("something is mounted: {mounts}"));
        }
        let names = |directory: &str| -> Vec<String> {
            let entries = fs::read_dir(self.scene.path("store").join(directory)).unwrap();
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
        };
        let images = names("images").len();
        let layers = names("layers").len();
        let right = layers == if images == 0 { 0 } else { 6 } && names("files").len() == layers;
        let strays: Vec<_> = ["images", "layers", "containers", "blobs", "files"]
            .iter()
            .flat_map(|of| names(of))
            .filter(|n| n.starts_with('.'))
            .collect();
        let left = [names("containers"), names("blobs"), strays].concat();
        if !left.is_empty() || images > 1 || !right {
            return Err(format!("{images} images, {layers} layers, and {left:?}"));
        }
        let bundle: Vec<_> = fs::read_dir(self.scene.path("bundle")).into_iter().flatten().collect();
        if word == Word::Unpack && bundle.len() != 2 {
            return Err(format!("the bundle has {bundle:?}"));
        }
        Ok(())
    }
}

/// Cgroups of a container, in all hierarchies.
pub(crate) fn cgroups(id: &str) -> Vec<String> {
    let roots = fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten().map(|entry| entry.path());
    let roots = roots.chain([Path::new("/sys/fs/cgroup").to_owned()]);
    roots.map(|root| root.join(id)).filter(|path| path.exists()).map(|path| path.display().to_string()).collect()
}

fn kills(name: &str, image: impl FnOnce(&Scene) -> Option<(String, Option<Registry>)>) {
    // A disk would be waited for at each layer.
    let Some(scene) = Scene::below("/dev/shm".as_ref(), name) else { return };
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64;
    let number = |name: &str, default| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default);
    let (count, seed) = (number("IMAGE_KILLS", 20), number("IMAGE_SEED", now | 1));
    let mut numbers = Numbers(seed);
    let layout = Layout::new(&scene.path("layout"));
    let manifest = layout.image(&layers(&mut numbers), Form::Gzip, &json!({ "Cmd": ["sh"] }), architecture());
    layout.tag(&[("one", &manifest)]);
    let Some((image, registry)) = image(&scene) else { return };
    let insecure = if registry.is_some() { &["--insecure"][..] } else { &[] };
    let kills = Kills { scene, insecure, image };
    let mut longest = Vec::new();
    for word in WORDS {
        kills.prepare(word, false);
        let start = Instant::now();
        says(&mut kills.command(word));
        longest.push(start.elapsed());
    }
    let (mut killed, mut failed) = (0, Vec::new());
    for n in 0..count {
        let at = numbers.below(WORDS.len() as u64) as usize;
        kills.prepare(WORDS[at], numbers.below(3) == 0);
        let after = Duration::from_nanos(numbers.below(longest[at].as_nanos() as u64));
        killed += u64::from(kills.kill(WORDS[at], after));
        if let Err(error) = kills.check(WORDS[at]) {
            failed.push(format!("kill {n} of {:?} after {after:?}: {error}", WORDS[at]));
        }
    }
    eprintln!("{killed} of {count} commands were killed; IMAGE_SEED={seed}");
    assert!(failed.is_empty(), "IMAGE_SEED={seed}: {failed:#?}");
    assert!(killed > count / 4, "only {killed} of {count} were killed");
    assert_eq!(cgroups(kills.scene.id()), [""; 0], "cgroups are left");
}

#[test]
fn a_store_survives_kills_while_an_archive_is_read() {
    kills("kills-archive", |scene| {
        let tar = Command::new("tar").args(["-C", &scene.at("layout"), "-cf", &scene.at("image.tar"), "."]).status();
        assert!(tar.unwrap().success());
        Some((format!("oci-archive:{}:one", scene.at("image.tar")), None))
    });
}

#[test]
fn a_store_survives_kills_while_a_registry_is_read() {
    kills("kills-registry", |scene| {
        let Some(registry) = Registry::new(scene) else {
            skip("no docker-registry on this machine");
            return None;
        };
        registry.push(scene, "oci:layout:one", "app:v1");
        Some((format!("docker://{}/app:v1", registry.host), Some(registry)))
    });
}

#[test]
fn remains_of_a_killed_command_are_removed_by_the_next_one() {
    let Some(scene) = Scene::new("remains") else { return };
    let layout = Layout::new(&scene.path("layout"));
    layout.tag(&[("one", &layout.image(&[base()], Form::Plain, &json!({ "Cmd": ["sh"] }), architecture()))]);
    let image = format!("oci:{}:one", scene.at("layout"));
    // Killed while files are written; before rootfs has its name; before config.json has its name.
    let moments: [&[&str]; 3] = [
        &[".rootfs-unfinished/d"],
        &[".rootfs-unfinished/d", ".config.json-unfinished"],
        &["rootfs/d", ".config.json-unfinished"],
    ];
    for remains in moments {
        for name in remains {
            let path = scene.path("bundle").join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        says(&mut scene.image(&["unpack", "--quiet", &image, &scene.at("bundle")]));
        let mut names: Vec<_> =
            fs::read_dir(scene.path("bundle")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["config.json", "rootfs"]);
        assert!(!scene.path("bundle/rootfs/d").exists());
        fs::remove_dir_all(scene.path("bundle")).unwrap();
    }
    says(&mut scene.image(&["pull", "--quiet", &image]));
    fs::write(scene.path("store/images/.new-x.json"), "{").unwrap();
    says(&mut scene.image(&["gc"]));
    assert_eq!(fs::read_dir(scene.path("store/images")).unwrap().count(), 1);
}

#[test]
fn processes_of_an_ordinary_user_end_with_the_one_that_is_killed() {
    let Some(scene) = Scene::new("user") else { return };
    // The programs where the user may execute them, and a registry that never answers.
    for name in ["bin", "home"] {
        fs::create_dir(scene.path(name)).unwrap();
    }
    for name in ["orlop", "orlop-bundle"] {
        fs::copy(scene.runtime.with_file_name(name), scene.path("bin").join(name)).unwrap();
    }
    chown(scene.path("home"), Some(1000), Some(1000)).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let name = format!("docker://{}/app", listener.local_addr().unwrap());
    let mut pull = Command::new("setpriv");
    pull.args(["--reuid", "1000", "--regid", "1000", "--clear-groups"]).arg(scene.path("bin/orlop"));
    pull.args(["image", "pull", "--insecure", "--store"]).arg(scene.path("home/store")).arg(name);
    let mut child = pull.env("HOME", scene.path("home")).stderr(Stdio::null()).spawn().unwrap();
    let (mut connection, _) = listener.accept().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    // The connection ends with the last process that has it.
    let _ = connection.read_to_end(&mut Vec::new());
}
