//! A GSS-API context with a service (RFC 4121): the initial token, the service's answer, and then messages that are wrapped.
//!
//! ```text
//! start ── mutual ──→ Pending ── accept(AP-REP) ──→ GssContext ── wrap, unwrap
//!       └─ one-way ───────────────────────────────→ GssContext
//! ```
//!
//! Each state is a type of its own and is used up by the step out of it, so no message can be wrapped before the service has
//! proven itself, and no second answer is taken.

mod rc4;
mod wrap;

use zeroize::Zeroizing;

use super::crypto::{Confounder, Crypto, Usage};
use super::der::{OBJECT_IDENTIFIER, Reader, Writer};
use super::enctype::Enctype;
use super::error::{CryptoError, KerberosError, Peer};
use super::key::Key;
use super::messages::{ApRep, ApReq, Authenticator, Checksum, EncApRepPart, EncryptedData, KrbError, Message};
use super::ticket::HeldTicket;
use super::time::KerberosTime;

pub(crate) use wrap::{GssContext, Seal};

/// 1.2.840.113554.1.2.2, the mechanism (RFC 4121 §4.1).
const MECHANISM: [u8; 9] = [0x2A, 0x86, 0x48, 0x86, 0xF7, 0x12, 0x01, 0x02, 0x02];
/// What stands before tag and contents of a token that is framed (RFC 2743 §3.1): `[APPLICATION 0]`.
const FRAME: u8 = 0x60;
/// Token identifiers (RFC 4121 §4.1).
const AP_REQ: [u8; 2] = [1, 0];
const AP_REP: [u8; 2] = [2, 0];
const KRB_ERROR: [u8; 2] = [3, 0];

/// The checksum that carries flags and channel bindings (RFC 4121 §4.1.1).
const GSS_CHECKSUM: i32 = 0x8003;
/// Its flags (RFC 4121 §4.1.1.1).
const FLAG_MUTUAL: u32 = 2;
const FLAG_SEQUENCE: u32 = 8;
const FLAG_INTEGRITY: u32 = 32;

/// Who proves itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proof {
    /// Both sides: the service has to answer before anything else.
    Mutual,
    /// The client, as Java's clients ask for it: the service's first wrapped message is its proof.
    OneWay,
}

/// Chance and time for one context. Nothing of it may be used twice.
pub(crate) struct Fresh {
    /// Now by the service's clock. No two authenticators of a process may have the same microsecond: services take the second
    /// for a replay.
    pub(crate) now: KerberosTime,
    /// Random: the client's own key, of which as much is taken as the type needs.
    pub(crate) subkey: Zeroizing<[u8; 32]>,
    /// Random: where the client's messages begin to count. Its two highest bits are dropped, since some take it as signed.
    pub(crate) sequence: u32,
    /// Random.
    pub(crate) confounder: Confounder,
}

/// What comes after the initial token.
pub(crate) enum Started {
    /// The service's answer.
    Pending(Pending),
    /// Messages.
    Ready(GssContext),
}

/// Makes the initial token for a service's ticket.
pub(crate) fn start(
    crypto: Crypto,
    ticket: &HeldTicket,
    proof: Proof,
    fresh: Fresh,
) -> Result<(Vec<u8>, Started), KerberosError> {
    let Fresh { now, subkey: random, sequence, confounder } = fresh;
    let enctype = ticket.session_key.enctype;
    let Some(length) = enctype.key_length().filter(|_| crypto.permits(enctype)) else {
        return Err(KerberosError::NoEnctype { offered: vec![enctype], usable: Enctype::DEFAULT.to_vec() });
    };
    let subkey = Key::new(enctype, random[..length].to_vec());
    let sequence = sequence & 0x3FFF_FFFF;
    let authenticator = Authenticator {
        client: ticket.client.clone(),
        checksum: Some(flags_checksum(proof)),
        time: now,
        subkey: Some(subkey.clone()),
        sequence: Some(sequence),
    };
    let usage = Usage::AP_REQ_AUTHENTICATOR;
    let sealed = EncryptedData::seal(crypto, &ticket.session_key, usage, &confounder, &authenticator);
    let request = ApReq {
        options: if proof == Proof::Mutual { ApReq::MUTUAL_REQUIRED } else { 0 },
        ticket: ticket.ticket.clone(),
        authenticator: sealed.map_err(|cause| cause.of("the authenticator"))?,
    };
    let pending = Pending { crypto, session_key: ticket.session_key.clone(), subkey, sequence, time: now };
    let next = match proof {
        Proof::Mutual => Started::Pending(pending),
        Proof::OneWay => Started::Ready(pending.unanswered()),
    };
    Ok((framed(AP_REQ, &request.to_der()), next))
}

