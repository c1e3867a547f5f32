//! The container's tree: descriptors of the root and of the mounts in it.
//!
//! Another container that has the root as a volume can rename every directory in it at any time,
//! and a mount moves with the directory that it is on. So the lookup of a path begins at the last
//! mount of the runtime on the path, not at the root. A mount on or in a procfs is then made in the
//! runtime's procfs, even if that was moved.
//!
//! A lookup begins at the mount with the longest destination that is a prefix of the path, and the
//! kernel must not cross links or mounts after it. If it meets one, the path is walked component by
//! component.

use super::put;
use crate::error::{Context, Error, Result};
use crate::path::{Create, Handle, InRoot, Root};
use crate::sys::mount::{
    RESOLVE_BENEATH, RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS, RESOLVE_NO_XDEV, openat2,
    openat2_if_there,
};
use crate::sys::{self, Errno, Failure, file, fs};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// The root and the mounts that the runtime made in it.
#[derive(Debug)]
pub(crate) struct Tree {
    root: Root,
    made: Vec<Made>,
}

#[derive(Debug)]
struct Made {
    /// The mount point, a path without symbolic links.
    destination: InRoot,
    mount: OwnedFd,
    /// Whether a later mount is at the same mount point or above it.
    covered: bool,
}

/// The result of a lookup.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) handle: Handle,
    /// The path with symbolic links resolved.
    pub(crate) path: InRoot,
    /// Whether the file existed before the lookup.
    pub(crate) existed: bool,
}

/// The limit of symbolic links in a lookup, as the kernel's MAXSYMLINKS.
const MAX_LINKS: u32 = 40;

impl Tree {
    pub(crate) fn new(root: Root) -> Tree {
        Tree { root, made: Vec::new() }
    }

    /// The tree with its only held mount as root.
    pub(crate) fn at_mount(mut self) -> Result<Tree> {
        let made = self.made.pop().ok_or_else(|| Error::internal("no mount is held"))?;
        Ok(Tree::new(Root::from(made.mount)))
    }

    pub(crate) fn root(&self) -> &Root {
        &self.root
    }

    /// Records a new mount at `destination`. If `held` is given, lookups beneath it begin at that
    /// descriptor.
    pub(crate) fn mounted(&mut self, destination: InRoot, held: Option<OwnedFd>) {
        for earlier in self.made.iter_mut().filter(|made| made.destination.is_within(&destination)) {
            earlier.covered = true;
        }
        self.made.extend(held.map(|mount| Made { destination, mount, covered: false }));
    }

    /// The number of mounts with a held descriptor.
    pub(crate) fn number_held(&self) -> usize {
        self.made.len()
    }

    /// Whether a held mount is at `path` or beneath it.
    pub(crate) fn has_mounts_within(&self, path: &InRoot) -> bool {
        self.made.iter().any(|made| made.destination.is_within(path))
    }

    /// The held mounts at `path` or beneath it.
    pub(crate) fn mounts_within(&self, path: &InRoot) -> impl Iterator<Item = &OwnedFd> {
        self.made.iter().filter(|made| made.destination.is_within(path)).map(|made| &made.mount)
    }

    /// Holds the mounts that other processes, such as hooks, have made over the held ones.
    pub(crate) fn adopt_covers(&mut self) -> Result<()> {
        for made in std::mem::take(&mut self.made) {
            let Made { destination, mount, covered } = made;
            let over = match covered || !fs::stat(&mount)?.is_dir() {
                true => None,
                false => topmost(&mount).with_context(|| format!("find what is mounted over {destination}"))?,
            };
            let covered = covered || over.is_some();
            self.made.push(Made { destination: destination.clone(), mount, covered });
            self.made.extend(over.map(|mount| Made { destination, mount, covered: false }));
        }
        Ok(())
    }

    /// Looks up `path`, following symbolic links within the root.
    pub(crate) fn find(&self, path: &InRoot) -> Result<Option<Found>> {
        self.look(path, None)
    }

