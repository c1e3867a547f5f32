//! `linux.resources`: the limits, read from outside in the container's groups.

mod hardware;
mod kinds;

use crate::bench::cgroup::{Control, control};
use crate::bench::prelude::*;

/// One setting: where it stands in the config, its value, where it shows, and as what on v1 and v2.
struct Limit {
    sentence: &'static str,
    clause: &'static str,
    pointer: &'static str,
    value: fn() -> Value,
    control: Control,
    v1: &'static str,
    v2: &'static str,
}

fn limits() -> Vec<Limit> {
    let limit = |sentence, clause, pointer, value, control, v1, v2| Limit { sentence, clause, pointer, value, control, v1, v2 };
    vec![
        limit("the_memory_limit_is_set", "memory.limit", "memory", || json!({"limit": 104_857_600}),
            control("memory", "memory.limit_in_bytes", "memory.max"), "104857600", "104857600"),
        limit("an_unlimited_memory_limit_is_set", "memory.unlimited", "memory", || json!({"limit": -1}),
            control("memory", "memory.limit_in_bytes", "memory.max"), "9223372036854771712", "max"),
        limit("the_memory_reservation_is_set", "memory.reservation", "memory", || json!({"limit": 104_857_600, "reservation": 52_428_800}),
            control("memory", "memory.soft_limit_in_bytes", "memory.low"), "52428800", "52428800"),
        limit("the_limit_of_memory_and_swap_is_set", "memory.swap", "memory", || json!({"limit": 104_857_600, "swap": 209_715_200}),
            control("memory", "memory.memsw.limit_in_bytes", "memory.swap.max"), "209715200", "104857600"),
        limit("a_swap_limit_equal_to_the_memory_limit_means_no_swap", "memory.swap", "memory", || json!({"limit": 104_857_600, "swap": 104_857_600}),
            control("memory", "memory.memsw.limit_in_bytes", "memory.swap.max"), "104857600", "0"),
        limit("an_unlimited_swap_limit_is_set", "memory.unlimited", "memory", || json!({"limit": 104_857_600, "swap": -1}),
            control("memory", "memory.memsw.limit_in_bytes", "memory.swap.max"), "9223372036854771712", "max"),
        limit("the_limit_of_tcp_memory_is_set", "memory.kernel-tcp", "memory", || json!({"kernelTCP": 52_428_800}),
            control("memory", "memory.kmem.tcp.limit_in_bytes", ""), "52428800", ""),
        limit("the_swappiness_is_set", "memory.swappiness", "memory", || json!({"swappiness": 42}),
            control("memory", "memory.swappiness", ""), "42", ""),
        limit("a_swappiness_of_zero_is_set", "memory.swappiness", "memory", || json!({"swappiness": 0}),
            control("memory", "memory.swappiness", ""), "0", ""),
        limit("the_cpu_shares_are_set", "cpu.shares", "cpu", || json!({"shares": 2048}),
            control("cpu", "cpu.shares", ""), "2048", ""),
        limit("the_cpu_quota_is_set", "cpu.quota", "cpu", || json!({"quota": 20_000, "period": 50_000}),
            control("cpu", "cpu.cfs_quota_us", "cpu.max"), "20000", "20000 50000"),
        limit("the_cpu_period_is_set", "cpu.period", "cpu", || json!({"quota": 30_000, "period": 60_000}),
            control("cpu", "cpu.cfs_period_us", "cpu.max"), "60000", "30000 60000"),
        limit("a_cpu_period_without_a_quota_is_set", "cpu.period", "cpu", || json!({"period": 70_000}),
            control("cpu", "cpu.cfs_period_us", "cpu.max"), "70000", "max 70000"),
        limit("a_cpu_quota_without_a_period_is_set", "cpu.quota", "cpu", || json!({"quota": 25_000}),
            control("cpu", "cpu.cfs_quota_us", "cpu.max"), "25000", "25000 100000"),
        limit("an_unlimited_cpu_quota_is_set", "cpu.quota", "cpu", || json!({"quota": -1, "period": 80_000}),
            control("cpu", "cpu.cfs_quota_us", "cpu.max"), "-1", "max 80000"),
        limit("the_cpus_are_set", "cpu.cpus", "cpu", || json!({"cpus": "0"}),
            control("cpuset", "cpuset.cpus", "cpuset.cpus"), "0", "0"),
        limit("the_memory_nodes_are_set", "cpu.mems", "cpu", || json!({"mems": "0"}),
            control("cpuset", "cpuset.mems", "cpuset.mems"), "0", "0"),
        limit("the_pids_limit_is_set", "pids.limit", "pids", || json!({"limit": 123}),
            control("pids", "pids.max", "pids.max"), "123", "123"),
        limit("an_unlimited_pids_limit_is_set", "pids.limit", "pids", || json!({"limit": -1}),
            control("pids", "pids.max", "pids.max"), "max", "max"),
        limit("the_network_class_is_set", "network.class-id", "network", || json!({"classID": 1_048_577}),
            control("net_cls", "net_cls.classid", ""), "1048577", ""),
    ]
}

