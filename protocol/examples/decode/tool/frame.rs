//! A frame taken apart into header and body.

use bytes::Bytes;
use ottla_protocol::ApiKey;
use ottla_protocol::header::{RequestHeader, split_correlation_id};
use ottla_protocol::messages::{ApiVersionsResponse, Body, Direction};

use super::line::Line;

/// What stands before the body.
pub(crate) enum Header {
    Request(RequestHeader),
    Response { correlation_id: i32 },
}

/// A frame whose header was read and whose body is one that Kafka 2.3.1 knows.
pub(crate) struct Framed {
    pub(crate) frame: Bytes,
    pub(crate) header: Header,
    pub(crate) version: i16,
    /// The table's row for the body.
    pub(crate) row: &'static Body,
    pub(crate) body: Bytes,
}

impl Framed {
    /// Reads the header, and finds out what the body is.
    pub(crate) fn new(line: Line) -> Result<Self, String> {
        let Line { said, frame } = line;
        let mut body = frame.clone();
        let header = match said {
            Some((.., Direction::Response)) => {
                Header::Response { correlation_id: split_correlation_id(&mut body).map_err(|e| e.to_string())? }
            }
            _ => Header::Request(RequestHeader::decode(&mut body).map_err(|e| e.to_string())?),
        };
        let (key, version, direction) = match (&header, said) {
            (Header::Request(header), None) => (header.api_key, header.api_version, Direction::Request),
            (Header::Request(header), Some(said)) => agreed(header, said)?,
            (Header::Response { .. }, Some(said)) => said,
            (Header::Response { .. }, None) => return Err("a response needs its API and version named".to_owned()),
        };
        let version = layout(key, version, direction, &body);
        let row = known(key, version, direction)?;
        Ok(Self { frame, header, version, row, body })
    }

    /// How many bytes into the frame the body begins.
    pub(crate) fn body_at(&self) -> usize {
        self.frame.len() - self.body.len()
    }
}

fn agreed(header: &RequestHeader, said: (ApiKey, i16, Direction)) -> Result<(ApiKey, i16, Direction), String> {
    let (key, version, _) = said;
    if (header.api_key, header.api_version) == (key, version) {
        return Ok(said);
    }
    Err(format!("the line says {key:?} v{version}, the header {:?} v{}", header.api_key, header.api_version))
}

/// The version in whose layout the body is: a refused ApiVersions alone comes in another than was asked for.
fn layout(key: ApiKey, version: i16, direction: Direction, body: &Bytes) -> i16 {
    match (key, direction) {
        (ApiKey::API_VERSIONS, Direction::Response) => {
            ApiVersionsResponse::read_answer(version, body.clone()).map_or(version, |(layout, _)| layout)
        }
        _ => version,
    }
}

fn known(key: ApiKey, version: i16, direction: Direction) -> Result<&'static Body, String> {
    let row = Body::find(key, direction).ok_or_else(|| format!("{key} is none of Kafka 2.3's"))?;
    if row.versions.contains(&version) {
        return Ok(row);
    }
    Err(format!("{} has no version {version}: it has {} to {}", row.name, row.versions.start(), row.versions.end()))
}
