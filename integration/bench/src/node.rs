//! A node with many containers: made, looked at, probed and stopped, several at a time.

use crate::bundle::Scenario;
use crate::machine::PARENT;
use crate::subject::{Subject, TINY, WAITS};
use crate::suite::{Bench, reap};
use anyhow::{Context, Result};
use nix::sys::wait::waitpid;
use nix::unistd::Pid;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// How many commands an engine has under way.
const ABREAST: usize = 8;
/// Probes of a second, and for how many seconds.
const PROBES: u32 = 100;
const SECONDS: u32 = 10;
/// Probes that are under way at most: those behind them are late, and that is counted.
const PENDING: usize = 64;
/// How often the container restarts that ends at once.
const RESTARTS: usize = 100;

/// Rows of the table, each with a cell for a runtime.
type Rows = Vec<(String, String)>;

impl Bench<'_> {
    /// The same steps with each runtime, one after the other.
    pub(crate) fn node(&mut self) -> Result<()> {
        let mut columns = Vec::new();
        for subject in self.subjects.clone() {
            let subject = subject.apart("node")?;
            let rows = self.steps_of_node(&subject);
            self.remove_node(&subject)?;
            columns.push((subject.name.clone(), rows?));
        }
        let count = self.request.containers;
        let names: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
        let _ = writeln!(self.notes, "\n## A node with {count} containers\n\n| step | {} |", names.join(" | "));
        let _ = writeln!(self.notes, "| --- |{}", " --- |".repeat(names.len()));
        for (number, (step, _)) in
            columns.first().map(|(_, rows)| rows.as_slice()).unwrap_or_default().iter().enumerate()
        {
            let cells: Vec<&str> = columns.iter().map(|(_, rows)| rows[number].1.as_str()).collect();
            let _ = writeln!(self.notes, "| {step} | {} |", cells.join(" | "));
        }
        Ok(())
    }

    fn steps_of_node(&self, subject: &Subject) -> Result<Rows> {
        let count = self.request.containers;
        let mut rows = Rows::new();
        let bundles: Vec<String> = (0..count)
            .map(|number| subject.bundle(self.work, Scenario::Node, &id(number), WAITS))
            .collect::<Result<_>>()?;
        let begun = Instant::now();
        let took = abreast(count, |n| subject.call_by(n, &["create", "-b", &bundles[n], &id(n)]))?;
        rows.push(("create, 8 at a time".into(), rate(count, begun)));
        rows.push((QUANTILES.into(), quantiles(&took)));
        let tenth = (count / 10).max(1);
        let growth = format!("{} / {}", milliseconds(&took[..tenth], 50.), milliseconds(&took[count - tenth..], 50.));
        rows.push(("- median of the first and of the last tenth (ms)".into(), growth));
        rows.push(("memory charged to a created container (KiB)".into(), self.charge(subject, count)?));
        rows.push(("- of its process alone, proportional (KiB)".into(), self.proportional(subject, count)?));
        let begun = Instant::now();
        let took = abreast(count, |n| subject.call_by(n, &["start", &id(n)]))?;
        rows.push(("start, 8 at a time".into(), rate(count, begun)));
        rows.push((QUANTILES.into(), quantiles(&took)));
        rows.push(("memory charged to a running container (KiB)".into(), self.charge(subject, count)?));
        let took = (0..5).map(|_| timed(|| subject.call_by(0, &["list"]))).collect::<Result<Vec<_>>>()?;
        rows.push((format!("`list` of {count} (ms)"), milliseconds(&took, 50.)));
        let took = (0..count.min(100)).map(|n| timed(|| subject.call_by(0, &["events", "--stats", &id(n)])));
        let cell = took.collect::<Result<Vec<_>>>().map_or("-".into(), |took| milliseconds(&took, 50.));
        rows.push(("`events --stats` (ms)".into(), cell));
        let (took, failed) = probes(subject, count);
        rows.push((format!("exec, {PROBES}/s for {SECONDS} s: p50 / p99 / p99.9 / longest (ms)"), tail(&took)));
        rows.push(("- failed".into(), failed.to_string()));
        let took = self.restarts(subject)?;
        let (first, last) = (&took[..10], &took[RESTARTS - 10..]);
        let cell = format!("{} / {}", milliseconds(first, 50.), milliseconds(last, 50.));
        rows.push((
            format!("a container that ends at once, {RESTARTS} times: median of the first 10 and the last (ms)"),
            cell,
        ));
        let begun = Instant::now();
        let took = abreast(count, |n| self.stop(subject, n))?;
        rows.push(("kill, its end, delete; 8 at a time".into(), rate(count, begun)));
        rows.push((QUANTILES.into(), quantiles(&took)));
        Ok(rows)
    }

    fn cgroup(&self, controller: &str, subject: &Subject, name: &str) -> PathBuf {
        self.machine.hierarchy(controller).join(PARENT).join(format!("{}-{name}", subject.name))
    }

    /// The processes of a container, which are this program's children once the runtime has ended.
    fn processes(&self, subject: &Subject, name: &str) -> Vec<Pid> {
        let text = fs::read_to_string(self.cgroup("pids", subject, name).join("cgroup.procs")).unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).map(Pid::from_raw).collect()
    }

    /// The mean charge of a container's memory cgroup.
    fn charge(&self, subject: &Subject, count: usize) -> Result<String> {
        let file = if self.machine.unified.is_some() { "memory.current" } else { "memory.usage_in_bytes" };
        let mut sum = 0;
        for number in 0..count {
            let path = self.cgroup("memory", subject, &id(number)).join(file);
            let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
            sum += text.trim().parse::<u64>()?;
        }
        Ok((sum / 1024 / count as u64).to_string())
    }

    fn proportional(&self, subject: &Subject, count: usize) -> Result<String> {
        let (mut sum, mut processes) = (0, 0);
        for pid in (0..count).step_by(10).flat_map(|number| self.processes(subject, &id(number))) {
            let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
            let line = text.lines().find_map(|line| line.strip_prefix("Pss:")).context("Pss")?;
            sum += line.trim().trim_end_matches(" kB").parse::<u64>()?;
            processes += 1;
        }
        Ok((sum / processes.max(1)).to_string())
    }

    /// One container that ends as soon as it is started, made anew each time.
    fn restarts(&self, subject: &Subject) -> Result<Vec<Duration>> {
        let bundle = subject.bundle(self.work, Scenario::Node, "crashes", TINY)?;
        let once = || {
            subject.call_by(0, &["create", "-b", &bundle, "crashes"])?;
            let processes = self.processes(subject, "crashes");
            subject.call_by(0, &["start", "crashes"])?;
            wait_for(&processes);
            subject.call_by(0, &["delete", "crashes"])
        };
        (0..RESTARTS).map(|_| timed(once)).collect()
    }

    fn stop(&self, subject: &Subject, number: usize) -> Result<()> {
        let processes = self.processes(subject, &id(number));
        subject.call_by(number, &["kill", &id(number), "KILL"])?;
        wait_for(&processes);
        subject.call_by(number, &["delete", &id(number)])
    }

    /// What a step that failed has left.
    fn remove_node(&self, subject: &Subject) -> Result<()> {
        for name in (0..self.request.containers).map(id).chain(["crashes".into()]) {
            if subject.root.join(&name).exists() {
                subject.call(&["delete", "--force", &name])?;
            }
        }
        reap();
        Ok(())
    }
}

