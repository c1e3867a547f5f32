//! The features document of the runtime specification (features.md).
//!
//! It lists the values that this build recognises on any machine; only `supportedFlags` depends on
//! the kernel. The lists of options, namespaces, capabilities, actions and flags are the parsers'
//! own tables, so they cannot differ from them. Annotations have a list of their own, which a test
//! compares with the sources.

mod annotations;

use crate::error::{Error, Result};
use crate::hooks::Moment;
use crate::namespaces::NamespaceKind;
use crate::process::attributes::{POLICY_FLAGS, POLICY_MODES};
use crate::process::capability;
use crate::process::seccomp;
use crate::rootfs;
use crate::sys::filter;
use serde::{Serialize, Serializer};
use std::result;

/// The oldest and the newest version of the specification that a config.json may name.
const OLDEST: &str = "1.0.0";
const NEWEST: &str = "1.3.0";

/// A value of the document.
enum Value {
    Bool(bool),
    Text(&'static str),
    List(Vec<String>),
    Object(Vec<(&'static str, Value)>),
}

use Value::{Bool, List, Object, Text};

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, to: S) -> result::Result<S::Ok, S::Error> {
        match self {
            Bool(value) => value.serialize(to),
            Text(value) => value.serialize(to),
            List(values) => values.serialize(to),
            Object(fields) => to.collect_map(fields.iter().map(|(name, value)| (name, value))),
        }
    }
}

/// The features of this build on this machine as JSON, indented by four spaces as engines' logs have it.
///
/// # Errors
/// None is known.
pub fn document() -> Result<String> {
    let mut text = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut writer = serde_json::Serializer::with_formatter(&mut text, formatter);
    let written = features().serialize(&mut writer).map_err(|e| Error::internal(e.to_string()));
    written.and_then(|()| String::from_utf8(text).map_err(|e| Error::internal(e.to_string())))
}

fn features() -> Value {
    let known = seccomp::FLAGS.iter().filter(|(_, bit)| filter::knows_flag(*bit)).map(|(name, _)| *name);
    let denied = annotations::ANNOTATIONS.iter().filter(|(_, is_unsafe)| *is_unsafe).map(|(name, _)| *name);
    Object(vec![
        ("ociVersionMin", Text(OLDEST)),
        ("ociVersionMax", Text(NEWEST)),
        ("hooks", list(Moment::ALL.map(Moment::word))),
        ("mountOptions", list(rootfs::mount_options())),
        (
            "linux",
            Object(vec![
                ("namespaces", list(NamespaceKind::ALL.map(NamespaceKind::word))),
                ("capabilities", list(capability::all())),
                ("cgroup", enabled(&["v1", "v2", "systemd", "systemdUser", "rdma"])),
                (
                    "seccomp",
                    Object(vec![
                        ("enabled", Bool(true)),
                        ("actions", words(&seccomp::ACTIONS)),
                        ("operators", words(&seccomp::OPERATORS)),
                        ("archs", list(seccomp::ARCHITECTURES)),
                        ("knownFlags", words(&seccomp::FLAGS)),
                        ("supportedFlags", list(known)),
                    ]),
                ),
                ("apparmor", enabled(&["enabled"])),
                ("selinux", enabled(&["enabled"])),
                ("intelRdt", enabled(&["enabled", "schemata", "monitoring"])),
                ("memoryPolicy", Object(vec![("modes", words(&POLICY_MODES)), ("flags", words(&POLICY_FLAGS))])),
                ("mountExtensions", Object(vec![("idmap", enabled(&["enabled"]))])),
                ("netDevices", enabled(&["enabled"])),
            ]),
        ),
        (
            "annotations",
            Object(vec![
                // Engines check this name before they offer checkpoints.
                ("org.opencontainers.runc.checkpoint.enabled", Text("true")),
                ("orlop.version", Text(env!("CARGO_PKG_VERSION"))),
            ]),
        ),
        ("potentiallyUnsafeConfigAnnotations", list(denied)),
    ])
}

/// An object with these fields, all of them true.
fn enabled(fields: &[&'static str]) -> Value {
    Object(fields.iter().map(|field| (*field, Bool(true))).collect())
}

fn list(words: impl IntoIterator<Item = impl ToString>) -> Value {
    List(words.into_iter().map(|word| word.to_string()).collect())
}

/// The names in a parser's table.
fn words<T>(table: &[(&'static str, T)]) -> Value {
    list(table.iter().map(|(word, _)| *word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hooks::Hooks;
    use crate::process::attributes::Attributes;
    use serde_json::Value;

    fn document() -> Value {
        serde_json::from_str(&super::document().unwrap()).unwrap()
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

    /// Whether the parser takes `word` for one of those that the document lists at `list`.
    fn accepts(list: &str, word: &str) -> bool {
        let linux = |linux: &str| format!(r#"{{"linux":{{{linux}}}}}"#);
        let seccomp = |fields: &str| {
            let filter = format!(r#"{{"defaultAction":"SCMP_ACT_ALLOW","listenerPath":"/x",{fields}}}"#);
            let filter = linux(&format!(r#""seccomp":{filter}"#));
            let spec = crate::config::parse(&filter).unwrap();
            seccomp::Filter::parse(spec.linux.unwrap().seccomp.as_ref().unwrap(), seccomp::all_flags()).is_ok()
        };
        let policy = |fields: &str| {
            let process = crate::config::Process::default();
            ["", r#","nodes":"0""#].into_iter().any(|nodes| {
                let policy = linux(&format!(r#""memoryPolicy":{{{fields}{nodes}}}"#));
                let spec = crate::config::parse(&policy).unwrap();
                Attributes::parse("process", &process, spec.linux.as_ref()).is_ok()
            })
        };
        match list {
            "hooks" => {
                let hooks = format!(r#"{{"hooks":{{"{word}":[{{"path":"/x"}}]}}}}"#);
                !Hooks::parse(&crate::config::parse(&hooks).unwrap()).unwrap().is_empty()
            }
            "mountOptions" => {
                let bind = r#"{"destination":"/x","type":"bind","source":"/y","options":["rbind","#;
                let json = format!(
                    r#"{{"root":{{"path":"r"}},"mounts":[{bind}"{word}"]}}],"linux":{{"namespaces":[{{"type":"mount"}}]}}}}"#
                );
                let spec = crate::config::parse(&json).unwrap();
                // An unknown option would go to the filesystem, and a bind mount has none.
                let parsed = rootfs::Rootfs::parse(&spec, std::path::Path::new("/bundle"), Default::default());
                !parsed.is_err_and(|e| e.to_string().contains("filesystem-specific"))
            }
            "linux.namespaces" => {
                let maps = r#"[{"containerID":0,"hostID":0,"size":1}]"#;
                let maps = match word {
                    "user" => format!(r#","uidMappings":{maps},"gidMappings":{maps}"#),
                    _ => String::new(),
                };
                let json = linux(&format!(r#""namespaces":[{{"type":"{word}"}}]{maps}"#));
                crate::namespaces::Namespaces::parse(&crate::config::parse(&json).unwrap()).is_ok()
            }
            "linux.capabilities" => capability::number(word).is_some(),
            "linux.seccomp.actions" => seccomp(&format!(r#""syscalls":[{{"names":["read"],"action":"{word}"}}]"#)),
            "linux.seccomp.operators" => seccomp(&format!(
                r#""syscalls":[{{"names":["read"],"action":"SCMP_ACT_ERRNO","args":[{{"index":0,"op":"{word}"}}]}}]"#
            )),
            "linux.seccomp.archs" => seccomp(&format!(r#""architectures":["{word}"]"#)),
            "linux.seccomp.knownFlags" => seccomp(&format!(r#""flags":["{word}"]"#)),
            "linux.memoryPolicy.modes" => policy(&format!(r#""mode":"{word}""#)),
            "linux.memoryPolicy.flags" => policy(&format!(r#""mode":"MPOL_BIND","flags":["{word}"]"#)),
            _ => panic!("no parser for {list}"),
        }
    }

    #[test]
    fn every_list_is_that_of_its_parser() {
        fn lists<'a>(at: &str, value: &'a Value, found: &mut Vec<(String, &'a Vec<Value>)>) {
            for (key, value) in value.as_object().into_iter().flatten() {
                match value {
                    Value::Array(list) => found.push((format!("{at}{key}"), list)),
                    _ => lists(&format!("{at}{key}."), value, found),
                }
            }
        }
        let document = document();
        let mut found = Vec::new();
        lists("", &document, &mut found);
        // The flags of the kernel are some of those that are known; annotations have a test of their own.
        found.retain(|(at, _)| at != "linux.seccomp.supportedFlags" && at != "potentiallyUnsafeConfigAnnotations");
        assert_eq!(found.len(), 10);
        for (at, list) in found {
            let words: Vec<&str> = list.iter().map(|word| word.as_str().unwrap()).collect();
            for (n, word) in words.iter().enumerate() {
                assert!(accepts(&at, word), "{at}: {word}");
                assert!(!words[..n].contains(word), "{at}: {word} twice");
                for other in [format!("{word}x"), format!("x{word}"), word[..word.len() - 1].to_owned()] {
                    assert_eq!(accepts(&at, &other), words.contains(&&*other), "{at}: {other}");
                }
            }
        }
    }
}
