//! Takes values off the front of a frame, and says exactly where it could not.

use std::fmt;

use bytes::Bytes;

use super::trace::{Step, write_path};

/// How many bytes of memory a decoded body may take for each of its own bytes, which it keeps beside.
///
/// What brokers send takes up to 3.4, a partition without replicas in Metadata version 8 for example. Arrays of structs that
/// are nearly nothing on the wire would take up to 16.
pub const MEMORY_PER_BYTE: usize = 4;

/// How many bytes of memory any body may take on top: short lists of short names, which take more, are no danger.
pub const MEMORY_ON_TOP: usize = 1024 * 1024;

/// A cursor over one body. Byte fields come out as slices of the frame, without a copy.
#[derive(Debug)]
pub struct Reader {
    input: Bytes,
    /// How many bytes were taken: moving on is an addition, and the bytes before are what an error counts.
    at: usize,
    version: i16,
    /// How much memory what is decoded from now on may take.
    memory_left: usize,
}

impl Reader {
    /// Reads `input` as a body of this version.
    pub fn new(version: i16, input: Bytes) -> Self {
        let memory_left = memory_for(&input);
        Self { input, at: 0, version, memory_left }
    }

    /// Reads what is dropped again when `read` returns, while `held` bytes of memory are taken by others: together they may
    /// take what a body of this size may, and afterwards only the others count.
    pub(crate) fn lend<T>(
        &mut self,
        held: usize,
        read: impl FnOnce(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<T, DecodeError> {
        let before = std::mem::replace(&mut self.memory_left, memory_for(&self.input).saturating_sub(held));
        let result = read(self);
        self.memory_left = before;
        result
    }

    /// How many more bytes of memory what is decoded may take.
    pub(crate) fn memory_left(&self) -> usize {
        self.memory_left
    }

    /// The version that the gates are asked for.
    pub fn version(&self) -> i16 {
        self.version
    }

    /// Bytes not read yet.
    pub fn left(&self) -> usize {
        self.input.len() - self.at
    }

    /// How many bytes were read.
    pub fn offset(&self) -> usize {
        self.at
    }

    /// What is not read yet.
    pub fn into_rest(self) -> Bytes {
        self.input.slice(self.at..)
    }

    /// Takes `N` bytes.
    #[inline]
    pub fn take<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let Some(head) = self.input.get(self.at..).and_then(<[u8]>::first_chunk::<N>) else {
            return Err(self.fail(DecodeErrorKind::Short { need: N, left: self.left() }));
        };
        self.at += N;
        Ok(*head)
    }

    /// Counts memory for `count` elements of `size` bytes, before it is allocated.
    #[inline]
    pub(super) fn charge(&mut self, count: usize, size: usize) -> Result<(), DecodeError> {
        match self.memory_left.checked_sub(count.saturating_mul(size)) {
            Some(left) => {
                self.memory_left = left;
                Ok(())
            }
            None => Err(self.fail(DecodeErrorKind::TooDense { count, left: self.left() })),
        }
    }

    /// Takes `len` bytes as a slice of the frame.
    pub fn take_bytes(&mut self, len: usize) -> Result<Bytes, DecodeError> {
        self.take_slice(len)?;
        Ok(self.input.slice(self.at - len..self.at))
    }

    /// Takes `len` bytes of UTF-8.
    pub fn take_text(&mut self, len: usize) -> Result<String, DecodeError> {
        let at = self.at;
        self.charge(len.min(self.left()), 1)?;
        let Ok(text) = std::str::from_utf8(self.take_slice(len)?) else {
            self.at = at;
            return Err(self.fail(DecodeErrorKind::NotUtf8));
        };
        Ok(text.to_owned())
    }

    /// Takes `len` bytes, to be looked at in place.
    pub(super) fn take_slice(&mut self, len: usize) -> Result<&[u8], DecodeError> {
        if len > self.left() {
            return Err(self.fail(DecodeErrorKind::Short { need: len, left: self.left() }));
        }
        self.at += len;
        Ok(&self.input[self.at - len..self.at])
    }

    /// An error at this place.
    #[cold]
    pub fn fail(&self, kind: DecodeErrorKind) -> DecodeError {
        DecodeError(Box::new(Place { message: "", version: self.version, path: Vec::new(), offset: self.at, kind }))
    }
}

/// How many bytes of memory a body may take.
fn memory_for(body: &Bytes) -> usize {
    body.len().saturating_mul(MEMORY_PER_BYTE).saturating_add(MEMORY_ON_TOP)
}

/// Bytes that are not what they should be: where, and why. Always the peer's fault.
#[derive(Clone, PartialEq, Eq)]
pub struct DecodeError(Box<Place>);

#[derive(Clone, PartialEq, Eq)]
struct Place {
    message: &'static str,
    version: i16,
    /// From the inside out, as the calls return.
    path: Vec<Step>,
    offset: usize,
    kind: DecodeErrorKind,
}

/// What was wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeErrorKind {
    /// The frame ends inside the value.
    Short {
        /// Bytes the value takes.
        need: usize,
        /// Bytes there are.
        left: usize,
    },
    /// A length below -1, or -1 where null is not allowed.
    NegativeLength(i32),
    /// A count that the rest of the frame cannot hold.
    TooMany {
        /// Elements claimed.
        count: usize,
        /// Bytes there are.
        left: usize,
    },
    /// Elements that would take more memory than a body of this size may: [`MEMORY_PER_BYTE`] times its bytes and
    /// [`MEMORY_ON_TOP`].
    TooDense {
        /// Elements claimed.
        count: usize,
        /// Bytes there are.
        left: usize,
    },
    /// Null in a version that has no null here.
    Null,
    /// Text that is not UTF-8.
    NotUtf8,
    /// Bytes after the end of the message.
    Trailing(usize),
    /// A version that the message does not have.
    NoSuchVersion {
        /// The first one it has.
        min: i16,
        /// The last one it has.
        max: i16,
    },
}

