//! From a source into the store.

use super::super::flat::configuration;
use super::super::layer::{self, Form, Lower, Owners, Tree};
use super::super::rights::Rights;
use super::super::source::{Hasher, Platform, Source, small};
use super::Store;
use super::record::Record;
use anyhow::{Context as _, Result, ensure};
use oci_spec::image::{Descriptor, Digest};

/// The beginning of the names of layers that are not whole.
pub(super) const UNFINISHED: &str = ".unfinished-";
/// The length of a layer's name: the first digits of its chain id. Short, since 128 of them are options of one mount.
const NAME: usize = 40;

/// Pulls an image. Layers that are there already, of this image or another one, are not read.
///
/// # Errors
/// The image cannot be read, verified or written. Layers that are whole by then stay, so that another pull goes on.
pub(crate) fn pull(
    store: &Store,
    source: &dyn Source,
    reference: &str,
    platform: &Platform,
    rights: &Rights,
) -> Result<Record> {
    let manifest = source.manifest(platform)?;
    let image = configuration(source, &manifest.parsed, platform)?;
    let config = small(source, manifest.parsed.config())?;
    let (mut layers, mut chain): (Vec<String>, Option<String>) = (Vec::new(), None);
    let mut tree = None;
    for (descriptor, diff_id) in manifest.parsed.layers().iter().zip(image.rootfs().diff_ids()) {
        let diff_id: Digest = diff_id.parse().with_context(|| format!("diff_id {diff_id}"))?;
        let next = chain_id(chain.as_deref(), &diff_id)?;
        let name = next[..NAME].to_owned();
        if !store.has_layer(&name)? {
            tree = Some(add(store, source, descriptor, &diff_id, &name, &layers, rights)?);
        }
        chain = Some(format!("sha256:{next}"));
        layers.push(name);
    }
    if let Some(tree) = tree {
        tree.dropped.warn(rights.owners == Owners::Caller);
    }
    let record = Record {
        reference: reference.to_owned(),
        platform: platform.to_string(),
        digest: manifest.descriptor.digest().to_string(),
        manifest: String::from_utf8(manifest.bytes).context("the manifest is not UTF-8")?,
        config: String::from_utf8(config).context("the image configuration is not UTF-8")?,
        layers,
    };
    let name = format!("{}.json", &hex(format!("{reference} {platform}").as_bytes())?[..NAME]);
    Store::replace(&store.images, &name, serde_json::to_string_pretty(&record)?.as_bytes())?;
    rustix::fs::syncfs(&store.images.entry_file(name.as_bytes())?).context("syncfs")?;
    Ok(record)
}

/// The sha256 of bytes, in hexadecimal digits.
fn hex(bytes: &[u8]) -> Result<String> {
    let zeros: Digest = format!("sha256:{}", "0".repeat(64)).parse()?;
    let mut hasher = Hasher::new(&zeros)?;
    hasher.update(bytes);
    Ok(hasher.hex())
}

/// The chain id of a layer (image specification, config.md), without the algorithm: of a stack of layers, not of one, since
/// a directory without an entry of its own has the attributes of the directory below.
fn chain_id(below: Option<&str>, diff_id: &Digest) -> Result<String> {
    match below {
        None => hex(diff_id.to_string().as_bytes()),
        Some(below) => hex(format!("{below} {diff_id}").as_bytes()),
    }
}

fn add(
    store: &Store,
    source: &dyn Source,
    descriptor: &Descriptor,
    diff_id: &Digest,
    name: &str,
    below: &[String],
    rights: &Rights,
) -> Result<Tree> {
    let unfinished = format!("{UNFINISHED}{name}");
    // The lock is held, so that nothing but a killed process can have left it.
    if store.layers.entry_status(unfinished.as_bytes())?.is_some() {
        layer::remove_tree(&store.layers, unfinished.as_bytes(), &mut |_, _| {})?;
    }
    store.layers.make_entry_dir(unfinished.as_bytes(), 0o755)?;
    let lower = Lower(store.stack(below)?.into_iter().map(|(_, layer)| layer).collect());
    if let Some(top) = lower.0.first() {
        // The root is a directory that the archive need not have an entry for.
        lower.copy_directory(top, &store.layers.entry_dir(unfinished.as_bytes())?, rights.owners)?;
    }
    let form = Form::Overlay { opaque: opaque(rights), lower };
    let mut tree = Tree::new(store.layers.entry_dir(unfinished.as_bytes())?, form, rights.owners);
    if let Err(error) = layer::unpack(source, descriptor, diff_id, &mut tree) {
        // The error that is reported is the first one.
        let _ = layer::remove_tree(&store.layers, unfinished.as_bytes(), &mut |_, _| {});
        return Err(error);
    }
    rustix::fs::syncfs(&store.layers.entry_dir(unfinished.as_bytes())?).context("syncfs")?;
    store.layers.rename_entry(unfinished.as_bytes(), name.as_bytes())?;
    ensure!(store.has_layer(name)?, "layer {name} is not in the store after it was added");
    Ok(tree)
}

/// The attribute of opaque directories: `trusted` ones are root's alone.
fn opaque(rights: &Rights) -> &'static [u8] {
    if rights.mappings.is_some() { b"user.overlay.opaque" } else { b"trusted.overlay.opaque" }
}
