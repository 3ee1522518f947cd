//! Counted arrays.

use std::fmt;

use super::{DecodeError, DecodeErrorKind, EncodeError, Nullable, Reader, Shape, Shown, Value, Wire, Writer};

/// How many elements `Debug` shows.
const SHOWN: usize = 16;

impl<T: Wire> Wire for Vec<T> {
    const SHAPE: Shape = Shape::Array(&T::SHAPE);

    fn encode(&self, out: &mut Writer) -> Result<(), EncodeError> {
        out.put_len(self.len())?;
        for (i, element) in self.iter().enumerate() {
            element.encode(out).map_err(|e| e.in_element(i))?;
        }
        Ok(())
    }

    fn decode(input: &mut Reader) -> Result<Self, DecodeError> {
        Self::decode_nullable(input)?.ok_or_else(|| input.fail(DecodeErrorKind::Null))
    }

    fn value(&self, version: i16) -> Value {
        Value::List(self.iter().map(|element| element.value(version)).collect())
    }

    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut list = f.debug_list();
        list.entries(self.iter().take(SHOWN).map(Shown));
        if let Some(more @ 1..) = self.len().checked_sub(SHOWN) {
            list.entry(&format_args!("… {more} more"));
        }
        list.finish()
    }
}

impl<T: Wire> Nullable for Vec<T> {
    fn decode_nullable(input: &mut Reader) -> Result<Option<Self>, DecodeError> {
        let Some(count) = take_count(input)? else { return Ok(None) };
        T::decode_many(input, count).map(Some)
    }

    fn encode_null(out: &mut Writer) {
        out.put(&(-1_i32).to_be_bytes());
    }
}

/// Takes a count, refusing one that the rest of the frame cannot hold. -1 is null.
pub(crate) fn take_count(input: &mut Reader) -> Result<Option<usize>, DecodeError> {
    let count = match i32::decode(input)? {
        -1 => return Ok(None),
        count if count < 0 => return Err(input.fail(DecodeErrorKind::NegativeLength(count))),
        count => count as usize,
    };
    // No element is shorter than a byte.
    if count > input.left() {
        return Err(input.fail(DecodeErrorKind::TooMany { count, left: input.left() }));
    }
    Ok(Some(count))
}
