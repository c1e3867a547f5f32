//! `linux.maskedPaths` and `linux.readonlyPaths`: what of the kernel's files a container may not read, or not write.
//!
//! A file is masked by the host's /dev/null, opened before the pivot and seen to be that device: whatever the container's
//! own /dev/null is or becomes (CVE-2025-31133). A directory is masked by an empty read-only tmpfs, one for all.

use super::attributes::{self, Change};
use super::filesystem::New;
use super::options::{Options, Parameter};
use super::tree::{Found, Tree};
use crate::error::{Context, Error, Result};
use crate::path::{Handle, InRoot};
use crate::sys::file;
use crate::sys::fs::{self, device_number};
use crate::sys::mount::{
    self, AT_RECURSIVE, MOUNT_ATTR_NODEV, MOUNT_ATTR_NOEXEC, MOUNT_ATTR_NOSUID, MOUNT_ATTR_RDONLY, OPEN_TREE_CLONE,
};
use std::borrow::Cow;
use std::os::fd::{AsFd, OwnedFd};

/// What is wrong with a mask of the root.
const HIDES_ALL: &str = "would hide the whole container";

/// The list of paths at `at` in the config.
pub(crate) fn parse(paths: Option<&[Cow<'_, str>]>, at: &str) -> Result<Vec<InRoot>> {
    let hides = at == "linux.maskedPaths";
    let paths = paths.unwrap_or_default().iter().enumerate();
    paths
        .map(|(n, path)| {
            let wrong = |what: &str| Err(Error::config(format_args!("{at}[{n}]"), what));
            if !path.starts_with('/') {
                return wrong("must be an absolute path");
            }
            if path.contains('\0') {
                return wrong("holds a NUL byte");
            }
            let path = InRoot::new(path);
            if hides && path.is_root() { wrong(HIDES_ALL) } else { Ok(path) }
        })
        .collect()
}

/// The host's /dev/null (character device 1:3), as a detached mount of that file alone.
#[derive(Debug)]
pub(crate) struct DevNull(OwnedFd);

impl DevNull {
    /// Opens it in the caller's mount namespace, which must still be the host's view.
    ///
    /// The mount is read-only: writing to the device is not affected, but a container's root cannot change the mode or owner
    /// of the host's node through it.
    pub(crate) fn open() -> Result<DevNull> {
        let node = mount::open_tree(file::CWD, "/dev/null", OPEN_TREE_CLONE)?;
        let stat = fs::stat(&node)?;
        if stat.kind() != libc::S_IFCHR || stat.rdev != device_number(1, 3) {
            return Err(Error::system("the host's /dev/null is not the character device 1:3"));
        }
        Ok(DevNull(node))
    }
}

/// A detached mount, of which copies are put in many places.
struct Cover {
    mount: OwnedFd,
    change: Change,
    attached: bool,
}

impl Cover {
    /// Covers what is at `place`. The first use attaches the mount itself, since only what is attached can be copied on
    /// older kernels.
    fn put(&mut self, place: &Handle) -> Result<()> {
        if self.attached {
            let copy = mount::open_tree(&self.mount, "", OPEN_TREE_CLONE)?;
            return Ok(mount::move_mount(&copy, place)?);
        }
        let waiting = attributes::apply(&self.mount, vec![self.change])?;
        mount::move_mount(&self.mount, place)?;
        self.attached = true;
        attributes::apply_waiting(&self.mount, &waiting)
    }
}

/// What is to be protected.
pub(crate) struct Lists<'a> {
    pub(crate) read_only: &'a [InRoot],
    pub(crate) masked: &'a [InRoot],
}

/// What the lists leave of the root directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Full,
    ReadOnly,
}

#[derive(Clone, Copy)]
enum Protection {
    ReadOnly,
    Mask,
}

