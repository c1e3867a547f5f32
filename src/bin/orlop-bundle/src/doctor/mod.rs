//! `orlop doctor`: the kernel features that this host offers to this user, probed by calls.

pub(crate) mod cgroups;
mod engines;
mod kernel;
pub(crate) mod namespaces;
mod system;
mod user;

use crate::arguments::{Doctor, Format};
use crate::style::Style;
use anyhow::{Context as _, Result};
use orlop::explain::shown as shown_text;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;

/// Whether the host has something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Yes,
    Limited,
    No,
}

impl State {
    fn word(self) -> &'static str {
        match self {
            State::Yes => "yes",
            State::Limited => "limited",
            State::No => "no",
        }
    }
}

/// One line of the report.
#[derive(Clone, Debug)]
struct Line {
    /// A stable name, such as `cgroup.delegation`.
    id: String,
    state: State,
    /// The subject, and the value that was found.
    about: String,
    /// The effect on containers, where the state is not `yes`.
    consequence: String,
    /// One thing to do, where something can be done.
    remedy: String,
    /// Whether containers of this user cannot run, or not as an engine asks for.
    hinders: bool,
}

impl Line {
    fn yes(id: impl Into<String>, about: impl Into<String>) -> Line {
        Line {
            id: id.into(),
            state: State::Yes,
            about: about.into(),
            consequence: String::new(),
            remedy: String::new(),
            hinders: false,
        }
    }

    fn limited(
        id: impl Into<String>,
        about: impl Into<String>,
        consequence: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Line {
        let line = Line::yes(id, about);
        Line { state: State::Limited, consequence: consequence.into(), remedy: remedy.into(), ..line }
    }

    fn no(
        id: impl Into<String>,
        about: impl Into<String>,
        consequence: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Line {
        Line { state: State::No, ..Line::limited(id, about, consequence, remedy) }
    }

    /// The same, as a reason for exit code 1.
    fn hindering(self) -> Line {
        Line { hinders: true, ..self }
    }

    fn json(&self) -> Value {
        let text = |text: &str| if text.is_empty() { Value::Null } else { text.into() };
        json!({
            "id": self.id,
            "state": self.state.word(),
            "hinders": self.hinders,
            "about": self.about,
            "consequence": text(&self.consequence),
            "remedy": text(&self.remedy),
        })
    }

    fn show(&self, style: Style, width: usize) -> String {
        let word = format!("{:<7}", self.state.word());
        let word = match self.state {
            State::Yes => word,
            State::Limited => style.magenta(&word),
            State::No if self.hinders => style.red(&word),
            State::No => style.magenta(&word),
        };
        let id = format!("{:<width$}", self.id);
        let about = style.wrap_at(&shown_text(&self.about), 7 + 2 + id.chars().count() + 2);
        let mut text = format!("{word}  {}  {about}\n", style.bold(&id));
        for (mark, part) in [("so", &self.consequence), ("do", &self.remedy)] {
            if !part.is_empty() {
                let _ = writeln!(text, "           {mark}: {}", style.wrap_at(&shown_text(part), 15));
            }
        }
        text
    }
}

/// The whole command.
pub(crate) fn run(word: &Doctor) -> Result<ExitCode> {
    let lines = lines();
    let text = match word.format {
        Format::Json => {
            let lines: Vec<Value> = lines.iter().map(Line::json).collect();
            orlop::explain::shown_json(format!("{:#}\n", json!({ "uid": user::uid(), "lines": lines })))
        }
        Format::Text => shown(&lines, Style::of_output()),
    };
    std::io::stdout().lock().write_all(text.as_bytes()).context("write to standard output")?;
    Ok(ExitCode::from(u8::from(lines.iter().any(|line| line.hinders))))
}

fn lines() -> Vec<Line> {
    let is_root = user::uid() == 0;
    let mut lines = kernel::lines();
    lines.extend(namespaces::lines(is_root));
    lines.extend(cgroups::lines(is_root));
    lines.extend(user::lines(is_root));
    lines.extend(system::lines(is_root));
    lines.extend(engines::lines());
    lines
}

fn shown(lines: &[Line], style: Style) -> String {
    let width = lines.iter().map(|line| line.id.len()).max().unwrap_or(0);
    let mut text: String = lines.iter().map(|line| line.show(style, width)).collect();
    let count = |state: State| lines.iter().filter(|line| line.state == state).count();
    let (yes, limited, no) = (count(State::Yes), count(State::Limited), count(State::No));
    let hinder: Vec<&str> = lines.iter().filter(|line| line.hinders).map(|line| line.id.as_str()).collect();
    let verdict = match hinder.is_empty() {
        true => "nothing hinders containers of this user".to_owned(),
        false => format!("in the way of containers: {}", shown_text(&hinder.join(", "))),
    };
    let _ = writeln!(text, "\n{yes} yes, {limited} limited, {no} no; {verdict}");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_hinders_is_in_the_summary_with_its_remedy() {
        let lines = [Line::yes("a.b", "fine"), Line::no("c.d", "bad\x1b", "it fails", "mend it").hindering()];
        let text = shown(&lines, Style::plain());
        let expected = "yes      a.b  fine\nno       c.d  bad\\u{1b}\n           so: it fails\n           do: mend it\n\
                        \n1 yes, 0 limited, 1 no; in the way of containers: c.d\n";
        assert_eq!(text, expected);
        assert_eq!(lines[0].json()["remedy"], Value::Null);
    }

    #[test]
    fn every_id_is_there_once_and_every_lack_has_its_consequence() {
        let lines = lines();
        let mut ids: Vec<_> = lines.iter().map(|line| &line.id).collect();
        ids.sort();
        let count = ids.len();
        ids.dedup();
        assert_eq!(ids.len(), count);
        for line in &lines {
            assert_eq!(line.state == State::Yes, line.consequence.is_empty(), "{line:?}");
        }
    }
}
