//! SCRAM (RFC 5802, RFC 7677), the server's side, as strict as Kafka's (`ScramSaslServer`).

use std::collections::HashMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256, Sha512};
use subtle::ConstantTimeEq;

use crate::shared::chance;

/// Which hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hash {
    Sha256,
    Sha512,
}

/// What the server keeps of a password.
#[derive(Clone)]
struct Verifier {
    salt: Vec<u8>,
    iterations: u32,
    stored_key: Vec<u8>,
    server_key: Vec<u8>,
}

/// Who may log in. `Debug` shows the names only.
#[derive(Clone, Default)]
pub(crate) struct Verifiers(HashMap<String, Verifier>);

/// One exchange.
pub(crate) struct Server {
    hash: Hash,
    state: State,
}

enum State {
    Start,
    Challenged { user: String, verifier: Verifier, nonce: String, first_bare: String, server_first: String },
    Over,
}

/// What a step gives.
pub(super) enum Step {
    Challenge(String),
    Accepted { last: String, user: String },
}

impl Hash {
    fn salted_password(self, password: &[u8], salt: &[u8], iterations: u32) -> Vec<u8> {
        match self {
            Self::Sha256 => pbkdf2::pbkdf2_hmac_array::<Sha256, 32>(password, salt, iterations).to_vec(),
            Self::Sha512 => pbkdf2::pbkdf2_hmac_array::<Sha512, 64>(password, salt, iterations).to_vec(),
        }
    }

    fn hmac(self, key: &[u8], data: &[u8]) -> Vec<u8> {
        // A key of any length is taken; the error cannot come.
        match self {
            Self::Sha256 => Hmac::<Sha256>::new_from_slice(key)
                .map_or_else(|_| Vec::new(), |mac| mac.chain_update(data).finalize().into_bytes().to_vec()),
            Self::Sha512 => Hmac::<Sha512>::new_from_slice(key)
                .map_or_else(|_| Vec::new(), |mac| mac.chain_update(data).finalize().into_bytes().to_vec()),
        }
    }

    fn digest(self, data: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha256 => Sha256::digest(data).to_vec(),
            Self::Sha512 => Sha512::digest(data).to_vec(),
        }
    }
}

impl Verifiers {
    /// Salts and hashes each password; it costs about a millisecond for each at 4096 iterations.
    pub(crate) fn new(hash: Hash, users: &[(&str, &str)], iterations: u32) -> Self {
        let verifier = |password: &str| {
            let salt = [chance().to_be_bytes(), chance().to_be_bytes()].concat();
            let salted = hash.salted_password(password.as_bytes(), &salt, iterations);
            let stored_key = hash.digest(&hash.hmac(&salted, b"Client Key"));
            let server_key = hash.hmac(&salted, b"Server Key");
            Verifier { salt, iterations, stored_key, server_key }
        };
        Self(users.iter().map(|(user, password)| ((*user).to_owned(), verifier(password))).collect())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Verifiers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.keys()).finish()
    }
}

impl Server {
    pub(super) fn new(hash: Hash) -> Self {
        Self { hash, state: State::Start }
    }

    pub(super) fn hash(&self) -> Hash {
        self.hash
    }

