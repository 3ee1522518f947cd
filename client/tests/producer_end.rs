//! The producer's memory, and its end: flush, close, drop.

mod producer_support;

use std::time::Duration;

use ottla_client::{ErrorKind, ProducerOptions};
use ottla_devbroker::Fault;
use ottla_protocol::{ApiKey, ErrorCode};

use producer_support::{
    broker, connect, eventually, log, numbers, offsets, producing, quick, send_numbers, to, within,
};

/// Nothing goes out by itself.
fn patient() -> ProducerOptions {
    ProducerOptions { linger: Duration::from_secs(15), delivery_timeout: Duration::from_secs(25), ..quick() }
}

#[tokio::test]
async fn a_full_buffer_refuses_one_and_lets_the_other_wait() {
    let broker = broker(1, 1).await;
    let options = ProducerOptions { buffer_bytes: 16 << 10, batch_bytes: 4 << 10, ..quick() };
    let (producer, topic) = producing(&broker, options).await;
    let delay = broker.inject(Fault::silence(ApiKey::PRODUCE).times(1));
    let value = [b'x'; 1000];
    let mut sent = Vec::new();
    let error = loop {
        match topic.try_send(to(0, &value)) {
            Ok(delivery) => sent.push(delivery),
            Err(error) => break error,
        }
    };
    assert_eq!((error.kind(), error.is_retriable()), (ErrorKind::BufferFull, true), "{error}");
    assert!(producer.buffered_bytes() <= 16 << 10 && sent.len() >= 8, "{} sent", sent.len());
    let waiting = tokio::spawn({
        let topic = topic.clone();
        async move { topic.send(to(0, &[b'y'; 1000])).await.unwrap().await }
    });
    within(delay.wait_for_hits(1)).await;
    assert!(!waiting.is_finished());
    let ack = within(waiting).await.unwrap().unwrap();
    assert_eq!(ack.offset, Some(sent.len() as i64));
    assert_eq!(producer.buffered_bytes(), 0);
}

#[tokio::test]
async fn whoever_waits_for_memory_does_not_wait_for_the_linger_time() {
    let broker = broker(1, 8).await;
    let options = ProducerOptions { buffer_bytes: 32 << 10, batch_bytes: 16 << 10, ..patient() };
    let (producer, topic) = producing(&broker, options).await;
    // Open batches everywhere, none of them full.
    let mut deliveries = Vec::new();
    for number in 0..100 {
        let sending = topic.send(to(number % 8, &[b'x'; 1000]));
        deliveries.push(tokio::time::timeout(Duration::from_secs(10), sending).await.expect("it waits").unwrap());
    }
    within(producer.flush()).await.unwrap();
    assert_eq!(offsets(deliveries).await.len(), 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_waiters_for_little_memory_all_get_their_turn() {
    let broker = broker(2, 4).await;
    let options = ProducerOptions { buffer_bytes: 8 << 10, batch_bytes: 2 << 10, ..quick() };
    let (producer, topic) = producing(&broker, options).await;
    let mut senders = tokio::task::JoinSet::new();
    for sender in 0..16 {
        let topic = topic.clone();
        senders.spawn(async move {
            for number in 0..60_usize {
                let value = vec![b'x'; 1 + (sender * 131 + number * 17) % 1500];
                let partition = ((sender + number) % 4) as i32;
                drop(within(topic.send(to(partition, &value))).await.unwrap());
            }
        });
    }
    within(senders.join_all()).await;
    within(producer.flush()).await.unwrap();
    let written: usize = (0..4).map(|partition| broker.log("t", partition).unwrap().len()).sum();
    assert_eq!((written, producer.buffered_bytes()), (16 * 60, 0));
}

#[tokio::test]
async fn a_send_that_is_dropped_while_it_waits_was_not_handed_over() {
    let broker = broker(1, 1).await;
    let options = ProducerOptions { buffer_bytes: 4 << 10, batch_bytes: 4 << 10, ..quick() };
    let (producer, topic) = producing(&broker, options).await;
    let silence = broker.inject(Fault::silence(ApiKey::PRODUCE).times(1));
    let mut sent = 0;
    while topic.try_send(to(0, &[b'x'; 500])).is_ok() {
        sent += 1;
    }
    let waiting = tokio::time::timeout(Duration::from_millis(50), topic.send(to(0, &[b'y'; 500]))).await;
    assert!(waiting.is_err() && silence.hits() <= 1);
    within(producer.flush()).await.unwrap();
    assert_eq!(log(&broker, 0), vec!["x".repeat(500); sent]);
}

#[tokio::test]
async fn a_dropped_delivery_takes_nothing_back() {
    let broker = broker(1, 1).await;
    let (producer, topic) = producing(&broker, quick()).await;
    drop(send_numbers(&topic, 0, 0..100).await);
    within(producer.flush()).await.unwrap();
    assert_eq!(log(&broker, 0), numbers(0..100));
}

#[tokio::test]
async fn flush_does_not_wait_for_the_linger_time_and_covers_all_before_it() {
    let broker = broker(2, 4).await;
    let (producer, topic) = producing(&broker, patient()).await;
    let mut deliveries = Vec::new();
    for partition in 0..4 {
        deliveries.extend(send_numbers(&topic, partition, 0..50).await);
    }
    assert_eq!(broker.requests(ApiKey::PRODUCE), 0);
    tokio::time::timeout(Duration::from_secs(10), producer.flush()).await.expect("it waits").unwrap();
    assert!(deliveries.iter().all(|delivery| delivery.try_result().is_some_and(|result| result.is_ok())));
}

#[tokio::test]
async fn flush_tells_of_a_failure() {
    let broker = broker(1, 1).await;
    let (producer, topic) = producing(&broker, patient()).await;
    broker.inject(Fault::error(ApiKey::PRODUCE, ErrorCode::TOPIC_AUTHORIZATION_FAILED).times(1));
    drop(topic.try_send(to(0, b"x")).unwrap());
    let error = within(producer.flush()).await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::TOPIC_AUTHORIZATION_FAILED));
    within(producer.flush()).await.unwrap();
}

