//! A batch on its way: open, sealed, sent, answered.

use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use ottla_protocol::compression::{Compression, Compressor, Decompressor};
use ottla_protocol::records::{BatchBuilder, Batches, HEADER_LEN, ProducerStamp, Record, SealedBatch};

use super::cell::{Cell, Outcome};
use super::memory::Grant;
use super::outgoing::{Outgoing, OutgoingHeaders};
use crate::core::sequence::Standing;
use crate::error::{Error, ErrorKind};

/// Orders a partition's batches as their records were handed over: the batch's number, then (after a split) its first record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Order {
    pub(super) batch: u64,
    pub(super) first: u32,
}

/// The batch that takes records.
#[derive(Debug)]
pub(super) struct OpenBatch {
    pub(super) builder: BatchBuilder,
    pub(super) cell: Arc<Cell>,
    pub(super) grant: Grant,
    pub(super) created: Instant,
}

impl OpenBatch {
    /// Encodes the record and says which of the batch's it is.
    #[inline]
    pub(super) fn append(&mut self, record: &Outgoing<'_>, timestamp_ms: i64) -> u32 {
        let index = self.builder.count() as u32;
        match record.headers {
            OutgoingHeaders::None => self.builder.append(timestamp_ms, record.key, record.value, &[]),
            OutgoingHeaders::List(headers) => self.builder.append(timestamp_ms, record.key, record.value, headers),
            OutgoingHeaders::Raw(headers) => {
                self.builder.append_raw_headers(timestamp_ms, record.key, record.value, headers);
            }
        }
        index
    }
}

/// A batch that takes no more records. Whoever holds it has to hand it back or [deliver](Finished::deliver) it; if it is
/// dropped instead, its records are told that the producer was closed.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(super) order: Order,
    pub(super) created: Instant,
    pub(super) stamp: Option<ProducerStamp>,
    pub(super) uncertain: bool,
    /// Whether a sender has it.
    pub(super) under_way: bool,
    /// How often a sender has had it.
    pub(super) attempts: u32,
    pub(super) last_error: Option<Error>,
    /// How often it was refused with CORRUPT_MESSAGE.
    pub(super) corrupt: u32,
    cell: Arc<Cell>,
    count: u32,
    grant: Grant,
    content: Content,
    delivered: bool,
}

#[derive(Debug)]
enum Content {
    /// Encoded.
    Raw(BatchBuilder),
    /// Compressed too, and stamped with this.
    Sealed(SealedBatch, Option<ProducerStamp>),
    /// Taken out, never to come back.
    Gone,
}

impl Batch {
    pub(super) fn seal(open: OpenBatch, number: u64) -> Self {
        let OpenBatch { builder, cell, grant, created } = open;
        let order = Order { batch: number, first: 0 };
        Self {
            order,
            created,
            stamp: None,
            uncertain: false,
            under_way: false,
            attempts: 0,
            last_error: None,
            corrupt: 0,
            cell,
            count: builder.count() as u32,
            grant,
            content: Content::Raw(builder),
            delivered: false,
        }
    }

    /// Its bytes, before compression if it is not compressed yet.
    pub(crate) fn len(&self) -> usize {
        match &self.content {
            Content::Raw(builder) => builder.len(),
            Content::Sealed(sealed, _) => sealed.len(),
            Content::Gone => 0,
        }
    }

    pub(crate) fn count(&self) -> i32 {
        self.count as i32
    }

    pub(super) fn cell(&self) -> &Arc<Cell> {
        &self.cell
    }

    /// How it stands; `first`: nothing before it is unresolved.
    pub(super) fn standing(&self, first: bool) -> Standing {
        Standing { stamp: self.stamp, count: self.count(), uncertain: self.uncertain, first }
    }

    /// The bytes for the wire. Compresses the first time, stamps when the stamp is another one than last time, and otherwise
    /// gives the same bytes again.
    pub(crate) fn encode(
        &mut self,
        compression: Compression,
        level: Option<i32>,
        compressor: &mut Compressor,
    ) -> Result<Bytes, Error> {
        if let Content::Raw(_) = self.content {
            let Content::Raw(builder) = std::mem::replace(&mut self.content, Content::Gone) else { return Err(gone()) };
            let stamp = self.stamp.unwrap_or(ProducerStamp::NONE);
            let sealed = builder.seal_stamped(compression, level, compressor, stamp).map_err(|e| {
                Error::new(ErrorKind::Corrupt, format!("the batch could not be compressed: {e}")).with_source(e)
            })?;
            self.content = Content::Sealed(sealed, self.stamp);
        }
        let Content::Sealed(sealed, stamped) = &mut self.content else { return Err(gone()) };
        if *stamped != self.stamp {
            sealed.stamp(self.stamp.unwrap_or(ProducerStamp::NONE));
            *stamped = self.stamp;
        }
        Ok(sealed.bytes())
    }

