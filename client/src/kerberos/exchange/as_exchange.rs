//! The exchange with the authentication service (RFC 4120 §3.1): from a password or a keytab to the ticket that gets others.
//!
//! ```text
//! Idle ── start ──→ Asked ── 25 ──→ Proved ── AS-REP ──→ Over
//!                     │               └─ 37, once ─→ Proved
//!                     └── AS-REP, where no proof is wanted ──→ Over
//! ```

use std::sync::Arc;

use super::super::config::Krb5Config;
use super::super::crypto::{Crypto, Usage};
use super::super::enctype::Enctype;
use super::super::error::{KerberosError, Peer};
use super::super::error_code::KrbErrorCode;
use super::super::messages::{
    EncKdcRepPart, EncryptedData, Exchange, KdcRep, KdcReq, KdcReqBody, KrbError, Message as _, MethodData, PaData,
    PaEncTimestamp,
};
use super::super::principal::{Principal, PrincipalName};
use super::super::time::KerberosTime;
use super::clock::{Clock, is_skewed};
use super::secret::{Found, Recipe, Secret};
use super::{Chance, Granted, Reply, Request, Step, checked, differs, out_of_turn};

/// One log-in at the KDC.
#[derive(Debug)]
pub(crate) struct AsExchange {
    config: Arc<Krb5Config>,
    crypto: Crypto,
    client: Principal,
    secret: Secret,
    /// What is asked for: what the secret has keys for.
    enctypes: Vec<Enctype>,
    clock: Clock,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Nothing was asked.
    Idle,
    /// Asked without a proof.
    Asked { nonce: u32 },
    /// Asked with the time, sealed with this key.
    Proved { nonce: u32, proof: Found, hints: MethodData, corrected: bool },
    /// There is a ticket, or there was an error.
    Over,
}

impl AsExchange {
    /// A log-in of this client. A keytab that has no key of the client is an error that says what it has.
    pub(crate) fn new(
        config: Arc<Krb5Config>,
        client: Principal,
        secret: Secret,
        clock: Clock,
    ) -> Result<Self, KerberosError> {
        let crypto = config.crypto();
        let wanted: Vec<_> = config.tkt_enctypes.iter().copied().filter(|enctype| crypto.permits(*enctype)).collect();
        let enctypes = secret.usable(&client, &wanted)?;
        Ok(Self { config, crypto, client, secret, enctypes, clock, state: State::Idle })
    }

    /// The first request. It has no proof yet: the KDC says with which salt and type it wants that.
    pub(crate) fn start(&mut self, now: KerberosTime, chance: &Chance) -> Step {
        self.state = State::Asked { nonce: chance.nonce() };
        self.request(now, chance, MethodData::default())
    }

    /// Takes the KDC's reply. An error is final.
    pub(crate) fn handle(&mut self, now: KerberosTime, chance: &Chance, reply: &[u8]) -> Result<Step, KerberosError> {
        let state = std::mem::replace(&mut self.state, State::Over);
        if matches!(state, State::Idle | State::Over) {
            return Err(out_of_turn());
        }
        match Reply::read(reply, Exchange::As)? {
            Reply::Ticket(reply) => self.accept(now, &state, *reply).map(|granted| Step::Done(Box::new(granted))),
            Reply::Refused(error) => self.refused(now, chance, state, *error),
        }
    }

    fn request(&self, now: KerberosTime, chance: &Chance, padata: MethodData) -> Step {
        let now = self.clock.at(now);
        let until = |life: std::time::Duration| KerberosTime::at(now.seconds).plus_seconds(life.as_secs() as i64);
        let mut options = 0;
        if self.config.forwardable {
            options |= KdcReqBody::FORWARDABLE;
        }
        if self.config.renew_lifetime.is_some() {
            options |= KdcReqBody::RENEWABLE;
        }
        let realm = &self.client.realm;
        let body = KdcReqBody {
            options,
            client: Some(self.client.name.clone()),
            realm: realm.clone(),
            server: Some(PrincipalName::krbtgt(realm)),
            till: until(self.config.ticket_lifetime),
            renew_till: self.config.renew_lifetime.map(until),
            nonce: chance.nonce(),
            enctypes: self.enctypes.clone(),
        };
        let request = KdcReq { exchange: Exchange::As, padata, body };
        Step::Send(Request { realm: realm.clone(), bytes: request.to_der().to_vec() })
    }

