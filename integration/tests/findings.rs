//! docs/findings.md has a row for each id of `check` and `doctor`, and none for others.

#![allow(clippy::unwrap_used, clippy::panic)] // The whole program is a test.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Texts in the sources that have the form of an id and are none: fields, and files.
const OTHERS: [&str; 10] = [
    "bad.toml",
    "cgroup.controllers",
    "config-linux.md",
    "config.json",
    "config.md",
    "daemon.json",
    "personality.domain",
    "process.capabilities.inheritable",
    "process.rlimits",
    "root.path",
];

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The sources of a word without their tests.
fn sources(word: &str) -> Vec<String> {
    sources_in(&project().join("src/bin/orlop-bundle/src").join(word))
}

fn sources_in(directory: &Path) -> Vec<String> {
    let paths = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let read = |path: PathBuf| match path.is_dir() {
        true => sources_in(&path),
        false => vec![fs::read_to_string(path).unwrap().split("#[cfg(test)]").next().unwrap().to_owned()],
    };
    paths.flat_map(read).collect()
}

/// Texts such as `program.mode`: words of small letters with a full stop between them.
fn ids(source: &str) -> BTreeSet<String> {
    let is_word = |word: &str| {
        let is_letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        word.starts_with(|c: char| c.is_ascii_lowercase()) && word.chars().all(is_letter)
    };
    let code: String = source.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let code = code.replace("\\\"", "");
    let texts = code.split('"').skip(1).step_by(2).map(str::to_owned);
    let is_id = |text: &String| text.contains('.') && text.split('.').all(is_word) && !text.starts_with("linux.");
    texts.filter(is_id).filter(|text| !OTHERS.contains(&text.as_str())).collect()
}

/// The first words of the rows `("NAME", ` behind a line with `begin`.
fn names(source: &str, begin: &str) -> Vec<String> {
    let Some((_, rows)) = source.split_once(begin) else { return Vec::new() };
    let rows = rows.lines().skip(1).take_while(|line| *line != "];");
    rows.filter_map(|line| Some(line.trim().strip_prefix("(\"")?.split_once('"')?.0.to_owned())).collect()
}

/// The ids of the rows between two headings of the page.
fn documented(word: &str) -> BTreeSet<String> {
    let page = fs::read_to_string(project().join("docs/findings.md")).unwrap();
    let (_, section) = page.split_once(&format!("## `orlop {word}`")).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let mut found = BTreeSet::new();
    for row in section.lines().filter_map(|line| line.strip_prefix("| `")) {
        let (id, rest) = row.split_once('`').unwrap();
        let cells: Vec<&str> = rest.trim_matches('|').split(" | ").map(str::trim).collect();
        assert!(cells.len() == 4 && cells.iter().skip(1).all(|cell| !cell.is_empty()), "{row}");
        assert!(found.insert(id.to_owned()), "{id} has two rows");
    }
    found
}

#[test]
fn every_id_of_check_has_a_row_and_every_row_an_id() {
    let of_source: BTreeSet<String> = sources("check").iter().flat_map(|source| ids(source)).collect();
    assert!(of_source.len() > 40, "{of_source:?}");
    assert_eq!(documented("check"), of_source);
}

#[test]
fn every_id_of_doctor_has_a_row_and_every_row_an_id() {
    let mut of_source = BTreeSet::new();
    for source in sources("doctor") {
        of_source.extend(ids(&source));
        of_source.extend(names(&source, "const CONTROLLERS").iter().map(|name| format!("cgroup.{name}")));
        of_source.extend(names(&source, "const KINDS").iter().map(|name| format!("namespace.{name}")));
    }
    of_source.extend(["", ".fileN", ".RUNTIME"].map(|end| format!("engine.ENGINE{end}")));
    assert!(of_source.len() > 40, "{of_source:?}");
    assert_eq!(documented("doctor"), of_source);
}

#[test]
fn every_line_that_doctor_prints_here_has_a_row() {
    let built = project().join("out/orlop");
    let runtime = std::env::var_os("RUNTIME").map_or(built, PathBuf::from);
    if !runtime.with_file_name("orlop-bundle").exists() {
        integration::skip::skip("no orlop with orlop-bundle beside it; `make` builds both");
        return;
    }
    let output = Command::new(runtime).args(["doctor", "--format", "json"]).output().unwrap();
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let lines = document["lines"].as_array().unwrap_or_else(|| panic!("{document:#}"));
    let rows = documented("doctor");
    assert!(lines.len() > 20);
    for line in lines {
        let id = line["id"].as_str().unwrap();
        assert!(rows.contains(id) || id.starts_with("engine."), "{id}");
    }
}
