//! The layers below a layer in overlayfs form: lookups in their union, and files that come up from it.

use super::attributes;
use super::remove::is_whiteout;
use super::tree::Owners;
use super::write::{set_directory_owner, set_owner_and_mode};
use anyhow::{Result, bail, ensure};
use orlop::beneath::{Directory, Status};
use rustix::fs::{FileType, XattrFlags, fgetxattr, flistxattr, fsetxattr};
use std::fs::File;
use std::io;

/// Layers, the topmost first.
pub(crate) struct Lower(pub(crate) Vec<Directory>);

/// The answer of one layer for a path.
enum Found {
    There(Directory, Status),
    /// It says nothing, so the next layer is asked.
    Open,
    /// It hides the path.
    Hidden,
}

impl Lower {
    /// The directory that holds the file of a path, and the file's status. Symbolic links are not followed.
    pub(super) fn find(&self, parts: &[&[u8]]) -> Result<Option<(Directory, Status)>> {
        for layer in &self.0 {
            match find_in(layer, parts)? {
                Found::There(dir, status) => return Ok(Some((dir, status))),
                Found::Hidden => return Ok(None),
                Found::Open => {}
            }
        }
        Ok(None)
    }

    /// A small file of the union; `None` where it does not exist, or is no regular file.
    ///
    /// # Errors
    /// It is larger than 1 MiB.
    pub(crate) fn read(&self, path: &str) -> Result<Option<Vec<u8>>> {
        let parts: Vec<&[u8]> = path.split('/').map(str::as_bytes).collect();
        match (self.find(&parts)?, path.rsplit('/').next()) {
            (Some((dir, status)), Some(name)) if is(&status, FileType::RegularFile) => Ok(dir.read(name)?),
            _ => Ok(None),
        }
    }

    /// The directory of a path, held for reading.
    pub(super) fn directory(&self, parts: &[&[u8]]) -> Result<Option<Directory>> {
        let (Some((dir, status)), Some(name)) = (self.find(parts)?, parts.last()) else { return Ok(None) };
        ensure!(
            !is(&status, FileType::Symlink),
            "a parent is a symbolic link in a layer below, which overlayfs cannot follow"
        );
        if status.is_dir() { Ok(Some(dir.entry_dir(name)?)) } else { Ok(None) }
    }

    /// Gives a directory the owner, mode and attributes of another one.
    pub(crate) fn copy_directory(&self, from: &Directory, to: &Directory, owners: Owners) -> Result<()> {
        let status = from.status()?;
        if owners == Owners::Archive {
            set_directory_owner(to, status.uid, status.gid)?;
        }
        to.set_mode(status.mode & 0o7777)?;
        for (key, value) in from.attributes()? {
            if !key.ends_with(b".overlay.opaque") && !key.starts_with(b"security.selinux") {
                to.set_attribute(&key, &value)?;
            }
        }
        Ok(to.set_times(status.atime, status.mtime)?)
    }

    /// Copies a file into the layer above.
    pub(super) fn copy_up(&self, from: &Directory, name: &[u8], to: &Directory, owners: Owners) -> Result<()> {
        let Some(status) = from.entry_status(name)? else { return Ok(()) };
        let owner = (owners == Owners::Archive).then_some((status.uid, status.gid));
        if is(&status, FileType::Symlink) {
            to.make_entry_symlink(&from.entry_symlink(name)?, name)?;
        } else if is(&status, FileType::RegularFile) {
            let mut source = from.entry_file(name)?;
            let mut copy = to.make_entry_file(name, 0o600)?;
            attributes::disinherit(to, name)?;
            io::copy(&mut source, &mut copy)?;
            set_owner_and_mode(&copy, owner, status.mode & 0o7777)?;
            copy_attributes(&source, &copy)?;
        } else if status.is_dir() {
            bail!("is a directory");
        } else {
            to.make_entry_node(name, status.mode, status.rdev)?;
        }
        if let Some((uid, gid)) = owner.filter(|_| !is(&status, FileType::RegularFile)) {
            to.set_entry_owner(name, uid, gid)?;
        }
        Ok(to.set_entry_times(name, status.atime, status.mtime)?)
    }
}

fn is(status: &Status, kind: FileType) -> bool {
    FileType::from_raw_mode(status.mode) == kind
}

/// Copies the attributes of an open file but for labels, which are the host's.
fn copy_attributes(from: &File, to: &File) -> Result<()> {
    let mut names = vec![0; 64 << 10];
    let length = flistxattr(from, &mut names[..])?;
    for name in names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        if name != b"security.selinux" {
            let mut value = vec![0; 64 << 10];
            let length = fgetxattr(from, name, &mut value[..])?;
            fsetxattr(to, name, &value[..length], XattrFlags::empty())?;
        }
    }
    Ok(())
}

fn find_in(layer: &Directory, parts: &[&[u8]]) -> Result<Found> {
    let Some(mut dir) = layer.enter(b".")? else { return Ok(Found::Open) };
    for (depth, name) in parts.iter().enumerate() {
        let Some(status) = dir.entry_status(name)? else {
            return Ok(if depth > 0 && is_opaque(&dir)? { Found::Hidden } else { Found::Open });
        };
        if is_whiteout(&status) {
            return Ok(Found::Hidden);
        }
        if depth + 1 == parts.len() {
            return Ok(Found::There(dir, status));
        }
        ensure!(
            !is(&status, FileType::Symlink),
            "a parent is a symbolic link in a layer below, which overlayfs cannot follow"
        );
        if !status.is_dir() {
            return Ok(Found::Hidden);
        }
        dir = dir.entry_dir(name)?;
    }
    Ok(Found::Open)
}

/// Whether a directory of a layer, held for reading, hides the layers below.
pub(super) fn is_opaque(dir: &Directory) -> Result<bool> {
    Ok(dir.attributes()?.iter().any(|(key, _)| key.ends_with(b".overlay.opaque")))
}
