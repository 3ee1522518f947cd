//! Every body without its type: for tools that learn only from a header what they have before them.

use std::fmt;
use std::ops::RangeInclusive;

use bytes::Bytes;

use super::Message;
use crate::ApiKey;
use crate::wire::{DecodeError, EncodeError, Shape, Value, Wire, Writer};

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Direction {
    /// The client, or a broker that asks another one.
    Request,
    /// The broker that answers.
    Response,
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Request => "request",
            Self::Response => "response",
        })
    }
}

/// One direction of one API: a row of the table.
///
/// ```
/// use ottla_protocol::ApiKey;
/// use ottla_protocol::messages::{Body, Direction};
///
/// let body = Body::find(ApiKey::HEARTBEAT, Direction::Response).expect("an API of Kafka 2.3.1");
/// let message = body.read(1, vec![0, 0, 0, 0, 0, 27].into())?;
/// assert_eq!(message.value(1).to_string(), "{throttle_time_ms: 0, error_code: 27}");
/// assert_eq!(message.write(0)?.concat(), [0, 27], "version 0 has no throttle time");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Body {
    /// The API.
    pub key: ApiKey,
    /// Which of its two bodies.
    pub direction: Direction,
    /// The Rust name of its type, which is Kafka's.
    pub name: &'static str,
    /// The versions that Kafka 2.3.1 knows.
    pub versions: RangeInclusive<i16>,
    /// Its fields.
    pub shape: Shape,
    read: fn(i16, Bytes) -> Result<AnyMessage, DecodeError>,
}

impl Body {
    /// The row of a type.
    pub(super) const fn of<M: Message>(direction: Direction) -> Self {
        Self {
            key: M::KEY,
            direction,
            name: M::NAME,
            versions: M::VERSIONS,
            shape: M::SHAPE,
            read: |version, body| Ok(AnyMessage(Box::new(M::read(version, body)?))),
        }
    }

    /// The row of this API and direction, or `None` for an API that Kafka 2.3.1 lacks.
    pub fn find(key: ApiKey, direction: Direction) -> Option<&'static Self> {
        Self::ALL.iter().find(|body| body.key == key && body.direction == direction)
    }

    /// Reads a whole body, as [`Message::read`] does.
    pub fn read(&self, version: i16, body: Bytes) -> Result<AnyMessage, DecodeError> {
        (self.read)(version, body)
    }
}

/// A message of some API. Its `Debug` is that of the message.
pub struct AnyMessage(Box<dyn Erased>);

impl AnyMessage {
    /// The fields that the version has, by name.
    pub fn value(&self, version: i16) -> Value {
        self.0.value(version)
    }

    /// Appends the body, as [`Message::write_to`] does.
    pub fn write_to(&self, out: &mut Writer) -> Result<(), EncodeError> {
        self.0.write_to(out)
    }

    /// The body alone, as [`Message::write`] gives it.
    pub fn write(&self, version: i16) -> Result<Vec<Bytes>, EncodeError> {
        self.0.write(version)
    }
}

impl fmt::Debug for AnyMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What of [`Message`] needs no type.
trait Erased: fmt::Debug + Send + Sync {
    fn value(&self, version: i16) -> Value;
    fn write_to(&self, out: &mut Writer) -> Result<(), EncodeError>;
    fn write(&self, version: i16) -> Result<Vec<Bytes>, EncodeError>;
}

impl<M: Message> Erased for M {
    fn value(&self, version: i16) -> Value {
        Wire::value(self, version)
    }

    fn write_to(&self, out: &mut Writer) -> Result<(), EncodeError> {
        Message::write_to(self, out)
    }

    fn write(&self, version: i16) -> Result<Vec<Bytes>, EncodeError> {
        Message::write(self, version)
    }
}
