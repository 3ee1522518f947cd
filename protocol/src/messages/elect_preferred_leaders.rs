//! ElectPreferredLeaders (43): leadership back to the first replica, at the controller. Called ElectLeaders from 2.4 on.

use crate::ErrorCode;
use crate::wire::macros::messages;

messages! {
    /// Asks the controller to make each partition's first replica its leader (KIP-183).
    request ElectPreferredLeadersRequest = ELECT_PREFERRED_LEADERS (0..=0) => ElectPreferredLeadersResponse {
        /// The partitions; null for all.
        topic_partitions: Option<Vec<TopicPartitions>>,
        /// How long the controller waits for the elections, in milliseconds.
        timeout_ms: i32 = 60000,
    }

    /// A topic's partitions.
    struct TopicPartitions {
        /// The topic.
        topic: String,
        /// Its partitions.
        partition_id: Vec<i32>,
    }

    /// What became of it.
    struct ElectPreferredLeadersResponse {
        /// How long the client has to stay silent, in milliseconds.
        throttle_time_ms: i32,
        /// The topics; none if all were asked for without the right to.
        replica_election_results: Vec<ReplicaElectionResult>,
    }

    /// A topic's results.
    struct ReplicaElectionResult {
        /// The topic.
        topic: String,
        /// Its partitions.
        partition_result: Vec<PartitionResult>,
    }

    /// A partition's result.
    struct PartitionResult {
        /// The partition.
        partition_id: i32,
        /// 80: the first replica is down or not in sync; 41: not the controller; 7: not in time.
        error_code: ErrorCode,
        /// The broker's own words; null without an error.
        error_message: Option<String>,
    }
}
