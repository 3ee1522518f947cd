//! What a sender of a record gets to know, and when.

use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::core::accumulator::cell::{Cell, Outcome, Place};
use crate::error::Error;

/// A record's place in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ack {
    /// The partition it went to.
    pub partition: i32,
    /// Its offset there. `None` with [`Acks::None`](crate::Acks::None), and when a broker of 0.11 or 1.0 only says that it has
    /// the record already.
    pub offset: Option<i64>,
}

/// A record on its way: await it to know what became of it. Dropping it does not take the record back.
///
/// It costs a reference to its batch. All records of a batch are acknowledged at once, so whoever sends many can await the
/// last of each [batch](Self::same_batch) only.
#[must_use = "what became of the record is known only here"]
pub struct Delivery {
    cell: Arc<Cell>,
    record: u32,
    place: Place,
}

impl Delivery {
    pub(super) fn new(cell: Arc<Cell>, record: u32) -> Self {
        Self { cell, record, place: None }
    }

    /// The partition it goes to.
    pub fn partition(&self) -> i32 {
        self.cell.partition()
    }

    /// Whether both records were put into one batch. They share their outcome, but for the case that the broker found their
    /// batch too large and it was split.
    pub fn same_batch(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.cell, &other.cell)
    }

    /// What became of it, if that is known already. Does not wait.
    pub fn try_result(&self) -> Option<Result<Ack, Error>> {
        self.cell.outcome(self.record).map(|outcome| self.ack(outcome))
    }

    /// Waits until this record and the `records - 1` that were put into the same batch after it are resolved, and tells which
    /// of them failed: rows counted from this record, and why. Empty if all are acknowledged, without an allocation.
    ///
    /// A batch that the broker found too large is split, and its parts may end differently: one record's outcome is not
    /// its neighbour's. Cancel safe.
    pub async fn refused(&mut self, records: u32) -> Vec<(Range<u32>, Error)> {
        let range = self.record..self.record.saturating_add(records);
        std::future::poll_fn(|cx| self.cell.poll_refused(&range, &mut self.place, cx)).await
    }

    fn ack(&self, outcome: Outcome) -> Result<Ack, Error> {
        outcome.map(|offset| Ack { partition: self.cell.partition(), offset })
    }
}

impl Future for Delivery {
    type Output = Result<Ack, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        this.cell.poll(this.record, &mut this.place, cx).map(|outcome| this.ack(outcome))
    }
}

impl std::fmt::Debug for Delivery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Delivery").field("partition", &self.partition()).field("result", &self.try_result()).finish()
    }
}
