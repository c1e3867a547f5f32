//! Entries of a directory that is held: each is one name, so that no lookup is made at all.
//!
//! No operation follows a symbolic link at the name.

use super::Directory;
use crate::error::{Error, Result};
use crate::sys::mount::{RESOLVE_BENEATH, RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS};
use crate::sys::mount::{openat2, openat2_if_there};
use crate::sys::{file, fs, xattr};
use std::fs::File;

pub use crate::sys::fs::Stat as Status;

/// Refuses a name that would be more or less than one component.
fn component(name: &[u8]) -> Result<&[u8]> {
    if matches!(name, b"" | b"." | b"..") || name.contains(&b'/') || name.contains(&0) {
        return Err(Error::system(format!("{:?} is not the name of a directory entry", String::from_utf8_lossy(name))));
    }
    Ok(name)
}

/// The flags of a descriptor with which a directory is held.
const HELD: i32 = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NOFOLLOW;

impl Directory {
    /// Opens a directory beneath this one by a path that need not be UTF-8; `None` where it does not exist. Symbolic links
    /// are followed within this directory.
    ///
    /// # Errors
    /// A component is no directory (ENOTDIR), or may not be entered (EACCES).
    pub fn enter(&self, path: &[u8]) -> Result<Option<Directory>> {
        let path = if path.is_empty() { b".".as_slice() } else { path };
        let flags = libc::O_PATH | libc::O_DIRECTORY;
        let found = openat2_if_there(&self.0, path, flags, 0, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)?;
        Ok(found.map(|found| Directory(found.into())))
    }

    /// Opens the directory at an entry, and holds it for reading.
    ///
    /// # Errors
    /// It does not exist (ENOENT), or is no directory (ENOTDIR), which a symbolic link is not (ELOOP).
    pub fn entry_dir(&self, name: &[u8]) -> Result<Directory> {
        let flags = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS;
        Ok(Directory(openat2(&self.0, component(name)?, HELD, 0, flags)?.into()))
    }

    /// The status of this directory.
    ///
    /// # Errors
    /// `fstat(2)`.
    pub fn status(&self) -> Result<Status> {
        Ok(fs::stat(&self.0)?)
    }

    /// The status of an entry; `None` where it does not exist.
    ///
    /// # Errors
    /// `fstatat(2)`: the name is too long (ENAMETOOLONG).
    pub fn entry_status(&self, name: &[u8]) -> Result<Option<Status>> {
        Ok(fs::stat_at(&self.0, component(name)?)?)
    }

    /// The names of all entries, as the kernel orders them.
    ///
    /// # Errors
    /// The directory may not be read (EACCES).
    pub fn entries(&self) -> Result<Vec<Vec<u8>>> {
        Ok(fs::names(openat2(&self.0, ".", HELD, 0, RESOLVE_BENEATH)?)?)
    }

    /// Creates a directory.
    ///
    /// # Errors
    /// The name exists (EEXIST).
    pub fn make_entry_dir(&self, name: &[u8], mode: u32) -> Result<()> {
        Ok(fs::mkdir_at(&self.0, component(name)?, mode)?)
    }

    /// Creates a regular file and opens it for writing.
    ///
    /// # Errors
    /// The name exists (EEXIST).
    pub fn make_entry_file(&self, name: &[u8], mode: u32) -> Result<File> {
        let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW;
        let resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS;
        Ok(File::from(openat2(&self.0, component(name)?, flags, mode & 0o7777, resolve)?))
    }

    /// Opens a regular file for reading.
    ///
    /// # Errors
    /// It does not exist (ENOENT), or is not a regular file.
    pub fn entry_file(&self, name: &[u8]) -> Result<File> {
        let flags = libc::O_RDONLY | libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_NOFOLLOW;
        let name = component(name)?;
        if self.entry_status(name)?.is_none_or(|status| status.mode & libc::S_IFMT != libc::S_IFREG) {
            return Err(Error::system(format!("{:?} is not a regular file", String::from_utf8_lossy(name))));
        }
        Ok(File::from(openat2(&self.0, name, flags, 0, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS)?))
    }

    /// Creates a FIFO, a socket or a device node. `mode` has the type.
    ///
    /// # Errors
    /// The name exists (EEXIST), or the caller may not make a device node (EPERM).
    pub fn make_entry_node(&self, name: &[u8], mode: u32, device: u64) -> Result<()> {
        Ok(fs::mknod_at(&self.0, component(name)?, mode, device)?)
    }

    /// Creates a symbolic link with the text `target`, which is not resolved.
    ///
    /// # Errors
    /// The name exists (EEXIST), or the text is empty (ENOENT).
    pub fn make_entry_symlink(&self, target: &[u8], name: &[u8]) -> Result<()> {
        Ok(fs::symlink_at(target, &self.0, component(name)?)?)
    }

    /// The text of a symbolic link.
    ///
    /// # Errors
    /// It does not exist (ENOENT), or is no symbolic link (EINVAL).
    pub fn entry_symlink(&self, name: &[u8]) -> Result<Vec<u8>> {
        Ok(fs::read_link_at(&self.0, component(name)?)?)
    }

    /// Creates a hard link of the entry `from_name` in `from`.
    ///
    /// # Errors
    /// `linkat(2)`: the name exists (EEXIST), the other one does not (ENOENT), or is a directory (EPERM).
    pub fn link_entry(&self, from: &Directory, from_name: &[u8], name: &[u8]) -> Result<()> {
        Ok(fs::link_at(&from.0, component(from_name)?, &self.0, component(name)?)?)
    }

