//! Findings: faults and suspicions with their place, reason and remedy.

use crate::place::{Place, Text};
use crate::style::Style;
use orlop::explain::shown as safe;
use serde_json::{Value, json};
use std::fmt::Write;

/// The left border of an excerpt.
const BAR: &str = "   | ";

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Severity {
    /// The runtime refuses, or does something else than the bundle asks for.
    Error,
    /// Probably not as it is meant.
    Warning,
    /// Legal, and worth to be known.
    Note,
}

impl Severity {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        }
    }

    fn paint(self, style: Style, text: &str) -> String {
        match self {
            Severity::Error => style.red(text),
            Severity::Warning => style.magenta(text),
            Severity::Note => style.bold(text),
        }
    }
}

/// Whether a finding goes with the bundle, or is true of this machine and user alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    Bundle,
    Host,
}

/// One finding.
#[derive(Clone, Debug)]
pub(crate) struct Finding {
    /// A stable name, such as `field.unknown`.
    pub(crate) id: &'static str,
    pub(crate) severity: Severity,
    pub(crate) scope: Scope,
    /// The path of a field, such as `mounts[3].source`; empty where the finding has none.
    pub(crate) field: String,
    pub(crate) place: Option<Place>,
    /// The fault in a sentence.
    pub(crate) problem: String,
    /// Where the rule is written: a section of the specification or a man page.
    pub(crate) source: &'static str,
    /// The remedy.
    pub(crate) remedy: Option<String>,
}

impl Finding {
    pub(crate) fn new(
        id: &'static str,
        severity: Severity,
        field: impl Into<String>,
        problem: impl Into<String>,
    ) -> Finding {
        Finding {
            id,
            severity,
            scope: Scope::Bundle,
            field: field.into(),
            place: None,
            problem: problem.into(),
            source: "",
            remedy: None,
        }
    }

    pub(crate) fn on_host(mut self) -> Finding {
        self.scope = Scope::Host;
        self
    }

    pub(crate) fn at(mut self, place: Option<Place>) -> Finding {
        self.place = place;
        self
    }

    pub(crate) fn source(mut self, source: &'static str) -> Finding {
        self.source = source;
        self
    }

    pub(crate) fn remedy(mut self, remedy: impl Into<String>) -> Finding {
        self.remedy = Some(remedy.into());
        self
    }

    /// For programs.
    pub(crate) fn json(&self) -> Value {
        json!({
            "id": self.id,
            "severity": self.severity.word(),
            "scope": if self.scope == Scope::Bundle { "bundle" } else { "host" },
            "field": self.field,
            "line": self.place.map(|place| place.line),
            "column": self.place.map(|place| place.column),
            "problem": self.problem,
            "source": self.source,
            "remedy": self.remedy,
        })
    }

    /// For people: like a compiler's messages. `file` is the name of the document `text`.
    pub(crate) fn show(&self, file: &str, text: &Text, style: Style) -> String {
        let mut shown = String::new();
        let (word, field) = (self.severity.word(), safe(&self.field));
        let colon = if field.is_empty() { "" } else { ": " };
        let used = word.len() + 2 + field.chars().count() + colon.len();
        let problem = style.wrap(&format!("{} [{}]", safe(&self.problem), self.id), used, "    ");
        let _ = writeln!(shown, "{}: {}{colon}{problem}", self.severity.paint(style, word), style.bold(&field));
        if let Some(place) = self.place {
            let _ = writeln!(shown, "  --> {}:{}:{}", safe(file), place.line, place.column);
            if let Some((line, caret)) = text.excerpt(place, style.excerpt(BAR.len())) {
                let _ = writeln!(shown, "{BAR}{line}\n{BAR}{}", self.severity.paint(style, &caret));
            }
        }
        let mut more = |begin: &str, text: &str| {
            let _ = writeln!(shown, "{begin}{}", style.wrap(text, begin.len(), "     "));
        };
        if !self.source.is_empty() {
            more("   = see ", self.source);
        }
        if let Some(remedy) = &self.remedy {
            more("   = help: ", &safe(remedy));
        }
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_shown_with_its_line_and_remedy() {
        let text = &Text::new(b"{\n  \"hostnam\": \"x\"\n}".into());
        let finding = Finding::new("field.unknown", Severity::Warning, "hostnam", "not a field of the specification")
            .at(Some(text.place(4)))
            .source("config.md")
            .remedy("did you mean \"hostname\"?");
        let expected = "warning: hostnam: not a field of the specification [field.unknown]\n  --> config.json:2:3\n   |   \
                        \"hostnam\": \"x\"\n   |   ^\n   = see config.md\n   = help: did you mean \"hostname\"?\n";
        assert_eq!(finding.show("config.json", text, Style::plain()), expected);
        assert_eq!(finding.json()["line"], 2);
    }
}
