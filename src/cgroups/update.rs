//! New limits for a cgroup in use: all of them or none.
//!
//! The update checks as much as it can before the first write. Then it writes the files group by
//! group, informs systemd if the cgroup is a unit's, and attaches the device filter. If a step
//! fails, the old values are restored, and the error names the values that could not be restored.
//!
//! systemd is told the value that its file has after the write, so that property and file agree.
//! When one limit changes, systemd writes all limits of that controller that it knows, with its own
//! defaults for the others. So the files are compared afterwards and written again if they differ.

use super::apply;
use super::devices::{self, Exceptions, Rule};
use super::hierarchy_cgroup::HierarchyCgroup;
use super::limits::Limits;
use super::systemd::{self, Property, Unit};
use super::undo::{self, Undo};
use super::write::Write;
use super::{filter, v1, v2};
use crate::error::{Error, Result};
use crate::sys::file;
use std::os::fd::OwnedFd;

/// Applies the limits. If one is refused, the earlier ones are rolled back. `unit` is the cgroup's
/// systemd unit, if it has one.
///
/// # Errors
/// The first value that cannot be applied, with its field.
pub(super) fn update(cgroups: &[HierarchyCgroup], unit: Option<&Unit>, limits: &Limits) -> Result<()> {
    let change = Change::plan(cgroups, unit, limits)?;
    let mut reached = Reached::default();
    change.carry_out(&mut reached).map_err(|error| change.take_back(&reached, error))
}

/// Completes the limits with current values: the default devices, and the missing half of quota and
/// period, which v2 has in one file and systemd in one property.
pub(super) fn complete(cgroups: &[HierarchyCgroup], limits: &Limits) -> Limits {
    let mut limits = limits.clone();
    if let Some(rules) = &mut limits.devices {
        rules.extend(devices::defaults());
    }
    if cgroups.iter().all(HierarchyCgroup::is_unified) {
        complete_quota(cgroups, &mut limits);
    }
    limits
}

fn complete_quota(cgroups: &[HierarchyCgroup], limits: &mut Limits) {
    let cpu = &mut limits.cpu;
    if cpu.quota.is_some() == cpu.period.is_some() {
        return;
    }
    let Some(now) = apply::cgroup_of(cgroups, "cpu").and_then(|b| b.read("cpu.max").ok()) else { return };
    let Some((quota, period)) = now.split_once(' ') else { return };
    cpu.quota = cpu.quota.or(Some(quota.parse().unwrap_or(-1)));
    cpu.period = cpu.period.or(period.parse().ok());
}

/// A checked update.
struct Change<'a> {
    cgroups: &'a [HierarchyCgroup],
    unit: Option<&'a Unit>,
    limits: Limits,
    writes: Vec<Write>,
    /// The old values for each group of writes.
    undo: Vec<Undo>,
    /// v2: the verified device filter.
    filter: Option<OwnedFd>,
}

/// The progress of an update.
#[derive(Default)]
struct Reached {
    groups: usize,
    told: bool,
}

