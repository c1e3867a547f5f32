//! The store's locks: one over its names and references, which is held for moments, and one for each directory that is
//! being written or removed.

use super::super::layer::{disinherit, remove_tree};
use super::Store;
use anyhow::{Context as _, Result};
use orlop::beneath::Directory;
use rustix::fs::{FlockOperation, flock};
use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// The beginning of the names of directories that are not whole.
pub(super) const UNFINISHED: &str = ".unfinished-";

/// The lock over names and references, until it is dropped.
pub(crate) struct Guard(File);

/// A directory that is to be removed, and that no other process writes or removes.
pub(super) struct Doomed<'a> {
    parent: &'a Directory,
    name: Vec<u8>,
    _held: Directory,
}

/// Makes the lock's file where it is missing; on a read-only file system it is only read.
pub(super) fn make(path: &Path) -> io::Result<()> {
    match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            File::options().create(true).truncate(false).write(true).mode(0o600).open(path).map(drop)
        }
        other => other.map(drop),
    }
}

impl Store {
    /// Waits for the lock over names and references. Nothing slow is done while it is held.
    ///
    /// # Errors
    /// `flock(2)`.
    pub(crate) fn lock(&self) -> Result<Guard> {
        let path = self.path.join("lock");
        let file = File::open(&path);
        let guard = Guard(file.with_context(|| path.display().to_string())?);
        flock(&guard.0, FlockOperation::LockExclusive).with_context(|| path.display().to_string())?;
        Ok(guard)
    }

    /// The empty directory of a layer that this process is to write; `None` once the layer is there. A layer that another
    /// process writes is waited for, and one whose writer was killed is begun anew.
    ///
    /// # Errors
    /// The directory cannot be made, or the remains of another process cannot be removed.
    pub(super) fn claim(&self, layer: &str) -> Result<Option<Directory>> {
        let name = [UNFINISHED, layer].concat().into_bytes();
        loop {
            let guard = self.lock()?;
            if self.has_layer(layer)? {
                return Ok(None);
            }
            let is_there = self.layers.entry_status(&name)?.is_some();
            if !is_there {
                self.layers.make_entry_dir(&name, 0o755)?;
                disinherit(&self.layers, &name)?;
            }
            let held = self.layers.entry_dir(&name)?;
            if !is_there {
                flock(&held, FlockOperation::LockExclusive).context("flock")?;
                return Ok(Some(held));
            }
            drop(guard);
            flock(&held, FlockOperation::LockExclusive).context("flock")?;
            // Without its name it is whole, or removed, by now. With it, the lock's holder alone removes it.
            let named = self.layers.entry_status(&name)?;
            if named.is_some_and(|status| held.status().is_ok_and(|own| own.ino == status.ino)) {
                remove_tree(&self.layers, &name, &mut |_, _| {})?;
            }
        }
    }
}

impl<'a> Doomed<'a> {
    /// Takes the name from a directory; `None` where another process writes or removes it.
    ///
    /// # Errors
    /// It cannot be opened or renamed.
    pub(super) fn new(_: &Guard, parent: &'a Directory, name: &[u8]) -> Result<Option<Doomed<'a>>> {
        let held = parent.entry_dir(name)?;
        match flock(&held, FlockOperation::NonBlockingLockExclusive) {
            Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
            other => other.context("flock")?,
        }
        let mut doomed = name.to_vec();
        if !name.starts_with(UNFINISHED.as_bytes()) {
            // What is partly removed must not have its name. The inode tells it from an earlier one.
            doomed = [UNFINISHED.as_bytes(), name, format!("-{}", held.status()?.ino).as_bytes()].concat();
            parent.rename_entry(name, &doomed)?;
        }
        Ok(Some(Doomed { parent, name: doomed, _held: held }))
    }

    /// Removes the directory with all beneath it.
    ///
    /// # Errors
    /// Something cannot be removed.
    pub(super) fn remove(self) -> Result<()> {
        remove_tree(self.parent, &self.name, &mut |_, _| {})
    }
}
