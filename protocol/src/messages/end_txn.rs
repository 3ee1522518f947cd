//! EndTxn (26): commits or aborts a transaction.

use crate::wire::macros::messages;
use crate::{ErrorCode, TransactionResult};

messages! {
    /// Asks the transaction's coordinator to end it (KIP-98). The markers are written after the answer.
    request EndTxnRequest = END_TXN (0..=1) => EndTxnResponse {
        /// The transactional id.
        transactional_id: String,
        /// Its producer id.
        producer_id: i64,
        /// The producer id's epoch; an older one is fenced.
        producer_epoch: i16,
        /// How it ends.
        committed: TransactionResult,
    }

    /// Whether it will.
    struct EndTxnResponse {
        /// How long the client has to stay silent, in milliseconds (KIP-219 from version 1 on).
        throttle_time_ms: i32,
        /// 48: there is no transaction to end so; 16: another broker coordinates; 47: fenced.
        error_code: ErrorCode,
    }
}
