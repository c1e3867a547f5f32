//! Certificates: the system's, and those that an administrator keeps for one registry.

use super::url::Url;
use crate::image::reference::DOCKER_HUB;
use anyhow::{Context as _, Result, bail, ensure};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use rustls::sign::CertifiedKey;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};

/// The largest file of certificates or keys that is read, in bytes.
const MAX_FILE: u64 = 1 << 20;

/// Where certificates are.
#[derive(Clone, Debug, Default)]
pub(super) struct CertificateDirs {
    /// `--cert-dir`: the files themselves are in it, for every host.
    named: Option<PathBuf>,
    /// Directories with one of certificates for each host.
    by_host: Vec<PathBuf>,
}

impl CertificateDirs {
    pub(super) fn of_process(named: Option<PathBuf>) -> CertificateDirs {
        let home = std::env::var_os("HOME").filter(|home| !home.is_empty()).map(PathBuf::from);
        let of_user = home.map(|home| home.join(".config/containers/certs.d"));
        let of_system = ["/etc/containers/certs.d", "/etc/docker/certs.d"].map(PathBuf::from);
        CertificateDirs { named, by_host: of_user.into_iter().chain(of_system).collect() }
    }

    /// The first directory that there is for the URL's host.
    fn of(&self, url: &Url) -> Option<PathBuf> {
        let host = url.authority();
        let host = if host == super::HUB_HOST { DOCKER_HUB } else { host };
        let by_host = || self.by_host.iter().map(|dir| dir.join(host)).find(|dir| dir.is_dir());
        self.named.clone().or_else(by_host)
    }
}

/// The settings for connections to the URL's host.
///
/// # Errors
/// A file of certificates cannot be used, or there is no certificate at all.
pub(super) fn config(url: &Url, dirs: &CertificateDirs, verify: bool) -> Result<TlsConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let (mut roots, mut identity) = (Vec::new(), None);
    if let Some(dir) = dirs.of(url) {
        let context = || format!("certificates for {} in {}", url.authority(), dir.display());
        roots = authorities(&dir).with_context(context)?;
        identity = client(&dir, &provider).with_context(context)?;
    }
    let builder = TlsConfig::builder().unversioned_rustls_crypto_provider(provider).client_cert(identity);
    if !verify {
        return Ok(builder.root_certs(RootCerts::Specific(Arc::new(roots))).disable_verification(true).build());
    }
    let system = rustls_native_certs::load_native_certs();
    roots.extend(system.certs.iter().map(|certificate| Certificate::from_der(certificate).to_owned()));
    if roots.is_empty() {
        let problem = system.errors.first().map(|error| format!(" ({error})")).unwrap_or_default();
        bail!(
            "there are no certificates of authorities{problem}; install ca-certificates, or name a file in SSL_CERT_FILE"
        );
    }
    Ok(builder.root_certs(RootCerts::Specific(Arc::new(roots))).build())
}

/// The files of a directory whose names end so, in order.
fn files(dir: &Path, ending: &str) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(dir)?.map(|entry| Ok(entry?.path()));
    let mut paths = entries.collect::<Result<Vec<PathBuf>>>()?;
    paths.retain(|path| path.extension().is_some_and(|found| found == ending));
    paths.sort();
    Ok(paths)
}

fn pem(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = fs::File::open(path).with_context(|| path.display().to_string())?;
    file.take(MAX_FILE + 1).read_to_end(&mut bytes).with_context(|| path.display().to_string())?;
    ensure!(bytes.len() as u64 <= MAX_FILE, "{}: more than {MAX_FILE} bytes", path.display());
    Ok(bytes)
}

fn certificates(path: &Path) -> Result<Vec<Certificate<'static>>> {
    let bytes = pem(path)?;
    let items = parse_pem(&bytes).filter_map(|item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(Ok(certificate)),
        Ok(_) => None,
        Err(error) => Some(Err(error)),
    });
    let found = items.collect::<Result<Vec<_>, _>>().with_context(|| path.display().to_string())?;
    ensure!(!found.is_empty(), "{}: no certificate in PEM form", path.display());
    Ok(found)
}

fn authorities(dir: &Path) -> Result<Vec<Certificate<'static>>> {
    let all = files(dir, "crt")?.iter().map(|path| certificates(path)).collect::<Result<Vec<_>>>()?;
    Ok(all.into_iter().flatten().collect())
}

/// The first `NAME.cert` with its `NAME.key`.
fn client(dir: &Path, provider: &CryptoProvider) -> Result<Option<ClientCert>> {
    let Some(path) = files(dir, "cert")?.into_iter().next() else { return Ok(None) };
    let key = path.with_extension("key");
    ensure!(key.exists(), "{} has no key {}", path.display(), key.display());
    let chain = certificates(&path)?;
    let bytes = pem(&key)?;
    let der = PrivateKeyDer::from_pem_slice(&bytes).ok();
    let der = der.with_context(|| format!("{}: no private key in PEM form", key.display()))?;
    // The client panics on a key that is not the certificate's.
    let signer = provider.key_provider.load_private_key(der).ok();
    let signer = signer.with_context(|| format!("{}: a private key of an unknown kind", key.display()))?;
    let ders = chain.iter().map(|certificate| CertificateDer::from(certificate.der().to_vec())).collect();
    let fits = CertifiedKey::new(ders, signer).keys_match().is_ok();
    ensure!(fits, "{} is not the key of {}", key.display(), path.display());
    let key = PrivateKey::from_pem(&bytes).with_context(|| key.display().to_string())?;
    Ok(Some(ClientCert::new_with_certs(&chain, key)))
}
