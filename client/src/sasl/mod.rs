//! SASL mechanisms as pure exchanges: the server's token goes in, the client's comes out. How tokens travel is
//! `net::connect`'s business.

mod plain;

use bytes::Bytes;

use crate::error::{Error, ErrorKind};

/// What a client proves itself with. `Debug` never shows a secret.
#[derive(Clone)]
pub(crate) enum Credentials {
    /// RFC 4616.
    Plain(plain::Plain),
}

impl Credentials {
    pub(crate) fn plain(username: &str, password: &str) -> Self {
        Self::Plain(plain::Plain::new(username, password))
    }

    /// The mechanism's registered name.
    pub(crate) fn mechanism(&self) -> &'static str {
        match self {
            Self::Plain(_) => plain::NAME,
        }
    }

    /// Why these can never be accepted, in words without any secret in them.
    pub(crate) fn problem(&self) -> Option<&'static str> {
        match self {
            Self::Plain(plain) => plain.problem(),
        }
    }

    /// A fresh exchange, one for each connection.
    pub(crate) fn start(&self) -> Result<Exchange, Error> {
        let session = match self {
            Self::Plain(plain) => plain.session(),
        };
        session.map(|session| Exchange { session, finished: false }).map_err(|e| failed(&e))
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Credentials({}, …)", self.mechanism())
    }
}

/// One authentication in progress.
pub(crate) struct Exchange {
    session: rsasl::prelude::Session,
    finished: bool,
}

impl Exchange {
    /// Takes the server's token (`None` at the start) and gives the next one to send; `None` once there is nothing to say.
    pub(crate) fn step(&mut self, from_server: Option<&[u8]>) -> Result<Option<Bytes>, Error> {
        if self.finished {
            return Ok(None);
        }
        let mut token = Vec::new();
        let state = self.session.step(from_server, &mut token).map_err(|e| failed(&e))?;
        self.finished = state.is_finished();
        Ok(state.has_sent_message().then(|| token.into()))
    }
}

fn failed(error: &dyn std::error::Error) -> Error {
    Error::new(ErrorKind::Authentication, format!("the SASL exchange could not be made: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_says_user_and_password_once_and_then_nothing() {
        let mut exchange = Credentials::plain("etl", "pass word").start().unwrap();
        assert_eq!(exchange.step(None).unwrap().as_deref(), Some(&b"\0etl\0pass word"[..]));
        assert_eq!(exchange.step(Some(b"")).unwrap(), None);
    }

    #[test]
    fn text_goes_out_as_utf8() {
        let mut exchange = Credentials::plain("用户", "п\u{e4}ss").start().unwrap();
        assert_eq!(exchange.step(None).unwrap().unwrap(), "\0用户\0п\u{e4}ss".as_bytes());
    }

    #[test]
    fn what_plain_cannot_carry_is_refused_without_being_shown() {
        for (username, password) in [("", "secret"), ("etl", ""), ("e\0tl", "secret"), ("etl", "sec\0ret")] {
            let credentials = Credentials::plain(username, password);
            assert!(credentials.problem().is_some());
            assert!(!format!("{credentials:?}").contains("sec"));
            if let Ok(mut exchange) = credentials.start() {
                let error = exchange.step(None).unwrap_err();
                assert!(!format!("{error} {error:?}").contains("sec\0"), "{error}");
            }
        }
        assert!(Credentials::plain("etl", "secret").problem().is_none());
    }
}
