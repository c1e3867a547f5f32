//! The default config.json.
//!
//! Its container has few capabilities, none inheritable or ambient (those would survive a change of
//! user), and namespaces of every kind that needs no set-up. Like runc's, it has a cgroup namespace
//! only on a pure cgroup v2 machine.

use crate::cgroups::{Layout, Mode};
use crate::container::request::SpecRequest;
use crate::error::{Error, Ignore as _, IoContext, Kind, Result};
use crate::log;
use crate::sys::credentials;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

const NAME: &str = "config.json";

/// Writes the document into the bundle or to the requested file. An existing file is not
/// overwritten.
pub fn spec(request: &SpecRequest) -> Result<()> {
    let user = credentials::effective_uid();
    let caller = request.rootless.then(|| (user, credentials::effective_gid()));
    if user != 0 && !request.rootless {
        log::warning(format!("the config is for root; with --rootless it is for the user {user}"));
    }
    let unified = Layout::read().is_ok_and(|layout| layout.mode() == Mode::Unified);
    let mut text = document(caller, unified);
    if request.detach {
        text = text.replacen("\"terminal\": true", "\"terminal\": false", 1);
        text = text.replacen("\"sh\"", "\"sleep\",\n\t\t\t\"infinity\"", 1);
    }
    if request.file.as_deref().is_some_and(|file| file.as_os_str() == "-") {
        return std::io::stdout().write_all(text.as_bytes()).io_context(|| "write to standard output".into());
    }
    let file = request.file.as_deref().unwrap_or(NAME.as_ref());
    let path = request.bundle.join(file);
    let opened = OpenOptions::new().write(true).create_new(true).open(&path);
    match opened.and_then(|mut file| file.write_all(text.as_bytes()).inspect_err(|_| remove(&path))) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            Err(Error::new(Kind::Config, format!("File {} exists. Remove it first", file.display())))
        }
        written => written.io_context(|| format!("open {}", path.display())),
    }
}

/// Half a document would be taken for one that the user wrote.
fn remove(path: &Path) {
    std::fs::remove_file(path).ignore("the error of the write is told");
}

/// The config for root.
const DEFAULT: &str = include_str!("spec/default.json");
/// The config for an unprivileged user, who is root of its user namespace (`@UID`, `@GID`). It
/// shares the caller's network, since its own could only have loopback. With the host's network a
/// fresh sysfs is refused, and group 5 has no mapping.
const ROOTLESS: &str = include_str!("spec/rootless.json");
/// The namespace that both leave out on a machine with cgroup v1.
const CGROUP_NAMESPACE: &str = ",\n\t\t\t{\n\t\t\t\t\"type\": \"cgroup\"\n\t\t\t}";

/// The document; with the caller's user and group, the caller is root of a user namespace.
/// `unified`: the machine has cgroup v2 only.
pub(crate) fn document(caller: Option<(u32, u32)>, unified: bool) -> String {
    let text = match caller {
        None => DEFAULT.to_owned(),
        Some((uid, gid)) => ROOTLESS.replace("@UID", &uid.to_string()).replace("@GID", &gid.to_string()),
    };
    if unified { text } else { text.replace(CGROUP_NAMESPACE, "") }
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
        assert!(!document(Some((1, 1)), true).contains('@'));
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
