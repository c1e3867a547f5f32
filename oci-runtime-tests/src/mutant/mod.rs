//! Defects, to see whether the suite finds them: the suite itself stands before a runtime and spoils what goes through.

mod config;
mod host;
mod linux;
mod operation;
mod record;

use crate::case::Case;
use crate::command::{Common, MutateOptions};
use crate::compare;
use crate::{cases, output::RuntimeResult};
use anyhow::{Context, Result, bail};
use record::Record;
use std::collections::BTreeMap;
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
    all.extend(linux::defects());
    all.extend(operation::defects());
    all.extend(host::defects());
    all
}

/// `mutant DEFECT RUNTIME ARGS...`: the runtime with the defect.
pub(crate) fn stand_in(words: &[OsString]) -> Result<ExitCode> {
    let [name, path, args @ ..] = words else { bail!("mutant: a defect and a runtime are needed") };
    let real = Real { path, args };
    let defect = all().into_iter().find(|defect| *name == *defect.name).context("no such defect")?;
    let status = match defect.act {
        Act::Config(spoil) if real.operation() == "create" => config::create(&real, |_, config| spoil(config))?,
        Act::Config(_) => real.run()?,
        Act::Operation(act) => act(&real)?,
    };
    Ok(ExitCode::from(u8::try_from(status).unwrap_or(1)))
}

/// Runs the suite against the runtime with each defect; says what found it, and which cases never failed.
pub(crate) fn command(options: &MutateOptions) -> Result<ExitCode> {
    let mut record = match &options.record {
        Some(path) => Record::read(path)?,
        None => Record::default(),
    };
    let good = compare::results(&options.runtime, &options.common, None)?;
    for other in &options.also {
        let result = compare::results(other, &options.common, None)?;
        let place = format!("runtime {}", compare::name(other));
        failed(&result).filter(|case| good.contains_key(*case)).for_each(|case| record.add(case, &place));
    }
    let chosen = |defect: &Defect| {
        options.only.is_empty() || options.only.iter().any(|word| defect.name.contains(word.as_str()))
    };
    let (mut found, defects) = (0, all().into_iter().filter(chosen).collect::<Vec<_>>());
    println!("| defect | cases that find it | one of them |\n| --- | --- | --- |");
    for defect in &defects {
        let finders = finders(options, &good, defect, &mut record)?;
        found += usize::from(!finders.is_empty());
        let first = finders.first().map_or("**none**", String::as_str);
        println!("| {} | {} | {first} |", defect.name.replace('_', " "), finders.len());
        if let Some(path) = &options.record {
            record.write(path)?;
        }
    }
    let silent: Vec<&str> = passed(&good).filter(|case| !record.has(case)).collect();
    println!("\n{found} of {} defects found; {} cases never failed:", defects.len(), silent.len());
    for case in &silent {
        println!("- {case}");
    }
    Ok(if found == defects.len() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The cases that fail with the defect and pass without it. What has never failed before is tried once more, so that a
/// case that failed for want of time is not taken for one that can fail.
fn finders(options: &MutateOptions, good: &RuntimeResult, defect: &Defect, record: &mut Record) -> Result<Vec<String>> {
    let spoilt = with_defect(&options.runtime, &options.common, defect)?;
    let of = |result: &RuntimeResult| -> Vec<String> {
        failed(result).filter(|case| good.get(*case).is_some_and(|(v, _)| v == "passed")).map(str::to_owned).collect()
    };
    let finders = of(&spoilt);
    let fresh: Vec<String> = finders.iter().filter(|case| !record.has(case)).cloned().collect();
    if options.record.is_some() && !fresh.is_empty() {
        let again = Common { filter: fresh, ..options.common.clone() };
        let place = format!("defect {}", defect.name);
        of(&compare::results(&options.runtime, &again, Some(defect.name))?)
            .iter()
            .for_each(|case| record.add(case, &place));
    } else {
        finders.iter().for_each(|case| record.add(case, defect.name));
    }
    Ok(finders)
}

fn failed(result: &RuntimeResult) -> impl Iterator<Item = &str> {
    result.iter().filter(|(_, (verdict, _))| verdict == "failed").map(|(case, _)| case.as_str())
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
