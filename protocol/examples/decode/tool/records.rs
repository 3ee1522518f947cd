//! Record data: its batches, their fields, their records.

use std::io::{self, Write};

use bytes::Bytes;
use ottla_protocol::compression::{Compression, Decompressor};
use ottla_protocol::records::{Batch, Batches, ControlType, HEADER_LEN, Header, OpenBatch, Record, get_varint};

use super::print::{blob, line};

/// What a batch may grow to: a broker takes 1 MB unless it is set otherwise (`message.max.bytes`), compressed.
const LIMIT: usize = 64 << 20;

/// What a message of the formats v0 and v1 has before its timestamp or key.
const MESSAGE_HEAD: usize = 18;

/// Prints what record data holds, which begins at this byte of the frame. False if something about it is wrong; a last
/// batch that is cut is not.
pub(crate) fn print(out: &mut impl Write, offset: usize, depth: usize, records: &Bytes) -> io::Result<bool> {
    let mut good = true;
    let mut at = offset;
    let mut batches = Batches::new(records.clone());
    for batch in &mut batches {
        good &= match batch {
            Ok(batch) => {
                let good = one(out, at, depth, &batch)?;
                at += batch.bytes().len();
                good
            }
            Err(error) => wrong(out, at, depth, &error)?,
        };
    }
    if batches.saw_partial() {
        line(out, Some(at), depth, &format!("a batch that is cut: {} bytes", offset + records.len() - at))?;
    }
    Ok(good)
}

fn wrong(out: &mut impl Write, at: usize, depth: usize, error: &impl std::fmt::Display) -> io::Result<bool> {
    line(out, Some(at), depth, &format!("error: {error}"))?;
    Ok(false)
}

fn one(out: &mut impl Write, at: usize, depth: usize, batch: &Batch) -> io::Result<bool> {
    let old = batch.header().magic < 2;
    let (what, head) = if old { ("message", MESSAGE_HEAD) } else { ("batch", HEADER_LEN) };
    line(out, Some(at), depth, &format!("{what} of {} bytes", batch.bytes().len()))?;
    fields(out, at, depth + 1, batch)?;
    let opened = match batch.open(&mut Decompressor::new(), LIMIT) {
        Ok(opened) => opened,
        Err(error) => return wrong(out, at + head, depth + 1, &error),
    };
    let placed = !old && batch.header().attributes.compression() == Ok(Compression::None);
    let good = batch.verify_crc().is_ok();
    Ok(all(out, placed.then_some(at + HEADER_LEN), depth + 1, &opened)? && good)
}

/// The fields before the records, with their places (`DefaultRecordBatch`, `LegacyRecord`).
fn fields(out: &mut impl Write, at: usize, depth: usize, batch: &Batch) -> io::Result<()> {
    let header = batch.header();
    let crc = match batch.verify_crc() {
        Ok(()) => format!("{:08x}, right", header.crc),
        Err(error) => format!("{:08x}, error: {error}", header.crc),
    };
    if header.magic < 2 {
        let fields = [
            (0, "offset", header.base_offset.to_string()),
            (8, "size", header.batch_length.to_string()),
            (12, "crc", crc),
            (16, "magic", header.magic.to_string()),
            (17, "attributes", attributes(batch)),
        ];
        return lines(out, at, depth, &fields);
    }
    let fields = [
        (0, "base_offset", header.base_offset.to_string()),
        (8, "batch_length", header.batch_length.to_string()),
        (12, "partition_leader_epoch", header.partition_leader_epoch.to_string()),
        (16, "magic", header.magic.to_string()),
        (17, "crc", crc),
        (21, "attributes", attributes(batch)),
        (23, "last_offset_delta", header.last_offset_delta.to_string()),
        (27, "first_timestamp", header.first_timestamp.to_string()),
        (35, "max_timestamp", header.max_timestamp.to_string()),
        (43, "producer_id", header.producer_id.to_string()),
        (51, "producer_epoch", header.producer_epoch.to_string()),
        (53, "base_sequence", header.base_sequence.to_string()),
        (57, "count", header.count.to_string()),
    ];
    lines(out, at, depth, &fields)
}

fn lines(out: &mut impl Write, at: usize, depth: usize, fields: &[(usize, &str, String)]) -> io::Result<()> {
    fields.iter().try_for_each(|(place, name, value)| line(out, Some(at + place), depth, &format!("{name}: {value}")))
}

fn attributes(batch: &Batch) -> String {
    let bits = batch.header().attributes;
    let codec = bits.compression().map_or_else(|id| format!("unknown codec {id}"), |codec| codec.to_string());
    let mut text = format!("{:#06x}, codec {codec}", bits.0);
    for (is, name) in [
        (bits.is_log_append_time(), ", log append time"),
        (bits.is_transactional(), ", transactional"),
        (bits.is_control(), ", control"),
    ] {
        text.push_str(if is { name } else { "" });
    }
    text
}

/// The records. Those of a compressed batch have no place in the frame, those of a message no other than its own.
fn all(out: &mut impl Write, at: Option<usize>, depth: usize, batch: &OpenBatch) -> io::Result<bool> {
    let payload = batch.payload();
    let mut rest = &payload[..];
    for (i, record) in batch.iter().enumerate() {
        let at = at.map(|at| at + payload.len() - rest.len());
        match record {
            Ok(record) => one_record(out, at, depth, i, &record, batch.header().attributes.is_control())?,
            Err(error) => {
                line(out, at, depth, &format!("error: {error}"))?;
                return Ok(false);
            }
        }
        let len = get_varint(&mut rest).and_then(|len| usize::try_from(len).ok()).unwrap_or_default();
        rest = rest.get(len..).unwrap_or_default();
    }
    Ok(true)
}

fn one_record(
    out: &mut impl Write,
    at: Option<usize>,
    depth: usize,
    i: usize,
    record: &Record<'_>,
    control: bool,
) -> io::Result<()> {
    line(out, at, depth, &format!("record [{i}]: offset {}, timestamp {}", record.offset, record.timestamp_ms))?;
    if control {
        let kind = record.key.and_then(ControlType::from_key);
        return line(
            out,
            None,
            depth + 1,
            &format!("control: {}", kind.map_or("no type".into(), |kind| format!("{kind:?}"))),
        );
    }
    line(out, None, depth + 1, &format!("key: {}", nullable(record.key)))?;
    line(out, None, depth + 1, &format!("value: {}", nullable(record.value)))?;
    for Header { key, value } in record.headers {
        line(out, None, depth + 1, &format!("header {}: {}", blob(key.as_bytes()), nullable(value)))?;
    }
    Ok(())
}

fn nullable(bytes: Option<&[u8]>) -> String {
    bytes.map_or_else(|| "null".to_owned(), blob)
}
