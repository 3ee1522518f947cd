//! Goes through a body by its shape alone, and says of every byte which field it is part of.
//!
//! The typed decoders do the same work a second time, in another way: where the two do not agree, one of them is wrong.
//! The tests hold them against each other; the example `decode` prints what is seen here.

use std::fmt;

use bytes::Bytes;

use super::array::take_count;
use super::{DecodeError, DecodeErrorKind, FieldShape, Nullable, Reader, Shape, Value, Wire};

/// Where a value stands in its message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// A field of a struct, in snake case.
    Field(&'static str),
    /// An element of an array, counted from 0.
    Element(usize),
}

/// A value, or the beginning of an array or a struct, at its place.
#[derive(Debug)]
pub struct Seen<'a> {
    /// The way to it, from the message inwards. It shows itself as in an error: `topics[3].name`.
    pub path: Path<'a>,
    /// How many bytes into the body it begins.
    pub offset: usize,
    /// How many bytes it takes, its length prefix included. An array's are those of its count, a struct's none: their
    /// elements and fields follow on their own, so that no byte is counted twice and none is left out.
    pub len: usize,
    /// What it is.
    pub what: What,
}

/// What stands at a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A null, bool, integer, text or bytes. Never a list or a struct.
    Value(Value),
    /// A credential of that many bytes.
    Secret(usize),
    /// An array of that many elements, which follow.
    Array(usize),
    /// A struct of that name, whose fields follow.
    Struct(&'static str),
}

/// A way from a message to a value within it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Path<'a>(pub &'a [Step]);

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_path(f, self.0.iter())
    }
}

/// Writes `topics[3].name`.
pub(super) fn write_path<'a>(f: &mut fmt::Formatter<'_>, steps: impl Iterator<Item = &'a Step>) -> fmt::Result {
    for (i, step) in steps.enumerate() {
        match step {
            Step::Field(name) if i > 0 => write!(f, ".{name}")?,
            Step::Field(name) => f.write_str(name)?,
            Step::Element(index) => write!(f, "[{index}]")?,
        }
    }
    Ok(())
}

/// Goes through a whole body in wire order and shows each value to `visit`, arrays and structs before what is in them.
///
/// `shape` is a message's [`Wire::SHAPE`]; whether the message has this version is the caller's to ask. An error comes
/// after what was seen before it, and is the one that the typed decoder gives. The way is no deeper than the shape, and no
/// memory is set aside but for the value at hand.
pub fn trace(shape: &Shape, version: i16, body: Bytes, visit: impl FnMut(&Seen<'_>)) -> Result<(), DecodeError> {
    let message = if let Shape::Struct(message) = shape { message.name } else { "" };
    let mut walk = Walk { input: Reader::new(version, body), path: Vec::new(), visit };
    let walked = match shape {
        Shape::Struct(message) => walk.fields(message.fields),
        other => walk.value(other),
    };
    let done = walked.and_then(|()| match walk.input.left() {
        0 => Ok(()),
        left => Err(walk.input.fail(DecodeErrorKind::Trailing(left))),
    });
    done.map_err(|e| e.in_message(message))
}

struct Walk<V> {
    input: Reader,
    path: Vec<Step>,
    visit: V,
}

impl<V: FnMut(&Seen<'_>)> Walk<V> {
    fn fields(&mut self, fields: &'static [FieldShape]) -> Result<(), DecodeError> {
        let version = self.input.version();
        for field in fields.iter().filter(|field| field.gate.has(version)) {
            self.path.push(Step::Field(field.name));
            let walked = match &field.shape {
                Shape::Nullable(inner) => self.nullable(inner, field.gate.may_be_null(version)),
                shape => self.value(shape),
            };
            walked.map_err(|e| e.in_field(field.name))?;
            self.path.pop();
        }
        Ok(())
    }

    fn value(&mut self, shape: &Shape) -> Result<(), DecodeError> {
        match shape {
            Shape::Bool => self.leaf::<bool>(),
            Shape::Int8 => self.leaf::<i8>(),
            Shape::Int16 => self.leaf::<i16>(),
            Shape::Int32 => self.leaf::<i32>(),
            Shape::Int64 => self.leaf::<i64>(),
            Shape::Nullable(inner) => self.nullable(inner, true),
            Shape::String | Shape::Bytes | Shape::Secret | Shape::Array(_) => self.nullable(shape, false),
            Shape::Struct(inner) => {
                self.show(self.input.offset(), What::Struct(inner.name));
                self.fields(inner.fields)
            }
        }
    }

    fn leaf<T: Wire>(&mut self) -> Result<(), DecodeError> {
        let offset = self.input.offset();
        let value = T::decode(&mut self.input)?.value(self.input.version());
        self.show(offset, What::Value(value));
        Ok(())
    }

    /// A type with a length, whose -1 says null.
    fn nullable(&mut self, shape: &Shape, may_be_null: bool) -> Result<(), DecodeError> {
        let offset = self.input.offset();
        let what = match shape {
            Shape::Array(_) => take_count(&mut self.input)?.map(What::Array),
            Shape::String => String::decode_nullable(&mut self.input)?.map(|text| What::Value(Value::Text(text))),
            Shape::Secret => Bytes::decode_nullable(&mut self.input)?.map(|bytes| What::Secret(bytes.len())),
            _ => Bytes::decode_nullable(&mut self.input)?.map(|bytes| What::Value(Value::Bytes(bytes))),
        };
        if what.is_none() && !may_be_null {
            return Err(self.input.fail(DecodeErrorKind::Null));
        }
        let elements = if let Some(What::Array(count)) = what { count } else { 0 };
        self.show(offset, what.unwrap_or(What::Value(Value::Null)));
        if let Shape::Array(element) = shape { self.elements(element, elements) } else { Ok(()) }
    }

    fn elements(&mut self, element: &Shape, count: usize) -> Result<(), DecodeError> {
        for i in 0..count {
            self.path.push(Step::Element(i));
            self.value(element).map_err(|e| e.in_element(i))?;
            self.path.pop();
        }
        Ok(())
    }

    fn show(&mut self, offset: usize, what: What) {
        let len = self.input.offset() - offset;
        (self.visit)(&Seen { path: Path(&self.path), offset, len, what });
    }
}
