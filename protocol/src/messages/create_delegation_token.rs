//! CreateDelegationToken (38): a credential for others, for a time.

use super::Secret;
use crate::ErrorCode;
use crate::wire::macros::messages;

messages! {
    /// Asks any broker for a delegation token of the user's own (KIP-48). It is used with SASL/SCRAM.
    request CreateDelegationTokenRequest = CREATE_DELEGATION_TOKEN (0..=1) => CreateDelegationTokenResponse {
        /// Who may renew it, besides the owner.
        renewers: Vec<CreatableRenewers>,
        /// How long it may live however often it is renewed, in milliseconds; -1 as the broker is set.
        max_lifetime_ms: i64,
    }

    /// One who may renew.
    struct CreatableRenewers {
        /// `User`; brokers refuse any other kind.
        principal_type: String,
        /// The name.
        principal_name: String,
    }

    /// The token.
    struct CreateDelegationTokenResponse {
        /// 61: tokens are not enabled; 64: not on this kind of connection; 67: the kind of a renewer is not known.
        error_code: ErrorCode,
        /// The kind of the owner, `User`.
        principal_type: String,
        /// The owner's name.
        principal_name: String,
        /// When it was made, in milliseconds since 1970; -1 on an error.
        issue_timestamp_ms: i64,
        /// When it expires unless it is renewed, in milliseconds since 1970; -1 on an error.
        expiry_timestamp_ms: i64,
        /// When it expires in any case, in milliseconds since 1970; -1 on an error.
        max_timestamp_ms: i64,
        /// Its id: the user name of the SCRAM exchange.
        token_id: String,
        /// Its secret, which in Base64 is the password of the SCRAM exchange.
        hmac: Secret,
        /// How long the client has to stay silent, in milliseconds (KIP-219 from version 1 on). It stands last here,
        /// unlike in most answers.
        throttle_time_ms: i32,
    }
}
