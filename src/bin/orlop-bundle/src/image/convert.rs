//! From an image's configuration to a config.json (image specification, conversion.md).
//!
//! The same image gives the same bytes each time. Capabilities, masked paths and the seccomp filter are the default
//! lists of Docker.

use super::user;
use anyhow::{Context as _, Result, ensure};
use oci_spec::image::ImageConfiguration;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

const CAPABILITIES: [&str; 14] = [
    "CAP_AUDIT_WRITE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_MKNOD",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
];

const MASKED: [&str; 12] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// The range of ids in a user namespace: first id inside, first id outside, count.
pub(crate) type Mapping = (u32, u32, u32);

/// The user namespace of an ordinary user's container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mappings {
    pub(crate) uids: Vec<Mapping>,
    pub(crate) gids: Vec<Mapping>,
}

impl Mappings {
    /// Whether root is the only user.
    pub(crate) fn is_single(&self) -> bool {
        self.uids.iter().chain(&self.gids).all(|(_, _, count)| *count == 1) && self.uids.len() == 1
    }
}

/// Settings of the command line that hold over the image's configuration.
#[derive(Clone, Debug, Default)]
pub(crate) struct Overrides {
    /// The program's arguments in place of the image's Cmd.
    pub(crate) command: Vec<String>,
    pub(crate) user: Option<String>,
    /// `NAME=VALUE`.
    pub(crate) env: Vec<String>,
}

/// The program and its arguments: Entrypoint and `command`, or Entrypoint and Cmd.
///
/// # Errors
/// There is none.
pub(crate) fn program(image: &ImageConfiguration, command: &[String]) -> Result<Vec<String>> {
    let config = image.config().clone().unwrap_or_default();
    let mut args = config.entrypoint().clone().unwrap_or_default();
    match command {
        [] => args.extend(config.cmd().clone().unwrap_or_default()),
        command => args.extend_from_slice(command),
    }
    ensure!(!args.is_empty(), "the image has neither Entrypoint nor Cmd, so the command to run must be given");
    Ok(args)
}

/// The config.json of an image, of which `read` gives small files.
///
/// # Errors
/// The image has no program, or its user has no account.
pub(crate) fn convert(
    image: &ImageConfiguration,
    read: &dyn Fn(&str) -> Result<Option<Vec<u8>>>,
    mappings: Option<&Mappings>,
    overrides: &Overrides,
) -> Result<Value> {
    let config = image.config().clone().unwrap_or_default();
    let args = program(image, &overrides.command)?;
    let user = overrides.user.as_ref().or(config.user().as_ref()).map_or("", String::as_str);
    let mut ids = user::resolve(user, read).context("the image's user")?;
    if mappings.is_some_and(Mappings::is_single) {
        if ids.uid != 0 {
            eprintln!("orlop: warning: with one id only, user {user} of the image is root of the user namespace");
        }
        (ids.uid, ids.gid, ids.groups) = (0, 0, Vec::new());
    }
    let env = environment(config.env().as_deref().unwrap_or_default(), overrides, ids.home.as_deref());
    let cwd = config.working_dir().as_ref().filter(|cwd| !cwd.is_empty()).map_or("/", String::as_str);
    let cwd = if cwd.starts_with('/') { cwd.to_owned() } else { format!("/{cwd}") };
    Ok(json!({
        "ociVersion": "1.2.0",
        "process": {
            "terminal": false,
            "user": { "uid": ids.uid, "gid": ids.gid, "additionalGids": ids.groups },
            "args": args,
            "env": env,
            "cwd": cwd,
            "capabilities": {
                "bounding": CAPABILITIES,
                "effective": CAPABILITIES,
                "permitted": CAPABILITIES,
            },
            "noNewPrivileges": false,
        },
        "root": { "path": "rootfs", "readonly": false },
        "hostname": "container",
        "mounts": mounts(mappings),
        "annotations": annotations(image),
        "linux": linux(image, mappings)?,
    }))
}

