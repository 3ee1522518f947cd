//! Whole exchanges with whoever answers in the place of a KDC or of a service, the clock and chance being fixed.

use std::sync::{Arc, LazyLock};

use crate::kerberos::config::Krb5Config;
use crate::kerberos::crypto::{Crypto, Usage};
use crate::kerberos::enctype::Enctype;
use crate::kerberos::error::KerberosError;
use crate::kerberos::exchange::{AsExchange, Chance, Clock, Secret, Step, TgsExchange};
use crate::kerberos::gss::acceptor::{Acceptor, Manner, fresh, held, token};
use crate::kerberos::gss::{self, GssContext, Pending, Proof, Started};
use crate::kerberos::keytab::Keytab;
use crate::kerberos::messages::{ApRep, EncryptedData};
use crate::kerberos::principal::{Principal, PrincipalName};
use crate::kerberos::ticket::HeldTicket;
use crate::kerberos::time::KerberosTime;
use crate::sasl::gssapi::Gssapi;

use super::within;

/// Of the log-in in `testdata/golden/kerberos-18.txt`.
const REALM: &str = "TEST.LOCAL";
const NOW: KerberosTime = KerberosTime::at(1_795_637_293);

/// Chance of that log-in: the nonce, and the subkey of its second request.
fn chance() -> Chance {
    Chance { nonce: 0x7FFF_FFFF, confounder: [1; 16], subkey: [2; 32].into() }
}

fn alice() -> Principal {
    Principal::new(PrincipalName::new(PrincipalName::NT_PRINCIPAL, ["alice"]), REALM)
}

/// The key of the recorded password, in a keytab: so it is not made anew for each input.
static SECRET: LazyLock<Arc<Keytab>> = LazyLock::new(|| {
    let key = Crypto::default().string_to_key(Enctype::AES256_SHA1, b"alice-secret", b"TEST.LOCALalice", None);
    let key = key.expect("a key").bytes;
    let start = [&[0, 1, 0, 10][..], REALM.as_bytes(), b"\0\x05alice", &[0, 0, 0, 1], &[0; 4], &[1, 0, 18, 0, 32]];
    let entry = [&start.concat()[..], &key].concat();
    let file = [&[5, 2][..], &(entry.len() as u32).to_be_bytes(), &entry].concat();
    Arc::new(Keytab::parse(&file).expect("a keytab"))
});

static CONFIG: LazyLock<Arc<Krb5Config>> =
    LazyLock::new(|| Arc::new(Krb5Config::from_text("[libdefaults]\ndefault_realm = TEST.LOCAL\n").expect("settings")));

/// A KDC's answers, one behind the other, each with its length in two bytes before it. The first byte chooses the exchange: for
/// the first ticket, for a service's, or for the same one renewed. It ends, with a ticket that is ours or with an error.
pub fn kdc_answers(data: &[u8]) -> bool {
    let [which, rest @ ..] = data else { return false };
    let ticket = match which % 3 {
        0 => {
            let secret = Secret::Keytab(SECRET.clone());
            let exchange = AsExchange::new(CONFIG.clone(), alice(), secret, Clock::default());
            let mut exchange = exchange.expect("the keytab has the key");
            let first = exchange.start(NOW, &chance());
            drive(first, rest, &mut |reply| exchange.handle(NOW, &chance(), reply))
        }
        which => {
            let kafka = PrincipalName::service("kafka", "localhost");
            let mut exchange = match which {
                1 => TgsExchange::service(CONFIG.clone(), tgt(), kafka, None, Clock::default()),
                _ => TgsExchange::renewal(CONFIG.clone(), tgt(), Clock::default()),
            };
            let first = exchange.start(NOW, &chance()).expect("the key is of a type that may be used");
            drive(first, rest, &mut |reply| exchange.handle(NOW, &chance(), reply))
        }
    };
    assert!(ticket.as_ref().is_none_or(|ticket| ticket.client == alice()), "{ticket:?}");
    ticket.is_some()
}

/// The ticket that gets others. Its key is of no account: the replies are sealed with the subkey.
fn tgt() -> HeldTicket {
    let server = Principal::new(PrincipalName::krbtgt(REALM), REALM);
    let held = held(Enctype::AES256_SHA1);
    let end_time = NOW.plus_seconds(36_000);
    HeldTicket { client: alice(), server, auth_time: NOW, start_time: NOW, end_time, ..held }
}

/// Hands over one answer after the other. No exchange asks for ever.
fn drive(
    mut step: Step,
    mut answers: &[u8],
    handle: &mut dyn FnMut(&[u8]) -> Result<Step, KerberosError>,
) -> Option<HeldTicket> {
    for _ in 0..64 {
        match step {
            Step::Done(granted) => return Some(granted.ticket),
            Step::Send(request) => assert!(request.bytes.len() < 4096 + answers.len()),
        }
        let (length, rest) = answers.split_first_chunk::<2>()?;
        let (answer, rest) = rest.split_at(usize::from(u16::from_be_bytes(*length)).min(rest.len()));
        answers = rest;
        step = match handle(answer) {
            Ok(step) => step,
            Err(error) => {
                within(&error, answer.len());
                assert!(error.to_string().chars().count() < 4000, "{error}");
                assert!(handle(answer).is_err(), "an error is final");
                return None;
            }
        };
    }
    panic!("an exchange without an end");
}

