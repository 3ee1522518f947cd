//! Snappy: written in the framing that Java's xerial library has, read with and without it.

use snap::raw;

use super::{Compression, CompressionError, Output};

/// Xerial's magic, its version and the oldest version that can read it.
const HEADER: [u8; 16] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1];
const BLOCK: usize = 32 * 1024;

pub(super) struct Compressor(raw::Encoder);

impl Default for Compressor {
    fn default() -> Self {
        Self(raw::Encoder::new())
    }
}

impl Compressor {
    pub(super) fn compress(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<(), CompressionError> {
        out.extend_from_slice(&HEADER);
        for block in input.chunks(BLOCK) {
            let at = out.len();
            out.resize(at + 4 + raw::max_compress_len(block.len()), 0);
            let (head, target) = out.split_at_mut(at + 4);
            let len = self.0.compress(block, target).map_err(|e| corrupt(e.to_string()))?;
            if let Some(size) = head.last_chunk_mut() {
                *size = (len as u32).to_be_bytes();
            }
            out.truncate(at + 4 + len);
        }
        Ok(())
    }
}

pub(super) struct Decompressor(raw::Decoder);

impl Default for Decompressor {
    fn default() -> Self {
        Self(raw::Decoder::new())
    }
}

impl Decompressor {
    pub(super) fn decompress(&mut self, input: &[u8], out: &mut Output) -> Result<(), CompressionError> {
        // Only the whole header tells: a raw block may begin with its first byte.
        let Some(mut rest) = after_header(input) else { return self.block(input, out) };
        while !rest.is_empty() {
            // Streams may stand one after the other.
            if let Some(next) = after_header(rest) {
                rest = next;
                continue;
            }
            let (len, blocks) = rest.split_first_chunk().ok_or_else(|| corrupt("cut inside a block's length"))?;
            let len = usize::try_from(i32::from_be_bytes(*len)).map_err(|_| corrupt("a block's length is negative"))?;
            let (block, next) = blocks.split_at_checked(len).ok_or_else(|| corrupt("cut inside a block"))?;
            self.block(block, out)?;
            rest = next;
        }
        Ok(())
    }

    fn block(&mut self, block: &[u8], out: &mut Output) -> Result<(), CompressionError> {
        let len = raw::decompress_len(block).map_err(|e| corrupt(e.to_string()))?;
        if len > out.room() {
            return Err(out.over());
        }
        // A copy takes at least three bytes and gives at most 64: what claims more than that is a lie, and no memory is
        // set aside for it.
        if len > block.len().saturating_mul(64) {
            return Err(corrupt("a block claims more bytes than it can hold"));
        }
        out.fill(len, |_, target| self.0.decompress(block, target).map_err(|e| corrupt(e.to_string())))?;
        Ok(())
    }
}

fn after_header(input: &[u8]) -> Option<&[u8]> {
    // Readers take any version that says version 1 can read it; the magic alone decides.
    let (header, rest) = input.split_first_chunk::<16>()?;
    (header[..8] == HEADER[..8]).then_some(rest)
}

fn corrupt(what: impl Into<String>) -> CompressionError {
    CompressionError::corrupt(Compression::Snappy, what)
}
