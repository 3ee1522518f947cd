//! The codecs of record batches, one a file; each with a bounded output.
//!
//! Contexts are kept and used again: a [`Compressor`] for each thread that seals batches, a [`Decompressor`] for each that
//! reads them. Nothing is compressed twice: an empty input is an empty output, in both directions (zstd-jni writes no byte
//! for an empty stream).

#[cfg(feature = "gzip")]
mod gzip;
#[cfg(feature = "lz4")]
mod lz4;
#[cfg(feature = "snappy")]
mod snappy;
#[cfg(feature = "zstd")]
mod zstd;

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;

/// A codec, by Kafka's `CompressionType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Compression {
    /// As they are.
    #[default]
    None,
    /// RFC 1952.
    Gzip,
    /// Snappy blocks in xerial's framing; raw snappy is read too.
    Snappy,
    /// LZ4 frames of independent 64 KiB blocks.
    Lz4,
    /// Zstandard frames (KIP-110). Needs Produce 7 and Fetch 10: Kafka 2.1.
    Zstd,
}

impl Compression {
    /// All of them, by id.
    pub const ALL: [Self; 5] = [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd];

    /// The number in a batch's attributes.
    pub fn id(self) -> u8 {
        self as u8
    }

    /// The codec of this number.
    pub fn from_id(id: u8) -> Option<Self> {
        Self::ALL.get(usize::from(id)).copied()
    }

    /// Kafka's name (`compression.type`).
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }

    /// The levels it has, or `None` if it has no choice.
    pub fn levels(self) -> Option<std::ops::RangeInclusive<i32>> {
        match self {
            Self::Gzip => Some(1..=9),
            Self::Zstd => Some(-131_072..=22),
            Self::None | Self::Snappy | Self::Lz4 => None,
        }
    }

    /// Refuses a level that the codec does not have.
    pub fn check_level(self, level: Option<i32>) -> Result<(), CompressionError> {
        match (level, self.levels()) {
            (None, _) => Ok(()),
            (Some(level), Some(levels)) if levels.contains(&level) => Ok(()),
            (Some(level), _) => Err(CompressionError::NoSuchLevel { codec: self, level }),
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that is no codec's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no codec: there are none, gzip, snappy, lz4 and zstd")]
pub struct UnknownCompression(String);

impl FromStr for Compression {
    type Err = UnknownCompression;

    fn from_str(name: &str) -> Result<Self, UnknownCompression> {
        Self::ALL.into_iter().find(|codec| codec.name() == name).ok_or_else(|| UnknownCompression(name.to_owned()))
    }
}

/// Why a codec failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CompressionError {
    /// The data is not the codec's, or was damaged, or is cut.
    #[error("{codec} data is damaged: {what}")]
    Corrupt {
        /// The codec.
        codec: Compression,
        /// What about it.
        what: String,
    },
    /// The output would be larger than the caller allows.
    #[error("{codec} data grows beyond the limit of {limit} bytes")]
    OverLimit {
        /// The codec.
        codec: Compression,
        /// The limit.
        limit: usize,
    },
    /// The codec has no such level.
    #[error("{codec} has no level {level}")]
    NoSuchLevel {
        /// The codec.
        codec: Compression,
        /// The level.
        level: i32,
    },
    /// The message format, given by its magic byte, does not have the codec: zstd came with batches v2.
    #[error("message format v{magic} has no {codec}")]
    NotInFormat {
        /// The codec.
        codec: Compression,
        /// The format.
        magic: i8,
    },
    /// The crate was built without the codec's feature.
    #[error("this program was built without {0}")]
    NotBuilt(Compression),
    /// More than a batch can hold.
    #[error("a batch cannot hold {0} bytes")]
    BatchTooLarge(usize),
}

impl CompressionError {
    pub(crate) fn too_large(len: usize) -> Self {
        Self::BatchTooLarge(len)
    }

    #[cfg(any(feature = "gzip", feature = "snappy", feature = "lz4", feature = "zstd"))]
    fn corrupt(codec: Compression, what: impl Into<String>) -> Self {
        Self::Corrupt { codec, what: what.into() }
    }
}

/// What the checksum of an LZ4 frame's header is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HeaderChecksum {
    /// Over what the frame format says.
    Right,
    /// Over the frame's magic number too: a mistake of Kafka before 0.10 (KAFKA-3160), kept in message format v0. A reader of
    /// that format takes any.
    Kafka3160,
}

/// Where decompressed bytes go: grows as they come, never beyond its limit.
struct Output {
    bytes: Vec<u8>,
    limit: usize,
    codec: Compression,
}

impl Output {
    /// Begins with what batches of JSON usually come to; a wrong guess costs a move.
    fn new(codec: Compression, input_len: usize, limit: usize) -> Self {
        let ratio = if codec == Compression::None { 1 } else { 4 };
        Self { bytes: Vec::with_capacity(input_len.saturating_mul(ratio).min(limit)), limit, codec }
    }

    fn over(&self) -> CompressionError {
        CompressionError::OverLimit { codec: self.codec, limit: self.limit }
    }

    /// How many bytes may still come.
    fn room(&self) -> usize {
        self.limit - self.bytes.len()
    }

    /// How many bytes to ask for next where nothing says how many will come: what is set aside already, else as much again,
    /// `most` at most. A batch of one record is not worth a large block.
    #[cfg(any(feature = "gzip", feature = "zstd"))]
    fn step(&self, most: usize) -> usize {
        match self.bytes.capacity() - self.bytes.len() {
            0 => self.bytes.len().clamp(256, most),
            spare => spare.min(most),
        }
    }

