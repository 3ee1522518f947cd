//! The only part of Kerberos that talks: a request to a realm's KDCs and the reply of whichever answers (RFC 4120 §7.2).

pub(crate) mod address;
mod plan;

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::config::Krb5Config;
use super::dns::{self, ResolvConf, connected_udp};
use super::error::KerberosError;
use super::error_code::KrbErrorCode;
use super::messages::{KrbError, Message as _};
use address::{Address, Protocol};
use plan::Attempt;

pub(crate) use plan::Patience;

/// Tickets of Active Directory reach 64 KiB; a length beyond this is no reply.
const REPLY_LIMIT: usize = 1024 * 1024;
/// A datagram cannot be longer.
const DATAGRAM_LIMIT: usize = 65_535;
/// How long an answer of DNS is kept at least and at most, whatever it says.
const DNS_KEPT: (Duration, Duration) = (Duration::from_secs(5), Duration::from_hours(1));

/// How a request may travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Via {
    /// By UDP up to the size in `udp_preference_limit`, else by TCP.
    Configured,
    /// By TCP alone.
    Tcp,
}

/// Which of a realm's KDCs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whom {
    Any,
    /// Those that krb5.conf names as having the newest keys (`primary_kdc`, `master_kdc`).
    Primary,
}

/// The way to the KDCs of all realms. It remembers which of them answered, and what DNS said.
#[derive(Debug)]
pub(crate) struct Transport {
    config: Arc<Krb5Config>,
    resolv_conf: ResolvConf,
    patience: Patience,
    realms: Mutex<HashMap<String, Known>>,
}

/// What is known of a realm's KDCs.
#[derive(Debug, Default, Clone)]
struct Known {
    /// What answered the last time.
    good: Option<Attempt>,
    /// What DNS said, and until when that holds.
    found: Option<(Vec<Address>, Instant)>,
}

impl Transport {
    /// The way to the KDCs that krb5.conf names, or DNS where it names none.
    pub(crate) fn new(config: Arc<Krb5Config>, resolv_conf: ResolvConf, patience: Patience) -> Self {
        Self { config, resolv_conf, patience, realms: Mutex::default() }
    }

    /// The same for any of them.
    #[cfg(test)]
    pub(crate) async fn exchange(&self, realm: &str, request: &[u8], via: Via) -> Result<Vec<u8>, KerberosError> {
        self.exchange_with(Whom::Any, realm, request, via).await
    }

    /// Sends a request to a realm's KDCs, one after the other, and gives the first reply, which may be a KRB-ERROR. A reply
    /// too big for UDP (52) is asked for again by TCP; a KDC that says that it is not available (29) is passed over while
    /// there is another. Trying ends after [`Patience::whole`]. If nobody answers, [`KerberosError::Unreachable`] lists each
    /// address with what came of it.
    pub(crate) async fn exchange_with(
        &self,
        whom: Whom,
        realm: &str,
        request: &[u8],
        via: Via,
    ) -> Result<Vec<u8>, KerberosError> {
        let deadline = Instant::now() + self.patience.whole;
        let mut tried = Vec::new();
        let looked_up = timeout_at(deadline, self.addresses(whom, realm, &mut tried)).await;
        let addresses = looked_up.unwrap_or_else(|_| {
            tried.push(format!("no answer of DNS within {:?}", self.patience.whole));
            Vec::new()
        });
        let mut plan = VecDeque::from(self.plan(realm, &addresses, request.len(), via));
        let mut unavailable = None;
        while let Some(attempt) = plan.pop_front() {
            let problem = match self.attempt(&attempt, request, deadline).await {
                Err(problem) => problem,
                Ok(reply) => match refusal(&reply) {
                    Some(KrbErrorCode::RESPONSE_TOO_BIG) if attempt.protocol == Protocol::Udp => {
                        if let Some(instead) = self.by_tcp_instead(&attempt) {
                            plan.push_front(instead);
                        }
                        "the reply is too big for UDP".to_owned()
                    }
                    Some(KrbErrorCode::SVC_UNAVAILABLE) => {
                        unavailable = Some(reply);
                        "it is not available".to_owned()
                    }
                    _ => {
                        self.change(realm, |known| known.good = Some(attempt));
                        return Ok(reply);
                    }
                },
            };
            note(&mut tried, format!("{} by {}: {problem}", attempt.address, attempt.protocol));
            if Instant::now() >= deadline {
                note(&mut tried, format!("given up after {:?}", self.patience.whole));
                break;
            }
        }
        unavailable.ok_or_else(|| KerberosError::Unreachable { realm: realm.to_owned(), tried })
    }

