//! Paths inside a container's root. The root may be hostile and may change during a lookup.
//!
//! The kernel resolves each string exactly once, with `openat2(RESOLVE_IN_ROOT |
//! RESOLVE_NO_MAGICLINKS)`; after that only the descriptor is used. `rootfs::tree` creates
//! missing files.

use crate::error::{Error, Result};
use crate::sys::fs::{self, Stat};
use crate::sys::mount::{RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS, openat2, openat2_if_there};
use crate::sys::{self, file};
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// A path that is valid only inside a container's root.
///
/// It is absolute and lexically clean (no empty, `.` or `..` components). It does not implement
/// `AsRef<Path>`, so that it cannot be passed to `std::fs`, which would resolve it on the host.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct InRoot(String);

impl InRoot {
    /// Cleans `path`. A relative path is relative to the root (config.md, "Mounts").
    pub(crate) fn new(path: &str) -> InRoot {
        if is_clean(path) {
            return InRoot(path.to_owned());
        }
        let mut clean = String::with_capacity(path.len() + 1);
        for part in path.split('/') {
            match part {
                "" | "." => {}
                ".." => clean.truncate(clean.rfind('/').unwrap_or(0)),
                _ => {
                    clean.push('/');
                    clean.push_str(part);
                }
            }
        }
        if clean.is_empty() {
            clean.push('/');
        }
        InRoot(clean)
    }

    /// Whether the path is the root itself.
    pub(crate) fn is_root(&self) -> bool {
        self.0 == "/"
    }

    /// The text, for messages and comparisons. It is not a path on the host.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the path is `other` or lexically beneath it.
    pub(crate) fn is_within(&self, other: &InRoot) -> bool {
        other.is_root() || self.0.strip_prefix(&other.0).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// The parent directory and the last component; `None` for the root.
    pub(crate) fn split(&self) -> Option<(InRoot, &str)> {
        let (parent, name) = self.0.rsplit_once('/')?;
        (!name.is_empty()).then(|| (InRoot::new(parent), name))
    }

    /// The path relative to `other`, which must contain it; `.` for `other` itself.
    pub(crate) fn beneath(&self, other: &InRoot) -> &str {
        let rest = if other.is_root() { &self.0 } else { self.0.strip_prefix(&other.0).unwrap_or(&self.0) };
        let rest = rest.trim_start_matches('/');
        if rest.is_empty() { "." } else { rest }
    }

    fn relative(&self) -> &str {
        if self.is_root() { "." } else { &self.0[1..] }
    }
}

/// Whether the path needs no cleaning. False for any component that begins with a dot, even if it
/// is clean.
fn is_clean(path: &str) -> bool {
    let bytes = path.as_bytes();
    let odd = |pair: &[u8]| pair[0] == b'/' && matches!(pair[1], b'/' | b'.');
    bytes.len() > 1 && bytes[0] == b'/' && bytes[bytes.len() - 1] != b'/' && !bytes.windows(2).any(odd)
}

impl fmt::Display for InRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for InRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

/// An O_PATH descriptor of a file inside a root.
#[derive(Debug)]
pub(crate) struct Handle(OwnedFd);

impl Handle {
    /// The file's status (`fstat(2)`).
    pub(crate) fn stat(&self) -> sys::Result<Stat> {
        fs::stat(&self.0)
    }
}

impl AsFd for Handle {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl From<OwnedFd> for Handle {
    fn from(fd: OwnedFd) -> Handle {
        Handle(fd)
    }
}

/// The type of file that is created where the last component of a path is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Create {
    /// A directory (0755).
    Directory,
    /// An empty regular file (0644).
    File,
}

/// A container's root directory. No lookup leaves it.
#[derive(Debug)]
pub(crate) struct Root(OwnedFd);

impl From<OwnedFd> for Root {
    fn from(fd: OwnedFd) -> Root {
        Root(fd)
    }
}

impl AsFd for Root {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The largest file that is read from a container's root, in bytes.
const SMALL_FILE: usize = 1 << 20;

impl Root {
    /// Opens a path with the `flags` of `open(2)`. Symbolic links are followed inside the root;
    /// O_NOFOLLOW does not follow a last one.
    pub(crate) fn open(&self, path: &InRoot, flags: i32) -> sys::Result<OwnedFd> {
        openat2(&self.0, path.relative(), flags, 0, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)
    }

