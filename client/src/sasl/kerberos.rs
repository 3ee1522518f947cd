//! Kerberos as credentials: the broker's ticket is fetched, then GSSAPI only computes.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::Token;
use super::gssapi::{self, Gssapi};
use crate::core::peer_text::printable_lines;
use crate::error::{Error, ErrorKind};
use crate::kerberos::error::KerberosError;
use crate::kerberos::gss::Proof;
use crate::kerberos::login::{KerberosLogin, KerberosOptions};

pub(super) const NAME: &str = gssapi::NAME;

/// A user's options, and the login that is made of them once files may be read. Clones share it.
#[derive(Clone)]
pub(crate) struct Kerberos {
    options: Arc<KerberosOptions>,
    login: Arc<OnceLock<Arc<KerberosLogin>>>,
}

/// One context with a broker.
pub(crate) struct Exchange {
    gssapi: Gssapi,
    ticket_is_kept: bool,
}

impl Kerberos {
    pub(super) fn new(options: KerberosOptions) -> Self {
        Self { options: Arc::new(options), login: Arc::default() }
    }

    /// Credentials with a login that is there already.
    #[cfg(test)]
    pub(crate) fn with_login(options: KerberosOptions, login: Arc<KerberosLogin>) -> Self {
        Self { options: Arc::new(options), login: Arc::new(OnceLock::from(login)) }
    }

    /// Reads the files that the options name. An error says what is wrong with them.
    pub(super) fn open(&self, connect_timeout: Duration) -> Result<(), String> {
        if self.login.get().is_none() {
            let login = KerberosLogin::new(&self.options, connect_timeout).map_err(|e| format!("Kerberos: {e}"))?;
            // Another clone may have been quicker.
            let _ = self.login.set(login);
        }
        Ok(())
    }

    pub(super) async fn exchange(&self, host: &str) -> Result<Exchange, Error> {
        let Some(login) = self.login.get() else {
            return Err(Error::new(ErrorKind::Config, "the Kerberos options were not read"));
        };
        let ticket = login.ticket_for(host).await.map_err(failed)?;
        let fresh = ticket.fresh().map_err(failed)?;
        let ticket_is_kept = ticket.is_kept;
        let gssapi = Gssapi::new(login.crypto(), ticket.ticket, Proof::Mutual, "", fresh);
        Ok(Exchange { gssapi, ticket_is_kept })
    }

    pub(super) fn refused(&self) {
        if let Some(login) = self.login.get() {
            login.forget_service_tickets();
        }
    }
}

impl fmt::Debug for Kerberos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.options.fmt(f)
    }
}

impl Exchange {
    pub(super) fn step(&mut self, from_server: Option<&[u8]>) -> Result<Option<Token>, Error> {
        let token = self.gssapi.step(from_server).map_err(failed)?;
        Ok(token.map(|token| Token::new(token.to_vec())))
    }

    pub(super) fn may_be_out_of_date(&self) -> bool {
        self.ticket_is_kept
    }

    pub(super) fn has_last_word(&self) -> bool {
        self.gssapi.is_finished()
    }
}

/// What time may mend is no failure of the credentials.
fn failed(error: KerberosError) -> Error {
    let kind = match &error {
        error if error.is_retriable() => ErrorKind::Connect,
        KerberosError::Config(_) => ErrorKind::Config,
        _ => ErrorKind::Authentication,
    };
    // Realms, names and texts are the KDC's; the password is not, since it never leaves this machine.
    let told = Error::new(kind, format!("Kerberos: {}", printable_lines(&error.to_string())));
    let told = match error.advice() {
        Some(advice) => told.advice(advice),
        None => told,
    };
    told.with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_time_may_mend_is_no_failure_of_the_credentials() {
        let unreachable =
            failed(KerberosError::Unreachable { realm: "R".to_owned(), tried: vec!["kdc:88".to_owned()] });
        assert!(unreachable.is_retriable() && unreachable.kind() == ErrorKind::Connect);
        assert!(unreachable.to_string().contains("kdc:88"), "{unreachable}");
        let wrong =
            KerberosError::WrongKey { client: "alice@R".to_owned(), tried: crate::kerberos::error::Tried::Password };
        let error = failed(wrong);
        assert!(!error.is_retriable() && error.kind() == ErrorKind::Authentication);
        assert!(error.to_string().contains("the password is wrong"), "{error}");
        assert_eq!(failed(KerberosError::Config("run kinit".to_owned())).kind(), ErrorKind::Config);
    }

    #[test]
    fn the_options_are_read_when_the_client_is_made_and_shown_without_secrets() {
        let kerberos = Kerberos::new(KerberosOptions::password("alice", "hunter2").krb5_conf_text(""));
        let problem = kerberos.open(Duration::from_secs(1)).unwrap_err();
        assert!(problem.contains("no default realm"), "{problem}");
        let kerberos = Kerberos::new(KerberosOptions::password("alice@R", "hunter2").krb5_conf_text(""));
        kerberos.open(Duration::from_secs(1)).unwrap();
        assert!(!format!("{kerberos:?}").contains("hunter2"));
    }
}