    fn refused(
        &mut self,
        now: KerberosTime,
        chance: &Chance,
        state: State,
        error: KrbError,
    ) -> Result<Step, KerberosError> {
        match (error.code, state) {
            (KrbErrorCode::PREAUTH_REQUIRED, State::Asked { .. }) => {
                let hints = methods(&error)?;
                if hints.find(PaData::ENC_TIMESTAMP).is_none() {
                    return Err(KerberosError::NoPreauth { offered: hints.kinds() });
                }
                let recipe = Recipe::chosen(&hints, &self.enctypes)?;
                let proof = self.secret.key(self.crypto, &self.client, recipe, None)?;
                self.prove(now, chance, proof, hints, false)
            }
            // It has our proof and wants another: asking again would never end.
            (KrbErrorCode::PREAUTH_REQUIRED | KrbErrorCode::MORE_PREAUTH_DATA_REQUIRED, State::Proved { .. }) => {
                Err(KerberosError::NoPreauth { offered: methods(&error)?.kinds() })
            }
            (KrbErrorCode::PREAUTH_FAILED, State::Proved { proof, .. }) => {
                Err(KerberosError::WrongKey { client: self.client.to_string(), tried: proof.tried })
            }
            (KrbErrorCode::SKEW, State::Proved { proof, hints, corrected: false, .. })
                if self.config.follows_clock_of(&self.client.realm) =>
            {
                self.clock = Clock::between(now, error.server_time);
                self.prove(now, chance, proof, hints, true)
            }
            _ => Err(error.into_error(Peer::Kdc, now)),
        }
    }

    fn prove(
        &mut self,
        now: KerberosTime,
        chance: &Chance,
        proof: Found,
        hints: MethodData,
        corrected: bool,
    ) -> Result<Step, KerberosError> {
        let time = PaEncTimestamp(self.clock.at(now));
        let sealed = EncryptedData::seal(self.crypto, &proof.key, Usage::TIMESTAMP, &chance.confounder, &time);
        let value = sealed.map_err(|cause| cause.of("the encrypted timestamp"))?.to_der().to_vec();
        self.state = State::Proved { nonce: chance.nonce(), proof, hints, corrected };
        Ok(self.request(now, chance, MethodData(vec![PaData { kind: PaData::ENC_TIMESTAMP, value }])))
    }

    fn accept(&mut self, now: KerberosTime, state: &State, reply: KdcRep) -> Result<Granted, KerberosError> {
        let (nonce, key) = match state {
            State::Asked { nonce } => (*nonce, self.reply_key(&reply, &MethodData::default(), None)?),
            State::Proved { nonce, proof, hints, .. } => (*nonce, self.reply_key(&reply, hints, Some(proof))?),
            State::Idle | State::Over => return Err(out_of_turn()),
        };
        let opened = reply.enc_part.open(self.crypto, &key.key, Usage::AS_REP, "the sealed part of the KDC's reply")?;
        let part = checked(&opened, nonce, &self.client, &reply)?;
        if part.server != Principal::new(PrincipalName::krbtgt(&self.client.realm), self.client.realm.clone()) {
            return Err(differs("srealm or sname"));
        }
        self.follow(now, &part)?;
        let key_expiration = part.key_expiration;
        let ticket = part.held(self.client.clone(), reply.ticket);
        Ok(Granted { ticket, clock: self.clock, key_expiration })
    }

    /// The salt stands in the reply, or in what came before, or it is the default. A password's key is not made twice.
    fn reply_key(&self, reply: &KdcRep, before: &MethodData, proof: Option<&Found>) -> Result<Found, KerberosError> {
        let enctype = reply.enc_part.enctype;
        if !self.enctypes.contains(&enctype) {
            return Err(KerberosError::NoEnctype { offered: vec![enctype], usable: self.enctypes.clone() });
        }
        let says =
            |data: &MethodData| [PaData::ETYPE_INFO2, PaData::PW_SALT].iter().any(|kind| data.find(*kind).is_some());
        let hints = if says(&reply.padata) { &reply.padata } else { before };
        let recipe = Recipe::chosen(hints, &[enctype])?;
        match proof {
            Some(proof) if matches!(self.secret, Secret::Password(_)) && proof.recipe == recipe => Ok(proof.clone()),
            _ => self.secret.key(self.crypto, &self.client, recipe, reply.enc_part.kvno),
        }
    }

    /// `authtime` is the KDC's clock, sealed (MIT `verify_as_reply`). Where no proof was wanted it is the first that is known of
    /// the skew.
    fn follow(&mut self, now: KerberosTime, part: &EncKdcRepPart) -> Result<(), KerberosError> {
        if !is_skewed(self.clock.at(now), part.auth_time, self.config.clockskew) {
            return Ok(());
        }
        if !self.config.follows_clock_of(&self.client.realm) {
            return Err(KerberosError::ClockSkew { ours: now, theirs: part.auth_time });
        }
        self.clock = Clock::between(now, part.auth_time);
        Ok(())
    }
}

/// What the KDC says of the proofs that it takes.
fn methods(error: &KrbError) -> Result<MethodData, KerberosError> {
    match &error.data {
        Some(data) => Ok(MethodData::from_der(data)?),
        None => Ok(MethodData::default()),
    }
}
