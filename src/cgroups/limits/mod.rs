//! The checked form of `linux.resources`.

mod io;
mod parse;

pub(crate) use io::Io;

use super::devices::Rule;

/// The limits of a cgroup. `None` or an empty list leaves a limit unchanged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Device rules, of which the last match counts. None leaves the rules unchanged.
    pub devices: Option<Vec<Rule>>,
    /// Memory.
    pub memory: Memory,
    /// CPU.
    pub cpu: Cpu,
    /// The maximum number of tasks. -1 is no limit.
    pub pids: Option<i64>,
    /// Block devices.
    pub io: Io,
    /// Limits of huge pages in bytes, by page size (`2MB`).
    pub hugepages: Vec<(String, u64)>,
    /// net_cls: the class of all packets.
    pub class_id: Option<u32>,
    /// net_prio: priorities by interface.
    pub priorities: Vec<(String, u32)>,
    /// RDMA devices.
    pub rdma: Vec<Rdma>,
    /// Files of cgroup v2 and their values.
    pub unified: Vec<(String, String)>,
}

impl Limits {
    /// The highest CPU or memory node in a list. It exceeds the numbers of any kernel, and bounds
    /// the size of a bit mask of the list.
    pub(crate) const HIGHEST_IN_LIST: u32 = 65_535;

    /// Whether the memory limit may be so small that the OOM killer kills the launch, which
    /// needs less than a MiB.
    pub(crate) fn memory_is_low(&self) -> bool {
        const ENOUGH: i64 = 8 << 20;
        let small = |limit: Option<i64>| limit.is_some_and(|bytes| (0..ENOUGH).contains(&bytes));
        small(self.memory.limit)
            || small(self.memory.kernel)
            || self.unified.iter().any(|(file, _)| file.starts_with("memory."))
    }
}

/// Memory limits, in bytes; -1 is unlimited.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Memory {
    /// Memory.
    pub limit: Option<i64>,
    /// The soft limit.
    pub reservation: Option<i64>,
    /// Memory and swap together.
    pub swap: Option<i64>,
    /// Kernel memory.
    pub kernel: Option<i64>,
    /// TCP buffers.
    pub kernel_tcp: Option<i64>,
    /// From 0 to 100.
    pub swappiness: Option<u64>,
    /// Whether tasks wait for memory instead of being killed by the OOM killer.
    pub disable_oom_killer: Option<bool>,
    /// v1: whether the memory of child cgroups is charged to this cgroup.
    pub use_hierarchy: Option<bool>,
    /// Whether to refuse a limit below the current usage. v1's kernel does so itself.
    pub check_before_update: bool,
}

/// CPU limits. Times are in microseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cpu {
    /// The relative share, 2 to 262144.
    pub shares: Option<u64>,
    /// CPU time in each period. -1 is unlimited.
    pub quota: Option<i64>,
    /// CPU time that may be accumulated.
    pub burst: Option<u64>,
    /// The period of `quota`.
    pub period: Option<u64>,
    /// CPU time of realtime tasks in each period.
    pub realtime_runtime: Option<i64>,
    /// The period for realtime tasks.
    pub realtime_period: Option<u64>,
    /// CPUs, as a list `0-3,7`.
    pub cpus: Option<String>,
    /// Memory nodes, as a list.
    pub mems: Option<String>,
    /// Whether the cgroup runs only on idle CPUs.
    pub idle: Option<bool>,
}

/// Limits of one RDMA device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rdma {
    /// The device's name.
    pub device: String,
    /// The maximum number of handles.
    pub handles: Option<u32>,
    /// The maximum number of objects.
    pub objects: Option<u32>,
}

#[cfg(test)]
mod tests;
