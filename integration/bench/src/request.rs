//! The command line.

use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::time::Duration;

pub(crate) const HELP: &str = "\
usage: bench [OPTION]...

  --runtime NAME[=PATH]   a runtime to measure (repeated; default: orlop, runc and crun)
  --only WORD,...         operations: run, busybox, lifecycle (create, start, delete), force (delete of what runs), exec,
                          state, kill, list, version
  --scenario WORD,...     plain, limits, seccomp, mounts, warm, parallel, existing, memory, steps (default: all; with --only:
                          plain)
                          node (not by default): many containers, several commands at a time
  --containers N          how many containers there are in the scenario `node` (default: 1000)
  --view v2               on a machine with v1, only its unified tree; it has no controllers there, so `limits` and
                          `memory` cannot be measured, and are not by default
  --rounds N              how often each is run (default: 30)
  --gap MS                pause before each measurement, in which the kernel clears away the last container (default: 20)
  --existing N,...        how many containers there are in the scenario `existing` (default: 0,100,1000)
  --programs DIR          where the compiled programs in C are; they are compiled into it if they are not there
  --csv FILE              write the figures as CSV
  --svg FILE              draw the plain scenario's medians
  --markdown FILE         write the tables there too";

/// What is asked for.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) runtimes: Vec<Runtime>,
    only: Vec<String>,
    scenarios: Vec<String>,
    pub(crate) rounds: usize,
    pub(crate) gap: Duration,
    /// Whether all see cgroup v2 alone, where there is v1 too.
    pub(crate) unified: bool,
    pub(crate) existing: Vec<usize>,
    /// Those of the scenario `node`.
    pub(crate) containers: usize,
    pub(crate) programs: Option<PathBuf>,
    pub(crate) csv: Option<PathBuf>,
    pub(crate) svg: Option<PathBuf>,
    pub(crate) markdown: Option<PathBuf>,
}

/// A runtime by its name and its program.
#[derive(Clone, Debug)]
pub(crate) struct Runtime {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
}

const OPERATIONS: &[&str] = &["run", "busybox", "lifecycle", "force", "exec", "state", "kill", "list", "version"];
const SCENARIOS: &[&str] = &["plain", "limits", "seccomp", "mounts", "warm", "parallel", "existing", "memory", "steps"];
/// What needs controllers.
const LIMITED: &[&str] = &["limits", "memory"];

impl Request {
    /// Reads the words of the command line; None where help is asked for.
    ///
    /// # Errors
    /// A word is unknown, or a runtime is not there.
    pub(crate) fn read(mut words: impl Iterator<Item = String>) -> Result<Option<Self>> {
        let mut request = Self {
            runtimes: Vec::new(),
            only: Vec::new(),
            scenarios: Vec::new(),
            rounds: 30,
            gap: Duration::from_millis(20),
            unified: false,
            existing: vec![0, 100, 1000],
            containers: 1000,
            programs: None,
            csv: None,
            svg: None,
            markdown: None,
        };
        while let Some(word) = words.next() {
            let mut value = || words.next().with_context(|| format!("{word} needs a value"));
            match word.as_str() {
                "--help" | "-h" => return Ok(None),
                "--runtime" => request.runtimes.push(runtime(&value()?)?),
                "--only" => request.only.extend(chosen(&value()?, OPERATIONS)?),
                "--scenario" => request.scenarios.extend(chosen(&value()?, &[SCENARIOS, &["node"]].concat())?),
                "--rounds" => request.rounds = value()?.parse().context("--rounds")?,
                "--gap" => request.gap = Duration::from_millis(value()?.parse().context("--gap")?),
                "--view" => match value()?.as_str() {
                    "v2" => request.unified = true,
                    other => bail!("--view: {other:?} is not v2"),
                },
                "--existing" => request.existing = numbers(&value()?).context("--existing")?,
                "--containers" => request.containers = value()?.parse().context("--containers")?,
                "--programs" => request.programs = Some(value()?.into()),
                "--csv" => request.csv = Some(value()?.into()),
                "--svg" => request.svg = Some(value()?.into()),
                "--markdown" => request.markdown = Some(value()?.into()),
                _ => bail!("what is {word:?}?\n{HELP}"),
            }
        }
        if request.runtimes.is_empty() {
            request.runtimes.push(runtime("orlop")?);
            request.runtimes.extend(["runc", "crun"].iter().filter_map(|name| runtime(name).ok()));
        }
        if request.scenarios.is_empty() {
            let all = if request.only.is_empty() { SCENARIOS } else { &["plain"] };
            let possible = all.iter().filter(|scenario| !request.unified || !LIMITED.contains(scenario));
            request.scenarios = possible.map(ToString::to_string).collect();
        }
        Ok(Some(request))
    }

    /// Whether an operation is asked for.
    pub(crate) fn wants(&self, operation: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|o| o == operation)
    }

    /// Whether a scenario is asked for.
    pub(crate) fn sets(&self, scenario: &str) -> bool {
        self.scenarios.iter().any(|s| s == scenario)
    }
}

fn chosen(words: &str, known: &[&str]) -> Result<Vec<String>> {
    let words: Vec<String> = words.split(',').map(ToOwned::to_owned).collect();
    match words.iter().find(|word| !known.contains(&word.as_str())) {
        Some(word) => bail!("{word:?} is none of {}", known.join(", ")),
        None => Ok(words),
    }
}

fn numbers(words: &str) -> Result<Vec<usize>> {
    words.split(',').map(|word| Ok(word.parse()?)).collect()
}

fn runtime(word: &str) -> Result<Runtime> {
    let (name, path) = word.split_once('=').unwrap_or((word, ""));
    let found = match (name, path) {
        ("orlop", "") => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../out/orlop"),
        (_, "") => installed(name)?,
        (_, path) => path.into(),
    };
    let path = found.canonicalize().with_context(|| format!("{}: is it there?", found.display()))?;
    Ok(Runtime { name: name.into(), path })
}

fn installed(name: &str) -> Result<PathBuf> {
    let dirs = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin"];
    let found = dirs.iter().map(|dir| Path::new(dir).join(name)).find(|path| path.exists());
    found.with_context(|| format!("{name} is not installed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &[&str]) -> Result<Option<Request>> {
        Request::read(words.iter().map(ToString::to_string))
    }

    #[test]
    fn only_some_operations_are_measured_in_the_plain_scenario() {
        let request = read(&["--runtime", "x=/bin/sh", "--only", "run,exec", "--rounds", "50"]).unwrap().unwrap();
        assert_eq!((request.runtimes[0].name.as_str(), request.rounds), ("x", 50));
        assert!(request.wants("run") && request.wants("exec") && !request.wants("list"));
        assert!(request.sets("plain") && !request.sets("memory"));
    }

    #[test]
    fn what_nobody_knows_is_refused_with_what_there_is() {
        let error = |words: &[&str]| read(words).unwrap_err().to_string();
        assert!(error(&["--only", "runs"]).contains("\"runs\" is none of run, "));
        assert!(error(&["--fast"]).contains("--rounds N"));
        assert!(error(&["--rounds"]).contains("needs a value"));
        assert!(read(&["--help"]).unwrap().is_none());
    }
}
