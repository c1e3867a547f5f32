//! Completions in real shells, and man pages as `groff` and `man` read them.
//!
//! `RUNTIME` names another program than `out/orlop`; its `orlop-bundle` must stand beside it. Else a test says so and does nothing.

#![allow(clippy::unwrap_used, clippy::panic)] // The whole program is a test.

use integration::tmux::Screen;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

/// The directory with both programs.
fn programs() -> Option<PathBuf> {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../out/orlop");
    let runtime = std::env::var_os("RUNTIME").map_or(built, PathBuf::from).canonicalize().ok();
    let directory = runtime.and_then(|path| path.parent().map(Path::to_owned));
    let directory = directory.filter(|directory| directory.join("orlop-bundle").exists());
    if directory.is_none() {
        integration::skip::skip("no orlop with orlop-bundle beside it; `make` builds both");
    }
    directory
}

/// A directory with created containers of the names `web`, `west` and `other`, and a bundle.
struct Place {
    directory: PathBuf,
    programs: PathBuf,
}

impl Place {
    /// With three containers, which need root.
    fn of_containers(shell: &str) -> Option<Place> {
        let can_run = Screen::can_run(&["tmux", shell]) && integration::skip::is_root();
        Place::new().filter(|_| can_run).map(Place::with_containers)
    }

    fn new() -> Option<Place> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let programs = programs()?;
        let name = format!("orlop-pages-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let directory = std::env::temp_dir().join(name);
        fs::create_dir_all(directory.join("bundle of mine/rootfs")).unwrap();
        Some(Place { directory, programs })
    }

    fn orlop(&self, words: &[&str]) -> Output {
        Command::new(self.programs.join("orlop")).args(words).current_dir(&self.directory).output().unwrap()
    }

    fn with_containers(self) -> Place {
        assert!(self.orlop(&["spec", "--bundle", "bundle of mine"]).status.success());
        let file = self.directory.join("bundle of mine/config.json");
        let mut config: serde_json::Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        config["process"]["terminal"] = false.into();
        // The program is there, but never executed.
        fs::create_dir(self.directory.join("bundle of mine/rootfs/bin")).unwrap();
        fs::copy("/bin/busybox", self.directory.join("bundle of mine/rootfs/bin/sh")).unwrap();
        for id in ["web", "west", "other"] {
            let own = self.directory.file_name().unwrap().to_str().unwrap();
            config["linux"]["cgroupsPath"] = format!("/{own}-{id}").into();
            fs::write(&file, config.to_string()).unwrap();
            let mut create = Command::new(self.programs.join("orlop"));
            create.args(["--root", "state", "create", "--bundle", "bundle of mine", id]).current_dir(&self.directory);
            let null = || std::process::Stdio::null();
            let status = create.stdin(null()).stdout(null()).stderr(null()).status().unwrap();
            assert!(status.success(), "create {id}");
        }
        self
    }

