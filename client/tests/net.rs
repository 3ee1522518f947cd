//! Connections against peers that misbehave: every failure is one clear error, in time, and leaves nothing behind.

mod net_support;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use net_support::{OFFERED, Peer, builder, cluster, eventually, fitting, offered};
use ottla_client::{CommitOffset, ErrorKind, OffsetAt, TopicPartition};
use ottla_protocol::messages::{
    ApiVersionsResponse, FindCoordinatorResponse, ListOffsetPartitionResponse, ListOffsetRequest, ListOffsetResponse,
    ListOffsetTopicResponse, MetadataRequest,
};
use ottla_protocol::{ApiKey, ErrorCode};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

const SHORT: Duration = Duration::from_millis(200);
/// Less than the 30 s that `builder` gives a connection and a request, and far more than a busy machine adds to `SHORT`.
const SOON: Duration = Duration::from_secs(20);

fn place() -> [TopicPartition; 1] {
    [TopicPartition::new("t", 0)]
}

fn list_offsets(offset: i64) -> ListOffsetResponse {
    let partitions = vec![ListOffsetPartitionResponse { offset, ..ListOffsetPartitionResponse::default() }];
    let topics = vec![ListOffsetTopicResponse { name: "t".to_owned(), partitions }];
    ListOffsetResponse { topics, ..ListOffsetResponse::default() }
}

/// A port on which nothing listens.
async fn dead_server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().to_string()
}

#[tokio::test]
async fn an_unreachable_cluster_says_what_each_server_said() {
    let servers = [dead_server().await, dead_server().await];
    let error = builder(servers.clone()).connect().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connect);
    let text = error.to_string();
    for part in [servers[0].as_str(), servers[1].as_str(), "none of 2", "refused", "is the server running"] {
        assert!(text.contains(part), "{part:?} is missing in: {text}");
    }
}

#[tokio::test]
async fn a_name_without_address_is_a_resolve_error() {
    // A label of 64 characters is refused by the resolver itself: no name server is asked.
    let host = "h".repeat(64);
    let error = builder([format!("{host}:9092")]).connect().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Resolve);
    assert!(error.to_string().contains(&host), "{error}");
}

#[tokio::test]
async fn a_silent_server_is_given_up_at_the_connect_deadline() {
    let peer = Peer::start(|mut talk| async move { while talk.asked().await.is_some() {} }).await;
    let start = Instant::now();
    let error = peer.builder().connect_timeout(SHORT).connect().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(error.to_string().contains("versions"), "the stage is missing in: {error}");
    assert!(start.elapsed() < SOON, "took {:?}", start.elapsed());
}

#[tokio::test]
async fn a_silent_server_does_not_keep_the_next_one_waiting() {
    let silent = Peer::start(|mut talk| async move { while talk.asked().await.is_some() {} }).await;
    let good = Peer::start(|mut talk| async move { while talk.next_special().await.is_some() {} }).await;
    let start = Instant::now();
    let client = builder([silent.server(), good.server()]).connect().await.unwrap();
    assert_eq!(client.brokers().len(), 1);
    assert!(start.elapsed() < SOON, "took {:?}", start.elapsed());
}

#[tokio::test]
async fn another_protocol_is_told_from_a_broker() {
    let peer = Peer::start(|mut talk| async move {
        talk.asked().await;
        talk.raw(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        talk.asked().await;
    });
    let error = peer.await.builder().connect().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Protocol);
    for part in ["an HTTP server answered", "does not speak Kafka's protocol", "check the host and the port"] {
        assert!(error.to_string().contains(part), "{error}");
    }
}

#[tokio::test]
async fn an_old_broker_is_asked_for_its_versions_in_version_0() {
    let peer = Peer::start(|mut talk| async move {
        let first = talk.asked().await.unwrap();
        let error_code = ErrorCode::UNSUPPORTED_VERSION;
        talk.answer_in(&first, 0, &ApiVersionsResponse { error_code, ..Default::default() }).await;
        while talk.next_special().await.is_some() {}
    })
    .await;
    peer.client().await;
    let seen = peer.seen.lock().unwrap().clone();
    assert_eq!(seen[..2], [(0, ApiKey::API_VERSIONS, 2), (0, ApiKey::API_VERSIONS, 0)]);
}

#[tokio::test]
async fn ranges_that_fail_to_meet_are_named_with_the_broker() {
    let peer = Peer::start(|mut talk| async move {
        let asked = talk.asked().await.unwrap();
        talk.answer(&asked, &offered(&[(ApiKey::METADATA, 99, 100)])).await;
        talk.asked().await;
    })
    .await;
    let error = peer.builder().connect().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Versions);
    let text = error.to_string();
    for part in [&peer.server(), "Metadata", "v99 to v100", "v0 to v8", "too new"] {
        assert!(text.contains(part), "{part:?} is missing in: {text}");
    }
}

