//! The page that argues the failures of other runtimes argues all of those in the table, and nothing else.

#![allow(clippy::unwrap_used)] // The whole file is a test.

use std::collections::BTreeSet;
use std::path::Path;

fn document(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name)).unwrap()
}

fn cells(line: &str) -> Vec<&str> {
    line.trim_matches('|').split('|').map(str::trim).collect()
}

/// The cases that a runtime failed, by the table that `compare` made.
fn failures(table: &str, runtime: &str) -> BTreeSet<String> {
    let mut column = None;
    let mut failed = BTreeSet::new();
    for row in table.lines().filter(|line| line.starts_with('|')).map(cells) {
        if row[0] == "case" {
            column = row.iter().position(|cell| cell.starts_with(runtime));
        } else if column.is_some_and(|column| row[column] == "**failed**") {
            failed.insert(row[0].to_owned());
        }
    }
    failed
}

/// `a{b,c}d` is `abd` and `acd`.
fn alternatives(pattern: &str) -> Vec<String> {
    let Some((head, rest)) = pattern.split_once('{') else { return vec![pattern.to_owned()] };
    let (inner, tail) = rest.split_once('}').unwrap();
    inner.split(',').flat_map(|word| alternatives(&format!("{head}{word}{tail}"))).collect()
}

/// A star stands for any text.
fn fits(pattern: &str, case: &str) -> bool {
    let mut pieces = pattern.split('*');
    let Some(mut rest) = case.strip_prefix(pieces.next().unwrap()) else { return false };
    let mut pieces: Vec<&str> = pieces.collect();
    let Some(last) = pieces.pop() else { return rest.is_empty() };
    for piece in pieces {
        let Some((_, after)) = rest.split_once(piece) else { return false };
        rest = after;
    }
    rest.ends_with(last)
}

/// The patterns of a section's first column, and whether they are about what happens in every run.
fn patterns(page: &str, section: &str) -> Vec<(String, bool)> {
    let here = page.split("\n## ").find(|part| part.starts_with(section)).unwrap();
    let rows = here.lines().filter(|line| line.starts_with("| `")).map(cells);
    let quoted = rows.flat_map(|row| {
        let always = !row[2].starts_with("Sometimes");
        row[0].split('`').skip(1).step_by(2).flat_map(alternatives).map(move |p| (p, always)).collect::<Vec<_>>()
    });
    quoted.collect()
}

#[test]
fn every_failure_of_another_runtime_is_argued() {
    let (table, page) = (document("conformance-table.md"), document("conformance-others.md"));
    let both = patterns(&page, "Both");
    for runtime in ["runc", "crun"] {
        let failed = failures(&table, runtime);
        assert!(!failed.is_empty(), "the table has no failure of {runtime}");
        let own = patterns(&page, runtime);
        let argued = |case: &&String| !both.iter().chain(&own).any(|(pattern, _)| fits(pattern, case));
        let missing: Vec<&String> = failed.iter().filter(argued).collect();
        assert!(missing.is_empty(), "{runtime}: failures without an argument: {missing:#?}");
        let vain = |(pattern, always): &&(String, bool)| *always && !failed.iter().any(|case| fits(pattern, case));
        let empty: Vec<&(String, bool)> = both.iter().chain(&own).filter(vain).collect();
        assert!(empty.is_empty(), "{runtime}: arguments about nothing: {empty:#?}");
    }
}

#[test]
fn orlop_fails_no_case_of_the_table() {
    assert_eq!(failures(&document("conformance-table.md"), "orlop"), BTreeSet::new());
}
