//! The runtime's view of a bundle as owned data, for programs that show it to people.
//!
//! The functions are the ones that `create` calls, or read the tables that it reads, so that an explanation cannot differ from
//! the runtime's behaviour.

mod credentials;
mod drift;
mod filter;
pub mod host;
mod mounts;
mod names;
mod observed;
mod plan;
mod resources;

pub use crate::json::{Content, Node, Shape};
pub use names::{capabilities, columns, mount_options, parameters};
pub use observed::{CgroupDirectory, cgroups, shown, shown_json};

use crate::config::{self, Seccomp};
use crate::container::parts::Parts;
use crate::container::request::{CgroupManager, ContainerId};
use crate::container::{self, Context};
use crate::error::{Error, Kind, Result};
use crate::json::Shaped;
use crate::log;
use crate::process::seccomp::{self, Filter, all_flags};
use crate::state::Store;
use std::path::Path;

/// Parses a JSON document into a tree with the place of each value; it accepts the same input as
/// the runtime.
///
/// # Errors
/// Bad syntax, with its line and column: `line 13, column 5: expected a value, found ']'`.
pub fn read(json: &[u8]) -> Result<Node> {
    Node::read(json).map_err(|error| Error::config(error.place(json), error.problem()))
}

/// The fields of a config.json that the runtime knows.
pub fn config_shape() -> Shape {
    config::Spec::SHAPE
}

/// The config.json that `spec` writes for root.
pub fn default_config() -> String {
    container::spec::document(None, true)
}

/// The names of the system calls of all architectures, sorted.
pub fn system_calls() -> Vec<&'static str> {
    seccomp::names().collect()
}

/// The result of checking a config as `create` does, before anything is created.
#[derive(Debug)]
#[non_exhaustive]
pub struct Judgement {
    /// The first reason to refuse it.
    pub refusal: Option<Error>,
    /// Whether the reason is this machine's, and not the config's.
    pub of_host: bool,
    /// Warnings that `create` logs.
    pub warnings: Vec<String>,
}

/// Checks the config `json` of the bundle in the directory `bundle` (an absolute path) as `create`
/// does before it creates anything. `systemd` stands for `--systemd-cgroup`.
pub fn judge(json: &[u8], bundle: &Path, systemd: bool) -> Judgement {
    let _log = log::Diverted::begin();
    let (refusal, of_host) = match Parts::examine(json, bundle, systemd) {
        Ok(asked) => (asked.check_here().err(), true),
        Err(error) => {
            let of_host = error.kind() != Kind::Config;
            (Some(error), of_host)
        }
    };
    let warnings = log::take().into_iter().filter(|record| record.level == log::Level::Warning);
    Judgement { refusal, of_host, warnings: warnings.map(|record| record.text).collect() }
}

/// The plan of a container, in the order in which it happens.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Explanation {
    /// The parts of the plan.
    pub sections: Vec<Section>,
    /// Differences between the plan and the kernel, for a container that exists.
    pub drift: Vec<Drift>,
}

/// A part of a plan.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Section {
    /// A stable name, such as `mounts`.
    pub id: &'static str,
    /// The heading.
    pub title: &'static str,
    /// The facts, in the order in which they happen.
    pub lines: Vec<Line>,
}

/// One fact of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Line {
    /// Its subject, such as the destination of a mount.
    pub subject: String,
    /// The fact.
    pub value: String,
    /// Whether it is for comparisons and programs: one of a great many, which other lines sum up.
    pub is_detail: bool,
}

/// A difference between the plan of a container and the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Drift {
    /// The section of the plan.
    pub section: &'static str,
    /// The subject in that section.
    pub subject: String,
    /// The plan's value.
    pub planned: String,
    /// The kernel's value.
    pub found: String,
}

impl Section {
    fn new(id: &'static str, title: &'static str) -> Section {
        Section { id, title, lines: Vec::new() }
    }

    fn of<S: Into<String>, V: Into<String>>(
        id: &'static str,
        title: &'static str,
        lines: impl IntoIterator<Item = (S, V)>,
    ) -> Section {
        let mut section = Section::new(id, title);
        lines.into_iter().for_each(|(subject, value)| section.add(subject, value));
        section
    }

