//! KDCs of the tests' own: realms with accounts, services and referrals, which check what they are sent, and lie on demand.
//!
//! What is sealed in their tickets is nothing: the world remembers whose they are.

use std::collections::HashMap;
use std::sync::Arc;

use super::super::crypto::{Crypto, Usage};
use super::super::enctype::Enctype;
use super::super::error_code::KrbErrorCode;
use super::super::key::Key;
use super::super::messages::{
    ApReq, Authenticator, EncKdcRepPart, EncryptedData, EtypeInfo2, EtypeInfo2Entry, Exchange, KdcRep, KdcReq,
    KrbError, Message as _, MethodData, PaData, PaEncTimestamp, Ticket,
};
use super::super::principal::{Principal, PrincipalName};
use super::super::ticket::HeldTicket;
use super::super::time::KerberosTime;
use super::Chance;

/// Some day in 2024.
pub(crate) const NOON: KerberosTime = KerberosTime::at(1_709_294_400);

/// A client at a KDC.
#[derive(Clone)]
pub(crate) struct Account {
    pub(crate) password: String,
    pub(crate) salt: Option<String>,
    pub(crate) params: Option<Vec<u8>>,
    pub(crate) enctypes: Vec<Enctype>,
    pub(crate) kvno: u32,
    pub(crate) wants_proof: bool,
    /// The proofs that it takes.
    pub(crate) takes: Vec<i32>,
    /// Refused with this code at once, or after the proof.
    pub(crate) refused: Option<i32>,
    pub(crate) refused_after_proof: Option<i32>,
}

impl Account {
    pub(crate) fn new(password: &str) -> Self {
        Self {
            password: password.to_owned(),
            salt: None,
            params: None,
            enctypes: Enctype::DEFAULT.into(),
            kvno: 1,
            wants_proof: true,
            takes: vec![PaData::FX_FAST, PaData::ENC_TIMESTAMP],
            refused: None,
            refused_after_proof: None,
        }
    }

    fn key(&self, enctype: Enctype, default_salt: &str) -> Key {
        let salt = self.salt.as_deref().unwrap_or(default_salt);
        let crypto = Crypto::allowing_rc4();
        crypto.string_to_key(enctype, self.password.as_bytes(), salt.as_bytes(), self.params.as_deref()).unwrap()
    }
}

#[derive(Default)]
pub(crate) struct Realm {
    pub(crate) accounts: HashMap<String, Account>,
    /// Names of services, `krbtgt/OTHER` among them.
    pub(crate) services: Vec<String>,
    /// Service and the realm to which a client is referred for it.
    pub(crate) referrals: Vec<(String, String)>,
    /// Asked name and the one that the ticket is for.
    pub(crate) aliases: Vec<(String, String)>,
    /// Refuses every TGS request with this code, so many times.
    pub(crate) tgs_refuses: Option<(i32, u32)>,
    /// Seals TGS replies as Heimdal 1.2 did.
    pub(crate) without_subkey: bool,
}

/// Changes a reply on its way.
pub(crate) type Lie = Arc<dyn Fn(&mut EncKdcRepPart, &mut KdcRep) + Send + Sync>;

pub(crate) struct World {
    pub(crate) realms: HashMap<String, Realm>,
    pub(crate) now: KerberosTime,
    pub(crate) life_seconds: i64,
    pub(crate) lie: Option<Lie>,
    /// What was asked, in order: `AS alice@R`, `TGS kafka/broker@R`.
    pub(crate) asked: Vec<String>,
    /// Nonces and confounders' first bytes seen, none of which may come twice.
    pub(crate) nonces: Vec<u32>,
    tickets: HashMap<Vec<u8>, (Principal, Key)>,
    count: u8,
    ahead_seconds: i64,
}

impl World {
    /// The realm R with alice, whose password is `secret`, and a broker.
    pub(crate) fn new() -> Self {
        let mut home = Realm::default();
        home.accounts.insert("alice".to_owned(), Account::new("secret"));
        home.services.push("kafka/broker".to_owned());
        Self {
            realms: HashMap::from([("R".to_owned(), home)]),
            now: NOON,
            life_seconds: 3600,
            lie: None,
            asked: Vec::new(),
            nonces: Vec::new(),
            tickets: HashMap::new(),
            count: 0,
            ahead_seconds: 0,
        }
    }

    /// How far its clock is ahead of the machine's, where that counts.
    pub(crate) fn set_ahead(&mut self, seconds: i64) {
        self.ahead_seconds = seconds;
    }

    pub(crate) fn ahead_seconds(&self) -> i64 {
        self.ahead_seconds
    }

    pub(crate) fn realm(&mut self, name: &str) -> &mut Realm {
        self.realms.entry(name.to_owned()).or_default()
    }

