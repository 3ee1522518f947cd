//! A service for tests: opens what a client sends and answers as MIT, Java or Windows do, or as none of them should. It shares the
//! cryptography with the client and nothing else.

use super::super::crypto::testing::unhex;
use super::super::crypto::{Crypto, Usage};
use super::super::enctype::Enctype;
use super::super::key::Key;
use super::super::messages::{ApRep, ApReq, Authenticator, EncApRepPart, EncryptedData, Message, Ticket};
use super::super::principal::{Principal, PrincipalName};
use super::super::ticket::HeldTicket;
use super::super::time::KerberosTime;
use super::Fresh;

pub(crate) const NOW: KerberosTime = KerberosTime { seconds: 1_700_000_000, micros: 123_456 };

/// A ticket of this type for `kafka/broker`, as a KDC would give it.
pub(crate) fn held(enctype: Enctype) -> HeldTicket {
    let principal = |text| Principal::parse(text, Some("TEST.LOCAL")).unwrap();
    let server = Principal::new(PrincipalName::service("kafka", "broker"), "TEST.LOCAL");
    let enc_part = EncryptedData { enctype, kvno: Some(1), cipher: b"for the service alone".to_vec() };
    HeldTicket {
        client: principal("alice"),
        ticket: Ticket { server: server.clone(), enc_part }.to_der().to_vec(),
        server,
        session_key: Key::new(enctype, vec![0x5E; enctype.key_length().unwrap()]),
        flags: 0,
        auth_time: NOW,
        start_time: NOW,
        end_time: NOW.plus_seconds(600),
        renew_till: None,
    }
}

/// The same chance each time.
pub(crate) fn fresh() -> Fresh {
    Fresh { now: NOW, subkey: [0x5B; 32].into(), sequence: 0xC000_1234, confounder: [0xCF; 16] }
}

/// How it answers.
#[derive(Clone)]
pub(crate) struct Manner {
    /// A subkey of its own, of this type.
    pub(crate) subkey: Option<Enctype>,
    /// Where it begins to count; `None` leaves it out, which means zero.
    pub(crate) sequence: Option<u32>,
    /// By how much it rotates what follows the header of a message.
    pub(crate) rotation: u16,
    /// Whether it encrypts.
    pub(crate) sealed: bool,
    /// How much filling it puts behind a sealed message.
    pub(crate) filling: u16,
    /// By how much its echo of the authenticator's time is off, in microseconds.
    pub(crate) echo_off: u32,
}

impl Manner {
    /// Java 17: no subkey of its own, nothing rotated.
    pub(crate) fn java() -> Self {
        Self { subkey: None, sequence: Some(77), rotation: 0, sealed: false, filling: 0, echo_off: 0 }
    }

    /// Windows: its own subkey, everything rotated.
    pub(crate) fn windows(enctype: Enctype, sealed: bool) -> Self {
        let rotation = if sealed { 28 } else { 12 };
        Self { subkey: Some(enctype), sequence: Some(u32::MAX), rotation, sealed, ..Self::java() }
    }
}

/// A service in the middle of a context.
pub(crate) struct Acceptor {
    pub(crate) manner: Manner,
    session_key: Key,
    /// Under which messages are.
    pub(crate) key: Key,
    /// The number of its next message.
    pub(crate) sequence: u64,
    client_sequence: u64,
    /// The flags of its messages but for "sealed"; a test may change them.
    pub(crate) flags: u8,
}

const CRYPTO: fn() -> Crypto = Crypto::allowing_rc4;

impl Acceptor {
    /// Opens the initial token, checks all that a service checks, and answers (nothing, if no answer was asked for).
    pub(crate) fn accept(manner: Manner, ticket: &HeldTicket, token: &[u8]) -> (Self, Vec<u8>) {
        let request = ApReq::from_der(&body(token, [1, 0])).unwrap();
        assert_eq!(request.ticket, ticket.ticket, "the ticket goes on as it came");
        let usage = Usage::AP_REQ_AUTHENTICATOR;
        let opened = request.authenticator.open(CRYPTO(), &ticket.session_key, usage, "authenticator").unwrap();
        let authenticator = Authenticator::from_der(&opened).unwrap();
        assert_eq!(authenticator.client, ticket.client);
        let mutual = request.options == 0x2000_0000;
        let flags = if mutual { "2a000000" } else { "28000000" };
        let checksum = authenticator.checksum.unwrap();
        assert_eq!(checksum.kind, 0x8003);
        assert_eq!(checksum.bytes, unhex(&format!("10000000 00000000000000000000000000000000 {flags}")));

        let own = manner.subkey.map(|enctype| Key::new(enctype, vec![0xAC; enctype.key_length().unwrap()]));
        let client_sequence = authenticator.sequence.unwrap();
        let mut acceptor = Self {
            session_key: ticket.session_key.clone(),
            key: own.clone().unwrap_or(authenticator.subkey.unwrap()),
            sequence: u64::from(if mutual { manner.sequence.unwrap_or(0) } else { client_sequence }),
            client_sequence: u64::from(client_sequence),
            flags: if own.is_some() { 5 } else { 1 },
            manner,
        };
        let answer = if mutual { acceptor.answer(authenticator.time, own) } else { Vec::new() };
        (acceptor, answer)
    }

