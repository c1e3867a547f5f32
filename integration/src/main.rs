//! `integration GROUP [--runtime NAME]... [--engine NAME]... [--only TEXT] [--table FILE] [--record FILE]... [--newer] [--update]`

mod budgets;
mod captures;
mod engines;
mod engines_table;
mod faults;
mod interleavings;
mod kills;
mod windows;
mod work;

use anyhow::{Result, bail};
use integration::mount_options;
use integration::runtime::find;
use std::process::ExitCode;

/// What the command line asks for.
#[derive(Debug, Default)]
pub(crate) struct Request {
    group: String,
    runtimes: Vec<String>,
    engines: Vec<String>,
    only: Option<String>,
    table: Option<String>,
    /// Files of outcomes: the one that is written, or those that a table is made of.
    records: Vec<String>,
    /// Also the operations of `*-newer.sh`, for engines newer than Debian bookworm's.
    newer: bool,
    update: bool,
}

fn main() -> Result<ExitCode> {
    let request = request()?;
    let fine = match request.group.as_str() {
        "engines" => engines::run(&request, engines::ENGINES, &["runc", "orlop", "crun"])?,
        "engines-table" => engines_table::run(&request)?,
        "hand" => engines::run(&request, &["hand"], &["runc", "orlop"])?,
        "shim" => engines::run(&request, &["shim"], &["orlop"])?,
        "kills" => kills::run(&request)?,
        "faults" => faults::run(&request)?,
        "interleavings" => interleavings::run(&request)?,
        "windows" => windows::run(&request)?,
        "neighbour" => windows::neighbour::serve()?,
        "budgets" => budgets::run(&request)?,
        "captures" => captures::run(&request)?,
        "mount-options" => print_mount_options(&request)?,
        other => bail!(
            "no such group of tests: {other:?}; there are engines, engines-table, captures, budgets, faults, hand, \
             interleavings, kills, mount-options, shim and windows"
        ),
    };
    Ok(if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Prints what each of the runtimes makes of every two mount options; with `--only table` the pairs that differ.
fn print_mount_options(request: &Request) -> Result<bool> {
    let work = std::env::temp_dir().join(format!("mount-options-{}", std::process::id()));
    std::fs::create_dir_all(&work)?;
    let options = mount_options::listed(&find("orlop", &work)?.path)?;
    let mut all = Vec::new();
    for name in &request.runtimes {
        let dir = work.join(format!("of-{name}"));
        all.push((name.clone(), mount_options::pairs(&find(name, &work)?, &options, &dir)?));
    }
    std::fs::remove_dir_all(&work)?;
    match request.only.as_deref() {
        Some("table") => print!("{}", mount_options::table(&all)),
        _ => all.iter().for_each(|(name, seen)| print!("{name}\n{}", mount_options::text(seen))),
    }
    Ok(true)
}

fn request() -> Result<Request> {
    let mut request = Request::default();
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| anyhow::anyhow!("{word} needs a value"));
        match word.as_str() {
            "--runtime" => request.runtimes.push(value()?),
            "--engine" => request.engines.push(value()?),
            "--only" => request.only = Some(value()?),
            "--update" => request.update = true,
            "--newer" => request.newer = true,
            "--record" => request.records.push(value()?),
            "--table" => request.table = Some(value()?),
            _ if word.starts_with('-') || !request.group.is_empty() => bail!("what is {word:?}?"),
            _ => request.group = word,
        }
    }
    Ok(request)
}
