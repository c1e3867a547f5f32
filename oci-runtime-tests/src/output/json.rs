//! For programs, `compare` among them.

use crate::runner::{Outcome, Verdict};
use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;

pub(super) fn body(runtime: &Path, outcomes: &[Outcome]) -> Result<String> {
    let case = |outcome: &Outcome| {
        let (verdict, reason) = match &outcome.verdict {
            Verdict::Passed => ("passed", None),
            Verdict::Failed(reason) => ("failed", Some(reason)),
            Verdict::Skipped(reason) => ("skipped", Some(reason)),
        };
        json!({
            "case": outcome.case.id(),
            "clauses": outcome.case.clauses,
            "verdict": verdict,
            "reason": reason,
            "milliseconds": u64::try_from(outcome.time.as_millis()).unwrap_or(u64::MAX),
        })
    };
    let cases: Vec<Value> = outcomes.iter().map(case).collect();
    Ok(serde_json::to_string_pretty(
        &json!({"runtime": runtime, "name": crate::compare::name(runtime), "cases": cases}),
    )?)
}

/// Case id to verdict and reason.
pub(crate) type RuntimeResult = BTreeMap<String, (String, String)>;

/// The runtime's name, and what the run said of it.
pub(crate) fn parse(text: &str) -> Result<(String, RuntimeResult)> {
    let value: Value = serde_json::from_str(text).context("the results are no JSON")?;
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let cases = value["cases"].as_array().context("the results have no cases")?;
    let result =
        cases.iter().map(|case| (word(&case["case"]), (word(&case["verdict"]), word(&case["reason"])))).collect();
    Ok((word(&value["name"]), result))
}