    fn answer(&mut self, mut time: KerberosTime, subkey: Option<Key>) -> Vec<u8> {
        time.micros += self.manner.echo_off;
        let part = EncApRepPart { time, subkey, sequence: self.manner.sequence };
        let enc_part = EncryptedData::seal(CRYPTO(), &self.session_key, Usage::AP_REP, &[3; 16], &part).unwrap();
        token([2, 0], &ApRep { enc_part }.to_der())
    }

    /// Its next message.
    pub(crate) fn wrap(&mut self, message: &[u8]) -> Vec<u8> {
        if self.key.enctype == Enctype::RC4_HMAC {
            return self.wrap_rc4(message);
        }
        let sequence = self.sequence.to_be_bytes();
        self.sequence += 1;
        let (mut head, mut rest);
        if self.manner.sealed {
            let filling = self.manner.filling.to_be_bytes();
            head = [&[5, 4, self.flags | 2, 0xFF], &filling[..], &[0, 0], &sequence].concat();
            let plain = [message, &vec![0; usize::from(self.manner.filling)], &head].concat();
            rest = CRYPTO().encrypt(&self.key, Usage::ACCEPTOR_SEAL, &[4; 16], &plain).unwrap();
        } else {
            head = [&[5, 4, self.flags, 0xFF, 0, 0, 0, 0], &sequence[..]].concat();
            let sum = CRYPTO().checksum(&self.key, Usage::ACCEPTOR_SEAL, &[message, &head]).unwrap();
            head[5] = sum.len() as u8;
            rest = [message, &sum].concat();
        }
        head[6..8].copy_from_slice(&self.manner.rotation.to_be_bytes());
        let by = usize::from(self.manner.rotation) % rest.len();
        rest.rotate_right(by);
        [head, rest].concat()
    }

    /// RFC 4757 §7.3.
    fn wrap_rc4(&mut self, message: &[u8]) -> Vec<u8> {
        let covered = [&[0xC0; 8], message, &[1]].concat();
        let head = unhex("0201 1100 ffff ffff");
        let sum = CRYPTO().checksum(&self.key, Usage::RC4_WRAP, &[&head, &covered]).unwrap();
        let mut number: [u8; 8] = (self.sequence << 32 | 0xFFFF_FFFF).to_be_bytes();
        self.sequence = u64::from((self.sequence as u32).wrapping_add(1));
        CRYPTO().rc4_sequence(&self.key, &sum[..8], &mut number).unwrap();
        token([2, 1], &[&head[2..], &number, &sum[..8], &covered].concat())
    }

    fn unwrap_rc4(&mut self, token: &[u8]) -> Vec<u8> {
        let token = body(token, [2, 1]);
        assert_eq!(token[..6], unhex("1100 ffff ffff"));
        let sum = CRYPTO().checksum(&self.key, Usage::RC4_WRAP, &[&[2, 1], &token[..6], &token[22..]]).unwrap();
        assert_eq!(token[14..22], sum[..8]);
        let mut number = token[6..14].try_into().unwrap();
        CRYPTO().rc4_sequence(&self.key, &sum[..8], &mut number).unwrap();
        assert_eq!(u64::from_be_bytes(number), self.client_sequence << 32, "the client counts each message");
        self.client_sequence += 1;
        token[30..].strip_suffix(&[1]).unwrap().to_vec()
    }

    /// The client's next message; all that is wrong with it ends the test.
    pub(crate) fn unwrap(&mut self, token: &[u8]) -> Vec<u8> {
        if self.key.enctype == Enctype::RC4_HMAC {
            return self.unwrap_rc4(token);
        }
        let (head, rest) = token.split_at(16);
        let own_key = self.flags & 4;
        assert_eq!((&head[..2], head[2] & !2, head[3]), (&[5, 4][..], own_key, 0xFF));
        assert_eq!(head[8..], self.client_sequence.to_be_bytes(), "the client counts each message");
        self.client_sequence += 1;
        let mut plain = head.to_vec();
        plain[4..8].fill(0);
        if head[2] & 2 != 0 {
            let opened = CRYPTO().decrypt(&self.key, Usage::INITIATOR_SEAL, rest).unwrap();
            let (message, copy) = opened.split_at(opened.len() - 16);
            assert_eq!(copy, plain);
            return message.to_vec();
        }
        let (message, sum) = rest.split_at(rest.len() - usize::from(head[5]));
        CRYPTO().verify(&self.key, Usage::INITIATOR_SEAL, &[message, &plain], sum).unwrap();
        message.to_vec()
    }
}

/// A framed token (RFC 4121 §4.1), its length in the shortest form.
pub(crate) fn token(id: [u8; 2], message: &[u8]) -> Vec<u8> {
    let contents = [&unhex("06092a864886f712010202")[..], &id, message].concat();
    let [high, low] = (contents.len() as u16).to_be_bytes();
    let length = match contents.len() {
        0..0x80 => vec![low],
        0x80..0x100 => vec![0x81, low],
        _ => vec![0x82, high, low],
    };
    [&[0x60], &length[..], &contents].concat()
}

/// What a framed token carries.
fn body(token: &[u8], id: [u8; 2]) -> Vec<u8> {
    let start = token.windows(11).position(|w| w == unhex("06092a864886f712010202")).unwrap();
    assert!(token[0] == 0x60 && start <= 4 && token[start + 11..start + 13] == id);
    token[start + 13..].to_vec()
}
