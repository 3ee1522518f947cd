//! JSON objects as lines of a file or of standard output.
//!
//! - A value is written as the bytes it came as, and a line break. Line breaks between its tokens become blanks: a JSON
//!   object has none inside its strings, so only white space changes, and a line stays a line.
//! - Keys, headers and times have no place in a line. A deletion (a record without a value) leaves no line; it is
//!   counted.
//! - A file is appended to, created where it is missing. What is written counts as written once it is flushed and synced
//!   to disk; standard output once the reader has taken it.
//! - A writer that was killed in the middle of a line leaves its beginning behind. The next one finds it: the beginning
//!   of an object is cut off (its record was never committed and is written again), a whole object without its line
//!   break gets one. Any other end without a line break is not ours, and the file is refused.
//! - A file has one writer at a time, which holds its lock.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use tokio::task::JoinHandle;

use super::{Push, Settled, Ticket};
use crate::config::model::JsonlPath;
use crate::core::checkpoint::{Checkpoint, Span};
use crate::event::Event;
use crate::exit::Failure;
use crate::format::{self, Fault};
use crate::source::jsonl::LINE_LIMIT;

/// How much is gathered before it is written.
const CHUNK: usize = 256 << 10;

/// What to do with a file that holds something already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Existing {
    /// Write behind its last line.
    #[default]
    Append,
    /// Replace it.
    Overwrite,
    /// Leave it alone: an error.
    Refuse,
}

/// What was done about the end of a file that was appended to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repair {
    /// The beginning of an object, this many bytes long, was cut off.
    Cut(u64),
    /// The last line was whole and got its line break.
    Ended,
}

/// Writes lines.
#[derive(Debug)]
pub struct JsonlTarget {
    name: String,
    /// `None` while another thread writes with it, and after a failure.
    sink: Option<Sink>,
    writing: Option<JoinHandle<Written>>,
    buffer: Vec<u8>,
    spare: Vec<u8>,
    /// Spans with lines that are not synced yet, and how many lines.
    held: Vec<(Span, u64)>,
    repair: Option<Repair>,
}

#[derive(Debug)]
enum Sink {
    /// A regular file, which can be synced.
    File(File),
    /// A device or pipe with a name.
    Stream(File),
    Stdout,
}

type Written = (Sink, Vec<u8>, io::Result<()>);

impl JsonlTarget {
    /// Opens the file, or takes standard output.
    ///
    /// # Errors
    /// Exit 3: it cannot be opened, another process writes it, or its end is not ours to repair. Exit 2: it holds
    /// something and `existing` says to leave it alone.
    pub async fn open(path: &JsonlPath, existing: Existing) -> Result<Self, Failure> {
        let (name, sink, repair) = match path {
            JsonlPath::Stdio => ("standard output".to_owned(), Sink::Stdout, None),
            JsonlPath::File(path) => {
                let (name, path) = (path.display().to_string(), path.clone());
                let opened = tokio::task::spawn_blocking(move || open_file(&path, existing)).await;
                let (sink, repair) = opened.map_err(|error| Failure::internal(format!("{name}: {error}")))??;
                (name, sink, repair)
            }
        };
        let buffer = || Vec::with_capacity(CHUNK + CHUNK / 4);
        let (buffer, spare) = (buffer(), buffer());
        Ok(Self { name, sink: Some(sink), writing: None, buffer, spare, held: Vec::new(), repair })
    }

    /// What was done about the end of the file when it was opened.
    pub fn repair(&self) -> Option<Repair> {
        self.repair
    }

    #[inline]
    pub(super) fn push(&mut self, checkpoint: &mut Checkpoint, ticket: Ticket, event: &Event<'_>) -> Push {
        let Some(value) = event.value else { return Push::Passed };
        if self.buffer.len() >= CHUNK {
            return Push::Full;
        }
        if event.layout.line_breaks {
            append_on_one_line(&mut self.buffer, value);
        } else {
            self.buffer.extend_from_slice(value);
        }
        self.buffer.push(b'\n');
        match self.held.last_mut() {
            Some((span, lines)) if *span == ticket.span => *lines += 1,
            _ => {
                checkpoint.hold(ticket.span);
                self.held.push((ticket.span, 1));
            }
        }
        Push::Taken
    }

    /// Hands the full buffer to another thread and goes on with the other one.
    pub(super) async fn make_room(&mut self) -> Result<(), Failure> {
        self.written().await?;
        let Some(sink) = self.sink.take() else { return Err(self.broken()) };
        let full = std::mem::replace(&mut self.buffer, std::mem::take(&mut self.spare));
        self.writing = Some(tokio::task::spawn_blocking(move || write(sink, full, false)));
        Ok(())
    }

