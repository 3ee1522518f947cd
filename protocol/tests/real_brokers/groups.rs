//! A group's whole life, once for every version of its APIs.

use bytes::Bytes;
use ottla_protocol::messages::*;
use ottla_protocol::{CoordinatorType, ErrorCode};

use crate::peer::{Peer, fine};
use crate::topics::ORDERS;

/// JoinGroup has the most versions, but OffsetCommit more: so many lives show all of all.
const LIVES: i16 = 8;
/// A subscription of version 0 to no topic, without user data (`ConsumerProtocol`).
const SUBSCRIPTION: &[u8] = &[0, 0, 0, 0, 0, 0, 255, 255, 255, 255];
const INSTANCE: &str = "the-first";

/// Who has joined.
struct Member {
    group: String,
    generation: i32,
    id: String,
    instance: Option<String>,
}

/// FindCoordinator, JoinGroup, SyncGroup, Heartbeat, OffsetCommit, OffsetFetch, DescribeGroups, ListGroups, LeaveGroup,
/// DeleteGroups.
pub(crate) fn lived(peer: &mut Peer) {
    for version in peer.versions::<FindCoordinatorRequest>() {
        found(peer, version, CoordinatorType::GROUP);
        if version > 0 {
            found(peer, version, CoordinatorType::TRANSACTION);
        }
    }
    for n in 0..LIVES {
        let member = join(peer, n, None);
        work(peer, n, &member);
        leave(peer, n, &member);
    }
    if peer.versions::<JoinGroupRequest>().contains(&5) {
        let member = join(peer, LIVES, Some(INSTANCE));
        work(peer, LIVES, &member);
    }
}

/// Until the topic behind the coordinator is there.
fn found(peer: &mut Peer, version: i16, key_type: CoordinatorType) {
    let request = FindCoordinatorRequest { key: "whoever".into(), key_type };
    let answer = peer.until(version, &request, |answer| answer.error_code != ErrorCode::COORDINATOR_NOT_AVAILABLE);
    fine(answer.error_code, "FindCoordinator");
}

fn join(peer: &mut Peer, n: i16, instance: Option<&str>) -> Member {
    let version = peer.version::<JoinGroupRequest>(n).expect("a version");
    let group = format!("group-{n}");
    let mut request = JoinGroupRequest {
        group_id: group.clone(),
        session_timeout_ms: 30_000,
        group_instance_id: instance.map(str::to_owned),
        protocol_type: "consumer".into(),
        protocols: vec![JoinGroupRequestProtocol { name: "range".into(), metadata: Bytes::from_static(SUBSCRIPTION) }],
        ..Default::default()
    };
    if version > 0 {
        request.rebalance_timeout_ms = 30_000;
    }
    let settled = |answer: &JoinGroupResponse| {
        !matches!(answer.error_code, ErrorCode::COORDINATOR_LOAD_IN_PROGRESS | ErrorCode::NOT_COORDINATOR)
    };
    let mut answer = peer.until(version, &request, settled);
    if answer.error_code == ErrorCode::MEMBER_ID_REQUIRED {
        assert!(version >= 4, "an id is asked for from version 4 on (KIP-394)");
        request.member_id.clone_from(&answer.member_id);
        answer = peer.ask(version, &request);
    }
    fine(answer.error_code, "JoinGroup");
    assert_eq!((&answer.leader, answer.members.len()), (&answer.member_id, 1), "v{version}");
    assert_eq!(answer.members[0].metadata, SUBSCRIPTION, "v{version}");
    Member { group, generation: answer.generation_id, id: answer.member_id, instance: request.group_instance_id }
}

fn work(peer: &mut Peer, n: i16, member: &Member) {
    let (group_id, generation_id, member_id) = (member.group.clone(), member.generation, member.id.clone());
    let version = peer.version::<SyncGroupRequest>(n).expect("a version");
    let mine = SyncGroupRequestAssignment { member_id: member_id.clone(), assignment: Bytes::from_static(b"all") };
    let request = SyncGroupRequest {
        group_id: group_id.clone(),
        generation_id,
        member_id: member_id.clone(),
        group_instance_id: member.instance.clone(),
        assignments: vec![mine],
    };
    let answer = peer.ask(version, &request);
    fine(answer.error_code, "SyncGroup");
    assert_eq!(&answer.assignment[..], b"all", "v{version}");

    let version = peer.version::<HeartbeatRequest>(n).expect("a version");
    let group_instance_id = member.instance.clone();
    let request = HeartbeatRequest { group_id, generation_id, member_id, group_instance_id };
    fine(peer.ask(version, &request).error_code, "Heartbeat");
    committed(peer, n, member);
    seen(peer, n, member);
}

