//! Batches as they stand in record data, one after the other, the last perhaps cut.

use bytes::{Buf, Bytes};

use super::error::{RecordsError, RecordsErrorKind};
use super::reader::OpenBatch;
use crate::compression::{Compression, Decompressor};

/// How many bytes a batch has before its records (`DefaultRecordBatch.RECORD_BATCH_OVERHEAD`).
pub const HEADER_LEN: usize = 61;
/// Base offset and length: what the length does not count.
const LOG_OVERHEAD: usize = 12;
/// Where the magic byte stands, in every format.
const MAGIC_AT: usize = 16;
/// What the checksum covers begins here: the attributes.
pub(crate) const CRC_FROM: usize = 21;
/// The shortest message of format v0, after the log overhead; a shorter batch cannot be.
const SHORTEST: i32 = 14;

/// A batch's fields, in wire order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchHeader {
    /// The first record's offset when the batch was written. Compaction keeps it.
    pub base_offset: i64,
    /// The bytes after this field.
    pub batch_length: i32,
    /// The leader's epoch when it was appended; -1 from a producer.
    pub partition_leader_epoch: i32,
    /// 2.
    pub magic: i8,
    /// CRC-32C from the attributes to the end.
    pub crc: u32,
    /// Codec and kind.
    pub attributes: Attributes,
    /// The last record's offset less the first's. Compaction keeps it.
    pub last_offset_delta: i32,
    /// The first record's time, in milliseconds since 1970; not always the least.
    pub first_timestamp: i64,
    /// The greatest time; under LogAppendTime every record's.
    pub max_timestamp: i64,
    /// -1 without idempotence.
    pub producer_id: i64,
    /// -1 without idempotence.
    pub producer_epoch: i16,
    /// -1 without idempotence.
    pub base_sequence: i32,
    /// How many records there are.
    pub count: i32,
}

impl BatchHeader {
    /// Reads the fields of a batch of magic 2, or `None` if there are fewer than [`HEADER_LEN`] bytes.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let mut bytes: &[u8] = bytes.first_chunk::<HEADER_LEN>()?;
        Some(Self {
            base_offset: bytes.get_i64(),
            batch_length: bytes.get_i32(),
            partition_leader_epoch: bytes.get_i32(),
            magic: bytes.get_i8(),
            crc: bytes.get_u32(),
            attributes: Attributes(bytes.get_i16()),
            last_offset_delta: bytes.get_i32(),
            first_timestamp: bytes.get_i64(),
            max_timestamp: bytes.get_i64(),
            producer_id: bytes.get_i64(),
            producer_epoch: bytes.get_i16(),
            base_sequence: bytes.get_i32(),
            count: bytes.get_i32(),
        })
    }

    /// The offset after the batch. Counted from its fields, not its records: compaction may have taken the last ones.
    pub fn next_offset(&self) -> i64 {
        self.base_offset.saturating_add(i64::from(self.last_offset_delta)).saturating_add(1)
    }
}

/// A batch's attribute bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Attributes(pub i16);

impl Attributes {
    const LOG_APPEND_TIME: i16 = 1 << 3;
    const TRANSACTIONAL: i16 = 1 << 4;
    const CONTROL: i16 = 1 << 5;

    /// The codec; an id that is none is given back.
    pub fn compression(self) -> Result<Compression, u8> {
        let id = (self.0 & 7) as u8;
        Compression::from_id(id).ok_or(id)
    }

    /// The same bits with this codec.
    #[must_use]
    pub fn with_compression(self, compression: Compression) -> Self {
        Self((self.0 & !7) | i16::from(compression.id()))
    }

    /// Whether the broker's time counts instead of the records' own.
    pub fn is_log_append_time(self) -> bool {
        self.0 & Self::LOG_APPEND_TIME != 0
    }

    /// Whether the batch is part of a transaction.
    pub fn is_transactional(self) -> bool {
        self.0 & Self::TRANSACTIONAL != 0
    }

    /// Whether it marks a transaction's end and holds no user's records.
    pub fn is_control(self) -> bool {
        self.0 & Self::CONTROL != 0
    }
}

