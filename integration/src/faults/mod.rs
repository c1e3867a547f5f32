//! Each system call of the runtime's commands fails in turn. A command then fails with a message that names the cause, or
//! succeeds with a container that is protected and limited as ever; and nothing is left after `delete --force`.
//!
//! By default about twelve points of each command are tried, evenly spread, each with the likeliest error. `FAULTS=calls`
//! tries each call with its likeliest error, `FAULTS=sites` each place from which a call is made, `FAULTS=all` each call in
//! every way in which it may fail. `FAULTS_RANGE=FROM-TO` takes these calls alone. The companion's commands are tried where
//! `--only` names them.

mod commands;
pub(crate) mod errors;
mod image;
mod old;
pub(crate) mod picture;
mod trial;

use crate::Request;
use crate::kills::scene::Scene;
use crate::work::Work;
use anyhow::Result;
use commands::COMMANDS;
use integration::report::{Outcome, Report};
use integration::runtime;
use trial::Trial;

pub(crate) fn run(request: &Request) -> Result<bool> {
    nix::sys::prctl::set_child_subreaper(true)?;
    let work = Work::make()?;
    let mut report = Report::default();
    let runtime = runtime::find("orlop", &work.0)?;
    for command in COMMANDS {
        let is_named = request.only.as_ref().map(|text| command.name.contains(text.as_str()));
        if !is_named.unwrap_or_else(|| !commands::is_companions(command.words)) {
            continue;
        }
        if let Some(reason) = command.words.first().and_then(|word| without(word)) {
            report.add(
                "faults",
                &format!("each system call of {} fails", command.name),
                "orlop",
                Outcome::Skipped(reason),
            );
            continue;
        }
        let scene = Scene::make(&work.0, &runtime.path, command)?;
        let trial = Trial::new(&scene, command, &work.0);
        if old::is_tried(command) {
            let wrong = old::all(&trial)?;
            let outcome = if wrong.is_empty() { Outcome::Passed } else { Outcome::Failed(wrong.join("\n")) };
            report.add("faults", &format!("{} without newer system calls", command.name), "orlop", outcome);
        }
        let tried = trial.all()?;
        println!(
            "{}: {} of {} calls in {} ways: {} refused with the cause, {} succeeded unchanged, {} otherwise as argued",
            command.name, tried.points, tried.calls, tried.failures, tried.refused, tried.unchanged, tried.argued
        );
        let outcome = match tried.wrong.is_empty() {
            true => Outcome::Passed,
            false => Outcome::Failed(tried.wrong.join("\n")),
        };
        report.add("faults", &format!("each system call of {} fails", command.name), "orlop", outcome);
    }
    Ok(report.close())
}

/// Why a command cannot be tried here.
fn without(word: &str) -> Option<String> {
    let is_with_criu = matches!(word, "checkpoint" | "restore");
    (is_with_criu && Scene::criu().is_none()).then(|| "there is no CRIU (make checkpoint fetches it)".to_owned())
}
