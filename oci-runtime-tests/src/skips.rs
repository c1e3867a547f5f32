//! The committed list of cases that are expected to be skipped on one kind of machine.

use crate::cases;
use crate::runner::{Outcome, Verdict};
use anyhow::{Context, Result};
use std::path::Path;

/// One case id per line; `#` starts a comment.
pub(crate) fn read(path: &Path) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    let entries = text.lines().map(|line| line.split('#').next().unwrap_or("").trim());
    Ok(entries.filter(|entry| !entry.is_empty()).map(str::to_owned).collect())
}

/// Skips that are not in the list, and entries that no longer skip.
pub(crate) fn complaints(list: &[String], outcomes: &[Outcome], filter: &[String]) -> Vec<String> {
    let mut complaints = Vec::new();
    for outcome in outcomes {
        let id = outcome.case.id();
        match (&outcome.verdict, list.contains(&id)) {
            (Verdict::Skipped(reason), false) => {
                complaints.push(format!("{id} was skipped, but is not in the list of skips: {reason}"));
            }
            (Verdict::Passed | Verdict::Failed(_), true) => {
                complaints.push(format!("{id} is in the list of skips, but ran"));
            }
            _ => {}
        }
    }
    let all: Vec<String> = cases::selected(&[]).iter().map(crate::case::Case::id).collect();
    if filter.is_empty() {
        let unknown = list.iter().filter(|entry| !all.contains(entry));
        complaints.extend(unknown.map(|entry| format!("the list of skips names {entry}, which is no case")));
    }
    complaints
}
