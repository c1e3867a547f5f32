//! A registry that holds the image: its address, and the right to read there.

use super::challenge::Challenge;
use super::client::{Client, Request, bounded, succeeded};
use super::url::{Url, encoded};
use crate::image::auth::{AuthFiles, Credentials, Secret};
use anyhow::{Context as _, Result, bail, ensure};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use ureq::Body;
use ureq::http::{Response, header};

/// The largest answer of a token service, in bytes.
const MAX_TOKEN: u64 = 64 << 10;
/// The name of this program for token services.
const CLIENT_ID: &str = "orlop";
const HUB: &str = crate::image::reference::DOCKER_HUB;

/// One registry and repository.
pub(super) struct Session {
    client: Arc<Client>,
    /// The host as the user wrote it, which is the key of its credentials.
    pub(super) host: String,
    repository: String,
    files: Arc<AuthFiles>,
    /// The scheme and host that answered.
    base: OnceLock<Url>,
    credentials: OnceLock<Option<Credentials>>,
    /// The Authorization header of the last success. Its lock is held while a new one is asked for, so that threads
    /// ask once.
    authorization: Mutex<Option<Secret>>,
}

impl Session {
    pub(super) fn new(client: &Arc<Client>, files: &Arc<AuthFiles>, host: &str, repository: &str) -> Session {
        Session {
            client: client.clone(),
            host: host.to_owned(),
            repository: repository.to_owned(),
            files: files.clone(),
            base: OnceLock::new(),
            credentials: OnceLock::new(),
            authorization: Mutex::default(),
        }
    }

    /// Asks for a path below the repository.
    ///
    /// # Errors
    /// There is no response, or the registry refuses access.
    pub(super) fn get(&self, path: &str, request: &Request<'_>) -> Result<Response<Body>> {
        let url = self.base()?.join(&format!("/v2/{}/{path}", self.repository), self.client.insecure)?;
        for _ in 0..2 {
            let secret = self.authorization().clone();
            let response = self.client.send(&url, &Request { authorization: secret.as_ref(), ..request.clone() })?;
            if response.status() != 401 {
                return Ok(response);
            }
            let values = response.headers().get_all(header::WWW_AUTHENTICATE);
            let challenge = Challenge::of(values.iter().filter_map(|value| value.to_str().ok()));
            let challenge = challenge.with_context(|| {
                format!("registry {}: asks for a kind of authentication other than Basic and Bearer", self.host)
            })?;
            self.renew(&challenge, secret.as_ref())?;
        }
        self.refused()
    }

    pub(super) fn authorization(&self) -> MutexGuard<'_, Option<Secret>> {
        self.authorization.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The registry's root. A registry on loopback that is insecure is asked whether it speaks TLS.
    fn base(&self) -> Result<&Url> {
        if let Some(base) = self.base.get() {
            return Ok(base);
        }
        let host = if self.host == HUB { super::HUB_HOST } else { &self.host };
        let https = Url::parse(&format!("https://{host}/"), false)?;
        let insecure = self.client.insecure && https.is_loopback();
        let found = if insecure && self.client.follow(&https, &Request { small: true, ..Request::default() }).is_err() {
            Url::parse(&format!("http://{host}/"), true)?
        } else {
            https
        };
        Ok(self.base.get_or_init(|| found))
    }

    fn credentials(&self) -> Result<Option<&Credentials>> {
        if let Some(found) = self.credentials.get() {
            return Ok(found.as_ref());
        }
        let found = self.files.find(&self.host, &self.repository)?;
        Ok(self.credentials.get_or_init(|| found).as_ref())
    }

    /// Gets another Authorization header than `used`, unless another thread did.
    fn renew(&self, challenge: &Challenge, used: Option<&Secret>) -> Result<()> {
        let mut current = self.authorization();
        if current.as_ref() != used {
            return Ok(());
        }
        let secret = match challenge {
            Challenge::Basic => match self.credentials()? {
                Some(Credentials::Password { user, password }) => Credentials::basic(user, password),
                Some(Credentials::Identity(_)) => {
                    bail!("registry {}: asks for a password, and the credentials hold a token", self.host)
                }
                None => return self.refused(),
            },
            Challenge::Bearer { realm, service } => {
                let token = self.token(realm, service.as_deref());
                token.with_context(|| format!("token for {}/{}", self.host, self.repository))?
            }
        };
        *current = Some(secret);
        Ok(())
    }

    fn token(&self, realm: &str, service: Option<&str>) -> Result<Secret> {
        let realm = Url::parse(realm, self.client.insecure).context("token service")?;
        let scope = format!("repository:{}:pull", self.repository);
        let mut parameters = vec![("scope", scope.as_str())];
        parameters.extend(service.map(|service| ("service", service)));
        let request = Request { accept: "application/json", small: true, ..Request::default() };
        let response = match self.credentials()? {
            Some(Credentials::Identity(token)) => {
                parameters.extend([("client_id", CLIENT_ID), ("grant_type", "refresh_token")]);
                parameters.push(("refresh_token", token.reveal()));
                let pairs = parameters.iter().map(|(name, value)| format!("{name}={}", encoded(value)));
                let form = Secret::new(pairs.collect::<Vec<_>>().join("&"));
                self.client.send(&realm, &Request { form: Some(&form), ..request })?
            }
            Some(Credentials::Password { user, password }) => {
                parameters.push(("account", user));
                let basic = Credentials::basic(user, password);
                let request = Request { authorization: Some(&basic), ..request };
                self.client.send(&realm.with_query(&parameters)?, &request)?
            }
            None => self.client.send(&realm.with_query(&parameters)?, &request)?,
        };
        if matches!(response.status().as_u16(), 401 | 403) {
            return self.refused();
        }
        bearer(succeeded(response, &realm)?).with_context(|| realm.to_string())
    }

    /// The registry wants other credentials.
    fn refused<T>(&self) -> Result<T> {
        let (host, repository) = (&self.host, &self.repository);
        match self.credentials.get() {
            Some(Some(Credentials::Password { user, .. })) => {
                bail!(
                    "registry {host}: refuses access to {repository} with the credentials of the user {}",
                    bounded(user)
                )
            }
            Some(Some(Credentials::Identity(_))) => {
                bail!("registry {host}: refuses access to {repository} with the token in the file of credentials")
            }
            _ => bail!(
                "registry {host}: refuses access to {repository} without credentials: it is not there, or it is private; \
                 `podman login {host}` or `docker login {host}` writes credentials"
            ),
        }
    }
}

/// The token in the answer of a token service.
fn bearer(mut response: Response<Body>) -> Result<Secret> {
    let bytes = response.body_mut().with_config().limit(MAX_TOKEN + 1).read_to_vec().ok();
    let bytes = bytes.filter(|bytes| bytes.len() as u64 <= MAX_TOKEN);
    let bytes = bytes.with_context(|| format!("the token cannot be read, or has more than {MAX_TOKEN} bytes"))?;
    let answer: serde_json::Value = serde_json::from_slice(&bytes).ok().context("the answer is no JSON")?;
    let token = ["token", "access_token"].iter().find_map(|name| answer[name].as_str().filter(|t| !t.is_empty()));
    let token = token.context("the answer has no token")?;
    ensure!(token.bytes().all(|byte| byte.is_ascii_graphic()), "the token has a character that no header may have");
    Ok(Secret::new(format!("Bearer {token}")))
}
