//! What a program needs that depends on this crate alone: every type of a public signature can be named through it.

use ottla_client::{
    ApiKey, Bootstrap, Client, Compression, ConsumerOptions, Error, ErrorCode, ErrorKind, Fetched, Header, Headers,
    NewTopic, Outgoing, PeerText, ProducerOptions, Record, TopicPartition, partition_for_key,
};
use ottla_devbroker::{DevBroker, Fault};

fn text(record: &Record<'_>) -> String {
    String::from_utf8_lossy(record.value.unwrap_or_default()).into_owned()
}

fn headers(headers: Headers<'_>) -> usize {
    headers.iter().filter(|header: &Header<'_>| !header.key.is_empty()).count()
}

fn values(fetched: &Fetched) -> Result<Vec<String>, Error> {
    fetched.iter().map(|record| record.map(|record| text(&record) + &"+".repeat(headers(record.headers)))).collect()
}

fn what(error: &Error) -> (ErrorKind, Option<ErrorCode>, Option<ApiKey>) {
    (error.kind(), error.code(), error.api())
}

#[tokio::test]
async fn a_program_writes_reads_and_judges_errors_by_this_crates_names_alone() {
    let broker = DevBroker::builder().start().await.unwrap();
    let servers: Bootstrap = broker.bootstrap().join(",").into();
    let client = Client::builder().bootstrap(servers).connect().await.unwrap();
    client.create_topic(&NewTopic { name: "t".to_owned(), partitions: 2, replicas: 1 }).await.unwrap();
    let options = ProducerOptions { compression: Compression::Gzip, ..ProducerOptions::default() };
    client.check_compression(options.compression).await.unwrap();
    let producer = client.producer(options).await.unwrap();
    let topic = producer.topic("t").await.unwrap();
    let partition = partition_for_key(b"key", topic.partitions());
    topic.send(Outgoing { key: Some(b"key"), value: Some(b"{}"), ..Outgoing::default() }).await.unwrap().await.unwrap();

    let mut consumer = client.consumer(ConsumerOptions::default()).unwrap();
    consumer.assign(&[(TopicPartition::new("t", partition), 0)]).await.unwrap();
    let fetched = consumer.next().await.unwrap();
    assert_eq!(values(&fetched).unwrap(), ["{}"]);

    broker.inject(Fault::error(ApiKey::OFFSET_FETCH, ErrorCode::GROUP_AUTHORIZATION_FAILED));
    let error = client.committed("g", &[TopicPartition::new("t", 0)]).await.unwrap_err();
    let expected = (ErrorKind::Broker, Some(ErrorCode::GROUP_AUTHORIZATION_FAILED), Some(ApiKey::OFFSET_FETCH));
    assert_eq!(what(&error), expected);
    assert!(PeerText::new(["secret"]).clean(&error.to_string()).contains("GROUP_AUTHORIZATION_FAILED"));
}

#[tokio::test]
async fn a_topic_that_does_not_exist_is_no_reason_to_try_again() {
    let broker = DevBroker::builder().auto_create(false).start().await.unwrap();
    broker.create_topic("other", 1).unwrap();
    let client = Client::builder().bootstrap(broker.bootstrap()).connect().await.unwrap();
    let producer = client.producer(ProducerOptions::default()).await.unwrap();
    let error = producer.topic("absent").await.unwrap_err();
    assert_eq!((error.kind(), error.is_retriable()), (ErrorKind::UnknownTopic, false), "{error}");
}
