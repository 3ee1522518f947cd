//! The idempotent producer's numbers for one partition: which batch gets which, and what an answer says about them (KIP-98).
//!
//! A broker keeps the last five batches of each producer id and partition. It appends a batch only if its number follows
//! the last one's, answers a repeat of one of the five with the offset it got the first time, and refuses anything else.
//! So a batch whose answer was lost may be sent again as often as needed, *if its number stays the same*; and a batch may
//! get a new number only if it is certain that the broker does not have it.
//!
//! What is particular here: a producer id belongs to a partition's [`Lineage`], not to the whole producer. A gap in one
//! partition moves that partition to another id; the others go on undisturbed with theirs. Kafka's Java client starts
//! every partition over (`TransactionManager.resetProducerId`), and has to fail what is in flight elsewhere.

use ottla_protocol::ErrorCode;
use ottla_protocol::records::ProducerStamp;

/// Who a producer is to the brokers: what InitProducerId gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Identity {
    pub(crate) producer_id: i64,
    pub(crate) epoch: i16,
}

/// What a lineage knows about a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standing {
    /// What it was sent with, if it was.
    pub(crate) stamp: Option<ProducerStamp>,
    /// Its records.
    pub(crate) count: i32,
    /// The broker may have it: some attempt had no answer, or one that says so.
    pub(crate) uncertain: bool,
    /// Nothing that was handed over before it is unresolved.
    pub(crate) first: bool,
}

/// What to do with the batch that would be sent next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Permit {
    /// Send it with this stamp.
    Send(ProducerStamp),
    /// Not now: an answer that is under way decides.
    Wait,
    /// The partition needs an identity, other than this one, before anything is sent; see [`Lineage::adopt`].
    Identity(Option<Identity>),
}

/// What a refusal that concerns numbers means for the batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The broker has it; the offset is not known.
    Written,
    /// Send it again.
    Retry,
    /// Give it up.
    Fail,
}

/// One partition's numbers.
#[derive(Debug)]
pub(crate) struct Lineage {
    state: State,
}

#[derive(Debug)]
enum State {
    /// It has no identity.
    Unborn,
    /// Each number follows the one before.
    Running(Run),
    /// A numbered batch was given up, so the numbers after it fit only if the broker has it.
    Broken { run: Run, gap: Gap },
}

#[derive(Debug, Clone, Copy)]
struct Run {
    identity: Identity,
    next: i32,
    /// The highest offset that was acknowledged under this identity. Before the first one batch at a time is sent: a broker of 2.5 or later that knows nothing of a producer takes *any* number from it (KIP-360), so a second
    /// batch could be taken after the first was refused.
    last_offset: Option<i64>,
}

/// A number that may be missing.
#[derive(Debug, Clone, Copy)]
struct Gap {
    /// The number of a batch that was given up.
    base: i32,
    /// The broker lacks that batch for certain, and so all that follow it.
    proven: bool,
    /// The broker expects exactly `base` next, since only batches that it certainly lacks were given up.
    refillable: bool,
}

impl Lineage {
    pub(crate) fn new() -> Self {
        Self { state: State::Unborn }
    }

    /// Whether and with what the batch may be sent, while `in_flight` batches of the partition are. Numbers are taken.
    pub(crate) fn permit(&mut self, batch: Standing, in_flight: usize) -> Permit {
        match &mut self.state {
            State::Unborn if in_flight > 0 => Permit::Wait,
            State::Unborn => Permit::Identity(None),
            State::Running(run) => match batch.stamp {
                // A repeat goes alone at the head, or the broker would refuse it for the number before it.
                Some(stamp) if batch.first => Permit::Send(stamp),
                Some(_) => Permit::Wait,
                None if run.last_offset.is_none() && in_flight > 0 => Permit::Wait,
                None => Permit::Send(run.take(batch.count)),
            },
            // Before the gap nothing is wrong. Behind it only the broker can say what became of a batch that it may have: it
            // is asked by sending the batch again.
            State::Broken { gap, .. } if !gap.concerns(batch) || (batch.uncertain && !gap.proven) => {
                match batch.stamp {
                    Some(stamp) if batch.first => Permit::Send(stamp),
                    _ => Permit::Wait,
                }
            }
            State::Broken { .. } if in_flight > 0 => Permit::Wait,
            State::Broken { run, .. } => Permit::Identity(Some(run.identity)),
        }
    }

