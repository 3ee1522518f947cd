//! AddPartitionsToTxn (24): a transaction's partitions, before the first record goes to them.

use crate::ErrorCode;
use crate::wire::macros::messages;

messages! {
    /// Tells the transaction's coordinator which partitions a transaction will write to (KIP-98). All or nothing.
    request AddPartitionsToTxnRequest = ADD_PARTITIONS_TO_TXN (0..=1) => AddPartitionsToTxnResponse {
        /// The transactional id.
        transactional_id: String,
        /// Its producer id.
        producer_id: i64,
        /// The producer id's epoch; an older one is fenced.
        producer_epoch: i16,
        /// The topics.
        topics: Vec<AddPartitionsToTxnTopic>,
    }

    /// A topic's partitions.
    struct AddPartitionsToTxnTopic {
        /// The topic.
        name: String,
        /// Its partitions.
        partitions: Vec<i32>,
    }

    /// What became of it.
    struct AddPartitionsToTxnResponse {
        /// How long the client has to stay silent, in milliseconds (KIP-219 from version 1 on).
        throttle_time_ms: i32,
        /// The topics.
        results: Vec<AddPartitionsToTxnTopicResult>,
    }

    /// A topic's results.
    struct AddPartitionsToTxnTopicResult {
        /// The topic.
        name: String,
        /// Its partitions.
        results: Vec<AddPartitionsToTxnPartitionResult>,
    }

    /// A partition's result.
    struct AddPartitionsToTxnPartitionResult {
        /// The partition.
        partition_index: i32,
        /// 51: the last transaction is still being ended, ask again; 55: another partition failed; 47: fenced.
        error_code: ErrorCode,
    }
}
