//! StopReplica (5): the controller tells a broker to give up partitions.

use crate::ErrorCode;
use crate::wire::macros::messages;

messages! {
    /// Tells a broker to follow partitions no more. Between brokers only. Version 1 groups the partitions by topic.
    request StopReplicaRequest = STOP_REPLICA (0..=1) => StopReplicaResponse {
        /// The controller's broker id.
        controller_id: i32,
        /// The controller's epoch; rises with each controller.
        controller_epoch: i32,
        /// The epoch under which the receiver registered; -1 goes unchecked (KIP-380).
        broker_epoch: i64 [1.., ignorable] = -1,
        /// Whether to delete the data, too.
        delete_partitions: bool,
        /// The partitions, before they were grouped.
        partitions_v0: Vec<StopReplicaRequestPartitionV0> [0..=0],
        /// The topics.
        topics: Vec<StopReplicaRequestTopic> [1..],
    }

    /// A partition, with its topic.
    struct StopReplicaRequestPartitionV0 {
        /// The topic.
        topic_name: String [0..=0],
        /// The partition.
        partition_index: i32 [0..=0],
    }

    /// A topic's partitions.
    struct StopReplicaRequestTopic {
        /// The topic.
        name: String [1..],
        /// Its partitions.
        partition_indexes: Vec<i32> [1..],
    }

    /// What became of it.
    struct StopReplicaResponse {
        /// 11: a newer controller is known; 77: the broker has registered again since.
        error_code: ErrorCode,
        /// The partitions.
        partitions: Vec<StopReplicaResponsePartition>,
    }

    /// A partition's result.
    struct StopReplicaResponsePartition {
        /// The topic.
        topic_name: String,
        /// The partition.
        partition_index: i32,
        /// 56: the disk failed.
        error_code: ErrorCode,
    }
}
