//! Batches that end, or wait, without an acknowledgement.

use super::*;

#[test]
fn what_was_never_sent_expires_and_says_that_it_was_not_written() {
    let mut rig = Rig::new(true, 1 << 20);
    let ticket = rig.send(b"a");
    let sent = rig.now;
    rig.wait(Duration::from_millis(119_999));
    assert!(rig.queue.expire(rig.now, None).is_empty());
    rig.wait(Duration::from_millis(1));
    assert_eq!(rig.now, sent + TIMEOUT);
    let finished = rig.queue.expire(rig.now, None);
    assert_eq!(finished.len(), 1);
    for finished in finished {
        assert!(!finished.error().unwrap().maybe_written());
        deliver(finished);
    }
    assert_eq!(ticket.outcome(), Some(Err(ErrorKind::Timeout)));
}

#[test]
fn what_is_under_way_does_not_expire_and_what_was_lost_says_that_it_may_be_written() {
    let mut rig = Rig::running();
    let ticket = rig.send_batch(b"a");
    let batch = rig.drain().unwrap();
    rig.wait(TIMEOUT);
    assert!(rig.queue.expire(rig.now, None).is_empty());
    assert_eq!(ticket.outcome(), None);
    let error = Error::new(ErrorKind::Timeout, "no answer").written_maybe(true);
    let Completion::Finished(finished) = rig.queue.complete(batch, Attempt::Lost(error), rig.now, 0.5) else {
        panic!("it is too late for another attempt")
    };
    let error = finished.error().unwrap();
    assert!(error.maybe_written() && error.to_string().contains("no answer"), "{error}");
    deliver(finished);
    assert_eq!(ticket.outcome(), Some(Err(ErrorKind::Timeout)));
}

/// Two batches were sent and lost; the first has reached its time, and the second, whose ticket this is, has not.
fn lost_with_one_behind() -> (Rig, Ticket) {
    let mut rig = Rig::running();
    rig.send_batch(b"lost");
    rig.wait(Duration::from_mins(1));
    let behind = rig.send_batch(b"behind");
    let (first, second) = (rig.drain().unwrap(), rig.drain().unwrap());
    rig.lose(first);
    rig.lose(second);
    rig.wait(Duration::from_mins(1));
    (rig, behind)
}

#[test]
fn an_expired_batch_leaves_no_gap_if_the_broker_has_it() {
    let (mut rig, behind) = lost_with_one_behind();
    assert_eq!(
        rig.queue.expire(rig.now, None).into_iter().filter_map(deliver).collect::<Vec<_>>(),
        [ErrorKind::Timeout]
    );
    rig.send_batch(b"new");
    let again = rig.drain().unwrap();
    assert_eq!(base_sequence(&again), 2);
    assert!(rig.drain().is_none(), "nothing new before the fate of the lost one is known");
    rig.acknowledge(again, 2);
    assert_eq!(behind.outcome(), Some(Ok(Some(2))));
    assert_eq!(rig.drain().map(|batch| base_sequence(&batch)), Some(3));
}

#[test]
fn behind_a_real_gap_nothing_is_written_twice() {
    let (mut rig, behind) = lost_with_one_behind();
    rig.queue.expire(rig.now, None).into_iter().for_each(|finished| drop(finished.deliver()));
    let new = rig.send_batch(b"new");
    let again = rig.drain().unwrap();
    // It was lost once, so it may still arrive from the old connection: another number could make it appear twice.
    assert_eq!(rig.refuse(again, ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER), Some(ErrorKind::Broker));
    assert_eq!(behind.outcome(), Some(Err(ErrorKind::Broker)));
    let fresh = rig.drain().unwrap();
    assert_eq!(fresh.stamp, Some(ProducerStamp { producer_id: 1001, producer_epoch: 0, base_sequence: 0 }));
    rig.acknowledge(fresh, 5);
    assert_eq!(new.outcome(), Some(Ok(Some(5))));
}

#[test]
fn a_final_refusal_is_not_repeated_and_a_retriable_one_is() {
    for (code, repeated) in [
        (ErrorCode::NOT_LEADER_FOR_PARTITION, true),
        (ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, true),
        (ErrorCode::NOT_ENOUGH_REPLICAS, true),
        (ErrorCode::TOPIC_AUTHORIZATION_FAILED, false),
        (ErrorCode::INVALID_TIMESTAMP, false),
        (ErrorCode::INVALID_PRODUCER_EPOCH, false),
    ] {
        let mut rig = Rig::running();
        let ticket = rig.send_batch(b"a");
        let batch = rig.drain().unwrap();
        assert_eq!(rig.refuse(batch, code).is_none(), repeated, "{code}");
        assert_eq!(ticket.outcome().is_none(), repeated, "{code}");
    }
}

#[test]
fn a_refusal_after_the_append_says_that_it_may_be_written() {
    let mut rig = Rig::running();
    rig.send_batch(b"a");
    let batch = rig.drain().unwrap();
    rig.refuse(batch, ErrorCode::NOT_ENOUGH_REPLICAS_AFTER_APPEND);
    rig.wait(TIMEOUT);
    let finished = rig.queue.expire(rig.now, None);
    assert!(finished[0].error().unwrap().maybe_written());
    for finished in finished {
        deliver(finished);
    }
}

#[test]
fn nothing_is_due_while_five_are_under_way_or_the_delay_runs() {
    let mut rig = Rig::running();
    for _ in 0..6 {
        rig.send_batch(b"a");
    }
    let mut batches: Vec<_> = std::iter::from_fn(|| rig.drain()).collect();
    assert_eq!(rig.queue.due(), None);
    rig.lose(batches.pop().unwrap());
    assert_eq!(rig.queue.due(), Some(rig.now + BACKOFF));
}

#[test]
fn a_flush_names_what_is_open_ready_and_under_way() {
    let mut rig = Rig::running();
    rig.send_batch(b"under way");
    let batch = rig.drain().unwrap();
    rig.send_batch(b"ready");
    rig.send(b"open");
    assert_eq!(rig.queue.flush().len(), 3);
    assert_eq!(rig.queue.due(), Some(rig.now), "a flush does not wait for the linger time");
    rig.acknowledge(batch, 1);
    assert_eq!(rig.queue.flush().len(), 2);
}

#[test]
fn a_closed_queue_fails_what_waits_and_takes_nothing_more() {
    let mut rig = Rig::running();
    let under_way = rig.send_batch(b"under way");
    let batch = rig.drain().unwrap();
    let waiting = rig.send(b"waiting");
    let error = Error::closed("the producer");
    rig.queue.close(&error).into_iter().for_each(|finished| drop(finished.deliver()));
    assert_eq!(waiting.outcome(), Some(Err(ErrorKind::Closed)));
    assert!(rig.try_send(b"late").is_none());
    assert_eq!(under_way.outcome(), None);
    rig.acknowledge(batch, 4);
    assert_eq!((under_way.outcome(), rig.budget.used()), (Some(Ok(Some(4))), 0));
}

#[test]
fn an_abandoned_batch_tells_its_records() {
    let mut rig = Rig::running();
    let ticket = rig.send_batch(b"a");
    drop(rig.drain().unwrap());
    assert_eq!(ticket.outcome(), Some(Err(ErrorKind::Closed)));
}
