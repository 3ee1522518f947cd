//! A token, when it ends, and when to get the next one.

use std::time::{Duration, Instant, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::super::secret::Secret;
use crate::core::reauth;
use crate::error::{Error, ErrorKind};

/// Longer ones cannot pass the broker before the login (`SaslServerAuthenticator.MAX_RECEIVE_SIZE` is 512 KiB).
pub(super) const MAX_LEN: usize = 256 * 1024;
/// The next token is fetched in the last fifth of this one's life (`sasl.login.refresh.window.factor` and `.jitter`).
const RENEW: f64 = 0.80;
const SPREAD: f64 = 0.05;
/// 2^53 / 1000: beyond every date and within every clock.
const MAX_SECONDS: f64 = 9.0e12;

/// A bearer token (RFC 6750). Erased when the last clone is dropped; `Debug` does not show it.
#[derive(Debug, Clone)]
pub struct BearerToken {
    value: Secret,
    expires: Option<SystemTime>,
}

/// A token in use.
#[derive(Debug)]
pub(super) struct Cached {
    token: BearerToken,
    renew_at: Instant,
    ends: Instant,
}

impl BearerToken {
    /// A token as its issuer wrote it: letters, digits and `-._~+/`, with `=` at the end only (RFC 6750 §2.1).
    ///
    /// If it is a JSON Web Token with the claim `exp`, that is when it ends.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if it is empty, longer than 256 KiB, or has another character. It is not shown.
    pub fn new(value: &str) -> Result<Self, Error> {
        let malformed = |why: &str| Err(Error::new(ErrorKind::Config, format!("the bearer token {why}")));
        let body = value.trim_end_matches('=');
        if body.is_empty() {
            return malformed("is empty");
        }
        if value.len() > MAX_LEN {
            return malformed("is longer than 256 KiB");
        }
        if !body.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte)) {
            return malformed("has a character that no token may have (RFC 6750 takes letters, digits and -._~+/=)");
        }
        Ok(Self { value: Secret::new(value), expires: jwt_expiry(value) })
    }

    /// When it ends, where the issuer says so beside it.
    #[must_use]
    pub fn expires_at(self, expires: SystemTime) -> Self {
        Self { expires: Some(expires), ..self }
    }

    /// After what time from now it ends.
    #[must_use]
    pub fn expires_in(self, lifetime: Duration) -> Self {
        Self { expires: SystemTime::now().checked_add(lifetime), ..self }
    }

    pub(super) fn expose(&self) -> &str {
        self.value.expose()
    }

    /// How long it is good for; `None` if nobody said so.
    pub(super) fn left(&self, now: SystemTime) -> Option<Duration> {
        self.expires.map(|expires| expires.duration_since(now).unwrap_or_default())
    }
}

impl Cached {
    /// Keeps a token whose life is known. `chance` is in `0.0..1.0`.
    pub(super) fn new(token: BearerToken, now: Instant, wall: SystemTime, chance: f64) -> Option<Self> {
        let left = token.left(wall)?;
        // A login that is renewed must get another token, or it would last no longer than before.
        let renew_at = left.mul_f64(RENEW + SPREAD * chance.clamp(0.0, 1.0)).min(reauth::first_due(left));
        let renew_at = now.checked_add(renew_at)?;
        Some(Self { token, renew_at, ends: now.checked_add(left)? })
    }

    /// The token, while it is fresh.
    pub(super) fn fresh(&self, now: Instant) -> Option<BearerToken> {
        (now < self.renew_at).then(|| self.token.clone())
    }

    /// The token, while brokers take it at all.
    pub(super) fn valid(&self, now: Instant) -> Option<BearerToken> {
        (now < self.ends).then(|| self.token.clone())
    }
}

/// The claim `exp` (RFC 7519 §4.1.4) of what looks like a JSON Web Token. A hint for ourselves: nothing is verified here.
fn jwt_expiry(value: &str) -> Option<SystemTime> {
    let mut parts = value.split('.');
    let (_, claims, _) = (parts.next()?, parts.next()?, parts.next()?);
    let claims = URL_SAFE_NO_PAD.decode(claims.trim_end_matches('=')).ok()?;
    let claims: serde_json::Value = serde_json::from_slice(&claims).ok()?;
    let seconds = claims.get("exp")?.as_f64().filter(|exp| (0.0..MAX_SECONDS).contains(exp))?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs_f64(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn jwt(claims: &str) -> String {
        format!("e30.{}.", URL_SAFE_NO_PAD.encode(claims))
    }

    #[test]
    fn a_malformed_token_is_refused_by_what_is_wrong_and_not_shown() {
        let long = "a".repeat(MAX_LEN + 1);
        for (value, part) in [
            ("", "empty"),
            ("===", "empty"),
            ("hunter2 x", "character"),
            ("hun=ter2", "character"),
            ("hunter2\n", "character"),
            ("hunter\x01", "character"),
            ("hünter2", "character"),
            (&long, "longer"),
        ] {
            let error = BearerToken::new(value).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config);
            assert!(error.to_string().contains(part) && !error.to_string().contains("hun"), "{error}");
        }
        assert!(!format!("{:?}", BearerToken::new("hunter2").unwrap()).contains("hunter2"));
    }

    #[test]
    fn a_web_token_says_itself_when_it_ends_and_other_tokens_do_not() {
        let end = |value: &str| BearerToken::new(value).unwrap().left(SystemTime::UNIX_EPOCH);
        assert_eq!(end(&jwt(r#"{"exp":1000.5}"#)), Some(Duration::from_millis(1_000_500)));
        for other in
            ["opaque", "a.b.c", &jwt("{}"), &jwt(r#"{"exp":"x"}"#), &jwt(r#"{"exp":-1}"#), &jwt(r#"{"exp":1e300}"#)]
        {
            assert_eq!(end(other), None, "{other}");
        }
    }

    #[test]
    fn a_token_is_renewed_in_the_last_fifth_of_its_life_and_usable_to_its_end() {
        let (now, wall) = (Instant::now(), SystemTime::UNIX_EPOCH + 1000 * SECOND);
        for (chance, second) in [(0.0, 80), (1.0, 85)] {
            let token = BearerToken::new("abc").unwrap().expires_at(wall + 100 * SECOND);
            let cached = Cached::new(token, now, wall, chance).unwrap();
            assert!(cached.fresh(now + (second - 1) * SECOND).is_some());
            assert!(cached.fresh(now + second * SECOND + SECOND / 10).is_none());
            assert!(cached.valid(now + 99 * SECOND).is_some());
            assert!(cached.valid(now + 100 * SECOND).is_none());
        }
        assert!(Cached::new(BearerToken::new("abc").unwrap(), now, wall, 0.5).is_none(), "its life is not known");
    }
}
