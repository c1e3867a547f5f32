//! The container's cgroup in one hierarchy: a directory and its files.

use super::layout::Hierarchy;
use crate::error::{Context, Error, IoContext, Result};
use crate::json::readable;
use crate::sys::{self, file};
use serde::Serialize;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::Path;

/// One hierarchy's part of a container's cgroup. As JSON it is a part of the container's state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct HierarchyCgroup {
    /// The controllers of a v1 hierarchy, or its `name=NAME`; none for the unified one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub controllers: Vec<String>,
    /// Where the hierarchy is mounted.
    pub mount: String,
    /// The cgroup's directory below it, from its `/`.
    pub path: String,
    /// How many of the directories above it were not there before, and go with it when they are empty.
    #[serde(skip_serializing_if = "is_zero")]
    pub parents: usize,
}

readable! { HierarchyCgroup { controllers = "controllers", mount = "mount", path = "path", parents = "parents" } }

pub(super) fn is_zero(n: &usize) -> bool {
    *n == 0
}

impl HierarchyCgroup {
    /// The cgroup at `path` of a hierarchy; looks which of its parents are there.
    pub(super) fn plan(hierarchy: &Hierarchy, path: String) -> HierarchyCgroup {
        let mut cgroup = HierarchyCgroup {
            controllers: hierarchy.controllers.clone(),
            mount: hierarchy.mount.clone(),
            path,
            parents: 0,
        };
        let mut parent = parent_of(&cgroup.path);
        while parent != "/" && !Path::new(&[&cgroup.mount, parent].concat()).exists() {
            cgroup.parents += 1;
            parent = parent_of(parent);
        }
        cgroup
    }

    /// Whether it is in the unified hierarchy.
    pub(crate) fn is_unified(&self) -> bool {
        self.controllers.is_empty()
    }

    /// Whether the hierarchy has this v1 controller.
    pub(crate) fn has(&self, controller: &str) -> bool {
        self.controllers.iter().any(|c| c == controller)
    }

    /// Whether `exec --cgroup` means it by this name: a controller, `systemd` or `name=systemd`, or an empty one for the
    /// unified hierarchy.
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

    /// Whether the directory is there.
    pub(crate) fn exists(&self) -> bool {
        Path::new(&self.directory()).exists()
    }

    /// Whether there may be cgroups in it: its number of links tells.
    pub(crate) fn has_children(&self) -> bool {
        std::fs::metadata(self.directory()).is_ok_and(|found| found.nlink() != 2)
    }

    /// The content of a file, without white space around it.
    pub(crate) fn read(&self, name: &str) -> sys::Result<String> {
        read(&self.file(name))
    }

    /// Writes a value to a file, in one write.
    pub(crate) fn write(&self, name: &str, value: &str) -> sys::Result<()> {
        write(&self.file(name), value)
    }

    /// Makes the directory and what of its parents is missing; says whether it was there before.
    pub(super) fn make(&self) -> Result<bool> {
        make(&self.mount, &self.path, self.has("cpuset"))
    }

    /// The file through which a thread joins a v1 cgroup.
    pub(super) fn tasks(&self) -> sys::Result<OwnedFd> {
        file::open(self.file("tasks"), libc::O_WRONLY)
    }

    /// Removes those of its parents that were made with it, while they are empty.
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

/// The content of a file of a cgroup, without white space around it.
pub(super) fn read(path: &str) -> sys::Result<String> {
    let fd = file::open(path, libc::O_RDONLY)?;
    let bytes = file::read_to_end(fd, 64 << 20)?;
    Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
}

/// Writes a value to a file of a cgroup, in one write.
pub(super) fn write(path: &str, value: &str) -> sys::Result<()> {
    let fd = file::open(path, libc::O_WRONLY)?;
    file::write_value(fd, value.as_bytes()).map(drop)
}

/// Whether a file of a cgroup could not be read since the cgroup is removed: before it was opened, or since (ENODEV).
pub(super) fn is_gone(error: &Error) -> bool {
    matches!(error.errno(), libc::ENOENT | libc::ENODEV)
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
    // A parent may go again between its making and ours: another container's, removed with it.
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

/// Gives a v1 cpuset its parent's processors and memory nodes: nobody can join an empty one.
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
        write(&file, &value).with_context(|| format!("take {name} over from the parent"))?;
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
