//! A message without its type: what tests compare by name and tools print.

use std::fmt;

use bytes::Bytes;

/// A decoded value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// The null of a nullable type.
    Null,
    /// A bool.
    Bool(bool),
    /// An integer of any width.
    Int(i64),
    /// Text.
    Text(String),
    /// Bytes or record data.
    Bytes(Bytes),
    /// An array.
    List(Vec<Value>),
    /// The fields that the version has, in wire order.
    Struct(Vec<(&'static str, Value)>),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Int(value) => write!(f, "{value}"),
            Self::Text(value) => write!(f, "{value:?}"),
            Self::Bytes(value) => write!(f, "{} bytes", value.len()),
            Self::List(values) => list(f, '[', ']', values.iter(), |f, value| write!(f, "{value}")),
            Self::Struct(fields) => list(f, '{', '}', fields.iter(), |f, (name, value)| write!(f, "{name}: {value}")),
        }
    }
}

fn list<T>(
    f: &mut fmt::Formatter<'_>,
    open: char,
    close: char,
    items: impl Iterator<Item = T>,
    each: impl Fn(&mut fmt::Formatter<'_>, T) -> fmt::Result,
) -> fmt::Result {
    write!(f, "{open}")?;
    for (i, item) in items.enumerate() {
        if i > 0 {
            f.write_str(", ")?;
        }
        each(f, item)?;
    }
    write!(f, "{close}")
}
