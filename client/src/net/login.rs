//! Authentication over whatever carries it: a fresh socket, or a connection in use (KIP-368). SaslHandshake names the
//! mechanism, then the tokens travel: in SaslAuthenticate after a handshake of version 1, raw after version 0.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use ottla_protocol::messages::{
    ApiVersionsRequest, Message, Request, SaslAuthenticateRequest, SaslHandshakeRequest, SaslHandshakeResponse,
};
use ottla_protocol::{ApiKey, ErrorCode};
use tokio::sync::Notify;

use crate::core::logins::{LIMIT, Logins, Pass, Verdict};
use crate::core::peer_text::printable;
use crate::core::reauth::Lifetime;
use crate::core::versions::Versions;
use crate::error::{Error, ErrorKind};
use crate::kerberos::error::KerberosError;
use crate::sasl::{Credentials, Exchange, Token};

/// How long a refused login is not tried again at first, and at most; see [`LIMIT`].
const REFUSED_BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// What carries a login.
pub(crate) trait Carrier: Send {
    /// The credentials are ready; the exchange begins.
    fn begin(&mut self) {}

    /// Asks and gives the answer's body; errors name the API.
    fn ask<R: Request>(&mut self, version: i16, request: &R) -> impl Future<Output = Result<Bytes, Error>> + Send;

    /// Sends a token without any header and gives what comes back the same way.
    fn raw_token(&mut self, token: Bytes) -> impl Future<Output = Result<Bytes, Error>> + Send;

    /// Sends a token without any header to which nothing comes back.
    fn last_raw_token(&mut self, token: Bytes) -> impl Future<Output = Result<(), Error>> + Send;
}

/// Whether anybody may try to log in; one for each client, since all its connections have the same credentials.
pub(crate) struct Gate {
    logins: Mutex<Logins<Error>>,
    /// Wakes who waits for another's attempt.
    changed: Notify,
}

/// How to log in to one server, as often as it asks for it.
#[derive(Clone)]
pub(crate) struct Login {
    pub(crate) credentials: Credentials,
    /// The server's host name, as it is dialled.
    pub(crate) host: Arc<str>,
    pub(crate) gate: Arc<Gate>,
}

/// An attempt. Dropped without a word about the credentials, it counts as none.
struct Attempt<'a> {
    gate: &'a Gate,
    pass: Option<Pass>,
}

impl Login {
    /// Logs in. Gives the time after which the broker wants the client authenticated again; `None` for never.
    pub(crate) async fn run(&self, carrier: &mut impl Carrier, versions: &Versions) -> Result<Option<Lifetime>, Error> {
        let attempt = self.gate.enter().await?;
        let work = async {
            let exchange = self.credentials.prepare(&self.host).await?;
            let may_be_out_of_date = exchange.may_be_out_of_date();
            carrier.begin();
            match log_in(carrier, &self.credentials, exchange, versions).await {
                Err(error) if may_be_out_of_date && blames_the_credentials(&error) => {
                    self.credentials.refused().await;
                    Err(out_of_date(&error))
                }
                result => result,
            }
        };
        let result = work.await.map_err(Error::while_logging_in);
        if result.as_ref().is_err_and(blames_the_credentials) {
            self.credentials.refused().await;
        }
        attempt.end(result.as_ref().err());
        result
    }
}

impl Gate {
    pub(crate) fn new() -> Self {
        let (first, limit) = REFUSED_BACKOFF;
        Self { logins: Mutex::new(Logins::new(first, limit)), changed: Notify::new() }
    }

    fn logins(&self) -> MutexGuard<'_, Logins<Error>> {
        self.logins.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets all refusals: the user asks for new tries.
    pub(crate) fn ask_anew(&self) {
        self.logins().ask_anew();
        self.changed.notify_waiters();
    }

    async fn enter(&self) -> Result<Attempt<'_>, Error> {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            // Enabled before the question, so that no change between it and the wait is missed.
            changed.as_mut().enable();
            let verdict = self.logins().ask(Instant::now());
            match verdict {
                Verdict::Go(pass) => return Ok(Attempt { gate: self, pass: Some(pass) }),
                Verdict::Wait => changed.await,
                Verdict::Refused(error, again) => return Err(said_before(error, again)),
            }
        }
    }
}

