//! Addresses of KDCs as krb5.conf writes them.

use std::fmt;
use std::net::Ipv6Addr;

use crate::config::write_host_port;

/// Kerberos's port (RFC 4120 §7.2.1).
const PORT: u16 = 88;

/// How a message travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// A datagram each way.
    Udp,
    /// A length and the message (RFC 4120 §7.2.2).
    Tcp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
        })
    }
}

/// Where a KDC is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    /// A name, or an IP address without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// The one way that it takes, if it does not take both.
    pub(crate) only: Option<Protocol>,
}

impl Address {
    /// Reads `host`, `host:port`, `[v6]`, `[v6]:port`, a bare IPv6 address, and any of them behind `udp/` or `tcp/`. An
    /// error says why it cannot be used.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        // MIT takes what stands before the first space.
        let text = text.split_ascii_whitespace().next().unwrap_or("");
        if text.starts_with("https://") || text.starts_with("http/") || text.starts_with("kkdcp://") {
            return Err("KDC proxies (MS-KKDCP) are not supported");
        }
        if text.starts_with('/') {
            return Err("KDCs on local sockets are not supported");
        }
        let (only, rest) = match text.split_once('/') {
            Some(("udp", rest)) => (Some(Protocol::Udp), rest),
            Some(("tcp", rest)) => (Some(Protocol::Tcp), rest),
            _ => (None, text),
        };
        let (host, port) = split(rest).ok_or("no host, host:port or [v6]:port")?;
        Ok(Self { host: host.to_owned(), port, only })
    }

    pub(crate) fn takes(&self, protocol: Protocol) -> bool {
        self.only.is_none_or(|only| only == protocol)
    }
}

fn split(text: &str) -> Option<(&str, u16)> {
    if text.parse::<Ipv6Addr>().is_ok() {
        return Some((text, PORT));
    }
    if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        host.parse::<Ipv6Addr>().ok()?;
        return Some((host, if rest.is_empty() { PORT } else { port(rest.strip_prefix(':')?)? }));
    }
    let (host, port) = match text.split_once(':') {
        Some((host, digits)) => (host, port(digits)?),
        None => (text, PORT),
    };
    let is_host = !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
    is_host.then_some((host, port))
}

fn port(digits: &str) -> Option<u16> {
    if digits.starts_with('+') { None } else { digits.parse().ok().filter(|port| *port > 0) }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_host_port(f, &self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_in_every_form() {
        for (text, shown, only) in [
            ("kdc.example.com", "kdc.example.com:88", None),
            ("kdc.example.com:8888", "kdc.example.com:8888", None),
            ("10.0.0.1:750 trailing", "10.0.0.1:750", None),
            ("[2001:db8::1]", "[2001:db8::1]:88", None),
            ("[2001:db8::1]:99", "[2001:db8::1]:99", None),
            ("2001:db8::1", "[2001:db8::1]:88", None),
            ("tcp/kdc", "kdc:88", Some(Protocol::Tcp)),
            ("udp/kdc_1:89", "kdc_1:89", Some(Protocol::Udp)),
        ] {
            let address = Address::parse(text).unwrap();
            assert_eq!((address.to_string().as_str(), address.only), (shown, only), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_used_says_why() {
        for text in ["https://proxy.example.com/KdcProxy", "kkdcp://x", "http/x"] {
            assert!(Address::parse(text).unwrap_err().contains("proxies"), "{text}");
        }
        assert!(Address::parse("/run/kdc.socket").unwrap_err().contains("sockets"));
        for text in ["", ":88", "kdc:", "kdc:0", "kdc:65536", "kdc:+8", "[::1", "[kdc]:88", "[::1]88", "a/b", "k\u{e4}"]
        {
            assert!(Address::parse(text).is_err(), "{text}");
        }
    }
}
