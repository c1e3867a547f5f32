//! The committed list of where each case was seen to fail: a case that never fails proves nothing.

use crate::cases;
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::path::Path;

/// Case id to the place where it failed: `defect NAME` of `mutate`'s, `source NAME` of `mutants/orlop.txt`,
/// `runtime NAME VERSION`, or `never` with the reason.
#[derive(Default)]
pub(super) struct Record {
    places: BTreeMap<String, String>,
}

impl Record {
    /// A file that is not there is an empty list.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let text = if path.exists() { std::fs::read_to_string(path).context("read the list")? } else { String::new() };
        Ok(Self::parse(&text))
    }

    fn parse(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let pair = |line: &str| line.split_once(": ").map(|(case, place)| (case.to_owned(), place.to_owned()));
        Record { places: lines.filter_map(pair).collect() }
    }

    /// The first place stays, unless it was none.
    pub(super) fn add(&mut self, case: &str, place: &str) {
        let known = self.places.get(case).is_some_and(|place| !place.starts_with("never"));
        if !known {
            self.places.insert(case.to_owned(), place.to_owned());
        }
    }

    pub(super) fn has(&self, case: &str) -> bool {
        self.places.get(case).is_some_and(|place| !place.starts_with("never"))
    }

    /// Writes the list, without cases that are no more.
    pub(super) fn write(&self, path: &Path) -> Result<()> {
        let mut text = String::from(
            "# Where each case was seen to fail: with a defect of `mutate`'s, with one of mutants/orlop.txt (source), on another\n\
             # runtime, or never, and why.  `mutate --record` writes it.\n",
        );
        let all: Vec<String> = cases::selected(&[]).iter().map(crate::case::Case::id).collect();
        for (case, place) in self.places.iter().filter(|(case, _)| all.contains(case)) {
            text += &format!("{case}: {place}\n");
        }
        std::fs::write(path, text).with_context(|| format!("write {}", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::Record;

    const LIST: &str = include_str!("../../seen-to-fail.txt");
    const SOURCES: &str = include_str!("../../mutants/orlop.txt");

    #[test]
    fn every_case_was_seen_to_fail_or_has_a_reason() {
        let record = Record::parse(LIST);
        let all: Vec<String> = crate::cases::selected(&[]).iter().map(crate::case::Case::id).collect();
        let missing: Vec<&String> = all.iter().filter(|case| !record.places.contains_key(*case)).collect();
        assert!(missing.is_empty(), "not in seen-to-fail.txt: {missing:#?}");
        let gone: Vec<&String> = record.places.keys().filter(|case| !all.contains(case)).collect();
        assert!(gone.is_empty(), "in seen-to-fail.txt, but no case: {gone:#?}");
    }

    #[test]
    fn every_place_of_a_failure_exists() {
        let defects: Vec<&str> = super::super::all().iter().map(|defect| defect.name).collect();
        for (case, place) in Record::parse(LIST).places {
            let (kind, name) = place.split_once(' ').unwrap_or((&place, ""));
            let there = match kind {
                "defect" => defects.contains(&name),
                "source" => SOURCES.lines().any(|line| line.starts_with(&format!("{name} | "))),
                "runtime" | "never" => !name.is_empty(),
                _ => false,
            };
            assert!(there, "{case}: {place}");
        }
    }
}
