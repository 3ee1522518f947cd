//! What a partition remembers of its idempotent producers (`ProducerStateManager` at 2.3.1).

use std::collections::{HashMap, VecDeque};

use ottla_protocol::ErrorCode;

/// How many batches back a repeat is recognised. A producer has at most this many in flight (KIP-98, KAFKA-5494).
const REMEMBERED: usize = 5;

/// A produced batch's place in its producer's numbering.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) producer_id: i64,
    pub(crate) epoch: i16,
    pub(crate) first: i32,
    pub(crate) last: i32,
}

/// What the numbering says about a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It follows: append it.
    Next,
    /// It is in the log already, at this offset: answer with it, append nothing.
    Repeat { base_offset: i64 },
    /// Refuse it.
    Refused(ErrorCode),
}

/// The producers of one partition.
#[derive(Debug, Default)]
pub(crate) struct Producers(HashMap<i64, Producer>);

#[derive(Debug)]
struct Producer {
    epoch: i16,
    /// The latest batches, oldest first; never empty.
    batches: VecDeque<Kept>,
}

#[derive(Debug, Clone, Copy)]
struct Kept {
    first: i32,
    last: i32,
    base_offset: i64,
    last_offset: i64,
}

impl Producers {
    /// What to do with a batch of this stamp.
    pub(crate) fn judge(&self, stamp: &Stamp) -> Verdict {
        let Some(producer) = self.0.get(&stamp.producer_id) else {
            return if stamp.first == 0 { Verdict::Next } else { Verdict::Refused(ErrorCode::UNKNOWN_PRODUCER_ID) };
        };
        if stamp.epoch < producer.epoch {
            return Verdict::Refused(ErrorCode::INVALID_PRODUCER_EPOCH);
        }
        if stamp.epoch > producer.epoch {
            return begins(stamp);
        }
        if let Some(kept) = producer.batches.iter().find(|kept| (kept.first, kept.last) == (stamp.first, stamp.last)) {
            return Verdict::Repeat { base_offset: kept.base_offset };
        }
        match producer.batches.back() {
            Some(kept) if stamp.first == after(kept.last) => Verdict::Next,
            _ => Verdict::Refused(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER),
        }
    }

    /// Remembers an appended batch.
    pub(crate) fn appended(&mut self, stamp: &Stamp, base_offset: i64, last_offset: i64) {
        let producer = self
            .0
            .entry(stamp.producer_id)
            .or_insert_with(|| Producer { epoch: stamp.epoch, batches: VecDeque::with_capacity(REMEMBERED) });
        if producer.epoch != stamp.epoch {
            producer.epoch = stamp.epoch;
            producer.batches.clear();
        }
        if producer.batches.len() == REMEMBERED {
            producer.batches.pop_front();
        }
        producer.batches.push_back(Kept { first: stamp.first, last: stamp.last, base_offset, last_offset });
    }

    /// Forgets the producers whose every record is before `start`: retention took them.
    pub(crate) fn deleted_before(&mut self, start: i64) {
        self.0.retain(|_, producer| producer.batches.back().is_some_and(|kept| kept.last_offset >= start));
    }

    /// Forgets the batches from `end` on, and the producers that have no other.
    pub(crate) fn truncated_to(&mut self, end: i64) {
        for producer in self.0.values_mut() {
            producer.batches.retain(|kept| kept.last_offset < end);
        }
        self.0.retain(|_, producer| !producer.batches.is_empty());
    }
}

/// The sequence number that follows. It wraps to 0, not to a negative number.
fn after(last: i32) -> i32 {
    last.checked_add(1).unwrap_or(0)
}

/// A new epoch begins its numbering at 0.
fn begins(stamp: &Stamp) -> Verdict {
    if stamp.first == 0 { Verdict::Next } else { Verdict::Refused(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER) }
}

/// The sequence number of a batch's last record.
pub(crate) fn last_of(first: i32, last_offset_delta: i32) -> i32 {
    let last = i64::from(first) + i64::from(last_offset_delta);
    i32::try_from(last).unwrap_or((last - i64::from(i32::MAX) - 1) as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(epoch: i16, first: i32, count: i32) -> Stamp {
        Stamp { producer_id: 7, epoch, first, last: last_of(first, count - 1) }
    }

    /// Batches of two records: sequences 0-1, 2-3, … at the offsets of the same numbers.
    fn after_batches(batches: i32) -> Producers {
        let mut producers = Producers::default();
        for i in 0..batches {
            let stamp = stamp(0, i * 2, 2);
            assert_eq!(producers.judge(&stamp), Verdict::Next);
            producers.appended(&stamp, i64::from(i * 2), i64::from(i * 2 + 1));
        }
        producers
    }

    #[test]
    fn a_repeat_of_one_of_the_last_five_gets_its_first_offset() {
        let producers = after_batches(7);
        for i in 2..7 {
            assert_eq!(producers.judge(&stamp(0, i * 2, 2)), Verdict::Repeat { base_offset: i64::from(i * 2) });
        }
        let older = producers.judge(&stamp(0, 2, 2));
        assert_eq!(older, Verdict::Refused(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER));
    }

    #[test]
    fn a_gap_and_an_overlap_are_out_of_order() {
        let producers = after_batches(3);
        for first in [8, 5, 3] {
            let verdict = producers.judge(&stamp(0, first, 2));
            assert_eq!(verdict, Verdict::Refused(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER), "sequence {first}");
        }
        assert_eq!(producers.judge(&stamp(0, 6, 2)), Verdict::Next);
    }

    #[test]
    fn an_older_epoch_is_fenced_and_a_newer_one_begins_at_zero() {
        let mut producers = after_batches(1);
        assert_eq!(producers.judge(&stamp(1, 2, 1)), Verdict::Refused(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER));
        assert_eq!(producers.judge(&stamp(1, 0, 1)), Verdict::Next);
        producers.appended(&stamp(1, 0, 1), 2, 2);
        assert_eq!(producers.judge(&stamp(0, 2, 1)), Verdict::Refused(ErrorCode::INVALID_PRODUCER_EPOCH));
        assert_eq!(producers.judge(&stamp(1, 1, 1)), Verdict::Next);
    }

    #[test]
    fn a_producer_that_retention_took_is_unknown() {
        let mut producers = after_batches(3);
        producers.deleted_before(5);
        assert_eq!(producers.judge(&stamp(0, 6, 1)), Verdict::Next, "its last record is still there");
        producers.deleted_before(6);
        assert_eq!(producers.judge(&stamp(0, 6, 1)), Verdict::Refused(ErrorCode::UNKNOWN_PRODUCER_ID));
        assert_eq!(producers.judge(&stamp(0, 0, 1)), Verdict::Next);
    }

    #[test]
    fn what_was_truncated_can_be_sent_again() {
        let mut producers = after_batches(3);
        producers.truncated_to(4);
        assert_eq!(producers.judge(&stamp(0, 4, 2)), Verdict::Next);
        assert_eq!(producers.judge(&stamp(0, 2, 2)), Verdict::Repeat { base_offset: 2 });
    }

    #[test]
    fn the_numbering_wraps_to_zero() {
        let mut producers = Producers::default();
        let near_end = Stamp { producer_id: 7, epoch: 0, first: 0, last: i32::MAX - 1 };
        producers.appended(&near_end, 0, 1);
        let across = stamp(0, i32::MAX, 2);
        assert_eq!(across.last, 0);
        assert_eq!(producers.judge(&across), Verdict::Next);
        producers.appended(&across, 2, 3);
        assert_eq!(producers.judge(&stamp(0, 1, 1)), Verdict::Next);
    }
}
