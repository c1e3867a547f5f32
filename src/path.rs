//! Paths inside a container's root, which may be hostile and may change while we look.
//!
//! A string is resolved exactly once, by the kernel, with `openat2(RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)`; what is then
//! worked with is a descriptor. Directories are made by name within a directory that is already held, so a symbolic link
//! that somebody swaps in can neither lead out of the root nor make anything appear outside.

use crate::error::{Context, Error, Result};
use crate::sys::fs::{self, Stat};
use crate::sys::mount::{
    RESOLVE_BENEATH, RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS, openat2, openat2_if_there,
};
use crate::sys::{self, file};
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// A path that means something only inside a container's root.
///
/// It is absolute and lexically clean (no empty, `.` or `..` components). It is no `AsRef<Path>`, so that `std::fs`, which
/// would resolve it on the host, cannot take it.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct InRoot(String);

impl InRoot {
    /// Cleans `path`; a relative one is taken as relative to the root (config.md, "Mounts").
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

    /// Whether it is the root itself.
    pub(crate) fn is_root(&self) -> bool {
        self.0 == "/"
    }

    /// The text, for messages and for comparing; it names nothing on the host.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is `other` or, by its text, beneath it.
    pub(crate) fn is_within(&self, other: &InRoot) -> bool {
        other.is_root() || self.0.strip_prefix(&other.0).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// The directory and the last component; `None` for the root.
    pub(crate) fn split(&self) -> Option<(InRoot, &str)> {
        let (parent, name) = self.0.rsplit_once('/')?;
        (!name.is_empty()).then(|| (InRoot::new(parent), name))
    }

    /// The rest of the path beneath `other`, which it must be within: `.` for `other` itself.
    pub(crate) fn beneath(&self, other: &InRoot) -> &str {
        let rest = if other.is_root() { &self.0 } else { self.0.strip_prefix(&other.0).unwrap_or(&self.0) };
        let rest = rest.trim_start_matches('/');
        if rest.is_empty() { "." } else { rest }
    }

    fn relative(&self) -> &str {
        if self.is_root() { "." } else { &self.0[1..] }
    }
}

/// Whether there is nothing to clean; a name that begins with a dot is looked at more closely.
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

/// Something inside a root that was found once and is held since: an O_PATH descriptor.
#[derive(Debug)]
pub(crate) struct Handle(OwnedFd);

impl Handle {
    /// What is known of it.
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

/// What [`Root::create`] makes at the end of a path that does not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Create {
    /// A directory (0755).
    Directory,
    /// An empty regular file (0644).
    File,
}

/// A container's root directory: no lookup through it leaves it.
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

/// The most symbolic links followed by [`Root::create`] where they lead to what does not exist yet (as the kernel's
/// MAXSYMLINKS).
const MAX_LINKS: u32 = 40;

/// The largest file that is read from a container's root, in bytes.
const SMALL_FILE: usize = 1 << 20;

impl Root {
    /// Opens a path with `open(2)`'s `flags`, following symbolic links inside the root (unless O_NOFOLLOW).
    pub(crate) fn open(&self, path: &InRoot, flags: i32) -> sys::Result<OwnedFd> {
        self.open_raw(path.relative(), flags)
    }

    fn open_raw(&self, path: &str, flags: i32) -> sys::Result<OwnedFd> {
        openat2(&self.0, path, flags, 0, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)
    }

