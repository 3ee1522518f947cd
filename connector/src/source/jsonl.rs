//! Lines of JSON objects from a file, from standard input or from memory.
//!
//! Read in chunks; while the lines of one are worked on, the next one is read by another thread. A line is lent from
//! the chunk it came in; only one that goes over a chunk's end is copied. Lines end with LF or CR LF, the last one may
//! have no end. Blank lines are no records. A UTF-8 byte order mark at the very beginning is passed.
//!
//! Where in a file a task is, and what happens when the file is rotated, is the business of
//! [`file_position`](super::file_position).

use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[cfg(unix)]
use tokio::io::AsyncReadExt as _;
#[cfg(unix)]
use tokio::net::unix::pipe;

use tokio::task::JoinHandle;

use super::sniff::{self, Foreign};
use crate::config::model::{JsonlPath, OnError};
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

type Reader = Box<dyn Read + Send>;

/// What the next chunk comes from.
enum Reading {
    /// A thread that reads it.
    Thread(JoinHandle<(Reader, io::Result<Vec<u8>>)>),
    /// A named pipe, for which no thread waits.
    #[cfg(unix)]
    Pipe(pipe::Receiver),
    /// Nothing: the end was met, where a file can grow.
    End(Reader),
    /// Nothing any more.
    Over,
}

/// Reads an input chunk by chunk, one ahead.
pub struct Chunks {
    name: String,
    /// The bytes there are in all, where that is known.
    total: Option<u64>,
    reading: Reading,
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
    /// Exit 3: the file cannot be opened. Exit 4: it is a file of another kind, such as a compressed one.
    pub fn open(input: &Input, on_bad_message: OnError) -> Result<Self, Failure> {
        let (name, total, reader): (_, _, Reader) = match input {
            Input::File(path) => {
                #[cfg(unix)]
                if is_fifo(path) {
                    return Self::open_fifo(path);
                }
                let (file, total) = open_file(path)?;
                if total.is_some() {
                    refuse_foreign(&file, path, on_bad_message)?;
                }
                (path.display().to_string(), total, Box::new(file))
            }
            Input::Stdin => ("standard input".to_owned(), None, Box::new(io::stdin())),
            Input::Memory(bytes) => ("the shipped orders".to_owned(), Some(bytes.len() as u64), Box::new(*bytes)),
        };
        Ok(Self::new(name, total, reader))
    }

    /// Reads an open file from `offset` on, up to `end` if it is given.
    ///
    /// # Errors
    /// Exit 3: the file cannot be read there.
    pub fn of_file(path: &Path, file: &Arc<File>, offset: u64, end: Option<u64>) -> Result<Self, Failure> {
        let mut reader = Arc::clone(file);
        reader.seek(SeekFrom::Start(offset)).map_err(|error| cannot_read(path, &error))?;
        let length = end.map(|end| end.saturating_sub(offset));
        let reader: Reader = match length {
            Some(length) => Box::new(reader.take(length)),
            None => Box::new(reader),
        };
        Ok(Self::new(path.display().to_string(), length, reader))
    }

    /// A named pipe: read until its last writer has closed it. Opening it the plain way would wait for a writer, deaf to
    /// signals.
    #[cfg(unix)]
    fn open_fifo(path: &Path) -> Result<Self, Failure> {
        let pipe = pipe::OpenOptions::new().open_receiver(path).map_err(|error| cannot_read(path, &error))?;
        let spare = Vec::with_capacity(CHUNK);
        Ok(Self { name: path.display().to_string(), total: None, reading: Reading::Pipe(pipe), spare })
    }

    fn new(name: String, total: Option<u64>, reader: Reader) -> Self {
        let reading = Reading::Thread(read(reader, Vec::with_capacity(CHUNK)));
        Self { name, total, reading, spare: Vec::with_capacity(CHUNK) }
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
        let thread = match &mut self.reading {
            Reading::Thread(thread) => thread,
            #[cfg(unix)]
            Reading::Pipe(pipe) => {
                let mut bytes = std::mem::take(&mut self.spare);
                bytes.clear();
                bytes.reserve(CHUNK);
                let got = pipe.read_buf(&mut bytes).await;
                let got =
                    got.map_err(|error| Failure::environment(format!("{} cannot be read on: {error}", self.name)))?;
                return Ok((got > 0).then_some(Chunk { bytes }));
            }
            Reading::End(_) | Reading::Over => return Ok(None),
        };
        let finished = thread.await;
        self.reading = Reading::Over;
        let (reader, bytes) = finished.map_err(|error| self.failed(&error))?;
        let bytes = bytes.map_err(|error| self.failed(&error))?;
        if bytes.is_empty() {
            self.spare = bytes;
            self.reading = Reading::End(reader);
            return Ok(None);
        }
        self.reading = Reading::Thread(read(reader, std::mem::take(&mut self.spare)));
        Ok(Some(Chunk { bytes }))
    }

