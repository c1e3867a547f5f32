//! The namespaces of a container: creating and joining them, and the settings in them.
//!
//! [`Joined::open`] opens the namespaces to join, [`Namespaces::parse`] checks the config,
//! [`recipe`] computes the clone, join, unshare and fork steps as data, and [`enter`] executes them
//! in the child.

pub(crate) mod enter;
mod joined;
pub(crate) mod map;
mod netdevice;
pub(crate) mod netlink;
mod offsets;
mod own;
pub(crate) mod recipe;
mod sysctl;

pub(crate) use joined::{Joined, disregard_shared, is_elsewhere};
pub(crate) use netdevice::{Moved, NetDevices};
pub(crate) use own::{in_first_pid_namespace, in_first_user_namespace, in_user_namespace};
pub(crate) use recipe::{Owner, Recipe};
pub(crate) use sysctl::Sysctl;

use crate::config::{Linux, Spec};
use crate::error::{Error, Result};
use crate::idmap::IdMaps;

/// A type of namespace (`namespaces(7)`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum NamespaceKind {
    User,
    Mount,
    Pid,
    Network,
    Ipc,
    Uts,
    Cgroup,
    Time,
}

impl NamespaceKind {
    /// All kinds, in the order of their numbers.
    pub(crate) const ALL: [NamespaceKind; 8] = [
        NamespaceKind::User,
        NamespaceKind::Mount,
        NamespaceKind::Pid,
        NamespaceKind::Network,
        NamespaceKind::Ipc,
        NamespaceKind::Uts,
        NamespaceKind::Cgroup,
        NamespaceKind::Time,
    ];

    /// The `type` in config.json, the file name in /proc/PID/ns and the CLONE_NEW* flag.
    fn names(self) -> (&'static str, &'static str, i32) {
        match self {
            NamespaceKind::User => ("user", "user", libc::CLONE_NEWUSER),
            NamespaceKind::Mount => ("mount", "mnt", libc::CLONE_NEWNS),
            NamespaceKind::Pid => ("pid", "pid", libc::CLONE_NEWPID),
            NamespaceKind::Network => ("network", "net", libc::CLONE_NEWNET),
            NamespaceKind::Ipc => ("ipc", "ipc", libc::CLONE_NEWIPC),
            NamespaceKind::Uts => ("uts", "uts", libc::CLONE_NEWUTS),
            NamespaceKind::Cgroup => ("cgroup", "cgroup", libc::CLONE_NEWCGROUP),
            NamespaceKind::Time => ("time", "time", libc::CLONE_NEWTIME),
        }
    }

    /// The value of `type` in config.json (config-linux.md, "Namespaces").
    pub(crate) fn word(self) -> &'static str {
        self.names().0
    }

    /// The file name in /proc/PID/ns.
    pub(crate) fn file(self) -> &'static str {
        self.names().1
    }

    /// The flag for `clone3(2)`, `unshare(2)` and `setns(2)`.
    pub(crate) fn flag(self) -> i32 {
        self.names().2
    }

    fn from_word(word: &str) -> Option<NamespaceKind> {
        NamespaceKind::ALL.into_iter().find(|kind| kind.word() == word)
    }
}

/// The source of the container's namespace of a kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Place {
    /// The runtime's own namespace.
    #[default]
    Runtime,
    /// A new namespace.
    New,
    /// The namespace at this absolute path on the host.
    Join(String),
}

/// The checked namespaces of a container.
#[derive(Clone, Debug, Default)]
pub(crate) struct Namespaces {
    places: [Place; 8],
    /// Id mappings of a new user namespace.
    pub ids: Option<IdMaps>,
    /// The clock offsets of a new time namespace as /proc/self/timens_offsets takes them; empty for
    /// none.
    pub offsets: String,
    /// Sysctls to write below /proc/sys, in the order of the config.
    pub sysctls: Vec<Sysctl>,
    /// The host name to set.
    pub hostname: Option<String>,
    /// The NIS domain name to set.
    pub domainname: Option<String>,
}

