//! What members of a consumer group tell each other. To a broker these are opaque bytes: JoinGroup carries a
//! [`Subscription`] from each member to the leader, SyncGroup an [`Assignment`] back to each (protocol type "consumer",
//! `ConsumerProtocol` at 2.3.1).
//!
//! ```
//! use ottla_protocol::group::{Assignment, Subscription, coordinator_partition};
//!
//! let mine = Subscription { topics: vec!["orders".to_owned()], ..Subscription::default() };
//! let read = Subscription::read(mine.write(0)?)?;
//! assert_eq!((read.version, read.body), (0, mine));
//! // A member that the leader left out gets no byte.
//! assert_eq!(Assignment::read(bytes::Bytes::new())?.body, Assignment::default());
//! assert_eq!(coordinator_partition("billing", 50), 9);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Payloads come from other clients, of other ages: what a later version adds at the end is passed over, since Kafka promises
//! that later versions only add there. What is missing or malformed is an error with its address.

mod assignment;
mod coordinator;
mod sticky;
mod subscription;

pub use assignment::Assignment;
pub use coordinator::coordinator_partition;
pub use sticky::StickyUserData;
pub use subscription::{GroupTopicPartitions, Subscription};

use bytes::Bytes;

use crate::wire::{DecodeError, DecodeErrorKind, EncodeError, EncodeErrorKind, Reader, Wire, Writer};

/// A payload as another member wrote it.
#[derive(Debug, Clone, PartialEq)]
pub struct Payload<T> {
    /// The version it states, from 0 on; perhaps one that is not known here.
    pub version: i16,
    /// What was understood of it.
    pub body: T,
}

/// Reads the version, then the body as far as `known`.
fn read<T: Wire>(name: &'static str, known: i16, bytes: Bytes) -> Result<Payload<T>, DecodeError> {
    let mut head = Reader::new(known, bytes);
    let version = i16::decode(&mut head).map_err(|e| e.in_field("version").in_message(name))?;
    if version < 0 {
        return Err(head.fail(DecodeErrorKind::NoSuchVersion { min: 0, max: known }).in_message(name));
    }
    let mut rest = Reader::new(version.min(known), head.into_rest());
    let body = T::decode(&mut rest).map_err(|e| e.in_message(name))?;
    Ok(Payload { version, body })
}

fn write<T: Wire>(name: &'static str, known: i16, version: i16, body: &T) -> Result<Bytes, EncodeError> {
    let mut out = Writer::new(version);
    if !(0..=known).contains(&version) {
        return Err(out.fail(EncodeErrorKind::NoSuchVersion { min: 0, max: known }).in_message(name));
    }
    version.encode(&mut out).and_then(|()| body.encode(&mut out)).map_err(|e| e.in_message(name))?;
    Ok(whole(out))
}

fn whole(out: Writer) -> Bytes {
    let mut chunks = out.into_chunks();
    if chunks.len() == 1 { chunks.swap_remove(0) } else { chunks.concat().into() }
}
