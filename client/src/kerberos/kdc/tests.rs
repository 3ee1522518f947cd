//! KDCs on loopback that answer, are silent, refuse, or send what no KDC would.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::net::{TcpListener, UdpSocket};

use super::*;
use crate::kerberos::config::{ConfigFiles, Sources};
use crate::kerberos::dns::tests::bind_both;
use crate::kerberos::principal::Principal;
use crate::kerberos::time::KerberosTime;

/// A KRB-ERROR's first bytes; what is behind the tag is the caller's business.
const REPLY: &[u8] = &[0x7e, 3, b'a', b'n', b's'];

struct OneFile(String);

impl ConfigFiles for OneFile {
    fn read(&self, _: &std::path::Path) -> io::Result<Vec<u8>> {
        Ok(self.0.clone().into_bytes())
    }

    fn list(&self, _: &std::path::Path) -> io::Result<Vec<String>> {
        Err(io::ErrorKind::NotFound.into())
    }
}

fn quick() -> Patience {
    let ms = Duration::from_millis;
    Patience { datagram: ms(500), connect: ms(500), answer: ms(1000), second_round: 2, whole: ms(10_000) }
}

/// A transport for the realm R with these KDCs, by UDP first up to 100 bytes.
fn transport(kdcs: &[impl ToString]) -> Transport {
    let kdcs: Vec<_> = kdcs.iter().map(|kdc| format!("kdc = {}\n", kdc.to_string())).collect();
    let text = format!("[libdefaults]\nudp_preference_limit = 100\n[realms]\nR = {{\n{}}}\n", kdcs.concat());
    let config = Krb5Config::load(&Sources::Files(vec![PathBuf::from("krb5.conf")]), &OneFile(text)).unwrap();
    Transport::new(Arc::new(config), ResolvConf::default(), quick())
}

/// What a fake KDC does with UDP, with TCP, and how often it was asked by either.
struct Fake {
    address: SocketAddr,
    by_udp: Arc<AtomicU32>,
    by_tcp: Arc<AtomicU32>,
}

impl Fake {
    /// Answers with these; `None` is silence by UDP, and a connection closed at once by TCP.
    async fn start(udp: Option<&'static [u8]>, tcp: Option<Vec<u8>>) -> Self {
        let (socket, listener) = bind_both().await;
        let address = listener.local_addr().unwrap();
        let (by_udp, by_tcp) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
        let count = by_udp.clone();
        tokio::spawn(async move {
            let mut buffer = [0; 2048];
            while let Ok((_, peer)) = socket.recv_from(&mut buffer).await {
                count.fetch_add(1, Ordering::SeqCst);
                if let Some(reply) = udp {
                    socket.send_to(reply, peer).await.unwrap();
                }
            }
        });
        let count = by_tcp.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                let Some(reply) = &tcp else { continue };
                let size = stream.read_u32().await.unwrap();
                let mut request = vec![0; size as usize];
                stream.read_exact(&mut request).await.unwrap();
                stream.write_all(reply).await.unwrap();
            }
        });
        Self { address, by_udp, by_tcp }
    }

    fn asked(&self) -> (u32, u32) {
        (self.by_udp.load(Ordering::SeqCst), self.by_tcp.load(Ordering::SeqCst))
    }
}

fn framed(reply: &[u8]) -> Vec<u8> {
    [&(reply.len() as u32).to_be_bytes()[..], reply].concat()
}

/// A port on which nothing listens.
async fn closed() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

