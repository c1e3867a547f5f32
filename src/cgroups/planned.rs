//! The writes to a container's cgroup as data, for `explain`.

use super::cgroup::Cgroup;
use super::hierarchy_cgroup::HierarchyCgroup;
use super::limits::Limits;
use super::record::CgroupRecord;
use super::systemd::Property;
use super::write::{Moment, Write};
use super::{apply, prepare, systemd};
use crate::error::Result;

/// A value that is written to a file of the container's cgroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PlannedWrite {
    /// The container's directory; empty if no hierarchy has the controller.
    pub directory: String,
    pub write: Write,
}

impl Cgroup {
    /// The writes in the order in which they happen.
    pub(crate) fn planned(&self) -> Vec<PlannedWrite> {
        planned(&self.cgroups, &self.writes)
    }

    /// The name of the unit that systemd will start, its slice, and the properties of the limits.
    pub(crate) fn planned_unit(&self) -> Option<(&str, &str, &[Property])> {
        let pending = self.pending.as_ref()?;
        let (slice, properties) = pending.properties();
        Some((&pending.unit().name, slice, properties))
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
    let directory = |write: &Write| apply::cgroup_of(cgroups, &write.controller).map(HierarchyCgroup::directory);
    let all = of(Moment::Early).chain(of(Moment::Late)).cloned();
    all.map(|write| PlannedWrite { directory: directory(&write).unwrap_or_default(), write }).collect()
}
