//! The queue's promises one by one, on a virtual clock.

mod endings;
mod refusals;

use std::sync::Arc;
use std::time::{Duration, Instant};

use ottla_protocol::ErrorCode;
use ottla_protocol::compression::{Compression, Compressor, Decompressor};
use ottla_protocol::records::{Batches, Header, OpenBatch, ProducerStamp};

use super::batch::{Batch, Finished};
use super::cell::Cell;
use super::memory::Budget;
use super::*;
use crate::ErrorKind;
use crate::core::sequence::Identity;

const US: Identity = Identity { producer_id: 1000, epoch: 0 };
const LINGER: Duration = Duration::from_millis(5);
const TIMEOUT: Duration = Duration::from_mins(2);
const BACKOFF: Duration = Duration::from_millis(100);
const BATCH: usize = 16 * 1024;

/// A record's place: where its outcome will be.
struct Ticket(Arc<Cell>, u32);

impl Ticket {
    fn outcome(&self) -> Option<Result<Option<i64>, ErrorKind>> {
        self.0.outcome(self.1).map(|outcome| outcome.map_err(|e| e.kind()))
    }
}

/// A queue with its budget and a clock that only the test moves.
struct Rig {
    queue: PartitionQueue,
    budget: Arc<Budget>,
    now: Instant,
    compressor: Compressor,
}

fn limits(idempotent: bool) -> Limits {
    Limits {
        linger: LINGER,
        batch_bytes: BATCH,
        delivery_timeout: TIMEOUT,
        retry_backoff: BACKOFF,
        retry_backoff_max: BACKOFF,
        idempotent,
        stop_at_failure: false,
    }
}

impl Rig {
    fn new(idempotent: bool, memory: usize) -> Self {
        Self::with(limits(idempotent), memory)
    }

    fn with(limits: Limits, memory: usize) -> Self {
        Self {
            queue: PartitionQueue::new(0, Arc::new(limits)),
            budget: Budget::new(memory, || ()),
            now: Instant::now(),
            compressor: Compressor::new(),
        }
    }

    /// Idempotent, with one batch behind it, so that five may be under way.
    fn running() -> Self {
        let mut rig = Self::new(true, 1 << 20);
        let ticket = rig.send(b"first");
        let batch = rig.drain().unwrap();
        assert_eq!(rig.acknowledge(batch, 0), None);
        assert_eq!(ticket.outcome(), Some(Ok(Some(0))));
        rig
    }

    fn try_send(&mut self, value: &[u8]) -> Option<Ticket> {
        let record = Outgoing { value: Some(value), ..Outgoing::default() };
        loop {
            match self.queue.append(&record, record.size_bound(), 1) {
                Append::Taken(cell, index) => return Some(Ticket(cell, index)),
                Append::Needs { bytes, .. } => {
                    let grant = self.budget.take(bytes)?;
                    self.queue.grant(grant, None, self.now);
                }
                Append::Closed(_) => return None,
            }
        }
    }

    fn send(&mut self, value: &[u8]) -> Ticket {
        self.try_send(value).unwrap()
    }

    /// A record in a batch of its own.
    fn send_batch(&mut self, value: &[u8]) -> Ticket {
        let ticket = self.send(value);
        self.queue.seal();
        ticket
    }

    fn drain(&mut self) -> Option<Batch> {
        loop {
            match self.queue.drain(self.now, usize::MAX, true) {
                Drain::Send(mut batch) => {
                    batch.encode(Compression::None, None, &mut self.compressor).unwrap();
                    return Some(batch);
                }
                Drain::Identity(other) => {
                    let producer_id = other.map_or(US.producer_id, |other| other.producer_id + 1);
                    self.queue.adopt(Identity { producer_id, epoch: 0 });
                }
                Drain::Nothing | Drain::Larger => return None,
            }
        }
    }

    fn complete(&mut self, batch: Batch, attempt: Attempt) -> Option<ErrorKind> {
        match self.queue.complete(batch, attempt, self.now, 0.5) {
            Completion::Finished(finished) => deliver(finished),
            Completion::Requeued => None,
            Completion::Split(batch) => {
                let halves = batch.split(&mut Decompressor::new()).unwrap();
                self.queue.requeue_halves(halves);
                None
            }
        }
    }

    fn acknowledge(&mut self, batch: Batch, base_offset: i64) -> Option<ErrorKind> {
        self.complete(batch, Attempt::Acknowledged { base_offset: Some(base_offset) })
    }

