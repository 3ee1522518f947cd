//! JSON objects as lines of a file, of a pipe or of standard output.
//!
//! - A value is written as the bytes it came as, and a line break. Line breaks between its tokens become blanks: a JSON
//!   object has none inside its strings, so only white space changes, and a line stays a line.
//! - Keys, headers and times have no place in a line. A deletion (a record without a value) leaves no line; it is
//!   counted.
//! - A file is appended to, created where it is missing. What is written counts as written once it is synced to disk in
//!   the file that the path names at that moment (`file`). A file that is replaced is replaced when the new one is
//!   complete (`beside`).
//! - A pipe, named or behind standard output, has what its reader has taken out of it (`pipe`). Other devices have what
//!   the system took.
//! - A writer that was killed in the middle of a line leaves its beginning behind. The next one finds it: the beginning
//!   of an object is cut off (its record was never committed and is written again), a whole object without its line
//!   break gets one. Any other end without a line break is not ours, and the file is refused (`repair`).
//! - A file has one writer at a time, which holds its lock.

mod beside;
mod file;
#[cfg(unix)]
mod pipe;
mod repair;

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

use tokio::task::JoinHandle;

use self::beside::Replacement;
use self::file::{Moved, OutFile, cannot_write};
#[cfg(unix)]
use self::pipe::OutPipe;
pub use self::repair::Repair;
use super::{Push, Settled, Ticket};
use crate::config::model::JsonlPath;
use crate::core::checkpoint::{Checkpoint, Span};
use crate::event::Event;
use crate::exit::Failure;
use crate::file_id::FileId;

/// How much is gathered before it is written.
const CHUNK: usize = 256 << 10;

const STDOUT: &str = "standard output";

/// What to do with a file that holds something already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Existing {
    /// Write behind its last line.
    #[default]
    Append,
    /// Replace it when the new one is complete. For a run that keeps no positions.
    Overwrite,
    /// Leave it alone: an error.
    Refuse,
}

/// What the writing is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Purpose {
    /// A task that commits positions and goes on after them at its next start.
    #[default]
    Task,
    /// A copy, which has to be whole when it ends.
    Copy,
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
    /// Are there lines at all?
    empty: bool,
    purpose: Purpose,
    notes: Vec<String>,
}

#[derive(Debug)]
enum Sink {
    /// A regular file.
    File(OutFile),
    /// A regular file that replaces another one at the end.
    Beside(Replacement),
    /// A pipe with or without a name.
    #[cfg(unix)]
    Pipe(OutPipe),
    /// A device, or what standard output is.
    Stream(Stream),
}

/// Something that takes bytes and has no file of its own.
#[derive(Debug)]
struct Stream {
    file: File,
    name: String,
    /// It is a regular file, which can be synced.
    sync: bool,
}

/// What a write gives back: the sink, the buffer, and what the user has to know.
type Written = (Sink, Vec<u8>, Result<Option<String>, Failure>);

impl JsonlTarget {
    /// Opens the file, or takes standard output. `say` is told what it waits for. Cancel safe.
    ///
    /// # Errors
    /// Exit 3: it cannot be opened, another process writes it, or its end is not ours to repair. Exit 2: it holds
    /// something and `existing` says to leave it alone.
    pub async fn open(
        path: &JsonlPath,
        existing: Existing,
        purpose: Purpose,
        say: &(dyn Fn(&str) + Sync),
    ) -> Result<Self, Failure> {
        let mut notes = Vec::new();
        let (name, sink) = match path {
            JsonlPath::Stdio => (STDOUT.to_owned(), stdout()?),
            JsonlPath::File(path) => {
                let (sink, note) = open_path(path, existing, purpose, say).await?;
                notes.extend(note);
                (path.display().to_string(), sink)
            }
        };
        let buffer = || Vec::with_capacity(CHUNK + CHUNK / 4);
        let (buffer, spare) = (buffer(), buffer());
        let (writing, held, empty) = (None, Vec::new(), true);
        Ok(Self { name, sink: Some(sink), writing, buffer, spare, held, empty, purpose, notes })
    }

