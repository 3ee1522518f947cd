//! Bytes of Kerberos's peers, read and written again.

use crate::kerberos::der::{
    BIT_STRING, GENERAL_STRING, GENERALIZED_TIME, INTEGER, OCTET_STRING, Reader, SEQUENCE, Writer,
};
use crate::kerberos::dns::wire::{Answer, Data, Found, Kind, Question, Srv, answer, put_in_order};
use crate::kerberos::error::{Malformed, Peer};
use crate::kerberos::messages::{
    ApRep, ApReq, Authenticator, EncApRepPart, EncKdcRepPart, EncryptedData, EtypeInfo2, KdcRep, KdcReq, KdcReqBody,
    KrbError, Message, MethodData, PaEncTimestamp, Ticket,
};
use crate::kerberos::time::KerberosTime;

/// How deep values are looked into here. Messages are as deep as their code, some ten.
const DEPTH: usize = 32;
/// The bit of tags whose contents are values (X.690 §8.1.2.5).
const CONSTRUCTED: u8 = 0x20;

/// Any value, with all values in it. What is DER has one form only: written again it is the same, and every number, text, time
/// and mask in it, too.
pub fn der(data: &[u8]) -> bool {
    let mut writer = Writer::new();
    let read = values(Reader::new("value", data), DEPTH, &mut writer);
    match read {
        Ok(()) => assert_eq!(**writer.finish(), *data, "DER has one form"),
        Err(ref error) => assert!(error.what == "value" && error.at <= data.len(), "{error}"),
    }
    read.is_ok() && !data.is_empty()
}

fn values(mut reader: Reader<'_>, depth: usize, writer: &mut Writer) -> Result<(), Malformed> {
    while let Some(tag) = reader.peek() {
        let mut copy = reader;
        let contents = reader.value(tag, "value")?;
        let raw = copy.raw(tag, "value")?;
        assert!(raw.len() > contents.rest().len(), "a header has two bytes at least");
        again(tag, raw);
        let mut inner = Ok(());
        writer.value(tag, |w| match depth.checked_sub(1) {
            Some(depth) if tag & CONSTRUCTED != 0 => inner = values(contents, depth, w),
            _ => w.raw(contents.rest()),
        });
        inner?;
    }
    reader.end("value")
}

/// What a value of a known kind says, written again.
fn again(tag: u8, raw: &[u8]) {
    let value = Reader::new("value", raw);
    let mut writer = Writer::new();
    let known = match tag {
        INTEGER => {
            // A number with a sign that should have none is read, but never written so.
            let _ = value.u32("value");
            value.i32("value").map(|number| writer.integer(number))
        }
        OCTET_STRING => value.octets("value").map(|octets| writer.octets(octets)),
        GENERAL_STRING => value.text("value").map(|text| writer.text(&text)),
        GENERALIZED_TIME => value.time("value").map(|time| writer.time(time)),
        BIT_STRING if raw.starts_with(&[BIT_STRING, 5, 0]) => value.flags("value").map(|flags| writer.flags(flags)),
        BIT_STRING => return drop(value.flags("value")),
        SEQUENCE => return drop(value.each("value", |list| list.next_i32("value"))),
        _ => return,
    };
    match known {
        Ok(()) => assert_eq!(**writer.finish(), *raw, "{tag:#04x}"),
        Err(error) => assert!(error.at <= raw.len(), "{error}"),
    }
}

/// Reads a message, and writes again what was read.
type Rewrite = fn(&[u8]) -> Option<Vec<u8>>;

/// Every message by its name.
pub(super) const MESSAGES: [(&str, Rewrite); 15] = [
    row::<ApRep>(),
    row::<ApReq>(),
    row::<Authenticator>(),
    row::<EncApRepPart>(),
    row::<EncKdcRepPart>(),
    row::<EncryptedData>(),
    row::<EtypeInfo2>(),
    row::<KdcRep>(),
    row::<KdcReq>(),
    row::<KdcReqBody>(),
    ("KRB-ERROR", refusal),
    row::<MethodData>(),
    row::<PaEncTimestamp>(),
    row::<Ticket>(),
    ("e-data", hints),
];

const fn row<M: Message>() -> (&'static str, Rewrite) {
    (M::NAME, rewrite::<M>)
}

/// An error names the message and has its address in it.
fn rewrite<M: Message>(bytes: &[u8]) -> Option<Vec<u8>> {
    match M::from_der(bytes) {
        Ok(message) => Some(message.to_der().to_vec()),
        Err(error) => {
            assert!(error.what == M::NAME && error.at <= bytes.len(), "{error}");
            None
        }
    }
}

