//! `process.cwd`: made where the root filesystem lacks it, as images and engines rely on.

use super::tree::Tree;
use crate::error::{Context, Error, Result};
use crate::path::Create;
use crate::sys::credentials::{set_fs_gid, set_umask};

/// Makes the working directory and its parents (0755, of the container's root) unless it is there.
///
/// What cannot be entered for another reason, and what a read-only mount or a filesystem of the kernel does not take, is left to
/// chdir(2), whose error says so.
pub(crate) fn make(tree: &Tree, cwd: &str) -> Result<()> {
    match make_missing(tree, cwd) {
        Err(e) if matches!(e.errno(), libc::EROFS | libc::EPERM | libc::ENOENT | libc::ENOTDIR | libc::ELOOP) => Ok(()),
        other => other.at("process.cwd"),
    }
}

fn make_missing(tree: &Tree, cwd: &str) -> Result<()> {
    if cwd == "/" || tree.find_text(cwd, None)?.is_some() {
        return Ok(());
    }
    // A caller of another group, without a user namespace, does not give it to the container's files.
    let (mask, group) = (set_umask(0), set_fs_gid(0));
    let made = tree.find_text(cwd, Some(Create::Directory));
    set_fs_gid(group);
    set_umask(mask);
    made?.map(drop).ok_or_else(|| Error::internal("nothing was made"))
}
