//! The mounted hierarchies, and the cgroup of this process in each of them.

use super::membership::{HierarchyMount, Membership, locate, read_text};
use crate::error::{Error, Result};
use crate::mountinfo;
use crate::sys::cgroup::magic_of;
use libc::{CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::sync::OnceLock;

/// The directory in which distributions mount cgroup file systems.
const ROOT: &str = "/sys/fs/cgroup";

/// The inode of the first cgroup namespace (`PROC_CGROUP_INIT_INO` of the kernel).
const FIRST_CGROUP_NAMESPACE: u64 = 0xeffffffb;

/// The mounted hierarchies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Layout {
    /// The v1 hierarchies in the order of /proc/self/cgroup, then the unified one.
    pub hierarchies: Vec<Hierarchy>,
}

/// One mounted hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hierarchy {
    /// The controllers of a v1 hierarchy, or its `name=NAME`. Empty for the unified hierarchy.
    pub controllers: Vec<String>,
    /// Its mount point.
    pub mount: String,
    /// The cgroup of this process according to procfs. It need not be a directory below `mount`.
    own: String,
    /// The cgroup at the mount point, if mountinfo was read.
    root: Option<String>,
}

/// The combinations of hierarchies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// No hierarchy is mounted.
    None,
    /// Only v1.
    Legacy,
    /// v1 and a unified hierarchy, usually without controllers.
    Hybrid,
    /// Only v2.
    Unified,
}

impl Layout {
    /// Reads the layout of this machine. It checks the standard mount points by statfs(2), and
    /// parses /proc/self/mountinfo only for hierarchies that are not there.
    ///
    /// # Errors
    /// /proc/self/cgroup cannot be read.
    pub(crate) fn read() -> Result<Layout> {
        Layout::of("/proc/self/cgroup")
    }

    /// The same, with the cgroups of another process.
    ///
    /// # Errors
    /// The process does not exist.
    pub(super) fn read_of(pid: i32) -> Result<Layout> {
        Layout::of(&format!("/proc/{pid}/cgroup"))
    }

    fn of(file: &str) -> Result<Layout> {
        let members = Membership::parse_all(&read_text(file)?);
        let unified_only = magic_of(ROOT).is_ok_and(|magic| magic == CGROUP2_SUPER_MAGIC);
        let mut mounts = None;
        let mut hierarchies: Vec<Hierarchy> = Vec::with_capacity(members.len());
        for member in members {
            // The kernel lists the unified hierarchy last, even if it is not mounted. Beside v1
            // only its standard mount point is checked: it has no controllers, and mountinfo is
            // expensive.
            let optional = member.controllers.is_empty() && !hierarchies.is_empty();
            if unified_only && !member.controllers.is_empty() {
                // A v1 hierarchy beside a v2 root is a private mount of another program.
                continue;
            }
            let found = match standard_place(&member.controllers, unified_only) {
                Some(mount) => Some((mount, None)),
                None if optional => None,
                None => mounted_place(&member.controllers, &mut mounts)?,
            };
            if let Some((mount, root)) = found {
                let Membership { controllers, path: own } = member;
                hierarchies.push(Hierarchy { controllers, mount, own, root });
            }
        }
        Ok(Layout { hierarchies })
    }

    /// The combination of hierarchies.
    pub(crate) fn mode(&self) -> Mode {
        let unified = self.hierarchies.iter().filter(|h| h.is_unified()).count();
        match (self.hierarchies.len() - unified, unified) {
            (0, 0) => Mode::None,
            (0, _) => Mode::Unified,
            (_, 0) => Mode::Legacy,
            _ => Mode::Hybrid,
        }
    }
}

impl Hierarchy {
    /// Whether this is cgroup v2.
    pub(crate) fn is_unified(&self) -> bool {
        self.controllers.is_empty()
    }

    /// The name of its directory in distributions: `cpu,cpuacct`, `systemd`. Empty for the unified
    /// hierarchy.
    pub(crate) fn name(&self) -> String {
        directory_name(&self.controllers)
    }

    /// The directory of this process's own cgroup below the mount point: `/` or `/x/y`.
    ///
    /// # Errors
    /// The mount shows a part of the hierarchy that does not contain this process's cgroup.
    pub(crate) fn own_directory(&self) -> Result<String> {
        let found = match &self.root {
            None if self.shows_the_whole_tree() => return Ok(self.own.clone()),
            Some(root) => locate(root, &self.own),
            None => {
                let mounts = HierarchyMount::parse_all(&mountinfo::table("self")?);
                let mount = mounts.iter().rev().find(|m| m.point == self.mount && m.holds(&self.controllers));
                mount.and_then(|m| locate(&m.root, &self.own))
            }
        };
        found.ok_or_else(|| {
            Error::system(format!("the cgroup of this process, {:?}, is not visible below {:?}", self.own, self.mount))
        })
    }

    /// Whether the mount shows the real root of the hierarchy (inode 1), and the paths in procfs
    /// start there too.
    fn shows_the_whole_tree(&self) -> bool {
        inode(&self.mount) == Some(1) && in_first_cgroup_namespace()
    }
}

fn inode(path: &str) -> Option<u64> {
    std::fs::metadata(path).map(|m| m.ino()).ok()
}

