//! `tar:FILE`: a root file system, which becomes an image of one layer.

use super::inflate::{Compression, beginning};
use super::{Section, regular};
use crate::image::source::{Hasher, Manifest, Platform, Source, resolve};
use anyhow::{Context as _, Result, ensure};
use oci_spec::image::{Descriptor, Digest, MediaType};
use serde_json::json;
use std::fs::File;
use std::io::{BufReader, Cursor, Read};
use std::path::Path;
use std::sync::OnceLock;

/// An archive of a root file system.
pub(crate) struct PlainTar {
    file: File,
    /// The layer's descriptor and its digest when inflated.
    layer: Descriptor,
    diff_id: Digest,
    /// The configuration of the image, which is for the platform that was asked for.
    config: OnceLock<Vec<u8>>,
}

impl PlainTar {
    /// Reads the file once, for its digests.
    ///
    /// # Errors
    /// It cannot be read, or is damaged.
    pub(crate) fn open(path: &Path) -> Result<PlainTar> {
        let context = || format!("archive {}", path.display());
        let file = regular(path)?;
        let size = file.metadata().with_context(context)?.len();
        ensure!(size > 0, "{}: is empty", context());
        let whole = || Section { file: &file, offset: 0, left: size };
        let compression = Compression::of(&beginning(&file, 0).with_context(context)?);
        let digest = Hasher::digest_of(whole()).with_context(context)?;
        let diff_id = match compression {
            Compression::None => digest.clone(),
            _ => {
                let stream = BufReader::with_capacity(256 << 10, whole());
                Hasher::digest_of(compression.inflate(stream, size)?).with_context(context)?
            }
        };
        let layer = Descriptor::new(MediaType::from(compression.media_type()), size, digest);
        Ok(PlainTar { file, layer, diff_id, config: OnceLock::new() })
    }
}

impl Source for PlainTar {
    fn manifest(&self, platform: &Platform) -> Result<Manifest> {
        let config = self.config.get_or_init(|| {
            let rootfs = json!({ "type": "layers", "diff_ids": [self.diff_id] });
            let (os, architecture) = (&platform.os, &platform.architecture);
            let mut config = json!({ "architecture": architecture, "os": os, "rootfs": rootfs });
            // An archive says nothing of a program.
            config["config"] = json!({ "Cmd": ["/bin/sh"] });
            if let Some(variant) = &platform.variant {
                config["variant"] = json!(variant);
            }
            config.to_string().into_bytes()
        });
        let digest = Hasher::digest(None, config)?;
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MediaType::ImageManifest,
            "config": { "mediaType": MediaType::ImageConfig, "digest": digest, "size": config.len() },
            "layers": [self.layer],
        });
        let bytes = manifest.to_string().into_bytes();
        let top = Descriptor::new(MediaType::ImageManifest, bytes.len() as u64, Hasher::digest(None, &bytes)?);
        resolve(top, platform, |_| Ok(bytes.clone()))
    }

    fn blob(&self, descriptor: &Descriptor, offset: u64) -> Result<Box<dyn Read + Send + '_>> {
        if descriptor.digest() == self.layer.digest() {
            let whole = Section { file: &self.file, offset: 0, left: self.layer.size() };
            return Ok(Box::new(whole.from(offset)));
        }
        let config = self.config.get().with_context(|| format!("blob {}: not in the archive", descriptor.digest()))?;
        let from = usize::try_from(offset)?.min(config.len());
        Ok(Box::new(Cursor::new(&config[from..])))
    }
}
