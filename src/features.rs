//! What this runtime can do, in the form of the runtime specification's features document.
//!
//! It says what this build recognises, whatever the machine has; only `supportedFlags` asks the kernel. Each list is that
//! of the code that carries it out, so that the document cannot promise more.

mod annotations;
mod lists;

use crate::error::{Error, Result};
use crate::process::capability::NAMES;
use crate::process::seccomp;
use crate::rootfs;
use crate::sys::filter;
use serde::Serialize;
use std::collections::BTreeMap;

/// The oldest and the newest version of the specification that a config.json may name.
const OLDEST: &str = "1.0.0";
const NEWEST: &str = "1.3.0";

/// The document.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)] // The fields are those of features.md and features-linux.md.
#[non_exhaustive]
pub struct Features {
    pub oci_version_min: &'static str,
    pub oci_version_max: &'static str,
    pub hooks: &'static [&'static str],
    pub mount_options: Vec<&'static str>,
    pub linux: Linux,
    pub annotations: BTreeMap<&'static str, &'static str>,
    pub potentially_unsafe_config_annotations: Vec<&'static str>,
}

/// Its part for Linux.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)] // The fields are those of features-linux.md.
#[non_exhaustive]
pub struct Linux {
    pub namespaces: &'static [&'static str],
    pub capabilities: Vec<String>,
    pub cgroup: Cgroup,
    pub seccomp: Seccomp,
    pub apparmor: Enabled,
    pub selinux: Enabled,
    pub intel_rdt: IntelRdt,
    pub memory_policy: MemoryPolicy,
    pub mount_extensions: MountExtensions,
    pub net_devices: Enabled,
}

/// Something that is there or not.
#[derive(Debug, Serialize)]
#[allow(missing_docs)]
#[non_exhaustive]
pub struct Enabled {
    pub enabled: bool,
}

/// Who can make cgroups.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
#[non_exhaustive]
pub struct Cgroup {
    pub v1: bool,
    pub v2: bool,
    pub systemd: bool,
    pub systemd_user: bool,
    pub rdma: bool,
}

/// What a filter may say.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
#[non_exhaustive]
pub struct Seccomp {
    pub enabled: bool,
    pub actions: &'static [&'static str],
    pub operators: &'static [&'static str],
    pub archs: &'static [&'static str],
    pub known_flags: Vec<&'static str>,
    pub supported_flags: Vec<&'static str>,
}

/// What of Intel's resource director can be used.
#[derive(Debug, Serialize)]
#[allow(missing_docs)]
#[non_exhaustive]
pub struct IntelRdt {
    pub enabled: bool,
    pub schemata: bool,
    pub monitoring: bool,
}

/// Memory policies.
#[derive(Debug, Serialize)]
#[allow(missing_docs)]
#[non_exhaustive]
pub struct MemoryPolicy {
    pub modes: &'static [&'static str],
    pub flags: &'static [&'static str],
}

/// What mounts can do beyond options.
#[derive(Debug, Serialize)]
#[allow(missing_docs)]
#[non_exhaustive]
pub struct MountExtensions {
    pub idmap: Enabled,
}

impl Features {
    /// What this build can do on this machine.
    pub fn new() -> Features {
        Features {
            oci_version_min: OLDEST,
            oci_version_max: NEWEST,
            hooks: &lists::HOOKS,
            mount_options: rootfs::mount_options().collect(),
            linux: Linux {
                namespaces: &lists::NAMESPACES,
                capabilities: NAMES.iter().map(|name| format!("CAP_{name}")).collect(),
                cgroup: Cgroup { v1: true, v2: true, systemd: true, systemd_user: true, rdma: true },
                seccomp: Seccomp {
                    enabled: true,
                    actions: &seccomp::ACTIONS,
                    operators: &seccomp::OPERATORS,
                    archs: &seccomp::ARCHITECTURES,
                    known_flags: seccomp::FLAGS.iter().map(|(name, _)| *name).collect(),
                    supported_flags: supported_flags(),
                },
                apparmor: Enabled { enabled: true },
                selinux: Enabled { enabled: true },
                intel_rdt: IntelRdt { enabled: true, schemata: true, monitoring: true },
                memory_policy: MemoryPolicy { modes: &lists::POLICY_MODES, flags: &lists::POLICY_FLAGS },
                mount_extensions: MountExtensions { idmap: Enabled { enabled: true } },
                net_devices: Enabled { enabled: true },
            },
            annotations: BTreeMap::from([
                ("orlop.version", env!("CARGO_PKG_VERSION")),
                // Engines know this name, and ask before they offer checkpoints.
                ("org.opencontainers.runc.checkpoint.enabled", "true"),
            ]),
            potentially_unsafe_config_annotations: unsafe_annotations(),
        }
    }

