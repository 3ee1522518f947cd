//! Groups over sockets: the members, and what they commit.

mod support;

use std::time::Duration;

use bytes::Bytes;
use ottla_devbroker::DevBroker;
use ottla_protocol::ErrorCode;
use ottla_protocol::messages::{
    HeartbeatRequest, JoinGroupRequest, JoinGroupRequestProtocol, JoinGroupResponse, LeaveGroupRequest,
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic, OffsetFetchRequest,
    OffsetFetchRequestTopic, SyncGroupRequest, SyncGroupRequestAssignment, SyncGroupResponse,
};
use support::Client;

async fn start() -> DevBroker {
    let second = Duration::from_secs(1);
    let broker = DevBroker::builder().session_timeout(second / 20..=second * 60).start().await.unwrap();
    broker.create_topic("t", 3).unwrap();
    broker
}

fn joining(member_id: &str) -> JoinGroupRequest {
    let protocol = JoinGroupRequestProtocol { name: "range".to_owned(), metadata: Bytes::from("subscription") };
    JoinGroupRequest {
        group_id: "g".to_owned(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 10_000,
        member_id: member_id.to_owned(),
        protocol_type: "consumer".to_owned(),
        protocols: vec![protocol],
        ..JoinGroupRequest::default()
    }
}

fn syncing(joined: &JoinGroupResponse) -> SyncGroupRequest {
    let assignments = joined.members.iter().map(|member| SyncGroupRequestAssignment {
        member_id: member.member_id.clone(),
        assignment: Bytes::from(member.member_id.clone()),
    });
    SyncGroupRequest {
        group_id: "g".to_owned(),
        generation_id: joined.generation_id,
        member_id: joined.member_id.clone(),
        assignments: assignments.collect(),
        ..SyncGroupRequest::default()
    }
}

fn beating(joined: &JoinGroupResponse) -> HeartbeatRequest {
    HeartbeatRequest {
        group_id: "g".to_owned(),
        generation_id: joined.generation_id,
        member_id: joined.member_id.clone(),
        ..HeartbeatRequest::default()
    }
}

fn committing(generation_id: i32, member_id: &str, offset: i64) -> OffsetCommitRequest {
    let partition = OffsetCommitRequestPartition {
        partition_index: 1,
        committed_offset: offset,
        committed_metadata: Some("why".to_owned()),
        ..OffsetCommitRequestPartition::default()
    };
    OffsetCommitRequest {
        group_id: "g".to_owned(),
        generation_id,
        member_id: member_id.to_owned(),
        topics: vec![OffsetCommitRequestTopic { name: "t".to_owned(), partitions: vec![partition] }],
        ..OffsetCommitRequest::default()
    }
}

async fn committed(client: &mut Client, version: i16, request: &OffsetCommitRequest) -> ErrorCode {
    client.ask(version, request).await.topics[0].partitions[0].error_code
}

/// Joins as newer clients do: first for an id, then with it.
async fn join(client: &mut Client) -> i32 {
    let told = client.ask(5, &joining("")).await;
    assert_eq!(told.error_code, ErrorCode::MEMBER_ID_REQUIRED);
    client.send(5, &joining(&told.member_id)).await
}

#[tokio::test]
async fn two_members_share_a_group_from_joining_to_leaving() {
    let broker = start().await;
    let (mut one, mut two) = (Client::connect(&broker).await, Client::connect(&broker).await);
    let id = join(&mut one).await;
    let alone = one.answer::<JoinGroupRequest>(5, id).await;
    assert_eq!((alone.generation_id, alone.members.len()), (1, 1));
    one.ask(3, &syncing(&alone)).await;
    assert_eq!(one.ask(3, &beating(&alone)).await.error_code, ErrorCode::NONE);

    let waits = join(&mut two).await;
    assert!(two.is_silent().await, "the first has not rejoined");
    assert_eq!(one.ask(3, &beating(&alone)).await.error_code, ErrorCode::REBALANCE_IN_PROGRESS);
    let leader = one.ask(5, &joining(&alone.member_id)).await;
    let follower = two.answer::<JoinGroupRequest>(5, waits).await;
    assert_eq!((leader.members.len(), follower.members.len()), (2, 0));
    assert_eq!(broker.group("g"), (2, 2));

    let waits = two.send(3, &syncing(&follower)).await;
    assert!(two.is_silent().await, "the leader has not assigned");
    let led: SyncGroupResponse = one.ask(3, &syncing(&leader)).await;
    assert_eq!(led.assignment, leader.member_id);
    assert_eq!(two.answer::<SyncGroupRequest>(3, waits).await.assignment, follower.member_id);

    let commit = committing(follower.generation_id, &follower.member_id, 7);
    assert_eq!(committed(&mut two, 7, &commit).await, ErrorCode::NONE);
    let leaving = LeaveGroupRequest { group_id: "g".to_owned(), member_id: follower.member_id.clone() };
    assert_eq!(two.ask(2, &leaving).await.error_code, ErrorCode::NONE);
    assert_eq!(one.ask(3, &beating(&leader)).await.error_code, ErrorCode::REBALANCE_IN_PROGRESS);
    assert_eq!(broker.committed("g", "t", 1), Some(7));
}

#[tokio::test]
async fn a_commit_of_an_old_generation_or_a_stranger_is_refused_and_changes_nothing() {
    let broker = start().await;
    let mut client = Client::connect(&broker).await;
    let id = join(&mut client).await;
    let first = client.answer::<JoinGroupRequest>(5, id).await;
    client.ask(3, &syncing(&first)).await;
    assert_eq!(committed(&mut client, 7, &committing(1, &first.member_id, 10)).await, ErrorCode::NONE);
    // The leader joins again: generation 2.
    let second = client.ask(5, &joining(&first.member_id)).await;
    client.ask(3, &syncing(&second)).await;
    let code = async |client: &mut Client, generation, member: &str| {
        committed(client, 7, &committing(generation, member, 99)).await
    };
    assert_eq!(code(&mut client, 1, &first.member_id).await, ErrorCode::ILLEGAL_GENERATION);
    assert_eq!(code(&mut client, 2, "stranger").await, ErrorCode::UNKNOWN_MEMBER_ID);
    assert_eq!(code(&mut client, -1, "").await, ErrorCode::UNKNOWN_MEMBER_ID, "not while there are members");
    assert_eq!(broker.committed("g", "t", 1), Some(10));
}

#[tokio::test]
async fn a_member_that_stops_beating_is_thrown_out_by_the_clock() {
    let broker = start().await;
    let mut client = Client::connect(&broker).await;
    let short = JoinGroupRequest { session_timeout_ms: 50, ..joining("") };
    let joined = client.ask(0, &short).await;
    client.ask(0, &syncing(&joined)).await;
    assert_eq!(broker.group("g").0, 1);
    let gone = async {
        while broker.group("g").0 > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(support::DEADLINE, gone).await.expect("the session ends");
    assert_eq!(client.ask(0, &beating(&joined)).await.error_code, ErrorCode::UNKNOWN_MEMBER_ID);
}

#[tokio::test]
async fn every_version_commits_and_reads_back() {
    let broker = start().await;
    let mut client = Client::connect(&broker).await;
    for version in 0..=7 {
        let commit = committing(-1, "", 100 + i64::from(version));
        assert_eq!(committed(&mut client, version, &commit).await, ErrorCode::NONE);
        assert_eq!(broker.committed("g", "t", 1), Some(100 + i64::from(version)));
    }
    let topic = OffsetFetchRequestTopic { name: "t".to_owned(), partition_indexes: vec![0, 1] };
    let request = OffsetFetchRequest { group_id: "g".to_owned(), topics: Some(vec![topic]) };
    for version in 0..=5 {
        let answer = client.ask(version, &request).await;
        let read: Vec<_> =
            answer.topics[0].partitions.iter().map(|p| (p.committed_offset, p.metadata.as_deref())).collect();
        assert_eq!(read, [(-1, Some("")), (107, Some("why"))]);
    }
}

#[tokio::test]
async fn all_positions_are_asked_for_by_null() {
    let broker = start().await;
    let mut client = Client::connect(&broker).await;
    client.ask(7, &committing(-1, "", 5)).await;
    let all = |group: &str| OffsetFetchRequest { group_id: group.to_owned(), topics: None };
    let answer = client.ask(5, &all("g")).await;
    assert_eq!(answer.topics.len(), 1);
    assert_eq!(answer.topics[0].partitions.len(), 1);
    assert_eq!(client.ask(5, &all("unknown")).await.topics, []);
}

#[tokio::test]
async fn positions_of_nothing_and_too_long_a_text_are_refused() {
    let broker = start().await;
    let mut client = Client::connect(&broker).await;
    let mut unknown = committing(-1, "", 5);
    unknown.topics[0].partitions[0].partition_index = 3;
    assert_eq!(committed(&mut client, 7, &unknown).await, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    let mut long = committing(-1, "", 5);
    long.topics[0].partitions[0].committed_metadata = Some("x".repeat(4097));
    assert_eq!(committed(&mut client, 7, &long).await, ErrorCode::OFFSET_METADATA_TOO_LARGE);
    assert_eq!(broker.committed("g", "t", 1), None);
}

#[tokio::test]
async fn another_node_than_the_coordinator_says_so() {
    let broker = DevBroker::builder().nodes(2).start().await.unwrap();
    broker.create_topic("t", 3).unwrap();
    let other = 1 - broker.coordinator("g").unwrap();
    let mut client = Client::connect_to(&broker, other as usize).await;
    let wrong = ErrorCode::NOT_COORDINATOR;
    assert_eq!(client.ask(5, &joining("")).await.error_code, wrong);
    let joined = JoinGroupResponse::default();
    assert_eq!(client.ask(3, &syncing(&joined)).await.error_code, wrong);
    assert_eq!(client.ask(3, &beating(&joined)).await.error_code, wrong);
    assert_eq!(
        client.ask(2, &LeaveGroupRequest { group_id: "g".to_owned(), ..LeaveGroupRequest::default() }).await.error_code,
        wrong
    );
    assert_eq!(committed(&mut client, 7, &committing(-1, "", 1)).await, wrong);
    let topic = OffsetFetchRequestTopic { name: "t".to_owned(), partition_indexes: vec![0] };
    let request = OffsetFetchRequest { group_id: "g".to_owned(), topics: Some(vec![topic]) };
    assert_eq!(client.ask(5, &request).await.error_code, wrong);
    assert_eq!(client.ask(1, &request).await.topics[0].partitions[0].error_code, wrong);
}

#[tokio::test]
async fn positions_survive_the_death_of_their_coordinator() {
    let broker = DevBroker::builder().nodes(2).start().await.unwrap();
    broker.create_topic("t", 3).unwrap();
    let coordinator = broker.coordinator("g").unwrap();
    let mut client = Client::connect_to(&broker, coordinator as usize).await;
    assert_eq!(committed(&mut client, 7, &committing(-1, "", 8)).await, ErrorCode::NONE);
    broker.kill_node(coordinator).await.unwrap();
    assert_eq!(broker.coordinator("g"), Some(1 - coordinator));
    let mut client = Client::connect_to(&broker, (1 - coordinator) as usize).await;
    let answer = client.ask(5, &OffsetFetchRequest { group_id: "g".to_owned(), topics: None }).await;
    assert_eq!(answer.topics[0].partitions[0].committed_offset, 8);
}