    /// Looks up `path`. If it does not exist, it is created, together with missing parent
    /// directories (mode 0755).
    ///
    /// Symbolic links are followed within the root, dangling ones too: their targets are created.
    pub(crate) fn find_or_create(&self, path: &InRoot, kind: Create) -> Result<Found> {
        self.look(path, Some(kind))
            .with_context(|| format!("create {path}"))?
            .ok_or_else(|| Error::internal("nothing was made"))
    }

    /// Looks up an uncleaned path, and creates it if `missing` is given. `..` after a symbolic link
    /// is the parent of the link's target.
    pub(crate) fn find_text(&self, path: &str, missing: Option<Create>) -> Result<Option<Found>> {
        match path.split('/').any(|name| name == "..") {
            true => Walk::begin(self, path).go(missing),
            false => self.look(&InRoot::new(path), missing),
        }
    }

    /// Looks up `path`; fails with ELOOP if a component is a symbolic link.
    pub(crate) fn find_plain(&self, path: &InRoot) -> Result<Option<Found>> {
        let found = match self.at_once(path, RESOLVE_NO_XDEV) {
            Err(e) if e.is(libc::EXDEV) => {
                let found = self.at_once(path, 0)?;
                found.as_ref().map_or(Ok(()), |handle| self.refuse_other_mounts(path, handle))?;
                found
            }
            other => other?,
        };
        Ok(found.map(|handle| Found { handle, path: path.clone(), existed: true }))
    }

    /// Looks up `path` without following a symbolic link in the last component.
    pub(crate) fn find_no_follow(&self, path: &InRoot) -> Result<Option<Found>> {
        let Some((parent, name)) = path.split() else { return self.find(path) };
        let Some(parent) = self.find(&parent)? else { return Ok(None) };
        let path = InRoot::new(&format!("{}/{name}", parent.path));
        let there = match self.exactly(&path) {
            Some(made) => Some(duplicate(&made.mount)?),
            None => child(parent.handle.as_fd(), name.as_bytes(), 0)?.map(Handle::from),
        };
        Ok(there.map(|handle| Found { handle, path, existed: true }))
    }

    /// Looks up `path` in covered mounts. Their path leads to the upper mount now, but renaming a
    /// directory could make them visible again.
    pub(crate) fn find_covered(&self, path: &InRoot) -> Result<Vec<Handle>> {
        let covered = self.made.iter().filter(|made| made.covered && path.is_within(&made.destination));
        let found = covered.filter_map(|made| {
            let there = beneath(&made.mount, path.beneath(&made.destination), RESOLVE_NO_MAGICLINKS);
            match there {
                Err(e) if e.is(libc::ENOTDIR) => None,
                other => other.transpose(),
            }
        });
        Ok(found.collect::<sys::Result<_>>()?)
    }

    fn look(&self, path: &InRoot, missing: Option<Create>) -> Result<Option<Found>> {
        match self.at_once(path, RESOLVE_NO_XDEV) {
            Ok(Some(handle)) => return Ok(Some(Found { handle, path: path.clone(), existed: true })),
            Ok(None) if missing.is_none() => return Ok(None),
            Ok(None) => {}
            Err(e) if e.is(libc::ELOOP) || e.is(libc::EXDEV) => {}
            Err(e) => return Err(e.into()),
        }
        Walk::begin(self, path.as_str()).go(missing)
    }

    /// Looks up a path without symbolic links in one system call.
    fn at_once(&self, path: &InRoot, resolve: u64) -> sys::Result<Option<Handle>> {
        let (base, of) = self.base(path);
        beneath(base, path.beneath(&of), RESOLVE_NO_SYMLINKS | resolve)
    }

    /// The descriptor at which the lookup of a path without symbolic links begins, and its path.
    fn base(&self, path: &InRoot) -> (BorrowedFd<'_>, InRoot) {
        let made = self.made.iter().filter(|made| !made.covered && path.is_within(&made.destination));
        match made.max_by_key(|made| made.destination.as_str().len()) {
            Some(made) => (made.mount.as_fd(), made.destination.clone()),
            None => (self.root.as_fd(), InRoot::new("/")),
        }
    }

