//! Lines of JSON objects from a file, from standard input or from memory.
//!
//! Read in chunks; while the lines of one are worked on, the next one is read by another thread. A line is lent from
//! the chunk it came in; only one that goes over a chunk's end is copied. Lines end with LF or CR LF, the last one may
//! have no end. Blank lines are no records. A UTF-8 byte order mark at the very beginning is passed.
//!
//! A file is read from its beginning each time: it has no group that could keep a position, so the incremental modes
//! are refused for it, and a `full` run that is started again sends every line again.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use tokio::task::JoinHandle;

use crate::config::model::JsonlPath;
use crate::event::Origin;
use crate::exit::Failure;

/// How much is read at once.
const CHUNK: usize = 256 << 10;

/// The longest line, in bytes. Kafka's brokers take 1 MB by default.
pub const LINE_LIMIT: usize = 64 << 20;

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// What lines are read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A file.
    File(PathBuf),
    /// Standard input.
    Stdin,
    /// Bytes of this program, for the demonstration.
    Memory(&'static [u8]),
}

impl From<&JsonlPath> for Input {
    fn from(path: &JsonlPath) -> Self {
        match path {
            JsonlPath::File(path) => Self::File(path.clone()),
            JsonlPath::Stdio => Self::Stdin,
        }
    }
}

impl Input {
    /// As errors name it.
    pub fn origin(&self) -> Origin {
        match self {
            Self::File(path) => Origin::File(path.clone()),
            Self::Stdin => Origin::Stream("standard input"),
            Self::Memory(_) => Origin::Stream("the shipped orders"),
        }
    }
}

/// A chunk of input.
#[derive(Debug)]
pub struct Chunk {
    bytes: Vec<u8>,
}

type Reading = JoinHandle<(Box<dyn Read + Send>, io::Result<Vec<u8>>)>;

/// Reads an input chunk by chunk, one ahead.
pub struct Chunks {
    name: String,
    /// The bytes there are in all, where that is known.
    total: Option<u64>,
    reading: Option<Reading>,
    spare: Vec<u8>,
}

impl std::fmt::Debug for Chunks {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Chunks").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Chunks {
    /// Opens an input and begins to read it. To be called within a Tokio runtime.
    ///
    /// # Errors
    /// Exit 3: the file cannot be opened.
    pub fn open(input: &Input) -> Result<Self, Failure> {
        let (name, total, reader): (_, _, Box<dyn Read + Send>) = match input {
            Input::File(path) => {
                let (file, total) = open_file(path)?;
                (path.display().to_string(), total, Box::new(file))
            }
            Input::Stdin => ("standard input".to_owned(), None, Box::new(io::stdin())),
            Input::Memory(bytes) => ("the shipped orders".to_owned(), Some(bytes.len() as u64), Box::new(*bytes)),
        };
        Ok(Self {
            name,
            total,
            reading: Some(read(reader, Vec::with_capacity(CHUNK))),
            spare: Vec::with_capacity(CHUNK),
        })
    }

    /// How many bytes there are in all, if that is known.
    pub fn total(&self) -> Option<u64> {
        self.total
    }

    /// The next chunk; `None` at the end. Cancel safe.
    ///
    /// # Errors
    /// Exit 3: reading failed.
    pub async fn next(&mut self) -> Result<Option<Chunk>, Failure> {
        let Some(reading) = &mut self.reading else { return Ok(None) };
        let finished = reading.await;
        self.reading = None;
        let (reader, bytes) = finished.map_err(|error| self.failed(&error))?;
        let bytes = bytes.map_err(|error| self.failed(&error))?;
        if bytes.is_empty() {
            return Ok(None);
        }
        self.reading = Some(read(reader, std::mem::take(&mut self.spare)));
        Ok(Some(Chunk { bytes }))
    }

    /// Gives a chunk's memory back for the one after the next.
    pub fn recycle(&mut self, chunk: Chunk) {
        self.spare = chunk.bytes;
    }

    fn failed(&self, error: &dyn std::fmt::Display) -> Failure {
        Failure::environment(format!("{} cannot be read on: {error}", self.name))
    }
}

fn open_file(path: &Path) -> Result<(File, Option<u64>), Failure> {
    let cannot = |error: io::Error| {
        Failure::environment(format!("{} cannot be read: {error}", path.display()))
            .with_help("give the path of a file with one JSON object a line")
    };
    let file = File::open(path).map_err(cannot)?;
    let about = file.metadata().map_err(cannot)?;
    if about.is_dir() {
        return Err(Failure::environment(format!("{} is a directory", path.display()))
            .with_help("give the path of a file with one JSON object a line"));
    }
    Ok((file, about.is_file().then_some(about.len())))
}