/// RFC 4121 §4.1.1: the length of the bindings, no bindings, the flags; little-endian.
fn flags_checksum(proof: Proof) -> Checksum {
    let mutual = if proof == Proof::Mutual { FLAG_MUTUAL } else { 0 };
    let flags = mutual | FLAG_SEQUENCE | FLAG_INTEGRITY;
    let bytes = [&16_u32.to_le_bytes()[..], &[0; 16], &flags.to_le_bytes()].concat();
    Checksum { kind: GSS_CHECKSUM, bytes }
}

/// RFC 2743 §3.1.
fn framed(token: [u8; 2], message: &[u8]) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.value(FRAME, |w| {
        w.value(OBJECT_IDENTIFIER, |w| w.raw(&MECHANISM));
        w.raw(&token);
        w.raw(message);
    });
    writer.finish().to_vec()
}

/// The token's identifier and message.
fn unframed(token: &[u8]) -> Result<([u8; 2], &[u8]), KerberosError> {
    let mut reader = Reader::new("GSS-API token", token);
    let mut contents = reader.value(FRAME, "frame")?;
    reader.end("frame")?;
    let mechanism = contents.value(OBJECT_IDENTIFIER, "mechanism")?;
    if mechanism.rest() != MECHANISM {
        return Err(mechanism.malformed("mechanism", "it is not Kerberos 5").into());
    }
    match contents.rest() {
        [first, second, message @ ..] => Ok(([*first, *second], message)),
        _ => Err(contents.malformed("token identifier", "it is missing").into()),
    }
}

/// A context whose service has yet to prove itself.
pub(crate) struct Pending {
    crypto: Crypto,
    session_key: Key,
    subkey: Key,
    sequence: u32,
    time: KerberosTime,
}

impl Pending {
    /// Takes the service's answer. It proves itself by the authenticator's time, sealed under the session key: only who can open
    /// the ticket has both (RFC 4120 §3.2.4).
    pub(crate) fn accept(self, token: &[u8]) -> Result<GssContext, KerberosError> {
        match token {
            [] => return Err(KerberosError::ServerNotProven("its answer is empty")),
            [5, 4, ..] => return Err(KerberosError::ServerNotProven("a wrapped message came in place of its answer")),
            _ => {}
        }
        match unframed(token)? {
            (AP_REP, message) => self.check(&ApRep::from_der(message)?),
            (KRB_ERROR, message) => Err(KrbError::from_der(message)?.into_error(Peer::Service, self.time)),
            _ => Err(KerberosError::BadToken("it is neither an answer nor an error")),
        }
    }

    fn check(self, answer: &ApRep) -> Result<GssContext, KerberosError> {
        let sealed = answer.enc_part.open(self.crypto, &self.session_key, Usage::AP_REP, "the service's answer");
        let opened = sealed.map_err(|error| match error {
            KerberosError::Crypto { cause: CryptoError::Integrity, .. } => {
                KerberosError::ServerNotProven("its answer is not sealed with the ticket's session key")
            }
            other => other,
        })?;
        let part = EncApRepPart::from_der(&opened)?;
        if part.time != self.time {
            return Err(KerberosError::ServerNotProven("its answer is to another authenticator"));
        }
        if let Some(subkey) = &part.subkey {
            self.check_subkey(subkey)?;
        }
        let receive = part.sequence.unwrap_or(0);
        Ok(GssContext::new(
            self.crypto,
            part.subkey.is_some(),
            part.subkey.unwrap_or(self.subkey),
            self.sequence,
            receive,
        ))
    }

    /// The service may choose another type, but none that we would not; and not RC4, of which it is not settled whether the
    /// service's key counts (MIT takes the client's, Java the service's).
    fn check_subkey(&self, subkey: &Key) -> Result<(), KerberosError> {
        if !self.crypto.permits(subkey.enctype) || subkey.enctype == Enctype::RC4_HMAC {
            return Err(KerberosError::NoEnctype { offered: vec![subkey.enctype], usable: Enctype::DEFAULT.to_vec() });
        }
        if Some(subkey.bytes.len()) != subkey.enctype.key_length() {
            return Err(CryptoError::KeyLength(subkey.enctype).of("the service's subkey"));
        }
        Ok(())
    }

    /// Without an answer the service counts from the client's number (RFC 4121 §4.2.6 leaves it open; MIT, Java and Windows do so).
    fn unanswered(self) -> GssContext {
        GssContext::new(self.crypto, false, self.subkey, self.sequence, self.sequence)
    }
}

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod acceptor;
#[cfg(test)]
mod tests;
