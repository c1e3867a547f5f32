//! One table for all engines, of the outcomes that runs in several places have recorded.

use crate::Request;
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

/// Everything in the document from this line on is made here.
const MARK: &str = "<!-- From here on written by `make engines-table`. -->";

/// Outcomes by engine, then column (version and place), test and runtime; the order is that of the files.
#[derive(Debug, Default)]
struct Outcomes {
    engines: Vec<String>,
    columns: Vec<(String, String)>,
    tests: Vec<(String, String)>,
    cells: BTreeMap<[String; 4], String>,
}

/// Writes the tables of all records behind the mark in the document that `--table` names.
pub(crate) fn run(request: &Request) -> Result<bool> {
    let mut all = Outcomes::default();
    for path in &request.records {
        let text = fs::read_to_string(path).with_context(|| path.clone())?;
        text.lines().for_each(|line| all.take(line));
    }
    let tables = all.summary() + &all.tables();
    let Some(path) = &request.table else {
        print!("{tables}");
        return Ok(true);
    };
    let document = fs::read_to_string(path).with_context(|| path.clone())?;
    let head = document.split(MARK).next().unwrap_or_default();
    fs::write(path, format!("{head}{MARK}\n{tables}"))?;
    Ok(true)
}

fn put<T: PartialEq>(list: &mut Vec<T>, one: T) {
    if !list.contains(&one) {
        list.push(one);
    }
}

impl Outcomes {
    fn take(&mut self, line: &str) {
        let [engine, version, place, test, runtime, cell] = line.split('\t').collect::<Vec<_>>()[..] else { return };
        let column = format!("{version}, {place}");
        put(&mut self.engines, engine.into());
        put(&mut self.columns, (engine.into(), column.clone()));
        put(&mut self.tests, (engine.into(), test.into()));
        self.cells.insert([engine.into(), column, test.into(), runtime.into()], cell.into());
    }

    fn cell(&self, engine: &str, column: &str, test: &str, runtime: &str) -> &str {
        let key = [engine, column, test, runtime].map(String::from);
        self.cells.get(&key).map_or("", String::as_str)
    }

    fn of<'a>(list: &'a [(String, String)], engine: &str) -> Vec<&'a str> {
        list.iter().filter(|(e, _)| e == engine).map(|(_, name)| name.as_str()).collect()
    }

    /// How many operations each runtime does, by engine, version and place.
    fn summary(&self) -> String {
        let mut text = "\n## All engines\n\n| engine | where | operations | runc | orlop | crun |\n".to_string();
        text.push_str("| --- | --- | --- | --- | --- | --- |\n");
        for (engine, column) in &self.columns {
            let tests = Self::of(&self.tests, engine);
            let count = |runtime: &str, cell: Option<&str>| {
                let seen = |t: &&&str| {
                    let of_it = self.cell(engine, column, t, runtime);
                    cell.map_or(!of_it.is_empty(), |cell| of_it == cell)
                };
                tests.iter().filter(seen).count()
            };
            let run = |runtime: &str| match count(runtime, None) {
                0 => String::new(),
                _ => count(runtime, Some("yes")).to_string(),
            };
            let (version, place) = column.split_once(", ").unwrap_or((column, ""));
            let (all, runc, orlop, crun) = (count("orlop", None), run("runc"), run("orlop"), run("crun"));
            let _ = writeln!(text, "| {version} ({engine}) | {place} | {all} | {runc} | {orlop} | {crun} |");
        }
        text
    }

    /// What orlop does, in every column.
    fn tables(&self) -> String {
        let mut text = String::new();
        for engine in &self.engines {
            let columns = Self::of(&self.columns, engine);
            let _ = writeln!(text, "\n## {engine}\n\n| operation | {} |", columns.join(" | "));
            let _ = writeln!(text, "| --- |{}", " --- |".repeat(columns.len()));
            for test in Self::of(&self.tests, engine) {
                let cells: Vec<&str> = columns.iter().map(|c| self.cell(engine, c, test, "orlop")).collect();
                let _ = writeln!(text, "| {test} | {} |", cells.join(" | "));
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_a_cell_for_each_version_and_place() {
        let mut all = Outcomes::default();
        for line in ["d\tD 1\tv1\trun\torlop\tyes", "d\tD 1\tv1\trun\trunc\tyes", "d\tD 2\tv2\trun\torlop\t**no**"] {
            all.take(line);
        }
        assert!(all.tables().contains("| operation | D 1, v1 | D 2, v2 |"), "{}", all.tables());
        assert!(all.tables().contains("| run | yes | **no** |"), "{}", all.tables());
        assert!(all.summary().contains("| D 1 (d) | v1 | 1 | 1 | 1 |  |"), "{}", all.summary());
        assert!(all.summary().contains("| D 2 (d) | v2 | 1 |  | 0 |  |"), "{}", all.summary());
    }
}
