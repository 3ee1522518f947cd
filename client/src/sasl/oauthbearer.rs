//! OAUTHBEARER (RFC 7628, KIP-255): a token of somebody else's making instead of a password.
//!
//! A broker that does not take the token says so in JSON with no error code, waits for one octet 0x01, and only then
//! fails the login (RFC 7628 §3.2.3). rsasl sends nothing at that point, so the exchange is written here.

mod source;
mod token;

use zeroize::Zeroizing;

use super::secret::Token;
use crate::core::peer_text::PeerText;
use crate::error::{Error, ErrorKind};

pub(super) use source::Tokens;
pub use source::{OauthBearer, TokenEndpoint, TokenFuture, TokenProvider};
pub use token::BearerToken;

pub(super) const NAME: &str = "OAUTHBEARER";
/// Between the pairs of the client's message.
const SEPARATOR: char = '\x01';

/// One authentication in progress.
pub(crate) struct Exchange {
    state: State,
    peer_text: PeerText,
}

enum State {
    Start {
        token: BearerToken,
        extensions: Vec<(String, String)>,
    },
    Sent,
    /// The broker does not take the token, for this reason; it has yet to fail the login.
    Refused(String),
    Done,
}

impl Exchange {
    pub(crate) fn new(token: BearerToken, extensions: Vec<(String, String)>) -> Self {
        let peer_text = PeerText::new([token.expose()]);
        Self { state: State::Start { token, extensions }, peer_text }
    }

    pub(crate) fn step(&mut self, from_server: Option<&[u8]>) -> Result<Option<Token>, Error> {
        match (std::mem::replace(&mut self.state, State::Done), from_server) {
            (State::Start { token, extensions }, None) => {
                self.state = State::Sent;
                Ok(Some(first(&token, &extensions)))
            }
            (State::Sent, Some(b"")) | (State::Done, _) => Ok(None),
            (State::Sent, Some(challenge)) => {
                self.state = State::Refused(reason(challenge, &self.peer_text));
                Ok(Some(Zeroizing::new(vec![1])))
            }
            (State::Refused(reason), _) => {
                let message = format!("the broker does not take the token: {reason}");
                Err(Error::new(ErrorKind::Authentication, message))
            }
            _ => Err(Error::new(ErrorKind::Authentication, "the OAUTHBEARER exchange is out of step")),
        }
    }

    /// Why the broker does not take the token, if it said so.
    pub(crate) fn refusal(&self) -> Option<&str> {
        match &self.state {
            State::Refused(reason) => Some(reason),
            _ => None,
        }
    }
}

/// `n,,^Aauth=Bearer TOKEN^A(key=value^A)*^A`, the only form that Kafka's parser takes (`OAuthBearerClientInitialResponse`).
fn first(token: &BearerToken, extensions: &[(String, String)]) -> Token {
    let rest: usize = extensions.iter().map(|(key, value)| key.len() + value.len() + 2).sum();
    // Of the right size from the start, so that no piece of the token is left behind by growing.
    let mut out = Zeroizing::new(Vec::with_capacity(32 + token.expose().len() + rest));
    out.extend_from_slice(b"n,,\x01auth=Bearer ");
    out.extend_from_slice(token.expose().as_bytes());
    for (key, value) in extensions {
        out.push(SEPARATOR as u8);
        out.extend_from_slice(key.as_bytes());
        out.push(b'=');
        out.extend_from_slice(value.as_bytes());
    }
    out.extend_from_slice(b"\x01\x01");
    out
}

/// What is wrong with an extension (RFC 7628 §3.1, `OAuthBearerClientInitialResponse.validateExtensions`).
pub(super) fn extension_problem(key: &str, value: &str) -> Option<String> {
    let text = |byte: u8| (0x20..0x7F).contains(&byte) || matches!(byte, b'\t' | b'\r' | b'\n');
    if key == "auth" {
        Some("the SASL extension auth is the token's own name; choose another".to_owned())
    } else if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_alphabetic()) {
        Some(format!("the SASL extension {key:?} has to be named with letters A to Z only"))
    } else if value.is_empty() || !value.bytes().all(text) {
        Some(format!("the value of the SASL extension {key:?} has to be printable ASCII and not empty"))
    } else {
        None
    }
}