impl DecodeError {
    /// What was wrong.
    pub fn kind(&self) -> &DecodeErrorKind {
        &self.0.kind
    }

    /// How many bytes into the body.
    pub fn offset(&self) -> usize {
        self.0.offset
    }

    /// The same error, one field further out.
    #[cold]
    #[must_use]
    pub fn in_field(mut self, name: &'static str) -> Self {
        self.0.path.push(Step::Field(name));
        self
    }

    /// The same error, one element further out.
    #[cold]
    #[must_use]
    pub fn in_element(mut self, index: usize) -> Self {
        self.0.path.push(Step::Element(index));
        self
    }

    /// The same error, with the message's name.
    #[cold]
    #[must_use]
    pub fn in_message(mut self, name: &'static str) -> Self {
        self.0.message = name;
        self
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = &*self.0;
        write!(f, "{} v{}: ", place.message, place.version)?;
        write_path(f, place.path.iter().rev())?;
        if !place.path.is_empty() {
            f.write_str(": ")?;
        }
        write!(f, "{} (byte {})", place.kind, place.offset)
    }
}

impl fmt::Display for DecodeErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short { need, left } => write!(f, "need {need} bytes, left {left}"),
            Self::NegativeLength(len) => write!(f, "length {len} is negative"),
            Self::TooMany { count, left } => write!(f, "{count} elements cannot be in the {left} bytes left"),
            Self::TooDense { count, left } => write!(
                f,
                "{count} elements in {left} bytes would take more than {MEMORY_PER_BYTE} times the message's size in memory"
            ),
            Self::Null => f.write_str("null, which this version does not allow here"),
            Self::NotUtf8 => f.write_str("text is not UTF-8"),
            Self::Trailing(left) => write!(f, "{left} bytes left over after the end"),
            Self::NoSuchVersion { min, max } => write!(f, "no such version, it has {min} to {max}"),
        }
    }
}

impl fmt::Debug for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DecodeError({self})")
    }
}

impl std::error::Error for DecodeError {}
