//! SCRAM-SHA-256 and SCRAM-SHA-512 (RFC 5802, RFC 7677), the client's side.
//!
//! Written here and not taken from rsasl, since that cannot bound the server's iteration count by itself, cannot send
//! `tokenauth=true` (delegation tokens, KIP-48), takes no nonce (so no vector of the RFCs can be replayed), and keeps
//! the password in plain strings.
//!
//! As Kafka does (`ScramFormatter`): no SASLprep, text is its UTF-8; `=` and `,` in names are escaped; no channel
//! binding, so the GS2 header is `n,,`.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256, Sha512};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::secret::{Secret, Token};
use crate::core::peer_text::PeerText;
use crate::error::{Error, ErrorKind};

/// No channel binding, no authorization identity; the only header that Kafka's parser takes.
const GS2_HEADER: &str = "n,,";
/// Fewer make a stolen verifier cheap to break (RFC 7677 §4); Kafka refuses to store fewer.
const MIN_ITERATIONS: u32 = 4096;
/// About a second of one core. A hostile server could ask for an hour of it.
const MAX_ITERATIONS: u32 = 1_000_000;
/// How many bytes of chance a nonce has; Kafka's has as much entropy in another alphabet (`ScramFormatter`).
const NONCE_BYTES: usize = 24;

/// Which hash SCRAM goes by; the broker has to have a verifier of that kind for the user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ScramHash {
    /// SCRAM-SHA-256 (RFC 7677).
    Sha256,
    /// SCRAM-SHA-512.
    Sha512,
    /// RFC 5802's own vector needs it; Kafka does not have it.
    #[cfg(test)]
    Sha1,
}

/// Chance for one exchange: printable, without a comma.
#[derive(Debug, Clone)]
pub(crate) struct Nonce(pub(crate) String);

/// Who logs in with what.
#[derive(Debug, Clone)]
pub(crate) struct Scram {
    hash: ScramHash,
    username: Arc<str>,
    password: Secret,
    /// Whether user and password are a delegation token's id and HMAC (KIP-48).
    delegation_token: bool,
}

/// One authentication in progress.
#[derive(Debug)]
pub(crate) struct Exchange {
    scram: Scram,
    nonce: Nonce,
    state: State,
}

#[derive(Debug)]
enum State {
    Start,
    /// The client's first message is sent.
    First,
    /// The proof is sent; the server has to answer with this signature.
    Proof(Zeroizing<Vec<u8>>),
    Done,
}

impl Nonce {
    /// From the system's source of chance.
    pub(crate) fn random() -> Result<Self, Error> {
        let mut bytes = [0; NONCE_BYTES];
        getrandom::fill(&mut bytes).map_err(|e| refused(format!("the system gives no random numbers: {e}")))?;
        Ok(Self(BASE64.encode(bytes)))
    }
}

impl ScramHash {
    pub(super) fn mechanism(self) -> &'static str {
        match self {
            Self::Sha256 => "SCRAM-SHA-256",
            Self::Sha512 => "SCRAM-SHA-512",
            #[cfg(test)]
            Self::Sha1 => "SCRAM-SHA-1",
        }
    }

    /// `Hi(password, salt, i)`.
    fn salted_password(self, password: &str, salt: &[u8], iterations: u32) -> Zeroizing<Vec<u8>> {
        let mut out = Zeroizing::new(vec![0; self.len()]);
        let password = password.as_bytes();
        match self {
            Self::Sha256 => pbkdf2::pbkdf2_hmac::<Sha256>(password, salt, iterations, &mut out),
            Self::Sha512 => pbkdf2::pbkdf2_hmac::<Sha512>(password, salt, iterations, &mut out),
            #[cfg(test)]
            Self::Sha1 => pbkdf2::pbkdf2_hmac::<sha1::Sha1>(password, salt, iterations, &mut out),
        }
        out
    }

    fn hmac(self, key: &[u8], data: &[u8]) -> Zeroizing<Vec<u8>> {
        macro_rules! hmac {
            ($hash:ty) => {{
                // A key of any length is taken; the error cannot come.
                let mac = Hmac::<$hash>::new_from_slice(key).map(|mac| mac.chain_update(data));
                mac.map(|mac| mac.finalize().into_bytes().to_vec()).unwrap_or_default()
            }};
        }
        Zeroizing::new(match self {
            Self::Sha256 => hmac!(Sha256),
            Self::Sha512 => hmac!(Sha512),
            #[cfg(test)]
            Self::Sha1 => hmac!(sha1::Sha1),
        })
    }

    fn hash(self, data: &[u8]) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(match self {
            Self::Sha256 => Sha256::digest(data).to_vec(),
            Self::Sha512 => Sha512::digest(data).to_vec(),
            #[cfg(test)]
            Self::Sha1 => sha1::Sha1::digest(data).to_vec(),
        })
    }

    fn len(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha512 => 64,
            #[cfg(test)]
            Self::Sha1 => 20,
        }
    }
}

