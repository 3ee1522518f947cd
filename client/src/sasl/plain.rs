//! SASL/PLAIN (RFC 4616): the user's name and password in one token.

use std::sync::Arc;

use rsasl::callback::{Context, Request, SessionCallback, SessionData};
use rsasl::config::SASLConfig;
use rsasl::mechname::Mechname;
use rsasl::prelude::{SASLClient, SASLError, Session, SessionError};
use rsasl::property::{AuthId, Password};
use zeroize::Zeroizing;

use super::secret::{Secret, Token};
use crate::error::{Error, ErrorKind};

pub(super) const NAME: &str = "PLAIN";

/// A user's name and password.
#[derive(Debug, Clone)]
pub(crate) struct Plain {
    username: Arc<str>,
    password: Secret,
}

/// One authentication in progress.
pub(crate) struct Exchange {
    session: Session,
    finished: bool,
}

impl Plain {
    pub(super) fn new(username: &str, password: &str) -> Self {
        Self { username: username.into(), password: Secret::new(password) }
    }

    pub(super) fn password(&self) -> &str {
        self.password.expose()
    }

    pub(super) fn problem(&self) -> Option<&'static str> {
        if self.username.is_empty() {
            Some("the user name is empty; SASL/PLAIN needs one")
        } else if self.password.expose().is_empty() {
            Some("the password is empty; SASL/PLAIN needs one")
        } else if self.username.contains('\0') || self.password.expose().contains('\0') {
            Some("the user name or the password has a NUL character, which SASL/PLAIN cannot carry")
        } else {
            None
        }
    }

    pub(super) fn exchange(&self) -> Result<Exchange, Error> {
        let session = self.session().map_err(|e| failed(&e))?;
        Ok(Exchange { session, finished: false })
    }

    fn session(&self) -> Result<Session, SASLError> {
        let config = SASLConfig::builder().with_defaults().with_callback(self.clone())?;
        let name = Mechname::parse(NAME.as_bytes()).map_err(|_| SASLError::NoSharedMechanism)?;
        SASLClient::new(config).start_suggested(&[name])
    }
}

/// Lends user and password to rsasl, which so keeps no copy. The authorization identity stays empty: brokers take only
/// the user's own name or none.
impl SessionCallback for Plain {
    fn callback(&self, _: &SessionData, _: &Context<'_>, request: &mut Request<'_>) -> Result<(), SessionError> {
        request.satisfy::<AuthId>(&self.username)?.satisfy::<Password>(self.password.expose().as_bytes())?;
        Ok(())
    }
}

impl Exchange {
    pub(super) fn step(&mut self, from_server: Option<&[u8]>) -> Result<Option<Token>, Error> {
        if self.finished {
            return Ok(None);
        }
        // Longer than any token of reasonable length, so that no piece of it is left behind by growing.
        let mut token = Zeroizing::new(Vec::with_capacity(1024));
        let state = self.session.step(from_server, &mut *token).map_err(|e| failed(&e))?;
        self.finished = state.is_finished();
        Ok(state.has_sent_message().then_some(token))
    }
}

fn failed(error: &dyn std::error::Error) -> Error {
    Error::new(ErrorKind::Authentication, format!("the SASL exchange could not be made: {error}"))
}
