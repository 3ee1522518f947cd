//! Topics, offsets and groups, against the development broker.

mod net_support;

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use net_support::builder;
use ottla_client::{Client, CommitOffset, Created, ErrorKind, NewTopic, OffsetAt, TopicPartition};
use ottla_devbroker::{DevBroker, Fault, Release};
use ottla_protocol::compression::Compression;
use ottla_protocol::{ApiKey, ErrorCode};

async fn start(release: Release) -> (DevBroker, Client) {
    let broker = DevBroker::builder().release(release).start().await.unwrap();
    let client = builder(broker.bootstrap()).connect().await.unwrap();
    (broker, client)
}

fn orders(partitions: i32) -> NewTopic {
    NewTopic { name: "orders".to_owned(), partitions, replicas: 1 }
}

const RELEASES: [Release; 3] = [Release::V0_11, Release::V1_0, Release::V2_3];

#[tokio::test]
async fn a_topic_is_created_once_and_described() {
    for release in RELEASES {
        let (broker, client) = start(release).await;
        assert_eq!(client.topic("orders").await.unwrap(), None);
        assert_eq!(client.create_topic(&orders(3)).await.unwrap(), Created::New);
        assert_eq!(client.create_topic(&orders(9)).await.unwrap(), Created::Existed);
        let topic = client.topic("orders").await.unwrap().unwrap();
        assert_eq!(topic.partitions.iter().map(|partition| partition.id).collect::<Vec<_>>(), [0, 1, 2]);
        assert!(topic.partitions.iter().all(|partition| partition.leader.is_some()));
        assert_eq!(broker.topics(), [("orders".to_owned(), 3)]);
    }
}

#[tokio::test]
async fn topics_come_sorted_and_asking_creates_none() {
    let (broker, client) = start(Release::V2_3).await;
    for name in ["b", "c", "a"] {
        broker.create_topic(name, 1).unwrap();
    }
    let names: Vec<_> = client.topics().await.unwrap().iter().map(|topic| topic.name.to_string()).collect();
    assert_eq!(names, ["a", "b", "c"]);
    assert_eq!(client.topic("on-demand").await.unwrap(), None);
    let error = client.offsets(&[TopicPartition::new("on-demand", 0)], OffsetAt::Latest).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnknownTopic, "{error}");
    assert!(error.to_string().starts_with("on-demand-0: UNKNOWN_TOPIC_OR_PARTITION (3)"), "{error}");
    assert_eq!(broker.topics().len(), 3);
}

#[tokio::test]
async fn a_partition_that_a_topic_lacks_is_told_soon_with_the_number_it_has() {
    let (broker, client) = start(Release::V2_3).await;
    broker.create_topic("t", 2).unwrap();
    let start = Instant::now();
    let error = client.offsets(&[TopicPartition::new("t", 2)], OffsetAt::Latest).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnknownTopic);
    assert!(error.to_string().contains("the topic has 2 partitions"), "{error}");
    assert!(start.elapsed() < Duration::from_secs(30), "the call's own deadline is a minute");
}

#[tokio::test]
async fn a_controller_that_has_moved_is_looked_for_again() {
    let (broker, client) = start(Release::V2_3).await;
    let fault = broker.inject(Fault::error(ApiKey::CREATE_TOPICS, ErrorCode::NOT_CONTROLLER).times(2));
    assert_eq!(client.create_topic(&orders(1)).await.unwrap(), Created::New);
    assert_eq!(fault.hits(), 2);
}

#[tokio::test]
async fn a_creation_whose_answer_was_lost_is_found_to_exist() {
    let (broker, client) = start(Release::V2_3).await;
    broker.inject(Fault::close_after_applying(ApiKey::CREATE_TOPICS).times(1));
    assert_eq!(client.create_topic(&orders(1)).await.unwrap(), Created::Existed);
    assert_eq!(broker.topics(), [("orders".to_owned(), 1)]);
}

