//! Where the time of `run` goes: orlop's steps, as its trace has them, and the floor's.

use crate::bundle::Scenario;
use crate::figures::FLOOR;
use crate::subject::{TINY, floor};
use crate::suite::Bench;
use anyhow::{Context, Result};
use serde_json::Value;
use std::fmt::Write as _;
use std::fs;
use std::process::{Command, Stdio};

/// What each step took, by process and name, in the order of the first run.
#[derive(Debug, Default)]
struct Steps(Vec<(String, String, Vec<f64>)>);

impl Steps {
    fn add(&mut self, who: &str, step: &str, microseconds: f64) {
        match self.0.iter_mut().find(|(w, s, _)| w == who && s == step) {
            Some((.., all)) => all.push(microseconds),
            None => self.0.push((who.into(), step.into(), vec![microseconds])),
        }
    }
}

impl Bench<'_> {
    /// A table of medians.
    pub(crate) fn steps(&mut self) -> Result<()> {
        let mut steps = Steps::default();
        for _ in 0..self.request.rounds {
            std::thread::sleep(self.request.gap);
            self.trace_orlop(&mut steps)?;
            std::thread::sleep(self.request.gap);
            self.time_floor(&mut steps)?;
        }
        let mut table = String::from(
            "\n### where the time of `run` goes\n\nThe processes run side by side: what the runtime does while it answers the \
             process is no time of its own. The init image's part (confinement, the program, its end) is in the last step of \
             the container's process, which ends when the runtime has seen the end.\n\n| process | step | us |\n| --- | --- | --- |\n",
        );
        steps.0.sort_by_key(|(who, ..)| who.starts_with(FLOOR));
        for (who, step, times) in &mut steps.0 {
            times.sort_unstable_by(f64::total_cmp);
            let _ = writeln!(table, "| {who} | {step} | {:.0} |", times[times.len() / 2]);
        }
        self.notes += &table;
        Ok(())
    }

    fn trace_orlop(&self, steps: &mut Steps) -> Result<()> {
        let Some(subject) = self.subjects.iter().find(|s| s.name == "orlop") else { return Ok(()) };
        let file = self.work.dir.join("trace.json");
        let _ = fs::remove_file(&file);
        let bundle = subject.bundle(self.work, Scenario::Plain, "steps", TINY)?;
        subject.call(&["--trace", &file.display().to_string(), "run", "-b", &bundle, "steps"])?;
        let events: Vec<Value> = serde_json::from_slice(&fs::read(&file)?)?;
        let of =
            |tid: &Value| events.iter().filter(|e| e["tid"] == *tid && e["ph"] != "i").cloned().collect::<Vec<_>>();
        let ended = events.iter().find(|e| e["name"] == "remove the container").context("no end in the trace")?;
        for line in events.iter().filter(|e| e["name"] == "thread_name") {
            let who = format!("orlop, {}", line["args"]["name"].as_str().unwrap_or_default());
            let own = of(&line["tid"]);
            for (number, event) in own.iter().enumerate().filter(|(_, e)| e["ph"] == "B") {
                let time = |e: &Value| e["ts"].as_f64().unwrap_or_default();
                let end = own.get(number + 1).map_or(time(ended), time);
                steps.add(&who, event["name"].as_str().unwrap_or_default(), end - time(event));
            }
        }
        Ok(())
    }

    fn time_floor(&self, steps: &mut Steps) -> Result<()> {
        let mut words = floor(self.work, self.machine, Scenario::Plain, Some("floor"), TINY);
        words.insert(2, "-t".into());
        let output = Command::new(&words[0]).args(&words[1..]).stdin(Stdio::null()).output()?;
        for line in String::from_utf8_lossy(&output.stdout).lines() {
            let (time, step) = line.split_once(' ').context("what does the floor say?")?;
            steps.add(FLOOR, step, time.parse::<f64>()? / 1e3);
        }
        Ok(())
    }
}
