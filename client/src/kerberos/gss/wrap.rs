//! Wrapped messages (RFC 4121 §4.2), in both directions, sealed or only authenticated. Under RC4 keys they have another form,
//! which is in `rc4`.

use zeroize::Zeroizing;

use super::super::crypto::{Confounder, Crypto, Usage};
use super::super::enctype::Enctype;
use super::super::error::{CryptoError, KerberosError};
use super::super::key::Key;
use super::rc4;

/// What stands before each message (RFC 4121 §4.2.6.2).
const HEADER: usize = 16;
const WRAP: [u8; 2] = [5, 4];
const FILLER: u8 = 0xFF;

/// Flags (RFC 4121 §4.2.2).
const SENT_BY_ACCEPTOR: u8 = 1;
const SEALED: u8 = 2;
const ACCEPTOR_SUBKEY: u8 = 4;

/// How a message is protected.
#[derive(Clone, Copy)]
pub(crate) enum Seal {
    /// Readable, but nobody can alter it.
    Authenticated,
    /// Encrypted, with a confounder that is fresh.
    Encrypted(Confounder),
}

/// An established context of an initiator. Messages count: one that is lost, repeated or out of order breaks it.
pub(crate) struct GssContext {
    crypto: Crypto,
    /// The acceptor's subkey if it gave one, else ours; never the session key (RFC 4121 §2).
    key: Key,
    acceptor_subkey: bool,
    send: u64,
    receive: u64,
}

impl GssContext {
    pub(super) fn new(crypto: Crypto, acceptor_subkey: bool, key: Key, send: u32, receive: u32) -> Self {
        Self { crypto, key, acceptor_subkey, send: u64::from(send), receive: u64::from(receive) }
    }

    /// The next message to the service.
    pub(crate) fn wrap(&mut self, message: &[u8], seal: Seal) -> Result<Vec<u8>, KerberosError> {
        let subkey = if self.acceptor_subkey { ACCEPTOR_SUBKEY } else { 0 };
        let body = match seal {
            Seal::Authenticated if self.is_rc4() => rc4::wrap(self.crypto, &self.key, self.send as u32, message),
            Seal::Encrypted(_) if self.is_rc4() => Err(CryptoError::Unsupported(self.key.enctype)),
            Seal::Authenticated => self.authenticated(message, subkey),
            Seal::Encrypted(confounder) => {
                let header = header(subkey | SEALED, 0, self.send);
                let sealed = [message, &header].concat();
                let cipher =
                    self.crypto.encrypt(&self.key, Usage::INITIATOR_SEAL, &confounder, &Zeroizing::new(sealed));
                cipher.map(|cipher| [&header[..], &cipher].concat())
            }
        };
        self.send = self.following(self.send);
        body.map_err(|cause| cause.of("the message to the service"))
    }

    /// The checksum covers the header as if `EC` were zero; only then is it filled in (RFC 4121 §4.2.4).
    fn authenticated(&self, message: &[u8], flags: u8) -> Result<Vec<u8>, CryptoError> {
        let covered = [message, &header(flags, 0, self.send)];
        let checksum = self.crypto.checksum(&self.key, Usage::INITIATOR_SEAL, &covered)?;
        Ok([&header(flags, checksum.len() as u16, self.send)[..], message, &checksum].concat())
    }

    /// The message in the service's next token. It has to be authentic, from the service, and the next one.
    pub(crate) fn unwrap(&mut self, token: &[u8]) -> Result<Zeroizing<Vec<u8>>, KerberosError> {
        let (message, sequence) = if self.is_rc4() {
            rc4::unwrap(self.crypto, &self.key, token).map(|(message, number)| (message, u64::from(number)))
        } else {
            self.unwrapped(token)
        }?;
        if sequence != self.receive {
            return Err(KerberosError::BadToken("its sequence number is not the next: lost, repeated or out of order"));
        }
        self.receive = self.following(sequence);
        Ok(message)
    }

    fn is_rc4(&self) -> bool {
        self.key.enctype == Enctype::RC4_HMAC
    }

