//! SaslHandshake (17): names the SASL mechanism.

use crate::ErrorCode;
use crate::wire::macros::messages;

messages! {
    /// Names the mechanism. After version 0 the tokens travel raw, without headers; after version 1 in SaslAuthenticate.
    request SaslHandshakeRequest = SASL_HANDSHAKE (0..=1) => SaslHandshakeResponse {
        /// `PLAIN`, `SCRAM-SHA-256`, `GSSAPI` …
        mechanism: String,
    }

    /// Whether the broker takes it.
    struct SaslHandshakeResponse {
        /// 33: not enabled; 34: not now.
        error_code: ErrorCode,
        /// The mechanisms that are enabled.
        mechanisms: Vec<String>,
    }
}
