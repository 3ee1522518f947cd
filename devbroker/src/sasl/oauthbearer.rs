//! OAUTHBEARER (RFC 7628, KIP-255) with unsecured JSON Web Tokens, as Kafka's own validator for development takes them
//! (`OAuthBearerUnsecuredValidatorCallbackHandler`): algorithm `none`, no signature, the claims `sub` and `exp`.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// What the client is told in Kafka's way, before it has to end the exchange itself.
const REFUSAL: &str = r#"{"status":"invalid_token"}"#;

/// One exchange.
#[derive(Debug, Default)]
pub(crate) struct Server {
    refused: Option<&'static str>,
}

/// What a step gives.
pub(super) enum Step {
    Challenge(&'static str),
    Accepted(Claims),
}

/// What a token says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Claims {
    pub(super) subject: String,
    /// Since the epoch.
    pub(super) expires: Duration,
}

impl Server {
    /// `unix` is the time since the epoch.
    pub(super) fn step(&mut self, message: &[u8], unix: Duration) -> Result<Step, String> {
        if let Some(why) = self.refused {
            let end = if message == [1] { "" } else { " (and the client did not end the exchange with 0x01)" };
            return Err(format!("{REFUSAL}: {why}{end}"));
        }
        let token = token(message).ok_or("the OAUTHBEARER message is malformed")?;
        match claims(token).and_then(|claims| if claims.expires > unix { Ok(claims) } else { Err("it has expired") }) {
            Ok(claims) => Ok(Step::Accepted(claims)),
            Err(why) => {
                self.refused = Some(why);
                Ok(Step::Challenge(REFUSAL))
            }
        }
    }
}

/// The token of `n,,^Aauth=Bearer TOKEN^A(key=value^A)*^A` (`OAuthBearerClientInitialResponse`).
fn token(message: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(message).ok()?.strip_prefix("n,,\x01")?.strip_suffix("\x01\x01")?;
    let mut pairs = text.split('\x01');
    let token = pairs.next()?.strip_prefix("auth=Bearer ")?;
    let named = |pair: &str| {
        let name = pair.split_once('=').map(|(name, _)| name);
        name.is_some_and(|name| name != "auth" && !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphabetic()))
    };
    pairs.all(named).then_some(token)
}

fn claims(token: &str) -> Result<Claims, &'static str> {
    let mut parts = token.split('.');
    let (Some(header), Some(payload), Some(""), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return Err("it is no unsecured JSON Web Token");
    };
    let header = json(header).ok_or("its header is no JSON object")?;
    if header.get("alg").and_then(serde_json::Value::as_str) != Some("none") {
        return Err("its algorithm is not none");
    }
    let payload = json(payload).ok_or("its claims are no JSON object")?;
    let subject = payload.get("sub").and_then(serde_json::Value::as_str).filter(|subject| !subject.is_empty());
    let expires = payload.get("exp").and_then(serde_json::Value::as_f64).filter(|exp| (0.0..1e15).contains(exp));
    Ok(Claims {
        subject: subject.ok_or("it has no subject")?.to_owned(),
        expires: Duration::from_secs_f64(expires.ok_or("it has no expiry")?),
    })
}

fn json(part: &str) -> Option<serde_json::Value> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jwt(header: &str, claims: &str) -> String {
        format!("{}.{}.", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims))
    }

    fn first(token: &str) -> Vec<u8> {
        format!("n,,\x01auth=Bearer {token}\x01traceId=7\x01\x01").into_bytes()
    }

    const NOW: Duration = Duration::from_secs(1000);

    #[test]
    fn a_good_token_names_its_subject_and_its_end() {
        let message = first(&jwt(r#"{"alg":"none"}"#, r#"{"sub":"etl","exp":1000.5}"#));
        let Ok(Step::Accepted(claims)) = Server::default().step(&message, NOW) else { panic!("refused") };
        assert_eq!(claims, Claims { subject: "etl".to_owned(), expires: Duration::from_millis(1_000_500) });
    }

    #[test]
    fn a_bad_token_gets_a_challenge_and_after_the_clients_octet_the_failure() {
        for (header, claims) in [
            (r#"{"alg":"RS256"}"#, r#"{"sub":"etl","exp":2000}"#),
            (r#"{"alg":"none"}"#, r#"{"sub":"etl","exp":1000}"#),
            (r#"{"alg":"none"}"#, r#"{"exp":2000}"#),
            (r#"{"alg":"none"}"#, r#"{"sub":"etl"}"#),
            ("", ""),
        ] {
            let mut server = Server::default();
            let Ok(Step::Challenge(challenge)) = server.step(&first(&jwt(header, claims)), NOW) else {
                panic!("{claims} is taken")
            };
            assert_eq!(challenge, REFUSAL);
            assert!(server.step(&[1], NOW).is_err());
        }
    }

    #[test]
    fn a_malformed_message_is_refused_at_once() {
        let good = first("a.b.");
        for len in 0..good.len() {
            assert!(Server::default().step(&good[..len], NOW).is_err(), "cut at {len}");
        }
        for text in
            ["n,,\x01auth=Basic x\x01\x01", "y,,\x01auth=Bearer x\x01\x01", "n,,\x01auth=Bearer x\x01auth=y\x01\x01"]
        {
            assert!(Server::default().step(text.as_bytes(), NOW).is_err(), "{text:?}");
        }
    }
}
