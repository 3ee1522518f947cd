//! What the doors are known to open for: recorded exchanges, and bytes as MIT's programs write them.

use std::path::Path;

use super::exchange::{ANSWER, IN_ANSWER, IN_MESSAGE, OFFER, TYPES, WRAPPED, begun};
use super::kerberos::{DNS_QUESTION, HOST_KINDS, HOST_QUESTION, MESSAGES};
use crate::kerberos::crypto::testing::unhex;
use crate::kerberos::dns::wire::{Question, query};
use crate::kerberos::enctype::Enctype;
use crate::kerberos::gss::acceptor::{Manner, NOW, held};
use crate::kerberos::key::Key;
use crate::kerberos::messages::{
    ApReq, Authenticator, Checksum, EncApRepPart, EncKdcRepPart, EncryptedData, EtypeInfo2, EtypeInfo2Entry, KdcReq,
    KrbError, Message, MethodData, PaData, PaEncTimestamp, Ticket,
};

/// The inputs for the door of this name.
///
/// # Panics
///
/// If there is no door of that name, or the project's `testdata` is not beside the crate.
pub fn corpus(door: &str) -> Vec<Vec<u8>> {
    match door {
        "ccache" => (1..=4).map(cache).collect(),
        "der" => recording(18).into_iter().filter(|message| message.first().is_some_and(|tag| *tag > 0x5F)).collect(),
        "dns_answer" => vec![dns()],
        "dns_host" => (0..HOST_KINDS.len()).map(dns_host).collect(),
        "gss_tokens" => tokens(),
        "hosts" => {
            vec![b"# ours\n127.0.0.1 localhost\n::1 localhost ip6-localhost\n10.0.0.7 b.example.com b\n".to_vec()]
        }
        "kdc_answers" => kdc_answers(),
        "kerberos_messages" => messages(),
        "keytab" => vec![keytab(1), keytab(2)],
        "krb5_conf" => SETTINGS.iter().map(|text| text.as_bytes().to_vec()).collect(),
        "oauth_challenge" => challenges(),
        "pem" => PEM.iter().map(|name| testdata(&format!("tls/{name}"))).collect(),
        "principal" => PRINCIPALS.iter().map(|text| text.as_bytes().to_vec()).collect(),
        "resolv_conf" => {
            vec![b"# ours\nnameserver 192.0.2.1\nnameserver ::1\nsearch a.test b.test\noptions ndots:2 timeout:7 attempts:9\n".to_vec()]
        }
        "scram_server" => vec![SCRAM.to_vec()],
        other => panic!("there is no door {other}"),
    }
}