const QUANTILES: &str = "- p50 / p99 / longest (ms)";

fn id(number: usize) -> String {
    format!("node-{number}")
}

fn wait_for(processes: &[Pid]) {
    for pid in processes {
        let _ = waitpid(*pid, None);
    }
}

fn timed(step: impl FnOnce() -> Result<()>) -> Result<Duration> {
    let begun = Instant::now();
    step()?;
    Ok(begun.elapsed())
}

/// Takes each number once, eight at a time; how long each took, in their order.
fn abreast(count: usize, step: impl Fn(usize) -> Result<()> + Sync) -> Result<Vec<Duration>> {
    let (next, took) = (AtomicUsize::new(0), Mutex::new(vec![Duration::ZERO; count]));
    let work = || -> Result<()> {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                return Ok(());
            }
            let one = timed(|| step(number))?;
            if let Ok(mut took) = took.lock() {
                took[number] = one;
            }
        }
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..ABREAST).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().unwrap_or(Ok(())))
    })?;
    took.into_inner().map_err(|_| anyhow::anyhow!("a worker has panicked"))
}

/// Execs, each begun at its own time however long the others take; counted from that time, and how many failed.
fn probes(subject: &Subject, count: usize) -> (Vec<Duration>, usize) {
    let (took, failed, next) = (Mutex::new(Vec::new()), AtomicUsize::new(0), AtomicU32::new(0));
    let begun = Instant::now();
    let work = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= PROBES * SECONDS {
                return;
            }
            let due = begun + Duration::from_secs(1) / PROBES * number;
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            let target = id(number as usize * 7 % count);
            match subject.call_by(number as usize, &["exec", &target, "/tiny"]) {
                Ok(()) => took.lock().map(|mut took| took.push(due.elapsed())).unwrap_or(()),
                Err(_) => _ = failed.fetch_add(1, Ordering::Relaxed),
            }
        }
    };
    std::thread::scope(|scope| (0..PENDING).for_each(|_| _ = scope.spawn(work)));
    (took.into_inner().unwrap_or_default(), failed.into_inner())
}

fn rate(count: usize, begun: Instant) -> String {
    format!("{:.0}/s", count as f64 / begun.elapsed().as_secs_f64())
}

fn milliseconds(took: &[Duration], percent: f64) -> String {
    let mut sorted = took.to_vec();
    sorted.sort_unstable();
    let last = sorted.len().saturating_sub(1);
    let place = (sorted.len() as f64 * percent / 100.) as usize;
    sorted.get(place.min(last)).map_or("-".into(), |one| format!("{:.1}", one.as_secs_f64() * 1000.))
}

fn quantiles(took: &[Duration]) -> String {
    [50., 99., 100.].map(|percent| milliseconds(took, percent)).join(" / ")
}

fn tail(took: &[Duration]) -> String {
    [50., 99., 99.9, 100.].map(|percent| milliseconds(took, percent)).join(" / ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_of_the_sorted_times() {
        let took: Vec<Duration> = (1..=1000).rev().map(Duration::from_millis).collect();
        assert_eq!(tail(&took), "501.0 / 991.0 / 1000.0 / 1000.0");
        assert_eq!(quantiles(&[]), "- / - / -");
    }

    #[test]
    fn each_number_is_taken_once_and_an_error_ends_it() {
        let seen = AtomicUsize::new(0);
        let took = abreast(100, |_| Ok(_ = seen.fetch_add(1, Ordering::Relaxed))).unwrap();
        assert_eq!((took.len(), seen.into_inner()), (100, 100));
        let error = abreast(100, |number| if number == 50 { anyhow::bail!("the fiftieth") } else { Ok(()) });
        assert!(error.unwrap_err().to_string().contains("the fiftieth"));
    }
}
