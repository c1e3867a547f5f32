//! Names of images: `busybox`, `docker://HOST/NAME:TAG`, `oci:DIRECTORY`, archives.

use anyhow::{Context as _, Result, bail, ensure};
use oci_spec::image::{Digest, DigestAlgorithm};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// The registry of names without a host.
pub(crate) const DOCKER_HUB: &str = "docker.io";
/// The tag of names with neither a tag nor a digest.
const DEFAULT_TAG: &str = "latest";
/// The longest name, host included.
const MAX_NAME: usize = 255;
const MAX_TAG: usize = 128;

/// The place of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reference {
    /// `docker://NAME`, or the name alone.
    Registry(Name),
    /// `oci:DIRECTORY[:TAG]`; the layout itself finds the colon.
    Layout(String),
    /// `oci-archive:FILE[:TAG]`.
    OciArchive { file: PathBuf, tag: Option<String> },
    /// `docker-archive:FILE[:NAME|:@INDEX]`.
    DockerArchive { file: PathBuf, choice: Choice },
    /// `tar:FILE`: the root file system as one layer.
    Tar(PathBuf),
}

/// The image in an archive of several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    Only,
    /// One of its tags, in full.
    Tag(String),
    /// The place in the archive's list, from 0.
    Index(usize),
}

/// An image of a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Name {
    /// The registry, with its port where it has one.
    pub(crate) host: String,
    pub(crate) repository: String,
    /// Where there is a digest too, the digest is the one that counts.
    pub(crate) tag: Option<String>,
    pub(crate) digest: Option<Digest>,
}

/// Transports of other programs.
const FOREIGN: &[&str] = &["containers-storage", "docker-daemon", "dir", "ostree", "sif", "http", "https", "file"];

impl FromStr for Reference {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Reference> {
        parse(text).with_context(|| format!("image {text:?}"))
    }
}

fn parse(text: &str) -> Result<Reference> {
    ensure!(!text.is_empty(), "the name is empty");
    ensure!(!text.chars().any(char::is_control), "the name has a control character");
    if text.starts_with(['/', '.', '~']) {
        bail!("is a path; say its form: oci:DIRECTORY, oci-archive:FILE, docker-archive:FILE or tar:FILE");
    }
    let (transport, rest) = text.split_once(':').unwrap_or(("", text));
    match transport {
        "docker" if rest.starts_with("//") => Ok(Reference::Registry(rest[2..].parse()?)),
        "oci" => {
            ensure!(!rest.is_empty(), "oci: needs a directory");
            Ok(Reference::Layout(rest.to_owned()))
        }
        "oci-archive" => {
            let (file, tag) = file_and_name(rest)?;
            Ok(Reference::OciArchive { file, tag: tag.map(str::to_owned) })
        }
        "docker-archive" => {
            let (file, name) = file_and_name(rest)?;
            Ok(Reference::DockerArchive { file, choice: choice(name)? })
        }
        "tar" => {
            ensure!(!rest.is_empty(), "tar: needs a file");
            Ok(Reference::Tar(rest.into()))
        }
        foreign if FOREIGN.contains(&foreign) && !rest.starts_with(|c: char| c.is_ascii_digit()) => bail!(
            "the transport {foreign}: is not supported; there are docker://, oci:, oci-archive:, docker-archive: and tar:"
        ),
        _ => Ok(Reference::Registry(text.parse()?)),
    }
}

/// `FILE[:NAME]`, divided at the first colon.
fn file_and_name(text: &str) -> Result<(PathBuf, Option<&str>)> {
    let (file, name) = text.split_once(':').map_or((text, None), |(file, name)| (file, Some(name)));
    ensure!(!file.is_empty(), "the file is missing");
    ensure!(name != Some(""), "the name behind the file is empty");
    Ok((file.into(), name))
}

fn choice(name: Option<&str>) -> Result<Choice> {
    let Some(name) = name else { return Ok(Choice::Only) };
    if let Some(index) = name.strip_prefix('@') {
        return Ok(Choice::Index(index.parse().with_context(|| format!("the index @{index} is not a number"))?));
    }
    let name: Name = name.parse()?;
    ensure!(name.digest.is_none(), "an archive has tags and no digests");
    Ok(Choice::Tag(name.to_string()))
}

impl FromStr for Name {
    type Err = anyhow::Error;

    /// Parses the grammar of the distribution project, with Docker's short names.
    fn from_str(text: &str) -> Result<Name> {
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(self::digest(digest)?)),
            None => (text, None),
        };
        let last = rest.rfind('/').map_or(0, |slash| slash + 1);
        let (path, tag) = match rest[last..].split_once(':') {
            Some((name, tag)) => (&rest[..last + name.len()], Some(self::tag(tag)?)),
            None => (rest, None),
        };
        let (host, path) = host_and_path(path);
        self::host(host)?;
        ensure!(!path.is_empty(), "the name of the repository is missing");
        path.split('/').try_for_each(component)?;
        ensure!(
            host != DOCKER_HUB || !is_identifier(path),
            "64 hexadecimal digits are an identifier, not a name; a digest is named by NAME@sha256:DIGITS"
        );
        let library = host == DOCKER_HUB && !path.contains('/');
        let repository = if library { format!("library/{path}") } else { path.to_owned() };
        let length = host.len() + 1 + repository.len();
        ensure!(length <= MAX_NAME, "the name has {length} characters, more than {MAX_NAME}");
        let tag = tag.or_else(|| digest.is_none().then(|| DEFAULT_TAG.to_owned()));
        Ok(Name { host: host.to_owned(), repository, tag, digest })
    }
}

