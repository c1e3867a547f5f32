//! `orlop run --image REF [COMMAND [ARG...]]`: from an image to a running container.
//!
//! The container's root is an overlay of the image's layers in the store and a writable layer of its own. The runtime
//! mounts it in the container's mount namespace, so that nothing is to be unmounted by anyone.

mod config;

use super::convert::{self, Mappings};
use super::flat;
use super::overlay;
use super::rights;
use super::source::{self, Platform};
use super::space::explained;
use super::store::containers::Owner;
use super::store::form::Stored;
use super::store::record::Record;
use super::store::{self, Store, pull};
use crate::arguments::Global;
use anyhow::{Context as _, Result, bail, ensure};
use orlop::cli::{Flag, GLOBAL, Value};
use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// The variable that asks a process of this program for the image alone, or for a copy of it in the bundle that it names, not
/// for the container.
const PREPARE: &str = "ORLOP_IMAGE_PREPARE";
const IMAGE: &str = "image";

/// Run a container of an image
#[derive(clap::Args)]
pub(crate) struct Run {
    /// The image; all arguments behind it are the program's
    #[arg(long, value_name = "IMAGE")]
    pub(crate) image: String,
    /// The program and its arguments, in place of the image's Cmd
    #[arg(last = true)]
    pub(crate) command: Vec<String>,
    /// The container's id (default: the image's name and four letters)
    #[arg(long)]
    id: Option<String>,
    /// Set a variable of the environment; without a value it is the caller's
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    pub(crate) env: Vec<String>,
    /// Run as this user in place of the image's
    #[arg(short, long, value_name = "USER[:GROUP]")]
    pub(crate) user: Option<String>,
    /// Bind a directory or file of the host
    #[arg(short, long, value_name = "SOURCE:DESTINATION[:ro]")]
    pub(crate) volume: Vec<String>,
    /// Make the root read-only
    #[arg(long)]
    pub(crate) read_only: bool,
    /// Limit the memory, in bytes or with k, m or g
    #[arg(short, long, value_name = "SIZE")]
    pub(crate) memory: Option<String>,
    /// Limit the processors, such as 1.5
    #[arg(long, value_name = "NUMBER")]
    pub(crate) cpus: Option<f64>,
    /// The host name (default: the id)
    #[arg(long)]
    pub(crate) hostname: Option<String>,
    /// The network: none, or the host's
    #[arg(long, value_name = "none|host", default_value = "none")]
    pub(crate) net: String,
    #[arg(long, hide = true)]
    publish: Vec<String>,
    /// Write the bundle into this directory, and keep it
    #[arg(long, value_name = "DIR")]
    bundle: Option<PathBuf>,
    /// Keep the container and its files after it has ended
    #[arg(long)]
    keep: bool,
    /// Return when the container runs
    #[arg(short, long)]
    pub(crate) detach: bool,
    /// Write the process's pid to this file
    #[arg(long, value_name = "FILE")]
    pid_file: Option<PathBuf>,
    /// Send the terminal's file descriptor to this socket
    #[arg(long, value_name = "SOCKET")]
    pub(crate) console_socket: Option<PathBuf>,
    /// Pass that many file descriptors, from 3 on
    #[arg(long, value_name = "N")]
    preserve_fds: Option<u32>,
    /// Run an init process that reaps children
    #[arg(long)]
    init: bool,
    /// The directory of the store
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
    /// The platform that is chosen from an index, as OS/ARCHITECTURE[/VARIANT]
    #[arg(long)]
    platform: Option<Platform>,
    #[command(flatten)]
    source: source::Options,
}

/// Puts `--` behind the image's name, so that everything behind it is the program's.
pub(crate) fn separated(mut arguments: Vec<OsString>) -> Vec<OsString> {
    let Some(word) = word_at(&arguments).filter(|at| arguments[*at] == "run") else { return arguments };
    let is_image = |argument: &OsString| argument == "--image" || argument.to_string_lossy().starts_with("--image=");
    if let Some(at) = arguments[word..].iter().position(is_image).map(|at| word + at) {
        let behind = at + if arguments[at] == "--image" { 2 } else { 1 };
        if behind < arguments.len() && arguments[behind] != "--" {
            arguments.insert(behind, "--".into());
        }
    }
    arguments
}