    /// Begins anew under an identity. To be called only after [`Permit::Identity`]; every stamp given before is void then,
    /// and no batch that bears one can be in the log.
    pub(crate) fn adopt(&mut self, identity: Identity) {
        self.state = State::Running(Run { identity, next: 0, last_offset: None });
    }

    /// Gives the numbers from the gap on again, under the same identity, as Kafka's Java client does
    /// (`TransactionManager.adjustSequencesDueToFailedBatch`). Returns false if the broker may expect another number.
    ///
    /// To be called only after [`Permit::Identity`], and only if each batch with a number from the gap on was answered:
    /// a request that is still on its way could fit once its number is reached. Those batches need new stamps.
    pub(crate) fn refill(&mut self) -> bool {
        let State::Broken { run, gap } = self.state else { return false };
        if gap.refillable {
            self.state = State::Running(Run { next: gap.base, ..run });
        }
        gap.refillable
    }

    /// The broker has the batch.
    pub(crate) fn acknowledged(&mut self, stamp: ProducerStamp, last_offset: Option<i64>) {
        let (State::Running(run) | State::Broken { run, .. }) = &mut self.state else { return };
        if !run.gave(stamp) {
            return;
        }
        // An offset that is not known could be any: never below the log's start.
        run.last_offset = run.last_offset.max(Some(last_offset.unwrap_or(i64::MAX)));
        if let State::Broken { run, gap } = self.state
            && follows(stamp.base_sequence, gap.base)
        {
            // The broker would not have taken it without the one that was given up: there is no gap.
            self.state = State::Running(run);
        }
    }

    /// A batch was given up that had been sent.
    pub(crate) fn given_up(&mut self, batch: Standing) {
        let Some(stamp) = batch.stamp else { return };
        match &mut self.state {
            State::Running(run) if run.gave(stamp) => {
                if !batch.uncertain && advance(stamp.base_sequence, batch.count) == run.next {
                    // The last number given, and the broker does not have it: it is still the next one expected.
                    run.next = stamp.base_sequence;
                } else {
                    self.state = State::Broken { run: *run, gap: Gap::left_by(stamp, batch.uncertain) };
                }
            }
            State::Broken { run, gap } if run.gave(stamp) => {
                *gap = gap.and(Gap::left_by(stamp, batch.uncertain));
            }
            _ => {}
        }
    }

    /// The broker refused the batch for its number or its producer. `first_when_sent`: nothing before it was unresolved when
    /// it was sent, so the refusal is about this batch. `log_start_offset` is the answer's, -1 if unknown.
    pub(crate) fn refused(
        &mut self,
        batch: Standing,
        code: ErrorCode,
        log_start_offset: i64,
        first_when_sent: bool,
    ) -> Verdict {
        if code == ErrorCode::DUPLICATE_SEQUENCE_NUMBER {
            return Verdict::Written;
        }
        if code == ErrorCode::INVALID_PRODUCER_EPOCH {
            if let (State::Running(run), Some(stamp)) = (&self.state, batch.stamp)
                && run.gave(stamp)
            {
                // The identity belongs to another producer by now, so its numbers are of no use.
                let gap = Gap { refillable: false, ..Gap::left_by(stamp, batch.uncertain) };
                self.state = State::Broken { run: *run, gap };
            }
            return Verdict::Fail;
        }
        // A predecessor was missing, or (59) the broker could not yet say: neither is about this batch.
        if !first_when_sent || (code == ErrorCode::UNKNOWN_PRODUCER_ID && log_start_offset < 0) {
            return Verdict::Retry;
        }
        let (State::Running(run) | State::Broken { run, .. }) = &self.state else { return Verdict::Retry };
        let Some(stamp) = batch.stamp.filter(|stamp| run.gave(*stamp)) else { return Verdict::Retry };
        let forgotten =
            code == ErrorCode::UNKNOWN_PRODUCER_ID && run.last_offset.is_some_and(|last| last < log_start_offset);
        let proven = matches!(self.state, State::Broken { gap, .. } if gap.proven && gap.concerns(batch));
        if batch.uncertain && !forgotten && !proven {
            return Verdict::Fail;
        }
        // The broker lacks this batch for certain: retention removed all that it knew of the producer, or it lost what it had
        // acknowledged. Neither is this batch's fault; it goes on under another identity.
        let gap = Gap { base: stamp.base_sequence, proven: true, refillable: false };
        self.state = State::Broken { run: *run, gap };
        Verdict::Retry
    }
}