    pub(super) fn unsettled(&self) -> usize {
        self.held.len()
    }

    pub(super) async fn sync(&mut self, mut each: impl FnMut(Settled)) -> Result<(), Failure> {
        if self.held.is_empty() {
            return Ok(());
        }
        self.written().await?;
        let Some(sink) = self.sink.take() else { return Err(self.broken()) };
        let rest = std::mem::replace(&mut self.buffer, std::mem::take(&mut self.spare));
        self.writing = Some(tokio::task::spawn_blocking(move || write(sink, rest, true)));
        self.written().await?;
        for (span, lines) in self.held.drain(..) {
            each(Settled { span, written: lines, refused: None });
        }
        Ok(())
    }

    /// Waits for the other thread.
    async fn written(&mut self) -> Result<(), Failure> {
        let Some(writing) = &mut self.writing else { return Ok(()) };
        let finished = writing.await;
        self.writing = None;
        let (sink, mut buffer, result) = finished.map_err(|error| self.failed(&error))?;
        buffer.clear();
        self.spare = buffer;
        result.map_err(|error| self.failed(&error))?;
        self.sink = Some(sink);
        Ok(())
    }

    fn failed(&self, error: &dyn std::fmt::Display) -> Failure {
        Failure::environment(format!("{} cannot be written: {error}", self.name))
            .with_help("what was not written is not committed; start the task again once this is mended")
    }

    fn broken(&self) -> Failure {
        self.failed(&"an earlier write failed")
    }
}

fn write(mut sink: Sink, buffer: Vec<u8>, sync: bool) -> Written {
    let result = match &mut sink {
        Sink::File(file) => file.write_all(&buffer).and_then(|()| if sync { file.sync_data() } else { Ok(()) }),
        Sink::Stream(file) => file.write_all(&buffer),
        Sink::Stdout => {
            let mut out = io::stdout().lock();
            out.write_all(&buffer).and_then(|()| out.flush())
        }
    };
    (sink, buffer, result)
}

fn append_on_one_line(buffer: &mut Vec<u8>, value: &[u8]) {
    buffer.extend(value.iter().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte }));
}

fn open_file(path: &Path, existing: Existing) -> Result<(Sink, Option<Repair>), Failure> {
    let cannot = |error: io::Error| Failure::environment(format!("{} cannot be written: {error}", path.display()));
    let new = !path.exists();
    let mut file = OpenOptions::new().read(true).append(true).create(true).open(path);
    if file.as_ref().is_err_and(|_| !new) {
        // A pipe or a device that cannot be read.
        file = OpenOptions::new().append(true).open(path);
    }
    let mut file = file.map_err(cannot)?;
    let about = file.metadata().map_err(cannot)?;
    if !about.is_file() {
        return Ok((Sink::Stream(file), None));
    }
    lock(&file, path)?;
    if new {
        sync_directory(path).map_err(cannot)?;
    }
    let repair = match existing {
        Existing::Refuse if about.len() > 0 => return Err(holds_something(path)),
        Existing::Overwrite => {
            file.set_len(0).map_err(cannot)?;
            None
        }
        Existing::Refuse | Existing::Append => repair(&mut file, path)?,
    };
    Ok((Sink::File(file), repair))
}

fn holds_something(path: &Path) -> Failure {
    Failure::usage(format!("{} exists and is not empty", path.display()))
        .with_help("--append writes behind what it holds, --overwrite replaces it")
}

fn lock(file: &File, path: &Path) -> Result<(), Failure> {
    match file.try_lock() {
        // A file system without locks is no reason to stop.
        Ok(()) | Err(TryLockError::Error(_)) => Ok(()),
        Err(TryLockError::WouldBlock) => {
            Err(Failure::environment(format!("{} is being written by another process or task", path.display()))
                .with_help("give each task a file of its own, or wait until the other one has ended"))
        }
    }
}

