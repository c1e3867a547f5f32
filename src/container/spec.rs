//! The config.json to begin with.
//!
//! A container of it has few capabilities, none of them inheritable or ambient (they would outlive a change of user), and
//! namespaces of every kind that needs no set-up. As runc's, it has a cgroup namespace where the machine has cgroup v2 alone.

use crate::cgroups::{Layout, Mode};
use crate::container::request::SpecRequest;
use crate::error::{Error, IoContext, Kind, Result};
use crate::sys::credentials;
use std::fs::OpenOptions;
use std::io::Write;

const NAME: &str = "config.json";

/// Writes the document into the bundle, or where the request says. A file that is there is not overwritten.
pub fn spec(request: &SpecRequest) -> Result<()> {
    let caller = request.rootless.then(|| (credentials::effective_uid(), credentials::effective_gid()));
    let unified = Layout::read().is_ok_and(|layout| layout.mode() == Mode::Unified);
    let text = document(caller, unified);
    if request.file.as_deref().is_some_and(|file| file.as_os_str() == "-") {
        return std::io::stdout().write_all(text.as_bytes()).call(|| "write to standard output".into());
    }
    let file = request.file.as_deref().unwrap_or(NAME.as_ref());
    let path = request.bundle.join(file);
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&path)
        .and_then(|mut file| file.write_all(text.as_bytes()));
    match written {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            Err(Error::new(Kind::Config, format!("File {} exists. Remove it first", file.display())))
        }
        written => written.call(|| format!("open {}", path.display())),
    }
}

/// The document; with the caller's user and group, one in which the caller is root of a user namespace. `unified` says that
/// the machine has cgroup v2 alone.
fn document(caller: Option<(u32, u32)>, unified: bool) -> String {
    let capabilities = strings(4, CAPABILITIES.iter().copied());
    let capabilities: Vec<String> =
        ["bounding", "effective", "permitted"].iter().map(|set| format!("\n\t\t\t\"{set}\": {capabilities}")).collect();
    let mounts: Vec<String> = MOUNTS.iter().map(|mount| mount.text(caller.is_some())).collect();
    let namespaces: Vec<String> = NAMESPACES
        .iter()
        .filter(|(_, (rooted, rootless))| if caller.is_some() { *rootless } else { *rooted })
        .filter(|(kind, _)| unified || *kind != "cgroup")
        .map(|(kind, ..)| format!("\n\t\t\t{{\n\t\t\t\t\"type\": \"{kind}\"\n\t\t\t}}"))
        .collect();
    TEMPLATE
        .replace("@CAPABILITIES", &capabilities.join(","))
        .replace("@MOUNTS", &mounts.join(","))
        .replace("@LINUX", &caller.map_or_else(|| RESOURCES.to_owned(), mappings))
        .replace("@NAMESPACES", &namespaces.join(","))
        .replace("@MASKED", &strings(3, MASKED.iter().copied()))
        .replace("@READONLY", &strings(3, READONLY.iter().copied()))
}

const TEMPLATE: &str = r#"{
	"ociVersion": "1.3.0",
	"process": {
		"terminal": true,
		"user": {
			"uid": 0,
			"gid": 0
		},
		"args": [
			"sh"
		],
		"env": [
			"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
			"TERM=xterm"
		],
		"cwd": "/",
		"capabilities": {@CAPABILITIES
		},
		"rlimits": [
			{
				"type": "RLIMIT_NOFILE",
				"hard": 1024,
				"soft": 1024
			}
		],
		"noNewPrivileges": true
	},
	"root": {
		"path": "rootfs",
		"readonly": true
	},
	"hostname": "orlop",
	"mounts": [@MOUNTS
	],
	"linux": {@LINUX
		"namespaces": [@NAMESPACES
		],
		"maskedPaths": @MASKED,
		"readonlyPaths": @READONLY
	}
}
"#;

const RESOURCES: &str = r#"
		"resources": {
			"devices": [
				{
					"allow": false,
					"access": "rwm"
				}
			]
		},"#;

/// Root is the caller, and nobody else is anybody.
fn mappings((uid, gid): (u32, u32)) -> String {
    let one = |field: &str, id: u32| {
        format!(
            "\n\t\t\"{field}\": [\n\t\t\t{{\n\t\t\t\t\"containerID\": 0,\n\t\t\t\t\"hostID\": {id},\n\t\t\t\t\"size\": 1\n\t\t\t}}\n\t\t],"
        )
    };
    one("uidMappings", uid) + &one("gidMappings", gid)
}

struct Mount {
    destination: &'static str,
    kind: &'static str,
    source: &'static str,
    /// With commas between.
    options: &'static str,
}

