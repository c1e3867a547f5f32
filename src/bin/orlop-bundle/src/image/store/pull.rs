//! From a source into the store.

use super::super::flat::configuration;
use super::super::layer::{self, Form, Lower, Owners, Tree};
use super::super::rights::Rights;
use super::super::source::{Manifest, Platform, Source, small};
use super::super::space::{explained, is_full};
use super::Store;
use super::lock::UNFINISHED;
use super::partial::Resumed;
use super::record::{self, NAME, Record, hex};
use anyhow::{Context as _, Result, ensure};
use oci_spec::image::{Descriptor, Digest};
use orlop::beneath::Directory;

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
    explained("store", &store.path, read(store, source, reference, platform, rights))
}

fn read(store: &Store, source: &dyn Source, reference: &str, platform: &Platform, rights: &Rights) -> Result<Record> {
    let manifest = source.manifest(platform)?;
    let image = configuration(source, &manifest.parsed, platform)?;
    let config = small(source, manifest.parsed.config())?;
    if let Some(problem) = store.overlay_problem(rights)? {
        eprintln!("orlop: warning: {problem}: each container has a copy of the image's files");
        let _held = store.keep_blobs(source, &manifest)?;
        store.sync()?;
        return record(store, reference, platform, manifest, config, Vec::new());
    }
    let ids: Vec<Digest> = image.rootfs().diff_ids().iter().map(|id| diff_id(id)).collect::<Result<_>>()?;
    let layers = names(&ids)?;
    let reference_of_pull = store.refer_pull(&layers)?;
    let mut dropped = None;
    for (n, (descriptor, diff_id)) in manifest.parsed.layers().iter().zip(&ids).enumerate() {
        let layer = Layer { descriptor, diff_id, name: &layers[n], below: &layers[..n] };
        dropped = add(store, source, &layer, rights)?.map(|tree| tree.dropped).or(dropped);
    }
    if let Some(dropped) = dropped {
        dropped.warn(rights.owners == Owners::Caller);
    }
    let record = record(store, reference, platform, manifest, config, layers)?;
    drop(reference_of_pull);
    Ok(record)
}

/// Writes the record of an image whose layers or blobs are in the store.
fn record(
    store: &Store,
    reference: &str,
    platform: &Platform,
    manifest: Manifest,
    config: Vec<u8>,
    layers: Vec<String>,
) -> Result<Record> {
    let record = Record {
        reference: reference.to_owned(),
        platform: platform.to_string(),
        digest: manifest.descriptor.digest().to_string(),
        manifest: String::from_utf8(manifest.bytes).context("the manifest is not UTF-8")?,
        config: String::from_utf8(config).context("the image configuration is not UTF-8")?,
        is_flat: layers.is_empty(),
        layers,
    };
    let name = record::file_name(reference, &record.platform)?;
    let guard = store.lock()?;
    Store::replace(&store.images, &name, serde_json::to_string_pretty(&record)?.as_bytes())?;
    drop(guard);
    store.sync()?;
    Ok(record)
}

fn diff_id(text: &str) -> Result<Digest> {
    text.parse().with_context(|| format!("diff_id {text}"))
}

/// The names of layers: their chain ids (image specification, config.md), of which each is of a stack of layers, not of one,
/// since a directory without an entry of its own has the attributes of the directory below.
fn names(ids: &[Digest]) -> Result<Vec<String>> {
    let mut chain: Option<String> = None;
    let next = |diff_id: &Digest| {
        let digits = match &chain {
            None => hex(diff_id.to_string().as_bytes())?,
            Some(below) => hex(format!("{below} {diff_id}").as_bytes())?,
        };
        chain = Some(format!("sha256:{digits}"));
        Ok(digits[..NAME].to_owned())
    };
    ids.iter().map(next).collect()
}

/// A layer that is added.
struct Layer<'a> {
    descriptor: &'a Descriptor,
    diff_id: &'a Digest,
    name: &'a str,
    below: &'a [String],
}

/// Adds a layer, with what an interrupted pull has left of its blob. Where that turns out to be wrong, from the beginning.
fn add(store: &Store, source: &dyn Source, layer: &Layer<'_>, rights: &Rights) -> Result<Option<Tree>> {
    let mut is_kept = source.is_remote();
    loop {
        let Some(directory) = store.claim(layer.name)? else { return Ok(None) };
        // Other sources are read again at no cost.
        let resumed = if is_kept { Resumed::open(store, source, layer.descriptor)? } else { None };
        let Some(resumed) = resumed else {
            return unpack(store, source, layer, directory, rights).map(Some);
        };
        let unpacked = unpack(store, &resumed, layer, directory, rights);
        let is_new = resumed.earlier == 0;
        let is_over = resumed.end()?;
        // There may be space for the layer without its blob.
        is_kept = !unpacked.as_ref().is_err_and(is_full);
        if !is_kept && is_over {
            continue;
        }
        if unpacked.is_ok() || is_new || !is_over {
            return unpacked.map(Some);
        }
    }
}

/// Unpacks a layer into its directory, and gives it its name.
fn unpack(
    store: &Store,
    source: &dyn Source,
    layer: &Layer<'_>,
    directory: Directory,
    rights: &Rights,
) -> Result<Tree> {
    let unfinished = [UNFINISHED, layer.name].concat();
    let lower = Lower(store.stack(layer.below)?.into_iter().map(|(_, layer)| layer).collect());
    if let Some(top) = lower.0.first() {
        // The root is a directory that the archive need not have an entry for.
        lower.copy_directory(top, &directory, rights.owners)?;
    }
    let form = Form::Overlay { opaque: opaque(rights), lower };
    // The lock of the directory is held by its descriptor.
    let mut tree = Tree::new(directory, form, rights.owners);
    let unpacked = layer::unpack(source, layer.descriptor, layer.diff_id, &mut tree);
    if let Err(error) = unpacked.and_then(|()| store.finish_layer(layer.name, &tree)) {
        // The error that is reported is the first one.
        let _ = layer::remove_tree(&store.layers, unfinished.as_bytes(), &mut |_, _| {});
        return Err(error);
    }
    store.layers.rename_entry(unfinished.as_bytes(), layer.name.as_bytes())?;
    ensure!(store.has_layer(layer.name)?, "layer {} is not in the store after it was added", layer.name);
    Ok(tree)
}

/// The attribute of opaque directories: `trusted` ones are root's alone.
pub(super) fn opaque(rights: &Rights) -> &'static [u8] {
    if rights.mappings.is_some() { b"user.overlay.opaque" } else { b"trusted.overlay.opaque" }
}
