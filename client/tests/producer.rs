//! The producer against the development broker: what it writes, and what it tells.

mod producer_support;

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use ottla_client::{Acks, Client, ErrorKind, Outgoing, OutgoingHeaders, ProducerOptions, Unkeyed};
use ottla_devbroker::{DevBroker, Release};
use ottla_protocol::ApiKey;
use ottla_protocol::compression::Compression;
use ottla_protocol::partition_for_key;
use ottla_protocol::records::Header;

use producer_support::{
    broker, connect, eventually, log, numbers, offsets, outcomes, producing, quick, send_numbers, to, within,
};

#[tokio::test]
async fn each_codec_and_each_ack_level_brings_every_record_in_order() {
    for compression in Compression::ALL {
        for acks in [Acks::None, Acks::Leader, Acks::All] {
            let broker = broker(1, 1).await;
            let (producer, topic) =
                producing(&broker, ProducerOptions { compression, acks, batch_bytes: 4096, ..quick() }).await;
            let deliveries = send_numbers(&topic, 0, 0..2000).await;
            let acks_told: Vec<_> = outcomes(deliveries).await.into_iter().map(|ack| ack.unwrap().offset).collect();
            let expected: Vec<_> = (0..2000).map(|offset| (acks != Acks::None).then_some(offset)).collect();
            assert_eq!(acks_told, expected, "{compression} {acks:?}");
            eventually("all is in the log", || log(&broker, 0).len() == 2000).await;
            assert_eq!(log(&broker, 0), numbers(0..2000), "{compression} {acks:?}");
            let record = &broker.log("t", 0).unwrap()[1999];
            assert_eq!((record.compression, record.producer_id >= 0), (compression, acks == Acks::All));
            within(producer.close(Duration::from_secs(5))).await.unwrap();
        }
    }
}

#[tokio::test]
async fn everything_of_a_record_arrives() {
    let broker = broker(1, 1).await;
    let (_producer, topic) = producing(&broker, quick()).await;
    let headers = [Header { key: "mqOp", value: Some(b"delete") }, Header { key: "mqOp", value: None }];
    let record = Outgoing {
        timestamp_ms: Some(1_571_356_231_000),
        key: Some(b""),
        value: None,
        headers: OutgoingHeaders::List(&headers),
        ..Outgoing::default()
    };
    within(within(topic.send(record)).await.unwrap()).await.unwrap();
    let found = broker.log("t", 0).unwrap().remove(0);
    assert_eq!((found.timestamp_ms, found.key.as_deref(), found.value), (1_571_356_231_000, Some(&b""[..]), None));
    let names: Vec<_> = found.headers.iter().map(|(name, value)| (name.as_str(), value.as_deref())).collect();
    assert_eq!(names, [("mqOp", Some(&b"delete"[..])), ("mqOp", None)]);
}

#[tokio::test]
async fn a_record_without_a_time_gets_the_present() {
    let broker = broker(1, 1).await;
    let (_producer, topic) = producing(&broker, quick()).await;
    let ms = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis() as i64;
    let before = ms();
    tokio::time::sleep(Duration::from_millis(300)).await;
    within(within(topic.send(to(0, b"now"))).await.unwrap()).await.unwrap();
    let stamped = broker.log("t", 0).unwrap()[0].timestamp_ms;
    assert!((before + 200..=ms()).contains(&stamped), "{stamped} after {before}");
}

#[tokio::test]
async fn keys_go_where_kafkas_own_client_sends_them() {
    let broker = broker(2, 7).await;
    let (producer, topic) = producing(&broker, quick()).await;
    for number in 0..100 {
        let key = format!("key-{number}");
        let record = Outgoing { key: Some(key.as_bytes()), value: Some(b""), ..Outgoing::default() };
        let delivery = within(topic.send(record)).await.unwrap();
        assert_eq!(delivery.partition(), partition_for_key(key.as_bytes(), 7));
    }
    within(producer.flush()).await.unwrap();
    let homes = (0..7).map(|partition| broker.log("t", partition).unwrap().len()).sum::<usize>();
    assert_eq!(homes, 100);
}

