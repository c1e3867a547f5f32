//! The `linux` object (config-linux.md) except `resources` and `seccomp`.

use std::borrow::Cow;

use super::resources::Resources;
use super::seccomp::Seccomp;
use super::spec::IdMapping;
use crate::json::objects;

objects! {
    /// `linux`.
    Linux<'a> {
        uid_mappings: Vec<IdMapping> = "uidMappings",
        gid_mappings: Vec<IdMapping> = "gidMappings",
        sysctl: Vec<(Cow<'a, str>, Cow<'a, str>)> = "sysctl",
        resources: Resources<'a> = "resources",
        cgroups_path: Cow<'a, str> = "cgroupsPath",
        namespaces: Vec<Namespace<'a>> = "namespaces",
        devices: Vec<Device<'a>> = "devices",
        /// The key is the device's name on the host.
        net_devices: Vec<(Cow<'a, str>, NetDevice<'a>)> = "netDevices",
        seccomp: Seccomp<'a> = "seccomp",
        rootfs_propagation: Cow<'a, str> = "rootfsPropagation",
        masked_paths: Vec<Cow<'a, str>> = "maskedPaths",
        readonly_paths: Vec<Cow<'a, str>> = "readonlyPaths",
        mount_label: Cow<'a, str> = "mountLabel",
        intel_rdt: IntelRdt<'a> = "intelRdt",
        memory_policy: MemoryPolicy<'a> = "memoryPolicy",
        personality: Personality<'a> = "personality",
        /// The key is the clock: `boottime` or `monotonic`.
        time_offsets: Vec<(Cow<'a, str>, TimeOffset)> = "timeOffsets",
    }

    /// A namespace to create or, if it has a path, to join.
    Namespace<'a> {
        type_: Cow<'a, str> = "type",
        path: Cow<'a, str> = "path",
    }

    /// A device node to create in the container.
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
        /// The name in the container; the name on the host if absent.
        name: Cow<'a, str> = "name",
    }

    /// A control group of the resctrl filesystem (Intel RDT).
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
        /// A list of NUMA nodes, such as `0-3,7`.
        nodes: Cow<'a, str> = "nodes",
        flags: Vec<Cow<'a, str>> = "flags",
    }

    /// The argument for personality(2).
    Personality<'a> {
        domain: Cow<'a, str> = "domain",
        flags: Vec<Cow<'a, str>> = "flags",
    }

    /// The offset of a clock in a time namespace from the host's (time_namespaces(7)).
    TimeOffset {
        secs: i64 = "secs",
        nanosecs: u32 = "nanosecs",
    }
}

impl Namespace<'_> {
    /// Whether it is to be created: no path says which one to join.
    pub(crate) fn is_new(&self) -> bool {
        self.path.as_deref().is_none_or(str::is_empty)
    }
}

impl Linux<'_> {
    /// The entry of `namespaces` of this type: the container's namespace is not the runtime's.
    pub(crate) fn namespace(&self, kind: &str) -> Option<&Namespace<'_>> {
        self.namespaces.iter().flatten().find(|entry| entry.type_.as_deref() == Some(kind))
    }
}
