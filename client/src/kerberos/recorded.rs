//! The whole way in, driven by hand: AS and TGS exchange with MIT's KDC, then GSSAPI with a Kafka broker (Java's acceptor). Once as it was
//! recorded, with the clock and the chance of then, so that every byte we send has to be the same again; and, ignored unless
//! asked for, on the real things, which makes the recordings.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ottla_brokers::{Certificates, Enctype as KdcEnctype, Kafka, KafkaOptions, Kdc, KdcOptions, Listener, Release};

use super::config::{Krb5Config, Sources};
use super::crypto::testing::unhex;
use super::crypto::{Crypto, Usage};
use super::dns::ResolvConf;
use super::enctype::Enctype;
use super::error_code::KrbErrorCode;
use super::gss::{Fresh, Proof};
use super::kdc::{Patience, Transport, Via};
use super::key::Key;
use super::messages::{
    ApReq, Authenticator, Checksum, EncKdcRepPart, EncryptedData, EtypeInfo2, Exchange, KdcRep, KdcReq, KdcReqBody,
    KrbError, Message, MethodData, PaData, PaEncTimestamp,
};
use super::principal::{Principal, PrincipalName};
use super::ticket::HeldTicket;
use super::time::KerberosTime;
use crate::sasl::gssapi::Gssapi;

const REALM: &str = "TEST.LOCAL";
const PASSWORD: &str = "alice-secret";

/// Who is asked.
#[derive(Clone, Copy, PartialEq)]
enum Whom {
    Kdc,
    Broker,
}

/// Asks with one message and gives the answer.
type Ask<'a> = &'a mut dyn FnMut(Whom, &[u8]) -> Vec<u8>;

/// What is asked for: a ticket whose session key is of this type.
fn body(enctype: Enctype, now: KerberosTime, client: Option<&str>, server: PrincipalName) -> KdcReqBody {
    KdcReqBody {
        options: KdcReqBody::CANONICALIZE,
        client: client.map(|name| PrincipalName::new(PrincipalName::NT_PRINCIPAL, [name])),
        realm: REALM.to_owned(),
        server: Some(server),
        till: now.plus_seconds(3600),
        renew_till: None,
        nonce: 0x7FFF_FFFF,
        enctypes: vec![enctype],
    }
}

/// Opens a reply, checks what it repeats, and keeps the ticket.
fn held(reply: &[u8], exchange: Exchange, key: &Key, usage: Usage, asked: &KdcReqBody) -> HeldTicket {
    let reply = KdcRep::from_der(reply).unwrap();
    assert_eq!(reply.exchange, exchange);
    let opened = reply.enc_part.open(Crypto::allowing_rc4(), key, usage, "reply").unwrap();
    let part = EncKdcRepPart::from_der(&opened).unwrap();
    assert_eq!((part.nonce, Some(&part.server.name)), (asked.nonce, asked.server.as_ref()));
    part.held(reply.client, reply.ticket)
}

/// Error 25 says how the key is made; the time under it gets the ticket (RFC 4120 §3.1).
fn log_in(enctype: Enctype, now: KerberosTime, ask: Ask<'_>) -> HeldTicket {
    let crypto = Crypto::allowing_rc4();
    let body = body(enctype, now, Some("alice"), PrincipalName::krbtgt(REALM));
    let mut request = KdcReq { exchange: Exchange::As, padata: MethodData::default(), body };
    let refusal = KrbError::from_der(&ask(Whom::Kdc, &request.to_der())).unwrap();
    assert_eq!(refusal.code, KrbErrorCode::PREAUTH_REQUIRED);
    let methods = MethodData::from_der(&refusal.data.unwrap()).unwrap();
    let infos = EtypeInfo2::from_der(methods.find(PaData::ETYPE_INFO2).unwrap()).unwrap();
    let info = &infos.0[0];
    let salt = info.salt.clone().unwrap();
    assert_eq!((info.enctype, &salt[..]), (enctype, &b"TEST.LOCALalice"[..]));
    let key = crypto.string_to_key(enctype, PASSWORD.as_bytes(), &salt, info.s2kparams.as_deref()).unwrap();

    let stamp = EncryptedData::seal(crypto, &key, Usage::TIMESTAMP, &[1; 16], &PaEncTimestamp(now)).unwrap();
    request.padata.0.push(PaData { kind: PaData::ENC_TIMESTAMP, value: stamp.to_der().to_vec() });
    let reply = ask(Whom::Kdc, &request.to_der());
    held(&reply, Exchange::As, &key, Usage::AS_REP, &request.body)
}

