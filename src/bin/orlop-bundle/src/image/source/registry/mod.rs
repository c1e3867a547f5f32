//! `docker://HOST/NAME`: a registry, by the interface of the OCI distribution specification.

mod blob;
mod challenge;
mod client;
#[cfg(any(test, fuzzing))]
#[path = "../../../../../../../integration/fuzz/targets/registry.rs"]
pub(crate) mod fuzz;
mod manifest;
mod proxy;
mod session;
mod tls;
mod url;

use super::{Manifest, Platform, Source, resolve};
use crate::image::auth::AuthFiles;
use crate::image::reference::{self, Name};
use anyhow::{Context as _, Result, anyhow, bail, ensure};
use blob::Blob;
use client::{Client, Request, succeeded};
use oci_spec::image::Descriptor;
use proxy::Proxies;
use session::Session;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tls::CertificateDirs;
use ureq::http::{Response, header};
use ureq::{Body, BodyReader};
use url::Url;

/// The host behind the name docker.io.
const HUB_HOST: &str = "registry-1.docker.io";
/// How a registry is reached.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct RegistryOptions {
    /// Ask this registry first, for images of any registry; may be repeated
    #[arg(long, value_name = "HOST[:PORT]")]
    mirror: Vec<String>,
    /// Use plain http and certificates that are not trusted, with a registry on loopback alone
    #[arg(long)]
    insecure: bool,
    /// The file with credentials, instead of the usual ones of containers-auth.json(5)
    #[arg(long, value_name = "FILE")]
    authfile: Option<PathBuf>,
    /// The directory with the registry's ca.crt, and perhaps client.cert and client.key
    #[arg(long, value_name = "DIR")]
    cert_dir: Option<PathBuf>,
    /// How long a registry may send nothing
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600))]
    timeout: u64,
}

impl Default for RegistryOptions {
    fn default() -> RegistryOptions {
        RegistryOptions { mirror: Vec::new(), insecure: false, authfile: None, cert_dir: None, timeout: 60 }
    }
}

/// An image of a registry, which mirrors may have too.
pub(crate) struct Registry {
    name: Name,
    client: Arc<Client>,
    /// The mirrors, then the registry itself.
    sessions: Vec<Session>,
    /// The first of the sessions that is asked: the one that had the manifest.
    first: AtomicUsize,
}

impl Registry {
    /// Nothing is asked yet.
    ///
    /// # Errors
    /// An option has a value that makes no sense.
    pub(crate) fn new(name: Name, options: &RegistryOptions) -> Result<Registry> {
        for mirror in &options.mirror {
            reference::host(mirror).context("--mirror")?;
        }
        let hosts: Vec<&String> = options.mirror.iter().chain([&name.host]).collect();
        let loopback =
            |host: &&String| Url::parse(&format!("https://{host}/"), false).is_ok_and(|url| url.is_loopback());
        ensure!(
            !options.insecure || hosts.iter().any(loopback),
            "--insecure: {0} is not on loopback (localhost, 127.0.0.0/8, ::1); the certificate of its authority belongs \
             in /etc/containers/certs.d/{0}/ca.crt",
            name.host
        );
        let certificates = CertificateDirs::of_process(options.cert_dir.clone());
        let timeout = Duration::from_secs(options.timeout);
        let client = Arc::new(Client::new(options.insecure, timeout, certificates, Proxies::of_process()));
        let files = Arc::new(AuthFiles::of_process(options.authfile.as_deref()));
        let sessions = hosts.iter().map(|host| Session::new(&client, &files, host, &name.repository)).collect();
        Ok(Registry { name, client, sessions, first: AtomicUsize::new(0) })
    }

    fn client(&self) -> &Client {
        &self.client
    }

    /// Asks the mirrors and the registry in turn.
    fn ask_any<T>(&self, ask: impl Fn(&Session) -> Result<T>) -> Result<T> {
        let first = self.first.load(Ordering::Relaxed);
        let mut problems = String::new();
        for (index, session) in self.sessions.iter().enumerate().skip(first) {
            match ask(session) {
                Ok(found) => {
                    self.first.store(index, Ordering::Relaxed);
                    return Ok(found);
                }
                Err(error) if index + 1 == self.sessions.len() && problems.is_empty() => return Err(error),
                Err(error) if index + 1 == self.sessions.len() => bail!("{error:#}; {problems}"),
                Err(error) => problems = format!("mirror {}: {error:#}", session.host),
            }
        }
        bail!("no registry has the image")
    }

