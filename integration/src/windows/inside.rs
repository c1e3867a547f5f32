//! What protects and limits the process that a command has made, as it is seen from the host, and how it may differ from
//! the one of a run without an attacker.

use super::action::Leeway;
use super::ground;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;

/// The picture of a process.
#[derive(Debug, Default)]
pub(super) struct Inside {
    /// Credentials, limits, cgroups.
    process: BTreeSet<String>,
    /// Its mounts: each with its parent, and where on it; once for each.
    mounts: Vec<Mount>,
    /// What it should not have, in any case.
    pub(super) leaks: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Mount {
    /// The type and root of the parent.
    parent: String,
    /// The path from the parent's mount point.
    at: String,
    /// Its own root, attributes, type and options.
    is: String,
}

impl Mount {
    /// Whether its name is one that the attacker may give to something else.
    fn is_in_the_root(&self) -> bool {
        ["rootfs", "volume", "tmpfs /below"].iter().any(|name| self.parent.contains(name)) || self.parent == "tmpfs /"
    }
}

impl Inside {
    pub(super) fn of(pid: i32) -> Self {
        let text = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default();
        let kept = ["Uid:", "Gid:", "Groups:", "SigIgn:", "Cap", "NoNewPrivs:", "Seccomp:", "Seccomp_filters:"];
        let mut process: BTreeSet<String> = text("status")
            .lines()
            .filter(|line| kept.iter().any(|k| line.starts_with(k)))
            .map(ToOwned::to_owned)
            .collect();
        for name in ["limits", "oom_score_adj", "uid_map", "cgroup"] {
            process.extend(text(name).lines().map(|line| format!("{name} {line}")));
        }
        process.extend(crate::faults::picture::limits(&text("cgroup")).lines().map(ToOwned::to_owned));
        for kind in ["cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"] {
            let of = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/{kind}")).ok();
            process.insert(format!("namespace {kind} {}", of(&pid.to_string()) != of("self")));
        }
        Self { process, mounts: mounts(&text("mountinfo")), leaks: leaks(pid) }
    }

    /// What is missing, or more than there should be. The attacker may have moved the mounts and masks in the root file
    /// system to another name, but none of those on a file system of the kernel's.
    pub(super) fn differences(&self, is: &Self, leeway: Leeway) -> Option<String> {
        let mut all: Vec<String> = self.process.symmetric_difference(&is.process).cloned().collect();
        if leeway != Leeway::Mounts {
            all.extend(self.different_mounts(is, leeway == Leeway::Moved));
        }
        all.extend(is.leaks.iter().cloned());
        (!all.is_empty()).then(|| all.join("; "))
    }

    /// What the config asks for and the process has not.
    pub(super) fn lacks(&self) -> Vec<String> {
        let lines = ["CapBnd:\t0000000000000020", "CapEff:\t0000000000000020", "NoNewPrivs:\t1", "Seccomp:\t2"];
        let mut all: Vec<String> =
            lines.iter().filter(|line| !self.process.contains(**line)).map(ToString::to_string).collect();
        for (at, is) in [("/keys", "/null"), ("/sys", "/sys ro"), ("/irq", "/irq ro"), ("/timer_list", "/null")] {
            let has = |mount: &Mount| mount.parent == "proc /" && mount.at == at && mount.is.starts_with(is);
            if !self.mounts.iter().any(has) {
                all.push(format!("no {is} at {at} of its procfs"));
            }
        }
        all
    }

    /// Devices of a /dev in the root itself that are not the ones of that name.
    pub(super) fn wrong_devices(&self) -> Option<String> {
        let wrong = |(name, number): &(&str, u64)| {
            let path = ground::root().join("dev").join(name);
            fs::symlink_metadata(path).map_or(0, |meta| meta.rdev()) != *number
        };
        let all = [("null", 0x103), ("zero", 0x105), ("box", 0x103)];
        all.iter().find(|device| wrong(device)).map(|(name, _)| format!("/dev/{name} is not the device"))
    }

