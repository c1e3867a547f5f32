//! The values of a container's cgroup files.

use super::Comparison;
use crate::cgroups::PlannedWrite;
use crate::cgroups::write::Write;
use crate::cpulist;
use crate::error::Result;
use crate::sys::memory;
use std::collections::BTreeSet;

/// Any number from here on is no limit: the highest one that v1 shows, rounded down to pages of 64 KiB.
const NO_LIMIT: i64 = i64::MAX - 0xffff;

impl Comparison<'_> {
    pub(super) fn cgroups(&mut self) -> Result<()> {
        let writes = self.record.cgroup.planned(&self.parts.asked.limits)?;
        self.membership()?;
        self.device_rules(&writes);
        for (n, PlannedWrite { directory, write }) in writes.iter().enumerate() {
            let is_same = |later: &PlannedWrite| {
                later.directory == *directory && later.write.file == write.file && key(&later.write) == key(write)
            };
            if !write.file.starts_with("devices.") && !writes[n + 1..].iter().any(is_same) {
                self.value(directory, write);
            }
        }
        Ok(())
    }

    /// The process is in each of its cgroups, or in one that it made below.
    fn membership(&mut self) -> Result<()> {
        let pid = self.pid.to_string();
        for cgroup in &self.record.cgroup.cgroups.clone() {
            let is_member = match cgroup.read("cgroup.procs") {
                // It is gone, or a threaded cgroup.
                Err(e) if [libc::ENOENT, libc::ENODEV, libc::EOPNOTSUPP].contains(&e.errno().0) => false,
                processes => processes?.lines().any(|line| line == pid),
            };
            if !is_member && !cgroup.has_children() {
                self.add("cgroups", cgroup.directory(), format!("holds process {pid}"), "does not hold it");
            }
        }
        Ok(())
    }

    /// v1 lists the exceptions of a cgroup that has no access by default.
    fn device_rules(&mut self, writes: &[PlannedWrite]) {
        let mut rules = writes.iter().filter(|planned| planned.write.file.starts_with("devices."));
        let resets = |first: &&PlannedWrite| first.write.file == "devices.deny" && first.write.value == "a";
        let Some(first) = rules.next().filter(resets) else { return };
        let Ok(text) = std::fs::read_to_string(format!("{}/devices.list", first.directory)) else { return };
        let planned: BTreeSet<&str> = rules.map(|planned| planned.write.value.as_str()).collect();
        let found: BTreeSet<&str> = text.lines().collect();
        for rule in planned.difference(&found) {
            self.add("cgroups", "devices.list", *rule, "no such rule");
        }
        for rule in found.difference(&planned) {
            self.add("cgroups", "devices.list", "no such rule", *rule);
        }
    }

    fn value(&mut self, directory: &str, write: &Write) {
        let read = |file: &str| std::fs::read_to_string(format!("{directory}/{file}"));
        let instead = write.instead.as_ref();
        let found = match (read(&write.file), instead) {
            (Ok(text), _) => Ok((text, &write.value)),
            (Err(_), Some((file, value))) => read(file).map(|text| (text, value)),
            (Err(error), None) => Err(error),
        };
        match found {
            Ok((text, value)) if agrees(&write.file, value, text.trim()) => {}
            Ok((text, value)) => self.add("cgroups", &*write.file, value.clone(), text.trim()),
            Err(_) if write.optional => {}
            Err(error) => self.add("cgroups", &*write.file, write.value.clone(), error.to_string()),
        }
    }
}

/// The device, interface or page size of a value in a file of many; none in a file of one.
fn key(write: &Write) -> Option<&str> {
    let (key, _) = write.value.split_once(' ')?;
    (write.file != "cpu.max").then_some(key)
}

