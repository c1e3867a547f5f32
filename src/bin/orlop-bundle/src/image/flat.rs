//! An image in one directory, and a config.json beside it that any runtime runs.

use super::convert::{self, Overrides};
use super::layer::{self, Form, Owners, Tree};
use super::rights::Rights;
use super::source::{Platform, Source, small};
use super::space::explained;
use super::store::form::Stored;
use super::store::sync_names;
use anyhow::{Context as _, Result, ensure};
use oci_spec::image::ImageConfiguration;
use orlop::beneath::Directory;
use rustix::fs::{FlockOperation, flock, syncfs};
use serde_json::Value;
use std::fs::{DirBuilder, File};
use std::io::Write as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

/// The directory of the files, while they are not whole.
const UNFINISHED: &[u8] = b".rootfs-unfinished";
const ROOT: &[u8] = b"rootfs";
/// The config.json, while the files have not their name.
const UNFINISHED_CONFIG: &str = ".config.json-unfinished";
const CONFIG: &str = "config.json";

/// Unpacks an image into `bundle`, which is made: the directory rootfs and the file config.json.
///
/// # Errors
/// The bundle has a config.json or a rootfs already, or the image cannot be read, verified or unpacked. The
/// unpacked files are then removed.
pub(crate) fn unpack(source: &dyn Source, platform: &Platform, bundle: &Path, rights: &Rights) -> Result<()> {
    let manifest = source.manifest(platform)?;
    let image = configuration(source, &manifest.parsed, platform)?;
    convert::program(&image, &[])?;
    explained("bundle", bundle, unpack_into(bundle, source, &manifest.parsed, &image, rights))
}

fn unpack_into(
    bundle: &Path,
    source: &dyn Source,
    manifest: &oci_spec::image::ImageManifest,
    image: &ImageConfiguration,
    rights: &Rights,
) -> Result<()> {
    let named = || format!("bundle {}", bundle.display());
    DirBuilder::new().recursive(true).mode(0o755).create(bundle).with_context(named)?;
    let directory = Directory::open(bundle).with_context(named)?;
    let lock = File::open(bundle).with_context(named)?;
    flock(&lock, FlockOperation::NonBlockingLockExclusive).with_context(|| format!("{} is being written", named()))?;
    remove_remains(&directory).with_context(named)?;
    for name in ["config.json", "rootfs"] {
        let there = directory.entry_status(name.as_bytes())?;
        ensure!(there.is_none(), "{} has a {name} already", named());
    }
    directory.make_entry_dir(UNFINISHED, 0o755).with_context(named)?;
    layer::disinherit(&directory, UNFINISHED)?;
    let written = fill(source, manifest, image, &directory, rights);
    if written.is_err() {
        // The error that is reported is the first one.
        let _ = remove_remains(&directory);
    }
    written
}

/// Unpacks an image of the store into the directory rootfs of a container, for a config that is written later.
///
/// # Errors
/// As of [`unpack`].
pub(crate) fn copy(image: &Stored<'_>, platform: &Platform, bundle: &Path, rights: &Rights) -> Result<()> {
    let manifest = image.manifest(platform)?.parsed;
    let directory = Directory::open(bundle).with_context(|| format!("bundle {}", bundle.display()))?;
    directory.make_entry_dir(UNFINISHED, 0o755)?;
    layer::disinherit(&directory, UNFINISHED)?;
    files(image, &manifest, &configuration(image, &manifest, platform)?, &directory, rights)?;
    Ok(directory.rename_entry(UNFINISHED, ROOT)?)
}

/// Removes the files of a process that was killed while it wrote a bundle: config.json comes last.
fn remove_remains(bundle: &Directory) -> Result<()> {
    let is_there = |name: &[u8]| bundle.entry_status(name).map(|status| status.is_some());
    if is_there(UNFINISHED_CONFIG.as_bytes())? {
        if is_there(ROOT)? && !is_there(UNFINISHED)? && !is_there(CONFIG.as_bytes())? {
            bundle.rename_entry(ROOT, UNFINISHED)?;
        }
        bundle.remove_entry(UNFINISHED_CONFIG.as_bytes())?;
    }
    if is_there(UNFINISHED)? {
        layer::remove_tree(bundle, UNFINISHED, &mut |_, _| {})?;
    }
    Ok(())
}

/// The configuration of an image, which must be for the platform and have a `diff_id` for each layer.
///
/// # Errors
/// It cannot be read, or does not fit the manifest.
pub(crate) fn configuration(
    source: &dyn Source,
    manifest: &oci_spec::image::ImageManifest,
    platform: &Platform,
) -> Result<ImageConfiguration> {
    let bytes = small(source, manifest.config())?;
    let image: ImageConfiguration = serde_json::from_slice(&bytes).context("the image configuration cannot be read")?;
    let (os, architecture) = (image.os().to_string(), image.architecture().to_string());
    let is_right = os == platform.os && architecture == platform.architecture;
    ensure!(is_right, "the image is for {os}/{architecture}, not for {platform}");
    let (layers, ids) = (manifest.layers().len(), image.rootfs().diff_ids().len());
    ensure!(layers == ids, "the image has {layers} layers, but its configuration has {ids} diff_ids");
    Ok(image)
}

fn fill(
    source: &dyn Source,
    manifest: &oci_spec::image::ImageManifest,
    image: &ImageConfiguration,
    bundle: &Directory,
    rights: &Rights,
) -> Result<()> {
    files(source, manifest, image, bundle, rights)?;
    let root = bundle.entry_dir(UNFINISHED)?;
    let config =
        convert::convert(image, &|path| Ok(root.read(path)?), rights.mappings.as_ref(), &Overrides::default())?;
    write(bundle, UNFINISHED_CONFIG, &config)?;
    syncfs(&root).context("syncfs")?;
    bundle.rename_entry(UNFINISHED, ROOT)?;
    bundle.rename_entry(UNFINISHED_CONFIG.as_bytes(), CONFIG.as_bytes())?;
    sync_names(bundle)
}

fn files(
    source: &dyn Source,
    manifest: &oci_spec::image::ImageManifest,
    image: &ImageConfiguration,
    bundle: &Directory,
    rights: &Rights,
) -> Result<()> {
    let mut tree = Tree::new(bundle.entry_dir(UNFINISHED)?, Form::Flat, rights.owners);
    for (descriptor, diff_id) in manifest.layers().iter().zip(image.rootfs().diff_ids()) {
        let diff_id = diff_id.parse().with_context(|| format!("diff_id {diff_id}"))?;
        layer::unpack(source, descriptor, &diff_id, &mut tree)?;
    }
    tree.dropped.warn(rights.owners == Owners::Caller);
    Ok(())
}

/// Writes a config.json.
///
/// # Errors
/// It exists.
pub(crate) fn write_config(bundle: &Directory, config: &Value) -> Result<()> {
    write(bundle, CONFIG, config)
}

fn write(bundle: &Directory, name: &str, config: &Value) -> Result<()> {
    let mut text = serde_json::to_string_pretty(config)?;
    text.push('\n');
    let mut file = bundle.make_entry_file(name.as_bytes(), 0o644).context("config.json")?;
    Ok(file.write_all(text.as_bytes())?)
}
