//! Which hierarchies this machine has, where they are mounted, and where in them this process is.

use super::membership::{Membership, Mount, locate, read_text};
use crate::error::{Error, Result};
use crate::mountinfo;
use crate::sys::cgroup::{CGROUP_MAGIC, CGROUP2_MAGIC, magic_of};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::sync::OnceLock;

/// Where distributions mount cgroup file systems.
const ROOT: &str = "/sys/fs/cgroup";

/// The inode of the first cgroup namespace (`PROC_CGROUP_INIT_INO` of the kernel).
const FIRST_CGROUP_NAMESPACE: u64 = 0xeffffffb;

/// The hierarchies that are mounted here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Layout {
    /// v1's in the order of /proc/self/cgroup, then the unified one.
    pub hierarchies: Vec<Hierarchy>,
}

/// One mounted hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hierarchy {
    /// The controllers of a v1 hierarchy, or its `name=NAME`; none for the unified one.
    pub controllers: Vec<String>,
    /// Where it is mounted.
    pub mount: String,
    /// The cgroup of this process, as procfs tells it: not always a directory below `mount`.
    own: String,
    /// The cgroup seen at the mount point, where a mountinfo has been read.
    root: Option<String>,
}

/// The ways in which the hierarchies are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// None is mounted.
    None,
    /// v1 alone.
    Legacy,
    /// v1, and a unified hierarchy (mostly without controllers) beside it.
    Hybrid,
    /// v2 alone.
    Unified,
}

impl Layout {
    /// Looks at this machine. The standard places are asked by `statfs(2)`; only what is not there costs a pass over
    /// /proc/self/mountinfo.
    ///
    /// # Errors
    /// /proc/self/cgroup cannot be read.
    pub(crate) fn read() -> Result<Layout> {
        Layout::of("/proc/self/cgroup")
    }

    /// The same, with the cgroups of another process as the own ones.
    ///
    /// # Errors
    /// There is no such process.
    pub(super) fn read_of(pid: i32) -> Result<Layout> {
        Layout::of(&format!("/proc/{pid}/cgroup"))
    }

    fn of(file: &str) -> Result<Layout> {
        let members = Membership::parse_all(&read_text(file)?);
        let unified_only = magic_of(ROOT).is_ok_and(|magic| magic == CGROUP2_MAGIC);
        let mut mounts = None;
        let mut hierarchies: Vec<Hierarchy> = Vec::with_capacity(members.len());
        for member in members {
            // The kernel lists the unified hierarchy, last, also where nobody has mounted it. Beside v1 it is looked for at
            // its one place alone: it has no controllers, and a pass over all mounts is dear.
            let optional = member.controllers.is_empty() && !hierarchies.is_empty();
            if unified_only && !member.controllers.is_empty() {
                // A v1 hierarchy beside a v2 root is somebody's private one.
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

    /// How the hierarchies are laid out.
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

    /// The name of its directory as distributions mount it: `cpu,cpuacct`, `systemd`; empty for the unified one.
    pub(crate) fn name(&self) -> String {
        directory_name(&self.controllers)
    }

    /// The directory of this process' own cgroup below the mount point: `/` or `/x/y`.
    ///
    /// # Errors
    /// The mount shows a part of the tree that this process is not in.
    pub(crate) fn own_directory(&self) -> Result<String> {
        let found = match &self.root {
            None if self.shows_the_whole_tree() => return Ok(self.own.clone()),
            Some(root) => locate(root, &self.own),
            None => {
                let mounts = Mount::parse_all(&mountinfo::table("self")?);
                let mount = mounts.iter().rev().find(|m| m.point == self.mount && m.holds(&self.controllers));
                mount.and_then(|m| locate(&m.root, &self.own))
            }
        };
        found.ok_or_else(|| {
            Error::system(format!("the cgroup of this process, {:?}, is not visible below {:?}", self.own, self.mount))
        })
    }

    /// Whether the mount shows the hierarchy from its real root (inode 1), and procfs speaks from there too.
    fn shows_the_whole_tree(&self) -> bool {
        inode(&self.mount) == Some(1) && in_first_cgroup_namespace()
    }
}

fn inode(path: &str) -> Option<u64> {
    std::fs::metadata(path).map(|m| m.ino()).ok()
}

/// Asked once: a runtime does not change its cgroup namespace.
fn in_first_cgroup_namespace() -> bool {
    static ANSWER: OnceLock<bool> = OnceLock::new();
    *ANSWER.get_or_init(|| inode("/proc/self/ns/cgroup") == Some(FIRST_CGROUP_NAMESPACE))
}

/// Whether an open namespace is the machine's first cgroup namespace.
///
/// # Errors
/// It cannot be looked at.
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

/// Where distributions mount a hierarchy by its controllers (with commas between); `alone`: it is the only one.
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

/// The standard mount point of a hierarchy, if it is there.
fn standard_place(controllers: &[String], unified_only: bool) -> Option<String> {
    let is = |path: &str, magic| magic_of(path).is_ok_and(|m| m == magic);
    if controllers.is_empty() {
        let path = standard_mount("", unified_only);
        return is(&path, CGROUP2_MAGIC).then_some(path);
    }
    let path = [ROOT, "/", &directory_name(controllers)].concat();
    if is(&path, CGROUP_MAGIC) {
        return Some(path);
    }
    if controllers.len() < 2 {
        return None;
    }
    // Mounted as `cpuacct,cpu`, or by one of the names alone.
    let mut reversed = controllers.to_vec();
    reversed.reverse();
    [directory_name(&reversed), controllers[0].clone()]
        .into_iter()
        .map(|name| format!("{ROOT}/{name}"))
        .find(|path| is(path, CGROUP_MAGIC))
}

/// A mount of the hierarchy anywhere, with what it shows; the last one, as later mounts cover earlier ones.
fn mounted_place(controllers: &[String], mounts: &mut Option<Vec<Mount>>) -> Result<Option<(String, Option<String>)>> {
    let mounts = match mounts {
        Some(mounts) => mounts,
        None => mounts.insert(Mount::parse_all(&mountinfo::table("self")?)),
    };
    let mount = mounts.iter().rev().find(|m| m.holds(controllers));
    Ok(mount.map(|m| (m.point.clone(), Some(m.root.clone()))))
}

#[cfg(test)]
impl Layout {
    /// A layout of v1 hierarchies at a place of the test's own.
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
            let magic = if hierarchy.is_unified() { CGROUP2_MAGIC } else { CGROUP_MAGIC };
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
