//! One HTTP request: redirects, deadlines, attempts.

use super::proxy::Proxies;
use super::tls::{self, CertificateDirs};
use super::url::Url;
use crate::image::auth::Secret;
use anyhow::{Context as _, Result, anyhow, bail};
use std::collections::HashMap;
use std::fmt;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;
use ureq::http::{Response, header};
use ureq::{Agent, Body};

/// How many redirects are followed.
const MAX_REDIRECTS: usize = 5;
/// How often a request is sent before its failure counts.
pub(super) const ATTEMPTS: u32 = 4;
/// The pause after the first attempt; it doubles with each one.
const PAUSE: Duration = Duration::from_millis(500);
/// The longest pause that a server can ask for.
const MAX_PAUSE: Duration = Duration::from_secs(30);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// The most that the head of a response may have, in bytes.
const MAX_HEAD: usize = 64 << 10;
const USER_AGENT: &str = concat!("orlop/", env!("CARGO_PKG_VERSION"));

/// Sends requests. It may be used by several threads.
pub(super) struct Client {
    pub(super) insecure: bool,
    /// How long a server may send nothing.
    pub(super) timeout: Duration,
    certificates: CertificateDirs,
    proxies: Proxies,
    /// One for each host, since each may have certificates of its own.
    agents: Mutex<HashMap<String, Agent>>,
}

/// A request.
#[derive(Clone, Default)]
pub(super) struct Request<'a> {
    pub(super) accept: &'a str,
    pub(super) authorization: Option<&'a Secret>,
    /// The first byte that is wanted.
    pub(super) offset: u64,
    /// A form, which makes it a POST.
    pub(super) form: Option<&'a Secret>,
    /// The response is small: it must be whole after twice the time in which a server may send nothing.
    pub(super) small: bool,
}

/// A request that brought no response.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) error: anyhow::Error,
    /// Another attempt may succeed.
    pub(super) transient: bool,
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Failure {
        Failure { error, transient: false }
    }
}

impl Client {
    pub(super) fn new(insecure: bool, timeout: Duration, certificates: CertificateDirs, proxies: Proxies) -> Client {
        Client { insecure, timeout, certificates, proxies, agents: Mutex::default() }
    }

    /// Sends a request until a response is final. Redirects are followed; the secret goes only to the URL's own origin.
    ///
    /// # Errors
    /// There is no response. A response with a status of 400 and above is none of them, but for servers that stay
    /// unavailable.
    pub(super) fn send(&self, url: &Url, request: &Request<'_>) -> Result<Response<Body>> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            let wait = match self.follow(url, request) {
                Ok(response) if attempt < ATTEMPTS && is_transient(&response) => pause(attempt, Some(&response)),
                Ok(response) => return Ok(response),
                Err(failure) if attempt < ATTEMPTS && failure.transient => pause(attempt, None),
                Err(failure) if attempt > 1 => {
                    return Err(failure.error.context(format!("after {attempt} attempts")));
                }
                Err(failure) => return Err(failure.error),
            };
            thread::sleep(wait);
        }
    }

    /// Sends a request once, and follows redirects.
    pub(super) fn follow(&self, url: &Url, request: &Request<'_>) -> Result<Response<Body>, Failure> {
        let (mut current, mut request) = (url.clone(), request.clone());
        for _ in 0..=MAX_REDIRECTS {
            let response = self.once(&current, &request)?;
            if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
                return Ok(response);
            }
            let location = response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
            let redirect = || format!("redirect from {current}");
            let location = location.context("the location is missing").with_context(redirect)?;
            if request.form.is_some() {
                return Err(anyhow!("{}: a request with a secret in it is not redirected", redirect()).into());
            }
            let next = current.join(location, self.insecure).with_context(redirect)?;
            if !next.same_origin(url) {
                // For good: a way back through another host brings no secret either.
                request.authorization = None;
            }
            current = next;
        }
        Err(anyhow!("{url}: more than {MAX_REDIRECTS} redirects").into())
    }

    fn once(&self, url: &Url, request: &Request<'_>) -> Result<Response<Body>, Failure> {
        let agent = self.agent(url)?;
        let total = request.small.then_some(self.timeout * 2);
        let result = match request.form {
            Some(form) => {
                let post = agent.post(url.uri()).header(header::ACCEPT, request.accept);
                let post = post.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
                post.config().timeout_global(total).build().send(form.reveal())
            }
            None => {
                let mut get = agent.get(url.uri()).header(header::ACCEPT, request.accept);
                if let Some(secret) = request.authorization {
                    get = get.header(header::AUTHORIZATION, secret.reveal());
                }
                if request.offset > 0 {
                    get = get.header(header::RANGE, format!("bytes={}-", request.offset));
                }
                get.config().timeout_global(total).build().call()
            }
        };
        result.map_err(|error| self.explain(url, error))
    }

    fn agent(&self, url: &Url) -> Result<Agent> {
        let key = format!("{} {}", url.is_plain(), url.authority());
        let mut agents = self.agents.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(agent) = agents.get(&key) {
            return Ok(agent.clone());
        }
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(USER_AGENT)
            .accept_encoding("identity")
            .max_response_header_size(MAX_HEAD)
            .timeout_resolve(Some(CONNECT_TIMEOUT.min(self.timeout)))
            .timeout_connect(Some(CONNECT_TIMEOUT.min(self.timeout)))
            .timeout_send_request(Some(self.timeout))
            .timeout_recv_response(Some(self.timeout))
            .timeout_per_read(Some(self.timeout))
            .timeout_per_write(Some(self.timeout));
        if url.is_plain() {
            config = config.proxy(None);
        } else {
            let verify = !(self.insecure && url.is_loopback());
            config = config
                .tls_config(tls::config(url, &self.certificates, verify)?)
                .proxy(self.proxies.of(url.host(), url.port())?);
        }
        let agent = config.build().new_agent();
        agents.insert(key, agent.clone());
        Ok(agent)
    }

    fn explain(&self, url: &Url, error: ureq::Error) -> Failure {
        let transient = match &error {
            ureq::Error::Io(error) => is_cut(error),
            ureq::Error::Protocol(_) => true,
            _ => false,
        };
        let error = match error {
            ureq::Error::Timeout(stage) => self.timed_out(stage),
            ureq::Error::HostNotFound => anyhow!("the host {} is not found", url.host()),
            ureq::Error::Rustls(error) => of_tls(url, &error),
            ureq::Error::Io(error) => match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
                Some(inner) => of_tls(url, inner),
                None => of_io(error),
            },
            ureq::Error::LargeResponseHeader(..) => anyhow!("the head of the response has more than {MAX_HEAD} bytes"),
            // The text may have the proxy's answer in it.
            ureq::Error::ConnectProxyFailed(text) => anyhow!("the proxy refused the connection: {}", bounded(&text)),
            error => anyhow!("{}", bounded(&error.to_string())),
        };
        Failure { error: error.context(url.to_string()), transient }
    }

    fn timed_out(&self, stage: ureq::Timeout) -> anyhow::Error {
        let seconds = self.timeout.as_secs();
        match stage {
            ureq::Timeout::Connect | ureq::Timeout::Resolve => {
                anyhow!("no connection within {} s", CONNECT_TIMEOUT.min(self.timeout).as_secs())
            }
            ureq::Timeout::Global => anyhow!("the response was not whole within {} s", 2 * seconds),
            _ => anyhow!("the server sent nothing for {seconds} s"),
        }
    }
}

