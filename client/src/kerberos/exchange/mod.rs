//! The exchanges with a KDC as pure machines: time, chance and the KDC's bytes go in, requests and tickets come out.
//!
//! ```text
//! start ──→ Step::Send ── reply ──→ handle ──→ Step::Send … or Step::Done, or an error, which is final
//! ```
//!
//! | file | what is decided there | source |
//! |---|---|---|
//! | `as_exchange` | from password or keytab to the ticket that gets others | RFC 4120 §3.1 |
//! | `tgs_exchange` | from that ticket to a service's, through as many realms as it takes; renewal | RFC 4120 §3.3, RFC 6806 |
//! | `secret` | which of the client's keys, and how it is made | RFC 4120 §5.2.7.5 |
//! | `clock` | how far the KDC's clock is from ours | MIT `kdc_timesync` |
//!
//! How a request travels, and that a reply too big for UDP is asked for again by TCP (52), is `kdc`'s business.
//!
//! A KRB-ERROR is not authenticated, so nothing that it says is kept unless a sealed reply came after it: a KDC's time from
//! error 37 counts for this exchange only until a ticket confirms it. No exchange asks more than a bounded number of times.

mod as_exchange;
mod clock;
mod secret;
mod tgs_exchange;

use zeroize::Zeroizing;

use super::crypto::Confounder;
use super::error::{KerberosError, Malformed};
use super::messages::{EncKdcRepPart, Exchange, KdcRep, KrbError, Message as _, Ticket};
use super::principal::Principal;
use super::ticket::HeldTicket;
use super::time::KerberosTime;

pub(crate) use as_exchange::AsExchange;
pub(crate) use clock::Clock;
pub(crate) use secret::{Password, Secret};
pub(crate) use tgs_exchange::TgsExchange;

/// What to do next.
#[derive(Debug)]
pub(crate) enum Step {
    /// Send it, and hand over the reply.
    Send(Request),
    /// The ticket is there.
    Done(Box<Granted>),
}

/// A message for a realm's KDCs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    /// Whose KDCs.
    pub(crate) realm: String,
    /// The message's DER.
    pub(crate) bytes: Vec<u8>,
}

/// What an exchange ends with.
#[derive(Debug)]
pub(crate) struct Granted {
    /// The ticket that was asked for.
    pub(crate) ticket: HeldTicket,
    /// The KDC's clock, as far as it is followed.
    pub(crate) clock: Clock,
    /// When the client's password expires, if the KDC tells.
    pub(crate) key_expiration: Option<KerberosTime>,
}

/// Chance for one step. Nothing of it may be used twice.
pub(crate) struct Chance {
    /// Random; its highest bit is dropped, since some read it as signed.
    pub(crate) nonce: u32,
    /// Random.
    pub(crate) confounder: Confounder,
    /// Random: a key, of which as much is taken as its type needs.
    pub(crate) subkey: Zeroizing<[u8; 32]>,
}

impl Chance {
    /// From the system.
    pub(crate) fn fresh() -> Result<Self, KerberosError> {
        let mut bytes = Zeroizing::new([0; 52]);
        getrandom::fill(&mut *bytes)
            .map_err(|e| KerberosError::Config(format!("the system gives no random numbers: {e}")))?;
        let mut chance = Self { nonce: 0, confounder: [0; 16], subkey: Zeroizing::new([0; 32]) };
        chance.subkey.copy_from_slice(&bytes[..32]);
        chance.confounder.copy_from_slice(&bytes[32..48]);
        chance.nonce = bytes[48..].iter().fold(0, |number, byte| number << 8 | u32::from(*byte));
        Ok(chance)
    }

    /// What goes into a request.
    fn nonce(&self) -> u32 {
        self.nonce & 0x7FFF_FFFF
    }
}

/// What a KDC answers.
enum Reply {
    Ticket(Box<KdcRep>),
    Refused(Box<KrbError>),
}

impl Reply {
    /// The answer to a request of this exchange.
    fn read(bytes: &[u8], exchange: Exchange) -> Result<Self, KerberosError> {
        // KRB-ERROR's tag, `[APPLICATION 30]`.
        if bytes.first() == Some(&0x7E) {
            return Ok(Self::Refused(Box::new(KrbError::from_der(bytes)?)));
        }
        let reply = KdcRep::from_der(bytes)?;
        if reply.exchange == exchange { Ok(Self::Ticket(Box::new(reply))) } else { Err(differs("msg-type")) }
    }
}

/// The sealed part of a reply to the request with this nonce (RFC 4120 §3.1.5, §3.3.4). What stands outside of it has to say the
/// same, since anyone on the way could have changed that. Whether the ticket is for the right service is the caller's to check.
fn checked(sealed: &[u8], nonce: u32, client: &Principal, reply: &KdcRep) -> Result<EncKdcRepPart, KerberosError> {
    let part = EncKdcRepPart::from_der(sealed)?;
    if part.nonce != nonce {
        return Err(differs("nonce"));
    }
    if reply.client != *client {
        return Err(differs("crealm or cname"));
    }
    if Ticket::from_der(&reply.ticket)?.server != part.server {
        return Err(differs("the ticket's realm or sname"));
    }
    Ok(part)
}

fn differs(field: &'static str) -> KerberosError {
    KerberosError::WrongReply { field }
}

/// A machine that is driven out of turn is a mistake of ours, not of a peer.
fn out_of_turn() -> KerberosError {
    Malformed { what: "exchange", field: "reply", at: 0, problem: "it comes although nothing was asked" }.into()
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
