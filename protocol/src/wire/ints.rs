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
