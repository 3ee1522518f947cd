//! How a transaction ends.

use crate::wire::{DecodeError, EncodeError, Reader, Shape, Value, Wire, Writer};

/// How a transaction ends (`TransactionResult`, KIP-98): a bool on the wire, hence a closed set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum TransactionResult {
    /// Its records are to be passed over: false.
    #[default]
    Abort,
    /// Its records count: true.
    Commit,
}

impl Wire for TransactionResult {
    const SHAPE: Shape = Shape::Bool;

    fn encode(&self, out: &mut Writer) -> Result<(), EncodeError> {
        (*self == Self::Commit).encode(out)
    }

    fn decode(input: &mut Reader) -> Result<Self, DecodeError> {
        Ok(if bool::decode(input)? { Self::Commit } else { Self::Abort })
    }

    fn value(&self, version: i16) -> Value {
        (*self == Self::Commit).value(version)
    }
}