impl Scram {
    pub(crate) fn new(hash: ScramHash, username: &str, password: &str) -> Self {
        Self { hash, username: username.into(), password: Secret::new(password), delegation_token: false }
    }

    /// A delegation token's id and HMAC instead of a user and a password.
    pub(super) fn delegation_token(self) -> Self {
        Self { delegation_token: true, ..self }
    }

    pub(super) fn peer_text(&self) -> PeerText {
        PeerText::new([self.password.expose()])
    }

    pub(super) fn mechanism(&self) -> &'static str {
        self.hash.mechanism()
    }

    pub(super) fn problem(&self) -> Option<&'static str> {
        if self.username.is_empty() {
            Some("the user name is empty; SCRAM needs one")
        } else if self.password.expose().is_empty() {
            Some("the password is empty; SCRAM needs one")
        } else if self.username.contains('\0') {
            Some("the user name has a NUL character, which SCRAM cannot carry")
        } else {
            None
        }
    }

    pub(crate) fn exchange(&self, nonce: Nonce) -> Exchange {
        Exchange { scram: self.clone(), nonce, state: State::Start }
    }

    /// `client-first-message-bare` (RFC 5802 §7), Kafka's extension last.
    fn first_bare(&self, nonce: &Nonce) -> String {
        let user = self.username.replace('=', "=3D").replace(',', "=2C");
        let extension = if self.delegation_token { ",tokenauth=true" } else { "" };
        format!("n={user},r={}{extension}", nonce.0)
    }
}

impl Exchange {
    /// Takes the server's message (`None` at the start) and gives the next one, or `None` once the server has proved that
    /// it knows the password's verifier.
    ///
    /// The second step costs what the server's iteration count says: 1 ms for the usual 4096, a second at the bound.
    pub(crate) fn step(&mut self, from_server: Option<&[u8]>) -> Result<Option<Token>, Error> {
        match (std::mem::replace(&mut self.state, State::Done), from_server) {
            (State::Start, None) => {
                self.state = State::First;
                let first = format!("{GS2_HEADER}{}", self.scram.first_bare(&self.nonce));
                Ok(Some(Zeroizing::new(first.into_bytes())))
            }
            (State::First, Some(message)) => {
                let (proof, signature) = self.prove(message)?;
                self.state = State::Proof(signature);
                Ok(Some(proof))
            }
            (State::Proof(signature), Some(message)) => {
                verify(&signature, message, &self.scram.peer_text()).map(|()| None)
            }
            (State::Done, _) => Ok(None),
            _ => Err(refused("the SCRAM exchange is out of step")),
        }
    }

