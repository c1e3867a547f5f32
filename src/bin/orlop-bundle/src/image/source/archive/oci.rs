//! `oci-archive:FILE[:TAG]`: an image layout in a tar archive.

use super::Contents;
use crate::image::source::{Manifest, Platform, Source, layout, resolve, small};
use anyhow::{Context as _, Result, ensure};
use oci_spec::image::Descriptor;
use std::io::Read;
use std::path::Path;

/// An archive, and the tag of the image in it.
pub(crate) struct OciArchive {
    contents: Contents,
    tag: Option<String>,
}

impl OciArchive {
    /// # Errors
    /// The file cannot be read, or holds no image layout.
    pub(crate) fn open(path: &Path, tag: Option<String>) -> Result<OciArchive> {
        let contents = Contents::open(path)?;
        let marker = contents.find("oci-layout")?;
        ensure!(marker.is_some(), "archive {}: no image layout, the file oci-layout is missing", path.display());
        Ok(OciArchive { contents, tag })
    }
}

impl Source for OciArchive {
    fn manifest(&self, platform: &Platform) -> Result<Manifest> {
        let index = self.contents.read("index.json")?.context("the archive has no index.json")?;
        resolve(layout::top(&index, self.tag.as_deref())?, platform, |descriptor| small(self, descriptor))
    }

    fn blob(&self, descriptor: &Descriptor, offset: u64) -> Result<Box<dyn Read + Send + '_>> {
        let digest = descriptor.digest();
        let path = format!("blobs/{}/{}", digest.algorithm(), digest.digest());
        let section = self.contents.find(&path)?.with_context(|| format!("blob {digest}: not in the archive"))?;
        Ok(Box::new(section.from(offset)))
    }
}
