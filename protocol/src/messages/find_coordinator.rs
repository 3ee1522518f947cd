//! FindCoordinator (10): which broker looks after a group or a transactional id.

use crate::wire::macros::messages;
use crate::{CoordinatorType, ErrorCode};

messages! {
    /// Asks any broker who coordinates a group or a transaction.
    request FindCoordinatorRequest = FIND_COORDINATOR (0..=2) => FindCoordinatorResponse {
        /// The group id or transactional id.
        key: String,
        /// Whose it is. Version 0 knows groups only.
        key_type: CoordinatorType [1..],
    }

    /// The coordinator.
    struct FindCoordinatorResponse {
        /// How long the client has to stay silent, in milliseconds (KIP-219 from version 2 on).
        throttle_time_ms: i32 [1.., ignorable],
        /// 15 until the internal topic is there: ask again.
        error_code: ErrorCode,
        /// The broker's own words.
        error_message: Option<String> [1.., ignorable],
        /// The broker.
        node_id: i32,
        /// Its host.
        host: String,
        /// Its port.
        port: i32,
    }
}
