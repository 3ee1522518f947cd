//! SASL's GSSAPI mechanism (RFC 4752) for Kerberos 5, as a pure exchange.
//!
//! ```text
//! Init ─ initial token ─→ WaitAnswer ─ (empty) ─→ WaitOffer ─ wrapped choice ─→ Done
//! ```
//!
//! Kafka's traffic never has a security layer, so the choice is always "none" (KIP-12 has no `sasl.qop`).

use bytes::Bytes;

use crate::kerberos::crypto::Crypto;
use crate::kerberos::error::KerberosError;
use crate::kerberos::gss::{self, Fresh, GssContext, Pending, Proof, Seal, Started};
use crate::kerberos::ticket::HeldTicket;

/// The mechanism's registered name.
pub(crate) const NAME: &str = "GSSAPI";

/// The layers of RFC 4752 §3.3: no layer at all.
const NO_LAYER: u8 = 1;

/// One authentication in progress. It needs a ticket for the service and computes the rest.
pub(crate) struct Gssapi {
    state: State,
    authzid: String,
}

enum State {
    /// Nothing was said yet.
    Init(Box<Init>),
    /// The service has to prove itself.
    WaitAnswer(Box<Pending>),
    /// The service has to say which layers it takes.
    WaitOffer(Box<GssContext>),
    /// All is said.
    Done,
    /// An error was reported.
    Failed,
}

struct Init {
    crypto: Crypto,
    ticket: HeldTicket,
    proof: Proof,
    fresh: Fresh,
}

impl Gssapi {
    /// An exchange with the service of a ticket. `authzid` is as whom to act; brokers take any and use the ticket's client, so
    /// it is best left empty.
    pub(crate) fn new(crypto: Crypto, ticket: HeldTicket, proof: Proof, authzid: &str, fresh: Fresh) -> Self {
        let init = Init { crypto, ticket, proof, fresh };
        Self { state: State::Init(Box::new(init)), authzid: authzid.to_owned() }
    }

    /// Takes the server's token (`None` at the start) and gives the next one to send, which may be empty; `None` once there is
    /// nothing to say. An error is final.
    pub(crate) fn step(&mut self, from_server: Option<&[u8]>) -> Result<Option<Bytes>, KerberosError> {
        let token = from_server.unwrap_or_default();
        let (next, answer) = match std::mem::replace(&mut self.state, State::Failed) {
            State::Init(init) => begin(*init, token)?,
            State::WaitAnswer(pending) => (State::WaitOffer(Box::new(pending.accept(token)?)), Some(Bytes::new())),
            State::WaitOffer(context) => (State::Done, Some(self.choose(*context, token)?)),
            State::Done if token.is_empty() => (State::Done, None),
            State::Done => return Err(KerberosError::BadToken("it comes after the last one")),
            State::Failed => return Err(KerberosError::BadToken("the exchange has failed before")),
        };
        self.state = next;
        Ok(answer)
    }

    /// Whether all is said. Raw tokens end here; with SaslAuthenticate the server's last, empty answer is still to come.
    pub(crate) fn is_finished(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// RFC 4752 §3.1: the offer is a mask of layers and the size that the server takes; the choice is a layer, the size that we
    /// take (zero without a layer), and as whom to act.
    fn choose(&self, mut context: GssContext, token: &[u8]) -> Result<Bytes, KerberosError> {
        let offer = context.unwrap(token)?;
        let [layers, _, _, _] = **offer else {
            return Err(KerberosError::BadToken("its offer of layers has not four octets"));
        };
        if layers & NO_LAYER == 0 {
            return Err(KerberosError::NoLayer { offered: layers });
        }
        let choice = [&[NO_LAYER, 0, 0, 0], self.authzid.as_bytes()].concat();
        context.wrap(&choice, Seal::Authenticated).map(Bytes::from)
    }
}

fn begin(init: Init, token: &[u8]) -> Result<(State, Option<Bytes>), KerberosError> {
    if !token.is_empty() {
        return Err(KerberosError::BadToken("the server speaks first, which this mechanism does not allow"));
    }
    let (token, started) = gss::start(init.crypto, &init.ticket, init.proof, init.fresh)?;
    let next = match started {
        Started::Pending(pending) => State::WaitAnswer(Box::new(pending)),
        Started::Ready(context) => State::WaitOffer(Box::new(context)),
    };
    Ok((next, Some(token.into())))
}

#[cfg(test)]
mod devbroker_tests;
#[cfg(test)]
mod tests;
