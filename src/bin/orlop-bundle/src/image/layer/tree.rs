//! The tree that layers are unpacked into. No path leaves it: parents are found by lookups within the root, and every
//! operation is on one name in a directory that is held.

use super::Time;
use super::attributes::{self, Dropped};
use super::lower::Lower;
use super::remove::is_whiteout;
use super::tar::Entry;
use anyhow::{Context as _, Result, ensure};
use orlop::beneath::{Directory, Status};
use std::collections::{HashMap, HashSet};
use std::io::Read;

const ENOTDIR: i32 = 20;

/// The form of the tree.
pub(crate) enum Form {
    /// All layers in one directory; whiteouts remove.
    Flat,
    /// One layer for overlayfs; whiteouts are device nodes, and opaque directories have an attribute.
    Overlay {
        /// The attribute's name: `trusted.overlay.opaque` or `user.overlay.opaque`.
        opaque: &'static [u8],
        /// The layers below, the topmost first.
        lower: Lower,
    },
}

/// The owners of written files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owners {
    /// As the archive says.
    Archive,
    /// The caller's, who has no other id; the archive's stand in the attribute `user.containers.override_stat`.
    Caller,
}

/// A directory of the tree, by inode.
pub(super) struct KnownDir {
    path: Vec<u8>,
    /// The times that it has when the layer is whole: writing into it changes them.
    pub(super) times: (Time, Time),
}

/// A parent of entries, held.
pub(super) struct Parent {
    path: Vec<u8>,
    pub(super) dir: Directory,
    pub(super) ino: u64,
    /// Whether its new files inherit an access control list.
    pub(super) is_inherited: bool,
}

impl Parent {
    /// Takes from a new file what it has inherited.
    pub(super) fn disinherit(&self, name: &[u8]) -> Result<()> {
        if self.is_inherited { attributes::disinherit(&self.dir, name) } else { Ok(()) }
    }
}

pub(crate) struct Tree {
    /// Held for reading.
    pub(super) root: Directory,
    pub(super) form: Form,
    pub(super) owners: Owners,
    /// How many entries were unpacked.
    pub(super) entries: u64,
    pub(crate) dropped: Dropped,
    /// The names that the current layer has written, by the inode of their directory: its whiteouts do not concern them.
    pub(super) written: HashSet<(u64, Vec<u8>)>,
    pub(super) directories: HashMap<u64, KnownDir>,
    /// The parent of the last entry.
    last: Option<Parent>,
}

/// The components of a name in an archive.
///
/// # Errors
/// One of them is `..`.
pub(super) fn components(path: &[u8]) -> Result<Vec<&[u8]>> {
    let parts: Vec<&[u8]> = path.split(|byte| *byte == b'/').filter(|part| !matches!(*part, b"" | b".")).collect();
    ensure!(!parts.contains(&b"..".as_slice()), "the name has the component \"..\"");
    Ok(parts)
}

impl Tree {
    pub(crate) fn new(root: Directory, form: Form, owners: Owners) -> Tree {
        Tree {
            root,
            form,
            owners,
            entries: 0,
            dropped: Dropped::default(),
            written: HashSet::new(),
            directories: HashMap::new(),
            last: None,
        }
    }

    pub(crate) fn root(&self) -> &Directory {
        &self.root
    }

    /// Waits until the file system is on the disk. The descriptor is older than the files, and so hears of errors in
    /// writing any of them.
    ///
    /// # Errors
    /// The disk is full or broken.
    pub(crate) fn sync(&self) -> Result<()> {
        rustix::fs::syncfs(&self.root).context("syncfs")
    }

    /// Writes an entry.
    pub(super) fn write(&mut self, entry: &Entry, data: &mut dyn Read) -> Result<()> {
        let parts = components(&entry.path)?;
        let Some((name, parents)) = parts.split_last() else {
            self.last = None;
            return self.write_root(entry);
        };
        match name.strip_prefix(b".wh.".as_slice()) {
            None => {
                let parent = self.parent(parents)?;
                let done = self.write_entry(&parent, name, entry, data);
                self.last.get_or_insert(parent);
                done
            }
            Some(b".wh..opq") => self.make_opaque(parents),
            // Files of aufs itself.
            Some(hidden) if hidden.starts_with(b".wh.") => Ok(()),
            Some(hidden) => self.white_out(parents, hidden),
        }
    }

