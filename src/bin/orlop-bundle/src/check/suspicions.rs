//! Valid settings that let a container reach further than most are meant to.

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
    let linux = bundle.config.get("linux");
    let list = linux.and_then(|linux| linux.get("namespaces")).map_or(&[][..], Node::items);
    let types: Vec<&str> = list.iter().filter_map(|namespace| namespace.get("type")?.text()).collect();
    let mut look = Look { bundle, linux, types, findings: Vec::new() };
    look.at_namespaces();
    look.at_capabilities();
    look.at_paths();
    for (n, mount) in bundle.config.get("mounts").map_or(&[][..], Node::items).iter().enumerate() {
        look.at_mount(&format!("mounts[{n}]"), mount);
    }
    look.findings
}

struct Look<'a> {
    bundle: &'a Bundle,
    linux: Option<&'a Node>,
    /// The types of namespaces that are listed.
    types: Vec<&'a str>,
    findings: Vec<Finding>,
}

impl<'a> Look<'a> {
    fn add(&mut self, finding: Finding, node: Option<&Node>) {
        let place = node.and_then(|node| self.bundle.place(node));
        self.findings.push(finding.at(place));
    }

    fn of_linux(&self, key: &str) -> Option<&'a Node> {
        self.linux.and_then(|linux| linux.get(key))
    }

    fn of_capabilities(&self, set: &str) -> Option<&'a Node> {
        self.bundle.config.get("process")?.get("capabilities")?.get(set)
    }

    fn at_namespaces(&mut self) {
        for (kind, consequence) in NAMESPACES {
            if self.types.contains(kind) {
                continue;
            }
            let problem = format!("no {kind} namespace: {consequence}");
            let finding = Finding::new("host.namespace", Severity::Note, "linux.namespaces", problem)
                .remedy(format!("add {{\"type\": \"{kind}\"}} unless this is meant"));
            self.add(finding, self.of_linux("namespaces"));
        }
        if self.of_linux("seccomp").is_none() {
            let problem = "no filter: every system call of the kernel is open to the container";
            let finding = Finding::new("seccomp.none", Severity::Note, "linux.seccomp", problem);
            self.add(finding.remedy("engines' default profile is a good start"), self.linux);
        }
    }

    fn at_capabilities(&mut self) {
        let bounding = self.of_capabilities("bounding").filter(|_| !self.types.contains(&"user"));
        for (n, name) in bounding.map_or(&[][..], Node::items).iter().enumerate() {
            let Some((known, reason)) = POWERFUL.iter().find(|(known, _)| name.text() == Some(known)) else { continue };
            let problem = format!("{known} without a user namespace: {reason}");
            let field = format!("process.capabilities.bounding[{n}]");
            let finding = Finding::new("capability.powerful", Severity::Note, field, problem);
            self.add(finding.remedy("leave it out, or add a user namespace"), Some(name));
        }
        if let Some(set) = self.of_capabilities("inheritable").filter(|set| !set.items().is_empty()) {
            let problem = "not empty: a program with inheritable file capabilities gains them (CVE-2022-24769)";
            let field = "process.capabilities.inheritable";
            let finding = Finding::new("capability.inheritable", Severity::Note, field, problem);
            self.add(finding.remedy("leave the set empty"), Some(set));
        }
    }

    fn at_paths(&mut self) {
        if self.types.contains(&"user") {
            return;
        }
        for (id, key, problem) in [
            ("paths.unmasked", "maskedPaths", "empty: /proc/kcore, /proc/keys and /sys/firmware can be read"),
            ("paths.writable", "readonlyPaths", "empty: /proc/sys and /proc/sysrq-trigger can be written"),
        ] {
            let list = self.of_linux(key);
            if list.is_none_or(|list| list.items().is_empty()) {
                let finding = Finding::new(id, Severity::Warning, format!("linux.{key}"), problem);
                self.add(finding.remedy("`orlop spec` writes a list of them"), list.or(self.linux));
            }
        }
    }

    fn at_mount(&mut self, field: &str, mount: &Node) {
        let list = mount.get("options").map_or(&[][..], Node::items);
        let options: Vec<&str> = list.iter().filter_map(Node::text).collect();
        let text = |key: &str| mount.get(key).and_then(Node::text).unwrap_or_default();
        let writable = !options.iter().any(|option| matches!(*option, "ro" | "rro"));
        let bind = options.iter().any(|option| matches!(*option, "bind" | "rbind"));
        let source = text("source");
        let mut warn = |id, problem: String, remedy: &str| {
            self.add(Finding::new(id, Severity::Warning, field, problem).remedy(remedy), Some(mount));
        };
        if ["/docker.sock", "/containerd.sock", "/podman.sock"].iter().any(|end| source.ends_with(end)) {
            let problem =
                format!("{source} is an engine's socket: a process that can connect to it is root of the host");
            warn("mount.engine", problem, "leave it out unless the container is trusted");
        }
        if bind && writable && matches!(source, "/" | "/etc" | "/proc" | "/sys" | "/dev" | "/boot") {
            warn(
                "mount.host",
                format!("{source} of the host, writable"),
                "add \"ro\", or bind the part that is needed",
            );
        }
        if text("type") == "cgroup" && writable && !self.types.contains(&"cgroup") {
            let finding =
                Finding::new("mount.cgroup", Severity::Warning, field, "the cgroup tree of the host, writable");
            self.add(finding.remedy("add \"ro\", or a cgroup namespace"), Some(mount));
        }
    }
}