    /// Reads on after the end was met: the file has grown.
    pub fn read_on(&mut self) {
        match std::mem::replace(&mut self.reading, Reading::Over) {
            Reading::End(reader) => self.reading = Reading::Thread(read(reader, std::mem::take(&mut self.spare))),
            other => self.reading = other,
        }
    }

    /// Gives a chunk's memory back for the one after the next.
    pub fn recycle(&mut self, chunk: Chunk) {
        self.spare = chunk.bytes;
    }

    fn failed(&self, error: &dyn std::fmt::Display) -> Failure {
        Failure::environment(format!("{} cannot be read on: {error}", self.name))
    }
}

pub(super) fn cannot_read(path: &Path, error: &dyn std::fmt::Display) -> Failure {
    Failure::environment(format!("{} cannot be read: {error}", path.display()))
        .with_help("give the path of a file with one JSON object a line")
}

/// Is there a named pipe?
#[cfg(unix)]
pub fn is_fifo(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt as _;
    std::fs::metadata(path).is_ok_and(|about| about.file_type().is_fifo())
}

/// Opens a file to read; its length if it is a regular one.
pub(super) fn open_file(path: &Path) -> Result<(File, Option<u64>), Failure> {
    let file = File::open(path).map_err(|error| cannot_read(path, &error))?;
    let about = file.metadata().map_err(|error| cannot_read(path, &error))?;
    if about.is_dir() {
        return Err(Failure::environment(format!("{} is a directory", path.display()))
            .with_help("give the path of a file with one JSON object a line"));
    }
    Ok((file, about.is_file().then_some(about.len())))
}

/// Looks at the beginning of a regular file, and leaves it at its beginning.
///
/// # Errors
/// Exit 4: it holds something else than lines.
pub fn refuse_foreign(mut file: &File, path: &Path, on_bad_message: OnError) -> Result<(), Failure> {
    let cannot = |error: io::Error| cannot_read(path, &error);
    let mut start = Vec::new();
    file.seek(SeekFrom::Start(0)).map_err(cannot)?;
    file.take(sniff::WINDOW as u64).read_to_end(&mut start).map_err(cannot)?;
    file.seek(SeekFrom::Start(0)).map_err(cannot)?;
    let whole = start.len() < sniff::WINDOW;
    refuse_foreign_bytes(&start, whole, &Origin::File(path.to_owned()), on_bad_message)
}

/// Looks at the first bytes of an input.
///
/// # Errors
/// Exit 4: it holds something else than lines.
pub fn refuse_foreign_bytes(
    start: &[u8],
    whole: bool,
    origin: &Origin,
    on_bad_message: OnError,
) -> Result<(), Failure> {
    match sniff::look(start, whole) {
        // Text with commas may be what `skip` is there for.
        Some(Foreign::Csv) if on_bad_message == OnError::Skip => Ok(()),
        Some(foreign) => {
            let path = match origin {
                Origin::File(path) => Some(path.display().to_string()),
                _ => None,
            };
            Err(foreign.failure(&origin.to_string(), path.as_deref()))
        }
        None => Ok(()),
    }
}

fn read(mut reader: Reader, mut bytes: Vec<u8>) -> JoinHandle<(Reader, io::Result<Vec<u8>>)> {
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

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Cuts chunks into lines. Keeps nothing but the beginning of a line whose end has not come yet.
#[derive(Debug, Default)]
pub struct Lines {
    carry: Vec<u8>,
    /// How many lines have been lent, blank ones counted.
    number: i64,
    /// The bytes of everything that was cut, and of the carried beginning.
    taken: u64,
    /// The input begins behind the last byte of a line that was lent without its line break.
    in_line: bool,
}

/// What is wrong with a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LineFault {
    /// It goes on for longer than [`LINE_LIMIT`].
    #[error("the line is longer than {} MiB", LINE_LIMIT >> 20)]
    TooLong,
    /// It was sent when it had no line break, and has grown since.
    #[error("the line was sent when it was the last one, without a line break, and has become longer since")]
    Grown,
}

