//! What became of each test: printed as it happens, counted at the end, kept as a table.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// What became of one test with one runtime.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Passed,
    Failed(String),
    Skipped(String),
}

impl Outcome {
    fn cell(&self) -> &'static str {
        match self {
            Self::Passed => "yes",
            Self::Failed(_) => "**no**",
            Self::Skipped(_) => "-",
        }
    }
}

/// All outcomes by group (an engine), test and runtime.
#[derive(Debug, Default)]
pub struct Report {
    rows: Vec<(String, String)>,
    cells: BTreeMap<(String, String, String), Outcome>,
    /// Runtimes that are not counted: they are there to compare with.
    pub reference: Vec<String>,
}

impl Report {
    /// Prints and keeps an outcome.
    pub fn add(&mut self, group: &str, test: &str, runtime: &str, outcome: Outcome) {
        let counts = !self.reference.iter().any(|r| r == runtime);
        match &outcome {
            Outcome::Passed => println!("ok   {group}: {test} ({runtime})"),
            Outcome::Skipped(why) if !counts => println!("-    {group}: {test} ({runtime}): {why}"),
            Outcome::Skipped(why) => println!("SKIP {group}: {test} ({runtime}): {why}"),
            Outcome::Failed(why) if counts => println!("FAIL {group}: {test} ({runtime})\n{why}"),
            Outcome::Failed(why) => println!("no   {group}: {test} ({runtime})\n{why}"),
        }
        let row = (group.to_string(), test.to_string());
        if !self.rows.contains(&row) {
            self.rows.push(row);
        }
        self.cells.insert((group.into(), test.into(), runtime.into()), outcome);
    }

    /// The table in Markdown, a section for each group.
    #[must_use]
    pub fn table(&self, runtimes: &[String]) -> String {
        let mut text = String::new();
        let mut section = "";
        for (group, test) in &self.rows {
            if group != section {
                section = group;
                let _ = writeln!(text, "\n## {group}\n\n| operation | {} |", runtimes.join(" | "));
                let _ = writeln!(text, "| --- |{}", " --- |".repeat(runtimes.len()));
            }
            let cells: Vec<&str> = runtimes
                .iter()
                .map(|r| self.cells.get(&(group.clone(), test.clone(), r.clone())).map_or("", Outcome::cell))
                .collect();
            let _ = writeln!(text, "| {test} | {} |", cells.join(" | "));
        }
        text
    }

    /// Every outcome as a line: group, version, place, test, runtime, cell, with tabs between them.
    #[must_use]
    pub fn record(&self, versions: &BTreeMap<String, String>, place: &str) -> String {
        let mut text = String::new();
        for (group, test) in &self.rows {
            let version = versions.get(group).map_or("", String::as_str);
            for ((_, _, runtime), outcome) in self.cells.iter().filter(|((g, t, _), _)| (g, t) == (group, test)) {
                let _ = writeln!(text, "{group}\t{version}\t{place}\t{test}\t{runtime}\t{}", outcome.cell());
            }
        }
        text
    }

    /// Prints the counts on a line alone; true when nothing failed.
    #[must_use]
    pub fn close(&self) -> bool {
        let (mut passed, mut failed, mut skipped) = (0, 0, 0);
        for ((_, _, runtime), outcome) in &self.cells {
            if self.reference.contains(runtime) {
                continue;
            }
            match outcome {
                Outcome::Passed => passed += 1,
                Outcome::Failed(_) => failed += 1,
                Outcome::Skipped(_) => skipped += 1,
            }
        }
        println!("{passed} passed, {failed} failed, {skipped} skipped");
        failed == 0
    }
}

/// The lines in which two texts differ, at most 12 of each.
#[must_use]
pub fn difference(expected: &str, seen: &str) -> String {
    let mut text = String::new();
    let only = |a: &str, b: &str, sign: char, text: &mut String| {
        let other: Vec<&str> = b.lines().collect();
        for line in a.lines().filter(|l| !other.contains(l)).take(12) {
            let _ = writeln!(text, "     {sign} {line}");
        }
    };
    only(expected, seen, '-', &mut text);
    only(seen, expected, '+', &mut text);
    if text.is_empty() {
        text.push_str("     the same lines in another order or number\n");
    }
    text
}
