//! Images: from a source to a bundle.

mod auth;
mod convert;
mod flat;
mod layer;
mod progress;
mod reference;
mod rights;
pub(crate) mod source;
mod user;

use anyhow::{Context as _, Result};
use clap::Subcommand;
use rights::Rights;
use rustix::process::{Resource, Rlimit};
use source::{Platform, Verified};
use std::io;
use std::path::PathBuf;
use std::process::{ExitCode, ExitStatus};

/// Look at and unpack container images
///
/// IMAGE is the name of an image of a registry (busybox means docker.io/library/busybox:latest), or where it is:
/// docker://HOST/NAME[:TAG|@DIGEST], oci:DIRECTORY[:TAG], an image layout; oci-archive:FILE[:TAG], one in an archive;
/// docker-archive:FILE[:NAME|:@INDEX], which docker save writes; tar:FILE, the root file system as one layer.
#[derive(clap::Args)]
pub(crate) struct Image {
    #[command(subcommand)]
    word: Word,
}

#[derive(Subcommand)]
enum Word {
    /// Print an image's manifest for a platform
    Inspect(Chosen),
    Unpack(Unpack),
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

/// Write an image's files and a config.json into a bundle
///
/// The bundle has one flat directory, rootfs, and runs with any runtime. Digests, sizes and diff_ids are verified.
#[derive(clap::Args)]
struct Unpack {
    #[command(flatten)]
    image: Chosen,
    /// The directory that is made, or has no rootfs and no config.json yet
    bundle: PathBuf,
}

/// Carries out a word.
pub(crate) fn run(image: &Image) -> Result<ExitCode> {
    match &image.word {
        Word::Inspect(word) => inspect(word),
        Word::Unpack(word) => with_rights(|rights| unpack(word, rights)),
        Word::Verify(word) => verify(word),
    }
}

/// Does something with the rights to write files of many owners: for an ordinary user in a process of its own.
fn with_rights(work: impl FnOnce(&Rights) -> Result<()>) -> Result<ExitCode> {
    match rights::acquire()? {
        Ok(rights) => {
            // Modes are those of the archive, and each level of a tree that is removed holds a descriptor.
            rustix::process::umask(rustix::fs::Mode::empty());
            let most = rustix::process::getrlimit(Resource::Nofile).maximum;
            rustix::process::setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most })?;
            work(&rights).map(|()| ExitCode::SUCCESS)
        }
        Err(status) => Ok(code(status)),
    }
}

fn code(status: ExitStatus) -> ExitCode {
    ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(crate::USAGE))
}

fn unpack(word: &Unpack, rights: &Rights) -> Result<()> {
    let source = source::open(&word.image.reference, &word.image.source)?;
    flat::unpack(&*source, &word.image.platform(), &word.bundle, rights)
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
