//! What a person sees of `check`, `explain`, `doctor`, `inspect` and `top` on a real terminal (tmux): of 80 and 200 columns,
//! in another size, without colours, without a terminal.
//!
//! The captured screens stand beside this file, with values that change as `N`; `WRITE_SCREENS=1` writes them. `RUNTIME` names
//! another program than `out/orlop`, whose `orlop-bundle` must stand beside it. Without it a test says so and does nothing.

#![allow(clippy::unwrap_used, clippy::panic)] // The whole program is a test.

use integration::tmux::Screen;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// The columns that all is shown in.
const WIDTHS: [u16; 2] = [80, 200];

/// A directory with a damaged bundle and a good one, of which a container can run.
struct Place {
    directory: PathBuf,
    runtime: PathBuf,
    id: String,
}

impl Place {
    /// `None` where the test cannot run.
    fn new() -> Option<Place> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../out/orlop");
        let runtime = std::env::var_os("RUNTIME").map_or(built, PathBuf::from);
        let runtime = runtime.canonicalize().ok().filter(|path| path.with_file_name("orlop-bundle").exists());
        let Some(runtime) = runtime else {
            integration::skip::skip("no orlop with orlop-bundle beside it; `make` builds both");
            return None;
        };
        if !Screen::can_run(&["tmux", "busybox"]) {
            return None;
        }
        let id = format!("screens-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let place = Place { directory: std::env::temp_dir().join(&id), runtime, id };
        place.bundles();
        Some(place)
    }

