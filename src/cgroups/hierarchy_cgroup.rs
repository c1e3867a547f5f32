//! The container's cgroup in one hierarchy: a directory and its files.

use super::layout::Hierarchy;
use crate::error::{Context, Error, IoContext, Result};
use crate::json::readable;
use crate::sys::{self, file};
use serde::Serialize;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::Path;

/// A container's cgroup in one hierarchy. Its JSON form is part of the container's state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct HierarchyCgroup {
    /// The controllers of a v1 hierarchy, or its `name=NAME`. Empty for the unified hierarchy.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub controllers: Vec<String>,
    /// The mount point of the hierarchy.
    pub mount: String,
    /// The absolute path of the cgroup below the mount point.
    pub path: String,
    /// The number of parent directories that did not exist before. They are removed with the cgroup
    /// if they are empty.
    #[serde(skip_serializing_if = "is_zero")]
    pub parents: usize,
}

readable! { HierarchyCgroup { controllers = "controllers", mount = "mount", path = "path", parents = "parents" } }

pub(super) fn is_zero(n: &usize) -> bool {
    *n == 0
}

impl HierarchyCgroup {
    /// The cgroup at `path` in a hierarchy, whose parents are another's.
    pub(super) fn at(hierarchy: &Hierarchy, path: String) -> HierarchyCgroup {
        let (controllers, mount) = (hierarchy.controllers.clone(), hierarchy.mount.clone());
        HierarchyCgroup { controllers, mount, path, parents: 0 }
    }

    /// The cgroup at `path` in a hierarchy. Counts the parents that do not exist.
    pub(super) fn plan(hierarchy: &Hierarchy, path: String) -> HierarchyCgroup {
        let mut cgroup = HierarchyCgroup::at(hierarchy, path);
        let mut parent = parent_of(&cgroup.path);
        while parent != "/" && !Path::new(&[&cgroup.mount, parent].concat()).exists() {
            cgroup.parents += 1;
            parent = parent_of(parent);
        }
        cgroup
    }

    /// Whether the hierarchy is the unified one.
    pub(crate) fn is_unified(&self) -> bool {
        self.controllers.is_empty()
    }

    /// Whether the hierarchy has this v1 controller.
    pub(crate) fn has(&self, controller: &str) -> bool {
        self.controllers.iter().any(|c| c == controller)
    }

    /// Whether `exec --cgroup` names the hierarchy by `name`: a controller, `systemd` or
    /// `name=systemd`, or the empty name for the unified hierarchy.
    pub(super) fn names(&self, name: &str) -> bool {
        self.has(name) || self.has(&format!("name={name}")) || (name.is_empty() && self.is_unified())
    }

    /// The directory on the host.
    pub(crate) fn directory(&self) -> String {
        [&*self.mount, &self.path].concat()
    }

    /// A file of the directory.
    pub(crate) fn file(&self, name: &str) -> String {
        [&*self.mount, &self.path, "/", name].concat()
    }

    /// Whether the directory exists.
    pub(crate) fn exists(&self) -> bool {
        Path::new(&self.directory()).exists()
    }

    /// Whether the cgroup may have nested cgroups, by its link count.
    pub(crate) fn has_children(&self) -> bool {
        std::fs::metadata(self.directory()).is_ok_and(|found| found.nlink() != 2)
    }

    /// The content of a file, trimmed.
    pub(crate) fn read(&self, name: &str) -> sys::Result<String> {
        read(&self.file(name))
    }

    /// Writes a value to a file with a single write(2).
    pub(crate) fn write(&self, name: &str, value: &str) -> sys::Result<()> {
        write(&self.file(name), value)
    }

    /// Creates the directory and its missing parents. Returns whether it existed before.
    pub(super) fn make(&self) -> Result<bool> {
        make(&self.mount, &self.path, self.has("cpuset"))
    }

    /// The file through which a thread joins a v1 cgroup.
    pub(super) fn tasks(&self) -> sys::Result<OwnedFd> {
        file::open(self.file("tasks"), libc::O_WRONLY)
    }