#[tokio::test]
async fn records_without_a_key_visit_all_partitions_a_batch_at_a_time() {
    let broker = broker(2, 4).await;
    let (producer, topic) = producing(&broker, quick()).await;
    let mut runs = Vec::new();
    for _ in 0..12 {
        let mut partitions = HashSet::new();
        for _ in 0..5 {
            let record = Outgoing { value: Some(b"x"), ..Outgoing::default() };
            partitions.insert(topic.try_send(record).unwrap().partition());
        }
        runs.push(partitions);
        within(producer.flush()).await.unwrap();
    }
    // A linger time that ends in between may cut a run in two.
    assert!(runs.iter().filter(|run| run.len() == 1).count() >= 10, "{runs:?}");
    assert_eq!(runs.iter().flatten().collect::<HashSet<_>>().len(), 4, "{runs:?}");
}

#[tokio::test]
async fn round_robin_changes_the_partition_with_each_record() {
    let broker = broker(1, 3).await;
    let (_producer, topic) = producing(&broker, ProducerOptions { unkeyed: Unkeyed::RoundRobin, ..quick() }).await;
    let sent: Vec<_> =
        (0..6).map(|_| topic.try_send(Outgoing { value: Some(b"x"), ..Outgoing::default() }).unwrap()).collect();
    let partitions: Vec<_> = sent.iter().map(ottla_client::Delivery::partition).collect();
    assert_eq!(partitions[..3], partitions[3..]);
    assert_eq!(partitions[..3].iter().collect::<HashSet<_>>().len(), 3);
}

#[tokio::test]
async fn an_unknown_topic_or_partition_is_named_and_nothing_is_created() {
    let broker = broker(1, 2).await;
    let (producer, topic) = producing(&broker, quick()).await;
    let error = within(producer.topic("nowhere")).await.unwrap_err();
    assert_eq!((error.kind(), error.topic()), (ErrorKind::UnknownTopic, Some("nowhere")));
    assert_eq!(broker.topics().len(), 1);
    let error = topic.try_send(to(2, b"x")).unwrap_err();
    assert_eq!((error.kind(), error.partition()), (ErrorKind::UnknownTopic, Some(2)));
    assert!(error.to_string().contains("2 partitions"), "{error}");
}

#[tokio::test]
async fn a_topic_that_was_just_created_takes_records_at_once() {
    let broker = broker(3, 1).await;
    let (producer, _) = producing(&broker, quick()).await;
    broker.create_topic("new", 5).unwrap();
    let topic = within(producer.topic("new")).await.unwrap();
    assert_eq!(topic.partitions(), 5);
    for partition in 0..5 {
        within(within(topic.send(to(partition, b"x"))).await.unwrap()).await.unwrap();
    }
}

#[tokio::test]
async fn a_record_that_can_never_fit_is_refused_at_once() {
    let broker = broker(1, 1).await;
    let options = ProducerOptions { max_request_bytes: Some(1 << 20), ..quick() };
    let (_producer, topic) = producing(&broker, options).await;
    let error = topic.try_send(to(0, &vec![b'x'; 1 << 20])).unwrap_err();
    assert_eq!((error.kind(), error.is_retriable()), (ErrorKind::TooLarge, false), "{error}");
    assert!(error.to_string().contains("max_request_bytes"), "{error}");
    // A broker takes 1000012 bytes in a batch by default.
    let large = vec![b'x'; 999_900];
    within(within(topic.send(to(0, &large))).await.unwrap()).await.unwrap();
    assert_eq!(broker.log("t", 0).unwrap()[0].value.as_deref(), Some(&large[..]));
}

