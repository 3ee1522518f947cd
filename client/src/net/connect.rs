//! From an address to a connection that is ready: resolve, connect, TLS, agree on versions, authenticate. One deadline covers
//! all of it, and an error names the stage.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use ottla_protocol::ApiKey;
use ottla_protocol::frame::{self, Frame};
use ottla_protocol::header::split_correlation_id;
use ottla_protocol::messages::{ApiVersionsRequest, Request};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::foreign;
use super::stream::Stream;
use super::tls::Tls;
use crate::config::{Options, Server, TlsSession};
use crate::core::reauth::Lifetime;
use crate::core::versions::{Negotiation, Refusal, Step, Versions};
use crate::error::{Error, ErrorKind};

use super::login::{Carrier, Gate, Login, unreadable};

/// Before authentication no honest answer is longer (`SaslServerAuthenticator.MAX_RECEIVE_SIZE`).
const HANDSHAKE_FRAME_LIMIT: usize = 512 * 1024;

/// A socket on which asking may begin.
pub(crate) struct Established {
    pub(crate) stream: Stream,
    /// Bytes read beyond the handshake; a correct broker sends none.
    pub(crate) buffer: BytesMut,
    pub(crate) versions: Versions,
    pub(crate) next_correlation_id: i32,
    /// After what time the broker wants the client authenticated again (KIP-368).
    pub(crate) session_lifetime: Option<Lifetime>,
    /// How that is done.
    pub(crate) login: Option<Login>,
}

/// Connects to a server within `connect_timeout`. `peer` names it in errors.
pub(crate) async fn establish(
    server: &Server,
    peer: &Arc<str>,
    options: &Options,
    gate: &Arc<Gate>,
) -> Result<Established, Error> {
    let within = options.connect_timeout;
    let stage = Stage::default();
    let login = options.credentials.clone().map(|credentials| {
        let (host, gate) = (server.host.clone(), gate.clone());
        Login { credentials, host, gate }
    });
    let work = async {
        let socket = dial(server, within, &stage).await?;
        let stream = match &options.tls {
            None => Stream::Plain(socket),
            Some(tls) => {
                stage.enter("in the TLS handshake");
                Stream::Tls(Box::new(tls.connect(socket, &server.host).await?))
            }
        };
        Handshake { stream, buffer: BytesMut::new(), options, next_id: 0 }.run(login, &stage).await
    };
    stage.until_end(within, work).await.map_err(|error| error.on_broker(peer.clone()))
}

/// Connects to a server for the TLS handshake alone.
pub(crate) async fn handshake(server: &Server, tls: &Arc<Tls>, within: Duration) -> Result<TlsSession, Error> {
    let stage = Stage::default();
    let work = async {
        let socket = dial(server, within, &stage).await?;
        stage.enter("in the TLS handshake");
        tls.try_handshake(socket, &server.host).await
    };
    stage.until_end(within, work).await.map_err(|error| error.on_broker(format!("server {server}")))
}

/// How far the way to a server is gone, for the error if time runs out.
pub(crate) struct Stage(Mutex<&'static str>);

impl Default for Stage {
    fn default() -> Self {
        Self(Mutex::new("resolving the host"))
    }
}

impl Stage {
    fn enter(&self, now: &'static str) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = now;
    }

    async fn until_end<T>(&self, within: Duration, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        tokio::time::timeout(within, work).await.unwrap_or_else(|_| {
            let stage = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let message = format!("no answer within {within:?} while {stage}");
            Err(Error::new(ErrorKind::Timeout, message)
                .advice("check that the address is right and nothing blocks the way"))
        })
    }
}

/// Resolves anew and tries every address; each gets its share of the time that is left.
pub(crate) async fn dial(server: &Server, within: Duration, stage: &Stage) -> Result<TcpStream, Error> {
    let deadline = Instant::now() + within;
    let addresses = resolve(server).await?;
    stage.enter("connecting");
    let mut failures = Vec::new();
    // Whoever reports the error names the server; its address is told only where it differs.
    let told = |address: &SocketAddr, what: &dyn std::fmt::Display| {
        let (address, server) = (address.to_string(), server.to_string());
        if address == server { what.to_string() } else { format!("{address}: {what}") }
    };
    for (tried, address) in addresses.iter().enumerate() {
        let left = deadline.saturating_duration_since(Instant::now());
        let share = left / u32::try_from(addresses.len() - tried).unwrap_or(1);
        match tokio::time::timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                stream.set_nodelay(true).map_err(|e| cannot_connect(&[told(address, &e)], e.kind()))?;
                return Ok(stream);
            }
            Ok(Err(e)) => failures.push((told(address, &e), e.kind())),
            Err(_) => {
                let what = format!("no answer within {share:.1?}");
                failures.push((told(address, &what), io::ErrorKind::TimedOut));
            }
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
        io::ErrorKind::ConnectionRefused => "nothing listens there: is the server running, and is the port right?",
        _ => "check the address and the way to it",
    };
    Error::new(ErrorKind::Connect, format!("cannot connect: {}", said.join(", "))).advice(advice)
}

/// The exchange before a connection may be used: one question at a time.
struct Handshake<'a> {
    stream: Stream,
    buffer: BytesMut,
    options: &'a Options,
    next_id: i32,
}