    fn find_raw(&self, path: &str) -> sys::Result<Option<Handle>> {
        let found = openat2_if_there(&self.0, path, libc::O_PATH, 0, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
        Ok(found?.map(Handle))
    }

    /// Like [`Root::find`], but `None` where nothing is.
    pub(crate) fn find_if_there(&self, path: &InRoot) -> sys::Result<Option<Handle>> {
        self.find_raw(path.relative())
    }

    /// A handle of what is there.
    pub(crate) fn find(&self, path: &InRoot) -> sys::Result<Handle> {
        self.open(path, libc::O_PATH).map(Handle)
    }

    /// Like [`Root::find_if_there`], but a symbolic link at the end is found itself.
    pub(crate) fn find_no_follow(&self, path: &InRoot) -> sys::Result<Option<Handle>> {
        let resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
        let found = openat2_if_there(&self.0, path.relative(), libc::O_PATH | libc::O_NOFOLLOW, 0, resolve);
        Ok(found?.map(Handle))
    }

    /// Like [`Root::find`], but a symbolic link anywhere on the way is an error (ELOOP).
    pub(crate) fn find_plain(&self, path: &InRoot) -> sys::Result<Handle> {
        let resolve = RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS;
        openat2(&self.0, path.relative(), libc::O_PATH | libc::O_NOFOLLOW, 0, resolve).map(Handle)
    }

    /// A handle of what is at `path`; if nothing is there, it is made, and its parents as directories.
    ///
    /// # Errors
    /// Where a component is no directory (ENOTDIR), or the tree changes too often meanwhile.
    pub(crate) fn create(&self, path: &InRoot, kind: Create) -> Result<Handle> {
        match self.find_if_there(path)? {
            Some(handle) => Ok(handle),
            None => self.create_missing(path, kind).with(|| format!("create {path}")),
        }
    }

    fn create_missing(&self, path: &InRoot, kind: Create) -> Result<Handle> {
        let mut parts: Vec<String> = path.relative().split('/').map(String::from).collect();
        let mut known = parts.len() - 1;
        for _ in 0..MAX_LINKS {
            let (mut dir, mut depth) = self.deepest(&parts[..known])?;
            loop {
                if depth == parts.len() {
                    return Ok(dir);
                }
                let last = depth + 1 == parts.len();
                match self.step(&dir, &parts, depth, if last { kind } else { Create::Directory })? {
                    Step::Into(next) => (dir, depth) = (next, depth + 1),
                    Step::Link(target) => {
                        parts = through_link(&target, &parts, depth);
                        known = parts.len();
                        break;
                    }
                }
            }
        }
        Err(Error::system("too many symbolic links, or the tree keeps changing"))
    }

    /// The longest beginning of `parts` that exists, and how many parts that is.
    fn deepest(&self, parts: &[String]) -> Result<(Handle, usize)> {
        for depth in (1..=parts.len()).rev() {
            if let Some(handle) = self.find_raw(&parts[..depth].join("/"))? {
                return Ok((handle, depth));
            }
        }
        Ok((Handle(self.open_raw(".", libc::O_PATH)?), 0))
    }

    /// Makes, or else enters, the part at `depth` within `dir`, by its name there.
    fn step(&self, dir: &Handle, parts: &[String], depth: usize, kind: Create) -> Result<Step> {
        let name = &parts[depth];
        if name == ".." || name == "." {
            return Ok(Step::Into(Handle(self.open_raw(&parts[..=depth].join("/"), libc::O_PATH)?)));
        }
        let made = match kind {
            Create::Directory => fs::mkdir_at(dir, name, 0o755),
            Create::File => fs::mknod_at(dir, name, libc::S_IFREG | 0o644, 0),
        };
        match made {
            Err(e) if !e.is(libc::EEXIST) => return Err(e.into()),
            _ => {}
        }
        let found = openat2(dir, name, libc::O_PATH | libc::O_NOFOLLOW, 0, RESOLVE_BENEATH)?;
        if fs::stat(&found)?.kind() == libc::S_IFLNK {
            return Ok(Step::Link(String::from_utf8_lossy(&fs::read_link_at(&found, "")?).into_owned()));
        }
        Ok(Step::Into(Handle(found)))
    }

    /// Reads a small regular file, such as /etc/passwd; `None` if there is none.
    ///
    /// # Errors
    /// When it is not a regular file, or longer than 1 MiB.
    pub(crate) fn read(&self, path: &InRoot) -> Result<Option<Vec<u8>>> {
        let file = self.open_regular(path)?;
        Ok(file.map(|file| file::read_to_end(&file, SMALL_FILE)).transpose()?)
    }

    /// Opens a regular file for reading; `None` if there is none.
    ///
    /// A FIFO or a device is never opened for reading, so none can hang or act.
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
            return refuse("was exchanged while it was read");
        }
        Ok(Some(file))
    }
}

enum Step {
    Into(Handle),
    Link(String),
}

/// The path again, with the link at `depth` replaced by where it leads.
fn through_link(target: &str, parts: &[String], depth: usize) -> Vec<String> {
    let before = if target.starts_with('/') { &[] } else { &parts[..depth] };
    let link = target.split('/').filter(|part| !part.is_empty()).map(String::from);
    before.iter().cloned().chain(link).chain(parts[depth + 1..].iter().cloned()).collect()
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
