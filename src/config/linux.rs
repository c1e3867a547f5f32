//! What is Linux's own (config-linux.md), but for `resources` and `seccomp`.

use std::borrow::Cow;

use super::resources::Resources;
use super::seccomp::Seccomp;
use super::spec::IdMapping;
use crate::json::records;

records! {
    /// `linux`.
    Linux<'a> {
        uid_mappings: Vec<IdMapping> = "uidMappings",
        gid_mappings: Vec<IdMapping> = "gidMappings",
        sysctl: Vec<(Cow<'a, str>, Cow<'a, str>)> = "sysctl",
        resources: Resources<'a> = "resources",
        cgroups_path: Cow<'a, str> = "cgroupsPath",
        namespaces: Vec<Namespace<'a>> = "namespaces",
        devices: Vec<Device<'a>> = "devices",
        /// By the name of the device on the host.
        net_devices: Vec<(Cow<'a, str>, NetDevice<'a>)> = "netDevices",
        seccomp: Seccomp<'a> = "seccomp",
        rootfs_propagation: Cow<'a, str> = "rootfsPropagation",
        masked_paths: Vec<Cow<'a, str>> = "maskedPaths",
        readonly_paths: Vec<Cow<'a, str>> = "readonlyPaths",
        mount_label: Cow<'a, str> = "mountLabel",
        intel_rdt: IntelRdt<'a> = "intelRdt",
        memory_policy: MemoryPolicy<'a> = "memoryPolicy",
        personality: Personality<'a> = "personality",
        /// By the name of the clock: `boottime` or `monotonic`.
        time_offsets: Vec<(Cow<'a, str>, TimeOffset)> = "timeOffsets",
    }

    /// A namespace to create, or with a path to join.
    Namespace<'a> {
        type_: Cow<'a, str> = "type",
        path: Cow<'a, str> = "path",
    }

    /// A device node to make in the container.
    Device<'a> {
        path: Cow<'a, str> = "path",
        type_: Cow<'a, str> = "type",
        major: i64 = "major",
        minor: i64 = "minor",
        file_mode: u32 = "fileMode",
        uid: u32 = "uid",
        gid: u32 = "gid",
    }

    /// A network device to move into the container.
    NetDevice<'a> {
        /// Its name inside; absent: as outside.
        name: Cow<'a, str> = "name",
    }

    /// A group of the resctrl filesystem.
    IntelRdt<'a> {
        clos_id: Cow<'a, str> = "closID",
        schemata: Vec<Cow<'a, str>> = "schemata",
        l3_cache_schema: Cow<'a, str> = "l3CacheSchema",
        mem_bw_schema: Cow<'a, str> = "memBwSchema",
        enable_monitoring: bool = "enableMonitoring",
    }

    /// Arguments for set_mempolicy(2).
    MemoryPolicy<'a> {
        mode: Cow<'a, str> = "mode",
        /// A list of nodes, such as `0-3,7`.
        nodes: Cow<'a, str> = "nodes",
        flags: Vec<Cow<'a, str>> = "flags",
    }

    /// The argument for personality(2).
    Personality<'a> {
        domain: Cow<'a, str> = "domain",
        flags: Vec<Cow<'a, str>> = "flags",
    }

    /// How far a clock of a time namespace is ahead of the host's (time_namespaces(7)).
    TimeOffset {
        secs: i64 = "secs",
        nanosecs: u32 = "nanosecs",
    }
}
