//! Finding brokers and leaders again after they moved.

mod net_support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use net_support::{Conversation, OFFERED, Peer, cluster, fitting, offered};
use ottla_client::{ErrorKind, OffsetAt, TopicPartition};
use ottla_devbroker::{DevBroker, Fault};
use ottla_protocol::messages::{
    FindCoordinatorResponse, ListOffsetPartitionResponse, ListOffsetResponse, ListOffsetTopicResponse, MetadataRequest,
    OffsetFetchResponse,
};
use ottla_protocol::{ApiKey, ErrorCode};

fn place() -> [TopicPartition; 1] {
    [TopicPartition::new("t", 0)]
}

fn answer(error_code: ErrorCode, offset: i64) -> ListOffsetResponse {
    let partition = ListOffsetPartitionResponse { error_code, offset, ..ListOffsetPartitionResponse::default() };
    let topics = vec![ListOffsetTopicResponse { name: "t".to_owned(), partitions: vec![partition] }];
    ListOffsetResponse { topics, ..ListOffsetResponse::default() }
}

/// Serves what everyone serves, with this metadata.
async fn serve(
    mut talk: Conversation,
    metadata: impl Fn() -> ottla_protocol::messages::MetadataResponse,
    code: ErrorCode,
) {
    while let Some(asked) = talk.asked().await {
        match asked.api() {
            ApiKey::API_VERSIONS => talk.answer(&asked, &offered(OFFERED)).await,
            ApiKey::METADATA => {
                assert!(!asked.read::<MetadataRequest>().allow_auto_topic_creation, "a topic could be created");
                talk.answer(&asked, &fitting(metadata(), asked.header.api_version)).await;
            }
            _ => talk.answer(&asked, &answer(code, 42)).await,
        }
    }
}

#[tokio::test]
async fn a_leader_that_has_moved_is_found_again() {
    let (first_port, second_port) = (Arc::new(AtomicU16::new(0)), Arc::new(AtomicU16::new(0)));
    let (first, second) = (first_port.clone(), second_port.clone());
    // Broker 2 leads and says so; broker 1 believes that it leads itself until it was asked twice.
    let asked = Arc::new(AtomicU16::new(0));
    let old = Peer::start(move |talk| {
        let (first, second, asked) = (first.clone(), second.clone(), asked.clone());
        let metadata = move || {
            let brokers = [(1, first.load(Ordering::SeqCst)), (2, second.load(Ordering::SeqCst))];
            let leader = if asked.fetch_add(1, Ordering::SeqCst) < 2 { 1 } else { 2 };
            cluster(&brokers, &[("t", &[leader])])
        };
        serve(talk, metadata, ErrorCode::NOT_LEADER_FOR_PARTITION)
    })
    .await;
    let (first, second) = (first_port.clone(), second_port.clone());
    let new = Peer::start(move |talk| {
        let brokers = [(1, first.load(Ordering::SeqCst)), (2, second.load(Ordering::SeqCst))];
        serve(talk, move || cluster(&brokers, &[("t", &[2])]), ErrorCode::NONE)
    })
    .await;
    first_port.store(old.port, Ordering::SeqCst);
    second_port.store(new.port, Ordering::SeqCst);
    let client = old.client().await;
    assert_eq!(client.offsets(&place(), OffsetAt::Latest).await.unwrap()[&place()[0]], 42);
    assert_eq!(new.count(ApiKey::LIST_OFFSETS), 1);
}

#[tokio::test]
async fn when_every_known_broker_is_gone_the_bootstrap_servers_are_asked_again() {
    // The bootstrap server is no broker itself: it names a broker that goes away, then its successor.
    let named = Arc::new(AtomicU16::new(0));
    let name = named.clone();
    let door = Peer::start(move |talk| {
        let named = name.clone();
        serve(talk, move || cluster(&[(1, named.load(Ordering::SeqCst))], &[("t", &[1])]), ErrorCode::NONE)
    })
    .await;
    let peer = |talk: Conversation| {
        let port = talk.port;
        serve(talk, move || cluster(&[(1, port)], &[("t", &[1])]), ErrorCode::NONE)
    };
    let first = Peer::start(peer).await;
    named.store(first.port, Ordering::SeqCst);
    let client = door.client().await;
    client.offsets(&place(), OffsetAt::Latest).await.unwrap();
    let second = Peer::start(peer).await;
    named.store(second.port, Ordering::SeqCst);
    drop(first);
    assert_eq!(client.offsets(&place(), OffsetAt::Latest).await.unwrap()[&place()[0]], 42);
    assert_eq!(second.count(ApiKey::LIST_OFFSETS), 1);
    assert_eq!(client.brokers()[0].port, second.port);
}

