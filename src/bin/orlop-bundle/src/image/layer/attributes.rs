//! Extended attributes of unpacked files.

use super::super::rights::is_outer_root;
use super::tar::{Entry, Kind};
use super::tree::Owners;
use anyhow::{Context as _, Result};
use orlop::beneath::Directory;
use rustix::fs::{XattrFlags, fremovexattr, fsetxattr, lremovexattr};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::ffi::OsStrExt as _;

const ACCESS: &[u8] = b"system.posix_acl_access";
const DEFAULT: &[u8] = b"system.posix_acl_default";
const EPERM: i32 = 1;
const EINVAL: i32 = 22;
const EOPNOTSUPP: i32 = 95;

/// Counts of things that could not be unpacked as the archive has them.
#[derive(Debug, Default)]
pub(crate) struct Dropped {
    /// Device nodes that the caller may not make.
    pub(crate) devices: u64,
    /// Access control lists with ids that the user namespace does not have.
    pub(crate) lists: u64,
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
        if self.lists > 0 {
            let lists = self.lists;
            eprintln!(
                "orlop: warning: {lists} access control lists were left out: they name ids that this user has not"
            );
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
    /// Sets an attribute, or counts one that the file system has not, or the caller may not set.
    fn set(&self, key: &[u8], value: &[u8], dropped: &mut Dropped) -> Result<()> {
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
            EPERM | EOPNOTSUPP => dropped.attributes += 1,
            // The kernel maps the ids of a list, and has no other error for those without a mapping.
            EINVAL if [ACCESS, DEFAULT].contains(&key) && !is_outer_root() => dropped.lists += 1,
            _ => done.with_context(|| format!("attribute {}", String::from_utf8_lossy(key)))?,
        }
        Ok(())
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

/// Whether new files in a directory inherit an access control list.
pub(super) fn is_inherited(dir: &Directory) -> bool {
    let path = format!("/proc/self/fd/{}", dir.as_fd().as_raw_fd());
    rustix::fs::getxattr(path, OsStr::from_bytes(DEFAULT), &mut [0_u8; 0][..]).is_ok()
}

/// Removes the access control lists that a new directory or file has inherited: it has those of the archive alone.
///
/// # Errors
/// A list cannot be removed.
pub(crate) fn disinherit(dir: &Directory, name: &[u8]) -> Result<()> {
    let mut path = format!("/proc/self/fd/{}/", dir.as_fd().as_raw_fd()).into_bytes();
    path.extend_from_slice(name);
    for key in [ACCESS, DEFAULT] {
        match lremovexattr(path.as_slice(), OsStr::from_bytes(key)) {
            // Only directories have a default list.
            Ok(()) | Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::ACCESS) => {}
            Err(error) => return Err(error).context("lremovexattr"),
        }
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
        target.set(key, value, dropped)?;
    }
    if owners == Owners::Caller && matches!(entry.kind, Kind::File | Kind::Directory) {
        let value = format!("{}:{}:0{:o}", entry.uid, entry.gid, entry.mode);
        target.set(b"user.containers.override_stat", value.as_bytes(), dropped)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(value: &[u8]) -> Entry {
        Entry {
            path: b"file".to_vec(),
            kind: Kind::File,
            link: Vec::new(),
            mode: 0o644,
            uid: 0,
            gid: 0,
            mtime: (0, 0),
            atime: None,
            device: (0, 0),
            size: 0,
            attributes: vec![(ACCESS.to_vec(), value.to_vec())],
            sparse: None,
        }
    }

    #[test]
    fn an_access_control_list_is_set_as_it_is_and_a_damaged_one_refused() {
        let path = std::env::temp_dir().join(format!("orlop-acl-{}", std::process::id()));
        let file = File::create(&path).unwrap();
        // Version 2, then tag, permissions and id of each entry (acl(5)): user 7 may read.
        let own = [(1_u16, 6_u16, u32::MAX), (2, 4, 7), (4, 4, u32::MAX), (16, 4, u32::MAX), (32, 4, u32::MAX)];
        let rows = own.iter().flat_map(|(tag, permissions, id)| {
            [&tag.to_le_bytes()[..], &permissions.to_le_bytes(), &id.to_le_bytes()].concat()
        });
        let list: Vec<u8> = 2_u32.to_le_bytes().into_iter().chain(rows).collect();
        let mut dropped = Dropped::default();
        set(&Target::File(&file), &entry(&list), Owners::Archive, &mut dropped).unwrap();
        if dropped.attributes == 0 {
            let mut found = [0; 100];
            let length = rustix::fs::fgetxattr(&file, OsStr::from_bytes(ACCESS), &mut found[..]).unwrap();
            assert_eq!(found[..length], list);
        }
        if is_outer_root() && dropped.attributes == 0 {
            let error = set(&Target::File(&file), &entry(&list[..20]), Owners::Archive, &mut dropped).unwrap_err();
            assert!(error.to_string().contains("posix_acl_access"), "{error:#}");
        }
        std::fs::remove_file(&path).unwrap();
    }
}
