//! RenewDelegationToken (39): a token's life, made longer.

use super::Secret;
use crate::ErrorCode;
use crate::wire::macros::messages;

messages! {
    /// Asks any broker to put off when a token expires (KIP-48).
    request RenewDelegationTokenRequest = RENEW_DELEGATION_TOKEN (0..=1) => RenewDelegationTokenResponse {
        /// The token's secret.
        hmac: Secret,
        /// By how much from now, in milliseconds; -1 as the broker is set. Never beyond the token's last day.
        renew_period_ms: i64,
    }

    /// The new date.
    struct RenewDelegationTokenResponse {
        /// 62: there is no such token; 63: neither owner nor renewer; 66: it has expired.
        error_code: ErrorCode,
        /// When it expires now, in milliseconds since 1970; -1 on an error.
        expiry_timestamp_ms: i64,
        /// How long the client has to stay silent, in milliseconds (KIP-219 from version 1 on). It stands last here,
        /// unlike in most answers.
        throttle_time_ms: i32,
    }
}
