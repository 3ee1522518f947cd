//! The producer under faults: nothing acknowledged is lost, written twice or out of order.

mod producer_support;

use std::time::Duration;

use ottla_client::{Acks, ErrorKind, ProducerOptions};
use ottla_devbroker::Fault;
use ottla_protocol::{ApiKey, ErrorCode};

use producer_support::{
    broker, eventually, log, numbers, offsets, outcomes, producing, quick, send_numbers, to, within,
};

/// Many small batches, so that five are under way all the time.
fn many_batches() -> ProducerOptions {
    ProducerOptions { batch_bytes: 512, ..quick() }
}

fn in_order(count: i64) -> Vec<i64> {
    (0..count).collect()
}

#[tokio::test]
async fn passing_errors_are_met_with_another_try() {
    for code in [
        ErrorCode::NOT_LEADER_FOR_PARTITION,
        ErrorCode::NOT_ENOUGH_REPLICAS,
        ErrorCode::REQUEST_TIMED_OUT,
        ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
        ErrorCode::KAFKA_STORAGE_ERROR,
    ] {
        let broker = broker(1, 1).await;
        let (_producer, topic) = producing(&broker, quick()).await;
        let fault = broker.inject(Fault::error(ApiKey::PRODUCE, code).times(2));
        assert_eq!(offsets(send_numbers(&topic, 0, 0..10).await).await, in_order(10), "{code}");
        assert_eq!(fault.hits(), 2, "{code}");
    }
}

#[tokio::test]
async fn an_error_that_stays_is_told_after_the_delivery_timeout() {
    let broker = broker(1, 1).await;
    let options = ProducerOptions {
        request_timeout: Duration::from_millis(300),
        delivery_timeout: Duration::from_millis(400),
        ..quick()
    };
    let (producer, topic) = producing(&broker, options).await;
    broker.inject(Fault::error(ApiKey::PRODUCE, ErrorCode::NOT_ENOUGH_REPLICAS));
    let delivery = topic.try_send(to(0, b"x")).unwrap();
    let error = within(delivery).await.unwrap_err();
    assert_eq!((error.kind(), error.maybe_written()), (ErrorKind::Timeout, false));
    let text = error.to_string();
    assert!(text.contains("NOT_ENOUGH_REPLICAS") && text.contains("min.insync.replicas"), "{text}");
    assert_eq!(producer.buffered_bytes(), 0);
}

#[tokio::test]
async fn a_final_error_is_told_at_once_and_what_follows_goes_on() {
    let broker = broker(1, 1).await;
    let (_producer, topic) = producing(&broker, quick()).await;
    broker.inject(Fault::error(ApiKey::PRODUCE, ErrorCode::TOPIC_AUTHORIZATION_FAILED).times(1));
    let error = within(topic.try_send(to(0, b"x")).unwrap()).await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::TOPIC_AUTHORIZATION_FAILED));
    assert_eq!((error.topic(), error.partition(), error.is_retriable()), (Some("t"), Some(0), false));
    assert!(error.to_string().contains("broker 0"), "{error}");
    assert_eq!(offsets(send_numbers(&topic, 0, 0..5).await).await, in_order(5));
}

#[tokio::test]
async fn an_answer_lost_after_the_append_makes_no_duplicate() {
    let broker = broker(1, 1).await;
    let (_producer, topic) = producing(&broker, many_batches()).await;
    let fault = broker.inject(Fault::close_after_applying(ApiKey::PRODUCE).after(2).times(4));
    let deliveries = send_numbers(&topic, 0, 0..3000).await;
    assert_eq!(offsets(deliveries).await, in_order(3000));
    assert_eq!(log(&broker, 0), numbers(0..3000));
    assert_eq!(fault.hits(), 4);
}

#[tokio::test]
async fn without_idempotence_a_lost_answer_may_repeat_but_not_reorder() {
    for acks in [Acks::Leader, Acks::All] {
        let broker = broker(1, 1).await;
        let options = ProducerOptions { acks, idempotent: false, ..many_batches() };
        let (_producer, topic) = producing(&broker, options).await;
        broker.inject(Fault::close_after_applying(ApiKey::PRODUCE).after(2).times(2));
        broker.inject(Fault::error(ApiKey::PRODUCE, ErrorCode::NOT_LEADER_FOR_PARTITION).after(5).times(2));
        let deliveries = send_numbers(&topic, 0, 0..2000).await;
        let offsets = offsets(deliveries).await;
        assert!(offsets.is_sorted_by(|a, b| a < b));
        let log = log(&broker, 0);
        assert!(log.len() > 2000, "the repeats are there");
        let mut first = Vec::new();
        for value in log {
            if !first.contains(&value) {
                first.push(value);
            }
        }
        assert_eq!(first, numbers(0..2000));
    }
}

