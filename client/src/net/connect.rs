//! From an address to a connection that is ready: resolve, connect, agree on versions, authenticate. One deadline covers
//! all of it, and an error names the stage.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use ottla_protocol::frame::{self, Frame};
use ottla_protocol::header::split_correlation_id;
use ottla_protocol::messages::{
    ApiVersionsRequest, Message, Request, SaslAuthenticateRequest, SaslHandshakeRequest, SaslHandshakeResponse,
};
use ottla_protocol::{ApiKey, ErrorCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::config::{Options, Server};
use crate::core::versions::{Negotiation, Refusal, Step, Versions};
use crate::error::{Error, ErrorKind};
use crate::sasl::Credentials;

/// Before authentication no honest answer is longer (`SaslServerAuthenticator.MAX_RECEIVE_SIZE`).
const HANDSHAKE_FRAME_LIMIT: usize = 512 * 1024;

/// A socket on which asking may begin.
pub(crate) struct Established {
    pub(crate) stream: TcpStream,
    /// Bytes read beyond the handshake; a correct broker sends none.
    pub(crate) buffer: BytesMut,
    pub(crate) versions: Versions,
    pub(crate) next_correlation_id: i32,
    /// After what time the broker wants the client authenticated again (KIP-368).
    pub(crate) session_lifetime: Option<Duration>,
}

/// Connects to a server within `connect_timeout`. `peer` names it in errors.
pub(crate) async fn establish(server: &Server, peer: &Arc<str>, options: &Options) -> Result<Established, Error> {
    let within = options.connect_timeout;
    let stage = std::sync::Mutex::new("resolving the host");
    let name_stage = |now: &'static str| {
        if let Ok(mut stage) = stage.lock() {
            *stage = now;
        }
    };
    let work = async {
        let stream = dial(server, within, &name_stage).await?;
        Handshake { stream, buffer: BytesMut::new(), options, next_id: 0 }.run(&name_stage).await
    };
    let result = tokio::time::timeout(within, work).await.unwrap_or_else(|_| {
        let stage = stage.lock().map_or("connecting", |stage| *stage);
        let message = format!("no answer within {within:?} while {stage}");
        Err(Error::new(ErrorKind::Timeout, message)
            .advice("check that the address is right and nothing blocks the way"))
    });
    result.map_err(|error| error.on_broker(peer.clone()))
}

/// Resolves anew and tries every address; each gets its share of the time that is left.
async fn dial(server: &Server, within: Duration, name_stage: &impl Fn(&'static str)) -> Result<TcpStream, Error> {
    let deadline = Instant::now() + within;
    let addresses = resolve(server).await?;
    name_stage("connecting");
    let mut failures = Vec::new();
    for (tried, address) in addresses.iter().enumerate() {
        let left = deadline.saturating_duration_since(Instant::now());
        let share = left / u32::try_from(addresses.len() - tried).unwrap_or(1);
        match tokio::time::timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                stream.set_nodelay(true).map_err(|e| cannot_connect(&[format!("{address}: {e}")], e.kind()))?;
                return Ok(stream);
            }
            Ok(Err(e)) => failures.push((format!("{address}: {e}"), e.kind())),
            Err(_) => failures.push((format!("{address}: no answer within {share:.1?}"), io::ErrorKind::TimedOut)),
        }
    }
    let kind = failures.last().map_or(io::ErrorKind::Other, |failure| failure.1);
    let said: Vec<_> = failures.into_iter().map(|failure| failure.0).collect();
    Err(cannot_connect(&said, kind))
}

async fn resolve(server: &Server) -> Result<Vec<SocketAddr>, Error> {
    let unresolved = |cause: &dyn std::fmt::Display| {
        Error::new(ErrorKind::Resolve, format!("the host name {} cannot be resolved: {cause}", server.host))
            .advice("check the spelling and the name service")
    };
    let found = tokio::net::lookup_host((&*server.host, server.port)).await;
    let addresses: Vec<_> = found.map_err(|e| unresolved(&e).with_source(e))?.collect();
    if addresses.is_empty() { Err(unresolved(&"it has no address")) } else { Ok(addresses) }
}

