//! References: the writable layers of containers, bundles outside of the store, and pulls that are under way.

use super::Store;
use super::lock::{Guard, UNFINISHED};
use anyhow::{Context as _, Result};
use nix::sys::statvfs::statvfs;
use serde::{Deserialize, Serialize};
use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// The beginning of the names of references of bundles.
pub(crate) const BUNDLE: &str = ".bundle-";
/// The hard link of a bundle's config.json in its reference.
const LINK: &str = "config.json";

/// The file in a reference's directory that says which layers it needs, and for how long.
pub(crate) const OWNER: &str = "owner.json";

/// The owner of a reference.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Owner {
    /// The container's id, or the bundle's path.
    pub(crate) id: String,
    /// The process that makes or runs it, and when that was started.
    pub(crate) pid: i32,
    pub(crate) start_time: u64,
    /// A path that exists as long as the owner: the container's state, or the bundle's config.json.
    pub(crate) lasts: Option<PathBuf>,
    /// Whether it stays after its container.
    pub(crate) keep: bool,
    /// The layers that it needs.
    pub(crate) layers: Vec<String>,
    /// The file system of a bundle.
    #[serde(default)]
    pub(crate) file_system: Option<u64>,
}

impl Owner {
    /// An owner that this process makes.
    ///
    /// # Errors
    /// procfs cannot be read.
    pub(crate) fn new(id: &str, lasts: Option<PathBuf>, keep: bool, layers: &[String]) -> Result<Owner> {
        let pid = i32::try_from(std::process::id())?;
        let start_time = procfs::process::Process::new(pid).and_then(|own| own.stat());
        let start_time = start_time.context("the start time of this process")?.starttime;
        Ok(Owner { id: id.to_owned(), pid, start_time, lasts, keep, layers: layers.to_vec(), file_system: None })
    }

    /// Whether its container or bundle is there, or is being made. A path that cannot be looked at counts as there.
    fn is_alive(&self) -> bool {
        start_time(self.pid) == Some(self.start_time) || self.is_in_place() || !self.is_mounted()
    }

    /// Whether the file is there that lasts as long as the owner.
    pub(crate) fn is_in_place(&self) -> bool {
        self.lasts.as_ref().is_some_and(|path| path.try_exists().unwrap_or(true))
    }

    /// Whether the file system of a bundle is where it was.
    pub(crate) fn is_mounted(&self) -> bool {
        let (Some(wanted), Some(path)) = (self.file_system, &self.lasts) else { return true };
        path.ancestors().find_map(|path| statvfs(path).ok()).is_none_or(|found| found.filesystem_id() == wanted)
    }
}

/// The id of a bundle's file system; `None` for one that is empty when it is mounted again.
pub(crate) fn file_system(bundle: &Path) -> Result<Option<u64>> {
    const TMPFS: i64 = 0x0102_1994;
    let kind = rustix::fs::statfs(bundle).context("statfs")?.f_type as i64;
    let id = statvfs(bundle).context("statvfs")?.filesystem_id();
    Ok((kind != TMPFS).then_some(id))
}

/// When a process was started, in ticks since boot; `None` where there is none.
pub(crate) fn start_time(pid: i32) -> Option<u64> {
    procfs::process::Process::new(pid).ok()?.stat().ok().map(|stat| stat.starttime)
}

/// The reference of a pull, which goes with it.
pub(super) struct Pulling<'a> {
    store: &'a Store,
    name: String,
}

impl Drop for Pulling<'_> {
    fn drop(&mut self) {
        // A reference that stays counts no longer than this process.
        let _guard = self.store.lock();
        let _ = super::super::layer::remove_tree(&self.store.containers, self.name.as_bytes(), &mut |_, _| {});
    }
}

impl Store {
    /// The directory of a container or another reference.
    pub(crate) fn container(&self, name: &str) -> PathBuf {
        self.path.join("containers").join(name)
    }

