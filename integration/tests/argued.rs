//! The page that argues the failures of other runtimes argues all of those in the table, and nothing else.

#![allow(clippy::unwrap_used)] // The whole file is a test.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

fn document(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name)).unwrap()
}

fn cells(line: &str) -> Vec<&str> {
    line.trim_matches('|').split('|').map(str::trim).collect()
}

/// Name and version of each runtime in the tables that `compare` made, and the cases that it failed in any of them.
fn failures(table: &str) -> BTreeMap<(String, String), BTreeSet<String>> {
    let mut runtimes: Vec<Option<(String, String)>> = Vec::new();
    let mut failed: BTreeMap<_, BTreeSet<String>> = BTreeMap::new();
    for row in table.lines().filter(|line| line.starts_with('|')).map(cells) {
        if row[0] == "case" {
            runtimes = row.iter().map(|head| runtime(head)).collect();
            for found in runtimes.iter().flatten() {
                failed.entry(found.clone()).or_default();
            }
        }
        for found in row.iter().zip(&runtimes).filter(|(cell, _)| **cell == "**failed**").filter_map(|(_, r)| r.clone())
        {
            failed.entry(found).or_default().insert(row[0].to_owned());
        }
    }
    failed
}

/// `runc 1.1.5+ds1` without what a distribution adds to the version.
fn runtime(head: &str) -> Option<(String, String)> {
    let (name, version) = head.split_once(' ')?;
    Some((name.to_owned(), version.split('+').next().unwrap().to_owned()))
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

/// What a row of the page says: the cases, in which versions of the section's runtimes, and whether in every run.
struct Argument {
    pattern: String,
    versions: String,
    always: bool,
}

impl Argument {
    fn is_about(&self, version: &str) -> bool {
        self.versions == "all" || self.versions.split(", ").any(|word| word == version)
    }
}

fn arguments(page: &str, section: &str) -> Vec<Argument> {
    let here = page.split("\n## ").find(|part| part.lines().next() == Some(section)).unwrap();
    let rows = here.lines().filter(|line| line.starts_with("| `")).map(cells);
    rows.flat_map(|row| {
        let (versions, always) = (row[1].to_owned(), !row[3].starts_with("Sometimes"));
        let quoted = row[0].split('`').skip(1).step_by(2).flat_map(alternatives);
        quoted.map(|pattern| Argument { pattern, versions: versions.clone(), always }).collect::<Vec<_>>()
    })
    .collect()
}

#[test]
fn every_failure_of_another_runtime_is_argued() {
    let (table, page) = (document("conformance-table.md"), document("conformance-others.md"));
    let others: Vec<_> = failures(&table).into_iter().filter(|((name, _), _)| name != "orlop").collect();
    assert!(others.len() > 1, "the table has no other runtimes");
    let mut wrong = Vec::new();
    for ((name, version), failed) in &others {
        let rows: Vec<Argument> = ["Both", name].iter().flat_map(|section| arguments(&page, section)).collect();
        let rows: Vec<&Argument> = rows.iter().filter(|row| row.is_about(version)).collect();
        let unargued = failed.iter().filter(|case| !rows.iter().any(|row| fits(&row.pattern, case)));
        wrong.extend(unargued.map(|case| format!("{name} {version}: no argument for {case}")));
        let vain = rows.iter().filter(|row| row.always && !failed.iter().any(|case| fits(&row.pattern, case)));
        wrong.extend(vain.map(|row| format!("{name} {version}: did not fail {}", row.pattern)));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn orlop_fails_no_case_of_the_table() {
    let all = failures(&document("conformance-table.md"));
    let (_, failed) = all.iter().find(|((name, _), _)| name == "orlop").unwrap();
    assert_eq!(failed, &BTreeSet::new());
}
