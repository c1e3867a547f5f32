//! Mounting new filesystems: they are created as detached mounts with parameters and attributes,
//! and attached later.

use super::mount::MountEntry;
use super::options::{Depth, Options, Parameter};
use crate::error::{Context, Error, Result};
use crate::nearest;
use crate::path::Handle;
use crate::procfs::ProcFd;
use crate::sys::Failure;
use crate::sys::mount::{self, MOUNT_ATTR_RDONLY};
use crate::sys::{file, fs};
use libc::{CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC, PROC_SUPER_MAGIC, SYSFS_MAGIC};
use std::os::fd::{AsFd, OwnedFd};

/// A filesystem to mount.
#[derive(Debug)]
pub(crate) struct New<'a> {
    pub(crate) kind: &'a str,
    pub(crate) source: &'a str,
    pub(crate) options: &'a Options,
    /// The SELinux context of its files (`linux.mountLabel`).
    pub(crate) label: Option<&'a str>,
    /// A parameter that is not in the options.
    pub(crate) extra: Option<(&'a str, String)>,
    /// A filesystem context that another process has opened with `fsopen(2)`.
    pub(crate) context: Option<OwnedFd>,
}

/// Whether it is a filesystem without a device. A read-only mount of it leaves the superblock
/// writable, since sysfs and others share it with the host.
pub(super) fn is_pseudo(kind: &str) -> bool {
    matches!(kind, "tmpfs" | "proc" | "sysfs" | "devpts" | "mqueue" | "cgroup" | "cgroup2" | "ramfs")
}

/// The longest value of a parameter that `fsconfig(2)` accepts, in bytes.
const LONGEST_VALUE: usize = 255;

/// The longest text of options that `mount(2)` reads, in bytes: of a longer one it takes the
/// beginning, without an error.
const LONGEST_DATA: usize = 4095;

