//! Whether an image without an index is for the platform.

use super::{Manifest, Platform, Source, small};
use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

/// Compares the image's configuration, which is small, before any layer is read.
///
/// # Errors
/// The image is for another platform, or the configuration cannot be read.
pub(super) fn check(source: &dyn Source, manifest: &Manifest, platform: &Platform) -> Result<()> {
    let bytes = small(source, manifest.parsed.config()).context("configuration of the image")?;
    let config: Value = serde_json::from_slice(&bytes).context("the image's configuration is no JSON")?;
    let word = |name: &str| config[name].as_str().unwrap_or_default();
    let (os, architecture) = (word("os"), word("architecture"));
    let same = |found: &str, wanted: &str| found.is_empty() || found == wanted;
    ensure!(
        same(os, &platform.os) && same(architecture, &platform.architecture),
        "the image is for {os}/{architecture}, and not for {platform}"
    );
    Ok(())
}