    /// The client's final message, and the signature that the server has to answer with.
    fn prove(&self, message: &[u8]) -> Result<(Token, Zeroizing<Vec<u8>>), Error> {
        let text = text(message)?;
        let ServerFirst { nonce, salt, iterations } = ServerFirst::parse(text)?;
        let own = nonce.strip_prefix(self.nonce.0.as_str());
        if own.is_none_or(str::is_empty) {
            return Err(not_proven("its nonce does not continue ours: the answer was made for another exchange"));
        }
        let hash = self.scram.hash;
        let without_proof = format!("c={},r={nonce}", BASE64.encode(GS2_HEADER));
        let auth_message = format!("{},{text},{without_proof}", self.scram.first_bare(&self.nonce));
        let salted = hash.salted_password(self.scram.password.expose(), &salt, iterations);
        let client_key = hash.hmac(&salted, b"Client Key");
        let mut proof = hash.hmac(&hash.hash(&client_key), auth_message.as_bytes());
        proof.iter_mut().zip(client_key.iter()).for_each(|(byte, key)| *byte ^= key);
        let signature = hash.hmac(&hash.hmac(&salted, b"Server Key"), auth_message.as_bytes());
        let last = format!("{without_proof},p={}", BASE64.encode(&*proof));
        Ok((Zeroizing::new(last.into_bytes()), signature))
    }
}

/// `server-first-message`.
pub(crate) struct ServerFirst<'a> {
    nonce: &'a str,
    salt: Vec<u8>,
    pub(crate) iterations: u32,
}

impl<'a> ServerFirst<'a> {
    pub(crate) fn parse(text: &'a str) -> Result<Self, Error> {
        if text.starts_with("m=") {
            return Err(refused("the server asks for a SCRAM extension that this client does not have"));
        }
        let mut attributes = text.split(',');
        let mut next = |name: &str, what: &str| {
            let value = attributes.next().and_then(|attribute| attribute.strip_prefix(name));
            value.ok_or_else(|| refused(format!("the server's first SCRAM message has no {what} where it belongs")))
        };
        let nonce = next("r=", "nonce")?;
        let salt = next("s=", "salt")?;
        let iterations = next("i=", "iteration count")?;
        let salt = BASE64.decode(salt).ok().filter(|salt| !salt.is_empty());
        let salt = salt.ok_or_else(|| refused("the server's salt is not base64, or empty"))?;
        Ok(Self { nonce, salt, iterations: bounded(iterations)? })
    }
}

/// The iteration count, if it is safe and can be paid.
fn bounded(text: &str) -> Result<u32, Error> {
    let digits = !text.is_empty() && text.len() <= 20 && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits {
        return Err(refused("the server's iteration count is no number"));
    }
    match text.parse() {
        Ok(count @ MIN_ITERATIONS..=MAX_ITERATIONS) => Ok(count),
        _ => Err(refused(format!(
            "the server asks for {text} iterations; this client takes {MIN_ITERATIONS} to {MAX_ITERATIONS}"
        ))),
    }
}

/// `server-final-message`: the server's own proof, or its refusal.
fn verify(signature: &[u8], message: &[u8], peer_text: &PeerText) -> Result<(), Error> {
    let first = text(message)?.split(',').next().unwrap_or_default();
    if let Some(error) = first.strip_prefix("e=") {
        return Err(refused(format!("the server refused the login: {}", peer_text.clean(error))));
    }
    let Some(proof) = first.strip_prefix("v=") else {
        return Err(not_proven("it sent no signature"));
    };
    let proof = BASE64.decode(proof).map_err(|_| not_proven("its signature is not base64"))?;
    if bool::from(proof.ct_eq(signature)) { Ok(()) } else { Err(not_proven("its signature is wrong")) }
}

fn text(message: &[u8]) -> Result<&str, Error> {
    std::str::from_utf8(message).map_err(|_| refused("the server's SCRAM message is not UTF-8"))
}

fn refused(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Authentication, message)
}

/// Whoever answers does not know the user's verifier.
fn not_proven(why: &str) -> Error {
    refused(format!("the server could not prove that it knows the password's verifier: {why}"))
        .advice("this may be another server than the one you mean")
}

#[cfg(test)]
#[path = "scram_tests.rs"]
mod tests;