impl Namespaces {
    /// Checks `linux.namespaces` and the fields that need certain namespaces.
    ///
    /// # Errors
    /// An error of kind `Config` that names the field's JSON path.
    pub(crate) fn parse(spec: &Spec<'_>) -> Result<Namespaces> {
        let mut all = Namespaces::default();
        let Some(linux) = &spec.linux else { return all.named(spec) };
        all.places = places(linux)?;
        all.ids = ids(linux, all.place(NamespaceKind::User))?;
        all.offsets = offsets::parse(linux, all.place(NamespaceKind::Time))?;
        all.sysctls = sysctl::parse(linux, &all)?;
        all.named(spec)
    }

    fn named(mut self, spec: &Spec<'_>) -> Result<Namespaces> {
        for (field, name) in [("hostname", &spec.hostname), ("domainname", &spec.domainname)] {
            let Some(name) = name.as_deref().filter(|name| !name.is_empty()) else { continue };
            if *self.place(NamespaceKind::Uts) == Place::Runtime {
                let problem = format_args!("unable to set {field} without a private UTS namespace");
                return Err(Error::config(field, problem));
            }
            if name.len() > 64 {
                return Err(Error::config(
                    field,
                    format_args!("{} bytes are more than the limit of 64 (uname(2))", name.len()),
                ));
            }
            *(if field == "hostname" { &mut self.hostname } else { &mut self.domainname }) = Some(name.into());
        }
        Ok(self)
    }

    /// The source of the namespace of this kind.
    pub(crate) fn place(&self, kind: NamespaceKind) -> &Place {
        &self.places[kind as usize]
    }

    /// Whether the container has a namespace of this kind that is not the runtime's own.
    pub(crate) fn has(&self, kind: NamespaceKind) -> bool {
        *self.place(kind) != Place::Runtime
    }
}

/// Checks the entries of `linux.namespaces`: known types, none twice, absolute paths.
fn places(linux: &Linux<'_>) -> Result<[Place; 8]> {
    let mut places = <[Place; 8]>::default();
    for (n, entry) in linux.namespaces.iter().flatten().enumerate() {
        let field = |name: &str| format!("linux.namespaces[{n}].{name}");
        let word = entry.type_.as_deref().unwrap_or_default();
        let Some(kind) = NamespaceKind::from_word(word) else {
            return Err(Error::config(field("type"), format_args!("unknown namespace {word:?}")));
        };
        if places[kind as usize] != Place::Runtime {
            return Err(Error::config(field("type"), format_args!("duplicated ns {word:?}")));
        }
        places[kind as usize] = match entry.path.as_deref().unwrap_or_default() {
            "" => Place::New,
            path if path.starts_with('/') => Place::Join(path.into()),
            path => return Err(Error::config(field("path"), format_args!("{path:?} is not an absolute path"))),
        };
    }
    Ok(places)
}

/// Checks `linux.uidMappings` and `linux.gidMappings` against the user namespace.
fn ids(linux: &Linux<'_>, user: &Place) -> Result<Option<IdMaps>> {
    let ids = IdMaps::parse(linux)?;
    match (user, ids.uids.is_empty(), ids.gids.is_empty()) {
        // A joined namespace has its maps; the config may repeat them for readers.
        (Place::Runtime | Place::Join(_), true, true) => Ok(None),
        (Place::Runtime, no_uids, _) => {
            let field = if no_uids { "linux.gidMappings" } else { "linux.uidMappings" };
            Err(Error::config(field, "ids can be mapped only in a user namespace, and linux.namespaces has none"))
        }
        (Place::New, true, _) => {
            Err(Error::config("linux.uidMappings", "user namespaces enabled, but no uid mappings found"))
        }
        (Place::New, _, true) => {
            Err(Error::config("linux.gidMappings", "user namespaces enabled, but no gid mappings found"))
        }
        _ => Ok(Some(ids)),
    }
}

#[cfg(test)]
mod tests;
