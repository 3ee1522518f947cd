//! A size, a header, a body: what travels.

use bytes::{Buf, Bytes, BytesMut};

use crate::header;
use crate::messages::{Message, Request};
use crate::wire::{EncodeError, Wire, Writer};

/// The largest frame a broker takes unless it is set otherwise (`socket.request.max.bytes`).
pub const DEFAULT_LIMIT: usize = 100 * 1024 * 1024;

/// A frame ready for one vectored write: its int32 size is the first thing in the first chunk.
#[derive(Debug, Clone)]
pub struct Frame {
    chunks: Vec<Bytes>,
    len: usize,
}

impl Frame {
    /// The chunks in order. Record data is among them by reference.
    pub fn chunks(&self) -> &[Bytes] {
        &self.chunks
    }

    /// The chunks in order.
    pub fn into_chunks(self) -> Vec<Bytes> {
        self.chunks
    }

    /// All bytes, the size field included.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Never: a frame has at least its size field.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn write(version: i16, fill: impl FnOnce(&mut Writer) -> Result<(), EncodeError>) -> Result<Self, EncodeError> {
        let mut out = Writer::new(version);
        0_i32.encode(&mut out)?;
        fill(&mut out)?;
        let mut len = 0;
        let chunks = out.finish(|head, total| {
            len = total;
            // A body of more than 2 GiB cannot be built: each of its byte fields is at most that, and the request's
            // limit is far below.
            let size = i32::try_from(total.saturating_sub(4)).unwrap_or(i32::MAX).to_be_bytes();
            if let Some(field) = head.first_chunk_mut() {
                *field = size;
            }
        });
        Ok(Self { chunks, len })
    }
}

/// A request with its header.
pub fn request_frame<R: Request>(
    correlation_id: i32,
    client_id: Option<&str>,
    version: i16,
    request: &R,
) -> Result<Frame, EncodeError> {
    Frame::write(version, |out| {
        header::encode(out, R::KEY, version, correlation_id, client_id)?;
        request.write_to(out)
    })
}

/// A response with its header.
pub fn response_frame<M: Message>(correlation_id: i32, version: i16, response: &M) -> Result<Frame, EncodeError> {
    Frame::write(version, |out| {
        correlation_id.encode(out)?;
        response.write_to(out)
    })
}

/// A SASL token as it travels after a handshake of version 0: its length and itself, no header.
pub fn raw_token_frame(token: &Bytes) -> Result<Frame, EncodeError> {
    let mut out = Writer::new(0);
    token.encode(&mut out)?;
    let chunks = out.into_chunks();
    Ok(Frame { len: token.len() + 4, chunks })
}

/// A size that cannot be a frame's. The stream is of no use after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Below zero.
    #[error("frame size {0} is negative: the peer does not speak Kafka's protocol, or the stream is out of step")]
    Negative(i32),
    /// Above the limit.
    #[error(
        "frame of {size} bytes is above the limit of {limit}: the limit is too low, or the peer does not speak Kafka's \
         protocol (a TLS port answers a plaintext client like this)"
    )]
    TooLarge {
        /// The size that came.
        size: usize,
        /// The limit.
        limit: usize,
    },
}

/// How many bytes the frame at the front takes with its size field, or `None` if not even that is there.
pub fn frame_len(buffer: &[u8], limit: usize) -> Result<Option<usize>, FrameError> {
    let Some(size) = buffer.first_chunk() else { return Ok(None) };
    let size = i32::from_be_bytes(*size);
    let Ok(len) = usize::try_from(size) else { return Err(FrameError::Negative(size)) };
    if len > limit {
        return Err(FrameError::TooLarge { size: len, limit });
    }
    Ok(Some(len + 4))
}

/// Takes one whole frame off the front, without its size field. `None`: more bytes are needed.
pub fn split_frame(buffer: &mut BytesMut, limit: usize) -> Result<Option<Bytes>, FrameError> {
    let Some(len) = frame_len(buffer, limit)? else { return Ok(None) };
    if buffer.len() < len {
        return Ok(None);
    }
    let mut frame = buffer.split_to(len).freeze();
    frame.advance(4);
    Ok(Some(frame))
}