/// The place of the word behind the global options, of which a value may be any text.
fn word_at(arguments: &[OsString]) -> Option<usize> {
    let mut at = 1;
    loop {
        let argument = arguments.get(at)?.to_string_lossy();
        let Some(name) = argument.strip_prefix("--") else { return Some(at) };
        let has_value = |flag: &Flag| flag.long == name && !matches!(flag.value, Value::Switch);
        at += if GLOBAL.iter().any(has_value) { 2 } else { 1 };
    }
}

/// Runs the container in place of this process.
pub(crate) fn run(global: &Global, runtime: Option<i32>, word: &Run) -> Result<ExitCode> {
    refuse(word)?;
    let is_root = nix::unistd::geteuid().is_root();
    let path = store_path(word.store.as_deref(), rights::is_outer_root())?;
    let platform = word.platform.clone().unwrap_or_else(Platform::host);
    if let Some(what) = std::env::var_os(PREPARE) {
        return super::with_rights(|rights| match what.to_str() {
            Some(IMAGE) => prepare(&path, &platform, word, rights).map(drop),
            _ => copy(&path, &platform, word, Path::new(&what), rights),
        });
    }
    let record = if is_root {
        let mut found = None;
        super::with_rights(|rights| prepare(&path, &platform, word, rights).map(|record| found = Some(record)))?;
        found.context("no image")?
    } else {
        of_user(&path, &platform, word)?
    };
    let mappings = if is_root { None } else { Some(rights::subordinate()) };
    let id = word.id.clone().map_or_else(|| id(&word.image), Ok)?;
    convert::program(&record.configuration()?, &word.command)?;
    let make = || container(&path, global, word, &id, &record, mappings.as_ref());
    let bundle = explained("store", &path, super::with_descriptors(make))?;
    let mut command =
        Command::new(format!("/proc/self/fd/{}", runtime.context("orlop itself must hand over to this")?));
    command.arg0("orlop").args(globals()).arg("run").arg("--bundle").arg(&bundle);
    for (flag, value) in [("--pid-file", &word.pid_file), ("--console-socket", &word.console_socket)] {
        if let Some(value) = value {
            command.arg(flag).arg(value);
        }
    }
    if let Some(count) = word.preserve_fds {
        command.arg("--preserve-fds").arg(count.to_string());
    }
    for (flag, is_on) in [("--detach", word.detach), ("--keep", word.keep), ("--init", word.init)] {
        command.args(is_on.then_some(flag));
    }
    Err(command.arg(&id).exec()).context("execute orlop")
}

fn refuse(word: &Run) -> Result<()> {
    ensure!(word.publish.is_empty(), "--publish: orlop makes no networks; Podman does (podman run --runtime orlop)");
    ensure!(matches!(word.net.as_str(), "none" | "host"), "--net {:?}: is neither none nor host", word.net);
    Ok(())
}

/// The image in the store, and no writable layers of containers that are gone.
fn prepare(path: &Path, platform: &Platform, word: &Run, rights: &rights::Rights) -> Result<Record> {
    let store = Store::open(path)?;
    explained("store", path, store.remove_stale())?;
    match store.find(&word.image, &platform.to_string())? {
        Some(record) => Ok(record),
        None => pull::pull(&store, &*source::open(&word.image, &word.source)?, &word.image, platform, rights),
    }
}

/// The same for an ordinary user: a process in a user namespace writes, this one stays outside.
fn of_user(path: &Path, platform: &Platform, word: &Run) -> Result<Record> {
    let look = || -> Result<Option<Record>> {
        let store = Store::open(path)?;
        if store.stale(&store.lock()?)?.is_empty() { store.find(&word.image, &platform.to_string()) } else { Ok(None) }
    };
    if let Some(record) = look()? {
        return Ok(record);
    }
    again(IMAGE.as_ref())?;
    look()?.with_context(|| format!("image {}: is not in the store after it was pulled", word.image))
}

/// Executes this program for what [`PREPARE`] says, and ends with it where it fails.
fn again(what: &OsStr) -> Result<()> {
    let status = rights::anew().env(PREPARE, what).status().context("execute /proc/self/exe")?;
    if !status.success() {
        std::process::exit(status.code().unwrap_or(crate::USAGE.into()));
    }
    Ok(())
}

/// Unpacks an image without layers into a container's bundle.
fn copy(path: &Path, platform: &Platform, word: &Run, bundle: &Path, rights: &rights::Rights) -> Result<()> {
    let store = Store::open(path)?;
    let record = store.find(&word.image, &platform.to_string())?.context("the image was removed meanwhile")?;
    flat::copy(&Stored { store: &store, record: &record }, platform, bundle, rights)
}