/// A new file survives a power cut only if its directory was synced too.
fn sync_directory(path: &Path) -> io::Result<()> {
    let directory = match path.parent() {
        Some(parent) if parent != Path::new("") => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    File::open(directory)?.sync_all().or(Ok(()))
}

/// Sees to it that the file ends with a line break.
fn repair(file: &mut File, path: &Path) -> Result<Option<Repair>, Failure> {
    let cannot = |error: io::Error| Failure::environment(format!("{} cannot be read: {error}", path.display()));
    let tail = last_line(file).map_err(cannot)?;
    let tail = match tail {
        Some(tail) if tail.is_empty() => return Ok(None),
        Some(tail) => tail,
        None => return Err(not_ours(path)),
    };
    if format::check(&tail).is_ok() {
        file.write_all(b"\n").map_err(cannot)?;
        return Ok(Some(Repair::Ended));
    }
    if !is_torn_object(&tail) {
        return Err(not_ours(path));
    }
    let length = file.metadata().map_err(cannot)?.len();
    file.set_len(length - tail.len() as u64).map_err(cannot)?;
    Ok(Some(Repair::Cut(tail.len() as u64)))
}

fn not_ours(path: &Path) -> Failure {
    Failure::environment(format!("{} ends with something that is no line of JSON", path.display()))
        .with_help("give another file, or end its last line with a line break")
}

/// What stands behind the last line break; `None` if that is longer than any line of ours.
fn last_line(file: &mut File) -> io::Result<Option<Vec<u8>>> {
    const STEP: u64 = 64 << 10;
    let mut start = file.seek(SeekFrom::End(0))?;
    let mut tail = Vec::new();
    while start > 0 && tail.len() <= LINE_LIMIT {
        let step = start.min(STEP);
        start -= step;
        file.seek(SeekFrom::Start(start))?;
        let mut block = vec![0; step as usize];
        file.read_exact(&mut block)?;
        if let Some(end) = block.iter().rposition(|byte| *byte == b'\n') {
            block.drain(..=end);
            block.extend_from_slice(&tail);
            return Ok(Some(block));
        }
        block.extend_from_slice(&tail);
        tail = block;
    }
    Ok((start == 0).then_some(tail))
}

/// Is it an object whose end is missing, maybe in the middle of a character?
fn is_torn_object(tail: &[u8]) -> bool {
    let whole = match std::str::from_utf8(tail) {
        Err(error) if error.error_len().is_none() => &tail[..error.valid_up_to()],
        _ => tail,
    };
    matches!(format::check(whole), Err(error) if matches!(error.fault, Fault::Truncated | Fault::Empty))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::Layout;

    fn event(value: &[u8]) -> Event<'_> {
        let layout = format::check(value).unwrap_or_else(|_| Layout::default());
        Event { key: None, value: Some(value), layout, headers: None, timestamp_ms: None }
    }

    /// A target on a file with this content, and the file.
    async fn on(content: &[u8], existing: Existing) -> (tempfile::TempDir, PathBuf, Result<JsonlTarget, Failure>) {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("out.jsonl");
        if !content.is_empty() {
            std::fs::write(&path, content).expect("written");
        }
        let target = JsonlTarget::open(&JsonlPath::File(path.clone()), existing).await;
        (directory, path, target)
    }

    async fn push_all(target: &mut JsonlTarget, values: &[&[u8]]) -> (u64, i64) {
        let mut checkpoint = Checkpoint::default();
        let lane = checkpoint.add(0);
        let span = checkpoint.read(lane, values.len() as i64);
        for (offset, value) in (0..).zip(values) {
            let ticket = Ticket { span, partition: 0, offset };
            while let Push::Full = target.push(&mut checkpoint, ticket, &event(value)) {
                target.make_room().await.expect("room");
            }
        }
        checkpoint.finish(span);
        assert_eq!(checkpoint.safe(lane), 0, "nothing is safe before it is synced");
        let mut written = 0;
        let settle = |settled: Settled| {
            written += settled.written;
            checkpoint.written(settled.span);
        };
        target.sync(settle).await.expect("synced");
        (written, checkpoint.safe(lane))
    }

    #[tokio::test]
    async fn values_are_written_as_they_came_one_a_line() {
        let (_directory, path, target) = on(b"", Existing::Append).await;
        let values: Vec<&[u8]> = vec![b"{\"a\": 1.0}", b"{\n \"b\":\r\n\"\\n\"}", b"{}"];
        assert_eq!(push_all(&mut target.expect("open"), &values).await, (3, 3));
        let written = std::fs::read_to_string(path).expect("read");
        assert_eq!(written, "{\"a\": 1.0}\n{  \"b\":  \"\\n\"}\n{}\n");
    }

    #[tokio::test]
    async fn many_chunks_come_out_whole_and_in_order() {
        let (_directory, path, target) = on(b"", Existing::Append).await;
        let values: Vec<Vec<u8>> =
            (0..30_000).map(|n| format!("{{\"n\":{n},\"pad\":\"{n:050}\"}}").into_bytes()).collect();
        let borrowed: Vec<&[u8]> = values.iter().map(Vec::as_slice).collect();
        assert_eq!(push_all(&mut target.expect("open"), &borrowed).await, (30_000, 30_000));
        let written = std::fs::read(path).expect("read");
        assert_eq!(written, [values.join(&b'\n'), vec![b'\n']].concat());
    }

    #[tokio::test]
    async fn a_deletion_leaves_no_line_and_holds_nothing_up() {
        let (_directory, path, target) = on(b"", Existing::Append).await;
        let mut target = target.expect("open");
        let mut checkpoint = Checkpoint::default();
        let lane = checkpoint.add(0);
        let span = checkpoint.read(lane, 1);
        let deletion = Event { value: None, ..event(b"{}") };
        let ticket = Ticket { span, partition: 0, offset: 0 };
        assert!(matches!(target.push(&mut checkpoint, ticket, &deletion), Push::Passed));
        checkpoint.finish(span);
        assert_eq!((checkpoint.safe(lane), target.unsettled()), (1, 0));
        assert_eq!(std::fs::read(path).expect("read"), b"");
    }

    #[tokio::test]
    async fn a_torn_line_never_touches_the_next_record() {
        let whole = "{\"a\":\"长\"}\n{\"b\":\"长\",\"c\":[1.5,true]}\n".as_bytes();
        let second = "{\"a\":\"长\"}\n".len();
        for cut in 0..whole.len() {
            let (_directory, path, target) = on(&whole[..cut], Existing::Append).await;
            let mut target = target.expect("open");
            push_all(&mut target, &[b"{\"next\":1}"]).await;
            let written = std::fs::read_to_string(path).expect("read");
            assert!(written.lines().all(|line| format::check(line.as_bytes()).is_ok()), "cut at {cut}: {written}");
            assert!(written.ends_with("{\"next\":1}\n"), "cut at {cut}: {written}");
            let lines = written.lines().count();
            let kept = usize::from(cut >= second - 1) + usize::from(cut == whole.len() - 1);
            assert_eq!(lines, kept + 1, "cut at {cut}: {written}");
            let repaired = if cut == second - 1 || cut == whole.len() - 1 {
                Some(Repair::Ended)
            } else if cut == 0 || cut == second {
                None
            } else {
                Some(Repair::Cut((cut - if cut > second { second } else { 0 }) as u64))
            };
            assert_eq!(target.repair(), repaired, "cut at {cut}");
        }
    }

    #[tokio::test]
    async fn an_end_that_is_not_ours_is_left_alone() {
        for content in [&b"{}\nsome notes"[..], b"[1,2", b"\x7fELF\x00", b"{}\n{\"a\":1}x"] {
            let (_directory, path, target) = on(content, Existing::Append).await;
            assert_eq!(target.expect_err("not ours").exit, crate::exit::Exit::Environment);
            assert_eq!(std::fs::read(path).expect("read"), content);
        }
    }

    #[tokio::test]
    async fn a_long_file_is_searched_from_its_end() {
        let content = ["{}\n".repeat(1000), "{\"a\":\"".to_owned() + &"x".repeat(200_000)].concat();
        let (_directory, path, target) = on(content.as_bytes(), Existing::Append).await;
        assert_eq!(target.expect("open").repair(), Some(Repair::Cut(200_006)));
        assert_eq!(std::fs::metadata(path).expect("there").len(), 3000);
    }

    #[tokio::test]
    async fn a_file_has_one_writer() {
        let (_directory, path, first) = on(b"{}\n", Existing::Append).await;
        let first = first.expect("open");
        let second = JsonlTarget::open(&JsonlPath::File(path.clone()), Existing::Append).await;
        assert!(second.expect_err("locked").message.contains("another process"));
        drop(first);
        JsonlTarget::open(&JsonlPath::File(path), Existing::Append).await.expect("free again");
    }

    #[tokio::test]
    async fn an_existing_file_is_refused_or_replaced_as_asked() {
        let (_directory, path, target) = on(b"{}\n", Existing::Refuse).await;
        assert_eq!(target.expect_err("refused").exit, crate::exit::Exit::Usage);
        assert_eq!(std::fs::read(&path).expect("read"), b"{}\n");
        let target = JsonlTarget::open(&JsonlPath::File(path.clone()), Existing::Overwrite).await;
        push_all(&mut target.expect("open"), &[b"{\"a\":1}"]).await;
        assert_eq!(std::fs::read(&path).expect("read"), b"{\"a\":1}\n");
    }

    #[tokio::test]
    async fn a_full_device_is_an_error_and_nothing_is_settled() {
        let full = Path::new("/dev/full");
        if !full.exists() {
            return;
        }
        let mut target = JsonlTarget::open(&JsonlPath::File(full.to_owned()), Existing::Append).await.expect("open");
        let mut checkpoint = Checkpoint::default();
        let lane = checkpoint.add(0);
        let span = checkpoint.read(lane, 1);
        let pushed = target.push(&mut checkpoint, Ticket { span, partition: 0, offset: 0 }, &event(b"{}"));
        assert!(matches!(pushed, Push::Taken));
        for _ in 0..2 {
            let failure = target.sync(|_| panic!("nothing is settled")).await.expect_err("no space");
            assert!(failure.message.contains("/dev/full"), "{failure}");
        }
    }
}