    fn different_mounts(&self, is: &Self, moved: bool) -> Vec<String> {
        let key = |mount: &Mount| match moved && mount.is_in_the_root() {
            true => format!("* {}", mount.is),
            false => format!("{} {} {}", mount.parent, mount.at, mount.is),
        };
        let missing = without(&self.mounts, &is.mounts, &key);
        let new = without(&is.mounts, &self.mounts, &key);
        // A mask or a read-only path of the root itself may be on another entry, or on none.
        let in_root = |mount: &&Mount| {
            let of_root = mount.is.starts_with(&*ground::root().to_string_lossy()) || mount.is.contains("/null ");
            moved && mount.is_in_the_root() && (of_root || mount.at.contains("secret") || mount.is.starts_with("/ ro"))
        };
        let missing = missing.iter().filter(|mount| !in_root(mount)).map(|mount| format!("missing {mount:?}"));
        let new = new.iter().filter(|mount| !in_root(mount)).map(|mount| format!("new {mount:?}"));
        missing.chain(new).collect()
    }
}

/// The mounts of `these` that `others` have not, each as often as it is.
fn without(these: &[Mount], others: &[Mount], key: &dyn Fn(&Mount) -> String) -> Vec<Mount> {
    let mut rest: Vec<String> = others.iter().map(key).collect();
    let missing = these.iter().filter(|mount| match rest.iter().position(|other| *other == key(mount)) {
        Some(at) => {
            rest.swap_remove(at);
            false
        }
        None => true,
    });
    missing.cloned().collect()
}

fn mounts(table: &str) -> Vec<Mount> {
    let mut by_id: BTreeMap<&str, (&str, &str, String)> = BTreeMap::new();
    let mut all = Vec::new();
    for line in table.lines() {
        let Some((front, back)) = line.split_once(" - ") else { continue };
        let front: Vec<&str> = front.split(' ').collect();
        let (kind, options) = back.split_once(' ').unwrap_or((back, ""));
        let options = options.split_once(' ').map_or("", |(_, options)| options);
        by_id.insert(front[0], (front[4], front[1], format!("{kind} {}", front[3])));
        let tags = front[6..].iter().map(|tag| tag.split(':').next().unwrap_or_default());
        let tags: Vec<&str> = tags.collect();
        // The devices that a user namespace gets from the host are bind mounts of its devtmpfs.
        all.push((front[1], front[4], format!("{} {} {kind} {options} {tags:?}", front[3], front[5])));
    }
    let place = |(parent, point, is): &(&str, &str, String)| {
        let (above, parent) = match by_id.get(parent) {
            Some((above, _, parent)) => (*above, parent.clone()),
            None => ("", "host".to_owned()),
        };
        let at = point.strip_prefix(above.trim_end_matches('/')).unwrap_or(point).to_owned();
        Mount { parent, at, is: is.clone() }
    };
    all.iter().map(place).collect()
}

/// Files of the host's that a process has open, stands in, or has from the host's user database.
fn leaks(pid: i32) -> Vec<String> {
    let mut found = Vec::new();
    let identity = |path: &str| fs::metadata(path).map(|meta| (meta.dev(), meta.ino())).ok();
    let mut outside = vec![identity("/")];
    for path in ["", "dir", "file", "dir/sub", "dir/passwd"] {
        outside.push(identity(&ground::outside().join(path).display().to_string()));
    }
    for name in ["cwd", "root"] {
        let is = identity(&format!("/proc/{pid}/{name}"));
        if is.is_some() && outside.contains(&is) {
            found.push(format!("its {name} is the host's"));
        }
    }
    for entry in fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten() {
        let target = fs::read_link(entry.path()).unwrap_or_default().display().to_string();
        let number = entry.file_name().to_string_lossy().parse().unwrap_or(99);
        let usual =
            target == "/dev/null" || ["output", "errors", ".said (deleted)"].iter().any(|name| target.ends_with(name));
        if number > 2 || !usual {
            found.push(format!("descriptor {number} is {target}"));
        }
    }
    let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    if String::from_utf8_lossy(&environment).contains("leaked") {
        found.push("its environment is of the host's user database".into());
    }
    found
}
