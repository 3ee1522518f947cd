//! Batches that a broker refuses: for one of their records, for their numbers, for now.

use super::*;

/// A broker that refuses every batch with a record in `bad`, and keeps the others.
struct Picky {
    bad: &'static [u32],
    code: ErrorCode,
    /// The values it took, in order.
    log: Vec<String>,
    /// The number that it expects next.
    next: i32,
    requests: usize,
}

impl Picky {
    fn new(bad: &'static [u32], code: ErrorCode) -> Self {
        Self { bad, code, log: Vec::new(), next: 1, requests: 0 }
    }

    /// Answers every batch that the queue sends, waiting for the delays between.
    fn serve(&mut self, rig: &mut Rig) {
        loop {
            while let Some(mut batch) = rig.drain() {
                self.requests += 1;
                let values = values(&mut batch);
                if values.iter().any(|value| self.bad.contains(&value.parse().unwrap())) {
                    rig.refuse(batch, self.code);
                    continue;
                }
                if let Some(stamp) = batch.stamp {
                    assert_eq!((stamp.producer_id, stamp.base_sequence), (US.producer_id, self.next));
                    self.next += batch.count();
                }
                let base_offset = self.log.len() as i64;
                self.log.extend(values);
                rig.acknowledge(batch, base_offset);
            }
            let Some(due) = rig.queue.due() else { return };
            rig.now = rig.now.max(due);
            rig.queue.expire(rig.now, None).into_iter().for_each(|finished| drop(finished.deliver()));
        }
    }
}

/// Hands over records that hold their numbers, `per_batch` to a batch.
fn send_numbers(rig: &mut Rig, count: u32, per_batch: u32) -> Vec<Ticket> {
    let send = |number: u32| {
        let ticket = rig.send(number.to_string().as_bytes());
        if number % per_batch == per_batch - 1 {
            rig.queue.seal();
        }
        ticket
    };
    (0..count).map(send).collect()
}

fn numbers_without(count: u32, bad: &[u32]) -> Vec<String> {
    (0..count).filter(|number| !bad.contains(number)).map(|number| number.to_string()).collect()
}

#[test]
fn of_a_batch_with_a_refused_record_only_that_record_fails() {
    for idempotent in [true, false] {
        for bad in [&[500][..], &[0], &[999], &[0, 1, 998, 999]] {
            let mut rig = if idempotent { Rig::running() } else { Rig::new(false, 1 << 20) };
            let tickets = send_numbers(&mut rig, 3000, 1000);
            let mut broker = Picky::new(bad, INVALID_RECORD);
            broker.serve(&mut rig);
            assert_eq!(broker.log, numbers_without(3000, bad), "all the others, in order");
            for (number, ticket) in (0..).zip(&tickets) {
                assert_eq!(ticket.outcome().unwrap().is_err(), bad.contains(&number), "record {number}");
            }
            // Ten halvings, two requests each.
            assert!(broker.requests <= 3 + 20 * bad.len() + 5, "{} requests", broker.requests);
            assert_eq!(rig.budget.used(), 0);
        }
    }
}

/// A broker far away: each answer takes [`Far::WAY`], it has up to five requests at a time, and refuses numbers that do not
/// follow each other.
struct Far {
    picky: Picky,
    idempotent: bool,
    /// How often it was asked and waited for.
    rounds: u32,
}

impl Far {
    const WAY: Duration = Duration::from_millis(100);

    fn serve(&mut self, rig: &mut Rig) {
        loop {
            let batches: Vec<_> = std::iter::from_fn(|| rig.drain()).collect();
            if batches.is_empty() {
                let Some(due) = rig.queue.due() else { return };
                rig.now = rig.now.max(due);
                rig.queue.expire(rig.now, None).into_iter().for_each(|finished| drop(finished.deliver()));
                continue;
            }
            rig.now += Self::WAY;
            self.rounds += 1;
            for batch in batches {
                self.answer(rig, batch);
            }
        }
    }

    fn answer(&mut self, rig: &mut Rig, mut batch: Batch) {
        self.picky.requests += 1;
        let values = values(&mut batch);
        if self.idempotent && batch.stamp.unwrap().base_sequence != self.picky.next {
            rig.refuse(batch, ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER);
        } else if values.iter().any(|value| self.picky.bad.contains(&value.parse().unwrap())) {
            rig.refuse(batch, self.picky.code);
        } else {
            self.picky.next += batch.count();
            let base_offset = self.picky.log.len() as i64;
            self.picky.log.extend(values);
            rig.acknowledge(batch, base_offset);
        }
    }
}

