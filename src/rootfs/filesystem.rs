//! New filesystems: made detached, with their parameters and attributes, before they are attached.

use super::mount::Mount;
use super::options::{Bind, Options, Parameter};
use crate::error::{Context, Error, Result};
use crate::path::Handle;
use crate::procfs::ProcFd;
use crate::sys::cgroup::{CGROUP_MAGIC, CGROUP2_MAGIC};
use crate::sys::fs;
use crate::sys::mount::{self, MOUNT_ATTR_RDONLY};
use std::os::fd::OwnedFd;

/// A filesystem to be made.
#[derive(Debug)]
pub(crate) struct New<'a> {
    pub(crate) kind: &'a str,
    pub(crate) source: &'a str,
    pub(crate) options: &'a Options,
    /// The SELinux context of its files (`linux.mountLabel`).
    pub(crate) label: Option<&'a str>,
    /// A parameter that is not in the options.
    pub(crate) extra: Option<(&'a str, String)>,
    /// A context from `fsopen(2)` that somebody else has opened.
    pub(crate) context: Option<OwnedFd>,
}

/// Filesystems of the kernel's own making: a read-only mount of them needs no read-only filesystem, which sysfs and others
/// share with the host.
fn is_pseudo(kind: &str) -> bool {
    matches!(kind, "tmpfs" | "proc" | "sysfs" | "devpts" | "mqueue" | "cgroup" | "cgroup2" | "ramfs")
}

/// The longest value that `fsconfig(2)` takes, in bytes.
const LONGEST_VALUE: usize = 255;

impl New<'_> {
    /// Whether only `mount(2)` can say it: flags that no call by descriptor has, or a long value (overlay's lowerdir).
    pub(crate) fn needs_old_call(&self) -> bool {
        let long = |p: &Parameter| p.value.as_ref().is_some_and(|v| v.len() > LONGEST_VALUE);
        self.options.legacy_flags != 0 || self.source.len() > LONGEST_VALUE || self.options.data.iter().any(long)
    }

    /// Whether the filesystem itself, and not only its mount, is to be read-only.
    fn read_only(&self) -> bool {
        self.options.own().set & MOUNT_ATTR_RDONLY != 0 && !is_pseudo(self.kind)
    }

    /// The label as a parameter, unless the options have one, or the filesystem has labels of its own.
    fn label(&self) -> Option<&str> {
        let own = self.options.data.iter().any(|p| p.key.ends_with("context"));
        self.label.filter(|_| !own && !["proc", "sysfs"].contains(&self.kind))
    }

    /// Makes it, detached. `writable`: its mount is made read-only later, by the caller.
    pub(crate) fn make(&self, writable: bool) -> Result<OwnedFd> {
        let opened;
        let context = match &self.context {
            Some(context) => context,
            None => {
                opened = mount::fsopen(self.kind)?;
                &opened
            }
        };
        let set = |key: &str, value: &Option<String>| match value {
            Some(value) => mount::fsconfig_string(context, key, value),
            None => mount::fsconfig_flag(context, key),
        };
        mount::fsconfig_string(context, "source", self.source)?;
        if self.read_only() {
            mount::fsconfig_flag(context, "ro")?;
        }
        for flag in &self.options.superblock {
            mount::fsconfig_flag(context, flag)?;
        }
        for parameter in &self.options.data {
            set(&parameter.key, &parameter.value).with(|| format!("options[{}]", parameter.option))?;
        }
        if let Some((key, value)) = &self.extra {
            mount::fsconfig_string(context, key, value)?;
        }
        if let Some(label) = self.label() {
            mount::fsconfig_string(context, "context", label)?;
        }
        mount::fsconfig_create(context)?;
        let hidden = if writable { MOUNT_ATTR_RDONLY } else { 0 };
        let tree = mount::fsmount(context, self.options.own().set & !hidden)?;
        if self.context.is_some() && self.kind == "proc" {
            // It came from a process that its neighbours in a joined pid namespace may have traced.
            ProcFd::checked(tree.try_clone().map_err(|e| Error::system(e.to_string()))?)?;
        }
        Ok(tree)
    }

    /// `mount(2)` opens a context of its own, of this process's pid namespace: the host's, where the container joins one.
    pub(crate) fn refuse_foreign_context(&self) -> Result<()> {
        match &self.context {
            Some(_) => Err(Error::config(
                "options",
                "a procfs of a joined pid namespace takes no such flag (iversion, silent, ...)",
            )),
            None => Ok(()),
        }
    }

    /// Makes and attaches it with `mount(2)`, without attributes.
    pub(crate) fn make_by_old_call(&self, target: &Handle) -> Result<()> {
        let mut data: Vec<String> = self
            .options
            .superblock
            .iter()
            .filter(|flag| old_flag(flag) == 0)
            .map(|flag| flag.to_string())
            .chain(self.options.data.iter().map(|p| match &p.value {
                Some(value) => format!("{}={value}", p.key),
                None => p.key.clone(),
            }))
            .collect();
        data.extend(self.extra.as_ref().map(|(key, value)| format!("{key}={value}")));
        data.extend(self.label().map(|label| format!("context=\"{label}\"")));
        let read_only = if self.read_only() { libc::MS_RDONLY } else { 0 };
        let superblock = self.options.superblock.iter().fold(0, |all, flag| all | old_flag(flag));
        let data = data.join(",");
        let how = mount::Mount {
            source: Some(self.source),
            kind: Some(self.kind),
            flags: read_only | superblock | self.options.legacy_flags,
            data: Some(&data),
        };
        super::attributes::mount_by_number(target, &how)
    }
}

