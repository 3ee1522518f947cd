//! One client connection: frames in, in order; answers out, in order; nothing queued in between.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use ottla_protocol::ErrorCode;
use ottla_protocol::frame::{self, Frame, FrameError};
use ottla_protocol::header::RequestHeader;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, OwnedSemaphorePermit};
use tokio::time::timeout;
use tracing::{debug, warn};

use crate::builder::MAX_FRAME;
use crate::connections::{Admission, ConnectionId};
use crate::faults::{Instead, Plan};
use crate::handlers::{self, Call, Outcome};
use crate::sasl::{Gate, Sasl, Stage};
use crate::shared::Shared;
use crate::stream::Stream;

/// The largest frame before a client has authenticated (`SaslServerAuthenticator.MAX_RECEIVE_SIZE`).
const MAX_FRAME_BEFORE_SASL: usize = 524_288;

/// How much room is made at once for what comes. A peer's claim alone gets no memory.
const READ_BYTES: usize = 256 << 10;

/// How many chunks go into one write.
const MAX_SLICES: usize = 64;

/// How long a client may be silent between two requests (`connections.max.idle.ms`).
const MAX_IDLE: Duration = Duration::from_mins(10);

/// How long a request may take from its first byte to its last, and a TLS handshake.
const MAX_RECEIVING: Duration = Duration::from_secs(30);

/// A client and the node it talks to.
pub(crate) struct Connection {
    place: Place,
    node: i32,
    stream: Stream,
    received: BytesMut,
    sasl: Sasl,
    /// The room that the request which is served takes.
    room: Option<OwnedSemaphorePermit>,
}

/// A connection among all; dropping it leaves its place to another.
pub(crate) struct Place {
    shared: Arc<Shared>,
    id: ConnectionId,
    close: Arc<Notify>,
}

impl Place {
    /// `None`: the client is refused, which is said.
    pub(crate) fn take(shared: &Arc<Shared>, node: i32, peer: SocketAddr) -> Option<Self> {
        let admission = shared.connections().admit(peer.ip(), shared.now());
        match admission {
            Admission::Served { id, close, instead_of } => {
                if let Some(closed) = instead_of {
                    warn!(node, %peer, %closed, "too many connections: the one that was idle for longest is closed");
                }
                Some(Self { shared: Arc::clone(shared), id, close })
            }
            Admission::Refused => {
                warn!(node, %peer, "connection refused: there are too many, and all are busy");
                None
            }
        }
    }

    fn set_serving(&self, serving: bool) {
        self.shared.connections().set_serving(self.id, serving, self.shared.now());
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.shared.connections().remove(self.id);
    }
}

/// Why a connection ends.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Frame(#[from] FrameError),
    #[error("{0}")]
    Refused(String),
    /// Said already, or wanted.
    #[error("closed")]
    Closed,
}

impl Connection {
    /// Serves a client until one side closes.
    pub(crate) async fn run(place: Place, node: i32, peer: SocketAddr, socket: TcpStream) {
        let close = Arc::clone(&place.close);
        let serve = async {
            // Answers are written whole; waiting for more would only delay them.
            socket.set_nodelay(true)?;
            let protected = timeout(MAX_RECEIVING, protect(&place.shared, socket)).await;
            let stream = protected.unwrap_or_else(|_| Err(End::Refused("no TLS handshake in time".to_owned())))?;
            let sasl = Sasl::new(&place.shared.settings.logins);
            Self { place, node, stream, received: BytesMut::new(), sasl, room: None }.serve().await
        };
        let served = tokio::select! {
            served = serve => served,
            () = close.notified() => Err(End::Closed),
        };
        match served {
            Ok(()) | Err(End::Closed) => debug!(node, %peer, "connection closed"),
            Err(End::Io(error)) => debug!(node, %peer, %error, "connection lost"),
            Err(end) => warn!(node, %peer, "connection closed by the broker: {end}"),
        }
    }

    async fn serve(&mut self) -> Result<(), End> {
        while let Some(frame) = self.next_frame().await? {
            self.place.set_serving(true);
            if self.sasl.stage() == Stage::Raw {
                self.raw_token(&frame).await?;
            } else {
                self.request(frame).await?;
            }
            self.place.set_serving(false);
        }
        Ok(())
    }

    /// The next frame without its size, or `None` at the end of the stream.
    async fn next_frame(&mut self) -> Result<Option<Bytes>, End> {
        self.room = None;
        if self.received.is_empty() {
            self.received.reserve(4 << 10);
            match timeout(MAX_IDLE, self.stream.read_buf(&mut self.received)).await {
                Ok(read) => {
                    if read? == 0 {
                        return Ok(None);
                    }
                }
                Err(_) => return Err(End::Closed),
            }
        }
        let received = timeout(MAX_RECEIVING, self.rest_of_frame()).await;
        received.unwrap_or_else(|_| Err(End::Refused(format!("a request was not whole within {MAX_RECEIVING:?}"))))
    }

