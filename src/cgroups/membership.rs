//! Parsers for `/proc/PID/cgroup` and the cgroup mounts of `/proc/self/mountinfo`.

use crate::error::{Error, Result};
use crate::mountinfo::{self, Mounted};

/// One line of `/proc/PID/cgroup` (cgroups(7)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Membership {
    /// The controllers of a v1 hierarchy, or its `name=NAME`. Empty for the unified hierarchy.
    pub controllers: Vec<String>,
    /// The cgroup, relative to the reader's cgroup namespace.
    pub path: String,
}

impl Membership {
    /// Parses the whole file. Malformed lines are skipped.
    pub(crate) fn parse_all(text: &str) -> Vec<Membership> {
        text.lines().filter_map(Membership::parse).collect()
    }

    fn parse(line: &str) -> Option<Membership> {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        let controllers = controllers.split(',').filter(|c| !c.is_empty()).map(str::to_owned).collect();
        Some(Membership { controllers, path: path.to_owned() })
    }
}

/// A mounted hierarchy (proc_pid_mountinfo(5)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HierarchyMount {
    /// The cgroup at the mount point, relative to the reader's cgroup namespace.
    pub root: String,
    /// The mount point.
    pub point: String,
    /// Whether it is cgroup v2.
    pub unified: bool,
    /// The super block options, which contain v1's controllers and name.
    pub options: Vec<String>,
}

impl HierarchyMount {
    /// The cgroup mounts of a mountinfo table, in its order.
    pub(crate) fn parse_all(table: &[u8]) -> Vec<HierarchyMount> {
        mountinfo::mounts(table).filter_map(HierarchyMount::of).collect()
    }

    fn of(mounted: Mounted<'_>) -> Option<HierarchyMount> {
        let unified = match mounted.kind {
            b"cgroup" => false,
            b"cgroup2" => true,
            _ => return None,
        };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let options = text(mounted.options).split(',').map(str::to_owned).collect();
        Some(HierarchyMount { root: text(&mounted.root()), point: text(&mounted.point()), unified, options })
    }

    /// Whether it is the hierarchy with these controllers. Empty for the unified hierarchy.
    pub(crate) fn holds(&self, controllers: &[String]) -> bool {
        match controllers.first() {
            None => self.unified,
            Some(first) => !self.unified && self.options.contains(first),
        }
    }
}

/// The directory of the cgroup `path` below a mount of the cgroup `root`: `/` or `/x/y`. None if
/// `path` is not beneath `root`.
pub(crate) fn locate(root: &str, path: &str) -> Option<String> {
    let rest = if root == "/" { path } else { path.strip_prefix(root)? };
    match rest {
        "" | "/" => Some("/".to_owned()),
        rest if rest.starts_with('/') && !rest.split('/').any(|part| part == "..") => Some(rest.to_owned()),
        _ => None,
    }
}

/// Reads a whole file of procfs or cgroupfs as text.
pub(super) fn read_text(path: &str) -> Result<String> {
    let fd = crate::sys::file::open(path, libc::O_RDONLY)?;
    let bytes = crate::sys::file::read_to_end(fd, LONGEST).map_err(Error::from)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The size limit of a file, in bytes.
const LONGEST: usize = 256 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(list: &[&str]) -> Vec<String> {
        list.iter().map(|s| s.to_string()).collect()
    }

    #[test]
    fn memberships_of_both_versions_are_read() {
        let text = "12:cpu,cpuacct:/a\n1:name=systemd:/user.slice/x:y\n0::/z\n";
        let lines = Membership::parse_all(text);
        assert_eq!(lines[0], Membership { controllers: strings(&["cpu", "cpuacct"]), path: "/a".into() });
        assert_eq!(lines[1], Membership { controllers: strings(&["name=systemd"]), path: "/user.slice/x:y".into() });
        assert_eq!(lines[2], Membership { controllers: vec![], path: "/z".into() });
    }

    #[test]
    fn cgroup_mounts_are_found_among_others() {
        let text = b"23 1 0:21 / /proc rw - proc proc rw\n\
                    31 23 0:28 /docker/x /sys/fs/cgroup/cpu,cpu\\040acct ro,nosuid master:3 - cgroup cgroup rw,cpu,cpuacct\n\
                    41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate\n";
        let mounts = HierarchyMount::parse_all(text);
        assert_eq!(mounts.len(), 2);
        assert_eq!(mounts[0].point, "/sys/fs/cgroup/cpu,cpu acct");
        assert!(mounts[0].holds(&strings(&["cpu", "cpuacct"])) && !mounts[0].holds(&[]));
        assert!(mounts[1].holds(&[]) && !mounts[1].holds(&strings(&["cpu"])));
    }

    #[test]
    fn a_cgroup_is_located_below_a_mount_of_a_part_of_the_tree() {
        assert_eq!(locate("/", "/a/b"), Some("/a/b".into()));
        assert_eq!(locate("/a", "/a/b"), Some("/b".into()));
        assert_eq!(locate("/a", "/a"), Some("/".into()));
        assert_eq!(locate("/a", "/ab"), None);
        assert_eq!(locate("/", "/../x"), None);
    }
}
