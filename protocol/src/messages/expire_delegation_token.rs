//! ExpireDelegationToken (40): a token's end, brought forward.

use super::Secret;
use crate::ErrorCode;
use crate::wire::macros::messages;

messages! {
    /// Asks any broker to change when a token expires (KIP-48).
    request ExpireDelegationTokenRequest = EXPIRE_DELEGATION_TOKEN (0..=1) => ExpireDelegationTokenResponse {
        /// The token's secret.
        hmac: Secret,
        /// How long from now, in milliseconds; below 0 it ends at once.
        expiry_time_period_ms: i64,
    }

    /// The new date.
    struct ExpireDelegationTokenResponse {
        /// 62: there is no such token; 63: neither owner nor renewer; 66: it has expired.
        error_code: ErrorCode,
        /// When it expires now, in milliseconds since 1970; -1 on an error.
        expiry_timestamp_ms: i64,
        /// How long the client has to stay silent, in milliseconds (KIP-219 from version 1 on). It stands last here,
        /// unlike in most answers.
        throttle_time_ms: i32,
    }
}
