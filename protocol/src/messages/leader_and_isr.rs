//! LeaderAndIsr (4): the controller tells a broker which partitions it leads or follows.

use crate::ErrorCode;
use crate::wire::macros::messages;

messages! {
    /// Tells a broker its partitions' leaders and replicas. Between brokers only. Version 2 groups the partitions by topic.
    request LeaderAndIsrRequest = LEADER_AND_ISR (0..=2) => LeaderAndIsrResponse {
        /// The controller's broker id.
        controller_id: i32,
        /// The controller's epoch; rises with each controller.
        controller_epoch: i32,
        /// The epoch under which the receiver registered; -1 goes unchecked (KIP-380).
        broker_epoch: i64 [2.., ignorable] = -1,
        /// The topics.
        topic_states: Vec<LeaderAndIsrRequestTopicState> [2..],
        /// The partitions, before they were grouped.
        partition_states_v0: Vec<LeaderAndIsrRequestPartitionStateV0> [0..=1],
        /// The brokers that lead them.
        live_leaders: Vec<LeaderAndIsrLiveLeader>,
    }

    /// A topic's partitions.
    struct LeaderAndIsrRequestTopicState {
        /// The topic.
        name: String [2..],
        /// Its partitions.
        partition_states: Vec<LeaderAndIsrRequestPartitionState>,
    }

    /// A partition's state.
    struct LeaderAndIsrRequestPartitionState {
        /// The partition.
        partition_index: i32,
        /// The epoch of the controller that changed it last.
        controller_epoch: i32,
        /// The leader; -1: none, -2: the topic is being deleted.
        leader_key: i32,
        /// Rises with each election.
        leader_epoch: i32,
        /// The brokers that are in sync.
        isr_replicas: Vec<i32>,
        /// The version of the partition's node in ZooKeeper.
        zk_version: i32,
        /// The brokers that hold it, the preferred leader first.
        replicas: Vec<i32>,
        /// Whether the replica is a new one, so that its directory may be made.
        is_new: bool [1.., ignorable],
    }

    /// A partition's state, with its topic.
    struct LeaderAndIsrRequestPartitionStateV0 {
        /// The topic.
        topic_name: String [0..=1],
        /// The partition.
        partition_index: i32 [0..=1],
        /// The epoch of the controller that changed it last.
        controller_epoch: i32 [0..=1],
        /// The leader; -1: none, -2: the topic is being deleted.
        leader_key: i32 [0..=1],
        /// Rises with each election.
        leader_epoch: i32 [0..=1],
        /// The brokers that are in sync.
        isr_replicas: Vec<i32> [0..=1],
        /// The version of the partition's node in ZooKeeper.
        zk_version: i32 [0..=1],
        /// The brokers that hold it, the preferred leader first.
        replicas: Vec<i32> [0..=1],
        /// Whether the replica is a new one, so that its directory may be made.
        is_new: bool [1..=1, ignorable],
    }

    /// A broker that leads.
    struct LeaderAndIsrLiveLeader {
        /// Its id.
        broker_id: i32,
        /// Its host, on the listener between brokers.
        host_name: String,
        /// Its port.
        port: i32,
    }

    /// What became of it.
    struct LeaderAndIsrResponse {
        /// 11: a newer controller is known; 77: the broker has registered again since.
        error_code: ErrorCode,
        /// The partitions.
        partitions: Vec<LeaderAndIsrResponsePartition>,
    }

    /// A partition's result.
    struct LeaderAndIsrResponsePartition {
        /// The topic.
        topic_name: String,
        /// The partition.
        partition_index: i32,
        /// 11: the leader epoch is not a newer one; 56: the disk failed.
        error_code: ErrorCode,
    }
}
