//! What is measured: each scenario's operations, the runtimes by turns.

use crate::bundle::Scenario;
use crate::figures::{FLOOR, Figures};
use crate::gauge::{Gauge, Sample, WAIT};
use crate::machine::Machine;
use crate::native::Work;
use crate::request::Request;
use crate::subject::{BUSYBOX, Subject, TINY, WAITS, floor};
use anyhow::Result;
use std::time::Duration;

/// What a short command is: the word that asks for it, its label, its words.
type Short = (&'static str, &'static [&'static str], &'static [&'static str]);

/// The commands that make no process. The signal is one that changes nothing.
const SHORT: &[Short] = &[
    ("state", &["state"], &["state", "box"]),
    ("kill", &["kill"], &["kill", "box", "WINCH"]),
    ("list", &["list of one"], &["list"]),
    ("version", &["--version"], &["--version"]),
];

/// Everything that a measurement needs.
#[derive(Debug)]
pub(crate) struct Bench<'a> {
    pub(crate) request: &'a Request,
    pub(crate) machine: &'a Machine,
    pub(crate) work: &'a Work,
    pub(crate) gauge: Gauge,
    pub(crate) subjects: Vec<Subject>,
    pub(crate) figures: Figures,
    /// What is no time: tables of its own.
    pub(crate) notes: String,
}

impl<'a> Bench<'a> {
    pub(crate) fn new(request: &'a Request, machine: &'a Machine, work: &'a Work) -> Result<Self> {
        let subjects = request.runtimes.iter().map(|r| Subject::of(work, r)).collect::<Result<_>>()?;
        let gauge = Gauge { program: work.dir.join("gauge"), dir: work.dir.clone() };
        Ok(Self { request, machine, work, gauge, subjects, figures: Figures::default(), notes: String::new() })
    }

    /// The operations of a scenario.
    pub(crate) fn scenario(&mut self, scenario: Scenario) -> Result<()> {
        let lines = self.lines(scenario)?;
        let resident = self.residents(scenario)?;
        let outcome = self.rounds(scenario.title(), &lines);
        for subject in resident {
            subject.call(&["delete", "--force", "box"])?;
        }
        reap();
        outcome
    }

    /// A running container of each runtime, where an operation needs one.
    fn residents(&self, scenario: Scenario) -> Result<Vec<Subject>> {
        let others = if scenario == Scenario::Plain { &["exec", "state", "kill", "list"][..] } else { &["exec"] };
        if !others.iter().any(|operation| self.request.wants(operation)) {
            return Ok(Vec::new());
        }
        for subject in &self.subjects {
            let bundle = subject.bundle(self.work, scenario, "box", WAITS)?;
            subject.launch("box", &bundle)?;
        }
        Ok(self.subjects.clone())
    }

    fn lines(&self, scenario: Scenario) -> Result<Vec<Line>> {
        let mut lines = Vec::new();
        let words = |cgroups, program| floor(self.work, self.machine, scenario, cgroups, program);
        for (operation, label, program) in [("run", "run", TINY), ("busybox", "run busybox", BUSYBOX)] {
            if self.request.wants(operation) && scenario != Scenario::Seccomp {
                lines.push(Line::one(FLOOR, label, words(Some("floor"), program)));
                lines.push(Line::one("floor without cgroups", label, words(None, program)));
            }
        }
        if scenario == Scenario::Plain {
            lines.extend(self.floor_of_short());
        }
        for subject in &self.subjects {
            self.of_subject(subject, scenario, &mut lines)?;
        }
        Ok(lines)
    }

    /// The operations that only look, or send a signal, without the pauses, in which a processor goes to sleep.
    pub(crate) fn warm(&mut self) -> Result<()> {
        let mut lines = self.floor_of_short();
        for subject in &self.subjects {
            self.short(subject, &mut lines);
        }
        let resident = self.residents(Scenario::Plain)?;
        let outcome = self.rounds_after("without pauses", &lines, Duration::ZERO);
        for subject in resident {
            subject.call(&["delete", "--force", "box"])?;
        }
        reap();
        outcome
    }

    /// A process that ends at once: a command that asks the kernel for nothing.
    fn floor_of_short(&self) -> Vec<Line> {
        let wanted = SHORT.iter().filter(|(operation, ..)| self.request.wants(operation));
        let words = vec![self.work.dir.join("payload").display().to_string()];
        wanted.map(|(_, labels, _)| Line { subject: FLOOR.into(), labels, words: words.clone(), clean: None }).collect()
    }

    fn short(&self, subject: &Subject, lines: &mut Vec<Line>) {
        for (_, labels, words) in SHORT.iter().filter(|(operation, ..)| self.request.wants(operation)) {
            lines.push(Line { subject: subject.name.clone(), labels, words: subject.words(words), clean: None });
        }
    }

    fn of_subject(&self, subject: &Subject, scenario: Scenario, lines: &mut Vec<Line>) -> Result<()> {
        let wants = |operation| self.request.wants(operation);
        let mut add = |labels: &'static [&'static str], commands: &[&[&str]]| {
            lines.push(Line {
                subject: subject.clone().name,
                labels,
                words: subject.sequence(commands),
                clean: Some(subject.clone()),
            });
        };
        let bundle = |name, program| subject.bundle(self.work, scenario, name, program);
        if wants("run") {
            add(&["run"], &[&["run", "-b", &bundle("run", TINY)?, "run"]]);
        }
        if wants("busybox") {
            add(&["run busybox"], &[&["run", "-b", &bundle("busybox", BUSYBOX)?, "busybox"]]);
        }
        if wants("lifecycle") {
            let dir = bundle("life", TINY)?;
            add(
                &["create", "start", "", "delete", "create + start + delete"],
                &[&["create", "-b", &dir, "life"], &["start", "life"], &[WAIT], &["delete", "life"]],
            );
        }
        if wants("force") {
            let dir = bundle("force", WAITS)?;
            add(
                &["", "", "delete --force", "create + start + delete --force"],
                &[&["create", "-b", &dir, "force"], &["start", "force"], &["delete", "--force", "force"]],
            );
        }
        if wants("exec") {
            add(&["exec"], &[&["exec", "box", "/tiny"]]);
        }
        // The rest depends on the bundle in nothing.
        if scenario == Scenario::Plain {
            self.short(subject, lines);
        }
        Ok(())
    }

    /// Each line in each round; a round begins with another one each time. The first round warms up and is not counted.
    pub(crate) fn rounds(&mut self, scenario: &str, lines: &[Line]) -> Result<()> {
        self.rounds_after(scenario, lines, self.request.gap)
    }

    fn rounds_after(&mut self, scenario: &str, lines: &[Line], pause: Duration) -> Result<()> {
        for line in lines {
            for label in line.labels.iter().filter(|label| !label.is_empty()) {
                self.figures.begin(scenario, label, &line.subject);
            }
        }
        for round in 0..=self.request.rounds {
            for turn in 0..lines.len() {
                let line = &lines[(turn + round) % lines.len()];
                if let Some(subject) = &line.clean {
                    subject.forget_filters();
                }
                std::thread::sleep(pause);
                let samples = self.gauge.measure(&line.words)?;
                if round > 0 {
                    line.count(&samples, scenario, &mut self.figures);
                }
            }
        }
        Ok(())
    }
}

/// Commands that are measured together.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) subject: String,
    /// An operation for each command, and one more for all together; an empty one is not counted.
    pub(crate) labels: &'static [&'static str],
    pub(crate) words: Vec<String>,
    /// Whose filters are forgotten before each run.
    pub(crate) clean: Option<Subject>,
}

impl Line {
    pub(crate) fn one(subject: &str, label: &'static str, words: Vec<String>) -> Self {
        let labels: &'static [&'static str] = match label {
            "run" => &["run"],
            "run busybox" => &["run busybox"],
            _ => &["list"],
        };
        Self { subject: subject.into(), labels, words, clean: None }
    }

    fn count(&self, samples: &[Sample], scenario: &str, figures: &mut Figures) {
        let all = samples.iter().copied().fold(Sample::default(), Sample::and);
        for (label, sample) in self.labels.iter().zip(samples.iter().copied().chain([all])) {
            if !label.is_empty() {
                figures.add(scenario, label, &self.subject, sample);
            }
        }
    }
}

/// Takes leave of the containers that have ended.
pub(crate) fn reap() {
    use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
    while let Ok(status) = waitpid(None, Some(WaitPidFlag::WNOHANG)) {
        if status == WaitStatus::StillAlive {
            break;
        }
    }
}