/// A peer that answers a ListOffsets with these bytes and then waits for the close.
async fn answering(reply: impl Fn(i32) -> Vec<u8> + Send + Sync + 'static, close: bool) -> Peer {
    let reply = Arc::new(reply);
    Peer::start(move |mut talk| {
        let reply = reply.clone();
        async move {
            while let Some(asked) = talk.next_special().await {
                talk.raw(&reply(asked.header.correlation_id)).await;
                if close {
                    return;
                }
            }
        }
    })
    .await
}

fn framed(body: &[u8]) -> Vec<u8> {
    [&(body.len() as i32).to_be_bytes(), body].concat()
}

#[tokio::test]
async fn a_broken_frame_ends_its_connection_and_is_retried_on_another_until_the_deadline() {
    type Case = (&'static str, fn(i32) -> Vec<u8>, &'static str);
    let cases: [Case; 4] = [
        ("negative size", |_| (-5_i32).to_be_bytes().to_vec(), "negative"),
        ("size above the limit", |_| i32::MAX.to_be_bytes().to_vec(), "above the limit of 104857600"),
        ("no room for a correlation id", |_| framed(&[0, 0]), "correlation_id"),
        ("answer cut short", |id| framed(&[&id.to_be_bytes()[..], &[0, 0, 0, 0, 0, 0, 0, 9]].concat()), "topics"),
    ];
    for (name, reply, expected) in cases {
        let peer = answering(reply, false).await;
        let client = peer.builder().api_timeout(Duration::from_secs(2)).connect().await.unwrap();
        let error = client.offsets(&place(), OffsetAt::Latest).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol, "{name}: {error}");
        let text = error.to_string();
        for part in [expected, "t-0", "ListOffsets", "broker 1 at"] {
            assert!(text.contains(part), "{name}: {part:?} is missing in: {text}");
        }
        let asked = peer.seen.lock().unwrap().clone();
        let connections: HashSet<_> = asked.iter().filter(|seen| seen.1 == ApiKey::LIST_OFFSETS).map(|s| s.0).collect();
        assert_eq!(connections.len(), peer.count(ApiKey::LIST_OFFSETS), "{name}: one question a connection");
        assert!((2..100).contains(&connections.len()), "{name}: {} connections", connections.len());
    }
}

#[tokio::test]
async fn a_connection_that_breaks_the_protocol_once_is_replaced_and_the_call_succeeds() {
    let replies: [fn(i32) -> Vec<u8>; 4] = [
        |_| b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
        |id| framed(&(id + 1).to_be_bytes()),
        |_| framed(&[0, 0]),
        |id| framed(&[&id.to_be_bytes()[..], &[0, 0, 0, 0, 0, 0, 0, 9]].concat()),
    ];
    for reply in replies {
        let broken = Arc::new(AtomicUsize::new(0));
        let peer = Peer::start(move |mut talk| {
            let broken = broken.clone();
            async move {
                while let Some(asked) = talk.next_special().await {
                    match broken.fetch_add(1, Ordering::SeqCst) {
                        0 => talk.raw(&reply(asked.header.correlation_id)).await,
                        _ => talk.answer(&asked, &list_offsets(7)).await,
                    }
                }
            }
        })
        .await;
        let client = peer.client().await;
        assert_eq!(client.offsets(&place(), OffsetAt::Latest).await.unwrap()[&place()[0]], 7);
    }
}

#[tokio::test]
async fn a_wrong_correlation_id_ends_the_connection() {
    let peer = answering(|id| framed(&(id + 1).to_be_bytes()), false).await;
    let client = peer.builder().api_timeout(Duration::from_secs(2)).connect().await.unwrap();
    let error = client.offsets(&place(), OffsetAt::Latest).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Protocol);
    assert!(error.to_string().contains("out of step"), "{error}");
}

#[tokio::test]
async fn a_close_in_the_middle_of_an_answer_is_retried_until_the_deadline_and_told() {
    let peer = answering(|id| [&400_i32.to_be_bytes()[..], &id.to_be_bytes(), &[0; 20]].concat(), true).await;
    let client = peer.builder().api_timeout(Duration::from_secs(2)).connect().await.unwrap();
    let error = client.offsets(&place(), OffsetAt::Latest).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Disconnected, "{error}");
    let text = error.to_string();
    assert!(text.contains("middle of an answer, after 28 bytes") && text.contains("gave up after"), "{text}");
    assert!(peer.count(ApiKey::LIST_OFFSETS) > 1);
}

