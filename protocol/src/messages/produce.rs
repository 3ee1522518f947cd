//! Produce (0): record data to a partition's leader.

use bytes::Bytes;

use crate::ErrorCode;
use crate::wire::macros::messages;

messages! {
    /// Asks a broker to append batches. Version 3 is the first with record batches v2, and takes exactly one a partition;
    /// version 7 is the first that takes zstd (KIP-110).
    request ProduceRequest = PRODUCE (0..=7) => ProduceResponse {
        /// The transaction these records are part of.
        transactional_id: Option<String> [3..],
        /// 0: no answer at all; 1: the leader has it; -1: all in-sync replicas have it.
        acks: i16,
        /// How long the broker waits for the replicas, in milliseconds.
        timeout_ms: i32,
        /// The topics, each once.
        topics: Vec<TopicProduceData>,
    }

    /// A topic's data.
    struct TopicProduceData {
        /// The topic.
        name: String,
        /// Its partitions, each once.
        partitions: Vec<PartitionProduceData>,
    }

    /// A partition's data.
    struct PartitionProduceData {
        /// The partition.
        partition_index: i32,
        /// One batch.
        records: Option<Bytes>,
    }

    /// What became of the batches. There is none for acks 0.
    struct ProduceResponse {
        /// The topics, in any order.
        responses: Vec<TopicProduceResponse>,
        /// How long the client has to stay silent, in milliseconds (KIP-219 from version 6 on).
        throttle_time_ms: i32 [1.., ignorable],
    }

    /// A topic's results.
    struct TopicProduceResponse {
        /// The topic.
        name: String,
        /// Its partitions.
        partitions: Vec<PartitionProduceResponse>,
    }

    /// A batch's result.
    struct PartitionProduceResponse {
        /// The partition.
        partition_index: i32,
        /// 19: not written, 20: written, but too few replicas are in sync; 45, 46, 59: the sequence; 10: too large.
        error_code: ErrorCode,
        /// The first record's offset; -1 on an error.
        base_offset: i64,
        /// The broker's time under LogAppendTime, in milliseconds; else -1.
        log_append_time_ms: i64 [2.., ignorable] = -1,
        /// The first offset of the log; -1 if unknown.
        log_start_offset: i64 [5.., ignorable] = -1,
    }
}
