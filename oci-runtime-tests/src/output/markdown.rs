//! A table for documents.

use crate::runner::{Outcome, Verdict};
use std::path::Path;

pub(super) fn body(runtime: &Path, outcomes: &[Outcome]) -> String {
    let mut body = format!("| case | {} | |\n| --- | --- | --- |\n", runtime.display());
    for outcome in outcomes {
        let (word, reason) = match &outcome.verdict {
            Verdict::Passed => ("passed", ""),
            Verdict::Failed(reason) => ("**failed**", reason.as_str()),
            Verdict::Skipped(reason) => ("skipped", reason.as_str()),
        };
        body += &format!("| {} | {word} | {} |\n", outcome.case.id(), reason.replace('|', "\\|"));
    }
    body + "\n"
}