    /// Removes the parents that were created with the cgroup, as long as they are empty.
    pub(super) fn remove_parents(&self) {
        let mut parent = parent_of(&self.path);
        for _ in 0..self.parents {
            if parent == "/" || std::fs::remove_dir(format!("{}{parent}", self.mount)).is_err() {
                break;
            }
            parent = parent_of(parent);
        }
    }
}

/// The content of a file of a cgroup, trimmed.
pub(super) fn read(path: &str) -> sys::Result<String> {
    let fd = file::open(path, libc::O_RDONLY)?;
    let bytes = file::read_to_end(fd, 64 << 20)?;
    Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
}

/// Writes a value to a file of a cgroup with a single write(2).
pub(super) fn write(path: &str, value: &str) -> sys::Result<()> {
    let fd = file::open(path, libc::O_WRONLY)?;
    file::write_value(fd, value.as_bytes()).map(drop)
}

/// Whether a read failed because the cgroup was removed: before the file was opened (ENOENT), or
/// after (ENODEV).
pub(super) fn is_gone(error: &Error) -> bool {
    matches!(error.errno(), libc::ENOENT | libc::ENODEV)
}

/// Passes a result on; that of a cgroup which [is gone](is_gone) is the default.
pub(super) fn unless_gone<T: Default>(done: Result<T>) -> Result<T> {
    match done {
        Err(e) if is_gone(&e) => Ok(T::default()),
        done => done,
    }
}

fn parent_of(path: &str) -> &str {
    match path.rfind('/') {
        None | Some(0) => "/",
        Some(at) => &path[..at],
    }
}

fn make(mount: &str, path: &str, cpuset: bool) -> Result<bool> {
    let directory = [mount, path].concat();
    let builder = || std::fs::DirBuilder::new().mode(0o755).create(&directory);
    let mut made = builder();
    // Another container's removal may remove the shared parent in between.
    for _ in 0..10 {
        let missing = made.as_ref().is_err_and(|e| e.kind() == std::io::ErrorKind::NotFound);
        if !missing || parent_of(path) == "/" {
            break;
        }
        make(mount, parent_of(path), cpuset)?;
        made = builder();
    }
    let existed = match made {
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => true,
        made => made.io_context(|| format!("mkdir({directory:?}, 0755)")).map(|()| false)?,
    };
    if cpuset {
        inherit_cpuset(mount, path, existed)?;
    }
    Ok(existed)
}

/// Copies the parent's CPUs and memory nodes into a v1 cpuset: a process cannot join an empty one.
fn inherit_cpuset(mount: &str, path: &str, existed: bool) -> Result<()> {
    let parent = parent_of(path);
    for name in ["cpuset.cpus", "cpuset.mems"] {
        let file = [mount, path, "/", name].concat();
        if existed && !read(&file)?.is_empty() {
            continue;
        }
        let from = [mount, if parent == "/" { "" } else { parent }, "/", name].concat();
        let mut value = read(&from)?;
        if value.is_empty() && parent != "/" {
            inherit_cpuset(mount, parent, true)?;
            value = read(&from)?;
        }
        write(&file, &value).with_context(|| format!("copy {name} from the parent"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parent_of_a_top_directory_is_the_root() {
        assert_eq!((parent_of("/a/b"), parent_of("/a"), parent_of("/")), ("/a", "/", "/"));
    }

    #[test]
    fn the_record_of_a_branch_is_small() {
        let cgroup = HierarchyCgroup {
            controllers: vec!["pids".into()],
            mount: "/sys/fs/cgroup/pids".into(),
            path: "/c".into(),
            parents: 0,
        };
        let json = serde_json::to_string(&cgroup).unwrap();
        assert_eq!(json, r#"{"controllers":["pids"],"mount":"/sys/fs/cgroup/pids","path":"/c"}"#);
        assert_eq!(crate::json::document::<HierarchyCgroup>(json.as_bytes()).ok().unwrap(), cgroup);
    }
}
