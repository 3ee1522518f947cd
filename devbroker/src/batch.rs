//! Whether what a producer sent may be appended (`ProduceRequest.validateRecords`, `LogValidator.validateBatch`).

use bytes::Bytes;
use ottla_protocol::ErrorCode;
use ottla_protocol::compression::Compression;
use ottla_protocol::records::{Batch, BatchHeader, Batches, HEADER_LEN};

use crate::sequence::{Stamp, last_of};

/// The first version of Produce that takes record batches v2.
const FIRST_WITH_BATCHES: i16 = 3;

/// The first version of Produce that takes zstd (KIP-110).
const FIRST_WITH_ZSTD: i16 = 7;

/// The smallest record there is: a length and six fields, a byte each.
const MIN_RECORD_BYTES: usize = 7;

/// A batch that may be appended.
#[derive(Debug, Clone)]
pub(crate) struct Checked {
    pub(crate) bytes: Bytes,
    pub(crate) last_offset_delta: i32,
    pub(crate) max_timestamp: i64,
    /// `None` without idempotence.
    pub(crate) stamp: Option<Stamp>,
}

/// Why a batch is refused: the code for the client, the words for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) error: ErrorCode,
    pub(crate) why: String,
}

fn refused<T>(error: ErrorCode, why: impl Into<String>) -> Result<T, Refused> {
    Err(Refused { error, why: why.into() })
}

/// Checks one partition's data of a Produce request: one batch v2, whole, unharmed, numbered as a producer numbers.
///
/// Whether the records inside a compressed batch are as many as it says is not checked; that would cost a
/// decompression.
pub(crate) fn check(version: i16, records: Option<Bytes>, max_bytes: usize) -> Result<Checked, Refused> {
    if version < FIRST_WITH_BATCHES {
        return refused(
            ErrorCode::UNSUPPORTED_FOR_MESSAGE_FORMAT,
            format!("Produce v{version} carries message sets; this broker takes record batches only, from v3 on"),
        );
    }
    let Some(records) = records.filter(|records| !records.is_empty()) else {
        return refused(ErrorCode::CORRUPT_MESSAGE, "no batch");
    };
    let batch = only_batch(&records)?;
    if records.len() > max_bytes {
        let len = records.len();
        return refused(ErrorCode::MESSAGE_TOO_LARGE, format!("{len} bytes, max.message.bytes is {max_bytes}"));
    }
    if let Err(error) = batch.verify_crc() {
        return refused(ErrorCode::CORRUPT_MESSAGE, error.to_string());
    }
    check_header(version, batch.header(), records.len())?;
    let header = batch.header();
    let stamp = (header.producer_id >= 0).then(|| Stamp {
        producer_id: header.producer_id,
        epoch: header.producer_epoch,
        first: header.base_sequence,
        last: last_of(header.base_sequence, header.last_offset_delta),
    });
    Ok(Checked {
        last_offset_delta: header.last_offset_delta,
        max_timestamp: header.max_timestamp,
        stamp,
        bytes: records,
    })
}

/// The one batch of the data; anything beside it is an error.
fn only_batch(records: &Bytes) -> Result<Batch, Refused> {
    let mut batches = Batches::new(records.clone());
    let batch = match batches.next() {
        Some(Ok(batch)) => batch,
        Some(Err(error)) => return refused(ErrorCode::CORRUPT_MESSAGE, error.to_string()),
        None => return refused(ErrorCode::CORRUPT_MESSAGE, "the batch is not whole"),
    };
    if batch.bytes().len() != records.len() {
        let extra = records.len() - batch.bytes().len();
        let why = format!("{extra} bytes after the batch; a request carries exactly one batch a partition");
        return refused(ErrorCode::CORRUPT_MESSAGE, why);
    }
    Ok(batch)
}

fn check_header(version: i16, header: &BatchHeader, len: usize) -> Result<(), Refused> {
    let corrupt = |why: String| refused(ErrorCode::CORRUPT_MESSAGE, why);
    if header.magic != 2 {
        return corrupt(format!("a message of format v{} in Produce v{version}", header.magic));
    }
    if header.base_offset != 0 {
        return corrupt(format!("base offset {} from a producer, not 0", header.base_offset));
    }
    if header.count <= 0 {
        return corrupt(format!("{} records", header.count));
    }
    if header.last_offset_delta != header.count - 1 {
        return corrupt(format!("last offset delta {} with {} records", header.last_offset_delta, header.count));
    }
    if header.attributes.is_control() {
        return corrupt("a control batch from a client".to_owned());
    }
    if header.attributes.is_transactional() {
        return refused(ErrorCode::INVALID_TXN_STATE, "this broker has no transactions");
    }
    if header.producer_id >= 0 && (header.base_sequence < 0 || header.producer_epoch < 0) {
        return corrupt(format!("producer {} without epoch or sequence", header.producer_id));
    }
    let Ok(codec) = header.attributes.compression() else {
        return corrupt("unknown codec".to_owned());
    };
    if codec == Compression::Zstd && version < FIRST_WITH_ZSTD {
        let why = format!("zstd in Produce v{version}; it needs v{FIRST_WITH_ZSTD}");
        return refused(ErrorCode::UNSUPPORTED_COMPRESSION_TYPE, why);
    }
    let room = (len.saturating_sub(HEADER_LEN)) / MIN_RECORD_BYTES;
    if codec == Compression::None && header.count as usize > room {
        return corrupt(format!("{} records cannot be in {len} bytes", header.count));
    }
    Ok(())
}
