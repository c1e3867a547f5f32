//! Checking an entry of `mounts`.

use super::options::{Depth, Options};
use super::{idmap, inside, root};
use crate::config;
use crate::error::{Error, Result};
use crate::idmap::{IdMap, IdMaps};
use crate::path::InRoot;
use std::fmt;
use std::path::{Path, PathBuf};

/// A checked entry of `mounts`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MountEntry {
    /// The index in `mounts`.
    pub(crate) index: usize,
    pub(crate) destination: InRoot,
    pub(crate) kind: MountKind,
    pub(crate) options: Options,
}

/// The kind of a mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum MountKind {
    /// A bind mount of a file or directory. If the source is below the root directory, `inside` is
    /// its path there.
    Bind { source: PathBuf, inside: Option<InRoot>, idmap: Option<IdmapOf> },
    /// A new filesystem. `idmap` is the mapping of the lower layers of an overlay that becomes the root.
    Filesystem { kind: String, source: String, idmap: Option<IdmapOf> },
    /// The container's cgroups, of the host's cgroup version (type `cgroup`).
    Cgroup,
    /// A change of the options of an existing mount.
    Remount,
}

/// The id mapping of an id-mapped bind mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum IdmapOf {
    /// The mapping of the container's user namespace.
    Container,
    /// The mount's own mapping.
    Own(IdMaps),
}

/// The values outside of an entry that its checks depend on.
pub(crate) struct MountContext<'a> {
    pub(crate) bundle: &'a Path,
    /// The root directory on the host.
    pub(crate) root: &'a Path,
    /// Whether the container has a user namespace other than the runtime's.
    pub(crate) user_namespace: bool,
    /// The id mappings of that namespace.
    pub(crate) ids: IdMaps,
}

/// The JSON path of an entry, such as `mounts[2]`. It is formatted only for errors.
#[derive(Clone, Copy)]
struct At(usize);

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mounts[{}]", self.0)
    }
}

impl MountEntry {
    pub(crate) fn parse(mount: &config::Mount<'_>, index: usize, context: &MountContext<'_>) -> Result<MountEntry> {
        let at = At(index);
        let mut options = Options::parse(mount.options.as_deref().unwrap_or_default(), format_args!("{at}.options"))?;
        let destination = destination(mount, at)?;
        let kind = kind(mount, &options, at, context, destination.is_root())?;
        if destination.is_root() {
            refuse_as_root(&kind, &options, at)?;
            root::begin_at(context.bundle, &mut options);
        }
        refuse_over_proc(&destination, &kind, at)?;
        refuse_misplaced(&options, &kind, at)?;
        Ok(MountEntry { index, destination, kind, options })
    }

    /// The name of the mount in errors.
    pub(crate) fn name(&self) -> String {
        format!("mounts[{}]: mount {}", self.index, self.destination)
    }

    /// A warning if a bind mount has options of the filesystem, which have no effect: the
    /// filesystem is mounted already.
    pub(crate) fn warning(&self) -> Option<String> {
        let of_filesystem = !self.options.superblock.is_empty() || self.options.legacy_flags != 0;
        let bind = matches!(self.kind, MountKind::Bind { .. });
        (bind && of_filesystem).then(|| {
            let names = "sync, dirsync, lazytime, mand, iversion and silent";
            format!("mounts[{}].options: {names} have no effect on a bind mount", self.index)
        })
    }

    /// Whether the mount becomes the container's root: the first mount, with the destination `/`.
    pub(crate) fn is_new_root(&self) -> bool {
        self.destination.is_root() && self.kind != MountKind::Remount
    }

    /// Whether it is a bind mount at `path`.
    pub(crate) fn binds_over(&self, path: &InRoot) -> bool {
        matches!(self.kind, MountKind::Bind { .. }) && self.destination == *path
    }
}

fn destination(mount: &config::Mount<'_>, at: At) -> Result<InRoot> {
    let text = mount.destination.as_deref().unwrap_or_default();
    checked(text, format_args!("{at}.destination"))?;
    Ok(InRoot::new(text))
}

/// Filesystems of the kernel, in which no mount point can be created.
const OF_KERNEL: [&str; 5] = ["proc", "sysfs", "cgroup2", "devpts", "mqueue"];

/// Refuses a mount with the destination `/`, unless it can become the container's root.
fn refuse_as_root(kind: &MountKind, options: &Options, at: At) -> Result<()> {
    let wrong = |why: &str| Err(Error::config(format!("{at}.destination"), why));
    match kind {
        MountKind::Remount => Ok(()),
        _ if at.0 != 0 => wrong("only the first mount can be at /, as the root: it would cover the mounts before it"),
        MountKind::Cgroup => wrong(KERNEL_AS_ROOT),
        MountKind::Filesystem { kind, .. } if OF_KERNEL.contains(&kind.as_str()) => wrong(KERNEL_AS_ROOT),
        // pivot_root(2) refuses a shared root, and masks need copies of it.
        _ if options.propagation.iter().any(|p| [libc::MS_SHARED, libc::MS_UNBINDABLE].contains(&p.kind)) => {
            Err(Error::config(format!("{at}.options"), "the propagation of the root is set by linux.rootfsPropagation"))
        }
        _ => Ok(()),
    }
}