impl Gap {
    fn left_by(stamp: ProducerStamp, uncertain: bool) -> Self {
        Self { base: stamp.base_sequence, proven: !uncertain, refillable: !uncertain }
    }

    /// Whether the batch was numbered from the gap on, or not at all.
    fn concerns(self, batch: Standing) -> bool {
        batch.stamp.is_none_or(|stamp| stamp.base_sequence == self.base || follows(stamp.base_sequence, self.base))
    }

    /// The one of two gaps that says more: the earliest proven one speaks for all that follow; of two that are not proven
    /// the later one has to be filled last.
    fn and(self, other: Self) -> Self {
        let later = follows(other.base, self.base);
        let stands = match (self.proven, other.proven) {
            (true, true) => later,
            (false, false) => !later,
            (proven, _) => proven,
        };
        let gap = if stands { self } else { other };
        Self { refillable: self.refillable && other.refillable, ..gap }
    }
}

impl Run {
    fn take(&mut self, count: i32) -> ProducerStamp {
        let Identity { producer_id, epoch } = self.identity;
        let base_sequence = self.next;
        self.next = advance(base_sequence, count);
        ProducerStamp { producer_id, producer_epoch: epoch, base_sequence }
    }

    fn gave(&self, stamp: ProducerStamp) -> bool {
        stamp.producer_id == self.identity.producer_id && stamp.producer_epoch == self.identity.epoch
    }
}

/// The number `count` after this one: 2^31 - 1 is followed by 0 (`DefaultRecordBatch.incrementSequence`).
pub(crate) fn advance(sequence: i32, count: i32) -> i32 {
    (i64::from(sequence) + i64::from(count)).rem_euclid(1 << 31) as i32
}

/// Whether `sequence` comes after `other` on the circle of numbers.
fn follows(sequence: i32, other: i32) -> bool {
    let distance = (i64::from(sequence) - i64::from(other)).rem_euclid(1 << 31);
    (1..1 << 30).contains(&distance)
}

#[cfg(test)]
mod tests {
    use super::*;

    const US: Identity = Identity { producer_id: 7, epoch: 0 };
    const LATER: Identity = Identity { producer_id: 8, epoch: 0 };
    const LOST: ErrorCode = ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER;

    fn new(count: i32) -> Standing {
        Standing { stamp: None, count, uncertain: false, first: false }
    }

    fn running() -> Lineage {
        let mut lineage = Lineage::new();
        assert_eq!(lineage.permit(new(1), 0), Permit::Identity(None));
        lineage.adopt(US);
        lineage
    }

    /// Sends a batch that was not sent before and says how it stands then.
    fn send(lineage: &mut Lineage, count: i32, in_flight: usize) -> Standing {
        match lineage.permit(new(count), in_flight) {
            Permit::Send(stamp) => Standing { stamp: Some(stamp), count, uncertain: false, first: in_flight == 0 },
            other => panic!("not sent: {other:?}"),
        }
    }

    /// A lineage with an acknowledged batch of ten behind it, so that five may be in flight.
    fn proven() -> Lineage {
        let mut lineage = running();
        let first = send(&mut lineage, 10, 0);
        lineage.acknowledged(first.stamp.unwrap(), Some(9));
        lineage
    }

    fn base(batch: Standing) -> i32 {
        batch.stamp.unwrap().base_sequence
    }

    #[test]
    fn numbers_follow_each_other_and_wrap_after_2_31_minus_1() {
        let mut lineage = proven();
        let State::Running(run) = &mut lineage.state else { unreachable!() };
        run.next = i32::MAX - 4;
        assert_eq!(base(send(&mut lineage, 3, 0)), i32::MAX - 4);
        assert_eq!(base(send(&mut lineage, 5, 1)), i32::MAX - 1);
        assert_eq!(base(send(&mut lineage, 1, 2)), 3);
        assert!(follows(3, i32::MAX - 1) && !follows(i32::MAX - 1, 3) && !follows(3, 3));
    }

    #[test]
    fn a_retry_keeps_its_number() {
        let mut lineage = proven();
        let mut batch = send(&mut lineage, 4, 0);
        let _behind = send(&mut lineage, 4, 1);
        batch.uncertain = true;
        assert_eq!(lineage.permit(batch, 0), Permit::Send(batch.stamp.unwrap()));
        assert_eq!(base(batch), 10);
    }