#[test]
fn of_a_batch_in_which_every_second_record_is_bad_the_others_are_written_however_long_the_search_takes() {
    const COUNT: u32 = 4000;
    let bad: Vec<u32> = (0..COUNT).filter(|number| number % 2 == 1).collect();
    let bad: &'static [u32] = bad.leak();
    for (idempotent, code) in [(true, INVALID_RECORD), (false, INVALID_RECORD), (true, ErrorCode::CORRUPT_MESSAGE)] {
        let mut rig = if idempotent { Rig::running() } else { Rig::new(false, 1 << 20) };
        let began = rig.now;
        let tickets = send_numbers(&mut rig, COUNT, 1000);
        let mut far = Far { picky: Picky::new(bad, code), idempotent, rounds: 0 };
        far.serve(&mut rig);
        assert_eq!(far.picky.log, numbers_without(COUNT, bad), "idempotent: {idempotent}, {code}");
        for (number, ticket) in (0..).zip(&tickets) {
            let failed = matches!(ticket.outcome(), Some(Err(kind)) if kind != ErrorKind::Timeout);
            assert_eq!(failed, bad.contains(&number), "record {number}: {:?}", ticket.outcome());
        }
        // Halving takes two requests a record; those that were in flight behind a refused one come again. The search waits for
        // answers and for nothing else.
        let (requests, took) = (far.picky.requests, rig.now - began);
        println!("idempotent: {idempotent}, {code}: {requests} requests, {took:?}");
        assert!(took > TIMEOUT, "the search is longer than the time of a batch: {took:?}");
        assert!(took <= Far::WAY * far.rounds + 5 * BACKOFF, "{} rounds in {took:?}", far.rounds);
        assert!(requests <= 5 * COUNT as usize, "{requests} requests");
    }
}

#[test]
fn a_refused_record_costs_no_producer_id() {
    let mut rig = Rig::running();
    send_numbers(&mut rig, 50, 10);
    // `Picky` accepts no other identity.
    let mut broker = Picky::new(&[3, 14, 15, 26], INVALID_RECORD);
    broker.serve(&mut rig);
    assert_eq!(broker.log.len(), 46);
}

#[test]
fn corrupt_is_tried_again_first_and_then_the_record_is_looked_for() {
    let mut rig = Rig::running();
    let ticket = rig.send_batch(b"0");
    let batch = rig.drain().unwrap();
    assert_eq!(rig.refuse(batch, ErrorCode::CORRUPT_MESSAGE), None);
    let again = rig.drain().unwrap();
    rig.acknowledge(again, 1);
    assert_eq!(ticket.outcome(), Some(Ok(Some(1))), "bytes that changed on the way once");

    let mut rig = Rig::running();
    let began = rig.now;
    let tickets = send_numbers(&mut rig, 1000, 500);
    let mut broker = Picky::new(&[123, 877], ErrorCode::CORRUPT_MESSAGE);
    broker.serve(&mut rig);
    assert_eq!(broker.log, numbers_without(1000, &[123, 877]));
    assert_eq!(tickets.iter().filter(|ticket| ticket.outcome().unwrap().is_err()).count(), 2);
    // Two delays before the first batch is halved; the second batch is halved at once.
    assert!(rig.now - began <= 3 * BACKOFF, "{:?}", rig.now - began);
}

#[test]
fn a_topic_of_an_old_format_is_written_without_numbers_and_in_order() {
    let mut rig = Rig::running();
    let tickets = send_numbers(&mut rig, 8, 1);
    // The format was changed while five are in flight.
    let batches: Vec<_> = std::iter::from_fn(|| rig.drain()).collect();
    assert_eq!(batches.len(), 5);
    for batch in batches {
        assert_eq!(rig.refuse(batch, ErrorCode::UNSUPPORTED_FOR_MESSAGE_FORMAT), None);
    }
    assert!(rig.queue.has_left_numbers());
    let mut log = Vec::new();
    while let Some(mut batch) = rig.drain() {
        assert!(batch.stamp.is_none() && rig.drain().is_none(), "one at a time");
        log.push(value(&mut batch));
        rig.acknowledge(batch, log.len() as i64);
    }
    assert_eq!(log, numbers_without(8, &[]));
    assert!(tickets.iter().all(|ticket| ticket.outcome().unwrap().is_ok()));
    // A batch without a number that is refused all the same is not sent for ever.
    rig.send_batch(b"8");
    let batch = rig.drain().unwrap();
    assert_eq!(rig.refuse(batch, ErrorCode::UNSUPPORTED_FOR_MESSAGE_FORMAT), Some(ErrorKind::Broker));
}

