//! Limits as files and values of cgroup v1 (Documentation/admin-guide/cgroup-v1 of the kernel).

use super::devices::Exceptions;
use super::limits::{Cpu, Io, Limits, Memory};
use super::write::Write;
use crate::error::{Error, Result};

/// The writes that set the limits, in their order.
///
/// # Errors
/// A limit does not exist on v1.
pub(crate) fn writes(limits: &Limits) -> Result<Vec<Write>> {
    if !limits.unified.is_empty() {
        return Err(Error::config("linux.resources.unified", "invalid configuration: cannot use unified on cgroup v1"));
    }
    let mut list = Vec::new();
    if let Some(rules) = &limits.devices {
        let state = Exceptions::from_rules(rules, "linux.resources.devices")?;
        list.extend(state.writes().into_iter().map(|(file, value)| Write::new("devices", "devices", file, value)));
    }
    cpu(&limits.cpu, &mut list);
    io(&limits.io, &mut list);
    for (size, limit) in &limits.hugepages {
        let field = "hugepageLimits";
        let file = format!("hugetlb.{size}.limit_in_bytes");
        list.push(Write::new(field, "hugetlb", file, limit.to_string()));
        let reserved = format!("hugetlb.{size}.rsvd.limit_in_bytes");
        list.push(Write::new(field, "hugetlb", reserved, limit.to_string()).optional());
    }
    if let Some(class) = limits.class_id {
        list.push(Write::new("network.classID", "net_cls", "net_cls.classid", class.to_string()));
    }
    for (name, priority) in &limits.priorities {
        let value = format!("{name} {priority}");
        list.push(Write::new("network.priorities", "net_prio", "net_prio.ifpriomap", value));
    }
    for device in &limits.rdma {
        list.push(Write::new("rdma", "rdma", "rdma.max", rdma_value(device)));
    }
    memory(&limits.memory, &mut list);
    if let Some(limit) = limits.pids {
        list.push(Write::new("pids.limit", "pids", "pids.max", or_max(limit)).late());
    }
    Ok(list)
}

/// The value of a limit, with `max` for a negative one.
pub(super) fn or_max(limit: i64) -> String {
    if limit < 0 { "max".to_owned() } else { limit.to_string() }
}

/// `mlx5_1 hca_handle=3 hca_object=10000`, in both versions.
pub(super) fn rdma_value(device: &super::limits::Rdma) -> String {
    let mut value = device.device.clone();
    for (key, number) in [("hca_handle", device.handles), ("hca_object", device.objects)] {
        if let Some(number) = number {
            value.push_str(&format!(" {key}={number}"));
        }
    }
    value
}

fn cpu(cpu: &Cpu, list: &mut Vec<Write>) {
    let text = |n: Option<u64>| n.map(|n| n.to_string());
    let signed = |n: Option<i64>| n.map(|n| n.to_string());
    let fields = [
        ("cpu.cpus", "cpuset", "cpuset.cpus", cpu.cpus.clone(), None),
        ("cpu.mems", "cpuset", "cpuset.mems", cpu.mems.clone(), None),
        // A realtime process cannot join a cgroup that has no realtime budget.
        ("cpu.realtimePeriod", "cpu", "cpu.rt_period_us", text(cpu.realtime_period), Some("realtime")),
        ("cpu.realtimeRuntime", "cpu", "cpu.rt_runtime_us", signed(cpu.realtime_runtime), Some("realtime")),
        // An idle cgroup refuses shares.
        ("cpu.shares", "cpu", "cpu.shares", text(cpu.shares), Some("weight")),
        ("cpu.idle", "cpu", "cpu.idle", text(cpu.idle.map(u64::from)), Some("weight")),
        ("cpu.period", "cpu", "cpu.cfs_period_us", text(cpu.period), Some("quota")),
        ("cpu.quota", "cpu", "cpu.cfs_quota_us", signed(cpu.quota), Some("quota")),
        ("cpu.burst", "cpu", "cpu.cfs_burst_us", text(cpu.burst), Some("quota")),
    ];
    for (field, controller, file, value, retry_group) in fields {
        list.extend(value.map(|value| Write { retry_group, ..Write::new(field, controller, file, value) }));
    }
}

fn io(io: &Io, list: &mut Vec<Write>) {
    if let Some(weight) = io.weight {
        let write = Write::new("blockIO.weight", "blkio", "blkio.weight", weight.to_string());
        list.push(write.or("blkio.bfq.weight"));
    }
    if let Some(weight) = io.leaf_weight {
        list.push(Write::new("blockIO.leafWeight", "blkio", "blkio.leaf_weight", weight.to_string()));
    }
    for entry in &io.weight_devices {
        let (major, minor) = entry.device;
        let value = |weight: u16| format!("{major}:{minor} {weight}");
        if let Some(weight) = entry.weight {
            let write = Write::new("blockIO.weightDevice", "blkio", "blkio.weight_device", value(weight));
            list.push(write.or("blkio.bfq.weight_device"));
        }
        if let Some(weight) = entry.leaf_weight {
            list.push(Write::new("blockIO.weightDevice", "blkio", "blkio.leaf_weight_device", value(weight)));
        }
    }
    for throttle in &io.throttles {
        let value = format!("{}:{} {}", throttle.device.0, throttle.device.1, throttle.rate);
        list.push(Write::new(throttle.kind.field, "blkio", throttle.kind.file, value));
    }
}

fn memory(memory: &Memory, list: &mut Vec<Write>) {
    let fields = [
        ("memory.useHierarchy", "memory.use_hierarchy", memory.use_hierarchy.map(i64::from)),
        ("memory.kernel", "memory.kmem.limit_in_bytes", memory.kernel),
        ("memory.kernelTCP", "memory.kmem.tcp.limit_in_bytes", memory.kernel_tcp),
        ("memory.reservation", "memory.soft_limit_in_bytes", memory.reservation),
        ("memory.swappiness", "memory.swappiness", memory.swappiness.map(|n| n as i64)),
        ("memory.disableOOMKiller", "memory.oom_control", memory.disable_oom_killer.map(i64::from)),
    ];
    for (field, file, value) in fields {
        list.extend(value.map(|value| Write::new(field, "memory", file, value.to_string()).late()));
    }
    // Raising only the memory limit to unlimited would exceed the old limit of memory and swap,
    // which the kernel refuses.
    let unlimited = memory.limit == Some(-1) && memory.swap.is_none();
    let swap = if unlimited { Some(-1) } else { memory.swap };
    let limit = memory.limit.map(|n| {
        Write::new("memory.limit", "memory", "memory.limit_in_bytes", n.to_string()).late().in_retry_group("memory")
    });
    let swap = swap.map(|n| {
        let write = Write::new("memory.swap", "memory", "memory.memsw.limit_in_bytes", n.to_string());
        let write = write.late().in_retry_group("memory");
        // A kernel without swap accounting cannot limit swap.
        if n < 0 { write.optional() } else { write }
    });
    list.extend(limit);
    list.extend(swap);
}
