//! The queue and its lineage against a small model of a broker, under faults drawn from a seed.
//!
//! The network loses requests and answers, breaks connections, keeps requests of a broken connection back and delivers them
//! late; brokers answer with passing errors, refuse for good, find batches too large or one of their records wrong, keep
//! them in an old format, and hand their partition over. What is checked: every record ends exactly once; what was acknowledged stands in the log, once, at the offset told; the log holds
//! each producer's records in the order in which they were sent; what was refused as "not written" is not in the log; no
//! record is refused for another one's fault; after a record that failed nothing is written, if that is asked for.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ottla_protocol::ErrorCode;
use ottla_protocol::compression::{Compression, Compressor, Decompressor};
use ottla_protocol::records::Batches;

use super::batch::Batch;
use super::cell::Cell;
use super::memory::Budget;
use super::*;
use crate::core::sequence::{Identity, advance};

const RECORDS: u32 = 300;
const SEEDS: u64 = 400;
const MEMORY: usize = 24 * 1024;

/// splitmix64: enough chance for a test, and the same everywhere.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// What the leader of a partition keeps; it is the same for every leader, since only what all replicas have counts.
#[derive(Default)]
struct Broker {
    log: Vec<u32>,
    producers: HashMap<(i64, i16), VecDeque<Kept>>,
    /// Takes any first number from a producer that it does not know, as brokers from 2.5 on do (KIP-360).
    modern: bool,
    max_records: usize,
    /// Every how many-th record is refused, and with which code.
    bad: Option<(u32, ErrorCode)>,
    /// Takes no numbered batches.
    old_format: bool,
}

struct Kept {
    base_sequence: i32,
    count: i32,
    base_offset: i64,
}

impl Broker {
    fn append(&mut self, bytes: &Bytes, idempotent: bool) -> Result<i64, ErrorCode> {
        let batch = Batches::new(bytes.clone()).next().unwrap().unwrap();
        batch.verify_crc().unwrap();
        let header = *batch.header();
        if header.count as usize > self.max_records {
            return Err(ErrorCode::MESSAGE_TOO_LARGE);
        }
        let open = batch.open(&mut Decompressor::new(), 1 << 20).unwrap();
        let number = |value: &[u8]| u32::from_be_bytes(*value.first_chunk().unwrap());
        let numbers: Vec<u32> = open.iter().map(|record| number(record.unwrap().value.unwrap())).collect();
        if let Some((every, code)) = self.bad
            && numbers.iter().any(|number| number % every == every - 1)
        {
            return Err(code);
        }
        if self.old_format && header.producer_id >= 0 {
            return Err(ErrorCode::UNSUPPORTED_FOR_MESSAGE_FORMAT);
        }
        let base_offset = self.log.len() as i64;
        if idempotent {
            assert!(header.producer_id >= 0 && header.base_sequence >= 0, "an idempotent batch without a stamp");
            let kept = self.producers.entry((header.producer_id, header.producer_epoch)).or_default();
            let same = |kept: &&Kept| kept.base_sequence == header.base_sequence && kept.count == header.count;
            if let Some(kept) = kept.iter().find(same) {
                return Ok(kept.base_offset);
            }
            let expected = kept.back().map(|last| advance(last.base_sequence, last.count));
            match expected {
                Some(expected) if expected != header.base_sequence => {
                    return Err(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER);
                }
                None if header.base_sequence != 0 && !self.modern => return Err(ErrorCode::UNKNOWN_PRODUCER_ID),
                _ => {}
            }
            kept.push_back(Kept { base_sequence: header.base_sequence, count: header.count, base_offset });
            if kept.len() > 5 {
                kept.pop_front();
            }
        }
        self.log.extend(numbers);
        Ok(base_offset)
    }
}

/// What is on its way to the broker on the one connection, in order.
struct Wire {
    requests: VecDeque<(Bytes, Batch)>,
    /// Requests of broken connections that the broker has still in its hands.
    ghosts: Vec<Bytes>,
}

