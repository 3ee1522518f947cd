//! From one message format to another, for who has to speak to a peer of another age. Brokers do this by themselves.

use bytes::Bytes;

use super::batch::{Batch, Batches};
use super::error::{RecordsError, RecordsErrorKind};
use super::legacy::{MessageFormat, MessageSetBuilder};
use super::writer::BatchBuilder;
use crate::compression::{Compression, CompressionError, Compressor, Decompressor};

/// Record data in an older format, and what it could not take along.
///
/// Lost without being counted: producer ids, epochs and sequences, whether a batch was part of a transaction, leader
/// epochs, the range of a batch whose last records compaction took; and in format v0 every timestamp.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Converted {
    /// The record data.
    pub records: Bytes,
    /// How many records lost their headers.
    pub headers_lost: usize,
    /// How many control batches were left out: an older reader would take them for records.
    pub control_batches: usize,
}

/// Rewrites record data for a reader that knows nothing newer than `format` (`RecordsUtil.downConvert`). Each batch keeps
/// its codec, its offsets and LogAppendTime; what is old enough stays as it is, byte by byte. A partial tail is dropped.
///
/// `limit` bounds each batch, decompressed, in bytes. A batch compressed with zstd is an error
/// ([`CompressionError::NotInFormat`]), as it is in Kafka.
pub fn down_convert(
    records: Bytes,
    format: MessageFormat,
    compressor: &mut Compressor,
    decompressor: &mut Decompressor,
    limit: usize,
) -> Result<Converted, RecordsError> {
    let mut out = Vec::with_capacity(records.len());
    let (mut headers_lost, mut control_batches) = (0, 0);
    for batch in Batches::new(records) {
        let batch = batch?;
        if batch.header().magic <= format.magic() {
            out.extend_from_slice(batch.bytes());
        } else if batch.header().attributes.is_control() {
            control_batches += 1;
        } else {
            let (set, lost) = message_set(&batch, format, compressor, decompressor, limit)?;
            out.extend_from_slice(&set);
            headers_lost += lost;
        }
    }
    Ok(Converted { records: out.into(), headers_lost, control_batches })
}

fn message_set(
    batch: &Batch,
    format: MessageFormat,
    compressor: &mut Compressor,
    decompressor: &mut Decompressor,
    limit: usize,
) -> Result<(Bytes, usize), RecordsError> {
    let open = batch.open(decompressor, limit)?;
    let header = open.header();
    let refused = |error| batch.error(RecordsErrorKind::Compression(error));
    // A codec that there is not was an error when the batch was opened.
    let codec = header.attributes.compression().unwrap_or_default();
    let mut set = MessageSetBuilder::new(format, codec).map_err(refused)?.with_base_offset(header.base_offset);
    if header.attributes.is_log_append_time() {
        set = set.with_log_append_time(header.max_timestamp);
    }
    let mut lost = 0;
    for record in &open {
        let record = record?;
        lost += usize::from(!record.headers.is_empty());
        set.append_at(record.offset, record.timestamp_ms, record.key, record.value);
    }
    Ok((set.seal(None, compressor).map_err(refused)?, lost))
}

/// Rebatches record data of any formats into one open batch v2, to be sealed with any codec and produced.
///
/// Offsets are not kept: a producer's batch counts from 0. Timestamps are the ones a consumer sees, -1 from format v0;
/// under LogAppendTime they become the records' own. Control batches are left out, a partial tail is dropped. `limit` bounds
/// the batch in bytes ([`CompressionError::OverLimit`]).
pub fn up_convert(records: Bytes, decompressor: &mut Decompressor, limit: usize) -> Result<BatchBuilder, RecordsError> {
    let mut out = BatchBuilder::with_capacity(records.len().min(limit));
    for batch in Batches::new(records) {
        let batch = batch?;
        if batch.header().attributes.is_control() {
            continue;
        }
        let open = batch.open(decompressor, limit)?;
        for record in &open {
            let record = record?;
            out.append_raw_headers(record.timestamp_ms, record.key, record.value, record.headers);
            if out.len() > limit {
                let over = CompressionError::OverLimit { codec: Compression::None, limit };
                return Err(batch.error(RecordsErrorKind::Compression(over)));
            }
        }
    }
    Ok(out)
}