static MOUNTS: [Mount; 7] = [
    Mount::new("/proc", "proc", "proc", ""),
    Mount::new("/dev", "tmpfs", "tmpfs", "nosuid,strictatime,mode=755,size=65536k"),
    Mount::new("/dev/pts", "devpts", "devpts", "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5"),
    Mount::new("/dev/shm", "tmpfs", "shm", "nosuid,noexec,nodev,mode=1777,size=65536k"),
    Mount::new("/dev/mqueue", "mqueue", "mqueue", "nosuid,noexec,nodev"),
    Mount::new("/sys", "sysfs", "sysfs", "nosuid,noexec,nodev,ro"),
    Mount::new("/sys/fs/cgroup", "cgroup", "cgroup", "nosuid,noexec,nodev,relatime,ro"),
];

impl Mount {
    const fn new(destination: &'static str, kind: &'static str, source: &'static str, options: &'static str) -> Mount {
        Mount { destination, kind, source, options }
    }

    fn text(&self, rootless: bool) -> String {
        // Without a network namespace of one's own a fresh sysfs is refused, and group 5 is nobody in a map of one id.
        let (kind, source, options) = match rootless && self.kind == "sysfs" {
            true => ("none", "/sys", "rbind,nosuid,noexec,nodev,ro"),
            false => (self.kind, self.source, self.options),
        };
        let options = options.split(',').filter(|option| !option.is_empty());
        let options: Vec<&str> = options.filter(|option| !(rootless && option.starts_with("gid="))).collect();
        let options = match options.is_empty() {
            true => String::new(),
            false => format!(",\n\t\t\t\"options\": {}", strings(4, options.into_iter())),
        };
        format!(
            "\n\t\t{{\n\t\t\t\"destination\": \"{}\",\n\t\t\t\"type\": \"{kind}\",\n\t\t\t\"source\": \"{source}\"{options}\n\t\t}}",
            self.destination
        )
    }
}

/// The kinds, and whether a container of root's and one of a user's has them: a user keeps the caller's network, since
/// nothing but loopback could be put into one of the container's own.
static NAMESPACES: [(&str, (bool, bool)); 7] = [
    ("pid", (true, true)),
    ("network", (true, false)),
    ("ipc", (true, true)),
    ("uts", (true, true)),
    ("mount", (true, true)),
    ("cgroup", (true, true)),
    ("user", (false, true)),
];

static CAPABILITIES: [&str; 3] = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"];

static MASKED: [&str; 12] = [
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

static READONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// A list of strings, one in a line, `depth` tabs in.
fn strings<'a>(depth: usize, list: impl Iterator<Item = &'a str>) -> String {
    let tabs = "\t".repeat(depth);
    let lines: Vec<String> = list.map(|item| format!("\n{tabs}\"{item}\"")).collect();
    format!("[{}\n{}]", lines.join(","), &tabs[1..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn parsed(caller: Option<(u32, u32)>) -> Value {
        serde_json::from_str(&document(caller, true)).unwrap()
    }

    #[test]
    fn no_capability_is_inheritable_or_ambient() {
        for caller in [None, Some((1000, 100))] {
            let sets = parsed(caller)["process"]["capabilities"].clone();
            let names: Vec<&String> = sets.as_object().unwrap().keys().collect();
            assert_eq!(names, ["bounding", "effective", "permitted"]);
        }
    }

    #[test]
    fn a_cgroup_namespace_is_listed_only_where_there_is_cgroup_v2_alone() {
        for caller in [None, Some((1000, 100))] {
            assert!(document(caller, true).contains(r#""type": "cgroup""#));
            let legacy: Value = serde_json::from_str(&document(caller, false)).unwrap();
            let kinds = legacy["linux"]["namespaces"].as_array().unwrap();
            assert!(kinds.len() >= 5 && kinds.iter().all(|kind| kind["type"] != "cgroup"), "{kinds:?}");
        }
    }

    #[test]
    fn a_user_is_root_of_a_namespace_that_maps_only_that_user() {
        let linux = parsed(Some((1000, 100)))["linux"].clone();
        assert_eq!(linux["uidMappings"].to_string(), r#"[{"containerID":0,"hostID":1000,"size":1}]"#);
        assert_eq!(linux["gidMappings"].to_string(), r#"[{"containerID":0,"hostID":100,"size":1}]"#);
        assert!(linux.get("resources").is_none());
        assert!(!document(Some((1, 1)), true).contains("gid=5"));
    }

    #[test]
    fn the_document_is_written_as_json_is_written_with_tabs() {
        let mut pretty = Vec::new();
        let formatter = serde_json::ser::PrettyFormatter::with_indent(b"\t");
        let mut writer = serde_json::Serializer::with_formatter(&mut pretty, formatter);
        let text = document(None, true);
        let raw: Value = serde_json::from_str(&text).unwrap();
        serde::Serialize::serialize(&raw, &mut writer).unwrap();
        let sorted = |text: &str| {
            let mut lines: Vec<String> = text.lines().map(|l| l.trim_end_matches(',').to_owned()).collect();
            lines.sort();
            lines
        };
        assert_eq!(sorted(&text), sorted(&String::from_utf8(pretty).unwrap()));
    }
}
