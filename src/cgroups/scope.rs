//! A cgroup that systemd creates: a scope around the container's first process.

use super::cgroups_path::{Scope, expand_slice};
use super::hierarchy_cgroup::HierarchyCgroup;
use super::layout::Layout;
use super::plan::CgroupPlan;
use super::systemd::{self, Property, Unit, Value};
use crate::error::{Context, Error, Result};
use crate::sys::credentials::effective_uid;

/// A scope that systemd has yet to start.
#[derive(Clone, Debug)]
pub(super) struct PendingScope {
    unit: Unit,
    slice: String,
    description: String,
    properties: Vec<Property>,
}

/// Determines the unit, and the path of its cgroup in each hierarchy.
pub(super) fn plan(plan: &CgroupPlan, scope: &Scope, layout: &Layout) -> Result<(PendingScope, Vec<HierarchyCgroup>)> {
    let user = plan.rootless || effective_uid() != 0;
    let root = if user { systemd::user_root().context("systemd cgroup driver")? } else { String::new() };
    let (unit, slice, directory) = place(scope, user, &root)?;
    // systemd manages slices.
    let cgroups: Vec<_> = layout.hierarchies.iter().map(|h| HierarchyCgroup::at(h, directory.clone())).collect();
    if let Some(busy) = cgroups.iter().find(|b| b.read("cgroup.procs").is_ok_and(|text| !text.is_empty())) {
        let problem = format!("unable to start unit {:?}: unit already exists and has processes", unit.name);
        return Err(Error::state(problem).context(busy.directory()));
    }
    let unified = cgroups.iter().all(HierarchyCgroup::is_unified);
    let mut properties = systemd::properties(&plan.limits, unified, || systemd::version(user))?;
    if unit.name.ends_with(".slice") {
        properties.retain(|(name, _)| name != systemd::OOM_POLICY);
    }
    properties.extend(plan.properties.iter().cloned());
    let description = format!("libcontainer container {}", scope.name);
    Ok((PendingScope { unit, slice, description, properties }, cgroups))
}

/// The unit of a scope, its slice, and the path of its cgroup below `root`.
pub(super) fn place(scope: &Scope, user: bool, root: &str) -> Result<(Unit, String, String)> {
    let slice = scope.slice.clone().unwrap_or_else(|| if user { "user.slice" } else { "system.slice" }.to_owned());
    let unit = Unit::of(scope, user);
    let directory = format!("{root}{}/{}", expand_slice(&slice)?.trim_end_matches('/'), unit.name);
    Ok((unit, slice, directory))
}

impl PendingScope {
    /// The unit.
    pub(super) fn unit(&self) -> &Unit {
        &self.unit
    }

    /// The slice and the properties of the limits.
    pub(super) fn properties(&self) -> (&str, &[Property]) {
        (&self.slice, &self.properties)
    }

    /// Starts the scope around a process.
    ///
    /// # Errors
    /// See [`Unit::start`].
    pub(super) fn start(&self, pid: i32, unified: bool) -> Result<()> {
        let mut list: Vec<Property> = Vec::new();
        let mut add = |name: &str, value: Value| list.push((name.to_owned(), value));
        add("Description", Value::str(&self.description));
        if self.unit.name.ends_with(".slice") {
            add("Wants", Value::strings(&[&self.slice]));
        } else {
            add("Slice", Value::str(&self.slice));
            add("Delegate", Value::Bool(true));
            add("PIDs", Value::Array("u".into(), vec![Value::U32(pid.unsigned_abs())]));
        }
        let io = if unified { "IOAccounting" } else { "BlockIOAccounting" };
        for name in ["MemoryAccounting", "CPUAccounting", io, "TasksAccounting"] {
            add(name, Value::Bool(true));
        }
        add("DefaultDependencies", Value::Bool(false));
        list.extend(self.properties.iter().cloned());
        self.unit.start(&list)
    }
}
