//! The root filesystem of a plan: its mounts, devices and protected paths, and the places that can be written.

use super::Section;
use super::plan::on_host;
use crate::namespaces::Namespaces;
use crate::path::InRoot;
use crate::rootfs::{Depth, Device, IdmapOf, MountEntry, MountKind, Rootfs};

pub(super) fn root(rootfs: &Rootfs) -> Section {
    let mut section = Section::new("root", "Root filesystem");
    section.add(
        "source",
        match rootfs.new_root() {
            None => rootfs.path.display().to_string(),
            Some(mount) => format!("mounts[0], {}, mounted at {}", source(mount), rootfs.path.display()),
        },
    );
    section.add("access", if rootfs.readonly { "read-only" } else { "writable" });
    section.add("propagation", rootfs.propagation_name());
    section
}

pub(super) fn mounts(rootfs: &Rootfs) -> Section {
    let mounts = rootfs.mounts.iter().enumerate().map(|(n, mount)| {
        let mut parts = vec![source(mount)];
        parts.extend(attributes(mount));
        parts.extend(propagation(mount));
        parts.extend(covers(rootfs, n));
        (mount.destination.as_str(), parts.join("; "))
    });
    Section::of("mounts", "Mounts", mounts)
}

fn source(mount: &MountEntry) -> String {
    match &mount.kind {
        MountKind::Bind { source, inside, idmap } => {
            let depth = if mount.options.bind == Depth::Tree { " with the mounts below it" } else { "" };
            let place = if inside.is_some() { "of the root filesystem" } else { "of the host" };
            let mapped = match idmap {
                None => "",
                Some(IdmapOf::Container) => ", ids mapped as in the user namespace",
                Some(IdmapOf::Own(_)) => ", ids mapped by a mapping of its own",
            };
            format!("bind of {} {place}{depth}{mapped}", source.display())
        }
        MountKind::Filesystem { kind, source, idmap } => {
            let mapped = if idmap.is_some() { ", on id-mapped layers" } else { "" };
            format!("new {kind} (source {source}){}{mapped}", parameters(mount))
        }
        MountKind::Cgroup => "the container's cgroups, in this host's version".into(),
        MountKind::Remount => "changes the options of the mount that is there".into(),
    }
}

fn parameters(mount: &MountEntry) -> String {
    let data = mount.options.data.iter().map(|parameter| match &parameter.value {
        Some(value) => format!("{}={value}", parameter.key),
        None => parameter.key.clone(),
    });
    let superblock = mount.options.superblock.iter().map(|flag| (*flag).to_owned());
    let copied = mount.options.copy_up.then(|| "filled with a copy of the directory".to_owned());
    let all: Vec<_> = data.chain(superblock).chain(copied).collect();
    if all.is_empty() { String::new() } else { format!(" with {}", all.join(",")) }
}

/// The attributes that are set in the kernel; those of a bind mount are the source's where no option changes them.
fn attributes(mount: &MountEntry) -> Option<String> {
    let (set, cleared) = mount.options.own().words();
    let is_new = matches!(mount.kind, MountKind::Filesystem { .. } | MountKind::Cgroup);
    let mut words: Vec<&str> = Vec::new();
    if is_new && !set.contains(&"ro") {
        words.push("rw");
    }
    words.extend(set);
    if !is_new {
        words.extend(cleared);
    }
    let text = match (is_new, words.is_empty()) {
        (false, true) => "attributes of the source".to_owned(),
        (false, false) => format!("{}, other attributes of the source", words.join(",")),
        (true, _) => words.join(","),
    };
    let below = mount.options.recursive.words().0;
    let below = if below.is_empty() { String::new() } else { format!("; below it too: {}", below.join(",")) };
    Some(text + &below)
}

fn propagation(mount: &MountEntry) -> Option<String> {
    let words: Vec<_> = mount.options.propagation.iter().map(|propagation| propagation.name()).collect();
    (!words.is_empty()).then(|| words.join(", "))
}

