//! Extended attributes of unpacked files.

use super::tar::{Entry, Kind};
use super::tree::Owners;
use anyhow::{Context as _, Result};
use orlop::beneath::Directory;
use rustix::fs::{XattrFlags, fremovexattr, fsetxattr};
use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt as _;

const EPERM: i32 = 1;
const EOPNOTSUPP: i32 = 95;

/// Counts of things that could not be unpacked as the archive has them.
#[derive(Debug, Default)]
pub(crate) struct Dropped {
    /// Device nodes that the caller may not make.
    pub(crate) devices: u64,
    /// Attributes that the caller may not set, or the file system does not take.
    pub(crate) attributes: u64,
}

impl Dropped {
    /// Prints the counts on standard error.
    pub(crate) fn warn(&self, is_single: bool) {
        if is_single {
            eprintln!(
                "orlop: warning: this user has no subordinate ids, so all files are its own; \
                 their owners are kept in the attribute user.containers.override_stat"
            );
        }
        if self.devices > 0 {
            eprintln!("orlop: warning: {} device nodes were left out: only root may make them", self.devices);
        }
        if self.attributes > 0 {
            eprintln!("orlop: warning: {} extended attributes were left out", self.attributes);
        }
    }
}

/// The file of the attributes.
pub(super) enum Target<'a> {
    File(&'a File),
    Directory(&'a Directory),
    /// A name that is not opened.
    Entry(&'a Directory, &'a [u8]),
}

impl Target<'_> {
    /// Sets an attribute; `false` where the file system has none or the caller may not.
    fn set(&self, key: &[u8], value: &[u8]) -> Result<bool> {
        let (done, errno) = match self {
            Target::File(file) => {
                let done = fsetxattr(file, OsStr::from_bytes(key), value, XattrFlags::empty());
                let errno = done.err().map_or(0, |errno| errno.raw_os_error());
                (done.context("fsetxattr"), errno)
            }
            Target::Directory(dir) => split(dir.set_attribute(key, value)),
            Target::Entry(dir, name) => split(dir.set_entry_attribute(name, key, value)),
        };
        match errno {
            EPERM | EOPNOTSUPP => Ok(false),
            _ => done.map(|()| true).with_context(|| format!("attribute {}", String::from_utf8_lossy(key))),
        }
    }
}

/// A result, and its error number.
fn split(done: orlop::error::Result<()>) -> (Result<()>, i32) {
    let errno = done.as_ref().err().map_or(0, orlop::error::Error::errno);
    (done.map_err(Into::into), errno)
}

/// Whether an attribute of an archive is set at all. Those of overlayfs would change how layers are merged, and labels are
/// the host's.
fn is_kept(key: &[u8]) -> bool {
    const ACCESS: &[u8] = b"system.posix_acl_access";
    const DEFAULT: &[u8] = b"system.posix_acl_default";
    if key.starts_with(b"trusted.overlay.")
        || key.starts_with(b"user.overlay.")
        || key == b"user.containers.override_stat"
    {
        return false;
    }
    key.starts_with(b"user.")
        || key.starts_with(b"trusted.")
        || matches!(key, b"security.capability" | ACCESS | DEFAULT)
}

/// Removes the attributes of a directory, held for reading, that another layer's entry gave it: the new entry's replace them.
///
/// # Errors
/// An attribute cannot be removed.
pub(super) fn clear(dir: &Directory) -> Result<()> {
    for (key, _) in dir.attributes()?.into_iter().filter(|(key, _)| is_kept(key)) {
        fremovexattr(dir, OsStr::from_bytes(&key))
            .with_context(|| format!("remove the attribute {}", String::from_utf8_lossy(&key)))?;
    }
    Ok(())
}

/// Sets the attributes of an entry.
///
/// # Errors
/// The kernel refuses a value.
pub(super) fn set(target: &Target<'_>, entry: &Entry, owners: Owners, dropped: &mut Dropped) -> Result<()> {
    for (key, value) in &entry.attributes {
        if !is_kept(key) {
            dropped.attributes += 1;
            continue;
        }
        dropped.attributes += u64::from(!target.set(key, value)?);
    }
    if owners == Owners::Caller && matches!(entry.kind, Kind::File | Kind::Directory) {
        let value = format!("{}:{}:0{:o}", entry.uid, entry.gid, entry.mode);
        dropped.attributes += u64::from(!target.set(b"user.containers.override_stat", value.as_bytes())?);
    }
    Ok(())
}
