//! DescribeDelegationToken (41): the tokens that the user owns, may renew or may see.

use super::Secret;
use crate::ErrorCode;
use crate::wire::macros::messages;

messages! {
    /// Asks any broker for delegation tokens (KIP-48).
    request DescribeDelegationTokenRequest = DESCRIBE_DELEGATION_TOKEN (0..=1) => DescribeDelegationTokenResponse {
        /// Whose tokens; null for everyone's.
        owners: Option<Vec<DescribeDelegationTokenOwner>>,
    }

    /// An owner asked for.
    struct DescribeDelegationTokenOwner {
        /// The kind, `User`.
        principal_type: String,
        /// The name.
        principal_name: String,
    }

    /// The tokens.
    struct DescribeDelegationTokenResponse {
        /// 61: tokens are not enabled; 64: not on this kind of connection.
        error_code: ErrorCode,
        /// The tokens.
        tokens: Vec<DescribedDelegationToken>,
        /// How long the client has to stay silent, in milliseconds (KIP-219 from version 1 on). It stands last here,
        /// unlike in most answers.
        throttle_time_ms: i32,
    }

    /// A token.
    struct DescribedDelegationToken {
        /// The kind of the owner, `User`.
        principal_type: String,
        /// The owner's name.
        principal_name: String,
        /// When it was made, in milliseconds since 1970.
        issue_timestamp: i64,
        /// When it expires unless it is renewed, in milliseconds since 1970.
        expiry_timestamp: i64,
        /// When it expires in any case, in milliseconds since 1970.
        max_timestamp: i64,
        /// Its id: the user name of the SCRAM exchange.
        token_id: String,
        /// Its secret, which in Base64 is the password of the SCRAM exchange.
        hmac: Secret,
        /// Who may renew it, besides the owner.
        renewers: Vec<DescribedDelegationTokenRenewer>,
    }

    /// One who may renew.
    struct DescribedDelegationTokenRenewer {
        /// The kind, `User`.
        principal_type: String,
        /// The name.
        principal_name: String,
    }
}
