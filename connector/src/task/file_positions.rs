//! The positions of a task whose source is a file: where it begins, which files follow, and how far it may say it is.
//!
//! A position is kept once a commit. It is the place behind the last line before which the target has acknowledged
//! everything, in the oldest file of which that is not yet true to its end.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::Positions;
use crate::core::checkpoint::{Checkpoint, Lane};
use crate::core::placement::Placement;
use crate::exit::Failure;
use crate::file_id::FileId;
use crate::mode::Mode;
use crate::source::file_position::{self, FilePosition, Opened, Resumed};
use crate::source::jsonl::LinePosition;
use crate::state::State;

/// The key of the position in the task's state.
const KEY: &str = "file";

/// The key of where its lines were put.
const PLACEMENT: &str = "placement";

/// Keeps the positions of one task.
pub(super) struct Keeper {
    state: Arc<Mutex<State>>,
    /// The task's file, absolute.
    path: PathBuf,
    /// The command that begins at the first line.
    again: String,
    mode: Mode,
    /// The files that were begun and are not settled to their end, oldest first. The last one is read.
    segments: VecDeque<Segment>,
    /// The files that are read after it.
    pending: VecDeque<Opened>,
    kept: FilePosition,
    /// The last file of a task that ends, and where.
    end: Option<(Option<FileId>, u64)>,
}

/// A file that was begun.
struct Segment {
    opened: Opened,
    lane: Lane,
    /// Places that were met, of which the later ones are not settled.
    marks: VecDeque<LinePosition>,
    /// The line behind its last one, once that is known.
    end: Option<i64>,
}

/// What there is to read at a start.
pub(super) struct Begun {
    pub(super) keeper: Keeper,
    /// Why it starts there.
    pub(super) reason: &'static str,
    /// What happened to the file since the last run.
    pub(super) note: Option<String>,
}

/// What has become of the file whose end was met.
pub(super) enum Look {
    /// Nothing.
    Same,
    /// There is more to read.
    Grown,
    /// It is at its end, and another one follows.
    Followed,
}

/// Tells a thread that nobody waits for it any more.
struct Wanted(Arc<AtomicBool>);

impl Drop for Wanted {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

impl Keeper {
    /// Opens the task's state and finds the file that its position is in; keeps the position that a first start
    /// chooses, so that nothing is passed if the task ends at once. Cancel safe.
    ///
    /// # Errors
    /// Exit 3: no file, no state directory, or another process has the task. Exit 4: the position fits no file.
    pub(super) async fn begin(path: &Path, task: &str, positions: &Positions) -> Result<Begun, Failure> {
        let flag = Arc::new(AtomicBool::new(true));
        let _wanted = Wanted(Arc::clone(&flag));
        let (path, task, positions) = (path.to_owned(), task.to_owned(), positions.clone());
        blocking(move || begin(&path, &task, &positions, &flag)).await
    }

    /// Does the task go on when the end is met?
    pub(super) fn follows(&self) -> bool {
        self.mode != Mode::Full
    }

    /// The next file to read, and from where.
    pub(super) fn next(&mut self) -> Option<(Opened, LinePosition)> {
        let opened = self.pending.pop_front()?;
        let first = self.segments.is_empty();
        let at = if first { self.kept.place() } else { LinePosition::default() };
        Some((opened, at))
    }

    /// Is there a file after the one that is read which has something in it? While it is empty, its writer may still
    /// be at the old one.
    pub(super) fn is_followed(&self) -> Result<bool, Failure> {
        match self.pending.front() {
            None => Ok(false),
            Some(_) if !self.follows() || self.pending.len() > 1 => Ok(true),
            Some(next) => Ok(next.length()? > 0),
        }
    }

    /// A file is read now.
    pub(super) fn started(&mut self, opened: Opened, lane: Lane, at: LinePosition) {
        self.segments.push_back(Segment { opened, lane, marks: VecDeque::from([at]), end: None });
    }

    /// This place was met in the file that is read.
    pub(super) fn met(&mut self, at: LinePosition) {
        if let Some(segment) = self.segments.back_mut() {
            segment.marks.push_back(at);
        }
    }

    /// The file that is read was read to its end.
    pub(super) fn ended(&mut self, at: LinePosition) {
        if let Some(segment) = self.segments.back_mut() {
            segment.marks.push_back(at);
            segment.end = Some(at.line);
        }
    }