fn of_tls(url: &Url, error: &rustls::Error) -> anyhow::Error {
    match error {
        rustls::Error::InvalidCertificate(problem) => anyhow!(
            "the certificate is not trusted: {problem}; the registry's authority belongs in \
             /etc/containers/certs.d/{}/ca.crt",
            url.authority()
        ),
        rustls::Error::InvalidMessage(_) => {
            anyhow!("the server does not speak TLS ({error}); --insecure allows plain http on loopback")
        }
        error => anyhow!("TLS: {error}"),
    }
}

fn of_io(error: io::Error) -> anyhow::Error {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => anyhow!("no server listens there ({error})"),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
            anyhow!("the server cut the connection ({error})")
        }
        _ => error.into(),
    }
}

/// Whether a connection was cut, which another attempt may mend.
pub(super) fn is_cut(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof)
}

fn is_transient(response: &Response<Body>) -> bool {
    matches!(response.status().as_u16(), 408 | 429 | 500 | 502 | 503 | 504)
}

/// The pause before another attempt: the server's own wish in seconds, within bounds.
pub(super) fn pause(attempt: u32, response: Option<&Response<Body>>) -> Duration {
    let wish = response.and_then(|response| response.headers().get(header::RETRY_AFTER)?.to_str().ok()?.parse().ok());
    let own = PAUSE * 2_u32.saturating_pow(attempt - 1);
    wish.map_or(own, |seconds| Duration::from_secs(seconds).max(own)).min(MAX_PAUSE)
}

/// A text of a server in one short line.
pub(super) fn bounded(text: &str) -> String {
    let line: String = text.chars().take(200).map(|c| if c.is_control() { ' ' } else { c }).collect();
    line.trim().to_owned()
}

/// Refuses a response that is not a success: in words of its own for the usual codes, else the registry's.
///
/// # Errors
/// The status is none of 200 to 299.
pub(super) fn succeeded(mut response: Response<Body>, subject: impl fmt::Display) -> Result<Response<Body>> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let text = response.body_mut().with_config().limit(64 << 10).lossy_utf8(true).read_to_string();
    let document: Option<serde_json::Value> = text.ok().and_then(|text| serde_json::from_str(&text).ok());
    let error = document.as_ref().and_then(|document| document["errors"].get(0));
    let word = |name: &str| error.and_then(|error| error[name].as_str()).map(bounded).filter(|text| !text.is_empty());
    match (word("code"), word("message")) {
        (Some(code), Some(message)) => bail!("{subject}: the registry says {code}: {message} (HTTP status {status})"),
        (Some(text), None) | (None, Some(text)) => bail!("{subject}: the registry says {text} (HTTP status {status})"),
        (None, None) => bail!("{subject}: the registry answers with HTTP status {status}"),
    }
}