#[tokio::test]
async fn order_survives_a_refusal_at_any_of_five_places() {
    for place in 0..5 {
        let broker = broker(1, 1).await;
        let (_producer, topic) = producing(&broker, many_batches()).await;
        // The first batch of a producer goes alone; from the second on five are under way.
        let fault =
            broker.inject(Fault::error(ApiKey::PRODUCE, ErrorCode::NOT_LEADER_FOR_PARTITION).after(1 + place).times(1));
        let deliveries = send_numbers(&topic, 0, 0..1500).await;
        assert_eq!(offsets(deliveries).await, in_order(1500), "place {place}");
        assert_eq!(log(&broker, 0), numbers(0..1500), "place {place}");
        assert_eq!(fault.hits(), 1);
    }
}

#[tokio::test]
async fn five_requests_are_under_way_and_no_more() {
    let broker = broker(1, 1).await;
    let (_producer, topic) = producing(&broker, many_batches()).await;
    offsets(send_numbers(&topic, 0, 0..1).await).await;
    let before = broker.requests(ApiKey::PRODUCE);
    let delay = broker.inject(Fault::delay(ApiKey::PRODUCE, Duration::from_secs(3)));
    let deliveries = send_numbers(&topic, 0, 0..1000).await;
    within(delay.wait_for_hits(1)).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(deliveries.iter().all(|delivery| delivery.try_result().is_none()));
    // The broker reads the next request only when it has answered the one before, so what it saw is a lower bound only.
    assert!(broker.requests(ApiKey::PRODUCE) - before <= 5);
    delay.remove();
    assert_eq!(offsets(deliveries).await.len(), 1000);
}

#[tokio::test]
async fn batches_follow_their_partition_to_its_new_leader() {
    let broker = broker(3, 1).await;
    let (_producer, topic) = producing(&broker, many_batches()).await;
    let mut deliveries = Vec::new();
    for round in 0..6 {
        deliveries.extend(send_numbers(&topic, 0, round * 300..(round + 1) * 300).await);
        broker.move_leader("t", 0, (round % 3) as i32).unwrap();
    }
    assert_eq!(offsets(deliveries).await, in_order(1800));
    assert_eq!(log(&broker, 0), numbers(0..1800));
}

#[tokio::test]
async fn a_killed_leader_loses_nothing() {
    let broker = broker(3, 3).await;
    let (_producer, topic) = producing(&broker, many_batches()).await;
    let mut deliveries = Vec::new();
    for partition in 0..3 {
        deliveries.extend(send_numbers(&topic, partition, 0..300).await);
    }
    broker.kill_node(1).await.unwrap();
    for partition in 0..3 {
        deliveries.extend(send_numbers(&topic, partition, 300..600).await);
    }
    broker.restart_node(1).await.unwrap();
    broker.kill_node(2).await.unwrap();
    for partition in 0..3 {
        deliveries.extend(send_numbers(&topic, partition, 600..900).await);
    }
    for outcome in outcomes(deliveries).await {
        outcome.unwrap();
    }
    for partition in 0..3 {
        assert_eq!(log(&broker, partition), numbers(0..900), "partition {partition}");
    }
}

#[tokio::test]
async fn records_wait_for_a_broker_that_comes_back() {
    let broker = broker(1, 1).await;
    let (_producer, topic) = producing(&broker, quick()).await;
    offsets(send_numbers(&topic, 0, 0..10).await).await;
    broker.kill_node(0).await.unwrap();
    let deliveries = send_numbers(&topic, 0, 10..200).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(deliveries.iter().all(|delivery| delivery.try_result().is_none()));
    broker.restart_node(0).await.unwrap();
    assert_eq!(offsets(deliveries).await, (10..200).collect::<Vec<_>>());
    assert_eq!(log(&broker, 0), numbers(0..200));
}

#[tokio::test]
async fn a_broker_that_stays_away_is_named_in_the_error() {
    let broker = broker(1, 1).await;
    let options = ProducerOptions {
        request_timeout: Duration::from_millis(300),
        delivery_timeout: Duration::from_millis(500),
        ..quick()
    };
    let (_producer, topic) = producing(&broker, options).await;
    broker.kill_node(0).await.unwrap();
    let error = within(topic.try_send(to(0, b"x")).unwrap()).await.unwrap_err();
    assert_eq!((error.kind(), error.maybe_written()), (ErrorKind::Timeout, false), "{error}");
    assert!(error.to_string().contains("127.0.0.1"), "{error}");
}

#[tokio::test]
async fn a_silent_broker_is_given_up_and_the_records_may_be_written() {
    let broker = broker(1, 1).await;
    let options = ProducerOptions {
        request_timeout: Duration::from_millis(300),
        delivery_timeout: Duration::from_millis(500),
        ..quick()
    };
    let (_producer, topic) = producing(&broker, options).await;
    let silence = broker.inject(Fault::silence(ApiKey::PRODUCE));
    let error = within(topic.try_send(to(0, b"x")).unwrap()).await.unwrap_err();
    assert_eq!((error.kind(), error.maybe_written()), (ErrorKind::Timeout, true), "{error}");
    silence.remove();
    // The number that the lost record had is not used again blindly.
    assert_eq!(offsets(send_numbers(&topic, 0, 0..100).await).await, in_order(100));
    assert_eq!(log(&broker, 0), numbers(0..100));
}