    /// A shell with the completions, as `orlop completion` prints them.
    fn shell(&self, words: &[&str], setup: &str) -> Screen {
        let path = format!("{}:/usr/bin:/bin:/usr/sbin:/sbin", self.programs.display());
        let home = self.directory.to_str().unwrap();
        let environment = [("PATH", path.as_str()), ("HOME", home), ("PS1", "> "), ("PS2", "")];
        let screen = Screen::start((100, 50), &self.directory, &environment, words).unwrap();
        screen.text(&format!("{setup}; echo re''ady")).unwrap();
        screen.keys(&["Enter"]).unwrap();
        screen.wait("the prompt", |text| text.contains("\nready")).unwrap();
        screen
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        for id in ["web", "west", "other"] {
            self.orlop(&["--root", "state", "delete", "--force", id]);
        }
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// Command lines, and the words that a shell shows or adds for them behind a tab.
const CASES: [(&str, &[&str]); 15] = [
    ("orlop res", &["restore", "resume"]),
    ("orlop help ex", &["exec", "explain"]),
    ("orlop comp", &["orlop completion"]),
    ("orlop --root state state we", &["web", "west"]),
    ("orlop --root=state delete --force o", &["--force other"]),
    ("orlop --root state inspect w", &["web", "west"]),
    ("orlop --root state top web we", &["web", "west"]),
    ("orlop list --format ", &["table", "json"]),
    ("orlop check --format=j", &["--format=json"]),
    ("orlop --cgroup-manager=s", &["--cgroup-manager=systemd"]),
    ("orlop kill web SIGUS", &["SIGUSR1", "SIGUSR2"]),
    ("orlop exec --cap CAP_SYS_ADM", &["CAP_SYS_ADMIN"]),
    ("orlop create --console-s", &["--console-socket"]),
    ("orlop check bun", &["bundle\\ of\\ mine/"]),
    ("orlop run --bundle ./b", &["./bundle\\ of\\ mine/"]),
];

fn complete(screen: &Screen) {
    for (line, expected) in CASES {
        screen.keys(&["C-u"]).unwrap();
        screen.keys(&["C-l"]).unwrap();
        screen.wait("an empty line", |text| !text.contains("orlop")).unwrap();
        screen.text(line).unwrap();
        screen.wait(line, |text| text.contains(line.trim_end())).unwrap();
        screen.keys(&["Tab", "Tab"]).unwrap();
        let is_shown = |text: &str| expected.iter().all(|word| text.contains(word));
        screen.wait(&format!("{expected:?} for {line:?}"), is_shown).unwrap();
    }
}

#[test]
fn bash_completes_ids_choices_words_and_paths() {
    let Some(place) = Place::of_containers("bash") else { return };
    let bash = ["bash", "--norc", "--noprofile", "-i"];
    complete(&place.shell(&bash, "bind 'set show-all-if-ambiguous on'; source <(orlop completion bash)"));
}

#[test]
fn zsh_completes_ids_choices_words_and_paths() {
    let Some(place) = Place::of_containers("zsh") else { return };
    let setup =
        "autoload -U compinit && compinit -u -D; setopt no_beep no_always_last_prompt; source <(orlop completion zsh)";
    complete(&place.shell(&["zsh", "-f", "-i"], setup));
}

#[test]
fn fish_completes_ids_choices_words_and_paths() {
    let Some(place) = Place::of_containers("fish") else { return };
    complete(&place.shell(&["fish", "--no-config", "-i"], "orlop completion fish | source"));
}

#[test]
fn man_pages_have_no_warnings_and_name_their_commands() {
    let Some(place) = Place::new().filter(|_| Screen::can_run(&["man", "groff"])) else { return };
    let share = place.directory.join("share");
    let pages = Command::new(place.programs.join("orlop-bundle")).arg("pages").arg(&share).output().unwrap();
    assert!(pages.status.success(), "{pages:?}");
    let mut count = 0;
    for entry in fs::read_dir(share.join("man/man8")).unwrap() {
        let path = entry.unwrap().path();
        let groff = Command::new("groff").args(["-ww", "-man", "-Tutf8", "-z"]).arg(&path).output().unwrap();
        assert!(groff.status.success() && groff.stderr.is_empty(), "{}: {groff:?}", path.display());
        let mut man = Command::new("man");
        man.args(["--warnings", "-l"]).arg(&path).envs([("MANWIDTH", "80"), ("LC_ALL", "C.UTF-8")]);
        let man = man.output().unwrap();
        assert!(man.status.success() && man.stderr.is_empty(), "{}: {man:?}", path.display());
        let text = String::from_utf8(man.stdout).unwrap();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let typed = if name == "orlop-bundle" { name.to_owned() } else { name.replace('-', " ") };
        for expected in [name.to_owned(), typed, "EXIT STATUS".into(), "SEE ALSO".into()] {
            assert!(text.contains(&expected), "{name}: {expected:?}\n{text}");
        }
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{name}\n{text}");
        count += 1;
    }
    assert!(count > 20, "{count}");
    for file in
        ["bash-completion/completions/orlop", "zsh/site-functions/_orlop", "fish/vendor_completions.d/orlop.fish"]
    {
        assert!(share.join(file).exists(), "{file}");
    }
}
