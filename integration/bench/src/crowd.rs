//! Several commands at a time, and commands beside containers that exist.

use crate::bundle::Scenario;
use crate::figures::FLOOR;
use crate::gauge::WAIT;
use crate::machine::PARENT;
use crate::subject::{Subject, TINY, WAITS, floor};
use crate::suite::{Bench, Line, reap};
use anyhow::Result;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::Pid;
use std::fs;

/// How many run at a time.
const CROWDS: [usize; 3] = [1, 2, 8];

/// How many containers are killed before they are waited for.
const BATCH: usize = 100;

impl Bench<'_> {
    /// `run`, 1, 2 and 8 at a time.
    pub(crate) fn parallel(&mut self) -> Result<()> {
        for crowd in CROWDS {
            let title = format!("{crowd} at a time");
            let mut lines: Vec<(String, Vec<Vec<String>>)> = Vec::new();
            let alone = |slot| floor(self.work, self.machine, Scenario::Plain, Some(&format!("floor-{slot}")), TINY);
            lines.push((FLOOR.into(), (0..crowd).map(alone).collect()));
            for subject in &self.subjects {
                let slots = (0..crowd).map(|slot| {
                    let name = format!("run-{slot}");
                    let bundle = subject.bundle(self.work, Scenario::Plain, &name, TINY)?;
                    Ok(subject.words(&["run", "-b", &bundle, &name]))
                });
                lines.push((subject.name.clone(), slots.collect::<Result<_>>()?));
            }
            for round in 0..=self.request.rounds {
                for turn in 0..lines.len() {
                    let (who, slots) = &lines[(turn + round) % lines.len()];
                    std::thread::sleep(self.request.gap);
                    let begun = slots.iter().enumerate().map(|(slot, words)| self.gauge.begin(words, slot));
                    for running in begun.collect::<Result<Vec<_>>>()? {
                        for sample in running.end()? {
                            if round > 0 {
                                self.figures.add(&title, "run", who, sample);
                            }
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Commands beside 0, 100 and 1,000 containers that run; one runtime after the other, for each has its own.
    pub(crate) fn existing(&mut self) -> Result<()> {
        let mut counts = self.request.existing.clone();
        counts.sort_unstable();
        for subject in self.subjects.clone() {
            let subject = subject.apart("existing")?;
            let mut made = 0;
            let mut outcome = Ok(());
            for count in &counts {
                outcome = (made..*count).try_for_each(|number| self.populate(&subject, number));
                made = *count;
                if outcome.is_err() {
                    break;
                }
                outcome = self.beside(&subject, *count);
            }
            self.disperse(&subject, made)?;
            outcome?;
        }
        Ok(())
    }

    fn populate(&self, subject: &Subject, number: usize) -> Result<()> {
        let bundle = subject.bundle(self.work, Scenario::Small, &resident(number), WAITS)?;
        subject.launch(&resident(number), &bundle)
    }

    fn beside(&mut self, subject: &Subject, count: usize) -> Result<()> {
        let title = format!("beside {count} running containers");
        let life = subject.bundle(self.work, Scenario::Plain, "life", TINY)?;
        let mut lines = vec![
            Line {
                subject: subject.name.clone(),
                labels: &["create", "start", "", "delete", "create + start + delete"],
                words: subject.sequence(&[
                    &["create", "-b", &life, "life"],
                    &["start", "life"],
                    &[WAIT],
                    &["delete", "life"],
                ]),
                clean: None,
            },
            Line { subject: subject.name.clone(), labels: &["list"], words: subject.words(&["list"]), clean: None },
        ];
        if count > 0 {
            let words = subject.words(&["state", &resident(count / 2)]);
            lines.push(Line { subject: subject.name.clone(), labels: &["state"], words, clean: None });
        }
        if subject.name == "orlop" {
            // What the kernel takes more of beside others is in the floor's figure too.
            let run = subject.bundle(self.work, Scenario::Plain, "run", TINY)?;
            let words = subject.words(&["run", "-b", &run, "run"]);
            lines.push(Line { subject: subject.name.clone(), labels: &["run"], words, clean: None });
            let words = floor(self.work, self.machine, Scenario::Plain, Some("floor"), TINY);
            lines.push(Line::one(FLOOR, "run", words));
        }
        if subject.name == "orlop" && count > 0 {
            // A loop in C over the same files.
            let freezers = self.machine.hierarchy("freezer").join(PARENT);
            let path = |path: std::path::PathBuf| path.display().to_string();
            let mut words = vec![path(self.work.dir.join("floor")), "list".into()];
            if let Some(tree) = &self.machine.unified {
                words.extend(["-u".into(), path(tree.clone())]);
            }
            words.extend(["-n".into(), subject.name.clone(), path(subject.root.clone()), path(freezers)]);
            lines.push(Line { subject: FLOOR.into(), labels: &["list"], words, clean: None });
        }
        self.rounds(&title, &lines)
    }

    /// Ends and removes the containers.
    fn disperse(&self, subject: &Subject, count: usize) -> Result<()> {
        let hierarchy = self.machine.hierarchy("pids").join(PARENT);
        for first in (0..count).step_by(BATCH) {
            for number in first..count.min(first + BATCH) {
                let cgroup = hierarchy.join(format!("{}-{}", subject.name, resident(number)));
                let processes = fs::read_to_string(cgroup.join("cgroup.procs")).unwrap_or_default();
                for pid in processes.lines().filter_map(|line| line.parse().ok()) {
                    let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
                    let _ = waitpid(Pid::from_raw(pid), None);
                }
            }
        }
        for number in 0..count {
            if subject.root.join(resident(number)).exists() {
                subject.call(&["delete", "--force", &resident(number)])?;
            }
        }
        reap();
        Ok(())
    }
}

fn resident(number: usize) -> String {
    format!("resident-{number}")
}