/// A ticket gets another; the authenticator covers the request (RFC 4120 §3.3).
fn service_ticket(enctype: Enctype, now: KerberosTime, tgt: &HeldTicket, ask: Ask<'_>) -> HeldTicket {
    let crypto = Crypto::allowing_rc4();
    let body = body(enctype, now, None, PrincipalName::service("kafka", "localhost"));
    let covered = crypto.checksum(&tgt.session_key, Usage::TGS_REQ_CHECKSUM, &[&body.to_der()]).unwrap();
    let subkey = Key::new(enctype, vec![2; enctype.key_length().unwrap()]);
    let authenticator = Authenticator {
        client: tgt.client.clone(),
        checksum: Some(Checksum { kind: tgt.session_key.enctype.checksum_type().unwrap(), bytes: covered }),
        time: now,
        subkey: Some(subkey.clone()),
        sequence: None,
    };
    let usage = Usage::TGS_REQ_AUTHENTICATOR;
    let authenticator = EncryptedData::seal(crypto, &tgt.session_key, usage, &[3; 16], &authenticator).unwrap();
    let shown = ApReq { options: 0, ticket: tgt.ticket.clone(), authenticator };
    let padata = MethodData(vec![PaData { kind: PaData::TGS_REQ, value: shown.to_der().to_vec() }]);
    let request = KdcReq { exchange: Exchange::Tgs, padata, body };
    let reply = ask(Whom::Kdc, &request.to_der());
    held(&reply, Exchange::Tgs, &subkey, Usage::TGS_REP_SUBKEY, &request.body)
}

/// Three tokens there, three back (RFC 4752).
fn enter(proof: Proof, now: KerberosTime, ticket: HeldTicket, ask: Ask<'_>) {
    let fresh = Fresh { now, subkey: [4; 32].into(), sequence: 5, confounder: [6; 16] };
    let mut exchange = Gssapi::new(Crypto::allowing_rc4(), ticket, proof, "", fresh);
    let mut token = exchange.step(None).unwrap();
    while let Some(ours) = token {
        let theirs = ask(Whom::Broker, &ours);
        token = exchange.step(Some(&theirs)).unwrap();
    }
    assert!(exchange.is_finished());
}

/// The whole way.
fn walk(enctype: Enctype, now: KerberosTime, proof: Proof, ask: Ask<'_>) {
    // A KDC says nothing of a salt for a key of RC4; that log-in is another test's.
    let first = if enctype == Enctype::RC4_HMAC { Enctype::AES256_SHA1 } else { enctype };
    let tgt = log_in(first, now, ask);
    assert_eq!(tgt.client, Principal::parse("alice@TEST.LOCAL", None).unwrap());
    let ticket = service_ticket(enctype, now, &tgt, ask);
    assert_eq!(ticket.session_key.enctype, enctype);
    assert_eq!(ticket.server, Principal::parse("kafka/localhost@TEST.LOCAL", None).unwrap());
    enter(proof, now, ticket, ask);
}

const RECORDED: [Enctype; 4] = [Enctype::AES128_SHA1, Enctype::AES256_SHA1, Enctype::AES128_SHA2, Enctype::AES256_SHA2];

#[test]
fn a_recorded_login_with_each_type_is_made_again_byte_by_byte() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/golden");
    for enctype in RECORDED {
        let recording = std::fs::read_to_string(golden.join(format!("kerberos-{}.txt", enctype.0))).unwrap();
        let mut lines = recording.lines();
        let mut next = |mark: &str| {
            let line = lines.next().unwrap_or_default();
            line.strip_prefix(mark)
                .unwrap_or_else(|| panic!("{enctype}: a line with {mark:?} comes next, not {line:?}"))
        };
        let (seconds, micros) = next("now ").split_once(' ').unwrap();
        let now = KerberosTime { seconds: seconds.parse().unwrap(), micros: micros.parse().unwrap() };
        walk(enctype, now, Proof::Mutual, &mut |_, ours| {
            assert_eq!(ours, unhex(next("> ")), "{enctype}");
            unhex(next("< "))
        });
        assert_eq!(lines.next(), None, "{enctype}: all of it was played");
    }
}

/// Asks the KDC as the client does, and a broker by raw tokens after a handshake of version 0.
struct Real {
    transport: Transport,
    runtime: tokio::runtime::Runtime,
    broker: TcpStream,
}

