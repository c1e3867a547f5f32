//! What is legal, and lets a container reach further than most are meant to.

use super::Bundle;
use crate::finding::{Finding, Severity};
use orlop::explain::Node;

/// Capabilities that are as good as root of the host, each with the reason.
const POWERFUL: &[(&str, &str)] = &[
    ("CAP_SYS_ADMIN", "it can mount, and leave most confinements"),
    ("CAP_SYS_MODULE", "it can load code into the kernel"),
    ("CAP_SYS_RAWIO", "it can write to memory and disks of the host"),
    ("CAP_DAC_READ_SEARCH", "it can open any file of the host by its handle"),
    ("CAP_BPF", "it can load programs into the kernel"),
];

/// Namespaces without which the container shares a part of the host.
const NAMESPACES: &[(&str, &str)] = &[
    ("pid", "the container sees and may signal the host's processes"),
    ("network", "the container has the host's network, abstract sockets included"),
    ("ipc", "the container has the host's System V IPC and message queues"),
    ("uts", "the container has the host's name"),
    ("cgroup", "the container sees the host's cgroup paths"),
];

pub(super) fn findings(bundle: &Bundle) -> Vec<Finding> {
    let config = &bundle.config;
    let linux = config.get("linux");
    let of_linux = |key: &str| linux.and_then(|linux| linux.get(key));
    let types: Vec<&str> =
        of_linux("namespaces").map_or(&[][..], Node::items).iter().filter_map(|n| n.get("type")?.text()).collect();
    let has_user = types.contains(&"user");
    let mut all = Vec::new();
    let mut add = |id, severity, field: &str, node: Option<&Node>, problem: String, remedy: &str| {
        let place = node.and_then(|node| bundle.place(node));
        all.push(Finding::new(id, severity, field, problem).at(place).remedy(remedy));
    };

    for (kind, consequence) in NAMESPACES.iter().filter(|(kind, _)| !types.contains(kind)) {
        let problem = format!("no {kind} namespace: {consequence}");
        let remedy = format!("add {{\"type\": \"{kind}\"}} unless this is meant");
        add("host.namespace", Severity::Note, "linux.namespaces", of_linux("namespaces"), problem, &remedy);
    }
    if of_linux("seccomp").is_none() {
        let problem = "no filter: every system call of the kernel is open to the container".to_owned();
        add(
            "seccomp.none",
            Severity::Note,
            "linux.seccomp",
            linux,
            problem,
            "engines' default profile is a good start",
        );
    }
    if !has_user {
        for set in ["bounding", "effective", "permitted"] {
            let path = format!("process.capabilities.{set}");
            let list = config.get("process").and_then(|p| p.get("capabilities")).and_then(|sets| sets.get(set));
            for (n, name) in list.map_or(&[][..], Node::items).iter().enumerate() {
                let Some((name_, reason)) = POWERFUL.iter().find(|(known, _)| name.text() == Some(known)) else {
                    continue;
                };
                if set == "bounding" {
                    let problem = format!("{name_} without a user namespace: {reason}");
                    let field = format!("{path}[{n}]");
                    add(
                        "capability.powerful",
                        Severity::Note,
                        &field,
                        Some(name),
                        problem,
                        "leave it out, or add a user namespace",
                    );
                }
            }
        }
        let masked = of_linux("maskedPaths").map_or(0, |paths| paths.items().len());
        if masked == 0 {
            let problem = "empty: /proc/kcore, /proc/keys and /sys/firmware can be read".to_owned();
            add(
                "paths.unmasked",
                Severity::Warning,
                "linux.maskedPaths",
                of_linux("maskedPaths").or(linux),
                problem,
                "`orlop spec` writes a list of them",
            );
        }
        if of_linux("readonlyPaths").map_or(0, |paths| paths.items().len()) == 0 {
            let problem = "empty: /proc/sys and /proc/sysrq-trigger can be written".to_owned();
            add(
                "paths.writable",
                Severity::Warning,
                "linux.readonlyPaths",
                of_linux("readonlyPaths").or(linux),
                problem,
                "`orlop spec` writes a list of them",
            );
        }
    }
    let inheritable =
        config.get("process").and_then(|p| p.get("capabilities")).and_then(|sets| sets.get("inheritable"));
    if let Some(set) = inheritable.filter(|set| !set.items().is_empty()) {
        let problem = "not empty: a program with inheritable file capabilities gains them (CVE-2022-24769)".to_owned();
        add(
            "capability.inheritable",
            Severity::Note,
            "process.capabilities.inheritable",
            Some(set),
            problem,
            "leave the set empty",
        );
    }
    for (n, mount) in config.get("mounts").map_or(&[][..], Node::items).iter().enumerate() {
        let options: Vec<&str> =
            mount.get("options").map_or(&[][..], Node::items).iter().filter_map(Node::text).collect();
        let text = |key: &str| mount.get(key).and_then(Node::text).unwrap_or_default();
        let writable = !options.iter().any(|option| matches!(*option, "ro" | "rro"));
        let field = format!("mounts[{n}]");
        if text("type") == "cgroup" && writable && !types.contains(&"cgroup") {
            let problem = "the cgroup tree of the host, writable".to_owned();
            add("mount.cgroup", Severity::Warning, &field, Some(mount), problem, "add \"ro\", or a cgroup namespace");
        }
        let source = text("source");
        if source.ends_with("/docker.sock") || source.ends_with("/containerd.sock") || source.ends_with("/podman.sock")
        {
            let problem = format!("{source} is an engine's socket: whoever reaches it is root of the host");
            add(
                "mount.engine",
                Severity::Warning,
                &field,
                Some(mount),
                problem,
                "leave it out unless the container is trusted",
            );
        }
        let bind = options.iter().any(|option| matches!(*option, "bind" | "rbind"));
        if bind && writable && matches!(source, "/" | "/etc" | "/proc" | "/sys" | "/dev" | "/boot") {
            let problem = format!("{source} of the host, writable");
            add(
                "mount.host",
                Severity::Warning,
                &field,
                Some(mount),
                problem,
                "add \"ro\", or bind the part that is needed",
            );
        }
    }
    all
}
