//! What can be wrong with record data: where, and what.

use std::fmt;

use crate::compression::CompressionError;

/// Record data that is not what it should be. The peer's fault, or the disk's, or the network's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordsError {
    /// How many bytes into the record data the batch begins.
    pub at: usize,
    /// The batch's base offset, if its head could be read.
    pub base_offset: Option<i64>,
    /// What is wrong.
    pub kind: RecordsErrorKind,
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecordsErrorKind {
    /// The checksum does not match: the bytes changed on the way or on the disk.
    WrongCrc {
        /// Which checksum: CRC-32C, or CRC-32 in the formats v0 and v1.
        name: &'static str,
        /// As the batch says.
        stated: u32,
        /// As the bytes are.
        computed: u32,
    },
    /// A length that no batch can have.
    BadLength(i32),
    /// A format there is not.
    UnknownMagic(i8),
    /// A codec that Kafka 2.3 does not have.
    UnknownCodec(u8),
    /// The codec refused the data.
    Compression(CompressionError),
    /// A record that is not well-formed: its number in the batch, and what about it.
    BadRecord {
        /// Counted from 0.
        index: i32,
        /// What about it.
        what: &'static str,
    },
    /// A negative record count.
    BadCount(i32),
    /// Bytes after the last record.
    Trailing(usize),
}

impl RecordsError {
    pub(crate) fn new(at: usize, base_offset: Option<i64>, kind: RecordsErrorKind) -> Self {
        Self { at, base_offset, kind }
    }
}

impl fmt::Display for RecordsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.base_offset {
            Some(offset) => write!(f, "batch at offset {offset} (byte {}): {}", self.at, self.kind),
            None => write!(f, "batch at byte {}: {}", self.at, self.kind),
        }
    }
}

impl fmt::Display for RecordsErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WrongCrc { name, stated, computed } => {
                write!(f, "wrong {name}: it says {stated:08x}, its bytes give {computed:08x}")
            }
            Self::BadLength(len) => write!(f, "no batch has a length of {len}"),
            Self::UnknownMagic(magic) => write!(f, "there is no message format v{magic}"),
            Self::UnknownCodec(id) => write!(f, "codec {id} is none that Kafka 2.3 has"),
            Self::Compression(error) => write!(f, "{error}"),
            Self::BadRecord { index, what } => write!(f, "record {index}: {what}"),
            Self::BadCount(count) => write!(f, "no batch has {count} records"),
            Self::Trailing(left) => write!(f, "{left} bytes left over after the last record"),
        }
    }
}

impl std::error::Error for RecordsError {}