/// Protects the paths that exist: each with what is mounted beneath it is made read-only, or is hidden. The root itself is left to
/// the caller to be made read-only.
///
/// What a path within a mount leads to is looked up in that mount: "not there" is then so, and not a directory that was exchanged.
pub(crate) fn apply(tree: &Tree, lists: &Lists<'_>, null: Option<DevNull>, label: Option<&str>) -> Result<Access> {
    let mut covers = Covers { file: null.map(cover), directory: None, label };
    let (mut access, mut outer) = (Access::Full, Vec::new());
    let read_only = lists.read_only.iter().map(|path| (path, Protection::ReadOnly));
    for (path, protection) in read_only.chain(lists.masked.iter().map(|path| (path, Protection::Mask))) {
        let context = || protection.of(path);
        for covered in tree.find_covered(path).with(context)? {
            covers.protect(&covered, protection).with(context)?;
        }
        let Some(found) = existing(tree, path).with(context)? else { continue };
        match protection {
            _ if tree.has_mounts_within(&found.path) && !found.path.is_root() => outer.push((found.path, protection)),
            Protection::ReadOnly if found.path.is_root() => access = Access::ReadOnly,
            Protection::Mask if found.path.is_root() => return Err(hides_all(lists.masked, path)),
            _ => covers.protect(&found.handle, protection).with(context)?,
        }
    }
    // What is put over a mount is a copy of it, or hides it: nothing can be put into that mount afterwards.
    outer.sort_by_key(|(path, _)| std::cmp::Reverse(path.as_str().split('/').count()));
    for (path, protection) in outer {
        let context = || protection.of(&path);
        let Some(found) = existing(tree, &path).with(context)? else {
            return Err(Error::system("was exchanged while the container was made")).with(context);
        };
        covers.protect(&found.handle, protection).with(context)?;
    }
    Ok(access)
}

fn hides_all(masked: &[InRoot], path: &InRoot) -> Error {
    let n = masked.iter().position(|other| other == path).unwrap_or_default();
    Error::config(format_args!("linux.maskedPaths[{n}]"), format_args!("{path} is the root: {HIDES_ALL}"))
}

impl Protection {
    fn of(self, path: &InRoot) -> String {
        match self {
            Protection::ReadOnly => format!("make {path} read-only"),
            Protection::Mask => format!("mask {path}"),
        }
    }
}

/// The mounts that hide others.
struct Covers<'a> {
    file: Option<Cover>,
    directory: Option<Cover>,
    label: Option<&'a str>,
}

fn cover(null: DevNull) -> Cover {
    let sealed = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC;
    Cover { mount: null.0, change: Change::setting(sealed), attached: false }
}

impl Covers<'_> {
    fn protect(&mut self, place: &Handle, protection: Protection) -> Result<()> {
        match protection {
            Protection::ReadOnly => make_read_only(place),
            Protection::Mask => self.mask(place),
        }
    }

    fn mask(&mut self, place: &Handle) -> Result<()> {
        let cover = match (place.stat()?.is_dir(), &mut self.directory) {
            (true, Some(cover)) => cover,
            (true, none) => none.insert(empty_directory(self.label)?),
            (false, _) => self.file.as_mut().ok_or_else(|| Error::internal("masks without /dev/null"))?,
        };
        cover.put(place)
    }
}

fn empty_directory(label: Option<&str>) -> Result<Cover> {
    let parameter = |key: &str, value: &str| Parameter { key: key.into(), value: Some(value.into()), option: 0 };
    let attributes = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
    let options = Options {
        data: vec![parameter("nr_blocks", "1"), parameter("nr_inodes", "1"), parameter("mode", "755")],
        attributes: super::options::Attributes::setting(attributes),
        ..Options::default()
    };
    let mount =
        New { kind: "tmpfs", source: "tmpfs", options: &options, label, extra: None, context: None }.make(false)?;
    Ok(Cover { mount, change: Change::default(), attached: false })
}

fn make_read_only(place: &Handle) -> Result<()> {
    let tree = mount::open_tree(place.as_fd(), "", OPEN_TREE_CLONE | AT_RECURSIVE)?;
    let waiting = attributes::apply(&tree, vec![Change::setting(MOUNT_ATTR_RDONLY)])?;
    mount::move_mount(&tree, place)?;
    attributes::apply_waiting(&tree, &waiting)
}

fn existing(tree: &Tree, path: &InRoot) -> Result<Option<Found>> {
    match tree.find(path) {
        Err(e) if e.errno() == libc::ENOTDIR => Ok(None),
        other => other,
    }
}