/// A context that waits for its service's answer, and the service.
pub(super) fn begun(enctype: Enctype, manner: Manner) -> (Pending, Acceptor, Vec<u8>) {
    let ticket = held(enctype);
    let start = gss::start(Crypto::allowing_rc4(), &ticket, Proof::Mutual, fresh());
    let Ok((initial, Started::Pending(pending))) = start else { panic!("the service has to answer") };
    let (acceptor, answer) = Acceptor::accept(manner, &ticket, &initial);
    (pending, acceptor, answer)
}

fn established(enctype: Enctype) -> (GssContext, Acceptor) {
    let (pending, acceptor, answer) = begun(enctype, Manner::java());
    (pending.accept(&answer).expect("an honest answer"), acceptor)
}

/// The types of keys, by the first byte of [`gss_tokens`].
pub(super) const TYPES: [Enctype; 5] =
    [Enctype::AES128_SHA1, Enctype::AES256_SHA1, Enctype::AES128_SHA2, Enctype::AES256_SHA2, Enctype::RC4_HMAC];

/// How a token of a service is handed over, by the first byte of [`gss_tokens`].
pub(super) const ANSWER: u8 = 0;
/// As a wrapped message.
pub(super) const WRAPPED: u8 = 1;
/// What is sealed in the answer, with the right key.
pub(super) const IN_ANSWER: u8 = 2;
/// What is sealed in a message, with the right key.
pub(super) const IN_MESSAGE: u8 = 3;
/// The offer of layers.
pub(super) const OFFER: u8 = 4;

/// Tokens of a service: the first byte chooses how they come and of which type the keys are. No two keys are proven by the same
/// bytes, no token is taken twice, and what was wrapped is shorter than what it was wrapped in.
pub fn gss_tokens(data: &[u8]) -> bool {
    let [which, bytes @ ..] = data else { return false };
    let enctype = TYPES[usize::from(which / 5) % TYPES.len()];
    match which % 5 {
        ANSWER => answer(enctype, bytes),
        WRAPPED => message(&mut established(enctype).0, bytes),
        IN_ANSWER => {
            let key = held(enctype).session_key;
            let sealed = Crypto::allowing_rc4().encrypt(&key, Usage::AP_REP, &[3; 16], bytes).expect("seals");
            let enc_part = EncryptedData { enctype, kvno: None, cipher: sealed };
            answer(enctype, &token([2, 0], &crate::kerberos::messages::Message::to_der(&ApRep { enc_part })))
        }
        IN_MESSAGE => {
            let (mut context, acceptor) = established(enctype);
            let header = [5, 4, 3, 0xFF, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 77];
            let sealed = Crypto::allowing_rc4().encrypt(&acceptor.key, Usage::ACCEPTOR_SEAL, &[4; 16], bytes);
            message(&mut context, &[&header[..], &sealed.expect("seals")].concat())
        }
        _ => offer(enctype, bytes),
    }
}

fn answer(enctype: Enctype, bytes: &[u8]) -> bool {
    let (pending, ..) = begun(enctype, Manner::java());
    let accepted = pending.accept(bytes);
    if let Err(error) = &accepted {
        within(error, bytes.len());
    }
    let mut other = held(enctype);
    other.session_key.bytes[0] ^= 1;
    let start = gss::start(Crypto::allowing_rc4(), &other, Proof::Mutual, fresh());
    let Ok((_, Started::Pending(pending))) = start else { panic!("the service has to answer") };
    assert!(pending.accept(bytes).is_err(), "another key is proven by the same bytes");
    accepted.is_ok()
}

fn message(context: &mut GssContext, token: &[u8]) -> bool {
    let Ok(message) = context.unwrap(token) else { return false };
    assert!(message.len() + 16 < token.len(), "a header and a checksum were around it");
    assert!(context.unwrap(token).is_err(), "a token is taken once");
    true
}

/// An authentic offer is taken if it has four octets and the first of them allows no layer (RFC 4752 §3.1).
fn offer(enctype: Enctype, bytes: &[u8]) -> bool {
    let mut client = Gssapi::new(Crypto::allowing_rc4(), held(enctype), Proof::Mutual, "", fresh());
    let initial = client.step(None).expect("the initial token").expect("the initial token");
    let (mut service, answer) = Acceptor::accept(Manner::java(), &held(enctype), &initial);
    client.step(Some(&answer)).expect("an honest answer");
    let taken = client.step(Some(&service.wrap(bytes))).is_ok();
    assert_eq!(taken, bytes.len() == 4 && bytes[0] & 1 == 1, "{bytes:?}");
    assert_eq!(taken, client.is_finished());
    taken
}
