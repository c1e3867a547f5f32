//! One command with one failing call, and the judgement on it.

use super::{errors, image, picture};
use crate::kills::failure::Failure;
use crate::kills::follow::{Point, Seen, follow_into};
use crate::kills::scene::{Scene, Tested};
use crate::kills::settle;
use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::libc;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// How many points of a command are tried by default.
const SAMPLE: usize = 12;
/// How many calls the C library and std's runtime make before `main`. Without memory there they end the process in their
/// own way.
const START: usize = 14;

#[derive(Default)]
pub(super) struct Tried {
    pub(super) calls: usize,
    pub(super) points: usize,
    pub(super) failures: usize,
    pub(super) refused: usize,
    pub(super) unchanged: usize,
    pub(super) argued: usize,
    pub(super) wrong: Vec<String>,
}

pub(super) struct Trial<'a> {
    pub(super) scene: &'a Scene<'a>,
    pub(super) command: &'a Tested,
    pub(super) output: PathBuf,
    pub(super) errors: PathBuf,
}

/// What a command has done.
pub(super) struct Done {
    pub(super) seen: Seen,
    /// What it wrote to its error output.
    pub(super) said: String,
    /// The picture of its container, if it has succeeded.
    pub(super) picture: Result<String>,
}

/// A call of the runtime's: its process, its number among that process's own calls, and the number of the system call.
#[derive(Clone, Copy)]
struct Call {
    process: usize,
    call: usize,
    number: u64,
    site: [u64; 2],
}

/// What is right, seen without a failing call.
struct Right {
    picture: String,
    /// What is on the disk afterwards.
    files: String,
    /// The picture of the container before the command, which a failed one leaves as it was.
    before: Option<String>,
}

impl<'a> Trial<'a> {
    pub(super) fn new(scene: &'a Scene<'a>, command: &'a Tested, work: &Path) -> Self {
        Self { scene, command, output: work.join("output"), errors: work.join("errors") }
    }

    pub(super) fn all(&self) -> Result<Tried> {
        let usual = self.once(Point::Never)?;
        let picture = usual.picture.context("without a failing call")?;
        settle(self.scene, &usual.seen);
        let files = self.files(false)?;
        let before = self.is_whole_or_none().then(|| self.before()).transpose()?;
        let right = Right { picture, files, before };
        let calls = own_calls(&usual.seen);
        let mut tried = Tried { calls: calls.len(), ..Tried::default() };
        let mode = std::env::var("FAULTS").unwrap_or_default();
        for call in chosen(calls, &mode) {
            tried.points += 1;
            let Some(known) = errors::call(call.number) else {
                tried.wrong.push(format!("     system call {}: its errors are not listed", call.number));
                continue;
            };
            let ways = errors::ways(&known);
            for way in ways.iter().take(if mode == "all" { ways.len() } else { 1 }) {
                tried.failures += 1;
                let Call { process, call, number, .. } = call;
                if let Some(wrong) = self.one(Point::Fail { process, call, number, way: *way }, &right, &mut tried)? {
                    let way = errors::name(*way);
                    tried.wrong.push(format!("     process {process}, call {call}, {} {way}: {wrong}", known.name));
                }
            }
        }
        Ok(tried)
    }

    /// What went wrong, if something did.
    fn one(&self, point: Point, right: &Right, tried: &mut Tried) -> Result<Option<String>> {
        let done = self.once(point)?;
        let mut wrong: Vec<String> = self.judge(point, &done, right, tried).into_iter().collect();
        // The images are whole, and the container is over.
        let is_saved = self.scene.dir.join("images/stats-dump").exists();
        if let (Some(before), true) = (&right.before, done.seen.code != Some(0) && !is_saved) {
            let is = self.pid().map(picture::of).and_then(|picture| Ok(picture + &self.status()?));
            let is = is.unwrap_or_else(|error| format!("{error:#}\n"));
            wrong.extend(
                (is != *before)
                    .then(|| format!("it has changed: {}; it said {:?}", difference(before, &is), done.said)),
            );
        }
        if !wrong.is_empty() {
            wrong.push(format!("({})", done.seen.failed.trim()));
        }
        wrong.extend(settle(self.scene, &done.seen).filter(|left| !self.is_parent(point, left)));
        match self.files(done.seen.code != Some(0)) {
            // A store keeps blobs where its file system cannot hold layers.
            Ok(files) if files == right.files || done.seen.code == Some(0) => {}
            Ok(files) => wrong.push(format!("left: {}", difference(&right.files, &files))),
            Err(error) => wrong.push(format!("{error:#}")),
        }
        Ok((!wrong.is_empty()).then(|| wrong.join("; ")))
    }

