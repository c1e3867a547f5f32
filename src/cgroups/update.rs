//! New limits for a cgroup in use: all of them, or none.

use super::apply;
use super::branch::Branch;
use super::devices::{self, Exception, Exceptions, Rule};
use super::limits::Limits;
use super::write::Write;
use super::{unified, v1, v2};
use crate::error::{Error, Result};

/// Applies the limits; when one is refused, those before it are taken back.
///
/// # Errors
/// The first value that cannot be applied, with its field.
pub(super) fn update(branches: &[Branch], limits: &Limits) -> Result<()> {
    let only_unified = branches.iter().all(Branch::is_unified);
    let mut limits = limits.clone();
    check_memory(branches, &limits)?;
    let devices = limits.devices.take();
    let mut writes = if only_unified { v2::writes(&limits)? } else { v1::writes(&limits)? };
    if let (Some(rules), false) = (&devices, only_unified) {
        writes.extend(device_changes(branches, rules)?);
    }
    let before: Vec<Write> = writes.iter().rev().filter_map(|w| undo(branches, w)).collect();
    let done = apply::all(branches, &writes.iter().collect::<Vec<_>>());
    // The filter comes last: it replaces the old one at once, or fails and leaves it.
    let done = done.and_then(|()| match (&devices, branches) {
        (Some(rules), [only]) if only_unified => unified::enforce_devices(only, rules),
        _ => Ok(()),
    });
    if done.is_err() {
        for write in &before {
            let _ = apply::all(branches, &[write]);
        }
    }
    done
}

/// The limits with what stays as it is: the default devices, and the other half of quota and period, for which v2 has one
/// file and systemd one property.
pub(super) fn complete(branches: &[Branch], limits: &Limits) -> Limits {
    let mut limits = limits.clone();
    if let Some(rules) = &mut limits.devices {
        rules.extend(devices::defaults());
    }
    if branches.iter().all(Branch::is_unified) {
        complete_quota(branches, &mut limits);
    }
    limits
}

fn complete_quota(branches: &[Branch], limits: &mut Limits) {
    let cpu = &mut limits.cpu;
    if cpu.quota.is_some() == cpu.period.is_some() {
        return;
    }
    let Some(now) = apply::branch_of(branches, "cpu").and_then(|b| b.read("cpu.max").ok()) else { return };
    let Some((quota, period)) = now.split_once(' ') else { return };
    cpu.quota = cpu.quota.or(Some(quota.parse().unwrap_or(-1)));
    cpu.period = cpu.period.or(period.parse().ok());
}

/// v2's kernel would kill at a limit below what is in use; v1's refuses.
fn check_memory(branches: &[Branch], limits: &Limits) -> Result<()> {
    let Some(limit) = limits.memory.limit.filter(|n| limits.memory.check_before_update && *n > 0) else {
        return Ok(());
    };
    let Some(branch) = apply::branch_of(branches, "memory").filter(|b| b.is_unified()) else { return Ok(()) };
    let usage: i64 = branch.read("memory.current")?.parse().unwrap_or(0);
    if limit < usage {
        let problem = format!("rejecting memory limit {limit}: it is below the current usage of {usage}");
        return Err(Error::config("linux.resources.memory.limit", problem));
    }
    Ok(())
}

/// What brings v1's devices from their state to the rules without a moment in which what both allow is denied.
fn device_changes(branches: &[Branch], rules: &[Rule]) -> Result<Vec<Write>> {
    let target = Exceptions::from_rules(rules, "linux.resources.devices")?;
    let now = apply::branch_of(branches, "devices").and_then(|b| b.read("devices.list").ok()).unwrap_or_default();
    let write = |file: &'static str, value: String| Write::new("devices", "devices", file, value);
    if target.default_allow || now.lines().any(|line| line.starts_with('a')) {
        return Ok(target.writes().into_iter().map(|(file, value)| write(file, value)).collect());
    }
    let wanted: Vec<String> = target.list.iter().map(Exception::to_string).collect();
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

/// The write that brings the old value back.
fn undo(branches: &[Branch], write: &Write) -> Option<Write> {
    let mut undo = write.clone();
    undo.bond = None;
    undo.value = match write.file.as_ref() {
        "devices.allow" | "devices.deny" => {
            undo.file = if write.file == "devices.allow" { "devices.deny" } else { "devices.allow" }.into();
            return (write.value != "a").then_some(undo);
        }
        file => old_value(apply::branch_of(branches, &write.controller)?, file, &write.value)?,
    };
    if let Some((file, value)) = &write.instead {
        undo.instead = Some((file, old_value(apply::branch_of(branches, &write.controller)?, file, value)?));
    }
    Some(undo)
}

/// The value that a file holds now: of a table by device, the device's own line, or that there is no limit.
fn old_value(branch: &Branch, file: &str, new: &str) -> Option<String> {
    let text = branch.read(file).ok()?;
    let Some((key, rest)) = new.split_once(' ').filter(|(key, _)| key.contains(':')) else {
        return Some(text);
    };
    let line = text.lines().find(|line| line.split(' ').next() == Some(key));
    Some(match (line, rest.split_once('=')) {
        (Some(line), _) => line.to_owned(),
        (None, Some((name, _))) => format!("{key} {name}=max"),
        (None, None) => format!("{key} 0"),
    })
}
