//! `linux.maskedPaths` and `linux.readonlyPaths`: paths that the container may not read, or not
//! write.
//!
//! A file is masked by a bind mount of the host's /dev/null, which is opened and checked before the
//! pivot, so that the container's own /dev/null has no influence (CVE-2025-31133). A directory is
//! masked by an empty read-only tmpfs, which all masked directories share.

use super::Rootfs;
use super::attributes::Change;
use super::filesystem::New;
use super::options::{Options, Parameter};
use super::put::put;
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

/// The problem with a mask of the root.
const MASKS_ALL: &str = "would mask the whole container";

/// Checks the list of paths in the config's field `at`.
pub(crate) fn parse(paths: Option<&[Cow<'_, str>]>, at: &str) -> Result<Vec<InRoot>> {
    let masks = at == "linux.maskedPaths";
    let paths = paths.unwrap_or_default().iter().enumerate();
    paths
        .map(|(n, path)| {
            let wrong = |problem: &str| Err(Error::config(format_args!("{at}[{n}]"), problem));
            if !path.starts_with('/') {
                return wrong("must be an absolute path");
            }
            if path.contains('\0') {
                return wrong("holds a NUL byte");
            }
            let path = InRoot::new(path);
            if masks && path.is_root() { wrong(MASKS_ALL) } else { Ok(path) }
        })
        .collect()
}

/// The host's /dev/null (character device 1:3) as a detached mount of that file.
#[derive(Debug)]
pub(crate) struct DevNull(OwnedFd);

impl DevNull {
    /// Opens /dev/null in the caller's mount namespace, before the root is changed.
    ///
    /// Masks are read-only mounts of it: writing to the device still works, but the container's
    /// root cannot change the mode or owner of the host's node.
    pub(crate) fn open() -> Result<DevNull> {
        let node = mount::open_tree(file::CWD, "/dev/null", OPEN_TREE_CLONE)?;
        let stat = fs::stat(&node)?;
        if stat.kind() != libc::S_IFCHR || stat.rdev != device_number(1, 3) {
            return Err(Error::system("the host's /dev/null is not the character device 1:3"));
        }
        Ok(DevNull(node))
    }
}

/// The mount that masks files, or the one that masks directories. It is copied for each path.
struct MaskMount {
    mount: OwnedFd,
    change: Change,
    attached: bool,
}

impl MaskMount {
    /// Masks `place`. The first use attaches the mount itself, since older kernels copy only
    /// attached mounts.
    fn put(&mut self, place: &Handle) -> Result<()> {
        if self.attached {
            let copy = mount::open_tree(&self.mount, "", OPEN_TREE_CLONE)?;
            return Ok(mount::move_mount(&copy, place)?);
        }
        self.attached = true;
        put(&self.mount, place, vec![self.change])
    }
}

#[derive(Clone, Copy)]
enum Protection {
    ReadOnly,
    Mask,
}

/// Protects the existing paths: makes each one read-only together with the mounts beneath it, or
/// masks it. Returns whether the root itself is to be read-only, which the caller makes so.
///
/// A path within a mount is looked up in that mount, so that a path is never skipped as missing
/// because a directory on the way was replaced.
pub(crate) fn apply(tree: &Tree, rootfs: &Rootfs, null: Option<DevNull>) -> Result<bool> {
    let mut masks = Masks { file: null.map(null_mount), directory: None, label: rootfs.label.as_deref() };
    let (mut root, mut outer) = (false, Vec::new());
    let read_only = rootfs.readonly_paths.iter().map(|path| (path, Protection::ReadOnly));
    for (path, protection) in read_only.chain(rootfs.masked.iter().map(|path| (path, Protection::Mask))) {
        let context = || protection.of(path);
        for covered in tree.find_covered(path).with_context(context)? {
            masks.protect(&covered, protection).with_context(context)?;
        }
        let Some(found) = existing(tree, path).with_context(context)? else { continue };
        match protection {
            _ if tree.has_mounts_within(&found.path) && !found.path.is_root() => outer.push((found.path, protection)),
            Protection::ReadOnly if found.path.is_root() => root = true,
            Protection::Mask if found.path.is_root() => return Err(masks_all(&rootfs.masked, path)),
            _ => masks.protect(&found.handle, protection).with_context(context)?,
        }
    }
    // Paths with mounts beneath come last, the deepest first: protecting one covers it with a copy
    // or a mask, and later mounts inside the covered one would have no effect.
    outer.sort_by_key(|(path, _)| std::cmp::Reverse(path.as_str().split('/').count()));
    for (path, protection) in outer {
        let context = || protection.of(&path);
        let Some(found) = existing(tree, &path).with_context(context)? else {
            return Err(Error::system("was replaced while the container was created")).with_context(context);
        };
        masks.protect(&found.handle, protection).with_context(context)?;
    }
    Ok(root)
}

fn masks_all(masked: &[InRoot], path: &InRoot) -> Error {
    let n = masked.iter().position(|other| other == path).unwrap_or_default();
    Error::config(format_args!("linux.maskedPaths[{n}]"), format_args!("{path} is the root: {MASKS_ALL}"))
}

impl Protection {
    fn of(self, path: &InRoot) -> String {
        match self {
            Protection::ReadOnly => format!("make {path} read-only"),
            Protection::Mask => format!("mask {path}"),
        }
    }
}

/// The mounts that mask files and directories.
struct Masks<'a> {
    file: Option<MaskMount>,
    directory: Option<MaskMount>,
    label: Option<&'a str>,
}

fn null_mount(null: DevNull) -> MaskMount {
    let sealed = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC;
    MaskMount { mount: null.0, change: Change::setting(sealed), attached: false }
}

impl Masks<'_> {
    fn protect(&mut self, place: &Handle, protection: Protection) -> Result<()> {
        match protection {
            Protection::ReadOnly => make_read_only(place),
            Protection::Mask => self.mask(place),
        }
    }

    fn mask(&mut self, place: &Handle) -> Result<()> {
        let mask = match (place.stat()?.is_dir(), &mut self.directory) {
            (true, Some(mask)) => mask,
            (true, none) => none.insert(empty_directory(self.label)?),
            (false, _) => self.file.as_mut().ok_or_else(|| Error::internal("masks without /dev/null"))?,
        };
        mask.put(place)
    }
}

fn empty_directory(label: Option<&str>) -> Result<MaskMount> {
    let parameter = |key: &str, value: &str| Parameter { key: key.into(), value: Some(value.into()), option: 0 };
    let attributes = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
    let options = Options {
        data: vec![parameter("nr_blocks", "1"), parameter("nr_inodes", "1"), parameter("mode", "755")],
        attributes: super::options::Attributes::setting(attributes),
        ..Options::default()
    };
    let mount =
        New { kind: "tmpfs", source: "tmpfs", options: &options, label, extra: None, context: None }.make(false)?;
    Ok(MaskMount { mount, change: Change::default(), attached: false })
}

fn make_read_only(place: &Handle) -> Result<()> {
    let tree = mount::open_tree(place.as_fd(), "", OPEN_TREE_CLONE | AT_RECURSIVE)?;
    put(&tree, place, vec![Change::setting(MOUNT_ATTR_RDONLY)])
}

fn existing(tree: &Tree, path: &InRoot) -> Result<Option<Found>> {
    match tree.find(path) {
        Err(e) if e.errno() == libc::ENOTDIR => Ok(None),
        other => other,
    }
}
