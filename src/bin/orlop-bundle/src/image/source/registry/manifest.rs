//! Manifests and indexes of a registry.

use super::client::{Request, bounded, succeeded};
use super::refuse_encoded;
use super::session::Session;
use crate::image::source::{Hasher, MAX_MANIFEST};
use anyhow::{Context as _, Result, bail, ensure};
use oci_spec::image::{Descriptor, Digest, DigestAlgorithm, MediaType};
use std::str::FromStr as _;
use ureq::http::header;

/// The documents that are understood.
const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json";
/// The beginning of the media types of Docker's first manifests, which name no digests of layers.
const SCHEMA_1: &str = "application/vnd.docker.distribution.manifest.v1+";

/// A document as it came: nothing is verified.
pub(super) struct Document {
    media_type: String,
    /// The digest in the head of the response.
    digest: Option<Digest>,
    pub(super) bytes: Vec<u8>,
}

/// The document that the image's name stands for, with a descriptor of it.
///
/// # Errors
/// There is none, it is too large, or it contradicts itself.
pub(super) fn top(session: &Session, selector: &str, known: Option<&Digest>) -> Result<(Descriptor, Vec<u8>)> {
    let document = document(session, selector)?;
    let of_head = document.digest.as_ref();
    let computed = Hasher::digest(known.or(of_head), &document.bytes)?;
    for (digest, of) in [(known, "that was asked for"), (of_head, "in the head of the response")] {
        let same = digest.is_none_or(|digest| digest.algorithm() != computed.algorithm() || *digest == computed);
        ensure!(same, "the manifest has the digest {computed}, and not the one {of}");
    }
    let media_type = media_type(&document)?;
    Ok((Descriptor::new(media_type, document.bytes.len() as u64, computed), document.bytes))
}

/// Reads a document.
///
/// # Errors
/// There is none, or it is larger than [`MAX_MANIFEST`].
pub(super) fn document(session: &Session, selector: &str) -> Result<Document> {
    let context = || format!("manifest {selector} of registry {}", session.host);
    let request = Request { accept: ACCEPT, small: true, ..Request::default() };
    let mut response = succeeded(session.get(&format!("manifests/{selector}"), &request)?, context())?;
    refuse_encoded(&response).with_context(context)?;
    let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let length = header(header::CONTENT_LENGTH.as_str()).and_then(|length| length.parse::<u64>().ok());
    let large = || format!("{}: more than {MAX_MANIFEST} bytes", context());
    ensure!(length.is_none_or(|length| length <= MAX_MANIFEST), large());
    let media_type = header(header::CONTENT_TYPE.as_str()).unwrap_or_default();
    let media_type = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let digest = header("docker-content-digest").and_then(|digest| Digest::from_str(digest).ok());
    let digest = digest.filter(|d| matches!(d.algorithm(), DigestAlgorithm::Sha256 | DigestAlgorithm::Sha512));
    let read = response.body_mut().with_config().limit(MAX_MANIFEST + 1).read_to_vec();
    let bytes = match read {
        Ok(bytes) => bytes,
        Err(ureq::Error::BodyExceedsLimit(_)) => bail!(large()),
        Err(ureq::Error::Timeout(_)) => bail!("{}: the response was not whole in time", context()),
        Err(error) => bail!("{}: the response was cut ({})", context(), bounded(&error.to_string())),
    };
    ensure!(bytes.len() as u64 <= MAX_MANIFEST, large());
    Ok(Document { media_type, digest, bytes })
}

/// The kind of a document. Head and text must agree, and the text must be of one kind, or a tag would be one image for
/// this program and another one for the next.
fn media_type(document: &Document) -> Result<MediaType> {
    let text: serde_json::Value = serde_json::from_slice(&document.bytes).context("the manifest is no JSON")?;
    let has = |name: &str| text.get(name).is_some();
    ensure!(!(has("manifests") && (has("layers") || has("config"))), "the manifest is an index at the same time");
    let (of_head, of_text) = (document.media_type.as_str(), text["mediaType"].as_str());
    let generic = matches!(of_head, "" | "application/json" | "text/plain" | "application/octet-stream");
    let found = match of_text {
        Some(of_text) if generic => of_text,
        Some(of_text) => {
            ensure!(of_text == of_head, "the response has the media type {of_head:?}, its text {:?}", bounded(of_text));
            of_text
        }
        None if !generic => of_head,
        None if has("manifests") => "application/vnd.oci.image.index.v1+json",
        None => "application/vnd.oci.image.manifest.v1+json",
    };
    let old = found.starts_with(SCHEMA_1) || text["schemaVersion"] == 1;
    ensure!(!old, "the manifest is of Docker's first form, which is not supported; push the image anew");
    Ok(MediaType::from(found))
}
