//! Credentials for registries, as containers-auth.json(5) and Docker's config.json hold them.

mod credential;
#[cfg(any(test, fuzzing))]
#[path = "../../../../../integration/fuzz/targets/auth.rs"]
pub(crate) mod fuzz;

use anyhow::{Context as _, Result, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use serde_json::{Map, Value};
use std::env;
use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use super::reference::DOCKER_HUB;

/// The largest file of credentials that is read, in bytes.
const MAX_FILE: u64 = 1 << 20;
/// The key of Docker Hub in Docker's own files and in credential helpers.
const HUB_KEY: &str = "https://index.docker.io/v1/";

/// A secret: it has no form that could reach a message or a log.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(String);

impl Secret {
    pub(crate) fn new(text: String) -> Secret {
        Secret(text)
    }

    /// The text itself, for a request.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(secret)")
    }
}

/// The right to pull from a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Credentials {
    Password {
        user: String,
        password: Secret,
    },
    /// A refresh token of OAuth 2.
    Identity(Secret),
}

impl Credentials {
    /// The value of an Authorization header.
    pub(crate) fn basic(user: &str, password: &Secret) -> Secret {
        Secret(format!("Basic {}", STANDARD.encode(format!("{user}:{}", password.reveal()))))
    }
}

/// The files that may hold credentials, in the order in which they are asked.
#[derive(Clone, Debug, Default)]
pub(crate) struct AuthFiles {
    files: Vec<PathBuf>,
    /// The user named the file, so that it must be there.
    named: bool,
}

impl AuthFiles {
    /// Those of this process: `named` or REGISTRY_AUTH_FILE alone, else the usual ones.
    pub(crate) fn of_process(named: Option<&Path>) -> AuthFiles {
        let variable = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        if let Some(file) = named.map(Path::to_owned).or_else(|| variable("REGISTRY_AUTH_FILE")) {
            return AuthFiles { files: vec![file], named: true };
        }
        let home = variable("HOME");
        let below_home = |path: &str| home.as_ref().map(|home| home.join(path));
        let uid = nix::unistd::geteuid();
        let runtime = variable("XDG_RUNTIME_DIR").map(|dir| dir.join("containers/auth.json"));
        let config = variable("XDG_CONFIG_HOME").or_else(|| below_home(".config"));
        let docker = variable("DOCKER_CONFIG").or_else(|| below_home(".docker"));
        let files = [
            Some(runtime.unwrap_or_else(|| format!("/run/containers/{uid}/auth.json").into())),
            config.map(|dir| dir.join("containers/auth.json")),
            docker.map(|dir| dir.join("config.json")),
        ];
        AuthFiles { files: files.into_iter().flatten().collect(), named: false }
    }

    /// The credentials for a repository: those of the first file that has some.
    ///
    /// # Errors
    /// A file cannot be read, or a credential helper fails.
    pub(crate) fn find(&self, host: &str, repository: &str) -> Result<Option<Credentials>> {
        for file in &self.files {
            let Some(document) = document(file, self.named)? else { continue };
            let found = of_document(&document, host, repository)
                .with_context(|| format!("credentials for {host} in {}", file.display()))?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }
}

/// The object in a file, where there is a file.
fn document(path: &Path, must_be: bool) -> Result<Option<Map<String, Value>>> {
    let context = || format!("file of credentials {}", path.display());
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) && !must_be => {
            return Ok(None);
        }
        Err(error) => return Err(error).with_context(context),
    };
    let is_file = file.metadata().with_context(context)?.is_file();
    ensure!(is_file, "{}: not a regular file", context());
    let mut bytes = Vec::new();
    file.take(MAX_FILE + 1).read_to_end(&mut bytes).with_context(context)?;
    ensure!(bytes.len() as u64 <= MAX_FILE, "{}: more than {MAX_FILE} bytes", context());
    // The parser's own error could quote the file.
    let document: Value = serde_json::from_slice(&bytes)
        .map_err(|error| anyhow::anyhow!("{}: no JSON in line {}", context(), error.line()))?;
    match document {
        Value::Object(document) => Ok(Some(document)),
        _ => bail!("{}: not an object", context()),
    }
}

fn of_document(document: &Map<String, Value>, host: &str, repository: &str) -> Result<Option<Credentials>> {
    let helpers = document.get("credHelpers").and_then(Value::as_object);
    let helper = helpers.and_then(|helpers| helpers.iter().find(|(key, _)| normal(key) == host));
    if let Some((_, name)) = helper {
        let found = ask(name, host)?;
        if found.is_some() {
            return Ok(found);
        }
    }
    let entries = document.get("auths").and_then(Value::as_object);
    let full = format!("{host}/{repository}");
    let mut key = full.as_str();
    loop {
        let entry = entries.and_then(|entries| {
            // A key without a scheme is found before one that is only another form of it.
            entries.get(key).or_else(|| entries.iter().find(|(other, _)| normal(other) == key).map(|(_, entry)| entry))
        });
        if let Some(found) = entry.map(of_entry).transpose().with_context(|| format!("key {key}"))?.flatten() {
            return Ok(Some(found));
        }
        let Some((shorter, _)) = key.rsplit_once('/') else { break };
        key = shorter;
    }
    document.get("credsStore").filter(|name| name.as_str() != Some("")).map_or(Ok(None), |name| ask(name, host))
}

/// A key without a scheme and without the paths of the registry's interface.
fn normal(key: &str) -> &str {
    let with_scheme = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://"));
    let plain = with_scheme.unwrap_or(key).trim_end_matches('/');
    let plain = plain.strip_suffix("/v1").or_else(|| plain.strip_suffix("/v2")).unwrap_or(plain);
    if matches!(plain, "index.docker.io" | "registry-1.docker.io") { DOCKER_HUB } else { plain }
}

fn of_entry(entry: &Value) -> Result<Option<Credentials>> {
    let text = |name: &str| entry.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    if let Some(token) = text("identitytoken") {
        return Ok(Some(Credentials::Identity(Secret::new(token.to_owned()))));
    }
    let Some(encoded) = text("auth") else { return Ok(None) };
    let encoded = encoded.trim();
    let bytes = STANDARD.decode(encoded).or_else(|_| STANDARD_NO_PAD.decode(encoded));
    // The decoder's own error could quote the secret.
    let decoded = bytes.ok().and_then(|bytes| String::from_utf8(bytes).ok()).context("auth is not base64 of a text")?;
    let (user, password) = decoded.split_once(':').context("auth has no colon between user and password")?;
    let password = Secret::new(password.trim_matches('\0').to_owned());
    Ok(Some(Credentials::Password { user: user.to_owned(), password }))
}

fn ask(name: &Value, host: &str) -> Result<Option<Credentials>> {
    let name = name.as_str().context("the name of a credential helper is not a text")?;
    if host == DOCKER_HUB {
        let found = credential::get(name, HUB_KEY)?;
        if found.is_some() {
            return Ok(found);
        }
    }
    credential::get(name, host)
}

#[cfg(test)]
mod tests;