impl New<'_> {
    /// Whether the mount needs `mount(2)`: for flags that the new mount API lacks, or for a long
    /// value. A list of overlay's layers that is too long for `mount(2)` goes by the new API,
    /// layer by layer.
    pub(crate) fn needs_old_call(&self) -> bool {
        let long = |p: &Parameter| p.value.as_ref().is_some_and(|v| v.len() > LONGEST_VALUE);
        let is_long = self.source.len() > LONGEST_VALUE || self.options.data.iter().any(long);
        self.options.legacy_flags != 0 || is_long && !(self.kind == "overlay" && self.data().len() > LONGEST_DATA)
    }

    /// Whether the superblock, and not only the mount, becomes read-only.
    fn read_only(&self) -> bool {
        self.options.own().set & MOUNT_ATTR_RDONLY != 0 && !is_pseudo(self.kind)
    }

    /// The options as `mount(2)` takes them.
    fn data(&self) -> String {
        let flags = self.options.superblock.iter().filter(|flag| old_flag(flag) == 0).map(|flag| flag.to_string());
        let parameters = self.options.data.iter().map(|p| match &p.value {
            Some(value) => format!("{}={value}", p.key),
            None => p.key.clone(),
        });
        let mut data: Vec<String> = flags.chain(parameters).collect();
        data.extend(self.extra.as_ref().map(|(key, value)| format!("{key}={value}")));
        data.extend(self.label().map(|label| format!("context=\"{label}\"")));
        data.join(",")
    }

    /// The value of the parameter `context`, unless an option sets one or the filesystem labels its
    /// files itself.
    fn label(&self) -> Option<&str> {
        let own = self.options.data.iter().any(|p| p.key.ends_with("context"));
        self.label.filter(|_| !own && !["proc", "sysfs"].contains(&self.kind))
    }

    /// Creates the detached mount. If `writable` is set, the caller makes it read-only later.
    pub(crate) fn make(&self, writable: bool) -> Result<OwnedFd> {
        let opened;
        let context = match &self.context {
            Some(context) => context,
            None => {
                opened = mount::fsopen(self.kind).map_err(|e| unknown(e, self.kind))?;
                &opened
            }
        };
        let set = |p: &Parameter| match &p.value {
            Some(value) if self.kind == "overlay" && p.key == "lowerdir" && value.len() > LONGEST_VALUE => {
                set_layers(context, value)
            }
            Some(value) => Ok(mount::fsconfig_string(context, &p.key, value)?),
            None => Ok(mount::fsconfig_flag(context, &p.key)?),
        };
        mount::fsconfig_string(context, "source", self.source)?;
        if self.read_only() && !writable {
            mount::fsconfig_flag(context, "ro")?;
        }
        for flag in &self.options.superblock {
            mount::fsconfig_flag(context, flag)?;
        }
        for parameter in &self.options.data {
            set(parameter)
                .map_err(|e| self.explain(e, parameter))
                .with_context(|| format!("options[{}]", parameter.option))?;
        }
        if let Some((key, value)) = &self.extra {
            mount::fsconfig_string(context, key, value)?;
        }
        if let Some(label) = self.label() {
            mount::fsconfig_string(context, "context", label)?;
        }
        let is_list = |p: &Parameter| p.key == "lowerdir" && p.value.as_ref().is_some_and(|v| v.len() > LONGEST_VALUE);
        let by_layer = self.kind == "overlay" && self.options.data.iter().any(is_list);
        mount::fsconfig_create(context).map_err(|e| {
            let error = if by_layer { of_long_list(e) } else { e.into() };
            self.explain_create(self.with_missing_layer(error))
        })?;
        let hidden = if writable { MOUNT_ATTR_RDONLY } else { 0 };
        let tree = mount::fsmount(context, self.options.own().set & !hidden)?;
        if self.context.is_some() && self.kind == "proc" {
            // The context is from a process that other processes of a joined pid namespace may have
            // traced.
            ProcFd::checked(file::duplicate_above(&tree, 3)?)?;
        }
        Ok(tree)
    }

    /// Adds the remedy for a parameter that the kernel refuses.
    fn explain(&self, error: Error, parameter: &Parameter) -> Error {
        let value = parameter.value.as_deref().unwrap_or_default();
        let is_id = value.parse::<u32>().is_ok();
        match (parameter.key.as_str(), error.errno()) {
            ("uid", libc::EINVAL) if is_id => error.hint(unmapped("linux.uidMappings", value)),
            ("gid", libc::EINVAL) if is_id => error.hint(unmapped("linux.gidMappings", value)),
            (_, libc::EINVAL) => {
                error.hint(format!("correct it or leave it out: `check` names the options of {}", self.kind))
            }
            _ => self.missing_layer(error, parameter),
        }
    }

    /// Adds the option that an overlay lacks.
    fn explain_create(&self, error: Error) -> Error {
        let has = |key: &str| self.options.data.iter().any(|parameter| parameter.key.starts_with(key));
        match error.errno() {
            libc::EINVAL if self.kind != "overlay" => error,
            libc::EINVAL if !has("lowerdir") => error.hint("options: an overlay needs lowerdir=DIRECTORY"),
            libc::EINVAL if has("upperdir") != has("workdir") => {
                error.hint("options: upperdir and workdir need one another, as directories of one filesystem")
            }
            _ => error,
        }
    }

    fn with_missing_layer(&self, error: Error) -> Error {
        self.options.data.iter().fold(error, |error, parameter| self.missing_layer(error, parameter))
    }

    /// Adds the directory of an overlay that is not there: the kernel names it in its own log alone.
    fn missing_layer(&self, error: Error, parameter: &Parameter) -> Error {
        let is_list = matches!(parameter.key.as_str(), "lowerdir" | "lowerdir+" | "datadir+");
        let is_directory = is_list || matches!(parameter.key.as_str(), "upperdir" | "workdir");
        if self.kind != "overlay" || error.errno() != libc::ENOENT || !is_directory {
            return error;
        }
        let value = parameter.value.as_deref().unwrap_or_default();
        let all = if is_list { layers(value) } else { vec![("", value.to_owned())] };
        let missing = all.into_iter().find(|(_, path)| !std::path::Path::new(path).exists());
        match missing {
            Some((_, path)) => error.hint(format!("{}: {path:?} is not there on the host: create it", parameter.key)),
            None => error,
        }
    }

    /// Refuses `mount(2)` for a filesystem with a context: `mount(2)` would use this process's pid
    /// namespace, which is the host's if the container joins one.
    pub(crate) fn refuse_foreign_context(&self) -> Result<()> {
        match &self.context {
            Some(_) => Err(Error::config(
                "options",
                "a procfs of a joined pid namespace does not support this flag (iversion, silent, ...)",
            )),
            None => Ok(()),
        }
    }

    /// Mounts the filesystem with `mount(2)`, without mount attributes.
    pub(crate) fn make_by_old_call(&self, target: &Handle, writable: bool) -> Result<()> {
        let data = self.data();
        if data.len() > LONGEST_DATA {
            let text = format!("{} bytes are too long: mount(2) reads {LONGEST_DATA}", data.len());
            return Err(Error::config("options", text));
        }
        let read_only = if self.read_only() && !writable { libc::MS_RDONLY } else { 0 };
        let superblock = self.options.superblock.iter().fold(0, |all, flag| all | old_flag(flag));
        let how = mount::MountArgs {
            source: Some(self.source),
            kind: Some(self.kind),
            flags: read_only | superblock | self.options.legacy_flags,
            data: Some(&data),
        };
        super::attributes::mount_by_number(target, &how).map_err(|e| self.with_missing_layer(e))
    }
}

