//! The store: layers in overlayfs form, shared by all containers of a user, and the images that need them.
//!
//! A layer has its name only when it is whole, verified and on the disk. Names and references change under a lock that is
//! held for moments; layers are written and removed beside it.

pub(crate) mod containers;
mod contents;
pub(crate) mod form;
mod gc;
mod lock;
mod partial;
pub(crate) mod pull;
pub(crate) mod record;
#[cfg(test)]
mod tests;

use super::layer::Tree;
use super::space::explained;
use anyhow::{Context as _, Result, anyhow, ensure};
use orlop::beneath::Directory;
use record::Record;
use rustix::fs::{Mode, OFlags};
use std::fs::{self, DirBuilder, File};
use std::io::{self, BufReader, BufWriter, Write as _};
use std::os::fd::AsFd;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::thread;

/// Overlayfs, and file systems that are no upper layer of an overlayfs mount (statfs(2)).
const OVERLAYFS: i64 = 0x794c_7630;
const NFS: i64 = 0x6969;

/// The beginning of the names of files that are not whole.
const NEW: &str = ".new-";

/// An open store.
pub(crate) struct Store {
    pub(crate) path: PathBuf,
    pub(crate) layers: Directory,
    pub(crate) images: Directory,
    pub(crate) containers: Directory,
    blobs: Directory,
    /// The lists of the files of layers.
    files: Directory,
}

/// The store of this user: `/var/lib/orlop/images`, or `orlop/images` below XDG_DATA_HOME.
///
/// # Errors
/// The user has neither XDG_DATA_HOME nor HOME.
pub(crate) fn default_path(is_root: bool) -> Result<PathBuf> {
    if is_root {
        return Ok("/var/lib/orlop/images".into());
    }
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let data = absolute("XDG_DATA_HOME").or_else(|| absolute("HOME").map(|home| home.join(".local/share")));
    Ok(data.context("neither XDG_DATA_HOME nor HOME is set, so --store must name the store")?.join("orlop/images"))
}

/// Makes a directory and those above it; one may be there already.
fn make(mode: u32, path: &Path) -> io::Result<()> {
    match DirBuilder::new().recursive(true).mode(mode).create(path) {
        // The error is that of mkdir(2), also where the directory that is there could not be looked at.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && fs::metadata(path)?.is_dir() => Ok(()),
        made => made,
    }
}

/// Refuses a file system that cannot be the upper layer of an overlayfs mount.
///
/// # Errors
/// It is overlayfs or NFS.
pub(crate) fn can_hold_layers(file: impl AsFd) -> Result<()> {
    let kind = rustix::fs::fstatfs(file).context("fstatfs")?.f_type as i64;
    ensure!(kind != OVERLAYFS && kind != NFS, "overlayfs and NFS cannot hold writable layers");
    Ok(())
}

/// Waits until the names in a directory are on the disk.
///
/// # Errors
/// `fsync(2)`.
pub(crate) fn sync_names(directory: &Directory) -> Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let held = rustix::fs::openat(directory, ".", flags, Mode::empty()).context("openat")?;
    rustix::fs::fsync(held).context("fsync")
}

impl Store {
    /// Opens the store, and makes it where it is missing.
    ///
    /// # Errors
    /// It cannot be made.
    pub(crate) fn open(path: &Path) -> Result<Store> {
        let named = || format!("store {}", path.display());
        let text = path.to_str().with_context(named)?;
        let plain = path.is_absolute() && !text.contains([':', ',', '\\', '"']);
        ensure!(plain, "{}: the path must be absolute, without : , \\ and \"", named());
        explained("store", path, Store::make_and_open(path))
    }

    fn make_and_open(path: &Path) -> Result<Store> {
        let named = || format!("store {}", path.display());
        // A set-user-id program of an image must not be within reach of other users (as in CVE-2021-41103), and none of
        // them may hold a lock.
        path.parent().map_or(Ok(()), |parent| make(0o755, parent)).with_context(named)?;
        make(0o700, path).with_context(named)?;
        for name in ["layers", "images", "containers", "blobs", "files"] {
            make(0o755, &path.join(name)).with_context(named)?;
        }
        let open = |name: &str| Directory::open(&path.join(name)).with_context(named);
        lock::make(&path.join("lock")).with_context(named)?;
        let (layers, images, containers) = (open("layers")?, open("images")?, open("containers")?);
        let (blobs, files) = (open("blobs")?, open("files")?);
        Ok(Store { path: path.to_owned(), layers, images, containers, blobs, files })
    }

