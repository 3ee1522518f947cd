//! Where a consumer stands in one partition: what it has handed out, and how far ahead of that it has asked.
//!
//! Two offsets, both "next": `next` is the first offset the user has not been given, `ahead` the first one not yet
//! fetched. Between them lies what is buffered. A batch moves an offset to the end that its *header* states, never to
//! "last record + 1": compaction removes records, even the last ones of a batch, and keeps the batch's range.

/// The offsets that one batch covers, as its header states them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    base: i64,
    next: i64,
}

impl Span {
    /// `None` where no log can hold such a batch: a negative offset, a negative delta, or an end beyond `i64`.
    pub(crate) fn new(base_offset: i64, last_offset_delta: i32) -> Option<Self> {
        if base_offset < 0 || last_offset_delta < 0 {
            return None;
        }
        let next = base_offset.checked_add(i64::from(last_offset_delta) + 1)?;
        Some(Self { base: base_offset, next })
    }

    /// The batch's last offset, whether or not a record is left there.
    pub(crate) fn last(self) -> i64 {
        self.next - 1
    }

    /// The batch's first offset, whether or not a record is left there.
    pub(crate) fn base(self) -> i64 {
        self.base
    }

    /// Whether it may come after a batch that ends at `end`: logs are in the order of their offsets.
    pub(crate) fn follows(self, end: i64) -> bool {
        self.base >= end
    }

    /// The offset to read after this batch.
    pub(crate) fn next(self) -> i64 {
        self.next
    }
}

/// What an answer to a fetch means for the position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// It answers a question that is no longer asked: the position moved, or the partition was halted. Drop it.
    Stale,
    /// Nothing new. Ask again.
    Empty,
    /// Data, to be buffered; the next question goes on from its end.
    Data,
    /// Batches that all end at or before the offset that was asked for: taking them would loop for ever.
    Backwards,
}

/// One partition's position.
#[derive(Clone, Debug)]
pub(crate) struct Position {
    next: i64,
    ahead: i64,
    halted: bool,
}

impl Position {
    /// Reading starts at `offset`.
    pub(crate) fn at(offset: i64) -> Self {
        Self { next: offset, ahead: offset, halted: false }
    }

    /// The first offset that the user was not given.
    pub(crate) fn next(&self) -> i64 {
        self.next
    }

    /// Whether everything that was fetched was handed out, and nothing stops the fetching.
    pub(crate) fn is_drained(&self) -> bool {
        !self.halted && self.next == self.ahead
    }

    /// The offset to fetch from, or `None` while the partition is halted by an error.
    pub(crate) fn wanted(&self) -> Option<i64> {
        (!self.halted).then_some(self.ahead)
    }

    /// The offset at which an error halted fetching.
    pub(crate) fn halted_at(&self) -> Option<i64> {
        self.halted.then_some(self.ahead)
    }

    /// Reading goes on at `offset`; everything buffered or under way is void, and a halt is over.
    pub(crate) fn seek(&mut self, offset: i64) {
        *self = Self::at(offset);
    }

    /// Nothing more is fetched until a seek; what is buffered may still be delivered.
    pub(crate) fn halt(&mut self) {
        self.halted = true;
    }

    /// An answer to a fetch from `asked` came; `end` is where its last whole batch ends (`None`: no whole batch).
    pub(crate) fn arrive(&mut self, asked: i64, end: Option<i64>) -> Arrival {
        if self.halted || asked != self.ahead {
            return Arrival::Stale;
        }
        match end {
            None => Arrival::Empty,
            Some(end) if end <= self.ahead => Arrival::Backwards,
            Some(end) => {
                self.ahead = end;
                Arrival::Data
            }
        }
    }

