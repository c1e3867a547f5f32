//! The container's tree: the root, and the mounts made in it, each by its descriptor.
//!
//! A neighbour that has the root as a volume can rename every directory in it at any time, and a mount moves with the directory
//! that it is on. So a path is not looked up from the root again once the runtime has made a mount on its way: the lookup begins
//! at that mount. What is put into a procfs or onto it is then in the procfs that was made, wherever that is by now.
//!
//! Lookups are text until the first symbolic link: the mount to begin at is the one with the longest destination, and the kernel
//! is told to cross neither links nor mounts after it. Only where it meets one the path is walked name by name.

use crate::error::{Context, Error, Result};
use crate::path::{Create, Handle, InRoot, Root};
use crate::sys::mount::{
    RESOLVE_BENEATH, RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS, RESOLVE_NO_XDEV, openat2,
    openat2_if_there,
};
use crate::sys::{self, Errno, Failure, file, fs};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// The root and what was mounted in it.
#[derive(Debug)]
pub(crate) struct Tree {
    root: Root,
    made: Vec<Made>,
}

#[derive(Debug)]
struct Made {
    /// Without symbolic links on the way.
    destination: InRoot,
    mount: OwnedFd,
    /// A later mount is at the same place, or above it.
    covered: bool,
}

/// What a path leads to.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) handle: Handle,
    /// The path without the symbolic links on the way: `/` is the root itself, by whatever name it was found.
    pub(crate) path: InRoot,
    /// Whether it was there before.
    pub(crate) existed: bool,
}

/// The most symbolic links on the way (as the kernel's MAXSYMLINKS).
const MAX_LINKS: u32 = 40;

impl Tree {
    pub(crate) fn new(root: Root) -> Tree {
        Tree { root, made: Vec::new() }
    }

    pub(crate) fn root(&self) -> &Root {
        &self.root
    }

    /// Records that there is a mount at `destination` now; `held`: what is beneath it is found through it.
    pub(crate) fn mounted(&mut self, destination: InRoot, held: Option<OwnedFd>) {
        for earlier in self.made.iter_mut().filter(|made| made.destination.is_within(&destination)) {
            earlier.covered = true;
        }
        self.made.extend(held.map(|mount| Made { destination, mount, covered: false }));
    }

    /// How many mounts are held.
    pub(crate) fn number_held(&self) -> usize {
        self.made.len()
    }

    /// Whether a mount that is held is at `path` or beneath it.
    pub(crate) fn has_mounts_within(&self, path: &InRoot) -> bool {
        self.made.iter().any(|made| made.destination.is_within(path))
    }

    /// The mounts that are held at `path` or beneath it.
    pub(crate) fn mounts_within(&self, path: &InRoot) -> impl Iterator<Item = &OwnedFd> {
        self.made.iter().filter(|made| made.destination.is_within(path)).map(|made| &made.mount)
    }

    /// Holds what others, such as hooks, have mounted over the mounts meanwhile.
    pub(crate) fn adopt_covers(&mut self) -> Result<()> {
        for made in std::mem::take(&mut self.made) {
            let Made { destination, mount, covered } = made;
            let over = match covered || !fs::stat(&mount)?.is_dir() {
                true => None,
                false => topmost(&mount).with(|| format!("find what is mounted over {destination}"))?,
            };
            let covered = covered || over.is_some();
            self.made.push(Made { destination: destination.clone(), mount, covered });
            self.made.extend(over.map(|mount| Made { destination, mount, covered: false }));
        }
        Ok(())
    }

    /// What is at `path`, with symbolic links followed within the root.
    pub(crate) fn find(&self, path: &InRoot) -> Result<Option<Found>> {
        self.look(path, None)
    }

    /// What is at `path`; if nothing is there, it is made, and its parents as directories (0755).
    ///
    /// Symbolic links are followed within the root, also where they lead to what does not exist yet.
    pub(crate) fn find_or_create(&self, path: &InRoot, kind: Create) -> Result<Found> {
        self.look(path, Some(kind))
            .with(|| format!("create {path}"))?
            .ok_or_else(|| Error::internal("nothing was made"))
    }