impl<'a> Change<'a> {
    fn plan(cgroups: &'a [HierarchyCgroup], unit: Option<&'a Unit>, limits: &Limits) -> Result<Change<'a>> {
        let unified = cgroups.iter().all(HierarchyCgroup::is_unified);
        let mut limits = limits.clone();
        if unit.is_some() && unified {
            systemd::round(&mut limits);
        }
        check_memory(cgroups, &limits)?;
        let without_devices = Limits { devices: None, ..limits.clone() };
        let mut writes = if unified { v2::writes(&without_devices)? } else { v1::writes(&without_devices)? };
        let mut filter = None;
        match &limits.devices {
            Some(rules) if unified => filter = Some(filter::load(rules)?),
            Some(rules) => writes.extend(device_changes(cgroups, rules)?),
            None => {}
        }
        apply::check(cgroups, &writes)?;
        let undo = apply::groups(&writes).map(|group| Undo::of(cgroups, group)).collect();
        Ok(Change { cgroups, unit, limits, writes, undo, filter })
    }

    fn carry_out(&self, reached: &mut Reached) -> Result<()> {
        for group in apply::groups(&self.writes) {
            reached.groups += 1;
            apply::group(self.cgroups, group)?;
        }
        if let Some(unit) = self.unit {
            self.tell(unit, &mut reached.told)?;
        }
        match (&self.filter, self.cgroups) {
            (Some(filter), [only]) => {
                let directory = file::open(only.directory(), libc::O_RDONLY | libc::O_DIRECTORY)?;
                filter::put(&directory, filter)
            }
            _ => Ok(()),
        }
    }

    /// Informs systemd, and restores the files that it overwrites.
    fn tell(&self, unit: &Unit, told: &mut bool) -> Result<()> {
        let properties = self.properties(unit)?;
        if properties.is_empty() {
            return Ok(());
        }
        let kept = undo::kept_from_systemd(self.cgroups, &self.writes);
        unit.set(&properties)?;
        *told = true;
        kept.iter().try_for_each(|group| group.bring_back(self.cgroups))
    }

    fn properties(&self, unit: &Unit) -> Result<Vec<Property>> {
        let only = match self.cgroups {
            [only] if only.is_unified() => only,
            _ => return systemd::properties(&self.limits, false, || systemd::version(unit.user)),
        };
        let devices = Limits { devices: self.limits.devices.clone(), ..Limits::default() };
        let mut list = systemd::properties(&devices, true, || 0)?;
        list.extend(systemd::properties_of_files(only, &self.writes, || systemd::version(unit.user)));
        Ok(list)
    }

    /// Restores the old values. The error names the values that could not be restored.
    fn take_back(&self, reached: &Reached, error: Error) -> Error {
        let mut left: Vec<String> = Vec::new();
        for undo in self.undo[..reached.groups].iter().rev() {
            left.extend(undo.bring_back(self.cgroups).err().map(|e| e.to_string()));
        }
        match self.unit.filter(|_| reached.told) {
            // systemd gets the values from the files.
            Some(unit) if self.cgroups.iter().all(HierarchyCgroup::is_unified) => {
                left.extend(self.tell(unit, &mut true).err().map(|e| e.to_string()));
            }
            Some(unit) => left.push(format!("unit {:?} keeps the new properties", unit.name)),
            None => {}
        }
        match left.is_empty() {
            true => error,
            false => error.better_hint(&format!("some old limits could not be restored: {}", left.join("; "))),
        }
    }
}

/// v2's kernel would invoke the OOM killer for a limit below the current usage. v1's kernel refuses
/// it.
fn check_memory(cgroups: &[HierarchyCgroup], limits: &Limits) -> Result<()> {
    let Some(limit) = limits.memory.limit.filter(|n| limits.memory.check_before_update && *n > 0) else {
        return Ok(());
    };
    let Some(cgroup) = apply::cgroup_of(cgroups, "memory").filter(|b| b.is_unified()) else { return Ok(()) };
    let usage: i64 = cgroup.read("memory.current")?.parse().unwrap_or(0);
    if limit < usage {
        let problem = format!("rejecting memory limit {limit}: it is below the current usage of {usage}");
        return Err(Error::config("linux.resources.memory.limit", problem));
    }
    Ok(())
}

/// The writes that change v1's device list to the rules. A device that both lists allow is never
/// denied in between.
fn device_changes(cgroups: &[HierarchyCgroup], rules: &[Rule]) -> Result<Vec<Write>> {
    let target = Exceptions::from_rules(rules, "linux.resources.devices")?;
    let now = apply::cgroup_of(cgroups, "devices").and_then(|b| b.read("devices.list").ok()).unwrap_or_default();
    let write = |file: &'static str, value: String| Write::new("devices", "devices", file, value);
    if target.default_allow || now.lines().any(|line| line.starts_with('a')) {
        return Ok(target.writes().into_iter().map(|(file, value)| write(file, value)).collect());
    }
    let wanted: Vec<String> = target.list.iter().map(Rule::to_string).collect();
    let mut writes: Vec<Write> = Vec::new();
    for value in wanted.iter().filter(|value| now.lines().all(|line| line != value.as_str())) {
        writes.push(write("devices.allow", value.clone()));
    }
    for line in now.lines() {
        let Some((numbers, access)) = line.rsplit_once(' ') else { continue };
        let keep = wanted.iter().filter_map(|w| w.rsplit_once(' ')).find(|(n, _)| *n == numbers).map_or("", |w| w.1);
        let gone: String = access.chars().filter(|c| !keep.contains(*c)).collect();
        if !gone.is_empty() {
            writes.push(write("devices.deny", format!("{numbers} {gone}")));
        }
    }
    Ok(writes)
}
