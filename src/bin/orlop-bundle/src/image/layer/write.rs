//! One entry of an archive becomes one file.

use super::attributes::{self, Target};
use super::remove::is_whiteout;
use super::tar::{Entry, Kind};
use super::tree::{Form, Owners, Parent, Tree, components};
use anyhow::{Context as _, Result, ensure};
use nix::unistd::{Gid, Uid, fchownat};
use orlop::beneath::{Directory, Status};
use rustix::fs::{AtFlags, Mode, chmodat, makedev};
use std::fs::{File, Permissions};
use std::io::{self, Read, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{PermissionsExt as _, fchown};

const S_IFCHR: u32 = 0o020_000;
const S_IFBLK: u32 = 0o060_000;
const S_IFIFO: u32 = 0o010_000;
const EPERM: i32 = 1;

impl Tree {
    /// An entry for the root itself.
    pub(super) fn write_root(&mut self, entry: &Entry) -> Result<()> {
        ensure!(entry.kind == Kind::Directory, "the root of the image is no directory");
        attributes::clear(&self.root)?;
        let root = self.root.enter(b".")?.context("the root of the tree is gone")?;
        self.set_directory(&root, Vec::new(), entry)
    }

    pub(super) fn write_entry(
        &mut self,
        parent: &Parent,
        name: &[u8],
        entry: &Entry,
        data: &mut dyn Read,
    ) -> Result<()> {
        let dir = &parent.dir;
        let link = if entry.kind == Kind::HardLink { Some(self.hard_link_target(entry)?) } else { None };
        let there = dir.entry_status(name)?;
        if let (Some(there), Some((_, _, target))) = (&there, &link)
            && there.ino == target.ino
        {
            return Ok(());
        }
        let mut is_over_whiteout = false;
        if let Some(there) = there.filter(|there| !(there.is_dir() && entry.kind == Kind::Directory)) {
            is_over_whiteout = is_whiteout(&there);
            self.remove(dir, parent.ino, name, &there)?;
        }
        match entry.kind {
            Kind::File => self.write_file(parent, name, entry, data)?,
            Kind::Directory => self.write_directory(parent, name, entry, is_over_whiteout)?,
            Kind::Symlink => {
                dir.make_entry_symlink(&entry.link, name)?;
                self.set_other(dir, name, entry)?;
            }
            Kind::HardLink => {
                let (from, from_name, _) = link.context("a hard link has no target")?;
                dir.link_entry(&from, &from_name, name)?;
            }
            Kind::CharDevice | Kind::BlockDevice | Kind::Fifo => {
                if !self.write_node(parent, name, entry)? {
                    return Ok(());
                }
            }
        }
        self.written.insert((parent.ino, name.to_vec()));
        Ok(())
    }

    /// The directory, name and status of the file that a hard link is to.
    fn hard_link_target(&mut self, entry: &Entry) -> Result<(Directory, Vec<u8>, Status)> {
        let shown = || format!("the hard link's target {:?}", String::from_utf8_lossy(&entry.link));
        let parts = components(&entry.link).with_context(shown)?;
        let (name, parents) = parts.split_last().with_context(|| format!("{} is the root", shown()))?;
        let found = self.target(parents, name).with_context(shown)?;
        let (dir, status) = found.with_context(|| format!("{} does not exist in the image", shown()))?;
        ensure!(!status.is_dir(), "{} is a directory", shown());
        Ok((dir, name.to_vec(), status))
    }

    fn target(&mut self, parents: &[&[u8]], name: &[u8]) -> Result<Option<(Directory, Status)>> {
        if let Some(dir) = self.root.enter(&parents.join(b"/".as_slice()))?
            && let Some(status) = dir.entry_status(name)?
        {
            return Ok(if is_whiteout(&status) { None } else { Some((dir, status)) });
        }
        let Form::Overlay { lower, .. } = &self.form else { return Ok(None) };
        if self.is_hidden(parents)? {
            return Ok(None);
        }
        // A link to a file of a lower layer: the file comes up, as it does in overlayfs.
        let path = [parents, &[name]].concat();
        let Some((below, _)) = lower.find(&path)? else { return Ok(None) };
        let parent = self.parent(parents)?;
        let Form::Overlay { lower, .. } = &self.form else { return Ok(None) };
        lower.copy_up(&below, name, &parent.dir, self.owners)?;
        Ok(parent.dir.entry_status(name)?.map(|status| (parent.dir, status)))
    }

    fn owner(&self, entry: &Entry) -> Option<(u32, u32)> {
        (self.owners == Owners::Archive).then_some((entry.uid, entry.gid))
    }

    fn write_file(&mut self, parent: &Parent, name: &[u8], entry: &Entry, data: &mut dyn Read) -> Result<()> {
        let dir = &parent.dir;
        let mut file = dir.make_entry_file(name, 0o600)?;
        parent.disinherit(name)?;
        match &entry.sparse {
            None => copy(data, &mut file, entry.size)?,
            Some(parts) => {
                for (offset, length) in parts {
                    file.seek(SeekFrom::Start(*offset))?;
                    copy(data, &mut file, *length)?;
                }
                file.set_len(entry.size)?;
            }
        }
        set_owner_and_mode(&file, self.owner(entry), entry.mode)?;
        attributes::set(&Target::File(&file), entry, self.owners, &mut self.dropped)?;
        Ok(dir.set_entry_times(name, entry.atime.unwrap_or(entry.mtime), entry.mtime)?)
    }

    fn write_directory(&mut self, parent: &Parent, name: &[u8], entry: &Entry, is_over_whiteout: bool) -> Result<()> {
        let is_new = parent.dir.entry_status(name)?.is_none();
        if is_new {
            parent.dir.make_entry_dir(name, 0o700)?;
            parent.disinherit(name)?;
        }
        let dir = parent.dir.entry_dir(name)?;
        if !is_new {
            attributes::clear(&dir)?;
        }
        let path = components(&entry.path)?.join(b"/".as_slice());
        self.set_directory(&dir, path, entry)?;
        match &self.form {
            Form::Overlay { opaque, .. } if is_over_whiteout => Ok(dir.set_attribute(opaque, b"y")?),
            _ => Ok(()),
        }
    }

    fn set_directory(&mut self, dir: &Directory, path: Vec<u8>, entry: &Entry) -> Result<()> {
        if let Some((uid, gid)) = self.owner(entry) {
            set_directory_owner(dir, uid, gid)?;
        }
        // Without rights over files the caller must be able to write into the directory.
        let least = if self.owners == Owners::Caller { 0o700 } else { 0 };
        dir.set_mode(entry.mode | least)?;
        attributes::set(&Target::Directory(dir), entry, self.owners, &mut self.dropped)?;
        self.note_times(dir.status()?.ino, path, (entry.atime.unwrap_or(entry.mtime), entry.mtime));
        Ok(())
    }

    /// Owner, attributes and times of a file that is never opened.
    fn set_other(&mut self, dir: &Directory, name: &[u8], entry: &Entry) -> Result<()> {
        if let Some((uid, gid)) = self.owner(entry) {
            dir.set_entry_owner(name, uid, gid)?;
        }
        attributes::set(&Target::Entry(dir, name), entry, self.owners, &mut self.dropped)?;
        Ok(dir.set_entry_times(name, entry.atime.unwrap_or(entry.mtime), entry.mtime)?)
    }

    /// Whether the node was made: without privileges there are no devices.
    fn write_node(&mut self, parent: &Parent, name: &[u8], entry: &Entry) -> Result<bool> {
        let dir = &parent.dir;
        let (major, minor) = entry.device;
        let (kind, device) = match entry.kind {
            Kind::CharDevice => (S_IFCHR, makedev(major, minor)),
            Kind::BlockDevice => (S_IFBLK, makedev(major, minor)),
            _ => (S_IFIFO, 0),
        };
        ensure!(kind != S_IFCHR || device != 0, "the character device 0:0 is a whiteout of overlayfs, not a file");
        match dir.make_entry_node(name, kind | entry.mode, device) {
            Err(error) if error.errno() == EPERM && kind != S_IFIFO => {
                self.dropped.devices += 1;
                return Ok(false);
            }
            made => made?,
        }
        if parent.is_inherited {
            parent.disinherit(name)?;
            chmodat(dir, name, Mode::from_raw_mode(entry.mode), AtFlags::empty()).context("fchmodat")?;
        }
        self.set_other(dir, name, entry)?;
        Ok(true)
    }
}

/// Changes the owner of a directory that is held, also by a descriptor for its path alone.
pub(super) fn set_directory_owner(dir: &Directory, uid: u32, gid: u32) -> Result<()> {
    let (owner, group) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
    fchownat(dir, "", owner, group, nix::fcntl::AtFlags::AT_EMPTY_PATH)
        .with_context(|| format!("fchownat to {uid}:{gid}"))
}

/// Changes owner and permission bits of an open file, in the order that keeps set-user-id bits.
pub(super) fn set_owner_and_mode(file: &File, owner: Option<(u32, u32)>, mode: u32) -> Result<()> {
    if let Some((uid, gid)) = owner {
        fchown(file, Some(uid), Some(gid)).with_context(|| format!("fchown to {uid}:{gid}"))?;
    }
    Ok(file.set_permissions(Permissions::from_mode(mode))?)
}

/// Copies exactly `size` bytes.
fn copy(data: &mut dyn Read, file: &mut File, size: u64) -> Result<()> {
    let mut buffer = [0; 64 << 10];
    let mut left = size;
    while left > 0 {
        let most = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let count = match data.read(&mut buffer[..most]) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        };
        ensure!(count > 0, "the data end early");
        file.write_all(&buffer[..count]).context("write")?;
        left -= count as u64;
    }
    Ok(())
}
