//! DeleteRecords (21): the beginning of a log, to its leader.

use crate::ErrorCode;
use crate::wire::macros::messages;

messages! {
    /// Asks partition leaders to delete what is before an offset (KIP-107).
    request DeleteRecordsRequest = DELETE_RECORDS (0..=1) => DeleteRecordsResponse {
        /// The topics.
        topics: Vec<DeleteRecordsTopic>,
        /// How long the leader waits for the replicas, in milliseconds.
        timeout_ms: i32,
    }

    /// A topic's partitions.
    struct DeleteRecordsTopic {
        /// The topic.
        name: String,
        /// Its partitions.
        partitions: Vec<DeleteRecordsPartition>,
    }

    /// A partition to shorten.
    struct DeleteRecordsPartition {
        /// The partition.
        partition_index: i32,
        /// The first offset to keep; -1 for the high watermark.
        offset: i64,
    }

    /// What became of it.
    struct DeleteRecordsResponse {
        /// How long the client has to stay silent, in milliseconds (KIP-219 from version 1 on).
        throttle_time_ms: i32,
        /// The topics.
        topics: Vec<DeleteRecordsTopicResult>,
    }

    /// A topic's results.
    struct DeleteRecordsTopicResult {
        /// The topic.
        name: String,
        /// Its partitions.
        partitions: Vec<DeleteRecordsPartitionResult>,
    }

    /// A partition's result.
    struct DeleteRecordsPartitionResult {
        /// The partition.
        partition_index: i32,
        /// The lowest log start of the replicas that are alive; -1 on an error.
        low_watermark: i64,
        /// 1: the offset is above the high watermark; 6: not the leader; 44: the topic is compacted only; 7: the replicas
        /// did not follow in time.
        error_code: ErrorCode,
    }
}
