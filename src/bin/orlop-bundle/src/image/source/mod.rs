//! Where images come from: an image layout, an archive, a registry.

mod archive;
#[cfg(any(test, fuzzing))]
#[path = "../../../../../../integration/fuzz/targets/source.rs"]
pub(crate) mod fuzz;
mod layout;
mod made_for;
mod platform;
pub(crate) mod registry;
mod resolve;
mod verified;

pub(crate) use platform::Platform;
pub(crate) use resolve::{MAX_LAYERS, Manifest, resolve};
pub(crate) use verified::{Hasher, Verified, check};

use super::progress::{self, ProgressOptions};
use super::reference::Reference;
use anyhow::Result;
use oci_spec::image::Descriptor;
use std::io::Read;

/// The largest manifest, index or configuration that is read, in bytes.
pub(crate) const MAX_MANIFEST: u64 = 4 << 20;

/// A place that holds one image.
pub(crate) trait Source: Sync {
    /// The manifest for the platform, chosen from an index if there is one.
    ///
    /// Its bytes are already checked against the digest, and are at most [`MAX_MANIFEST`].
    fn manifest(&self, platform: &Platform) -> Result<Manifest>;

    /// A blob's bytes from `offset` on. The reader's caller verifies digest and size ([`Verified`]).
    fn blob(&self, descriptor: &Descriptor, offset: u64) -> Result<Box<dyn Read + Send + '_>>;

    /// Whether blobs come over a network.
    fn is_remote(&self) -> bool {
        false
    }
}

/// How a source is opened.
#[derive(clap::Args, Clone, Debug, Default)]
pub(crate) struct Options {
    #[command(flatten)]
    registry: registry::RegistryOptions,
    #[command(flatten)]
    progress: ProgressOptions,
}

/// Opens the source that `text` names.
///
/// # Errors
/// The name is wrong, or the source cannot be opened.
pub(crate) fn open(text: &str, options: &Options) -> Result<Box<dyn Source>> {
    let reference: Reference = text.parse()?;
    if let Some(expansion) = reference.expansion(text) {
        eprintln!("orlop: {expansion}");
    }
    let source: Box<dyn Source> = match reference {
        Reference::Layout(rest) => Box::new(layout::Layout::open(&rest)?),
        Reference::Registry(name) => Box::new(registry::Registry::new(name, &options.registry)?),
        Reference::OciArchive { file, tag } => Box::new(archive::OciArchive::open(&file, tag)?),
        Reference::DockerArchive { file, choice } => Box::new(archive::DockerArchive::open(&file, &choice)?),
        Reference::Tar(file) => Box::new(archive::PlainTar::open(&file)?),
    };
    Ok(progress::watched(source, &options.progress))
}

/// A small blob whole, verified.
///
/// # Errors
/// It is larger than [`MAX_MANIFEST`], or its bytes do not have its digest and size.
pub(crate) fn small(source: &dyn Source, descriptor: &Descriptor) -> Result<Vec<u8>> {
    resolve::refuse_large(descriptor)?;
    let mut bytes = Vec::new();
    source.blob(descriptor, 0)?.take(MAX_MANIFEST + 1).read_to_end(&mut bytes)?;
    check(descriptor, &bytes)?;
    Ok(bytes)
}
