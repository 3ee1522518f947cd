//! The server's side of SASL PLAIN (RFC 4616), with both of Kafka's framings. Pure.

use bytes::Bytes;
use ottla_protocol::{ApiKey, ErrorCode};

use crate::builder::Users;

/// The only mechanism there is.
pub(crate) const MECHANISM: &str = "PLAIN";

/// How far a connection's authentication is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Nothing is asked for, or it was given.
    Open,
    /// Nothing has come yet but ApiVersions.
    Start,
    /// After a handshake of version 0: the next frame is a token, without a header.
    Raw,
    /// After a handshake of version 1: the next request is SaslAuthenticate.
    Token,
}

/// What is to be done with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gate {
    Serve,
    /// Answer with this error, then close.
    Refuse(ErrorCode),
    /// Close without an answer.
    Close,
}

/// One connection's authentication.
#[derive(Debug)]
pub(crate) struct Sasl {
    users: Users,
    stage: Stage,
}

impl Sasl {
    pub(crate) fn new(users: Users) -> Self {
        let stage = if users.is_empty() { Stage::Open } else { Stage::Start };
        Self { users, stage }
    }

    pub(crate) fn stage(&self) -> Stage {
        self.stage
    }

    /// Whether a request may be served now (`SaslServerAuthenticator`).
    pub(crate) fn gate(&self, api: ApiKey) -> Gate {
        match (self.stage, api) {
            (Stage::Start, ApiKey::API_VERSIONS | ApiKey::SASL_HANDSHAKE)
            | (Stage::Token, ApiKey::SASL_AUTHENTICATE)
            | (Stage::Open, _) => Gate::Serve,
            (Stage::Token, _) => Gate::Refuse(ErrorCode::ILLEGAL_SASL_STATE),
            (Stage::Start | Stage::Raw, _) => Gate::Close,
        }
    }

    /// Takes a handshake's mechanism; its version decides how the token comes.
    pub(crate) fn handshake(&mut self, version: i16, mechanism: &str) -> Result<(), ErrorCode> {
        if self.stage != Stage::Start {
            return Err(ErrorCode::ILLEGAL_SASL_STATE);
        }
        if mechanism != MECHANISM {
            return Err(ErrorCode::UNSUPPORTED_SASL_MECHANISM);
        }
        self.stage = if version == 0 { Stage::Raw } else { Stage::Token };
        Ok(())
    }

    /// Takes the token: `authzid NUL user NUL password`. The error is for the client; it names no secret.
    pub(crate) fn token(&mut self, token: &Bytes) -> Result<(), (ErrorCode, &'static str)> {
        if !matches!(self.stage, Stage::Raw | Stage::Token) {
            return Err((ErrorCode::ILLEGAL_SASL_STATE, "no handshake asked for a token"));
        }
        let refused = |why| Err((ErrorCode::SASL_AUTHENTICATION_FAILED, why));
        let Ok(text) = std::str::from_utf8(token) else { return refused("the PLAIN token is not UTF-8") };
        let parts: Vec<&str> = text.split('\0').collect();
        let [authzid, user, password] = parts[..] else {
            return refused("a PLAIN token has three parts: authorization id, user and password");
        };
        if user.is_empty() || password.is_empty() {
            return refused("user or password is empty");
        }
        if !authzid.is_empty() && authzid != user {
            return refused("the authorization id is not the user");
        }
        if !self.users.allow(user, password) {
            return refused("Authentication failed: Invalid username or password");
        }
        self.stage = Stage::Open;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Builder;

    fn start() -> Sasl {
        Sasl::new(Builder::default().sasl_plain(&[("etl", "secret")]).settings.users)
    }

    fn at_token() -> Sasl {
        let mut sasl = start();
        sasl.handshake(1, "PLAIN").unwrap();
        sasl
    }

    #[test]
    fn without_users_everything_is_served_and_a_handshake_is_out_of_place() {
        let mut sasl = Sasl::new(Users::default());
        assert_eq!(sasl.gate(ApiKey::PRODUCE), Gate::Serve);
        assert_eq!(sasl.handshake(1, "PLAIN"), Err(ErrorCode::ILLEGAL_SASL_STATE));
        assert_eq!(sasl.token(&Bytes::from("\0etl\0secret")).unwrap_err().0, ErrorCode::ILLEGAL_SASL_STATE);
    }

    #[test]
    fn before_the_token_only_the_way_to_it_is_open() {
        let mut sasl = start();
        assert_eq!(sasl.gate(ApiKey::API_VERSIONS), Gate::Serve);
        assert_eq!(sasl.gate(ApiKey::METADATA), Gate::Close);
        assert_eq!(sasl.gate(ApiKey::SASL_AUTHENTICATE), Gate::Close);
        sasl.handshake(1, "PLAIN").unwrap();
        assert_eq!(sasl.gate(ApiKey::METADATA), Gate::Refuse(ErrorCode::ILLEGAL_SASL_STATE));
        assert_eq!(sasl.gate(ApiKey::SASL_AUTHENTICATE), Gate::Serve);
        sasl.token(&Bytes::from("\0etl\0secret")).unwrap();
        assert_eq!(sasl.gate(ApiKey::METADATA), Gate::Serve);
    }

    #[test]
    fn a_handshake_of_version_0_asks_for_a_raw_token() {
        let mut sasl = start();
        sasl.handshake(0, "PLAIN").unwrap();
        assert_eq!(sasl.stage(), Stage::Raw);
        sasl.token(&Bytes::from("etl\0etl\0secret")).unwrap();
        assert_eq!(sasl.stage(), Stage::Open);
    }

    #[test]
    fn another_mechanism_is_refused() {
        assert_eq!(start().handshake(1, "GSSAPI"), Err(ErrorCode::UNSUPPORTED_SASL_MECHANISM));
    }

    #[test]
    fn a_wrong_token_opens_nothing_and_is_not_repeated() {
        for token in
            ["", "etl", "\0etl\0wrong", "\0other\0secret", "root\0etl\0secret", "\0\0", "\0etl\0", "\0etl\0secret\0"]
        {
            let mut sasl = at_token();
            let (error, why) = sasl.token(&Bytes::from(token)).unwrap_err();
            assert_eq!(error, ErrorCode::SASL_AUTHENTICATION_FAILED, "{token:?}");
            assert!(!why.contains("secret") && !why.contains("wrong"));
            assert_eq!(sasl.stage(), Stage::Token);
        }
        assert!(at_token().token(&Bytes::from_static(b"\0etl\0\xff")).is_err());
    }
}