    /// Looks whether the file has grown or was replaced. `read`: its bytes up to where it was read.
    ///
    /// # Errors
    /// Exit 4: it has become shorter. Exit 3: the file system refuses.
    pub(super) async fn look(&mut self, read: u64) -> Result<Look, Failure> {
        let (path, again, kept) = (self.path.clone(), self.again.clone(), self.kept.clone());
        let current = self.segments.back().map(|segment| segment.opened.clone());
        let known = !self.pending.is_empty();
        let (grown, new) = blocking(move || look(&path, current.as_ref(), known, read, &kept, &again)).await?;
        self.pending.extend(new);
        match grown {
            true => Ok(Look::Grown),
            false if self.is_followed()? => Ok(Look::Followed),
            false => Ok(Look::Same),
        }
    }

    /// Keeps how far the target has acknowledged everything.
    ///
    /// # Errors
    /// Exit 4: the file is not what was read any more. Exit 3: it cannot be kept.
    pub(super) async fn keep(&mut self, checkpoint: &mut Checkpoint) -> Result<(), Failure> {
        let mut begun_next = false;
        while self.segments.len() > 1
            && self.segments.front().is_some_and(|front| front.end == Some(checkpoint.safe(front.lane)))
        {
            self.segments.pop_front();
            begun_next = true;
        }
        let Some(front) = self.segments.front_mut() else { return Ok(()) };
        let safe = checkpoint.safe(front.lane);
        let mark = front.mark_at(safe);
        let named = self.kept.inode.is_some() || front.opened.id.is_none();
        if !begun_next && named && safe == self.kept.line && mark.offset <= self.kept.offset {
            return Ok(());
        }
        let job = Keep {
            state: Arc::clone(&self.state),
            opened: front.opened.clone(),
            path: self.path.clone(),
            before: (!begun_next).then(|| self.kept.clone()),
            mark,
            line: safe,
            again: self.again.clone(),
        };
        let lane = front.lane;
        self.kept = blocking(move || job.run()).await?;
        checkpoint.committed(lane, safe);
        Ok(())
    }

    /// The lines are placed so from now on; kept with the next position. Gives where the last run put them, if it said so.
    ///
    /// # Errors
    /// Exit 4: what is kept has another form.
    pub(super) fn place_by(&mut self, now: &Placement) -> Result<Option<Placement>, Failure> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let before: Option<String> = state.get(PLACEMENT)?;
        state.put(PLACEMENT, &now.to_string())?;
        Ok(before.and_then(|text| text.parse().ok()))
    }

    /// Where the first file is begun.
    pub(super) fn start(&self) -> LinePosition {
        self.kept.place()
    }

    /// The file that is read first.
    pub(super) fn first(&self) -> Option<&Opened> {
        self.pending.front()
    }

    /// Fixes the end of the last file as it is now, for a task that ends there. Gives the bytes to read in all.
    ///
    /// # Errors
    /// Exit 3: the file system refuses.
    pub(super) fn fix_ends(&mut self) -> Result<u64, Failure> {
        let mut total = 0;
        for file in &self.pending {
            let length = file.length()?;
            self.end = Some((file.id, length));
            total += length;
        }
        Ok(total.saturating_sub(self.kept.offset))
    }

    /// Where a file is to be left, if that is fixed.
    pub(super) fn end_of(&self, opened: &Opened) -> Option<u64> {
        self.end.filter(|(id, _)| *id == opened.id).map(|(_, end)| end)
    }
}

impl Segment {
    /// The last place that was met at or before a line; forgets those before it.
    fn mark_at(&mut self, line: i64) -> LinePosition {
        while self.marks.get(1).is_some_and(|next| next.line <= line) {
            self.marks.pop_front();
        }
        self.marks.front().copied().unwrap_or_default()
    }
}

/// What a thread does to keep a position.
struct Keep {
    state: Arc<Mutex<State>>,
    opened: Opened,
    path: PathBuf,
    /// What was kept of this file before.
    before: Option<FilePosition>,
    mark: LinePosition,
    line: i64,
    again: String,
}

impl Keep {
    fn run(self) -> Result<FilePosition, Failure> {
        if let Some(before) = &self.before {
            self.opened.check(before, &self.again)?;
        }
        let behind = self.line - self.mark.line;
        let at = match behind {
            0 => self.mark,
            // The record at which the task stopped is in the middle of a chunk.
            _ => self.opened.lines_after(self.mark, behind)?,
        };
        let length = self.opened.length()?;
        let position = if at.offset <= length { Some(self.opened.position(&self.path, at)?) } else { None };
        let Some(position) = position else {
            let claimed = FilePosition { offset: at.offset, line: at.line, ..FilePosition::before(&self.path) };
            return Err(file_position::changed(&self.opened.path, &claimed, length, &self.again));
        };
        keep(&self.state, &position)?;
        Ok(position)
    }
}