    fn exactly(&self, path: &InRoot) -> Option<&Made> {
        self.made.iter().find(|made| !made.covered && made.destination == *path)
    }

    /// Fails if `found` is in a mount of the runtime that is not on `path`: a directory must have
    /// been replaced.
    fn refuse_other_mounts(&self, path: &InRoot, found: &Handle) -> Result<()> {
        let mount = fs::mount_id(found)?;
        for made in self.made.iter().filter(|made| !path.is_within(&made.destination)) {
            if fs::mount_id(&made.mount)? == mount {
                let place = &made.destination;
                return Err(Error::system(format!("{path} was exchanged with {place} while the container was made")));
            }
        }
        Ok(())
    }
}

/// A lookup that walks a path component by component.
struct Walk<'a> {
    tree: &'a Tree,
    /// The names from the root to `place`; none is a symbolic link.
    at: Vec<Vec<u8>>,
    place: Place<'a>,
    /// The remaining names; the next one is the last.
    ahead: Vec<Vec<u8>>,
    links: u32,
    /// Whether the walk may have entered a mount that is not on the path.
    crossed: bool,
    existed: bool,
}

/// The position of a walk: a mount of the tree, or a file that it has found.
enum Place<'a> {
    Mount(BorrowedFd<'a>),
    Within(Handle),
}

impl AsFd for Place<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Place::Mount(mount) => *mount,
            Place::Within(handle) => handle.as_fd(),
        }
    }
}

impl Place<'_> {
    fn into_handle(self) -> sys::Result<Handle> {
        match self {
            Place::Mount(mount) => duplicate(mount),
            Place::Within(handle) => Ok(handle),
        }
    }
}

