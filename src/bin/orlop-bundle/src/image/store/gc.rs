//! Removes everything from the store that neither an image nor a container needs.

use super::super::layer::remove_tree;
use super::lock::{Doomed, Guard};
use super::{NEW, Store};
use anyhow::{Result, ensure};
use std::collections::HashSet;

impl Store {
    /// Removes writable layers without a container, and layers without an image. How many.
    ///
    /// # Errors
    /// A record cannot be read, so that it is not known which layers are needed; or something cannot be removed.
    pub(crate) fn collect(&self) -> Result<(usize, usize)> {
        let guard = self.lock()?;
        let stale = self.doom_stale(&guard)?;
        let mut needed: HashSet<String> = self.records()?.into_iter().flat_map(|record| record.layers).collect();
        needed.extend(self.owners(&guard)?.into_iter().filter_map(|(_, owner)| owner).flat_map(|owner| owner.layers));
        let mut layers = Vec::new();
        for name in self.layers.entries()? {
            if !needed.contains(&*String::from_utf8_lossy(&name)) {
                layers.extend(Doomed::new(&guard, &self.layers, &name)?);
            }
        }
        for name in self.images.entries()?.into_iter().filter(|name| name.starts_with(NEW.as_bytes())) {
            self.images.remove_entry(&name)?;
        }
        drop(guard);
        let counts = (layers.len(), stale.len());
        layers.into_iter().chain(stale).try_for_each(Doomed::remove)?;
        Ok(counts)
    }

    /// Removes writable layers without a container.
    ///
    /// # Errors
    /// Something cannot be removed.
    pub(crate) fn remove_stale(&self) -> Result<()> {
        let stale = self.doom_stale(&self.lock()?)?;
        stale.into_iter().try_for_each(Doomed::remove)
    }

    fn doom_stale(&self, guard: &Guard) -> Result<Vec<Doomed<'_>>> {
        let stale = self.stale(guard)?;
        stale.iter().filter_map(|name| Doomed::new(guard, &self.containers, name).transpose()).collect()
    }

    /// Removes an image, or the kept writable layer of a container. Layers go by [`Store::collect`].
    ///
    /// # Errors
    /// There is neither.
    pub(crate) fn remove(&self, name: &str) -> Result<()> {
        let guard = self.lock()?;
        let mut is_found = false;
        for file in self.images.entries()? {
            let path = self.path.join("images").join(String::from_utf8_lossy(&file).as_ref());
            let bytes = std::fs::read(&path)?;
            if serde_json::from_slice::<super::Record>(&bytes).is_ok_and(|record| record.reference == name) {
                self.images.remove_entry(&file)?;
                is_found = true;
            }
        }
        for (directory, owner) in self.owners(&guard)? {
            if owner.is_some_and(|owner| owner.keep && owner.id == name) {
                remove_tree(&self.containers, &directory, &mut |_, _| {})?;
                is_found = true;
            }
        }
        ensure!(is_found, "the store has neither an image nor a kept container {name:?}");
        Ok(())
    }
}