    /// The regular file that is written to, if it is one and its lines go into it at once.
    pub fn file_id(&self) -> Option<FileId> {
        match self.sink.as_ref()? {
            Sink::File(file) => file.id(),
            Sink::Stream(stream) if stream.sync => stream.file.metadata().ok().as_ref().and_then(FileId::of),
            _ => None,
        }
    }

    /// What happened to the file that the user has to know, since the last call.
    pub fn take_notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes)
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
        self.hand_over(false)
    }

    pub(super) fn unsettled(&self) -> usize {
        self.held.len()
    }

    pub(super) async fn sync(&mut self, mut each: impl FnMut(Settled)) -> Result<(), Failure> {
        if self.held.is_empty() {
            return Ok(());
        }
        self.written().await?;
        self.hand_over(true)?;
        self.written().await?;
        for (span, lines) in self.held.drain(..) {
            each(Settled { span, written: lines, refused: Vec::new() });
        }
        Ok(())
    }

    /// Everything is written and settled, and the run was a good one: looks a last time at the file of a copy, puts a
    /// new file in the place of the old one.
    pub(super) async fn complete(&mut self) -> Result<(), Failure> {
        self.written().await?;
        let Some(sink) = self.sink.take() else { return Err(self.broken()) };
        let (name, empty) = (self.name.clone(), self.empty);
        let (sink, note) = match sink {
            Sink::File(file) if self.purpose == Purpose::Copy => blocking(&name, move || last_look(file)).await?,
            Sink::Beside(new) => blocking(&name, move || put_in_place(new, empty)).await?,
            other => (other, None),
        };
        self.sink = Some(sink);
        self.notes.extend(note);
        Ok(())
    }

    fn hand_over(&mut self, sync: bool) -> Result<(), Failure> {
        let Some(sink) = self.sink.take() else { return Err(self.broken()) };
        let full = std::mem::replace(&mut self.buffer, std::mem::take(&mut self.spare));
        self.empty &= full.is_empty();
        self.writing = Some(match sink {
            #[cfg(unix)]
            Sink::Pipe(pipe) => tokio::spawn(write_pipe(pipe, full, sync)),
            sink => tokio::task::spawn_blocking(move || write(sink, full, sync)),
        });
        Ok(())
    }

    /// Waits for the other thread.
    async fn written(&mut self) -> Result<(), Failure> {
        let Some(writing) = &mut self.writing else { return Ok(()) };
        let finished = writing.await;
        self.writing = None;
        let (sink, mut buffer, result) = finished.map_err(|error| cannot_write(Path::new(&self.name), &error))?;
        buffer.clear();
        self.spare = buffer;
        self.notes.extend(result?);
        self.sink = Some(sink);
        Ok(())
    }

    fn broken(&self) -> Failure {
        cannot_write(Path::new(&self.name), &"an earlier write failed")
    }
}

impl Drop for JsonlTarget {
    fn drop(&mut self) {
        // A pipe whose reader is slow would keep a writer of a task that is over.
        #[cfg(unix)]
        if let Some(writing) = &self.writing {
            writing.abort();
        }
    }
}

fn write(mut sink: Sink, buffer: Vec<u8>, sync: bool) -> Written {
    let result = match &mut sink {
        Sink::File(file) => file.write(&buffer).and_then(|()| if sync { file.sync() } else { Ok(None) }),
        Sink::Beside(new) => new.write(&buffer).and_then(|()| if sync { new.sync() } else { Ok(()) }).map(|()| None),
        Sink::Stream(stream) => stream.write(&buffer, sync).map(|()| None),
        #[cfg(unix)]
        Sink::Pipe(_) => Err(Failure::internal("a pipe is written without a thread")),
    };
    (sink, buffer, result)
}

