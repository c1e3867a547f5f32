//! Removes everything from the store that neither an image nor a container needs.

use super::super::layer::remove_tree;
use super::containers::BUNDLE;
use super::lock::{Doomed, Guard, UNFINISHED};
use super::{NEW, Record, Store};
use anyhow::{Context as _, Result, ensure};
use std::collections::HashSet;

/// The names of layers and blobs that may go with an image that is removed.
#[derive(Default)]
struct Removed {
    layers: HashSet<String>,
    blobs: HashSet<String>,
}

impl Removed {
    fn add(&mut self, record: &Record) -> Result<()> {
        self.layers.extend(record.layers.iter().cloned());
        let manifest = record.manifest()?.parsed;
        self.blobs.extend(manifest.layers().iter().map(|layer| layer.digest().digest().to_owned()));
        Ok(())
    }
}

impl Store {
    /// Removes writable layers without a container, and layers without an image. How many.
    ///
    /// # Errors
    /// A record cannot be read, so that it is not known which layers are needed; or something cannot be removed.
    pub(crate) fn collect(&self) -> Result<(usize, usize)> {
        let guard = self.lock()?;
        let stale = self.doom_stale(&guard)?;
        let layers = self.doom_layers(&guard, None)?;
        for name in self.images.entries()?.into_iter().filter(|name| name.starts_with(NEW.as_bytes())) {
            self.images.remove_entry(&name)?;
        }
        drop(guard);
        let counts = (layers.len(), stale.len());
        layers.into_iter().chain(stale).try_for_each(Doomed::remove)?;
        self.remove_lists()?;
        Ok(counts)
    }

    /// Takes the names from layers that nothing needs, `only` from these.
    fn doom_layers(&self, guard: &Guard, only: Option<&HashSet<String>>) -> Result<Vec<Doomed<'_>>> {
        let mut needed: HashSet<String> = self.records()?.into_iter().flat_map(|record| record.layers).collect();
        needed.extend(self.owners(guard)?.into_iter().filter_map(|(_, owner)| owner).flat_map(|owner| owner.layers));
        let mut layers = Vec::new();
        for name in self.layers.entries()? {
            let shown = String::from_utf8_lossy(&name);
            if !needed.contains(&*shown) && only.is_none_or(|only| only.contains(&*shown)) {
                layers.extend(Doomed::new(guard, &self.layers, &name)?);
            }
        }
        Ok(layers)
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

    /// Removes images, and kept writable layers of containers, with the layers and blobs that nothing else needs. Those of
    /// interrupted pulls of other images stay.
    ///
    /// # Errors
    /// One of the names is neither, or something cannot be removed.
    pub(crate) fn remove(&self, names: &[String]) -> Result<()> {
        let guard = self.lock()?;
        let mut removed = Removed::default();
        for name in names {
            let is_found = self.remove_images(name, &mut removed)? | self.remove_owned(&guard, name, &mut removed)?;
            ensure!(is_found, "the store has no image, kept container or bundle {name:?}");
        }
        self.remove_blobs(&guard, Some(&removed.blobs))?;
        let layers = self.doom_layers(&guard, Some(&removed.layers))?;
        drop(guard);
        layers.into_iter().try_for_each(Doomed::remove)?;
        self.remove_lists()
    }

    /// Removes lists of layers that are gone. A layer that is being written gets its name after its list has one, so that the
    /// unfinished directory is looked for first.
    fn remove_lists(&self) -> Result<()> {
        let _guard = self.lock()?;
        for name in self.files.entries()? {
            let layer = name.strip_prefix(NEW.as_bytes()).unwrap_or(&name);
            let is_written = self.layers.entry_status(&[UNFINISHED.as_bytes(), layer].concat())?.is_some();
            let is_needed = layer.len() == name.len() && self.layers.entry_status(layer)?.is_some();
            if !is_written && !is_needed {
                self.files.remove_entry(&name)?;
            }
        }
        Ok(())
    }

    fn remove_images(&self, name: &str, removed: &mut Removed) -> Result<bool> {
        let mut is_found = false;
        for file in self.images.entries()? {
            let path = self.path.join("images").join(String::from_utf8_lossy(&file).as_ref());
            let bytes = std::fs::read(&path).with_context(|| path.display().to_string())?;
            if let Ok(record) = serde_json::from_slice::<Record>(&bytes)
                && record.reference == name
            {
                removed.add(&record)?;
                self.images.remove_entry(&file)?;
                is_found = true;
            }
        }
        Ok(is_found)
    }

    /// Removes kept containers, and references of bundles that are not in their place.
    fn remove_owned(&self, guard: &Guard, name: &str, removed: &mut Removed) -> Result<bool> {
        let mut is_found = false;
        for (directory, owner) in self.owners(guard)? {
            if let Some(owner) = owner.filter(|owner| owner.id == name) {
                let is_bundle = directory.starts_with(BUNDLE.as_bytes());
                ensure!(!is_bundle || !owner.is_in_place(), "the bundle {name} is there, and needs its layers");
                if !is_bundle && !owner.keep {
                    continue;
                }
                removed.layers.extend(owner.layers);
                remove_tree(&self.containers, &directory, &mut |_, _| {})?;
                is_found = true;
            }
        }
        Ok(is_found)
    }
}
