//! `docker-archive:FILE[:NAME]`: an archive that `docker save` and `podman save` write.

use super::inflate::{Compression, beginning};
use super::{Contents, Section};
use crate::image::reference::{Choice, Name};
use crate::image::source::{Hasher, MAX_LAYERS, Manifest, Platform, Source, resolve};
use anyhow::{Context as _, Result, bail, ensure};
use oci_spec::image::{Descriptor, Digest, ImageConfiguration, ImageManifest, MediaType};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io::{Cursor, Read};
use std::path::Path;

/// An image of an archive, with the manifest that a registry would have for it.
pub(crate) struct DockerArchive {
    contents: Contents,
    manifest: Vec<u8>,
    config: Vec<u8>,
    /// The names of the entries with the layers, by digest.
    layers: HashMap<String, String>,
}

impl DockerArchive {
    /// # Errors
    /// The file cannot be read, or has no such image.
    pub(crate) fn open(path: &Path, choice: &Choice) -> Result<DockerArchive> {
        let contents = Contents::open(path)?;
        DockerArchive::of(contents, choice).with_context(|| format!("archive {}", path.display()))
    }

    fn of(contents: Contents, choice: &Choice) -> Result<DockerArchive> {
        let list = contents.read("manifest.json")?;
        let list = list.context("not written by docker save: the file manifest.json is missing")?;
        let list: Vec<Value> = serde_json::from_slice(&list).context("manifest.json is no list")?;
        let image = chosen(&list, choice)?;
        let name = image["Config"].as_str().context("manifest.json: the image has no Config")?;
        let config = contents.read(name)?.with_context(|| format!("{name} is missing"))?;
        let parsed: ImageConfiguration =
            serde_json::from_slice(&config).with_context(|| format!("{name} cannot be read"))?;
        let names: Vec<&str> = image["Layers"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let ids = parsed.rootfs().diff_ids();
        ensure!(
            names.len() == ids.len(),
            "the image has {} layers, its configuration {} diff_ids",
            names.len(),
            ids.len()
        );
        ensure!(names.len() <= MAX_LAYERS, "the image has {} layers, more than {MAX_LAYERS}", names.len());
        let (mut layers, mut described) = (HashMap::new(), Vec::new());
        for (name, id) in names.into_iter().zip(ids) {
            let section = contents.find(name)?.with_context(|| format!("layer {name} is missing"))?;
            let layer = describe(section, id).with_context(|| format!("layer {name}"))?;
            layers.insert(layer["digest"].as_str().unwrap_or_default().to_owned(), name.to_owned());
            described.push(layer);
        }
        let digest = Hasher::digest(None, &config)?;
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MediaType::ImageManifest,
            "config": { "mediaType": MediaType::ImageConfig, "digest": digest, "size": config.len() },
            "layers": described,
        });
        Ok(DockerArchive { contents, manifest: serde_json::to_vec(&manifest)?, config, layers })
    }
}

/// The image of the list that was asked for.
fn chosen<'a>(list: &'a [Value], choice: &Choice) -> Result<&'a Value> {
    let tags = |image: &'a Value| {
        let names = image["RepoTags"].as_array().into_iter().flatten().filter_map(Value::as_str);
        names.filter_map(|name| name.parse::<Name>().ok()).map(|name| name.to_string())
    };
    let all = || list.iter().flat_map(tags).collect::<Vec<_>>().join(", ");
    match (choice, list) {
        (Choice::Only, [only]) => Ok(only),
        (Choice::Only, []) => bail!("the archive holds no image"),
        (Choice::Only, _) => {
            bail!("the archive holds {} images; name one of {}, or @0 to @{}", list.len(), all(), list.len() - 1)
        }
        (Choice::Index(index), _) => {
            list.get(*index).with_context(|| format!("there is no image @{index}; the archive holds {}", list.len()))
        }
        (Choice::Tag(wanted), _) => {
            let found = list.iter().find(|image| tags(image).any(|tag| tag == *wanted));
            found.with_context(|| format!("the archive has no image {wanted}; it has {}", all()))
        }
    }
}

/// A layer's descriptor. One that is not compressed has its `diff_id` as the digest.
fn describe(section: Section<'_>, diff_id: &str) -> Result<Value> {
    let compression = Compression::of(&beginning(section.file, section.offset)?);
    let size = section.left;
    let digest = match compression {
        Compression::None => diff_id.parse::<Digest>().with_context(|| format!("diff_id {diff_id:?}"))?,
        _ => Hasher::digest_of(section)?,
    };
    Ok(json!({ "mediaType": compression.media_type(), "digest": digest, "size": size }))
}

impl Source for DockerArchive {
    fn manifest(&self, platform: &Platform) -> Result<Manifest> {
        let digest = Hasher::digest(None, &self.manifest)?;
        let top = Descriptor::new(MediaType::ImageManifest, self.manifest.len() as u64, digest);
        resolve(top, platform, |_| Ok(self.manifest.clone()))
    }

    fn blob(&self, descriptor: &Descriptor, offset: u64) -> Result<Box<dyn Read + Send + '_>> {
        let digest = descriptor.digest();
        let parsed: ImageManifest = serde_json::from_slice(&self.manifest)?;
        if parsed.config().digest() == digest {
            let from = usize::try_from(offset)?.min(self.config.len());
            return Ok(Box::new(Cursor::new(&self.config[from..])));
        }
        let name = self.layers.get(digest.as_ref()).with_context(|| format!("blob {digest}: not in the archive"))?;
        let section = self.contents.find(name)?.with_context(|| format!("blob {digest}: not in the archive"))?;
        Ok(Box::new(section.from(offset)))
    }
}
