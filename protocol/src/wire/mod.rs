//! How a value becomes bytes and bytes become a value.
//!
//! Kafka 2.3's encoding is a flat sequence of big-endian integers, length-prefixed text and counted arrays; which fields
//! are there depends on the version alone. So the Rust type *is* the wire type: [`Wire`] is implemented for the
//! primitives in [`ints`], [`text`] and [`mod@array`], and the [`messages!`](crate::messages) declarations put them in order.

pub mod array;
pub(crate) mod codes;
pub mod gate;
pub mod ints;
pub(crate) mod macros;
pub mod reader;
pub mod shape;
pub mod text;
pub mod trace;
pub mod value;
pub mod writer;

use std::fmt;

pub use gate::Gate;
pub use reader::{DecodeError, DecodeErrorKind, MEMORY_ON_TOP, MEMORY_PER_BYTE, Reader};
pub use shape::{FieldShape, Shape, StructShape};
pub use trace::trace;
pub use value::Value;
pub use writer::{EncodeError, EncodeErrorKind, Writer};

/// Up to how many bytes arrays grow with their elements instead of being allocated by their count.
const SMALL_BODY: usize = 64 << 10;

/// A type that stands on the wire as it stands in Rust. The version travels in the reader and the writer.
pub trait Wire: Sized + fmt::Debug {
    /// What the type looks like, for tests, tools and documentation. The codec never reads it.
    const SHAPE: Shape;

    /// Appends the value.
    fn encode(&self, out: &mut Writer) -> Result<(), EncodeError>;

    /// Takes a value off the front.
    fn decode(input: &mut Reader) -> Result<Self, DecodeError>;

    /// The value without its type, with the fields that the version has, by name. For tests, tools and dumps.
    fn value(&self, version: i16) -> Value;

    /// Takes the elements of an array off the front, after their count, which is only a claim: what is allocated for it is
    /// in proportion to the bytes that came.
    fn decode_many(input: &mut Reader, count: usize) -> Result<Vec<Self>, DecodeError> {
        input.charge(count, size_of::<Self>())?;
        // In a small body a claim costs nothing before its elements come: there [`MEMORY_ON_TOP`] would be a large multiple.
        let believed = match input.left() {
            left if left > SMALL_BODY => count,
            left => MEMORY_PER_BYTE * left / size_of::<Self>().max(1) + 1,
        };
        let mut elements = Vec::with_capacity(count.min(believed));
        for i in 0..count {
            elements.push(Self::decode(input).map_err(|e| e.in_element(i))?);
        }
        Ok(elements)
    }

    /// What `Debug` of a message shows of it: of bytes how many there are, of a long array its beginning.
    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }

    /// Whether this is the null of a nullable type.
    fn is_null(&self) -> bool {
        false
    }
}

/// A length-prefixed type whose length -1 can say "null". `Option` of it is on the wire too.
pub trait Nullable: Wire {
    /// Takes a value or a null off the front.
    fn decode_nullable(input: &mut Reader) -> Result<Option<Self>, DecodeError>;

    /// Appends the null: the length -1.
    fn encode_null(out: &mut Writer);
}

impl<T: Nullable> Wire for Option<T> {
    const SHAPE: Shape = Shape::Nullable(&T::SHAPE);

    fn encode(&self, out: &mut Writer) -> Result<(), EncodeError> {
        if let Some(value) = self {
            return value.encode(out);
        }
        T::encode_null(out);
        Ok(())
    }

    fn decode(input: &mut Reader) -> Result<Self, DecodeError> {
        T::decode_nullable(input)
    }

    fn value(&self, version: i16) -> Value {
        self.as_ref().map_or(Value::Null, |value| value.value(version))
    }

    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Some(value) => value.show(f),
            None => f.write_str("null"),
        }
    }

    fn is_null(&self) -> bool {
        self.is_none()
    }
}

/// `Debug` by way of [`Wire::show`].
pub(crate) struct Shown<'a, T>(pub(crate) &'a T);

impl<T: Wire> fmt::Debug for Shown<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.show(f)
    }
}