fn read(mut reader: Box<dyn Read + Send>, mut bytes: Vec<u8>) -> Reading {
    tokio::task::spawn_blocking(move || {
        bytes.clear();
        bytes.resize(CHUNK, 0);
        let got = loop {
            match reader.read(&mut bytes) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                got => break got,
            }
        };
        let result = got.map(|count| {
            bytes.truncate(count);
            bytes
        });
        (reader, result)
    })
}

impl Chunk {
    /// How many bytes it has.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Has it none? Never true of one that was read.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

/// Cuts chunks into lines. Keeps nothing but the beginning of a line whose end has not come yet.
#[derive(Debug, Default)]
pub struct Lines {
    carry: Vec<u8>,
    /// How many lines have been lent, blank ones counted.
    number: i64,
}

/// A line that goes on for longer than [`LINE_LIMIT`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the line is longer than {} MiB", LINE_LIMIT >> 20)]
pub struct TooLong;

/// What came of one look for a line.
#[derive(Debug, PartialEq, Eq)]
pub enum Cut<'a> {
    /// A line and its number, counted from 0.
    Line(i64, &'a [u8]),
    /// The chunk is used up.
    Empty,
}

/// A chunk that is being cut.
#[derive(Debug)]
pub struct Cutter<'a> {
    lines: &'a mut Lines,
    rest: &'a [u8],
    /// The carried line was lent and is to be dropped.
    lent: bool,
}

impl Lines {
    /// How many lines have been lent so far.
    pub fn number(&self) -> i64 {
        self.number
    }

    /// Begins to cut a chunk.
    pub fn cut<'a>(&'a mut self, chunk: &'a Chunk) -> Cutter<'a> {
        Cutter { lines: self, rest: &chunk.bytes, lent: false }
    }

    /// The last line, if the input ended without a line break.
    pub fn last(&mut self) -> Option<(i64, &[u8])> {
        if self.carry.is_empty() {
            return None;
        }
        let number = self.number;
        self.number += 1;
        let line = trimmed(&self.carry, number);
        (!is_blank(line)).then_some((number, line))
    }
}

impl Cutter<'_> {
    /// The next line that is not blank.
    ///
    /// # Errors
    /// The line has no end within [`LINE_LIMIT`].
    pub fn line(&mut self) -> Result<Cut<'_>, TooLong> {
        if std::mem::take(&mut self.lent) {
            self.lines.carry.clear();
        }
        loop {
            let Some(end) = find_line_break(self.rest) else {
                if self.lines.carry.len() + self.rest.len() > LINE_LIMIT {
                    return Err(TooLong);
                }
                self.lines.carry.extend_from_slice(self.rest);
                self.rest = &[];
                return Ok(Cut::Empty);
            };
            let (line, rest) = (&self.rest[..end], &self.rest[end + 1..]);
            self.rest = rest;
            let number = self.lines.number;
            self.lines.number += 1;
            if self.lines.carry.is_empty() {
                let line = trimmed(line, number);
                if !is_blank(line) {
                    return Ok(Cut::Line(number, line));
                }
                continue;
            }
            self.lines.carry.extend_from_slice(line);
            if is_blank(trimmed(&self.lines.carry, number)) {
                self.lines.carry.clear();
                continue;
            }
            self.lent = true;
            return Ok(Cut::Line(number, trimmed(&self.lines.carry, number)));
        }
    }
}

/// Without the CR of a CR LF, and without the byte order mark of the first line.
fn trimmed(line: &[u8], number: i64) -> &[u8] {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if number == 0 { line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line) } else { line }
}

fn is_blank(line: &[u8]) -> bool {
    line.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r'))
}

