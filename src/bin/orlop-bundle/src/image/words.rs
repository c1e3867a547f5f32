//! `image pull|list|rm|gc|verify`: the words of the store.

use super::rights::{self, Rights};
use super::run::store_path;
use super::source::{Platform, Source, Verified};
use super::space::explained;
use super::store::containers::BUNDLE;
use super::store::form::Stored;
use super::store::record::Record;
use super::store::{Store, pull};
use super::{Chosen, source, with_rights};
use anyhow::{Context as _, Result, ensure};
use oci_spec::image::Descriptor;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

/// The store of a word.
#[derive(clap::Args)]
pub(super) struct Place {
    /// The directory of the store (default: /var/lib/orlop/images, or orlop/images below XDG_DATA_HOME)
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
}

impl Place {
    pub(super) fn open(&self) -> Result<Store> {
        Store::open(&store_path(self.store.as_deref(), rights::is_outer_root())?)
    }
}

/// An image that is pulled into the store
#[derive(clap::Args)]
pub(super) struct Pull {
    #[command(flatten)]
    image: Chosen,
    #[command(flatten)]
    place: Place,
}

/// Images or kept containers that are removed
#[derive(clap::Args)]
pub(super) struct Remove {
    /// The names that `image list` shows: images, ids of kept containers, bundles that are gone
    #[arg(value_name = "IMAGE|ID", required = true)]
    names: Vec<String>,
    #[command(flatten)]
    place: Place,
}

/// A line on standard output.
fn print(line: std::fmt::Arguments<'_>) -> Result<()> {
    writeln!(io::stdout(), "{line}").context("write to standard output")
}

pub(super) fn pull(word: &Pull) -> Result<ExitCode> {
    with_rights(|rights: &Rights| {
        let (store, image) = (word.place.open()?, &word.image);
        let source = source::open(&image.reference, &image.source)?;
        let record = pull::pull(&store, &*source, &image.reference, &image.platform(), rights)?;
        print(format_args!("{}", record.digest))?;
        Ok(())
    })
}

pub(super) fn list(place: &Place) -> Result<ExitCode> {
    let store = place.open()?;
    print(format_args!("{:<40} {:<16} {:<20} LAYERS", "IMAGE", "PLATFORM", "DIGEST"))?;
    for record in store.records()? {
        let digest: String = record.digest.chars().take(19).collect();
        let name = orlop::explain::shown(&record.reference).to_string();
        print(format_args!("{name:<40} {:<16} {digest:<20} {}", record.platform, record.layers.len()))?;
    }
    for (name, owner) in store.owners(&store.lock()?)? {
        match owner {
            Some(owner) if owner.keep => print(format_args!("kept container {}", orlop::explain::shown(&owner.id)))?,
            Some(owner) if name.starts_with(BUNDLE.as_bytes()) => {
                let place = match (owner.is_in_place(), owner.is_mounted()) {
                    (true, _) => "",
                    (_, false) => " (its file system is not mounted)",
                    _ if store.is_moved(&name)? => " (moved)",
                    _ => " (removed)",
                };
                print(format_args!("bundle {}{place}", orlop::explain::shown(&owner.id)))?;
            }
            _ => {}
        }
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn remove(word: &Remove) -> Result<ExitCode> {
    with_rights(|_| {
        let store = word.place.open()?;
        explained("store", &store.path, store.remove(&word.names))
    })
}

pub(super) fn collect(place: &Place) -> Result<ExitCode> {
    with_rights(|_| {
        let store = place.open()?;
        let (layers, containers) = explained("store", &store.path, store.collect())?;
        print(format_args!("removed {layers} layers and the writable layers of {containers} containers"))?;
        let blobs = store.remove_blobs(&store.lock()?, None)?;
        if blobs > 0 {
            print(format_args!("removed {blobs} blobs that no image needs"))?;
        }
        Ok(())
    })
}

/// Without an image, the store's layers are compared with the lists of files made when they were unpacked
#[derive(clap::Args)]
pub(super) struct Verify {
    /// The image, of which all blobs are read; the images of the store where none is named
    #[arg(value_name = "IMAGE")]
    reference: Option<String>,
    /// The platform that is chosen from an index, as OS/ARCHITECTURE[/VARIANT]
    #[arg(long)]
    platform: Option<Platform>,
    #[command(flatten)]
    source: source::Options,
    #[command(flatten)]
    place: Place,
}

pub(super) fn verify(word: &Verify) -> Result<ExitCode> {
    match &word.reference {
        Some(reference) => verify_source(word, reference)?,
        None => return with_rights(|_| verify_store(&word.place.open()?)),
    }
    Ok(ExitCode::SUCCESS)
}

fn verify_source(word: &Verify, reference: &str) -> Result<()> {
    let source = source::open(reference, &word.source)?;
    let manifest = source.manifest(&word.platform.clone().unwrap_or_else(Platform::host))?;
    for descriptor in [manifest.parsed.config()].into_iter().chain(manifest.parsed.layers()) {
        verify_blob(&*source, descriptor)?;
    }
    print(format_args!("{}: all digests and sizes are right", manifest.descriptor.digest()))?;
    Ok(())
}

fn verify_blob(source: &dyn Source, descriptor: &Descriptor) -> Result<()> {
    let mut blob = Verified::new(source.blob(descriptor, 0)?, descriptor)?;
    io::copy(&mut blob, &mut io::sink()).map(drop).with_context(|| format!("read {}", descriptor.digest()))
}

/// Checks the documents of the store's images, and compares all layers with the lists of their files.
fn verify_store(store: &Store) -> Result<()> {
    for record in store.records()? {
        verify_image(store, &record).with_context(|| format!("image {}", record.reference))?;
        print(format_args!("{}: the documents have their digests, and all layers are there", record.reference))?;
    }
    let (mut layers, mut files, mut differences) = (0, 0, 0);
    for name in store.layers.entries()?.into_iter().filter(|name| !name.starts_with(b".")) {
        let shown = String::from_utf8_lossy(&name).into_owned();
        let Some(found) = store.compare_layer(&name).with_context(|| format!("layer {shown}"))? else { continue };
        found.shown.iter().for_each(|problem| eprintln!("orlop: layer {shown}: {problem}"));
        (layers, files, differences) = (layers + 1, files + found.files, differences + found.differences);
    }
    ensure!(
        differences == 0,
        "the store's layers have {differences} differences from the images \
         (hint: `orlop image rm IMAGE` and another pull unpack them anew)"
    );
    print(format_args!("{files} files of {layers} layers are as they were unpacked"))?;
    Ok(())
}

fn verify_image(store: &Store, record: &Record) -> Result<()> {
    record.verify()?;
    store.stack(&record.layers)?;
    if record.is_flat {
        let source = Stored { store, record };
        record.manifest()?.parsed.layers().iter().try_for_each(|layer| verify_blob(&source, layer))?;
    }
    Ok(())
}
