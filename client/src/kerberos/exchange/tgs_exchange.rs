//! The exchange with the ticket-granting service (RFC 4120 §3.3): a ticket gets another, in this realm or, by way of others
//! (RFC 6806 §8), in the service's.
//!
//! ```text
//! Idle ── start ──→ Asked ── TGS-REP for the service ──→ Over
//!                     ├── TGS-REP for krbtgt/OTHER ──→ Asked at OTHER
//!                     └── 37, once ──→ Asked
//! ```

use std::collections::VecDeque;
use std::sync::Arc;

use super::super::config::Krb5Config;
use super::super::crypto::{Crypto, Usage};
use super::super::error::{CryptoError, KerberosError, Peer};
use super::super::error_code::KrbErrorCode;
use super::super::key::Key;
use super::super::messages::{
    ApReq, Authenticator, Checksum, EncKdcRepPart, EncryptedData, Exchange, KdcRep, KdcReq, KdcReqBody, KrbError,
    Message as _, MethodData, PaData,
};
use super::super::principal::{Principal, PrincipalName};
use super::super::ticket::HeldTicket;
use super::super::time::KerberosTime;
use super::clock::Clock;
use super::{Chance, Granted, Reply, Request, Step, checked, differs, out_of_turn};

/// Realms on one way, the client's own included (MIT `KRB5_REFERRAL_MAXHOPS`).
const REALMS_LIMIT: usize = 10;

/// One request for a ticket, through as many realms as it takes.
#[derive(Debug)]
pub(crate) struct TgsExchange {
    config: Arc<Krb5Config>,
    crypto: Crypto,
    goal: Goal,
    /// The ticket that is shown.
    tgt: HeldTicket,
    /// The realms on the way so far. The last is the one that is asked.
    visited: Vec<String>,
    /// Realms that are still to be gone through, the service's own the last. Empty once it is reached, or if it is not known.
    ahead: VecDeque<String>,
    clock: Clock,
    corrected: bool,
    asked: Option<Asked>,
}

#[derive(Debug)]
enum Goal {
    Service(PrincipalName),
    Renewal,
}

/// What was asked last.
#[derive(Debug)]
struct Asked {
    server: Principal,
    nonce: u32,
    subkey: Key,
}

impl TgsExchange {
    /// A ticket for a service. `realm` is the service's, `None` if it is not known: then the KDCs say. `tgt` is one of the
    /// client's own realm.
    pub(crate) fn service(
        config: Arc<Krb5Config>,
        tgt: HeldTicket,
        service: PrincipalName,
        realm: Option<&str>,
        clock: Clock,
    ) -> Self {
        let home = home_of(&tgt);
        let mut ahead = VecDeque::new();
        if let Some(realm) = realm.filter(|realm| *realm != home) {
            let between = config.realms_between(&home, realm).unwrap_or_default();
            ahead.extend(between.into_iter().chain([realm]).map(str::to_owned));
        }
        Self::new(config, tgt, Goal::Service(service), ahead, clock)
    }

    /// The same ticket for longer (RFC 4120 §3.3.3.1, option RENEW).
    pub(crate) fn renewal(config: Arc<Krb5Config>, tgt: HeldTicket, clock: Clock) -> Self {
        Self::new(config, tgt, Goal::Renewal, VecDeque::new(), clock)
    }

    fn new(config: Arc<Krb5Config>, tgt: HeldTicket, goal: Goal, ahead: VecDeque<String>, clock: Clock) -> Self {
        let (crypto, visited) = (config.crypto(), vec![home_of(&tgt)]);
        Self { config, crypto, goal, tgt, visited, ahead, clock, corrected: false, asked: None }
    }

