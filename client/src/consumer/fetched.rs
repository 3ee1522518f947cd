//! What a consumer gives: one record batch, whose records are borrowed from it.

use ottla_protocol::records::{OpenBatch, Record, RecordIter, RecordsError};

use super::errors;
use crate::{Error, TopicPartition};

/// One record batch of one partition.
///
/// A batch without visible records (a transaction's marker, an aborted transaction, a batch that compaction emptied) is
/// given too: it moves the position. It holds on to the memory of the answer it came in; a program that keeps records for
/// long copies them.
pub struct Fetched {
    pub(super) partition: TopicPartition,
    /// `None`: nothing of it may be seen.
    pub(super) batch: Option<OpenBatch>,
    /// Records below were given before, or sought past.
    pub(super) from: i64,
    pub(super) next_offset: i64,
    pub(super) high_watermark: i64,
    pub(super) watched_since: std::time::Instant,
}

impl Fetched {
    /// Where it is from.
    pub fn partition(&self) -> &TopicPartition {
        &self.partition
    }

    /// The visible records, in order. A record that cannot be read is an error that names its place, and ends them.
    /// Nothing is allocated or copied.
    pub fn iter(&self) -> Records<'_> {
        Records { inner: self.batch.as_ref().map(OpenBatch::iter), fetched: self, next: self.from }
    }

    /// The offset to go on at after this batch, and to commit once it is processed. It counts what compaction removed
    /// and what is not shown.
    pub fn next_offset(&self) -> i64 {
        self.next_offset
    }

    /// The first offset that not all in-sync replicas had when the broker answered; -1 if it did not say.
    pub fn high_watermark(&self) -> i64 {
        self.high_watermark
    }

    /// The leader epoch in which the batch was written; `None` where nothing of it may be seen, or its format has none.
    pub fn leader_epoch(&self) -> Option<i32> {
        self.batch.as_ref().map(|batch| batch.header().partition_leader_epoch).filter(|epoch| *epoch >= 0)
    }

    /// Since when the partition's leader answered fetch after fetch, without a gap in which its topic could have been deleted and
    /// created again: a tenth of a second without an answer, an error or a change of the leader begins a new time, and so does
    /// a batch that begins before the end of the one before it.
    ///
    /// A program that keeps positions checks the record that it read last with
    /// [`Client::fingerprints`](crate::Client::fingerprints) when this is later than its last check: another record at that
    /// offset means that the position belongs to a log that is gone.
    pub fn watched_since(&self) -> std::time::Instant {
        self.watched_since
    }

    /// How many records [`iter`](Self::iter) gives at most. Below that are those that lie before the position, as they
    /// can in the first batch after a seek.
    pub fn max_records(&self) -> usize {
        self.batch.as_ref().map_or(0, |batch| usize::try_from(batch.header().count).unwrap_or(0))
    }
}

impl std::fmt::Debug for Fetched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fetched")
            .field("partition", &self.partition)
            .field("from", &self.from)
            .field("next_offset", &self.next_offset)
            .field("max_records", &self.max_records())
            .field("high_watermark", &self.high_watermark)
            .finish_non_exhaustive()
    }
}

impl<'a> IntoIterator for &'a Fetched {
    type Item = Result<Record<'a>, Error>;
    type IntoIter = Records<'a>;

    fn into_iter(self) -> Records<'a> {
        self.iter()
    }
}

/// The visible records of a [`Fetched`].
pub struct Records<'a> {
    /// `None` once it ended.
    inner: Option<RecordIter<'a>>,
    fetched: &'a Fetched,
    /// The lowest offset that may come: [`Fetched::from`] until the first record that is given.
    next: i64,
}

impl std::fmt::Debug for Records<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Records").field("of", self.fetched).finish_non_exhaustive()
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, Error>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let inner = self.inner.as_mut()?;
        loop {
            match inner.next()? {
                // A record beyond the batch's own end would come again, or hide what comes there.
                Ok(record) if record.offset >= self.fetched.next_offset => return Some(Err(self.stray(record.offset))),
                Ok(record) if record.offset >= self.next => {
                    self.next = record.offset + 1;
                    return Some(Ok(record));
                }
                Ok(record) if self.next != self.fetched.from => return Some(Err(self.backwards(record.offset))),
                // Given before, or sought past.
                Ok(_) => {}
                Err(error) => return Some(Err(self.fail(error))),
            }
        }
    }
}

impl Records<'_> {
    #[cold]
    fn fail(&mut self, error: RecordsError) -> Error {
        self.inner = None;
        let fetched = self.fetched;
        errors::corrupt_record(&fetched.partition, fetched.next_offset, error)
    }

    #[cold]
    fn backwards(&mut self, offset: i64) -> Error {
        self.inner = None;
        errors::disordered_record(&self.fetched.partition, offset, self.next - 1, self.fetched.next_offset)
    }

    #[cold]
    fn stray(&mut self, offset: i64) -> Error {
        self.inner = None;
        errors::stray_record(&self.fetched.partition, offset, self.fetched.next_offset)
    }
}
