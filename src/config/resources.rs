//! The `linux.resources` object (config-linux.md, "Control groups"), which is also the document of
//! `update --resources`.

use std::borrow::Cow;

use crate::json::objects;

objects! {
    /// `linux.resources`.
    Resources<'a> {
        devices: Vec<DeviceRule<'a>> = "devices",
        memory: Memory = "memory",
        cpu: Cpu<'a> = "cpu",
        pids: Pids = "pids",
        block_io: BlockIo = "blockIO",
        hugepage_limits: Vec<HugepageLimit<'a>> = "hugepageLimits",
        network: Network<'a> = "network",
        /// The key is the RDMA device's name.
        rdma: Vec<(Cow<'a, str>, Rdma)> = "rdma",
        /// The key is the name of a cgroup v2 file, the value its content.
        unified: Vec<(Cow<'a, str>, Cow<'a, str>)> = "unified",
    }

    /// A rule that allows or denies access to devices.
    DeviceRule<'a> {
        allow: bool = "allow",
        /// `a`, `b` or `c`.
        type_: Cow<'a, str> = "type",
        major: i64 = "major",
        minor: i64 = "minor",
        /// Some of the letters `r`, `w` and `m`.
        access: Cow<'a, str> = "access",
    }

    /// Memory limits in bytes; -1 is unlimited.
    Memory {
        limit: i64 = "limit",
        reservation: i64 = "reservation",
        /// The limit of memory plus swap.
        swap: i64 = "swap",
        kernel: i64 = "kernel",
        kernel_tcp: i64 = "kernelTCP",
        /// From 0 to 100.
        swappiness: u64 = "swappiness",
        disable_oom_killer: bool = "disableOOMKiller",
        use_hierarchy: bool = "useHierarchy",
        check_before_update: bool = "checkBeforeUpdate",
    }

    /// CPU limits; times are in microseconds.
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

    /// The limit of tasks (processes and threads).
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
        /// Bytes or operations per second.
        rate: u64 = "rate",
    }

    /// The limit of huge pages of one size.
    HugepageLimit<'a> {
        /// A size such as `2MB`.
        page_size: Cow<'a, str> = "pageSize",
        /// Bytes.
        limit: u64 = "limit",
    }

    /// The class and priorities of the cgroup's network traffic (net_cls, net_prio).
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
