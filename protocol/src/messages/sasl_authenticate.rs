//! SaslAuthenticate (36): one token of a SASL exchange, after a handshake of version 1.

use bytes::Bytes;

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

/// Bytes of a credential: `Debug` tells the length only.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(pub Bytes);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "<{} secret bytes>", self.0.len())
    }
}

impl From<Bytes> for Secret {
    fn from(bytes: Bytes) -> Self {
        Self(bytes)
    }
}

impl crate::wire::Wire for Secret {
    const SHAPE: crate::wire::Shape = crate::wire::Shape::Secret;

    fn encode(&self, out: &mut crate::wire::Writer) -> Result<(), crate::wire::EncodeError> {
        self.0.encode(out)
    }

    fn decode(input: &mut crate::wire::Reader) -> Result<Self, crate::wire::DecodeError> {
        Bytes::decode(input).map(Self)
    }

    fn value(&self, version: i16) -> crate::wire::Value {
        self.0.value(version)
    }
}
