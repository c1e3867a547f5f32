//! From an index to the manifest for a platform.

use super::{MAX_MANIFEST, Platform, check};
use anyhow::{Context as _, Result, bail, ensure};
use oci_spec::image::{Descriptor, ImageIndex, ImageManifest, MediaType};

/// How many documents lead to layers: an index, one within it, and the manifest.
const MAX_DEPTH: usize = 3;
/// How many layers an image may have.
pub(crate) const MAX_LAYERS: usize = 512;

const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

/// A manifest with the bytes that its digest is of.
#[derive(Clone, Debug)]
pub(crate) struct Manifest {
    pub(crate) descriptor: Descriptor,
    pub(crate) bytes: Vec<u8>,
    pub(crate) parsed: ImageManifest,
}

/// Follows indexes from `top` to the manifest for the platform. `read` has a descriptor's bytes.
///
/// # Errors
/// No manifest is for the platform, a media type is not of an image, or bytes lack their digest.
pub(crate) fn resolve(
    top: Descriptor,
    platform: &Platform,
    read: impl Fn(&Descriptor) -> Result<Vec<u8>>,
) -> Result<Manifest> {
    let mut descriptor = top;
    for _ in 0..MAX_DEPTH {
        refuse_large(&descriptor)?;
        let bytes = read(&descriptor)?;
        check(&descriptor, &bytes)?;
        match descriptor.media_type() {
            MediaType::ImageIndex => descriptor = chosen(&bytes, platform)?,
            MediaType::Other(name) if name == DOCKER_LIST => descriptor = chosen(&bytes, platform)?,
            MediaType::ImageManifest => return parsed(descriptor, bytes),
            MediaType::Other(name) if name == DOCKER_MANIFEST => return parsed(descriptor, bytes),
            other => bail!("{}: the media type {other} is neither of a manifest nor of an index", descriptor.digest()),
        }
    }
    bail!("more than {} indexes are within one another", MAX_DEPTH - 1)
}

/// Refuses a descriptor of a manifest or configuration that is too large to be read.
pub(crate) fn refuse_large(descriptor: &Descriptor) -> Result<()> {
    let (digest, size) = (descriptor.digest(), descriptor.size());
    ensure!(size <= MAX_MANIFEST, "{digest}: a document of {size} bytes is larger than {MAX_MANIFEST}");
    Ok(())
}

fn chosen(bytes: &[u8], platform: &Platform) -> Result<Descriptor> {
    let index: ImageIndex = serde_json::from_slice(bytes).context("the image index cannot be read")?;
    let fits = |found: &Descriptor| platform.fits(found.platform().as_ref());
    let best = index.manifests().iter().rev().max_by_key(|found| fits(found)).filter(|found| fits(found) > 0);
    if let Some(best) = best {
        return Ok(best.clone());
    }
    // An index of one image needs no platform.
    if let [only] = &index.manifests()[..]
        && only.platform().is_none()
    {
        return Ok(only.clone());
    }
    let of = |found: &Descriptor| {
        found.platform().as_ref().map(|p| match p.variant() {
            Some(variant) => format!("{}/{}/{variant}", p.os(), p.architecture()),
            None => format!("{}/{}", p.os(), p.architecture()),
        })
    };
    let mut there: Vec<_> = index.manifests().iter().filter_map(of).filter(|name| !name.contains("unknown")).collect();
    there.dedup();
    bail!("the image has no manifest for {platform}; it has {}", there.join(", "))
}

fn parsed(descriptor: Descriptor, bytes: Vec<u8>) -> Result<Manifest> {
    let parsed: ImageManifest = serde_json::from_slice(&bytes).context("the image manifest cannot be read")?;
    let layers = parsed.layers().len();
    ensure!(layers <= MAX_LAYERS, "the image has {layers} layers, more than {MAX_LAYERS}");
    Ok(Manifest { descriptor, bytes, parsed })
}
