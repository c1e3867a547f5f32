//! The bundles: what `runc spec` writes, and what the scenarios add to it.

use anyhow::Result;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};

use crate::machine::{Machine, PARENT};
use crate::native::Work;

/// How many bind mounts there are in the scenario `mounts`.
pub(crate) const BINDS: usize = 50;

/// What a container has beside the usual.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scenario {
    Plain,
    /// Of memory, processes, processor time and processors.
    Limits,
    /// Docker's default filter.
    Seccomp,
    /// Fifty bind mounts.
    Mounts,
    /// As an engine sets up a container of a pod, whose network it joins.
    Node,
    /// Many of them are to exist at the same time: only new mount, pid and ipc namespaces, and /proc.
    Small,
}

impl Scenario {
    /// On the command line.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Limits => "limits",
            Self::Seccomp => "seccomp",
            Self::Mounts => "mounts",
            Self::Node => "node",
            Self::Small => "small",
        }
    }

    /// The heading of its table.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Limits => "with limits",
            Self::Seccomp => "with Docker's seccomp profile",
            Self::Mounts => "with 50 bind mounts",
            Self::Node => "a node",
            Self::Small => "small",
        }
    }
}

/// Writes a bundle and gives its directory. `program` is what the container executes; its cgroup is named `cgroup`.
pub(crate) fn write(work: &Work, scenario: Scenario, cgroup: &str, program: &[&str]) -> Result<PathBuf> {
    let dir = work.dir.join("bundles").join(cgroup);
    fs::create_dir_all(&dir)?;
    let mut config = plain(work, cgroup, program);
    // As in what `runc spec` writes where there is version 2.
    if Path::new("/sys/fs/cgroup/cgroup.controllers").exists()
        && let Some(namespaces) = config["linux"]["namespaces"].as_array_mut()
    {
        namespaces.push(json!({"type": "cgroup"}));
    }
    match scenario {
        Scenario::Plain => {}
        Scenario::Limits => config["linux"]["resources"] = limits(),
        Scenario::Seccomp => config["linux"]["seccomp"] = docker()?["linux"]["seccomp"].take(),
        Scenario::Mounts => bind(work, &mut config),
        Scenario::Small => small(&mut config),
        Scenario::Node => in_pod(&mut config)?,
    }
    fs::write(dir.join("config.json"), config.to_string())?;
    Ok(dir)
}

/// Limits the memory of a bundle's container, in bytes.
pub(crate) fn limit(dir: &str, bytes: u64) -> Result<()> {
    let file = Path::new(dir).join("config.json");
    let mut config: Value = serde_json::from_slice(&fs::read(&file)?)?;
    config["linux"]["resources"]["memory"] = json!({"limit": bytes});
    Ok(fs::write(file, config.to_string())?)
}

/// A configuration captured from Docker, with its default profile.
pub(crate) fn docker() -> Result<Value> {
    Ok(serde_json::from_str(include_str!("../../../src/config/testdata/engines/docker.json"))?)
}

fn plain(work: &Work, cgroup: &str, program: &[&str]) -> Value {
    let capabilities = json!(["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]);
    let mount = |destination: &str, kind: &str, source: &str, options: &[&str]| json!({"destination": destination, "type": kind, "source": source, "options": options});
    json!({
        "ociVersion": "1.0.2",
        "root": {"path": work.rootfs, "readonly": true},
        "hostname": "bench",
        "process": {
            "cwd": "/", "user": {"uid": 0, "gid": 0}, "args": program,
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
            "capabilities": {"bounding": capabilities, "effective": capabilities, "permitted": capabilities, "ambient": capabilities},
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
            "noNewPrivileges": true
        },
        "mounts": [
            mount("/proc", "proc", "proc", &[]),
            mount("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
            mount("/dev/pts", "devpts", "devpts", &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]),
            mount("/dev/shm", "tmpfs", "shm", &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
            mount("/dev/mqueue", "mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
            mount("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
            mount("/sys/fs/cgroup", "cgroup", "cgroup", &["nosuid", "noexec", "nodev", "relatime", "ro"]),
        ],
        "linux": {
            "cgroupsPath": format!("/{PARENT}/{cgroup}"),
            "resources": {"devices": [{"allow": false, "access": "rwm"}]},
            "namespaces": [{"type": "pid"}, {"type": "network"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}],
            "maskedPaths": ["/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
                "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware", "/proc/scsi"],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
        }
    })
}

fn limits() -> Value {
    json!({
        "devices": [{"allow": false, "access": "rwm"}],
        "memory": {"limit": 64 << 20, "swap": 64 << 20},
        "pids": {"limit": 100},
        "cpu": {"shares": 512, "quota": 50_000, "period": 100_000, "cpus": "0"}
    })
}

/// The same limits for the floor: files of v1 and their values.
pub(crate) fn limit_writes(machine: &Machine) -> Vec<String> {
    let file = |controller: &str, line: &str| format!("{}/{line}", machine.hierarchy(controller).display());
    if machine.unified.is_some() {
        let lines = [
            "memory.max=67108864",
            "memory.swap.max=0",
            "pids.max=100",
            "cpu.weight=59",
            "cpu.max=50000 100000",
            "cpuset.cpus=0",
        ];
        return lines.iter().map(|line| file("", line)).collect();
    }
    vec![
        file("memory", "memory.limit_in_bytes=67108864"),
        file("pids", "pids.max=100"),
        file("cpu", "cpu.shares=512"),
        file("cpu", "cpu.cfs_period_us=100000"),
        file("cpu", "cpu.cfs_quota_us=50000"),
        file("cpuset", "cpuset.cpus=0"),
    ]
}

fn bind(work: &Work, config: &mut Value) {
    let mounts = (0..BINDS).map(|number| {
        json!({"destination": format!("/mnt/{number}"), "type": "bind", "source": work.bind(number), "options": ["rbind", "rprivate"]})
    });
    if let Some(all) = config["mounts"].as_array_mut() {
        all.extend(mounts);
    }
}

/// Limits and Docker's filter, and the network namespace of another.
fn in_pod(config: &mut Value) -> Result<()> {
    if let Some(namespaces) = config["linux"]["namespaces"].as_array_mut() {
        namespaces.retain(|namespace| namespace["type"] != "network");
        namespaces.push(json!({"type": "network", "path": "/proc/self/ns/net"}));
    }
    config["linux"]["resources"] = limits();
    config["linux"]["seccomp"] = docker()?["linux"]["seccomp"].take();
    Ok(())
}

fn small(config: &mut Value) {
    config["linux"]["namespaces"] = json!([{"type": "pid"}, {"type": "ipc"}, {"type": "mount"}]);
    config["mounts"] = json!([{"destination": "/proc", "type": "proc", "source": "proc"}]);
    config["linux"]["maskedPaths"] = json!([]);
    config["linux"]["readonlyPaths"] = json!([]);
    if let Some(config) = config.as_object_mut() {
        config.remove("hostname");
    }
}
