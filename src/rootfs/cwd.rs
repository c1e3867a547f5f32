//! Creating `process.cwd` if it is missing in the root filesystem; images and engines rely on that.

use super::tree::Tree;
use crate::error::{Context, Error, Result};
use crate::path::Create;
use crate::sys::credentials::{set_fs_gid, without_umask};

/// Creates the working directory and its parents (mode 0755, owned by the container's root) if it
/// is missing.
///
/// If that is impossible, for example on a read-only mount or a kernel filesystem, chdir(2) reports
/// the error later.
pub(crate) fn make(tree: &Tree, cwd: &str) -> Result<()> {
    match make_missing(tree, cwd) {
        Err(e) if matches!(e.errno(), libc::EROFS | libc::EPERM | libc::ENOENT | libc::ENOTDIR | libc::ELOOP) => Ok(()),
        other => other.context("process.cwd"),
    }
}

fn make_missing(tree: &Tree, cwd: &str) -> Result<()> {
    if cwd == "/" || tree.find_text(cwd, None)?.is_some() {
        return Ok(());
    }
    // Without a user namespace the caller's group may be another one; new directories must not get
    // it.
    let group = set_fs_gid(0);
    let made = without_umask(|| tree.find_text(cwd, Some(Create::Directory)));
    set_fs_gid(group);
    made?.map(drop).ok_or_else(|| Error::internal("nothing was made"))
}
