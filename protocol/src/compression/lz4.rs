//! LZ4 frames: independent 64 KiB blocks out, as lz4-java writes them; whatever the frame format allows in.

use lz4_flex::block::{self, CompressTable};

use super::{Compression, CompressionError, HeaderChecksum, Output};

const MAGIC: [u8; 4] = [0x04, 0x22, 0x4d, 0x18];
/// Version 1, independent blocks, no checksums, no size; 64 KiB blocks.
const DESCRIPTOR: [u8; 2] = [0x60, 0x40];
const BLOCK: usize = 64 * 1024;
/// A block's top bit says that it is stored as it is.
const STORED: u32 = 1 << 31;
/// How far back a linked block may reach.
const WINDOW: usize = 64 * 1024;

pub(super) struct Compressor(CompressTable);

impl Default for Compressor {
    fn default() -> Self {
        Self(CompressTable::large())
    }
}

impl Compressor {
    pub(super) fn compress(
        &mut self,
        checksum: HeaderChecksum,
        input: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), CompressionError> {
        let start = out.len();
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&DESCRIPTOR);
        let covered = match checksum {
            HeaderChecksum::Right => start + MAGIC.len(),
            HeaderChecksum::Kafka3160 => start,
        };
        out.push(header_checksum(out.get(covered..).unwrap_or_default()));
        for block in input.chunks(BLOCK) {
            let at = out.len();
            out.resize(at + 4 + block::get_maximum_output_size(block.len()), 0);
            let (head, target) = out.split_at_mut(at + 4);
            let mut len =
                block::compress_into_with_table(block, target, &mut self.0).map_err(|e| corrupt(e.to_string()))?;
            let mut size = len as u32;
            if len >= block.len() {
                (len, size) = (block.len(), block.len() as u32 | STORED);
                if let Some(place) = target.get_mut(..len) {
                    place.copy_from_slice(block);
                }
            }
            if let Some(place) = head.last_chunk_mut() {
                *place = size.to_le_bytes();
            }
            out.truncate(at + 4 + len);
        }
        out.extend_from_slice(&[0; 4]);
        Ok(())
    }
}

/// How a frame is laid out.
struct Frame {
    linked: bool,
    block_checksums: bool,
    block_max: usize,
}

/// Keeps a block's room for blocks that are small: they would set aside, and clear, far more than they come to.
#[derive(Default)]
pub(super) struct Decompressor {
    room: Vec<u8>,
}

impl Decompressor {
    /// What of a packed block counts as small. A larger one nearly fills its 64 KiB.
    const SMALL: usize = 8 * 1024;

    /// Reads the first frame. Like Kafka's own reader it ignores what follows the end mark, the content checksum among it:
    /// the batch has a checksum of its own.
    pub(super) fn decompress(
        &mut self,
        checksum: HeaderChecksum,
        input: &[u8],
        out: &mut Output,
    ) -> Result<(), CompressionError> {
        let (frame, mut rest) = descriptor(checksum, input)?;
        loop {
            let (size, after) = rest.split_first_chunk().ok_or_else(|| corrupt("cut before its end mark"))?;
            let size = u32::from_le_bytes(*size);
            if size == 0 {
                return Ok(());
            }
            let len = (size & !STORED) as usize;
            if len > frame.block_max {
                return Err(corrupt("a block is longer than the frame allows"));
            }
            let (data, after) = after.split_at_checked(len).ok_or_else(|| corrupt("cut inside a block"))?;
            if size & STORED != 0 {
                out.extend(data)?;
            } else if len <= Self::SMALL && !frame.linked && frame.block_max == BLOCK {
                self.small_block(data, out)?;
            } else {
                block(&frame, data, out)?;
            }
            let checksum = if frame.block_checksums { 4 } else { 0 };
            rest = after.get(checksum..).ok_or_else(|| corrupt("cut inside a block's checksum"))?;
        }
    }