/// The status of a challenge (RFC 7628 §3.2.2), or what came instead of one.
fn reason(challenge: &[u8], peer_text: &PeerText) -> String {
    let Ok(json) = serde_json::from_slice::<serde_json::Value>(challenge) else {
        return peer_text.clean(&String::from_utf8_lossy(challenge));
    };
    let field = |name: &str| json.get(name).and_then(serde_json::Value::as_str).map(|said| peer_text.clean(said));
    let status = field("status").unwrap_or_else(|| "no status".to_owned());
    match field("scope").filter(|scope| !scope.is_empty()) {
        Some(scope) => format!("{status}, wanted scope: {scope}"),
        None => status,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange(extensions: &[(&str, &str)]) -> Exchange {
        let extensions = extensions.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Exchange::new(BearerToken::new("abc.def-_~+/=").unwrap(), extensions)
    }

    #[test]
    fn the_token_and_the_extensions_go_out_in_kafkas_form() {
        let token = exchange(&[]).step(None).unwrap().unwrap();
        assert_eq!(token.as_slice(), b"n,,\x01auth=Bearer abc.def-_~+/=\x01\x01");
        let mut exchange = exchange(&[("traceId", "7 8"), ("pool", "x=y")]);
        let token = exchange.step(None).unwrap().unwrap();
        assert_eq!(token.as_slice(), b"n,,\x01auth=Bearer abc.def-_~+/=\x01traceId=7 8\x01pool=x=y\x01\x01");
        assert_eq!(exchange.step(Some(b"")).unwrap(), None);
    }

    #[test]
    fn a_challenge_is_answered_with_one_octet_and_ends_in_failure_whatever_comes_then() {
        for after in [&b""[..], b"{}", b"n,,"] {
            let mut exchange = exchange(&[]);
            exchange.step(None).unwrap();
            let challenge = br#"{"status":"invalid_token","scope":"kafka","x":[1]}"#;
            assert_eq!(exchange.step(Some(challenge)).unwrap().unwrap().as_slice(), &[1]);
            assert_eq!(exchange.refusal(), Some("invalid_token, wanted scope: kafka"));
            let error = exchange.step(Some(after)).unwrap_err().to_string();
            assert!(error.contains("invalid_token") && !error.contains("abc"), "{error}");
        }
    }

    #[test]
    fn a_challenge_that_repeats_the_token_does_not_show_it() {
        for challenge in
            ["bad token abc.def-_~+/=", r#"{"status":"abc.def-_~+/= is bad","scope":"YWJjLmRlZi1ffisvPQ=="}"#]
        {
            let mut exchange = exchange(&[]);
            exchange.step(None).unwrap();
            exchange.step(Some(challenge.as_bytes())).unwrap();
            let said = exchange.refusal().unwrap().to_owned();
            assert!(!said.contains("abc") && !said.contains("YWJj"), "{said}");
        }
    }

    #[test]
    fn a_challenge_of_any_bytes_is_told_short_and_printable() {
        let (deep, zeros) = ("[".repeat(100_000), vec![0; 100_000]);
        for challenge in [&b"\xff\x1b[2J"[..], b"{\"status\":7}", b"no json", deep.as_bytes(), &zeros] {
            let text = reason(challenge, &PeerText::default());
            assert!(text.chars().count() <= 2100 && !text.chars().any(char::is_control), "{text:?}");
        }
    }

    #[test]
    fn an_extension_that_would_bend_the_message_is_refused_by_name() {
        for (key, value) in [
            ("auth", "x"),
            ("", "x"),
            ("a b", "x"),
            ("a=", "x"),
            ("a\x01", "x"),
            ("a", ""),
            ("a", "\x01auth=Bearer y"),
            ("a", "ü"),
        ] {
            assert!(extension_problem(key, value).is_some(), "{key:?}={value:?}");
        }
        assert_eq!(extension_problem("traceId", "1 2\t3"), None);
    }

    #[test]
    fn out_of_step_calls_are_errors() {
        assert!(exchange(&[]).step(Some(b"")).is_err());
        let mut exchange = exchange(&[]);
        exchange.step(None).unwrap();
        assert!(exchange.step(None).is_err());
    }
}