fn cannot_connect(said: &[String], kind: io::ErrorKind) -> Error {
    let advice = match kind {
        io::ErrorKind::ConnectionRefused => "nothing listens there: is the broker running, and is the port right?",
        _ => "check the address and the way to it",
    };
    Error::new(ErrorKind::Connect, format!("cannot connect: {}", said.join(", "))).advice(advice)
}

/// The exchange before a connection may be used: one question at a time.
struct Handshake<'a> {
    stream: TcpStream,
    buffer: BytesMut,
    options: &'a Options,
    next_id: i32,
}

impl Handshake<'_> {
    async fn run(mut self, name_stage: &impl Fn(&'static str)) -> Result<Established, Error> {
        name_stage("asking for its versions (does it speak Kafka's protocol?)");
        let mut session_lifetime = None;
        let versions = match &self.options.credentials {
            None => self.negotiate(Negotiation::highest()).await?,
            Some(credentials) => {
                let versions = self.negotiate(Negotiation::lowest()).await?;
                name_stage("authenticating");
                session_lifetime = self.authenticate(credentials, &versions).await?;
                name_stage("asking for its versions after authentication");
                self.negotiate(Negotiation::highest()).await?
            }
        };
        let Self { stream, buffer, next_id, .. } = self;
        Ok(Established { stream, buffer, versions, next_correlation_id: next_id, session_lifetime })
    }

    async fn negotiate(&mut self, mut negotiation: Negotiation) -> Result<Versions, Error> {
        loop {
            let body = self.ask(negotiation.version(), &ApiVersionsRequest::default()).await.map_err(|e| {
                let closed = e.kind() == ErrorKind::Disconnected && self.options.credentials.is_none();
                if closed {
                    e.advice("a broker that wants TLS or SASL, or one before 0.10, closes like this")
                } else {
                    e
                }
            })?;
            match negotiation.handle_answer(&body) {
                Ok(Step::Done(versions)) => return Ok(versions),
                Ok(Step::Ask(_)) => {}
                Err(Refusal::Code(code)) => return Err(Error::from_code(code).in_api(ApiKey::API_VERSIONS)),
                Err(Refusal::Unreadable(e)) => {
                    return Err(Error::new(ErrorKind::Corrupt, e.to_string())
                        .in_api(ApiKey::API_VERSIONS)
                        .with_source(e));
                }
            }
        }
    }

    /// SaslHandshake, then the tokens: in SaslAuthenticate after a handshake of version 1, raw after version 0.
    async fn authenticate(
        &mut self,
        credentials: &Credentials,
        versions: &Versions,
    ) -> Result<Option<Duration>, Error> {
        let pick = |api, range| {
            let no_sasl = "the broker takes no SASL on this port, or is too old for it";
            versions.pick(api, range).map_err(|e| Error::new(ErrorKind::Versions, e.to_string()).advice(no_sasl))
        };
        let version = pick(ApiKey::SASL_HANDSHAKE, SaslHandshakeRequest::VERSIONS)?;
        let mechanism = credentials.mechanism();
        let request = SaslHandshakeRequest { mechanism: mechanism.to_owned() };
        let answer = SaslHandshakeResponse::read(version, self.ask(version, &request).await?).map_err(corrupt)?;
        check_handshake(mechanism, &answer)?;
        if version == 0 {
            return self.send_raw_tokens(credentials).await.map(|()| None);
        }
        let version = pick(ApiKey::SASL_AUTHENTICATE, SaslAuthenticateRequest::VERSIONS)?;
        self.send_tokens(credentials, version).await
    }

    async fn send_tokens(&mut self, credentials: &Credentials, version: i16) -> Result<Option<Duration>, Error> {
        let mut exchange = credentials.start()?;
        let mut token = exchange.step(None)?;
        let mut lifetime_ms = 0;
        while let Some(auth_bytes) = token {
            let request = SaslAuthenticateRequest { auth_bytes: auth_bytes.into() };
            let body = self.ask(version, &request).await?;
            let answer = <SaslAuthenticateRequest as Request>::Response::read(version, body).map_err(corrupt)?;
            if !answer.error_code.is_ok() {
                let error = Error::from_code(answer.error_code).said(answer.error_message.as_deref());
                return Err(error.in_api(ApiKey::SASL_AUTHENTICATE).advice("check user name and password"));
            }
            lifetime_ms = answer.session_lifetime_ms;
            token = exchange.step(Some(&answer.auth_bytes.0))?;
        }
        Ok(u64::try_from(lifetime_ms).ok().filter(|ms| *ms > 0).map(Duration::from_millis))
    }

    /// Brokers before 1.0. A refusal is just a close; PLAIN's success is a frame of length zero.
    async fn send_raw_tokens(&mut self, credentials: &Credentials) -> Result<(), Error> {
        let mut exchange = credentials.start()?;
        let mut token = exchange.step(None)?;
        while let Some(bytes) = token {
            let frame = frame::raw_token_frame(&bytes).map_err(|e| Error::new(ErrorKind::TooLarge, e.to_string()))?;
            self.write(&frame).await?;
            let answer = self.read_frame().await.map_err(|e| match e.kind() {
                ErrorKind::Disconnected => Error::new(
                    ErrorKind::Authentication,
                    "the broker closed the connection after the credentials, which is how brokers before 1.0 refuse them",
                )
                .advice("check user name and password"),
                _ => e,
            })?;
            token = exchange.step(Some(&answer))?;
        }
        Ok(())
    }

    /// Sends one request and gives the body of its answer.
    async fn ask<R: Request>(&mut self, version: i16, request: &R) -> Result<Bytes, Error> {
        let id = self.next_id;
        self.next_id += 1;
        let frame = frame::request_frame(id, Some(&self.options.client_id), version, request)
            .map_err(|e| Error::new(ErrorKind::Config, e.to_string()).in_api(R::KEY))?;
        self.write(&frame).await.map_err(|e| e.in_api(R::KEY))?;
        let mut body = self.read_frame().await.map_err(|e| e.in_api(R::KEY))?;
        match split_correlation_id(&mut body).map_err(corrupt)? {
            got if got == id => Ok(body),
            got => {
                let message = format!("an answer with correlation id {got} came, but {id} was next");
                Err(Error::new(ErrorKind::Corrupt, message).in_api(R::KEY).advice("the peer is no Kafka broker"))
            }
        }
    }

    async fn write(&mut self, frame: &Frame) -> Result<(), Error> {
        for chunk in frame.chunks() {
            self.stream.write_all(chunk).await.map_err(broken)?;
        }
        Ok(())
    }

    async fn read_frame(&mut self) -> Result<Bytes, Error> {
        let limit = self.options.frame_limit.min(HANDSHAKE_FRAME_LIMIT);
        loop {
            if let Some(frame) = frame::split_frame(&mut self.buffer, limit).map_err(corrupt)? {
                return Ok(frame);
            }
            if self.stream.read_buf(&mut self.buffer).await.map_err(broken)? == 0 {
                return Err(Error::new(ErrorKind::Disconnected, "the broker closed the connection"));
            }
        }
    }
}

fn check_handshake(mechanism: &str, answer: &SaslHandshakeResponse) -> Result<(), Error> {
    let error = match answer.error_code {
        ErrorCode::NONE => return Ok(()),
        ErrorCode::ILLEGAL_SASL_STATE => Error::from_code(answer.error_code)
            .advice("the broker takes no SASL on this port: connect without credentials"),
        ErrorCode::UNSUPPORTED_SASL_MECHANISM => Error::from_code(answer.error_code).advice(&format!(
            "asked for {mechanism}, the broker has {}",
            if answer.mechanisms.is_empty() { "none".to_owned() } else { answer.mechanisms.join(", ") }
        )),
        code => Error::from_code(code),
    };
    Err(error.in_api(ApiKey::SASL_HANDSHAKE))
}

fn corrupt(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Corrupt, error.to_string()).with_source(error)
}

/// A socket that failed in use.
pub(crate) fn broken(error: io::Error) -> Error {
    Error::new(ErrorKind::Disconnected, format!("the connection broke: {error}")).with_source(error)
}
