//! Limits for the container's cgroup (config-linux.md, "Control groups"); also a document of its own, as
//! `update --resources` takes it.

use std::borrow::Cow;

use crate::json::records;

records! {
    /// `linux.resources`.
    Resources<'a> {
        devices: Vec<DeviceRule<'a>> = "devices",
        memory: Memory = "memory",
        cpu: Cpu<'a> = "cpu",
        pids: Pids = "pids",
        block_io: BlockIo = "blockIO",
        hugepage_limits: Vec<HugepageLimit<'a>> = "hugepageLimits",
        network: Network<'a> = "network",
        /// By the name of the RDMA device.
        rdma: Vec<(Cow<'a, str>, Rdma)> = "rdma",
        /// Files of cgroup v2 and what to write to them.
        unified: Vec<(Cow<'a, str>, Cow<'a, str>)> = "unified",
    }

    /// Devices that may or may not be used.
    DeviceRule<'a> {
        allow: bool = "allow",
        /// `a`, `b` or `c`.
        type_: Cow<'a, str> = "type",
        major: i64 = "major",
        minor: i64 = "minor",
        /// Of the letters `r`, `w` and `m`.
        access: Cow<'a, str> = "access",
    }

    /// All limits are in bytes; -1 is unlimited.
    Memory {
        limit: i64 = "limit",
        reservation: i64 = "reservation",
        /// Memory and swap together.
        swap: i64 = "swap",
        kernel: i64 = "kernel",
        kernel_tcp: i64 = "kernelTCP",
        /// From 0 to 100.
        swappiness: u64 = "swappiness",
        disable_oom_killer: bool = "disableOOMKiller",
        use_hierarchy: bool = "useHierarchy",
        check_before_update: bool = "checkBeforeUpdate",
    }

    /// Times are in microseconds.
    Cpu<'a> {
        shares: u64 = "shares",
        quota: i64 = "quota",
        burst: u64 = "burst",
        period: u64 = "period",
        realtime_runtime: i64 = "realtimeRuntime",
        realtime_period: u64 = "realtimePeriod",
        cpus: Cow<'a, str> = "cpus",
        mems: Cow<'a, str> = "mems",
        idle: i64 = "idle",
    }

    /// How many tasks there may be.
    Pids {
        limit: i64 = "limit",
    }

    /// Weights and throttles of block devices.
    BlockIo {
        weight: u16 = "weight",
        leaf_weight: u16 = "leafWeight",
        weight_device: Vec<WeightDevice> = "weightDevice",
        throttle_read_bps_device: Vec<ThrottleDevice> = "throttleReadBpsDevice",
        throttle_write_bps_device: Vec<ThrottleDevice> = "throttleWriteBpsDevice",
        throttle_read_iops_device: Vec<ThrottleDevice> = "throttleReadIOPSDevice",
        throttle_write_iops_device: Vec<ThrottleDevice> = "throttleWriteIOPSDevice",
    }

    /// The weight of one block device.
    WeightDevice {
        major: i64 = "major",
        minor: i64 = "minor",
        weight: u16 = "weight",
        leaf_weight: u16 = "leafWeight",
    }

    /// The limit of one block device.
    ThrottleDevice {
        major: i64 = "major",
        minor: i64 = "minor",
        /// Bytes or operations a second.
        rate: u64 = "rate",
    }

    /// The limit of huge pages of one size.
    HugepageLimit<'a> {
        /// Such as `2MB`.
        page_size: Cow<'a, str> = "pageSize",
        /// Bytes.
        limit: u64 = "limit",
    }

    /// Marks for the traffic of the cgroup's processes.
    Network<'a> {
        class_id: u32 = "classID",
        priorities: Vec<InterfacePriority<'a>> = "priorities",
    }

    /// The priority of traffic through one interface.
    InterfacePriority<'a> {
        name: Cow<'a, str> = "name",
        priority: u32 = "priority",
    }

    /// The limits of one RDMA device.
    Rdma {
        hca_handles: u32 = "hcaHandles",
        hca_objects: u32 = "hcaObjects",
    }
}
