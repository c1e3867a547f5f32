//! Addresses that requests may go to.

use anyhow::{Context as _, Result, bail, ensure};
use std::fmt;
use std::net::IpAddr;
use ureq::http::Uri;

/// An absolute URL: https, or plain http to a registry on loopback that the user called insecure.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Url(Uri);

impl Url {
    /// # Errors
    /// The text is no such URL. The message has neither its query nor a password in it.
    pub(super) fn parse(text: &str, insecure: bool) -> Result<Url> {
        let uri: Uri = text.parse().ok().context("a URL that cannot be read")?;
        let authority = uri.authority().context("a URL without a host")?;
        ensure!(!authority.as_str().contains('@'), "a URL with a user name in it");
        ensure!(!authority.host().is_empty(), "a URL without a host");
        let url = Url(uri);
        match url.0.scheme_str() {
            Some("https") => Ok(url),
            Some("http") if insecure && url.is_loopback() => Ok(url),
            Some("http") if insecure => bail!("{url}: plain http is only for registries on loopback"),
            Some("http") => bail!("{url}: plain http is only for registries on loopback, with --insecure"),
            _ => bail!("{url}: neither https nor http"),
        }
    }

    /// The URL that a Location header names, seen from this one.
    pub(super) fn join(&self, location: &str, insecure: bool) -> Result<Url> {
        let origin = format!("{}://{}", self.0.scheme_str().unwrap_or("https"), self.authority());
        let path = self.0.path();
        let text = if location.contains("://") && !location.starts_with(['/', '?']) {
            location.to_owned()
        } else if let Some(rest) = location.strip_prefix("//") {
            format!("{}://{rest}", self.0.scheme_str().unwrap_or("https"))
        } else if location.starts_with('/') {
            format!("{origin}{location}")
        } else if location.starts_with('?') {
            format!("{origin}{path}{location}")
        } else {
            format!("{origin}{}/{location}", path.rsplit_once('/').map_or("", |(parent, _)| parent))
        };
        Url::parse(&text, insecure)
    }

    /// The URL with further parameters.
    pub(super) fn with_query(&self, parameters: &[(&str, &str)]) -> Result<Url> {
        let mut text = self.0.to_string();
        for (name, value) in parameters {
            text.push(if text.contains('?') { '&' } else { '?' });
            text += &format!("{name}={}", encoded(value));
        }
        Ok(Url(text.parse().ok().context("a URL that cannot be read")?))
    }

    pub(super) fn uri(&self) -> &Uri {
        &self.0
    }

    /// Host and port as they are written.
    pub(super) fn authority(&self) -> &str {
        self.0.authority().map_or("", |authority| authority.as_str())
    }

    pub(super) fn host(&self) -> &str {
        self.0.host().unwrap_or_default().trim_matches(['[', ']'])
    }

    pub(super) fn port(&self) -> u16 {
        self.0.port_u16().unwrap_or(if self.is_plain() { 80 } else { 443 })
    }

    pub(super) fn is_plain(&self) -> bool {
        self.0.scheme_str() == Some("http")
    }

    pub(super) fn is_loopback(&self) -> bool {
        is_loopback(self.host())
    }

    /// Whether a secret for the one may go to the other.
    pub(super) fn same_origin(&self, other: &Url) -> bool {
        let origin = |url: &Url| (url.is_plain(), url.host().to_ascii_lowercase(), url.port());
        origin(self) == origin(other)
    }
}

/// Without the query: storage services put signatures there.
impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.0.scheme_str().unwrap_or_default(), self.authority(), self.0.path())
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Whether a host, without its port, is this machine's loopback.
pub(super) fn is_loopback(host: &str) -> bool {
    let host = host.trim_matches(['[', ']']);
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// A value in a query or in a form.
pub(super) fn encoded(value: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    value.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_is_only_for_loopback_and_only_where_it_was_asked_for() {
        for (text, strict, insecure) in [
            ("https://quay.io/v2/", true, true),
            ("https://127.0.0.1:5000/v2/", true, true),
            ("http://127.0.0.1:5000/v2/", false, true),
            ("http://127.9.9.9/v2/", false, true),
            ("http://localhost:5000/v2/", false, true),
            ("http://[::1]:5000/v2/", false, true),
            ("http://quay.io/v2/", false, false),
            ("http://localhost.quay.io/v2/", false, false),
            ("http://127.0.0.1.quay.io/", false, false),
            ("http://169.254.169.254/", false, false),
            ("https://user:password@quay.io/", false, false),
            ("ftp://quay.io/", false, false),
            ("/v2/", false, false),
            ("quay.io", false, false),
            ("https:///v2/", false, false),
            ("", false, false),
        ] {
            assert_eq!(Url::parse(text, false).is_ok(), strict, "{text}");
            assert_eq!(Url::parse(text, true).is_ok(), insecure, "{text} with --insecure");
        }
    }

    #[test]
    fn a_location_is_seen_from_the_url_that_named_it() {
        let base = Url::parse("https://a.io:444/v2/x/blobs/d?secret=1", false).unwrap();
        for (location, full) in [
            ("https://b.io/y?sig=1", "https://b.io/y?sig=1"),
            ("//b.io/y", "https://b.io/y"),
            ("/y", "https://a.io:444/y"),
            ("y", "https://a.io:444/v2/x/blobs/y"),
            ("?z=1", "https://a.io:444/v2/x/blobs/d?z=1"),
            ("/y?to=https://b.io", "https://a.io:444/y?to=https://b.io"),
        ] {
            assert_eq!(base.join(location, false).unwrap().uri().to_string(), full);
        }
        assert!(base.join("http://a.io:444/y", false).is_err());
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let url = |text| Url::parse(text, true).unwrap();
        assert!(url("https://A.io/x").same_origin(&url("https://a.io:443/y")));
        for other in ["https://a.io:444/", "https://b.io/", "https://a.io.b.io/", "http://localhost/"] {
            assert!(!url("https://a.io/").same_origin(&url(other)), "{other}");
        }
        assert!(!url("https://localhost:80/").same_origin(&url("http://localhost/")));
    }

    #[test]
    fn a_query_is_never_shown() {
        let url = Url::parse("https://a.io/x", false).unwrap().with_query(&[("a", "b c&d"), ("e", "f")]).unwrap();
        assert_eq!(url.uri().to_string(), "https://a.io/x?a=b%20c%26d&e=f");
        assert_eq!(format!("{url} {url:?}"), "https://a.io/x https://a.io/x");
    }
}
