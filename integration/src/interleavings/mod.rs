//! Two and three commands at once, on one container and on two with one cgroup. The first is stopped at the entry of a
//! system call; the others run until they end or wait for a lock; then the first goes on. The outcome is that of the
//! commands one after another, in some order; no command waits for ever, and nothing is left after `delete --force`.
//!
//! By default a sample of the calls is tried, evenly spread; `INTERLEAVINGS=all` tries each, `INTERLEAVINGS=2/5` the
//! second fifth of them.

mod table;

use crate::Request;
use crate::faults::errors::cannot_fail;
use crate::kills::follow::{Point, Seen, follow_acting};
use crate::kills::scene::{Scene, Tested};
use crate::kills::{reap, settle};
use crate::windows::choose;
use crate::work::Work;
use anyhow::{Context, Result, bail};
use integration::report::{Outcome, Report};
use integration::runtime;
use nix::libc;
use nix::unistd::Pid;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use table::{GROUPS, Group};

/// How many interleavings of a group are tried by default.
const SAMPLE: usize = 3;
/// After this a command that waits, for whatever it waits, is one that is let wait.
const STANDSTILL: Duration = Duration::from_millis(300);
/// How long a command may take after all others.
const PATIENCE: Duration = Duration::from_secs(15);

pub(crate) fn run(request: &Request) -> Result<bool> {
    nix::sys::prctl::set_child_subreaper(true)?;
    let work = Work::make()?;
    let runtime = runtime::find("orlop", &work.0)?;
    let mut report = Report::default();
    for group in GROUPS {
        let name = group.commands.join(", ");
        if request.only.as_ref().is_some_and(|text| !name.contains(text.as_str())) {
            continue;
        }
        let tested = Tested { name: "", from: group.from, words: &["list"], after: &[], change };
        let scene = Scene::make(&work.0, &runtime.path, &tested)?;
        let tried = Trial { scene: &scene, group, work: work.0.clone() }.all().with_context(|| name.clone())?;
        println!(
            "{:?}: {name}: {} of {} interleavings, {} outcomes",
            group.from, tried.tried, tried.all, tried.outcomes
        );
        let outcome = match tried.failures.is_empty() {
            true => Outcome::Passed,
            false => Outcome::Failed(tried.failures.join("\n")),
        };
        report.add("interleavings", &format!("{:?}: {name}", group.from), "orlop", outcome);
    }
    Ok(report.close())
}

/// The end of a network namespace takes longer than all else.
fn change(config: &mut Value) {
    config["linux"]["namespaces"] = json!([{"type": "pid"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}]);
}

#[derive(Default)]
struct Tried {
    all: usize,
    tried: usize,
    outcomes: usize,
    failures: Vec<String>,
}

struct Trial<'a> {
    scene: &'a Scene<'a>,
    group: &'a Group,
    work: PathBuf,
}