    /// A buffered batch is to be handed out. Gives the first offset to show of it (what lies below was handed out
    /// before, or sought past), or `None` if the whole batch lies below the position.
    pub(crate) fn deliver(&mut self, batch: Span) -> Option<i64> {
        if batch.next <= self.next {
            return None;
        }
        let from = self.next;
        self.next = batch.next;
        Some(from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(base: i64, last_offset_delta: i32) -> Span {
        Span::new(base, last_offset_delta).expect("a valid span")
    }

    #[test]
    fn impossible_spans_are_refused() {
        for (base, delta) in [(-1, 0), (0, -1), (i64::MAX, 0), (i64::MAX - 5, 5), (i64::MIN, i32::MIN)] {
            assert_eq!(Span::new(base, delta), None, "{base} {delta}");
        }
        assert_eq!(span(i64::MAX - 6, 5).next(), i64::MAX);
    }

    #[test]
    fn a_batch_moves_the_position_to_its_stated_end_whatever_compaction_left_in_it() {
        let mut position = Position::at(10);
        assert_eq!(position.arrive(10, Some(20)), Arrival::Data);
        assert_eq!(position.wanted(), Some(20));
        assert_eq!(position.deliver(span(10, 9)), Some(10));
        assert_eq!(position.next(), 20);
    }

    #[test]
    fn a_hole_between_batches_is_stepped_over() {
        let mut position = Position::at(10);
        assert_eq!(position.arrive(10, Some(50)), Arrival::Data);
        assert_eq!(position.deliver(span(40, 9)), Some(10));
        assert_eq!(position.next(), 50);
    }

    #[test]
    fn records_below_the_position_are_not_shown_again() {
        let mut position = Position::at(15);
        assert_eq!(position.arrive(15, Some(20)), Arrival::Data);
        assert_eq!(position.deliver(span(10, 9)), Some(15));
        assert_eq!(position.deliver(span(10, 9)), None, "the same batch again");
        assert_eq!(position.deliver(span(12, 3)), None, "a batch inside it");
        assert_eq!(position.next(), 20);
    }

    #[test]
    fn an_empty_answer_moves_nothing() {
        let mut position = Position::at(7);
        assert_eq!(position.arrive(7, None), Arrival::Empty);
        assert_eq!((position.next(), position.wanted()), (7, Some(7)));
    }

    #[test]
    fn an_answer_that_leads_backwards_is_called_that() {
        let mut position = Position::at(7);
        assert_eq!(position.arrive(7, Some(7)), Arrival::Backwards);
        assert_eq!(position.arrive(7, Some(3)), Arrival::Backwards);
        assert_eq!(position.wanted(), Some(7));
    }

    #[test]
    fn an_answer_from_before_a_seek_is_stale() {
        let mut position = Position::at(0);
        position.seek(100);
        assert_eq!(position.arrive(0, Some(50)), Arrival::Stale);
        assert_eq!((position.next(), position.wanted()), (100, Some(100)));
        assert_eq!(position.arrive(100, Some(110)), Arrival::Data);
    }

    #[test]
    fn the_answer_to_a_repeated_question_is_stale() {
        let mut position = Position::at(0);
        assert_eq!(position.arrive(0, Some(50)), Arrival::Data);
        assert_eq!(position.arrive(0, Some(50)), Arrival::Stale);
    }

    #[test]
    fn a_halted_partition_asks_nothing_until_a_seek_yet_gives_what_it_holds() {
        let mut position = Position::at(0);
        assert_eq!(position.arrive(0, Some(10)), Arrival::Data);
        position.halt();
        assert_eq!(position.wanted(), None);
        assert_eq!(position.arrive(10, Some(20)), Arrival::Stale);
        assert_eq!(position.deliver(span(0, 9)), Some(0));
        position.seek(10);
        assert_eq!(position.wanted(), Some(10));
    }

    /// A log of random batches with holes; answers arrive, get lost, come twice, and the user seeks now and then.
    #[test]
    fn every_live_offset_is_shown_once_in_order_between_seeks() {
        for seed in 0..300 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut log = Vec::new();
            let mut at = 0;
            for _ in 0..60 {
                at += random.i64(0..3);
                let batch = span(at, random.i32(0..8));
                at = batch.next();
                log.push(batch);
            }
            let mut position = Position::at(0);
            let mut buffered: Vec<Span> = Vec::new();
            let mut expected = 0;
            for _ in 0..400 {
                match random.u8(0..10) {
                    0 => {
                        expected = random.i64(0..at);
                        position.seek(expected);
                        buffered.clear();
                    }
                    1..=5 => {
                        let asked = if random.u8(0..4) == 0 { random.i64(0..at) } else { position.wanted().unwrap() };
                        let answer: Vec<Span> =
                            log.iter().filter(|b| b.next() > asked).take(random.usize(0..4)).copied().collect();
                        let before = position.wanted();
                        if position.arrive(asked, answer.last().map(|b| b.next())) == Arrival::Data {
                            assert_eq!(before, Some(asked), "seed {seed}: took an answer that nobody waited for");
                            buffered.extend(answer);
                        }
                    }
                    _ if !buffered.is_empty() => {
                        let batch = buffered.remove(0);
                        let from = position.deliver(batch).expect("an answer holds no batch below its question");
                        assert_eq!(from, expected, "seed {seed}");
                        assert!(
                            log.iter().all(|b| b.next() <= from || b.next() >= batch.next()),
                            "seed {seed}: skipped"
                        );
                        expected = batch.next();
                    }
                    _ => {}
                }
            }
        }
    }
}
