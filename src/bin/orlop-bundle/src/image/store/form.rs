//! Whether containers of this store can have an overlay as their root, and images without: their compressed layers are kept,
//! and each container has a copy of all files.

use super::super::flat::configuration;
use super::super::layer::remove_tree;
use super::super::rights::Rights;
use super::super::source::{Manifest, Platform, Source, Verified};
use super::Store;
use super::partial::Resumed;
use super::pull::opaque;
use super::record::Record;
use anyhow::{Context as _, Result};
use oci_spec::image::Descriptor;
use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Cursor, Read, Seek as _, SeekFrom};

/// The directory in which the file system is tried. As a layer that is not whole it is removed by `gc`.
const PROBE: &str = ".unfinished-probe";
const S_IFCHR: u32 = 0o020_000;
/// The first kernel with overlayfs in user namespaces.
const ROOTLESS: (u32, u32) = (5, 11);

impl Store {
    /// Why no overlay can be made of layers in this store; `None` where it can.
    ///
    /// # Errors
    /// The kernel's version cannot be read, or the store cannot be written to.
    pub(crate) fn overlay_problem(&self, rights: &Rights) -> Result<Option<String>> {
        let uname = rustix::system::uname();
        let release = uname.release().to_string_lossy();
        if !has_overlayfs(&release) {
            return Ok(Some(format!("Linux {release} has no overlayfs")));
        }
        if rights.mappings.is_some() && version(&release) < ROOTLESS {
            return Ok(Some(format!("an overlay of an ordinary user needs Linux 5.11, this is {release}")));
        }
        if super::can_hold_layers(&self.layers).is_err() {
            return Ok(Some("the store is on overlayfs or NFS, which cannot hold writable layers".to_owned()));
        }
        self.probe(rights)
    }

    /// Tries the whiteouts and the attributes of overlayfs on the store's file system.
    fn probe(&self, rights: &Rights) -> Result<Option<String>> {
        let name = PROBE.as_bytes();
        let _guard = self.lock()?;
        if self.layers.entry_status(name)?.is_some() {
            // Of a process that was killed: the lock is held.
            remove_tree(&self.layers, name, &mut |_, _| {})?;
        }
        self.layers.make_entry_dir(name, 0o700)?;
        let directory = self.layers.entry_dir(name)?;
        let node = directory.make_entry_node(b"node", S_IFCHR, 0);
        let attribute = directory.set_attribute(opaque(rights), b"y");
        remove_tree(&self.layers, name, &mut |_, _| {})?;
        Ok(match (node, attribute) {
            (Err(error), _) => Some(format!("the store's file system takes no whiteouts ({error})")),
            (_, Err(error)) => Some(format!("the store's file system takes no attributes of overlayfs ({error})")),
            _ => None,
        })
    }

    /// Keeps the layers of an image as they come. They are held until an image needs them.
    ///
    /// # Errors
    /// One of them cannot be read or verified.
    pub(super) fn keep_blobs<'a>(&'a self, source: &'a dyn Source, manifest: &Manifest) -> Result<Vec<Resumed<'a>>> {
        let mut seen = HashSet::new();
        let layers = manifest.parsed.layers().iter().filter(|layer| seen.insert(layer.digest().to_string()));
        let keep = |layer: &Descriptor| self.keep(source, layer).with_context(|| format!("layer {}", layer.digest()));
        layers.map(keep).collect()
    }

    fn keep<'a>(&'a self, source: &'a dyn Source, descriptor: &Descriptor) -> Result<Resumed<'a>> {
        loop {
            let blob = Resumed::wait(self, source, descriptor)?;
            let copied = blob.blob(descriptor, 0).and_then(|bytes| {
                io::copy(&mut Verified::new(bytes, descriptor)?, &mut io::sink()).map_err(Into::into)
            });
            let Err(error) = copied else {
                blob.check_whole(descriptor)?;
                return Ok(blob);
            };
            let is_new = blob.earlier == 0;
            if !blob.end()? || is_new {
                return Err(error);
            }
        }
    }
}

/// Whether the kernel has overlayfs, or a module of it.
fn has_overlayfs(release: &str) -> bool {
    let has = |path: &str, word: &str| fs::read_to_string(path).is_ok_and(|text| text.contains(word));
    let modules = format!("/lib/modules/{release}");
    has("/proc/filesystems", "\toverlay\n")
        || has(&format!("{modules}/modules.dep"), "/overlay.ko")
        || has(&format!("{modules}/modules.builtin"), "/overlay.ko")
}

fn version(release: &str) -> (u32, u32) {
    let mut numbers = release.split(['.', '-']).map(|number| number.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// An image of the store whose layers are kept as they came.
pub(crate) struct Stored<'a> {
    pub(crate) store: &'a Store,
    pub(crate) record: &'a Record,
}

impl Source for Stored<'_> {
    fn manifest(&self, platform: &Platform) -> Result<Manifest> {
        let manifest = self.record.manifest()?;
        configuration(self, &manifest.parsed, platform)?;
        Ok(manifest)
    }

    fn blob(&self, descriptor: &Descriptor, offset: u64) -> Result<Box<dyn Read + Send + '_>> {
        if self.record.manifest()?.parsed.config().digest() == descriptor.digest() {
            let mut bytes = Cursor::new(self.record.config.as_bytes());
            bytes.set_position(offset);
            return Ok(Box::new(bytes));
        }
        let path = self.store.path.join("blobs").join(descriptor.digest().digest());
        let mut file = File::open(&path).with_context(|| path.display().to_string())?;
        file.seek(SeekFrom::Start(offset))?;
        Ok(Box::new(file))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_have_versions() {
        for (release, wanted) in [("5.10.0-28-amd64", (5, 10)), ("6.18.1", (6, 18)), ("5.11-rc1", (5, 11))] {
            assert_eq!(version(release), wanted);
        }
        assert!(version("5.10.0") < ROOTLESS && version("5.11") >= ROOTLESS && version("10.1") >= ROOTLESS);
    }
}
