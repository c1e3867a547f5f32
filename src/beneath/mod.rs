//! File operations confined to a directory that may be hostile and may change at any time.
//!
//! Every path is resolved by one `openat2(2)` with `RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS`: the directory is the root of
//! each lookup, so neither `..` nor a symbolic link leads out of it. The runtime resolves the paths of a
//! container's root filesystem in the same way.
//!
//! A path is taken as relative to the directory, with or without a leading `/`.

mod entry;

pub use entry::Status;

use crate::error::{Error, Result};
use crate::path::{InRoot, Root};
use crate::sys::{file, fs};
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// A directory that is held by a file descriptor (`O_PATH`), and that no operation leaves.
#[derive(Debug)]
pub struct Directory(Root);

impl Directory {
    /// Opens a directory of the host, following symbolic links.
    ///
    /// # Errors
    /// `open(2)`: it does not exist (ENOENT), is no directory (ENOTDIR), or may not be entered (EACCES).
    pub fn open(path: &Path) -> Result<Directory> {
        Ok(Directory(file::open(path.as_os_str().as_bytes(), libc::O_PATH | libc::O_DIRECTORY)?.into()))
    }

    /// Opens a directory beneath this one.
    ///
    /// # Errors
    /// `openat2(2)`: it does not exist (ENOENT), or is no directory (ENOTDIR).
    pub fn open_dir(&self, path: &str) -> Result<Directory> {
        Ok(Directory(self.0.open(&InRoot::new(path), libc::O_PATH | libc::O_DIRECTORY)?.into()))
    }

    /// Opens a regular file for reading.
    ///
    /// A FIFO or a device is never opened for reading, so that none blocks or acts.
    ///
    /// # Errors
    /// It does not exist (ENOENT), is not a regular file, or was exchanged meanwhile.
    pub fn open_file(&self, path: &str) -> Result<File> {
        let path = InRoot::new(path);
        match self.0.open_regular(&path)? {
            Some(file) => Ok(File::from(file)),
            None => {
                self.0.find(&path)?;
                Err(Error::system(format!("{path} appeared while it was opened")))
            }
        }
    }

    /// The content of a regular file of at most 1 MiB; `None` where it does not exist.
    ///
    /// # Errors
    /// It is not a regular file, is longer, or was exchanged meanwhile.
    pub fn read(&self, path: &str) -> Result<Option<Vec<u8>>> {
        self.0.read(&InRoot::new(path))
    }

    /// The names in a directory, without `.` and `..`, sorted.
    ///
    /// # Errors
    /// It does not exist (ENOENT), is no directory (ENOTDIR), or may not be read (EACCES).
    pub fn names(&self, path: &str) -> Result<Vec<String>> {
        let directory = self.0.open(&InRoot::new(path), libc::O_RDONLY | libc::O_DIRECTORY)?;
        let names = fs::names(&directory)?.into_iter();
        let mut names: Vec<String> = names.map(|name| String::from_utf8_lossy(&name).into_owned()).collect();
        names.sort();
        Ok(names)
    }
}

impl AsFd for Directory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory beside a file that must stay as it is.
    fn scene(name: &str) -> (std::path::PathBuf, Directory) {
        let outer = std::env::temp_dir().join(format!("orlop-beneath-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&outer);
        std::fs::create_dir_all(outer.join("root")).unwrap();
        std::fs::write(outer.join("outside"), "outside").unwrap();
        let root = Directory::open(&outer.join("root")).unwrap();
        (outer, root)
    }

    #[test]
    fn links_and_dots_stay_within_the_directory() {
        let (outer, root) = scene("links");
        for (target, link) in [("..", "up"), ("/", "top"), ("../outside", "file")] {
            root.make_entry_symlink(target.as_bytes(), link.as_bytes()).unwrap();
        }
        for path in ["../outside", "up/outside", "top/../outside", "file", "/file"] {
            assert!(root.open_file(path).is_err(), "{path}");
            assert!(root.read(path).unwrap().is_none(), "{path}");
        }
        std::fs::write(outer.join("root/inside"), "text").unwrap();
        for path in ["inside", "../inside", "up/inside", "top/up/inside", "/inside"] {
            assert_eq!(root.read(path).unwrap().unwrap(), b"text", "{path}");
        }
        assert_eq!(std::fs::read(outer.join("outside")).unwrap(), b"outside");
        std::fs::remove_dir_all(&outer).unwrap();
    }

    #[test]
    fn what_is_no_regular_file_is_not_opened() {
        let (outer, root) = scene("kinds");
        fs::mknod_at(&root, "fifo", libc::S_IFIFO | 0o600, 0).unwrap();
        root.make_entry_dir(b"dir", 0o755).unwrap();
        for path in ["fifo", "dir"] {
            assert!(root.open_file(path).unwrap_err().to_string().contains("is not a regular file"), "{path}");
        }
        assert!(root.open_dir("fifo").is_err() && root.open_dir("dir").is_ok());
        std::fs::remove_dir_all(&outer).unwrap();
    }
}