/// The earlier mounts that are no longer seen, and the masks that come over this one later.
fn covers(rootfs: &Rootfs, n: usize) -> Vec<String> {
    let mount = &rootfs.mounts[n];
    if mount.kind == MountKind::Remount {
        return Vec::new();
    }
    let earlier = rootfs.mounts[..n].iter().filter(|other| other.destination.is_within(&mount.destination));
    let mut covers: Vec<String> =
        earlier.map(|other| format!("covers mounts[{}] at {}", other.index, other.destination)).collect();
    let over = |list: &[InRoot]| -> Vec<String> {
        let around = list.iter().filter(|path| mount.destination.is_within(path));
        around.map(ToString::to_string).collect()
    };
    covers.extend(over(&rootfs.masked).into_iter().map(|path| format!("masked with {path} later")));
    covers.extend(over(&rootfs.readonly_paths).into_iter().map(|path| format!("read-only with {path} later")));
    covers
}

pub(super) fn devices(rootfs: &Rootfs) -> Section {
    let devices = rootfs.devices().iter().map(|device| (device.path.as_str(), device_in_words(device)));
    Section::of("devices", "Device nodes", devices)
}

fn device_in_words(device: &Device) -> String {
    let kind = match device.kind {
        libc::S_IFCHR => format!("character device {}:{}", device.major, device.minor),
        libc::S_IFBLK => format!("block device {}:{}", device.major, device.minor),
        _ => "FIFO".into(),
    };
    let of = if device.is_of_config { "" } else { " (default device)" };
    format!("{kind}, mode {:04o}, owner {}:{}{of}", device.mode, device.uid, device.gid)
}

pub(super) fn masked(rootfs: &Rootfs) -> Section {
    let title = "Masked paths, where they exist: a file by /dev/null, a directory by an empty read-only tmpfs";
    Section::of("masked", title, rootfs.masked.iter().map(|path| (path.as_str(), "masked")))
}

pub(super) fn read_only(rootfs: &Rootfs) -> Section {
    let title = "Read-only paths, where they exist: with the mounts below them";
    Section::of("read-only", title, rootfs.readonly_paths.iter().map(|path| (path.as_str(), "read-only")))
}

/// The places that can be written, and the host's files among them.
pub(super) fn writable(rootfs: &Rootfs, namespaces: &Namespaces) -> Section {
    let mut section = Section::new("writable", "Writable places");
    let root = on_host(namespaces.ids.as_ref().map(|ids| &ids.uids), 0);
    section.add("by", format!("the container's users, as far as file modes let them; its root is user 0{root}"));
    if !rootfs.readonly && rootfs.new_root().is_none() {
        section.add("/", format!("the host's {}", rootfs.path.display()));
    }
    for mount in rootfs.mounts.iter().filter(|mount| is_writable(rootfs, mount)) {
        let place = match &mount.kind {
            MountKind::Bind { source, .. } => format!("the host's {}", source.display()),
            MountKind::Filesystem { kind, .. } if kind == "overlay" => {
                format!("overlay, the host's {}", upper(mount).unwrap_or_default())
            }
            MountKind::Filesystem { kind, .. } => format!("{kind}, {}", fate(kind)),
            _ => "the container's own cgroups".into(),
        };
        section.add(mount.destination.as_str(), place);
    }
    section
}

fn fate(kind: &str) -> &'static str {
    match kind {
        "tmpfs" | "ramfs" | "devpts" | "mqueue" => "gone with the container",
        "proc" | "sysfs" => "kernel settings, except for masked and read-only paths",
        _ => "a filesystem of its own",
    }
}

/// The directory that has the changes of an overlay; one without is read-only.
fn upper(mount: &MountEntry) -> Option<&str> {
    mount.options.data.iter().rev().find(|parameter| parameter.key == "upperdir")?.value.as_deref()
}

fn is_writable(rootfs: &Rootfs, mount: &MountEntry) -> bool {
    let protected = |list: &[InRoot]| list.iter().any(|path| mount.destination.is_within(path));
    let may_be = match &mount.kind {
        MountKind::Remount => false,
        _ if mount.is_new_root() && rootfs.readonly => false,
        MountKind::Filesystem { kind, .. } => kind != "overlay" || upper(mount).is_some(),
        _ => true,
    };
    may_be
        && !mount.options.own().words().0.contains(&"ro")
        && !protected(&rootfs.masked)
        && !protected(&rootfs.readonly_paths)
}
