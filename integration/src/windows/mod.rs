//! An attacker that acts between two system calls of the runtime: stopped at the entry of each call, the runtime waits
//! until the attacker has acted. Then the host is as it was, the command fails with a message or its container has every
//! mask, filter and limit, and nothing is left after `delete --force`.
//!
//! A call that does not see an action (it names no part of the path that is exchanged) makes no window of its own: before
//! it the action is the same as behind it. By default a sample is tried, evenly spread; `WINDOWS=all` tries every action
//! in each of its windows, once until the end of the command and once until the next call. `WINDOWS=2/5` tries the second
//! fifth of that. `--only "exec|Freeze"` tries the actions of that name on the commands of that name.

mod action;
mod ground;
mod inside;
pub(crate) mod neighbour;

use crate::Request;
use crate::kills::follow::{Point, Seen, alive, follow_acting, follow_into};
use crate::kills::scene::{From, Scene, Tested};
use crate::kills::{reap, settle};
use crate::work::Work;
use action::{Action, Kind, Leeway, Turn};
use anyhow::{Context, Result};
use ground::Ground;
use inside::Inside;
use integration::report::{Outcome, Report};
use integration::runtime::{self, Runtime};
use nix::unistd::Pid;
use std::collections::BTreeSet;
use std::fs;
use std::process::Stdio;

/// How many trials there are of a command by default.
const SAMPLE: usize = 30;

pub(crate) struct Command {
    tested: Tested,
    /// The kinds of namespaces that a neighbour has, which the container joins.
    neighbour: &'static [&'static str],
    /// Whether devices are made in the root itself.
    has_devices: bool,
    /// Whether the container runs, and may act itself.
    runs: bool,
}

const fn command(name: &'static str, from: From, words: &'static [&'static str]) -> Command {
    let tested = Tested { name, from, words, after: &[], change: ground::full };
    Command { tested, neighbour: &[], has_devices: false, runs: false }
}

const fn with(command: Command, change: fn(&mut serde_json::Value)) -> Command {
    Command { tested: Tested { change, ..command.tested }, ..command }
}

const CREATE: &[&str] = &["create"];
const RUN: &[&str] = &["run", "--detach"];
const COMMANDS: &[Command] = &[
    command("run", From::Nothing, RUN),
    Command { has_devices: true, ..with(command("run, without /dev", From::Nothing, RUN), ground::without_dev) },
    with(command("create, with hooks", From::Nothing, CREATE), ground::hooks),
    with(command("create, with a user namespace", From::Nothing, CREATE), ground::user),
    Command {
        neighbour: &["pid"],
        ..with(command("create, with a joined pid namespace", From::Nothing, CREATE), ground::joined)
    },
    Command {
        neighbour: &["pid", "user"],
        ..with(command("create, with joined pid and user namespaces", From::Nothing, CREATE), ground::joined_user)
    },
    Command {
        neighbour: &["mount"],
        ..with(command("create, with a joined mount namespace", From::Nothing, CREATE), ground::joined_mount)
    },
    with(command("start, with hooks", From::Created, &["start"]), ground::hooks),
    Command {
        tested: Tested {
            name: "exec",
            from: From::Running,
            words: &["exec", "--detach", "--user", "0:0"],
            after: &["/bin/sleep", "1000"],
            change: ground::full,
        },
        neighbour: &[],
        has_devices: false,
        runs: true,
    },
    Command {
        tested: Tested {
            name: "exec, in joined pid and user namespaces",
            from: From::Running,
            words: &["exec", "--detach"],
            after: &["/bin/sleep", "1000"],
            change: ground::joined_user,
        },
        neighbour: &["pid", "user"],
        has_devices: false,
        runs: true,
    },
    with(command("delete", From::Stopped, &["delete"]), ground::hooks),
    Command { runs: true, ..command("delete --force", From::Running, &["delete", "--force"]) },
];

pub(crate) fn run(request: &Request) -> Result<bool> {
    nix::sys::prctl::set_child_subreaper(true)?;
    let work = Work::make()?;
    let mut report = Report::default();
    let runtime = runtime::find("orlop", &work.0)?;
    let ground = Ground::make()?;
    let (wanted, only) = request.only.as_deref().map_or(("", ""), |text| text.split_once('|').unwrap_or((text, "")));
    for command in COMMANDS {
        if !command.tested.name.contains(wanted) {
            continue;
        }
        if !command.neighbour.is_empty() {
            neighbour::begin(command.neighbour)?;
        }
        let scene = ground::scene(&runtime, &command.tested)?;
        let trial = Trial { scene: &scene, command, ground: &ground, runtime: &runtime, id: scene.id.clone() };
        let tried = trial.all(only);
        neighbour::end();
        let tried = tried.with_context(|| command.tested.name)?;
        println!(
            "{}: {} windows x {} actions are {}, of which {} are different; {} tried: {} refused, {} succeeded, {} not \
             reached",
            command.tested.name,
            tried.windows,
            tried.actions,
            tried.windows * tried.actions,
            tried.different,
            tried.tried,
            tried.refused,
            tried.succeeded,
            tried.missed
        );
        let outcome = match tried.failures.is_empty() {
            true => Outcome::Passed,
            false => Outcome::Failed(tried.failures.join("\n")),
        };
        report.add("windows", &format!("an attacker between the calls of {}", command.tested.name), "orlop", outcome);
    }
    Ok(report.close())
}

#[derive(Default)]
struct Tried {
    windows: usize,
    actions: usize,
    different: usize,
    tried: usize,
    refused: usize,
    succeeded: usize,
    missed: usize,
    failures: Vec<String>,
}

struct Trial<'a> {
    scene: &'a Scene<'a>,
    command: &'a Command,
    ground: &'a Ground,
    runtime: &'a Runtime,
    id: String,
}

