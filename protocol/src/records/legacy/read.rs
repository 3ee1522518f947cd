//! Reads messages, and opens what is compressed in one.

use bytes::{Buf, Bytes};

use super::super::batch::{Attributes, BatchHeader};
use super::super::error::RecordsErrorKind;
use super::super::record::take;
use super::MessageFormat;
use crate::compression::{Compression, Decompressor};

/// What of the attributes each format has. The others are not defined, and must not be taken for those of a batch v2.
const CODEC: i16 = 0b0111;
const CODEC_AND_TIME: i16 = 0b1111;

const CUT: &str = "it is cut before its key";

/// A message with the offset that stands before it.
pub(in super::super) struct Message<'a> {
    pub(in super::super) offset: i64,
    pub(in super::super) magic: i8,
    /// -1 in format v0.
    pub(in super::super) timestamp_ms: i64,
    pub(in super::super) key: Option<&'a [u8]>,
    pub(in super::super) value: Option<&'a [u8]>,
}

/// Takes a message off the front of a message set.
pub(in super::super) fn take_message<'a>(set: &mut &'a [u8]) -> Result<Message<'a>, &'static str> {
    let (offset, mut body) = take_entry(set)?;
    // Checksum, magic, attributes: the wrapper's decide about time, and the codec was looked at before.
    let [_, _, _, _, magic, _, rest @ ..] = body else { return Err(CUT) };
    let magic = *magic as i8;
    body = rest;
    let format = MessageFormat::from_magic(magic).ok_or("its format is neither v0 nor v1")?;
    let timestamp_ms = match format {
        MessageFormat::V0 => -1,
        MessageFormat::V1 => body.try_get_i64().map_err(|_| CUT)?,
    };
    let key = take_field(&mut body).ok_or("its key is cut or has a bad length")?;
    let value = take_field(&mut body).ok_or("its value is cut or has a bad length")?;
    if !body.is_empty() {
        return Err("its size is more than what is in it");
    }
    Ok(Message { offset, magic, timestamp_ms, key, value })
}

/// Takes an offset, a size and that many bytes: the checksum and what it covers.
fn take_entry<'a>(set: &mut &'a [u8]) -> Result<(i64, &'a [u8]), &'static str> {
    let offset = set.try_get_i64().map_err(|_| "it is cut inside its offset")?;
    let size = set.try_get_i32().map_err(|_| "it is cut inside its size")?;
    let size = usize::try_from(size).map_err(|_| "its size is negative")?;
    let body = take(set, size).ok_or("it is longer than what is left of the message set")?;
    Ok((offset, body))
}

/// A length of four bytes and that many; -1 is null.
fn take_field<'a>(body: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    match body.try_get_i32().ok()? {
        -1 => Some(None),
        len => take(body, usize::try_from(len).ok()?).map(Some),
    }
}

fn known(format: MessageFormat, attributes: i8) -> Attributes {
    let mask = if format == MessageFormat::V0 { CODEC } else { CODEC_AND_TIME };
    Attributes(i16::from(attributes) & mask)
}

/// A message's fields as a batch's; `entry` is the whole of it. `None`: it is too short for its format.
pub(in super::super) fn header(entry: &[u8]) -> Option<BatchHeader> {
    let mut bytes = entry;
    let base_offset = bytes.try_get_i64().ok()?;
    let batch_length = bytes.try_get_i32().ok()?;
    let crc = bytes.try_get_u32().ok()?;
    let magic = bytes.try_get_i8().ok()?;
    let format = MessageFormat::from_magic(magic)?;
    let attributes = known(format, bytes.try_get_i8().ok()?);
    let time = if format == MessageFormat::V0 { -1 } else { bytes.try_get_i64().ok()? };
    // Two lengths at least.
    if bytes.len() < 8 {
        return None;
    }
    let count = if attributes.compression() == Ok(Compression::None) { 1 } else { -1 };
    Some(BatchHeader {
        base_offset,
        batch_length,
        crc,
        magic,
        attributes,
        first_timestamp: time,
        max_timestamp: time,
        count,
        ..BatchHeader::EMPTY
    })
}

