//! The runtime's view of a bundle as owned data: for programs that show it to people.
//!
//! The functions are the ones that `create` calls, or read the tables that it reads, so that an explanation cannot differ from
//! the runtime's behaviour.

pub mod host;

pub use crate::json::{Content, Node, Shape};

use crate::config::{self, Seccomp};
use crate::container;
use crate::error::{Error, Result};
use crate::json::Shaped;
use crate::log;
use crate::process::seccomp::{self, Filter, Kernel};
use std::path::Path;

/// Reads a JSON document as a tree whose values know their places; it accepts what the runtime accepts.
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

/// The judgement of `create` about a config before anything is created.
#[derive(Debug)]
#[non_exhaustive]
pub struct Judgement {
    /// The first reason to refuse it.
    pub refusal: Option<Error>,
    /// Warnings that `create` logs.
    pub warnings: Vec<String>,
}

/// Does what `create` does with the config `json` of the bundle in the directory `bundle` (an absolute path) before it
/// creates anything. `systemd` stands for `--systemd-cgroup`.
pub fn judge(json: &[u8], bundle: &Path, systemd: bool) -> Judgement {
    log::divert();
    let refusal = container::parts::Parts::examine(json, bundle, systemd).err();
    let warnings = log::take().into_iter().filter(|record| record.level == log::Level::Warning);
    Judgement { refusal, warnings: warnings.map(|record| record.text).collect() }
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

    /// The BPF program that `create` would load, as the kernel takes it: `struct sock_filter` after `struct sock_filter`
    /// (seccomp(2)). None where the profile filters nothing.
    ///
    /// # Errors
    /// What `create` would refuse, with the path of the field.
    pub fn compile(&self) -> Result<Option<Vec<u8>>> {
        Ok(Filter::parse(&self.0, &Kernel::default())?.map(|filter| filter.bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dockers_profile_is_compiled() {
        let json = include_bytes!("config/testdata/engines/docker.json");
        let profile = SeccompProfile::of_config(json).unwrap().expect("a profile");
        let program = profile.compile().unwrap().expect("a program");
        assert!(program.len() > 800 && program.len().is_multiple_of(8), "{}", program.len());
        assert!(SeccompProfile::of_config(b"{\"ociVersion\": \"1.0.0\"}").unwrap().is_none());
    }
}