fn committed(peer: &mut Peer, n: i16, member: &Member) {
    let version = peer.version::<OffsetCommitRequest>(n).expect("a version");
    let partition = OffsetCommitRequestPartition {
        partition_index: 1,
        committed_offset: 7,
        committed_metadata: Some("seven".into()),
        ..Default::default()
    };
    let mut request = OffsetCommitRequest {
        group_id: member.group.clone(),
        topics: vec![OffsetCommitRequestTopic { name: ORDERS.into(), partitions: vec![partition] }],
        ..Default::default()
    };
    if version > 0 {
        (request.generation_id, request.member_id) = (member.generation, member.id.clone());
        request.group_instance_id.clone_from(&member.instance);
    }
    let code = peer.ask(version, &request).topics[0].partitions[0].error_code;
    // Version 0 writes to ZooKeeper; a broker without one says so.
    let in_zookeeper = version == 0;
    let refused = in_zookeeper && code == ErrorCode::UNSUPPORTED_VERSION;
    assert!(code == ErrorCode::NONE || refused, "OffsetCommit v{version}: {code}");

    let version = peer.version::<OffsetFetchRequest>(n).expect("a version");
    let topic = OffsetFetchRequestTopic { name: ORDERS.into(), partition_indexes: vec![0, 1] };
    let named = OffsetFetchRequest { group_id: member.group.clone(), topics: Some(vec![topic]) };
    let answer = peer.ask(version, &named);
    fine(answer.error_code, "OffsetFetch");
    let mut offsets: Vec<_> =
        answer.topics[0].partitions.iter().map(|p| (p.partition_index, p.committed_offset)).collect();
    offsets.sort_unstable();
    let expected = if (version == 0) == in_zookeeper && !refused { 7 } else { -1 };
    assert_eq!(offsets, [(0, -1), (1, expected)], "v{version}");
    if version >= 2 {
        let all = OffsetFetchRequest { group_id: member.group.clone(), topics: None };
        assert_eq!(peer.ask(version, &all).topics.len(), 1, "v{version}");
    }
}

fn seen(peer: &mut Peer, n: i16, member: &Member) {
    let version = peer.version::<DescribeGroupsRequest>(n).expect("a version");
    let groups = vec![member.group.clone(), "never-made".into()];
    let include_authorized_operations = version >= 3;
    let answer = peer.ask(version, &DescribeGroupsRequest { groups, include_authorized_operations });
    let group = answer.groups.iter().find(|group| group.group_id == member.group).expect("the group");
    fine(group.error_code, "DescribeGroups");
    assert_eq!((group.group_state.as_str(), group.protocol_data.as_str()), ("Stable", "range"), "v{version}");
    assert_eq!(group.members[0].member_id, member.id, "v{version}");
    assert_eq!(group.members[0].client_id, "ottla-rung-5", "v{version}");

    let version = peer.version::<ListGroupsRequest>(n).expect("a version");
    let answer = peer.ask(version, &ListGroupsRequest {});
    fine(answer.error_code, "ListGroups");
    assert!(answer.groups.iter().any(|group| group.group_id == member.group), "v{version}: {answer:?}");
}

fn leave(peer: &mut Peer, n: i16, member: &Member) {
    let version = peer.version::<LeaveGroupRequest>(n).expect("a version");
    let request = LeaveGroupRequest { group_id: member.group.clone(), member_id: member.id.clone() };
    fine(peer.ask(version, &request).error_code, "LeaveGroup");
    let Some(version) = peer.version::<DeleteGroupsRequest>(n) else { return };
    let answer = peer.ask(version, &DeleteGroupsRequest { groups_names: vec![member.group.clone()] });
    fine(answer.results[0].error_code, "DeleteGroups");
}
