//! Results, for people and for machines.

mod json;
mod junit;
mod markdown;
mod tap;
mod text;

pub(crate) use json::{RuntimeResult, parse};
pub(crate) use text::Progress;

use crate::runner::{Outcome, Verdict};
use anyhow::Result;
use std::io::Write;
use std::path::Path;

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    Text,
    Tap,
    Junit,
    Json,
    Markdown,
}

pub(crate) fn write(format: Format, runtime: &Path, outcomes: &[Outcome], complaints: &[String]) -> Result<()> {
    let body = match format {
        Format::Text => text::body(outcomes),
        Format::Tap => tap::body(outcomes),
        Format::Junit => junit::body(runtime, outcomes),
        Format::Json => json::body(runtime, outcomes)?,
        Format::Markdown => markdown::body(runtime, outcomes),
    };
    let mut tail: String = complaints.iter().map(|complaint| format!("{complaint}\n")).collect();
    tail.push_str(&summary(outcomes));
    let mut stdout = std::io::stdout().lock();
    match format {
        // A parser must not meet the summary.
        Format::Junit | Format::Json => {
            writeln!(stdout, "{body}")?;
            eprintln!("{tail}");
        }
        Format::Tap => {
            let comments: String = tail.lines().map(|line| format!("# {line}\n")).collect();
            write!(stdout, "{body}{comments}")?;
            eprintln!("{}", summary(outcomes));
        }
        Format::Text | Format::Markdown => writeln!(stdout, "{body}{tail}")?,
    }
    Ok(())
}

fn summary(outcomes: &[Outcome]) -> String {
    let count = |wanted: fn(&Verdict) -> bool| outcomes.iter().filter(|o| wanted(&o.verdict)).count();
    format!(
        "{} passed, {} failed, {} skipped",
        count(|v| matches!(v, Verdict::Passed)),
        count(|v| matches!(v, Verdict::Failed(_))),
        count(|v| matches!(v, Verdict::Skipped(_)))
    )
}