    /// Opens a blob at an offset; says where the body begins, which may be before it.
    fn open(&self, descriptor: &Descriptor, offset: u64) -> Result<(BodyReader<'static>, u64)> {
        let digest = descriptor.digest();
        let request = Request { accept: "*/*", offset, ..Request::default() };
        let context = || format!("blob {digest}");
        let response = self.ask_any(|session| {
            let response = session.get(&format!("blobs/{digest}"), &request)?;
            match descriptor.urls() {
                Some(urls) if response.status() == 404 => self.foreign(urls, &request),
                _ => Ok(response),
            }
        });
        let response = succeeded(response.with_context(context)?, context())?;
        begins_at(&response, descriptor.size(), offset)
            .with_context(context)
            .map(|at| (response.into_body().into_reader(), at))
    }

    /// A layer that the registry may not distribute, from the places that its descriptor names. They get no secret.
    fn foreign(&self, urls: &[String], request: &Request<'_>) -> Result<Response<Body>> {
        let mut last = anyhow!("its descriptor names no URL");
        for url in urls {
            let url = Url::parse(url, self.client.insecure);
            match url.and_then(|url| succeeded(self.client.send(&url, request)?, &url)) {
                Ok(response) => return Ok(response),
                Err(error) => last = error,
            }
        }
        Err(last.context("layer outside of the registry"))
    }
}

impl Source for Registry {
    fn manifest(&self, platform: &Platform) -> Result<Manifest> {
        let context = || self.name.to_string();
        let selector = self.name.selector();
        let (top, bytes) = self
            .ask_any(|session| manifest::top(session, selector, self.name.digest.as_ref()))
            .with_context(context)?;
        let digest = top.digest().clone();
        let read = |descriptor: &Descriptor| {
            if *descriptor.digest() == digest {
                return Ok(bytes.clone());
            }
            self.ask_any(|session| manifest::document(session, descriptor.digest().as_ref())).map(|found| found.bytes)
        };
        let found = resolve(top, platform, read).with_context(context)?;
        super::made_for::check(self, &found, platform).with_context(context)?;
        Ok(found)
    }

    fn blob(&self, descriptor: &Descriptor, offset: u64) -> Result<Box<dyn Read + Send + '_>> {
        if offset >= descriptor.size() {
            return Ok(Box::new(io::empty()));
        }
        let opened = self.open(descriptor, offset)?;
        Ok(Box::new(Blob::new(self, descriptor, offset, opened)))
    }

    fn is_remote(&self) -> bool {
        true
    }
}

/// Where the body of a response begins in the blob, if its head fits the blob's descriptor.
fn begins_at(response: &Response<Body>, size: u64, offset: u64) -> Result<u64> {
    refuse_encoded(response)?;
    let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
    let at = if response.status() == 206 {
        let range = header(header::CONTENT_RANGE).context("a partial response without a range")?;
        let parts = range.strip_prefix("bytes ").and_then(|range| range.split_once('-'));
        let start = parts.and_then(|(start, _)| start.trim().parse::<u64>().ok());
        ensure!(start == Some(offset), "asked for the bytes from {offset}, the server sends the range {range:?}");
        offset
    } else {
        0
    };
    let length = header(header::CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok());
    let (all, found) = (size - at, length.unwrap_or(size - at));
    ensure!(found == all, "the server sends {found} bytes where the manifest says {all}");
    Ok(at)
}

/// Refuses a compressed body, which was not asked for: its digest would be another one, and its size without bounds.
fn refuse_encoded(response: &Response<Body>) -> Result<()> {
    let encoding = response.headers().get(header::CONTENT_ENCODING).map(|value| value.to_str().unwrap_or("?"));
    match encoding {
        None | Some("identity" | "") => Ok(()),
        Some(other) => {
            bail!("the server sends the content encoding {:?}, which was not asked for", client::bounded(other))
        }
    }
}

#[cfg(test)]
mod tests;
