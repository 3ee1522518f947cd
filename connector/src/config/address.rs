//! `host:port`: checked in detail, because a wrong address is the first mistake of most first days.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A broker's address.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Address {
    /// A name or an IP address, IPv6 without brackets.
    pub host: String,
    /// From 1 to 65535.
    pub port: u16,
}

impl Address {
    /// Whether it is this machine, which no network lies before.
    pub fn is_loopback(&self) -> bool {
        if let Ok(ip) = self.host.parse::<IpAddr>() {
            return ip.to_canonical().is_loopback();
        }
        let host = self.host.to_ascii_lowercase();
        host == "localhost" || host.ends_with(".localhost")
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.host.contains(':') {
            write!(out, "[{}]:{}", self.host, self.port)
        } else {
            write!(out, "{}:{}", self.host, self.port)
        }
    }
}

/// What is wrong with an address, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}; {help}")]
pub struct AddressError {
    /// What is wrong; does not repeat the address.
    pub problem: String,
    /// What to write instead.
    pub help: String,
}

fn wrong<T>(problem: impl Into<String>, help: impl Into<String>) -> Result<T, AddressError> {
    Err(AddressError { problem: problem.into(), help: help.into() })
}

/// Checks one `host:port`, IPv6 addresses in brackets.
pub fn parse(text: &str) -> Result<Address, AddressError> {
    refuse_foreign_signs(text)?;
    let (host, port) = split(text)?;
    let port = check_port(port)?;
    let host = if text.starts_with('[') { check_ipv6(host)? } else { check_host(host)? };
    Ok(Address { host, port })
}

fn refuse_foreign_signs(text: &str) -> Result<(), AddressError> {
    if text.trim().is_empty() {
        return wrong("it is empty", "write `host:port`");
    }
    if text.contains(['：', '，', '．', '。', '、']) {
        let plain = text.replace('：', ":").replace(['，', '、'], ",").replace(['．', '。'], ".");
        return wrong(
            "it has a full-width sign (全角标点) in it",
            format!("type it in half-width (半角): `{}`", super::mistake::shown(&plain)),
        );
    }
    if text.contains(char::is_whitespace) {
        return wrong("it has a space in it", "write `host:port` without spaces");
    }
    if text.contains([',', ';']) {
        return wrong(
            "it has several addresses in one",
            "write a list, each in quotes of its own: [\"a:9092\", \"b:9092\"]",
        );
    }
    if let Some((_, rest)) = text.split_once("://") {
        let plain = rest.rsplit('@').next().unwrap_or(rest).trim_end_matches('/');
        return wrong("it is a URL", format!("write it without the scheme: `{}`", super::mistake::shown(plain)));
    }
    if text.contains('@') {
        return wrong("it has a login in it", "write only `host:port`; the login goes into `auth`");
    }
    Ok(())
}

/// Host (without brackets) and port, neither of them checked.
fn split(text: &str) -> Result<(&str, &str), AddressError> {
    if let Some(rest) = text.strip_prefix('[') {
        let Some((host, after)) = rest.split_once(']') else {
            return wrong("the `[` is not closed", "write an IPv6 address as `[::1]:9092`");
        };
        let Some(port) = after.strip_prefix(':') else {
            return wrong("the port is missing", format!("write `[{}]:9092`", super::mistake::shown(host)));
        };
        return Ok((host, port));
    }
    let Some((host, port)) = text.rsplit_once(':') else {
        return wrong("the port is missing", format!("write `{}:9092`", super::mistake::shown(text)));
    };
    if host.contains(':') {
        return match text.parse::<Ipv6Addr>() {
            Ok(_) => wrong("an IPv6 address needs brackets and a port", format!("write `[{text}]:9092`")),
            Err(_) => wrong("it has more than one `:`", "write `host:port`, an IPv6 address as `[::1]:9092`"),
        };
    }
    Ok((host, port))
}

fn check_port(port: &str) -> Result<u16, AddressError> {
    const HELP: &str = "a port is a number from 1 to 65535; Kafka's usual one is 9092";
    let port = port.trim_end_matches('/');
    if port.is_empty() {
        return wrong("the port is missing", HELP);
    }
    if !port.bytes().all(|byte| byte.is_ascii_digit()) {
        return wrong(format!("the port `{}` is not a number", super::mistake::shown(port)), HELP);
    }
    match port.parse::<u16>() {
        Ok(0) | Err(_) => wrong(format!("the port {} is out of range", super::mistake::shown(port)), HELP),
        Ok(number) => Ok(number),
    }
}