#[cfg(unix)]
async fn write_pipe(mut pipe: OutPipe, buffer: Vec<u8>, sync: bool) -> Written {
    let mut result = pipe.write(&buffer).await;
    if sync && result.is_ok() {
        result = pipe.taken().await;
    }
    (Sink::Pipe(pipe), buffer, result.map(|()| None))
}

impl Stream {
    fn write(&mut self, buffer: &[u8], sync: bool) -> Result<(), Failure> {
        let written = self.file.write_all(buffer);
        let written = written.and_then(|()| if sync && self.sync { self.file.sync_data() } else { Ok(()) });
        written.map_err(|error| match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::reader_left(format!("{}: its reader has left", self.name)),
            _ => cannot_write(Path::new(&self.name), &error),
        })
    }
}

fn append_on_one_line(buffer: &mut Vec<u8>, value: &[u8]) {
    buffer.extend(value.iter().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte }));
}

/// Runs what waits for a disk on a thread that may wait.
async fn blocking<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Failure::internal(format!("{name}: {error}")))?
}

fn last_look(mut file: OutFile) -> Result<(Sink, Option<String>), Failure> {
    let note = file.sync()?;
    Ok((Sink::File(file), note))
}

fn put_in_place(mut new: Replacement, empty: bool) -> Result<(Sink, Option<String>), Failure> {
    if empty && new.replaces() {
        let note = format!("nothing was read; {} is as it was", new.name().display());
        return Ok((Sink::Beside(new), Some(note)));
    }
    new.complete()?;
    Ok((Sink::Beside(new), None))
}

/// Standard output: a pipe if it is one and the system lets us use it as such.
#[cfg(unix)]
fn stdout() -> Result<Sink, Failure> {
    use std::os::fd::AsFd as _;
    use std::os::unix::fs::FileTypeExt as _;
    let cannot = |error: io::Error| cannot_write(Path::new(STDOUT), &error);
    let file = File::from(io::stdout().as_fd().try_clone_to_owned().map_err(cannot)?);
    let about = file.metadata().map_err(cannot)?;
    if about.file_type().is_fifo()
        && let Some(pipe) = OutPipe::stdout()
    {
        return Ok(Sink::Pipe(pipe));
    }
    Ok(Sink::Stream(Stream { file, name: STDOUT.to_owned(), sync: about.is_file() }))
}

/// Standard output as a file.
#[cfg(not(unix))]
fn stdout() -> Result<Sink, Failure> {
    use std::os::windows::io::AsHandle as _;
    let cannot = |error: io::Error| cannot_write(Path::new(STDOUT), &error);
    let file = File::from(io::stdout().as_handle().try_clone_to_owned().map_err(cannot)?);
    let sync = file.metadata().is_ok_and(|about| about.is_file());
    Ok(Sink::Stream(Stream { file, name: STDOUT.to_owned(), sync }))
}

async fn open_path(
    path: &Path,
    existing: Existing,
    purpose: Purpose,
    say: &(dyn Fn(&str) + Sync),
) -> Result<(Sink, Option<String>), Failure> {
    let (name, path) = (path.display().to_string(), path.to_owned());
    let about = tokio::fs::metadata(&path).await;
    if let Ok(about) = about.as_ref()
        && !about.is_file()
    {
        let kind = about.file_type();
        #[cfg(unix)]
        {
            use std::os::unix::fs::FileTypeExt as _;
            if kind.is_fifo() {
                let pipe = OutPipe::open(&path, purpose == Purpose::Copy, say).await?;
                return Ok((Sink::Pipe(pipe), None));
            }
            for (is, what) in [(kind.is_socket(), "a socket"), (kind.is_block_device(), "a block device")] {
                if is {
                    return Err(no_place_for_lines(&name, what));
                }
            }
        }
        if kind.is_dir() {
            return Err(no_place_for_lines(&name, "a directory"));
        }
        // Never created or truncated: it may be gone by now.
        let open = move || OpenOptions::new().append(true).open(&path).map_err(|error| cannot_write(&path, &error));
        let file = blocking(&name, open).await?;
        return Ok((Sink::Stream(Stream { file, name, sync: false }), None));
    }
    blocking(&name, move || open_regular(&path, existing, purpose)).await
}