/// The first component is a host where it has a dot, a colon or a capital letter, or is localhost.
fn host_and_path(path: &str) -> (&str, &str) {
    let is_host = |first: &str| {
        first.contains(['.', ':', '[']) || first == "localhost" || first.chars().any(|c| c.is_ascii_uppercase())
    };
    match path.split_once('/') {
        Some((first, rest)) if is_host(first) => {
            let hub = matches!(first, "index.docker.io" | "registry-1.docker.io");
            (if hub { DOCKER_HUB } else { first }, rest)
        }
        _ => (DOCKER_HUB, path),
    }
}

fn is_identifier(path: &str) -> bool {
    path.len() == 64 && path.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Checks `HOST[:PORT]`.
pub(crate) fn host(text: &str) -> Result<()> {
    let (name, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (address, rest) = rest.split_once(']').with_context(|| format!("host {text:?}: ] is missing"))?;
            let address_is_right = address.parse::<std::net::Ipv6Addr>().is_ok();
            ensure!(address_is_right, "host {text:?}: {address:?} is not an IPv6 address");
            let port = rest.strip_prefix(':');
            ensure!(rest.is_empty() || port.is_some(), "host {text:?}: {rest:?} follows the address");
            (None, port)
        }
        None => {
            let (name, port) = text.split_once(':').map_or((text, None), |(name, port)| (name, Some(port)));
            (Some(name), port)
        }
    };
    if let Some(port) = port {
        let digits = port.bytes().all(|byte| byte.is_ascii_digit());
        ensure!(
            digits && port.parse::<u16>().is_ok_and(|port| port > 0),
            "host {text:?}: the port {port:?} is not in 1..=65535"
        );
    }
    let label = |label: &str| {
        let within = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        within && !label.is_empty() && !label.starts_with('-') && !label.ends_with('-')
    };
    ensure!(
        name.is_none_or(|name| name.split('.').all(label)),
        "host {text:?}: a host has letters, digits and hyphens between dots"
    );
    Ok(())
}

/// Checks `[a-z0-9]+` with the separators `.`, `_`, `__` and hyphens between.
fn component(text: &str) -> Result<()> {
    let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        bail!("{text:?} has capital letters; the name of a repository has none");
    }
    let separators = text.split(|c: char| c.is_ascii() && alphanumeric(c as u8)).filter(|part| !part.is_empty());
    let separated = separators.clone().all(|part| matches!(part, "." | "_" | "__") || part.bytes().all(|b| b == b'-'));
    let ends = text.bytes().next().zip(text.bytes().last());
    ensure!(
        separated && ends.is_some_and(|(first, last)| alphanumeric(first) && alphanumeric(last)),
        "{text:?} is not part of a name: those are lowercase letters and digits, with single . _ __ or hyphens between"
    );
    Ok(())
}

fn tag(text: &str) -> Result<String> {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let first = text.bytes().next().is_some_and(word);
    ensure!(
        first && text.len() <= MAX_TAG && text.bytes().all(|byte| word(byte) || byte == b'.' || byte == b'-'),
        "the tag {text:?} is not 1 to {MAX_TAG} letters, digits, _ . and -, of which . and - are not the first"
    );
    Ok(text.to_owned())
}

/// A digest whose algorithm is supported.
fn digest(text: &str) -> Result<Digest> {
    let digest = Digest::from_str(text)
        .map_err(|_| anyhow::anyhow!("the digest {text:?} is not sha256: and 64 lowercase hexadecimal digits"))?;
    match digest.algorithm() {
        DigestAlgorithm::Sha256 | DigestAlgorithm::Sha512 => Ok(digest),
        other => bail!("the digest {text:?}: the algorithm {other} is not supported; sha256 and sha512 are"),
    }
}

impl Name {
    /// How the registry knows the manifest: by the digest, else by the tag.
    pub(crate) fn selector(&self) -> &str {
        self.digest.as_ref().map(AsRef::as_ref).or(self.tag.as_deref()).unwrap_or(DEFAULT_TAG)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host, self.repository)?;
        self.tag.iter().try_for_each(|tag| write!(f, ":{tag}"))?;
        self.digest.iter().try_for_each(|digest| write!(f, "@{digest}"))
    }
}

impl Reference {
    /// The name in full, where the user wrote a shorter one.
    pub(crate) fn expansion(&self, written: &str) -> Option<String> {
        let Reference::Registry(name) = self else { return None };
        let host = written.trim_start_matches("docker://").split('/').next().unwrap_or_default();
        (!written.contains('/') || host_and_path(&format!("{host}/")).0 != host)
            .then(|| format!("{written} means {name}"))
    }
}

#[cfg(test)]
mod tests;