#[tokio::test]
async fn a_coordinator_that_has_moved_is_looked_for_again() {
    let ports = Arc::new([AtomicU16::new(0), AtomicU16::new(0)]);
    let lookups = Arc::new(AtomicU16::new(0));
    let script = |mut talk: Conversation, ports: Arc<[AtomicU16; 2]>, lookups: Arc<AtomicU16>, code: ErrorCode| async move {
        while let Some(asked) = talk.next_special().await {
            if asked.api() == ApiKey::FIND_COORDINATOR {
                let node = usize::from(lookups.fetch_add(1, Ordering::SeqCst) > 0);
                let (node_id, port) = (node as i32 + 1, i32::from(ports[node].load(Ordering::SeqCst)));
                let host = "127.0.0.1".to_owned();
                talk.answer(&asked, &FindCoordinatorResponse { node_id, host, port, ..Default::default() }).await;
            } else {
                talk.answer(&asked, &OffsetFetchResponse { error_code: code, ..Default::default() }).await;
            }
        }
    };
    let (at, count) = (ports.clone(), lookups.clone());
    let old = Peer::start(move |talk| script(talk, at.clone(), count.clone(), ErrorCode::NOT_COORDINATOR)).await;
    let (at, count) = (ports.clone(), lookups.clone());
    let new = Peer::start(move |talk| script(talk, at.clone(), count.clone(), ErrorCode::NONE)).await;
    ports[0].store(old.port, Ordering::SeqCst);
    ports[1].store(new.port, Ordering::SeqCst);
    let client = old.client().await;
    assert!(client.committed("g", &place()).await.unwrap().is_empty());
    assert!(client.committed("g", &place()).await.unwrap().is_empty());
    assert_eq!((old.count(ApiKey::OFFSET_FETCH), new.count(ApiKey::OFFSET_FETCH)), (1, 2));
    assert_eq!(lookups.load(Ordering::SeqCst), 2, "a coordinator once found is remembered");
}

#[tokio::test]
async fn a_broker_that_does_not_know_its_cluster_yet_is_asked_until_it_does() {
    for (fault, name) in [
        (Fault::metadata_without_brokers as fn() -> Fault, "without brokers"),
        (Fault::metadata_without_topics, "without topics"),
    ] {
        let broker = DevBroker::builder().auto_create(false).start().await.unwrap();
        broker.create_topic("t", 3).unwrap();
        // The first contact, the question for one topic and the question for all each begin in that state.
        for first in 0..3 {
            broker.inject(fault().after(first).times(4));
            let client = net_support::builder(broker.bootstrap()).connect().await.unwrap();
            assert_eq!(client.topic("t").await.unwrap().expect(name).partitions.len(), 3, "{name} {first}");
            broker.clear_faults();
            broker.inject(fault().after(first).times(4));
            let client = net_support::builder(broker.bootstrap()).connect().await.unwrap();
            assert_eq!(client.topics().await.unwrap().len(), 1, "{name} {first}");
            broker.clear_faults();
            assert!(client.topic("absent").await.unwrap().is_none());
        }
    }
}

#[tokio::test]
async fn a_broker_that_never_knows_its_cluster_ends_the_call_with_a_retriable_error() {
    let broker = DevBroker::builder().start().await.unwrap();
    broker.create_topic("t", 1).unwrap();
    let builder = || net_support::builder(broker.bootstrap()).api_timeout(Duration::from_secs(2));
    let client = builder().connect().await.unwrap();
    broker.inject(Fault::metadata_without_brokers());
    for error in [client.topics().await.unwrap_err(), client.topic("t").await.unwrap_err()] {
        assert!(error.is_retriable() && error.to_string().contains("lists no broker"), "{error}");
    }
    assert_eq!(client.brokers().len(), 1, "what was known is kept");
    let error = builder().connect().await.unwrap_err();
    assert!(error.is_retriable() && error.to_string().contains("lists no broker"), "{error}");
    assert!(error.to_string().contains("gave up after"), "{error}");
}

