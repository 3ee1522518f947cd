//! Topics: made, described, enlarged, deleted.

use ottla_protocol::ErrorCode;
use ottla_protocol::messages::*;

use crate::peer::{Peer, fine};

/// The topic that the other conversations use: two partitions.
pub(crate) const ORDERS: &str = "orders";
/// The only broker.
pub(crate) const BROKER: i32 = 1;
const TIMEOUT_MS: i32 = 30_000;

fn topic(name: &str, partitions: i32) -> CreatableTopic {
    CreatableTopic { name: name.into(), num_partitions: partitions, replication_factor: 1, ..Default::default() }
}

fn made_in(version: i16) -> String {
    format!("made-in-v{version}")
}

/// CreateTopics, Metadata, CreatePartitions.
pub(crate) fn made_and_described(peer: &mut Peer) {
    let newest = peer.version::<CreateTopicsRequest>(i16::MAX).expect("a version");
    let orders = CreateTopicsRequest { topics: vec![topic(ORDERS, 2)], timeout_ms: TIMEOUT_MS, ..Default::default() };
    peer.ask(newest, &orders).topics.iter().for_each(|made| fine(made.error_code, ORDERS));
    peer.each(create, |version, answer: CreateTopicsResponse| {
        assert_eq!(answer.topics.len(), 2, "v{version}");
        answer.topics.iter().for_each(|made| fine(made.error_code, &made.name));
    });
    described(peer);
    enlarged(peer);
}

/// One topic with settings, one with places chosen by hand.
fn create(version: i16) -> CreateTopicsRequest {
    let setting = CreateableTopicConfig { name: "retention.ms".into(), value: Some("1000000".into()) };
    let set = CreatableTopic { configs: vec![setting], ..topic(&made_in(version), 1) };
    let place = CreatableReplicaAssignment { partition_index: 0, broker_ids: vec![BROKER] };
    let placed = CreatableTopic {
        num_partitions: -1,
        replication_factor: -1,
        assignments: vec![place],
        ..topic(&format!("placed-in-v{version}"), 1)
    };
    CreateTopicsRequest { topics: vec![set, placed], timeout_ms: TIMEOUT_MS, ..Default::default() }
}

fn described(peer: &mut Peer) {
    let led = |answer: &MetadataResponse| {
        let partitions = answer.topics.iter().flat_map(|topic| &topic.partitions);
        answer.topics.iter().all(|topic| topic.error_code == ErrorCode::NONE)
            && partitions.clone().count() == 2
            && partitions.clone().all(|partition| partition.leader_id == BROKER)
    };
    let named = |version| MetadataRequest {
        topics: Some(vec![MetadataRequestTopic { name: ORDERS.into() }]),
        include_cluster_authorized_operations: version >= 8,
        include_topic_authorized_operations: version >= 8,
        ..Default::default()
    };
    for version in peer.versions::<MetadataRequest>() {
        peer.until(version, &named(version), led);
        let all = MetadataRequest { topics: (version == 0).then(Vec::new), ..Default::default() };
        let answer = peer.ask(version, &all);
        assert!(answer.topics.iter().any(|topic| topic.name == ORDERS), "v{version}: {answer:?}");
        assert_eq!(answer.brokers.len(), 1, "v{version}");
    }
}

fn enlarged(peer: &mut Peer) {
    for version in peer.versions::<CreatePartitionsRequest>() {
        let grown = CreatePartitionsTopic {
            name: "placed-in-v2".into(),
            count: 2 + i32::from(version),
            assignments: Some(vec![CreatePartitionsAssignment { broker_ids: vec![BROKER] }]),
        };
        let request = |validate_only| CreatePartitionsRequest {
            topics: vec![grown.clone()],
            timeout_ms: TIMEOUT_MS,
            validate_only,
        };
        for validate_only in [true, false] {
            let answer = peer.ask(version, &request(validate_only));
            answer.results.iter().for_each(|result| fine(result.error_code, &format!("{result:?}")));
        }
    }
}

/// DeleteTopics.
pub(crate) fn deleted(peer: &mut Peer) {
    let newest = *peer.versions::<CreateTopicsRequest>().end();
    for version in peer.versions::<DeleteTopicsRequest>() {
        let name = made_in(version);
        if !peer.versions::<CreateTopicsRequest>().contains(&version) {
            let made = CreateTopicsRequest { topics: vec![topic(&name, 1)], timeout_ms: 30_000, ..Default::default() };
            fine(peer.ask(newest, &made).topics[0].error_code, &name);
        }
        let names = vec![name, "never-made".into()];
        let answer = peer.ask(version, &DeleteTopicsRequest { topic_names: names, timeout_ms: TIMEOUT_MS });
        let of =
            |name: &str| answer.responses.iter().find(|result| result.name == name).map(|result| result.error_code);
        assert_eq!(of(&made_in(version)), Some(ErrorCode::NONE), "v{version}");
        assert_eq!(of("never-made"), Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION), "v{version}");
    }
}
