//! What a broker says to a client that logs in by SCRAM or OAUTHBEARER.

use crate::sasl::ScramHash;
use crate::sasl::oauthbearer::{self, BearerToken};
use crate::sasl::scram::{Nonce, Scram, ServerFirst};

/// The client's part of the exchange in RFC 7677 §3.
const NONCE: &str = "rOprNGfwEbeRWgbNEkqO";
/// More iterations than this only cost a fuzzer time.
const ITERATIONS: u32 = 8192;

/// The server's two messages, with a zero byte between them. It is believed only with the signature of the password: no two
/// passwords are proven by the same bytes.
pub fn scram_server(data: &[u8]) -> bool {
    let (first, last) = data.iter().position(|byte| *byte == 0).map_or((data, &b""[..]), |at| {
        let (first, rest) = data.split_at(at);
        (first, &rest[1..])
    });
    let parsed = std::str::from_utf8(first).ok().and_then(|text| ServerFirst::parse(text).ok());
    if parsed.is_some_and(|parsed| parsed.iterations > ITERATIONS) {
        return false;
    }
    let proven = proven("pencil", first, last);
    assert!(!(proven && self::proven("crayon", first, last)), "both passwords are proven");
    proven
}

/// Whether the server has proven that it knows the password.
fn proven(password: &str, first: &[u8], last: &[u8]) -> bool {
    let mut exchange = Scram::new(ScramHash::Sha256, "user", password).exchange(Nonce(NONCE.to_owned()));
    exchange.step(None).expect("the start takes nothing");
    let told = |error: crate::Error| assert!(error.to_string().chars().count() < 400, "{error}");
    let ours = match exchange.step(Some(first)) {
        Ok(ours) => ours.expect("a proof comes next"),
        Err(error) => {
            told(error);
            return false;
        }
    };
    assert!(ours.starts_with(format!("c=biws,r={NONCE}").as_bytes()), "the nonce continues ours");
    exchange.step(Some(last)).map_err(told).is_ok()
}

/// What a broker answers to a token: nothing, or why it does not take it, which is told short and in one line, and ends the
/// exchange. As text of a token, too, with when it ends in it.
pub fn oauth_challenge(data: &[u8]) -> bool {
    let text = String::from_utf8_lossy(data);
    let _ = BearerToken::new(text.trim_ascii());
    let token = BearerToken::new("abc").expect("a token");
    let mut exchange = oauthbearer::Exchange::new(token, Vec::new());
    exchange.step(None).expect("the token goes out");
    let answer = exchange.step(Some(data)).expect("any challenge is answered");
    if data.is_empty() {
        assert!(answer.is_none() && exchange.refusal().is_none());
        return false;
    }
    assert_eq!(answer.as_deref().map(Vec::as_slice), Some(&[1][..]));
    let refusal = exchange.refusal().expect("it was refused").to_owned();
    assert!(refusal.chars().count() <= 500 && !refusal.chars().any(char::is_control), "{refusal:?}");
    assert!(exchange.step(Some(data)).is_err(), "the login has failed");
    refusal.contains("invalid_token")
}