    fn refuse(&mut self, batch: Batch, code: ErrorCode) -> Option<ErrorKind> {
        self.complete(batch, Attempt::Refused { code, log_start_offset: 0, error: Error::from_code(code) })
    }

    fn lose(&mut self, batch: Batch) {
        let error = Error::new(ErrorKind::Disconnected, "the connection broke").written_maybe(true);
        assert_eq!(self.complete(batch, Attempt::Lost(error)), None);
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
    }
}

fn deliver(finished: Finished) -> Option<ErrorKind> {
    let kind = finished.error().map(Error::kind);
    drop(finished.deliver());
    kind
}

fn open(batch: &mut Batch) -> OpenBatch {
    let bytes = batch.encode(Compression::None, None, &mut Compressor::new()).unwrap();
    let batch = Batches::new(bytes).next().unwrap().unwrap();
    batch.verify_crc().unwrap();
    batch.open(&mut Decompressor::new(), 1 << 20).unwrap()
}

fn values(batch: &mut Batch) -> Vec<String> {
    let value = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    open(batch).iter().map(|record| value(record.unwrap().value.unwrap())).collect()
}

fn value(batch: &mut Batch) -> String {
    values(batch).concat()
}

fn base_sequence(batch: &Batch) -> i32 {
    batch.stamp.unwrap().base_sequence
}

#[test]
fn a_batch_waits_for_its_linger_time_and_no_longer() {
    let mut rig = Rig::new(false, 1 << 20);
    let opened = rig.now;
    rig.send(b"a");
    rig.wait(Duration::from_millis(4));
    rig.send(b"b");
    assert_eq!(rig.queue.due(), Some(opened + LINGER));
    assert!(matches!(rig.queue.drain(rig.now, usize::MAX, false), Drain::Nothing));
    rig.wait(Duration::from_millis(1));
    let Drain::Send(mut batch) = rig.queue.drain(rig.now, usize::MAX, false) else { panic!("not due") };
    assert_eq!(values(&mut batch), ["a", "b"]);
    assert_eq!(rig.queue.due(), None);
}

#[test]
fn a_full_batch_does_not_wait() {
    let mut rig = Rig::new(false, 1 << 20);
    let large = vec![b'x'; 5000];
    let tickets: Vec<_> = (0..4).map(|_| rig.send(&large)).collect();
    assert!(Arc::ptr_eq(&tickets[0].0, &tickets[2].0) && !Arc::ptr_eq(&tickets[2].0, &tickets[3].0));
    let Drain::Send(batch) = rig.queue.drain(rig.now, usize::MAX, false) else { panic!("not sent") };
    assert_eq!((batch.count(), batch.len() <= BATCH), (3, true));
    assert!(matches!(rig.queue.drain(rig.now, usize::MAX, false), Drain::Nothing));
}

#[test]
fn a_record_larger_than_a_batch_gets_one_of_its_own() {
    let mut rig = Rig::new(true, 1 << 20);
    rig.send(b"before");
    rig.send(&vec![b'x'; 3 * BATCH]);
    rig.send(b"after");
    let counts: Vec<_> = std::iter::from_fn(|| {
        let batch = rig.drain()?;
        let count = batch.count();
        rig.acknowledge(batch, 0);
        Some(count)
    })
    .collect();
    assert_eq!(counts, [1, 1, 1]);
}

#[test]
fn everything_of_a_record_arrives_in_its_batch() {
    let mut rig = Rig::new(false, 1 << 20);
    let headers = [Header { key: "mqOp", value: Some(b"delete") }, Header { key: "", value: None }];
    let record =
        Outgoing { key: Some(b""), value: None, headers: OutgoingHeaders::List(&headers), ..Outgoing::default() };
    let size = record.size_bound();
    rig.queue.grant(rig.budget.take(4096).unwrap(), None, rig.now);
    assert!(matches!(rig.queue.append(&record, size, -5), Append::Taken(..)));
    let source = open(&mut rig.drain().unwrap());
    let copied = source.iter().next().unwrap().unwrap();
    assert_eq!((copied.timestamp_ms, copied.key, copied.value), (-5, Some(&b""[..]), None));

    let mut rig = Rig::new(false, 1 << 20);
    let raw = Outgoing { headers: OutgoingHeaders::Raw(copied.headers), ..record };
    let size = raw.size_bound();
    rig.queue.grant(rig.budget.take(4096).unwrap(), None, rig.now);
    assert!(matches!(rig.queue.append(&raw, size, 7), Append::Taken(..)));
    let again = open(&mut rig.drain().unwrap());
    assert_eq!(again.iter().next().unwrap().unwrap().headers.iter().collect::<Vec<_>>(), headers);
}