    fn small_block(&mut self, data: &[u8], out: &mut Output) -> Result<(), CompressionError> {
        self.room.resize(BLOCK, 0);
        let len = block::decompress_into(data, &mut self.room).map_err(|e| corrupt(e.to_string()))?;
        out.extend(self.room.get(..len).unwrap_or_default())
    }
}

fn block(frame: &Frame, data: &[u8], out: &mut Output) -> Result<(), CompressionError> {
    // LZ4 gives at most 255 bytes for one: a small block needs no room for a large one.
    let most = frame.block_max.min(data.len().saturating_mul(255));
    let fits = out.room() >= most;
    let over = out.over();
    out.fill(most, |old, target| {
        let window = old.get(old.len().saturating_sub(WINDOW)..).unwrap_or_default();
        let result = if frame.linked {
            block::decompress_into_with_dict(data, target, window)
        } else {
            block::decompress_into(data, target)
        };
        result.map_err(|e| match e {
            block::DecompressError::OutputTooSmall { .. } if !fits => over,
            other => corrupt(other.to_string()),
        })
    })?;
    Ok(())
}

/// The frame descriptor and what follows it.
fn descriptor(checksum: HeaderChecksum, input: &[u8]) -> Result<(Frame, &[u8]), CompressionError> {
    let cut = || corrupt("cut inside its header");
    let (magic, rest) = input.split_first_chunk::<4>().ok_or_else(cut)?;
    if *magic != MAGIC {
        return Err(corrupt("no LZ4 frame"));
    }
    let [flags, sizes, ..] = *rest else {
        return Err(cut());
    };
    if flags >> 6 != 1 || flags & 0b10 != 0 {
        return Err(corrupt("a frame version that is not known"));
    }
    if sizes & 0b1000_1111 != 0 {
        return Err(corrupt("reserved bits are set in its header"));
    }
    if flags & 1 != 0 {
        return Err(corrupt("a dictionary is asked for, which Kafka does not allow"));
    }
    let block_max = match sizes >> 4 & 7 {
        4 => BLOCK,
        5 => 256 * 1024,
        6 => 1024 * 1024,
        7 => 4 * 1024 * 1024,
        _ => return Err(corrupt("a block size that there is not")),
    };
    let len = if flags & 0b1000 != 0 { 10 } else { 2 };
    let (fields, rest) = rest.split_at_checked(len).ok_or_else(cut)?;
    let (stated, rest) = rest.split_first().ok_or_else(cut)?;
    if checksum == HeaderChecksum::Right && *stated != header_checksum(fields) {
        return Err(corrupt("the header's checksum is wrong"));
    }
    Ok((Frame { linked: flags & 0b10_0000 == 0, block_checksums: flags & 0b1_0000 != 0, block_max }, rest))
}

/// The second byte of the fields' XXH32.
fn header_checksum(fields: &[u8]) -> u8 {
    (xxh32_short(fields) >> 8) as u8
}

/// XXH32 with seed 0, for fewer than 16 bytes: a frame header has no more.
fn xxh32_short(bytes: &[u8]) -> u32 {
    const PRIMES: [u32; 5] = [0x9e37_79b1, 0x85eb_ca77, 0xc2b2_ae3d, 0x27d4_eb2f, 0x1656_67b1];
    let mut hash = PRIMES[4].wrapping_add(bytes.len() as u32);
    let (words, tail) = bytes.as_chunks::<4>();
    for word in words {
        hash = hash.wrapping_add(u32::from_le_bytes(*word).wrapping_mul(PRIMES[2]));
        hash = hash.rotate_left(17).wrapping_mul(PRIMES[3]);
    }
    for byte in tail {
        hash = hash.wrapping_add(u32::from(*byte).wrapping_mul(PRIMES[4]));
        hash = hash.rotate_left(11).wrapping_mul(PRIMES[0]);
    }
    hash = (hash ^ hash >> 15).wrapping_mul(PRIMES[1]);
    hash = (hash ^ hash >> 13).wrapping_mul(PRIMES[2]);
    hash ^ hash >> 16
}

fn corrupt(what: impl Into<String>) -> CompressionError {
    CompressionError::corrupt(Compression::Lz4, what)
}