    fn by_tcp_instead(&self, attempt: &Attempt) -> Option<Attempt> {
        let address = attempt.address.clone();
        let takes = address.takes(Protocol::Tcp);
        takes.then_some(Attempt { address, protocol: Protocol::Tcp, wait: self.patience.connect })
    }

    fn plan(&self, realm: &str, addresses: &[Address], size: usize, via: Via) -> Vec<Attempt> {
        let good = self.known(realm).good;
        let small = size <= self.config.udp_preference_limit;
        let preferred = if via == Via::Configured && small { Protocol::Udp } else { Protocol::Tcp };
        plan::attempts(addresses, preferred, via == Via::Configured, good.as_ref(), &self.patience)
    }

    /// Whether krb5.conf names a primary KDC of this realm, other than the one that answered the last time.
    pub(crate) fn has_another_primary(&self, realm: &str) -> bool {
        let named = self.config.realm(realm).map_or(&[][..], |realm| &realm.master_kdc);
        let primaries: Vec<_> = named.iter().filter_map(|text| Address::parse(text).ok()).collect();
        plan::has_another_primary(&primaries, self.known(realm).good.as_ref())
    }

    /// Where the KDCs are. Why an address cannot be used, or why none is known, is added to `tried`.
    async fn addresses(&self, whom: Whom, realm: &str, tried: &mut Vec<String>) -> Vec<Address> {
        let named = self.config.realm(realm).map_or(&[][..], |realm| match whom {
            Whom::Any => &realm.kdc,
            Whom::Primary => &realm.master_kdc,
        });
        if !named.is_empty() {
            let mut addresses = Vec::new();
            for text in named {
                match Address::parse(text) {
                    Ok(address) => addresses.push(address),
                    Err(why) => tried.push(format!("{text}: skipped, {why}")),
                }
            }
            return addresses;
        }
        if !self.config.dns_lookup_kdc {
            tried.push("krb5.conf names no kdc, and dns_lookup_kdc is off".to_owned());
            return Vec::new();
        }
        match self.known(realm).found {
            Some((addresses, until)) if Instant::now() < until => addresses,
            _ => self.look_up(realm, tried).await,
        }
    }

    /// Asks DNS for both ways to reach a KDC; a host that has both on one port is one address.
    async fn look_up(&self, realm: &str, tried: &mut Vec<String>) -> Vec<Address> {
        let (mut addresses, mut kept) = (Vec::<Address>::new(), DNS_KEPT.1);
        let names = [format!("_kerberos._udp.{realm}"), format!("_kerberos._tcp.{realm}")];
        let conf = &self.resolv_conf;
        let answers: [_; 2] = tokio::join!(dns::srv(conf, &names[0]), dns::srv(conf, &names[1])).into();
        for ((answer, protocol), name) in answers.into_iter().zip([Protocol::Udp, Protocol::Tcp]).zip(&names) {
            let srv = match answer {
                Ok(srv) => srv,
                Err(problem) => {
                    tried.push(problem);
                    continue;
                }
            };
            if srv.targets.is_empty() {
                tried.push(format!("krb5.conf names no kdc, and DNS has no {name}"));
                continue;
            }
            kept = kept.min(srv.ttl);
            for target in srv.targets {
                let same = |known: &&mut Address| known.host == target.host && known.port == target.port;
                match addresses.iter_mut().find(same) {
                    Some(known) if known.only != Some(protocol) => known.only = None,
                    Some(_) => {}
                    None => addresses.push(Address { host: target.host, port: target.port, only: Some(protocol) }),
                }
            }
        }
        if !addresses.is_empty() {
            let until = Instant::now() + kept.max(DNS_KEPT.0);
            self.change(realm, |known| known.found = Some((addresses.clone(), until)));
        }
        addresses
    }

