//! Compares orlop's speed with other runtimes' and with the kernel's floor: whole processes, by turns, in the same view.

mod bundle;
mod calls;
mod crowd;
mod figures;
mod gauge;
mod machine;
mod native;
mod node;
mod picture;
mod request;
mod smallest;
mod steps;
mod subject;
mod suite;
mod table;

use anyhow::{Context, Result};
use bundle::Scenario;
use request::{HELP, Request};
use std::fs;
use std::path::Path;
use std::process::Command;

fn main() -> Result<()> {
    let Some(request) = Request::read(std::env::args().skip(1))? else {
        println!("{HELP}");
        return Ok(());
    };
    let work = native::Work::make(request.programs.as_deref())?;
    let machine = machine::Machine::enter(&work.dir.join("state"), request.unified)?;
    let mut bench = suite::Bench::new(&request, &machine, &work)?;
    for scenario in [Scenario::Plain, Scenario::Limits, Scenario::Seccomp, Scenario::Mounts] {
        if request.sets(scenario.word()) {
            bench.scenario(scenario).with_context(|| scenario.title())?;
        }
    }
    if request.sets("warm") {
        bench.warm().context("without pauses")?;
    }
    if request.sets("parallel") {
        bench.parallel().context("several at a time")?;
    }
    if request.sets("existing") {
        bench.existing().context("beside existing containers")?;
    }
    if request.sets("memory") {
        bench.memory().context("the smallest limit of memory")?;
    }
    if request.sets("node") {
        bench.node().context("a node")?;
    }
    if request.sets("steps") {
        bench.steps().context("where the time goes")?;
        bench.calls().context("the system calls")?;
    }
    let head = head(&request, &machine);
    let text = format!("{head}{}{}", table::markdown(&bench.figures), bench.notes);
    print!("{text}");
    write(request.markdown.as_deref(), &text)?;
    write(request.csv.as_deref(), &table::csv(&bench.figures))?;
    write(request.svg.as_deref(), &picture::svg(&bench.figures, &machine.conditions()))
}

fn write(file: Option<&Path>, text: &str) -> Result<()> {
    let Some(file) = file else { return Ok(()) };
    fs::write(file, text).with_context(|| file.display().to_string())
}

/// The conditions, without which the figures mean nothing.
fn head(request: &Request, machine: &machine::Machine) -> String {
    let mut text = format!("{}\n\n", machine.conditions());
    for runtime in &request.runtimes {
        let said = Command::new(&runtime.path).arg("--version").output().map(|o| o.stdout).unwrap_or_default();
        let first = String::from_utf8_lossy(&said).lines().next().unwrap_or("").to_owned();
        text += &format!("- {}: {first}\n", runtime.name);
    }
    text += &format!(
        "- floor: the kernel calls of the same container in a static C program; {} rounds, by turns\n\
         - `run` is of a static program without a libc; every filter that crun keeps is removed before each run; state roots are on tmpfs\n",
        request.rounds
    );
    text
}