    fn bundles(&self) {
        let (good, damaged) = (self.directory.join("bundle"), self.directory.join("damaged"));
        fs::create_dir_all(good.join("rootfs/bin")).unwrap();
        fs::create_dir_all(damaged.join("rootfs")).unwrap();
        fs::copy("/bin/busybox", good.join("rootfs/bin/sh")).unwrap();
        let mut config: Value = serde_json::from_slice(&self.output(&["spec", "--file", "-"])).unwrap();
        config["process"]["terminal"] = false.into();
        config["process"]["args"] = json!(["sh", "-c", "while :; do :; done"]);
        config["hostname"] = "screens".into();
        config["linux"]["cgroupsPath"] = format!("/{}", self.id).into();
        config["linux"]["resources"] = json!({
            "memory": {"limit": 64 << 20}, "cpu": {"quota": 10000, "period": 20000}, "pids": {"limit": 20}
        });
        config["linux"]["seccomp"] = json!({"defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{"names": ["mount", "umount2", "bpf", "kexec_load", "init_module"], "action": "SCMP_ACT_ERRNO"}]});
        let write = |place: &Path, config: &Value| fs::write(place.join("config.json"), format!("{config:#}")).unwrap();
        write(&good, &config);
        config["hostnam"] = "x".into();
        config["process"]["cwd"] = "relative".into();
        config["process"]["user"]["uid"] = "0".into();
        config["linux"]["maskedPaths"] = json!([]);
        config["linux"]["cgroupsPath"] = "/screens".into();
        config["linux"]["seccomp"]["syscalls"][0]["names"][0] = "moun".into();
        let bind = json!({"destination": "/data", "type": "bind", "source": "/no/such/directory", "options": ["bind"]});
        config["mounts"].as_array_mut().unwrap().push(bind);
        write(&damaged, &config);
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.runtime);
        command.args(["--root", "state"]).args(words).current_dir(&self.directory).stdin(Stdio::null());
        command
    }

    fn output(&self, words: &[&str]) -> Vec<u8> {
        self.command(words).output().unwrap().stdout
    }

    /// The container, which is busy.
    fn run(&self) {
        let mut run = self.command(&["run", "--detach", "--bundle", "bundle", &self.id]);
        assert!(run.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success());
    }

    fn terminal(&self, columns: u16, rows: u16, environment: &[(&str, &str)], words: &[&str]) -> Screen {
        let runtime = self.runtime.to_str().unwrap();
        let words = [&[runtime, "--root", "state"], words].concat();
        Screen::start((columns, rows), &self.directory, environment, &words).unwrap()
    }

    /// All that a terminal shows of a command that ends, without and with the escape sequences of colours.
    fn shown(&self, columns: u16, environment: &[(&str, &str)], words: &[&str]) -> (String, String) {
        let screen = self.terminal(columns, 400, environment, words);
        screen.end().unwrap();
        (screen.shown().unwrap(), screen.coloured().unwrap())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = self.command(&["delete", "--force", &self.id]).stderr(Stdio::null()).status();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// Compares with the file of this name beside the test, or writes it.
fn compare(name: &str, shown: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/screens").join(format!("{name}.txt"));
    let shown: String = shown.lines().map(|line| line.trim_end().to_owned() + "\n").collect();
    if std::env::var_os("WRITE_SCREENS").is_some() {
        return fs::write(file, shown).unwrap();
    }
    let kept = fs::read_to_string(&file).unwrap_or_default();
    assert!(kept == shown, "{name}.txt has\n{kept}\nand the terminal\n{shown}\n(WRITE_SCREENS=1 writes it)");
}

/// The text with `N` for each number, and two blanks between columns, as wide as they are.
fn without_numbers(text: &str) -> String {
    let mut shown = String::new();
    for line in text.lines() {
        let columns: Vec<&str> = line.split("  ").map(str::trim).filter(|column| !column.is_empty()).collect();
        let mut digits = false;
        for letter in columns.join("  ").chars() {
            let is_digit = letter.is_ascii_digit() || (digits && letter == '.');
            if !is_digit || !digits {
                shown.push(if is_digit { 'N' } else { letter });
            }
            digits = is_digit;
        }
        shown.push('\n');
    }
    shown
}

/// No word is broken: the text is the one that is printed without a terminal, but for its line ends.
fn breaks_no_word(shown: &str, plain: &str) {
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let joined = |text: &str| words(text).concat();
    assert_eq!(joined(shown), joined(plain));
    // A list is broken behind its commas.
    let known: BTreeSet<String> = words(plain).into_iter().flat_map(|word| pieces(&word)).collect();
    let broken = words(shown).into_iter().flat_map(|word| pieces(&word)).find(|piece| !known.contains(piece));
    assert_eq!(broken, None, "{shown}");
}

fn pieces(word: &str) -> Vec<String> {
    word.split_inclusive(',').map(str::to_owned).collect()
}

/// The parameters of all escape sequences for colours.
fn colours(text: &str) -> BTreeSet<String> {
    let sequences = text.split("\u{1b}[").skip(1).map(|part| part.split_once('m').unwrap().0.to_owned());
    sequences.flat_map(|codes| codes.split(';').map(str::to_owned).collect::<Vec<_>>()).collect()
}

/// The words that print a text, where it is the same on all machines.
const SAME_EVERYWHERE: [(&str, &[&str]); 2] = [
    ("check", &["check", "damaged"]),
    ("explain", &["explain", "--section", "namespaces,mounts,credentials,program", "bundle"]),
];

#[test]
fn check_and_explain_look_as_captured_in_both_widths() {
    let Some(place) = Place::new() else { return };
    for (name, words) in SAME_EVERYWHERE {
        for columns in WIDTHS {
            let (shown, _) = place.shown(columns, &[], words);
            compare(&format!("{name}-{columns}"), &shown);
            assert!(shown.lines().all(|line| line.chars().count() <= columns.into()), "{shown}");
        }
    }
}

#[test]
fn inspect_looks_as_captured_and_its_tables_are_aligned() {
    let Some(place) = Place::new() else { return };
    place.run();
    for columns in WIDTHS {
        let (shown, _) = place.shown(columns, &[], &["inspect", &place.id]);
        // Which cgroups there are, how the root is mounted, and where, is the machine's.
        let (before, tables) = shown.split_once("\nmounts (").unwrap();
        let normal =
            without_numbers(&before.replace(&place.id, "ID").replace(place.directory.to_str().unwrap(), "DIR"));
        let is_kept = |line: &&str| !line.starts_with("pressure") && !line.contains("shared with");
        compare("inspect", &normal.lines().filter(is_kept).collect::<Vec<_>>().join("\n"));
        let mut lines = tables.lines().skip(1);
        let column = lines.next().unwrap().find("OPTIONS").unwrap();
        for line in lines.take_while(|line| !line.is_empty()) {
            let edge: String = line.chars().skip(column - 2).take(3).collect();
            assert!(edge.starts_with("  ") && !edge.ends_with(' '), "column {column}: {line:?}\n{shown}");
            assert!(line.chars().count() <= columns.into(), "{line}");
        }
    }
}

#[test]
fn doctor_breaks_no_word_and_continues_below_its_column() {
    let Some(place) = Place::new() else { return };
    let plain = String::from_utf8(place.output(&["doctor"])).unwrap();
    for columns in WIDTHS {
        let (shown, _) = place.shown(columns, &[], &["doctor"]);
        let known =
            |text: &str| text.lines().filter(|line| !line.contains("keys.quota")).collect::<Vec<_>>().join("\n");
        breaks_no_word(&known(&shown).replace("(kernel.keys.root_maxkeys)", ""), &known(&plain));
        for line in shown.lines() {
            assert!(line.chars().count() <= columns.into(), "{line}");
            let begins =
                ["yes      ", "limited  ", "no       ", "           so: ", "           do: ", "               "];
            let is_last = line.ends_with("of this user") || line.is_empty();
            assert!(is_last || begins.iter().any(|begin| line.starts_with(begin)), "{line:?}\n{shown}");
        }
    }
}

#[test]
fn explain_of_all_sections_breaks_no_word() {
    let Some(place) = Place::new() else { return };
    let plain = String::from_utf8(place.output(&["explain", "bundle"])).unwrap();
    for columns in WIDTHS {
        let (shown, _) = place.shown(columns, &[], &["explain", "bundle"]);
        breaks_no_word(&shown, &plain);
    }
}

#[test]
fn top_looks_as_captured_and_follows_the_size_of_the_window() {
    let Some(place) = Place::new() else { return };
    place.run();
    let screen = place.terminal(80, 12, &[], &["top", "--interval", "0.2"]);
    let graph = |text: &str| text.chars().any(|letter| ('▁'..='█').contains(&letter));
    for (columns, rows) in [(80, 12), (200, 20), (70, 8), (40, 8)] {
        screen.resize(columns, rows).unwrap();
        let is_drawn = |text: &str| {
            let lines: Vec<&str> = text.lines().collect();
            let widths = lines.iter().map(|line| line.chars().count());
            // Each kind of pressure has a column in a wide window; in a narrow one the graph ends at the right edge.
            let fits = match columns {
                200 => text.contains("PSI-IO") && graph(text),
                40 => !graph(text),
                _ => graph(text) && widths.clone().max().is_some_and(|widest| widest + 1 >= columns.into()),
            };
            lines.len() == 2 && fits && widths.max().unwrap_or(0) <= columns.into()
        };
        let shown = screen.wait(&format!("top in {columns} columns"), is_drawn).unwrap();
        assert!(shown.lines().nth(1).unwrap().starts_with(&place.id[..8]), "{shown}");
        compare(&format!("top-{columns}"), &without_numbers(shown.lines().next().unwrap()));
    }
    screen.keys(&["q"]).unwrap();
    assert_eq!(screen.end().unwrap(), 0);
}

#[test]
fn colours_are_few_and_there_are_none_where_they_are_not_wanted() {
    let Some(place) = Place::new() else { return };
    place.run();
    let all: [&[&str]; 5] = [
        &["check", "damaged"],
        &["explain", "bundle"],
        &["doctor"],
        &["inspect", &place.id],
        &["top", "--once", "--interval", "0.1"],
    ];
    // Bold, red and magenta with their ends; no background, and none of the colours that vanish on white or black.
    let allowed: BTreeSet<String> = ["", "0", "1", "22", "31", "35", "39", "49"].map(str::to_owned).into();
    for words in all {
        let (_, coloured) = place.shown(80, &[], words);
        assert!(colours(&coloured).is_subset(&allowed), "{words:?}: {:?}", colours(&coloured));
        let (shown, coloured) = place.shown(80, &[("NO_COLOR", "1")], words);
        assert!(!coloured.contains('\u{1b}'), "{words:?}: {coloured:?}");
        let plain = String::from_utf8(place.output(words)).unwrap();
        assert!(!plain.contains('\u{1b}') && !plain.contains('\r'), "{words:?}: {plain:?}");
        assert!(!shown.is_empty() && !plain.is_empty(), "{words:?}");
    }
    let (_, coloured) = place.shown(80, &[], &["check", "damaged"]);
    assert!(colours(&coloured).contains("31") && colours(&coloured).contains("35"), "{coloured:?}");
}