/// The flag of `mount(2)` for a parameter that is one.
fn old_flag(name: &str) -> libc::c_ulong {
    match name {
        "sync" => libc::MS_SYNCHRONOUS,
        "dirsync" => libc::MS_DIRSYNC,
        "lazytime" => libc::MS_LAZYTIME,
        "mand" => libc::MS_MANDLOCK,
        _ => 0,
    }
}

/// The magic numbers of filesystems of which the host's mounts are others, or may be: what is said of them is said of the host's.
/// To be read-only is then the mount's alone.
const OF_HOST: [i64; 5] = [CGROUP_MAGIC, CGROUP2_MAGIC, SYSFS_MAGIC, MQUEUE_MAGIC, PROC_SUPER_MAGIC];
/// The magic number of sysfs.
pub(crate) const SYSFS_MAGIC: i64 = 0x6265_6572;
const MQUEUE_MAGIC: i64 = 0x1980_0202;
/// The magic number of procfs.
pub(crate) const PROC_SUPER_MAGIC: i64 = 0x9fa0;

/// Changes the filesystem that is mounted at `mounted`, as far as the options of a remount say something of it.
pub(crate) fn reconfigure(mounted: &Handle, remount: &Mount) -> Result<()> {
    let options = &remount.options;
    let of_filesystem = !options.superblock.is_empty() || !options.data.is_empty() || options.legacy_flags != 0;
    let read_only = options.attributes.set & MOUNT_ATTR_RDONLY != 0;
    let writable = options.attributes.clear & MOUNT_ATTR_RDONLY != 0;
    if options.bind != Bind::No || !(of_filesystem || read_only || writable) {
        return Ok(());
    }
    let magic = fs::filesystem_magic(mounted)?;
    let of_host = OF_HOST.contains(&magic);
    if of_host && !of_filesystem {
        return Ok(());
    }
    // Those of a procfs, such as hidepid, are of its pid namespace.
    if of_host && magic != PROC_SUPER_MAGIC {
        let at = format!("mounts[{}].options", remount.index);
        return Err(Error::config(at, "a remount with options of the filesystem would set them for the host too"));
    }
    if options.legacy_flags != 0 {
        let flags = libc::MS_REMOUNT | options.legacy_flags | fs::mount_flags(mounted)? & 0xf;
        super::attributes::mount_by_number(mounted, &mount::Mount { flags, ..Default::default() })?;
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
        .with(|| format!("options[{}]", p.option))?;
    }
    Ok(mount::fsconfig_reconfigure(&context)?)
}