#[tokio::test]
async fn a_cluster_without_any_topic_is_believed_after_a_while() {
    let broker = DevBroker::builder().auto_create(false).start().await.unwrap();
    let client = net_support::builder(broker.bootstrap()).connect().await.unwrap();
    assert!(client.topics().await.unwrap().is_empty());
    assert!(client.topic("t").await.unwrap().is_none());
}

#[tokio::test]
async fn a_coordinator_that_is_missing_for_long_is_told_with_all_tries_and_what_keeps_it() {
    let broker = DevBroker::builder().start().await.unwrap();
    let client = net_support::builder(broker.bootstrap()).api_timeout(Duration::from_secs(3)).connect().await.unwrap();
    let fault = broker.inject(Fault::error(ApiKey::FIND_COORDINATOR, ErrorCode::COORDINATOR_NOT_AVAILABLE));
    let error = client.committed("billing", &place()).await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::COORDINATOR_NOT_AVAILABLE), "{error}");
    let text = error.to_string();
    for part in ["offsets.topic.replication.factor", "has 1 broker now", "group billing"] {
        assert!(text.contains(part), "{part:?} is missing in: {text}");
    }
    let tries = fault.hits();
    // The deadline may have cut one off before it reached the broker.
    let told = |tries| text.contains(&format!("gave up after {tries} attempts"));
    assert!(told(tries) || told(tries + 1), "{tries} tries: {text}");
    assert!(tries > 5, "tries of 3 s, not of what was left at its end: {text}");
}

#[tokio::test]
async fn an_advertised_host_without_address_is_told_with_who_advertised_it() {
    let peer = Peer::start(|mut talk| async move {
        while let Some(asked) = talk.asked().await {
            if asked.api() == ApiKey::API_VERSIONS {
                talk.answer(&asked, &offered(OFFERED)).await;
                continue;
            }
            let mut metadata = cluster(&[(7, 9092)], &[("t", &[7])]);
            metadata.brokers[0].host = "kafka-7.invalid".to_owned();
            talk.answer(&asked, &fitting(metadata, asked.header.api_version)).await;
        }
    })
    .await;
    let client = peer.builder().api_timeout(Duration::from_secs(2)).connect().await.unwrap();
    let error = client.offsets(&place(), OffsetAt::Latest).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Resolve, "{error}");
    let text = error.to_string();
    let via = format!("broker 7 advertises this address, as the bootstrap server {} said", peer.server());
    for part in ["kafka-7.invalid", &via, "advertised.listeners"] {
        assert!(text.contains(part), "{part:?} is missing in: {text}");
    }
}

#[tokio::test]
async fn a_topic_that_may_be_described_but_not_read_is_found_without_reading() {
    let broker = DevBroker::builder().nodes(2).start().await.unwrap();
    for topic in ["open", "shut"] {
        broker.create_topic(topic, 2).unwrap();
    }
    let client = net_support::builder(broker.bootstrap()).connect().await.unwrap();
    let places = |topic: &str| [0, 1].map(|partition| TopicPartition::new(topic, partition));
    client.check_read(&[places("open"), places("shut")].concat()).await.unwrap();
    let refused = ErrorCode::TOPIC_AUTHORIZATION_FAILED;
    broker.inject(Fault::error(ApiKey::FETCH, refused).on_partition("shut", 1));
    client.check_read(&places("open")).await.unwrap();
    let error = client.check_read(&[places("open"), places("shut")].concat()).await.unwrap_err();
    assert_eq!((error.code(), error.topic()), (Some(refused), Some("shut")), "{error}");
    assert!(error.to_string().contains("--operation Read --topic"), "{error}");
}