    pub(crate) fn alice(&mut self) -> &mut Account {
        self.realm("R").accounts.get_mut("alice").unwrap()
    }

    pub(crate) fn answer(&mut self, realm: &str, request: &[u8]) -> Vec<u8> {
        let request = KdcReq::from_der(request).unwrap();
        assert_eq!(request.body.realm, realm, "the request goes to the realm that it names");
        assert!(
            request.body.nonce < 1 << 31 && !self.nonces.contains(&request.body.nonce),
            "each request has its own nonce"
        );
        self.nonces.push(request.body.nonce);
        let answer = match request.exchange {
            Exchange::As => self.answer_as(&request),
            Exchange::Tgs => self.answer_tgs(&request),
        };
        answer.unwrap_or_else(|refusal| refusal)
    }

    fn answer_as(&mut self, request: &KdcReq) -> Result<Vec<u8>, Vec<u8>> {
        let (realm, name) = (request.body.realm.clone(), request.body.client.clone().unwrap());
        self.asked.push(format!("AS {name}@{realm}"));
        let refuse = |world: &Self, code| Err(world.refusal(request, code, None));
        let Some(account) = self.realms.get(&realm).and_then(|r| r.accounts.get(&name.to_string())).cloned() else {
            return refuse(self, 6);
        };
        if let Some(code) = account.refused {
            return refuse(self, code);
        }
        let Some(enctype) = request.body.enctypes.iter().copied().find(|e| account.enctypes.contains(e)) else {
            return refuse(self, 14);
        };
        let salt = format!("{realm}{}", name.components.concat());
        let info = info(&account, &request.body.enctypes, &salt);
        if account.wants_proof {
            let Some(proof) = request.padata.find(PaData::ENC_TIMESTAMP) else {
                return Err(self.refusal(request, 25, Some(methods(&account, info))));
            };
            let proof = EncryptedData::from_der(proof).unwrap();
            let key = account.key(proof.enctype, &salt);
            let Ok(time) = proof.open(Crypto::allowing_rc4(), &key, Usage::TIMESTAMP, "proof") else {
                return refuse(self, 24);
            };
            let time = PaEncTimestamp::from_der(&time).unwrap().0;
            if time.seconds.abs_diff(self.now.seconds) > 300 {
                return refuse(self, 37);
            }
            if let Some(code) = account.refused_after_proof {
                return Err(self.refusal(request, code, Some(methods(&account, info))));
            }
        }
        let key = account.key(enctype, &salt);
        let padata = MethodData(vec![PaData { kind: PaData::ETYPE_INFO2, value: info }]);
        let client = Principal::new(name, realm.clone());
        let server = Principal::new(PrincipalName::krbtgt(&realm), realm);
        Ok(self.ticket(request, client, server, &key, Usage::AS_REP, account.kvno, padata))
    }

    fn answer_tgs(&mut self, request: &KdcReq) -> Result<Vec<u8>, Vec<u8>> {
        let (realm, name) = (request.body.realm.clone(), request.body.server.clone().unwrap());
        self.asked.push(format!("TGS {name}@{realm}"));
        let shown = ApReq::from_der(request.padata.find(PaData::TGS_REQ).unwrap()).unwrap();
        let (client, session_key) = self.tickets.get(&shown.ticket).cloned().expect("a ticket of this world");
        let tgs = Ticket::from_der(&shown.ticket).unwrap().server.name;
        assert_eq!(tgs.krbtgt_realm(), Some(&*realm), "the ticket is for the realm that is asked");
        let crypto = Crypto::allowing_rc4();
        let opened = shown.authenticator.open(crypto, &session_key, Usage::TGS_REQ_AUTHENTICATOR, "authenticator");
        let authenticator = Authenticator::from_der(&opened.unwrap()).unwrap();
        let (sum, body) = (authenticator.checksum.unwrap(), request.body.to_der());
        crypto.verify(&session_key, Usage::TGS_REQ_CHECKSUM, &[&body], &sum.bytes).unwrap();
        assert_eq!(authenticator.client, client);
        if authenticator.time.seconds.abs_diff(self.now.seconds) > 300 {
            return Err(self.refusal(request, 37, None));
        }
        let home = self.realm(&realm);
        if let Some((code, times)) = home.tgs_refuses.as_mut().filter(|(_, times)| *times > 0) {
            *times -= 1;
            let code = *code;
            return Err(self.refusal(request, code, None));
        }
        let asked = name.to_string();
        let referred = home.referrals.iter().find(|(service, _)| *service == asked);
        let alias = home.aliases.iter().find(|(known, _)| *known == asked).map(|(_, real)| real.clone());
        let server = match referred {
            Some((_, to)) => PrincipalName::krbtgt(to),
            None if home.services.contains(&asked) || name.krbtgt_realm() == Some(&*realm) => name,
            None => match alias {
                Some(alias) => Principal::parse(&alias, Some("R")).unwrap().name,
                None => return Err(self.refusal(request, 7, None)),
            },
        };
        let (key, usage) = match authenticator.subkey.filter(|_| !home.without_subkey) {
            Some(subkey) => (subkey, Usage::TGS_REP_SUBKEY),
            None => (session_key, Usage::TGS_REP_SESSION_KEY),
        };
        Ok(self.ticket(request, client, Principal::new(server, realm), &key, usage, 0, MethodData::default()))
    }