const KERNEL_AS_ROOT: &str = "a filesystem of the kernel cannot become the root";

/// Refuses text that cannot be a path or name: empty, with a NUL byte, or too long.
fn checked(text: &str, at: fmt::Arguments<'_>) -> Result<()> {
    match text {
        "" => Err(Error::config(at, "missing")),
        _ if text.contains('\0') => Err(Error::config(at, "holds a NUL byte")),
        _ if text.len() >= libc::PATH_MAX as usize => Err(Error::config(at, "longer than 4095 bytes")),
        _ => Ok(()),
    }
}

fn kind(
    mount: &config::Mount<'_>,
    options: &Options,
    at: At,
    context: &MountContext<'_>,
    is_root: bool,
) -> Result<MountKind> {
    let kind = mount.type_.as_deref().unwrap_or_default();
    let source = mount.source.as_deref().unwrap_or_default();
    if options.remount {
        return Ok(MountKind::Remount);
    }
    if options.bind != Depth::No || kind == "bind" {
        checked(source, format_args!("{at}.source"))?;
        let idmap = id_mapping(mount, options, at, context)?;
        let source = context.bundle.join(source);
        return Ok(MountKind::Bind { inside: inside::below(context.root, &source), source, idmap });
    }
    checked(kind, format_args!("{at}.type"))?;
    let is_mapped = mount.uid_mappings.is_some() || mount.gid_mappings.is_some() || options.idmap != Depth::No;
    let idmap = match is_mapped {
        true if is_root && kind == "overlay" => id_mapping(mount, options, at, context)?,
        true => {
            return Err(Error::config(at, "id mappings are for bind mounts, and for an overlay at / as first mount"));
        }
        false => None,
    };
    match kind {
        "cgroup" => Ok(MountKind::Cgroup),
        _ => {
            let source = if source.is_empty() { kind } else { source };
            checked(source, format_args!("{at}.source"))?;
            Ok(MountKind::Filesystem { kind: kind.to_string(), source: source.to_string(), idmap })
        }
    }
}

fn id_mapping(
    mount: &config::Mount<'_>,
    options: &Options,
    at: At,
    context: &MountContext<'_>,
) -> Result<Option<IdmapOf>> {
    if let Some((ranges, n)) = &options.id_ranges {
        let own = idmap::ranges(ranges, &context.ids);
        return own.map(|ids| Some(IdmapOf::Own(ids))).map_err(|why| Error::config(format!("{at}.options[{n}]"), why));
    }
    let uids = IdMap::parse(format_args!("{at}.uidMappings"), mount.uid_mappings.as_deref())?;
    let gids = IdMap::parse(format_args!("{at}.gidMappings"), mount.gid_mappings.as_deref())?;
    match (uids.is_empty(), gids.is_empty(), options.idmap) {
        (true, true, Depth::No) => Ok(None),
        (true, true, _) if context.user_namespace => Ok(Some(IdmapOf::Container)),
        (true, true, _) => {
            Err(Error::config(at, "an id-mapped mount needs uidMappings and gidMappings, or a user namespace"))
        }
        (false, true, _) => Err(Error::config(format!("{at}.gidMappings"), "missing beside uidMappings")),
        (true, false, _) => Err(Error::config(format!("{at}.uidMappings"), "missing beside gidMappings")),
        (false, false, _) => Ok(Some(IdmapOf::Own(IdMaps { uids, gids }))),
    }
}

/// Whether a mount inside a procfs is allowed at this path: engines and lxcfs mount over these
/// files, and no label, sysctl or mask depends on them.
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

/// Refuses mounts over /proc, except a procfs, a bind mount that is checked later, and the allowed
/// files inside (CVE-2019-16884).
fn refuse_over_proc(destination: &InRoot, kind: &MountKind, at: At) -> Result<()> {
    let proc = InRoot::new("/proc");
    let fine = match kind {
        _ if !destination.is_within(&proc) => true,
        MountKind::Remount => true,
        MountKind::Filesystem { kind, .. } if kind == "proc" => *destination == proc,
        // `bind` checks that the source is a procfs.
        MountKind::Bind { .. } if *destination == proc => true,
        _ => is_allowed_in_proc(destination),
    };
    if fine {
        return Ok(());
    }
    Err(Error::config(at, format!("{destination} cannot be mounted because it is inside /proc")))
}

fn refuse_misplaced(options: &Options, kind: &MountKind, at: At) -> Result<()> {
    if let MountKind::Bind { .. } = kind
        && let Some(parameter) = options.data.first()
    {
        let at = format!("{at}.options[{}]", parameter.option);
        let text = "bind mounts cannot have any filesystem-specific options applied";
        return Err(Error::config(at, format!("{text} ({:?} is one)", parameter.key)));
    }
    let tmpfs = matches!(kind, MountKind::Filesystem { kind, .. } if kind == "tmpfs");
    if options.copy_up && !tmpfs {
        return Err(Error::config(format!("{at}.options"), "tmpcopyup is for tmpfs only"));
    }
    Ok(())
}