/// Sets the layers of an overlay one by one (Linux 6.8), since a value is limited to 255 bytes.
fn set_layers(context: impl AsFd, lowerdir: &str) -> Result<()> {
    for (n, (key, layer)) in layers(lowerdir).iter().enumerate() {
        if layer.len() > LONGEST_VALUE {
            let text = format!("layer {n} has a path of {} bytes: fsconfig(2) reads {LONGEST_VALUE}", layer.len());
            return Err(Error::system(text).hint("use shorter paths, or links to the layers"));
        }
        mount::fsconfig_string(&context, key, layer).map_err(of_long_list)?;
    }
    Ok(())
}

/// Adds the kernel that takes layers one by one. An older one refuses the first, the whole list or the mount.
fn of_long_list(failure: Failure) -> Error {
    let hint = "more than 4095 bytes of options need Linux 6.8: use shorter paths, or fewer layers";
    Error::from(failure).hint_on(libc::EINVAL, hint)
}

/// The layers of a `lowerdir`, each with its parameter: `:` separates them, `::` is before a layer
/// with data only, and `\` takes the special meaning from the next character.
pub(super) fn layers(lowerdir: &str) -> Vec<(&'static str, String)> {
    let mut layers = vec![("lowerdir+", String::new())];
    let mut text = lowerdir.chars();
    while let Some(c) = text.next() {
        let is_first = layers.len() == 1;
        match (c, layers.last_mut()) {
            (':', Some((key, layer))) if layer.is_empty() && !is_first => *key = "datadir+",
            (':', _) => layers.push(("lowerdir+", String::new())),
            (c, Some((_, layer))) => layer.extend(if c == '\\' { text.next() } else { Some(c) }),
            (_, None) => {}
        }
    }
    layers
}