    #[expect(clippy::too_many_arguments, reason = "all that a reply has")]
    fn ticket(
        &mut self,
        request: &KdcReq,
        client: Principal,
        server: Principal,
        key: &Key,
        usage: Usage,
        kvno: u32,
        padata: MethodData,
    ) -> Vec<u8> {
        self.count = self.count.wrapping_add(1);
        let enctype = request.body.enctypes[0];
        let session_key = Key::new(enctype, vec![self.count; enctype.key_length().unwrap()]);
        let sealed = EncryptedData {
            enctype,
            kvno: Some(1),
            cipher: [&[self.count; 40][..], &request.body.nonce.to_be_bytes()].concat(),
        };
        let now = KerberosTime::at(self.now.seconds);
        let part = EncKdcRepPart {
            key: session_key.clone(),
            nonce: request.body.nonce,
            key_expiration: None,
            flags: HeldTicket::INITIAL | HeldTicket::RENEWABLE,
            auth_time: now,
            start_time: Some(now),
            end_time: now.plus_seconds(self.life_seconds),
            renew_till: Some(now.plus_seconds(self.life_seconds * 10)),
            server: server.clone(),
        };
        let ticket = Ticket { server, enc_part: sealed.clone() }.to_der().to_vec();
        self.tickets.insert(ticket.clone(), (client.clone(), session_key));
        let mut reply = KdcRep { exchange: request.exchange, padata, client, ticket, enc_part: sealed };
        let mut part = part;
        if let Some(lie) = self.lie.clone() {
            lie(&mut part, &mut reply);
        }
        let confounder = [self.count; 16];
        reply.enc_part = EncryptedData::seal(Crypto::allowing_rc4(), key, usage, &confounder, &part).unwrap();
        reply.enc_part.kvno = Some(kvno).filter(|kvno| *kvno > 0);
        reply.to_der().to_vec()
    }

    pub(crate) fn refusal(&self, request: &KdcReq, code: i32, data: Option<Vec<u8>>) -> Vec<u8> {
        let server = Principal::new(request.body.server.clone().unwrap(), request.body.realm.clone());
        let error = KrbError {
            server_time: self.now,
            code: KrbErrorCode(code),
            client_realm: None,
            client_name: None,
            server,
            text: None,
            data,
        };
        error.to_der().to_vec()
    }
}

fn info(account: &Account, wanted: &[Enctype], salt: &str) -> Vec<u8> {
    let salt = account.salt.clone().unwrap_or_else(|| salt.to_owned()).into_bytes();
    let has = wanted.iter().filter(|enctype| account.enctypes.contains(enctype));
    let entries = has.map(|enctype| EtypeInfo2Entry {
        enctype: *enctype,
        salt: Some(salt.clone()),
        s2kparams: account.params.clone(),
    });
    EtypeInfo2(entries.collect()).to_der().to_vec()
}

fn methods(account: &Account, info: Vec<u8>) -> Vec<u8> {
    let mut methods: Vec<_> = account.takes.iter().map(|kind| PaData { kind: *kind, value: Vec::new() }).collect();
    methods.insert(0, PaData { kind: PaData::ETYPE_INFO2, value: info });
    MethodData(methods).to_der().to_vec()
}

/// Chance that is different each time, and the same in each run.
pub(crate) fn chance() -> Chance {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let nonce = NEXT.fetch_add(1, Ordering::Relaxed);
    // The highest bit has to be dropped by whoever uses it.
    let mut chance = Chance { nonce: nonce | 1 << 31, confounder: [7; 16], subkey: zeroize::Zeroizing::new([9; 32]) };
    chance.subkey[..4].copy_from_slice(&nonce.to_be_bytes());
    chance.confounder[..4].copy_from_slice(&nonce.to_be_bytes());
    chance
}

/// A krb5.conf with the default realm R and these lines in `[libdefaults]` and behind.
pub(crate) fn config(text: &str) -> Arc<super::super::config::Krb5Config> {
    let text = format!("[libdefaults]\ndefault_realm = R\n{text}\n");
    Arc::new(super::super::config::Krb5Config::from_text(&text).unwrap())
}
