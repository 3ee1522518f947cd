//! TxnOffsetCommit (28): positions that count when their transaction is committed.

use crate::ErrorCode;
use crate::wire::macros::messages;

messages! {
    /// Commits positions within a transaction (KIP-98), to the group's coordinator, after AddOffsetsToTxn.
    request TxnOffsetCommitRequest = TXN_OFFSET_COMMIT (0..=2) => TxnOffsetCommitResponse {
        /// The transactional id.
        transactional_id: String,
        /// The group.
        group_id: String,
        /// The transactional id's producer id.
        producer_id: i64,
        /// The producer id's epoch; an older one is fenced.
        producer_epoch: i16,
        /// The topics.
        topics: Vec<TxnOffsetCommitRequestTopic>,
    }

    /// A topic's positions.
    struct TxnOffsetCommitRequestTopic {
        /// The topic.
        name: String,
        /// Its partitions.
        partitions: Vec<TxnOffsetCommitRequestPartition>,
    }

    /// A partition's position.
    struct TxnOffsetCommitRequestPartition {
        /// The partition.
        partition_index: i32,
        /// The next offset to be read.
        committed_offset: i64,
        /// The leader epoch of the last record read; -1 if unknown (KIP-320).
        committed_leader_epoch: i32 [2.., ignorable] = -1,
        /// Any text, at most 4096 bytes unless the broker is set otherwise.
        committed_metadata: Option<String>,
    }

    /// What became of it.
    struct TxnOffsetCommitResponse {
        /// How long the client has to stay silent, in milliseconds (KIP-219 from version 1 on).
        throttle_time_ms: i32,
        /// The topics.
        topics: Vec<TxnOffsetCommitResponseTopic>,
    }

    /// A topic's results.
    struct TxnOffsetCommitResponseTopic {
        /// The topic.
        name: String,
        /// Its partitions.
        partitions: Vec<TxnOffsetCommitResponsePartition>,
    }

    /// A partition's result.
    struct TxnOffsetCommitResponsePartition {
        /// The partition.
        partition_index: i32,
        /// 14, 15, 16: ask again, or elsewhere; 47: fenced; 12: the text is too long.
        error_code: ErrorCode,
    }
}
