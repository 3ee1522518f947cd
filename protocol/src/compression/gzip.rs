//! gzip (RFC 1952): header and trailer by hand, so that the deflate state between them can be used again.

use flate2::{Compress, Crc, Decompress, FlushCompress, FlushDecompress, Status};

use super::{Compression, CompressionError, Output};

/// Magic, deflate, no flags, no time, no extra flags, unknown system.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
const DEFAULT_LEVEL: i32 = 6;
/// The most that the output grows by at a time.
const STEP: usize = 64 * 1024;

#[derive(Default)]
pub(super) struct Compressor(Option<(i32, Compress)>);

impl Compressor {
    pub(super) fn compress(
        &mut self,
        level: Option<i32>,
        input: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), CompressionError> {
        let level = level.unwrap_or(DEFAULT_LEVEL);
        if self.0.as_ref().is_none_or(|(kept, _)| *kept != level) {
            self.0 = Some((level, Compress::new(flate2::Compression::new(level as u32), false)));
        }
        let Some((_, deflate)) = &mut self.0 else {
            return Ok(());
        };
        deflate.reset();
        out.extend_from_slice(&HEADER);
        loop {
            out.reserve(STEP.min(input.len() / 2 + 64));
            let done = deflate.total_in() as usize;
            let status = deflate
                .compress_vec(input.get(done..).unwrap_or_default(), out, FlushCompress::Finish)
                .map_err(|e| corrupt(e.to_string()))?;
            if status == Status::StreamEnd {
                break;
            }
        }
        let mut crc = Crc::new();
        crc.update(input);
        out.extend_from_slice(&crc.sum().to_le_bytes());
        out.extend_from_slice(&crc.amount().to_le_bytes());
        Ok(())
    }
}

#[derive(Default)]
pub(super) struct Decompressor(Option<Decompress>);

impl Decompressor {
    /// Members one after the other are one stream (RFC 1952 section 2.2).
    pub(super) fn decompress(&mut self, mut input: &[u8], out: &mut Output) -> Result<(), CompressionError> {
        while !input.is_empty() {
            input = after_header(input).ok_or_else(|| corrupt("no gzip header, or it is cut"))?;
            let from = out.bytes.len();
            input = self.inflate(input, out)?;
            let Some((trailer, rest)) = input.split_first_chunk::<8>() else {
                return Err(corrupt("cut before its trailer"));
            };
            let mut crc = Crc::new();
            crc.update(out.bytes.get(from..).unwrap_or_default());
            let stated = u64::from_le_bytes(*trailer);
            if stated != u64::from(crc.sum()) | u64::from(crc.amount()) << 32 {
                return Err(corrupt("the trailer's CRC-32 or length is not that of the data"));
            }
            input = rest;
        }
        Ok(())
    }

    fn inflate<'a>(&mut self, mut input: &'a [u8], out: &mut Output) -> Result<&'a [u8], CompressionError> {
        let state = self.0.get_or_insert_with(|| Decompress::new(false));
        state.reset(false);
        loop {
            // One byte over the limit may be asked for: whether the stream ends there shows only by trying.
            let room = out.room();
            let mut spare = [0];
            let (read, written) = (state.total_in(), state.total_out());
            let mut status = Status::Ok;
            let mut inflate = |target: &mut [u8]| {
                status = state.decompress(input, target, FlushDecompress::None).map_err(|e| corrupt(e.to_string()))?;
                Ok((state.total_out() - written) as usize)
            };
            if room == 0 {
                if inflate(&mut spare)? > 0 {
                    return Err(out.over());
                }
            } else {
                out.fill(out.step(STEP), |_, target| inflate(target))?;
            }
            let took = (state.total_in() - read) as usize;
            input = input.get(took..).unwrap_or_default();
            if status == Status::StreamEnd {
                return Ok(input);
            }
            if took == 0 && state.total_out() == written {
                return Err(corrupt("cut in the middle"));
            }
        }
    }
}

/// What follows a member's header (RFC 1952 section 2.3).
fn after_header(input: &[u8]) -> Option<&[u8]> {
    let (header, mut rest) = input.split_first_chunk::<10>()?;
    let [0x1f, 0x8b, 8, flags, ..] = *header else {
        return None;
    };
    if flags & 0b100 != 0 {
        let (len, after) = rest.split_first_chunk::<2>()?;
        rest = after.get(usize::from(u16::from_le_bytes(*len))..)?;
    }
    for text in [0b1000, 0b1_0000] {
        if flags & text != 0 {
            let end = rest.iter().position(|byte| *byte == 0)?;
            rest = rest.get(end + 1..)?;
        }
    }
    if flags & 0b10 != 0 {
        rest = rest.get(2..)?;
    }
    Some(rest)
}

fn corrupt(what: impl Into<String>) -> CompressionError {
    CompressionError::corrupt(Compression::Gzip, what)
}
