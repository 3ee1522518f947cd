//! Every release answers every version it advertises, and nothing else.

mod support;

use bytes::Bytes;
use ottla_devbroker::{DevBroker, Release};
use ottla_protocol::messages::{
    ApiVersionsRequest, ApiVersionsResponse, CreateTopicsRequest, DescribeConfigsRequest, DescribeGroupsRequest,
    FetchRequest, FindCoordinatorRequest, HeartbeatRequest, InitProducerIdRequest, JoinGroupRequest, LeaveGroupRequest,
    ListOffsetRequest, Message, MetadataRequest, OffsetCommitRequest, OffsetFetchRequest, ProduceRequest, Request,
    SaslAuthenticateRequest, SaslHandshakeRequest, SyncGroupRequest,
};
use ottla_protocol::{ApiKey, ErrorCode};
use ottla_protocol::{frame, header};
use support::Client;

/// Asks in every version that the release has, and in the one after it. Gives the number of answers.
async fn each_version<R: Request>(broker: &DevBroker, release: Release, request: R) -> usize {
    let versions = release.versions(R::KEY).map_or(0, |versions| versions.end() + 1);
    for version in 0..versions {
        Client::connect(broker).await.ask(version, &request).await;
    }
    if R::VERSIONS.contains(&versions) && R::KEY != ApiKey::API_VERSIONS {
        let mut client = Client::connect(broker).await;
        client.send(versions, &request).await;
        assert!(client.is_closed().await, "{} v{versions} is not served by {release}", R::NAME);
    }
    versions as usize
}

#[tokio::test]
async fn every_release_answers_what_it_advertises_and_closes_on_the_next_version() {
    for release in Release::ALL {
        let broker = DevBroker::builder().release(release).start().await.unwrap();
        let (b, r) = (&broker, release);
        let mut answers = each_version(b, r, ProduceRequest { acks: 1, ..ProduceRequest::default() }).await;
        answers += each_version(b, r, FetchRequest::default()).await;
        answers += each_version(b, r, ListOffsetRequest::default()).await;
        answers += each_version(b, r, MetadataRequest { topics: Some(vec![]), ..MetadataRequest::default() }).await;
        answers += each_version(b, r, OffsetCommitRequest::default()).await;
        answers +=
            each_version(b, r, OffsetFetchRequest { topics: Some(vec![]), ..OffsetFetchRequest::default() }).await;
        answers += each_version(b, r, FindCoordinatorRequest::default()).await;
        answers += each_version(b, r, JoinGroupRequest::default()).await;
        answers += each_version(b, r, HeartbeatRequest::default()).await;
        answers += each_version(b, r, LeaveGroupRequest::default()).await;
        answers += each_version(b, r, SyncGroupRequest::default()).await;
        answers += each_version(b, r, DescribeGroupsRequest::default()).await;
        answers += each_version(b, r, DescribeConfigsRequest::default()).await;
        answers += each_version(b, r, SaslHandshakeRequest::default()).await;
        answers += each_version(b, r, ApiVersionsRequest::default()).await;
        answers += each_version(b, r, CreateTopicsRequest::default()).await;
        answers += each_version(b, r, InitProducerIdRequest::default()).await;
        answers += each_version(b, r, SaslAuthenticateRequest::default()).await;
        let advertised: usize = release.all_versions().map(|(_, versions)| versions.count()).sum();
        assert_eq!(answers, advertised, "an API is advertised that this test does not ask");
    }
}

#[tokio::test]
async fn what_is_advertised_is_the_release_s_table() {
    for release in Release::ALL {
        let broker = DevBroker::builder().release(release).start().await.unwrap();
        let answer = Client::connect(&broker).await.ask(0, &ApiVersionsRequest::default()).await;
        let mut advertised: Vec<_> =
            answer.api_keys.iter().map(|key| (ApiKey(key.index), key.min_version..=key.max_version)).collect();
        advertised.sort_by_key(|(api, _)| *api);
        let mut expected: Vec<_> = release.all_versions().collect();
        expected.sort_by_key(|(api, _)| *api);
        assert_eq!(advertised, expected);
    }
}

#[tokio::test]
async fn an_unknown_version_of_api_versions_gets_the_oldest_layout_with_error_35() {
    let broker = DevBroker::builder().start().await.unwrap();
    let mut client = Client::connect(&broker).await;
    // What librdkafka sends first: version 3, with tagged fields after the client id.
    let body = [&[0, 18, 0, 3, 0, 0, 0, 9, 0, 4][..], b"test", &[0, 5, b't', b'e', b's', b't', 2, b'1', 0]].concat();
    client.raw(&(body.len() as i32).to_be_bytes()).await;
    client.raw(&body).await;
    let mut answer = client.frame().await.unwrap();
    assert_eq!(header::split_correlation_id(&mut answer).unwrap(), 9);
    let answer = ApiVersionsResponse::read(0, answer).unwrap();
    assert_eq!(answer.error_code, ErrorCode::UNSUPPORTED_VERSION);
    assert_eq!(answer.api_keys, []);
    let again = client.ask(0, &ApiVersionsRequest::default()).await;
    assert_eq!(again.error_code, ErrorCode::NONE, "the connection is still good");
}

#[tokio::test]
async fn hostile_frames_close_their_connection_and_no_other() {
    let broker = DevBroker::builder().start().await.unwrap();
    let mut other = Client::connect(&broker).await;
    let hostile: [&[u8]; 7] = [
        &[0xff; 8],                                                                 // a negative size
        &[0x7f, 0xff, 0xff, 0xff, 0, 0],                                            // 2 GiB
        &[0, 0, 0, 0],                                                              // no header
        &[0, 0, 0, 3, 0, 3, 0],                                                     // half a header
        &[0, 0, 0, 10, 0, 99, 0, 0, 0, 0, 0, 1, 0xff, 0xff],                        // an unknown API
        &[0, 0, 0, 10, 0, 3, 0, 99, 0, 0, 0, 1, 0xff, 0xff],                        // an unknown version
        &[0, 0, 0, 14, 0, 3, 0, 1, 0, 0, 0, 1, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff], // 2^31 topics
    ];
    for bytes in hostile {
        let mut client = Client::connect(&broker).await;
        client.raw(bytes).await;
        assert!(client.is_closed().await, "{bytes:?}");
    }
    assert_eq!(other.ask(0, &ApiVersionsRequest::default()).await.error_code, ErrorCode::NONE);
}

#[tokio::test]
async fn requests_that_come_in_one_piece_or_byte_by_byte_are_answered_in_order() {
    let broker = DevBroker::builder().start().await.unwrap();
    let mut client = Client::connect(&broker).await;
    let mut ids = Vec::new();
    for _ in 0..50 {
        ids.push(client.send(2, &ApiVersionsRequest::default()).await);
    }
    for id in ids {
        client.answer::<ApiVersionsRequest>(2, id).await;
    }
    let frame = frame::request_frame(7, None, 0, &ApiVersionsRequest::default()).unwrap();
    let bytes: Bytes = frame.chunks().concat().into();
    for byte in bytes {
        client.raw(&[byte]).await;
    }
    client.answer::<ApiVersionsRequest>(0, 7).await;
}
