//! What the producer's tests share.
#![allow(dead_code, reason = "each test file uses some of it")]

use std::future::Future;
use std::time::Duration;

use ottla_client::{Ack, Client, Delivery, Error, Outgoing, Producer, ProducerOptions, TopicProducer};
use ottla_devbroker::DevBroker;

/// Longer than anything here takes on a loaded machine; a test that reaches it hangs. Shorter than the defaults of the client that
/// a forgotten deadline would fall back to: 60 s for a call, 120 s for a delivery.
pub(crate) const PATIENCE: Duration = Duration::from_secs(55);

/// A broker of so many nodes with the topic `t`.
pub(crate) async fn broker(nodes: usize, partitions: i32) -> DevBroker {
    let broker = DevBroker::builder().nodes(nodes).replicas(nodes as i16).start().await.unwrap();
    broker.create_topic("t", partitions).unwrap();
    broker
}

pub(crate) async fn connect(broker: &DevBroker) -> Client {
    within(Client::builder().bootstrap(broker.bootstrap()).connect()).await.unwrap()
}

/// Short pauses, so that tests with faults are quick.
pub(crate) fn quick() -> ProducerOptions {
    ProducerOptions {
        linger: Duration::from_millis(1),
        retry_backoff: Duration::from_millis(10),
        request_timeout: Duration::from_secs(5),
        delivery_timeout: Duration::from_secs(20),
        ..ProducerOptions::default()
    }
}

/// A producer and its handle on `t`.
pub(crate) async fn producing(broker: &DevBroker, options: ProducerOptions) -> (Producer, TopicProducer) {
    let producer = within(connect(broker).await.producer(options)).await.unwrap();
    let topic = within(producer.topic("t")).await.unwrap();
    (producer, topic)
}

pub(crate) async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.expect("it hangs")
}

pub(crate) fn to(partition: i32, value: &[u8]) -> Outgoing<'_> {
    Outgoing { partition: Some(partition), value: Some(value), ..Outgoing::default() }
}

/// Sends the numbers of a range as text, to one partition.
pub(crate) async fn send_numbers(
    topic: &TopicProducer,
    partition: i32,
    numbers: std::ops::Range<usize>,
) -> Vec<Delivery> {
    let mut deliveries = Vec::with_capacity(numbers.len());
    for number in numbers {
        deliveries.push(within(topic.send(to(partition, number.to_string().as_bytes()))).await.unwrap());
    }
    deliveries
}

pub(crate) async fn outcomes(deliveries: Vec<Delivery>) -> Vec<Result<Ack, Error>> {
    let mut outcomes = Vec::with_capacity(deliveries.len());
    for delivery in deliveries {
        outcomes.push(within(delivery).await);
    }
    outcomes
}

/// The offsets of records that have all to be acknowledged.
pub(crate) async fn offsets(deliveries: Vec<Delivery>) -> Vec<i64> {
    outcomes(deliveries).await.into_iter().map(|outcome| outcome.unwrap().offset.unwrap()).collect()
}

/// The values in a partition's log, in order.
pub(crate) fn log(broker: &DevBroker, partition: i32) -> Vec<String> {
    let text = |value: &[u8]| String::from_utf8(value.to_vec()).unwrap();
    broker.log("t", partition).unwrap().iter().map(|record| text(record.value.as_ref().unwrap())).collect()
}

pub(crate) fn numbers(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

/// Looks until it is so.
pub(crate) async fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let looking = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, looking).await.is_ok(), "never: {what}");
}