/// The image's variables with those of the command line over them; PATH and HOME where none is set.
fn environment(image: &[String], overrides: &Overrides, home: Option<&str>) -> Vec<String> {
    fn name(variable: &str) -> &str {
        variable.split('=').next().unwrap_or_default()
    }
    let mut env: Vec<String> = Vec::new();
    let home = home.map(|home| format!("HOME={home}"));
    let first = [PATH.to_owned()].into_iter().chain(home);
    for variable in first.chain(image.iter().cloned()).chain(overrides.env.iter().cloned()) {
        match env.iter_mut().find(|known| name(known) == name(&variable)) {
            Some(known) => *known = variable,
            None => env.push(variable),
        }
    }
    env
}

/// Annotations that the image specification names; labels hold over them.
fn annotations(image: &ImageConfiguration) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut add = |name: &str, value: Option<String>| {
        value
            .filter(|value| !value.is_empty())
            .map(|value| found.insert(format!("org.opencontainers.image.{name}"), value))
    };
    add("os", Some(image.os().to_string()));
    add("architecture", Some(image.architecture().to_string()));
    add("variant", image.variant().clone());
    add("author", image.author().clone());
    add("created", image.created().clone());
    if let Some(config) = image.config() {
        add("stopSignal", config.stop_signal().clone());
        let ports = config.exposed_ports().clone().map(|mut ports| {
            ports.sort();
            ports.join(",")
        });
        add("exposedPorts", ports);
        found.extend(config.labels().clone().unwrap_or_default());
    }
    found
}

fn mounts(mappings: Option<&Mappings>) -> Value {
    let mount = |destination: &str, kind: &str, source: &str, options: &[&str]| json!({ "destination": destination, "type": kind, "source": source, "options": options });
    let group =
        mappings.is_none_or(|mappings| mappings.gids.iter().any(|(first, _, count)| *first <= 5 && first + count > 5));
    let pts = ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"];
    json!([
        mount("/proc", "proc", "proc", &["nosuid", "noexec", "nodev"]),
        mount("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        mount("/dev/pts", "devpts", "devpts", &pts[..if group { 6 } else { 5 }]),
        mount("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
        mount("/sys/fs/cgroup", "cgroup", "cgroup", &["nosuid", "noexec", "nodev", "relatime", "ro"]),
        mount("/dev/mqueue", "mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
        mount("/dev/shm", "tmpfs", "shm", &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
    ])
}

fn linux(image: &ImageConfiguration, mappings: Option<&Mappings>) -> Result<Value> {
    let mut linux = Map::new();
    let kinds = ["pid", "network", "ipc", "uts", "mount", "cgroup"];
    let kinds = kinds.into_iter().chain(mappings.map(|_| "user"));
    linux.insert("namespaces".into(), kinds.map(|kind| json!({ "type": kind })).collect());
    match mappings {
        Some(Mappings { uids, gids }) => {
            let rows = |ranges: &[Mapping]| -> Value {
                let row = |(inside, outside, size): &Mapping| json!({ "containerID": inside, "hostID": outside, "size": size });
                ranges.iter().map(row).collect()
            };
            linux.insert("uidMappings".into(), rows(uids));
            linux.insert("gidMappings".into(), rows(gids));
        }
        None => {
            linux.insert("resources".into(), json!({ "devices": [{ "allow": false, "access": "rwm" }] }));
        }
    }
    linux.insert("maskedPaths".into(), MASKED.into());
    linux.insert("readonlyPaths".into(), READ_ONLY.into());
    let mut seccomp: Map<String, Value> =
        serde_json::from_str(include_str!("seccomp.json")).context("the seccomp list of this program")?;
    let architectures = match image.architecture().to_string().as_str() {
        "amd64" => vec!["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
        "arm64" => vec!["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"],
        _ => Vec::new(),
    };
    seccomp.insert("architectures".into(), architectures.into());
    linux.insert("seccomp".into(), Value::Object(seccomp));
    Ok(Value::Object(linux))
}