    /// Runs `fill` over what is there and `len` new bytes behind it, and keeps as many of them as it says it wrote.
    #[cfg(any(feature = "gzip", feature = "snappy", feature = "lz4", feature = "zstd"))]
    fn fill(
        &mut self,
        len: usize,
        fill: impl FnOnce(&[u8], &mut [u8]) -> Result<usize, CompressionError>,
    ) -> Result<usize, CompressionError> {
        let before = self.bytes.len();
        self.grow(len.min(self.room()));
        self.bytes.resize(before + len.min(self.room()), 0);
        let (old, new) = self.bytes.split_at_mut(before);
        let result = fill(old, new);
        let written = *result.as_ref().unwrap_or(&0);
        self.bytes.truncate(before + written);
        result
    }

    /// Sets memory aside for `len` more bytes: twice what there was, as a `Vec` does, but never beyond the limit.
    fn grow(&mut self, len: usize) {
        let (have, need) = (self.bytes.capacity(), self.bytes.len() + len);
        if need > have {
            let room = need.max(have.saturating_mul(2).min(self.limit));
            self.bytes.reserve_exact(room - self.bytes.len());
        }
    }

    fn extend(&mut self, bytes: &[u8]) -> Result<(), CompressionError> {
        if bytes.len() > self.room() {
            return Err(self.over());
        }
        self.grow(bytes.len());
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }
}

/// Compresses; keeps each codec's context for the next batch.
#[derive(Default)]
pub struct Compressor {
    #[cfg(feature = "gzip")]
    gzip: gzip::Compressor,
    #[cfg(feature = "snappy")]
    snappy: snappy::Compressor,
    #[cfg(feature = "lz4")]
    lz4: lz4::Compressor,
    #[cfg(feature = "zstd")]
    zstd: zstd::Compressor,
}

impl Compressor {
    /// Without contexts; they come with the first use.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends `input`, compressed, to `out`.
    pub fn compress(
        &mut self,
        codec: Compression,
        level: Option<i32>,
        input: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), CompressionError> {
        self.compress_with(HeaderChecksum::Right, codec, level, input, out)
    }

    /// As message format v0 has it.
    pub(crate) fn compress_v0(
        &mut self,
        codec: Compression,
        level: Option<i32>,
        input: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), CompressionError> {
        self.compress_with(HeaderChecksum::Kafka3160, codec, level, input, out)
    }

    #[cfg_attr(not(feature = "lz4"), allow(unused_variables, reason = "it is lz4's"))]
    fn compress_with(
        &mut self,
        lz4: HeaderChecksum,
        codec: Compression,
        level: Option<i32>,
        input: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), CompressionError> {
        codec.check_level(level)?;
        if input.is_empty() {
            return Ok(());
        }
        match codec {
            Compression::None => out.extend_from_slice(input),
            #[cfg(feature = "gzip")]
            Compression::Gzip => self.gzip.compress(level, input, out)?,
            #[cfg(feature = "snappy")]
            Compression::Snappy => self.snappy.compress(input, out)?,
            #[cfg(feature = "lz4")]
            Compression::Lz4 => self.lz4.compress(lz4, input, out)?,
            #[cfg(feature = "zstd")]
            Compression::Zstd => self.zstd.compress(level, input, out),
            #[allow(unreachable_patterns, reason = "only without a codec's feature")]
            other => return Err(CompressionError::NotBuilt(other)),
        }
        Ok(())
    }
}

impl fmt::Debug for Compressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Compressor")
    }
}

/// Decompresses; keeps each codec's context for the next batch.
#[derive(Default)]
pub struct Decompressor {
    #[cfg(feature = "gzip")]
    gzip: gzip::Decompressor,
    #[cfg(feature = "snappy")]
    snappy: snappy::Decompressor,
    #[cfg(feature = "lz4")]
    lz4: lz4::Decompressor,
    #[cfg(feature = "zstd")]
    zstd: zstd::Decompressor,
}

impl Decompressor {
    /// Without contexts; they come with the first use.
    pub fn new() -> Self {
        Self::default()
    }

    /// Decompresses `input` whole. More than `limit` bytes are an error, and are never set aside.
    pub fn decompress(&mut self, codec: Compression, input: &[u8], limit: usize) -> Result<Bytes, CompressionError> {
        self.decompress_with(HeaderChecksum::Right, codec, input, limit)
    }

    /// As message format v0 has it.
    pub(crate) fn decompress_v0(
        &mut self,
        codec: Compression,
        input: &[u8],
        limit: usize,
    ) -> Result<Bytes, CompressionError> {
        self.decompress_with(HeaderChecksum::Kafka3160, codec, input, limit)
    }

    #[cfg_attr(not(feature = "lz4"), allow(unused_variables, reason = "it is lz4's"))]
    fn decompress_with(
        &mut self,
        lz4: HeaderChecksum,
        codec: Compression,
        input: &[u8],
        limit: usize,
    ) -> Result<Bytes, CompressionError> {
        if input.is_empty() {
            return Ok(Bytes::new());
        }
        let mut out = Output::new(codec, input.len(), limit);
        match codec {
            Compression::None => out.extend(input)?,
            #[cfg(feature = "gzip")]
            Compression::Gzip => self.gzip.decompress(input, &mut out)?,
            #[cfg(feature = "snappy")]
            Compression::Snappy => self.snappy.decompress(input, &mut out)?,
            #[cfg(feature = "lz4")]
            Compression::Lz4 => self.lz4.decompress(lz4, input, &mut out)?,
            #[cfg(feature = "zstd")]
            Compression::Zstd => self.zstd.decompress(input, &mut out)?,
            #[allow(unreachable_patterns, reason = "only without a codec's feature")]
            other => return Err(CompressionError::NotBuilt(other)),
        }
        Ok(Bytes::from(out.bytes))
    }
}

impl fmt::Debug for Decompressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Decompressor")
    }
}