    /// The first request.
    pub(crate) fn start(&mut self, now: KerberosTime, chance: &Chance) -> Result<Step, KerberosError> {
        let server = self.next_server();
        let body = self.body(&server.name, chance);
        let enctype = self.tgt.session_key.enctype;
        let Some(length) = enctype.key_length().filter(|_| self.crypto.permits(enctype)) else {
            return Err(KerberosError::NoEnctype { offered: vec![enctype], usable: self.config.tgs_enctypes.clone() });
        };
        let subkey = Key::new(enctype, chance.subkey[..length].to_vec());
        let value = self.ap_req(now, chance, &body, &subkey)?;
        let padata = MethodData(vec![PaData { kind: PaData::TGS_REQ, value }]);
        let request = KdcReq { exchange: Exchange::Tgs, padata, body };
        let realm = server.realm.clone();
        self.asked = Some(Asked { server, nonce: chance.nonce(), subkey });
        Ok(Step::Send(Request { realm, bytes: request.to_der().to_vec() }))
    }

    /// Takes the KDC's reply. An error is final.
    pub(crate) fn handle(&mut self, now: KerberosTime, chance: &Chance, reply: &[u8]) -> Result<Step, KerberosError> {
        let asked = self.asked.take().ok_or_else(out_of_turn)?;
        match Reply::read(reply, Exchange::Tgs)? {
            Reply::Ticket(reply) => self.accept(now, chance, &asked, *reply),
            Reply::Refused(error) => self.refused(now, chance, &asked, *error),
        }
    }

    /// What is asked for next, in the realm that is asked.
    fn next_server(&self) -> Principal {
        let realm = self.visited.last().cloned().unwrap_or_default();
        let name = match (&self.goal, self.ahead.front()) {
            (_, Some(next)) => PrincipalName::krbtgt(next),
            (Goal::Service(name), None) => name.clone(),
            (Goal::Renewal, None) => self.tgt.server.name.clone(),
        };
        Principal::new(name, realm)
    }

    fn body(&self, server: &PrincipalName, chance: &Chance) -> KdcReqBody {
        let (options, till, renew_till) = match self.goal {
            Goal::Service(_) => (KdcReqBody::CANONICALIZE, self.tgt.end_time, None),
            Goal::Renewal => {
                let till = self.tgt.renew_till.unwrap_or(self.tgt.end_time);
                (KdcReqBody::RENEW | KdcReqBody::RENEWABLE, till, Some(till))
            }
        };
        KdcReqBody {
            options: options | self.tgt.flags & self.kept_flags(),
            client: None,
            realm: self.visited.last().cloned().unwrap_or_default(),
            server: Some(server.clone()),
            till,
            renew_till,
            nonce: chance.nonce(),
            enctypes: self.config.tgs_enctypes.clone(),
        }
    }

    /// A ticket that can be forwarded gets others of its kind, if that is wanted.
    fn kept_flags(&self) -> u32 {
        if self.config.forwardable { HeldTicket::FORWARDABLE } else { 0 }
    }

    /// The ticket, and the proof that it is ours: the authenticator binds the request's body by a checksum (RFC 4120 §7.2.1).
    fn ap_req(
        &self,
        now: KerberosTime,
        chance: &Chance,
        body: &KdcReqBody,
        subkey: &Key,
    ) -> Result<Vec<u8>, KerberosError> {
        let key = &self.tgt.session_key;
        let failed = |cause: CryptoError| cause.of("the authenticator");
        let sum = self.crypto.checksum(key, Usage::TGS_REQ_CHECKSUM, &[&body.to_der()]).map_err(failed)?;
        let checksum = key.enctype.checksum_type().map(|kind| Checksum { kind, bytes: sum });
        let authenticator = Authenticator {
            client: self.tgt.client.clone(),
            checksum,
            time: self.clock.at(now),
            subkey: Some(subkey.clone()),
            sequence: None,
        };
        let usage = Usage::TGS_REQ_AUTHENTICATOR;
        let sealed =
            EncryptedData::seal(self.crypto, key, usage, &chance.confounder, &authenticator).map_err(failed)?;
        Ok(ApReq { options: 0, ticket: self.tgt.ticket.clone(), authenticator: sealed }.to_der().to_vec())
    }

