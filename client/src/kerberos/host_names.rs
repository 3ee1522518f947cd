//! What a broker's host is called in its principal, as MIT's library finds it out (`sn2princ.c`, 1.18 and later; what it says
//! of each kind of name was compared with `kvno` of 1.20.1).
//!
//! ```text
//! true       the canonical name; as it stands if there is none
//! fallback   as it stands; the canonical name if the KDC does not know that
//! false      as it stands
//! ```
//!
//! Canonical is the first name of the line in `/etc/hosts` that has the host, else what DNS says it is an alias of; with
//! `rdns` it is then the name of the first of its addresses, if that has one. A short name that stands as it is gets
//! `qualify_shortname` behind it, or the first domain of resolv.conf. The file comes before DNS (`hosts: files dns`).

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::OnceCell;
use tokio::time::{Instant, timeout_at};

use super::config::{Canonicalize, Krb5Config};
use super::dns::wire::{reverse_name, without_dot};
use super::dns::{self, Found, Kind, ResolvConf, connected_udp};
use super::hosts_file;

/// How long an answer is kept, a bad one as well as a good one.
const KEPT: Duration = Duration::from_mins(1);
/// Brokers say which hosts there are: no more of them are kept than this.
const HOSTS: usize = 1000;
/// The part of the time that the way from name to address may take; the rest is for the way back.
const FORWARD_SHARE: f64 = 0.6;

/// Who knows names.
#[derive(Debug, Clone)]
pub(crate) struct NameService {
    /// The file that comes before DNS.
    pub(crate) hosts: PathBuf,
    pub(crate) resolv_conf: ResolvConf,
}

impl NameService {
    /// The system's.
    pub(crate) fn system() -> Self {
        Self { hosts: "/etc/hosts".into(), resolv_conf: ResolvConf::system() }
    }
}

/// The names of brokers' hosts. It remembers each for a minute, and is asked once by however many want the same.
#[derive(Debug)]
pub(crate) struct HostNames {
    canonicalize: Canonicalize,
    rdns: bool,
    /// What short names get.
    domain: Option<String>,
    service: NameService,
    /// For one host, all in all.
    whole: Duration,
    known: Mutex<HashMap<String, Arc<Known>>>,
}

/// A host's canonical name, if it has one, and until when that holds.
type Known = OnceCell<(Option<String>, Instant)>;

impl HostNames {
    /// Names as krb5.conf wants them. Looking one up takes `whole` at most.
    pub(crate) fn new(config: &Krb5Config, mut service: NameService, whole: Duration) -> Self {
        let domain = config.qualify_shortname.clone().or_else(|| service.resolv_conf.search.first().cloned());
        let conf = &mut service.resolv_conf;
        // Each server is to have its turn: the C library's 5 s for the first would be all there is.
        let turns = u32::try_from(conf.servers.len()).unwrap_or(1) + 1;
        conf.timeout = conf.timeout.min(whole.mul_f64(FORWARD_SHARE) / turns);
        Self {
            canonicalize: config.canonicalize,
            rdns: config.rdns,
            domain: domain.filter(|domain| !domain.is_empty()),
            service,
            whole,
            known: Mutex::default(),
        }
    }

    /// The name to ask the KDC for.
    pub(crate) async fn first(&self, host: &str) -> String {
        let canonical = if self.canonicalize == Canonicalize::Always { self.canonical(host).await } else { None };
        canonical.unwrap_or_else(|| self.as_it_stands(host))
    }

    /// Another one, if the KDC does not know the first and krb5.conf wants it so.
    pub(crate) async fn second(&self, host: &str) -> Option<String> {
        if self.canonicalize != Canonicalize::Fallback {
            return None;
        }
        let canonical = self.canonical(host).await?;
        (canonical != self.as_it_stands(host)).then_some(canonical)
    }

    /// With a domain if it is short. MIT gives one to `::1`, too; that cannot be what anyone means.
    fn as_it_stands(&self, host: &str) -> String {
        match &self.domain {
            Some(domain) if !host.contains(['.', ':']) => format!("{host}.{domain}").to_lowercase(),
            _ => without_dot(host).to_lowercase(),
        }
    }

    async fn canonical(&self, host: &str) -> Option<String> {
        let known = self.known(host);
        let look_up = async || (self.look_up(host).await, Instant::now() + KEPT);
        known.get_or_init(look_up).await.0.clone()
    }

