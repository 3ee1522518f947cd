//! Whom to ask, how long to wait and what to put behind short names: resolv.conf(5), pure but for [`ResolvConf::system`].

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::wire::without_dot;

/// What the C library takes, too (`MAXNS`).
const SERVERS: usize = 3;
/// As the C library before 2.26 (`MAXDNSRCH`); with more, a name that is nowhere would be asked for too often.
const DOMAINS: usize = 6;
/// `RES_MAXNDOTS`.
const DOTS: u32 = 15;
const PORT: u16 = 53;

/// What the file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ResolvConf {
    /// Asked in this order.
    pub(crate) servers: Vec<SocketAddr>,
    /// For one server.
    pub(crate) timeout: Duration,
    /// How often all of them are asked.
    pub(crate) attempts: u32,
    /// What is tried behind a name that is not known as it stands, or that has fewer than `dots` dots.
    pub(crate) search: Vec<String>,
    /// `ndots`.
    pub(crate) dots: u32,
}

impl Default for ResolvConf {
    /// What holds without a file.
    fn default() -> Self {
        let servers = vec![SocketAddr::new(Ipv4Addr::LOCALHOST.into(), PORT)];
        Self { servers, timeout: Duration::from_secs(5), attempts: 2, search: Vec::new(), dots: 1 }
    }
}

impl ResolvConf {
    /// Reads the file's text. What is not known or makes no sense is passed over, as the C library does.
    pub(crate) fn parse(text: &str) -> Self {
        let mut conf = Self { servers: Vec::new(), ..Self::default() };
        for line in text.lines() {
            let mut words = line.split_ascii_whitespace();
            match words.next() {
                Some("nameserver") if conf.servers.len() < SERVERS => {
                    let address = words.next().and_then(|word| word.parse::<IpAddr>().ok());
                    conf.servers.extend(address.map(|address| SocketAddr::new(address, PORT)));
                }
                // The last of these lines holds, whichever of the two it is.
                Some("domain") => conf.search = words.take(1).filter_map(domain).collect(),
                Some("search") => conf.search = words.filter_map(domain).take(DOMAINS).collect(),
                Some("options") => words.for_each(|word| conf.option(word)),
                _ => {}
            }
        }
        if conf.servers.is_empty() { Self { servers: Self::default().servers, ..conf } } else { conf }
    }

    /// The system's file, or what holds without it.
    pub(crate) fn system() -> Self {
        std::fs::read_to_string("/etc/resolv.conf").map_or_else(|_| Self::default(), |text| Self::parse(&text))
    }

    /// The names to ask for in place of a host's, in order (`res_search`). A dot at its end says that it is whole.
    pub(crate) fn candidates(&self, host: &str) -> Vec<String> {
        if let Some(whole) = host.strip_suffix('.') {
            return vec![whole.to_owned()];
        }
        let mut names: Vec<_> = self.search.iter().map(|domain| format!("{host}.{domain}")).collect();
        let is_long = host.bytes().filter(|byte| *byte == b'.').count() >= self.dots as usize;
        names.insert(if is_long { 0 } else { names.len() }, host.to_owned());
        names
    }

    fn option(&mut self, word: &str) {
        let Some((name, Ok(number))) = word.split_once(':').map(|(name, number)| (name, number.parse::<u32>())) else {
            return;
        };
        match name {
            // The C library's own bounds (`RES_MAXRETRANS`, `RES_MAXRETRY`).
            "timeout" => self.timeout = Duration::from_secs(number.clamp(1, 30).into()),
            "attempts" => self.attempts = number.clamp(1, 5),
            "ndots" => self.dots = number.min(DOTS),
            _ => {}
        }
    }
}

/// A domain without the dot at its end. The root, what has an empty label, and what is longer than a name may be, are none.
fn domain(word: &str) -> Option<String> {
    let domain = without_dot(word);
    (domain.split('.').all(|label| !label.is_empty()) && domain.len() < 254).then(|| domain.to_owned())
}
