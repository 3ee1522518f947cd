//! One partition's log: batches as they came, their offsets placed, in memory.
//!
//! An appended batch is copied once, into a piece of about a megabyte, so it pins neither its request's buffer nor a
//! small allocation of its own. A read hands out slices of the pieces; only what lies in several small ones is joined.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use ottla_protocol::ErrorCode;

use crate::batch::Checked;
use crate::sequence::{Producers, Verdict};

/// How large a piece becomes. Larger ones would hold back memory after `delete_before`.
const PIECE_BYTES: usize = 1 << 20;

/// How large the first piece is; each next one is twice as large, up to [`PIECE_BYTES`].
const FIRST_PIECE_BYTES: usize = 4 << 10;

/// From this size on a piece that is still being filled is split so that a read needs no copy.
const SHARE_FROM: usize = 16 << 10;

/// A read that finds less than this in one piece goes on into the next and copies.
const JOIN_BELOW: usize = 64 << 10;

/// The batches of one partition and what is remembered of their producers. Pure: it has no clock and never waits.
#[derive(Debug)]
pub(crate) struct Log {
    start: i64,
    end: i64,
    sealed: VecDeque<Piece<Bytes>>,
    open: Piece<BytesMut>,
    producers: Producers,
    /// Of all batches, those too that lie before the start in a piece that is still needed.
    stored_bytes: u64,
}

#[derive(Debug, Default)]
struct Piece<B> {
    bytes: B,
    batches: Vec<Entry>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    base_offset: i64,
    last_offset: i64,
    max_timestamp: i64,
    leader_epoch: i32,
    /// Where in its piece.
    at: usize,
}

/// What an append did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Appended {
    /// The first record's offset.
    pub(crate) base_offset: i64,
    /// Whether it was in the log before, so nothing was written.
    pub(crate) repeat: bool,
}

/// A batch in the log.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) base_offset: i64,
    pub(crate) leader_epoch: i32,
    pub(crate) bytes: Bytes,
}

impl Log {
    pub(crate) fn new() -> Self {
        Self {
            start: 0,
            end: 0,
            sealed: VecDeque::new(),
            open: Piece::default(),
            producers: Producers::default(),
            stored_bytes: 0,
        }
    }

    /// The first offset that can be read.
    pub(crate) fn start(&self) -> i64 {
        self.start
    }

    /// The offset that the next record gets. There is one copy of the log, so it is the high watermark too.
    pub(crate) fn end(&self) -> i64 {
        self.end
    }

    /// How many bytes of batches are in memory.
    pub(crate) fn stored_bytes(&self) -> u64 {
        self.stored_bytes
    }

    /// Deletes the oldest piece, about a megabyte of records. Whether there was one.
    pub(crate) fn delete_oldest(&mut self) -> bool {
        self.seal();
        let Some(end) = self.sealed.front().map(|piece| piece.last_offset() + 1) else { return false };
        self.delete_before(end);
        true
    }

    /// Appends a checked batch, unless its producer's numbering forbids it or shows that it is here already.
    pub(crate) fn append(&mut self, batch: &Checked, leader_epoch: i32) -> Result<Appended, ErrorCode> {
        if let Some(stamp) = &batch.stamp {
            match self.producers.judge(stamp) {
                Verdict::Next => {}
                Verdict::Repeat { base_offset } => return Ok(Appended { base_offset, repeat: true }),
                Verdict::Refused(error) => return Err(error),
            }
        }
        let base_offset = self.end;
        let last_offset = base_offset + i64::from(batch.last_offset_delta);
        self.store(batch, base_offset, last_offset, leader_epoch);
        self.end = last_offset + 1;
        if let Some(stamp) = &batch.stamp {
            self.producers.appended(stamp, base_offset, last_offset);
        }
        Ok(Appended { base_offset, repeat: false })
    }

