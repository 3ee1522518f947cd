//! UpdateMetadata (6): the controller tells a broker what its answers to Metadata are to say.

use crate::ErrorCode;
use crate::wire::macros::messages;

messages! {
    /// Tells a broker the cluster's brokers and partition leaders. Between brokers only. Version 5 groups the partitions by
    /// topic.
    request UpdateMetadataRequest = UPDATE_METADATA (0..=5) => UpdateMetadataResponse {
        /// The controller's broker id.
        controller_id: i32,
        /// The controller's epoch; rises with each controller.
        controller_epoch: i32,
        /// The epoch under which the receiver registered; -1 goes unchecked (KIP-380).
        broker_epoch: i64 [5.., ignorable] = -1,
        /// The topics.
        topic_states: Vec<UpdateMetadataRequestTopicState> [5..],
        /// The partitions, before they were grouped.
        partition_states_v0: Vec<UpdateMetadataRequestPartitionStateV0> [0..=4],
        /// The brokers that are alive.
        brokers: Vec<UpdateMetadataRequestBroker>,
    }

    /// A topic's partitions.
    struct UpdateMetadataRequestTopicState {
        /// The topic.
        topic_name: String,
        /// Its partitions.
        partition_states: Vec<UpdateMetadataPartitionState> [5..],
    }

    /// A partition's state.
    struct UpdateMetadataPartitionState {
        /// The partition.
        partition_index: i32 [5..],
        /// The epoch of the controller that changed it last.
        controller_epoch: i32 [5..],
        /// The leader; -1: none, -2: the topic is being deleted.
        leader: i32 [5..],
        /// Rises with each election.
        leader_epoch: i32 [5..],
        /// The brokers that are in sync.
        isr: Vec<i32> [5..],
        /// The version of the partition's node in ZooKeeper.
        zk_version: i32 [5..],
        /// The brokers that hold it, the preferred leader first.
        replicas: Vec<i32> [5..],
        /// Those of them that are down, or whose disk is (KIP-112).
        offline_replicas: Vec<i32> [5..],
    }

    /// A partition's state, with its topic.
    struct UpdateMetadataRequestPartitionStateV0 {
        /// The topic.
        topic_name: String [0..=4],
        /// The partition.
        partition_index: i32 [0..=4],
        /// The epoch of the controller that changed it last.
        controller_epoch: i32 [0..=4],
        /// The leader; -1: none, -2: the topic is being deleted.
        leader: i32 [0..=4],
        /// Rises with each election.
        leader_epoch: i32 [0..=4],
        /// The brokers that are in sync.
        isr: Vec<i32> [0..=4],
        /// The version of the partition's node in ZooKeeper.
        zk_version: i32 [0..=4],
        /// The brokers that hold it, the preferred leader first.
        replicas: Vec<i32> [0..=4],
        /// Those of them that are down, or whose disk is (KIP-112).
        offline_replicas: Vec<i32> [4..=4],
    }

    /// A broker.
    struct UpdateMetadataRequestBroker {
        /// Its id.
        id: i32,
        /// Its host, when a broker had one endpoint.
        v0_host: String [0..=0, ignorable],
        /// Its port, when a broker had one endpoint.
        v0_port: i32 [0..=0, ignorable],
        /// Where it listens.
        endpoints: Vec<UpdateMetadataRequestEndpoint> [1..],
        /// Its rack.
        rack: Option<String> [2.., ignorable],
    }

    /// Where a broker listens.
    struct UpdateMetadataRequestEndpoint {
        /// The port.
        port: i32 [1..],
        /// The host.
        host: String [1..],
        /// The listener's name (KIP-103). Before version 3 it is the security protocol's.
        listener: String [3..],
        /// 0: PLAINTEXT; 1: SSL; 2: SASL_PLAINTEXT; 3: SASL_SSL.
        security_protocol: i16 [1..],
    }

    /// Whether the broker took it.
    struct UpdateMetadataResponse {
        /// 11: a newer controller is known; 77: the broker has registered again since.
        error_code: ErrorCode,
    }
}
