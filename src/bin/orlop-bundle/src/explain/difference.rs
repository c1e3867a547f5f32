//! `orlop explain --diff`: the differences in effect between two plans.

use super::printable;
use crate::arguments::Format;
use crate::style::Style;
use orlop::explain::{Explanation, Section};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// A subject that two plans treat differently.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Difference {
    section: &'static str,
    subject: String,
    /// The values in the first plan, in their order.
    one: Vec<String>,
    /// Those in the second one.
    other: Vec<String>,
}

/// The differences between two plans, in the order of the first one. Lines are compared by their subjects.
pub(crate) fn between(one: &Explanation, other: &Explanation) -> Vec<Difference> {
    let mut differences = Vec::new();
    // The status of a container is no part of its plan.
    for section in one.sections.iter().chain(&other.sections).filter(|section| section.id != "status") {
        for line in &section.lines {
            let is_known = |known: &Difference| known.section == section.id && known.subject == line.subject;
            if differences.iter().any(is_known) {
                continue;
            }
            let values = |plan| values(plan, section.id, &line.subject);
            let (one, other) = (values(one), values(other));
            if one != other {
                differences.push(Difference { section: section.id, subject: line.subject.clone(), one, other });
            }
        }
    }
    differences
}

fn values(plan: &Explanation, section: &str, subject: &str) -> Vec<String> {
    let lines = |section: &Section| section.lines.clone();
    let lines = plan.sections.iter().filter(|known| known.id == section).flat_map(lines);
    lines.filter(|line| line.subject == subject).map(|line| line.value).collect()
}

/// The differences as text or as a document.
pub(crate) fn shown(differences: &[Difference], format: Format, style: Style) -> String {
    if format == Format::Json {
        let one = |d: &Difference| json!({ "section": d.section, "subject": d.subject, "a": d.one, "b": d.other });
        let list: Vec<Value> = differences.iter().map(one).collect();
        return orlop::explain::shown_json(format!("{:#}\n", json!({ "differences": list })));
    }
    let mut text = String::new();
    for Difference { section, subject, one, other } in differences {
        let _ = writeln!(text, "{section}: {}", style.bold(&printable(subject)));
        for (sign, values) in [("-", one), ("+", other)] {
            for value in values {
                let _ = writeln!(text, "  {sign} {}", style.wrap_at(&printable(value), 4));
            }
        }
    }
    text
}
