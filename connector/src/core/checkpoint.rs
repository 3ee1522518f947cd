//! Which position is safe to commit: the highest offset of a partition before which everything was written, passed on
//! purpose or hidden by Kafka. Acknowledgements may come in any order; only the unbroken prefix counts.
//!
//! A *span* is what one fetched batch covers, from its first offset to the position behind it. It is opened by
//! [`Checkpoint::read`], [`held`](Checkpoint::hold) once for every acknowledgement it waits for, and settled when the
//! reader has [`finished`](Checkpoint::finish) with it and all of them are in. An offset that failed is a barrier:
//! the position comes to stand on it and never passes it.

use std::collections::VecDeque;

use ottla_client::RecordFingerprint;

/// Names a partition inside the checkpoint: the number that [`Checkpoint::add`] gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Lane(usize);

impl Lane {
    /// The number, for indexing a table kept beside the checkpoint.
    pub fn index(self) -> usize {
        self.0
    }
}

/// Names one span.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Span {
    lane: Lane,
    number: u64,
}

impl Span {
    /// The partition it belongs to.
    pub fn lane(self) -> Lane {
        self.lane
    }
}

/// Records of a span that prove which log it was read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proof {
    /// The first record.
    pub first: RecordFingerprint,
    /// The last one that was handed over.
    pub last: RecordFingerprint,
    /// The leader epoch of the batch.
    pub leader_epoch: Option<i32>,
}

/// A record that was read before the safe position of its partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proven {
    /// Which one.
    pub record: RecordFingerprint,
    /// The leader epoch of its batch.
    pub leader_epoch: Option<i32>,
}

impl Proof {
    /// The latest record before an offset.
    fn before(&self, offset: i64) -> Option<Proven> {
        let record = [self.last, self.first].into_iter().find(|record| record.offset < offset)?;
        Some(Proven { record, leader_epoch: self.leader_epoch })
    }
}

#[derive(Debug)]
struct OpenSpan {
    /// The position behind the span.
    next: i64,
    /// The lowest offset that failed.
    barrier: Option<i64>,
    /// Acknowledgements to come, and one for the reader until it has finished.
    waiting: u32,
    proof: Option<Proof>,
}

#[derive(Debug)]
struct Track {
    /// Everything before is safe.
    safe: i64,
    /// What was committed last.
    committed: i64,
    /// No span behind a failed offset may move the position.
    blocked: bool,
    /// The latest record before `safe` of which it is known.
    proven: Option<Proven>,
    /// The number of the first open span.
    first: u64,
    open: VecDeque<OpenSpan>,
}

/// The positions of all partitions of a task.
#[derive(Debug, Default)]
pub struct Checkpoint {
    tracks: Vec<Track>,
}

impl Checkpoint {
    /// Takes in a partition whose position `start` is already committed.
    pub fn add(&mut self, start: i64) -> Lane {
        self.tracks.push(Track {
            safe: start,
            committed: start,
            blocked: false,
            proven: None,
            first: 0,
            open: VecDeque::new(),
        });
        Lane(self.tracks.len() - 1)
    }

    /// Opens the span of a batch that was fetched from a partition; `next` is the position behind it.
    pub fn read(&mut self, lane: Lane, next: i64) -> Span {
        let track = &mut self.tracks[lane.0];
        track.open.push_back(OpenSpan { next, barrier: None, waiting: 1, proof: None });
        Span { lane, number: track.first + track.open.len() as u64 - 1 }
    }

    /// The position behind a span, where it was not known when it was opened. Only before
    /// [`finish`](Checkpoint::finish).
    pub fn ends_at(&mut self, span: Span, next: i64) {
        if let Some(open) = self.open(span) {
            open.next = next;
        }
    }

    /// One more acknowledgement belongs to the span. Only before [`finish`](Checkpoint::finish).
    pub fn hold(&mut self, span: Span) {
        if let Some(open) = self.open(span) {
            open.waiting += 1;
        }
    }

    /// Says which records prove the span's log. Only before [`finish`](Checkpoint::finish) or [`stop_at`](Checkpoint::stop_at).
    pub fn prove(&mut self, span: Span, proof: Proof) {
        if let Some(open) = self.open(span) {
            open.proof = Some(proof);
        }
    }

