//! OffsetForLeaderEpoch (23): where a leader's epoch ended, to find out whether a log was truncated.

use crate::ErrorCode;
use crate::wire::macros::messages;

messages! {
    /// Asks partition leaders where an epoch ended (KIP-101 for followers, KIP-320 for consumers). Up to version 2 the right
    /// ClusterAction is needed, from version 3 on Describe on the topic is enough.
    request OffsetForLeaderEpochRequest = OFFSET_FOR_LEADER_EPOCH (0..=3) => OffsetForLeaderEpochResponse {
        /// The follower; -1 for a consumer, -2 for a tool that may ask a follower, too.
        replica_id: i32 [3.., ignorable] = -2,
        /// The topics.
        topics: Vec<OffsetForLeaderTopic>,
    }

    /// A topic asked for.
    struct OffsetForLeaderTopic {
        /// The topic.
        name: String,
        /// Its partitions.
        partitions: Vec<OffsetForLeaderPartition>,
    }

    /// A partition asked for.
    struct OffsetForLeaderPartition {
        /// The partition.
        partition_index: i32,
        /// The leader epoch the client believes in; -1 goes unchecked (KIP-320).
        current_leader_epoch: i32 [2.., ignorable] = -1,
        /// The epoch whose end is asked for.
        leader_epoch: i32,
    }

    /// The ends.
    struct OffsetForLeaderEpochResponse {
        /// How long the client has to stay silent, in milliseconds.
        throttle_time_ms: i32 [2.., ignorable],
        /// The topics.
        topics: Vec<OffsetForLeaderTopicResult>,
    }

    /// A topic's ends.
    struct OffsetForLeaderTopicResult {
        /// The topic.
        name: String,
        /// Its partitions.
        partitions: Vec<OffsetForLeaderPartitionResult>,
    }

    /// Where the epoch ended. The error stands before the partition here, unlike in most answers.
    struct OffsetForLeaderPartitionResult {
        /// 74: the client's epoch is older than the leader's; 75: the broker's is older; 6, 3: ask elsewhere.
        error_code: ErrorCode,
        /// The partition.
        partition_index: i32,
        /// The largest epoch of the log that is not above the one asked for; -1 if unknown.
        leader_epoch: i32 [1.., ignorable] = -1,
        /// The first offset after that epoch; -1 if unknown.
        end_offset: i64,
    }
}
