//! Message sets: the formats v0 and v1, from before Kafka 0.11 (`LegacyRecord`, `AbstractLegacyRecordBatch`).
//!
//! A message set is messages one after the other, each with its offset. A compressed message holds a message set in its
//! value, one level deep. Brokers to this day give topics out as they are stored, so a reader meets these formats beside
//! batches of format v2; a Produce before version 3 carries nothing else.

mod read;
mod write;

pub(super) use read::{OpenSet, header, open, take_message};
pub use write::MessageSetBuilder;

use crate::compression::{Compression, CompressionError};

/// Offset and size: what the size does not count.
const ENTRY_HEAD: usize = 12;
/// What the checksum covers begins here, in an entry: the magic.
pub(super) const CRC_FROM: usize = 16;

/// A message format from before Kafka 0.11.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MessageFormat {
    /// Magic 0: no timestamps; offsets in a compressed message are absolute. Produce 0 and 1, Fetch 0 and 1.
    V0,
    /// Magic 1 (KIP-31, KIP-32): a timestamp; offsets in a compressed message count from its first. Produce 2, Fetch 2 and 3.
    V1,
}

impl MessageFormat {
    /// The format with this magic byte; `None` for batches v2 and for what there is not.
    pub fn from_magic(magic: i8) -> Option<Self> {
        match magic {
            0 => Some(Self::V0),
            1 => Some(Self::V1),
            _ => None,
        }
    }

    /// Its magic byte.
    pub fn magic(self) -> i8 {
        match self {
            Self::V0 => 0,
            Self::V1 => 1,
        }
    }

    /// Refuses a codec that the format does not have: zstd came with batches v2 only (KIP-110).
    pub fn check_codec(self, codec: Compression) -> Result<(), CompressionError> {
        match codec {
            Compression::Zstd => Err(CompressionError::NotInFormat { codec, magic: self.magic() }),
            _ => Ok(()),
        }
    }
}
