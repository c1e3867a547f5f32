//! Images: from a source to a bundle.

mod auth;
mod convert;
mod flat;
#[cfg(any(test, fuzzing))]
#[path = "../../../../../integration/fuzz/targets/companion.rs"]
pub(crate) mod fuzz;
mod layer;
mod overlay;
mod progress;
mod reference;
mod rights;
pub(crate) mod run;
pub(crate) mod source;
mod space;
mod store;
mod user;
mod words;

use anyhow::{Context as _, Result, anyhow};
use clap::Subcommand;
use rights::Rights;
use rustix::process::{Resource, Rlimit};
use source::Platform;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{ExitCode, ExitStatus};

/// Pull, look at and unpack container images
///
/// IMAGE is the name of an image of a registry (busybox means docker.io/library/busybox:latest), or where it is:
/// docker://HOST/NAME[:TAG|@DIGEST], oci:DIRECTORY[:TAG], an image layout; oci-archive:FILE[:TAG], one in an archive;
/// docker-archive:FILE[:NAME|:@INDEX], which docker save writes; tar:FILE, the root file system as one layer.
///
/// The store holds images that were pulled; `run --image` pulls on its own. Layers are shared by all images and containers
/// of a user.
#[derive(clap::Args)]
pub(crate) struct Image {
    #[command(subcommand)]
    word: Word,
}

#[derive(Subcommand)]
enum Word {
    /// Print an image's manifest for a platform
    Inspect(Chosen),
    /// Show the images of the store, and the containers that are kept
    List(words::Place),
    /// Remove layers that no image needs, and writable layers of containers that are gone
    Gc(words::Place),
    /// Read an image into the store
    Pull(words::Pull),
    /// Remove images or kept containers from the store
    Rm(words::Remove),
    Unpack(Unpack),
    /// Check digests and sizes of an image, or all files of the store; signatures are not checked
    Verify(words::Verify),
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
    /// Make the root an overlay of the store's layers, for orlop; the bundle has the writable layer
    #[arg(long)]
    overlay: bool,
    #[command(flatten)]
    place: words::Place,
    /// The directory that is made, or has no rootfs and no config.json yet
    bundle: PathBuf,
}

/// Carries out a word.
pub(crate) fn run(image: &Image) -> Result<ExitCode> {
    match &image.word {
        Word::Inspect(word) => inspect(word),
        Word::Gc(place) => words::collect(place),
        Word::List(place) => words::list(place),
        Word::Pull(word) => words::pull(word),
        Word::Rm(word) => words::remove(word),
        Word::Unpack(word) => with_rights(|rights| unpack(word, rights)),
        Word::Verify(word) => words::verify(word),
    }
}

/// Does something with the rights to write files of many owners: for an ordinary user in a process of its own.
fn with_rights(work: impl FnOnce(&Rights) -> Result<()>) -> Result<ExitCode> {
    match rights::acquire()? {
        Ok(rights) => {
            // Modes are those of the archive. Containers inherit the caller's mask.
            let mask = rustix::process::umask(rustix::fs::Mode::empty());
            let done = with_descriptors(|| work(&rights));
            rustix::process::umask(mask);
            done.map(|()| ExitCode::SUCCESS)
        }
        Err(status) => Ok(code(status)),
    }
}

/// Does something with as many file descriptors as the hard limit allows: each layer of an image holds one, and each level of a
/// tree that is removed. Containers inherit the caller's limit.
fn with_descriptors<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    rustix::process::setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })?;
    let done = work();
    rustix::process::setrlimit(Resource::Nofile, limit)?;
    done.map_err(|error| {
        let text = format!("{error:#}").replace("(os error 24)", "(EMFILE)");
        let most = limit.maximum.map_or_else(String::new, |most| most.to_string());
        if text.contains("(EMFILE)") {
            anyhow!("{text} (hint: raise the hard limit of open files, {most})")
        } else {
            error
        }
    })
}

fn code(status: ExitStatus) -> ExitCode {
    ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(crate::USAGE))
}

fn unpack(word: &Unpack, rights: &Rights) -> Result<()> {
    if word.overlay {
        return overlay::unpack(word, rights);
    }
    let source = source::open(&word.image.reference, &word.image.source)?;
    flat::unpack(&*source, &word.image.platform(), &word.bundle, rights)
}

fn inspect(word: &Chosen) -> Result<ExitCode> {
    let manifest = source::open(&word.reference, &word.source)?.manifest(&word.platform())?;
    let text = String::from_utf8_lossy(&manifest.bytes);
    writeln!(std::io::stdout(), "{}", orlop::explain::shown(&text)).context("write to standard output")?;
    Ok(ExitCode::SUCCESS)
}
