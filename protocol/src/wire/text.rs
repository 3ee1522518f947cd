//! Text and bytes.

use std::fmt;

use bytes::Bytes;

use super::{DecodeError, DecodeErrorKind, EncodeError, EncodeErrorKind, Nullable, Reader, Shape, Value, Wire, Writer};

impl Wire for String {
    const SHAPE: Shape = Shape::String;

    fn encode(&self, out: &mut Writer) -> Result<(), EncodeError> {
        let too_long = EncodeErrorKind::TooLong { len: self.len(), max: i16::MAX as usize };
        let len = i16::try_from(self.len()).map_err(|_| out.fail(too_long))?;
        out.put(&len.to_be_bytes());
        out.put(self.as_bytes());
        Ok(())
    }

    fn decode(input: &mut Reader) -> Result<Self, DecodeError> {
        Self::decode_nullable(input)?.ok_or_else(|| input.fail(DecodeErrorKind::Null))
    }

    fn value(&self, _version: i16) -> Value {
        Value::Text(self.clone())
    }
}

impl Nullable for String {
    fn decode_nullable(input: &mut Reader) -> Result<Option<Self>, DecodeError> {
        match i16::decode(input)? {
            -1 => Ok(None),
            len if len < 0 => Err(input.fail(DecodeErrorKind::NegativeLength(len.into()))),
            len => input.take_text(len as usize).map(Some),
        }
    }

    fn encode_null(out: &mut Writer) {
        out.put(&(-1_i16).to_be_bytes());
    }
}

impl Wire for Bytes {
    const SHAPE: Shape = Shape::Bytes;

    fn encode(&self, out: &mut Writer) -> Result<(), EncodeError> {
        out.put_len(self.len())?;
        out.put_shared(self);
        Ok(())
    }

    fn decode(input: &mut Reader) -> Result<Self, DecodeError> {
        Self::decode_nullable(input)?.ok_or_else(|| input.fail(DecodeErrorKind::Null))
    }

    fn value(&self, _version: i16) -> Value {
        Value::Bytes(self.clone())
    }

    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.len())
    }
}

impl Nullable for Bytes {
    fn decode_nullable(input: &mut Reader) -> Result<Option<Self>, DecodeError> {
        match i32::decode(input)? {
            -1 => Ok(None),
            len if len < 0 => Err(input.fail(DecodeErrorKind::NegativeLength(len))),
            len => input.take_bytes(len as usize).map(Some),
        }
    }

    fn encode_null(out: &mut Writer) {
        out.put(&(-1_i32).to_be_bytes());
    }
}
