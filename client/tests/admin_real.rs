//! The client's own requests against a real Kafka, of the release that `OTTLA_KAFKA` names.

mod net_support;

use net_support::builder;
use ottla_brokers::{Kafka, KafkaOptions, Release};
use ottla_client::{CommitOffset, Created, ErrorKind, NewTopic, OffsetAt, TopicPartition};
use ottla_protocol::compression::Compression;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a real Kafka (Java, Maven): run testdata/test"]
async fn topics_offsets_commits_and_passwords_on_a_real_broker() {
    let release = Release::from_env().unwrap();
    let old = release.to_string().starts_with("0.") || release.to_string().starts_with("1.");
    let kafka = Kafka::start_with(release, KafkaOptions::default().sasl_plain("etl", "open-sesame")).unwrap();
    let client = builder([kafka.address(0)]).connect().await.unwrap();

    let orders = NewTopic { name: "orders".to_owned(), partitions: 3, replicas: 1 };
    assert_eq!(client.topic("orders").await.unwrap(), None);
    assert_eq!(client.create_topic(&orders).await.unwrap(), Created::New);
    assert_eq!(client.create_topic(&orders).await.unwrap(), Created::Existed);
    assert_eq!(client.topic("orders").await.unwrap().unwrap().partitions.len(), 3);
    let error = client.create_topic(&NewTopic { replicas: 4, name: "wide".to_owned(), ..orders }).await.unwrap_err();
    assert!(error.to_string().contains("INVALID_REPLICATION_FACTOR"), "{error}");

    let places: Vec<_> = (0..3).map(|partition| TopicPartition::new("orders", partition)).collect();
    for at in [OffsetAt::Earliest, OffsetAt::Latest, OffsetAt::LatestStable] {
        let offsets = client.offsets(&places, at).await.unwrap();
        assert!(offsets.len() == 3 && offsets.values().all(|offset| *offset == 0), "{at:?}: {offsets:?}");
    }
    assert!(client.offsets(&places, OffsetAt::Timestamp(0)).await.unwrap().is_empty());
    // The coordinator's own topic comes into being by this.
    assert!(client.committed("g", &places).await.unwrap().is_empty());
    client.commit("g", &[CommitOffset::new(places[1].clone(), 7).metadata("seven")]).await.unwrap();
    let committed = client.committed("g", &places).await.unwrap();
    assert_eq!((committed.len(), committed[&places[1]].offset), (1, 7));
    assert_eq!(client.check_compression(Compression::Zstd).await.is_err(), old);

    let server = kafka.sasl_bootstrap().unwrap();
    let known = builder([server.clone()]).sasl_plain("etl", "open-sesame").connect().await.unwrap();
    assert!(known.topic("orders").await.unwrap().is_some());
    let error = builder([server.clone()]).sasl_plain("etl", "wrong-one").connect().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Authentication, "{error}");
    let error = builder([server]).connect().await.unwrap_err();
    assert!(error.to_string().contains("credentials"), "{error}");
    let error = builder([kafka.address(0)]).sasl_plain("etl", "open-sesame").connect().await.unwrap_err();
    assert!(error.to_string().contains("without credentials"), "{error}");
}