impl Trial<'_> {
    fn all(&self, only: &str) -> Result<Tried> {
        self.begin()?;
        let outputs = [&*ground::work().join("output"), &*ground::work().join("errors")];
        let seen = follow_into(&self.words(), Point::Record, &outputs)?;
        let said = fs::read_to_string(outputs[1]).unwrap_or_default();
        anyhow::ensure!(seen.code == Some(0), "without an attacker: {said}");
        let usual = self.inside(&seen)?;
        let lacks = if self.command.tested.words[0] == "delete" { Vec::new() } else { usual.lacks() };
        anyhow::ensure!(usual.leaks.is_empty() && lacks.is_empty(), "without an attacker: {:?} {lacks:?}", usual.leaks);
        settle(self.scene, &seen);
        self.ground.restore()?;
        let mut actions = action::all(self.command, &self.id);
        actions.retain(|action| format!("{action:?}").contains(only));
        let mut tried = Tried { actions: actions.len(), ..Tried::default() };
        let points = points(&seen, &actions, &mut tried.windows);
        tried.different = points.len();
        let chosen = choose(points.len(), SAMPLE, std::env::var("WINDOWS").ok().as_deref());
        for (action, point) in chosen.into_iter().map(|at| &points[at]) {
            tried.tried += 1;
            if let Some(failure) = self.one(&actions[*action], *point, &usual, &mut tried)? {
                tried.failures.push(format!("     {:?} {point:?}: {failure}", actions[*action]));
            }
            if tried.failures.len() >= 40 {
                tried.failures.push("     and so on".into());
                break;
            }
        }
        Ok(tried)
    }

    /// The command; with a file for the pid where it takes one.
    fn words(&self) -> Vec<String> {
        let mut words = self.scene.command();
        if matches!(self.command.tested.words[0], "create" | "run" | "exec") {
            words.splice(4..4, ["--pid-file".to_owned(), ground::bundle().join("pid").display().to_string()]);
        }
        words
    }

    /// Brings the container to where the command is tried. A mount namespace that a container has joined is of no use to
    /// the next.
    fn begin(&self) -> Result<()> {
        if self.command.neighbour.contains(&"mount") {
            neighbour::begin(self.command.neighbour)?;
            ground::scene(self.runtime, &self.command.tested)?;
        }
        self.scene.reach()
    }

    /// What the command has made; for the commands that make nothing, an empty picture.
    fn inside(&self, seen: &Seen) -> Result<Inside> {
        match self.command.tested.words[0] {
            "create" => self.scene.orlop(&["start"]).context("start after it")?,
            "delete" => return Ok(Inside::default()),
            _ => {}
        }
        let pid = match self.command.tested.words[0] {
            "start" => self.init()?,
            _ => {
                let of_container = |pid: i32| {
                    let exe = fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
                    exe.ends_with("busybox") && !exe.starts_with("/usr") && !exe.starts_with("/bin/sh")
                };
                let living = seen.processes.iter().rev().find(|p| alive(p.pid, p.start) && of_container(p.pid));
                living.map_or_else(|| self.init(), |process| Ok(process.pid))?
            }
        };
        Ok(Inside::of(pid))
    }

    fn init(&self) -> Result<i32> {
        let words = self.scene.words(&["state"]);
        let state = std::process::Command::new(&words[0]).args(&words[1..]).stdin(Stdio::null()).output()?;
        let state: serde_json::Value = serde_json::from_slice(&state.stdout).context("state's document")?;
        Ok(i32::try_from(state["pid"].as_i64().context("the state has no pid")?)?)
    }

    /// What went wrong, if something did.
    fn one(&self, action: &Action, point: Point, usual: &Inside, tried: &mut Tried) -> Result<Option<String>> {
        self.begin()?;
        action.prepare()?;
        let mut turn = Turn { id: self.id.clone(), ..Turn::default() };
        if self.command.runs {
            turn.init = self.init()?;
        }
        let mut stranger = std::process::Command::new("sleep").arg("1000").stdin(Stdio::null()).spawn()?;
        turn.stranger = stranger.id();
        let (mut acted, mut error, mut at_call) = (0, None, None);
        let outputs = [&*ground::work().join("output"), &*ground::work().join("errors")];
        let mut act = |_: Pid| {
            acted += 1;
            let done = if acted == 1 { action.act(&mut turn) } else { action.undo(&mut turn) };
            error = done.err().or(error.take());
            at_call = self.ground.changed().filter(|_| acted > 1).or(at_call.take());
        };
        let seen = follow_acting(&self.words(), point, &outputs, &mut act)?;
        let said = fs::read_to_string(outputs[1]).unwrap_or_default();
        if acted == 1 {
            // A record may be in a directory that has its place only now.
            let _ = if action.moves_state() { self.scene.delete() } else { Ok(()) };
            action.undo(&mut turn)?;
        }
        let mut failures: Vec<String> = turn.found.into_iter().chain(at_call).chain(self.ground.changed()).collect();
        match (acted, seen.code) {
            (0, _) => tried.missed += 1,
            (_, Some(0)) => {
                tried.succeeded += 1;
                failures.extend(self.compare(action, &seen, usual));
            }
            (_, Some(_)) if !said.trim().is_empty() => tried.refused += 1,
            (_, code) if !seen.hung => failures.push(format!("code {code:?} without a message")),
            _ => {}
        }
        if seen.hung {
            failures.push("the command waits for ever".into());
        }
        failures.extend(settle(self.scene, &seen));
        failures.extend(self.ground.changed());
        let _ = stranger.kill();
        let _ = stranger.wait();
        action.clean();
        self.ground.restore()?;
        reap();
        if let Some(error) = error {
            return Err(error.context(format!("{action:?}")));
        }
        Ok((!failures.is_empty())
            .then(|| format!("{} ({}; it said {:?})", failures.join("; "), seen.failed.trim(), said)))
    }

    fn compare(&self, action: &Action, seen: &Seen, usual: &Inside) -> Option<String> {
        let leeway = action.leeway();
        match self.inside(seen) {
            Ok(_) if leeway == Leeway::Any => None,
            Ok(is) => {
                let devices = if action.is_of_dev() { is.wrong_devices() } else { None };
                usual.differences(&is, leeway).or(devices).map(|all| format!("success, but {all}"))
            }
            // The program is not there any more, or has been killed.
            Err(_) if leeway == Leeway::Any || matches!(action.kind, Kind::Exchange(_)) => None,
            Err(error) => Some(format!("success, but {error:#}")),
        }
    }
}