/// A broker that was given a new key refuses the tickets made for the old one; with a new ticket it lets in.
fn out_of_date(error: &Error) -> Error {
    let message = format!("a ticket that was got some time ago was refused, and the next try gets a new one: {error}");
    Error::new(ErrorKind::Disconnected, message)
}

fn said_before(error: Error, again: Option<Duration>) -> Error {
    let advice = match again {
        Some(wait) => format!("refused a moment ago and not tried again for {wait:.1?}, to lock no account"),
        None => format!("refused {LIMIT} times and not tried again until it is asked for, to lock no account"),
    };
    error.advice(&advice).repeated()
}

impl Attempt<'_> {
    fn end(mut self, error: Option<&Error>) {
        let Some(pass) = self.pass.take() else { return };
        match error {
            None => self.gate.logins().accepted(&pass),
            Some(error) if blames_the_credentials(error) => {
                self.gate.logins().refused(&pass, error.clone(), Instant::now(), fastrand::f64());
            }
            Some(_) => self.gate.logins().over(&pass),
        }
        self.gate.changed.notify_waiters();
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if let Some(pass) = self.pass.take() {
            self.gate.logins().over(&pass);
            self.gate.changed.notify_waiters();
        }
    }
}

/// A broker that has another mechanism, or none, says nothing about them; nor does a KDC that knows no such broker.
fn blames_the_credentials(error: &Error) -> bool {
    let elsewhere = matches!(error.code(), Some(ErrorCode::UNSUPPORTED_SASL_MECHANISM | ErrorCode::ILLEGAL_SASL_STATE));
    let kerberos = std::error::Error::source(error).and_then(|source| source.downcast_ref::<KerberosError>());
    let blames = kerberos.is_none_or(KerberosError::blames_the_client);
    error.kind() == ErrorKind::Authentication && !elsewhere && blames
}

async fn log_in(
    carrier: &mut impl Carrier,
    credentials: &Credentials,
    exchange: Exchange,
    versions: &Versions,
) -> Result<Option<Lifetime>, Error> {
    let version = pick(versions, ApiKey::SASL_HANDSHAKE, SaslHandshakeRequest::VERSIONS)?;
    let mechanism = credentials.mechanism();
    let request = SaslHandshakeRequest { mechanism: mechanism.to_owned() };
    let answer = SaslHandshakeResponse::read(version, carrier.ask(version, &request).await?).map_err(unreadable)?;
    check_handshake(mechanism, &answer)?;
    if version == 0 {
        return send_raw_tokens(carrier, credentials, exchange).await.map(|()| None);
    }
    let version = pick(versions, ApiKey::SASL_AUTHENTICATE, SaslAuthenticateRequest::VERSIONS)?;
    send_tokens(carrier, credentials, exchange, version).await
}

fn pick(versions: &Versions, api: ApiKey, ours: std::ops::RangeInclusive<i16>) -> Result<i16, Error> {
    let no_sasl = "the broker takes no SASL on this port, or is too old for it";
    versions.pick(api, ours).map_err(|e| Error::new(ErrorKind::Versions, e.to_string()).advice(no_sasl))
}

async fn send_tokens(
    carrier: &mut impl Carrier,
    credentials: &Credentials,
    exchange: Exchange,
    version: i16,
) -> Result<Option<Lifetime>, Error> {
    let (mut exchange, mut token) = step(exchange, None).await?;
    let (mut lifetime_ms, mut since) = (0, Instant::now());
    while let Some(bytes) = token {
        since = Instant::now();
        let request = SaslAuthenticateRequest { auth_bytes: owned(bytes).into() };
        let body = carrier.ask(version, &request).await?;
        let answer = <SaslAuthenticateRequest as Request>::Response::read(version, body).map_err(unreadable)?;
        if !answer.error_code.is_ok() {
            let said = answer.error_message.as_deref().map(|said| credentials.peer_text().clean(said));
            let error = Error::from_code(answer.error_code).said(said.as_deref());
            return Err(error.said(exchange.refusal()).in_api(ApiKey::SASL_AUTHENTICATE).advice(credentials.advice()));
        }
        lifetime_ms = answer.session_lifetime_ms;
        // The last answer has to be stepped too: SCRAM's server proves itself in it.
        (exchange, token) = step(exchange, Some(answer.auth_bytes.0)).await?;
    }
    let lasts = u64::try_from(lifetime_ms).ok().filter(|ms| *ms > 0).map(Duration::from_millis);
    Ok(lasts.map(|lasts| Lifetime { lasts, since }))
}

