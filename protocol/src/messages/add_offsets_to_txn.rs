//! AddOffsetsToTxn (25): a group whose positions a transaction will commit.

use crate::ErrorCode;
use crate::wire::macros::messages;

messages! {
    /// Tells the transaction's coordinator that a transaction will commit positions of a group (KIP-98). TxnOffsetCommit
    /// follows, to the group's coordinator.
    request AddOffsetsToTxnRequest = ADD_OFFSETS_TO_TXN (0..=1) => AddOffsetsToTxnResponse {
        /// The transactional id.
        transactional_id: String,
        /// Its producer id.
        producer_id: i64,
        /// The producer id's epoch; an older one is fenced.
        producer_epoch: i16,
        /// The group.
        group_id: String,
    }

    /// What became of it.
    struct AddOffsetsToTxnResponse {
        /// How long the client has to stay silent, in milliseconds (KIP-219 from version 1 on).
        throttle_time_ms: i32,
        /// 51: the last transaction is still being ended, ask again; 16: another broker coordinates; 47: fenced.
        error_code: ErrorCode,
    }
}