/// Whether the kernel shows `found`, the content of a file, for the value that was written.
fn agrees(file: &str, written: &str, found: &str) -> bool {
    if written == found {
        return true;
    }
    match file {
        "cpuset.cpus" | "cpuset.mems" => {
            let list = |text: &str| cpulist::parse(text, u32::MAX >> 8);
            list(written).is_some() && list(written) == list(found)
        }
        "memory.oom_control" => found.lines().any(|line| line == format!("oom_kill_disable {written}")),
        "cpu.shares" => number(written).map(|shares| shares.clamp(2, 262_144)) == number(found),
        // Without a kernel that schedules by weights the default stands there in words.
        "io.weight" | "io.bfq.weight" => found.lines().any(|line| line == format!("default {written}")),
        _ if written.contains(' ') && file != "cpu.max" => line_agrees(written, found),
        _ => number_agrees(file, written, found),
    }
}

/// One line of a file with a line for each device: every word stands in the line that begins alike. A line of a device without
/// limits is missing.
fn line_agrees(written: &str, found: &str) -> bool {
    let mut words = written.split(' ');
    let key = words.next().unwrap_or_default();
    match found.lines().find(|line| line.split(' ').next() == Some(key)) {
        Some(line) => words.all(|word| line.split(' ').any(|other| other == word)),
        None => words.all(|word| word == "0" || word.ends_with("=max")),
    }
}

/// A number of bytes is rounded down to pages.
fn number_agrees(file: &str, written: &str, found: &str) -> bool {
    let (Some(written), Some(found)) = (number(written), number(found)) else { return false };
    let unit = match page_of(file) {
        Some(unit) => unit,
        None if file.starts_with("memory.") => i64::try_from(memory::page_size()).unwrap_or(4096),
        None => 1,
    };
    let rounded = written / unit * unit;
    found == rounded || (written >= NO_LIMIT && found >= NO_LIMIT)
}

/// The page size in the name of a file such as `hugetlb.2MB.max`.
fn page_of(file: &str) -> Option<i64> {
    let size = file.strip_prefix("hugetlb.")?.split('.').next()?;
    let digits = size.find(|c: char| !c.is_ascii_digit())?;
    let unit = match &size[digits..] {
        "KB" => 1 << 10,
        "MB" => 1 << 20,
        "GB" => 1 << 30,
        _ => return None,
    };
    size[..digits].parse::<i64>().ok()?.checked_mul(unit)
}

/// A number; `max` and -1 are the highest one.
fn number(text: &str) -> Option<i64> {
    match text {
        "max" | "-1" => Some(i64::MAX),
        text => text.parse::<u64>().ok().map(|n| i64::try_from(n).unwrap_or(i64::MAX)),
    }
}

#[cfg(test)]
mod tests {
    use super::agrees;

    #[test]
    fn the_kernels_form_of_a_value_is_no_drift_and_another_value_is() {
        for (file, written, shown, other) in [
            ("memory.limit_in_bytes", "100000001", "99999744", "99995648"),
            ("memory.limit_in_bytes", "-1", "9223372036854771712", "4096"),
            ("memory.max", "max", "max", "4096"),
            ("memory.oom_control", "0", "oom_kill_disable 0\nunder_oom 0", "oom_kill_disable 1\nunder_oom 0"),
            ("cpuset.cpus", "0,1", "0-1", "0"),
            ("cpu.shares", "1", "2", "3"),
            ("cpu.max", "50000 100000", "50000 100000", "max 100000"),
            ("cpu.cfs_quota_us", "-1", "-1", "1000"),
            ("pids.max", "100", "100", "101"),
            ("hugetlb.2MB.limit_in_bytes", "3000000", "2097152", "4194304"),
            ("io.max", "8:0 rbps=100", "8:0 rbps=100 wbps=max riops=max wiops=max", "8:0 rbps=200 wbps=max"),
            ("io.max", "8:0 rbps=max", "", "8:0 rbps=200 wbps=max"),
            ("blkio.throttle.read_bps_device", "8:0 100", "8:0 100", "8:0 200"),
        ] {
            assert!(agrees(file, written, shown), "{file} {written}: {shown}");
            assert!(!agrees(file, written, other), "{file} {written}: {other}");
        }
    }
}