#[tokio::test]
async fn a_request_without_an_answer_ends_at_its_deadline_and_closes_the_connection() {
    let (closed, sees_close) = oneshot::channel();
    let closed = std::sync::Mutex::new(Some(closed));
    let closed = Arc::new(closed);
    let peer = Peer::start(move |mut talk| {
        let closed = closed.clone();
        async move {
            if talk.next_special().await.is_some() {
                // Silence; the client has to end it.
                let gone = talk.asked().await.is_none();
                if let Some(closed) = closed.lock().unwrap().take() {
                    closed.send(gone).unwrap();
                }
            }
        }
    })
    .await;
    let client = peer.builder().request_timeout(SHORT).api_timeout(SHORT * 2).connect().await.unwrap();
    let start = Instant::now();
    let error = client.offsets(&place(), OffsetAt::Latest).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    assert!(start.elapsed() < SOON, "took {:?}", start.elapsed());
    let gone = tokio::time::timeout(SOON, sees_close).await.expect("the connection stays open");
    assert!(gone.unwrap());
}

#[tokio::test]
async fn questions_are_pipelined_and_answered_in_order() {
    let peer = Peer::start(|mut talk| async move {
        loop {
            // Both are read before either is answered: a client that waits for the first answer would hang here.
            let Some(first) = talk.next_special().await else { return };
            let Some(second) = talk.next_special().await else { return };
            for asked in [first, second] {
                let timestamp = asked.read::<ListOffsetRequest>().topics[0].partitions[0].timestamp;
                talk.answer(&asked, &list_offsets(timestamp * 10)).await;
            }
        }
    })
    .await;
    let client = peer.client().await;
    // One call first, so that there is one connection and not a race for it.
    client.topic("t").await.unwrap().unwrap();
    let places = place();
    let (a, b) =
        tokio::join!(client.offsets(&places, OffsetAt::Timestamp(3)), client.offsets(&places, OffsetAt::Timestamp(4)),);
    assert_eq!((a.unwrap()[&places[0]], b.unwrap()[&places[0]]), (30, 40));
}

#[tokio::test]
async fn a_request_cut_into_single_bytes_on_the_way_back_is_whole_again() {
    let peer = Peer::start(|mut talk| async move {
        while let Some(asked) = talk.next_special().await {
            let frame =
                ottla_protocol::frame::response_frame(asked.header.correlation_id, 5, &list_offsets(77)).unwrap();
            for byte in frame.chunks().concat() {
                talk.raw(&[byte]).await;
                tokio::task::yield_now().await;
            }
        }
    })
    .await;
    let offsets = peer.client().await.offsets(&place(), OffsetAt::Latest).await.unwrap();
    assert_eq!(offsets[&place()[0]], 77);
}

#[tokio::test]
async fn a_throttled_client_keeps_silent_as_long_as_it_was_told() {
    let (told, heard) = (Arc::new(std::sync::Mutex::new(None)), Arc::new(std::sync::Mutex::new(None)));
    let (when_told, when_heard) = (told.clone(), heard.clone());
    let peer = Peer::start(move |mut talk| {
        let (told, heard) = (when_told.clone(), when_heard.clone());
        async move {
            while let Some(asked) = talk.next_special().await {
                let first = told.lock().unwrap().is_none();
                let mut answer = list_offsets(1);
                if first {
                    answer.throttle_time_ms = 300;
                    *told.lock().unwrap() = Some(Instant::now());
                } else {
                    *heard.lock().unwrap() = Some(Instant::now());
                }
                talk.answer(&asked, &answer).await;
            }
        }
    })
    .await;
    let client = peer.client().await;
    client.offsets(&place(), OffsetAt::Latest).await.unwrap();
    client.offsets(&place(), OffsetAt::Latest).await.unwrap();
    let silence = heard.lock().unwrap().unwrap() - told.lock().unwrap().unwrap();
    assert!(silence >= Duration::from_millis(295), "spoke again after {silence:?}");
}

/// A peer that counts its open connections.
async fn counting(open: Arc<AtomicUsize>) -> Peer {
    Peer::start(move |mut talk| {
        let open = open.clone();
        async move {
            open.fetch_add(1, Ordering::SeqCst);
            while let Some(asked) = talk.next_special().await {
                talk.answer(&asked, &list_offsets(1)).await;
            }
            open.fetch_sub(1, Ordering::SeqCst);
        }
    })
    .await
}

#[tokio::test]
async fn a_dropped_client_leaves_no_socket_and_no_task() {
    let open = Arc::new(AtomicUsize::new(0));
    let peer = counting(open.clone()).await;
    let before = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let client = peer.client().await;
    client.offsets(&place(), OffsetAt::Latest).await.unwrap();
    assert!(open.load(Ordering::SeqCst) > 0);
    drop(client);
    eventually("all sockets are closed", || open.load(Ordering::SeqCst) == 0).await;
    eventually("all tasks have ended", || tokio::runtime::Handle::current().metrics().num_alive_tasks() <= before)
        .await;
}

