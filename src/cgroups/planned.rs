//! The writes to a container's cgroup as data, for `explain`.

use super::cgroup::Cgroup;
use super::devices::{Rule, Type, letters};
use super::hierarchy_cgroup::HierarchyCgroup;
use super::limits::Limits;
use super::record::CgroupRecord;
use super::write::{Moment, Write};
use super::{apply, prepare, systemd};
use crate::error::Result;

/// A value that is written to a file of the container's cgroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PlannedWrite {
    /// The container's directory; empty if no hierarchy has the controller.
    pub directory: String,
    pub file: String,
    pub value: String,
    /// The file and value on a kernel without the first one.
    pub instead: Option<(&'static str, String)>,
    /// The field in config.json.
    pub field: String,
    /// Whether a missing file is ignored.
    pub optional: bool,
    /// Whether it is written at the end of the launch, and not before the first process joins.
    pub late: bool,
}

/// A unit that systemd will start.
#[derive(Clone, Debug)]
pub(crate) struct PlannedUnit {
    pub name: String,
    pub slice: String,
    /// The properties of the limits, and their values in words.
    pub properties: Vec<(String, String)>,
}

impl Cgroup {
    /// The writes in the order in which they happen.
    pub(crate) fn planned(&self) -> Vec<PlannedWrite> {
        planned(&self.cgroups, &self.writes)
    }

    /// The unit that systemd will start.
    pub(crate) fn planned_unit(&self) -> Option<PlannedUnit> {
        let pending = self.pending.as_ref()?;
        let (slice, properties) = pending.properties();
        let properties = properties.iter().map(|(name, value)| (name.clone(), format!("{value:?}"))).collect();
        Some(PlannedUnit { name: pending.unit().name.clone(), slice: slice.to_owned(), properties })
    }
}

impl CgroupRecord {
    /// The writes of `limits` to the recorded cgroup.
    ///
    /// # Errors
    /// As [`Cgroup::prepare`].
    pub(crate) fn planned(&self, limits: &Limits) -> Result<Vec<PlannedWrite>> {
        if self.cgroups.is_empty() {
            return Ok(Vec::new());
        }
        let mut limits = limits.clone();
        if self.unit.is_some() && self.cgroups.iter().all(HierarchyCgroup::is_unified) {
            systemd::round(&mut limits);
        }
        Ok(planned(&self.cgroups, &prepare::writes(&self.cgroups, &limits)?))
    }
}

fn planned(cgroups: &[HierarchyCgroup], writes: &[Write]) -> Vec<PlannedWrite> {
    let of = |moment: Moment| writes.iter().filter(move |write| write.moment == moment);
    let all = of(Moment::Early).chain(of(Moment::Late));
    all.map(|write| PlannedWrite {
        directory: apply::cgroup_of(cgroups, &write.controller).map(HierarchyCgroup::directory).unwrap_or_default(),
        file: write.file.clone().into_owned(),
        value: write.value.clone(),
        instead: write.instead.clone(),
        field: format!("linux.resources.{}", write.field),
        optional: write.optional,
        late: write.moment == Moment::Late,
    })
    .collect()
}

impl Rule {
    /// The rule in the notation of cgroup v1: `allow c 1:3 rwm`.
    pub(crate) fn words(&self) -> String {
        let number = |n: Option<u32>| n.map_or_else(|| "*".to_owned(), |n| n.to_string());
        let kind = match self.kind {
            Type::All => 'a',
            Type::Block => 'b',
            Type::Char => 'c',
        };
        let verb = if self.allow { "allow" } else { "deny" };
        format!("{verb} {kind} {}:{} {}", number(self.major), number(self.minor), letters(self.access))
    }
}
