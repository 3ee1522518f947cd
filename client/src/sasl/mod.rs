//! SASL mechanisms as pure exchanges: the server's token goes in, the client's comes out. How tokens travel is
//! `net::login`'s business.
//!
//! Getting ready may take time and await others (a token to fetch, a ticket to ask for): [`Credentials::prepare`] does
//! that once for each login. From there on an exchange only computes.

pub(crate) mod gssapi;
mod kerberos;
pub(crate) mod oauthbearer;
mod plain;
pub(crate) mod scram;
mod secret;

use std::time::Duration;

use crate::core::peer_text::PeerText;
use crate::error::Error;
use crate::kerberos::login::KerberosOptions;

#[cfg(test)]
pub(crate) use kerberos::Kerberos;
pub use oauthbearer::{BearerToken, OauthBearer, TokenEndpoint, TokenFuture, TokenProvider};
pub use scram::ScramHash;
pub(crate) use secret::Token;

/// What a client proves itself with. `Debug` never shows a secret.
#[derive(Debug, Clone)]
pub(crate) enum Credentials {
    /// RFC 4616.
    Plain(plain::Plain),
    /// RFC 5802, RFC 7677.
    Scram(scram::Scram),
    /// RFC 7628.
    OauthBearer(oauthbearer::Tokens),
    /// RFC 4752 with RFC 4121.
    Kerberos(kerberos::Kerberos),
}

/// One authentication in progress, with all that it needs.
pub(crate) enum Exchange {
    Plain(plain::Exchange),
    Scram(Box<scram::Exchange>),
    OauthBearer(oauthbearer::Exchange),
    Kerberos(Box<kerberos::Exchange>),
}

impl Credentials {
    pub(crate) fn plain(username: &str, password: &str) -> Self {
        Self::Plain(plain::Plain::new(username, password))
    }

    pub(crate) fn scram(hash: ScramHash, username: &str, password: &str) -> Self {
        Self::Scram(scram::Scram::new(hash, username, password))
    }

    pub(crate) fn delegation_token(hash: ScramHash, id: &str, hmac: &str) -> Self {
        Self::Scram(scram::Scram::new(hash, id, hmac).delegation_token())
    }

    pub(crate) fn oauthbearer(options: OauthBearer) -> Self {
        Self::OauthBearer(oauthbearer::Tokens::new(options))
    }

    pub(crate) fn kerberos(options: KerberosOptions) -> Self {
        Self::Kerberos(kerberos::Kerberos::new(options))
    }

    /// The mechanism's registered name.
    pub(crate) fn mechanism(&self) -> &'static str {
        match self {
            Self::Plain(_) => plain::NAME,
            Self::Scram(scram) => scram.mechanism(),
            Self::OauthBearer(_) => oauthbearer::NAME,
            Self::Kerberos(_) => kerberos::NAME,
        }
    }

    /// Why these can never be accepted, in words without any secret in them.
    pub(crate) fn problem(&self) -> Option<String> {
        match self {
            Self::Plain(plain) => plain.problem().map(str::to_owned),
            Self::Scram(scram) => scram.problem().map(str::to_owned),
            Self::OauthBearer(tokens) => tokens.problem(),
            Self::Kerberos(_) => None,
        }
    }

    /// Reads what has to be there from the start. An error says what is wrong with it, without any secret.
    pub(crate) fn open(&self, connect_timeout: Duration) -> Result<(), String> {
        match self {
            Self::Kerberos(kerberos) => kerberos.open(connect_timeout),
            Self::OauthBearer(tokens) => tokens.open(),
            Self::Plain(_) | Self::Scram(_) => Ok(()),
        }
    }

    /// What to look at when the broker refuses them.
    pub(crate) fn advice(&self) -> &'static str {
        match self {
            Self::Plain(_) => "check user name and password",
            Self::Scram(_) => {
                "check user name and password, and that the user has a SCRAM credential of this very hash on the cluster"
            }
            Self::OauthBearer(_) => {
                "check that the token is for this cluster, has not expired and has the scope it wants"
            }
            Self::Kerberos(_) => {
                "the broker's log says why: its keytab must have the newest key of its principal, its clock must be right, and \
                 sasl.kerberos.principal.to.local.rules must fit the client's"
            }
        }
    }

    /// How a peer's words are shown that may hold these credentials.
    pub(crate) fn peer_text(&self) -> PeerText {
        match self {
            Self::Plain(plain) => PeerText::new([plain.password()]),
            Self::Scram(scram) => scram.peer_text(),
            Self::OauthBearer(tokens) => tokens.peer_text(),
            Self::Kerberos(_) => PeerText::default(),
        }
    }

    /// They were refused: what can be replaced has to be.
    pub(crate) async fn refused(&self) {
        match self {
            Self::OauthBearer(tokens) => tokens.forget().await,
            Self::Kerberos(kerberos) => kerberos.refused(),
            Self::Plain(_) | Self::Scram(_) => {}
        }
    }

    /// A fresh exchange with the server of that host name, one for each login.
    pub(crate) async fn prepare(&self, host: &str) -> Result<Exchange, Error> {
        match self {
            Self::Plain(plain) => plain.exchange().map(Exchange::Plain),
            Self::Scram(scram) => Ok(Exchange::Scram(Box::new(scram.exchange(scram::Nonce::random()?)))),
            Self::OauthBearer(tokens) => tokens.exchange().await.map(Exchange::OauthBearer),
            Self::Kerberos(kerberos) => Ok(Exchange::Kerberos(Box::new(kerberos.exchange(host).await?))),
        }
    }
}