/// Cached: the runtime does not change its cgroup namespace.
fn in_first_cgroup_namespace() -> bool {
    static ANSWER: OnceLock<bool> = OnceLock::new();
    *ANSWER.get_or_init(|| inode("/proc/self/ns/cgroup") == Some(FIRST_CGROUP_NAMESPACE))
}

/// Whether an open namespace is the initial cgroup namespace.
///
/// # Errors
/// The namespace cannot be read.
pub(crate) fn is_first_cgroup_namespace(namespace: impl AsFd) -> crate::sys::Result<bool> {
    Ok(crate::sys::namespace::identity(namespace)?.1 == FIRST_CGROUP_NAMESPACE)
}

fn directory_name(controllers: &[String]) -> String {
    let mut name = String::new();
    for controller in controllers {
        if !name.is_empty() {
            name.push(',');
        }
        name.push_str(controller.strip_prefix("name=").unwrap_or(controller));
    }
    name
}

/// The mount point of a hierarchy in distributions, by its comma-separated controllers. `alone`: it
/// is the only hierarchy.
pub(super) fn standard_mount(controllers: &str, alone: bool) -> String {
    match controllers {
        "" if alone => ROOT.to_owned(),
        "" => [ROOT, "/unified"].concat(),
        names => [ROOT, "/", names.strip_prefix("name=").unwrap_or(names)].concat(),
    }
}

/// Whether `mount` is [`standard_mount`] of these controllers.
pub(super) fn is_standard_mount(mount: &str, controllers: &[String], alone: bool) -> bool {
    let Some(below) = mount.strip_prefix(ROOT) else { return false };
    let mut rest = match (controllers, below.strip_prefix('/')) {
        ([], None) => return alone && below.is_empty(),
        ([], Some(name)) => return !alone && name == "unified",
        (_, None) => return false,
        (_, Some(name)) => name,
    };
    for (n, controller) in controllers.iter().enumerate() {
        let name = if n == 0 { controller.strip_prefix("name=").unwrap_or(controller) } else { controller };
        let before = if n == 0 { Some(rest) } else { rest.strip_prefix(',') };
        match before.and_then(|rest| rest.strip_prefix(name)) {
            Some(behind) => rest = behind,
            None => return false,
        }
    }
    rest.is_empty()
}

/// The standard mount point of a hierarchy. None if the hierarchy is not mounted there.
fn standard_place(controllers: &[String], unified_only: bool) -> Option<String> {
    let is = |path: &str, magic| magic_of(path).is_ok_and(|m| m == magic);
    if controllers.is_empty() {
        let path = standard_mount("", unified_only);
        return is(&path, CGROUP2_SUPER_MAGIC).then_some(path);
    }
    let path = [ROOT, "/", &directory_name(controllers)].concat();
    if is(&path, CGROUP_SUPER_MAGIC) {
        return Some(path);
    }
    if controllers.len() < 2 {
        return None;
    }
    // Mounted as `cpuacct,cpu`, or by the first name alone.
    let mut reversed = controllers.to_vec();
    reversed.reverse();
    [directory_name(&reversed), controllers[0].clone()]
        .into_iter()
        .map(|name| format!("{ROOT}/{name}"))
        .find(|path| is(path, CGROUP_SUPER_MAGIC))
}

/// Any mount point of the hierarchy, and the cgroup at it. Takes the last one, since later mounts
/// cover earlier ones.
fn mounted_place(
    controllers: &[String],
    mounts: &mut Option<Vec<HierarchyMount>>,
) -> Result<Option<(String, Option<String>)>> {
    let mounts = match mounts {
        Some(mounts) => mounts,
        None => mounts.insert(HierarchyMount::parse_all(&mountinfo::table("self")?)),
    };
    let mount = mounts.iter().rev().find(|m| m.holds(controllers));
    Ok(mount.map(|m| (m.point.clone(), Some(m.root.clone()))))
}

#[cfg(test)]
impl Layout {
    /// A layout of v1 hierarchies at imaginary mount points.
    pub(crate) fn imagined(names: &[&str]) -> Layout {
        let hierarchy = |name: &&str| Hierarchy {
            controllers: name.split(',').filter(|n| !n.is_empty()).map(str::to_owned).collect(),
            mount: format!("/cg/{name}"),
            own: "/own".into(),
            root: None,
        };
        Layout { hierarchies: names.iter().map(hierarchy).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_hierarchy_found_here_is_one_of_the_kernels() {
        let layout = Layout::read().unwrap();
        for hierarchy in &layout.hierarchies {
            let magic = if hierarchy.is_unified() { CGROUP2_SUPER_MAGIC } else { CGROUP_SUPER_MAGIC };
            assert_eq!(magic_of(&hierarchy.mount).unwrap(), magic, "{hierarchy:?}");
            let own = format!("{}{}", hierarchy.mount, hierarchy.own_directory().unwrap());
            let procs = std::fs::read_to_string(format!("{own}/cgroup.procs")).unwrap();
            assert!(procs.lines().any(|pid| pid == std::process::id().to_string()), "{own}");
        }
    }

    #[test]
    fn the_mode_follows_from_the_hierarchies() {
        assert_eq!(Layout::default().mode(), Mode::None);
        assert_eq!(Layout::imagined(&["cpu"]).mode(), Mode::Legacy);
        assert_eq!(Layout::imagined(&["cpu", ""]).mode(), Mode::Hybrid);
        assert_eq!(Layout::imagined(&[""]).mode(), Mode::Unified);
    }
}
