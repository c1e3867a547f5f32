//! The page that says what shows each property of a config to work is whole, and names tests that there are.

#![allow(clippy::unwrap_used)] // The whole file is a test.

use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn text(path: &str) -> String {
    fs::read_to_string(project().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// What the page says of a property.
struct Line {
    property: String,
    tests: Vec<String>,
    place: String,
}

/// The rows of the page's table.
fn lines() -> Vec<Line> {
    let page = text("docs/properties.md");
    let rows = page.lines().filter(|line| line.starts_with("| `"));
    let line = |row: &str| {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let [property, tests, place] = cells[..] else { panic!("{row}") };
        let plain = |word: &str| word.trim().trim_matches('`').to_owned();
        Line {
            property: plain(property),
            tests: tests.split("<br>").map(plain).collect(),
            place: place.trim_end_matches(" |").to_owned(),
        }
    };
    rows.map(line).collect()
}

/// Properties of other platforms, which the schema does not set apart.
const ELSEWHERE: [&str; 8] =
    ["solaris", "windows", "vm", "zos", "freebsd", "process.commandLine", "process.user.username", ""];

/// Adds the properties below `path` that hold no others; says whether there are any.
fn collect(file: &str, rule: &Value, path: &str, found: &mut BTreeSet<String>) -> bool {
    if let Some(reference) = rule["$ref"].as_str() {
        let (other, pointer) = reference.split_once('#').unwrap();
        let other = if other.is_empty() { file } else { other };
        let schema: Value = serde_json::from_str(&text(&format!("src/config/testdata/spec/schema/{other}"))).unwrap();
        return collect(other, schema.pointer(pointer).unwrap(), path, found);
    }
    let mut inner = false;
    for part in rule["allOf"].as_array().into_iter().chain(rule["anyOf"].as_array()).flatten() {
        inner |= collect(file, part, path, found);
    }
    for (name, rule) in rule["properties"].as_object().into_iter().flatten() {
        let below = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        if ELSEWHERE.contains(&below.as_str()) {
            continue;
        }
        inner = true;
        if !collect(file, rule, &below, found) {
            found.insert(below);
        }
    }
    for rule in [&rule["items"], &rule["additionalProperties"]] {
        inner |= rule.is_object() && collect(file, rule, &format!("{path}[]"), found);
    }
    inner
}

/// The ids of the conformance suite's cases.
fn cases() -> BTreeSet<String> {
    let mut list = Command::new(env!("CARGO"));
    list.args(["run", "--locked", "--quiet", "--package", "oci-runtime-tests", "--", "list"]).current_dir(project());
    let output = list.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn every_property_of_the_schema_has_a_line_and_no_other_has() {
    let mut wanted = BTreeSet::new();
    let schema: Value = serde_json::from_str(&text("src/config/testdata/spec/schema/config-schema.json")).unwrap();
    collect("config-schema.json", &schema, "", &mut wanted);
    assert!(wanted.len() > 150);
    let listed: BTreeSet<String> = lines().into_iter().map(|line| line.property).collect();
    assert_eq!(wanted.difference(&listed).collect::<Vec<_>>(), Vec::<&String>::new(), "without a line");
    assert_eq!(listed.difference(&wanted).collect::<Vec<_>>(), Vec::<&String>::new(), "no properties");
}

#[test]
fn every_line_names_tests_that_there_are_and_that_run_where_it_says() {
    let (cases, skipped) = (cases(), text("oci-runtime-tests/skips/hybrid.txt"));
    let is_skipped = |case: &str| skipped.lines().any(|line| line.split("  #").next() == Some(case));
    for Line { property, tests, place } in lines() {
        let mut here = false;
        for test in &tests {
            let there = if let Some((file, function)) = test.split_once(": ") {
                here |= file.starts_with("integration/tests/");
                text(file).contains(&format!("fn {function}("))
            } else {
                here |= !is_skipped(test);
                cases.contains(test)
            };
            assert!(there, "{property}: there is no test {test:?}");
        }
        match place.as_str() {
            "here" => assert!(here, "{property}: all its tests are skipped here"),
            "virtual machine" => assert!(tests.iter().any(|test| is_skipped(test)), "{property}: its tests run here"),
            other => assert!(other.starts_with("unproved: "), "{property}: where is {other:?}?"),
        }
    }
}
