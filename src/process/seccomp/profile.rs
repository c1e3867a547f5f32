//! `linux.seccomp`, checked: names found, actions and conditions understood.

use super::action::{Action, Place};
use super::architecture::{ARCHITECTURES, Architecture, FAMILY};
use super::condition::{self, Condition};
use super::multiplex;
use super::tables::Row;
use crate::config::Seccomp;
use crate::error::{Error, Result};

/// What a filter is to do.
pub(super) struct Profile {
    pub(super) default: Action,
    /// Those of the config that this kernel can report, and the native one, which comes first.
    pub(super) architectures: Vec<&'static Architecture>,
    pub(super) rules: Vec<Rule>,
    /// In the order of the config.
    pub(super) names: Vec<Name>,
    pub(super) warnings: Vec<String>,
}

/// One entry of `syscalls`.
pub(super) struct Rule {
    pub(super) action: Action,
    /// Each a list of conditions that must hold together.
    pub(super) alternatives: Vec<Vec<Condition>>,
}

/// A name in an entry of `syscalls`.
pub(super) struct Name {
    pub(super) row: Option<Row>,
    /// The multiplexer through which it can be called, and the first argument that selects it.
    pub(super) selected: Option<(&'static str, u32)>,
    /// Where in `rules`.
    pub(super) rule: usize,
}

impl Profile {
    pub(super) fn parse(seccomp: &Seccomp<'_>) -> Result<Profile> {
        let action = seccomp.default_action.as_deref().unwrap_or("");
        let default = Action::parse(action, seccomp.default_errno_ret, &Place::Default)?;
        let architectures = architectures(seccomp)?;
        let mut profile = Profile { default, architectures, rules: vec![], names: vec![], warnings: vec![] };
        let mut row = Row::default();
        for (index, syscall) in seccomp.syscalls.iter().flatten().enumerate() {
            let action = syscall.action.as_deref().unwrap_or("");
            let action = Action::parse(action, syscall.errno_ret, &Place::Syscall(index))?;
            let alternatives = condition::alternatives(syscall.args.as_deref().unwrap_or_default(), index)?;
            if syscall.names.as_ref().is_none_or(Vec::is_empty) {
                let field = format!("linux.seccomp.syscalls[{index}].names");
                return Err(Error::config(field, "must contain at least one entry"));
            }
            profile.rules.push(Rule { action, alternatives });
            for (number, name) in syscall.names.iter().flatten().enumerate() {
                profile.add(name, &mut row, index, number);
            }
        }
        Ok(profile)
    }

    fn add(&mut self, name: &str, previous: &mut Row, rule: usize, number: usize) {
        let row = Row::find(name, *previous);
        let selected = match row {
            Some(row) if !row.is_multiplexed() => None,
            _ => multiplex::selector(name),
        };
        if let Some(row) = row {
            *previous = row;
        } else if selected.is_none() {
            // Profiles list the calls of all architectures and kernels, so this is no error.
            let place = format!("linux.seccomp.syscalls[{rule}].names[{number}]");
            self.warnings.push(format!("{place}: no system call {name:?} is known for this architecture"));
            return;
        }
        self.names.push(Name { row, selected, rule });
    }

    /// Whether calls newer than the profile are answered with ENOSYS: only where the default would refuse them, since a
    /// default that lets calls pass, or a tracer see them, also means those that are unknown.
    pub(super) fn unknown_is_enosys(&self) -> bool {
        !self.default.permits() && self.default != Action::ENOSYS
    }
}

/// Architectures of other families are accepted and need nothing: this kernel never reports them, and a call of an
/// architecture that is not in the filter is killed anyway.
fn architectures(seccomp: &Seccomp<'_>) -> Result<Vec<&'static Architecture>> {
    let listed = seccomp.architectures.as_deref().unwrap_or_default();
    if let Some(index) = listed.iter().position(|name| !ARCHITECTURES.iter().any(|known| known == name)) {
        let path = format!("linux.seccomp.architectures[{index}]");
        return Err(Error::config(path, format!("unknown architecture {}", listed[index])));
    }
    let (native, others) = FAMILY.split_at(1);
    let others = others.iter().filter(|architecture| listed.iter().any(|name| architecture.name == *name));
    Ok(native.iter().chain(others).collect())
}
