//! `linux.maskedPaths` and `linux.readonlyPaths`: what of the kernel's files a container may not read, or not write.
//!
//! A file is masked by the host's /dev/null, opened before the pivot and seen to be that device: whatever the container's
//! own /dev/null is or becomes (CVE-2025-31133). A directory is masked by an empty read-only tmpfs, one for all.

use super::attributes::{self, Change};
use super::filesystem::New;
use super::options::{Options, Parameter};
use crate::error::{Context, Error, Result};
use crate::path::{Handle, InRoot, Root};
use crate::sys::fs::{self, device_number};
use crate::sys::mount::{
    self, AT_RECURSIVE, MOUNT_ATTR_NODEV, MOUNT_ATTR_NOEXEC, MOUNT_ATTR_NOSUID, MOUNT_ATTR_RDONLY, OPEN_TREE_CLONE,
};
use crate::sys::{self, file};
use std::borrow::Cow;
use std::os::fd::{AsFd, OwnedFd};

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
            if hides && path.is_root() { wrong("would hide the whole container") } else { Ok(path) }
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

/// Hides the paths that exist.
pub(crate) fn hide(root: &Root, paths: &[InRoot], null: DevNull, label: Option<&str>) -> Result<()> {
    let sealed = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC;
    let mut file = Cover { mount: null.0, change: Change::setting(sealed), attached: false };
    let mut directory: Option<Cover> = None;
    for path in paths {
        let context = || format!("mask {path}");
        let Some(place) = existing(root, path).with(context)? else { continue };
        if !place.stat().with(context)?.is_dir() {
            file.put(&place).with(context)?;
            continue;
        }
        let cover = match &mut directory {
            Some(cover) => cover,
            none => none.insert(empty_directory(label).with(context)?),
        };
        cover.put(&place).with(context)?;
    }
    Ok(())
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

/// Makes the paths that exist read-only, each with what is mounted beneath it.
pub(crate) fn protect(root: &Root, paths: &[InRoot]) -> Result<()> {
    for path in paths {
        let context = || format!("make {path} read-only");
        let Some(place) = existing(root, path).with(context)? else { continue };
        protect_one(&place).with(context)?;
    }
    Ok(())
}

fn protect_one(place: &Handle) -> Result<()> {
    let tree = mount::open_tree(place.as_fd(), "", OPEN_TREE_CLONE | AT_RECURSIVE)?;
    let waiting = attributes::apply(&tree, vec![Change::setting(MOUNT_ATTR_RDONLY)])?;
    mount::move_mount(&tree, place)?;
    attributes::apply_waiting(&tree, &waiting)
}

fn existing(root: &Root, path: &InRoot) -> sys::Result<Option<Handle>> {
    match root.find_if_there(path) {
        Err(e) if e.is(libc::ENOTDIR) => Ok(None),
        other => other,
    }
}