/// Brokers before 1.0. A refusal is just a close; PLAIN's success is a frame of length zero. In GSSAPI the client has the last
/// word, and what comes next is the answer to an ordinary request (`SaslServerAuthenticator`): one is asked here, since only
/// its answer tells that the last word was not refused.
async fn send_raw_tokens(
    carrier: &mut impl Carrier,
    credentials: &Credentials,
    exchange: Exchange,
) -> Result<(), Error> {
    let (mut exchange, mut token) = step(exchange, None).await?;
    while let Some(bytes) = token {
        if exchange.has_last_word() {
            carrier.last_raw_token(owned(bytes)).await?;
            let answer = carrier.ask(0, &ApiVersionsRequest::default()).await;
            return answer.map(drop).map_err(|e| refused_by_a_close(e, credentials, &exchange));
        }
        let answer = carrier.raw_token(owned(bytes)).await;
        let answer = answer.map_err(|e| refused_by_a_close(e, credentials, &exchange))?;
        (exchange, token) = step(exchange, Some(answer)).await?;
    }
    Ok(())
}

fn refused_by_a_close(error: Error, credentials: &Credentials, exchange: &Exchange) -> Error {
    if error.kind() != ErrorKind::Disconnected {
        return error;
    }
    let how = "the broker closed the connection after the credentials, which is how brokers before 1.0 refuse them";
    Error::new(ErrorKind::Authentication, how).said(exchange.refusal()).advice(credentials.advice())
}

/// One step; on a thread of its own if a server may make it long. A caller who gives up leaves at most that one step
/// behind, and its length is bounded.
async fn step(mut exchange: Exchange, from_server: Option<Bytes>) -> Result<(Exchange, Option<Token>), Error> {
    let costly = exchange.is_costly();
    let work = move || {
        let token = exchange.step(from_server.as_deref())?;
        Ok((exchange, token))
    };
    let done = if costly { tokio::task::spawn_blocking(work).await } else { Ok(work()) };
    done.unwrap_or_else(|e| Err(Error::new(ErrorKind::Closed, format!("the login was cut off: {e}"))))
}

/// The token as the messages take it; erased with its last reference.
fn owned(token: Token) -> Bytes {
    Bytes::from_owner(token)
}

fn check_handshake(mechanism: &str, answer: &SaslHandshakeResponse) -> Result<(), Error> {
    let error = match answer.error_code {
        ErrorCode::NONE => return Ok(()),
        ErrorCode::ILLEGAL_SASL_STATE => Error::from_code(answer.error_code)
            .advice("the broker takes no SASL on this port: connect without credentials"),
        ErrorCode::UNSUPPORTED_SASL_MECHANISM => Error::from_code(answer.error_code).advice(&format!(
            "asked for {mechanism}, the broker has {}",
            if answer.mechanisms.is_empty() { "none".to_owned() } else { printable(&answer.mechanisms.join(", ")) }
        )),
        code => Error::from_code(code),
    };
    Err(error.in_api(ApiKey::SASL_HANDSHAKE))
}

pub(super) fn unreadable(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Protocol, error.to_string()).with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kerberos::error::{Peer, Refusal, Tried};
    use crate::kerberos::error_code::KrbErrorCode;
    use crate::kerberos::time::KerberosTime;

    fn failed(cause: KerberosError) -> Error {
        Error::new(ErrorKind::Authentication, cause.to_string()).with_source(cause)
    }

    #[test]
    fn a_kdc_that_knows_no_such_broker_leaves_the_gate_open_and_one_that_takes_no_such_key_does_not() {
        let unknown = Refusal {
            by: Peer::Kdc,
            code: KrbErrorCode::S_PRINCIPAL_UNKNOWN,
            text: None,
            client: None,
            server: "kafka/other@R".to_owned(),
            server_time: KerberosTime::at(0),
        };
        let unknown = failed(KerberosError::Refused(Box::new(unknown)));
        let wrong = failed(KerberosError::WrongKey { client: "alice@R".to_owned(), tried: Tried::Password });
        assert!(!blames_the_credentials(&unknown) && blames_the_credentials(&wrong));
        assert!(blames_the_credentials(&Error::from_code(ErrorCode::SASL_AUTHENTICATION_FAILED)));
        assert!(!blames_the_credentials(&Error::from_code(ErrorCode::UNSUPPORTED_SASL_MECHANISM)));
    }
}
