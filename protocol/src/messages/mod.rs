//! The messages, one file an API, named for it.
//!
//! A declaration reads like the protocol guide and is the only place where a version rule stands:
//!
//! ```text
//! messages! {
//!     request MetadataRequest = METADATA (0..=8) => MetadataResponse {
//!         topics: Option<Vec<MetadataRequestTopic>> [0.., null 1..],
//!         allow_auto_topic_creation: bool [4..] = true,
//!     }
//!     struct MetadataRequestTopic { name: String }
//!     struct MetadataResponse { throttle_time_ms: i32 [3..], … }
//! }
//! ```
//!
//! No bracket: in every version. `[4..]`, `[2..=4]`: only then. `null 1..`: an `Option` may be null from version 1 on
//! (without it: always). `ignorable`: dropped silently where the version lacks the field; otherwise a value other than the
//! default is an error there. Names are Kafka's own at 2.3.1, in snake case.

mod api_versions;
mod create_topics;
mod fetch;
mod find_coordinator;
mod heartbeat;
mod init_producer_id;
mod join_group;
mod leave_group;
mod list_offsets;
mod metadata;
mod offset_commit;
mod offset_fetch;
mod produce;
mod sasl_authenticate;
mod sasl_handshake;
mod sync_group;

use std::fmt::Debug;
use std::ops::RangeInclusive;

use bytes::Bytes;

use crate::ApiKey;
use crate::wire::{DecodeError, DecodeErrorKind, EncodeError, EncodeErrorKind, Reader, Wire, Writer};

pub use api_versions::*;
pub use create_topics::*;
pub use fetch::*;
pub use find_coordinator::*;
pub use heartbeat::*;
pub use init_producer_id::*;
pub use join_group::*;
pub use leave_group::*;
pub use list_offsets::*;
pub use metadata::*;
pub use offset_commit::*;
pub use offset_fetch::*;
pub use produce::*;
pub use sasl_authenticate::*;
pub use sasl_handshake::*;
pub use sync_group::*;

/// A request's or a response's body.
pub trait Message: Wire + Debug + Clone + Default + PartialEq + Send + Sync + 'static {
    /// The API it belongs to.
    const KEY: ApiKey;
    /// Its Rust name.
    const NAME: &'static str;
    /// The versions that Kafka 2.3.1 knows.
    const VERSIONS: RangeInclusive<i16>;

    /// Reads a whole body. Bytes left over are an error: they mean that the two sides do not agree on the layout.
    fn read(version: i16, body: Bytes) -> Result<Self, DecodeError> {
        let (min, max) = (*Self::VERSIONS.start(), *Self::VERSIONS.end());
        let mut input = Reader::new(version, body);
        if !Self::VERSIONS.contains(&version) {
            return Err(input.fail(DecodeErrorKind::NoSuchVersion { min, max }).in_message(Self::NAME));
        }
        let message = Self::decode(&mut input).map_err(|e| e.in_message(Self::NAME))?;
        match input.left() {
            0 => Ok(message),
            left => Err(input.fail(DecodeErrorKind::Trailing(left)).in_message(Self::NAME)),
        }
    }

    /// Appends the body. The writer's version decides the layout.
    fn write_to(&self, out: &mut Writer) -> Result<(), EncodeError> {
        let (min, max) = (*Self::VERSIONS.start(), *Self::VERSIONS.end());
        if !Self::VERSIONS.contains(&out.version()) {
            return Err(out.fail(EncodeErrorKind::NoSuchVersion { min, max }).in_message(Self::NAME));
        }
        self.encode(out).map_err(|e| e.in_message(Self::NAME))
    }

    /// The body alone, as chunks; large byte fields are among them by reference.
    fn write(&self, version: i16) -> Result<Vec<Bytes>, EncodeError> {
        let mut out = Writer::new(version);
        self.write_to(&mut out)?;
        Ok(out.into_chunks())
    }
}

/// A message that asks.
pub trait Request: Message {
    /// What answers it, in the same version.
    type Response: Message;
}