    /// Waits until everything is on the disk.
    ///
    /// # Errors
    /// `syncfs(2)`.
    fn sync(&self) -> Result<()> {
        let path = self.path.join("lock");
        rustix::fs::syncfs(File::open(&path).with_context(|| path.display().to_string())?).context("syncfs")
    }

    /// All images. A record that cannot be read is an error.
    pub(crate) fn records(&self) -> Result<Vec<Record>> {
        let mut found = Vec::new();
        // A process that was killed has left a record that is not whole.
        let is_record = |name: &Vec<u8>| name.ends_with(b".json") && !name.starts_with(NEW.as_bytes());
        for name in self.images.entries()?.into_iter().filter(is_record) {
            let name = String::from_utf8_lossy(&name).into_owned();
            let bytes = match fs::read(self.path.join("images").join(&name)) {
                // It was removed meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                other => other.with_context(|| format!("image {name}"))?,
            };
            found.push(serde_json::from_slice(&bytes).with_context(|| format!("image {name}"))?);
        }
        found.sort_by(|a: &Record, b: &Record| (&a.reference, &a.platform).cmp(&(&b.reference, &b.platform)));
        Ok(found)
    }

    /// The image of a name and platform.
    pub(crate) fn find(&self, reference: &str, platform: &str) -> Result<Option<Record>> {
        let name = record::file_name(reference, platform)?;
        if self.images.entry_status(name.as_bytes())?.is_none() {
            return Ok(None);
        }
        let bytes = fs::read(self.path.join("images").join(&name)).with_context(|| format!("image {name}"))?;
        serde_json::from_slice(&bytes).map(Some).with_context(|| format!("image {name}"))
    }

    /// Writes a file whole or not at all.
    pub(crate) fn replace(directory: &Directory, name: &str, bytes: &[u8]) -> Result<()> {
        let temporary = [NEW, name].concat();
        if directory.entry_status(temporary.as_bytes())?.is_some() {
            directory.remove_entry(temporary.as_bytes())?;
        }
        let mut file = directory.make_entry_file(temporary.as_bytes(), 0o644)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        directory.rename_entry(temporary.as_bytes(), name.as_bytes())?;
        sync_names(directory)
    }

    /// Whether a layer is in the store.
    pub(crate) fn has_layer(&self, name: &str) -> Result<bool> {
        Ok(self.layers.entry_status(name.as_bytes())?.is_some_and(|status| status.is_dir()))
    }

    /// Writes the list of a layer's files, and waits until layer and list are on the disk.
    fn finish_layer(&self, name: &str, tree: &Tree) -> Result<()> {
        let temporary = [NEW, name].concat();
        if self.files.entry_status(temporary.as_bytes())?.is_some() {
            self.files.remove_entry(temporary.as_bytes())?;
        }
        let file = self.files.make_entry_file(temporary.as_bytes(), 0o600)?;
        // Files are read while others are written to the disk.
        let (synced, listed) = thread::scope(|scope| {
            let synced = scope.spawn(|| tree.sync());
            let listed = contents::write(tree.root(), &mut BufWriter::new(&file));
            (synced.join(), listed)
        });
        listed.context("the list of its files")?;
        synced.map_err(|_| anyhow!("syncfs panicked"))??;
        file.sync_all().context("fsync")?;
        Ok(self.files.rename_entry(temporary.as_bytes(), name.as_bytes())?)
    }

    /// Compares a layer with the list of its files. `None` where the layer was removed meanwhile.
    ///
    /// # Errors
    /// The list or a file cannot be read.
    pub(crate) fn compare_layer(&self, name: &[u8]) -> Result<Option<contents::Comparison>> {
        let compare = || {
            let layer = self.layers.entry_dir(name)?;
            contents::compare(layer, BufReader::new(self.files.entry_file(name).context("the list of its files")?))
        };
        let compared = compare();
        let is_there = self.layers.entry_status(name)?.is_some();
        if is_there { compared.map(Some) } else { Ok(None) }
    }

    /// The directories of layers in the order of an overlayfs mount, the topmost first. Those below a layer with an opaque
    /// root are left out.
    pub(crate) fn stack(&self, layers: &[String]) -> Result<Vec<(String, Directory)>> {
        let mut stack = Vec::new();
        for name in layers.iter().rev() {
            let layer = self.layers.entry_dir(name.as_bytes()).with_context(|| format!("layer {name} of the store"))?;
            let is_opaque = layer.attributes()?.iter().any(|(key, _)| key.ends_with(b".overlay.opaque"));
            stack.push((name.clone(), layer));
            if is_opaque {
                break;
            }
        }
        Ok(stack)
    }
}
