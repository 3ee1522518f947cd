//! The two tasks of a connection, which alone touch its socket.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::sync::Arc;
use std::time::Instant;

use bytes::{Buf, Bytes, BytesMut};
use ottla_protocol::frame::{self, Frame};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Shared, Work, Writing};
use crate::error::{Error, ErrorKind};
use crate::net::connect::broken;
use crate::net::foreign;
use crate::net::stream::{ReadHalf, WriteHalf};

/// How many slices one vectored write takes; the kernel's own limit is 1024.
const SLICES: usize = 64;
/// How much is read at least at a time.
const READ_AHEAD: usize = 64 * 1024;
/// How far the buffer grows at once on a peer's word alone; beyond it, it doubles as bytes really come.
const TRUSTED_GROWTH: usize = 1024 * 1024;

/// The writer: it also closes the connection when a question expires or nothing was asked for long.
pub(super) async fn write(shared: Arc<Shared>, mut socket: WriteHalf) {
    loop {
        match shared.next_work() {
            Work::Write(Writing { frames, unanswered, deadline }) => {
                let written = tokio::select! {
                    written = write_all(&mut socket, frames) => written.map_err(broken),
                    () = sleep_until(deadline) => Err(Error::new(
                        ErrorKind::Timeout,
                        "the broker did not take the request in time; the connection is closed for it",
                    )),
                    () = ended(&shared) => return,
                };
                if let Err(e) = written {
                    return shared.close(&e);
                }
                for unanswered in unanswered {
                    let _ = unanswered.written.send(());
                }
            }
            Work::Renew => {
                tokio::spawn(super::renewal::renew(shared.clone()));
            }
            Work::Wait(until) => {
                tokio::select! {
                    () = shared.wake.notified() => {}
                    () = tokio::time::sleep_until(until.into()) => {}
                }
            }
            Work::Close(e) => return shared.close(&e),
            Work::End => return,
        }
    }
}

async fn sleep_until(instant: Option<Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant.into()).await,
        None => std::future::pending().await,
    }
}

pub(super) async fn ended(shared: &Shared) {
    // The sender lives in `shared`, so this cannot fail.
    let _ = shared.ended.subscribe().wait_for(|ended| *ended).await;
}

/// Writes all chunks of all frames, as many with each call as the socket takes.
async fn write_all(socket: &mut WriteHalf, frames: Vec<Frame>) -> std::io::Result<()> {
    let mut chunks: VecDeque<Bytes> = frames.into_iter().flat_map(Frame::into_chunks).collect();
    chunks.retain(|chunk| !chunk.is_empty());
    while !chunks.is_empty() {
        let mut slices = [IoSlice::new(&[]); SLICES];
        for (slice, chunk) in slices.iter_mut().zip(&chunks) {
            *slice = IoSlice::new(chunk);
        }
        let count = chunks.len().min(SLICES);
        let mut written = socket.write_vectored(&slices[..count]).await?;
        if written == 0 {
            return Err(std::io::ErrorKind::WriteZero.into());
        }
        while let Some(front) = chunks.front_mut().filter(|_| written > 0) {
            let part = written.min(front.len());
            front.advance(part);
            written -= part;
            if front.is_empty() {
                chunks.pop_front();
            }
        }
    }
    // TLS holds back what the socket did not take at once.
    socket.flush().await
}

/// The reader: ends when the connection does.
pub(super) async fn read(shared: Arc<Shared>, mut socket: ReadHalf, mut buffer: BytesMut) {
    loop {
        if let Err(e) = cut_frames(&shared, &mut buffer) {
            return shared.close(&e);
        }
        let read = tokio::select! {
            read = socket.read_buf(&mut buffer) => read,
            () = ended(&shared) => return,
        };
        match read {
            Ok(0) => return shared.close(&closed_by_peer(&buffer)),
            Ok(_) => {}
            // TLS without its own word of farewell. A frame that was cut is noticed by its length.
            Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => return shared.close(&closed_by_peer(&buffer)),
            Err(e) => return shared.close(&broken(e)),
        }
    }
}

/// Delivers every whole frame and makes room for more of the next one.
fn cut_frames(shared: &Shared, buffer: &mut BytesMut) -> Result<(), Error> {
    let whole = loop {
        match frame::split_frame(buffer, shared.frame_limit) {
            Ok(Some(frame)) => shared.deliver(frame)?,
            Ok(None) => break frame::frame_len(buffer, shared.frame_limit).ok().flatten(),
            Err(e) => return Err(foreign::explain(buffer, e)),
        }
    };
    let missing = whole.map_or(0, |whole| whole - buffer.len());
    let spare = buffer.capacity() - buffer.len();
    let wanted = missing.min(buffer.len().max(TRUSTED_GROWTH));
    if wanted > spare {
        buffer.reserve(wanted);
    } else if spare < READ_AHEAD / 16 {
        buffer.reserve(READ_AHEAD);
    }
    Ok(())
}

fn closed_by_peer(buffer: &BytesMut) -> Error {
    let message = match buffer.len() {
        0 => "the broker closed the connection".to_owned(),
        some => format!("the broker closed the connection in the middle of an answer, after {some} bytes of it"),
    };
    Error::new(ErrorKind::Disconnected, message)
}