#[test]
fn nothing_after_a_failed_record_is_sent_if_nothing_is_to_be() {
    for idempotent in [true, false] {
        let limits = Limits { stop_at_failure: true, ..limits(idempotent) };
        let mut rig = Rig::with(limits, 1 << 20);
        let tickets = send_numbers(&mut rig, 100, 20);
        let mut broker = Picky { next: 0, ..Picky::new(&[50, 55], INVALID_RECORD) };
        broker.serve(&mut rig);
        assert_eq!(broker.log, numbers_without(50, &[]), "all before it");
        let late = rig.send(b"100");
        broker.serve(&mut rig);
        assert_eq!(broker.log.len(), 50);
        assert_eq!(tickets[50].outcome(), Some(Err(ErrorKind::Broker)));
        assert!(tickets[51..].iter().chain([&late]).all(|ticket| ticket.outcome() == Some(Err(ErrorKind::Closed))));
        assert_eq!(rig.budget.used(), 0);
    }
}

#[test]
fn what_came_before_a_failed_record_is_still_sent() {
    let mut rig = Rig::with(Limits { stop_at_failure: true, ..limits(true) }, 1 << 20);
    let first = rig.send_batch(b"0");
    let batch = rig.drain().unwrap();
    rig.acknowledge(batch, 0);
    let (before, failed, after) = (rig.send_batch(b"1"), rig.send_batch(b"2"), rig.send_batch(b"3"));
    let batches: Vec<_> = std::iter::from_fn(|| rig.drain()).collect();
    let [one, two, three] = <[Batch; 3]>::try_from(batches).unwrap();
    rig.lose(one);
    assert_eq!(rig.refuse(two, INVALID_RECORD), Some(ErrorKind::Broker));
    rig.refuse(three, ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER);
    rig.queue.expire(rig.now, None).into_iter().for_each(|finished| drop(finished.deliver()));
    rig.wait(BACKOFF);
    let again = rig.drain().unwrap();
    rig.acknowledge(again, 1);
    let outcomes = [&first, &before, &failed, &after].map(|ticket| ticket.outcome().unwrap());
    let expected = [Ok(Some(0)), Ok(Some(1)), Err(ErrorKind::Broker), Err(ErrorKind::Closed)];
    assert_eq!(outcomes, expected);
}

#[test]
fn delays_grow_while_nothing_is_acknowledged_and_the_reason_is_there_from_the_first_failure_on() {
    let mut rig = Rig::with(Limits { retry_backoff_max: 10 * BACKOFF, ..limits(true) }, 1 << 20);
    rig.send_batch(b"a");
    assert!(rig.queue.trouble(rig.now).is_none());
    let began = rig.now;
    let mut delays = Vec::new();
    for attempts in 1..=6 {
        let batch = rig.drain().unwrap();
        rig.refuse(batch, ErrorCode::NOT_ENOUGH_REPLICAS);
        let trouble = rig.queue.trouble(rig.now).unwrap();
        assert_eq!((trouble.since, trouble.attempts), (began, attempts));
        assert_eq!(trouble.error.code(), Some(ErrorCode::NOT_ENOUGH_REPLICAS));
        let due = rig.queue.due().unwrap();
        delays.push((due - rig.now).as_millis());
        rig.now = due;
    }
    assert_eq!(delays, [100, 200, 400, 800, 1000, 1000]);
    let batch = rig.drain().unwrap();
    rig.acknowledge(batch, 0);
    assert!(rig.queue.trouble(rig.now).is_none());
    rig.send_batch(b"b");
    let batch = rig.drain().unwrap();
    rig.refuse(batch, ErrorCode::NOT_ENOUGH_REPLICAS);
    assert_eq!(rig.queue.due().unwrap() - rig.now, BACKOFF);
}

#[test]
fn five_batches_that_fail_together_are_one_failure_for_the_delay() {
    let mut rig = Rig::with(Limits { retry_backoff_max: 10 * BACKOFF, ..limits(true) }, 1 << 20);
    rig.send_batch(b"first");
    let batch = rig.drain().unwrap();
    rig.acknowledge(batch, 0);
    for _ in 0..5 {
        rig.send_batch(b"a");
    }
    let batches: Vec<_> = std::iter::from_fn(|| rig.drain()).collect();
    assert_eq!(batches.len(), 5);
    for batch in batches {
        rig.lose(batch);
    }
    assert_eq!(rig.queue.due().unwrap() - rig.now, BACKOFF);
}

#[test]
fn an_answer_that_does_not_come_is_trouble() {
    let mut rig = Rig::running();
    rig.send_batch(b"a");
    let batch = rig.drain().unwrap();
    rig.wait(Duration::from_secs(4));
    assert!(rig.queue.trouble(rig.now).is_none());
    rig.wait(Duration::from_secs(3));
    let trouble = rig.queue.trouble(rig.now).unwrap();
    assert_eq!(trouble.error.to_string(), "no answer for 7 s");
    rig.acknowledge(batch, 1);
    assert!(rig.queue.trouble(rig.now).is_none());
}
