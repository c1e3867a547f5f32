//! The Test Anything Protocol.

use crate::runner::{Outcome, Verdict};

pub(super) fn body(outcomes: &[Outcome]) -> String {
    let mut body = format!("TAP version 13\n1..{}\n", outcomes.len());
    for (number, outcome) in outcomes.iter().enumerate() {
        let (number, id) = (number + 1, outcome.case.id());
        body += &match &outcome.verdict {
            Verdict::Passed => format!("ok {number} - {id}\n"),
            Verdict::Skipped(reason) => format!("ok {number} - {id} # SKIP {reason}\n"),
            Verdict::Failed(reason) => {
                // A string of JSON is one of YAML.
                format!("not ok {number} - {id}\n  ---\n  message: {}\n  ...\n", serde_json::json!(reason))
            }
        };
    }
    body
}
