//! The latest offset of a leader that may not know its high watermark yet (KIP-207).

mod net_support;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use net_support::{Conversation, OFFERED, Peer, builder, cluster, fitting, offered};
use ottla_client::{Acks, Client, ErrorKind, OffsetAt, Outgoing, ProducerOptions, TopicPartition};
use ottla_devbroker::{DevBroker, Fault, Release};
use ottla_protocol::messages::{
    ListOffsetPartitionResponse, ListOffsetRequest, ListOffsetResponse, ListOffsetTopicResponse,
};
use ottla_protocol::{ApiKey, ErrorCode, IsolationLevel};

const RECORDS: i64 = 10;

fn place() -> TopicPartition {
    TopicPartition::new("t", 0)
}

/// Three nodes of a release; `t`-0 holds ten records, each in a batch of its own.
async fn filled(release: Release) -> (DevBroker, Client) {
    let broker = DevBroker::builder().release(release).nodes(3).start().await.unwrap();
    broker.create_topic("t", 1).unwrap();
    let client = builder(broker.bootstrap()).connect().await.unwrap();
    let producer = client.producer(ProducerOptions { acks: Acks::All, ..ProducerOptions::default() }).await.unwrap();
    let topic = producer.topic("t").await.unwrap();
    for _ in 0..RECORDS {
        topic.send(Outgoing { value: Some(b"{}"), ..Outgoing::default() }).await.unwrap().await.unwrap();
    }
    assert_eq!(broker.offsets("t", 0).unwrap(), (0, RECORDS));
    (broker, client)
}

async fn offset(client: &Client, at: OffsetAt) -> i64 {
    client.offsets(&[place()], at).await.unwrap()[&place()]
}

#[tokio::test]
async fn a_new_leader_that_does_not_know_its_high_watermark_yet_is_asked_again() {
    for release in Release::ALL {
        let (broker, client) = filled(release).await;
        for at in [OffsetAt::Latest, OffsetAt::LatestStable] {
            let next = (broker.leader("t", 0).unwrap().unwrap() + 1) % 3;
            broker.move_leader("t", 0, next).unwrap();
            let fault = broker.inject(Fault::stale_high_watermark(4).on_node(next).times(3));
            assert_eq!(offset(&client, at).await, RECORDS, "{release}, {at:?}");
            assert_eq!(fault.hits(), 3, "{release}, {at:?}");
        }
    }
}

#[tokio::test]
async fn what_the_next_leader_does_not_have_is_not_waited_for() {
    let (broker, client) = filled(Release::V0_11).await;
    let first = broker.leader("t", 0).unwrap().unwrap();
    let second = (first + 1) % 3;
    let held = broker.inject(Fault::stale_high_watermark(0).on_node(first));
    let asking = tokio::spawn({
        let client = client.clone();
        async move { offset(&client, OffsetAt::Latest).await }
    });
    tokio::time::timeout(Duration::from_secs(10), held.wait_for_hits(2)).await.unwrap();
    // The last three records were never committed, and the next leader begins as the first did.
    assert_eq!(broker.truncate_log("t", 0, 7).unwrap(), 7);
    let held = broker.inject(Fault::stale_high_watermark(5).on_node(second).times(2));
    broker.move_leader("t", 0, second).unwrap();
    assert_eq!(asking.await.unwrap(), 7);
    assert_eq!(held.hits(), 2);
}

#[tokio::test]
async fn brokers_from_2_2_on_are_asked_once_and_those_before_no_more_than_they_need() {
    for release in Release::ALL {
        let (broker, client) = filled(release).await;
        let checked = release < Release::V2_2;
        for (at, questions) in [
            (OffsetAt::Earliest, 1),
            (OffsetAt::Timestamp(0), 1),
            (OffsetAt::Latest, if checked { 2 } else { 1 }),
            (OffsetAt::LatestStable, if checked { 3 } else { 1 }),
        ] {
            let before = broker.requests(ApiKey::LIST_OFFSETS);
            offset(&client, at).await;
            assert_eq!(broker.requests(ApiKey::LIST_OFFSETS) - before, questions, "{release}, {at:?}");
        }
    }
}