    /// What is wrong with a command's end.
    fn judge(&self, point: Point, done: &Done, right: &Right, tried: &mut Tried) -> Option<String> {
        let Point::Fail { number, way, .. } = point else { return None };
        let right = &right.picture;
        match (done.seen.code, &done.picture) {
            _ if done.seen.hung => Some("the command waits for ever".to_owned()),
            (Some(0), Ok(picture)) if picture == right => {
                tried.unchanged += 1;
                None
            }
            (Some(0), Ok(picture)) if same(right, picture) => {
                tried.argued += 1;
                None
            }
            // What could not be read is left out with a warning, so that the rest is shown.
            (Some(0), Ok(_)) if self.is_report() && tells(&done.said, way) => {
                tried.argued += 1;
                None
            }
            // EIO is a terminal's end, and what cannot be written is told.
            (Some(0), Ok(_))
                if self.command.words.contains(&"--tty") && (is_eio(number, way) || tells(&done.said, way)) =>
            {
                tried.argued += 1;
                None
            }
            // What cannot be asked for is not listed.
            (Some(0), Ok(_)) if self.command.words == ["features"] && number == libc::SYS_seccomp.cast_unsigned() => {
                tried.argued += 1;
                None
            }
            (Some(0), Ok(picture)) => {
                Some(format!("success, but {}; it said {:?}", difference(right, picture), done.said))
            }
            (Some(0), Err(error)) => Some(format!("success, but {error:#}; it said {:?}", done.said)),
            // The companion's allocator and the standard library's start say so before they abort.
            (None, _) if errors::is_memory(number) && said_no_memory(&done.said) => {
                tried.refused += 1;
                None
            }
            (Some(code), _) if errors::goes_on(number, way) => {
                Some(format!("code {code}, though the call can be made again: {:?}", done.said))
            }
            (Some(_), _) if tells(&done.said, way) => {
                tried.refused += 1;
                None
            }
            (code, _) => Some(format!("code {code:?}, without the cause: {:?}", done.said)),
        }
    }

    /// Whether only the directory above the container's cgroup is left, which others may use: it could not be removed, or
    /// could not be looked at, or the record that says who made it could not be read.
    fn is_parent(&self, point: Point, left: &str) -> bool {
        let Point::Fail { number, .. } = point else { return false };
        let is_rmdir = errors::call(number).is_some_and(|call| call.name == "rmdir");
        let parent = |path: &str| path.starts_with("/sys/fs/cgroup/") && path.ends_with(&self.scene.id);
        (is_rmdir || self.command.words[0] == "delete")
            && left.strip_prefix("left: ").is_some_and(|all| all.split(", ").all(parent))
    }

    /// Runs the command once.
    fn once(&self, point: Point) -> Result<Done> {
        image::prepare(self.scene, self.command.words)?;
        self.scene.reach()?;
        self.done(follow_into(&self.scene.command(), point, &[&self.output, &self.errors])?)
    }

    /// Looks at what a command has done that ended so.
    pub(super) fn done(&self, seen: Seen) -> Result<Done> {
        let mut said = fs::read_to_string(&self.errors).unwrap_or_default();
        if self.is_report() {
            said += &fs::read_to_string(&self.output).unwrap_or_default();
        }
        let picture = match seen.code {
            Some(0) => self.picture(),
            code => Err(anyhow::anyhow!("code {code:?}: {said}")),
        };
        Ok(Done { seen, said, picture })
    }

