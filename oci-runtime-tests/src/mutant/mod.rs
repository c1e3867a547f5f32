//! Defects, to see whether the suite finds them: the suite itself stands before a runtime and spoils what goes through.

mod config;
mod operation;

use crate::case::Case;
use crate::command::{Common, MutateOptions};
use crate::compare;
use crate::{cases, output::RuntimeResult};
use anyhow::{Context, Result, bail};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, ExitCode};

/// Changes a config before `create` sees it.
type Spoil = fn(&mut serde_json::Value);

pub(crate) struct Defect {
    pub(crate) name: &'static str,
    /// Groups of cases that can notice it; all when empty.
    groups: &'static [&'static str],
    act: Act,
}

enum Act {
    Config(Spoil),
    Operation(fn(&Real<'_>) -> Result<i32>),
}

/// The runtime behind, and what it was asked.
struct Real<'a> {
    path: &'a OsString,
    args: &'a [OsString],
}

impl Real<'_> {
    fn words(&self) -> Vec<String> {
        self.args.iter().map(|arg| arg.to_string_lossy().into_owned()).collect()
    }

    fn operation(&self) -> String {
        let words = self.words();
        let known = ["state", "create", "start", "kill", "delete", "features"];
        words.into_iter().find(|word| known.contains(&word.as_str())).unwrap_or_default()
    }

    fn command(&self) -> Command {
        let mut command = Command::new(self.path);
        command.args(self.args);
        command
    }

    fn run(&self) -> Result<i32> {
        Ok(self.command().status().context("run the runtime")?.code().unwrap_or(1))
    }

    /// Another operation on the same container: the global options and the id stay.
    fn also(&self, operation: &str, more: &[&str]) -> Result<i32> {
        let words = self.words();
        let at = words.iter().position(|word| *word == self.operation()).unwrap_or(0);
        let id = words.iter().skip(at + 1).rfind(|word| word.starts_with("ort-")).cloned().unwrap_or_default();
        let mut command = Command::new(self.path);
        command.args(&self.args[..at]).arg(operation).arg(id).args(more);
        Ok(command.status()?.code().unwrap_or(1))
    }
}

fn all() -> Vec<Defect> {
    let mut all = config::defects();
    all.extend(operation::defects());
    all
}

/// `mutant DEFECT RUNTIME ARGS...`: the runtime with the defect.
pub(crate) fn stand_in(words: &[OsString]) -> Result<ExitCode> {
    let [name, path, args @ ..] = words else { bail!("mutant: a defect and a runtime are needed") };
    let real = Real { path, args };
    let defect = all().into_iter().find(|defect| *name == *defect.name).context("no such defect")?;
    let status = match defect.act {
        Act::Config(spoil) if real.operation() == "create" => config::create(&real, spoil)?,
        Act::Config(_) => real.run()?,
        Act::Operation(act) => act(&real)?,
    };
    Ok(ExitCode::from(u8::try_from(status).unwrap_or(1)))
}

/// Runs the suite against the runtime with each defect; says what found it, and which cases never failed.
pub(crate) fn command(options: &MutateOptions) -> Result<ExitCode> {
    let good = compare::results(&options.runtime, &options.common, None)?;
    let mut silent: BTreeSet<String> = passed(&good).map(str::to_owned).collect();
    for other in &options.also {
        let result = compare::results(other, &options.common, None)?;
        silent.retain(|case| result.get(case).is_none_or(|(verdict, _)| verdict != "failed"));
    }
    let chosen = |defect: &Defect| {
        options.only.is_empty() || options.only.iter().any(|word| defect.name.contains(word.as_str()))
    };
    let (mut found, defects) = (0, all().into_iter().filter(chosen).collect::<Vec<_>>());
    println!("| defect | cases that find it | one of them |\n| --- | --- | --- |");
    for defect in &defects {
        let spoilt = with_defect(&options.runtime, &options.common, defect)?;
        let finders: Vec<&str> =
            passed(&good).filter(|case| spoilt.get(*case).is_some_and(|(verdict, _)| verdict == "failed")).collect();
        found += usize::from(!finders.is_empty());
        println!(
            "| {} | {} | {} |",
            defect.name.replace('_', " "),
            finders.len(),
            finders.first().unwrap_or(&"**none**")
        );
        silent.retain(|case| !finders.contains(&case.as_str()));
    }
    println!("\n{found} of {} defects found; {} cases never failed:", defects.len(), silent.len());
    for case in &silent {
        println!("- {case}");
    }
    Ok(if found == defects.len() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn passed(result: &RuntimeResult) -> impl Iterator<Item = &str> {
    result.iter().filter(|(_, (verdict, _))| verdict == "passed").map(|(case, _)| case.as_str())
}

fn with_defect(runtime: &Path, common: &Common, defect: &Defect) -> Result<RuntimeResult> {
    let mut common = common.clone();
    if common.filter.is_empty() {
        common.filter = defect.groups.iter().map(|group| format!("{group}/")).collect();
    } else {
        let chosen: Vec<Case> = cases::selected(&common.filter);
        let near = |case: &Case| defect.groups.is_empty() || defect.groups.contains(&case.group);
        common.filter = chosen.iter().filter(|case| near(case)).map(Case::id).collect();
        if common.filter.is_empty() {
            return Ok(BTreeMap::new());
        }
    }
    compare::results(runtime, &common, Some(defect.name))
}