#[tokio::test]
async fn a_refused_creation_says_what_was_wrong() {
    let (_broker, client) = start(Release::V2_3).await;
    let too_many = NewTopic { replicas: 5, ..orders(1) };
    let error = client.create_topic(&too_many).await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::INVALID_REPLICATION_FACTOR), "{error}");
    assert!(
        error.to_string().contains("topic orders, CreateTopics") && error.to_string().contains("asked for 5"),
        "{error}"
    );
    let bad_name = NewTopic { name: "no blanks".to_owned(), ..orders(1) };
    let error = client.create_topic(&bad_name).await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::INVALID_TOPIC_EXCEPTION), "{error}");
}

#[tokio::test]
async fn offsets_of_an_empty_topic_are_zero_and_no_time_is_found() {
    for release in RELEASES {
        let (broker, client) = start(release).await;
        broker.create_topic("t", 3).unwrap();
        let places: Vec<_> = (0..3).map(|partition| TopicPartition::new("t", partition)).collect();
        for at in [OffsetAt::Earliest, OffsetAt::Latest, OffsetAt::LatestStable] {
            let offsets = client.offsets(&places, at).await.unwrap();
            assert!(offsets.len() == 3 && offsets.values().all(|offset| *offset == 0), "{at:?}: {offsets:?}");
        }
        assert!(client.offsets(&places, OffsetAt::Timestamp(0)).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_commit_is_read_back_and_the_uncommitted_is_absent() {
    for release in RELEASES {
        let (broker, client) = start(release).await;
        broker.create_topic("t", 3).unwrap();
        let places: Vec<_> = (0..3).map(|partition| TopicPartition::new("t", partition)).collect();
        assert!(client.committed("g", &places).await.unwrap().is_empty());
        let positions = [
            CommitOffset::new(places[0].clone(), 7).metadata("seven").leader_epoch(Some(4)),
            CommitOffset::new(places[2].clone(), 1 << 40),
        ];
        client.commit("g", &positions).await.unwrap();
        let committed = client.committed("g", &places).await.unwrap();
        assert_eq!(committed.len(), 2);
        let first = &committed[&places[0]];
        assert_eq!((first.offset, first.metadata.as_deref()), (7, Some("seven")));
        assert_eq!(first.leader_epoch, (release == Release::V2_3).then_some(4));
        assert_eq!(committed[&places[2]].offset, 1 << 40);
        assert!(client.committed("another", &places).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_coordinator_that_is_new_loading_or_elsewhere_is_waited_for() {
    let (broker, client) = start(Release::V2_3).await;
    broker.create_topic("t", 1).unwrap();
    let place = TopicPartition::new("t", 0);
    let faults = [
        Fault::error(ApiKey::FIND_COORDINATOR, ErrorCode::COORDINATOR_NOT_AVAILABLE).times(2),
        Fault::error(ApiKey::OFFSET_COMMIT, ErrorCode::COORDINATOR_LOAD_IN_PROGRESS).times(2),
        Fault::error(ApiKey::OFFSET_COMMIT, ErrorCode::NOT_COORDINATOR).times(1),
        Fault::error(ApiKey::OFFSET_FETCH, ErrorCode::NOT_COORDINATOR).times(1),
        Fault::close_before(ApiKey::OFFSET_FETCH).times(1),
    ];
    let faults: Vec<_> = faults.into_iter().map(|fault| broker.inject(fault)).collect();
    client.commit("g", &[CommitOffset::new(place.clone(), 3)]).await.unwrap();
    assert_eq!(client.committed("g", std::slice::from_ref(&place)).await.unwrap()[&place].offset, 3);
    assert!(faults.iter().all(|fault| fault.hits() > 0));
}

#[tokio::test]
async fn a_commit_that_the_group_refuses_names_partition_and_group() {
    let (broker, client) = start(Release::V2_3).await;
    broker.create_topic("t", 1).unwrap();
    broker.inject(Fault::error(ApiKey::OFFSET_COMMIT, ErrorCode::UNKNOWN_MEMBER_ID).times(1));
    let error = client.commit("g", &[CommitOffset::new(TopicPartition::new("t", 0), 3)]).await.unwrap_err();
    let text = error.to_string();
    assert!(
        text.starts_with("t-0, OffsetCommit") && text.contains("live members") && text.contains("group g"),
        "{text}"
    );
}

#[tokio::test]
async fn a_commit_for_a_topic_that_is_gone_is_not_tried_again_although_the_others_are() {
    let (broker, client) = start(Release::V2_3).await;
    broker.create_topic("t", 2).unwrap();
    let places = [TopicPartition::new("t", 0), TopicPartition::new("t", 1)];
    // Both topics are there again by the second try: as if the first had been created again meanwhile.
    broker.inject(
        Fault::error(ApiKey::OFFSET_COMMIT, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION).on_partition("t", 0).times(1),
    );
    broker.inject(
        Fault::error(ApiKey::OFFSET_COMMIT, ErrorCode::COORDINATOR_LOAD_IN_PROGRESS).on_partition("t", 1).times(1),
    );
    let positions = places.clone().map(|place| CommitOffset::new(place, 7));
    let refused = client.commit_each("g", &positions).await.unwrap();
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert_eq!((&refused[0].0, refused[0].1.kind()), (&places[0], ErrorKind::UnknownTopic));
    let committed = client.committed("g", &places).await.unwrap();
    assert!(!committed.contains_key(&places[0]) && committed[&places[1]].offset == 7, "{committed:?}");
}

/// Gives up on a future after it was pending so many times.
struct DroppedAfter<F> {
    polls: usize,
    future: Pin<Box<F>>,
}

impl<F: Future> Future for DroppedAfter<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.polls == 0 {
            return Poll::Ready(None);
        }
        self.polls -= 1;
        self.future.as_mut().poll(cx).map(Some)
    }
}

/// Drops a call at its first, second … point of waiting, until it is so far that it completes.
async fn drop_everywhere<F: Future<Output = Result<T, ottla_client::Error>>, T>(call: impl Fn() -> F) {
    for polls in 0..1000 {
        if let Some(result) = (DroppedAfter { polls, future: Box::pin(call()) }).await {
            result.unwrap();
            return;
        }
    }
    panic!("the call waits more than a thousand times");
}

#[tokio::test]
async fn a_call_dropped_at_any_point_leaves_the_client_working() {
    let (broker, client) = start(Release::V2_3).await;
    let servers = broker.bootstrap();
    drop_everywhere(|| builder(servers.clone()).connect()).await;
    drop_everywhere(|| client.topics()).await;
    drop_everywhere(|| async { client.create_topic(&orders(2)).await }).await;
    drop_everywhere(|| client.topic("orders")).await;
    let place = [TopicPartition::new("orders", 0)];
    drop_everywhere(|| client.offsets(&place, OffsetAt::Latest)).await;
    drop_everywhere(|| async { client.commit("g", &[CommitOffset::new(place[0].clone(), 5)]).await }).await;
    drop_everywhere(|| client.committed("g", &place)).await;
    drop_everywhere(|| client.check_compression(Compression::Zstd)).await;
    assert_eq!(client.committed("g", &place).await.unwrap()[&place[0]].offset, 5);
}

#[tokio::test]
async fn a_codec_that_a_release_lacks_is_refused_before_anything_is_sent() {
    let (broker, client) = start(Release::V0_11).await;
    let error = client.check_compression(Compression::Zstd).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    let text = error.to_string();
    assert!(
        text.starts_with("zstd needs Produce v7, Kafka 2.1 or later; broker ") && text.contains("up to v3"),
        "{text}"
    );
    client.check_compression(Compression::Lz4).await.unwrap();
    assert_eq!(broker.requests(ApiKey::PRODUCE), 0);
    let (_broker, client) = start(Release::V2_3).await;
    client.check_compression(Compression::Zstd).await.unwrap();
}
