//! Walks a cgroup and its nested cgroups beneath file descriptors.
//!
//! A container with write access to its cgroup controls the names and the depth of nested cgroups.
//! A name need not be UTF-8, and a path may be longer than PATH_MAX, so no path is ever composed: a
//! child is opened relative to its parent, and the parent by `..`, which is stable because a cgroup
//! cannot move to another parent. One descriptor is open at a time.

use super::hierarchy_cgroup::unless_gone;
use crate::error::{Error, Result};
use crate::sys::file;
use crate::sys::fs;
use std::os::fd::OwnedFd;

const DIRECTORY: i32 = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NOFOLLOW;

/// A step of a walk.
pub(super) enum Visit<'a> {
    /// A cgroup, before its nested cgroups.
    Enter(&'a OwnedFd),
    /// A cgroup in `parent`, after its nested cgroups.
    Leave { parent: &'a OwnedFd, name: &'a [u8] },
}

/// Opens the directory of a cgroup.
///
/// # Errors
/// It cannot be opened, for example because it is gone.
pub(super) fn open(directory: &str) -> Result<OwnedFd> {
    Ok(file::open(directory, DIRECTORY)?)
}

/// Visits the cgroup `top` and its nested cgroups. `top` itself is entered, but not left. Cgroups
/// that vanish meanwhile are skipped.
///
/// # Errors
/// An error of `visit`, or a directory cannot be read.
pub(super) fn walk(top: OwnedFd, visit: &mut dyn FnMut(Visit<'_>) -> Result<()>) -> Result<()> {
    let mut here = top;
    visit(Visit::Enter(&here))?;
    // For each level: the remaining children, the current one last.
    let mut levels = vec![children(&here)?];
    while let Some(names) = levels.last_mut() {
        if let Some(name) = names.last().cloned() {
            match file::open_at(&here, &name, DIRECTORY, 0) {
                Ok(below) => {
                    here = below;
                    visit(Visit::Enter(&here))?;
                    levels.push(unless_gone(children(&here))?);
                }
                Err(e) if matches!(e.errno().0, libc::ENOENT | libc::ENODEV) => drop(names.pop()),
                Err(e) => return Err(e.into()),
            }
            continue;
        }
        levels.pop();
        if let Some(name) = levels.last_mut().and_then(Vec::pop) {
            here = file::open_at(&here, "..", DIRECTORY, 0)?;
            visit(Visit::Leave { parent: &here, name: &name })?;
        }
    }
    Ok(())
}

/// The names of the nested cgroups. Skips the directory listing if the link count shows that there
/// are none.
fn children(directory: &OwnedFd) -> Result<Vec<Vec<u8>>> {
    if fs::stat(directory)?.links == 2 {
        return Ok(Vec::new());
    }
    Ok(fs::directories(directory)?)
}

/// The content of a file of a cgroup, trimmed.
pub(super) fn read(directory: &OwnedFd, name: &str) -> Result<String> {
    let fd = file::open_at(directory, name, libc::O_RDONLY, 0)?;
    let bytes = file::read_to_end(fd, 64 << 20).map_err(Error::from)?;
    Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
}

/// Writes a value to a file of a cgroup with a single write(2).
pub(super) fn write(directory: &OwnedFd, name: &str, value: &str) -> Result<()> {
    let fd = file::open_at(directory, name, libc::O_WRONLY, 0)?;
    Ok(file::write_value(fd, value.as_bytes()).map(drop)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStrExt;
    use std::path::Path;

    fn seen(top: &Path) -> (usize, usize) {
        let (mut entered, mut left) = (0, 0);
        let top = open(top.to_str().unwrap()).unwrap();
        walk(top, &mut |visit| {
            match visit {
                Visit::Enter(_) => entered += 1,
                Visit::Leave { parent, name } => {
                    left += 1;
                    file::unlink_at(parent, name, libc::AT_REMOVEDIR)?;
                }
            }
            Ok(())
        })
        .unwrap();
        (entered, left)
    }

    #[test]
    fn names_that_are_no_text_and_paths_longer_than_the_kernel_takes_are_visited_and_can_be_removed() {
        let top = std::env::temp_dir().join(format!("orlop-beneath-{}", std::process::id()));
        std::fs::create_dir_all(top.join("a/b")).unwrap();
        std::fs::create_dir(top.join(std::ffi::OsStr::from_bytes(b"\xff\n"))).unwrap();
        let (name, mut here) = ([b'n'; 250], file::open(top.as_os_str().as_bytes(), DIRECTORY).unwrap());
        for _ in 0..40 {
            fs::mkdir_at(&here, name, 0o700).unwrap();
            here = file::open_at(&here, name, DIRECTORY, 0).unwrap();
        }
        assert_eq!(seen(&top), (1 + 2 + 1 + 40, 2 + 1 + 40));
        std::fs::remove_dir(&top).unwrap();
    }
}
