//! An image in the store.

use super::super::source::{Hasher, Manifest, check};
use anyhow::{Context as _, Result};
use oci_spec::image::{Descriptor, Digest, ImageConfiguration, MediaType};
use serde::{Deserialize, Serialize};

/// The record of an image, a file in the directory `images`.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Record {
    /// The name that it was pulled by.
    pub(crate) reference: String,
    pub(crate) platform: String,
    /// The manifest's digest.
    pub(crate) digest: String,
    pub(crate) manifest: String,
    pub(crate) config: String,
    /// The names of its layers in the store, the lowest first.
    pub(crate) layers: Vec<String>,
    /// Whether it has none, and its blobs are kept for copies of its files.
    #[serde(default)]
    pub(crate) is_flat: bool,
}

/// The length of names by digests in the store. Short, since names of 128 layers are options of one mount.
pub(super) const NAME: usize = 40;

/// The name of the record of an image.
///
/// # Errors
/// None, as sha256 is known.
pub(super) fn file_name(reference: &str, platform: &str) -> Result<String> {
    Ok(format!("{}.json", &hex(format!("{reference} {platform}").as_bytes())?[..NAME]))
}

/// The sha256 of bytes, in hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> Result<String> {
    Ok(Hasher::digest(None, bytes)?.digest().to_owned())
}

impl Record {
    /// The image's configuration.
    ///
    /// # Errors
    /// It cannot be read.
    pub(crate) fn configuration(&self) -> Result<ImageConfiguration> {
        serde_json::from_str(&self.config).context("the image configuration cannot be read")
    }

    /// The image's manifest.
    ///
    /// # Errors
    /// It cannot be read.
    pub(crate) fn manifest(&self) -> Result<Manifest> {
        let bytes = self.manifest.clone().into_bytes();
        let digest: Digest = self.digest.parse().context("the digest of the manifest")?;
        let descriptor = Descriptor::new(MediaType::ImageManifest, bytes.len() as u64, digest);
        let parsed = serde_json::from_slice(&bytes).context("the image manifest cannot be read")?;
        Ok(Manifest { descriptor, bytes, parsed })
    }

    /// Checks the digests of the manifest and the configuration.
    ///
    /// # Errors
    /// One of them is not the digest of the text.
    pub(crate) fn verify(&self) -> Result<()> {
        let digest: Digest = self.digest.parse().context("the digest of the manifest")?;
        let bytes = self.manifest.as_bytes();
        check(&Descriptor::new(MediaType::ImageManifest, bytes.len() as u64, digest), bytes)?;
        let manifest: oci_spec::image::ImageManifest = serde_json::from_slice(bytes)?;
        check(manifest.config(), self.config.as_bytes())
    }
}