/// `NAME-xxxx`.
fn id(image: &str) -> Result<String> {
    let name = image.rsplit(['/', ':']).find(|part| !part.is_empty() && *part != "latest").unwrap_or("image");
    let name = image.rsplit('/').next().and_then(|last| last.split([':', '@']).find(|p| !p.is_empty())).unwrap_or(name);
    let plain: String = name.chars().filter(|letter| letter.is_ascii_alphanumeric()).take(40).collect();
    let random = std::fs::read_to_string("/proc/sys/kernel/random/uuid").context("a random id")?;
    Ok(format!("{}-{}", if plain.is_empty() { "image" } else { &plain }, &random[..4]))
}

/// Makes the container's bundle in the store, or where `--bundle` says.
fn container(
    path: &Path,
    global: &Global,
    word: &Run,
    id: &str,
    record: &Record,
    mappings: Option<&Mappings>,
) -> Result<PathBuf> {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "_+.-".contains(letter);
    ensure!(!id.is_empty() && !id.starts_with('.') && id.chars().all(is_plain), "--id {id:?}: is no container id");
    let store = Store::open(path)?;
    if let Some(bundle) = &word.bundle {
        ensure!(!record.is_flat, "--bundle: `orlop image unpack` writes the bundle where there is no overlay");
        let bundle = overlay::bundle(&store, bundle, &record.layers)?;
        let written = config::write(&store, &bundle, word, id, record, mappings);
        let written = explained("bundle", &bundle, written.and_then(|()| overlay::complete(&store, &bundle)));
        if written.is_err() {
            overlay::unmake(&bundle);
        }
        return written.map(|()| bundle);
    }
    // The next command may look for it from another directory.
    let root = std::path::absolute(&global.root).context("--root")?;
    let owner = Owner::new(id, Some(root.join(id)), word.keep, &record.layers)?;
    let guard = store.lock()?;
    if store.container(id).exists() {
        bail!("a container {id} has a writable layer in the store; `orlop image rm {id}` removes a kept one");
    }
    let directory = store.refer(&guard, id, &owner)?;
    drop(guard);
    if record.is_flat {
        let platform = word.platform.clone().unwrap_or_else(Platform::host);
        match mappings {
            Some(_) => again(directory.as_os_str())?,
            None => super::with_rights(|rights| copy(path, &platform, word, &directory, rights)).map(drop)?,
        }
    }
    config::write(&store, &directory, word, id, record, mappings)?;
    Ok(directory)
}

/// The global options before the word, for the runtime.
fn globals() -> Vec<OsString> {
    let is_own = |argument: &OsString| argument.to_string_lossy().starts_with("--runtime-");
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let word = word_at(&arguments).unwrap_or(arguments.len());
    arguments[1..word].iter().filter(|argument| !is_own(argument)).cloned().collect()
}

/// The store of the command line, or the user's.
pub(super) fn store_path(given: Option<&Path>, is_root: bool) -> Result<PathBuf> {
    match given {
        Some(path) => std::path::absolute(path).context("--store"),
        None => store::default_path(is_root),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_behind_the_image_is_the_programs() {
        for (given, wanted) in [
            ("orlop run --image busybox sh -c x", "orlop run --image busybox -- sh -c x"),
            ("orlop run --keep --image=busybox --env A", "orlop run --keep --image=busybox -- --env A"),
            ("orlop run --image busybox -- sh", "orlop run --image busybox -- sh"),
            ("orlop run --image busybox", "orlop run --image busybox"),
            ("orlop image list", "orlop image list"),
            ("orlop --root run run --image busybox sh", "orlop --root run run --image busybox -- sh"),
            ("orlop --root=x --debug run --image busybox sh", "orlop --root=x --debug run --image busybox -- sh"),
            ("orlop image unpack run --image", "orlop image unpack run --image"),
        ] {
            let words = given.split(' ').map(OsString::from).collect();
            let found: Vec<_> = separated(words).into_iter().map(|word| word.into_string().unwrap()).collect();
            assert_eq!(found.join(" "), wanted);
        }
    }

    #[test]
    fn an_id_has_the_images_name() {
        for (image, name) in
            [("busybox", "busybox-"), ("docker://h:5000/a/web:1.2", "web-"), ("oci:/srv/x:latest", "x-")]
        {
            let id = id(image).unwrap();
            assert!(id.starts_with(name) && id.len() == name.len() + 4, "{id}");
        }
    }
}