#[tokio::test]
async fn a_batch_larger_than_the_topic_takes_is_split() {
    let broker = DevBroker::builder().max_message_bytes(2000).start().await.unwrap();
    broker.create_topic("t", 1).unwrap();
    let (producer, topic) = producing(&broker, quick()).await;
    let deliveries = send_numbers(&topic, 0, 0..2000).await;
    assert_eq!(offsets(deliveries).await, (0..2000).collect::<Vec<_>>());
    assert_eq!(log(&broker, 0), numbers(0..2000));
    let error = within(within(topic.send(to(0, &[b'x'; 3000]))).await.unwrap()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    assert!(error.to_string().contains("max.message.bytes"), "{error}");
    let after = send_numbers(&topic, 0, 2000..2100).await;
    assert_eq!(offsets(after).await, (2000..2100).collect::<Vec<_>>());
    assert_eq!(producer.buffered_bytes(), 0);
}

#[tokio::test]
async fn options_that_cannot_work_are_refused_before_anything_is_sent() {
    let broker = broker(1, 1).await;
    let client = connect(&broker).await;
    let options = ProducerOptions { delivery_timeout: Duration::from_secs(1), ..quick() };
    let error = within(client.producer(options)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("delivery_timeout"), "{error}");
    assert_eq!(broker.requests(ApiKey::INIT_PRODUCER_ID), 0);
}

#[tokio::test]
async fn zstd_on_a_release_without_it_is_refused_by_name() {
    let release: Release = "0.11".parse().unwrap();
    let broker = DevBroker::builder().release(release).start().await.unwrap();
    broker.create_topic("t", 1).unwrap();
    let client = connect(&broker).await;
    let options = ProducerOptions { compression: Compression::Zstd, ..quick() };
    let error = within(client.producer(options)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("Kafka 2.1"), "{error}");
    assert_eq!(broker.requests(ApiKey::PRODUCE), 0);
    // Every other codec works there.
    let (_producer, topic) = producing(&broker, ProducerOptions { compression: Compression::Lz4, ..quick() }).await;
    assert_eq!(offsets(send_numbers(&topic, 0, 0..100).await).await.len(), 100);
}

#[tokio::test]
async fn every_release_takes_records() {
    for release in ["0.11", "1.0", "1.1", "2.0", "2.1", "2.2", "2.3"] {
        let broker = DevBroker::builder().release(release.parse().unwrap()).start().await.unwrap();
        broker.create_topic("t", 1).unwrap();
        let (_producer, topic) = producing(&broker, quick()).await;
        assert_eq!(offsets(send_numbers(&topic, 0, 0..50).await).await, (0..50).collect::<Vec<_>>(), "{release}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_senders_to_many_partitions_lose_and_repeat_nothing() {
    let broker = broker(3, 12).await;
    let (producer, topic) = producing(&broker, ProducerOptions { batch_bytes: 2048, ..quick() }).await;
    let mut senders = tokio::task::JoinSet::new();
    for sender in 0..8 {
        let topic = topic.clone();
        senders.spawn(async move {
            for number in 0..500 {
                let value = format!("{sender} {number}");
                drop(within(topic.send(to(number % 12, value.as_bytes()))).await.unwrap());
            }
        });
    }
    within(senders.join_all()).await;
    within(producer.flush()).await.unwrap();
    for partition in 0..12 {
        let log = log(&broker, partition);
        for sender in 0..8 {
            let prefix = format!("{sender} ");
            let got: Vec<_> = log.iter().filter_map(|value| value.strip_prefix(&prefix)).map(str::to_owned).collect();
            let expected: Vec<_> = (0..500).filter(|n| n % 12 == partition).map(|n| n.to_string()).collect();
            assert_eq!(got, expected, "sender {sender}, partition {partition}");
        }
    }
}

#[tokio::test]
async fn a_broker_that_refuses_the_credentials_says_so_when_connecting() {
    let broker = DevBroker::builder().sasl_plain(&[("etl", "secret")]).start().await.unwrap();
    broker.create_topic("t", 1).unwrap();
    let builder = Client::builder().bootstrap(broker.bootstrap());
    let client = within(builder.sasl_plain("etl", "secret").connect()).await.unwrap();
    let producer = within(client.producer(quick())).await.unwrap();
    let topic = within(producer.topic("t")).await.unwrap();
    assert_eq!(offsets(send_numbers(&topic, 0, 0..10).await).await.len(), 10);
}