    /// Like [`Root::open`], but `None` if the path does not exist.
    fn open_if_there(&self, path: &InRoot, flags: i32) -> sys::Result<Option<Handle>> {
        let found = openat2_if_there(&self.0, path.relative(), flags, 0, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
        Ok(found?.map(Handle))
    }

    /// Looks up the file at `path`, following symbolic links.
    pub(crate) fn find(&self, path: &InRoot) -> sys::Result<Handle> {
        self.open(path, libc::O_PATH).map(Handle)
    }

    /// Like [`Root::find`], but `None` if the path does not exist.
    pub(crate) fn find_if_there(&self, path: &InRoot) -> sys::Result<Option<Handle>> {
        self.open_if_there(path, libc::O_PATH)
    }

    /// Like [`Root::find_if_there`], but does not follow a symbolic link in the last component.
    pub(crate) fn find_no_follow(&self, path: &InRoot) -> sys::Result<Option<Handle>> {
        self.open_if_there(path, libc::O_PATH | libc::O_NOFOLLOW)
    }

    /// Like [`Root::find`], but fails with ELOOP if any component is a symbolic link.
    pub(crate) fn find_plain(&self, path: &InRoot) -> sys::Result<Handle> {
        let resolve = RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS;
        openat2(&self.0, path.relative(), libc::O_PATH | libc::O_NOFOLLOW, 0, resolve).map(Handle)
    }

    /// Reads a small regular file, such as /etc/passwd; `None` if it does not exist.
    ///
    /// # Errors
    /// It is not a regular file, or is larger than 1 MiB.
    pub(crate) fn read(&self, path: &InRoot) -> Result<Option<Vec<u8>>> {
        let file = self.open_regular(path)?;
        Ok(file.map(|file| file::read_to_end(&file, SMALL_FILE)).transpose()?)
    }

    /// Opens a regular file for reading; `None` if it does not exist.
    ///
    /// It never opens a FIFO or a device that it found: a FIFO would block, and opening a device
    /// may have side effects.
    pub(crate) fn open_regular(&self, path: &InRoot) -> Result<Option<OwnedFd>> {
        let handle = match self.find_if_there(path) {
            Ok(Some(handle)) => handle,
            Ok(None) => return Ok(None),
            Err(e) if e.is(libc::ENOTDIR) => return Ok(None),
            Err(e) => return Err(e.into()),
        };
        let seen = handle.stat()?;
        let refuse = |why: &str| Err(Error::system(format!("{path} in the root filesystem {why}")));
        if seen.kind() != libc::S_IFREG {
            return refuse("is not a regular file");
        }
        let file = self.open(path, libc::O_RDONLY | libc::O_NONBLOCK | libc::O_NOCTTY)?;
        if !fs::stat(&file)?.same_file(&seen) {
            return refuse("was replaced while it was opened");
        }
        Ok(Some(file))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_cleaned_by_its_text() {
        for (given, clean) in
            [("/a/b", "/a/b"), ("a//b/", "/a/b"), ("/a/../../b", "/b"), ("", "/"), ("/", "/"), ("/./.", "/")]
        {
            assert_eq!(InRoot::new(given).as_str(), clean);
        }
    }

    #[test]
    fn a_path_knows_what_it_is_within() {
        assert!(InRoot::new("/proc/x").is_within(&InRoot::new("/proc")));
        assert!(InRoot::new("/proc").is_within(&InRoot::new("/proc/")));
        assert!(!InRoot::new("/process").is_within(&InRoot::new("/proc")));
        assert!(InRoot::new("/x").is_within(&InRoot::new("/")));
    }

    #[test]
    fn a_path_knows_its_rest_beneath_another() {
        for (path, other, rest) in
            [("/proc/x/y", "/proc", "x/y"), ("/proc", "/proc", "."), ("/a/b", "/", "a/b"), ("/", "/", ".")]
        {
            assert_eq!(InRoot::new(path).beneath(&InRoot::new(other)), rest);
        }
    }

    #[test]
    fn a_path_splits_into_directory_and_name() {
        assert_eq!(InRoot::new("/a/b").split(), Some((InRoot::new("/a"), "b")));
        assert_eq!(InRoot::new("/b").split(), Some((InRoot::new("/"), "b")));
        assert_eq!(InRoot::new("/").split(), None);
    }
}
