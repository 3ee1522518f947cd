//! Bytes that no log may show.

use std::fmt;

use bytes::Bytes;

use crate::wire::{DecodeError, EncodeError, Reader, Shape, Value, Wire, Writer};

/// Bytes of a credential: `Debug` tells the length only.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(pub Bytes);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{} secret bytes>", self.0.len())
    }
}

impl From<Bytes> for Secret {
    fn from(bytes: Bytes) -> Self {
        Self(bytes)
    }
}

impl Wire for Secret {
    const SHAPE: Shape = Shape::Secret;

    fn encode(&self, out: &mut Writer) -> Result<(), EncodeError> {
        self.0.encode(out)
    }

    fn decode(input: &mut Reader) -> Result<Self, DecodeError> {
        Bytes::decode(input).map(Self)
    }

    fn value(&self, version: i16) -> Value {
        self.0.value(version)
    }
}