    /// The same for a path as it is written: `..` after a symbolic link leaves the directory that the link leads to.
    pub(crate) fn find_text(&self, path: &str, missing: Option<Create>) -> Result<Option<Found>> {
        match path.split('/').any(|name| name == "..") {
            true => Walk::begin(self, path).go(missing),
            false => self.look(&InRoot::new(path), missing),
        }
    }

    /// What is at `path`; a symbolic link anywhere on the way is an error (ELOOP).
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

    /// A symbolic link at `path`, or what else is there.
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

    /// The same path in mounts that others cover: they are out of sight by that name, but a directory above the upper mount
    /// alone may be renamed.
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

    /// By one call, without symbolic links.
    fn at_once(&self, path: &InRoot, resolve: u64) -> sys::Result<Option<Handle>> {
        let (base, of) = self.base(path);
        beneath(base, path.beneath(&of), RESOLVE_NO_SYMLINKS | resolve)
    }

    /// Where the lookup of a path without symbolic links begins.
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

    /// A mount that the text of the path does not lead to can only be there because a directory was exchanged.
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

/// A path on its way, name by name.
struct Walk<'a> {
    tree: &'a Tree,
    /// The names from the root to `place`; none is a symbolic link.
    at: Vec<Vec<u8>>,
    place: Place<'a>,
    /// The names to come, the next one last.
    ahead: Vec<Vec<u8>>,
    links: u32,
    /// Whether it went into a mount that the text of the path does not say.
    crossed: bool,
    existed: bool,
}

/// Where a walk is: at a mount of the tree, or at what it has found.
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

    /// To the end of the path; `None` where something is missing, and is not to be made.
    fn go(mut self, missing: Option<Create>) -> Result<Option<Found>> {
        loop {
            self.jump();
            let Some(name) = self.ahead.pop() else { break };
            if name == b".." {
                self.at.pop();
                self.place = Place::Within(self.tree.at_once(&self.path(), 0)?.ok_or_else(|| self.gone())?);
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

    /// Goes on at the last of the mounts that are on the way.
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
        // At the end of the path nothing is expected: then making it is the first try.
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
        Ok(Some(self.open(name)?.ok_or_else(|| self.gone())?))
    }

    /// What is at `name` here; a symbolic link itself.
    fn open(&mut self, name: &[u8]) -> sys::Result<Option<OwnedFd>> {
        match child(self.place.as_fd(), name, RESOLVE_NO_XDEV) {
            Err(e) if e.is(libc::EXDEV) => {
                self.crossed = true;
                child(self.place.as_fd(), name, 0)
            }
            other => other,
        }
    }

    /// Puts the target of the symbolic link `link`, which is `name` here, in its place.
    fn follow(&mut self, name: &[u8], link: &OwnedFd) -> Result<()> {
        self.links += 1;
        if self.links > MAX_LINKS {
            let call = format!("follow {}", String::from_utf8_lossy(name));
            let many = Error::from(Failure::new(call, Errno(libc::ELOOP)));
            return Err(many.at("too many symbolic links, or the tree keeps changing"));
        }
        // A link of procfs that is none by its text, but a door to another process's files, says so in no other way.
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

    fn gone(&self) -> Failure {
        Failure::new(format!("look up {}", self.path()), Errno(libc::ENOENT))
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

/// The topmost of the mounts that are on the root of `under`; `None` if there is none.
///
/// No name is looked up: `..` in the root of a lookup is that root, and whatever is mounted on it.
pub(crate) fn topmost(under: impl AsFd) -> Result<Option<OwnedFd>> {
    let under = under.as_fd();
    let over = openat2(under, "..", libc::O_PATH | libc::O_DIRECTORY, 0, RESOLVE_IN_ROOT)?;
    Ok(if fs::mount_id(&over)? == fs::mount_id(under)? { None } else { Some(over) })
}