#[tokio::test]
async fn a_producer_that_retention_made_the_broker_forget_goes_on() {
    let broker = broker(1, 1).await;
    let (_producer, topic) = producing(&broker, quick()).await;
    offsets(send_numbers(&topic, 0, 0..100).await).await;
    broker.delete_records_before("t", 0, 100).unwrap();
    assert_eq!(offsets(send_numbers(&topic, 0, 100..200).await).await, (100..200).collect::<Vec<_>>());
    assert_eq!(log(&broker, 0), numbers(100..200));
}

#[tokio::test]
async fn after_an_unclean_election_new_records_are_taken_under_another_id() {
    let broker = broker(1, 1).await;
    let (_producer, topic) = producing(&broker, many_batches()).await;
    offsets(send_numbers(&topic, 0, 0..500).await).await;
    broker.truncate_log("t", 0, 50).unwrap();
    let kept = log(&broker, 0).len();
    offsets(send_numbers(&topic, 0, 500..1000).await).await;
    assert_eq!(log(&broker, 0)[kept..], numbers(500..1000)[..]);
    let log = broker.log("t", 0).unwrap();
    assert_ne!(log[0].producer_id, log[kept].producer_id);
    assert_eq!(broker.requests(ApiKey::INIT_PRODUCER_ID), 2);
}

#[tokio::test]
async fn a_gap_in_one_partition_leaves_the_others_their_id() {
    let broker = broker(1, 2).await;
    let (_producer, topic) = producing(&broker, quick()).await;
    for partition in 0..2 {
        offsets(send_numbers(&topic, partition, 0..100).await).await;
    }
    broker.truncate_log("t", 0, 0).unwrap();
    for partition in 0..2 {
        offsets(send_numbers(&topic, partition, 100..200).await).await;
    }
    let ids = |partition| -> std::collections::BTreeSet<i64> {
        broker.log("t", partition).unwrap().iter().map(|record| record.producer_id).collect()
    };
    assert_eq!((ids(0).len(), ids(1).len()), (1, 1));
    assert_ne!(ids(0), ids(1));
}

#[tokio::test]
async fn acks_none_goes_on_after_the_broker_closed_on_an_error() {
    let broker = broker(1, 1).await;
    let (producer, topic) = producing(&broker, ProducerOptions { acks: Acks::None, ..quick() }).await;
    offsets_unknown(&topic, 0..10).await;
    broker.inject(Fault::error(ApiKey::PRODUCE, ErrorCode::NOT_LEADER_FOR_PARTITION).times(1));
    offsets_unknown(&topic, 10..11).await;
    // The lost record is lost: that is what acks none means. The next connection takes the rest.
    eventually("the broker has closed", || broker.requests(ApiKey::PRODUCE) >= 2).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    offsets_unknown(&topic, 11..20).await;
    eventually("the rest is there", || log(&broker, 0).last().is_some_and(|value| value == "19")).await;
    within(producer.close(Duration::from_secs(5))).await.unwrap();
}

async fn offsets_unknown(topic: &ottla_client::TopicProducer, range: std::ops::Range<usize>) {
    for outcome in outcomes(send_numbers(topic, 0, range).await).await {
        assert_eq!(outcome.unwrap().offset, None);
    }
}

#[tokio::test]
async fn a_storm_of_faults_loses_repeats_and_reorders_nothing() {
    let seed = std::env::var("OTTLA_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1_u64);
    let broker = broker(3, 4).await;
    let (producer, topic) = producing(&broker, many_batches()).await;
    let mut chance = seed;
    let mut below = |limit: u64| {
        chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (chance >> 33) % limit
    };
    let mut deliveries = Vec::new();
    for round in 0..30 {
        let api = ApiKey::PRODUCE;
        match below(7) {
            0 => drop(broker.inject(Fault::close_after_applying(api).after(below(6)).times(1))),
            1 => drop(broker.inject(Fault::close_before(api).after(below(6)).times(1))),
            2 => {
                let code = ErrorCode::NOT_LEADER_FOR_PARTITION;
                drop(broker.inject(Fault::error(api, code).after(below(6)).times(1 + below(3))));
            }
            3 => drop(broker.inject(Fault::error(api, ErrorCode::NOT_ENOUGH_REPLICAS).after(below(6)).times(1))),
            4 => drop(broker.inject(Fault::delay(api, Duration::from_millis(20)).after(below(6)).times(1 + below(3)))),
            5 => {
                let (partition, node) = (below(4) as i32, below(3) as i32);
                broker.move_leader("t", partition, node).unwrap();
            }
            _ => {}
        }
        for partition in 0..4 {
            deliveries.extend(send_numbers(&topic, partition, round * 100..(round + 1) * 100).await);
        }
    }
    for outcome in outcomes(deliveries).await {
        assert!(outcome.is_ok(), "OTTLA_SEED={seed}: {outcome:?}");
    }
    for partition in 0..4 {
        assert_eq!(log(&broker, partition), numbers(0..3000), "OTTLA_SEED={seed}, partition {partition}");
    }
    assert_eq!(producer.buffered_bytes(), 0);
}