#[tokio::test]
async fn close_sends_what_there_is_and_takes_no_more() {
    let broker = broker(1, 1).await;
    let (producer, topic) = producing(&broker, patient()).await;
    let deliveries = send_numbers(&topic, 0, 0..500).await;
    within(producer.close(Duration::from_secs(10))).await.unwrap();
    assert_eq!(log(&broker, 0), numbers(0..500));
    assert!(deliveries.iter().all(|delivery| delivery.try_result().is_some_and(|result| result.is_ok())));
    for error in [
        topic.try_send(to(0, b"late")).unwrap_err(),
        within(topic.send(to(0, b"late"))).await.unwrap_err(),
        within(producer.topic("t")).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
    }
    within(producer.close(Duration::from_secs(10))).await.unwrap();
}

#[tokio::test]
async fn close_ends_by_its_deadline_and_says_what_is_left() {
    let broker = broker(1, 1).await;
    let (producer, topic) = producing(&broker, quick()).await;
    let silence = broker.inject(Fault::silence(ApiKey::PRODUCE));
    let first = topic.try_send(to(0, b"under way")).unwrap();
    within(silence.wait_for_hits(1)).await;
    let second = topic.try_send(to(0, b"waiting")).unwrap();
    let error = within(producer.close(Duration::from_millis(200))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    let (first, second) = (within(first).await.unwrap_err(), within(second).await.unwrap_err());
    assert_eq!((first.kind(), first.maybe_written()), (ErrorKind::Closed, true), "{first}");
    assert_eq!((second.kind(), second.maybe_written()), (ErrorKind::Closed, false), "{second}");
}

#[tokio::test]
async fn whoever_waits_for_memory_is_told_of_the_close() {
    let broker = broker(1, 1).await;
    let options = ProducerOptions { buffer_bytes: 4 << 10, batch_bytes: 4 << 10, ..quick() };
    let (producer, topic) = producing(&broker, options).await;
    broker.inject(Fault::silence(ApiKey::PRODUCE));
    while topic.try_send(to(0, &[b'x'; 500])).is_ok() {}
    let waiting = tokio::spawn(async move { topic.send(to(0, &[b'y'; 500])).await.map(drop) });
    tokio::task::yield_now().await;
    let _ = within(producer.close(Duration::from_millis(100))).await;
    assert_eq!(within(waiting).await.unwrap().unwrap_err().kind(), ErrorKind::Closed);
}

#[tokio::test]
async fn a_dropped_producer_tells_its_records_and_leaves_nothing_behind() {
    let broker = broker(1, 1).await;
    let before = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let client = connect(&broker).await;
    let producer = within(client.producer(patient())).await.unwrap();
    let topic = within(producer.topic("t")).await.unwrap();
    offsets_after_flush(&producer, &topic).await;
    let delivery = topic.try_send(to(0, b"never sent")).unwrap();
    drop((producer, client));
    // A topic's handle keeps the producer.
    assert!(delivery.try_result().is_none());
    drop(topic);
    let error = within(delivery).await.unwrap_err();
    assert_eq!((error.kind(), error.maybe_written()), (ErrorKind::Closed, false), "{error}");
    eventually("all tasks have ended", || tokio::runtime::Handle::current().metrics().num_alive_tasks() <= before)
        .await;
}

async fn offsets_after_flush(producer: &ottla_client::Producer, topic: &ottla_client::TopicProducer) {
    let deliveries = send_numbers(topic, 0, 0..10).await;
    within(producer.flush()).await.unwrap();
    assert_eq!(offsets(deliveries).await.len(), 10);
}

#[tokio::test]
async fn a_producer_dropped_with_requests_under_way_tells_their_records() {
    let broker = broker(1, 1).await;
    let (producer, topic) = producing(&broker, quick()).await;
    let silence = broker.inject(Fault::silence(ApiKey::PRODUCE));
    let delivery = topic.try_send(to(0, b"under way")).unwrap();
    within(silence.wait_for_hits(1)).await;
    drop((producer, topic));
    let error = within(delivery).await.unwrap_err();
    assert_eq!((error.kind(), error.maybe_written()), (ErrorKind::Closed, true), "{error}");
}

#[tokio::test]
async fn dropped_futures_of_flush_and_topic_do_no_harm() {
    let broker = broker(1, 1).await;
    let (producer, topic) = producing(&broker, quick()).await;
    let deliveries = send_numbers(&topic, 0, 0..100).await;
    for wait in [0, 1, 5] {
        let _ = tokio::time::timeout(Duration::from_millis(wait), producer.flush()).await;
        let _ = tokio::time::timeout(Duration::from_millis(wait), producer.topic("elsewhere")).await;
    }
    assert_eq!(offsets(deliveries).await, (0..100).collect::<Vec<_>>());
}
