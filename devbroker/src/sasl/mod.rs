//! The server's side of SASL with both of Kafka's framings, and how long a login lasts (KIP-368). Pure.

mod brought;
mod oauthbearer;
mod plain;
mod scram;

use std::time::Duration;

use bytes::Bytes;
use ottla_protocol::{ApiKey, ErrorCode};

pub(crate) use brought::Brought;
pub use brought::{TokenServer, TokenStep};
pub(crate) use plain::Users;
pub(crate) use scram::{Hash, Verifiers};

/// Between two logins on one connection at least so long has to pass (`KafkaChannel.MIN_REAUTH_INTERVAL_ONE_SECOND_NANOS`).
const MIN_REAUTH_INTERVAL: Duration = Duration::from_secs(1);

/// Who may log in and how; nothing of it means that nobody has to.
#[derive(Debug, Clone, Default)]
pub(crate) struct Logins {
    pub(crate) plain: Users,
    pub(crate) scram_sha_256: Verifiers,
    pub(crate) scram_sha_512: Verifiers,
    /// Whether unsecured tokens are taken, of any subject.
    pub(crate) oauthbearer: bool,
    /// What a test brings with it; the broker's own of the same name comes before.
    pub(crate) brought: Brought,
    /// How long a login lasts at most (`connections.max.reauth.ms`).
    pub(crate) max_reauth: Option<Duration>,
}

/// A mechanism that this broker has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mechanism {
    Plain,
    Scram(Hash),
    OauthBearer,
    Brought(&'static str),
}

/// What the clocks say.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    /// Since the broker's start.
    pub(crate) now: Duration,
    /// Since the epoch.
    pub(crate) unix: Duration,
}

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
    /// Close without an answer, for this reason.
    Close(&'static str),
}

/// What answers a token.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    /// `None` if the client had the last word: a raw token is then followed by nothing.
    pub(crate) token: Option<Bytes>,
    /// How long the login lasts, if it is complete and does not last for ever.
    pub(crate) lifetime: Option<Duration>,
}

/// One connection's authentication.
pub(crate) struct Sasl {
    stage: Stage,
    exchange: Option<(Mechanism, Server)>,
    session: Option<Session>,
}

/// An exchange in progress.
enum Server {
    Plain,
    Scram(scram::Server),
    OauthBearer(oauthbearer::Server),
    Brought(Box<dyn TokenServer>),
}

/// Who is logged in.
struct Session {
    mechanism: Mechanism,
    principal: String,
    since: Duration,
    ends: Option<Duration>,
}

/// A refusal, for the client; it names no secret.
type Refusal = (ErrorCode, String);

impl Mechanism {
    fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::Scram(Hash::Sha256) => "SCRAM-SHA-256",
            Self::Scram(Hash::Sha512) => "SCRAM-SHA-512",
            Self::OauthBearer => "OAUTHBEARER",
            Self::Brought(name) => name,
        }
    }
}

impl Logins {
    fn enabled(&self) -> impl Iterator<Item = Mechanism> {
        let all = [
            (!self.plain.is_empty(), Mechanism::Plain),
            (!self.scram_sha_256.is_empty(), Mechanism::Scram(Hash::Sha256)),
            (!self.scram_sha_512.is_empty(), Mechanism::Scram(Hash::Sha512)),
            (self.oauthbearer, Mechanism::OauthBearer),
        ];
        let own = all.into_iter().filter(|(enabled, _)| *enabled).map(|(_, mechanism)| mechanism);
        own.chain(self.brought.names().map(Mechanism::Brought))
    }

    /// The names of the mechanisms there are.
    pub(crate) fn mechanisms(&self) -> Vec<String> {
        self.enabled().map(|mechanism| mechanism.name().to_owned()).collect()
    }
}

impl Sasl {
    pub(crate) fn new(logins: &Logins) -> Self {
        let stage = if logins.enabled().next().is_none() { Stage::Open } else { Stage::Start };
        Self { stage, exchange: None, session: None }
    }

    pub(crate) fn stage(&self) -> Stage {
        self.stage
    }

    /// Whether a request may be served now (`SaslServerAuthenticator`, `SocketServer.processCompletedReceives`).
    pub(crate) fn gate(&self, api: ApiKey, now: Duration) -> Gate {
        let over = self.session.as_ref().and_then(|session| session.ends).is_some_and(|ends| ends <= now);
        match (self.stage, api) {
            (Stage::Open, ApiKey::SASL_HANDSHAKE) => Gate::Serve,
            (Stage::Open, _) if over => Gate::Close("the login has ended and was not renewed"),
            (Stage::Start, ApiKey::API_VERSIONS | ApiKey::SASL_HANDSHAKE)
            | (Stage::Token, ApiKey::SASL_AUTHENTICATE)
            | (Stage::Open, _) => Gate::Serve,
            (Stage::Token, _) => Gate::Refuse(ErrorCode::ILLEGAL_SASL_STATE),
            (Stage::Start | Stage::Raw, _) => Gate::Close("before authentication"),
        }
    }