impl Exchange {
    /// Takes the server's token (`None` at the start) and gives the next one to send; `None` once there is nothing to say
    /// and the server has proved what the mechanism lets it prove.
    pub(crate) fn step(&mut self, from_server: Option<&[u8]>) -> Result<Option<Token>, Error> {
        match self {
            Self::Plain(exchange) => exchange.step(from_server),
            Self::Scram(exchange) => exchange.step(from_server),
            Self::OauthBearer(exchange) => exchange.step(from_server),
            Self::Kerberos(exchange) => exchange.step(from_server),
        }
    }

    /// What the server said against the credentials before it failed the login, fit to be shown.
    pub(crate) fn refusal(&self) -> Option<&str> {
        match self {
            Self::OauthBearer(exchange) => exchange.refusal(),
            Self::Plain(_) | Self::Scram(_) | Self::Kerberos(_) => None,
        }
    }

    /// Whether what it shows was got some time ago, so that a refusal may be for its age alone.
    pub(crate) fn may_be_out_of_date(&self) -> bool {
        matches!(self, Self::Kerberos(exchange) if exchange.may_be_out_of_date())
    }

    /// Whether the token that was just given is the exchange's last, after which a server without SaslAuthenticate says nothing.
    pub(crate) fn has_last_word(&self) -> bool {
        matches!(self, Self::Kerberos(exchange) if exchange.has_last_word())
    }

    /// Whether a step may compute for so long that it belongs on a thread of its own.
    pub(crate) fn is_costly(&self) -> bool {
        matches!(self, Self::Scram(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn first_token(credentials: &Credentials) -> Result<Option<Token>, Error> {
        credentials.prepare("kafka").await?.step(None)
    }

    #[tokio::test]
    async fn plain_says_user_and_password_once_and_then_nothing() {
        let mut exchange = Credentials::plain("etl", "pass word").prepare("kafka").await.unwrap();
        assert_eq!(exchange.step(None).unwrap().unwrap().as_slice(), b"\0etl\0pass word");
        assert_eq!(exchange.step(Some(b"")).unwrap(), None);
    }

    #[tokio::test]
    async fn text_goes_out_as_utf8() {
        let token = first_token(&Credentials::plain("用户", "п\u{e4}ss")).await.unwrap().unwrap();
        assert_eq!(token.as_slice(), "\0用户\0п\u{e4}ss".as_bytes());
    }

    #[tokio::test]
    async fn what_plain_cannot_carry_is_refused_without_being_shown() {
        for (username, password) in [("", "secret"), ("etl", ""), ("e\0tl", "secret"), ("etl", "sec\0ret")] {
            let credentials = Credentials::plain(username, password);
            assert!(credentials.problem().is_some());
            assert!(!format!("{credentials:?}").contains("sec"));
            let error = first_token(&credentials).await.unwrap_err();
            assert!(!format!("{error} {error:?}").contains("sec\0"), "{error}");
        }
        assert!(Credentials::plain("etl", "secret").problem().is_none());
    }

    #[test]
    fn credentials_are_never_shown() {
        for credentials in
            [Credentials::plain("etl", "hunter2"), Credentials::scram(ScramHash::Sha256, "etl", "hunter2")]
        {
            let shown = format!("{credentials:?}");
            assert!(shown.contains("etl") && !shown.contains("hunter2"), "{shown}");
        }
    }
}
