//! InitProducerId (22): an identity for an idempotent or transactional producer.

use crate::ErrorCode;
use crate::wire::macros::messages;

messages! {
    /// Asks for a producer id (KIP-98). Without a transactional id any broker can answer.
    request InitProducerIdRequest = INIT_PRODUCER_ID (0..=1) => InitProducerIdResponse {
        /// Null for a producer that is only idempotent.
        transactional_id: Option<String>,
        /// When the coordinator may abort an idle transaction, in milliseconds.
        transaction_timeout_ms: i32,
    }

    /// The identity.
    struct InitProducerIdResponse {
        /// How long the client has to stay silent, in milliseconds (KIP-219 from version 1 on).
        throttle_time_ms: i32 [0.., ignorable],
        /// 31: not allowed; 51: the last transaction is still being ended, ask again.
        error_code: ErrorCode,
        /// The producer id.
        producer_id: i64 = -1,
        /// Its epoch; an older one is fenced.
        producer_epoch: i16,
    }
}
