//! Appends values; large byte fields become chunks of their own, so record data is never copied into a frame.

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};

/// From this size on a byte field is a chunk by reference; below it a copy costs less than one more I/O vector.
const CHUNK_FROM: usize = 2048;

/// What is written so far: owned bytes, with slices of others between them.
#[derive(Debug)]
pub struct Writer {
    version: i16,
    /// The first owned part, kept mutable: a frame's size is patched into it at the end.
    head: Option<BytesMut>,
    rest: Vec<Bytes>,
    open: BytesMut,
}

impl Writer {
    /// Writes a body of this version.
    pub fn new(version: i16) -> Self {
        Self { version, head: None, rest: Vec::new(), open: BytesMut::with_capacity(256) }
    }

    /// The version that the gates are asked for.
    pub fn version(&self) -> i16 {
        self.version
    }

    /// Appends a few bytes.
    pub fn put(&mut self, bytes: &[u8]) {
        self.open.put_slice(bytes);
    }

    /// Appends bytes that are shared already, by reference if they are many.
    pub fn put_shared(&mut self, bytes: &Bytes) {
        if bytes.len() < CHUNK_FROM {
            self.open.put_slice(bytes);
            return;
        }
        let owned = self.open.split();
        match self.head {
            None => self.head = Some(owned),
            Some(_) => self.rest.push(owned.freeze()),
        }
        self.rest.push(bytes.clone());
    }

    /// Appends an int32 length, refusing what it cannot say.
    pub fn put_len(&mut self, len: usize) -> Result<(), EncodeError> {
        let len =
            i32::try_from(len).map_err(|_| self.fail(EncodeErrorKind::TooLong { len, max: i32::MAX as usize }))?;
        self.put(&len.to_be_bytes());
        Ok(())
    }

    /// An error at this place.
    #[cold]
    pub fn fail(&self, kind: EncodeErrorKind) -> EncodeError {
        EncodeError(Box::new(Place { message: "", version: self.version, path: String::new(), kind }))
    }

    /// The chunks, in order; the first is owned and at least `reserve`d by what was put first.
    pub fn into_chunks(self) -> Vec<Bytes> {
        self.finish(|_, _| {})
    }

    /// The chunks, after `patch` has seen the head and the total length.
    pub(crate) fn finish(mut self, patch: impl FnOnce(&mut [u8], usize)) -> Vec<Bytes> {
        let mut chunks = Vec::with_capacity(self.rest.len() + 2);
        if let Some(mut head) = self.head.take() {
            let total = head.len() + self.rest.iter().map(Bytes::len).sum::<usize>() + self.open.len();
            patch(&mut head, total);
            chunks.push(head.freeze());
            chunks.append(&mut self.rest);
            if !self.open.is_empty() {
                chunks.push(self.open.freeze());
            }
            return chunks;
        }
        let total = self.open.len();
        patch(&mut self.open, total);
        chunks.push(self.open.freeze());
        chunks
    }
}

/// A value that the version cannot carry. Always the caller's fault.
#[derive(Clone, PartialEq, Eq)]
pub struct EncodeError(Box<Place>);

#[derive(Clone, PartialEq, Eq)]
struct Place {
    message: &'static str,
    version: i16,
    path: String,
    kind: EncodeErrorKind,
}

/// What cannot be written.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum EncodeErrorKind {
    /// A value other than the default, in a version without the field. Dropping it would change the meaning.
    NotInVersion {
        /// The first version with the field.
        min: i16,
        /// The last one.
        max: i16,
    },
    /// Null in a version that has no null here.
    Null,
    /// Longer than its length field can say.
    TooLong {
        /// The length.
        len: usize,
        /// The longest there is.
        max: usize,
    },
    /// A version that the message does not have.
    NoSuchVersion {
        /// The first one it has.
        min: i16,
        /// The last one it has.
        max: i16,
    },
}

impl EncodeError {
    /// What cannot be written.
    pub fn kind(&self) -> &EncodeErrorKind {
        &self.0.kind
    }

    /// The same error, one field further out.
    #[cold]
    #[must_use]
    pub fn in_field(mut self, name: &str) -> Self {
        let dot = if self.0.path.is_empty() || self.0.path.starts_with('[') { "" } else { "." };
        self.0.path = format!("{name}{dot}{}", self.0.path);
        self
    }

    /// The same error, one element further out.
    #[cold]
    #[must_use]
    pub fn in_element(mut self, index: usize) -> Self {
        let dot = if self.0.path.is_empty() { "" } else { "." };
        self.0.path = format!("[{index}]{dot}{}", self.0.path);
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

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Place { message, version, path, kind } = &*self.0;
        write!(f, "{message} v{version}: ")?;
        if !path.is_empty() {
            write!(f, "{path}: ")?;
        }
        write!(f, "{kind}")
    }
}

impl fmt::Display for EncodeErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotInVersion { min, max: i16::MAX } => {
                write!(f, "has a value, but is there only from version {min} on")
            }
            Self::NotInVersion { min, max } => write!(f, "has a value, but is there only in versions {min} to {max}"),
            Self::Null => f.write_str("null, which this version cannot say"),
            Self::TooLong { len, max } => write!(f, "{len} long, at most {max} fit"),
            Self::NoSuchVersion { min, max } => write!(f, "no such version, it has {min} to {max}"),
        }
    }
}

impl fmt::Debug for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EncodeError({self})")
    }
}

impl std::error::Error for EncodeError {}
