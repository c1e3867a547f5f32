//! Each system call of the runtime's commands fails in turn. A command then fails with a message that names the cause, or
//! succeeds with a container that is protected and limited as ever; and nothing is left after `delete --force`.
//!
//! By default about thirty points of each command are tried, evenly spread, each with the likeliest error; `FAULTS=calls`
//! tries each call with its likeliest error, `FAULTS=all` each call with every error that it may have.

pub(crate) mod errors;
pub(crate) mod picture;

use crate::Request;
use crate::kills::follow::{Point, Seen, follow_into};
use crate::kills::scene::{From, Scene, Tested, hooks, joined, user_and_time};
use crate::kills::settle;
use crate::work::Work;
use anyhow::{Context, Result};
use integration::report::{Outcome, Report};
use integration::runtime;
use nix::errno::Errno;
use nix::libc;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};

/// How many points of a command are tried by default.
const SAMPLE: usize = 30;
/// How many calls the C library and std's runtime make before `main`. Without memory there they end the process in their
/// own way.
const START: usize = 14;

const fn tested(name: &'static str, from: From, words: &'static [&'static str]) -> Tested {
    Tested { name, from, words, after: &[], change: full }
}

const COMMANDS: &[Tested] = &[
    tested("create", From::Nothing, &["create"]),
    Tested { change: |c| both(c, hooks), ..tested("create, with hooks", From::Nothing, &["create"]) },
    Tested {
        change: |c| both(c, user_and_time),
        ..tested("create, with a user namespace", From::Nothing, &["create"])
    },
    Tested { change: |c| both(c, joined), ..tested("create, with a joined pid namespace", From::Nothing, &["create"]) },
    tested("start", From::Created, &["start"]),
    Tested { change: |c| both(c, hooks), ..tested("start, with hooks", From::Created, &["start"]) },
    Tested { change: prints, ..tested("run", From::Nothing, &["run"]) },
    Tested { change: prints, ..tested("run, with the reaping init", From::Nothing, &["run", "--init"]) },
    tested("run, detached", From::Nothing, &["run", "--detach"]),
    Tested { after: picture::INSIDE, ..tested("exec", From::Running, &["exec"]) },
    tested("state", From::Running, &["state"]),
    tested("events", From::Running, &["events", "--stats"]),
    tested("pause", From::Running, &["pause"]),
    tested("update", From::Running, &["update", "--memory", "50000000", "--pids-limit", "50"]),
    Tested { after: &["KILL"], ..tested("kill", From::Running, &["kill"]) },
    tested("delete", From::Stopped, &["delete"]),
    tested("delete --force", From::Running, &["delete", "--force"]),
];

fn both(config: &mut Value, change: fn(&mut Value)) {
    full(config);
    change(config);
    let namespaces = config["linux"]["namespaces"].to_string();
    if !namespaces.contains("ipc") {
        config["linux"]["sysctl"] = Value::Null;
    }
    if !namespaces.contains("uts") {
        config["hostname"] = Value::Null;
    }
    if let (false, Some(mounts)) = (namespaces.contains("network"), config["mounts"].as_array_mut()) {
        mounts.retain(|mount| mount["type"] != "sysfs");
    }
}

/// A config with something of each kind that protects or limits.
fn full(config: &mut Value) {
    config["hostname"] = json!("box");
    config["process"]["rlimits"] = json!([{"type": "RLIMIT_NOFILE", "soft": 512, "hard": 512}]);
    config["process"]["oomScoreAdj"] = json!(100);
    config["process"]["user"]["additionalGids"] = json!([5, 6]);
    config["linux"]["sysctl"] = json!({"kernel.msgmax": "8192"});
    config["linux"]["resources"]["cpu"] = json!({"shares": 512});
    config["linux"]["resources"]["devices"] = json!([{"allow": false, "access": "rwm"}]);
    config["mounts"].as_array_mut().into_iter().for_each(|mounts| {
        mounts.push(
            json!({"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["ro", "nosuid", "noexec"]}),
        );
    });
}

fn prints(config: &mut Value) {
    full(config);
    config["process"]["args"] = json!(picture::INSIDE);
}

pub(crate) fn run(request: &Request) -> Result<bool> {
    nix::sys::prctl::set_child_subreaper(true)?;
    let work = Work::make()?;
    let mut report = Report::default();
    let runtime = runtime::find("orlop", &work.0)?;
    for command in COMMANDS {
        if request.only.as_ref().is_some_and(|text| !command.name.contains(text.as_str())) {
            continue;
        }
        let scene = Scene::make(&work.0, &runtime.path, command)?;
        let tried = Trial::new(&scene, command, &work.0).all()?;
        println!(
            "{}: {} of {} calls with {} errors: {} refused with the cause, {} succeeded unchanged, {} otherwise as argued",
            command.name, tried.points, tried.calls, tried.errors, tried.refused, tried.unchanged, tried.argued
        );
        let outcome = match tried.failures.is_empty() {
            true => Outcome::Passed,
            false => Outcome::Failed(tried.failures.join("\n")),
        };
        report.add("faults", &format!("each system call of {} fails", command.name), "orlop", outcome);
    }
    Ok(report.close())
}

#[derive(Default)]
struct Tried {
    calls: usize,
    points: usize,
    errors: usize,
    refused: usize,
    unchanged: usize,
    argued: usize,
    failures: Vec<String>,
}

struct Trial<'a> {
    scene: &'a Scene<'a>,
    command: &'a Tested,
    output: PathBuf,
    errors: PathBuf,
}

/// What a command has done.
struct Done {
    seen: Seen,
    /// What it wrote to its error output.
    said: String,
    /// The picture of its container, if it has succeeded.
    picture: Result<String>,
}

impl<'a> Trial<'a> {
    fn new(scene: &'a Scene<'a>, command: &'a Tested, work: &Path) -> Self {
        Self { scene, command, output: work.join("output"), errors: work.join("errors") }
    }

    fn all(&self) -> Result<Tried> {
        let usual = self.once(Point::Never)?;
        let right = usual.picture.context("without a failing call")?;
        settle(self.scene, &usual.seen);
        let mut tried = Tried::default();
        let points: Vec<(usize, usize, u64)> = usual
            .seen
            .processes
            .iter()
            .enumerate()
            .flat_map(|(n, process)| {
                let own = process.own.start..process.own.end.min(process.calls.len());
                own.map(move |call| (n, call - process.own.start, process.calls[call]))
            })
            .filter(|(process, call, number)| {
                !errors::cannot_fail(*number) && ((*process, *call) >= (0, START) || !errors::is_memory(*number))
            })
            .collect();
        tried.calls = points.len();
        let wanted = std::env::var("FAULTS").unwrap_or_default();
        let every = if wanted.is_empty() { points.len().div_ceil(SAMPLE) } else { 1 };
        for (process, call, number) in points.into_iter().step_by(every.max(1)) {
            tried.points += 1;
            let Some(known) = errors::call(number) else {
                tried.failures.push(format!("     system call {number}: its errors are not listed"));
                continue;
            };
            let count = if wanted == "all" { known.errors.len() } else { 1 };
            for errno in known.errors.iter().take(count) {
                tried.errors += 1;
                let point = Point::Fail { process, call, number, errno: *errno as i32 };
                if let Some(failure) = self.one(point, *errno, &right, &mut tried)? {
                    tried
                        .failures
                        .push(format!("     process {process}, call {call}, {} {errno:?}: {failure}", known.name));
                }
            }
        }
        Ok(tried)
    }

    /// What went wrong, if something did.
    fn one(&self, point: Point, errno: Errno, right: &str, tried: &mut Tried) -> Result<Option<String>> {
        let done = self.once(point)?;
        let failure = match (done.seen.code, &done.picture) {
            _ if done.seen.hung => Some("the command waits for ever".to_owned()),
            (Some(0), Ok(picture)) if picture == right => {
                tried.unchanged += 1;
                None
            }
            (Some(0), Ok(picture)) if same(right, picture) => {
                tried.argued += 1;
                None
            }
            (Some(0), Ok(picture)) => {
                Some(format!("success, but {}; it said {:?}", difference(right, picture), done.said))
            }
            (Some(0), Err(error)) => Some(format!("success, but {error:#}; it said {:?}", done.said)),
            (Some(_), _) if tells(&done.said, errno) => {
                tried.refused += 1;
                None
            }
            (code, _) => Some(format!("code {code:?}, without the cause: {:?}", done.said)),
        };
        let failure = failure.map(|failure| format!("{failure} ({})", done.seen.failed.trim()));
        let left = settle(self.scene, &done.seen).filter(|left| !self.is_parent(point, left));
        Ok(match (failure, left) {
            (failure, None) => failure,
            (None, Some(left)) => Some(left),
            (Some(failure), Some(left)) => Some(format!("{failure}; {left}")),
        })
    }

    /// Whether only the directory above the container's cgroup is left: it could not be removed, which is no fault since
    /// others may use it, or the record that says who made it could not be read.
    fn is_parent(&self, point: Point, left: &str) -> bool {
        let Point::Fail { number, .. } = point else { return false };
        let without_record = self.command.words == ["delete", "--force"] && number == libc::SYS_read.cast_unsigned();
        let is_rmdir = errors::call(number).is_some_and(|call| call.name == "rmdir");
        let parent = |path: &str| path.starts_with("/sys/fs/cgroup/") && path.ends_with(&self.scene.id);
        (is_rmdir || without_record) && left.strip_prefix("left: ").is_some_and(|all| all.split(", ").all(parent))
    }

    /// Runs the command once.
    fn once(&self, point: Point) -> Result<Done> {
        self.scene.reach()?;
        let seen = follow_into(&self.scene.command(), point, &[&self.output, &self.errors])?;
        let said = fs::read_to_string(&self.errors).unwrap_or_default();
        let picture = match seen.code {
            Some(0) => self.picture(),
            code => Err(anyhow::anyhow!("code {code:?}: {said}")),
        };
        Ok(Done { seen, said, picture })
    }

    /// What the command has made.
    fn picture(&self) -> Result<String> {
        let output = fs::read_to_string(&self.output).unwrap_or_default();
        match (self.command.words[0], self.command.words.last()) {
            ("run", Some(&"--detach")) | ("start" | "pause" | "update", _) => {
                Ok(picture::of(self.pid()?) + &self.status()?)
            }
            ("create", _) => {
                self.scene.orlop(&["start"]).context("start after it")?;
                Ok(picture::of(self.pid()?))
            }
            ("run" | "exec", _) => Ok(picture::protecting(&output)),
            ("state", _) => {
                let state: Value = serde_json::from_str(&output).context("state's document")?;
                Ok(format!("{} {}", state["status"], state["id"]))
            }
            ("ps" | "events", _) => Ok(format!("{} lines", output.lines().count())),
            ("kill", _) => {
                let deadline = std::time::Instant::now() + std::time::Duration::from_secs(5);
                while self.status()? != "\"stopped\"\n" && std::time::Instant::now() < deadline {
                    std::thread::sleep(std::time::Duration::from_millis(2));
                }
                self.status()
            }
            _ => Ok(String::new()),
        }
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

/// Whether two pictures differ only in what the runtime may do instead: a device that it cannot make is bound from the
/// host, and a unified tree beside v1 that refuses it is left alone.
fn same(right: &str, is: &str) -> bool {
    let without = |text: &str| -> Vec<String> {
        let devices =
            ["null", "zero", "full", "random", "urandom", "tty"].map(|name| format!("mount /{name} /dev/{name} "));
        let kept = text
            .lines()
            .filter(|line| !devices.iter().any(|start| line.starts_with(start)) && !line.starts_with("0::"));
        kept.map(ToOwned::to_owned).collect()
    };
    without(right) == without(is)
}

/// Whether a message has the error: its name, or its words where engines read them.
fn tells(said: &str, errno: Errno) -> bool {
    let words = std::io::Error::from(errno).to_string().to_lowercase();
    said.contains(&format!("({errno:?})")) || words.split(" (").next().is_some_and(|words| said.contains(words))
}

/// The first lines that differ.
fn difference(right: &str, is: &str) -> String {
    let only = |these: &str, others: &str| {
        let mut lines = these.lines().filter(|line| !others.lines().any(|other| other == *line)).map(ToOwned::to_owned);
        let first: Vec<String> = lines.by_ref().take(3).collect();
        format!("{first:?} and {} more", lines.count())
    };
    format!("there is not {} and there is {}", only(right, is), only(is, right))
}