/// A message set that can be gone through: its fields as a batch's, its bytes, and what to add to the offsets in it.
pub(in super::super) struct OpenSet {
    pub(in super::super) header: BatchHeader,
    pub(in super::super) set: Bytes,
    pub(in super::super) shift: i64,
}

/// Opens a message: itself as a set of one, or the set in its value.
pub(in super::super) fn open(
    header: &BatchHeader,
    entry: &Bytes,
    decompressor: &mut Decompressor,
    limit: usize,
) -> Result<OpenSet, RecordsErrorKind> {
    let codec = header.attributes.compression().map_err(RecordsErrorKind::UnknownCodec)?;
    if codec == Compression::None {
        return Ok(OpenSet { header: *header, set: entry.clone(), shift: 0 });
    }
    let format = MessageFormat::from_magic(header.magic).ok_or(RecordsErrorKind::UnknownMagic(header.magic))?;
    format.check_codec(codec).map_err(RecordsErrorKind::Compression)?;
    let wrapper = take_message(&mut &entry[..]).map_err(|what| RecordsErrorKind::BadRecord { index: 0, what })?;
    let value = wrapper.value.ok_or_else(|| bad(0, "a compressed message without a value"))?;
    let set = match format {
        MessageFormat::V0 => decompressor.decompress_v0(codec, value, limit),
        MessageFormat::V1 => decompressor.decompress(codec, value, limit),
    };
    let set = set.map_err(RecordsErrorKind::Compression)?;
    let inner = survey(&set)?;
    let shift = match format {
        MessageFormat::V0 => 0,
        MessageFormat::V1 => shift(header.base_offset, inner.last)?,
    };
    let base_offset = inner.first.wrapping_add(shift);
    let last_offset = if header.base_offset == 0 { inner.last.wrapping_add(shift) } else { header.base_offset };
    // A message set states no delta; one that is compressed may hold any offsets in format v0.
    let delta = last_offset.saturating_sub(base_offset).clamp(0, i64::from(i32::MAX));
    let header = BatchHeader { base_offset, last_offset_delta: delta as i32, count: inner.count, ..*header };
    Ok(OpenSet { header, set, shift })
}

/// What to add to relative offsets: the wrapper's is the last message's. Some releases of librdkafka produced wrappers of
/// offset 0 (`AbstractLegacyRecordBatch.DeepRecordsIterator`).
fn shift(wrapper: i64, last: i64) -> Result<i64, RecordsErrorKind> {
    match wrapper {
        0 => Ok(0),
        _ if wrapper < last => Err(bad(0, "its offset is less than that of the last message in it")),
        _ => Ok(wrapper.wrapping_sub(last)),
    }
}

struct Survey {
    first: i64,
    last: i64,
    count: i32,
}

/// Goes through a decompressed set from head to head: the last offset has to be known before the first can be told.
fn survey(mut set: &[u8]) -> Result<Survey, RecordsErrorKind> {
    let mut found: Option<Survey> = None;
    while !set.is_empty() {
        let index = found.as_ref().map_or(0, |found| found.count);
        let (offset, body) = take_entry(&mut set).map_err(|what| bad(index, what))?;
        let [_, _, _, _, _, attributes, ..] = body else { return Err(bad(index, CUT)) };
        // Kafka allows one level, and so an open set costs what its limit says and no more.
        if i16::from(*attributes) & CODEC != 0 {
            return Err(bad(index, "a compressed message inside a compressed message"));
        }
        let found = found.get_or_insert(Survey { first: offset, last: offset, count: 0 });
        (found.last, found.count) = (offset, found.count.saturating_add(1));
    }
    found.ok_or_else(|| bad(0, "a compressed message that holds none"))
}

fn bad(index: i32, what: &'static str) -> RecordsErrorKind {
    RecordsErrorKind::BadRecord { index, what }
}