    fn refused(
        &mut self,
        now: KerberosTime,
        chance: &Chance,
        asked: &Asked,
        error: KrbError,
    ) -> Result<Step, KerberosError> {
        let follows = self.config.follows_clock_of(&asked.server.realm) && !self.corrected;
        if error.code == KrbErrorCode::SKEW && follows {
            self.corrected = true;
            self.clock = Clock::between(now, error.server_time);
            return self.start(now, chance);
        }
        // What was asked for is ours to know; some KDCs leave it out.
        let mut error = error.into_error(Peer::Kdc, now);
        if let KerberosError::Refused(refusal) = &mut error {
            refusal.client = Some(self.tgt.client.to_string());
            refusal.server = asked.server.to_string();
        }
        Err(error)
    }

    fn accept(
        &mut self,
        now: KerberosTime,
        chance: &Chance,
        asked: &Asked,
        reply: KdcRep,
    ) -> Result<Step, KerberosError> {
        let part = checked(&self.open(asked, &reply)?, asked.nonce, &self.tgt.client, &reply)?;
        if part.server.realm != asked.server.realm {
            return Err(differs("srealm"));
        }
        let arrived = part.server.name == asked.server.name && self.ahead.is_empty();
        if arrived || self.is_alias(&part) {
            let ticket = part.held(self.tgt.client.clone(), reply.ticket);
            return Ok(Step::Done(Box::new(Granted { ticket, clock: self.clock, key_expiration: None })));
        }
        match part.server.name.krbtgt_realm().map(str::to_owned) {
            Some(realm) if matches!(self.goal, Goal::Service(_)) => {
                self.go_on_to(&realm)?;
                self.tgt = part.held(self.tgt.client.clone(), reply.ticket);
                self.start(now, chance)
            }
            _ => Err(differs("sname")),
        }
    }

    /// Under our subkey, as RFC 4120 §5.4.2 has it; Heimdal up to 1.2 takes the session key (MIT tries both).
    fn open(&self, asked: &Asked, reply: &KdcRep) -> Result<zeroize::Zeroizing<Vec<u8>>, KerberosError> {
        let what = "the sealed part of the KDC's reply";
        let by_subkey = reply.enc_part.open(self.crypto, &asked.subkey, Usage::TGS_REP_SUBKEY, what);
        by_subkey.or_else(|error| match error {
            KerberosError::Crypto { cause: CryptoError::Integrity, .. } => {
                let usage = Usage::TGS_REP_SESSION_KEY;
                reply.enc_part.open(self.crypto, &self.tgt.session_key, usage, what)
            }
            other => Err(other),
        })
    }

    /// Another name of the service that was asked for (RFC 6806 §7), on whatever host. A name of another service is none.
    fn is_alias(&self, part: &EncKdcRepPart) -> bool {
        let Goal::Service(asked) = &self.goal else { return false };
        let (asked, got) = (&asked.components, &part.server.name.components);
        self.ahead.is_empty() && asked.len() == 2 && got.len() == 2 && asked[0] == got[0]
    }

    fn go_on_to(&mut self, realm: &str) -> Result<(), KerberosError> {
        let is_known = self.visited.iter().any(|known| known == realm);
        self.visited.push(realm.to_owned());
        if is_known || self.visited.len() > REALMS_LIMIT {
            return Err(KerberosError::Astray { way: self.visited.clone() });
        }
        // A KDC may refer to a realm that is nearer to the goal, or to one that is not on the list.
        match self.ahead.iter().position(|next| next == realm) {
            Some(at) => drop(self.ahead.drain(..=at)),
            None => self.ahead.drain(..self.ahead.len().saturating_sub(1)).for_each(drop),
        }
        Ok(())
    }
}

/// The realm whose ticket-granting service the ticket is for.
fn home_of(tgt: &HeldTicket) -> String {
    tgt.server.name.krbtgt_realm().unwrap_or(&tgt.server.realm).to_owned()
}
