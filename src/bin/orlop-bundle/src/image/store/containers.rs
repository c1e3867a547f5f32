//! The writable layers of containers, and whether their containers are alive.

use super::Store;
use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The file in a container's directory that says which layers it needs, and for how long.
pub(crate) const OWNER: &str = "owner.json";

/// The container of a writable layer.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Owner {
    pub(crate) id: String,
    /// The directory of the containers' state.
    pub(crate) root: PathBuf,
    /// The process that runs it, or makes it, and when that was started.
    pub(crate) pid: i32,
    pub(crate) start_time: u64,
    /// Whether it stays after its container.
    pub(crate) keep: bool,
    /// The layers below it.
    pub(crate) layers: Vec<String>,
}

impl Owner {
    /// Whether its container is there, or is being made.
    fn is_alive(&self) -> bool {
        start_time(self.pid) == Some(self.start_time) || self.root.join(&self.id).exists()
    }
}

/// When a process was started, in ticks since boot; `None` where there is none.
pub(crate) fn start_time(pid: i32) -> Option<u64> {
    procfs::process::Process::new(pid).ok()?.stat().ok().map(|stat| stat.starttime)
}

impl Store {
    /// The directory of a container.
    pub(crate) fn container(&self, name: &str) -> PathBuf {
        self.path.join("containers").join(name)
    }

    /// All writable layers by the names of their directories; `None` for one that was not yet made whole.
    pub(crate) fn owners(&self) -> Result<Vec<(Vec<u8>, Option<Owner>)>> {
        let read = |name: &[u8]| -> Result<Option<Owner>> {
            let Some(bytes) = self.containers.entry_dir(name)?.read(OWNER)? else { return Ok(None) };
            serde_json::from_slice(&bytes)
                .map(Some)
                .with_context(|| format!("{}: {OWNER}", String::from_utf8_lossy(name)))
        };
        self.containers.entries()?.into_iter().map(|name| read(&name).map(|owner| (name, owner))).collect()
    }

    /// The writable layers that no container needs any more.
    pub(crate) fn stale(&self) -> Result<Vec<Vec<u8>>> {
        let is_stale = |owner: &Option<Owner>| owner.as_ref().is_none_or(|owner| !owner.keep && !owner.is_alive());
        Ok(self.owners()?.into_iter().filter(|(_, owner)| is_stale(owner)).map(|(name, _)| name).collect())
    }
}

/// Writes the record of a container's directory, on the disk before anything is mounted.
///
/// # Errors
/// It cannot be written.
pub(crate) fn write_owner(directory: &Path, owner: &Owner) -> Result<()> {
    let directory = orlop::beneath::Directory::open(directory)?;
    Store::replace(&directory, OWNER, serde_json::to_string_pretty(owner)?.as_bytes())
}