    /// Makes the directory of a reference, or writes the owner of one that exists. It is on the disk before anything is
    /// mounted.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn refer(&self, _: &Guard, name: &str, owner: &Owner) -> Result<PathBuf> {
        let directory = self.container(name);
        if !directory.exists() {
            let made = DirBuilder::new().mode(0o755).create(&directory);
            made.with_context(|| format!("mkdir {}", directory.display()))?;
        }
        write_owner(&directory, owner)?;
        Ok(directory)
    }

    /// Adds a hard link of a bundle's config.json to its reference, which tells a bundle that was moved from one that was removed.
    /// Other file systems have none.
    pub(crate) fn link_bundle(&self, reference: &str, config: &Path) {
        let link = self.container(reference).join(LINK);
        let _ = fs::remove_file(&link);
        let _ = fs::hard_link(config, &link);
    }

    /// Gives the reference of a bundle that was moved another name, since a new bundle is made in its place.
    pub(crate) fn keep_moved(&self, _: &Guard, reference: &str) -> Result<()> {
        let name = reference.as_bytes();
        if self.containers.entry_status(name)?.is_some() && self.is_moved(name)? {
            let inode = self.containers.entry_dir(name)?.status()?.ino;
            self.containers.rename_entry(name, format!("{reference}-{inode}").as_bytes())?;
        }
        Ok(())
    }

    /// Whether the config.json of a bundle has another name than the one in its reference.
    pub(crate) fn is_moved(&self, reference: &[u8]) -> Result<bool> {
        let link = self.containers.entry_dir(reference)?.entry_file(LINK.as_bytes());
        Ok(link.is_ok_and(|link| link.metadata().is_ok_and(|status| status.nlink() > 1)))
    }

    /// Keeps the layers of a pull, which no image needs yet.
    pub(super) fn refer_pull(&self, layers: &[String]) -> Result<Pulling<'_>> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let owner = Owner::new("", None, false, layers)?;
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!(".pull-{}-{}-{count}", owner.pid, owner.start_time);
        self.refer(&self.lock()?, &name, &owner)?;
        Ok(Pulling { store: self, name })
    }

    /// All references by the names of their directories; `None` for one that was not yet made whole.
    pub(crate) fn owners(&self, _: &Guard) -> Result<Vec<(Vec<u8>, Option<Owner>)>> {
        let read = |name: &[u8]| -> Result<Option<Owner>> {
            let Some(bytes) = self.containers.entry_dir(name)?.read(OWNER)? else { return Ok(None) };
            serde_json::from_slice(&bytes)
                .map(Some)
                .with_context(|| format!("{}: {OWNER}", String::from_utf8_lossy(name)))
        };
        let names = self.containers.entries()?.into_iter().filter(|name| !is_unfinished(name));
        names.map(|name| read(&name).map(|owner| (name, owner))).collect()
    }

    /// The references that nothing needs any more.
    pub(crate) fn stale(&self, guard: &Guard) -> Result<Vec<Vec<u8>>> {
        let is_stale = |owner: &Option<Owner>| owner.as_ref().is_none_or(|owner| !owner.keep && !owner.is_alive());
        let mut stale = Vec::new();
        for (name, _) in self.owners(guard)?.into_iter().filter(|(_, owner)| is_stale(owner)) {
            if !self.is_moved(&name)? {
                stale.push(name);
            }
        }
        stale.extend(self.containers.entries()?.into_iter().filter(|name| is_unfinished(name)));
        Ok(stale)
    }
}

fn is_unfinished(name: &[u8]) -> bool {
    name.starts_with(UNFINISHED.as_bytes())
}

/// Writes the owner of a reference.
///
/// # Errors
/// It cannot be written.
pub(crate) fn write_owner(directory: &Path, owner: &Owner) -> Result<()> {
    let directory = orlop::beneath::Directory::open(directory)?;
    Store::replace(&directory, OWNER, serde_json::to_string_pretty(owner)?.as_bytes())
}
