//! From a fetched slice to what the user may see: checksum, decompression, isolation. One batch at a time.

use ottla_protocol::compression::Decompressor;
use ottla_protocol::records::{Batch, ControlType, OpenBatch, RecordsError};

use super::buffer::Chunk;
use super::{ConsumerOptions, Fetched, errors};
use crate::core::isolation::{Isolation, Origin};
use crate::core::position::Span;
use crate::{Error, TopicPartition};

/// A batch that may be handed out, as far as the position lets it.
pub(super) struct Ready {
    pub(super) span: Span,
    batch: Option<OpenBatch>,
}

impl Ready {
    /// What the user gets: the records from `from` on.
    pub(super) fn fetched(self, chunk: &Chunk, from: i64) -> Fetched {
        Fetched {
            partition: chunk.partition.clone(),
            batch: self.batch,
            from,
            next_offset: self.span.next(),
            high_watermark: chunk.high_watermark,
            watched_since: chunk.watched_since.into_std(),
        }
    }
}

/// Why a batch cannot be handed out.
pub(super) enum Broken {
    /// Its bytes are not a batch, or not the one that was written. `next`: where the header says it ends.
    Records { error: RecordsError, next: Option<i64> },
    /// It says what cannot be.
    Absurd(&'static str),
}

impl Broken {
    pub(super) fn error(self, partition: &TopicPartition, offset: i64) -> Error {
        match self {
            Self::Records { error, next } => errors::corrupt_batch(partition, offset, next, error),
            Self::Absurd(what) => errors::absurd_batch(partition, offset, what),
        }
    }
}

/// The chunk's next batch; `None` at its end.
pub(super) fn next_batch(
    chunk: &mut Chunk,
    decompressor: &mut Decompressor,
    options: &ConsumerOptions,
) -> Option<Result<Ready, Broken>> {
    match chunk.batches.next()? {
        Ok(batch) => {
            chunk.left = chunk.left.saturating_sub(batch.bytes().len());
            Some(ready(chunk, &batch, decompressor, options))
        }
        Err(error) => Some(Err(Broken::Records { error, next: None })),
    }
}

fn ready(
    chunk: &mut Chunk,
    batch: &Batch,
    decompressor: &mut Decompressor,
    options: &ConsumerOptions,
) -> Result<Ready, Broken> {
    let header = batch.header();
    let span = Span::new(header.base_offset, header.last_offset_delta)
        .ok_or(Broken::Absurd("a batch states offsets that no log can have"))?;
    if chunk.end.replace(span.next()).is_some_and(|end| !span.follows(end)) {
        return Err(Broken::Absurd("the broker answered with batches whose offsets go backwards or overlap"));
    }
    let broken = |error| Broken::Records { error, next: Some(span.next()) };
    if options.check_crcs {
        batch.verify_crc().map_err(broken)?;
    }
    let attributes = header.attributes;
    let committed_only = options.isolation == Isolation::ReadCommitted;
    let origin = Origin { span, producer_id: header.producer_id, transactional: attributes.is_transactional() };
    if attributes.is_control() {
        if committed_only {
            let open = batch.open(decompressor, options.max_batch_bytes).map_err(broken)?;
            if let Some(marker) = marker(&open).map_err(broken)? {
                chunk.filter.control(origin, marker);
            }
        }
        return Ok(Ready { span, batch: None });
    }
    if committed_only && !chunk.filter.shows(origin) {
        return Ok(Ready { span, batch: None });
    }
    let open = batch.open(decompressor, options.max_batch_bytes).map_err(broken)?;
    Ok(Ready { span, batch: Some(open) })
}

/// What a control batch says, if anything: one without a record, or with a key that is none, ends no transaction, and so
/// hides rather than shows.
fn marker(open: &OpenBatch) -> Result<Option<ControlType>, RecordsError> {
    let Some(record) = open.iter().next() else { return Ok(None) };
    Ok(record?.key.and_then(ControlType::from_key))
}
