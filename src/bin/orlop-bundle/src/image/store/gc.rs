//! Removes everything from the store that neither an image nor a container needs.

use super::super::layer::remove_tree;
use super::Store;
use super::pull::UNFINISHED;
use anyhow::{Result, ensure};
use std::collections::HashSet;

impl Store {
    /// Removes writable layers without a container, and layers without an image. How many.
    ///
    /// # Errors
    /// A record cannot be read, so that it is not known which layers are needed; or something cannot be removed.
    pub(crate) fn collect(&self) -> Result<(usize, usize)> {
        let stale = self.remove_stale()?;
        let mut needed: HashSet<String> = self.records()?.into_iter().flat_map(|record| record.layers).collect();
        needed.extend(self.owners()?.into_iter().filter_map(|(_, owner)| owner).flat_map(|owner| owner.layers));
        let mut removed = 0;
        for name in self.layers.entries()? {
            if needed.contains(&*String::from_utf8_lossy(&name)) {
                continue;
            }
            if !name.starts_with(UNFINISHED.as_bytes()) {
                // A layer that is partly removed must not have its name.
                let doomed = [UNFINISHED.as_bytes(), &name].concat();
                self.layers.rename_entry(&name, &doomed)?;
                remove_tree(&self.layers, &doomed, &mut |_, _| {})?;
            } else {
                remove_tree(&self.layers, &name, &mut |_, _| {})?;
            }
            removed += 1;
        }
        Ok((removed, stale))
    }

    /// Removes writable layers without a container.
    ///
    /// # Errors
    /// Something cannot be removed.
    pub(crate) fn remove_stale(&self) -> Result<usize> {
        let stale = self.stale()?;
        for name in &stale {
            remove_tree(&self.containers, name, &mut |_, _| {})?;
        }
        Ok(stale.len())
    }

    /// Removes an image, or the kept writable layer of a container. Layers go by [`Store::collect`].
    ///
    /// # Errors
    /// There is neither.
    pub(crate) fn remove(&self, name: &str) -> Result<()> {
        let mut is_found = false;
        for file in self.images.entries()? {
            let path = self.path.join("images").join(String::from_utf8_lossy(&file).as_ref());
            let bytes = std::fs::read(&path)?;
            if serde_json::from_slice::<super::Record>(&bytes).is_ok_and(|record| record.reference == name) {
                self.images.remove_entry(&file)?;
                is_found = true;
            }
        }
        for (directory, owner) in self.owners()? {
            if owner.is_some_and(|owner| owner.keep && owner.id == name) {
                remove_tree(&self.containers, &directory, &mut |_, _| {})?;
                is_found = true;
            }
        }
        ensure!(is_found, "the store has neither an image nor a kept container {name:?}");
        Ok(())
    }
}