    fn known(&self, host: &str) -> Arc<Known> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let holds = |entry: &Arc<Known>| entry.get().is_none_or(|(_, until)| now < *until);
        if known.len() >= HOSTS {
            known.retain(|_, entry| holds(entry));
        }
        if known.len() >= HOSTS {
            known.clear();
        }
        let entry = known.entry(host.to_ascii_lowercase()).or_default();
        if !holds(entry) {
            *entry = Arc::default();
        }
        entry.clone()
    }

    /// Asks file and DNS. Whatever goes wrong, there is no canonical name then, and the login goes on.
    async fn look_up(&self, host: &str) -> Option<String> {
        let start = Instant::now();
        let file = std::fs::read(&self.service.hosts).unwrap_or_default();
        let file = String::from_utf8_lossy(&file);
        let (name, addresses) = self.forward(&file, host, start + self.whole.mul_f64(FORWARD_SHARE)).await?;
        let back = if self.rdns { self.backward(&file, host, &addresses, start + self.whole).await } else { None };
        let name = back.unwrap_or(name);
        tracing::debug!(host, name, "a host's canonical name");
        Some(name)
    }

    /// The canonical name, and the addresses. An IP address is its own.
    async fn forward(&self, file: &str, host: &str, until: Instant) -> Option<(String, Vec<IpAddr>)> {
        if let Ok(address) = host.parse() {
            return Some((host.to_lowercase(), vec![address]));
        }
        if let Some(found) = hosts_file::by_name(file, without_dot(host)) {
            return host_name(found.name).map(|name| (name, found.addresses));
        }
        self.by_dns(host, until).await
    }

    /// Both kinds of address are asked for at once, so that silence about one does not hide the other.
    async fn by_dns(&self, host: &str, until: Instant) -> Option<(String, Vec<IpAddr>)> {
        let mut problem = None;
        for name in self.service.resolv_conf.candidates(host) {
            let (v4, v6) = tokio::join!(self.ask(Kind::A, &name, until), self.ask(Kind::Aaaa, &name, until));
            let mut found = Vec::new();
            for answer in [v4, v6] {
                match answer {
                    Ok(answer) => found.push(answer),
                    Err(why) => problem = Some(why),
                }
            }
            if let Some(first) = found.iter().find(|found| found.addresses().next().is_some()) {
                let name = host_name(&first.name)?;
                return Some((name, found.iter().flat_map(Found::addresses).collect()));
            }
        }
        if let Some(problem) = problem {
            tracing::warn!(host, problem, "the host's canonical name is not known; it stands as it is");
        } else {
            tracing::debug!(host, "DNS does not know the host; its name stands as it is");
        }
        None
    }

    /// The name of the first address.
    async fn backward(&self, file: &str, host: &str, addresses: &[IpAddr], until: Instant) -> Option<String> {
        let address = first_on_the_way(addresses).await?;
        if let Some(name) = hosts_file::by_address(file, address) {
            return host_name(name);
        }
        match self.ask(Kind::Ptr, &reverse_name(address), until).await {
            Ok(found) => found.host().and_then(host_name),
            Err(problem) => {
                tracing::warn!(host, %address, problem, "the name of the host's address is not known");
                None
            }
        }
    }

    async fn ask(&self, kind: Kind, name: &str, until: Instant) -> Result<Found, String> {
        let asking = dns::look_up(&self.service.resolv_conf, kind, name);
        timeout_at(until, asking).await.unwrap_or_else(|_| Err(format!("DNS does not answer for {name} in time")))
    }
}

/// The first of the addresses that packets could be sent to, IPv6 before IPv4: what `getaddrinfo` puts first is that, as a
/// rule (RFC 6724 §6, rules 1 and 6). Nothing is sent.
async fn first_on_the_way(addresses: &[IpAddr]) -> Option<IpAddr> {
    let (v6, v4): (Vec<_>, Vec<_>) = addresses.iter().partition(|address| address.is_ipv6());
    for address in v6.iter().chain(&v4) {
        if connected_udp((*address, 9).into()).await.is_ok() {
            return Some(*address);
        }
    }
    addresses.first().copied()
}

/// A name that a host may have; others are not taken from anyone (`res_hnok`).
fn host_name(name: &str) -> Option<String> {
    let name = without_dot(name);
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (!name.is_empty() && name.len() < 254 && name.bytes().all(fits)).then(|| name.to_ascii_lowercase())
}

#[cfg(test)]
mod tests;