#[tokio::test]
async fn a_dropped_attempt_to_connect_leaves_no_socket_and_no_task() {
    let open = Arc::new(AtomicUsize::new(0));
    let counted = open.clone();
    let peer = Peer::start(move |mut talk| {
        let open = counted.clone();
        async move {
            open.fetch_add(1, Ordering::SeqCst);
            while talk.asked().await.is_some() {}
            open.fetch_sub(1, Ordering::SeqCst);
        }
    })
    .await;
    let before = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let attempt = tokio::spawn(peer.builder().connect());
    eventually("the peer was asked", || peer.count(ApiKey::API_VERSIONS) > 0).await;
    attempt.abort();
    eventually("all sockets are closed", || open.load(Ordering::SeqCst) == 0).await;
    eventually("all tasks have ended", || tokio::runtime::Handle::current().metrics().num_alive_tasks() <= before)
        .await;
}

#[tokio::test]
async fn an_idle_connection_is_closed_and_made_again_when_needed() {
    let open = Arc::new(AtomicUsize::new(0));
    let peer = counting(open.clone()).await;
    let client = peer.builder().max_idle(Duration::from_millis(100)).connect().await.unwrap();
    client.offsets(&place(), OffsetAt::Latest).await.unwrap();
    eventually("idle connections are closed", || open.load(Ordering::SeqCst) == 0).await;
    client.offsets(&place(), OffsetAt::Latest).await.unwrap();
    assert_eq!(peer.count(ApiKey::LIST_OFFSETS), 2);
}

#[tokio::test]
async fn every_address_of_a_name_is_tried() {
    // `localhost` may stand for ::1 as well, where nothing listens.
    let peer = Peer::start(|mut talk| async move { while talk.next_special().await.is_some() {} }).await;
    builder([format!("localhost:{}", peer.port)]).connect().await.unwrap();
}

#[tokio::test]
async fn a_peer_that_stops_reading_is_given_up_at_the_deadline() {
    let peer = Peer::start(|mut talk| async move {
        // The first two connections are the bootstrap's and the one for questions of all kinds.
        if talk.number >= 2 {
            let asked = talk.asked().await.unwrap();
            talk.answer(&asked, &offered(OFFERED)).await;
            std::future::pending::<()>().await;
        }
        while let Some(asked) = talk.next_special().await {
            let (host, port) = ("127.0.0.1".to_owned(), i32::from(talk.port));
            let coordinator = FindCoordinatorResponse { node_id: 1, host, port, ..FindCoordinatorResponse::default() };
            talk.answer(&asked, &coordinator).await;
        }
    })
    .await;
    let client = peer.builder().request_timeout(SHORT).api_timeout(SHORT * 3).connect().await.unwrap();
    // More than socket buffers hold.
    let text = "x".repeat(30_000);
    let positions: Vec<_> =
        (0..1000).map(|id| CommitOffset::new(TopicPartition::new("t", id), 1).metadata(text.as_str())).collect();
    let start = Instant::now();
    let error = client.commit("g", &positions).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    assert!(start.elapsed() < SOON, "took {:?}", start.elapsed());
}

#[tokio::test]
async fn below_version_4_no_topic_is_asked_for_by_name() {
    let peer = Peer::start(|mut talk| async move {
        loop {
            let Some(asked) = talk.asked().await else { return };
            if asked.api() == ApiKey::API_VERSIONS {
                let mut ranges = OFFERED.to_vec();
                ranges.retain(|range| range.0 != ApiKey::METADATA);
                ranges.push((ApiKey::METADATA, 0, 2));
                talk.answer(&asked, &offered(&ranges)).await;
                continue;
            }
            let request: MetadataRequest = asked.read();
            assert_eq!(request.topics, None, "a broker set so would create what is named");
            talk.answer(&asked, &fitting(cluster(&[(1, talk.port)], &[("t", &[1])]), 2)).await;
        }
    })
    .await;
    let client = peer.client().await;
    assert!(client.topic("t").await.unwrap().is_some());
    assert!(client.topic("other").await.unwrap().is_none());
}

#[tokio::test]
async fn a_broker_that_closes_on_every_request_is_named_at_the_deadline() {
    let peer = Peer::start(|mut talk| async move { drop(talk.next_special().await) }).await;
    let client = peer.builder().api_timeout(Duration::from_secs(2)).connect().await.unwrap();
    let start = Instant::now();
    let error = client.offsets(&place(), OffsetAt::Latest).await.unwrap_err();
    assert!(start.elapsed() < SOON, "took {:?}", start.elapsed());
    let text = error.to_string();
    assert_eq!(error.kind(), ErrorKind::Disconnected, "{text}");
    assert!(text.contains("broker 1 at") && text.contains("gave up after") && text.contains("t-0"), "{text}");
}
