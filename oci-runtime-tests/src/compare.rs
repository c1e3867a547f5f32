//! Several runtimes side by side: each is tried by a run of its own, so that each has its own mount namespace.

use crate::command::{Common, CompareOptions};
use crate::output::{RuntimeResult, parse};
use anyhow::{Context, Result, ensure};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

pub(crate) fn command(options: &CompareOptions) -> Result<ExitCode> {
    let results: Vec<RuntimeResult> =
        options.runtimes.iter().map(|runtime| results(runtime, &options.common, None)).collect::<Result<_>>()?;
    print!("{}", table(&options.runtimes.iter().map(|p| name(p)).collect::<Vec<_>>(), &results));
    Ok(ExitCode::SUCCESS)
}

fn name(runtime: &Path) -> String {
    runtime.file_name().unwrap_or(runtime.as_os_str()).to_string_lossy().into_owned()
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
    parse(&String::from_utf8_lossy(&output.stdout))
}

/// A Markdown table: a row for each case, then what failed and why.
fn table(names: &[String], results: &[RuntimeResult]) -> String {
    let cases: BTreeSet<&String> = results.iter().flat_map(RuntimeResult::keys).collect();
    let mut text = format!("| case | {} |\n|{}\n", names.join(" | "), " --- |".repeat(names.len() + 1));
    for case in &cases {
        let cell = |result: &RuntimeResult| match result.get(*case).map(|(verdict, _)| verdict.as_str()) {
            Some("failed") => "**failed**".to_owned(),
            Some(verdict) => verdict.to_owned(),
            None => "-".to_owned(),
        };
        text += &format!("| {case} | {} |\n", results.iter().map(cell).collect::<Vec<_>>().join(" | "));
    }
    let count = |result: &RuntimeResult, word: &str| result.values().filter(|(verdict, _)| verdict == word).count();
    for word in ["passed", "failed", "skipped"] {
        let counts: Vec<String> = results.iter().map(|r| count(r, word).to_string()).collect();
        text += &format!("| **{word}** | {} |\n", counts.join(" | "));
    }
    for (name, result) in names.iter().zip(results) {
        text += &format!("\n## {name}\n\n");
        for (case, (verdict, reason)) in result {
            if verdict == "failed" {
                text += &format!("- `{case}`: {reason}\n");
            }
        }
    }
    text
}
