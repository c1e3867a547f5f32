//! `oci:DIRECTORY[:TAG]`: an image layout in a directory.

use super::{Manifest, Platform, Source, resolve, small};
use anyhow::{Context as _, Result, bail, ensure};
use oci_spec::image::{Descriptor, ImageIndex};
use orlop::beneath::Directory;
use std::io::{Read, Seek as _, SeekFrom};
use std::path::Path;

/// The annotation that holds a manifest's tag.
const TAG: &str = "org.opencontainers.image.ref.name";

/// An image layout, and the tag of the image in it.
pub(crate) struct Layout {
    directory: Directory,
    tag: Option<String>,
}

impl Layout {
    /// Opens `DIRECTORY[:TAG]`. A directory with a colon in its name is found without a tag.
    ///
    /// # Errors
    /// There is no such directory, or it is no image layout.
    pub(crate) fn open(text: &str) -> Result<Layout> {
        let (path, tag) = match text.rsplit_once(':') {
            Some((path, tag)) if !Path::new(text).is_dir() && !tag.contains('/') => (path, Some(tag.to_owned())),
            _ => (text, None),
        };
        let directory = Directory::open(path.as_ref()).with_context(|| format!("image layout {path}"))?;
        let marker = directory.read("oci-layout").with_context(|| format!("image layout {path}"))?;
        ensure!(marker.is_some(), "{path} is no image layout: the file oci-layout is missing");
        Ok(Layout { directory, tag })
    }
}

/// The descriptor that an index.json has for the tag, or its only one.
///
/// # Errors
/// It cannot be read, or the image is not in it.
pub(super) fn top(index: &[u8], wanted: Option<&str>) -> Result<Descriptor> {
    fn tag(descriptor: &Descriptor) -> Option<&str> {
        descriptor.annotations().as_ref()?.get(TAG).map(String::as_str)
    }
    let index: ImageIndex = serde_json::from_slice(index).context("index.json cannot be read")?;
    let tags = || index.manifests().iter().filter_map(tag).collect::<Vec<_>>().join(", ");
    match (wanted, &index.manifests()[..]) {
        (None, [only]) => Ok(only.clone()),
        (None, []) => bail!("the image layout holds no image"),
        (None, _) => bail!("the image layout holds several images; name one of the tags {}", tags()),
        (Some(wanted), manifests) => {
            let found = manifests.iter().find(|found| tag(found) == Some(wanted));
            found.cloned().with_context(|| format!("the image layout has no tag {wanted}; it has {}", tags()))
        }
    }
}

impl Source for Layout {
    fn manifest(&self, platform: &Platform) -> Result<Manifest> {
        let index = self.directory.read("index.json")?.context("the image layout has no index.json")?;
        resolve(top(&index, self.tag.as_deref())?, platform, |descriptor| small(self, descriptor))
    }

    fn blob(&self, descriptor: &Descriptor, offset: u64) -> Result<Box<dyn Read + Send + '_>> {
        let digest = descriptor.digest();
        let path = format!("blobs/{}/{}", digest.algorithm(), digest.digest());
        let mut file = self.directory.open_file(&path).with_context(|| format!("blob {digest}"))?;
        file.seek(SeekFrom::Start(offset)).with_context(|| format!("blob {digest}"))?;
        Ok(Box::new(file))
    }
}
