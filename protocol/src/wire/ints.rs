//! Integers and bool.

use super::{DecodeError, EncodeError, Reader, Shape, Value, Wire, Writer};

macro_rules! ints {
    ($($int:ty => $shape:ident),*) => {$(
        impl Wire for $int {
            const SHAPE: Shape = Shape::$shape;

            #[inline]
            fn encode(&self, out: &mut Writer) -> Result<(), EncodeError> {
                out.put(&self.to_be_bytes());
                Ok(())
            }

            #[inline]
            fn decode(input: &mut Reader) -> Result<Self, DecodeError> {
                Ok(Self::from_be_bytes(input.take()?))
            }

            fn decode_many(input: &mut Reader, count: usize) -> Result<Vec<Self>, DecodeError> {
                const SIZE: usize = size_of::<$int>();
                let whole = count.min(input.left() / SIZE);
                input.charge(whole, SIZE)?;
                let (bytes, _) = input.take_slice(whole * SIZE)?.as_chunks::<SIZE>();
                let elements = bytes.iter().map(|bytes| Self::from_be_bytes(*bytes)).collect();
                if whole < count {
                    // The one that is cut says so.
                    Self::decode(input).map_err(|e| e.in_element(whole))?;
                }
                Ok(elements)
            }

            fn value(&self, _version: i16) -> Value {
                Value::Int(i64::from(*self))
            }
        }
    )*};
}

ints!(i8 => Int8, i16 => Int16, i32 => Int32, i64 => Int64);

impl Wire for bool {
    const SHAPE: Shape = Shape::Bool;

    fn encode(&self, out: &mut Writer) -> Result<(), EncodeError> {
        out.put(&[u8::from(*self)]);
        Ok(())
    }

    // Any byte but zero is true (Kafka's `Type.BOOLEAN`).
    fn decode(input: &mut Reader) -> Result<Self, DecodeError> {
        let [byte] = input.take()?;
        Ok(byte != 0)
    }

    fn value(&self, _version: i16) -> Value {
        Value::Bool(*self)
    }
}
