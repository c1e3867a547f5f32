//! The decisions of a profile as data, for those who explain them.

use super::action::Action;
use super::architecture::Architecture;
use super::condition::{Condition, Test};
use super::decision::{Outcome, Range, Ranges};
use super::profile::Profile;
use super::tables::{self, Row};
use crate::config::Seccomp;
use crate::error::Result;
use crate::sys;

/// The decisions for one architecture.
#[derive(Debug)]
pub(crate) struct ArchitectureSummary {
    /// The name in the config.
    pub name: &'static str,
    /// Each system call that the architecture has.
    pub calls: Vec<(&'static str, Verdict)>,
    /// The action for system calls that are newer than the profile.
    pub newer: Action,
}

/// The decision about a system call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Always(Action),
    /// The action of the first list of conditions that holds, or else the last action.
    If(Vec<(String, Action)>, Action),
}

impl ArchitectureSummary {
    /// The decisions for each architecture of the filter.
    ///
    /// # Errors
    /// As [`super::Filter::parse`].
    pub(crate) fn all(seccomp: &Seccomp<'_>) -> Result<Vec<ArchitectureSummary>> {
        let profile = Profile::parse(seccomp)?;
        Ok(profile.architectures.iter().map(|architecture| summary(&profile, architecture)).collect())
    }

    /// The decision about a system call.
    pub(crate) fn of(&self, name: &str) -> Option<&Verdict> {
        self.calls.iter().find(|(known, _)| *known == name).map(|(_, verdict)| verdict)
    }
}

fn summary(profile: &Profile, architecture: &Architecture) -> ArchitectureSummary {
    let mut ranges = Ranges::new(profile.default);
    ranges.add(profile, architecture);
    let ranges = ranges.into_list();
    let number = |name| Row::find(name, Row::default()).and_then(|row| architecture.number(row));
    let calls: Vec<_> = tables::all_names().filter_map(|name| Some((name, number(name)?))).collect();
    let newer = if profile.unknown_is_enosys() { Action::ENOSYS } else { profile.default };
    let verdict = |number| verdict(&ranges, number, profile.default);
    ArchitectureSummary {
        name: architecture.name,
        calls: calls.into_iter().map(|(name, number)| (name, verdict(number))).collect(),
        newer,
    }
}

fn verdict(ranges: &[Range<'_>], number: u32, default: Action) -> Verdict {
    match ranges.iter().rev().find(|range| range.start <= number).map(|range| &range.outcome) {
        None => Verdict::Always(default),
        Some(Outcome::Always(action)) => Verdict::Always(*action),
        Some(Outcome::FirstOf(alternatives)) => {
            let words = |conditions: &[Condition]| conditions.iter().map(Condition::words).collect::<Vec<_>>();
            let list = alternatives.iter().map(|one| (words(&one.conditions).join(" and "), one.action)).collect();
            Verdict::If(list, default)
        }
    }
}

impl Condition {
    fn words(&self) -> String {
        let test = match (self.test, self.contrary) {
            (Test::Equal, false) => "==",
            (Test::Equal, true) => "!=",
            (Test::Greater, false) => ">",
            (Test::Greater, true) => "<=",
            (Test::GreaterOrEqual, false) => ">=",
            (Test::GreaterOrEqual, true) => "<",
        };
        match self.mask {
            u64::MAX => format!("argument {} {test} {:#x}", self.argument, self.value),
            mask => format!("argument {} & {mask:#x} {test} {:#x}", self.argument, self.value),
        }
    }
}

impl Action {
    /// The action in words.
    pub(crate) fn words(self) -> String {
        let datum = self.0 & 0xffff;
        match Action(self.0 & 0xffff_0000) {
            Action::ALLOW => "allowed".into(),
            Action::LOG => "allowed and logged".into(),
            Action::KILL_PROCESS => "kills the process".into(),
            Action::KILL_THREAD => "kills the thread".into(),
            Action::TRAP => "SIGSYS".into(),
            Action::NOTIFY => "answered by the listener's agent".into(),
            Action(0x0005_0000) => format!("fails with {}", sys::Errno(datum as i32).name()),
            Action(0x7ff0_0000) => format!("left to a tracer ({datum})"),
            _ => format!("unknown action {:#x}", self.0),
        }
    }
}

/// The name of the architecture and of the system call with the number `number`.
pub(crate) fn names_of(audit: u32, number: u32) -> Option<(&'static str, &'static str)> {
    let of = |architecture: &'static Architecture| {
        let is_it =
            |name: &&str| Row::find(name, Row::default()).and_then(|row| architecture.number(row)) == Some(number);
        tables::all_names().find(is_it).map(|name| (architecture.name, name))
    };
    super::FAMILY.iter().filter(|architecture| architecture.audit == audit).find_map(of)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::seccomp::{Call, Filter, all_flags};

    /// The summary says of each system call the same as the program.
    #[test]
    fn the_summary_agrees_with_the_program() {
        let json = include_bytes!("../../config/testdata/engines/docker.json");
        let spec = crate::config::parse(json).unwrap();
        let seccomp = spec.linux.unwrap().seccomp.unwrap();
        let filter = Filter::parse(&seccomp, all_flags()).unwrap().unwrap();
        let summaries = ArchitectureSummary::all(&seccomp).unwrap();
        let mut seen = 0;
        for (summary, architecture) in summaries.iter().zip(&super::super::FAMILY) {
            for (name, verdict) in &summary.calls {
                let number = architecture.number(Row::find(name, Row::default()).unwrap()).unwrap();
                let call = Call { number, architecture: architecture.audit, arguments: [0; 6] };
                let answer = filter.answer(&call);
                match verdict {
                    Verdict::Always(action) => assert_eq!(answer, *action, "{name}"),
                    Verdict::If(list, last) => {
                        assert!(answer == *last || list.iter().any(|(_, action)| *action == answer), "{name}");
                    }
                }
                seen += 1;
            }
        }
        assert!(seen > 300, "{seen}");
    }
}