    /// Tries every IP address of one KDC. An error says what came of each.
    async fn attempt(&self, attempt: &Attempt, request: &[u8], deadline: Instant) -> Result<Vec<u8>, String> {
        let address = &attempt.address;
        let until = deadline.min(Instant::now() + self.patience.answer);
        let found = timeout_at(until, tokio::net::lookup_host((&*address.host, address.port))).await;
        let peers: Vec<SocketAddr> = match found {
            Ok(Ok(peers)) => peers.collect(),
            Ok(Err(e)) => return Err(format!("the name cannot be resolved: {e}")),
            Err(_) => return Err("the name service does not answer".to_owned()),
        };
        let mut problems = Vec::new();
        for peer in peers {
            let answered = match attempt.protocol {
                Protocol::Udp => by_udp(peer, request, deadline.min(Instant::now() + attempt.wait)).await,
                Protocol::Tcp => self.by_tcp(peer, request, attempt.wait, deadline).await,
            };
            match answered.map_err(|e| e.to_string()).and_then(checked) {
                Ok(reply) => return Ok(reply),
                Err(problem) if peer.ip().to_string() == address.host => problems.push(problem),
                Err(problem) => problems.push(format!("{problem} ({})", peer.ip())),
            }
        }
        Err(if problems.is_empty() { "the name has no address".to_owned() } else { problems.join(", ") })
    }

    async fn by_tcp(&self, peer: SocketAddr, request: &[u8], wait: Duration, deadline: Instant) -> io::Result<Vec<u8>> {
        let until = deadline.min(Instant::now() + wait);
        let mut stream = timeout_at(until, TcpStream::connect(peer)).await.map_err(|_| late("no connection"))??;
        let mut framed = u32::try_from(request.len()).map_err(io::Error::other)?.to_be_bytes().to_vec();
        framed.extend(request);
        let until = deadline.min(Instant::now() + self.patience.answer);
        let exchange = async {
            stream.write_all(&framed).await?;
            read_framed(&mut stream).await
        };
        timeout_at(until, exchange).await.map_err(|_| late("no answer"))?
    }

    fn known(&self, realm: &str) -> Known {
        let realms = self.realms.lock().unwrap_or_else(PoisonError::into_inner);
        realms.get(realm).cloned().unwrap_or_default()
    }

    fn change(&self, realm: &str, change: impl FnOnce(&mut Known)) {
        let mut realms = self.realms.lock().unwrap_or_else(PoisonError::into_inner);
        change(realms.entry(realm.to_owned()).or_default());
    }
}

async fn by_udp(peer: SocketAddr, request: &[u8], until: Instant) -> io::Result<Vec<u8>> {
    let exchange = async {
        let socket = connected_udp(peer).await?;
        socket.send(request).await?;
        let mut buffer = vec![0; DATAGRAM_LIMIT];
        let count = socket.recv(&mut buffer).await?;
        buffer.truncate(count);
        Ok(buffer)
    };
    timeout_at(until, exchange).await.map_err(|_| late("no answer"))?
}

/// Four bytes of length, the highest bit of which is to be zero (RFC 4120 §7.2.2), and the message.
async fn read_framed(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let closed = |_| io::Error::other("closed the connection without a reply");
    let size = stream.read_u32().await.map_err(closed)? as usize;
    if size > REPLY_LIMIT {
        return Err(io::Error::other(format!("announces a reply of {size} bytes, so it is no KDC")));
    }
    let mut reply = Vec::new();
    // Memory grows with what comes, not with what is announced.
    let count = (&mut *stream).take(size as u64).read_to_end(&mut reply).await?;
    if count < size {
        return Err(io::Error::other(format!("closed the connection after {count} of {size} bytes")));
    }
    Ok(reply)
}

fn late(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("{what} in time"))
}

/// The second round rarely tells anything new.
fn note(tried: &mut Vec<String>, line: String) {
    if !tried.contains(&line) {
        tried.push(line);
    }
}

/// The code of a KRB-ERROR. One that cannot be read is the caller's to complain about.
fn refusal(reply: &[u8]) -> Option<KrbErrorCode> {
    KrbError::from_der(reply).ok().map(|error| error.code)
}

/// The tags of AS-REP, TGS-REP and KRB-ERROR (RFC 4120 §5.10): something else answers on that port otherwise.
fn checked(reply: Vec<u8>) -> Result<Vec<u8>, String> {
    match reply.first() {
        Some(0x6b | 0x6d | 0x7e) => Ok(reply),
        Some(_) => Err("answers with something that is no Kerberos reply".to_owned()),
        None => Err("answers with nothing".to_owned()),
    }
}

#[cfg(test)]
mod tests;
