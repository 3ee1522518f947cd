//! Which batches a reader may see: control records never, aborted transactions only where uncommitted data is asked for.
//!
//! The rule is that of Kafka's `Fetcher.PartitionRecords`. The broker gives, with each partition's data, the aborted
//! transactions that overlap it: a producer and the first offset of each. Walking the batches in order, an entry comes
//! into force when a batch reaches its first offset, and ends at that producer's ABORT marker. The list belongs to that
//! one answer's data.

use std::collections::HashSet;

use ottla_protocol::IsolationLevel;
use ottla_protocol::records::ControlType;

use super::position::Span;

/// Which transactions' records a consumer is given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Isolation {
    /// Everything up to the high watermark, open and aborted transactions included.
    ReadUncommitted,
    /// Committed transactions and records outside any, up to the last stable offset.
    #[default]
    ReadCommitted,
}

impl Isolation {
    /// The value of Fetch and ListOffsets requests' `isolation_level`.
    pub(crate) fn level(self) -> IsolationLevel {
        match self {
            Self::ReadUncommitted => IsolationLevel::READ_UNCOMMITTED,
            Self::ReadCommitted => IsolationLevel::READ_COMMITTED,
        }
    }
}

/// What of a batch's header decides whether it is seen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin {
    pub(crate) span: Span,
    /// -1 for a producer without an id.
    pub(crate) producer_id: i64,
    pub(crate) transactional: bool,
}

/// One aborted transaction of a fetch answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Aborted {
    pub(crate) producer_id: i64,
    pub(crate) first_offset: i64,
}

/// Walks one answer's batches of one partition, in order.
#[derive(Debug, Default)]
pub(crate) struct AbortFilter {
    /// By first offset, the lowest last, so that `pop` takes the next one to come into force.
    to_come: Vec<Aborted>,
    in_force: HashSet<i64>,
}

impl AbortFilter {
    /// `aborted` as the broker sent it: in any order, empty under `ReadUncommitted`.
    pub(crate) fn new(mut aborted: Vec<Aborted>) -> Self {
        aborted.sort_unstable_by_key(|a| std::cmp::Reverse(a.first_offset));
        Self { to_come: aborted, in_force: HashSet::new() }
    }

    /// A batch of records: may it be shown?
    pub(crate) fn shows(&mut self, batch: Origin) -> bool {
        self.advance(batch);
        !(batch.transactional && self.in_force.contains(&batch.producer_id))
    }

    /// A control batch: it is never shown, but an abort marker ends its producer's aborted transaction.
    pub(crate) fn control(&mut self, batch: Origin, marker: ControlType) {
        self.advance(batch);
        if marker == ControlType::Abort {
            self.in_force.remove(&batch.producer_id);
        }
    }

