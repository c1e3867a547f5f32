//! The checked form of `linux.resources`: what a container may use.

mod io;
mod parse;

pub(crate) use io::{Io, ThrottleKind};

use super::devices::Rule;

/// Limits of a container's cgroup. What is `None` (or empty) is left as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Device rules in their order, the last that matches counts; none: the rules stay as they are.
    pub devices: Option<Vec<Rule>>,
    /// Memory.
    pub memory: Memory,
    /// Processors.
    pub cpu: Cpu,
    /// How many tasks there may be; -1 is no limit.
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
    /// Files of cgroup v2 and their content.
    pub unified: Vec<(String, String)>,
}

impl Limits {
    /// The highest processor or memory node that a list may name. No kernel counts so far, and a list as bits is as long as its
    /// highest number says.
    pub(crate) const HIGHEST_IN_LIST: u32 = 65_535;

    /// Whether a process may be killed for want of memory while the container is made: that takes less than a MiB.
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
    /// Whether tasks wait instead of being killed when memory is out.
    pub disable_oom_killer: Option<bool>,
    /// v1: whether children count towards this cgroup.
    pub use_hierarchy: Option<bool>,
    /// Refuse a limit below what is in use (v1's kernel does so by itself).
    pub check_before_update: bool,
}

/// Processor limits; times are in microseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cpu {
    /// The relative share, 2 to 262144.
    pub shares: Option<u64>,
    /// Time in each period; -1 is unlimited.
    pub quota: Option<i64>,
    /// Time that may be saved up.
    pub burst: Option<u64>,
    /// The period of `quota`.
    pub period: Option<u64>,
    /// Realtime: time in each period.
    pub realtime_runtime: Option<i64>,
    /// Realtime: the period.
    pub realtime_period: Option<u64>,
    /// Processors, as a list `0-3,7`.
    pub cpus: Option<String>,
    /// Memory nodes, as a list.
    pub mems: Option<String>,
    /// Whether it runs only when nothing else does.
    pub idle: Option<bool>,
}

/// Limits of one RDMA device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rdma {
    /// The device's name.
    pub device: String,
    /// How many handles.
    pub handles: Option<u32>,
    /// How many objects.
    pub objects: Option<u32>,
}

#[cfg(test)]
mod tests;
