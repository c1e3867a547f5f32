//! Images: from a source to a bundle.

pub(crate) mod source;

use anyhow::{Context as _, Result};
use clap::Subcommand;
use source::{Platform, Verified};
use std::io;
use std::process::ExitCode;

/// Look at and unpack container images
///
/// IMAGE is oci:DIRECTORY[:TAG], an image layout.
#[derive(clap::Args)]
pub(crate) struct Image {
    #[command(subcommand)]
    word: Word,
}

#[derive(Subcommand)]
enum Word {
    /// Print an image's manifest for a platform
    Inspect(Chosen),
    /// Read all of an image and check the digests and sizes; signatures are not checked
    Verify(Chosen),
}

/// An image for a platform
#[derive(clap::Args)]
struct Chosen {
    /// The image
    #[arg(value_name = "IMAGE")]
    reference: String,
    /// The platform that is chosen from an index, as OS/ARCHITECTURE[/VARIANT]
    #[arg(long)]
    platform: Option<Platform>,
    #[command(flatten)]
    source: source::Options,
}

impl Chosen {
    fn platform(&self) -> Platform {
        self.platform.clone().unwrap_or_else(Platform::host)
    }
}

/// Carries out a word.
pub(crate) fn run(image: &Image) -> Result<ExitCode> {
    match &image.word {
        Word::Inspect(word) => inspect(word),
        Word::Verify(word) => verify(word),
    }
}

fn inspect(word: &Chosen) -> Result<ExitCode> {
    let manifest = source::open(&word.reference, &word.source)?.manifest(&word.platform())?;
    println!("{}", orlop::explain::shown(&String::from_utf8_lossy(&manifest.bytes)));
    Ok(ExitCode::SUCCESS)
}

fn verify(word: &Chosen) -> Result<ExitCode> {
    let source = source::open(&word.reference, &word.source)?;
    let manifest = source.manifest(&word.platform())?;
    for descriptor in [manifest.parsed.config()].into_iter().chain(manifest.parsed.layers()) {
        let digest = descriptor.digest();
        let mut blob = Verified::new(source.blob(descriptor, 0)?, descriptor)?;
        io::copy(&mut blob, &mut io::sink()).with_context(|| format!("read {digest}"))?;
    }
    println!("{}: all digests and sizes are right", manifest.descriptor.digest());
    Ok(ExitCode::SUCCESS)
}
