//! Old values of the files of a cgroup, for a rollback.

use super::apply;
use super::hierarchy_cgroup::HierarchyCgroup;
use super::write::Write;
use crate::error::Result;

/// The old values of files that depend on each other, see [`Write::retry_group`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Undo(Vec<Write>);

/// The retry group of old values.
const RETRY_GROUP: &str = "as before";

impl Undo {
    /// Reads the current values of the files that a group of writes changes. An unreadable file is
    /// left out, since its value cannot be restored.
    pub(super) fn of(cgroups: &[HierarchyCgroup], group: &[Write]) -> Undo {
        let mut list = Vec::new();
        for write in group {
            let Some(cgroup) = apply::cgroup_of(cgroups, &write.controller) else { continue };
            match write.file.as_ref() {
                "devices.allow" | "devices.deny" => list.extend(devices(cgroup, write)),
                "cpu.idle" | "cpu.weight" | "cpu.weight.nice" | "cpu.shares" => list.extend(weight(cgroup, write)),
                _ => list.extend(old_value(cgroup, write)),
            }
        }
        list.dedup();
        Undo(list.into_iter().map(|write| write.in_retry_group(RETRY_GROUP)).collect())
    }

    /// Writes the old values that differ from the current ones.
    ///
    /// # Errors
    /// The first value that the kernel refuses.
    pub(super) fn bring_back(&self, cgroups: &[HierarchyCgroup]) -> Result<()> {
        let differs = |write: &&Write| {
            let cgroup = apply::cgroup_of(cgroups, &write.controller);
            cgroup.and_then(|cgroup| old_value(cgroup, write)).is_none_or(|now| now.value != write.value)
        };
        let left: Vec<Write> = self.0.iter().filter(differs).cloned().collect();
        apply::group(cgroups, &left)
    }
}

/// The files that systemd may write when it changes another limit of the same controller, grouped
/// by their dependencies.
const OF_SYSTEMD: &[&[&str]] = &[
    &["memory.min"],
    &["memory.low"],
    &["memory.high"],
    &["memory.max"],
    &["memory.swap.max"],
    &["memory.zswap.max"],
    &["memory.zswap.writeback"],
    &["memory.oom.group"],
    &["cpu.idle"],
    &["cpu.max", "cpu.max.burst"],
    &["cpuset.cpus"],
    &["cpuset.mems"],
    &["io.weight"],
    &["io.bfq.weight"],
    &["pids.max"],
];

/// Saves the current values of the files that systemd may overwrite, and of the files in `writes`.
pub(super) fn kept_from_systemd(cgroups: &[HierarchyCgroup], writes: &[Write]) -> Vec<Undo> {
    let writes = writes.iter().filter(|write| !write.file.starts_with("devices."));
    let mut groups: Vec<Undo> =
        writes.map(|write| Undo::of(cgroups, std::slice::from_ref(write))).filter(|undo| !undo.0.is_empty()).collect();
    if let [only] = cgroups
        && only.is_unified()
    {
        for files in OF_SYSTEMD {
            let group: Vec<Write> = files
                .iter()
                .map(|file| {
                    let controller = file.split('.').next().unwrap_or_default();
                    let mut write = Write::new("unified", "", *file, String::new());
                    write.controller = controller.into();
                    write.field = (*file).into();
                    write
                })
                .collect();
            groups.push(Undo::of(cgroups, &group));
        }
    }
    groups
}

/// A write that restores the current value of its file. In a file of keyed lines it is the line
/// with the same key, or "no limit" if that line is missing.
fn old_value(cgroup: &HierarchyCgroup, write: &Write) -> Option<Write> {
    let now = |file: &str, new: &str| cgroup.read(file).ok().map(|text| line(file, &text, new));
    let mut old = Write { instead: None, ..write.clone() };
    match (now(&write.file, &write.value), &write.instead) {
        (Some(value), _) => old.value = value,
        (None, Some((file, new))) => {
            old.file = (*file).into();
            old.value = now(file, new)?;
        }
        (None, None) => return None,
    }
    Some(old)
}