#[test]
fn memory_is_bounded_and_all_of_it_returns_with_the_batches() {
    let mut rig = Rig::new(true, 64 * 1024);
    let mut sent = Vec::new();
    while let Some(ticket) = rig.try_send(&[b'x'; 100]) {
        sent.push(ticket);
        assert!(rig.budget.used() <= 64 * 1024);
    }
    // The bound is used: at most one step is left over.
    assert!(rig.budget.used() > 48 * 1024 && sent.len() > 350, "{} records", sent.len());
    while let Some(batch) = rig.drain() {
        rig.acknowledge(batch, 0);
    }
    assert!(sent.iter().all(|ticket| ticket.outcome().is_some()));
    assert_eq!(rig.budget.used(), 0);
}

#[test]
fn memory_returns_from_failed_expired_split_and_abandoned_batches_too() {
    let mut rig = Rig::running();
    rig.send_batch(b"refused");
    let batch = rig.drain().unwrap();
    assert_eq!(rig.refuse(batch, ErrorCode::TOPIC_AUTHORIZATION_FAILED), Some(ErrorKind::Broker));
    assert_eq!(rig.budget.used(), 0);
    for _ in 0..10 {
        rig.send(b"split");
    }
    let batch = rig.drain().unwrap();
    assert_eq!(rig.refuse(batch, ErrorCode::MESSAGE_TOO_LARGE), None);
    drop(rig.drain().unwrap());
    rig.send(b"too late");
    rig.wait(TIMEOUT);
    rig.queue.expire(rig.now, None).into_iter().for_each(|finished| drop(finished.deliver()));
    assert_eq!(rig.budget.used(), 0);
}

#[test]
fn the_memory_of_an_idle_partition_is_small_and_grows_with_its_batches() {
    let mut rig = Rig::new(true, 1 << 20);
    rig.send(b"x");
    assert_eq!(rig.budget.used(), FIRST_GRANT);
    for _ in 0..100 {
        rig.send(&[b'x'; 100]);
    }
    assert_eq!(rig.budget.used(), BATCH);
    let batch = rig.drain().unwrap();
    rig.acknowledge(batch, 0);
    // The next one takes as much at once, and does not grow in steps.
    rig.send(b"x");
    assert_eq!(rig.budget.used(), BATCH);
}

#[test]
fn without_idempotence_one_batch_is_under_way() {
    let mut rig = Rig::new(false, 1 << 20);
    rig.send_batch(b"a");
    rig.send_batch(b"b");
    let first = rig.drain().unwrap();
    assert!(rig.drain().is_none());
    rig.lose(first);
    rig.wait(BACKOFF);
    let mut again = rig.drain().unwrap();
    assert_eq!((value(&mut again), again.stamp), ("a".to_owned(), None));
}