    fn store(&mut self, batch: &Checked, base_offset: i64, last_offset: i64, leader_epoch: i32) {
        if self.open.bytes.capacity() - self.open.bytes.len() < batch.bytes.len() {
            self.seal();
            let wanted = self.next_piece_bytes().max(batch.bytes.len());
            self.open.bytes = BytesMut::with_capacity(wanted);
        }
        let at = self.open.bytes.len();
        self.open.bytes.extend_from_slice(&batch.bytes);
        self.stored_bytes += batch.bytes.len() as u64;
        // The two fields that the checksum leaves out for this reason.
        let head = &mut self.open.bytes[at..];
        head[..8].copy_from_slice(&base_offset.to_be_bytes());
        head[12..16].copy_from_slice(&leader_epoch.to_be_bytes());
        let max_timestamp = batch.max_timestamp;
        self.open.batches.push(Entry { base_offset, last_offset, max_timestamp, leader_epoch, at });
    }

    fn next_piece_bytes(&self) -> usize {
        let last = self.sealed.back().map_or(FIRST_PIECE_BYTES / 2, |piece| piece.bytes.len());
        (last * 2).next_power_of_two().clamp(FIRST_PIECE_BYTES, PIECE_BYTES)
    }

    /// Makes the open piece readable without a copy. What capacity it has left goes on being filled.
    fn seal(&mut self) {
        if self.open.batches.is_empty() {
            return;
        }
        let bytes = self.open.bytes.split().freeze();
        let batches = std::mem::take(&mut self.open.batches);
        self.sealed.push_back(Piece { bytes, batches });
    }

    /// Whole batches from the one that holds `offset` on, at most `max_bytes` of them, but at least one if
    /// `at_least_one`. Empty at the end of the log.
    pub(crate) fn read(&mut self, offset: i64, max_bytes: usize, at_least_one: bool) -> Result<Bytes, ErrorCode> {
        if offset < self.start || offset > self.end {
            return Err(ErrorCode::OFFSET_OUT_OF_RANGE);
        }
        if offset == self.end {
            return Ok(Bytes::new());
        }
        if self.open.bytes.len() >= SHARE_FROM {
            self.seal();
        }
        let piece = self.sealed.partition_point(|piece| piece.last_offset() < offset);
        let (first, whole) = self.slice(piece, offset, max_bytes, at_least_one);
        if !whole || first.len() >= JOIN_BELOW.min(max_bytes) || piece >= self.sealed.len() {
            return Ok(first);
        }
        Ok(self.join(first, piece + 1, max_bytes))
    }

    /// Goes on with the pieces after the first, as far as they are wanted.
    fn join(&self, first: Bytes, from: usize, max_bytes: usize) -> Bytes {
        let mut joined = BytesMut::from(first);
        for piece in from..=self.sealed.len() {
            let (next, whole) = self.slice(piece, i64::MIN, max_bytes.saturating_sub(joined.len()), false);
            joined.extend_from_slice(&next);
            if !whole {
                break;
            }
        }
        joined.freeze()
    }

    /// The part of one piece from `offset` on, in whole batches, and whether it goes up to the piece's end. The piece
    /// after the sealed ones is the open one.
    fn slice(&self, piece: usize, offset: i64, max_bytes: usize, at_least_one: bool) -> (Bytes, bool) {
        if let Some(piece) = self.sealed.get(piece) {
            let len = piece.bytes.len();
            let (from, to) = piece.range(len, offset, max_bytes, at_least_one);
            return (piece.bytes.slice(from..to), to == len);
        }
        let len = self.open.bytes.len();
        let (from, to) = self.open.range(len, offset, max_bytes, at_least_one);
        (Bytes::copy_from_slice(&self.open.bytes[from..to]), to == len)
    }