    /// Takes a handshake's mechanism; its version decides how the tokens come. On a connection that is logged in it begins
    /// a new login, if logins end at all and the last one is not too young.
    pub(crate) fn handshake(
        &mut self,
        logins: &Logins,
        version: i16,
        mechanism: &str,
        now: Duration,
    ) -> Result<(), ErrorCode> {
        let again = self.stage == Stage::Open
            && self.session.as_ref().is_some_and(|s| s.ends.is_some() && s.since + MIN_REAUTH_INTERVAL <= now);
        if self.stage != Stage::Start && !again {
            return Err(ErrorCode::ILLEGAL_SASL_STATE);
        }
        let mechanism = logins.enabled().find(|enabled| enabled.name() == mechanism);
        let exchange = mechanism.and_then(|mechanism| Some((mechanism, Server::new(mechanism, logins)?)));
        self.exchange = Some(exchange.ok_or(ErrorCode::UNSUPPORTED_SASL_MECHANISM)?);
        self.stage = if version == 0 { Stage::Raw } else { Stage::Token };
        Ok(())
    }

    /// Takes a token. After a refusal the connection is of no use.
    pub(crate) fn token(&mut self, logins: &Logins, token: &Bytes, moment: Moment) -> Result<Answer, Refusal> {
        let Some((mechanism, server)) = &mut self.exchange else {
            return Err((ErrorCode::ILLEGAL_SASL_STATE, "no handshake asked for a token".to_owned()));
        };
        let mechanism = *mechanism;
        let refused = |why: String| (ErrorCode::SASL_AUTHENTICATION_FAILED, why);
        match server.step(logins, token, moment.unix).map_err(refused)? {
            Step::Challenge(token) => Ok(Answer { token: Some(token), lifetime: None }),
            Step::Accepted { token, principal, lives } => {
                let lifetime = [logins.max_reauth, lives].into_iter().flatten().min();
                self.log_in(mechanism, principal, lifetime, moment.now).map_err(refused)?;
                Ok(Answer { token, lifetime })
            }
        }
    }

    fn log_in(
        &mut self,
        mechanism: Mechanism,
        principal: String,
        lifetime: Option<Duration>,
        now: Duration,
    ) -> Result<(), String> {
        if let Some(before) = &self.session {
            if before.mechanism != mechanism {
                return Err("Authentication failed: the mechanism may not change when a login is renewed".to_owned());
            }
            if before.principal != principal {
                return Err("Authentication failed: the user may not change when a login is renewed".to_owned());
            }
        }
        self.session =
            Some(Session { mechanism, principal, since: now, ends: lifetime.map(|lifetime| now + lifetime) });
        self.exchange = None;
        self.stage = Stage::Open;
        Ok(())
    }
}

enum Step {
    Challenge(Bytes),
    Accepted { token: Option<Bytes>, principal: String, lives: Option<Duration> },
}

impl Server {
    fn new(mechanism: Mechanism, logins: &Logins) -> Option<Self> {
        Some(match mechanism {
            Mechanism::Plain => Self::Plain,
            Mechanism::Scram(hash) => Self::Scram(scram::Server::new(hash)),
            Mechanism::OauthBearer => Self::OauthBearer(oauthbearer::Server::default()),
            Mechanism::Brought(name) => Self::Brought(logins.brought.server(name)?),
        })
    }

    fn step(&mut self, logins: &Logins, token: &[u8], unix: Duration) -> Result<Step, String> {
        match self {
            Self::Plain => {
                let principal = logins.plain.check(token)?;
                Ok(Step::Accepted { token: Some(Bytes::new()), principal, lives: None })
            }
            Self::Scram(server) => {
                let users = match server.hash() {
                    Hash::Sha256 => &logins.scram_sha_256,
                    Hash::Sha512 => &logins.scram_sha_512,
                };
                Ok(match server.step(token, users)? {
                    scram::Step::Challenge(text) => Step::Challenge(text.into()),
                    scram::Step::Accepted { last, user } => {
                        Step::Accepted { token: Some(last.into()), principal: user, lives: None }
                    }
                })
            }
            Self::OauthBearer(server) => Ok(match server.step(token, unix)? {
                oauthbearer::Step::Challenge(text) => Step::Challenge(text.into()),
                oauthbearer::Step::Accepted(claims) => Step::Accepted {
                    token: Some(Bytes::new()),
                    principal: claims.subject,
                    lives: Some(claims.expires.saturating_sub(unix)),
                },
            }),
            Self::Brought(server) => match server.step(token) {
                TokenStep::Continue(token) => Ok(Step::Challenge(token)),
                TokenStep::Done { token, principal } => Ok(Step::Accepted { token, principal, lives: None }),
                TokenStep::Refuse(why) => Err(why),
            },
        }
    }
}

#[cfg(test)]
mod tests;
