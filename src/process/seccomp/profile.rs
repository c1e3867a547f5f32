//! Checking `linux.seccomp`: looking up names, parsing actions and conditions.

use super::action::{Action, Place};
use super::architecture::{ARCHITECTURES, Architecture, FAMILY};
use super::condition::{self, Condition};
use super::multiplex;
use super::tables::Row;
use crate::config::Seccomp;
use crate::error::{Error, Result};

/// A checked `linux.seccomp`.
pub(super) struct Profile {
    pub(super) default: Action,
    /// The native architecture, then those of the config that this kernel can report.
    pub(super) architectures: Vec<&'static Architecture>,
    pub(super) rules: Vec<Rule>,
    /// All names of all rules, in the order of the config.
    pub(super) names: Vec<Name>,
    pub(super) warnings: Vec<String>,
}

/// One entry of `syscalls`.
pub(super) struct Rule {
    pub(super) action: Action,
    /// Lists of conditions; the rule applies if all conditions of one list hold.
    pub(super) alternatives: Vec<Vec<Condition>>,
}

/// A name in an entry of `syscalls`.
pub(super) struct Name {
    pub(super) row: Option<Row>,
    /// The multiplexer of the system call, and the first argument that selects it.
    pub(super) selected: Option<(&'static str, u32)>,
    /// The index in `rules`.
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
            // Not an error: profiles list the system calls of all architectures and kernel
            // versions.
            let place = format!("linux.seccomp.syscalls[{rule}].names[{number}]");
            self.warnings.push(format!("{place}: no system call {name:?} is known for this architecture"));
            return;
        }
        self.names.push(Name { row, selected, rule });
    }

    /// Whether system calls newer than the profile fail with ENOSYS. They do so only if the default
    /// action refuses system calls; a default of ALLOW, LOG or TRACE applies to unknown ones, too.
    pub(super) fn unknown_is_enosys(&self) -> bool {
        !self.default.permits() && self.default != Action::ENOSYS
    }
}

/// The architectures of the filter. Those of other families are accepted and ignored: this kernel
/// never reports them, and the filter kills system calls of architectures that it does not contain.
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