    /// The frame that has begun.
    async fn rest_of_frame(&mut self) -> Result<Option<Bytes>, End> {
        let limit = if self.sasl.stage() == Stage::Open { MAX_FRAME } else { MAX_FRAME_BEFORE_SASL };
        loop {
            if let Some(frame) = frame::split_frame(&mut self.received, limit)? {
                return Ok(Some(frame));
            }
            let len = frame::frame_len(&self.received, limit)?.unwrap_or(0);
            if len > READ_BYTES && self.room.is_none() {
                let kib = u32::try_from(len.div_ceil(1024)).unwrap_or(u32::MAX);
                // The semaphore is never closed.
                self.room = Arc::clone(&self.place.shared.request_memory).acquire_many_owned(kib).await.ok();
            }
            let missing = len.saturating_sub(self.received.len());
            self.received.reserve(missing.clamp(4 << 10, READ_BYTES));
            if self.stream.read_buf(&mut self.received).await? == 0 {
                let left = self.received.len();
                return if left == 0 {
                    Ok(None)
                } else {
                    Err(End::Refused(format!("it ended {left} bytes into a frame")))
                };
            }
        }
    }

    /// A token without a header, after a handshake of version 0. A failure is just a close.
    async fn raw_token(&mut self, token: &Bytes) -> Result<(), End> {
        let answer = self.sasl.token(&self.place.shared.settings.logins, token, self.place.shared.moment());
        let answer = answer.map_err(|(_, why)| End::Refused(why))?;
        let Some(token) = answer.token else { return Ok(()) };
        let frame = frame::raw_token_frame(&token).map_err(|error| End::Refused(error.to_string()))?;
        self.write(frame).await
    }

    async fn request(&mut self, mut body: Bytes) -> Result<(), End> {
        let header = RequestHeader::decode(&mut body).map_err(|error| End::Refused(error.to_string()))?;
        let plan = self.place.shared.faults().request(self.node, header.api_key);
        if !plan.delay.is_zero() {
            tokio::time::sleep(plan.delay).await;
        }
        let forced = match plan.instead {
            Some(Instead::Close) => return Err(End::Closed),
            Some(Instead::Silence) => return self.never_answer().await,
            Some(Instead::Error(error)) => Some(error),
            None => None,
        };
        self.apply(&header, body, forced, plan).await
    }

    async fn apply(
        &mut self,
        header: &RequestHeader,
        body: Bytes,
        forced: Option<ErrorCode>,
        plan: Plan,
    ) -> Result<(), End> {
        let (forced, close) = match self.sasl.gate(header.api_key, self.place.shared.now()) {
            Gate::Serve => (forced, plan.close_after),
            Gate::Refuse(error) => {
                let frame = handlers::refusal(header, body, error).map_err(End::Refused)?;
                self.write(frame).await?;
                return Err(End::Refused(error.to_string()));
            }
            Gate::Close(why) => return Err(End::Refused(format!("{}: {why}", header.api_key))),
        };
        let mut call = Call {
            shared: &self.place.shared,
            node: self.node,
            version: header.api_version,
            client_id: header.client_id.as_deref().unwrap_or_default(),
            sasl: &mut self.sasl,
        };
        let outcome = handlers::answer(&mut call, header, body, forced).await;
        if close {
            return Err(End::Closed);
        }
        match outcome {
            Outcome::Answer(frame) => self.write(frame).await,
            Outcome::Nothing => Ok(()),
            Outcome::Close(why) => Err(End::Refused(why)),
            Outcome::AnswerAndClose(frame, why) => {
                self.write(frame).await?;
                Err(End::Refused(why))
            }
        }
    }

    /// Takes what comes and says nothing, until the client closes.
    async fn never_answer(&mut self) -> Result<(), End> {
        loop {
            self.received.clear();
            self.received.reserve(4 << 10);
            if self.stream.read_buf(&mut self.received).await? == 0 {
                return Err(End::Closed);
            }
        }
    }

    /// Writes a frame's chunks without joining them.
    async fn write(&mut self, frame: Frame) -> Result<(), End> {
        let mut chunks = frame.into_chunks();
        let mut first = 0;
        while first < chunks.len() {
            let slices: Vec<IoSlice<'_>> =
                chunks[first..].iter().take(MAX_SLICES).map(|chunk| IoSlice::new(chunk)).collect();
            let mut written = self.stream.write_vectored(&slices).await?;
            if written == 0 {
                return Err(End::Io(io::ErrorKind::WriteZero.into()));
            }
            while let Some(chunk) = chunks.get_mut(first).filter(|_| written > 0) {
                let taken = written.min(chunk.len());
                chunk.advance(taken);
                written -= taken;
                first += usize::from(chunk.is_empty());
            }
            first += chunks[first..].iter().take_while(|chunk| chunk.is_empty()).count();
        }
        // TLS holds back what the socket did not take at once.
        Ok(self.stream.flush().await?)
    }
}

/// The TLS handshake, if the listener wants one.
#[cfg(feature = "tls")]
async fn protect(shared: &Shared, socket: TcpStream) -> Result<Stream, End> {
    match &shared.settings.tls {
        None => Ok(Stream::Plain(socket)),
        Some(tls) => {
            let accepted = tls.accept(socket).await;
            Ok(Stream::Tls(accepted.map_err(|e| End::Refused(format!("the TLS handshake failed: {e}")))?))
        }
    }
}

#[cfg(not(feature = "tls"))]
#[expect(clippy::unused_async, reason = "the same as with TLS")]
async fn protect(_: &Shared, socket: TcpStream) -> Result<Stream, End> {
    Ok(Stream::Plain(socket))
}