    /// The latest record before the safe position of which it is known; `None` if none was read since the start.
    pub fn proven(&self, lane: Lane) -> Option<Proven> {
        self.tracks[lane.0].proven
    }

    /// One acknowledgement has come, or what it stood for was passed on purpose.
    pub fn written(&mut self, span: Span) {
        self.settle(span, None);
    }

    /// One acknowledgement will never come: the record at `offset`, and maybe later ones, are not in the target.
    pub fn failed(&mut self, span: Span, offset: i64) {
        self.settle(span, Some(offset));
    }

    /// The reader has handed over every record of the span.
    pub fn finish(&mut self, span: Span) {
        self.settle(span, None);
    }

    /// The reader has stopped in the span, before the record at `offset`.
    pub fn stop_at(&mut self, span: Span, offset: i64) {
        self.settle(span, Some(offset));
    }

    /// The safe position of a partition: the next offset to read after a crash right now.
    pub fn safe(&self, lane: Lane) -> i64 {
        self.tracks[lane.0].safe
    }

    /// Is nothing of the partition on its way any more?
    pub fn is_settled(&self, lane: Lane) -> bool {
        self.tracks[lane.0].open.is_empty()
    }

    /// Is nothing on its way in any partition?
    pub fn all_settled(&self) -> bool {
        self.tracks.iter().all(|track| track.open.is_empty())
    }

    /// The positions that moved since they were last committed.
    pub fn to_commit(&self) -> impl Iterator<Item = (Lane, i64)> {
        let moved = self.tracks.iter().enumerate().filter(|(_, track)| track.safe > track.committed);
        moved.map(|(index, track)| (Lane(index), track.safe))
    }

    /// The safe positions of all partitions, moved or not.
    pub fn positions(&self) -> impl Iterator<Item = (Lane, i64)> {
        self.tracks.iter().enumerate().map(|(index, track)| (Lane(index), track.safe))
    }

    /// What was committed last of a partition.
    pub fn committed_at(&self, lane: Lane) -> i64 {
        self.tracks[lane.0].committed
    }

    /// `position` of a partition is committed now.
    pub fn committed(&mut self, lane: Lane, position: i64) {
        let track = &mut self.tracks[lane.0];
        track.committed = track.committed.max(position);
    }

    fn open(&mut self, span: Span) -> Option<&mut OpenSpan> {
        let track = self.tracks.get_mut(span.lane.0)?;
        let index = span.number.checked_sub(track.first)?;
        track.open.get_mut(usize::try_from(index).ok()?)
    }

    fn settle(&mut self, span: Span, barrier: Option<i64>) {
        let Some(open) = self.open(span) else { return };
        open.waiting = open.waiting.saturating_sub(1);
        if let Some(offset) = barrier {
            open.barrier = Some(open.barrier.map_or(offset, |lowest| lowest.min(offset)));
        }
        self.tracks[span.lane.0].advance();
    }
}

