//! Fields beside one another: whether each protects as it does alone, in every combination of two.
//!
//! A field that is applied by the wrong process, or in the wrong order, works in a container of its own and fails beside
//! another one. Each trial puts several fields into one config and looks, from inside, at the effect of each: of the
//! process that `create` and `start` make, of one that `run` makes and of one that `exec` adds.

mod fields;

use crate::bench::bundle::Bundle;
use crate::bench::seen::Seen;
use crate::bench::trial::{Bench, Trial};
use crate::case::Skip;
use crate::command::PairsOptions;
use crate::setup::Workplace;
use anyhow::{Context, Result};
use fields::FIELDS;
use std::collections::BTreeSet;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// A field, the change that it makes, and the probe of its effect.
struct Field {
    name: &'static str,
    /// Actions of the probe that the check looks at.
    probes: &'static [&'static str],
    /// Fields that contradict it.
    excludes: &'static [&'static str],
    change: for<'t> fn(Bundle<'t>) -> Result<Bundle<'t>>,
    check: fn(&Seen) -> Result<()>,
}

/// Indices into [`FIELDS`], ascending.
type Set = Vec<usize>;

pub(crate) fn command(options: &PairsOptions) -> Result<ExitCode> {
    let sets = if options.each { every_pair() } else { covering(options.size.max(2)) };
    let workplace = Workplace::new(&options.runtime, &options.common).context("prepare the run")?;
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let jobs = options.common.jobs.unwrap_or(2 * processors).max(1);
    let (next, failures, skipped) = (AtomicUsize::new(0), Mutex::new(Vec::new()), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                while let Some(set) = sets.get(next.fetch_add(1, Ordering::Relaxed)) {
                    match attempt(&workplace.bench, set) {
                        Ok(()) => {}
                        Err(error) if error.downcast_ref::<Skip>().is_some() => {
                            skipped.fetch_add(1, Ordering::Relaxed);
                        }
                        Err(error) => {
                            let names: Vec<&str> = set.iter().map(|n| FIELDS[*n].name).collect();
                            let line = format!("FAIL {}: {error:#}", names.join(" + ")).replace('\n', " ");
                            println!("{line}");
                            failures.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(line);
                        }
                    }
                }
            });
        }
    });
    let failed = failures.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner).len();
    let skipped = skipped.into_inner();
    println!("{} fields, {} pairs in {} configs", FIELDS.len(), pairs().len(), sets.len());
    println!("{} passed, {failed} failed, {skipped} skipped", sets.len() - failed - skipped);
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn compatible(one: usize, other: usize) -> bool {
    let excludes = |a: usize, b: usize| FIELDS[a].excludes.contains(&FIELDS[b].name);
    !excludes(one, other) && !excludes(other, one)
}

/// All pairs of fields that do not contradict one another.
fn pairs() -> BTreeSet<(usize, usize)> {
    let all = (0..FIELDS.len()).flat_map(|one| (one + 1..FIELDS.len()).map(move |other| (one, other)));
    all.filter(|(one, other)| compatible(*one, *other)).collect()
}

/// Each pair in a config of its own.
fn every_pair() -> Vec<Set> {
    pairs().into_iter().map(|(one, other)| vec![one, other]).collect()
}

/// A covering array: sets of at most `size` fields in which each pair stands beside one another at least once. Each set
/// begins with a pair that is not covered yet, and takes the field that adds most.
fn covering(size: usize) -> Vec<Set> {
    let mut left = pairs();
    let mut sets = Vec::new();
    while let Some(&(one, other)) = left.first() {
        let mut set = vec![one, other];
        while set.len() < size {
            let gain = |n: usize| {
                let pair = |m: &usize| ((*m).min(n), (*m).max(n));
                set.iter().filter(|m| left.contains(&pair(m))).count()
            };
            let fits = |n: &usize| !set.contains(n) && set.iter().all(|m| compatible(*m, *n));
            let Some(best) = (0..FIELDS.len()).filter(fits).max_by_key(|n| gain(*n)).filter(|n| gain(*n) > 0) else {
                break;
            };
            set.push(best);
        }
        set.sort_unstable();
        for (n, one) in set.iter().enumerate() {
            set[n + 1..].iter().for_each(|other| {
                left.remove(&(*one, *other));
            });
        }
        sets.push(set);
    }
    sets
}

fn attempt(bench: &Arc<Bench>, set: &[usize]) -> Result<()> {
    let trial = Trial::new(bench)?;
    let probes: Vec<&str> = set.iter().flat_map(|n| FIELDS[*n].probes).copied().collect();
    let said: Vec<&str> = ["report"].into_iter().chain(probes.iter().copied()).collect();
    let check = |how: &str, seen: &Seen| {
        set.iter().try_for_each(|n| (FIELDS[*n].check)(seen).with_context(|| format!("{} ({how})", FIELDS[*n].name)))
    };
    let bundle = || -> Result<Bundle<'_>> {
        set.iter().try_fold(trial.bundle()?, |bundle, n| {
            (FIELDS[*n].change)(bundle).with_context(|| FIELDS[*n].name.to_owned())
        })
    };
    let waiting: Vec<&str> = said.iter().copied().chain(["wait"]).collect();
    let container = bundle()?.does(&waiting).create().context("create")?;
    container.start().context("start")?;
    check("create and start", &container.until_waiting()?)?;
    let args: Vec<&str> = ["/probe"].into_iter().chain(said.iter().copied()).collect();
    let output = container.call("exec", &args)?.expect_success("exec")?;
    check("exec", &Seen::parse(output.stdout, None))?;
    container.stop()?;
    container.delete()?;
    let bundle = bundle()?.does(&said);
    bundle.write()?;
    let (dir, id) = (bundle.dir.display().to_string(), bundle.id.clone());
    let output = trial.runtime(&["run", "--bundle", &dir, &id])?;
    crate::bench::cgroup::remove(bench, &id);
    check("run", &Seen::parse(output.expect_success("run")?.stdout, None))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_covering_array_holds_every_pair_and_no_contradiction() {
        for size in [2, 5, 12] {
            let mut seen = BTreeSet::new();
            for set in covering(size) {
                for (n, one) in set.iter().enumerate() {
                    for other in &set[n + 1..] {
                        assert!(compatible(*one, *other));
                        seen.insert((*one, *other));
                    }
                }
            }
            assert_eq!(seen, pairs());
        }
        assert!(covering(12).len() * 10 < pairs().len());
    }

    #[test]
    fn every_exclusion_names_a_field() {
        for field in FIELDS {
            let known = |name: &&&str| !FIELDS.iter().any(|other| other.name == **name);
            assert_eq!(field.excludes.iter().find(known), None, "{}", field.name);
        }
    }
}