#[test]
fn with_idempotence_five_are() {
    let mut rig = Rig::running();
    for number in 0..6 {
        rig.send_batch(format!("{number}").as_bytes());
    }
    let batches: Vec<_> = std::iter::from_fn(|| rig.drain()).collect();
    assert_eq!(batches.iter().map(base_sequence).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
}

/// Five are under way and one of them is lost; those behind it are refused for the number before them. For each place.
#[test]
fn a_loss_at_any_of_five_places_changes_neither_order_nor_numbers() {
    for lost in 0..5 {
        let mut rig = Rig::running();
        let tickets: Vec<_> = (0..7).map(|number| rig.send_batch(format!("{number}").as_bytes())).collect();
        let batches: Vec<_> = std::iter::from_fn(|| rig.drain()).collect();
        let mut log = Vec::new();
        for (place, mut batch) in batches.into_iter().enumerate() {
            match place {
                _ if place < lost => {
                    log.push((base_sequence(&batch), value(&mut batch)));
                    rig.acknowledge(batch, place as i64);
                }
                _ if place == lost => rig.lose(batch),
                _ => assert_eq!(rig.refuse(batch, ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER), None),
            }
        }
        assert!(rig.drain().is_none(), "nothing goes out before the delay is over");
        rig.wait(BACKOFF);
        let head = rig.drain().unwrap();
        if lost < 4 {
            assert!(rig.drain().is_none(), "only the head is repeated at first");
        }
        rig.lose(head);
        rig.wait(BACKOFF);
        while let Some(mut batch) = rig.drain() {
            log.push((base_sequence(&batch), value(&mut batch)));
            rig.acknowledge(batch, log.len() as i64 - 1);
        }
        let expected: Vec<_> = (0..7).map(|number| (number + 1, format!("{number}"))).collect();
        assert_eq!(log, expected, "lost at {lost}");
        assert!(tickets.iter().zip(0..).all(|(ticket, offset)| ticket.outcome() == Some(Ok(Some(offset)))));
    }
}

#[test]
fn an_acknowledgement_resolves_its_own_batch_and_no_other() {
    let mut rig = Rig::running();
    let tickets: Vec<_> = (0..3).map(|number| rig.send_batch(format!("{number}").as_bytes())).collect();
    let mut batches: Vec<_> = std::iter::from_fn(|| rig.drain()).collect();
    let second = batches.remove(1);
    rig.acknowledge(second, 77);
    let outcomes: Vec<_> = tickets.iter().map(Ticket::outcome).collect();
    assert_eq!(outcomes, [None, Some(Ok(Some(77))), None]);
}

#[test]
fn a_repeat_sends_the_same_bytes() {
    let mut rig = Rig::running();
    rig.send_batch(b"a");
    let mut batch = rig.drain().unwrap();
    let bytes = batch.encode(Compression::None, None, &mut rig.compressor).unwrap();
    rig.lose(batch);
    rig.wait(BACKOFF);
    let mut again = rig.drain().unwrap();
    let repeated = again.encode(Compression::None, None, &mut rig.compressor).unwrap();
    assert_eq!((bytes.as_ptr(), &bytes), (repeated.as_ptr(), &repeated));
}

#[test]
fn a_batch_too_large_for_the_broker_is_split_in_order_and_keeps_its_numbers() {
    let mut rig = Rig::running();
    let tickets: Vec<_> = (0..5).map(|number| rig.send(format!("{number}").as_bytes())).collect();
    rig.queue.seal();
    let behind = rig.send_batch(b"behind");
    let (large, follower) = (rig.drain().unwrap(), rig.drain().unwrap());
    assert_eq!(rig.refuse(large, ErrorCode::MESSAGE_TOO_LARGE), None);
    assert_eq!(rig.refuse(follower, ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER), None);
    rig.wait(BACKOFF);
    let mut seen = Vec::new();
    while let Some(mut batch) = rig.drain() {
        let base = base_sequence(&batch);
        seen.push((base, values(&mut batch)));
        rig.acknowledge(batch, 100 + i64::from(base));
    }
    let expected = [(1, vec!["0", "1"]), (3, vec!["2", "3", "4"]), (6, vec!["behind"])];
    assert_eq!(seen, expected.map(|(base, values)| (base, values.into_iter().map(str::to_owned).collect())));
    let offsets: Vec<_> = tickets.iter().map(|ticket| ticket.outcome().unwrap().unwrap().unwrap()).collect();
    assert_eq!(offsets, [101, 102, 103, 104, 105]);
    assert_eq!(behind.outcome(), Some(Ok(Some(106))));
}

#[test]
fn one_record_too_large_for_the_broker_fails_and_what_is_behind_it_goes_on() {
    let mut rig = Rig::running();
    let (large, behind) = (rig.send_batch(b"large"), rig.send_batch(b"behind"));
    let (first, second) = (rig.drain().unwrap(), rig.drain().unwrap());
    assert_eq!(rig.refuse(first, ErrorCode::MESSAGE_TOO_LARGE), Some(ErrorKind::TooLarge));
    rig.refuse(second, ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER);
    rig.wait(BACKOFF);
    let again = rig.drain().unwrap();
    // Nothing is in the log under the number of the one that failed, so it is given again.
    assert_eq!(again.stamp, Some(ProducerStamp { producer_id: 1000, producer_epoch: 0, base_sequence: 1 }));
    rig.acknowledge(again, 9);
    assert_eq!((large.outcome(), behind.outcome()), (Some(Err(ErrorKind::TooLarge)), Some(Ok(Some(9)))));
}

#[test]
fn smaller_batches_are_made_after_one_was_too_large() {
    let mut rig = Rig::running();
    for _ in 0..100 {
        rig.send(&[b'x'; 100]);
    }
    let batch = rig.drain().unwrap();
    let size = batch.len();
    rig.refuse(batch, ErrorCode::MESSAGE_TOO_LARGE);
    while let Some(batch) = rig.drain() {
        rig.acknowledge(batch, 0);
    }
    for _ in 0..100 {
        rig.send(&[b'x'; 100]);
    }
    let batch = rig.drain().unwrap();
    assert!(batch.len() <= size / 2 + 200, "{} of {size}", batch.len());
    rig.acknowledge(batch, 0);
}