fn tried(error: KerberosError) -> Vec<String> {
    match error {
        KerberosError::Unreachable { realm, tried } => {
            assert_eq!(realm, "R");
            tried
        }
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_small_request_goes_by_udp_and_a_large_one_by_tcp() {
    let kdc = Fake::start(Some(REPLY), Some(framed(REPLY))).await;
    let transport = transport(&[kdc.address]);
    assert_eq!(transport.exchange("R", &[1; 100], Via::Configured).await.unwrap(), REPLY);
    assert_eq!(kdc.asked(), (1, 0));
    let transport = self::transport(&[kdc.address]);
    assert_eq!(transport.exchange("R", &[1; 101], Via::Configured).await.unwrap(), REPLY);
    assert_eq!(kdc.asked(), (1, 1));
}

#[tokio::test]
async fn by_tcp_alone_is_by_tcp_alone() {
    let kdc = Fake::start(Some(REPLY), Some(framed(REPLY))).await;
    let transport = transport(&[kdc.address]);
    transport.exchange("R", b"ask", Via::Configured).await.unwrap();
    transport.exchange("R", b"ask", Via::Tcp).await.unwrap();
    assert_eq!(kdc.asked(), (1, 1));
}

/// A KRB-ERROR with this code, for as long as the tests run.
fn krb_error(code: KrbErrorCode) -> &'static [u8] {
    let error = KrbError {
        server_time: KerberosTime::at(0),
        code,
        client_realm: None,
        client_name: None,
        server: Principal::parse("krbtgt/R@R", None).unwrap(),
        text: None,
        data: None,
    };
    error.to_der().to_vec().leak()
}

#[tokio::test]
async fn a_reply_too_big_for_udp_is_asked_for_by_tcp_at_the_same_kdc_and_that_is_remembered() {
    let too_big = krb_error(KrbErrorCode::RESPONSE_TOO_BIG);
    let kdc = Fake::start(Some(too_big), Some(framed(REPLY))).await;
    let other = Fake::start(Some(REPLY), Some(framed(REPLY))).await;
    let transport = transport(&[kdc.address, other.address]);
    for _ in 0..2 {
        assert_eq!(transport.exchange("R", b"ask", Via::Configured).await.unwrap(), REPLY);
    }
    assert_eq!((kdc.asked(), other.asked()), ((1, 2), (0, 0)));
    let udp_alone = self::transport(&[format!("udp/{}", kdc.address)]);
    let tried = tried(udp_alone.exchange("R", b"ask", Via::Configured).await.unwrap_err());
    assert!(tried[0].contains("too big for UDP") && tried.len() == 1, "{tried:?}");
}

#[tokio::test]
async fn a_kdc_that_is_not_available_is_passed_over_while_there_is_another() {
    let unavailable = krb_error(KrbErrorCode::SVC_UNAVAILABLE);
    let ill = Fake::start(Some(unavailable), None).await;
    let good = Fake::start(Some(REPLY), None).await;
    let both = transport(&[ill.address, good.address]);
    assert_eq!(both.exchange("R", b"ask", Via::Configured).await.unwrap(), REPLY);
    let alone = transport(&[ill.address]);
    assert_eq!(alone.exchange("R", b"ask", Via::Configured).await.unwrap(), unavailable);
}

#[tokio::test]
async fn a_kdc_that_is_silent_by_udp_is_asked_by_tcp_and_that_is_remembered() {
    let kdc = Fake::start(None, Some(framed(REPLY))).await;
    let transport = transport(&[kdc.address]);
    assert_eq!(transport.exchange("R", b"ask", Via::Configured).await.unwrap(), REPLY);
    assert_eq!(transport.exchange("R", b"ask", Via::Configured).await.unwrap(), REPLY);
    assert_eq!(kdc.asked(), (1, 2));
}

#[tokio::test]
async fn a_silent_kdc_beside_one_that_answers_costs_one_wait_and_only_once() {
    let (silent, good) = (Fake::start(None, None).await, Fake::start(Some(REPLY), None).await);
    let transport = transport(&[silent.address, good.address]);
    for _ in 0..3 {
        assert_eq!(transport.exchange("R", b"ask", Via::Configured).await.unwrap(), REPLY);
    }
    assert_eq!((silent.asked(), good.asked()), ((1, 0), (3, 0)));
}

#[tokio::test]
async fn when_the_good_one_falls_silent_the_others_are_tried_again() {
    let once = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let (first, second) = (Fake::start(None, None).await, once.local_addr().unwrap());
    let kdcs = [first.address.to_string(), second.to_string()];
    let transport = transport(&kdcs);
    let answering = tokio::spawn(async move {
        let (_, peer) = once.recv_from(&mut [0; 9]).await.unwrap();
        once.send_to(REPLY, peer).await.unwrap();
        once
    });
    assert_eq!(transport.exchange("R", b"ask", Via::Configured).await.unwrap(), REPLY);
    let _silent_from_now_on = answering.await.unwrap();
    let tried = tried(transport.exchange("R", b"ask", Via::Configured).await.unwrap_err());
    assert!(tried[0].starts_with(&second.to_string()) && tried[1].starts_with(&kdcs[0]), "{tried:?}");
    assert_eq!(first.asked().0, 3, "once before, and in both rounds");
}

#[tokio::test]
async fn a_request_that_is_lost_is_sent_again() {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 2048];
        socket.recv_from(&mut buffer).await.unwrap();
        let (_, peer) = socket.recv_from(&mut buffer).await.unwrap();
        socket.send_to(REPLY, peer).await.unwrap();
    });
    let transport = transport(&[format!("udp/{address}")]);
    assert_eq!(transport.exchange("R", b"ask", Via::Configured).await.unwrap(), REPLY);
}

