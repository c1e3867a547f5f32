//! SIGKILL at the entry of every system call of orlop's commands: whoever is killed, and wherever, `delete --force` then
//! removes all that is left.
//!
//! By default about eighty points of each command are tried, evenly spread; `KILLS=all` tries every one.

pub(crate) mod failure;
pub(crate) mod follow;
pub(crate) mod paths;
pub(crate) mod scene;

use crate::Request;
use crate::work::Work;
use anyhow::Result;
use follow::{Point, Seen, follow};
use integration::report::{Outcome, Report};
use integration::runtime;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use scene::{COMMANDS, Scene};
use std::time::{Duration, Instant};

/// How many points of a command are tried by default.
const SAMPLE: usize = 80;
/// What `delete --force` may take on a machine that does nothing else is a second; on a busy one it is only told.
const DEADLINE: Duration = Duration::from_secs(10);

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
        let tried = try_all(&scene)?;
        println!(
            "{}: {} of {} points, delete --force took at most {:?}",
            command.name, tried.points, tried.all, tried.longest
        );
        let outcome = match tried.failures.is_empty() {
            true => Outcome::Passed,
            false => Outcome::Failed(tried.failures.join("\n")),
        };
        report.add("kills", &format!("SIGKILL at the system calls of {}", command.name), "orlop", outcome);
    }
    Ok(report.close())
}

#[derive(Default)]
struct Tried {
    all: usize,
    points: usize,
    longest: Duration,
    failures: Vec<String>,
}

fn try_all(scene: &Scene<'_>) -> Result<Tried> {
    scene.reach()?;
    let seen = follow(&scene.command(), Point::Never)?;
    scene.delete()?;
    let births = (1..seen.processes.len()).map(|process| Point::Birth { process });
    let entries = seen.processes.iter().enumerate();
    let entries = entries.flat_map(|(process, p)| (0..p.calls.len()).map(move |call| Point::Entry { process, call }));
    let mut tried = Tried { all: births.len(), ..Tried::default() };
    let entries: Vec<Point> = entries.collect();
    tried.all += entries.len();
    let every =
        if std::env::var_os("KILLS").is_some_and(|word| word == "all") { 1 } else { entries.len().div_ceil(SAMPLE) };
    for point in births.chain(entries.into_iter().step_by(every.max(1))) {
        tried.points += 1;
        let number = match point {
            Point::Entry { process, call } => seen.processes[process].calls[call],
            _ => 0,
        };
        if let Some(failure) = try_one(scene, point, &mut tried.longest)? {
            tried.failures.push(format!("     {point:?} (system call {number}): {failure}"));
        }
        if tried.failures.len() >= 10 {
            tried.failures.push("     and so on".into());
            break;
        }
    }
    Ok(tried)
}

/// Reaps what the runtime has left to us: a zombie still holds its keyring, and not every init reaps at once.
pub(crate) fn reap() {
    while waitpid(None, Some(WaitPidFlag::WNOHANG)).is_ok_and(|status| status != WaitStatus::StillAlive) {}
}

/// What went wrong, if something did.
fn try_one(scene: &Scene<'_>, point: Point, longest: &mut Duration) -> Result<Option<String>> {
    scene.reach()?;
    let seen = follow(&scene.command(), point)?;
    let began = Instant::now();
    let failure = settle(scene, &seen);
    *longest = began.elapsed().max(*longest);
    Ok(failure.or_else(|| seen.hung.then(|| "the command waits for ever".into())))
}

/// Removes the container by force. What it could not remove is said, and removed by hand.
pub(crate) fn settle(scene: &Scene<'_>, seen: &Seen) -> Option<String> {
    let began = Instant::now();
    if let Err(error) = scene.delete() {
        scene.clear(seen);
        return Some(format!("delete --force: {error:#}"));
    }
    if seen.hung {
        scene.clear(seen);
        return None;
    }
    let mut left = scene.left(seen);
    while !left.is_empty() && began.elapsed() < DEADLINE {
        std::thread::sleep(Duration::from_millis(1));
        reap();
        left = scene.left(seen);
    }
    if left.is_empty() {
        return None;
    }
    scene.clear(seen);
    Some(format!("left: {}", left.join(", ")))
}