#[tokio::test]
async fn metadata_with_nonsense_is_refused_with_its_place() {
    let peer = Peer::start(|talk| serve(talk, || cluster(&[(7, 0)], &[]), ErrorCode::NONE)).await;
    let error = peer.builder().connect().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Protocol);
    assert!(error.to_string().contains("broker 7 has the port 0"), "{error}");
}

#[tokio::test]
async fn old_metadata_is_refreshed_although_nothing_went_wrong() {
    let peer = Peer::start(|mut talk| async move { while talk.next_special().await.is_some() {} }).await;
    let client = peer.builder().metadata_max_age(Duration::from_millis(50)).connect().await.unwrap();
    net_support::eventually("metadata is asked for again", || peer.count(ApiKey::METADATA) > 3).await;
    drop(client);
}

#[tokio::test]
async fn a_call_outlasts_the_restart_of_its_broker() {
    let broker = DevBroker::builder().nodes(2).partitions(4).start().await.unwrap();
    broker.create_topic("t", 4).unwrap();
    let client = net_support::builder(broker.bootstrap()).connect().await.unwrap();
    let places: Vec<_> = (0..4).map(|partition| TopicPartition::new("t", partition)).collect();
    assert_eq!(client.offsets(&places, OffsetAt::Latest).await.unwrap().len(), 4);
    for node in client.brokers().iter().map(|broker| broker.id).collect::<Vec<_>>() {
        broker.kill_node(node).await.unwrap();
        let asking = tokio::spawn({
            let (client, places) = (client.clone(), places.clone());
            async move { client.offsets(&places, OffsetAt::Earliest).await }
        });
        broker.restart_node(node).await.unwrap();
        assert_eq!(asking.await.unwrap().unwrap().len(), 4);
    }
}

#[tokio::test]
async fn a_moved_leader_of_the_development_broker_is_followed() {
    let broker = DevBroker::builder().nodes(3).start().await.unwrap();
    broker.create_topic("t", 1).unwrap();
    let client = net_support::builder(broker.bootstrap()).connect().await.unwrap();
    for node in client.brokers().iter().map(|broker| broker.id).cycle().take(6).collect::<Vec<_>>() {
        broker.move_leader("t", 0, node).unwrap();
        let before = broker.requests_on(node, ApiKey::LIST_OFFSETS);
        assert_eq!(client.offsets(&place(), OffsetAt::Latest).await.unwrap()[&place()[0]], 0);
        assert!(broker.requests_on(node, ApiKey::LIST_OFFSETS) > before);
    }
}

#[tokio::test]
async fn a_retriable_error_is_retried_and_a_final_one_is_not() {
    let broker = DevBroker::builder().start().await.unwrap();
    broker.create_topic("t", 1).unwrap();
    let client = net_support::builder(broker.bootstrap()).connect().await.unwrap();
    let fault = broker.inject(Fault::error(ApiKey::LIST_OFFSETS, ErrorCode::OFFSET_NOT_AVAILABLE).times(3));
    client.offsets(&place(), OffsetAt::Latest).await.unwrap();
    assert_eq!(fault.hits(), 3);
    let fault = broker.inject(Fault::error(ApiKey::LIST_OFFSETS, ErrorCode::TOPIC_AUTHORIZATION_FAILED));
    let error = client.offsets(&place(), OffsetAt::Latest).await.unwrap_err();
    assert_eq!((fault.hits(), error.code()), (1, Some(ErrorCode::TOPIC_AUTHORIZATION_FAILED)));
    assert!(error.to_string().starts_with("t-0, ListOffsets to broker "), "{error}");
}

#[tokio::test]
async fn a_retriable_error_that_stays_is_told_with_its_tries_at_the_deadline() {
    let broker = DevBroker::builder().start().await.unwrap();
    broker.create_topic("t", 1).unwrap();
    let builder = net_support::builder(broker.bootstrap()).api_timeout(Duration::from_secs(2));
    let client = builder.connect().await.unwrap();
    broker.inject(Fault::error(ApiKey::LIST_OFFSETS, ErrorCode::NOT_LEADER_FOR_PARTITION));
    let error = client.offsets(&place(), OffsetAt::Latest).await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::NOT_LEADER_FOR_PARTITION), "{error}");
    assert!(error.to_string().contains("gave up after"), "{error}");
}