impl Track {
    fn advance(&mut self) {
        while self.open.front().is_some_and(|open| open.waiting == 0) {
            let Some(open) = self.open.pop_front() else { return };
            self.first += 1;
            if self.blocked {
                continue;
            }
            self.blocked = open.barrier.is_some();
            self.safe = self.safe.max(open.barrier.unwrap_or(open.next));
            self.proven = open.proof.and_then(|proof| proof.before(self.safe)).or(self.proven);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn commits(checkpoint: &Checkpoint) -> Vec<i64> {
        checkpoint.to_commit().map(|(_, position)| position).collect()
    }

    #[test]
    fn nothing_is_safe_before_its_acknowledgement() {
        let mut checkpoint = Checkpoint::default();
        let lane = checkpoint.add(10);
        let span = checkpoint.read(lane, 20);
        checkpoint.hold(span);
        checkpoint.finish(span);
        assert_eq!(checkpoint.safe(lane), 10);
        assert!(commits(&checkpoint).is_empty());
        checkpoint.written(span);
        assert_eq!(commits(&checkpoint), [20]);
        checkpoint.committed(lane, 20);
        assert!(commits(&checkpoint).is_empty());
        assert!(checkpoint.is_settled(lane));
    }

    #[test]
    fn an_early_acknowledgement_does_not_settle_a_span_that_is_still_being_read() {
        let mut checkpoint = Checkpoint::default();
        let lane = checkpoint.add(0);
        let span = checkpoint.read(lane, 10);
        checkpoint.hold(span);
        checkpoint.written(span);
        assert_eq!(checkpoint.safe(lane), 0);
        checkpoint.hold(span);
        checkpoint.finish(span);
        assert_eq!(checkpoint.safe(lane), 0);
        checkpoint.written(span);
        assert_eq!(checkpoint.safe(lane), 10);
    }

    #[test]
    fn a_later_span_waits_for_an_earlier_one() {
        let mut checkpoint = Checkpoint::default();
        let lane = checkpoint.add(0);
        let (first, second) = (checkpoint.read(lane, 10), checkpoint.read(lane, 20));
        for span in [first, second] {
            checkpoint.hold(span);
            checkpoint.finish(span);
        }
        checkpoint.written(second);
        assert_eq!(checkpoint.safe(lane), 0);
        checkpoint.written(first);
        assert_eq!(checkpoint.safe(lane), 20);
    }

    #[test]
    fn a_span_without_visible_records_moves_the_position() {
        let mut checkpoint = Checkpoint::default();
        let lane = checkpoint.add(5);
        let control = checkpoint.read(lane, 6);
        checkpoint.finish(control);
        assert_eq!(checkpoint.safe(lane), 6);
    }

    #[test]
    fn a_bad_record_is_reached_but_never_passed() {
        let mut checkpoint = Checkpoint::default();
        let lane = checkpoint.add(0);
        let span = checkpoint.read(lane, 10);
        checkpoint.hold(span);
        checkpoint.stop_at(span, 7);
        assert_eq!(checkpoint.safe(lane), 0);
        checkpoint.written(span);
        assert_eq!(checkpoint.safe(lane), 7);
        let later = checkpoint.read(lane, 20);
        checkpoint.finish(later);
        assert_eq!(checkpoint.safe(lane), 7, "a span behind the bad record moves nothing");
        assert!(checkpoint.all_settled());
    }

    #[test]
    fn the_lowest_of_several_failures_counts() {
        let mut checkpoint = Checkpoint::default();
        let lane = checkpoint.add(0);
        let span = checkpoint.read(lane, 10);
        for _ in 0..3 {
            checkpoint.hold(span);
        }
        checkpoint.finish(span);
        checkpoint.failed(span, 8);
        checkpoint.failed(span, 3);
        assert_eq!(checkpoint.safe(lane), 0, "records before the failures may still be on their way");
        checkpoint.written(span);
        assert_eq!(checkpoint.safe(lane), 3);
    }

    #[test]
    fn partitions_do_not_hold_each_other_up() {
        let mut checkpoint = Checkpoint::default();
        let (slow, fast) = (checkpoint.add(0), checkpoint.add(100));
        let (stuck, done) = (checkpoint.read(slow, 10), checkpoint.read(fast, 110));
        checkpoint.hold(stuck);
        checkpoint.finish(stuck);
        checkpoint.finish(done);
        assert_eq!((checkpoint.safe(slow), checkpoint.safe(fast)), (0, 110));
        assert_eq!(checkpoint.positions().map(|(_, position)| position).collect::<Vec<_>>(), [0, 110]);
        assert!(!checkpoint.all_settled());
    }

    #[test]
    fn an_acknowledgement_that_comes_twice_changes_nothing() {
        let mut checkpoint = Checkpoint::default();
        let lane = checkpoint.add(0);
        let span = checkpoint.read(lane, 10);
        checkpoint.finish(span);
        checkpoint.written(span);
        checkpoint.failed(span, 2);
        assert_eq!(checkpoint.safe(lane), 10);
    }

    #[test]
    fn the_position_is_proven_by_the_latest_record_before_it() {
        let record = |offset: i64| format!("{offset},0,{offset:016x}").parse().expect("a fingerprint");
        let proof = |first, last| Proof { first: record(first), last: record(last), leader_epoch: Some(3) };
        let mut checkpoint = Checkpoint::default();
        let lane = checkpoint.add(10);
        let proven = |checkpoint: &Checkpoint| checkpoint.proven(lane).map(|proven| proven.record.offset);
        let first = checkpoint.read(lane, 20);
        checkpoint.hold(first);
        checkpoint.prove(first, proof(10, 18));
        checkpoint.finish(first);
        assert_eq!(proven(&checkpoint), None, "nothing is safe yet");
        checkpoint.written(first);
        assert_eq!(proven(&checkpoint), Some(18));
        // A batch without records moves the position, and the proof stays.
        let empty = checkpoint.read(lane, 25);
        checkpoint.finish(empty);
        assert_eq!((checkpoint.safe(lane), proven(&checkpoint)), (25, Some(18)));
        // Stopped inside a batch: only a record before the barrier proves anything.
        let stopped = checkpoint.read(lane, 40);
        checkpoint.hold(stopped);
        checkpoint.prove(stopped, proof(25, 39));
        checkpoint.finish(stopped);
        checkpoint.failed(stopped, 30);
        assert_eq!((checkpoint.safe(lane), proven(&checkpoint)), (30, Some(25)));
    }

    #[test]
    fn a_barrier_at_the_first_record_leaves_the_proof_from_before() {
        let record = |offset: i64| format!("{offset},0,{offset:016x}").parse().expect("a fingerprint");
        let mut checkpoint = Checkpoint::default();
        let lane = checkpoint.add(0);
        let span = checkpoint.read(lane, 5);
        checkpoint.hold(span);
        checkpoint.prove(span, Proof { first: record(0), last: record(4), leader_epoch: None });
        checkpoint.finish(span);
        checkpoint.failed(span, 0);
        assert_eq!((checkpoint.safe(lane), checkpoint.proven(lane)), (0, None));
    }

    /// One record of the simulated log: is it in the target, refused by it, or still on its way?
    #[derive(Debug, Clone, Copy, PartialEq)]
    enum Fate {
        OnItsWay,
        Written,
        Refused,
    }

    /// The model: whatever the order, a crash at any step loses nothing. "Nothing before the safe position is still
    /// on its way or refused", and when all is settled, the position stands at the end or on the first refusal.
    fn crash_anywhere_loses_nothing(span_lengths: &[usize], refused: &[usize], mut order: Vec<(usize, usize)>) {
        let total: usize = span_lengths.iter().sum();
        let mut fates = vec![Fate::OnItsWay; total];
        let mut checkpoint = Checkpoint::default();
        let lane = checkpoint.add(0);
        let mut spans = Vec::new();
        let mut next = 0;
        for &length in span_lengths {
            next += length;
            let span = checkpoint.read(lane, next as i64);
            (0..length).for_each(|_| checkpoint.hold(span));
            checkpoint.finish(span);
            spans.push((span, next - length));
        }
        order.retain(|&(span, record)| record < span_lengths[span]);
        for (span, record) in order {
            let (span, base) = spans[span];
            let offset = base + record;
            if refused.contains(&offset) {
                fates[offset] = Fate::Refused;
                checkpoint.failed(span, offset as i64);
            } else {
                fates[offset] = Fate::Written;
                checkpoint.written(span);
            }
            let safe = checkpoint.safe(lane) as usize;
            assert!(fates[..safe].iter().all(|fate| *fate == Fate::Written), "safe at {safe}: {fates:?}");
        }
        let end = fates.iter().position(|fate| *fate != Fate::Written).unwrap_or(total);
        assert_eq!(checkpoint.safe(lane), end as i64);
        assert!(checkpoint.all_settled());
    }

    proptest! {
        #[test]
        fn whatever_the_order_of_acknowledgements_a_crash_loses_nothing(
            (lengths, order) in prop::collection::vec(1usize..6, 1..8).prop_flat_map(|lengths| {
                let all: Vec<(usize, usize)> = (0..lengths.len())
                    .flat_map(|span| (0..lengths[span]).map(move |record| (span, record))).collect();
                (Just(lengths), Just(all).prop_shuffle())
            }),
            refused in prop::collection::vec(0usize..48, 0..4),
        ) {
            crash_anywhere_loses_nothing(&lengths, &refused, order);
        }
    }
}
