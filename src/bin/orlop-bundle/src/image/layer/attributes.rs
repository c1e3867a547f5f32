//! Extended attributes of unpacked files.

use super::tar::{Entry, Kind};
use super::tree::Owners;
use anyhow::{Context as _, Result};
use orlop::beneath::{Directory, set_file_attribute};
use std::fs::File;

const EPERM: i32 = 1;
const EOPNOTSUPP: i32 = 95;

/// What could not be unpacked as the archive has it.
#[derive(Debug, Default)]
pub(crate) struct Dropped {
    /// Device nodes that the caller may not make.
    pub(crate) devices: u64,
    /// Attributes that the caller may not set, or the file system does not take.
    pub(crate) attributes: u64,
}

impl Dropped {
    /// Says on standard error what is missing.
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
    fn set(&self, key: &[u8], value: &[u8]) -> orlop::error::Result<()> {
        match self {
            Target::File(file) => set_file_attribute(file, key, value),
            Target::Directory(dir) => dir.set_attribute(key, value),
            Target::Entry(dir, name) => dir.set_entry_attribute(name, key, value),
        }
    }
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
        match target.set(key, value) {
            Err(error) if matches!(error.errno(), EPERM | EOPNOTSUPP) => dropped.attributes += 1,
            done => done.with_context(|| format!("attribute {}", String::from_utf8_lossy(key)))?,
        }
    }
    if owners == Owners::Caller && matches!(entry.kind, Kind::File | Kind::Directory) {
        let value = format!("{}:{}:0{:o}", entry.uid, entry.gid, entry.mode);
        match target.set(b"user.containers.override_stat", value.as_bytes()) {
            Err(error) if matches!(error.errno(), EPERM | EOPNOTSUPP) => dropped.attributes += 1,
            done => done?,
        }
    }
    Ok(())
}
