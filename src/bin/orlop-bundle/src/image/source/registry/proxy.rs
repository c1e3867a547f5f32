//! HTTPS_PROXY and NO_PROXY.

use anyhow::{Context as _, Result, ensure};
use std::net::IpAddr;

/// The proxy of this process, and the hosts that are reached without it.
#[derive(Clone, Debug, Default)]
pub(super) struct Proxies {
    https: Option<String>,
    without: Vec<String>,
}

impl Proxies {
    pub(super) fn of_process() -> Proxies {
        let variable = |upper: &str| {
            let value = std::env::var(upper).or_else(|_| std::env::var(upper.to_ascii_lowercase()));
            value.ok().filter(|value| !value.is_empty())
        };
        Proxies::new(variable("HTTPS_PROXY"), &variable("NO_PROXY").unwrap_or_default())
    }

    fn new(https: Option<String>, without: &str) -> Proxies {
        let without = without.split(',').map(|entry| entry.trim().to_ascii_lowercase());
        Proxies { https, without: without.filter(|entry| !entry.is_empty()).collect() }
    }

    /// The proxy for an https connection to a host. Loopback has none.
    ///
    /// # Errors
    /// The proxy's URL cannot be used. It may hold a password, so that the message does not have it.
    pub(super) fn of(&self, host: &str, port: u16) -> Result<Option<ureq::Proxy>> {
        let Some(url) = &self.https else { return Ok(None) };
        if super::url::is_loopback(host) || self.without.iter().any(|entry| covers(entry, host, port)) {
            return Ok(None);
        }
        let proxy = ureq::Proxy::new(url).ok().context("HTTPS_PROXY is no URL of a proxy")?;
        let protocol = proxy.protocol();
        let http = matches!(protocol, ureq::ProxyProtocol::Http | ureq::ProxyProtocol::Https);
        ensure!(http, "HTTPS_PROXY names a proxy of the kind {protocol}; http and https are supported");
        Ok(Some(proxy))
    }
}

/// Whether an entry of NO_PROXY covers a host, by the rules of Go's programs: a name covers the names below it, one with
/// a dot before it only those; a network in CIDR form covers addresses; a port restricts the entry.
fn covers(entry: &str, host: &str, port: u16) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    if entry == "*" {
        return true;
    }
    let address: Option<IpAddr> = host.parse().ok();
    if let Some((network, length)) = entry.split_once('/') {
        return match (address, network.parse(), length.parse()) {
            (Some(address), Ok(network), Ok(length)) => in_network(address, network, length),
            _ => false,
        };
    }
    let (name, only) = match entry.rsplit_once(':') {
        Some((name, digits)) if !name.contains(':') || name.ends_with(']') => (name, digits.parse().ok()),
        _ => (entry, None),
    };
    if only.is_some_and(|only: u16| only != port) {
        return false;
    }
    let name = name.trim_matches(['[', ']']).trim_start_matches('*');
    if let (Some(address), Ok(other)) = (address, name.parse::<IpAddr>()) {
        return address == other;
    }
    match name.strip_prefix('.') {
        Some(parent) => below(&host, parent),
        None => host == name || below(&host, name),
    }
}

fn below(host: &str, parent: &str) -> bool {
    host.strip_suffix(parent).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
}

fn in_network(address: IpAddr, network: IpAddr, length: u32) -> bool {
    let bits = |address: IpAddr| match address {
        IpAddr::V4(address) => (u128::from(u32::from(address)) << 96, 32),
        IpAddr::V6(address) => (u128::from(address), 128),
    };
    let ((address, width), (network, other)) = (bits(address), bits(network));
    let mask = u128::MAX.checked_shl(128 - length.min(128)).unwrap_or(0);
    width == other && length <= width && address & mask == network & mask
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_proxy_covers_names_networks_and_ports_as_in_go() {
        for (entry, host, covered) in [
            ("*", "a.io", true),
            ("a.io", "a.io", true),
            ("a.io", "A.io", true),
            ("a.io", "x.a.io", true),
            ("a.io", "xa.io", false),
            (".a.io", "a.io", false),
            (".a.io", "x.a.io", true),
            ("*.a.io", "x.a.io", true),
            ("a.io:443", "a.io", true),
            ("a.io:444", "a.io", false),
            ("10.0.0.0/8", "10.1.2.3", true),
            ("10.0.0.0/8", "11.1.2.3", false),
            ("10.0.0.0/8", "a.io", false),
            ("0.0.0.0/0", "11.1.2.3", true),
            ("10.0.0.0/99", "10.0.0.0", false),
            ("fd00::/8", "fd00::1", true),
            ("fd00::/8", "10.0.0.1", false),
            ("10.1.2.3", "10.1.2.3", true),
            ("10.1.2.3:443", "10.1.2.3", true),
            ("[fd00::1]", "fd00::1", true),
            ("fd00::1", "fd00::1", true),
        ] {
            assert_eq!(covers(entry, host, 443), covered, "{entry} {host}");
        }
    }

    #[test]
    fn a_proxy_is_for_hosts_outside_alone() {
        let proxies = Proxies::new(Some("http://user:secret@proxy:3128".into()), " b.io , ");
        assert_eq!(proxies.of("a.io", 443).unwrap().unwrap().port(), 3128);
        for host in ["localhost", "127.0.0.1", "::1", "b.io"] {
            assert!(proxies.of(host, 443).unwrap().is_none(), "{host}");
        }
        let error = Proxies::new(Some("socks5://user:secret@proxy".into()), "").of("a.io", 443).unwrap_err();
        assert!(!format!("{error:#}").contains("secret"), "{error:#}");
    }
}
