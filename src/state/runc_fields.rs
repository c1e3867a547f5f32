//! The fields of runc's state.json that our records have too: runc 1.1 and later manage the
//! containers if the program is changed back.
//!
//! These few suffice (seen with 1.1.5, 1.1.15 and 1.3.6): runc finds namespaces by the first
//! process, and cgroups by their path where it is the same in every hierarchy. They follow our own
//! fields, and our own commands never read them.

use super::record::Record;
use crate::config::{Hook, IdMapping, Linux, Spec};
use std::borrow::Cow;
use std::fmt::Display;

/// The part of runc's config that no field of the record has, as fields of a JSON object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RuncConfig(String);

impl RuncConfig {
    pub(crate) fn of(spec: &Spec<'_>) -> RuncConfig {
        let mut fields = String::new();
        if let Some(linux) = &spec.linux {
            fields.push_str(&namespaces(linux));
            for (name, mappings) in [("uid", &linux.uid_mappings), ("gid", &linux.gid_mappings)] {
                if let Some(mappings) = mappings {
                    fields.push_str(&format!(",\"{name}_mappings\":{}", list(mappings.iter().map(mapping))));
                }
            }
            // The filter in runc's form may have 30 KB. Without a default action it is an error of
            // `runc exec`, which must not run a program without the filter.
            fields.push_str(if linux.seccomp.is_some() { ",\"seccomp\":{}" } else { "" });
        }
        if let Some(umask) = spec.process.as_ref().and_then(|process| process.user.as_ref()?.umask) {
            fields.push_str(&format!(",\"umask\":{umask}"));
        }
        if let Some(hooks) = spec.hooks.as_ref().and_then(|hooks| hooks.poststop.as_ref()) {
            fields.push_str(&format!(",\"Hooks\":{{\"poststop\":{}}}", list(hooks.iter().map(hook))));
        }
        RuncConfig(fields)
    }
}

fn list(items: impl Iterator<Item = String>) -> String {
    let items: Vec<String> = items.collect();
    format!("[{}]", items.join(","))
}

/// A JSON string; writing one cannot fail.
fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_default()
}

fn namespaces(linux: &Linux<'_>) -> String {
    let one = |kind: &str, path: Option<&str>| {
        let name = match kind {
            "network" => "NET".into(),
            "mount" => "NS".into(),
            kind => kind.to_ascii_uppercase(),
        };
        match path {
            Some(path) => format!("{{\"type\":\"NEW{name}\",\"path\":{}}}", quoted(path)),
            None => format!("{{\"type\":\"NEW{name}\"}}"),
        }
    };
    let all = linux.namespaces.iter().flatten();
    let all = all.map(|found| one(found.type_.as_deref().unwrap_or_default(), found.path.as_deref()));
    format!(",\"namespaces\":{}", list(all))
}

fn mapping(written: &IdMapping) -> String {
    let [inside, outside, size] = [written.container_id, written.host_id, written.size].map(Option::unwrap_or_default);
    format!("{{\"container_id\":{inside},\"host_id\":{outside},\"size\":{size}}}")
}

fn hook(hook: &Hook<'_>) -> String {
    let texts = |field: &str, texts: &Option<Vec<Cow<'_, str>>>| match texts {
        Some(texts) => format!(",\"{field}\":{}", list(texts.iter().map(|text| quoted(text)))),
        None => String::new(),
    };
    // runc counts nanoseconds.
    let timeout = hook.timeout.map(|seconds| format!(",\"timeout\":{seconds}000000000")).unwrap_or_default();
    let path = quoted(hook.path.as_deref().unwrap_or_default());
    format!("{{\"path\":{path}{}{}{timeout}}}", texts("args", &hook.args), texts("env", &hook.env))
}

impl Record {
    /// runc's fields, each with a comma before it; `None` before there is a first process.
    pub(super) fn runc_fields(&self) -> Option<String> {
        let (init, RuncConfig(own)) = (self.init?, self.runc.as_ref()?);
        let labels = self.annotations.iter().map(|(key, value)| format!("{key}={value}"));
        let labels = labels.chain([format!("bundle={}", self.bundle)]).map(|label| quoted(&label));
        let (rootless, unprivileged) = match self.owner {
            0 => ("", ""),
            _ => (",\"rootless\":true", ",\"rootless_euid\":true,\"rootless_cgroups\":true"),
        };
        // runc 1.1 needs one of the limits' fields: the devices.
        Some(format!(
            "{rootless},\"init_process_pid\":{},\"init_process_start\":{}{},\"config\":{{\"version\":{},\"rootfs\":{},\"labels\":{},\
             \"cgroups\":{{{},\"devices\":[]}}{own}{unprivileged}}}",
            init.pid,
            init.start,
            self.cgroup_paths(),
            quoted(&self.oci_version),
            quoted(&self.rootfs),
            list(labels),
            self.cgroup_name(),
        ))
    }

    /// The cgroup's path, or the unit and the slice that systemd made it of.
    fn cgroup_name(&self) -> String {
        let path = self.cgroup.cgroups.first().map_or(NO_CGROUP, |first| &first.path);
        let Some(unit) = &self.cgroup.unit else { return format!("\"path\":{}", quoted(path)) };
        // runc makes `PREFIX-NAME.scope` of them, and leaves a slice as it is.
        let (prefix, name) = match unit.name.strip_suffix(".scope") {
            Some(stem) => stem.split_once('-').unwrap_or(("", stem)),
            None => ("", unit.name.as_str()),
        };
        let parent = path.rsplit('/').find(|part| part.ends_with(".slice")).unwrap_or_default();
        format!(
            "\"scope_prefix\":{},\"name\":{},\"parent\":{},\"Systemd\":true,\"Rootless\":{}",
            quoted(prefix),
            quoted(name),
            quoted(parent),
            unit.user,
        )
    }

    /// The directory of each controller, where one path does not say it.
    fn cgroup_paths(&self) -> String {
        if self.cgroup.has_one_path() && self.cgroup.unit.is_none() {
            return String::new();
        }
        let of = |name: &str, directory: &dyn Display| format!("{}:{}", quoted(name), quoted(&directory.to_string()));
        let paths = self.cgroup.cgroups.iter().flat_map(|cgroup| {
            let directory = format!("{}{}", cgroup.mount, cgroup.path);
            match cgroup.controllers.is_empty() {
                true => vec![of("", &directory)],
                false => cgroup.controllers.iter().map(|name| of(name, &directory)).collect(),
            }
        });
        let paths: Vec<String> = paths.collect();
        format!(",\"cgroup_paths\":{{{}}}", paths.join(","))
    }
}

/// A path at which there is no cgroup: from an empty one runc would make the path of its own.
const NO_CGROUP: &str = "/orlop-without-cgroup";
