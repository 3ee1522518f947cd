//! The producer against a real Kafka, of the release that `OTTLA_KAFKA` names.

mod producer_support;

use std::sync::Arc;
use std::time::Duration;

use ottla_brokers::{Kafka, Release, skipped};
use ottla_client::{
    Acks, Client, ConsumerOptions, ErrorKind, OffsetAt, ProducerOptions, TopicPartition, TopicProducer,
};
use ottla_protocol::ErrorCode;
use ottla_protocol::compression::Compression;

use producer_support::{numbers, offsets, outcomes, quick, send_numbers, to, within};

async fn connect(kafka: &Kafka) -> Client {
    within(Client::builder().bootstrap([kafka.address(0)]).connect()).await.unwrap()
}

async fn producing(client: &Client, name: &str, options: ProducerOptions) -> TopicProducer {
    let producer = within(client.producer(options)).await.unwrap();
    within(producer.topic(name)).await.unwrap()
}

/// The values of a partition from this offset on, as many as there are.
async fn read(client: &Client, name: &str, partition: i32, from: i64, count: usize) -> Vec<String> {
    let mut consumer = client.consumer(ConsumerOptions::default()).unwrap();
    within(consumer.assign(&[(TopicPartition::new(name, partition), from)])).await.unwrap();
    let mut values = Vec::new();
    while values.len() < count {
        let fetched = within(consumer.next()).await.unwrap();
        let text = |value: &[u8]| String::from_utf8(value.to_vec()).unwrap();
        values.extend(fetched.iter().map(|record| text(record.unwrap().value.unwrap())));
    }
    values
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a real Kafka (Java, Maven): run testdata/test"]
async fn codecs_acks_splits_and_refusals_on_a_real_broker() {
    let release = Release::from_env().unwrap();
    // Kafka 4 takes min.insync.replicas for no more than the topic's number of replicas.
    let (zstd, strict) = (release.accepts_zstd(), !release.at_least(4, 0));
    let kafka = Kafka::start(release).unwrap();
    let (admin, client) = (kafka.admin().unwrap(), connect(&kafka).await);

    for compression in Compression::ALL.into_iter().filter(|codec| zstd || *codec != Compression::Zstd) {
        for acks in [Acks::None, Acks::Leader, Acks::All] {
            let name = format!("{compression}-{acks:?}");
            admin.create_topic(&name, 1, 1).unwrap();
            let topic =
                producing(&client, &name, ProducerOptions { compression, acks, batch_bytes: 4096, ..quick() }).await;
            for outcome in outcomes(send_numbers(&topic, 0, 0..2000).await).await {
                outcome.unwrap();
            }
            assert_eq!(read(&client, &name, 0, 0, 2000).await, numbers(0..2000), "{name}");
        }
    }

    admin.create_topic_with("narrow", 1, 1, &[("max.message.bytes", "2000")]).unwrap();
    let narrow = producing(&client, "narrow", quick()).await;
    let told = offsets(send_numbers(&narrow, 0, 0..2000).await).await;
    assert_eq!(told, (0..2000).collect::<Vec<_>>());
    assert_eq!(read(&client, "narrow", 0, 0, 2000).await, numbers(0..2000));
    let error = within(narrow.try_send(to(0, &[b'x'; 3000])).unwrap()).await.unwrap_err();
    assert_eq!((error.kind(), error.maybe_written()), (ErrorKind::TooLarge, false), "{error}");

    // What the broker knew of the producer goes with its last record: 59 from 1.0 on, nothing said from 2.5 on.
    admin.delete_records_before("narrow", 0, 2000).unwrap();
    let told = offsets(send_numbers(&narrow, 0, 2000..2100).await).await;
    assert_eq!(told, (2000..2100).collect::<Vec<_>>());
    assert_eq!(read(&client, "narrow", 0, 2000, 100).await, numbers(2000..2100));

    if !strict {
        let test = "codecs_acks_splits_and_refusals_on_a_real_broker";
        return skipped(
            test,
            kafka.release(),
            "in part: no topic has too few replicas for its min.insync.replicas there",
        );
    }
    admin.create_topic_with("safe", 1, 1, &[("min.insync.replicas", "2")]).unwrap();
    let options = ProducerOptions {
        request_timeout: Duration::from_millis(500),
        delivery_timeout: Duration::from_secs(1),
        ..quick()
    };
    let safe = producing(&client, "safe", options).await;
    let error = within(safe.try_send(to(0, b"x")).unwrap()).await.unwrap_err();
    assert_eq!((error.kind(), error.maybe_written()), (ErrorKind::Timeout, false), "{error}");
    assert!(error.to_string().contains(ErrorCode::NOT_ENOUGH_REPLICAS.name().unwrap()), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a real Kafka (Java, Maven): run testdata/test"]
async fn a_real_broker_killed_twice_leaves_every_record_once_and_in_order() {
    const RECORDS: usize = 60_000;
    let kafka = Arc::new(Kafka::start(Release::from_env().unwrap()).unwrap());
    kafka.admin().unwrap().create_topic("orders", 3, 1).unwrap();
    let client = connect(&kafka).await;
    let options =
        ProducerOptions { batch_bytes: 1024, delivery_timeout: Duration::from_mins(5), ..ProducerOptions::default() };
    let topic = producing(&client, "orders", options).await;

    let killer = tokio::task::spawn_blocking({
        let kafka = kafka.clone();
        move || {
            for _ in 0..2 {
                std::thread::sleep(Duration::from_millis(700));
                kafka.kill(0);
                kafka.start_again(0).unwrap();
            }
        }
    });
    let mut deliveries = Vec::with_capacity(RECORDS);
    for number in 0..RECORDS {
        let value = (number / 3).to_string();
        deliveries.push(topic.send(to((number % 3) as i32, value.as_bytes())).await.unwrap());
        if number % 40 == 0 {
            // So that the sending lasts over both deaths.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    tokio::time::timeout(Duration::from_mins(3), killer).await.expect("the broker does not come back").unwrap();
    for delivery in deliveries {
        let outcome = tokio::time::timeout(Duration::from_mins(2), delivery).await.expect("it hangs");
        outcome.unwrap();
    }
    let places: Vec<_> = (0..3).map(|partition| TopicPartition::new("orders", partition)).collect();
    let ends = within(client.offsets(&places, OffsetAt::Latest)).await.unwrap();
    assert!(ends.values().all(|end| *end == RECORDS as i64 / 3), "{ends:?}");
    for partition in 0..3 {
        assert_eq!(read(&client, "orders", partition, 0, RECORDS / 3).await, numbers(0..RECORDS / 3));
    }
}
