//! Limits as files and values of cgroup v2 (Documentation/admin-guide/cgroup-v2.rst of the kernel).
//!
//! Device rules are not in files on v2, see `filter`.

use super::limits::{Cpu, Io, Limits, Memory};
use super::v1::{or_max, rdma_value};
use super::write::Write;
use crate::error::{Error, Result};

/// The writes that set the limits, in their order. `unified` comes last, so that it overrides the
/// other fields.
///
/// # Errors
/// A limit does not exist on v2, or cannot be converted.
pub(crate) fn writes(limits: &Limits) -> Result<Vec<Write>> {
    let mut list = Vec::new();
    refuse_those_of_v1(limits)?;
    cpu(&limits.cpu, &mut list);
    io(&limits.io, &mut list);
    for (size, limit) in &limits.hugepages {
        let field = "hugepageLimits";
        list.push(Write::new(field, "hugetlb", format!("hugetlb.{size}.max"), limit.to_string()));
        list.push(Write::new(field, "hugetlb", format!("hugetlb.{size}.rsvd.max"), limit.to_string()).optional());
    }
    for device in &limits.rdma {
        list.push(Write::new("rdma", "rdma", "rdma.max", rdma_value(device)));
    }
    memory(&limits.memory, &mut list)?;
    if let Some(limit) = limits.pids {
        list.push(Write::new("pids.limit", "pids", "pids.max", or_max(limit)).late());
    }
    unified(limits, &mut list);
    Ok(list)
}

fn refuse_those_of_v1(limits: &Limits) -> Result<()> {
    let Limits { cpu, io, memory, .. } = limits;
    let of_v1 = [
        ("cpu.realtimeRuntime", cpu.realtime_runtime.is_some() || cpu.realtime_period.is_some()),
        ("blockIO.leafWeight", io.leaf_weight.is_some() || io.weight_devices.iter().any(|d| d.leaf_weight.is_some())),
        ("network.classID", limits.class_id.is_some()),
        ("network.priorities", !limits.priorities.is_empty()),
        ("memory.kernel", memory.kernel.is_some_and(|n| n > 0)),
        ("memory.kernelTCP", memory.kernel_tcp.is_some_and(|n| n > 0)),
        ("memory.swappiness", memory.swappiness.is_some()),
        ("memory.disableOOMKiller", memory.disable_oom_killer == Some(true)),
        ("memory.useHierarchy", memory.use_hierarchy == Some(false)),
    ];
    of_v1.iter().find(|(_, is_set)| *is_set).map_or(Ok(()), |(field, _)| {
        let problem = "cgroup v2, which this machine uses, has no such limit";
        Err(Error::config(format!("linux.resources.{field}"), problem))
    })
}

/// Converts v1's shares to a weight of cgroup v2: 2 is 1, 1024 is 100, 262144 is 10000. Between
/// these points it is 10^((l² + 125·l) / 612 − 7/34), with l the binary logarithm of the shares,
/// rounded up.
pub(crate) fn weight_of_shares(shares: u64) -> u64 {
    if shares <= 2 {
        return 1;
    }
    if shares >= 262_144 {
        return 10_000;
    }
    let l = (shares as f64).log2();
    let exponent = (l * l + 125.0 * l) / 612.0 - 7.0 / 34.0;
    // Not powf, whose tables are 6 KB. Where the power is a whole number, exp2 may be above it by less than this.
    const ROUNDING: f64 = 1e-9;
    ((exponent * std::f64::consts::LOG2_10).exp2() - ROUNDING).ceil() as u64
}

/// Converts v1's blkio weight (10 to 1000) to `io.weight` (1 to 10000).
pub(crate) fn io_weight(weight: u16) -> u64 {
    1 + (u64::from(weight.clamp(10, 1000)) - 10) * 9999 / 990
}

