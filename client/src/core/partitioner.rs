//! Which partition a record goes to.

use std::sync::atomic::{AtomicU64, Ordering};

use ottla_protocol::partition_for_key;

/// What becomes of records that have neither a partition nor a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Unkeyed {
    /// They stay with one partition until its batch is full or sent, then move on (KIP-480). Batches are fuller, so fewer.
    #[default]
    Sticky,
    /// Each goes to the next partition.
    RoundRobin,
}

/// Where a record belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Choice {
    /// There and nowhere else: its partition or its key says so.
    Fixed(i32),
    /// There, but another would do: a batch that would have to be begun there is begun at [`Spread::move_on`] instead.
    Loose(i32),
    /// The partition named is none of the topic's.
    Unknown(i32),
}

/// Where a topic's records without partition and key go at the moment. Shared by all that send to the topic; no lock.
#[derive(Debug)]
pub(crate) struct Spread {
    unkeyed: Unkeyed,
    /// Upper half: how often the partition was changed. Lower half: the partition.
    cursor: AtomicU64,
}

impl Spread {
    /// `chance` decides where to begin, so that many producers do not begin at the same partition.
    pub(crate) fn new(unkeyed: Unkeyed, chance: u32) -> Self {
        Self { unkeyed, cursor: AtomicU64::new(u64::from(chance)) }
    }

    /// The partition of a record. An explicit one is taken as it is; a key is hashed as Kafka's own client does it, an empty
    /// key too, over all partitions whether or not they have a leader; anything else goes where `available` says yes, or
    /// round all of them if it never does.
    pub(crate) fn choose(
        &self,
        explicit: Option<i32>,
        key: Option<&[u8]>,
        partitions: i32,
        available: impl Fn(i32) -> bool,
    ) -> Choice {
        if let Some(partition) = explicit {
            return if (0..partitions).contains(&partition) {
                Choice::Fixed(partition)
            } else {
                Choice::Unknown(partition)
            };
        }
        if let Some(key) = key {
            return Choice::Fixed(partition_for_key(key, partitions));
        }
        match self.unkeyed {
            Unkeyed::RoundRobin => {
                let turn = self.cursor.fetch_add(1, Ordering::Relaxed);
                Choice::Fixed(available_from((turn % partitions as u64) as i32, partitions, available))
            }
            Unkeyed::Sticky => {
                let here = (self.cursor.load(Ordering::Relaxed) as u32 % partitions as u32) as i32;
                Choice::Loose(available_from(here, partitions, available))
            }
        }
    }

    /// The partition where a new batch begins, after `left`'s was closed. Of several callers one moves, the rest follow it.
    pub(crate) fn move_on(&self, left: i32, partitions: i32, available: impl Fn(i32) -> bool) -> i32 {
        let seen = self.cursor.load(Ordering::Relaxed);
        let here = (seen as u32 % partitions as u32) as i32;
        if here != left && available(here) {
            return here;
        }
        let next = available_from((left + 1) % partitions, partitions, available);
        let moves = (seen >> 32).wrapping_add(1) << 32;
        // Lost the race: another moved on in the meantime, and its choice is as good as this one.
        let _ =
            self.cursor.compare_exchange(seen, moves | u64::from(next as u32), Ordering::Relaxed, Ordering::Relaxed);
        next
    }
}

/// The first partition from `start` on, round the end, that is available; `start` if none is.
fn available_from(start: i32, partitions: i32, available: impl Fn(i32) -> bool) -> i32 {
    let distance = (0..partitions).find(|distance| available((start + distance) % partitions));
    (start + distance.unwrap_or(0)) % partitions
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sticky() -> Spread {
        Spread::new(Unkeyed::Sticky, 7)
    }

    #[test]
    fn an_explicit_partition_beats_the_key_and_has_to_exist() {
        assert_eq!(sticky().choose(Some(2), Some(b"key"), 3, |_| true), Choice::Fixed(2));
        assert_eq!(sticky().choose(Some(3), None, 3, |_| true), Choice::Unknown(3));
        assert_eq!(sticky().choose(Some(-1), None, 3, |_| true), Choice::Unknown(-1));
    }

    #[test]
    fn a_key_goes_where_kafkas_own_client_sends_it_even_if_that_has_no_leader() {
        // Kafka's `UtilsTest.testMurmur2`: murmur2("21") is -973932308; its lower 31 bits are 1173551340.
        assert_eq!(sticky().choose(None, Some(b"21"), 7, |_| false), Choice::Fixed(1_173_551_340 % 7));
    }

    #[test]
    fn an_empty_key_is_hashed_and_not_spread() {
        let homes: Vec<_> =
            (0..9).map(|chance| Spread::new(Unkeyed::Sticky, chance).choose(None, Some(b""), 9, |_| true)).collect();
        assert_eq!(homes, [Choice::Fixed(partition_for_key(b"", 9)); 9]);
    }

    #[test]
    fn records_without_a_key_stay_until_the_batch_is_closed_and_visit_all() {
        let spread = sticky();
        assert_eq!(spread.choose(None, None, 5, |_| true), Choice::Loose(2));
        assert_eq!(spread.choose(None, None, 5, |_| true), Choice::Loose(2));
        let mut here = 2;
        let visited: Vec<_> = (0..5)
            .map(|_| {
                here = spread.move_on(here, 5, |_| true);
                assert_eq!(spread.choose(None, None, 5, |_| true), Choice::Loose(here));
                here
            })
            .collect();
        assert_eq!(visited, [3, 4, 0, 1, 2]);
    }

    #[test]
    fn two_that_leave_the_same_partition_meet_in_the_next() {
        let spread = sticky();
        assert_eq!(spread.move_on(2, 5, |_| true), 3);
        assert_eq!(spread.move_on(2, 5, |_| true), 3);
    }

    #[test]
    fn records_without_a_key_avoid_partitions_without_a_leader() {
        let spread = sticky();
        assert_eq!(spread.choose(None, None, 5, |p| p == 1), Choice::Loose(1));
        assert_eq!(spread.move_on(1, 5, |p| p == 0), 0);
        assert_eq!(spread.choose(None, None, 5, |_| false), Choice::Loose(0));
    }

    #[test]
    fn round_robin_gives_each_partition_its_turn() {
        let spread = Spread::new(Unkeyed::RoundRobin, 1);
        let turns: Vec<_> = (0..4).map(|_| spread.choose(None, None, 3, |_| true)).collect();
        assert_eq!(turns, [1, 2, 0, 1].map(Choice::Fixed));
    }
}
