//! WriteTxnMarkers (27): a transaction's end, written into each of its partitions.

use crate::wire::macros::messages;
use crate::{ErrorCode, TransactionResult};

messages! {
    /// Tells partition leaders to write a transaction's end into the log (KIP-98). Between brokers only.
    request WriteTxnMarkersRequest = WRITE_TXN_MARKERS (0..=0) => WriteTxnMarkersResponse {
        /// The transactions.
        markers: Vec<WritableTxnMarker>,
    }

    /// A transaction's end.
    struct WritableTxnMarker {
        /// Its producer id.
        producer_id: i64,
        /// The producer id's epoch.
        producer_epoch: i16,
        /// How it ends.
        transaction_result: TransactionResult,
        /// The topics.
        topics: Vec<WritableTxnMarkerTopic>,
        /// The epoch of the coordinator's own partition; an older coordinator's markers are refused.
        coordinator_epoch: i32,
    }

    /// A topic's partitions.
    struct WritableTxnMarkerTopic {
        /// The topic.
        name: String,
        /// Its partitions.
        partition_indexes: Vec<i32>,
    }

    /// What became of them.
    struct WriteTxnMarkersResponse {
        /// The transactions.
        markers: Vec<WritableTxnMarkerResult>,
    }

    /// A transaction's results.
    struct WritableTxnMarkerResult {
        /// Its producer id.
        producer_id: i64,
        /// The topics.
        topics: Vec<WritableTxnMarkerTopicResult>,
    }

    /// A topic's results.
    struct WritableTxnMarkerTopicResult {
        /// The topic.
        name: String,
        /// Its partitions.
        partitions: Vec<WritableTxnMarkerPartitionResult>,
    }

    /// A partition's result.
    struct WritableTxnMarkerPartitionResult {
        /// The partition.
        partition_index: i32,
        /// 6: not the leader; 47: the producer's epoch is old; 52: the coordinator's is.
        error_code: ErrorCode,
    }
}