/// Record data, batch by batch. Ends silently before a batch that is cut, as the last of a Fetch answer may be.
#[derive(Debug)]
pub struct Batches {
    rest: Bytes,
    at: usize,
    partial: bool,
}

impl Batches {
    /// Over the record data of one partition.
    pub fn new(records: Bytes) -> Self {
        Self { rest: records, at: 0, partial: false }
    }

    /// Whether the data ended inside a batch. Meaningful once the iterator has ended.
    pub fn saw_partial(&self) -> bool {
        self.partial
    }

    fn split(&mut self) -> Result<Option<Batch>, RecordsError> {
        let Some(head) = self.rest.first_chunk::<LOG_OVERHEAD>() else {
            self.partial = !self.rest.is_empty();
            return Ok(None);
        };
        let mut head = &head[..];
        let (base_offset, length) = (head.get_i64(), head.get_i32());
        // Before anything else: a down-converting broker pads its answer with a batch whose size runs past the end
        // (`LazyDownConversionRecordsSend`).
        let Some(len) = usize::try_from(length).ok().map(|length| length.saturating_add(LOG_OVERHEAD)) else {
            return Err(self.error(base_offset, RecordsErrorKind::BadLength(length)));
        };
        if len > self.rest.len() {
            self.partial = true;
            return Ok(None);
        }
        if length < SHORTEST {
            return Err(self.error(base_offset, RecordsErrorKind::BadLength(length)));
        }
        match self.rest.get(MAGIC_AT).copied().unwrap_or_default() as i8 {
            2 => {}
            magic @ 0..=1 => return Err(self.error(base_offset, RecordsErrorKind::LegacyMagic(magic))),
            magic => return Err(self.error(base_offset, RecordsErrorKind::UnknownMagic(magic))),
        }
        let bytes = self.rest.split_to(len);
        let Some(header) = BatchHeader::read(&bytes) else {
            return Err(self.error(base_offset, RecordsErrorKind::BadLength(length)));
        };
        let batch = Batch { header, bytes, at: self.at };
        self.at += len;
        Ok(Some(batch))
    }

    fn error(&self, base_offset: i64, kind: RecordsErrorKind) -> RecordsError {
        RecordsError::new(self.at, Some(base_offset), kind)
    }
}

impl Iterator for Batches {
    type Item = Result<Batch, RecordsError>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.split().transpose();
        if matches!(next, Some(Err(_))) {
            // What follows a broken batch cannot be found.
            self.rest.clear();
        }
        next
    }
}

/// One batch, still closed: its records perhaps compressed, its checksum not looked at.
#[derive(Debug, Clone)]
pub struct Batch {
    header: BatchHeader,
    bytes: Bytes,
    at: usize,
}

impl Batch {
    /// Its fields.
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// All its bytes.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The offset after it.
    pub fn next_offset(&self) -> i64 {
        self.header.next_offset()
    }

    /// Compares the checksum.
    pub fn verify_crc(&self) -> Result<(), RecordsError> {
        let computed = crc32c::crc32c(self.bytes.get(CRC_FROM..).unwrap_or_default());
        if computed == self.header.crc {
            return Ok(());
        }
        Err(self.error(RecordsErrorKind::WrongCrc { stated: self.header.crc, computed }))
    }

    /// Makes the records readable, decompressing them if they are compressed: to `limit` bytes at most. Without a codec
    /// nothing is copied. The checksum is not looked at.
    pub fn open(&self, decompressor: &mut Decompressor, limit: usize) -> Result<OpenBatch, RecordsError> {
        if self.header.count < 0 {
            return Err(self.error(RecordsErrorKind::BadCount(self.header.count)));
        }
        let payload = self.bytes.slice(HEADER_LEN..);
        let payload = match self.header.attributes.compression() {
            Err(id) => return Err(self.error(RecordsErrorKind::UnknownCodec(id))),
            Ok(Compression::None) => payload,
            Ok(codec) => decompressor
                .decompress(codec, &payload, limit)
                .map_err(|e| self.error(RecordsErrorKind::Compression(e)))?,
        };
        Ok(OpenBatch::new(self.header, payload, self.at))
    }

    fn error(&self, kind: RecordsErrorKind) -> RecordsError {
        RecordsError::new(self.at, Some(self.header.base_offset), kind)
    }
}