/// Adds the name of a filesystem that the kernel has to the error for one that it lacks.
fn unknown(failure: Failure, kind: &str) -> Error {
    let error = Error::from(failure);
    if error.errno() != libc::ENODEV {
        return error;
    }
    let known = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
    let names = known.lines().filter_map(|line| line.split('\t').nth(1));
    error.hint(match nearest::nearest(kind, names) {
        Some(near) => format!("type: the kernel has no filesystem {kind:?}: did you mean {near}?"),
        None => format!("type: /proc/filesystems has no {kind:?}: load its module on the host (modprobe)"),
    })
}

fn unmapped(list: &str, id: &str) -> String {
    format!("{list} must map {id}, or the option must go")
}

/// The `mount(2)` flag for a parameter; 0 if it has none.
fn old_flag(name: &str) -> libc::c_ulong {
    match name {
        "sync" => libc::MS_SYNCHRONOUS,
        "dirsync" => libc::MS_DIRSYNC,
        "lazytime" => libc::MS_LAZYTIME,
        "mand" => libc::MS_MANDLOCK,
        _ => 0,
    }
}

/// The magic numbers of filesystems whose superblock the container may share with the host. Options
/// of the superblock would apply to the host's mounts, too; read-only is then set on the mount
/// only.
const OF_HOST: [i64; 5] = [CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC, SYSFS_MAGIC, MQUEUE_MAGIC, PROC_SUPER_MAGIC];
const MQUEUE_MAGIC: i64 = 0x1980_0202;

/// Applies the options of a remount that concern the superblock of the filesystem mounted at
/// `mounted`.
pub(crate) fn reconfigure(mounted: &Handle, remount: &MountEntry) -> Result<()> {
    let options = &remount.options;
    let of_filesystem = !options.superblock.is_empty() || !options.data.is_empty() || options.legacy_flags != 0;
    let read_only = options.attributes.set & MOUNT_ATTR_RDONLY != 0;
    let writable = options.attributes.clear & MOUNT_ATTR_RDONLY != 0;
    if options.bind != Depth::No || !(of_filesystem || read_only || writable) {
        return Ok(());
    }
    let magic = fs::filesystem_magic(mounted)?;
    let of_host = OF_HOST.contains(&magic);
    if of_host && !of_filesystem {
        return Ok(());
    }
    // The options of a procfs, such as hidepid, belong to its pid namespace.
    if of_host && magic != PROC_SUPER_MAGIC {
        let at = format!("mounts[{}].options", remount.index);
        return Err(Error::config(at, "a remount with options of the filesystem would set them for the host too"));
    }
    if options.legacy_flags != 0 {
        let flags = libc::MS_REMOUNT | options.legacy_flags | fs::mount_flags(mounted)? & 0xf;
        super::attributes::mount_by_number(mounted, &mount::MountArgs { flags, ..Default::default() })?;
    }
    let context = mount::fspick(mounted)?;
    if (read_only || writable) && !of_host {
        mount::fsconfig_flag(&context, if read_only { "ro" } else { "rw" })?;
    }
    for flag in &options.superblock {
        mount::fsconfig_flag(&context, flag)?;
    }
    for p in &options.data {
        match &p.value {
            Some(value) => mount::fsconfig_string(&context, &p.key, value),
            None => mount::fsconfig_flag(&context, &p.key),
        }
        .with_context(|| format!("options[{}]", p.option))?;
    }
    Ok(mount::fsconfig_reconfigure(&context)?)
}

/// Adds the reason for an EPERM of a filesystem that belongs to a namespace.
pub(super) fn with_hint(error: Error, kind: &str) -> Error {
    match kind {
        _ if error.errno() != libc::EPERM => error,
        "proc" => {
            error.hint("in a user namespace a procfs needs a pid namespace of its own, and a host /proc without masks")
        }
        "sysfs" => error.hint("in a user namespace a sysfs needs a network namespace of its own; bind /sys instead"),
        "mqueue" => error.hint("in a user namespace an mqueue needs an ipc namespace of its own"),
        "overlay" => error.hint("in a user namespace an overlay needs Linux 5.11, and the option userxattr"),
        _ => error,
    }
}
