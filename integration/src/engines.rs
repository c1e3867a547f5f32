//! The operations of each engine, with runc first: what it prints is what the others must print.

use crate::Request;
use crate::work::Work;
use anyhow::Result;
use integration::leaks;
use integration::operation::{self, Operation};
use integration::report::{Outcome, Report, difference};
use integration::runtime::{self, Runtime};
use integration::scene::{Scene, here};
use std::collections::BTreeMap;
use std::path::Path;

pub(crate) const ENGINES: &[&str] = &["containerd", "cri", "docker", "podman"];
const REFERENCE: &str = "runc";

/// Runs all; true when nothing failed with orlop.
pub(crate) fn run(request: &Request, engines: &[&str], runtimes: &[&str]) -> Result<bool> {
    let work = Work::make()?;
    let mut report = Report::default();
    let mut versions = BTreeMap::new();
    report.reference = vec![REFERENCE.into(), "crun".into()];
    let all = names(&request.runtimes, runtimes);
    for engine in names(&request.engines, engines) {
        let operations = operations(request, &engine)?;
        let mut seen_with_runc = BTreeMap::new();
        for name in &all {
            let runtime = runtime::find(name, &work.0)?;
            let version = scene(&engine, &runtime, &operations, &work.0, &mut seen_with_runc, &mut report)?;
            versions.insert(engine.clone(), version);
        }
    }
    let table = report.table(&all);
    println!("{table}");
    if let Some(path) = &request.table {
        std::fs::write(path, &table)?;
    }
    if let Some(path) = request.records.first() {
        std::fs::write(path, report.record(&versions, &place()))?;
    }
    Ok(report.close())
}

/// Those whose name holds the text that is asked for, or whose file has that name.
fn operations(request: &Request, engine: &str) -> Result<Vec<Operation>> {
    let mut all = Vec::new();
    for name in [engine.to_string(), format!("{engine}-newer")] {
        let file = here().join(format!("engines/operations/{name}.sh"));
        if name == engine || (request.newer && file.exists()) {
            let only = request.only.as_ref().filter(|text| **text != name);
            all.extend(operation::read(&file)?.into_iter().filter(|o| only.is_none_or(|text| o.name.contains(text))));
        }
    }
    Ok(all)
}

fn names(asked: &[String], all: &[&str]) -> Vec<String> {
    if asked.is_empty() { all.iter().map(ToString::to_string).collect() } else { asked.to_vec() }
}

/// The cgroup layout and driver, as a column is called.
fn place() -> String {
    let version = if Path::new("/sys/fs/cgroup/cgroup.controllers").exists() { "v2" } else { "v1" };
    let driver = std::env::var("ENGINE_DRIVER").unwrap_or_else(|_| "cgroupfs".into());
    format!("{version} {driver}")
}

/// Runs the operations; gives the engine's version.
fn scene(
    engine: &str,
    runtime: &Runtime,
    operations: &[Operation],
    work: &Path,
    seen_with_runc: &mut BTreeMap<String, Result<String, String>>,
    report: &mut Report,
) -> Result<String> {
    let scope = leaks::Scope { cgroups: cgroups(engine), work: &work.display().to_string() };
    let before = leaks::lists(&scope);
    let scene = match Scene::start(engine, runtime, work) {
        Ok(scene) => scene,
        Err(error) => {
            report.add(engine, "the engine starts", &runtime.name, Outcome::Failed(format!("{error:#}")));
            return Ok(String::new());
        }
    };
    let version = scene.version()?;
    for operation in operations {
        let without = operation.without.iter().find(|(name, _)| *name == runtime.name);
        let outcome = if let Some((_, reason)) = without {
            Outcome::Skipped(reason.clone())
        } else {
            let seen = scene.run(operation)?;
            let outcome = judge(operation, &seen, runtime, seen_with_runc);
            if runtime.name == REFERENCE {
                let kept = match &outcome {
                    Outcome::Passed => Ok(seen),
                    _ => Err(seen),
                };
                seen_with_runc.insert(operation.name.clone(), kept);
            }
            outcome
        };
        report.add(engine, &operation.name, &runtime.name, outcome);
    }
    scene.stop()?;
    let left = leaks::since(&before, &scope);
    let outcome = if left.is_empty() {
        Outcome::Passed
    } else {
        Outcome::Failed(left.iter().map(|l| format!("     left: {l}\n")).collect())
    };
    report.add(engine, "nothing is left behind", &runtime.name, outcome);
    Ok(version)
}

/// The parents that an engine puts its containers' cgroups below.
fn cgroups(engine: &str) -> &'static [&'static str] {
    match engine {
        "containerd" => &["default"],
        "cri" => &["orlop-cri"],
        "docker" => &["docker", "orlop-parent"],
        "podman" => &["libpod_parent"],
        _ => &[],
    }
}

/// A test passes when its texts are there, and everything is as with runc. What runc cannot do here is nobody's failure.
fn judge(
    operation: &Operation,
    seen: &str,
    runtime: &Runtime,
    seen_with_runc: &BTreeMap<String, Result<String, String>>,
) -> Outcome {
    let missing: String = operation
        .expected
        .iter()
        .filter(|text| !seen.contains(text.as_str()))
        .map(|text| format!("     missing: {text}\n"))
        .collect();
    match seen_with_runc.get(&operation.name) {
        Some(Err(reference)) if runtime.name != REFERENCE && !missing.is_empty() => {
            let line = reference.lines().last().unwrap_or("nothing printed");
            Outcome::Skipped(format!("runc cannot do it here either: {line}"))
        }
        Some(Ok(reference)) if !operation.loose && !same_lines(reference, seen) => {
            Outcome::Failed(missing + &difference(reference, seen))
        }
        _ if missing.is_empty() => Outcome::Passed,
        _ => {
            let printed: String = seen.lines().take(12).map(|l| format!("     | {l}\n")).collect();
            Outcome::Failed(missing + &printed)
        }
    }
}

/// Standard output and standard error come by different ways, so the order of lines says nothing. (A shell writes one message
/// in several pieces: where a container's program writes to both, its script begins with `exec 2>&1`.)
fn same_lines(one: &str, other: &str) -> bool {
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_string).collect();
        lines.sort_unstable();
        lines
    };
    sorted(one) == sorted(other)
}
