//! Metadata (3): brokers, topics, partition leaders.

mod visit;

pub use visit::MetadataVisitor;

use crate::ErrorCode;
use crate::wire::macros::messages;

messages! {
    /// Asks any broker for the cluster's brokers, topics and partition leaders.
    request MetadataRequest = METADATA (0..=8) => MetadataResponse {
        /// `None` asks for every topic. Version 0 cannot say that; there an empty list means it, later it means none.
        topics: Option<Vec<MetadataRequestTopic>> [0.., null 1..],
        /// Whether a topic asked for by name may come into being by that. Before version 4 it may whenever the broker is
        /// set so.
        allow_auto_topic_creation: bool [4..] = true,
        /// Whether to say what the client may do with the cluster (KIP-430).
        include_cluster_authorized_operations: bool [8..],
        /// Whether to say what the client may do with the topics (KIP-430).
        include_topic_authorized_operations: bool [8..],
    }

    /// A topic asked for.
    struct MetadataRequestTopic {
        /// The topic.
        name: String,
    }

    /// The cluster as one broker sees it.
    struct MetadataResponse {
        /// How long the client has to stay silent, in milliseconds (KIP-219 from version 6 on).
        throttle_time_ms: i32 [3..],
        /// The brokers that have the listener that was asked on.
        brokers: Vec<MetadataResponseBroker>,
        /// The cluster's id.
        cluster_id: Option<String> [2.., ignorable],
        /// The controller, or -1.
        controller_id: i32 [1.., ignorable] = -1,
        /// The topics.
        topics: Vec<MetadataResponseTopic>,
        /// A bit field of what the client may do with the cluster. 0 and the default both mean: unknown.
        cluster_authorized_operations: i32 [8..] = i32::MIN,
    }

    /// A broker.
    struct MetadataResponseBroker {
        /// Its id.
        node_id: i32,
        /// Its host, as this listener advertises it.
        host: String,
        /// Its port.
        port: i32,
        /// Its rack.
        rack: Option<String> [1.., ignorable],
    }

    /// A topic.
    struct MetadataResponseTopic {
        /// 3: there is no such topic; 5: it is being made; 29: not allowed.
        error_code: ErrorCode,
        /// The topic.
        name: String,
        /// Kafka's own, like `__consumer_offsets`.
        is_internal: bool [1.., ignorable],
        /// Its partitions, in any order.
        partitions: Vec<MetadataResponsePartition>,
        /// A bit field of what the client may do with it. 0 and the default both mean: unknown.
        topic_authorized_operations: i32 [8..] = i32::MIN,
    }

    /// A partition.
    struct MetadataResponsePartition {
        /// 5: no leader; 72: the leader lacks the listener (5 before version 6).
        error_code: ErrorCode,
        /// The partition.
        partition_index: i32,
        /// The leader, or -1.
        leader_id: i32,
        /// Rises with each election (KIP-320); -1 if unknown.
        leader_epoch: i32 [7.., ignorable] = -1,
        /// The brokers that hold it.
        replica_nodes: Vec<i32>,
        /// Those of them that are in sync.
        isr_nodes: Vec<i32>,
        /// Those of them that are down (KIP-112).
        offline_replicas: Vec<i32> [5.., ignorable],
    }
}
