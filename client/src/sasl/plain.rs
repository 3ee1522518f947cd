//! SASL/PLAIN (RFC 4616): the user's name and password in one token.

use std::sync::Arc;

use rsasl::config::SASLConfig;
use rsasl::mechname::Mechname;
use rsasl::prelude::{SASLClient, SASLError, Session};

pub(super) const NAME: &str = "PLAIN";

/// A user's name and password. It has no `Debug`, so that nothing can show it.
#[derive(Clone)]
pub(crate) struct Plain {
    username: Arc<str>,
    password: Arc<str>,
}

impl Plain {
    pub(super) fn new(username: &str, password: &str) -> Self {
        Self { username: username.into(), password: password.into() }
    }

    pub(super) fn problem(&self) -> Option<&'static str> {
        if self.username.is_empty() {
            Some("the user name is empty; SASL/PLAIN needs one")
        } else if self.password.is_empty() {
            Some("the password is empty; SASL/PLAIN needs one")
        } else if self.username.contains('\0') || self.password.contains('\0') {
            Some("the user name or the password has a NUL character, which SASL/PLAIN cannot carry")
        } else {
            None
        }
    }

    /// A fresh session. The authorization identity stays empty: brokers take only the user's own name or none.
    pub(super) fn session(&self) -> Result<Session, SASLError> {
        let config = SASLConfig::with_credentials(None, self.username.to_string(), self.password.to_string())?;
        let name = Mechname::parse(NAME.as_bytes()).map_err(|_| SASLError::NoSharedMechanism)?;
        SASLClient::new(config).start_suggested(&[name])
    }
}
