//! Several runtimes side by side: each is tried by a run of its own, so that each has its own mount namespace.

use crate::case::Case;
use crate::command::{Common, CompareOptions};
use crate::output::{RuntimeResult, parse};
use anyhow::{Context, Result, ensure};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

pub(crate) fn command(options: &CompareOptions) -> Result<ExitCode> {
    let columns: Vec<(String, RuntimeResult)> =
        options.runtimes.iter().map(|runtime| column(runtime, &options.common)).collect::<Result<_>>()?;
    let (names, results): (Vec<String>, Vec<RuntimeResult>) = columns.into_iter().unzip();
    print!("{}\n{}{}", groups(&names, &results), cases(&names, &results, options.all), reasons(&names, &results));
    Ok(ExitCode::SUCCESS)
}

/// A runtime's name and results: of a run now, or what an earlier run wrote as JSON.
fn column(runtime: &Path, common: &Common) -> Result<(String, RuntimeResult)> {
    if runtime.extension().is_none_or(|extension| extension != "json") {
        return Ok((name(runtime), results(runtime, common, None)?));
    }
    let text = std::fs::read_to_string(runtime).with_context(|| format!("read {}", runtime.display()))?;
    let (name, mut result) = parse(&text).with_context(|| runtime.display().to_string())?;
    let chosen: BTreeSet<String> = crate::cases::selected(&common.filter).iter().map(Case::id).collect();
    result.retain(|case, _| chosen.contains(case));
    Ok((name, result))
}

/// `runc 1.1.5`: the first line of what `--version` says, or the file's name.
pub(crate) fn name(runtime: &Path) -> String {
    let file = runtime.file_name().unwrap_or(runtime.as_os_str()).to_string_lossy().into_owned();
    let output = Command::new(runtime).arg("--version").output().map(|output| output.stdout).unwrap_or_default();
    let text = String::from_utf8_lossy(&output);
    text.lines().next().map_or(file, |line| line.replace(" version ", " "))
}

/// What a run of its own says of the runtime, or of a defect of it.
pub(crate) fn results(runtime: &Path, common: &Common, defect: Option<&str>) -> Result<RuntimeResult> {
    eprintln!("trying {} {}", runtime.display(), defect.unwrap_or_default());
    let mut run = Command::new(std::env::current_exe()?);
    run.arg("run").arg("--runtime").arg(runtime).args(["--output", "json"]).stderr(Stdio::inherit());
    for filter in &common.filter {
        run.args(["--filter", filter]);
    }
    if let Some(jobs) = common.jobs {
        run.args(["--jobs", &jobs.to_string()]);
    }
    if let Some(manager) = &common.cgroup_manager {
        run.args(["--cgroup-manager", manager]);
    }
    for (flag, set) in [("--systemd", common.systemd), ("--rootless", common.rootless), ("--v1-only", common.v1_only)] {
        run.args(set.then_some(flag));
    }
    run.args(["--patience", &common.patience.to_string()]);
    if let Some(defect) = defect {
        run.args(["--defect", defect]);
    }
    for option in &common.runtime_option {
        run.arg(format!("--runtime-option={option}"));
    }
    let output = run.output().context("run the suite")?;
    ensure!(output.status.code().is_some_and(|code| code < 2), "the run against {} broke off", runtime.display());
    Ok(parse(&String::from_utf8_lossy(&output.stdout))?.1)
}

fn head(first: &str, names: &[String]) -> String {
    format!("| {first} | {} |\n|{}\n", names.join(" | "), " --- |".repeat(names.len() + 1))
}

/// A Markdown table with a row of counts for each group of cases.
fn groups(names: &[String], results: &[RuntimeResult]) -> String {
    let group = |case: &str| case.split('/').next().unwrap_or_default().to_owned();
    let all: BTreeSet<String> = results.iter().flat_map(RuntimeResult::keys).map(|case| group(case)).collect();
    let cell = |result: &RuntimeResult, near: &dyn Fn(&str) -> bool| {
        let count =
            |word: &str| result.iter().filter(|(case, (verdict, _))| near(case) && verdict == word).count().to_string();
        let rest = ["failed", "skipped"].map(|word| (count(word), word));
        rest.iter().filter(|(n, _)| n != "0").fold(count("passed"), |text, (n, word)| format!("{text}, {n} {word}"))
    };
    let row = |title: &str, near: &dyn Fn(&str) -> bool| {
        format!("| {title} | {} |\n", results.iter().map(|r| cell(r, near)).collect::<Vec<_>>().join(" | "))
    };
    let rows: String = all.iter().map(|name| row(name, &|case| group(case) == *name)).collect();
    head("passed", names) + &rows + &row("**all**", &|_| true)
}

/// A Markdown table with a row for each case; without `all`, of those that somebody did not pass.
fn cases(names: &[String], results: &[RuntimeResult], all: bool) -> String {
    let every: BTreeSet<&String> = results.iter().flat_map(RuntimeResult::keys).collect();
    let mut text = head("case", names);
    for case in every {
        let verdicts = results.iter().map(|result| result.get(case).map_or("-", |(verdict, _)| verdict.as_str()));
        let cells: Vec<&str> = verdicts.map(|word| if word == "failed" { "**failed**" } else { word }).collect();
        if all || cells.iter().any(|cell| *cell != "passed") {
            text += &format!("| {case} | {} |\n", cells.join(" | "));
        }
    }
    text
}

/// What failed, and why.
fn reasons(names: &[String], results: &[RuntimeResult]) -> String {
    let mut text = String::new();
    for (name, result) in names.iter().zip(results) {
        let failed: Vec<_> = result.iter().filter(|(_, (verdict, _))| verdict == "failed").collect();
        if !failed.is_empty() {
            text += &format!("\n## {name}\n\n");
        }
        for (case, (_, reason)) in failed {
            text += &format!("- `{case}`: {reason}\n");
        }
    }
    text
}