fn check_ipv6(host: &str) -> Result<String, AddressError> {
    match host.parse::<Ipv6Addr>() {
        Ok(_) => Ok(host.to_owned()),
        Err(_) if host.contains('%') => {
            wrong("an IPv6 zone (`%…`) cannot be used here", "use a global address or a host name")
        }
        Err(_) => wrong("what stands in the brackets is not an IPv6 address", "write it as `[::1]:9092`"),
    }
}

fn check_host(host: &str) -> Result<String, AddressError> {
    if host.is_empty() {
        return wrong("the host is missing", "write `localhost:9092` for a broker on this machine");
    }
    let strange = host.chars().find(|&c| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_')));
    if let Some(strange) = strange {
        let help = if strange.is_ascii() {
            "a host name has letters, digits, `-`, `_` and dots"
        } else {
            "write an international name in its ASCII form (xn--…)"
        };
        return wrong(format!("`{}` cannot stand in a host name", strange.escape_debug()), help);
    }
    let labels = host.strip_suffix('.').unwrap_or(host).split('.');
    if host.len() > 253 || labels.clone().any(|label| label.is_empty() || label.len() > 63) {
        return wrong("the host name has an empty or too long part", "a part between dots has 1 to 63 characters");
    }
    let numeric = labels.clone().all(|label| label.bytes().all(|byte| byte.is_ascii_digit()));
    if numeric && host.parse::<Ipv4Addr>().is_err() {
        return wrong("it looks like an IPv4 address but is not one", "four numbers from 0 to 255: `10.0.0.1:9092`");
    }
    Ok(host.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_in_use_are_accepted() {
        for (text, host, port) in [
            ("localhost:9092", "localhost", 9092),
            ("10.0.0.1:1", "10.0.0.1", 1),
            ("[::1]:65535", "::1", 65535),
            ("kafka_1.internal:9092", "kafka_1.internal", 9092),
            ("b-1.example.com.:9092", "b-1.example.com.", 9092),
        ] {
            let address = parse(text).unwrap();
            assert_eq!((address.host.as_str(), address.port, address.to_string().as_str()), (host, port, text));
        }
    }

    #[test]
    fn each_wrong_address_is_told_what_is_wrong_with_it() {
        for (text, problem) in [
            ("", "it is empty"),
            (" ", "it is empty"),
            ("localhost", "the port is missing"),
            ("localhost:", "the port is missing"),
            (":9092", "the host is missing"),
            ("localhost:abc", "the port `abc` is not a number"),
            ("localhost:+9", "the port `+9` is not a number"),
            ("localhost:0", "the port 0 is out of range"),
            ("localhost:65536", "the port 65536 is out of range"),
            ("localhost：9092", "it has a full-width sign (全角标点) in it"),
            ("local host:9092", "it has a space in it"),
            ("a:1,b:2", "it has several addresses in one"),
            ("kafka://h:9092", "it is a URL"),
            ("u:p@h:9092", "it has a login in it"),
            ("::1", "an IPv6 address needs brackets and a port"),
            ("a:b:9092", "it has more than one `:`"),
            ("[::1", "the `[` is not closed"),
            ("[::1]", "the port is missing"),
            ("[::1]9092", "the port is missing"),
            ("[hello]:9092", "what stands in the brackets is not an IPv6 address"),
            ("[fe80::1%eth0]:9092", "an IPv6 zone (`%…`) cannot be used here"),
            ("10.0.0.256:9092", "it looks like an IPv4 address but is not one"),
            ("10.0.0:9092", "it looks like an IPv4 address but is not one"),
            ("a..b:9092", "the host name has an empty or too long part"),
            ("卡夫卡:9092", "`卡` cannot stand in a host name"),
            ("a/b:9092", "`/` cannot stand in a host name"),
        ] {
            assert_eq!(parse(text).map_err(|error| error.problem), Err(problem.to_owned()), "{text}");
        }
    }

    #[test]
    fn a_full_width_colon_is_shown_in_its_right_form() {
        assert_eq!(parse("本地：9092").unwrap_err().help, "type it in half-width (半角): `本地:9092`");
        assert_eq!(parse("localhost：9092").unwrap_err().help, "type it in half-width (半角): `localhost:9092`");
    }
}
