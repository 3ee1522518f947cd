//! What stands before a body.

use bytes::Bytes;

use crate::ApiKey;
use crate::wire::{DecodeError, DecodeErrorKind, EncodeError, Reader, Wire, Writer};

/// Before each request. By hand, not by `messages!`: its layout depends on the API, not on a version of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestHeader {
    /// Which API the body belongs to.
    pub api_key: ApiKey,
    /// Which version of it.
    pub api_version: i16,
    /// What the answer will carry.
    pub correlation_id: i32,
    /// The client's name in the broker's logs and quotas.
    pub client_id: Option<String>,
}

impl RequestHeader {
    /// Takes the header off a frame's front.
    pub fn decode(frame: &mut Bytes) -> Result<Self, DecodeError> {
        let mut input = Reader::new(1, frame.clone());
        let header = Self::read(&mut input).map_err(|e| e.in_message("RequestHeader"))?;
        *frame = input.into_rest();
        Ok(header)
    }

    fn read(input: &mut Reader) -> Result<Self, DecodeError> {
        let api_key = ApiKey(i16::decode(input).map_err(|e| e.in_field("api_key"))?);
        let api_version = i16::decode(input).map_err(|e| e.in_field("api_version"))?;
        let correlation_id = i32::decode(input).map_err(|e| e.in_field("correlation_id"))?;
        let client_id = if has_client_id(api_key, api_version) {
            Option::<String>::decode(input).map_err(|e| e.in_field("client_id"))?
        } else {
            None
        };
        Ok(Self { api_key, api_version, correlation_id, client_id })
    }

    /// Appends the header.
    pub fn encode(&self, out: &mut Writer) -> Result<(), EncodeError> {
        encode(out, self.api_key, self.api_version, self.correlation_id, self.client_id.as_deref())
    }
}

/// Appends a request header without owning its text.
pub(crate) fn encode(
    out: &mut Writer,
    api_key: ApiKey,
    api_version: i16,
    correlation_id: i32,
    client_id: Option<&str>,
) -> Result<(), EncodeError> {
    api_key.0.encode(out)?;
    api_version.encode(out)?;
    correlation_id.encode(out)?;
    if has_client_id(api_key, api_version) {
        client_id.map(str::to_owned).encode(out).map_err(|e| e.in_field("client_id").in_message("RequestHeader"))?;
    }
    Ok(())
}

/// ControlledShutdown v0 alone goes without (`RequestHeader.schema` at 2.3.1).
fn has_client_id(api_key: ApiKey, api_version: i16) -> bool {
    (api_key, api_version) != (ApiKey::CONTROLLED_SHUTDOWN, 0)
}

/// Takes the response header off a frame's front: the correlation id and nothing else. Which API and version the rest
/// is, only the asker knows.
pub fn split_correlation_id(frame: &mut Bytes) -> Result<i32, DecodeError> {
    let mut input = Reader::new(0, frame.clone());
    let id = input.take().map_err(|e: DecodeError| e.in_field("correlation_id").in_message("ResponseHeader"))?;
    *frame = input.into_rest();
    Ok(i32::from_be_bytes(id))
}

/// The error of a peer that asks in a version outside `min..=max`.
pub fn no_such_version(api_version: i16, min: i16, max: i16) -> DecodeError {
    Reader::new(api_version, Bytes::new()).fail(DecodeErrorKind::NoSuchVersion { min, max })
}
