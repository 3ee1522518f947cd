//! A server's address, as a user writes it.

use std::fmt;
use std::sync::Arc;

/// Host and port. The host is resolved anew at each dial, since addresses move.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Server {
    pub(crate) host: Arc<str>,
    pub(crate) port: u16,
}

impl Server {
    pub(crate) fn new(host: &str, port: u16) -> Self {
        Self { host: host.into(), port }
    }

    /// `host:port`, IPv6 in brackets. The error says what to write instead.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let Some((host, port)) = text.trim().rsplit_once(':') else {
            return Err(format!("the port is missing; write {}:9092", text.trim()));
        };
        let host = match host.strip_prefix('[').map(|host| host.strip_suffix(']')) {
            Some(Some(inner)) => inner,
            Some(None) => return Err("the bracket is not closed; write [::1]:9092".to_owned()),
            None if host.contains("://") => return Err("no scheme belongs here; write host:9092".to_owned()),
            None if host.contains(':') => return Err("an IPv6 address stands in brackets; write [::1]:9092".to_owned()),
            None => host,
        };
        if host.is_empty() {
            return Err("the host is missing; write host:9092".to_owned());
        }
        if host.contains(|c: char| c.is_whitespace() || c == '/') {
            return Err("a host has no blanks or slashes; write host:9092".to_owned());
        }
        match port.parse::<u16>() {
            Ok(port) if port > 0 => Ok(Self::new(host, port)),
            _ => Err(format!("{port:?} is no port; a port is a number from 1 to 65535")),
        }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_host_port(f, &self.host, self.port)
    }
}

/// `host:port`, IPv6 in brackets (RFC 3986 §3.2.2).
pub(crate) fn write_host_port(f: &mut fmt::Formatter<'_>, host: &str, port: u16) -> fmt::Result {
    if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_reads_back_as_it_was_written() {
        for text in ["kafka:9092", "127.0.0.1:1", "[::1]:65535", "k-1.example.org:9093"] {
            assert_eq!(Server::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Server::parse("[fe80::1]:9092").unwrap(), Server::new("fe80::1", 9092));
    }

    #[test]
    fn a_bad_address_is_refused_with_the_right_form() {
        for text in
            ["kafka", "kafka:", "kafka:0", "kafka:65536", ":9092", "::1:9092", "[::1:9092", "http://k:1", "a b:1"]
        {
            let problem = Server::parse(text).unwrap_err();
            assert!(problem.contains("9092") || problem.contains("65535"), "{text}: {problem}");
        }
    }
}