/// A peer's words go into a log: short, and in one line.
fn refusal(bytes: &[u8]) -> Option<Vec<u8>> {
    let written = rewrite::<KrbError>(bytes)?;
    let error = KrbError::from_der(bytes).ok()?.into_error(Peer::Service, KerberosTime::at(0));
    let shown = error.to_string();
    assert!(shown.chars().count() < 1000 && !shown.chars().any(char::is_control), "{shown:?}");
    Some(written)
}

/// What a refusal for want of pre-authentication carries.
fn hints(bytes: &[u8]) -> Option<Vec<u8>> {
    let written = rewrite::<MethodData>(bytes)?;
    let methods = MethodData::from_der(bytes).ok()?;
    for kind in methods.kinds() {
        let value = methods.find(kind).expect("a kind that is there");
        let _ = rewrite::<EtypeInfo2>(value);
    }
    Some(written)
}

/// A message: the first byte chooses which. What is written of it is read as the same, and is hardly longer: memory is bounded
/// by what came.
pub fn kerberos_messages(data: &[u8]) -> bool {
    let [which, bytes @ ..] = data else { return false };
    let (name, rewrite) = MESSAGES[usize::from(*which) % MESSAGES.len()];
    let Some(written) = rewrite(bytes) else { return false };
    // Flags are filled up, and a number that came with a sign goes out without.
    assert!(written.len() <= bytes.len() + 32, "{name}: {} bytes of {}", written.len(), bytes.len());
    assert_eq!(rewrite(&written).as_ref(), Some(&written), "{name}: what we write we read");
    true
}

/// The question whose answers [`dns_answer`] takes.
pub(super) const DNS_QUESTION: Question<'_> =
    Question { id: 0x1234, kind: Kind::Srv, name: "_kerberos._udp.EXAMPLE.COM" };

/// The kinds of question whose answers [`dns_host`] takes, by the first byte, and the name that is in all of them.
pub(super) const HOST_KINDS: [Kind; 3] = [Kind::A, Kind::Aaaa, Kind::Ptr];
pub(super) const HOST_QUESTION: Question<'_> = Question { id: 0x1234, kind: Kind::A, name: "broker.example.com" };

/// A byte for the kind of question, and a server's answer about a host. Names can be shown, addresses are of the kind that was asked
/// for, and there are few of both.
pub fn dns_host(data: &[u8]) -> bool {
    let [which, bytes @ ..] = data else { return false };
    let kind = HOST_KINDS[usize::from(*which) % HOST_KINDS.len()];
    let Ok(Answer::Found(found)) = answer(bytes, &Question { kind, ..HOST_QUESTION }) else { return false };
    assert!(found.data.len() <= 32);
    for data in &found.data {
        match data {
            Data::Address(address) => assert!(address.is_ipv4() == (kind == Kind::A) && kind != Kind::Ptr),
            Data::Host(host) => assert!(kind == Kind::Ptr && shows(host), "{host:?}"),
            Data::Service(target) => panic!("{target:?}"),
        }
    }
    assert!(shows(&found.name), "{found:?}");
    found != Found { name: HOST_QUESTION.name.to_owned(), data: Vec::new(), ttl: found.ttl }
}

/// Whether it is short and no terminal minds it. The root is empty.
fn shows(host: &str) -> bool {
    host.len() < 255 && host.bytes().all(|b| b.is_ascii_graphic())
}

/// A server's answer. Its hosts are few, and names that can be shown; put in order, they are the same, by priority.
pub fn dns_answer(data: &[u8]) -> bool {
    let Ok(Answer::Found(found)) = answer(data, &DNS_QUESTION) else { return false };
    let mut srv = Srv::from(found);
    assert!(srv.targets.len() <= 32);
    for target in &srv.targets {
        assert!(shows(&target.host) && !target.host.is_empty(), "{target:?}");
    }
    let mut before = srv.targets.clone();
    let mut chance = data.iter().cycle();
    put_in_order(&mut srv.targets, |most| chance.next().map_or(0, |byte| u32::from(*byte) % (most + 1)));
    assert!(srv.targets.is_sorted_by_key(|target| target.priority), "{srv:?}");
    let key = |target: &crate::kerberos::dns::wire::Target| {
        (target.priority, target.weight, target.port, target.host.clone())
    };
    before.sort_by_key(key);
    let mut after = srv.targets.clone();
    after.sort_by_key(key);
    assert_eq!(before, after);
    true
}