    /// What is on the disk after the command and all that was done against its remains.
    fn files(&self, has_failed: bool) -> Result<String> {
        if image::is_about_images(self.command.words) {
            return image::settle(self.scene, self.command.words, has_failed);
        }
        let spec = self.scene.dir.join("spec.json");
        if self.command.words[0] == "spec" && has_failed {
            self.scene.orlop(self.command.words).context("the next run")?;
        }
        let text = fs::read_to_string(&spec).unwrap_or_default();
        let _ = fs::remove_file(spec);
        Ok(text)
    }

    /// What the command has made.
    fn picture(&self) -> Result<String> {
        let output = fs::read_to_string(&self.output).unwrap_or_default();
        let dir = &self.scene.dir;
        let has = |word: &str| self.command.words.contains(&word);
        match self.command.words[0] {
            "exec" if has("--detach") => {
                let pid = fs::read_to_string(dir.join("pid"))?;
                Ok(picture::of(pid.trim().parse().context("the file with the pid")?))
            }
            "run" if !has("--detach") => Ok(picture::protecting(&output)),
            "exec" => Ok(picture::protecting(&output)),
            "run" | "start" | "pause" | "resume" | "update" | "mounts" | "restore" => {
                Ok(picture::of(self.pid()?) + &self.status()?)
            }
            "create" => {
                self.scene.orlop(&["start"]).context("start after it")?;
                Ok(picture::of(self.pid()?))
            }
            "checkpoint" => {
                let left = self.scene.left(&Seen::default());
                anyhow::ensure!(left.is_empty(), "left: {}", left.join(", "));
                self.scene
                    .orlop(&["restore", "--detach", "--image-path", "{dir}/images"])
                    .context("restore after it")?;
                Ok(picture::of(self.pid()?))
            }
            "state" => {
                let state: Value = serde_json::from_str(&output).context("state's document")?;
                Ok(format!("{} {}", state["status"], state["id"]))
            }
            // Without the owner's name, which is a number where /etc/passwd cannot be read.
            "list" => Ok(picture::without_moment(&output).replace(" root", "")),
            "inspect" => Ok(picture::without_moment(&output)),
            "ps" | "events" => Ok(format!("{} lines", output.lines().count())),
            "kill" => {
                let deadline = std::time::Instant::now() + std::time::Duration::from_secs(5);
                while self.status()? != "\"stopped\"\n" && std::time::Instant::now() < deadline {
                    std::thread::sleep(std::time::Duration::from_millis(2));
                }
                self.status()
            }
            "delete" => {
                let left = self.scene.left(&Seen::default()).into_iter();
                let is_parent = |path: &String| path.starts_with("/sys/") && path.ends_with(&self.scene.id);
                Ok(left.filter(|path| !is_parent(path)).collect::<Vec<_>>().join("\n"))
            }
            _ => Ok(output),
        }
    }

    /// Whether a failed command must have changed nothing.
    fn is_whole_or_none(&self) -> bool {
        matches!(self.command.words[0], "update" | "pause" | "resume" | "mounts" | "checkpoint")
            && !self.command.words.contains(&"remove")
    }

    fn before(&self) -> Result<String> {
        self.scene.reach()?;
        let picture = picture::of(self.pid()?) + &self.status()?;
        self.scene.delete()?;
        Ok(picture)
    }

    /// Whether the command shows many things, and changes nothing.
    fn is_report(&self) -> bool {
        matches!(self.command.words[0], "list" | "inspect" | "explain" | "check")
    }

    fn state(&self) -> Result<Value> {
        let words = self.scene.words(&["state"]);
        let state = std::process::Command::new(&words[0]).args(&words[1..]).output()?;
        serde_json::from_slice(&state.stdout).with_context(|| String::from_utf8_lossy(&state.stderr).into_owned())
    }

    fn pid(&self) -> Result<i32> {
        let pid = self.state()?["pid"].as_i64().context("the state has no pid")?;
        Ok(i32::try_from(pid)?)
    }