impl<'a> Walk<'a> {
    fn begin(tree: &'a Tree, path: &str) -> Walk<'a> {
        let place = Place::Mount(tree.root.as_fd());
        let mut walk = Walk { tree, at: Vec::new(), place, ahead: Vec::new(), links: 0, crossed: false, existed: true };
        walk.push(path.as_bytes());
        walk
    }

    fn push(&mut self, path: &[u8]) {
        let names = path.split(|byte| *byte == b'/').filter(|name| !matches!(*name, b"" | b"."));
        self.ahead.extend(names.rev().map(<[u8]>::to_vec));
    }

    /// Walks to the end of the path. `None` if a component is missing and `missing` is `None`.
    fn go(mut self, missing: Option<Create>) -> Result<Option<Found>> {
        loop {
            self.jump();
            let Some(name) = self.ahead.pop() else { break };
            if name == b".." {
                self.at.pop();
                self.place =
                    Place::Within(self.tree.at_once(&self.path(), 0)?.ok_or_else(|| put::missing(&self.path()))?);
                self.crossed = true;
                continue;
            }
            let kind = missing.map(|kind| if self.ahead.is_empty() { kind } else { Create::Directory });
            let Some(next) = self.child(&name, kind)? else { return Ok(None) };
            if fs::stat(&next)?.kind() == libc::S_IFLNK {
                self.follow(&name, &next)?;
            } else {
                self.place = Place::Within(Handle::from(next));
                self.at.push(name);
            }
        }
        let path = self.path();
        let handle = self.place.into_handle()?;
        if self.crossed {
            self.tree.refuse_other_mounts(&path, &handle)?;
        }
        Ok(Some(Found { handle, path, existed: self.existed }))
    }

    /// Continues at the last held mount on the remaining path.
    fn jump(&mut self) {
        let plain = self.ahead.iter().rev().take_while(|name| *name != b"..");
        let (base, of) = self.tree.base(&text(self.at.iter().chain(plain)));
        let names: Vec<&str> = of.as_str().split('/').filter(|name| !name.is_empty()).collect();
        if names.len() > self.at.len() {
            self.ahead.truncate(self.ahead.len() - (names.len() - self.at.len()));
            self.at = names.iter().map(|name| name.as_bytes().to_vec()).collect();
            (self.place, self.existed) = (Place::Mount(base), true);
        }
    }

    fn child(&mut self, name: &[u8], missing: Option<Create>) -> Result<Option<OwnedFd>> {
        // The last component is usually missing, so it is created without a lookup first.
        let found = if missing.is_some() && self.ahead.is_empty() { None } else { self.open(name)? };
        self.existed = found.is_some();
        let (None, Some(kind)) = (&found, missing) else { return Ok(found) };
        let made = match kind {
            Create::Directory => fs::mkdir_at(&self.place, name, 0o755),
            Create::File => fs::mknod_at(&self.place, name, libc::S_IFREG | 0o644, 0),
        };
        match made {
            Err(e) if e.is(libc::EEXIST) => self.existed = true,
            other => other?,
        }
        Ok(Some(self.open(name)?.ok_or_else(|| put::missing(&self.path()))?))
    }

    /// Opens `name` in the current place, without following a symbolic link.
    fn open(&mut self, name: &[u8]) -> sys::Result<Option<OwnedFd>> {
        match child(self.place.as_fd(), name, RESOLVE_NO_XDEV) {
            Err(e) if e.is(libc::EXDEV) => {
                self.crossed = true;
                child(self.place.as_fd(), name, 0)
            }
            other => other,
        }
    }

    /// Replaces the symbolic link `link`, which is `name` in the current place, by its target.
    fn follow(&mut self, name: &[u8], link: &OwnedFd) -> Result<()> {
        self.links += 1;
        if self.links > MAX_LINKS {
            let call = format!("follow {}", String::from_utf8_lossy(name));
            let many = Error::from(Failure::new(call, Errno(libc::ELOOP)));
            return Err(many.context("too many symbolic links, or the tree keeps changing"));
        }
        // Only this lookup detects a magic link of procfs, which leads to another process's file
        // whatever its text is.
        match openat2_if_there(&self.place, name, libc::O_PATH, 0, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS) {
            Err(e) if e.is(libc::ELOOP) => return Err(e.into()),
            _ => {}
        }
        let target = fs::read_link_at(link, "")?;
        if target.starts_with(b"/") {
            self.at.clear();
            self.place = Place::Mount(self.tree.root.as_fd());
        }
        self.push(&target);
        Ok(())
    }

    fn path(&self) -> InRoot {
        text(self.at.iter())
    }
}

fn text<'a>(names: impl Iterator<Item = &'a Vec<u8>>) -> InRoot {
    let mut path = String::from("/");
    for name in names {
        path.push_str(&String::from_utf8_lossy(name));
        path.push('/');
    }
    InRoot::new(&path)
}

fn beneath(base: impl AsFd, path: &str, resolve: u64) -> sys::Result<Option<Handle>> {
    match path {
        "." => duplicate(base).map(Some),
        _ => Ok(openat2_if_there(base, path, libc::O_PATH, 0, RESOLVE_BENEATH | resolve)?.map(Handle::from)),
    }
}

fn child(dir: BorrowedFd<'_>, name: &[u8], resolve: u64) -> sys::Result<Option<OwnedFd>> {
    openat2_if_there(dir, name, libc::O_PATH | libc::O_NOFOLLOW, 0, RESOLVE_BENEATH | resolve)
}

fn duplicate(fd: impl AsFd) -> sys::Result<Handle> {
    file::duplicate_above(fd, 3).map(Handle::from)
}

/// The topmost mount that is stacked on the root of `under`; `None` if there is none.
///
/// It resolves `..`, not a name: at the root of a lookup that is the root itself, with all mounts
/// on it.
pub(crate) fn topmost(under: impl AsFd) -> Result<Option<OwnedFd>> {
    let under = under.as_fd();
    let over = openat2(under, "..", libc::O_PATH | libc::O_DIRECTORY, 0, RESOLVE_IN_ROOT)?;
    Ok(if fs::mount_id(&over)? == fs::mount_id(under)? { None } else { Some(over) })
}
