//! A runtime with its own state root and bundles, and the command lines that it is given.

use crate::bundle::{self, BINDS, Scenario};
use crate::gauge::THEN;
use crate::machine::{Machine, PARENT};
use crate::native::Work;
use crate::request::Runtime;
use anyhow::{Context, Result, bail};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What the container runs, as the tables name it.
pub(crate) const TINY: &[&str] = &["/tiny"];
pub(crate) const WAITS: &[&str] = &["/tiny", "wait"];
pub(crate) const BUSYBOX: &[&str] = &["/bin/true"];

/// A runtime that is measured.
#[derive(Clone, Debug)]
pub(crate) struct Subject {
    pub(crate) name: String,
    program: PathBuf,
    pub(crate) root: PathBuf,
    said: PathBuf,
}

impl Subject {
    pub(crate) fn of(work: &Work, runtime: &Runtime) -> Result<Self> {
        let root = work.dir.join("state").join(&runtime.name);
        fs::create_dir_all(&root)?;
        let said = work.dir.join("said-by-set-up");
        Ok(Self { name: runtime.name.clone(), program: runtime.path.clone(), root, said })
    }

    /// With an empty state root of its own, as if nothing else were there.
    pub(crate) fn apart(&self, name: &str) -> Result<Self> {
        let root = self.root.with_file_name(format!("{}-{name}", self.name));
        fs::create_dir_all(&root)?;
        Ok(Self { root, ..self.clone() })
    }

    /// A command line.
    pub(crate) fn words(&self, words: &[&str]) -> Vec<String> {
        let mut all = vec![self.program.display().to_string(), "--root".into(), self.root.display().to_string()];
        all.extend(words.iter().map(ToString::to_string));
        all
    }

    /// One after the other, as the gauge takes them.
    pub(crate) fn sequence(&self, commands: &[&[&str]]) -> Vec<String> {
        let lines: Vec<Vec<String>> = commands
            .iter()
            .map(|words| if words[0].starts_with('@') { vec![words[0].to_owned()] } else { self.words(words) })
            .collect();
        lines.join(&THEN.to_owned())
    }

    /// A bundle for this runtime, whose container has the id and the cgroup `name`.
    pub(crate) fn bundle(&self, work: &Work, scenario: Scenario, name: &str, program: &[&str]) -> Result<String> {
        let dir = bundle::write(work, scenario, &format!("{}-{name}", self.name), program)?;
        Ok(dir.display().to_string())
    }

    /// A command that is not measured.
    ///
    /// # Errors
    /// What it said.
    pub(crate) fn call(&self, words: &[&str]) -> Result<()> {
        self.call_to(&self.said, words)
    }

    /// The same beside others: `slot` tells apart those that are under way at the same time.
    pub(crate) fn call_by(&self, slot: usize, words: &[&str]) -> Result<()> {
        self.call_to(&self.said.with_file_name(format!("said-by-{}-{slot}", self.name)), words)
    }

    fn call_to(&self, said: &Path, words: &[&str]) -> Result<()> {
        let all = self.words(words);
        // A file: a pipe would be held open by the container.
        let file = File::create(said)?;
        let mut command = Command::new(&all[0]);
        command.args(&all[1..]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(file);
        let status = command.status().with_context(|| all[0].clone())?;
        if !status.success() {
            bail!("{}: {status}: {}", all.join(" "), fs::read_to_string(said)?.trim());
        }
        Ok(())
    }

    /// Makes a container that runs until it is deleted.
    pub(crate) fn launch(&self, id: &str, bundle: &str) -> Result<()> {
        self.call(&["create", "-b", bundle, id])?;
        self.call(&["start", id])
    }

    /// Removes what crun (1.9 and later) keeps of filters that it has made, so that it makes them again.
    pub(crate) fn forget_filters(&self) {
        let _ = fs::remove_dir_all(self.root.join(".cache"));
    }
}

/// The command line of the floor in a scenario; without cgroups where `cgroups` is false.
pub(crate) fn floor(
    work: &Work,
    machine: &Machine,
    scenario: Scenario,
    cgroups: Option<&str>,
    program: &[&str],
) -> Vec<String> {
    let mut words = vec![work.dir.join("floor").display().to_string(), "run".into()];
    let path = |path: &Path| path.display().to_string();
    if let Some(name) = cgroups {
        words.extend(["-n".into(), format!("{PARENT}/{name}")]);
        for hierarchy in &machine.hierarchies {
            words.extend(["-h".into(), path(hierarchy)]);
        }
        if let Some(tree) = &machine.unified {
            words.extend(["-u".into(), path(tree)]);
        }
        if scenario == Scenario::Limits {
            words.extend(bundle::limit_writes(machine).into_iter().flat_map(|line| ["-w".into(), line]));
        }
    }
    if scenario == Scenario::Mounts {
        words.extend((0..BINDS).flat_map(|number| ["-b".into(), path(&work.bind(number))]));
    }
    words.push(path(&work.rootfs));
    words.extend(program.iter().map(ToString::to_string));
    words
}
