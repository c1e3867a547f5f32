//! Whiteouts, and files that an entry of another type replaces.

use super::lower::is_opaque;
use super::tree::{Form, Tree};
use anyhow::{Context as _, Result, ensure};
use orlop::beneath::{Directory, Status};

const S_IFMT: u32 = 0o170_000;
const S_IFCHR: u32 = 0o020_000;
/// How deep directories are removed: each level holds a file descriptor.
const MAX_DEPTH: u32 = 4096;

impl Tree {
    /// `.wh.NAME`: hides `NAME` of the layers below.
    pub(super) fn white_out(&mut self, parents: &[&[u8]], name: &[u8]) -> Result<()> {
        ensure!(!matches!(name, b"" | b"." | b".."), "a whiteout has the name {:?}", String::from_utf8_lossy(name));
        // A whiteout of nothing makes no directory; overlayfs would show its name in a directory that it does not merge.
        let path = [parents, &[name]].concat();
        let is_below = match &self.form {
            Form::Flat => self.enter(&parents.join(b"/".as_slice()))?.is_some(),
            Form::Overlay { lower, .. } => !self.is_hidden(parents)? && lower.find(&path)?.is_some(),
        };
        if !is_below {
            return Ok(());
        }
        let parent = self.parent(parents)?;
        let there = parent.dir.entry_status(name)?;
        if let Some(there) = &there {
            let is_written = self.written.contains(&(parent.ino, name.to_vec()));
            let is_left = there.is_dir() && self.prune(&parent.dir.entry_dir(name)?, 0)?;
            match &self.form {
                Form::Overlay { opaque, .. } if there.is_dir() && (is_written || is_left) => {
                    return Ok(parent.dir.entry_dir(name)?.set_attribute(opaque, b"y")?);
                }
                _ if is_written || is_left => return Ok(()),
                _ => self.remove(&parent.dir, parent.ino, name, there)?,
            }
        }
        match &self.form {
            Form::Flat => Ok(()),
            Form::Overlay { .. } => Ok(parent.dir.make_entry_node(name, S_IFCHR, 0)?),
        }
    }

    /// `.wh..wh..opq`: hides all that the layers below have in a directory.
    pub(super) fn make_opaque(&mut self, parents: &[&[u8]]) -> Result<()> {
        let parent = self.parent(parents)?;
        self.prune(&parent.dir, 0)?;
        match &self.form {
            Form::Flat => Ok(()),
            Form::Overlay { opaque, .. } => Ok(parent.dir.set_attribute(opaque, b"y")?),
        }
    }

    /// Whether a directory of a layer for overlayfs is within one that hides the layers below.
    pub(super) fn is_hidden(&self, parts: &[&[u8]]) -> Result<bool> {
        let Some(mut dir) = self.enter(b"")? else { return Ok(false) };
        if is_opaque(&self.root)? {
            return Ok(true);
        }
        for name in parts {
            match dir.entry_status(name)? {
                Some(status) if status.is_dir() => dir = dir.entry_dir(name)?,
                Some(status) => return Ok(is_whiteout(&status)),
                None => return Ok(false),
            }
            if is_opaque(&dir)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Removes all beneath `dir` that the current layer has no entry for: files of the layers below or, in the form of
    /// overlayfs, whiteouts, which it shows in a directory that it does not merge. Whether something is left.
    fn prune(&mut self, dir: &Directory, depth: u32) -> Result<bool> {
        ensure!(depth < MAX_DEPTH, "directories are too deep");
        let ino = dir.status()?.ino;
        let mut is_left = false;
        for name in dir.entries()? {
            let Some(status) = dir.entry_status(&name)? else { continue };
            let is_written = self.written.contains(&(ino, name.clone()));
            let stays = is_written | (status.is_dir() && self.prune(&dir.entry_dir(&name)?, depth + 1)?);
            if !stays {
                self.remove(dir, ino, &name, &status)?;
            }
            is_left |= stays;
        }
        Ok(is_left)
    }

    /// Removes a name with all beneath it.
    pub(super) fn remove(&mut self, dir: &Directory, ino: u64, name: &[u8], status: &Status) -> Result<()> {
        if !status.is_dir() {
            self.written.remove(&(ino, name.to_vec()));
            return Ok(dir.remove_entry(name)?);
        }
        remove_tree(dir, name, &mut |ino, name| {
            self.written.remove(&(ino, name.to_vec()));
        })?;
        self.written.remove(&(ino, name.to_vec()));
        Ok(())
    }
}

/// Whether a file is a whiteout of overlayfs.
pub(super) fn is_whiteout(status: &Status) -> bool {
    status.mode & S_IFMT == S_IFCHR && status.rdev == 0
}

/// Removes a directory with all beneath it. `removed` hears of each name and the inode of its directory.
///
/// # Errors
/// Something cannot be removed, or is too deep.
pub(crate) fn remove_tree(parent: &Directory, name: &[u8], removed: &mut dyn FnMut(u64, &[u8])) -> Result<()> {
    fn beneath(dir: &Directory, depth: u32, removed: &mut dyn FnMut(u64, &[u8])) -> Result<()> {
        ensure!(depth < MAX_DEPTH, "directories are too deep");
        let ino = dir.status()?.ino;
        for name in dir.entries()? {
            let Some(status) = dir.entry_status(&name)? else { continue };
            if status.is_dir() {
                beneath(&dir.entry_dir(&name)?, depth + 1, removed)?;
                dir.remove_entry_dir(&name)?;
            } else {
                dir.remove_entry(&name)?;
            }
            removed(ino, &name);
        }
        Ok(())
    }
    beneath(&parent.entry_dir(name)?, 0, removed)
        .with_context(|| format!("remove {}", String::from_utf8_lossy(name)))?;
    Ok(parent.remove_entry_dir(name)?)
}