    /// The document as text: JSON, indented by four spaces as engines' logs have it.
    pub fn to_json(&self) -> Result<String> {
        let mut text = Vec::new();
        let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
        let mut writer = serde_json::Serializer::with_formatter(&mut text, formatter);
        let written = self.serialize(&mut writer).map_err(|e| Error::internal(e.to_string()));
        written.and_then(|()| String::from_utf8(text).map_err(|e| Error::internal(e.to_string())))
    }
}

fn unsafe_annotations() -> Vec<&'static str> {
    annotations::ANNOTATIONS
        .iter()
        .filter(|annotation| annotation.is_unsafe)
        .map(|annotation| annotation.name)
        .collect()
}

/// Those filter flags that this kernel knows.
fn supported_flags() -> Vec<&'static str> {
    seccomp::FLAGS.iter().filter(|(_, bit)| filter::knows_flag(*bit)).map(|(name, _)| *name).collect()
}

impl Default for Features {
    fn default() -> Features {
        Features::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn document() -> Value {
        serde_json::from_str(&Features::new().to_json().unwrap()).unwrap()
    }

    #[test]
    fn what_gates_features_of_engines_is_there() {
        let document = document();
        assert!(document["mountOptions"].as_array().unwrap().contains(&"rro".into()));
        assert_eq!(document["linux"]["mountExtensions"]["idmap"]["enabled"], true);
        assert_eq!((&document["ociVersionMin"], &document["ociVersionMax"]), (&"1.0.0".into(), &"1.3.0".into()));
    }

    #[test]
    fn every_field_of_the_specification_is_said() {
        let document = document();
        let linux = document["linux"].as_object().unwrap();
        for field in [
            "namespaces",
            "capabilities",
            "cgroup",
            "seccomp",
            "apparmor",
            "selinux",
            "intelRdt",
            "memoryPolicy",
            "mountExtensions",
            "netDevices",
        ] {
            assert!(linux.contains_key(field), "linux.{field}");
        }
        for field in ["hooks", "mountOptions", "annotations", "potentiallyUnsafeConfigAnnotations"] {
            assert!(!document[field].is_null(), "{field}");
        }
    }

    #[test]
    fn lists_have_no_entry_twice() {
        fn check(list: &[impl std::ops::Deref<Target = str>]) {
            let seen: std::collections::BTreeSet<&str> = list.iter().map(|name| &**name).collect();
            assert_eq!(seen.len(), list.len());
        }
        check(&seccomp::ARCHITECTURES);
        check(&seccomp::ACTIONS);
        check(&lists::NAMESPACES);
    }

    #[test]
    fn every_mount_option_is_recognised_and_no_other() {
        let accepts = |option: &str| {
            let bind = format!(r#"{{"destination":"/x","type":"bind","source":"/y","options":["rbind","{option}"]}}"#);
            let json = format!(
                r#"{{"root":{{"path":"r"}},"mounts":[{bind}],"linux":{{"namespaces":[{{"type":"user"}},{{"type":"mount"}}]}}}}"#
            );
            let spec = crate::config::parse(&json).unwrap();
            crate::rootfs::Rootfs::parse(&spec, std::path::Path::new("/bundle"), Default::default())
        };
        // What is not recognised would go to the filesystem, and a bind mount has none.
        let unknown = |option: &str| accepts(option).is_err_and(|e| e.to_string().contains("filesystem-specific"));
        for option in rootfs::mount_options() {
            assert!(!unknown(option), "{option}");
        }
        assert!(unknown("size=1"));
    }

    #[test]
    fn every_namespace_is_recognised_and_no_other() {
        let parse = |kind: &str| {
            let maps = r#"[{"containerID":0,"hostID":0,"size":1}]"#;
            let maps =
                if kind == "user" { format!(r#","uidMappings":{maps},"gidMappings":{maps}"#) } else { String::new() };
            let json = format!(r#"{{"linux":{{"namespaces":[{{"type":"{kind}"}}]{maps}}}}}"#);
            crate::namespaces::Namespaces::parse(&crate::config::parse(&json).unwrap()).map(drop)
        };
        for kind in &lists::NAMESPACES {
            parse(kind).unwrap_or_else(|e| panic!("{kind}: {e}"));
        }
        assert!(parse("net").is_err());
    }
}