/// What newer kernels or specifications have.
fn newer_limits() -> Vec<(u32, Limit)> {
    let limit = |sentence, clause, pointer, value, control, v1, v2| Limit { sentence, clause, pointer, value, control, v1, v2 };
    vec![
        (1, limit("the_cpu_burst_is_set", "cpu.burst", "cpu", || json!({"quota": 50_000, "period": 100_000, "burst": 30_000}),
            control("cpu", "cpu.cfs_burst_us", "cpu.max.burst"), "30000", "30000")),
        (1, limit("an_idle_group_is_set", "cpu.idle", "cpu", || json!({"idle": 1}),
            control("cpu", "cpu.idle", "cpu.idle"), "1", "1")),
    ]
}

fn as_case(limit: Limit, minor: u32) -> Case {
    Case::new(
        limit.sentence,
        &[limit.clause],
        "The container's group is read from outside while the program runs.",
        move |t| {
            t.needs_root()?;
            t.needs_version(minor)?;
            let controller = limit.control.v1.map_or("", |(controller, _)| controller);
            let v1 = t.controller_is_v1(controller)?;
            if !v1 && limit.control.v2.is_none() {
                return skip("there is no such setting in cgroup v2");
            }
            // The root group has no pids.max, but every other has.
            if let (true, Some((_, file))) = (v1 && controller != "pids", limit.control.v1) {
                let mount = &t.machine().v1[controller];
                t.needs_file(&mount.join(file).display().to_string())?;
            }
            let value = (limit.value)();
            let c = t.bundle()?.set(&format!("/linux/resources/{}", limit.pointer), value).does(&["wait"]).live()?;
            equal(limit.sentence, c.control(&limit.control)?, if v1 { limit.v1 } else { limit.v2 })
        },
    )
}

pub(crate) fn cases() -> Vec<Case> {
    let mut all: Vec<Case> = limits().into_iter().map(|limit| as_case(limit, 0)).collect();
    all.extend(newer_limits().into_iter().map(|(minor, limit)| as_case(limit, minor)));
    for (name, v1, v2, clause) in [
        ("throttleReadBpsDevice", "blkio.throttle.read_bps_device", "rbps", "blkio.throttle-read-bps"),
        ("throttleWriteBpsDevice", "blkio.throttle.write_bps_device", "wbps", "blkio.throttle-read-bps"),
        ("throttleReadIOPSDevice", "blkio.throttle.read_iops_device", "riops", "blkio.throttle-iops"),
        ("throttleWriteIOPSDevice", "blkio.throttle.write_iops_device", "wiops", "blkio.throttle-iops"),
    ] {
        all.push(Case::new(
            format!("{name}_is_set"),
            &[clause],
            "A rate for the first disk of the machine is read from outside in the container's group.",
            move |t| throttle(t, name, v1, v2),
        ));
    }
    all.extend(hardware::cases());
    all.extend(kinds::cases());
    all
}

/// Major and minor number of a whole disk.
fn disk() -> Result<(u64, u64)> {
    for entry in std::fs::read_dir("/sys/block").into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let size = std::fs::read_to_string(entry.path().join("size")).unwrap_or_default();
        if size.trim() == "0" || name.starts_with("ram") || name.starts_with("zram") {
            continue;
        }
        let numbers = std::fs::read_to_string(entry.path().join("dev"))?;
        let (major, minor) = numbers.trim().split_once(':').context("numbers of a disk")?;
        return Ok((major.parse()?, minor.parse()?));
    }
    skip("this machine has no disk")
}

fn throttle(t: &Trial, name: &str, v1: &'static str, v2: &str) -> Result<()> {
    t.needs_root()?;
    let is_v1 = t.controller_is_v1("blkio")?;
    let (major, minor) = disk()?;
    let rule = json!([{"major": major, "minor": minor, "rate": 600}]);
    let c = t.bundle()?.set(&format!("/linux/resources/blockIO/{name}"), rule).does(&["wait"]).live()?;
    let text = c.control(&control("blkio", v1, "io.max"))?;
    let expected = if is_v1 { format!("{major}:{minor} 600") } else { format!("{v2}=600") };
    contains(name, &text, &expected)
}
