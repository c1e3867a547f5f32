//! Runs cases, several at a time.

use crate::bench::machine::Machine;
use crate::bench::trial::{Bench, Trial};
use crate::case::{Case, Skip};
use crate::command::{Common, RunOptions};
use crate::output::{self, Progress};
use crate::setup::Workplace;
use crate::{cases, skips};
use anyhow::{Context, Result, bail};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

pub(crate) enum Verdict {
    Passed,
    Failed(String),
    Skipped(String),
}

pub(crate) struct Outcome {
    pub(crate) case: Arc<Case>,
    pub(crate) verdict: Verdict,
    pub(crate) time: Duration,
}

pub(crate) fn command(options: &RunOptions) -> Result<ExitCode> {
    let expected = options.skips.as_deref().map(skips::read).transpose()?;
    let progress = Progress::new(options.output);
    let mut outcomes = run(&options.runtime, &options.common, |outcome, done, all| progress.show(outcome, done, all))?;
    progress.end();
    outcomes.sort_by_key(|outcome| outcome.case.id());
    let complaints =
        expected.map(|list| skips::complaints(&list, &outcomes, &options.common.filter)).unwrap_or_default();
    let failed = outcomes.iter().filter(|o| matches!(o.verdict, Verdict::Failed(_))).count();
    if 2 * failed > outcomes.len() && !options.common.v1_only && Machine::survey()?.is_hybrid() {
        eprintln!("hint: a runtime that refuses this machine's hybrid cgroup layout may work with --v1-only");
    }
    output::write(options.output, &options.runtime, &outcomes, &complaints)?;
    Ok(if failed > 0 || !complaints.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Runs the selected cases against one runtime.
pub(crate) fn run(runtime: &Path, common: &Common, show: impl Fn(&Outcome, usize, usize)) -> Result<Vec<Outcome>> {
    let selected: Vec<Arc<Case>> = cases::selected(&common.filter).into_iter().map(Arc::new).collect();
    if selected.is_empty() {
        bail!("no case fits the filter");
    }
    let workplace = Workplace::new(runtime, common).context("prepare the run")?;
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let jobs = common.jobs.unwrap_or(2 * processors).max(1);
    let next = AtomicUsize::new(0);
    let (send, receive) = mpsc::channel();
    let mut outcomes = Vec::new();
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            let (send, next, selected, bench) = (send.clone(), &next, &selected, &workplace.bench);
            scope.spawn(move || {
                while let Some(case) = selected.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if send.send(try_case(case, bench)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(send);
        for outcome in receive {
            show(&outcome, outcomes.len() + 1, selected.len());
            outcomes.push(outcome);
        }
    });
    Ok(outcomes)
}

fn try_case(case: &Arc<Case>, bench: &Arc<Bench>) -> Outcome {
    let start = Instant::now();
    let attempt = || {
        let trial = Trial::new(bench)?;
        (case.check)(&trial)
    };
    let verdict = match attempt() {
        Ok(()) => Verdict::Passed,
        Err(error) => match error.downcast_ref::<Skip>() {
            Some(Skip(reason)) => Verdict::Skipped(reason.clone()),
            None => Verdict::Failed(format!("{error:#}").replace('\n', " ")),
        },
    };
    Outcome { case: case.clone(), verdict, time: start.elapsed() }
}
