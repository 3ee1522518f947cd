//! Writes message sets, as `MemoryRecordsBuilder` does below magic 2.

use bytes::{BufMut, Bytes};

use super::super::batch::Attributes;
use super::{CRC_FROM, ENTRY_HEAD, MessageFormat};
use crate::compression::{Compression, CompressionError, Compressor};

/// A message set that takes records. What the format cannot say (headers) cannot be given.
#[derive(Debug)]
pub struct MessageSetBuilder {
    format: MessageFormat,
    codec: Compression,
    base_offset: i64,
    next_offset: i64,
    log_append_time: Option<i64>,
    max_timestamp: i64,
    count: i32,
    buffer: Vec<u8>,
}

impl MessageSetBuilder {
    /// From offset 0 on, as a producer numbers. [`CompressionError::NotInFormat`] if the format lacks the codec.
    pub fn new(format: MessageFormat, codec: Compression) -> Result<Self, CompressionError> {
        format.check_codec(codec)?;
        Ok(Self {
            format,
            codec,
            base_offset: 0,
            next_offset: 0,
            log_append_time: None,
            max_timestamp: -1,
            count: 0,
            buffer: Vec::new(),
        })
    }

    /// The same, from this offset on, as a broker places it.
    #[must_use]
    pub fn with_base_offset(self, offset: i64) -> Self {
        Self { base_offset: offset, next_offset: offset, ..self }
    }

    /// The same under LogAppendTime: the broker's time, in milliseconds since 1970, instead of each record's own. Format v0
    /// has neither.
    #[must_use]
    pub fn with_log_append_time(self, time_ms: i64) -> Self {
        let log_append_time = (self.format == MessageFormat::V1).then_some(time_ms);
        Self { log_append_time, ..self }
    }

    /// Appends a record at the next offset. `timestamp_ms` counts from 1970; format v0 drops it.
    pub fn append(&mut self, timestamp_ms: i64, key: Option<&[u8]>, value: Option<&[u8]>) {
        self.append_at(self.next_offset, timestamp_ms, key, value);
    }

    /// Appends a record at this offset, as where compaction has taken those before it. Offsets have to rise.
    pub fn append_at(&mut self, offset: i64, timestamp_ms: i64, key: Option<&[u8]>, value: Option<&[u8]>) {
        let timestamp_ms = self.log_append_time.unwrap_or(timestamp_ms);
        let relative = self.format == MessageFormat::V1 && self.codec != Compression::None;
        let stated = if relative { offset.wrapping_sub(self.base_offset) } else { offset };
        self.put(stated, Compression::None, timestamp_ms, key, value);
        self.max_timestamp = self.max_timestamp.max(timestamp_ms);
        self.next_offset = offset.wrapping_add(1);
        self.count += 1;
    }

    /// The bytes so far, uncompressed.
    pub fn len(&self) -> usize {
        self.buffer.len()
    }

    /// How many records there are.
    pub fn count(&self) -> i32 {
        self.count
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Ends the set, and puts it into one message with the last record's offset if it is to be compressed. A set without
    /// records is no byte.
    pub fn seal(mut self, level: Option<i32>, compressor: &mut Compressor) -> Result<Bytes, CompressionError> {
        if self.codec == Compression::None || self.is_empty() {
            return Ok(self.buffer.into());
        }
        let mut value = Vec::with_capacity(self.buffer.len() / 2);
        match self.format {
            MessageFormat::V0 => compressor.compress_v0(self.codec, level, &self.buffer, &mut value)?,
            MessageFormat::V1 => compressor.compress(self.codec, level, &self.buffer, &mut value)?,
        }
        if i32::try_from(value.len() + ENTRY_HEAD + 64).is_err() {
            return Err(CompressionError::too_large(value.len()));
        }
        self.buffer.clear();
        self.put(self.next_offset.wrapping_sub(1), self.codec, self.max_timestamp, None, Some(&value));
        Ok(self.buffer.into())
    }

    fn put(&mut self, offset: i64, codec: Compression, timestamp_ms: i64, key: Option<&[u8]>, value: Option<&[u8]>) {
        let attributes = Attributes::default().with_compression(codec);
        let attributes = attributes.with_log_append_time(self.log_append_time.is_some());
        let out = &mut self.buffer;
        let start = out.len();
        out.put_i64(offset);
        // Size and checksum come last.
        out.put_u64(0);
        out.put_i8(self.format.magic());
        out.put_u8(attributes.0 as u8);
        if self.format == MessageFormat::V1 {
            out.put_i64(timestamp_ms);
        }
        put_field(out, key);
        put_field(out, value);
        let entry = out.get_mut(start..).unwrap_or_default();
        let size = (entry.len() - ENTRY_HEAD) as i32;
        let crc = crc32fast::hash(entry.get(CRC_FROM..).unwrap_or_default());
        if let Some(mut place) = entry.get_mut(ENTRY_HEAD - 4..CRC_FROM) {
            place.put_i32(size);
            place.put_u32(crc);
        }
    }
}

fn put_field(out: &mut Vec<u8>, field: Option<&[u8]>) {
    out.put_i32(field.map_or(-1, |field| field.len() as i32));
    out.extend_from_slice(field.unwrap_or_default());
}