fn line(file: &str, text: &str, new: &str) -> String {
    if file == "memory.oom_control" {
        return text.lines().find_map(|line| line.strip_prefix("oom_kill_disable ")).unwrap_or(text).to_owned();
    }
    // The kernel ignores a write of zero bytes.
    if text.is_empty() {
        return "\n".to_owned();
    }
    let key_of = |line: &str| line.split(' ').next().unwrap_or_default().to_owned();
    let is_table = new.contains(':') || text.contains('\n') || text.starts_with("default ");
    if !is_table {
        return text.to_owned();
    }
    // A weight without a key is the default weight.
    let key = if new.contains(' ') { key_of(new) } else { "default".to_owned() };
    match (
        text.lines().find(|line| key_of(line) == key),
        new.split_once(' ').and_then(|(_, rest)| rest.split_once('=')),
    ) {
        (Some(line), _) => line.to_owned(),
        (None, Some((name, _))) => format!("{key} {name}=max"),
        (None, None) if key == "default" => text.lines().next().unwrap_or_default().to_owned(),
        (None, None) if file.ends_with("weight") => format!("{key} default"),
        (None, None) => format!("{key} 0"),
    }
}

/// Restores v1's device list if all of it was replaced, or reverts a single change.
fn devices(cgroup: &HierarchyCgroup, write: &Write) -> Vec<Write> {
    let with = |file: &'static str, value: &str| Write { file: file.into(), value: value.to_owned(), ..write.clone() };
    if write.value != "a" {
        let opposite = if write.file == "devices.allow" { "devices.deny" } else { "devices.allow" };
        return vec![with(opposite, &write.value)];
    }
    let now = cgroup.read("devices.list").unwrap_or_default();
    if now.lines().any(|line| line.starts_with('a')) {
        return vec![with("devices.allow", "a")];
    }
    let each = now.lines().map(|line| with("devices.allow", line));
    [with("devices.deny", "a")].into_iter().chain(each).collect()
}

/// A cgroup has a weight or is idle: setting one value resets the other.
fn weight(cgroup: &HierarchyCgroup, write: &Write) -> Vec<Write> {
    let with = |file: &'static str| Write { file: file.into(), instead: None, ..write.clone() };
    let idle = old_value(cgroup, &with("cpu.idle"));
    if idle.as_ref().is_some_and(|idle| idle.value == "1") {
        return idle.into_iter().collect();
    }
    let file = if cgroup.is_unified() { "cpu.weight" } else { "cpu.shares" };
    idle.into_iter().chain(old_value(cgroup, &with(file))).collect()
}

#[cfg(test)]
mod tests {
    use super::line;

    #[test]
    fn of_a_table_the_line_of_the_same_key_is_kept() {
        for (file, text, new, old) in [
            ("cpu.max", "max 100000", "5000 10000", "max 100000"),
            ("pids.max", "max", "7", "max"),
            ("cpuset.cpus", "", "0", "\n"),
            ("io.max", "8:0 rbps=1 wbps=max\n8:16 rbps=2", "8:16 rbps=5", "8:16 rbps=2"),
            ("io.max", "", "8:16 rbps=5", "\n"),
            ("io.max", "8:0 rbps=1", "8:16 wiops=5", "8:16 wiops=max"),
            ("io.weight", "default 100\n8:0 50", "default 7", "default 100"),
            ("io.weight", "default 100\n8:0 50", "7", "default 100"),
            ("io.weight", "default 100", "8:0 7", "8:0 default"),
            ("blkio.throttle.read_bps_device", "8:0 9", "8:0 7", "8:0 9"),
            ("net_prio.ifpriomap", "lo 0\neth0 3", "eth0 5", "eth0 3"),
            ("rdma.max", "a hca_handle=1 hca_object=2\nb hca_handle=max", "b hca_handle=2", "b hca_handle=max"),
            ("memory.oom_control", "oom_kill_disable 0\nunder_oom 0", "1", "0"),
        ] {
            assert_eq!(line(file, text, new), old, "{file} {new}");
        }
    }
}