    /// The first batch that may hold a record of this time or later: its newest record is not older.
    pub(crate) fn batch_for_time(&self, timestamp_ms: i64) -> Option<Stored> {
        let start = self.start;
        self.stored().find(|(entry, _)| entry.last_offset >= start && entry.max_timestamp >= timestamp_ms).map(
            |(entry, bytes)| Stored {
                base_offset: entry.base_offset,
                leader_epoch: entry.leader_epoch,
                bytes: Bytes::copy_from_slice(bytes),
            },
        )
    }

    /// Every batch that is still readable, oldest first. For tests, so copies do not matter.
    pub(crate) fn batches(&self) -> Vec<Stored> {
        let readable = self.stored().filter(|(entry, _)| entry.last_offset >= self.start);
        readable
            .map(|(entry, bytes)| Stored {
                base_offset: entry.base_offset,
                leader_epoch: entry.leader_epoch,
                bytes: Bytes::copy_from_slice(bytes),
            })
            .collect()
    }

    fn stored(&self) -> impl Iterator<Item = (Entry, &[u8])> {
        let sealed = self.sealed.iter().flat_map(|piece| piece.entries(&piece.bytes));
        sealed.chain(self.open.entries(&self.open.bytes))
    }

    /// Takes the records before `offset` away, as retention does. Returns the new start.
    pub(crate) fn delete_before(&mut self, offset: i64) -> i64 {
        self.start = offset.clamp(self.start, self.end);
        while let Some(piece) = self.sealed.pop_front_if(|piece| piece.last_offset() < self.start) {
            self.stored_bytes -= piece.bytes.len() as u64;
        }
        if self.start == self.end {
            self.stored_bytes -= self.open.bytes.len() as u64;
            self.open = Piece::default();
        }
        self.producers.deleted_before(self.start);
        self.start
    }

    /// Takes the batches with records at `offset` or later away, as a leader change after a crash does. Returns the new
    /// end.
    pub(crate) fn truncate_to(&mut self, offset: i64) -> i64 {
        self.seal();
        while let Some(piece) = self.sealed.back_mut() {
            let before = piece.bytes.len();
            while let Some(entry) = piece.batches.pop_if(|entry| entry.last_offset >= offset) {
                piece.bytes.truncate(entry.at);
            }
            self.stored_bytes -= (before - piece.bytes.len()) as u64;
            if !piece.batches.is_empty() {
                break;
            }
            self.sealed.pop_back();
        }
        let last = self.sealed.back().map(|piece| piece.last_offset() + 1);
        self.end = last.unwrap_or(self.start.min(offset.max(0)));
        self.start = self.start.min(self.end);
        self.producers.truncated_to(self.end);
        self.end
    }
}

impl<B> Piece<B> {
    fn last_offset(&self) -> i64 {
        self.batches.last().map_or(-1, |entry| entry.last_offset)
    }

    /// Which bytes hold the whole batches from `offset` on, within the limit.
    fn range(&self, len: usize, offset: i64, max_bytes: usize, at_least_one: bool) -> (usize, usize) {
        let first = self.batches.partition_point(|entry| entry.last_offset < offset);
        let Some(entry) = self.batches.get(first) else { return (len, len) };
        let from = entry.at;
        let fits = self.batches[first..].partition_point(|next| next.at - from <= max_bytes);
        // `fits` batches begin within the limit; the last of them ends within it only if the piece does.
        let whole = if len - from <= max_bytes { self.batches.len() - first } else { fits.saturating_sub(1) };
        let whole = whole.max(usize::from(at_least_one));
        (from, self.batches.get(first + whole).map_or(len, |entry| entry.at))
    }

    fn entries<'a>(&'a self, bytes: &'a [u8]) -> impl Iterator<Item = (Entry, &'a [u8])> {
        self.batches.iter().enumerate().map(move |(i, entry)| {
            let to = self.batches.get(i + 1).map_or(bytes.len(), |next| next.at);
            (*entry, &bytes[entry.at..to])
        })
    }
}

#[cfg(test)]
#[path = "log_tests.rs"]
mod tests;