    /// Numbers of RC4's messages have 32 bits.
    fn following(&self, sequence: u64) -> u64 {
        if self.is_rc4() { u64::from((sequence as u32).wrapping_add(1)) } else { sequence.wrapping_add(1) }
    }

    /// The message and its number, if it is authentic and from the service.
    fn unwrapped(&self, token: &[u8]) -> Result<(Zeroizing<Vec<u8>>, u64), KerberosError> {
        let token = Token::read(token).map_err(KerberosError::BadToken)?;
        if token.flags & SENT_BY_ACCEPTOR == 0 {
            return Err(KerberosError::BadToken("it is not from the service: our own token may have come back"));
        }
        if (token.flags & ACCEPTOR_SUBKEY != 0) != self.acceptor_subkey {
            return Err(KerberosError::BadToken("it names another key than the one agreed on"));
        }
        let message = if token.flags & SEALED == 0 { self.verified(&token) } else { self.opened(&token) }?;
        Ok((message, token.sequence))
    }

    fn verified(&self, token: &Token) -> Result<Zeroizing<Vec<u8>>, KerberosError> {
        let expected = self.key.enctype.checksum_length();
        let at = token.body.len().checked_sub(token.extra).filter(|_| expected == Some(token.extra));
        let Some(at) = at else { return Err(KerberosError::BadToken("its checksum has a wrong length")) };
        let (message, checksum) = token.body.split_at(at);
        let covered = [message, &header(token.flags, 0, token.sequence)];
        let verified = self.crypto.verify(&self.key, Usage::ACCEPTOR_SEAL, &covered, checksum);
        verified.map_err(unauthentic)?;
        Ok(Zeroizing::new(message.to_vec()))
    }

    /// Behind the message stand `EC` bytes that mean nothing, and the header with `RRC` zero (RFC 4121 §4.2.4).
    fn opened(&self, token: &Token) -> Result<Zeroizing<Vec<u8>>, KerberosError> {
        let opened = self.crypto.decrypt(&self.key, Usage::ACCEPTOR_SEAL, &token.body);
        let mut message = opened.map_err(unauthentic)?;
        let header = header(token.flags, token.extra as u16, token.sequence);
        let Some(at) = message.len().checked_sub(HEADER + token.extra).filter(|_| message.ends_with(&header)) else {
            return Err(KerberosError::BadToken("the sealed header differs from the open one"));
        };
        message.truncate(at);
        Ok(message)
    }
}

fn unauthentic(cause: CryptoError) -> KerberosError {
    match cause {
        CryptoError::Integrity | CryptoError::TooShort => KerberosError::BadToken("its checksum does not fit"),
        other => other.of("the service's message"),
    }
}

/// A header with `RRC` zero.
fn header(flags: u8, extra: u16, sequence: u64) -> [u8; HEADER] {
    let [ec0, ec1] = extra.to_be_bytes();
    let mut header = [WRAP[0], WRAP[1], flags, FILLER, ec0, ec1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    header[8..].copy_from_slice(&sequence.to_be_bytes());
    header
}

/// A token taken apart, nothing of it authentic yet.
struct Token {
    flags: u8,
    /// `EC`: the length of the checksum, or of the filling if it is sealed.
    extra: usize,
    sequence: u64,
    /// What follows the header, with the rotation undone.
    body: Vec<u8>,
}

impl Token {
    fn read(token: &[u8]) -> Result<Self, &'static str> {
        let Some((header, body)) = token.split_first_chunk::<HEADER>() else {
            return Err("it is shorter than its header");
        };
        let [a, b, flags, filler, ec0, ec1, rrc0, rrc1, sequence @ ..] = *header;
        if [a, b] != WRAP || filler != FILLER {
            return Err("it is not a wrapped message");
        }
        let rotation = usize::from(u16::from_be_bytes([rrc0, rrc1]));
        let mut body = body.to_vec();
        // RFC 4121 §4.2.5; the rotation may be more than what there is.
        let by = rotation.checked_rem(body.len()).unwrap_or(0);
        body.rotate_left(by);
        Ok(Self {
            flags,
            extra: usize::from(u16::from_be_bytes([ec0, ec1])),
            sequence: u64::from_be_bytes(sequence),
            body,
        })
    }
}