    pub(super) fn step(&mut self, token: &[u8], users: &Verifiers) -> Result<Step, &'static str> {
        let text = std::str::from_utf8(token).map_err(|_| "the SCRAM message is not UTF-8")?;
        match std::mem::replace(&mut self.state, State::Over) {
            State::Start => self.challenge(text, users).map(Step::Challenge),
            State::Challenged { user, verifier, nonce, first_bare, server_first } => {
                let auth = format!("{first_bare},{server_first}");
                let last = self.check(text, &verifier, &nonce, &auth)?;
                Ok(Step::Accepted { last, user })
            }
            State::Over => Err("the exchange is over"),
        }
    }

    fn challenge(&mut self, first: &str, users: &Verifiers) -> Result<String, &'static str> {
        let bare = first.strip_prefix("n,,").ok_or("the GS2 header has to be n,,")?;
        let mut attributes = bare.split(',');
        let user = attributes.next().and_then(|part| part.strip_prefix("n=")).ok_or("the user name is missing")?;
        let client = attributes.next().and_then(|part| part.strip_prefix("r=")).filter(|nonce| !nonce.is_empty());
        let client = client.ok_or("the nonce is missing")?;
        if attributes.any(|extension| extension == "tokenauth=true") {
            return Err("Authentication failed: there are no delegation tokens here");
        }
        let user = unescaped(user).ok_or("the user name is escaped wrongly")?;
        let verifier = users.0.get(&user).ok_or("Authentication failed: Invalid user credentials")?.clone();
        let nonce = format!("{client}{:016x}{:016x}", chance(), chance());
        let Verifier { salt, iterations, .. } = &verifier;
        let server_first = format!("r={nonce},s={},i={iterations}", BASE64.encode(salt));
        let first_bare = bare.to_owned();
        self.state = State::Challenged { user, verifier, nonce, first_bare, server_first: server_first.clone() };
        Ok(server_first)
    }

    fn check(&self, last: &str, verifier: &Verifier, nonce: &str, auth: &str) -> Result<String, &'static str> {
        let (without_proof, proof) = last.rsplit_once(",p=").ok_or("the proof is missing")?;
        if without_proof != format!("c=biws,r={nonce}") {
            return Err("the channel binding or the nonce is not that of this exchange");
        }
        let mut key = BASE64.decode(proof).map_err(|_| "the proof is not base64")?;
        let auth = format!("{auth},{without_proof}");
        let signature = self.hash.hmac(&verifier.stored_key, auth.as_bytes());
        if key.len() != signature.len() {
            return Err("the proof is of another hash");
        }
        key.iter_mut().zip(signature).for_each(|(byte, other)| *byte ^= other);
        if !bool::from(self.hash.digest(&key).ct_eq(&verifier.stored_key)) {
            return Err("Authentication failed: Invalid user credentials");
        }
        Ok(format!("v={}", BASE64.encode(self.hash.hmac(&verifier.server_key, auth.as_bytes()))))
    }
}

/// `=2C` is a comma, `=3D` an equals sign, and nothing else may follow an equals sign.
fn unescaped(name: &str) -> Option<String> {
    let mut out = String::with_capacity(name.len());
    let mut rest = name;
    while let Some((before, after)) = rest.split_once('=') {
        out.push_str(before);
        out.push(if after.starts_with("2C") {
            ','
        } else if after.starts_with("3D") {
            '='
        } else {
            return None;
        });
        rest = &after[2..];
    }
    out.push_str(rest);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unescaped_as_they_were_escaped_and_not_otherwise() {
        for (escaped, name) in [("etl", "etl"), ("a=2Cb=3Dc", "a,b=c"), ("", ""), ("=3D2C", "=2C"), ("用=2C", "用,")]
        {
            assert_eq!(unescaped(escaped).as_deref(), Some(name));
        }
        for wrong in ["a=", "a=2", "a=2c", "a=3d", "=="] {
            assert_eq!(unescaped(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_first_message_that_is_not_kafkas_is_refused() {
        let users = Verifiers::new(Hash::Sha256, &[("etl", "secret")], 4096);
        for first in ["", "y,,n=etl,r=x", "n,,r=x", "n,,n=etl", "n,,n=etl,r=", "n,a=etl,n=etl,r=x", "p=tls,,n=etl,r=x"]
        {
            assert!(Server::new(Hash::Sha256).step(first.as_bytes(), &users).is_err(), "{first}");
        }
        assert!(Server::new(Hash::Sha256).step(b"n,,n=other,r=x", &users).is_err());
        assert!(Server::new(Hash::Sha256).step(b"n,,n=etl,r=x", &users).is_ok());
    }

    #[test]
    fn a_proof_for_another_nonce_or_of_nobody_is_refused() {
        let users = Verifiers::new(Hash::Sha512, &[("etl", "secret")], 4096);
        for last in ["", "c=biws,r=x", "c=biws,r=x,p=AAAA", "c=biws,r=,p="] {
            let mut server = Server::new(Hash::Sha512);
            let Ok(Step::Challenge(first)) = server.step(b"n,,n=etl,r=x", &users) else { panic!("no challenge") };
            let nonce = first[2..].split(',').next().unwrap();
            assert!(server.step(last.as_bytes(), &users).is_err(), "{last}");
            assert!(server.step(format!("c=biws,r={nonce},p=AAAA").as_bytes(), &users).is_err(), "over");
        }
        assert!(!format!("{users:?}").contains("secret"));
    }
}
