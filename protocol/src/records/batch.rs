//! Batches as they stand in record data, one after the other, the last perhaps cut.

use bytes::{Buf, BufMut, Bytes};

use super::error::{RecordsError, RecordsErrorKind};
use super::legacy;
use super::reader::OpenBatch;
use crate::compression::{Compression, Decompressor};

/// How many bytes a batch has before its records (`DefaultRecordBatch.RECORD_BATCH_OVERHEAD`).
pub const HEADER_LEN: usize = 61;
/// Base offset and length: what the length does not count.
pub(super) const LOG_OVERHEAD: usize = 12;
/// Where the length stands, in every format.
pub(super) const LENGTH_AT: usize = 8;
/// Where the checksum stands.
const CRC_AT: usize = 17;
/// Where the magic byte stands, in every format.
const MAGIC_AT: usize = 16;
/// What the checksum covers begins here: the attributes.
const CRC_FROM: usize = 21;
/// The shortest message of format v0, after the log overhead; a shorter batch cannot be.
const SHORTEST: i32 = 14;

/// A batch's fields, in wire order.
///
/// A message of format v0 or v1 has them too, as far as it can: no leader epoch and no producer (-1), one timestamp (-1 in
/// v0). A compressed one says before it is opened only what its last offset is, and its count is -1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchHeader {
    /// The first record's offset when the batch was written. Compaction keeps it.
    pub base_offset: i64,
    /// The bytes after this field.
    pub batch_length: i32,
    /// The leader's epoch when it was appended; -1 from a producer.
    pub partition_leader_epoch: i32,
    /// 2; 0 and 1 in the formats from before Kafka 0.11.
    pub magic: i8,
    /// CRC-32C from the attributes to the end; below magic 2 CRC-32 from the magic to the end.
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
    /// Of nobody, with nothing in it.
    pub(super) const EMPTY: Self = Self {
        base_offset: 0,
        batch_length: 0,
        partition_leader_epoch: -1,
        magic: 2,
        crc: 0,
        attributes: Attributes(0),
        last_offset_delta: 0,
        first_timestamp: -1,
        max_timestamp: -1,
        producer_id: -1,
        producer_epoch: -1,
        base_sequence: -1,
        count: 0,
    };

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

    /// The bytes of a batch of magic 2, as [`read`](Self::read) takes them: length and checksum as they are stated here.
    pub fn write(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        let mut out = &mut bytes[..];
        out.put_i64(self.base_offset);
        out.put_i32(self.batch_length);
        out.put_i32(self.partition_leader_epoch);
        out.put_i8(self.magic);
        out.put_u32(self.crc);
        out.put_i16(self.attributes.0);
        out.put_i32(self.last_offset_delta);
        out.put_i64(self.first_timestamp);
        out.put_i64(self.max_timestamp);
        out.put_i64(self.producer_id);
        out.put_i16(self.producer_epoch);
        out.put_i32(self.base_sequence);
        out.put_i32(self.count);
        bytes
    }

    /// A whole batch of magic 2 of these fields and these records, which are compressed already if the attributes say so.
    /// Its length and checksum are those of the bytes, whatever stands here.
    pub fn batch(&self, records: &[u8]) -> Bytes {
        let mut bytes = [&self.write()[..], records].concat();
        put(&mut bytes, LENGTH_AT, ((HEADER_LEN - LOG_OVERHEAD + records.len()) as i32).to_be_bytes());
        put_crc(&mut bytes);
        bytes.into()
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
    /// A transaction's mark.
    pub(super) const END_OF_TRANSACTION: Self = Self(Self::TRANSACTIONAL | Self::CONTROL);
    /// Of a transactional producer's batch.
    pub const OF_TRANSACTION: Self = Self(Self::TRANSACTIONAL);

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

    /// The same bits, with the broker's time or the records' own.
    #[must_use]
    pub fn with_log_append_time(self, on: bool) -> Self {
        Self((self.0 & !Self::LOG_APPEND_TIME) | if on { Self::LOG_APPEND_TIME } else { 0 })
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

/// Record data, batch by batch, in whatever mix of formats: a message of v0 or v1 is a batch of one, or of what is
/// compressed in it. Ends silently before a batch that is cut, as the last of a Fetch answer may be.
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
        let read = match self.rest.get(MAGIC_AT).copied().unwrap_or_default() as i8 {
            2 => BatchHeader::read,
            0..=1 => legacy::header,
            magic => return Err(self.error(base_offset, RecordsErrorKind::UnknownMagic(magic))),
        };
        let bytes = self.rest.split_to(len);
        let Some(header) = read(&bytes) else {
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

/// One batch, or one message of format v0 or v1, still closed: its records perhaps compressed, its checksum not looked at.
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

    /// Compares the checksum. That of a compressed message covers what is in it; the checksums in there are not looked at.
    pub fn verify_crc(&self) -> Result<(), RecordsError> {
        let (name, computed) = match self.header.magic {
            2 => ("CRC-32C", crc32c::crc32c(self.bytes.get(CRC_FROM..).unwrap_or_default())),
            _ => ("CRC-32", crc32fast::hash(self.bytes.get(legacy::CRC_FROM..).unwrap_or_default())),
        };
        if computed == self.header.crc {
            return Ok(());
        }
        Err(self.error(RecordsErrorKind::WrongCrc { name, stated: self.header.crc, computed }))
    }

    /// Makes the records readable, decompressing them if they are compressed: to `limit` bytes at most. Without a codec
    /// nothing is copied. The checksum is not looked at.
    pub fn open(&self, decompressor: &mut Decompressor, limit: usize) -> Result<OpenBatch, RecordsError> {
        if self.header.magic < 2 {
            let set = legacy::open(&self.header, &self.bytes, decompressor, limit).map_err(|kind| self.error(kind))?;
            return Ok(OpenBatch::of_messages(set, self.at));
        }
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

    pub(super) fn error(&self, kind: RecordsErrorKind) -> RecordsError {
        RecordsError::new(self.at, Some(self.header.base_offset), kind)
    }
}

/// Writes the checksum of a batch v2 into it.
pub(super) fn put_crc(batch: &mut [u8]) {
    let crc = crc32c::crc32c(batch.get(CRC_FROM..).unwrap_or_default());
    put(batch, CRC_AT, crc.to_be_bytes());
}

/// Overwrites a field.
pub(super) fn put<const N: usize>(batch: &mut [u8], at: usize, field: [u8; N]) {
    if let Some(place) = batch.get_mut(at..at + N) {
        place.copy_from_slice(&field);
    }
}
