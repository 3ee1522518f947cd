//! What a message looks like, as data: the declaration seen from outside.

use super::Gate;

/// The wire type of a value.
#[derive(Debug, Clone, Copy)]
pub enum Shape {
    /// One byte, zero or not.
    Bool,
    /// A signed byte.
    Int8,
    /// Two bytes, signed, big-endian.
    Int16,
    /// Four bytes, signed, big-endian.
    Int32,
    /// Eight bytes, signed, big-endian.
    Int64,
    /// An int16 length and UTF-8.
    String,
    /// An int32 length and bytes.
    Bytes,
    /// The same on the wire: a credential, whose bytes no tool shows.
    Secret,
    /// An int32 count and that many elements.
    Array(&'static Shape),
    /// The same type, whose length -1 says null.
    Nullable(&'static Shape),
    /// Fields, one after the other.
    Struct(&'static StructShape),
}

/// A struct's name and its fields in wire order.
#[derive(Debug)]
pub struct StructShape {
    /// The Rust name, which is Kafka's.
    pub name: &'static str,
    /// The fields in wire order.
    pub fields: &'static [FieldShape],
}

/// One field.
#[derive(Debug)]
pub struct FieldShape {
    /// The name, in snake case.
    pub name: &'static str,
    /// The type.
    pub shape: Shape,
    /// The versions.
    pub gate: Gate,
    /// The default as it is written in the declaration, if it is not the type's own.
    pub default: Option<&'static str>,
}