fn keep(state: &Mutex<State>, position: &FilePosition) -> Result<(), Failure> {
    // Nothing that holds it can panic half-way through a change.
    let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
    state.put(KEY, position)?;
    state.save()
}

fn begin(path: &Path, task: &str, positions: &Positions, wanted: &AtomicBool) -> Result<Begun, Failure> {
    let cannot = |error| Failure::environment(format!("{} cannot be found: {error}", path.display()));
    let path = std::path::absolute(path).map_err(cannot)?;
    let state = State::open(&positions.directory, task)?;
    let kept: Option<FilePosition> = if positions.from_start { None } else { state.get(KEY)? };
    let state = Arc::new(Mutex::new(state));
    let again = positions.again.clone();
    let (kept, resumed, reason) = if let Some(kept) = kept {
        file_position::check_path(&path, &kept, &again)?;
        let resumed = file_position::resume(&path, &kept, &again)?;
        (kept, resumed, "resumed from the kept position")
    } else {
        let (kept, opened, reason) = first(&path, positions, wanted)?;
        keep(&state, &kept)?;
        (kept, Resumed { files: opened.into_iter().collect(), note: None }, reason)
    };
    if resumed.files.is_empty() && positions.mode == Mode::Full {
        return Err(missing(&path));
    }
    let Resumed { files, note } = resumed;
    let segments = VecDeque::new();
    let keeper = Keeper { state, path, again, mode: positions.mode, segments, pending: files.into(), kept, end: None };
    Ok(Begun { keeper, reason, note })
}

fn missing(path: &Path) -> Failure {
    Failure::environment(format!("{} cannot be read: it does not exist", path.display()))
        .with_help("give the path of a file with one JSON object a line")
}

/// The position of a task that has none yet.
fn first(
    path: &Path,
    positions: &Positions,
    wanted: &AtomicBool,
) -> Result<(FilePosition, Option<Opened>, &'static str), Failure> {
    let Some(opened) = Opened::at(path)? else {
        if positions.mode == Mode::Full {
            return Err(missing(path));
        }
        return Ok((FilePosition::before(path), None, "the file does not exist yet: from its first line"));
    };
    let (at, reason) = match positions.mode {
        _ if positions.from_start => (LinePosition::default(), "as asked: from the first line"),
        Mode::Full => (LinePosition::default(), "no position is kept, mode full: from the first line"),
        Mode::FullIncremental => {
            (LinePosition::default(), "no position is kept, mode full+incremental: from the first line")
        }
        Mode::Incremental => {
            let end = opened.end_of_lines(|| wanted.load(Ordering::Relaxed))?;
            (end, "no position is kept, mode incremental: from the end of the file")
        }
    };
    if !wanted.load(Ordering::Relaxed) {
        return Err(Failure::internal("a start that nobody waits for"));
    }
    Ok((opened.position(path, at)?, Some(opened), reason))
}

/// Has the file grown, and which ones follow it? `known`: those that follow are known already.
fn look(
    path: &Path,
    current: Option<&Opened>,
    known: bool,
    read: u64,
    kept: &FilePosition,
    again: &str,
) -> Result<(bool, Vec<Opened>), Failure> {
    let Some(current) = current else {
        return Ok((false, Opened::at(path)?.into_iter().collect()));
    };
    let mut new = Vec::new();
    if !known
        && FileId::at(path).is_some_and(|id| Some(id) != current.id)
        && let Some(now) = Opened::at(path)?
        && now.id != current.id
    {
        // Its writer is still at the old one while the new one is empty.
        if now.length()? > 0 {
            new = file_position::rotated_between(current, Some(&now), kept, again)?;
            new.push(now);
        }
    }
    // After the look at the path: what comes later than the first bytes of the new file is not waited for.
    let length = current.length()?;
    if length < read {
        let claimed = FilePosition { offset: read, line: kept.line, ..kept.clone() };
        return Err(file_position::changed(&current.path, &claimed, length, again));
    }
    if length > read && kept.is_of(current.id) {
        // It can have been cut and have grown again.
        current.check(kept, again)?;
    }
    Ok((length > read, new))
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Failure> + Send + 'static) -> Result<T, Failure> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Failure::internal(format!("the positions of a file: {error}")))?
}
