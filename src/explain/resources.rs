//! The cgroup of a plan: its directories, and the values of its files.

use super::Section;
use crate::cgroups::write::Moment;
use crate::cgroups::{self, Cgroup, HierarchyCgroup, Layout, PlannedWrite};
use crate::container::parts::Parts;
use crate::error::Result;

/// The planned cgroup: its directories and the writes to its files.
type Planned = (Vec<HierarchyCgroup>, Vec<PlannedWrite>);

pub(super) fn cgroups(parts: &Parts, kept: Option<&cgroups::CgroupRecord>) -> Section {
    let mut section = Section::new("cgroups", "Control groups");
    let planned = match kept {
        Some(record) => record.planned(&parts.asked.limits).map(|writes| (record.cgroups.clone(), writes)),
        None => prepare(parts, &mut section),
    };
    match planned {
        Ok((cgroups, writes)) => fill(&mut section, parts, &cgroups, &writes),
        Err(error) => section.add("create", format!("refused on this host: {error}")),
    }
    section
}

fn prepare(parts: &Parts, section: &mut Section) -> Result<Planned> {
    let cgroup = Cgroup::prepare(&parts.asked, &Layout::read()?)?;
    if let Some((unit, slice, properties)) = cgroup.planned_unit() {
        section.add("systemd unit", format!("{unit} in {slice}"));
        for (name, value) in properties {
            section.add(format!("property {name}"), format!("{value:?}"));
        }
    }
    Ok((cgroup.cgroups().to_vec(), cgroup.planned()))
}

fn fill(section: &mut Section, parts: &Parts, cgroups: &[HierarchyCgroup], writes: &[PlannedWrite]) {
    if cgroups.is_empty() {
        return section.add("directory", "none: the container stays in its caller's cgroups");
    }
    for cgroup in cgroups {
        let name = if cgroup.is_unified() { "unified".to_owned() } else { cgroup.controllers.join(",") };
        section.add(format!("directory ({name})"), cgroup.directory());
    }
    for write in writes {
        section.add(&*write.write.file, value(write));
    }
    if cgroups.iter().all(HierarchyCgroup::is_unified) {
        section.add("devices", "a BPF program on the cgroup holds the device rules");
        if let Some(owner) = parts.asked.owner {
            section.add("owner", format!("user {owner}: the container may make cgroups in its own"));
        }
    }
}

fn value(PlannedWrite { directory, write }: &PlannedWrite) -> String {
    let moment = match write.moment {
        Moment::Early => "before its first process joins",
        Moment::Late => "once the container is built",
    };
    let mut text = format!("{:?}, {moment} (linux.resources.{})", write.value, write.field);
    if let Some((file, value)) = &write.instead {
        text += &format!("; on a kernel without the file {value:?} to {file}");
    }
    if write.optional {
        text += "; passed over on a kernel without the file";
    }
    if directory.is_empty() {
        text += "; refused on this host: no hierarchy has the controller";
    }
    text
}

/// The device rules: the last one that matches decides.
pub(super) fn devices(parts: &Parts) -> Section {
    let title = "Device rules: the last one that matches decides; without one there is no access";
    let rules = parts.asked.limits.devices.iter().flatten().enumerate().filter(|_| parts.asked.cgroups_path.is_some());
    let words = rules.map(|(n, rule)| {
        let access = if rule.allow { "allow" } else { "deny" };
        (format!("rule {}", n + 1), format!("{access} {rule}"))
    });
    Section::of("device-rules", title, words)
}
