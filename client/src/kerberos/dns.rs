//! Where a realm's KDCs are, by DNS: SRV records (RFC 2782) by RFC 1035's messages, and nothing else of DNS.
//!
//! Our own, because it is one kind of question to the servers in `/etc/resolv.conf`: a general resolver crate brings a
//! cache, a pool, its own configuration and some forty crates for it. What DNS says is a hint: a KDC found by it still has
//! to prove that it knows the client's key. Host names are resolved by the system, as everywhere in this client.

pub(crate) mod wire;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

pub(crate) use wire::Srv;
use wire::{Answer, Problem};

/// What the C library takes, too (`MAXNS`).
const SERVERS: usize = 3;
const PORT: u16 = 53;

/// Whom to ask and how long to wait (resolv.conf(5)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ResolvConf {
    /// Asked in this order.
    pub(crate) servers: Vec<SocketAddr>,
    /// For one server.
    pub(crate) timeout: Duration,
    /// How often all of them are asked.
    pub(crate) attempts: u32,
}

impl Default for ResolvConf {
    /// What holds without a file.
    fn default() -> Self {
        let servers = vec![SocketAddr::new(Ipv4Addr::LOCALHOST.into(), PORT)];
        Self { servers, timeout: Duration::from_secs(5), attempts: 2 }
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

    fn option(&mut self, word: &str) {
        let Some((name, Ok(number))) = word.split_once(':').map(|(name, number)| (name, number.parse::<u32>())) else {
            return;
        };
        match name {
            // The C library's own bounds (`RES_MAXRETRANS`, `RES_MAXRETRY`).
            "timeout" => self.timeout = Duration::from_secs(number.clamp(1, 30).into()),
            "attempts" => self.attempts = number.clamp(1, 5),
            _ => {}
        }
    }
}

/// Asks the servers for the hosts of a service, such as `_kerberos._udp.EXAMPLE.COM`, in the order in which they are to be
/// tried. No hosts: there is no such service. An error names each server and what came of it.
pub(crate) async fn srv(conf: &ResolvConf, name: &str) -> Result<Srv, String> {
    let mut failures = Vec::new();
    for _ in 0..conf.attempts {
        for server in &conf.servers {
            match ask(*server, name, conf.timeout).await {
                Ok(Answer::Found(mut srv)) => {
                    wire::put_in_order(&mut srv.targets, |limit| fastrand::u32(0..=limit));
                    return Ok(srv);
                }
                Ok(Answer::Failed(code)) => failures.push(format!("{server}: DNS error {code}")),
                Ok(Answer::Cut) => failures.push(format!("{server}: an answer cut short, over TCP too")),
                Err(problem) => failures.push(format!("{server}: {problem}")),
            }
        }
    }
    failures.dedup();
    Err(format!("DNS does not answer for {name}: {}", failures.join(", ")))
}

async fn ask(server: SocketAddr, name: &str, wait: Duration) -> Result<Answer, String> {
    let id = fastrand::u16(..);
    let query = wire::query(id, name).map_err(|problem| problem.to_string())?;
    let silent = |_| format!("no answer within {wait:?}");
    let answer = timeout(wait, ask_udp(server, &query, id, name)).await.map_err(silent)??;
    if answer == Answer::Cut {
        return timeout(wait, ask_tcp(server, &query, id, name)).await.map_err(silent)?;
    }
    Ok(answer)
}

/// Waits on after what is no answer to this question: whoever does not see the question can only guess at its id.
async fn ask_udp(server: SocketAddr, query: &[u8], id: u16, name: &str) -> Result<Answer, String> {
    let socket = connected_udp(server).await.map_err(|e| e.to_string())?;
    socket.send(query).await.map_err(|e| e.to_string())?;
    let mut buffer = vec![0; 4096];
    loop {
        let count = socket.recv(&mut buffer).await.map_err(|e| e.to_string())?;
        match wire::answer(&buffer[..count], id, name) {
            Err(Problem::NotOurs) => {}
            other => return other.map_err(|problem| problem.to_string()),
        }
    }
}

async fn ask_tcp(server: SocketAddr, query: &[u8], id: u16, name: &str) -> Result<Answer, String> {
    let exchange = async {
        let mut stream = TcpStream::connect(server).await?;
        let mut framed = (query.len() as u16).to_be_bytes().to_vec();
        framed.extend(query);
        stream.write_all(&framed).await?;
        let count = stream.read_u16().await?;
        let mut bytes = vec![0; count.into()];
        stream.read_exact(&mut bytes).await.map(|_| bytes)
    };
    let bytes = exchange.await.map_err(|e: std::io::Error| format!("over TCP: {e}"))?;
    wire::answer(&bytes, id, name).map_err(|problem| problem.to_string())
}

/// A socket that takes datagrams from this peer only, and hears of its host's refusals.
pub(super) async fn connected_udp(peer: SocketAddr) -> std::io::Result<UdpSocket> {
    let any: IpAddr = if peer.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(peer).await?;
    Ok(socket)
}

#[cfg(test)]
pub(super) mod tests;