    fn add(&mut self, subject: impl Into<String>, value: impl Into<String>) {
        self.lines.push(Line { subject: subject.into(), value: value.into(), is_detail: false });
    }

    fn detail(&mut self, subject: impl Into<String>, value: impl Into<String>) {
        self.lines.push(Line { subject: subject.into(), value: value.into(), is_detail: true });
    }
}

/// The plan of `create` for the config `json` of the bundle in the directory `bundle` (an absolute path), on this host.
///
/// # Errors
/// The reason why `create` refuses the config, but for namespaces to join and security modules that this host lacks: those
/// are lines of the plan.
pub fn plan(json: &[u8], bundle: &Path, id: &ContainerId, manager: CgroupManager) -> Result<Explanation> {
    let _log = log::Diverted::begin();
    let (parts, refusal) = Parts::imagine(json, bundle, id.as_str(), manager)?;
    let spec = config::parse(json)?;
    Ok(Explanation { sections: plan::sections(&spec, &parts, refusal.as_ref(), None)?, drift: Vec::new() })
}

/// The plan of a container that exists, from the config that `create` kept, and its differences from the kernel.
///
/// # Errors
/// There is no such container.
pub fn running(context: &Context, id: &ContainerId) -> Result<Explanation> {
    let _log = log::Diverted::begin();
    let store = Store::at(&context.root);
    let record = store.read(id.as_str())?;
    let json = store.config(id.as_str())?;
    let manager = match (&record.cgroup.unit, record.cgroup.cgroups.is_empty()) {
        (Some(_), _) => CgroupManager::Systemd,
        (None, true) => CgroupManager::Disabled,
        (None, false) => CgroupManager::Cgroupfs,
    };
    let (parts, _) = Parts::imagine(&json, Path::new(&record.bundle), id.as_str(), manager)?;
    let spec = config::parse(&json)?;
    let mut sections = plan::sections(&spec, &parts, None, Some(&record.cgroup))?;
    let drift = drift::all(&parts, &record)?;
    let mut status = Section::new("status", "Container");
    let is_compared = if drift.is_some() { "compared with the kernel" } else { "not running: nothing to compare with" };
    status.add(id.as_str(), is_compared);
    sections.insert(0, status);
    Ok(Explanation { sections, drift: drift.unwrap_or_default() })
}

/// The seccomp filter of a config.json as a listing, one line for each instruction; empty without a filter.
///
/// # Errors
/// As [`SeccompProfile::of_config`] and [`SeccompProfile::compile`].
pub fn listing(json: &[u8]) -> Result<Vec<String>> {
    let _log = log::Diverted::begin();
    let filter = container::filter_of(&config::parse(json)?)?;
    Ok(filter.map_or_else(Vec::new, |filter| seccomp::listing(&filter.program)))
}

/// `linux.seccomp` of a config.json, as it is written.
#[derive(Debug)]
pub struct SeccompProfile<'a>(Seccomp<'a>);

impl<'a> SeccompProfile<'a> {
    /// The profile of a config.json, if it has one.
    ///
    /// # Errors
    /// The text is no config: the place and the field.
    pub fn of_config(json: &'a [u8]) -> Result<Option<SeccompProfile<'a>>> {
        Ok(config::parse(json)?.linux.and_then(|linux| linux.seccomp).map(SeccompProfile))
    }

    /// The BPF program that `create` would load, as the kernel takes it: an array of `struct
    /// sock_filter` (seccomp(2)). `None` if the profile filters nothing.
    ///
    /// # Errors
    /// A fault that `create` would refuse, with the path of the field.
    pub fn compile(&self) -> Result<Option<Vec<u8>>> {
        Ok(Filter::parse(&self.0, all_flags())?.map(|filter| filter.bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dockers_profile_is_compiled() {
        let json = include_bytes!("../config/testdata/engines/docker.json");
        let profile = SeccompProfile::of_config(json).unwrap().expect("a profile");
        let program = profile.compile().unwrap().expect("a program");
        assert!(program.len() > 800 && program.len().is_multiple_of(8), "{}", program.len());
        assert!(SeccompProfile::of_config(b"{\"ociVersion\": \"1.0.0\"}").unwrap().is_none());
    }
}