/// Each action with each of its windows.
fn points(seen: &Seen, actions: &[Action], windows: &mut usize) -> Vec<(usize, Point)> {
    let mut all = BTreeSet::new();
    for (process, of) in seen.processes.iter().enumerate() {
        for call in of.own.start..of.own.end.min(of.calls.len()) {
            *windows += 1;
            for (at, action) in actions.iter().enumerate() {
                if !action.matters(of.calls[call], of.paths.get(call).map_or("", |paths| paths)) {
                    continue;
                }
                let once = matches!(action.kind, Kind::Look | Kind::Kill);
                for calls in [usize::MAX / 2, 1].into_iter().take(if once { 1 } else { 2 }) {
                    all.insert((at, process, call - of.own.start, calls));
                }
            }
        }
    }
    all.into_iter().map(|(at, process, call, calls)| (at, Point::Act { process, call, calls })).collect()
}

/// The places of those that are tried, in an order without a pattern, which is the same each time: a sample, all, or the
/// n-th of m parts.
pub(crate) fn choose(count: usize, sample: usize, wanted: Option<&str>) -> Vec<usize> {
    let scattered = |at: &usize| (*at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    let part = |text: &str| {
        let (n, of) = text.split_once('/')?;
        Some((n.parse::<usize>().ok()?, of.parse::<usize>().ok()?))
    };
    let mut all: Vec<usize> = (0..count).collect();
    all.sort_by_key(scattered);
    match wanted {
        None | Some("") => all.into_iter().take(sample).collect(),
        Some(text) => match part(text) {
            Some((n, of)) if of > 0 => all.into_iter().skip(n % of).step_by(of).collect(),
            _ => all,
        },
    }
}
