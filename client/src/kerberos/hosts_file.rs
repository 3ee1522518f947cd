//! `/etc/hosts`: addresses, each with a name and its other names behind it (hosts(5)). Pure.

use std::net::IpAddr;

/// More addresses of one name are left out.
const ADDRESS_LIMIT: usize = 32;

/// What the file says of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Host<'a> {
    /// The first name of the first line that has it.
    pub(crate) name: &'a str,
    /// Those of all lines that have it, in order, at least one.
    pub(crate) addresses: Vec<IpAddr>,
}

/// Looks a name up; case does not count. `None` if no line has it.
pub(crate) fn by_name<'a>(text: &'a str, wanted: &str) -> Option<Host<'a>> {
    let mut found: Option<Host<'a>> = None;
    for (address, mut names) in lines(text) {
        let Some(first) = names.next() else { continue };
        if !std::iter::once(first).chain(names).any(|name| name.eq_ignore_ascii_case(wanted)) {
            continue;
        }
        let host = found.get_or_insert(Host { name: first, addresses: Vec::new() });
        if host.addresses.len() < ADDRESS_LIMIT {
            host.addresses.push(address);
        }
    }
    found
}

/// The first name of the first line with this address.
pub(crate) fn by_address(text: &str, wanted: IpAddr) -> Option<&str> {
    lines(text).filter(|(address, _)| *address == wanted).find_map(|(_, mut names)| names.next())
}

/// What makes no sense is passed over, as the C library does.
fn lines(text: &str) -> impl Iterator<Item = (IpAddr, impl Iterator<Item = &str>)> {
    text.lines().filter_map(|line| {
        let mut words = line.split('#').next().unwrap_or_default().split_ascii_whitespace();
        let address = words.next()?.parse().ok()?;
        Some((address, words))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTS: &str = "# ours\n127.0.0.1\tlocalhost\n\n::1 localhost ip6-localhost # both\n\
        10.0.0.7 Broker-1.example.com broker-1 b1\n10.0.0.8 other b1\n10.0.0.9\nnonsense x\n10.0.0.7 late\n#10.0.0.1 off\n";

    fn found(name: &str) -> Option<(&str, Vec<String>)> {
        by_name(HOSTS, name).map(|host| (host.name, host.addresses.iter().map(ToString::to_string).collect()))
    }

    #[test]
    fn any_name_of_a_line_leads_to_its_first_and_to_all_its_addresses() {
        assert_eq!(found("LOCALHOST"), Some(("localhost", vec!["127.0.0.1".to_owned(), "::1".to_owned()])));
        assert_eq!(found("b1"), Some(("Broker-1.example.com", vec!["10.0.0.7".to_owned(), "10.0.0.8".to_owned()])));
        for unknown in ["x", "off", "both", "10.0.0.9", "", "broker"] {
            assert_eq!(found(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn an_address_leads_to_the_first_name_of_its_first_line() {
        let name = |address: &str| by_address(HOSTS, address.parse().unwrap());
        assert_eq!(name("10.0.0.7"), Some("Broker-1.example.com"));
        assert_eq!(name("0:0::1"), Some("localhost"));
        assert_eq!((name("10.0.0.9"), name("10.0.0.1")), (None, None), "a line without a name, a comment");
    }

    #[test]
    fn a_name_with_a_thousand_addresses_takes_little() {
        let lines: Vec<_> = (0..1000).map(|n| format!("10.0.{}.{} many\n", n / 250, n % 250)).collect();
        assert_eq!(by_name(&lines.concat(), "many").unwrap().addresses.len(), ADDRESS_LIMIT);
    }
}