impl Real {
    fn new(kdc: &Kdc, kafka: &Kafka) -> Self {
        let config = Krb5Config::from_disk(&Sources::Files(vec![kdc.krb5_conf()])).unwrap();
        let transport = Transport::new(Arc::new(config), ResolvConf::system(), Patience::default());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let broker = TcpStream::connect(kafka.bootstrap_of(Listener::SaslPlaintext).unwrap()).unwrap();
        broker.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut real = Self { transport, runtime, broker };
        // SaslHandshake v0, correlation id 7, no client id, "GSSAPI".
        real.send(&unhex("0011 0000 00000007 ffff 0006 475353415049"));
        let answer = real.receive();
        assert_eq!(answer[..6], unhex("00000007 0000"), "{answer:?}");
        real
    }

    fn send(&mut self, token: &[u8]) {
        self.broker.write_all(&(token.len() as u32).to_be_bytes()).unwrap();
        self.broker.write_all(token).unwrap();
    }

    fn receive(&mut self) -> Vec<u8> {
        let mut length = [0; 4];
        self.broker.read_exact(&mut length).unwrap();
        let mut token = vec![0; u32::from_be_bytes(length) as usize];
        self.broker.read_exact(&mut token).unwrap();
        token
    }

    fn ask(&mut self, whom: Whom, message: &[u8], asked: usize) -> Vec<u8> {
        if whom == Whom::Kdc {
            return self.runtime.block_on(self.transport.exchange(REALM, message, Via::Configured)).unwrap();
        }
        self.send(message);
        // The last raw token has no answer: what comes next is an ordinary request.
        if asked == 3 { Vec::new() } else { self.receive() }
    }

    /// ApiVersions v0, correlation id 8, no client id: answered only to those who got in.
    fn is_in(&mut self) {
        self.send(&unhex("0012 0000 00000008 ffff"));
        let answer = self.receive();
        assert_eq!(answer[..6], unhex("00000008 0000"));
    }
}

/// With `OTTLA_RECORD` set to a directory, the recordings are written there.
fn real_walk(kdc: &Kdc, kafka: &Kafka, enctype: Enctype, proof: Proof) {
    let mut real = Real::new(kdc, kafka);
    let now = KerberosTime::from(SystemTime::now());
    let mut recording = format!("now {} {}\n", now.seconds, now.micros);
    let mut asked = 0;
    walk(enctype, now, proof, &mut |whom, ours| {
        asked += usize::from(whom == Whom::Broker);
        let theirs = real.ask(whom, ours, if proof == Proof::Mutual { asked } else { asked + 1 });
        let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>().concat();
        writeln!(recording, "> {}\n< {}", hex(ours), hex(&theirs)).unwrap();
        theirs
    });
    real.is_in();
    if let Some(directory) = std::env::var_os("OTTLA_RECORD").filter(|_| proof == Proof::Mutual) {
        std::fs::write(PathBuf::from(directory).join(format!("kerberos-{}.txt", enctype.0)), recording).unwrap();
    }
}

#[test]
#[ignore = "needs MIT's KDC and a real Kafka: run testdata/test"]
fn a_real_broker_lets_us_in_with_each_type_with_and_without_its_own_proof() {
    let kdc = Kdc::start().unwrap();
    kdc.add_principal("alice", PASSWORD).unwrap();
    let options = KafkaOptions::default().secured(&kdc, &Certificates::shared().unwrap()).unwrap();
    let kafka = Kafka::start_with(Release::from_env().unwrap(), options).unwrap();
    for enctype in Enctype::DEFAULT {
        real_walk(&kdc, &kafka, enctype, Proof::Mutual);
        real_walk(&kdc, &kafka, enctype, Proof::OneWay);
    }
}

#[test]
#[ignore = "needs MIT's KDC and a real Kafka: run testdata/test"]
fn a_real_broker_lets_us_in_with_an_rc4_session_key_where_all_sides_allow_it() {
    let kdc = Kdc::start_with(KdcOptions::default().enctypes(&[KdcEnctype::Aes256Sha1, KdcEnctype::Rc4])).unwrap();
    kdc.add_principal("alice", PASSWORD).unwrap();
    let options = KafkaOptions::default().secured(&kdc, &Certificates::shared().unwrap()).unwrap();
    let kafka = Kafka::start_with(Release::from_env().unwrap(), options).unwrap();
    real_walk(&kdc, &kafka, Enctype::RC4_HMAC, Proof::Mutual);
    real_walk(&kdc, &kafka, Enctype::RC4_HMAC, Proof::OneWay);
}