#[tokio::test]
async fn an_error_lists_every_address_with_what_came_of_it() {
    let silent = Fake::start(None, None).await;
    let closed = closed().await;
    let proxy = "https://proxy.example.com/KdcProxy";
    let transport = transport(&[
        silent.address.to_string(),
        closed.to_string(),
        proxy.to_owned(),
        "no-such-host.invalid".to_owned(),
    ]);
    let error = transport.exchange("R", b"ask", Via::Configured).await.unwrap_err();
    assert!(error.is_retriable());
    let tried = tried(error);
    let has = |start: String, part: &str| {
        assert!(tried.iter().any(|line| line.starts_with(&start) && line.contains(part)), "{start} {part}: {tried:#?}");
    };
    has(format!("{} by UDP", silent.address), "no answer in time");
    has(format!("{} by TCP", silent.address), "");
    has(format!("{closed} by UDP"), "refused");
    has(format!("{closed} by TCP"), "refused");
    has(proxy.to_owned(), "proxies");
    has("no-such-host.invalid:88 by".to_owned(), "resolved");
}

#[tokio::test]
async fn all_of_it_ends_by_its_deadline() {
    let silent = Fake::start(None, None).await;
    let kdcs = vec![format!("udp/{}", silent.address); 50];
    let mut transport = transport(&kdcs);
    transport.patience.whole = Duration::from_millis(1200);
    let start = Instant::now();
    let tried = tried(transport.exchange("R", b"ask", Via::Configured).await.unwrap_err());
    // Fifty that are each given time of their own would take a minute.
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    assert!(tried.last().unwrap().contains("given up"), "{tried:?}");
}

#[tokio::test]
async fn a_length_beyond_the_limit_is_refused_before_anything_is_read() {
    for announced in [REPLY_LIMIT as u32 + 1, 0x4854_5450, u32::MAX] {
        // The reply does come; only its length is too large.
        let reply = [&announced.to_be_bytes()[..], &vec![0x7e; REPLY_LIMIT + 1]].concat();
        let kdc = Fake::start(None, Some(reply)).await;
        let transport = transport(&[format!("tcp/{}", kdc.address)]);
        let tried = tried(transport.exchange("R", b"ask", Via::Tcp).await.unwrap_err());
        assert!(tried[0].contains(&format!("{announced} bytes, so it is no KDC")), "{tried:?}");
    }
}

#[tokio::test]
async fn a_reply_up_to_the_limit_is_taken() {
    let reply = vec![0x6b; REPLY_LIMIT];
    let kdc = Fake::start(None, Some(framed(&reply))).await;
    let transport = transport(&[kdc.address]);
    assert!(transport.exchange("R", b"ask", Via::Tcp).await.unwrap() == reply);
}

#[tokio::test]
async fn what_is_no_reply_is_named_and_the_next_kdc_is_tried() {
    for (udp, tcp, problem) in [
        (Some(&b"HTTP/1.1 400"[..]), Some(framed(b"SSH-2.0")), "no Kerberos reply"),
        (Some(&b""[..]), Some(framed(b"")), "nothing"),
        (None, Some(vec![0, 0, 0, 9, 0x7e]), "closed the connection after 1 of 9 bytes"),
        (None, Some(vec![0, 0]), "closed the connection without a reply"),
    ] {
        let strange = Fake::start(udp, tcp.clone()).await;
        let tried = tried(transport(&[strange.address]).exchange("R", b"ask", Via::Configured).await.unwrap_err());
        assert!(tried.iter().any(|line| line.contains(problem)), "{problem}: {tried:?}");
        let good = Fake::start(Some(REPLY), None).await;
        let transport = transport(&[strange.address, good.address]);
        assert_eq!(transport.exchange("R", b"ask", Via::Configured).await.unwrap(), REPLY);
    }
}