impl Handshake<'_> {
    async fn run(mut self, login: Option<Login>, stage: &Stage) -> Result<Established, Error> {
        stage.enter("asking for its versions (does it speak Kafka's protocol?)");
        let mut session_lifetime = None;
        let versions = match &login {
            None => self.negotiate(Negotiation::highest()).await?,
            Some(login) => {
                let versions = self.negotiate(Negotiation::lowest()).await?;
                stage.enter("authenticating");
                session_lifetime = login.run(&mut self, &versions).await?;
                stage.enter("asking for its versions after authentication");
                self.negotiate(Negotiation::highest()).await?
            }
        };
        let Self { stream, buffer, next_id, .. } = self;
        Ok(Established { stream, buffer, versions, next_correlation_id: next_id, session_lifetime, login })
    }

    async fn negotiate(&mut self, mut negotiation: Negotiation) -> Result<Versions, Error> {
        loop {
            let body = self.ask(negotiation.version(), &ApiVersionsRequest::default()).await.map_err(|e| {
                let closed = e.kind() == ErrorKind::Disconnected;
                self.who_closes_like_this().filter(|_| closed).map_or(e.clone(), |advice| e.advice(advice))
            })?;
            match negotiation.handle_answer(&body) {
                Ok(Step::Done(versions)) => return Ok(versions),
                Ok(Step::Ask(_)) => {}
                Err(Refusal::Code(code)) => return Err(Error::from_code(code).in_api(ApiKey::API_VERSIONS)),
                Err(Refusal::Unreadable(e)) => {
                    return Err(Error::new(ErrorKind::Protocol, e.to_string())
                        .in_api(ApiKey::API_VERSIONS)
                        .with_source(e));
                }
            }
        }
    }

    /// What the broker may miss if it closes on the first question. A client certificate is missed only after the
    /// handshake in TLS 1.3.
    fn who_closes_like_this(&self) -> Option<&'static str> {
        let shows = self.options.tls.as_ref().map(|tls| tls.has_identity());
        match (shows, self.options.credentials.is_some()) {
            (None, false) => Some("a broker that wants TLS or SASL, or one before 0.10, closes like this"),
            (None, true) => None,
            (Some(false), false) => Some("a broker that wants a client certificate or SASL closes like this"),
            (Some(false), true) => Some("a broker that wants a client certificate closes like this"),
            (Some(true), false) => Some("a broker that wants SASL or another client certificate closes like this"),
            (Some(true), true) => Some("a broker that wants another client certificate closes like this"),
        }
    }

    async fn write(&mut self, frame: &Frame) -> Result<(), Error> {
        self.try_write(frame).await.map_err(|e| self.broken(e))
    }

    async fn try_write(&mut self, frame: &Frame) -> io::Result<()> {
        for chunk in frame.chunks() {
            self.stream.write_all(chunk).await?;
        }
        self.stream.flush().await
    }

    fn broken(&self, error: io::Error) -> Error {
        match &self.options.tls {
            _ if error.kind() == io::ErrorKind::UnexpectedEof => closed(),
            Some(tls) => tls.explain(error),
            None => broken(error),
        }
    }

    async fn read_frame(&mut self) -> Result<Bytes, Error> {
        let limit = self.options.frame_limit.min(HANDSHAKE_FRAME_LIMIT);
        loop {
            match frame::split_frame(&mut self.buffer, limit) {
                Ok(Some(frame)) => return Ok(frame),
                Ok(None) => {}
                Err(e) => return Err(foreign::explain(&self.buffer, e)),
            }
            let read = self.stream.read_buf(&mut self.buffer).await;
            if read.map_err(|e| self.broken(e))? == 0 {
                return Err(closed());
            }
        }
    }
}

impl Carrier for Handshake<'_> {
    async fn ask<R: Request>(&mut self, version: i16, request: &R) -> Result<Bytes, Error> {
        let id = self.next_id;
        self.next_id += 1;
        let frame = frame::request_frame(id, Some(&self.options.client_id), version, request)
            .map_err(|e| Error::new(ErrorKind::Config, e.to_string()).in_api(R::KEY))?;
        self.write(&frame).await.map_err(|e| e.in_api(R::KEY))?;
        let mut body = self.read_frame().await.map_err(|e| e.in_api(R::KEY))?;
        match split_correlation_id(&mut body).map_err(unreadable)? {
            got if got == id => Ok(body),
            got => {
                let message = format!("an answer with correlation id {got} came, but {id} was next");
                Err(Error::new(ErrorKind::Protocol, message).in_api(R::KEY).advice(foreign::CHECK))
            }
        }
    }

    async fn raw_token(&mut self, token: Bytes) -> Result<Bytes, Error> {
        self.last_raw_token(token).await?;
        self.read_frame().await
    }

    async fn last_raw_token(&mut self, token: Bytes) -> Result<(), Error> {
        let frame = frame::raw_token_frame(&token).map_err(|e| Error::new(ErrorKind::TooLarge, e.to_string()))?;
        self.write(&frame).await
    }
}

fn closed() -> Error {
    Error::new(ErrorKind::Disconnected, "the broker closed the connection")
}

/// A socket that failed in use.
pub(crate) fn broken(error: io::Error) -> Error {
    Error::new(ErrorKind::Disconnected, format!("the connection broke: {error}")).with_source(error)
}
