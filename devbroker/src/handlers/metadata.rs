//! Metadata: the nodes that are up, the topics and their leaders; and topics that come into being by being asked for.

use ottla_protocol::ErrorCode;
use ottla_protocol::messages::{
    MetadataRequest, MetadataResponse, MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};

use super::{Call, Reply, Serve};
use crate::cluster::{Cluster, Partition, Topic, is_internal};
use crate::faults::Hidden;

/// The first version that says what a client may do.
const FIRST_WITH_OPERATIONS: i16 = 8;

/// Read, write, create, delete, alter, describe, describe and alter configs: everything, by `AclOperation`'s codes.
const TOPIC_OPERATIONS: i32 = 1 << 3 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 8 | 1 << 10 | 1 << 11;

/// Create, alter, describe, cluster action, describe and alter configs, idempotent write.
const CLUSTER_OPERATIONS: i32 = 1 << 5 | 1 << 7 | 1 << 8 | 1 << 9 | 1 << 10 | 1 << 11 | 1 << 12;

impl Serve for MetadataRequest {
    fn refuse(&self, version: i16, error_code: ErrorCode) -> Reply<MetadataResponse> {
        let topics = self.topics.iter().flatten().map(|topic| MetadataResponseTopic {
            topic_authorized_operations: operations(version, false, 0),
            ..failed(&topic.name, error_code)
        });
        Reply::Answer(MetadataResponse {
            topics: topics.collect(),
            cluster_authorized_operations: operations(version, false, 0),
            ..MetadataResponse::default()
        })
    }

    async fn serve(self, call: &mut Call<'_>) -> Reply<MetadataResponse> {
        let version = call.version;
        let may_create = call.shared.settings.auto_create && self.allow_auto_topic_creation;
        let mut cluster = call.shared.cluster();
        let mut topics = self.describe(version, may_create, &mut cluster);
        for topic in &mut topics {
            let wanted = self.include_topic_authorized_operations;
            topic.topic_authorized_operations = operations(version, wanted, TOPIC_OPERATIONS);
        }
        let brokers = cluster.alive().map(|(node_id, node)| MetadataResponseBroker {
            node_id,
            host: node.host.clone(),
            port: node.port.into(),
            rack: None,
        });
        let wanted = self.include_cluster_authorized_operations;
        let mut answer = MetadataResponse {
            brokers: brokers.collect(),
            cluster_id: Some(call.shared.cluster_id.clone()),
            controller_id: cluster.controller().unwrap_or(-1),
            topics,
            cluster_authorized_operations: operations(version, wanted, CLUSTER_OPERATIONS),
            ..MetadataResponse::default()
        };
        drop(cluster);
        if let Some(hidden) = call.shared.faults().hidden(call.node) {
            self.hide(version, hidden, &mut answer);
        }
        Reply::Answer(answer)
    }
}

trait Describe {
    fn describe(&self, version: i16, may_create: bool, cluster: &mut Cluster) -> Vec<MetadataResponseTopic>;

    /// Takes out of the answer what the broker does not know yet.
    fn hide(&self, version: i16, hidden: Hidden, answer: &mut MetadataResponse);
}

impl Describe for MetadataRequest {
    fn describe(&self, version: i16, may_create: bool, cluster: &mut Cluster) -> Vec<MetadataResponseTopic> {
        match &self.topics {
            Some(topics) if version > 0 || !topics.is_empty() => {
                topics.iter().map(|topic| named(&topic.name, may_create, cluster)).collect()
            }
            _ => cluster.topics().map(|(name, topic)| found(name, topic, cluster)).collect(),
        }
    }

    fn hide(&self, version: i16, hidden: Hidden, answer: &mut MetadataResponse) {
        let unknown = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
        answer.topics = self.topics.iter().flatten().map(|topic| failed(&topic.name, unknown)).collect();
        for topic in &mut answer.topics {
            topic.topic_authorized_operations = operations(version, false, 0);
        }
        if hidden == Hidden::Everything {
            answer.brokers.clear();
            answer.controller_id = -1;
        }
    }
}

fn named(name: &str, may_create: bool, cluster: &mut Cluster) -> MetadataResponseTopic {
    if may_create
        && cluster.topic(name).is_none()
        && let Err(refused) = cluster.create_default(name)
    {
        return failed(name, refused.error);
    }
    match cluster.topic(name) {
        Some(topic) => found(name, topic, cluster),
        None => failed(name, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
    }
}

fn failed(name: &str, error_code: ErrorCode) -> MetadataResponseTopic {
    MetadataResponseTopic { error_code, name: name.to_owned(), ..MetadataResponseTopic::default() }
}

fn found(name: &str, topic: &Topic, cluster: &Cluster) -> MetadataResponseTopic {
    let partitions = (0..).zip(&topic.partitions).map(|(index, partition)| described(index, partition, cluster));
    MetadataResponseTopic {
        name: name.to_owned(),
        is_internal: is_internal(name),
        partitions: partitions.collect(),
        ..MetadataResponseTopic::default()
    }
}

fn described(partition_index: i32, partition: &Partition, cluster: &Cluster) -> MetadataResponsePartition {
    let (up, down) = partition.replicas.iter().partition(|node| cluster.is_alive(**node));
    let no_leader = ErrorCode::LEADER_NOT_AVAILABLE;
    MetadataResponsePartition {
        error_code: partition.leader.map_or(no_leader, |_| ErrorCode::NONE),
        partition_index,
        leader_id: partition.leader.unwrap_or(-1),
        leader_epoch: partition.leader_epoch,
        replica_nodes: partition.replicas.clone(),
        isr_nodes: up,
        offline_replicas: down,
    }
}

/// A 2.3 broker says 0 when it is not asked; before version 8 the field is not there.
fn operations(version: i16, wanted: bool, all: i32) -> i32 {
    match wanted {
        _ if version < FIRST_WITH_OPERATIONS => i32::MIN,
        true => all,
        false => 0,
    }
}