#[tokio::test]
async fn a_realm_without_any_address_says_where_one_could_be_named() {
    let mut transport = transport(&[] as &[String]);
    let config = Arc::get_mut(&mut transport.config).unwrap();
    config.dns_lookup_kdc = false;
    let tried = tried(transport.exchange("R", b"ask", Via::Configured).await.unwrap_err());
    assert_eq!(tried, ["krb5.conf names no kdc, and dns_lookup_kdc is off"]);
}

/// A name server that knows one host, `localhost` with this port, for these labels, and counts what it is asked.
async fn name_server(known: &'static [&'static str], port: u16) -> (SocketAddr, Arc<AtomicU32>) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let count = Arc::new(AtomicU32::new(0));
    let asked = count.clone();
    tokio::spawn(async move {
        let mut buffer = [0; 512];
        while let Ok((size, peer)) = socket.recv_from(&mut buffer).await {
            asked.fetch_add(1, Ordering::SeqCst);
            let mut answer = buffer[..size].to_vec();
            answer[2..4].copy_from_slice(&[0x81, 0x80]);
            let name = String::from_utf8_lossy(&answer).into_owned();
            for _ in known.iter().filter(|label| name.contains(*label)) {
                answer[7] += 1;
                answer.extend([0xc0, 12, 0, 33, 0, 1, 0, 0, 0, 60, 0, 17, 0, 0, 0, 0]);
                answer.extend(port.to_be_bytes());
                answer.extend(b"\x09localhost\x00");
            }
            if answer[7] == 0 {
                answer[3] |= 3;
            }
            socket.send_to(&answer, peer).await.unwrap();
        }
    });
    (address, count)
}

fn by_dns(name_server: SocketAddr) -> Transport {
    let resolv_conf = ResolvConf {
        servers: vec![name_server],
        timeout: Duration::from_secs(2),
        attempts: 1,
        ..ResolvConf::default()
    };
    Transport { resolv_conf, ..transport(&[] as &[String]) }
}

#[tokio::test]
async fn kdcs_that_no_file_names_are_found_by_dns_and_kept_while_that_holds() {
    let kdc = Fake::start(Some(REPLY), Some(framed(REPLY))).await;
    let (server, asked) = name_server(&["_udp", "_tcp"], kdc.address.port()).await;
    let transport = by_dns(server);
    for via in [Via::Configured, Via::Configured, Via::Tcp] {
        assert_eq!(transport.exchange("R", b"ask", via).await.unwrap(), REPLY);
    }
    assert_eq!(kdc.asked(), (2, 1), "found for both ways, so it is one address for both");
    assert_eq!(asked.load(Ordering::SeqCst), 2, "one question for each way, and then no more");
}

#[tokio::test]
async fn a_kdc_found_for_one_way_is_asked_that_way_only() {
    let kdc = Fake::start(Some(REPLY), Some(framed(REPLY))).await;
    let (server, _) = name_server(&["_tcp"], kdc.address.port()).await;
    assert_eq!(by_dns(server).exchange("R", b"ask", Via::Configured).await.unwrap(), REPLY);
    assert_eq!(kdc.asked(), (0, 1));
}

#[tokio::test]
async fn a_realm_that_dns_does_not_know_says_which_names_were_asked_for() {
    let (server, _) = name_server(&[], 1).await;
    let tried = tried(by_dns(server).exchange("R", b"ask", Via::Configured).await.unwrap_err());
    assert!(tried.iter().any(|line| line.contains("_kerberos._udp.R")), "{tried:?}");
    assert!(tried.iter().any(|line| line.contains("_kerberos._tcp.R")), "{tried:?}");
}
