//! The resource usage of a container, in the format of runc's `events --stats`, which engines
//! parse.

mod v1;
mod v2;

use super::hierarchy_cgroup::HierarchyCgroup;
use crate::cpulist;
use crate::json;
use serde::Serialize;

/// All counters. A section without a controller is empty.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Stats {
    /// CPU time.
    pub cpu: Cpu,
    /// The CPUs and memory nodes.
    pub cpuset: Cpuset,
    /// Memory.
    pub memory: Memory,
    /// Tasks.
    pub pids: Pids,
    /// Block devices.
    pub blkio: Blkio,
    /// Huge pages, by page size.
    pub hugetlb: json::Map<Hugetlb>,
}

/// CPU time.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Cpu {
    /// CPU time used.
    pub usage: CpuUsage,
    /// Throttled time.
    pub throttling: Throttling,
    /// Time spent waiting.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psi: Option<Pressure>,
}

/// Times in nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct CpuUsage {
    #[serde(skip_serializing_if = "is_zero")]
    pub total: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub percpu: Vec<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub percpu_kernel: Vec<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub percpu_user: Vec<u64>,
    pub kernel: u64,
    pub user: u64,
}

/// How often the quota was reached. The time is in nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Throttling {
    #[serde(skip_serializing_if = "is_zero")]
    pub periods: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub throttled_periods: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub throttled_time: u64,
}

/// Pressure stall information (Documentation/accounting/psi.rst of the kernel).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Pressure {
    /// Time in which at least one task was stalled.
    pub some: Stall,
    /// Time in which all tasks were stalled.
    pub full: Stall,
}

/// Percentages over the last seconds, and the total in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Stall {
    pub avg10: f64,
    pub avg60: f64,
    pub avg300: f64,
    pub total: u64,
}

/// cpuset(7).
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Cpuset {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cpus: Vec<u16>,
    pub cpu_exclusive: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mems: Vec<u16>,
    pub mem_hardwall: u64,
    pub mem_exclusive: u64,
    pub memory_migrate: u64,
    pub memory_spread_page: u64,
    pub memory_spread_slab: u64,
    pub memory_pressure: u64,
    pub sched_load_balance: u64,
    pub sched_relax_domain_level: i64,
}

/// Bytes.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Memory {
    #[serde(skip_serializing_if = "is_zero")]
    pub cache: u64,
    pub usage: MemoryEntry,
    pub swap: MemoryEntry,
    pub kernel: MemoryEntry,
    #[serde(rename = "kernelTCP")]
    pub kernel_tcp: MemoryEntry,
    #[serde(skip_serializing_if = "json::Map::is_empty")]
    pub raw: json::Map<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psi: Option<Pressure>,
}

/// Bytes, and how often the limit was reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct MemoryEntry {
    pub limit: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub usage: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub max: u64,
    pub failcnt: u64,
}

/// The number of tasks and its limit. 0 is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Pids {
    #[serde(skip_serializing_if = "is_zero")]
    pub current: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub limit: u64,
}

/// Huge pages of one size, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Hugetlb {
    #[serde(skip_serializing_if = "is_zero")]
    pub usage: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub max: u64,
    pub failcnt: u64,
}

/// Block devices.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Blkio {
    /// The counters that are not empty, by the names that engines know.
    #[serde(flatten)]
    pub counters: json::Map<Vec<BlkioEntry>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psi: Option<Pressure>,
}

/// A counter of a device.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct BlkioEntry {
    #[serde(skip_serializing_if = "is_zero")]
    pub major: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub minor: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub op: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub value: u64,
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// Reads all counters of a cgroup. A missing file leaves its counters at 0.
pub(super) fn read(cgroups: &[HierarchyCgroup]) -> Stats {
    match cgroups {
        [only] if only.is_unified() => v2::read(only),
        cgroups => v1::read(cgroups),
    }
}

/// A file with one number. `max` is `u64::MAX`, an invalid number 0.
fn number(cgroup: &HierarchyCgroup, file: &str) -> Option<u64> {
    cgroup.read(file).ok().map(|text| parse(&text))
}

fn parse(text: &str) -> u64 {
    if text == "max" { u64::MAX } else { text.parse().unwrap_or(0) }
}

/// A file with lines of `NAME NUMBER`.
fn table(cgroup: &HierarchyCgroup, file: &str) -> json::Map<u64> {
    let text = cgroup.read(file).unwrap_or_default();
    let rows = text.lines().filter_map(|line| line.split_once(' '));
    rows.filter_map(|(name, value)| Some((name.to_owned(), value.trim().parse().ok()?))).collect()
}

/// The numbers of a list such as `0-3,7`.
fn list(text: &str) -> Vec<u16> {
    let words = cpulist::parse(text, u16::MAX.into()).unwrap_or_default();
    cpulist::numbers(&words).map(|n| n as u16).collect()
}

/// Parses a pressure file. None if the kernel has no pressure accounting.
fn pressure(cgroup: &HierarchyCgroup, file: &str) -> Option<Pressure> {
    let text = cgroup.read(file).ok()?;
    let mut pressure = Pressure::default();
    for line in text.lines() {
        let mut stall = Stall::default();
        for (key, value) in line.split(' ').filter_map(|field| field.split_once('=')) {
            match key {
                "avg10" => stall.avg10 = json::float(value).unwrap_or(0.0),
                "avg60" => stall.avg60 = json::float(value).unwrap_or(0.0),
                "avg300" => stall.avg300 = json::float(value).unwrap_or(0.0),
                "total" => stall.total = value.parse().unwrap_or(0),
                _ => {}
            }
        }
        match line.split(' ').next() {
            Some("some") => pressure.some = stall,
            Some("full") => pressure.full = stall,
            _ => {}
        }
    }
    Some(pressure)
}

fn pids(cgroup: &HierarchyCgroup) -> Pids {
    let limit = number(cgroup, "pids.max").unwrap_or(0);
    Pids { current: number(cgroup, "pids.current").unwrap_or(0), limit: if limit == u64::MAX { 0 } else { limit } }
}

/// The huge page sizes, from the names `hugetlb.SIZE.END` in the directory.
fn huge_page_sizes(cgroup: &HierarchyCgroup, end: &str) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(cgroup.directory()) else { return Vec::new() };
    let names = entries.flatten().filter_map(|e| e.file_name().into_string().ok());
    let size = |name: String| name.strip_prefix("hugetlb.")?.strip_suffix(end).map(str::to_owned);
    names.filter_map(size).filter(|size| !size.contains('.')).collect()
}

#[cfg(test)]
mod tests;