/// A short one and a long one.
fn challenges() -> Vec<Vec<u8>> {
    let challenge =
        |scope: &str| format!(r#"{{"status":"invalid_token","scope":"{scope}","x":[1,{{"y":null}}]}}"#).into_bytes();
    vec![challenge("kafka"), challenge(&"kafka ".repeat(100))]
}

const PEM: [&str; 7] = [
    "ca.pem",
    "client-both.pem",
    "client-p256.key",
    "client-p256-sec1.key",
    "client-rsa-encrypted.key",
    "client-rsa-pkcs1.key",
    "server.pem",
];

const PRINCIPALS: [&str; 4] = ["alice@R", r"a\/b\@c\\/\t\n\b\0@\@R", "kafka/broker.example.com@EXAMPLE.COM", "用户@R"];

/// RFC 7677 §3.
const SCRAM: &[u8] = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096\0\
    v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

const SETTINGS: [&str; 2] = [
    "# Ours.\n[libdefaults]\n default_realm = EXAMPLE.COM\n rdns = off\n dns_canonicalize_hostname = fallback\n\
     qualify_shortname = \"\"\n default_client_keytab_name = FILE:/k/%{uid}\n\
     udp_preference_limit = 1\n clockskew = 2m\n ticket_lifetime = 1d2h\n renew_lifetime = 10:30\n\
     default_tkt_enctypes = aes256-cts -aes128-cts rc4\n permitted_enctypes* = DEFAULT +aes\n allow_rc4 = yes\n\
     default_ccache_name = FILE:/run/%{uid}/cc\n default_keytab_name = \"a b\\n\"\n\
     [realms]\n EXAMPLE.COM = {\n  kdc = kdc1.example.com:8888\n  kdc = tcp/[2001:db8::1]:88\n  x = {\n   y = z\n  }*\n }\n\
     [domain_realm]\n .example.com = EXAMPLE.COM\n[capaths]\n EXAMPLE.COM = {\n  EXAMPLE.COM = .\n }\n",
    "include 1\nincludedir d\0[libdefaults]\ndefault_realm = R\n",
];

/// A file of the project's `testdata`. The package of the fuzz targets asks from elsewhere, but for the same crate.
fn testdata(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata").join(name);
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// A recorded log-in: both sides' messages in order.
fn recording(enctype: i32) -> Vec<Vec<u8>> {
    let text = String::from_utf8(testdata(&format!("golden/kerberos-{enctype}.txt"))).expect("text");
    text.lines().filter_map(|line| line.strip_prefix(['<', '>'])).map(unhex).collect()
}

/// Where in a recording what stands.
const AS_REQ: usize = 2;
const REFUSAL: usize = 1;
const AS_REP: usize = 3;
const TGS_REP: usize = 5;

fn kdc_answers() -> Vec<Vec<u8>> {
    let said = recording(18);
    let framed = |at: usize| [&(said[at].len() as u16).to_be_bytes()[..], &said[at]].concat();
    vec![[&[0][..], &framed(REFUSAL), &framed(AS_REP)].concat(), [&[1][..], &framed(TGS_REP)].concat()]
}

fn messages() -> Vec<Vec<u8>> {
    let named = |name: &str, der: &[u8]| {
        let at = MESSAGES.iter().position(|(known, _)| *known == name).expect("a message");
        [&[at as u8], der].concat()
    };
    let mut inputs = Vec::new();
    for enctype in [17, 18, 19, 20] {
        let said = recording(enctype);
        let refusal = KrbError::from_der(&said[REFUSAL]).expect("an error");
        let request = KdcReq::from_der(&said[AS_REQ]).expect("a request");
        let shown = ApReq::from_der(&said[6][17..]).expect("an initial token");
        let wordy = KrbError { text: Some(b"words \n\x1B\xFF".repeat(300)), ..refusal.clone() };
        inputs.extend([
            named("KRB-ERROR", &said[REFUSAL]),
            named("KRB-ERROR", &wordy.to_der()),
            named("e-data", refusal.data.as_deref().expect("METHOD-DATA")),
            named(KdcReq::NAME, &said[AS_REQ]),
            named("KDC-REP", &said[AS_REP]),
            named("KDC-REP", &said[TGS_REP]),
            named("KDC-REQ-BODY", &request.body.to_der()),
            named(ApReq::NAME, &shown.to_der()),
            named(Ticket::NAME, &shown.ticket),
            named(EncryptedData::NAME, &shown.authenticator.to_der()),
        ]);
    }
    inputs.extend(parts().iter().map(|(name, der)| named(name, der)));
    inputs
}

/// What is sealed in messages, or only in some.
fn parts() -> Vec<(&'static str, Vec<u8>)> {
    fn part<M: Message>(message: &M) -> (&'static str, Vec<u8>) {
        (M::NAME, message.to_der().to_vec())
    }
    let ticket = held(Enctype::AES256_SHA1);
    let key = ticket.session_key.clone();
    let entry = |salt, s2kparams| EtypeInfo2Entry { enctype: Enctype::AES128_SHA2, salt, s2kparams };
    let info = EtypeInfo2(vec![entry(Some(b"Rsalt".to_vec()), Some(vec![0, 0, 16, 0])), entry(None, None)]);
    let kinds = [PaData::ETYPE_INFO2, PaData::ENC_TIMESTAMP, 136];
    let methods = kinds.map(|kind| PaData { kind, value: info.to_der().to_vec() });
    let (_, _, answer) = begun(Enctype::AES256_SHA1, Manner::java());
    vec![
        part(&Authenticator {
            client: ticket.client.clone(),
            checksum: Some(Checksum { kind: 0x8003, bytes: vec![7; 24] }),
            time: NOW,
            subkey: Some(key.clone()),
            sequence: Some(u32::MAX),
        }),
        part(&EncApRepPart { time: NOW, subkey: Some(key.clone()), sequence: Some(7) }),
        part(&EncKdcRepPart {
            key,
            nonce: 42,
            key_expiration: Some(NOW),
            flags: 0xFEDC_BA98,
            auth_time: NOW,
            start_time: Some(NOW),
            end_time: NOW,
            renew_till: Some(NOW),
            server: ticket.server,
        }),
        part(&info),
        part(&MethodData(methods.to_vec())),
        part(&PaEncTimestamp(NOW)),
        ("AP-REP", answer[15..].to_vec()),
    ]
}

fn tokens() -> Vec<Vec<u8>> {
    let mut inputs = Vec::new();
    for (number, enctype) in TYPES.into_iter().enumerate() {
        let mut add = |which: u8, bytes: &[u8]| inputs.push([&[which + 5 * number as u8], bytes].concat());
        let (_, mut acceptor, answer) = begun(enctype, Manner::java());
        add(ANSWER, &answer);
        add(WRAPPED, &acceptor.wrap(&[1, 1, 0, 0]));
        add(OFFER, &[1, 1, 0, 0]);
        for subkey in [None, Some(Key::new(Enctype::AES128_SHA1, vec![5; 16]))] {
            add(IN_ANSWER, &EncApRepPart { time: NOW, subkey, sequence: Some(9) }.to_der());
        }
        if enctype == Enctype::RC4_HMAC {
            // Nothing is sealed with it, and a service's own key is not taken.
            continue;
        }
        add(ANSWER, &begun(enctype, Manner::windows(enctype, false)).2);
        let (_, mut acceptor, _) = begun(enctype, Manner { rotation: 28, sealed: true, filling: 9, ..Manner::java() });
        add(WRAPPED, &acceptor.wrap(b"payload"));
        add(IN_MESSAGE, b"message\x05\x04\x03\xFF\0\0\0\0\0\0\0\0\0\0\0\x4D");
    }
    inputs
}

fn dns() -> Vec<u8> {
    let mut bytes = query(&DNS_QUESTION).expect("a name");
    bytes[2..4].copy_from_slice(&[0x81, 0x80]);
    bytes[7] = 3;
    // An alias, and two hosts of it, whose names end in the question's realm, at byte 27.
    bytes.extend(b"\xC0\x0C\0\x05\0\x01\0\0\x01\x2C\0\x06\x01a\x02de\0");
    bytes.extend(b"\x01a\x02de\0\0\x21\0\x01\0\0\x01\x2C\0\x0A\0\0\0\x05\0\x58\x01k\xC0\x1B");
    bytes.extend(b"\x01a\x02de\0\0\x21\0\x01\0\0\0\0\0\x0A\0\x01\0\0\0\x58\x01m\xC0\x1B");
    bytes
}

/// An alias, and two records of what it stands for.
fn dns_host(which: usize) -> Vec<u8> {
    let (kind, data): (_, &[&[u8]]) = match which {
        0 => (1, &[&[127, 0, 0, 5], &[127, 0, 0, 6]]),
        1 => (28, &[&[0xFD; 16], &[0xFE; 16]]),
        _ => (12, &[b"\x04host\xC0\x13", b"\x05other\0"]),
    };
    let mut bytes = query(&Question { kind: HOST_KINDS[which], ..HOST_QUESTION }).expect("a name");
    bytes[2..4].copy_from_slice(&[0x81, 0x80]);
    bytes[7] = 3;
    bytes.extend(b"\xC0\x0C\0\x05\0\x01\0\0\x01\x2C\0\x06\x01a\x02de\0");
    for data in data {
        bytes.extend([b"\x01a\x02de\0\0", &[kind][..], b"\0\x01\0\0\x01\x2C\0", &[data.len() as u8], data].concat());
    }
    [&[which as u8], &bytes[..]].concat()
}

/// The oldest version of both kinds of file has this machine's byte order, and counts the realm as a component.
fn keytab(version: u8) -> Vec<u8> {
    let oldest = version == 1;
    let short = |number: u16| if oldest { number.to_ne_bytes() } else { number.to_be_bytes() };
    let long = |number: u32| if oldest { number.to_ne_bytes() } else { number.to_be_bytes() };
    let counted = |bytes: &[u8]| [&short(bytes.len() as u16)[..], bytes].concat();
    let mut entry = [&short(2 + u16::from(oldest))[..], &counted(b"R"), &counted(b"kafka"), &counted(b"host")].concat();
    if !oldest {
        entry.extend(long(1));
    }
    entry.extend([&long(1_700_000_000)[..], &[44], &short(18), &counted(&[0xA5; 32]), &long(300)].concat());
    let mut file = vec![5, version];
    file.extend([&long(entry.len() as u32)[..], &entry, &long(-3_i32 as u32), &[0; 3]].concat());
    file.extend([&long(entry.len() as u32)[..], &entry].concat());
    file
}

fn cache(version: u8) -> Vec<u8> {
    let short = |number: u16| if version < 3 { number.to_ne_bytes() } else { number.to_be_bytes() };
    let long = |number: u32| if version < 3 { number.to_ne_bytes() } else { number.to_be_bytes() };
    let counted = |bytes: &[u8]| [&long(bytes.len() as u32)[..], bytes].concat();
    let principal = |name: &[&[u8]]| {
        let kind = if version == 1 { vec![] } else { long(1).to_vec() };
        let count = long(name.len() as u32 + u32::from(version == 1));
        let components: Vec<_> = name.iter().flat_map(|component| counted(component)).collect();
        [&kind, &count[..], &counted(b"R"), &components].concat()
    };
    let header: &[u8] = if version == 4 { b"\0\x0C\0\x01\0\x08\xFF\xFF\xFF\xE2\0\0\0\x07" } else { b"" };
    let twice = if version == 3 { short(18).to_vec() } else { vec![] };
    let list = [&long(1)[..], &short(2), &counted(&[127, 0, 0, 1])].concat();
    [
        &[5, version][..],
        header,
        &principal(&[b"alice"]),
        &principal(&[b"alice"]),
        &principal(&[b"krbtgt", b"R"]),
        &short(18),
        &twice,
        &counted(&[0xA5; 32]),
        &[long(1000), long(0), long(6000), long(7000)].concat(),
        &[0],
        &long(0x5080_0000),
        &list,
        &list,
        &counted(b"ticket"),
        &counted(b"second"),
    ]
    .concat()
}
