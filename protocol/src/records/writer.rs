//! Builds a batch: each record is encoded where it will stay.

use bytes::{Bytes, BytesMut};

use super::batch::{Attributes, BatchHeader, HEADER_LEN, LOG_OVERHEAD, put, put_crc};
use super::record::{Header, Headers};
use super::small::put_small;
use super::varint::{field_len, put_bytes, put_field, put_head, put_varint, varint_len};
use crate::compression::{Compression, CompressionError, Compressor};

/// The most bytes a record may take in a batch, whatever its deltas are.
pub fn record_size_bound(key_len: usize, value_len: usize, headers: &[Header<'_>]) -> usize {
    let headers: usize = headers.iter().map(|h| 10 + h.key.len() + h.value.map_or(0, <[u8]>::len)).sum();
    // Length, attributes, two deltas, two lengths, header count.
    5 + 1 + 10 + 5 + 5 + 5 + 5 + key_len + value_len + headers
}

/// A batch that takes records. The bytes are the wire's already.
#[derive(Debug)]
pub struct BatchBuilder {
    /// The header's place, then the records.
    buffer: Vec<u8>,
    count: i32,
    first_timestamp: i64,
    max_timestamp: i64,
    attributes: Attributes,
}

impl BatchBuilder {
    /// With room for `bytes` before it grows.
    pub fn with_capacity(bytes: usize) -> Self {
        Self::in_buffer(Vec::with_capacity(bytes.max(HEADER_LEN)))
    }

    /// In a buffer that was used before ([`SealedBatch::recycle`]); what is in it is overwritten.
    pub fn in_buffer(mut buffer: Vec<u8>) -> Self {
        buffer.clear();
        buffer.resize(HEADER_LEN, 0);
        Self { buffer, count: 0, first_timestamp: -1, max_timestamp: -1, attributes: Attributes::default() }
    }

    /// The same with these bits; sealing sets the codec's.
    #[must_use]
    pub fn with_attributes(self, attributes: Attributes) -> Self {
        Self { attributes, ..self }
    }

    /// Appends a record. `timestamp_ms` counts from 1970.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "see `put_small`")]
    pub fn append(&mut self, timestamp_ms: i64, key: Option<&[u8]>, value: Option<&[u8]>, headers: &[Header<'_>]) {
        if headers.is_empty() {
            return self.append_plain(timestamp_ms, key, value);
        }
        self.append_headed(timestamp_ms, key, value, headers);
    }

    fn append_headed(&mut self, timestamp_ms: i64, key: Option<&[u8]>, value: Option<&[u8]>, headers: &[Header<'_>]) {
        let count = headers.len() as i32;
        let len = varint_len(count)
            + headers.iter().map(|h| field_len(Some(h.key.as_bytes())) + field_len(h.value)).sum::<usize>();
        self.append_with(timestamp_ms, key, value, len, |out| {
            put_varint(out, count);
            for header in headers {
                put_field(out, Some(header.key.as_bytes()));
                put_field(out, header.value);
            }
        });
    }

    /// Appends a record with the headers of one that was read, as they stand.
    #[inline]
    pub fn append_raw_headers(
        &mut self,
        timestamp_ms: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: Headers<'_>,
    ) {
        if headers.is_empty() {
            return self.append_plain(timestamp_ms, key, value);
        }
        let len = varint_len(headers.count) + headers.encoded_len();
        self.append_with(timestamp_ms, key, value, len, |out| {
            put_varint(out, headers.count);
            out.extend_from_slice(headers.bytes);
        });
    }

    #[inline(always)]
    #[expect(clippy::inline_always, reason = "see `put_small`")]
    fn append_plain(&mut self, timestamp_ms: i64, key: Option<&[u8]>, value: Option<&[u8]>) {
        let delta = self.delta(timestamp_ms);
        // With and without a key apart: what is known of it when this is compiled need not be computed.
        let small = match key {
            Some(key) => put_small(&mut self.buffer, delta, self.count, Some(key), value),
            None => put_small(&mut self.buffer, delta, self.count, None, value),
        };
        if small {
            self.count += 1;
        } else {
            self.append_large(timestamp_ms, key, value);
        }
    }

    // Apart, so that it leaves the registers to the small ones.
    #[inline(never)]
    fn append_large(&mut self, timestamp_ms: i64, key: Option<&[u8]>, value: Option<&[u8]>) {
        self.append_with(timestamp_ms, key, value, 1, |out| out.push(0));
    }

    /// Notes a record's time. Gives how far it is from the first one's.
    #[inline]
    fn delta(&mut self, timestamp_ms: i64) -> i64 {
        if self.count == 0 {
            (self.first_timestamp, self.max_timestamp) = (timestamp_ms, timestamp_ms);
        }
        self.max_timestamp = self.max_timestamp.max(timestamp_ms);
        timestamp_ms.wrapping_sub(self.first_timestamp)
    }

    fn append_with(
        &mut self,
        timestamp_ms: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers_len: usize,
        put_headers: impl FnOnce(&mut Vec<u8>),
    ) {
        let delta = self.delta(timestamp_ms);
        let rest = key.map_or(0, <[u8]>::len) + field_len(value) + headers_len;
        put_head(&mut self.buffer, delta, self.count, key, rest);
        if let Some(key) = key {
            put_bytes(&mut self.buffer, key);
        }
        put_field(&mut self.buffer, value);
        put_headers(&mut self.buffer);
        self.count += 1;
    }

    /// The bytes so far, the header included, uncompressed.
    pub fn len(&self) -> usize {
        self.buffer.len()
    }

    /// The records so far, without a header, uncompressed.
    pub fn records(&self) -> &[u8] {
        self.buffer.get(HEADER_LEN..).unwrap_or_default()
    }

    /// How many records there are.
    pub fn count(&self) -> i32 {
        self.count
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Ends the batch and compresses it, as of a producer without idempotence: it can be sent so, or be
    /// [stamped](SealedBatch::stamp).
    pub fn seal(
        self,
        compression: Compression,
        level: Option<i32>,
        compressor: &mut Compressor,
    ) -> Result<SealedBatch, CompressionError> {
        self.seal_stamped(compression, level, compressor, ProducerStamp::NONE)
    }

    /// [`seal`](Self::seal) and [`stamp`](SealedBatch::stamp) in one, with one checksum instead of two.
    pub fn seal_stamped(
        self,
        compression: Compression,
        level: Option<i32>,
        compressor: &mut Compressor,
        stamp: ProducerStamp,
    ) -> Result<SealedBatch, CompressionError> {
        let uncompressed_len = self.buffer.len();
        let mut spare = Vec::new();
        let mut buffer = self.buffer;
        if compression != Compression::None {
            let mut compressed = Vec::with_capacity(HEADER_LEN + buffer.len() / 2);
            compressed.resize(HEADER_LEN, 0);
            compressor.compress(compression, level, buffer.get(HEADER_LEN..).unwrap_or_default(), &mut compressed)?;
            spare = std::mem::replace(&mut buffer, compressed);
        }
        let len = i32::try_from(buffer.len()).map_err(|_| CompressionError::too_large(buffer.len()))?;
        let header = BatchHeader {
            batch_length: len - LOG_OVERHEAD as i32,
            attributes: self.attributes.with_compression(compression),
            last_offset_delta: self.count - 1,
            first_timestamp: self.first_timestamp,
            max_timestamp: self.max_timestamp,
            count: self.count,
            ..BatchHeader::EMPTY
        };
        put(&mut buffer, 0, header.write());
        let bytes = Bytes::from(buffer);
        let mut sealed = SealedBatch { bytes, count: self.count, uncompressed_len, compression, spare };
        sealed.stamp(stamp);
        Ok(sealed)
    }
}

/// Who wrote a batch, and the how many-th record of that producer and partition is its first (KIP-98).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProducerStamp {
    /// From InitProducerId.
    pub producer_id: i64,
    /// From InitProducerId.
    pub producer_epoch: i16,
    /// Counts records, from 0, and wraps from 2^31-1 to 0.
    pub base_sequence: i32,
}

impl ProducerStamp {
    /// Of a producer without idempotence.
    pub const NONE: Self = Self { producer_id: -1, producer_epoch: -1, base_sequence: -1 };
}

/// A batch that is ready but for its stamp. Its records are never encoded, compressed or copied again.
#[derive(Debug)]
pub struct SealedBatch {
    bytes: Bytes,
    count: i32,
    uncompressed_len: usize,
    compression: Compression,
    spare: Vec<u8>,
}

impl SealedBatch {
    /// Writes the producer's fields and the checksum. A batch that is being sent at this moment is copied first.
    pub fn stamp(&mut self, stamp: ProducerStamp) {
        let mut bytes = match std::mem::take(&mut self.bytes).try_into_mut() {
            Ok(bytes) => bytes,
            Err(shared) => BytesMut::from(&shared[..]),
        };
        put(&mut bytes, 43, stamp.producer_id.to_be_bytes());
        put(&mut bytes, 51, stamp.producer_epoch.to_be_bytes());
        put(&mut bytes, 53, stamp.base_sequence.to_be_bytes());
        put_crc(&mut bytes);
        self.bytes = bytes.freeze();
    }

    /// The batch as it goes on the wire; a reference, not a copy.
    pub fn bytes(&self) -> Bytes {
        self.bytes.clone()
    }

    /// How many records it has.
    pub fn count(&self) -> i32 {
        self.count
    }

    /// Its bytes on the wire.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Never: it has a header at least.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Its bytes before compression.
    pub fn uncompressed_len(&self) -> usize {
        self.uncompressed_len
    }

    /// Its codec.
    pub fn compression(&self) -> Compression {
        self.compression
    }

    /// The buffer that a compressed batch was compressed from, to build the next one in: nothing needs it any more, long
    /// before the batch is acknowledged. `None` without a codec, and the second time.
    pub fn take_spare(&mut self) -> Option<Vec<u8>> {
        let spare = std::mem::take(&mut self.spare);
        (spare.capacity() > 0).then_some(spare)
    }

    /// A buffer to build the next batch in: the one that was compressed from, or the batch's own if nobody else has it.
    pub fn recycle(self) -> Option<Vec<u8>> {
        if self.spare.capacity() > 0 {
            return Some(self.spare);
        }
        self.bytes.try_into_mut().ok().map(Vec::from)
    }
}

/// A copy of a producer's batch with its place in the log. Neither field is under the checksum.
pub fn place(batch: &Bytes, base_offset: i64, leader_epoch: i32) -> Bytes {
    let mut bytes = BytesMut::from(&batch[..]);
    put(&mut bytes, 0, base_offset.to_be_bytes());
    put(&mut bytes, 12, leader_epoch.to_be_bytes());
    bytes.freeze()
}