fn no_place_for_lines(name: &str, what: &str) -> Failure {
    Failure::environment(format!("{name} is {what}")).with_help("give the path of a file, of a named pipe, or `-`")
}

fn open_regular(path: &Path, existing: Existing, purpose: Purpose) -> Result<(Sink, Option<String>), Failure> {
    if existing == Existing::Overwrite {
        let (new, removed) = Replacement::begin(path)?;
        let note = removed.then(|| format!("removed what a killed run left beside {}", path.display()));
        return Ok((Sink::Beside(new), note));
    }
    let moved = if purpose == Purpose::Copy { Moved::Stop } else { Moved::Reopen };
    let (file, repair) = OutFile::open(path, existing, moved)?;
    let note = repair.map(|repair| match repair {
        Repair::Cut(bytes) => format!(
            "{} ended in the middle of a record, of which {bytes} bytes were cut off; it is written again",
            path.display()
        ),
        Repair::Ended => format!("the last line of {} got its line break", path.display()),
    });
    Ok((Sink::File(file), note))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::format::{self, Layout};

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
        let target = open(&path, existing).await;
        (directory, path, target)
    }

    async fn open(path: &Path, existing: Existing) -> Result<JsonlTarget, Failure> {
        let path = JsonlPath::File(path.to_owned());
        JsonlTarget::open(&path, existing, Purpose::Task, &|_| {}).await
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
                vec!["got its line break".to_owned()]
            } else if cut == 0 || cut == second {
                vec![]
            } else {
                vec![format!("{} bytes were cut off", cut - if cut > second { second } else { 0 })]
            };
            let notes = target.take_notes();
            assert_eq!(notes.len(), repaired.len(), "cut at {cut}: {notes:?}");
            assert!(notes.iter().zip(&repaired).all(|(note, part)| note.contains(part)), "cut at {cut}: {notes:?}");
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
        let notes = target.expect("open").take_notes();
        assert!(notes[0].contains("200006 bytes were cut off"), "{notes:?}");
        assert_eq!(std::fs::metadata(path).expect("there").len(), 3000);
    }

    #[tokio::test]
    async fn a_file_has_one_writer() {
        let (_directory, path, first) = on(b"{}\n", Existing::Append).await;
        let first = first.expect("open");
        let second = open(&path, Existing::Append).await;
        assert!(second.expect_err("locked").message.contains("another process"));
        drop(first);
        open(&path, Existing::Append).await.expect("free again");
    }

    #[tokio::test]
    async fn an_existing_file_is_refused_or_replaced_as_asked() {
        let (_directory, path, target) = on(b"{}\n", Existing::Refuse).await;
        assert_eq!(target.expect_err("refused").exit, crate::exit::Exit::Usage);
        assert_eq!(std::fs::read(&path).expect("read"), b"{}\n");
        let target = open(&path, Existing::Overwrite).await;
        let mut target = target.expect("open");
        push_all(&mut target, &[b"{\"a\":1}"]).await;
        assert_eq!(std::fs::read(&path).expect("read"), b"{}\n", "not before it is complete");
        target.complete().await.expect("complete");
        assert_eq!(std::fs::read(&path).expect("read"), b"{\"a\":1}\n");
    }

    #[tokio::test]
    async fn a_full_device_is_an_error_and_nothing_is_settled() {
        let full = Path::new("/dev/full");
        if !full.exists() {
            return;
        }
        let mut target = open(full, Existing::Append).await.expect("open");
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