#[tokio::test]
async fn a_leader_that_never_learns_its_high_watermark_ends_the_call_at_its_deadline() {
    for (release, said) in
        [(Release::V2_1, "names 4 as the latest offset of a log that ends at 10"), (Release::V2_3, "")]
    {
        let (broker, _) = filled(release).await;
        let patient = builder(broker.bootstrap()).api_timeout(Duration::from_secs(2)).connect().await.unwrap();
        let fault = broker.inject(Fault::stale_high_watermark(4));
        let error = patient.offsets(&[place()], OffsetAt::LatestStable).await.unwrap_err();
        assert!(error.is_retriable() && error.code() == Some(ErrorCode::OFFSET_NOT_AVAILABLE), "{error}");
        let text = error.to_string();
        assert!(text.starts_with("t-0, ListOffsets to broker ") && text.contains(said), "{text}");
        assert!(text.contains("gave up after") && fault.hits() > 1, "{text}");
    }
}

/// A broker of release 2.1 that answers as `told` says: the offset for a replica id and an isolation.
async fn scripted(told: impl Fn(i32, IsolationLevel) -> i64 + Send + Sync + 'static) -> Peer {
    let told = Arc::new(told);
    Peer::start(move |talk| serve(talk, told.clone())).await
}

async fn serve(mut talk: Conversation, told: Arc<impl Fn(i32, IsolationLevel) -> i64>) {
    let versions =
        |&(api, min, max): &(ApiKey, i16, i16)| (api, min, if api == ApiKey::LIST_OFFSETS { 4 } else { max });
    let offers: Vec<_> = OFFERED.iter().map(versions).collect();
    while let Some(asked) = talk.asked().await {
        match asked.api() {
            ApiKey::API_VERSIONS => talk.answer(&asked, &offered(&offers)).await,
            ApiKey::METADATA => {
                let metadata = cluster(&[(1, talk.port)], &[("t", &[1])]);
                talk.answer(&asked, &fitting(metadata, asked.header.api_version)).await;
            }
            _ => {
                let request = asked.read::<ListOffsetRequest>();
                let offset = told(request.replica_id, request.isolation_level);
                let partitions = vec![ListOffsetPartitionResponse { offset, ..ListOffsetPartitionResponse::default() }];
                let topics = vec![ListOffsetTopicResponse { name: "t".to_owned(), partitions }];
                talk.answer(&asked, &ListOffsetResponse { topics, ..ListOffsetResponse::default() }).await;
            }
        }
    }
}

#[tokio::test]
async fn constant_production_is_not_waited_for() {
    // Before every question five records more are there, and the last five are never committed yet.
    let end = AtomicI64::new(100);
    let peer = scripted(move |replica_id, _| {
        let end = end.fetch_add(5, Ordering::SeqCst);
        if replica_id == -2 { end } else { end - 20 }
    })
    .await;
    // Ends 100, 110 and 120 are named, and the high watermarks 85, 95 and 105.
    assert_eq!(offset(&peer.client().await, OffsetAt::Latest).await, 105);
    assert_eq!(peer.count(ApiKey::LIST_OFFSETS), 6);
}

#[tokio::test]
async fn an_open_transaction_is_not_waited_for() {
    let peer = scripted(|_, isolation| if isolation == IsolationLevel::READ_COMMITTED { 4 } else { RECORDS }).await;
    assert_eq!(offset(&peer.client().await, OffsetAt::LatestStable).await, 4);
    assert_eq!(peer.count(ApiKey::LIST_OFFSETS), 3);
}

#[tokio::test]
async fn a_log_end_that_is_none_is_an_error_and_not_the_end() {
    let peer = scripted(|replica_id, _| if replica_id == -2 { -1 } else { 3 }).await;
    let error = peer.client().await.offsets(&[place()], OffsetAt::Latest).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Protocol, "{error}");
    assert!(error.to_string().starts_with("t-0, ListOffsets to broker 1 at "), "{error}");
}
