//! Zstandard. The only file that names the library behind it, so that a faster one can take its place.

use structured_zstd::decoding::FrameDecoder;
use structured_zstd::encoding::{CompressionLevel, FrameCompressor};

use super::{Compression, CompressionError, Output};

const DEFAULT_LEVEL: i32 = 3;
/// The largest window a frame may ask for: what zstd itself takes unless told otherwise. Kafka's producers use 2 MiB.
const MAX_WINDOW: u64 = 128 << 20;
/// What a decoder may keep for the next batch: a 2 MiB window and what stands around it. More, after one odd frame, would
/// be held for as long as its consumer lives.
const KEEP: usize = 8 << 20;
/// The most that a frame is believed to hold, in its own lengths, before it has been read: memory is set aside for it.
const BELIEVED: u64 = 32;
/// The most that the output grows by at a time: a block's most.
const STEP: usize = 128 * 1024;

#[derive(Default)]
pub(super) struct Compressor {
    context: Option<(i32, FrameCompressor)>,
    frame: Vec<u8>,
}

impl Compressor {
    pub(super) fn compress(&mut self, level: Option<i32>, input: &[u8], out: &mut Vec<u8>) {
        let level = level.unwrap_or(DEFAULT_LEVEL);
        if self.context.as_ref().is_none_or(|(kept, _)| *kept != level) {
            self.context = Some((level, FrameCompressor::new(CompressionLevel::from_level(level))));
        }
        let Some((_, context)) = &mut self.context else {
            return;
        };
        context.compress_independent_frame_into(input, &mut self.frame);
        out.extend_from_slice(&self.frame);
    }
}

#[derive(Default)]
pub(super) struct Decompressor(Option<FrameDecoder>);

impl Decompressor {
    /// Frames one after the other are one stream (RFC 8878 section 3); skippable ones are skipped.
    pub(super) fn decompress(&mut self, input: &[u8], out: &mut Output) -> Result<(), CompressionError> {
        let result = self.frames(input, out);
        self.forget_if_large();
        result
    }

    fn frames(&mut self, mut input: &[u8], out: &mut Output) -> Result<(), CompressionError> {
        while !input.is_empty() {
            input = match after_skippable(input) {
                Some(rest) => rest.ok_or_else(|| corrupt("cut inside a skippable frame"))?,
                None => self.frame(input, out)?,
            };
        }
        Ok(())
    }

    fn forget_if_large(&mut self) {
        if self.0.as_ref().is_some_and(|decoder| decoder.workspace_size() > KEEP) {
            self.0 = None;
        }
    }

    fn frame<'a>(&mut self, frame: &'a [u8], out: &mut Output) -> Result<&'a [u8], CompressionError> {
        let decoder = self.0.get_or_insert_with(FrameDecoder::new);
        decoder.set_max_window_size(MAX_WINDOW).map_err(|e| corrupt(e.to_string()))?;
        let blocks = begin(decoder, frame)?;
        // 0 if the frame does not say.
        let size = decoder.content_size();
        if size > out.room() as u64 {
            return Err(out.over());
        }
        if size == 0 || size > BELIEVED * frame.len() as u64 {
            return stream(decoder, blocks, out);
        }
        // In one go to where it stays, if it is the only frame. What is wrong with it is found out the other way.
        let whole = |_: &[u8], target: &mut [u8]| {
            let written = decoder.decode_all(frame, target).ok();
            Ok(written.filter(|written| *written as u64 == size).unwrap_or_default())
        };
        if out.fill(size as usize, whole)? > 0 {
            return Ok(&[]);
        }
        let blocks = begin(decoder, frame)?;
        stream(decoder, blocks, out)
    }
}

/// Reads a frame's header. Gives what follows it.
fn begin<'a>(decoder: &mut FrameDecoder, mut frame: &'a [u8]) -> Result<&'a [u8], CompressionError> {
    decoder.reset(&mut frame).map_err(|e| corrupt(e.to_string()))?;
    Ok(frame)
}

/// Decodes a frame's blocks, a part at a time. Gives what follows the frame.
fn stream<'a>(decoder: &mut FrameDecoder, mut input: &'a [u8], out: &mut Output) -> Result<&'a [u8], CompressionError> {
    loop {
        let mut read = 0;
        let mut decode = |target: &mut [u8]| {
            let (took, written) = decoder.decode_from_to(input, target).map_err(|e| corrupt(e.to_string()))?;
            read = took;
            Ok(written)
        };
        // At the limit one more byte is asked for: whether the frame ends there shows only by trying.
        let full = out.room() == 0;
        let written = if full { decode(&mut [0])? } else { out.fill(out.step(STEP), |_, target| decode(target))? };
        if full && written > 0 {
            return Err(out.over());
        }
        input = input.get(read..).unwrap_or_default();
        if decoder.is_finished() && decoder.can_collect() == 0 {
            return Ok(input);
        }
        if read == 0 && written == 0 {
            return Err(corrupt("cut in the middle"));
        }
    }
}

/// What follows a skippable frame; `None` if there is none here, `Some(None)` if it is cut.
fn after_skippable(input: &[u8]) -> Option<Option<&[u8]>> {
    let [0x50..=0x5f, 0x2a, 0x4d, 0x18, rest @ ..] = input else {
        return None;
    };
    let skip = rest.split_first_chunk().and_then(|(len, rest)| rest.get(u32::from_le_bytes(*len) as usize..));
    Some(skip)
}

fn corrupt(what: impl Into<String>) -> CompressionError {
    CompressionError::corrupt(Compression::Zstd, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decoder_that_grew_for_one_odd_frame_is_given_up() {
        // A window of 16 MiB, and blocks that each repeat one byte 128 Ki times.
        let frame = |blocks: usize| {
            let block = |last: u32| ((128_u32 << 10) << 3 | 1 << 1 | last).to_le_bytes()[..3].to_vec();
            let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x70];
            for left in (0..blocks).rev() {
                frame.extend(block(u32::from(left == 0)));
                frame.push(b'z');
            }
            frame
        };
        let mut decompressor = Decompressor::default();
        let mut decompress = |blocks: usize| {
            let mut out = Output::new(Compression::Zstd, 0, 64 << 20);
            decompressor.decompress(&frame(blocks), &mut out).expect("a frame");
            assert_eq!(out.bytes.len(), blocks * (128 << 10));
            decompressor.0.is_some()
        };
        assert!(decompress(2), "kept for the next batch");
        assert!(!decompress(160), "20 MiB are not kept");
        assert!(decompress(2));
    }
}
