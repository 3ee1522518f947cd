//! Batches that brokers refuse: the record at fault is found, and a producer says what keeps it waiting.

mod producer_support;

use std::time::Duration;

use ottla_client::{ErrorKind, ProducerOptions};
use ottla_devbroker::Fault;
use ottla_protocol::{ApiKey, ErrorCode};

use producer_support::{broker, eventually, log, numbers, producing, quick, send_numbers, to, within};

const INVALID_RECORD: ErrorCode = ErrorCode(87);

#[tokio::test]
async fn one_bad_record_of_a_thousand_is_the_only_one_that_fails() {
    for (code, idempotent) in [(INVALID_RECORD, true), (INVALID_RECORD, false), (ErrorCode::CORRUPT_MESSAGE, true)] {
        let broker = broker(1, 1).await;
        let (_producer, topic) = producing(&broker, ProducerOptions { idempotent, ..quick() }).await;
        broker.inject(Fault::refuse_records_with("bad", code));
        let mut deliveries = send_numbers(&topic, 0, 0..500).await;
        let bad = topic.send(to(0, b"bad")).await.unwrap();
        deliveries.extend(send_numbers(&topic, 0, 500..999).await);
        let error = within(bad).await.unwrap_err();
        assert_eq!((error.code(), error.maybe_written()), (Some(code), false), "{error}");
        assert!(error.to_string().contains("without a key"), "{error}");
        for (number, delivery) in (0..).zip(deliveries) {
            assert_eq!(within(delivery).await.unwrap().offset, Some(number));
        }
        assert_eq!(log(&broker, 0), numbers(0..999));
        assert_eq!(broker.requests(ApiKey::INIT_PRODUCER_ID), u64::from(idempotent));
    }
}

#[tokio::test]
async fn of_records_that_are_good_and_bad_in_turn_each_good_one_is_written_in_order() {
    for idempotent in [true, false] {
        let broker = broker(1, 1).await;
        let (_producer, topic) = producing(&broker, ProducerOptions { idempotent, ..quick() }).await;
        broker.inject(Fault::refuse_records_with("bad", INVALID_RECORD));
        let (mut good, mut bad) = (Vec::new(), Vec::new());
        for number in 0..500 {
            good.extend(send_numbers(&topic, 0, number..number + 1).await);
            bad.push(topic.send(to(0, b"bad")).await.unwrap());
        }
        for (offset, delivery) in (0..).zip(good) {
            assert_eq!(within(delivery).await.unwrap().offset, Some(offset));
        }
        for delivery in bad {
            assert_eq!(within(delivery).await.unwrap_err().code(), Some(INVALID_RECORD));
        }
        assert_eq!(log(&broker, 0), numbers(0..500));
        let requests = broker.requests(ApiKey::PRODUCE);
        assert!(requests <= 5 * 1000, "{requests} requests");
    }
}

#[tokio::test]
async fn a_topic_of_an_old_format_is_written_without_numbers_and_says_so() {
    let broker = broker(1, 1).await;
    let (_producer, topic) = producing(&broker, ProducerOptions { batch_bytes: 512, ..quick() }).await;
    let mut deliveries = send_numbers(&topic, 0, 0..500).await;
    assert!(topic.is_idempotent());
    // The topic's format is changed while batches are in flight.
    broker.inject(Fault::refuse_numbered_batches());
    deliveries.extend(send_numbers(&topic, 0, 500..1000).await);
    for delivery in deliveries {
        within(delivery).await.unwrap();
    }
    assert_eq!(log(&broker, 0), numbers(0..1000));
    assert!(!topic.is_idempotent());
}

#[tokio::test]
async fn nothing_overtakes_a_record_that_will_be_sent_again() {
    let broker = broker(1, 1).await;
    let options = ProducerOptions { batch_bytes: 512, stop_at_failure: true, ..quick() };
    let (_producer, topic) = producing(&broker, options).await;
    broker.inject(Fault::refuse_records_with("bad", INVALID_RECORD));
    let before = send_numbers(&topic, 0, 0..1000).await;
    let bad = topic.send(to(0, b"bad")).await.unwrap();
    let after = send_numbers(&topic, 0, 1000..2000).await;
    assert_eq!(within(bad).await.unwrap_err().code(), Some(INVALID_RECORD));
    for delivery in after {
        let error = within(delivery).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Closed);
        assert!(error.to_string().contains("INVALID_RECORD"), "{error}");
    }
    for delivery in before {
        within(delivery).await.unwrap();
    }
    assert_eq!(log(&broker, 0), numbers(0..1000));
}

#[tokio::test]
async fn the_reason_is_told_after_the_first_failure_and_gone_with_it() {
    let broker = broker(1, 1).await;
    let (producer, topic) = producing(&broker, quick()).await;
    assert!(producer.trouble().is_empty());
    let fault = broker.inject(Fault::error(ApiKey::PRODUCE, ErrorCode::NOT_ENOUGH_REPLICAS));
    let delivery = topic.try_send(to(0, b"x")).unwrap();
    eventually("trouble", || fault.hits() >= 2 && !producer.trouble().is_empty()).await;
    let trouble = producer.trouble();
    let text = trouble[0].error.to_string();
    assert_eq!((trouble.len(), trouble[0].place.to_string()), (1, "t-0".to_owned()));
    assert!(trouble[0].attempts >= 1 && text.contains("NOT_ENOUGH_REPLICAS"), "{text}");
    fault.remove();
    within(delivery).await.unwrap();
    assert!(producer.trouble().is_empty());
}

#[tokio::test]
async fn a_partition_without_a_leader_and_a_broker_that_is_away_are_trouble() {
    let broker = ottla_devbroker::DevBroker::builder().nodes(2).start().await.unwrap();
    broker.create_topic("t", 2).unwrap();
    let (producer, topic) = producing(&broker, quick()).await;
    for partition in 0..2 {
        within(topic.try_send(to(partition, b"x")).unwrap()).await.unwrap();
    }
    let node = broker.leader("t", 1).unwrap().unwrap();
    broker.kill_node(node).await.unwrap();
    let delivery = topic.try_send(to(1, b"y")).unwrap();
    eventually("trouble", || producer.trouble().len() == 1).await;
    let trouble = producer.trouble();
    assert_eq!(trouble[0].place.to_string(), "t-1");
    drop(delivery);
}

#[tokio::test]
async fn a_record_larger_than_all_of_the_buffer_is_written() {
    let broker = ottla_devbroker::DevBroker::builder().max_message_bytes(16 << 20).start().await.unwrap();
    broker.create_topic("t", 1).unwrap();
    let options = ProducerOptions { buffer_bytes: 1 << 20, ..quick() };
    let (_producer, topic) = producing(&broker, options).await;
    let small = topic.send(to(0, b"small")).await.unwrap();
    let large = vec![b'x'; 5 << 20];
    let large = topic.send(to(0, &large)).await.unwrap();
    let behind = topic.send(to(0, b"behind")).await.unwrap();
    for (offset, delivery) in (0..).zip([small, large, behind]) {
        assert_eq!(
            tokio::time::timeout(Duration::from_secs(30), delivery).await.unwrap().unwrap().offset,
            Some(offset)
        );
    }
}
