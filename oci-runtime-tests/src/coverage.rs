//! The clauses with their cases, and the check against the specification's own text.

use crate::case::Case;
use crate::cases;
use crate::clause::{Clause, table};
use anyhow::{Context, Result};
use std::path::Path;
use std::process::ExitCode;

pub(crate) fn command(spec: Option<&Path>, markdown: bool) -> Result<ExitCode> {
    let (clauses, all) = (table()?, cases::selected(&[]));
    if let Some(dir) = spec {
        return check(&clauses, dir);
    }
    if markdown {
        println!("| clause | level | place | words | cases |\n| --- | --- | --- | --- | --- |");
    }
    let mut untested = 0;
    for clause in &clauses {
        let names = names(clause, &all);
        untested += usize::from(names.is_empty());
        if markdown {
            let cell = if names.is_empty() { clause.untested.unwrap_or("none").to_owned() } else { names.join("<br>") };
            println!(
                "| {} | {} | {} | {} | {cell} |",
                clause.id,
                clause.level,
                clause.place(),
                clause.quote.replace('|', "\\|")
            );
        } else {
            println!("{} ({}, {})\n    {}", clause.id, clause.level, clause.place(), clause.quote);
            for name in &names {
                println!("    - {name}");
            }
            if names.is_empty() {
                println!("    no case: {}", clause.untested.unwrap_or("not written yet"));
            }
        }
    }
    println!(
        "\n{} clauses, {} with cases, {untested} without; {} cases",
        clauses.len(),
        clauses.len() - untested,
        all.len()
    );
    Ok(ExitCode::SUCCESS)
}

fn names(clause: &Clause, all: &[Case]) -> Vec<String> {
    all.iter().filter(|case| case.clauses.contains(&clause.id)).map(Case::id).collect()
}

/// Each quote must stand in its document, and each line there with a word of obligation must be quoted.
fn check(clauses: &[Clause], dir: &Path) -> Result<ExitCode> {
    let mut wrong = 0;
    let mut documents: Vec<&str> = clauses.iter().map(|c| c.document).collect();
    documents.dedup();
    for document in documents {
        let text = std::fs::read_to_string(dir.join(document)).with_context(|| format!("read {document}"))?;
        let quotes: Vec<&Clause> = clauses.iter().filter(|c| c.document == document).collect();
        let lines: Vec<String> = text.lines().map(plain).collect();
        let whole = lines.join(" ");
        for clause in &quotes {
            if pieces(clause).any(|piece| !whole.contains(&piece)) {
                println!("{}: not in {document}: {}", clause.id, clause.quote);
                wrong += 1;
            }
        }
        for (number, line) in
            lines.iter().enumerate().filter(|(_, line)| line.contains("MUST") || line.contains("SHOULD"))
        {
            let near = lines[number.saturating_sub(2)..lines.len().min(number + 3)].join(" ");
            if !quotes.iter().any(|clause| pieces(clause).any(|piece| near.contains(&piece) && overlap(line, &piece))) {
                println!("{document}:{}: not quoted: {line}", number + 1);
                wrong += 1;
            }
        }
    }
    println!("{wrong} differences");
    Ok(if wrong == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A line without Markdown's marks and links.
fn plain(line: &str) -> String {
    let mut out = String::new();
    let mut rest = line.trim();
    while let Some(at) = [rest.find("]("), rest.find("][")].into_iter().flatten().min() {
        out.push_str(&rest[..at]);
        let close = if rest[at..].starts_with("](") { ')' } else { ']' };
        rest = rest[at + 1..].find(close).map_or("", |end| &rest[at + end + 2..]);
    }
    out.push_str(rest);
    let clean: String = out.chars().filter(|c| !"`*[]|".contains(*c)).collect();
    clean.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn pieces(clause: &Clause) -> impl Iterator<Item = String> {
    clause.quote.split("...").map(plain).filter(|piece| !piece.is_empty())
}

/// Does a part of the piece stand on the line?
fn overlap(line: &str, piece: &str) -> bool {
    line.contains(piece) || piece.contains(line) || {
        let words: Vec<&str> = piece.split(' ').collect();
        words.windows(4).any(|window| line.contains(&window.join(" ")))
    }
}