    /// The directory that holds the entries of `parts`; it is made where it is missing.
    pub(super) fn parent(&mut self, parts: &[&[u8]]) -> Result<Parent> {
        let path = parts.join(b"/".as_slice());
        if let Some(last) = self.last.take_if(|last| last.path == path) {
            return Ok(last);
        }
        self.last = None;
        let dir = match self.enter_unless_hidden(&path)? {
            Some(dir) => dir,
            None => self.make_parents(parts)?,
        };
        let status = dir.status()?;
        self.keep_times(&status, &path);
        let is_inherited = attributes::is_inherited(&dir);
        Ok(Parent { path, dir, ino: status.ino, is_inherited })
    }

    /// Notes the times that a directory has before it is written into, unless its times are known.
    fn keep_times(&mut self, status: &Status, path: &[u8]) {
        let times = (status.atime, status.mtime);
        self.directories.entry(status.ino).or_insert_with(|| KnownDir { path: path.to_vec(), times });
    }

    /// A directory of the tree, if it is there.
    pub(super) fn enter(&self, path: &[u8]) -> Result<Option<Directory>> {
        let shown = || format!("the parent {:?}", String::from_utf8_lossy(path));
        self.root.enter(path).with_context(shown)
    }

    /// The same; `None` also where a component is no directory but, in a layer for overlayfs, perhaps a whiteout.
    fn enter_unless_hidden(&self, path: &[u8]) -> Result<Option<Directory>> {
        match self.root.enter(path) {
            Err(error) if matches!(self.form, Form::Overlay { .. }) && error.errno() == ENOTDIR => Ok(None),
            Err(_) => self.enter(path),
            Ok(found) => Ok(found),
        }
    }

    fn make_parents(&mut self, parts: &[&[u8]]) -> Result<Directory> {
        let mut dir = self.root.enter(b".")?.context("the root of the tree is gone")?;
        for depth in 1..=parts.len() {
            let path = parts[..depth].join(b"/".as_slice());
            dir = match self.enter_unless_hidden(&path)? {
                Some(next) => next,
                None => self.make_parent(&dir, parts, depth)?,
            };
        }
        Ok(dir)
    }

    /// Makes a directory that the archive has no entry for; in a layer for overlayfs, with the attributes that it has
    /// below, since those of the upper layer hold.
    fn make_parent(&mut self, dir: &Directory, parts: &[&[u8]], depth: usize) -> Result<Directory> {
        let name = parts[depth - 1];
        let status = dir.status()?;
        self.keep_times(&status, &parts[..depth - 1].join(b"/".as_slice()));
        let there = dir.entry_status(name)?;
        let is_over_whiteout = there.is_some_and(|there| is_whiteout(&there));
        if is_over_whiteout {
            dir.remove_entry(name)?;
        } else if there.is_some() {
            self.enter(&parts[..depth].join(b"/".as_slice()))?;
        }
        dir.make_entry_dir(name, 0o755).context("a parent is a symbolic link that leads nowhere, or no directory")?;
        let made = dir.entry_dir(name)?;
        if attributes::is_inherited(dir) {
            attributes::disinherit(dir, name)?;
            made.set_mode(0o755)?;
        }
        if let Form::Overlay { opaque, .. } = &self.form
            && is_over_whiteout
        {
            made.set_attribute(opaque, b"y")?;
        } else if let Form::Overlay { lower, .. } = &self.form
            && !self.is_hidden(&parts[..depth])?
            && let Some(below) = lower.directory(&parts[..depth])?
        {
            lower.copy_directory(&below, &made, self.owners)?;
        }
        Ok(made)
    }

    /// Notes the times of a directory that the archive has an entry for.
    pub(super) fn note_times(&mut self, ino: u64, path: Vec<u8>, times: (Time, Time)) {
        self.directories.insert(ino, KnownDir { path, times });
    }

    /// Sets the times of directories, when nothing is written into them any more.
    pub(super) fn finish_layer(&mut self) -> Result<()> {
        for (ino, known) in self.directories.drain() {
            // A directory that was replaced has no times to be set.
            let Ok(Some(dir)) = self.root.enter(&known.path) else { continue };
            if dir.status()?.ino == ino {
                dir.set_times(known.times.0, known.times.1)?;
            }
        }
        self.written.clear();
        self.last = None;
        Ok(())
    }
}