    /// Renames an entry; a file or an empty directory with the other name is replaced.
    ///
    /// # Errors
    /// `renameat(2)`.
    pub fn rename_entry(&self, from: &[u8], to: &[u8]) -> Result<()> {
        Ok(file::rename_at(&self.0, component(from)?, component(to)?)?)
    }

    /// Removes an entry that is no directory.
    ///
    /// # Errors
    /// It does not exist (ENOENT), or is a directory (EISDIR).
    pub fn remove_entry(&self, name: &[u8]) -> Result<()> {
        Ok(file::unlink_at(&self.0, component(name)?, 0)?)
    }

    /// Removes an empty directory.
    ///
    /// # Errors
    /// It does not exist (ENOENT), or is not empty (ENOTEMPTY).
    pub fn remove_entry_dir(&self, name: &[u8]) -> Result<()> {
        Ok(file::unlink_at(&self.0, component(name)?, libc::AT_REMOVEDIR)?)
    }

    /// Changes the owner and the group of an entry.
    ///
    /// # Errors
    /// The caller may not (EPERM), or an id is not mapped in its user namespace (EINVAL).
    pub fn set_entry_owner(&self, name: &[u8], uid: u32, gid: u32) -> Result<()> {
        Ok(fs::chown_at(&self.0, component(name)?, uid, gid)?)
    }

    /// Changes the permission bits of this directory.
    ///
    /// # Errors
    /// It may not be read (EACCES), or the caller is not its owner (EPERM).
    pub fn set_mode(&self, mode: u32) -> Result<()> {
        Ok(fs::chmod(openat2(&self.0, ".", HELD, 0, RESOLVE_BENEATH)?, mode)?)
    }

    /// Sets the times of this directory.
    ///
    /// # Errors
    /// The caller is not its owner (EPERM).
    pub fn set_times(&self, atime: (i64, i64), mtime: (i64, i64)) -> Result<()> {
        Ok(fs::set_times_at(&self.0, ".", atime, mtime)?)
    }

    /// Sets the times of an entry.
    ///
    /// # Errors
    /// The caller is not its owner (EPERM).
    pub fn set_entry_times(&self, name: &[u8], atime: (i64, i64), mtime: (i64, i64)) -> Result<()> {
        Ok(fs::set_times_at(&self.0, component(name)?, atime, mtime)?)
    }

    /// Sets an extended attribute of this directory (`setxattr(2)` through procfs, which must be the host's).
    ///
    /// # Errors
    /// As of [`Directory::set_entry_attribute`].
    pub fn set_attribute(&self, key: &[u8], value: &[u8]) -> Result<()> {
        Ok(xattr::set_by_number(self, key, value)?)
    }

    /// Extended attributes of this directory, which is held for reading: names and values.
    ///
    /// # Errors
    /// `flistxattr(2)` or `fgetxattr(2)`.
    pub fn attributes(&self) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let value = |name: Vec<u8>| Ok(xattr::get(self, &name)?.map(|value| (name, value)));
        xattr::list(self)?.into_iter().filter_map(|name| value(name).transpose()).collect()
    }

    /// Sets an extended attribute of an entry (`lsetxattr(2)` through procfs, which must be the host's).
    ///
    /// # Errors
    /// The file system has none (EOPNOTSUPP), or the caller may not (EPERM).
    pub fn set_entry_attribute(&self, name: &[u8], key: &[u8], value: &[u8]) -> Result<()> {
        Ok(xattr::set_of_entry(&self.0, component(name)?, key, value)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_one_component_and_no_link_is_followed() {
        let outer = std::env::temp_dir().join(format!("orlop-entries-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&outer);
        std::fs::create_dir_all(outer.join("root")).unwrap();
        std::fs::write(outer.join("outside"), "outside").unwrap();
        let root = Directory::open(&outer.join("root")).unwrap();
        for name in ["", ".", "..", "a/b", "a\0b"] {
            root.make_entry_dir(name.as_bytes(), 0o755).unwrap_err();
            root.make_entry_file(name.as_bytes(), 0o644).unwrap_err();
            root.remove_entry(name.as_bytes()).unwrap_err();
            root.link_entry(&root, name.as_bytes(), b"x").unwrap_err();
        }
        root.make_entry_symlink(b"../outside", b"link").unwrap();
        root.make_entry_symlink(b"..", b"up").unwrap();
        root.make_entry_file(b"link", 0o644).unwrap_err();
        root.entry_file(b"link").unwrap_err();
        root.entry_dir(b"up").unwrap_err();
        root.link_entry(&root, b"link", b"second").unwrap();
        assert_eq!(root.entry_status(b"second").unwrap().unwrap().mode & libc::S_IFMT, libc::S_IFLNK);
        assert_eq!(root.entry_symlink(b"second").unwrap(), b"../outside");
        assert!(root.enter(b"up/up").unwrap().unwrap().entry_status(b"outside").unwrap().is_none());
        root.set_entry_times(b"link", (1, 2), (3, 4)).unwrap();
        assert_eq!(root.entry_status(b"link").unwrap().unwrap().mtime, (3, 4));
        assert_eq!(std::fs::read(outer.join("outside")).unwrap(), b"outside");
        assert!(
            std::fs::metadata(outer.join("outside")).unwrap().modified().unwrap().elapsed().unwrap().as_secs() < 600
        );
        std::fs::remove_dir_all(&outer).unwrap();
    }
}