/// A place between two lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LinePosition {
    /// Bytes before it.
    pub offset: u64,
    /// Lines before it, blank ones counted.
    pub line: i64,
    /// The last one of them had no line break; if one comes, it belongs to that line.
    pub in_line: bool,
}

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
    /// Begins at a position.
    pub fn at(position: LinePosition) -> Self {
        let number = position.line - i64::from(position.in_line);
        Self { carry: Vec::new(), number, taken: position.offset, in_line: position.in_line }
    }

    /// How many lines have been lent so far.
    pub fn number(&self) -> i64 {
        self.number
    }

    /// The bytes of everything that was cut.
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// The place behind the last whole line.
    pub fn position(&self) -> LinePosition {
        if self.in_line {
            // Nothing but the rest of a line that counts already.
            return LinePosition { offset: self.taken - self.carry.len() as u64, line: self.number + 1, in_line: true };
        }
        LinePosition { offset: self.taken - self.carry.len() as u64, line: self.number, in_line: false }
    }

    /// Begins to cut a chunk.
    pub fn cut<'a>(&'a mut self, chunk: &'a Chunk) -> Cutter<'a> {
        self.taken += chunk.bytes.len() as u64;
        Cutter { lines: self, rest: &chunk.bytes, lent: false }
    }

    /// The last line, if the input ended without a line break.
    ///
    /// # Errors
    /// It is the rest of a line that was lent before.
    pub fn last(&mut self) -> Result<Option<(i64, &[u8])>, LineFault> {
        let number = self.number;
        if self.carry.is_empty() {
            return Ok(None);
        }
        if self.in_line {
            return if is_blank(trimmed(&self.carry, number)) { Ok(None) } else { Err(LineFault::Grown) };
        }
        self.number += 1;
        let line = trimmed(&self.carry, number);
        Ok((!is_blank(line)).then_some((number, line)))
    }

    /// The end of the input, after [`Lines::last`] was handed over.
    pub fn end(&self) -> LinePosition {
        let in_line = !self.carry.is_empty() || self.in_line;
        let line = self.number + i64::from(self.in_line);
        LinePosition { offset: self.taken, line, in_line }
    }
}

impl Cutter<'_> {
    /// The next line that is not blank.
    ///
    /// # Errors
    /// The line has no end within [`LINE_LIMIT`], or is the rest of one that was lent before.
    pub fn line(&mut self) -> Result<Cut<'_>, LineFault> {
        if std::mem::take(&mut self.lent) {
            self.lines.carry.clear();
        }
        loop {
            let Some(end) = find_line_break(self.rest) else {
                if self.lines.carry.len() + self.rest.len() > LINE_LIMIT {
                    return Err(LineFault::TooLong);
                }
                self.lines.carry.extend_from_slice(self.rest);
                self.rest = &[];
                return Ok(Cut::Empty);
            };
            let (line, rest) = (&self.rest[..end], &self.rest[end + 1..]);
            self.rest = rest;
            let number = self.lines.number;
            self.lines.number += 1;
            if self.lines.in_line {
                self.lines.in_line = false;
                self.lines.carry.extend_from_slice(line);
                if !is_blank(trimmed(&self.lines.carry, number)) {
                    return Err(LineFault::Grown);
                }
                self.lines.carry.clear();
                continue;
            }
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
        if let Some((number, line)) = lines.last().expect("a line of its own") {
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
        assert_eq!(lines.cut(&chunk).line(), Err(LineFault::TooLong));
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
        let mut chunks = Chunks::open(&Input::File(path), OnError::Stop).expect("opened");
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
        assert_eq!((count, lines.last()), (60_000, Ok(None)));
    }

    #[tokio::test]
    async fn a_file_that_is_not_there_is_named() {
        let failure = Chunks::open(&Input::File("no/such.jsonl".into()), OnError::Stop).expect_err("not there");
        assert!(failure.message.contains("no/such.jsonl"), "{failure}");
        assert_eq!(failure.exit, crate::exit::Exit::Environment);
    }
}
