//! A bundle whose root is an overlay: layers of the store, and a writable layer in the bundle.

use super::convert::{Mappings, Overrides, convert, program};
use super::flat::write_config;
use super::layer::{Lower, Owners, disinherit, remove_tree};
use super::rights::Rights;
use super::source::{self, Platform};
use super::space::explained;
use super::store::containers::{BUNDLE, Owner, file_system};
use super::store::pull::pull;
use super::store::record::{Record, hex};
use super::store::{Store, sync_names};
use super::{Chosen, Unpack};
use anyhow::{Context as _, Result, bail, ensure};
use orlop::beneath::Directory;
use serde_json::{Value, json};
use std::fs::{DirBuilder, canonicalize};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

/// The writable layer, the directory that overlayfs works in, and the directory that the root is attached to.
const DIRECTORIES: [&str; 3] = ["upper", "work", "rootfs"];
/// The digits of a digest in a reference's name.
const DIGITS: usize = 40;

/// The root of a bundle.
pub(super) struct OverlayRoot {
    /// The union of the layers, in which the image's files are looked up.
    pub(super) lower: Lower,
    /// The first mount of the config. Its paths in the bundle are relative to it.
    pub(super) mount: Value,
}

/// Makes the directories of an overlay in a bundle.
///
/// # Errors
/// A layer is gone, or a directory cannot be made.
pub(super) fn make(
    store: &Store,
    layers: &[String],
    bundle: &Path,
    owners: Owners,
    mappings: Option<&Mappings>,
) -> Result<OverlayRoot> {
    let stack = store.stack(layers)?;
    let names: Vec<String> =
        stack.iter().map(|(name, _)| store.path.join("layers").join(name).display().to_string()).collect();
    ensure!(!names.is_empty(), "the image has no layers");
    for name in DIRECTORIES {
        let path = bundle.join(name);
        DirBuilder::new().mode(0o755).create(&path).with_context(|| format!("mkdir {}", path.display()))?;
    }
    let lower = Lower(stack.into_iter().map(|(_, layer)| layer).collect());
    // The root of the union has the attributes of the upper layer.
    disinherit(&Directory::open(bundle)?, b"upper")?;
    let upper = Directory::open(&bundle.join("upper"))?;
    lower.0.first().map(|top| lower.copy_directory(top, &upper, owners)).transpose()?;
    let mut options =
        vec![format!("lowerdir={}", names.join(":")), "upperdir=upper".to_owned(), "workdir=work".to_owned()];
    options.extend(mappings.map(|_| "userxattr".to_owned()));
    let mount = json!({ "destination": "/", "type": "overlay", "source": "overlay", "options": options });
    Ok(OverlayRoot { lower, mount })
}

/// Makes a bundle outside of the store, and a reference that keeps its layers as long as its config.json is there.
///
/// # Errors
/// It has one of the files already, or is on a file system that cannot hold a writable layer.
pub(super) fn bundle(store: &Store, at: &Path, layers: &[String]) -> Result<PathBuf> {
    let named = || format!("bundle {}", at.display());
    DirBuilder::new().recursive(true).mode(0o755).create(at).with_context(named)?;
    let path = canonicalize(at).with_context(named)?;
    let directory = Directory::open(&path).with_context(named)?;
    for name in DIRECTORIES.iter().chain(&["config.json"]) {
        let there = directory.entry_status(name.as_bytes())?;
        ensure!(there.is_none(), "{} has a {name} already", named());
    }
    super::store::can_hold_layers(&directory).with_context(named)?;
    let text = path.to_str().with_context(named)?;
    let mut owner = Owner::new(text, Some(path.join("config.json")), false, layers)?;
    owner.file_system = file_system(&path)?;
    let (guard, name) = (store.lock()?, reference(&path)?);
    store.keep_moved(&guard, &name)?;
    store.refer(&guard, &name, &owner)?;
    Ok(path)
}

/// The name of a bundle's reference.
fn reference(bundle: &Path) -> Result<String> {
    let text = bundle.to_str().context("the path is not UTF-8")?;
    Ok(format!("{BUNDLE}{}", &hex(text.as_bytes())?[..DIGITS]))
}

/// Completes the reference of a bundle that has its config.json, and waits until both are on the disk.
pub(super) fn complete(store: &Store, bundle: &Path) -> Result<()> {
    store.link_bundle(&reference(bundle)?, &bundle.join("config.json"));
    let directory = Directory::open(bundle)?;
    directory.entry_file(b"config.json")?.sync_all().context("fsync")?;
    sync_names(&directory)
}

/// Removes the directories that [`make`] made in a bundle without a config.json.
pub(super) fn unmake(bundle: &Path) {
    // The error that is reported is the first one.
    if let Ok(bundle) = Directory::open(bundle) {
        for name in DIRECTORIES {
            let _ = remove_tree(&bundle, name.as_bytes(), &mut |_, _| {});
        }
    }
}

/// `image unpack --overlay`: pulls the image if it is not in the store, and writes the bundle.
pub(super) fn unpack(word: &Unpack, rights: &Rights) -> Result<()> {
    let store = word.place.open()?;
    if let Some(problem) = store.overlay_problem(rights)? {
        bail!("--overlay: {problem}; without the flag the bundle has a flat directory");
    }
    let record = find_or_pull(&store, &word.image, rights)?;
    program(&record.configuration()?, &[])?;
    let path = bundle(&store, &word.bundle, &record.layers)?;
    let written = explained("bundle", &path, write(&store, &record, &path, rights));
    if written.is_err() {
        unmake(&path);
    }
    written
}

fn find_or_pull(store: &Store, image: &Chosen, rights: &Rights) -> Result<Record> {
    let platform: Platform = image.platform();
    match store.find(&image.reference, &platform.to_string())? {
        Some(record) => Ok(record),
        None => {
            let source = source::open(&image.reference, &image.source)?;
            pull(store, &*source, &image.reference, &platform, rights)
        }
    }
}

fn write(store: &Store, record: &Record, path: &Path, rights: &Rights) -> Result<()> {
    let mappings = rights.mappings.as_ref();
    let OverlayRoot { lower, mount } = make(store, &record.layers, path, rights.owners, mappings)?;
    let read = |path: &str| lower.read(path);
    let mut config = convert(&record.configuration()?, &read, mappings, &Overrides::default())?;
    config["mounts"].as_array_mut().context("mounts")?.insert(0, mount);
    write_config(&Directory::open(path)?, &config)?;
    complete(store, path)
}