    #[test]
    fn a_retry_waits_until_all_before_it_is_resolved() {
        let mut lineage = proven();
        let _first = send(&mut lineage, 4, 0);
        let second = send(&mut lineage, 4, 1);
        assert_eq!(lineage.permit(second, 1), Permit::Wait);
    }

    #[test]
    fn the_first_batch_of_an_identity_goes_alone() {
        let mut lineage = running();
        let first = send(&mut lineage, 1, 0);
        assert_eq!(lineage.permit(new(1), 1), Permit::Wait);
        lineage.acknowledged(first.stamp.unwrap(), Some(0));
        assert_eq!(base(send(&mut lineage, 1, 1)), 1);
    }

    #[test]
    fn a_refusal_behind_a_missing_predecessor_is_a_retry() {
        let mut lineage = proven();
        let _first = send(&mut lineage, 4, 0);
        let second = send(&mut lineage, 4, 1);
        assert_eq!(lineage.refused(second, LOST, -1, false), Verdict::Retry);
        let again = Standing { first: true, ..second };
        assert_eq!(lineage.permit(again, 0), Permit::Send(second.stamp.unwrap()));
    }

    #[test]
    fn a_gap_that_the_broker_made_leads_to_another_identity_from_0() {
        let mut lineage = proven();
        let batch = send(&mut lineage, 4, 0);
        assert_eq!(lineage.refused(batch, LOST, 0, true), Verdict::Retry);
        assert_eq!(lineage.permit(batch, 1), Permit::Wait);
        assert_eq!(lineage.permit(batch, 0), Permit::Identity(Some(US)));
        lineage.adopt(LATER);
        let stamp = ProducerStamp { producer_id: 8, producer_epoch: 0, base_sequence: 0 };
        assert_eq!(lineage.permit(new(4), 0), Permit::Send(stamp));
    }

    #[test]
    fn a_batch_that_the_broker_may_have_is_never_renumbered() {
        let mut lineage = proven();
        let batch = Standing { uncertain: true, ..send(&mut lineage, 4, 0) };
        assert_eq!(lineage.refused(batch, LOST, 0, true), Verdict::Fail);
    }

    #[test]
    fn a_producer_forgotten_by_retention_starts_over() {
        let mut lineage = proven();
        let batch = Standing { uncertain: true, ..send(&mut lineage, 4, 0) };
        let code = ErrorCode::UNKNOWN_PRODUCER_ID;
        assert_eq!(lineage.refused(batch, code, -1, true), Verdict::Retry);
        assert_eq!(lineage.permit(Standing { first: true, ..batch }, 0), Permit::Send(batch.stamp.unwrap()));
        assert_eq!(lineage.refused(batch, code, 10, true), Verdict::Retry);
        assert_eq!(lineage.permit(batch, 0), Permit::Identity(Some(US)));
    }

    #[test]
    fn a_producer_forgotten_without_reason_is_a_gap() {
        let mut lineage = proven();
        let batch = Standing { uncertain: true, ..send(&mut lineage, 4, 0) };
        assert_eq!(lineage.refused(batch, ErrorCode::UNKNOWN_PRODUCER_ID, 9, true), Verdict::Fail);
    }

    #[test]
    fn a_repeat_of_what_the_broker_has_is_written() {
        let mut lineage = proven();
        let batch = send(&mut lineage, 4, 0);
        assert_eq!(lineage.refused(batch, ErrorCode::DUPLICATE_SEQUENCE_NUMBER, -1, true), Verdict::Written);
    }

    #[test]
    fn a_refused_batch_with_nothing_behind_it_gives_its_number_back() {
        let mut lineage = proven();
        let batch = send(&mut lineage, 4, 0);
        lineage.given_up(batch);
        assert_eq!(base(send(&mut lineage, 2, 0)), 10);
    }

    #[test]
    fn behind_a_refused_batch_all_is_renumbered_at_once() {
        let mut lineage = proven();
        let first = send(&mut lineage, 4, 0);
        let second = Standing { uncertain: true, ..send(&mut lineage, 4, 1) };
        lineage.given_up(first);
        assert_eq!(lineage.permit(Standing { first: true, ..second }, 1), Permit::Wait);
        assert_eq!(lineage.permit(Standing { first: true, ..second }, 0), Permit::Identity(Some(US)));
    }