    fn advance(&mut self, batch: Origin) {
        if batch.producer_id < 0 {
            return;
        }
        while let Some(entry) = self.to_come.pop_if(|entry| entry.first_offset <= batch.span.last()) {
            self.in_force.insert(entry.producer_id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(base: i64, count: i32, producer_id: i64, transactional: bool) -> Origin {
        Origin { span: Span::new(base, count - 1).expect("a valid span"), producer_id, transactional }
    }

    fn aborted(list: &[(i64, i64)]) -> AbortFilter {
        AbortFilter::new(
            list.iter().map(|&(producer_id, first_offset)| Aborted { producer_id, first_offset }).collect(),
        )
    }

    #[test]
    fn without_aborted_transactions_everything_is_shown() {
        let mut filter = aborted(&[]);
        assert!(filter.shows(batch(0, 5, -1, false)));
        assert!(filter.shows(batch(5, 5, 7, true)));
        assert!(filter.shows(batch(10, 5, 7, false)));
    }

    #[test]
    fn an_aborted_transaction_is_hidden_from_its_first_offset_to_its_marker() {
        let mut filter = aborted(&[(7, 10)]);
        assert!(filter.shows(batch(0, 10, 7, true)), "an earlier transaction of the same producer");
        assert!(!filter.shows(batch(10, 5, 7, true)));
        assert!(filter.shows(batch(15, 5, 8, true)), "another producer in between");
        assert!(!filter.shows(batch(20, 5, 7, true)), "still the same transaction");
        filter.control(batch(25, 1, 7, true), ControlType::Abort);
        assert!(filter.shows(batch(26, 5, 7, true)), "the next transaction");
    }

    #[test]
    fn a_commit_marker_and_an_unknown_one_end_nothing() {
        let mut filter = aborted(&[(7, 0)]);
        filter.control(batch(0, 1, 7, true), ControlType::Commit);
        filter.control(batch(1, 1, 7, true), ControlType::Unknown(2));
        assert!(!filter.shows(batch(2, 1, 7, true)));
    }

    #[test]
    fn records_outside_transactions_are_shown_even_from_an_aborting_producer() {
        let mut filter = aborted(&[(7, 0)]);
        assert!(filter.shows(batch(0, 5, 7, false)));
        assert!(filter.shows(batch(5, 5, -1, false)));
    }

    #[test]
    fn the_list_may_come_in_any_order_and_name_a_producer_twice() {
        let mut filter = aborted(&[(7, 40), (8, 5), (7, 0)]);
        assert!(!filter.shows(batch(0, 5, 7, true)));
        assert!(!filter.shows(batch(5, 5, 8, true)));
        filter.control(batch(10, 1, 7, true), ControlType::Abort);
        assert!(filter.shows(batch(11, 5, 7, true)));
        filter.control(batch(16, 1, 8, true), ControlType::Abort);
        assert!(!filter.shows(batch(40, 5, 7, true)));
    }

    #[test]
    fn an_entry_inside_a_batch_counts_by_the_batchs_last_offset() {
        let mut filter = aborted(&[(7, 4)]);
        assert!(!filter.shows(batch(0, 5, 7, true)), "compaction may have moved the first record into this batch");
        let mut filter = aborted(&[(7, 5)]);
        assert!(filter.shows(batch(0, 5, 7, true)));
    }

    /// Random interleaved transactions, read back from a random offset with the list a broker would give for it.
    #[test]
    fn exactly_the_aborted_batches_are_hidden() {
        for seed in 0..300 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut log: Vec<(Origin, Option<ControlType>, usize)> = Vec::new(); // batch, marker, transaction
            let mut open: Vec<Option<usize>> = vec![None; 4];
            let mut fates: Vec<(i64, i64, bool)> = Vec::new(); // producer, first offset, aborted
            let mut at = 0;
            for _ in 0..80 {
                let producer = random.usize(0..4);
                match open[producer] {
                    Some(transaction) if random.u8(0..3) == 0 => {
                        let marker = if random.bool() { ControlType::Abort } else { ControlType::Commit };
                        fates[transaction].2 = marker == ControlType::Abort;
                        log.push((batch(at, 1, producer as i64, true), Some(marker), transaction));
                        open[producer] = None;
                        at += 1;
                    }
                    transaction => {
                        let transaction = transaction.unwrap_or_else(|| {
                            fates.push((producer as i64, at, false));
                            fates.len() - 1
                        });
                        open[producer] = Some(transaction);
                        let count = random.i32(1..5);
                        log.push((batch(at, count, producer as i64, true), None, transaction));
                        at += i64::from(count);
                    }
                }
            }
            let from = random.usize(0..log.len());
            let start = log[from].0.span;
            let mut list: Vec<(i64, i64)> = Vec::new();
            for (transaction, &(producer, first, aborted)) in fates.iter().enumerate() {
                let end = log.iter().rposition(|(_, marker, t)| *t == transaction && marker.is_some());
                if aborted && end.is_some_and(|end| log[end].0.span.next() >= start.next()) {
                    list.push((producer, first));
                }
            }
            random.shuffle(&mut list);
            let mut filter = aborted(&list);
            for (origin, marker, transaction) in &log[from..] {
                match marker {
                    Some(marker) => filter.control(*origin, *marker),
                    None => assert_eq!(filter.shows(*origin), !fates[*transaction].2, "seed {seed} {origin:?}"),
                }
            }
        }
    }
}
