//! Sysctls of the container's namespaces (config-linux.md, "Sysctl"; `proc_sys(5)`).

use super::{NamespaceKind, Namespaces};
use crate::config::Linux;
use crate::error::{Error, Result};
use crate::procfs::sysctl_path;
use crate::text;

/// A kernel parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sysctl {
    /// The name in the config, with dots or slashes.
    pub name: String,
    /// The path below /proc/sys, without a leading slash.
    pub path: String,
    /// The value to write.
    pub value: String,
}

/// Checks `linux.sysctl`. A sysctl is allowed only if one of the container's own namespaces
/// confines it: any other would change the host.
pub(super) fn parse(linux: &Linux<'_>, all: &Namespaces) -> Result<Vec<Sysctl>> {
    let mut list = Vec::new();
    for (name, value) in linux.sysctl.iter().flatten() {
        let path = sysctl_path(name);
        let problem = |text: String| Error::config(format_args!("linux.sysctl[{name:?}]"), text);
        if path.is_empty() || path.split('/').any(|part| matches!(part, "" | "." | "..")) || path.contains('\0') {
            return Err(problem("is not the name of a sysctl".into()));
        }
        let Some(kind) = confined_by(&path) else {
            return Err(problem(format!("sysctl {name:?} is not in a separate kernel namespace")));
        };
        if !all.has(kind) {
            return Err(problem(format!(
                "sysctl {name:?} is not allowed in the host's {} namespace; linux.namespaces needs one",
                kind.word()
            )));
        }
        list.push(Sysctl { name: name.to_string(), path, value: value.clone().into_owned() });
    }
    let paths: Vec<&str> = list.iter().map(|sysctl: &Sysctl| sysctl.path.as_str()).collect();
    for (n, first) in text::first_of_equal(&paths).into_iter().enumerate() {
        if first != n && list[first].value != list[n].value {
            let problem = format_args!("is set to another value as {:?}", list[first].name);
            return Err(Error::config(format_args!("linux.sysctl[{:?}]", list[n].name), problem));
        }
    }
    Ok(list)
}

/// The kind of namespace that the sysctl belongs to; `None` if it is global.
fn confined_by(path: &str) -> Option<NamespaceKind> {
    match path {
        _ if path.starts_with("net/") => Some(NamespaceKind::Network),
        _ if path.starts_with("fs/mqueue/") => Some(NamespaceKind::Ipc),
        "kernel/msgmax"
        | "kernel/msgmnb"
        | "kernel/msgmni"
        | "kernel/sem"
        | "kernel/shmall"
        | "kernel/shmmax"
        | "kernel/shmmni"
        | "kernel/shm_rmid_forced"
        | "kernel/shm_next_id" => Some(NamespaceKind::Ipc),
        "kernel/domainname" | "kernel/hostname" => Some(NamespaceKind::Uts),
        _ if path.starts_with("user/") => Some(NamespaceKind::User),
        _ => None,
    }
}