/// The value of `memory.swap.max` for v1's limit of memory and swap together. None leaves it
/// unchanged.
///
/// # Errors
/// The limit is set without a memory limit, or is below it.
pub(crate) fn swap_max(swap: Option<i64>, limit: Option<i64>) -> Result<Option<i64>> {
    let at = |problem: &str| Error::config("linux.resources.memory.swap", problem);
    match (swap, limit) {
        (None, Some(-1)) => Ok(Some(-1)),
        (None, _) => Ok(None),
        (Some(-1), _) => Ok(Some(-1)),
        (Some(_), None | Some(-1)) => Err(at("unable to set swap limit without memory limit")),
        (Some(swap), Some(limit)) if swap < limit => Err(at("memory+swap limit should be >= memory limit")),
        (Some(swap), Some(limit)) => Ok(Some(swap - limit)),
    }
}

fn cpu(cpu: &Cpu, list: &mut Vec<Write>) {
    // An idle cgroup refuses a weight.
    let shares = cpu.shares.filter(|_| cpu.idle != Some(true));
    let quota = cpu.quota.map_or("max".to_owned(), or_max);
    let max = format!("{quota} {}", cpu.period.unwrap_or(100_000));
    let is_limited = cpu.quota.is_some() || cpu.period.is_some();
    let fields = [
        ("cpu.cpus", "cpuset", "cpuset.cpus", cpu.cpus.clone(), None),
        ("cpu.mems", "cpuset", "cpuset.mems", cpu.mems.clone(), None),
        ("cpu.idle", "cpu", "cpu.idle", cpu.idle.map(|idle| u8::from(idle).to_string()), Some("weight")),
        ("cpu.shares", "cpu", "cpu.weight", shares.map(|n| weight_of_shares(n).to_string()), Some("weight")),
        ("cpu.burst", "cpu", "cpu.max.burst", cpu.burst.map(|n| n.to_string()), Some("quota")),
        ("cpu.quota", "cpu", "cpu.max", is_limited.then_some(max), Some("quota")),
    ];
    for (field, controller, file, value, retry_group) in fields {
        list.extend(value.map(|value| Write { retry_group, ..Write::new(field, controller, file, value) }));
    }
}

fn io(io: &Io, list: &mut Vec<Write>) {
    if let Some(weight) = io.weight {
        let mut write = Write::new("blockIO.weight", "io", "io.bfq.weight", weight.to_string());
        write.instead = Some(("io.weight", io_weight(weight).to_string()));
        list.push(write);
    }
    for entry in &io.weight_devices {
        let Some(weight) = entry.weight else { continue };
        let (major, minor) = entry.device;
        let mut write = Write::new("blockIO.weightDevice", "io", "io.bfq.weight", format!("{major}:{minor} {weight}"));
        write.instead = Some(("io.weight", format!("{major}:{minor} {}", io_weight(weight))));
        list.push(write);
    }
    for throttle in &io.throttles {
        // A rate of 0 means no limit on v1. v2 refuses it.
        let rate = if throttle.rate == 0 { "max".to_owned() } else { throttle.rate.to_string() };
        let value = format!("{}:{} {}={rate}", throttle.device.0, throttle.device.1, throttle.kind.key);
        list.push(Write::new(throttle.kind.field, "io", "io.max", value));
    }
}

fn memory(memory: &Memory, list: &mut Vec<Write>) -> Result<()> {
    if let Some(reservation) = memory.reservation {
        let write = Write::new("memory.reservation", "memory", "memory.low", or_max(reservation));
        list.push(write.late());
    }
    if let Some(swap) = swap_max(memory.swap, memory.limit)? {
        let write = Write::new("memory.swap", "memory", "memory.swap.max", or_max(swap)).late();
        // A kernel without swap accounting cannot limit swap.
        list.push(if swap < 0 { write.optional() } else { write });
    }
    if let Some(limit) = memory.limit {
        list.push(Write::new("memory.limit", "memory", "memory.max", or_max(limit)).late());
    }
    Ok(())
}

/// Files with nested keys take one device in each write, so each line is written separately.
fn unified(limits: &Limits, list: &mut Vec<Write>) {
    for (file, value) in &limits.unified {
        let controller = file.split('.').next().unwrap_or_default().to_owned();
        for line in value.lines() {
            let mut write = Write::new("unified", "", file.clone(), line.to_owned());
            write.controller = controller.clone().into();
            write.field = format!("unified.{file}").into();
            let late = controller == "memory" || controller == "pids";
            list.push(if late { write.late() } else { write });
        }
    }
}
