//! ApiVersions (18): which APIs and versions a broker serves.

use bytes::Bytes;

use super::Message;
use crate::ErrorCode;
use crate::wire::DecodeError;
use crate::wire::macros::messages;

messages! {
    /// Asks a broker which APIs it serves, in which versions. The only request that may be sent in a version the broker
    /// lacks: the answer then has version 0's layout, whatever was asked, with error 35 (KIP-35).
    request ApiVersionsRequest = API_VERSIONS (0..=2) => ApiVersionsResponse {}

    /// The version ranges, in no particular order. Version 2 is version 1 from a broker that leaves throttling to the
    /// client (KIP-219).
    struct ApiVersionsResponse {
        /// 35 if the broker lacks the version that was asked.
        error_code: ErrorCode,
        /// One range an API. Keys that the reader does not know are to be passed over.
        api_keys: Vec<ApiVersionsResponseKey>,
        /// How long the client has to stay silent, in milliseconds. It stands last here, unlike in most answers.
        throttle_time_ms: i32 [1.., ignorable],
    }

    /// The versions of one API.
    struct ApiVersionsResponseKey {
        /// The API's key.
        index: i16,
        /// The first version served.
        min_version: i16,
        /// The last version served.
        max_version: i16,
    }
}

impl ApiVersionsResponse {
    /// Reads the answer to a request of version `asked`, and says in whose layout it was: a broker that lacks that version
    /// answers in version 0's, with error 35 and, before Kafka 2.4, no range at all (KIP-35, KIP-511; Kafka's
    /// `ApiKeys.API_VERSIONS.parseResponse`). The error is that of the layout asked for.
    pub fn read_answer(asked: i16, body: Bytes) -> Result<(i16, Self), DecodeError> {
        let first = match Self::read(asked, body.clone()) {
            Ok(answer) => return Ok((asked, answer)),
            Err(error) => error,
        };
        match Self::read(0, body) {
            Ok(answer) if answer.error_code == ErrorCode::UNSUPPORTED_VERSION => Ok((0, answer)),
            _ => Err(first),
        }
    }
}