    #[test]
    fn the_numbers_of_a_refused_batch_are_given_again_and_those_of_a_lost_one_are_not() {
        let mut lineage = proven();
        let refused = send(&mut lineage, 4, 0);
        let behind = send(&mut lineage, 4, 1);
        lineage.given_up(refused);
        assert_eq!(lineage.permit(Standing { first: true, ..behind }, 0), Permit::Identity(Some(US)));
        assert!(lineage.refill());
        assert_eq!(base(send(&mut lineage, 4, 0)), 10);

        let lost = Standing { uncertain: true, ..send(&mut lineage, 4, 1) };
        let refused = send(&mut lineage, 4, 2);
        lineage.given_up(lost);
        lineage.given_up(refused);
        assert_eq!(lineage.permit(new(4), 0), Permit::Identity(Some(US)));
        assert!(!lineage.refill(), "the broker may have the lost one, and then expects a later number");
    }

    #[test]
    fn numbers_that_the_broker_forgot_are_not_given_again() {
        let mut lineage = proven();
        let batch = send(&mut lineage, 4, 0);
        assert_eq!(lineage.refused(batch, LOST, 0, true), Verdict::Retry);
        assert_eq!(lineage.permit(batch, 0), Permit::Identity(Some(US)));
        assert!(!lineage.refill());
    }

    #[test]
    fn behind_a_batch_of_unknown_fate_the_next_one_asks_the_broker() {
        let mut lineage = proven();
        let first = Standing { uncertain: true, ..send(&mut lineage, 4, 0) };
        let second = Standing { uncertain: true, first: true, ..send(&mut lineage, 4, 1) };
        lineage.given_up(first);
        assert_eq!(lineage.permit(new(4), 1), Permit::Wait);
        assert_eq!(lineage.permit(second, 0), Permit::Send(second.stamp.unwrap()));
        lineage.acknowledged(second.stamp.unwrap(), Some(17));
        assert_eq!(base(send(&mut lineage, 1, 0)), 18);
    }

    #[test]
    fn a_gap_that_is_real_ends_the_identity() {
        let mut lineage = proven();
        let first = Standing { uncertain: true, ..send(&mut lineage, 4, 0) };
        let second = Standing { uncertain: true, first: true, ..send(&mut lineage, 4, 1) };
        lineage.given_up(first);
        assert_eq!(lineage.refused(second, LOST, 0, true), Verdict::Fail);
        lineage.given_up(second);
        assert_eq!(lineage.permit(new(1), 0), Permit::Identity(Some(US)));
    }

    #[test]
    fn before_a_gap_a_batch_that_the_broker_may_have_keeps_its_number() {
        let mut lineage = proven();
        let first = Standing { uncertain: true, ..send(&mut lineage, 4, 0) };
        let second = send(&mut lineage, 4, 1);
        let third = send(&mut lineage, 4, 2);
        lineage.given_up(second);
        assert_eq!(lineage.permit(Standing { first: true, ..first }, 0), Permit::Send(first.stamp.unwrap()));
        lineage.acknowledged(first.stamp.unwrap(), Some(13));
        assert_eq!(lineage.permit(Standing { first: true, ..third }, 0), Permit::Identity(Some(US)));
    }

    #[test]
    fn an_answer_from_before_the_gap_does_not_close_it() {
        let mut lineage = proven();
        let first = send(&mut lineage, 4, 0);
        let second = Standing { uncertain: true, ..send(&mut lineage, 4, 1) };
        lineage.given_up(second);
        lineage.acknowledged(first.stamp.unwrap(), Some(13));
        assert_eq!(lineage.permit(new(1), 0), Permit::Identity(Some(US)));
    }

    #[test]
    fn an_answer_to_an_older_identity_says_nothing() {
        let mut lineage = proven();
        let old = send(&mut lineage, 4, 0);
        lineage.given_up(Standing { uncertain: true, ..old });
        assert_eq!(lineage.permit(new(1), 0), Permit::Identity(Some(US)));
        lineage.adopt(LATER);
        lineage.acknowledged(old.stamp.unwrap(), Some(13));
        lineage.given_up(old);
        assert_eq!(base(send(&mut lineage, 1, 0)), 0);
        assert_eq!(lineage.permit(new(1), 1), Permit::Wait);
    }
}
