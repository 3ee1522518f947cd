//! What DNS says: a realm's KDCs by SRV records (RFC 2782), a host's other name by its addresses and theirs, all of it in
//! RFC 1035's messages.
//!
//! Our own, because it is one question at a time to the servers in `/etc/resolv.conf`: a general resolver crate brings a
//! cache, a pool, its own configuration and some forty crates for it. What DNS says is a hint: a KDC found by it still has
//! to prove that it knows the client's key, and a broker the key of the principal that was found for it. The addresses to
//! connect to are the system's to say, as everywhere in this client.

mod resolv_conf;
pub(crate) mod wire;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

pub(crate) use resolv_conf::ResolvConf;
use wire::{Answer, Problem, Question};
pub(crate) use wire::{Found, Kind, Srv};

/// Asks the servers for the hosts of a service, such as `_kerberos._udp.EXAMPLE.COM`, in the order in which they are to be
/// tried. No hosts: there is no such service. An error names each server and what came of it.
pub(crate) async fn srv(conf: &ResolvConf, name: &str) -> Result<Srv, String> {
    let mut srv = Srv::from(look_up(conf, Kind::Srv, name).await?);
    wire::put_in_order(&mut srv.targets, |limit| fastrand::u32(0..=limit));
    Ok(srv)
}

/// Asks the servers, one after the other. No records: there are none. An error names each server and what came of it.
pub(crate) async fn look_up(conf: &ResolvConf, kind: Kind, name: &str) -> Result<Found, String> {
    let mut failures = Vec::new();
    for _ in 0..conf.attempts {
        for server in &conf.servers {
            match ask(*server, kind, name, conf.timeout).await {
                Ok(Answer::Found(found)) => return Ok(found),
                Ok(Answer::Failed(code)) => failures.push(format!("{server}: DNS error {code}")),
                Ok(Answer::Cut) => failures.push(format!("{server}: an answer cut short, over TCP too")),
                Err(problem) => failures.push(format!("{server}: {problem}")),
            }
        }
    }
    failures.dedup();
    Err(format!("DNS does not answer for {name}: {}", failures.join(", ")))
}

async fn ask(server: SocketAddr, kind: Kind, name: &str, wait: Duration) -> Result<Answer, String> {
    let question = Question { id: fastrand::u16(..), kind, name };
    let query = wire::query(&question).map_err(|problem| problem.to_string())?;
    let silent = |_| format!("no answer within {wait:?}");
    let answer = timeout(wait, ask_udp(server, &query, &question)).await.map_err(silent)??;
    if answer == Answer::Cut {
        return timeout(wait, ask_tcp(server, &query, &question)).await.map_err(silent)?;
    }
    Ok(answer)
}

/// Waits on after what is no answer to this question: whoever does not see the question can only guess at its id.
async fn ask_udp(server: SocketAddr, query: &[u8], question: &Question<'_>) -> Result<Answer, String> {
    let socket = connected_udp(server).await.map_err(|e| e.to_string())?;
    socket.send(query).await.map_err(|e| e.to_string())?;
    let mut buffer = vec![0; 4096];
    loop {
        let count = socket.recv(&mut buffer).await.map_err(|e| e.to_string())?;
        match wire::answer(&buffer[..count], question) {
            Err(Problem::NotOurs) => {}
            other => return other.map_err(|problem| problem.to_string()),
        }
    }
}

async fn ask_tcp(server: SocketAddr, query: &[u8], question: &Question<'_>) -> Result<Answer, String> {
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
    wire::answer(&bytes, question).map_err(|problem| problem.to_string())
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