struct World {
    chance: Chance,
    now: Instant,
    queue: PartitionQueue,
    budget: Arc<Budget>,
    broker: Broker,
    wire: Wire,
    /// The batches have numbers, and the broker takes them.
    idempotent: bool,
    stop_at_failure: bool,
    ghosts: bool,
    compression: Compression,
    compressor: Compressor,
    last_identity: i64,
    sent: Vec<(Arc<Cell>, u32)>,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut chance = Chance(seed);
        let idempotent = chance.percent(80);
        let old_format = chance.percent(10);
        let stop_at_failure = chance.percent(30);
        let limits = Limits {
            linger: Duration::from_millis(chance.below(3) * 5),
            batch_bytes: 256 << chance.below(5),
            delivery_timeout: Duration::from_secs(1 + chance.below(60)),
            retry_backoff: Duration::from_millis(1 + chance.below(100)),
            retry_backoff_max: Duration::from_millis(100 + chance.below(900)),
            idempotent,
            stop_at_failure,
        };
        let codes = [INVALID_RECORD, ErrorCode::CORRUPT_MESSAGE, ErrorCode::INVALID_TIMESTAMP];
        let bad = (1 + chance.below(60) as u32, codes[chance.below(3) as usize]);
        let broker = Broker {
            bad: chance.percent(40).then_some(bad),
            old_format,
            modern: chance.percent(50),
            max_records: if chance.percent(30) { 1 + chance.below(8) as usize } else { usize::MAX },
            ..Broker::default()
        };
        Self {
            queue: PartitionQueue::new(0, Arc::new(limits)),
            budget: Budget::new(MEMORY, || ()),
            now: Instant::now(),
            broker,
            wire: Wire { requests: VecDeque::new(), ghosts: Vec::new() },
            idempotent: idempotent && !old_format,
            stop_at_failure,
            ghosts: chance.percent(50),
            compression: if chance.percent(30) { Compression::Lz4 } else { Compression::None },
            compressor: Compressor::new(),
            last_identity: 0,
            sent: Vec::new(),
            chance,
        }
    }

    fn send_record(&mut self) {
        let number = self.sent.len() as u32;
        let mut value = vec![b'x'; 4 + self.chance.below(60) as usize];
        value[..4].copy_from_slice(&number.to_be_bytes());
        let record = Outgoing { value: Some(&value), ..Outgoing::default() };
        loop {
            match self.queue.append(&record, record.size_bound(), 0) {
                Append::Taken(cell, index) => return self.sent.push((cell, index)),
                Append::Needs { bytes, .. } => {
                    let Some(grant) = self.budget.take(bytes) else { return };
                    self.queue.grant(grant, None, self.now);
                }
                Append::Closed(error) => panic!("closed: {error}"),
            }
        }
    }

    /// The sender's turn.
    fn drain(&mut self) {
        self.queue.expire(self.now, None).into_iter().for_each(|finished| drop(finished.deliver()));
        loop {
            let early = self.chance.percent(10);
            match self.queue.drain(self.now, usize::MAX, early) {
                Drain::Send(mut batch) => {
                    let bytes = batch.encode(self.compression, None, &mut self.compressor).unwrap();
                    self.wire.requests.push_back((bytes, batch));
                    assert!(self.wire.requests.len() <= MAX_IN_FLIGHT);
                }
                Drain::Identity(other) => {
                    if self.chance.percent(50) || other.is_some_and(|other| other.producer_id == self.last_identity) {
                        self.last_identity += 1;
                    }
                    self.queue.adopt(Identity { producer_id: self.last_identity, epoch: 0 });
                }
                Drain::Nothing | Drain::Larger => return,
            }
        }
    }

    /// The broker takes the next request, or something goes wrong with it.
    fn answer(&mut self) {
        if self.wire.requests.is_empty() {
            return;
        }
        if self.chance.percent(6) {
            return self.break_connection();
        }
        let Some((bytes, batch)) = self.wire.requests.pop_front() else { return };
        let code = match self.chance.below(100) {
            0..5 => Err(ErrorCode::NOT_LEADER_FOR_PARTITION),
            5..8 => Err(ErrorCode::NOT_ENOUGH_REPLICAS),
            8..9 => Err(ErrorCode::TOPIC_AUTHORIZATION_FAILED),
            // Written, and the answer says that it may not be safe.
            9..12 if self.idempotent => {
                let appended = self.broker.append(&bytes, true);
                appended.and(Err(ErrorCode::NOT_ENOUGH_REPLICAS_AFTER_APPEND))
            }
            _ => self.broker.append(&bytes, self.idempotent),
        };
        let attempt = match code {
            Ok(base_offset) => Attempt::Acknowledged { base_offset: Some(base_offset) },
            Err(code) => Attempt::Refused { code, log_start_offset: 0, error: Error::from_code(code) },
        };
        self.complete(batch, attempt);
    }

    /// All that is under way is lost: of some the request, of some the answer, and some arrive later.
    fn break_connection(&mut self) {
        let applied = self.chance.below(self.wire.requests.len() as u64 + 1) as usize;
        for (place, (bytes, batch)) in std::mem::take(&mut self.wire.requests).into_iter().enumerate() {
            if place < applied {
                let _ = self.broker.append(&bytes, self.idempotent);
            } else if self.idempotent && self.ghosts && self.chance.percent(50) {
                self.wire.ghosts.push(bytes);
            }
            let error = Error::new(ErrorKind::Disconnected, "the connection broke").written_maybe(true);
            self.complete(batch, Attempt::Lost(error));
        }
    }

    fn complete(&mut self, batch: Batch, attempt: Attempt) {
        match self.queue.complete(batch, attempt, self.now, 0.5) {
            Completion::Finished(finished) => drop(finished.deliver()),
            Completion::Requeued => {}
            Completion::Split(batch) => match batch.split(&mut Decompressor::new()) {
                Ok(halves) => self.queue.requeue_halves(halves),
                Err(finished) => drop(self.queue.give_up_split(*finished).deliver()),
            },
        }
    }

    fn step(&mut self) {
        match self.chance.below(10) {
            0..4 if (self.sent.len() as u32) < RECORDS => self.send_record(),
            4..6 => self.drain(),
            6..9 => self.answer(),
            _ => {
                if !self.wire.ghosts.is_empty() && self.chance.percent(30) {
                    let ghost = self.wire.ghosts.remove(0);
                    let _ = self.broker.append(&ghost, self.idempotent);
                }
                let longest = if self.chance.percent(2) { 20_000 } else { 20 };
                self.now += Duration::from_millis(self.chance.below(longest));
            }
        }
        assert!(self.budget.used() <= 3 * MEMORY, "{:?}", self.budget);
    }

    fn run(mut self) {
        let mut steps = 0;
        while (self.sent.len() as u32) < RECORDS || self.sent.iter().any(|(cell, index)| cell.outcome(*index).is_none())
        {
            self.step();
            steps += 1;
            assert!(steps < 2_000_000, "it does not come to an end");
        }
        for ghost in std::mem::take(&mut self.wire.ghosts) {
            let _ = self.broker.append(&ghost, self.idempotent);
        }
        self.check();
    }

    fn check(&self) {
        let log = &self.broker.log;
        let mut places: HashMap<u32, Vec<i64>> = HashMap::new();
        log.iter().zip(0..).for_each(|(number, offset)| places.entry(*number).or_default().push(offset));
        let mut last = -1;
        for (number, (cell, index)) in self.sent.iter().enumerate() {
            let found = places.get(&(number as u32)).map_or(&[][..], Vec::as_slice);
            match cell.outcome(*index).unwrap() {
                Ok(offset) => {
                    let offset = offset.unwrap();
                    assert!(
                        found.contains(&offset),
                        "record {number} was acknowledged at {offset}, it is at {found:?}"
                    );
                    assert!(!self.idempotent || found.len() == 1, "record {number} is there at {found:?}");
                    assert!(offset > last, "record {number} at {offset} overtook one at {last}");
                    last = offset;
                }
                Err(error) => {
                    let blamed = error.code().is_some_and(|code| self.broker.bad.is_some_and(|bad| bad.1 == code));
                    let is_bad = self.broker.bad.is_some_and(|(every, _)| number as u32 % every == every - 1);
                    assert!(is_bad || !blamed, "record {number} was refused for another one's fault: {error}");
                    if self.stop_at_failure && !error.maybe_written() {
                        let after = log.iter().find(|other| **other > number as u32);
                        assert_eq!(after, None, "written after record {number} had failed: {error}");
                    }
                    assert!(error.maybe_written() || found.is_empty(), "record {number} is at {found:?}: {error}");
                    assert!(!self.idempotent || found.len() <= 1, "record {number} is there at {found:?}");
                }
            }
        }
        assert_eq!(self.budget.used(), 0, "memory that nobody holds");
    }
}

#[test]
fn what_is_acknowledged_is_in_the_log_once_and_in_order_whatever_fails() {
    let number = |name| std::env::var(name).ok().and_then(|number| number.parse::<u64>().ok());
    let seeds = match number("OTTLA_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("OTTLA_SEEDS").unwrap_or(SEEDS),
    };
    for seed in seeds {
        let run = std::panic::catch_unwind(|| World::new(seed).run());
        assert!(run.is_ok(), "failed with OTTLA_SEED={seed}");
    }
}
