//! One entry of `mounts`, checked.

use super::options::{Bind, Idmap, Options};
use super::{idmap, inside};
use crate::config;
use crate::error::{Error, Result};
use crate::idmap::{IdMap, IdMaps};
use crate::path::InRoot;
use std::fmt;
use std::path::{Path, PathBuf};

/// An entry of `mounts` that makes sense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mount {
    /// Its number in the config.
    pub(crate) index: usize,
    pub(crate) destination: InRoot,
    pub(crate) kind: Kind,
    pub(crate) options: Options,
}

/// What is to be mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A file or directory of the host.
    ///
    /// `inside` is where it is in the root filesystem, if that is where it is.
    Bind { source: PathBuf, inside: Option<InRoot>, idmap: Option<IdmapOf> },
    /// A new filesystem.
    Filesystem { kind: String, source: String },
    /// The container's place in the cgroup hierarchies, whichever version the host has (type `cgroup`).
    Cgroup,
    /// What is already mounted there, with other options.
    Remount,
}

/// The id mapping through which a bind mount is seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum IdmapOf {
    /// The container's own user namespace.
    Container,
    /// Mappings of its own.
    Own(IdMaps),
}

/// What a mount's meaning depends on beyond its own entry.
pub(crate) struct Surroundings<'a> {
    pub(crate) bundle: &'a Path,
    /// The root directory on the host.
    pub(crate) root: &'a Path,
    /// Whether the container has a user namespace other than the runtime's.
    pub(crate) user_namespace: bool,
    /// Of that namespace.
    pub(crate) ids: IdMaps,
}

/// Where an entry stands in the config: `mounts[2]`. Made into text only for errors.
#[derive(Clone, Copy)]
struct At(usize);

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mounts[{}]", self.0)
    }
}

impl Mount {
    pub(crate) fn parse(mount: &config::Mount<'_>, index: usize, around: &Surroundings<'_>) -> Result<Mount> {
        let at = At(index);
        let options = Options::parse(mount.options.as_deref().unwrap_or_default(), format_args!("{at}.options"))?;
        let destination = destination(mount, at)?;
        let kind = kind(mount, &options, at, around)?;
        if destination.is_root() && kind != Kind::Remount {
            return Err(Error::config(format!("{at}.destination"), "nothing can be mounted over the root itself"));
        }
        refuse_over_proc(&destination, &kind, at)?;
        refuse_misplaced(&options, &kind, at)?;
        Ok(Mount { index, destination, kind, options })
    }

    /// How the mount is called in errors.
    pub(crate) fn name(&self) -> String {
        format!("mounts[{}]: mount {}", self.index, self.destination)
    }

    /// Options of a filesystem on a bind mount, which the kernel ignores, as the filesystem is not made but shown.
    pub(crate) fn warning(&self) -> Option<String> {
        let of_filesystem = !self.options.superblock.is_empty() || self.options.legacy_flags != 0;
        let bind = matches!(self.kind, Kind::Bind { .. });
        (bind && of_filesystem).then(|| {
            let names = "sync, dirsync, lazytime, mand, iversion and silent";
            format!("mounts[{}].options: {names} have no effect on a bind mount", self.index)
        })
    }

    /// Whether it is a bind mount at `path`.
    pub(crate) fn binds_over(&self, path: &InRoot) -> bool {
        matches!(self.kind, Kind::Bind { .. }) && self.destination == *path
    }
}

fn destination(mount: &config::Mount<'_>, at: At) -> Result<InRoot> {
    let text = mount.destination.as_deref().unwrap_or_default();
    checked(text, format_args!("{at}.destination"))?;
    Ok(InRoot::new(text))
}

/// Refuses what no path or name can be.
fn checked(text: &str, at: fmt::Arguments<'_>) -> Result<()> {
    match text {
        "" => Err(Error::config(at, "missing")),
        _ if text.contains('\0') => Err(Error::config(at, "holds a NUL byte")),
        _ if text.len() >= libc::PATH_MAX as usize => Err(Error::config(at, "longer than 4095 bytes")),
        _ => Ok(()),
    }
}

