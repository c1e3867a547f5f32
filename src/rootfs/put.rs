//! Putting a detached mount, or a copy of a link, in its place in the container.

use super::attributes::{self, Change};
use super::copy::copy_up;
use super::filesystem::New;
use super::mount::MountEntry;
use super::tree::{self, Tree};
use crate::error::{Error, Result};
use crate::path::{Create, Handle, InRoot};
use crate::sys::mount::{self, MOUNT_ATTR_RDONLY};
use crate::sys::{Errno, Failure, file, fs};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The failure of a lookup that has found nothing.
pub(super) fn missing(path: &InRoot) -> Failure {
    Failure::new(format!("look up {path}"), Errno(libc::ENOENT))
}

/// For the option `copy-symlink`: if the source is a symbolic link, creates a copy of the link
/// instead of a mount, and returns true.
pub(super) fn copy_symlink(tree: &Tree, mount: &MountEntry, source: &Path, inside: &Option<InRoot>) -> Result<bool> {
    let link = match inside {
        Some(path) => {
            let found = tree.find_no_follow(path)?.ok_or_else(|| missing(path))?;
            fs::read_link_at(&found.handle, "")
        }
        None => fs::read_link_at(file::CWD, source.as_os_str().as_bytes()),
    };
    let link = match link {
        // readlinkat(2) of a descriptor that is not a symbolic link fails with ENOENT.
        Err(e) if e.is(libc::EINVAL) || inside.is_some() && e.is(libc::ENOENT) => return Ok(false),
        other => other?,
    };
    let Some((parent, name)) = mount.destination.split() else { return Ok(false) };
    let dir = tree.find_or_create(&parent, Create::Directory)?.handle;
    match fs::symlink_at(&link, &dir, name) {
        Err(e) if e.is(libc::EEXIST) && fs::read_link_at(&dir, name).is_ok_and(|there| there == link) => Ok(true),
        other => Ok(other.map(|()| true)?),
    }
}

/// Attaches a detached tree with changes to it.
pub(crate) fn put(tree: &OwnedFd, place: &Handle, changes: Vec<Change>) -> Result<()> {
    attributes::attach(tree.as_fd(), changes, &|| {
        mount::move_mount(tree, place).map_err(|e| of_two_kinds(e, tree, place))
    })
}

/// Like [`put`], onto a new directory in a `parent` that no other process can change.
pub(crate) fn put_into(tree: &OwnedFd, parent: &OwnedFd, name: &str, changes: Vec<Change>) -> Result<()> {
    attributes::attach(tree.as_fd(), changes, &|| Ok(mount::move_mount_into(tree, parent, name)?))
}

/// Changes the EINVAL of move_mount(2) for a file and a directory into the ENOTDIR of mount(2),
/// which engines look for.
fn of_two_kinds(failure: Failure, tree: &OwnedFd, place: &Handle) -> Error {
    let directories = (fs::stat(tree).map(|s| s.is_dir()), place.stat().map(|s| s.is_dir()));
    match directories {
        (Ok(from), Ok(to)) if failure.is(libc::EINVAL) && from != to => {
            let kind = |directory| if directory { "a directory" } else { "a file" };
            Error::from(Failure::new(failure.call(), Errno(libc::ENOTDIR))).hint(format!(
                "{} cannot be mounted onto {}",
                kind(from),
                kind(to)
            ))
        }
        _ => failure.into(),
    }
}

/// Mounts a filesystem with `mount(2)`, and returns it. If `writable` is set, the caller makes it read-only later.
pub(super) fn mount_by_old_call(new: &New<'_>, mount: &MountEntry, place: &Handle, writable: bool) -> Result<OwnedFd> {
    new.refuse_foreign_context()?;
    new.make_by_old_call(place, writable)?;
    let mounted = tree::topmost(place)?.ok_or_else(|| Error::system("the destination was removed"))?;
    copy_up(mount, place, &mounted)?;
    let mut changes = attributes::of_new(&mount.options);
    if writable && let Some(first) = changes.first_mut() {
        first.attributes.set &= !MOUNT_ATTR_RDONLY;
    }
    attributes::apply_attached(&mounted, changes)?;
    Ok(mounted)
}