    /// The buffer that it was compressed from, once; its memory is given back.
    pub(crate) fn take_spare(&mut self) -> Option<Vec<u8>> {
        let Content::Sealed(sealed, _) = &mut self.content else { return None };
        let spare = sealed.take_spare()?;
        self.grant.shrink_to(sealed.len());
        Some(spare)
    }

    /// Its bytes before compression.
    pub(super) fn uncompressed_len(&self) -> usize {
        match &self.content {
            Content::Sealed(sealed, _) => sealed.uncompressed_len(),
            Content::Raw(_) | Content::Gone => self.len(),
        }
    }

    /// Cuts it in two, in order, since a broker found it too large or one of its records wrong. Numbered batches stay numbered as they were: the two
    /// halves have the same numbers together.
    pub(crate) fn split(mut self, decompressor: &mut Decompressor) -> Result<[Self; 2], Box<Finished>> {
        let half = self.count / 2;
        match self.halves(half, decompressor) {
            Ok([left, right]) => {
                self.cell.add_part();
                let first = self.half(0..half, left);
                let second = self.half(half..self.count, right);
                self.delivered = true;
                Ok([first, second])
            }
            Err(error) => Err(Box::new(Finished { batch: self, outcome: Err(error) })),
        }
    }

    fn halves(&self, half: u32, decompressor: &mut Decompressor) -> Result<[BatchBuilder; 2], Error> {
        let Content::Sealed(sealed, _) = &self.content else { return Err(gone()) };
        let unreadable = |e| Error::new(ErrorKind::Corrupt, format!("the batch cannot be split: {e}")).with_source(e);
        let batch = Batches::new(sealed.bytes()).next().ok_or_else(gone)?.map_err(unreadable)?;
        let open = batch.open(decompressor, sealed.uncompressed_len()).map_err(unreadable)?;
        let room = sealed.uncompressed_len() / 2 + HEADER_LEN;
        let mut halves = [BatchBuilder::with_capacity(room), BatchBuilder::with_capacity(room)];
        for (index, record) in (0..).zip(open.iter()) {
            let Record { timestamp_ms, key, value, headers, .. } = record.map_err(unreadable)?;
            let [left, right] = &mut halves;
            let half = if index < half { left } else { right };
            half.append_raw_headers(timestamp_ms, key, value, headers);
        }
        Ok(halves)
    }

    fn half(&self, records: Range<u32>, builder: BatchBuilder) -> Self {
        let stamp = self.stamp.map(|stamp| ProducerStamp {
            base_sequence: crate::core::sequence::advance(stamp.base_sequence, records.start as i32),
            ..stamp
        });
        Self {
            order: Order { first: self.order.first + records.start, ..self.order },
            created: self.created,
            stamp,
            uncertain: self.uncertain,
            under_way: false,
            attempts: self.attempts,
            last_error: self.last_error.clone(),
            // A part of several records is halved at the next refusal; a record alone has to be refused as often as a whole
            // batch before it is blamed.
            corrupt: if records.len() > 1 { self.corrupt } else { 0 },
            cell: self.cell.clone(),
            count: records.len() as u32,
            grant: self.grant.budget().overdraw(builder.len()),
            content: Content::Raw(builder),
            delivered: false,
        }
    }

    fn deliver(&mut self, outcome: Outcome) {
        if !std::mem::replace(&mut self.delivered, true) {
            // First, so that whoever hears of the outcome finds the memory free.
            self.grant.shrink_to(0);
            self.cell.resolve(self.order.first..self.order.first + self.count, outcome);
        }
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        if !self.delivered {
            let maybe = self.uncertain || self.under_way;
            self.deliver(Err(Error::closed("the producer").written_maybe(maybe)));
        }
    }
}

fn gone() -> Error {
    Error::new(ErrorKind::Closed, "the batch's bytes are gone")
}

/// A batch and what became of it. To be delivered without a lock held.
#[derive(Debug)]
#[must_use = "its records wait for it"]
pub(crate) struct Finished {
    pub(super) batch: Batch,
    pub(super) outcome: Outcome,
}

impl Finished {
    /// Tells everyone who waits for one of its records, and gives its memory back. Returns a buffer for the next batch, if it
    /// can be used again.
    pub(crate) fn deliver(mut self) -> Option<Vec<u8>> {
        let buffer = match std::mem::replace(&mut self.batch.content, Content::Gone) {
            Content::Sealed(sealed, _) => sealed.recycle(),
            _ => None,
        };
        self.batch.deliver(self.outcome);
        buffer
    }

    /// The error, if it failed.
    pub(crate) fn error(&self) -> Option<&Error> {
        self.outcome.as_ref().err()
    }

    pub(crate) fn count(&self) -> i32 {
        self.batch.count()
    }
}