fn kind(mount: &config::Mount<'_>, options: &Options, at: At, around: &Surroundings<'_>) -> Result<Kind> {
    let kind = mount.type_.as_deref().unwrap_or_default();
    let source = mount.source.as_deref().unwrap_or_default();
    if options.remount {
        return Ok(Kind::Remount);
    }
    if options.bind != Bind::No || kind == "bind" {
        checked(source, format_args!("{at}.source"))?;
        let idmap = id_mapping(mount, options, at, around)?;
        let source = around.bundle.join(source);
        return Ok(Kind::Bind { inside: inside::below(around.root, &source), source, idmap });
    }
    checked(kind, format_args!("{at}.type"))?;
    if mount.uid_mappings.is_some() || mount.gid_mappings.is_some() || options.idmap != Idmap::No {
        return Err(Error::config(at, "id mappings are supported for bind mounts only"));
    }
    match kind {
        "cgroup" => Ok(Kind::Cgroup),
        _ => {
            let source = if source.is_empty() { kind } else { source };
            checked(source, format_args!("{at}.source"))?;
            Ok(Kind::Filesystem { kind: kind.to_string(), source: source.to_string() })
        }
    }
}

fn id_mapping(
    mount: &config::Mount<'_>,
    options: &Options,
    at: At,
    around: &Surroundings<'_>,
) -> Result<Option<IdmapOf>> {
    if let Some((ranges, n)) = &options.id_ranges {
        let own = idmap::ranges(ranges, &around.ids);
        return own.map(|ids| Some(IdmapOf::Own(ids))).map_err(|why| Error::config(format!("{at}.options[{n}]"), why));
    }
    let uids = IdMap::parse(format_args!("{at}.uidMappings"), mount.uid_mappings.as_deref())?;
    let gids = IdMap::parse(format_args!("{at}.gidMappings"), mount.gid_mappings.as_deref())?;
    match (uids.is_empty(), gids.is_empty(), options.idmap) {
        (true, true, Idmap::No) => Ok(None),
        (true, true, _) if around.user_namespace => Ok(Some(IdmapOf::Container)),
        (true, true, _) => {
            Err(Error::config(at, "an id-mapped mount needs uidMappings and gidMappings, or a user namespace"))
        }
        (false, true, _) => Err(Error::config(format!("{at}.gidMappings"), "missing beside uidMappings")),
        (true, false, _) => Err(Error::config(format!("{at}.uidMappings"), "missing beside gidMappings")),
        (false, false, _) => Ok(Some(IdmapOf::Own(IdMaps { uids, gids }))),
    }
}

/// Whether something may be mounted at this place inside a procfs: what engines and lxcfs mount over single files, which no
/// label, sysctl or mask depends on.
pub(crate) fn is_allowed_in_proc(destination: &InRoot) -> bool {
    matches!(
        destination.as_str(),
        "/proc/cpuinfo"
            | "/proc/diskstats"
            | "/proc/meminfo"
            | "/proc/stat"
            | "/proc/swaps"
            | "/proc/uptime"
            | "/proc/loadavg"
            | "/proc/slabinfo"
            | "/proc/net/dev"
            | "/proc/sys/kernel/ns_last_pid"
            | "/proc/sys/crypto/fips_enabled"
            | "/proc/pressure"
            | "/proc/cmdline"
            | "/proc/version"
    )
}

/// /proc must be a procfs of the kernel's, and nearly nothing may hide its contents (CVE-2019-16884).
fn refuse_over_proc(destination: &InRoot, kind: &Kind, at: At) -> Result<()> {
    let proc = InRoot::new("/proc");
    let fine = match kind {
        _ if !destination.is_within(&proc) => true,
        Kind::Remount => true,
        Kind::Filesystem { kind, .. } if kind == "proc" => *destination == proc,
        // A host's /proc is known for one only when it is opened.
        Kind::Bind { .. } if *destination == proc => true,
        _ => is_allowed_in_proc(destination),
    };
    if fine {
        return Ok(());
    }
    Err(Error::config(at, format!("{destination} cannot be mounted because it is inside /proc")))
}

fn refuse_misplaced(options: &Options, kind: &Kind, at: At) -> Result<()> {
    if let Kind::Bind { .. } = kind
        && let Some(parameter) = options.data.first()
    {
        let at = format!("{at}.options[{}]", parameter.option);
        let text = "bind mounts cannot have any filesystem-specific options applied";
        return Err(Error::config(at, format!("{text} ({:?} is one)", parameter.key)));
    }
    let tmpfs = matches!(kind, Kind::Filesystem { kind, .. } if kind == "tmpfs");
    if options.copy_up && !tmpfs {
        return Err(Error::config(format!("{at}.options"), "tmpcopyup is for tmpfs only"));
    }
    Ok(())
}