/// The first LF, eight bytes at a time.
fn find_line_break(bytes: &[u8]) -> Option<usize> {
    const LOW: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let (words, rest) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word) ^ (LOW * u64::from(b'\n'));
        let found = word.wrapping_sub(LOW) & !word & HIGH;
        if found != 0 {
            return Some(index * 8 + found.trailing_zeros() as usize / 8);
        }
    }
    rest.iter().position(|byte| *byte == b'\n').map(|at| words.len() * 8 + at)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// All lines of an input that comes in these pieces.
    fn lines(pieces: &[&[u8]]) -> Vec<(i64, Vec<u8>)> {
        let (mut lines, mut found) = (Lines::default(), Vec::new());
        for piece in pieces {
            let chunk = Chunk { bytes: piece.to_vec() };
            let mut cutter = lines.cut(&chunk);
            while let Cut::Line(number, line) = cutter.line().expect("no long line") {
                found.push((number, line.to_vec()));
            }
        }
        if let Some((number, line)) = lines.last() {
            found.push((number, line.to_vec()));
        }
        found
    }

    fn owned(expected: &[(i64, &str)]) -> Vec<(i64, Vec<u8>)> {
        expected.iter().map(|(number, line)| (*number, line.as_bytes().to_vec())).collect()
    }

    #[test]
    fn lines_end_with_lf_or_cr_lf_and_the_last_one_with_nothing() {
        assert_eq!(lines(&[b"{}\n{\"a\":1}\r\nx"]), owned(&[(0, "{}"), (1, "{\"a\":1}"), (2, "x")]));
        assert_eq!(lines(&[b""]), []);
    }

    #[test]
    fn blank_lines_are_no_records_but_are_counted() {
        assert_eq!(lines(&[b"\n \t\n{}\n\r\n\n{}\n  "]), owned(&[(2, "{}"), (5, "{}")]));
    }

    #[test]
    fn a_byte_order_mark_at_the_beginning_is_passed_and_no_other() {
        assert_eq!(lines(&["\u{feff}{}\n\u{feff}{}\n".as_bytes()]), owned(&[(0, "{}"), (1, "\u{feff}{}")]));
    }

    #[test]
    fn a_line_without_end_is_refused_before_it_fills_the_memory() {
        let mut lines = Lines::default();
        let chunk = Chunk { bytes: vec![b'x'; LINE_LIMIT / 4] };
        for _ in 0..4 {
            assert_eq!(lines.cut(&chunk).line(), Ok(Cut::Empty));
        }
        assert_eq!(lines.cut(&chunk).line(), Err(TooLong));
    }

    proptest! {
        #[test]
        fn where_the_chunks_end_changes_nothing(
            text in "[ax\r\n ]{0,60}",
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        ) {
            let bytes = text.as_bytes();
            let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            at.extend([0, bytes.len()]);
            at.sort_unstable();
            let pieces: Vec<&[u8]> = at.windows(2).map(|ends| &bytes[ends[0]..ends[1]]).collect();
            let expected: Vec<(i64, Vec<u8>)> = (0..).zip(text.split('\n'))
                .map(|(number, line)| (number, line.strip_suffix('\r').unwrap_or(line)))
                .filter(|(_, line)| !line.bytes().all(|byte| b" \t\r".contains(&byte)))
                .map(|(number, line)| (number, line.as_bytes().to_vec())).collect();
            prop_assert_eq!(lines(&pieces), expected);
        }

        #[test]
        fn the_line_break_found_is_the_first(bytes in prop::collection::vec(prop::sample::select(vec![9u8, 10, 11, 0x8a, 0xff, 0]), 0..40)) {
            prop_assert_eq!(find_line_break(&bytes), bytes.iter().position(|byte| *byte == b'\n'));
        }
    }

    #[tokio::test]
    async fn an_input_is_read_to_its_end_chunk_by_chunk() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("in.jsonl");
        let text: Vec<u8> = (0..60_000).flat_map(|n| format!("{{\"n\":{n}}}\n").into_bytes()).collect();
        std::fs::write(&path, &text).expect("written");
        let mut chunks = Chunks::open(&Input::File(path)).expect("opened");
        assert_eq!(chunks.total(), Some(text.len() as u64));
        let (mut lines, mut count) = (Lines::default(), 0);
        while let Some(chunk) = chunks.next().await.expect("read") {
            let mut cutter = lines.cut(&chunk);
            while let Cut::Line(number, line) = cutter.line().expect("no long line") {
                assert_eq!(line, format!("{{\"n\":{number}}}").as_bytes());
                count += 1;
            }
            chunks.recycle(chunk);
        }
        assert_eq!((count, lines.last()), (60_000, None));
    }

    #[tokio::test]
    async fn a_file_that_is_not_there_is_named() {
        let failure = Chunks::open(&Input::File("no/such.jsonl".into())).expect_err("not there");
        assert!(failure.message.contains("no/such.jsonl"), "{failure}");
        assert_eq!(failure.exit, crate::exit::Exit::Environment);
    }
}