    fn status(&self) -> Result<String> {
        Ok(format!("{}\n", self.state()?["status"]))
    }
}

/// The runtime's own calls that may fail.
fn own_calls(seen: &Seen) -> Vec<Call> {
    let mut all = Vec::new();
    for (process, found) in seen.processes.iter().enumerate() {
        for at in found.own.start..found.own.end.min(found.calls.len()) {
            let (call, number) = (at - found.own.start, found.calls[at]);
            let is_start = found.begun.iter().any(|begun| (*begun..begun + START).contains(&at));
            let is_start = process == 0 && is_start && errors::is_memory(number);
            if !errors::cannot_fail(number) && !is_start {
                all.push(Call { process, call, number, site: found.sites[at] });
            }
        }
    }
    all
}

/// Those that are tried.
fn chosen(mut calls: Vec<Call>, mode: &str) -> Vec<Call> {
    if mode == "sites" {
        let mut seen = BTreeSet::new();
        calls.retain(|call| seen.insert((call.process.min(1), call.number, call.site)));
    }
    let every = if mode.is_empty() { calls.len().div_ceil(SAMPLE) } else { 1 };
    let range = std::env::var("FAULTS_RANGE").unwrap_or_default();
    let (from, to) = range.split_once('-').unwrap_or_default();
    let (from, to) = (from.parse().unwrap_or(0), to.parse().unwrap_or(usize::MAX));
    calls
        .into_iter()
        .enumerate()
        .filter(|(n, _)| (from..to).contains(n))
        .map(|(_, call)| call)
        .step_by(every.max(1))
        .collect()
}

/// Whether two pictures differ only in what the runtime may do instead: a device that it cannot make is bound from the
/// host, a unified tree beside v1 that refuses it is left alone, and a mount that the runtime cannot prepare is made later.
fn same(right: &str, is: &str) -> bool {
    let without = |text: &str| -> Vec<String> {
        let devices =
            ["null", "zero", "full", "random", "urandom", "tty"].map(|name| format!("mount /{name} /dev/{name} "));
        let kept = text.lines().filter(|line| {
            !devices.iter().any(|start| line.starts_with(start))
                && !line.starts_with("0::")
                && !line.contains("(unified)")
        });
        let mut lines: Vec<String> = kept.map(ToOwned::to_owned).collect();
        lines.sort_unstable();
        lines
    };
    without(right) == without(is)
}

/// Whether a message has the error: its name, or its words where engines read them.
pub(super) fn tells(said: &str, way: Failure) -> bool {
    let Failure::Errno(errno) = way else { return !said.is_empty() };
    let errno = Errno::from_raw(errno);
    let words = std::io::Error::from(errno).to_string().to_lowercase();
    let is_named = said.contains(&format!("({errno:?})")) || said.contains(&format!("(os error {})", errno as i32));
    let is_named = is_named || errno == Errno::ENOMEM && said.contains("out of memory");
    is_named || words.split(" (").next().is_some_and(|words| said.to_lowercase().contains(words))
}

fn is_eio(number: u64, way: Failure) -> bool {
    number == libc::SYS_read.cast_unsigned() && way == Failure::Errno(libc::EIO)
}

fn said_no_memory(said: &str) -> bool {
    said.contains("memory allocation of") || said.contains("(os error 12)")
}

/// The first lines that differ.
pub(super) fn difference(right: &str, is: &str) -> String {
    let only = |these: &str, others: &str| {
        let mut others: Vec<&str> = others.lines().collect();
        let is_new = |line: &&str| match others.iter().position(|other| other == line) {
            Some(at) => Some(others.swap_remove(at)).is_none(),
            None => true,
        };
        let lines: Vec<&str> = these.lines().filter(is_new).collect();
        format!("{:?} and {} more", &lines[..lines.len().min(3)], lines.len().saturating_sub(3))
    };
    format!("there is not {} and there is {}", only(right, is), only(is, right))
}
