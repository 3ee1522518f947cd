//! SaslAuthenticate (36): one token of a SASL exchange, after a handshake of version 1.

use super::Secret;
use crate::ErrorCode;
use crate::wire::macros::messages;

messages! {
    /// Carries the client's token (KIP-152). Its `Debug` shows how long the token is, never what it says.
    request SaslAuthenticateRequest = SASL_AUTHENTICATE (0..=1) => SaslAuthenticateResponse {
        /// The token.
        auth_bytes: Secret,
    }

    /// Carries the server's token.
    struct SaslAuthenticateResponse {
        /// 58: refused. The close may follow a moment later.
        error_code: ErrorCode,
        /// Why.
        error_message: Option<String>,
        /// The token, empty if there is nothing to say.
        auth_bytes: Secret,
        /// After how many milliseconds the client has to authenticate again (KIP-368); 0 for never.
        session_lifetime_ms: i64 [1..],
    }
}