impl Trial<'_> {
    fn all(&self) -> Result<Tried> {
        let mut allowed: BTreeSet<String> = self.group.extra.iter().map(ToString::to_string).collect();
        for order in orders(self.group.commands.len()) {
            allowed.insert(self.in_order(&order)?);
        }
        self.scene.reach()?;
        let seen = follow_acting(&self.words(0), Point::Never, &self.outputs(0).each_ref().map(|p| &**p), &mut |_| ())?;
        self.clear(&seen)?;
        let mut points = Vec::new();
        for (process, of) in seen.processes.iter().enumerate() {
            let own = of.own.start..of.own.end.min(of.calls.len());
            let own = own.filter(|call| !cannot_fail(of.calls[*call]));
            points.extend(own.map(|call| Point::Act { process, call: call - of.own.start, calls: usize::MAX / 2 }));
        }
        let mut tried = Tried { all: points.len(), ..Tried::default() };
        let mut outcomes = BTreeSet::new();
        for at in choose(points.len(), SAMPLE, std::env::var("INTERLEAVINGS").ok().as_deref()) {
            tried.tried += 1;
            if let Some(failure) = self.one(points[at], &allowed, &mut outcomes)? {
                tried.failures.push(format!("     {:?}: {failure}", points[at]));
            }
            if tried.failures.len() >= 10 {
                tried.failures.push(format!("     and so on; in order: {allowed:?}"));
                break;
            }
        }
        tried.outcomes = outcomes.len();
        Ok(tried)
    }

    /// The outcome of the commands one after another.
    fn in_order(&self, order: &[usize]) -> Result<String> {
        self.scene.reach()?;
        let mut codes = vec![None; order.len()];
        for at in order {
            let mut child = self.spawn(*at)?;
            codes[*at] = ended(&mut child)?;
        }
        let ends = self.group.commands.iter().any(|command| command.starts_with("kill"));
        let outcome = self.settled(&codes, |outcome| !ends || !outcome.contains("running"));
        self.clear(&Seen::default())?;
        Ok(outcome)
    }

    /// What went wrong, if something did.
    fn one(&self, point: Point, allowed: &BTreeSet<String>, outcomes: &mut BTreeSet<String>) -> Result<Option<String>> {
        self.scene.reach()?;
        let count = self.group.commands.len();
        let mut others = Vec::new();
        let mut start = || {
            for at in 1..count {
                if let Ok(mut child) = self.spawn(at) {
                    wait_for_standstill(&mut child);
                    others.push(child);
                }
            }
        };
        // Not as children of the thread that waits for all that it traces.
        let mut act = |_: Pid| std::thread::scope(|scope| drop(scope.spawn(&mut start).join()));
        let outputs = self.outputs(0);
        let seen = follow_acting(&self.words(0), point, &outputs.each_ref().map(|path| &**path), &mut act)?;
        if others.is_empty() {
            // The call was not made this time: the commands run one after another.
            others = (1..count).map(|at| self.spawn(at)).collect::<Result<_>>()?;
        }
        let mut codes = vec![seen.code];
        for child in &mut others {
            codes.push(ended(child)?);
        }
        let mut failures = Vec::new();
        for (at, code) in codes.iter().enumerate() {
            if code.is_none() {
                failures.push(format!("{} waits for ever or is killed", self.group.commands[at]));
            }
        }
        let outcome = self.settled(&codes, |outcome| allowed.contains(outcome));
        if !allowed.contains(&outcome) {
            let said: Vec<String> = (0..count).map(|at| self.said(at)).collect();
            failures.push(format!("{outcome}; said: {said:?}; in order: {allowed:?}"));
        }
        outcomes.insert(outcome);
        if let Err(error) = self.clear(&seen) {
            failures.push(format!("{error:#}"));
        }
        Ok((!failures.is_empty()).then(|| format!("{} ({})", failures.join("; "), seen.failed.trim())))
    }

    /// The outcome, as soon as it is one that is expected: a process that is killed takes a while to end.
    fn settled(&self, codes: &[Option<i32>], expected: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + Duration::from_secs(5);
        loop {
            let now = self.outcome(codes);
            if expected(&now) || Instant::now() > deadline {
                return now;
            }
            reap();
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Whether each command succeeded, and what there is of the containers afterwards.
    fn outcome(&self, codes: &[Option<i32>]) -> String {
        let mut all = String::new();
        for (command, code) in self.group.commands.iter().zip(codes) {
            let name = command.split(' ').next().unwrap_or_default();
            all += &format!("{name} {}, ", if *code == Some(0) { "succeeds" } else { "fails" });
        }
        let mut others = Vec::new();
        for id in [self.scene.id.clone(), self.other()] {
            let state = fs::read_to_string(self.scene.dir.join("state").join(&id).join("state.json"));
            others.push(state.map_or_else(|_| "none".into(), |_| self.status(&id)));
        }
        all + &format!("then {}{}", others.join(" and "), self.limits())
    }

    fn status(&self, id: &str) -> String {
        let words = self.in_words(&format!("state {id}"));
        let state = Command::new(&words[0]).args(&words[1..]).stdin(Stdio::null()).output();
        let state = state.map(|output| output.stdout).unwrap_or_default();
        let state: Value = serde_json::from_slice(&state).unwrap_or_default();
        state["status"].as_str().unwrap_or("unknown").to_owned()
    }

    /// The limits that the commands set.
    fn limits(&self) -> String {
        if !self.group.commands.iter().all(|command| command.starts_with("update")) {
            return String::new();
        }
        let files =
            ["pids.max", "memory.max"].map(|name| PathBuf::from("/sys/fs/cgroup").join(self.cgroup()).join(name));
        let old = [("pids", "pids.max"), ("memory", "memory.limit_in_bytes")];
        let old = old.map(|(dir, name)| PathBuf::from("/sys/fs/cgroup").join(dir).join(self.cgroup()).join(name));
        let read = files.iter().chain(&old).filter_map(|path| fs::read_to_string(path).ok());
        read.map(|text| format!(", {}", text.trim())).collect()
    }

    fn cgroup(&self) -> String {
        format!("{}/box", self.scene.id)
    }

    fn other(&self) -> String {
        format!("{}-other", self.scene.id)
    }

    fn words(&self, at: usize) -> Vec<String> {
        self.in_words(self.group.commands[at])
    }

    fn in_words(&self, command: &str) -> Vec<String> {
        let mut all: Vec<String> = self.scene.words(&["list"]).into_iter().take(3).collect();
        for word in command.split(' ') {
            all.push(match word {
                "ID" => self.scene.id.clone(),
                "OTHER" => self.other(),
                word => word.to_owned(),
            });
            if matches!(word, "create" | "run") {
                all.extend(["-b".into(), self.scene.dir.display().to_string()]);
            }
        }
        all
    }

    fn outputs(&self, at: usize) -> [PathBuf; 2] {
        ["output", "errors"].map(|name| self.work.join(format!("{name}-{at}")))
    }

    fn said(&self, at: usize) -> String {
        fs::read_to_string(&self.outputs(at)[1]).unwrap_or_default()
    }

    fn spawn(&self, at: usize) -> Result<Child> {
        let words = self.words(at);
        let [output, errors] = self.outputs(at).map(fs::File::create);
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).stdin(Stdio::null()).stdout(output?).stderr(errors?);
        command.spawn().context("start the second command")
    }

    /// Nothing is left of either container.
    fn clear(&self, seen: &Seen) -> Result<()> {
        let words = self.in_words("delete --force OTHER");
        let status = Command::new(&words[0]).args(&words[1..]).stdin(Stdio::null()).stderr(Stdio::null()).status()?;
        if !status.success() {
            bail!("delete --force of the other container: {status}");
        }
        settle(self.scene, seen).map_or(Ok(()), |left| bail!(left))
    }
}

/// The orders of `count` commands.
fn orders(count: usize) -> Vec<Vec<usize>> {
    let mut all = vec![Vec::new()];
    for next in 0..count {
        let places = |order: Vec<usize>| {
            (0..=order.len()).map(move |at| {
                let mut longer = order.clone();
                longer.insert(at, next);
                longer
            })
        };
        all = all.into_iter().flat_map(places).collect();
    }
    all
}

/// Waits until a command has ended, waits for a lock, or goes no further for another reason.
fn wait_for_standstill(child: &mut Child) {
    let deadline = Instant::now() + STANDSTILL;
    let mut locked = 0;
    while Instant::now() < deadline && locked < 3 && matches!(child.try_wait(), Ok(None)) {
        let call = fs::read_to_string(format!("/proc/{}/syscall", child.id())).unwrap_or_default();
        locked += usize::from(call.starts_with(&format!("{} ", libc::SYS_flock)));
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The code of a command at its end; `None` where it was killed, for instance since it waited for ever.
fn ended(child: &mut Child) -> Result<Option<i32>> {
    let deadline = Instant::now() + PATIENCE;
    while child.try_wait()?.is_none() {
        if Instant::now() > deadline {
            child.kill()?;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(child.wait()?.code())
}
