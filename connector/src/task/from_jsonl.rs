//! The way of a task whose source is lines: a file, a pipe, standard input, or memory.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior};

use crate::core::checkpoint::Lane;
use crate::event::{Event, Origin};
use crate::exit::Failure;
use crate::file_id::FileId;
use crate::mode::Mode;
use crate::outage::{self, Watch};
use crate::progress::{Console, Progress};
use crate::source::jsonl::{
    Chunk, Chunks, Cut, Input, LineFault, LinePosition, Lines, refuse_foreign, refuse_foreign_bytes,
};
use crate::target::{Route, SourceTopic, Target};

use super::file_positions::{Begun, Keeper, Look};
use super::pump::{Batch, Policies, Pump};
use super::{End, Ending, Job, LinesFrom, Positions, Shutdown, drained, not_drained, requested};

/// How often a file is looked at whose end was met.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// What is read now.
struct Current {
    chunks: Chunks,
    lines: Lines,
    lane: Lane,
    /// Its first bytes were not looked at yet.
    fresh: bool,
}

struct FromLines<'j> {
    from: &'j LinesFrom,
    pump: Pump,
    route: Route,
    current: Option<Current>,
    /// Everything there is now was read; more can come.
    at_end: bool,
    keeper: Option<Keeper>,
    console: Arc<Console>,
    name: String,
    /// Tells of outages while the task runs.
    _watch: Watch,
}

/// Reads lines to their end, until a signal comes, or a line stops it.
pub(super) async fn run(job: &Job, from: &LinesFrom, console: &Arc<Console>, end: &mut End) -> Result<(), Failure> {
    let mut shutdown = end.shutdown.clone();
    let mut task = tokio::select! {
        biased;
        () = requested(&mut shutdown) => {
            end.ending = Ending::Interrupted;
            return Ok(());
        }
        task = FromLines::begin(job, from, console, &end.progress) => task?,
    };
    let (limit, asked) = (job.timing.shutdown, shutdown.clone());
    let whole = async {
        let ran = task.run(&mut shutdown).await;
        let settled = task.pump.finish().await;
        let kept = if settled.is_ok() { task.keep().await } else { Ok(()) };
        // The first thing that went wrong is the one to tell.
        end.ending = ran?;
        task.pump.outcome(settled)?;
        kept?;
        if end.ending == Ending::Complete {
            task.pump.complete().await?;
        }
        Ok(())
    };
    match drained(&asked, limit, whole).await {
        Some(ended) => ended,
        None => Err(not_drained(&job.name, limit, &not_written(&end.progress, task.pump.checkpoint.all_settled()))),
    }
}

/// What was read and not acknowledged.
fn not_written(progress: &Progress, all_settled: bool) -> Vec<String> {
    let counts = progress.counts();
    let passed = counts.written + counts.skipped;
    if all_settled && passed >= counts.read { Vec::new() } else { vec![format!("lines after the first {passed}")] }
}

/// What is read, opened before the target is.
enum Source {
    Stream(Chunks),
    Kept(Box<Keeper>),
}

/// Opens the source; says where a file with positions starts, and why.
async fn open(job: &Job, from: &LinesFrom, console: &Console, progress: &Progress) -> Result<Source, Failure> {
    let (Some(positions), Input::File(path)) = (&from.positions, &from.input) else {
        return stream(from, progress);
    };
    if is_special(path) {
        return special(job, from, path, positions, console, progress);
    }
    let Begun { mut keeper, reason, note } = Keeper::begin(path, &job.name, positions).await?;
    if let Some(note) = note {
        console.say(&format!("{}: {note}", job.name));
    }
    let start = keeper.start();
    console.say(&format!("{}: {} starts at line {} ({reason})", job.name, path.display(), start.line + 1));
    if let Some(first) = keeper.first().filter(|_| start.offset == 0) {
        refuse_foreign(&first.file, &first.path, from.on_bad_message)?;
    }
    if !keeper.follows() {
        progress.ends_at(keeper.fix_ends()?);
    }
    Ok(Source::Kept(Box::new(keeper)))
}

/// A file that is copied into itself never ends. Its names were compared before; it can have got another one since.
fn refuse_loop(task: &str, from: &LinesFrom, source: &Source, target: &Target) -> Result<(), Failure> {
    let read = match (source, &from.input) {
        (Source::Kept(keeper), _) => keeper.first().and_then(|file| file.id),
        (Source::Stream(_), Input::File(path)) => FileId::at(path),
        (Source::Stream(_), Input::Stdin) => FileId::of_stdin(),
        (Source::Stream(_), Input::Memory(_)) => None,
    };
    if read.is_none() || read != target.file_id() {
        return Ok(());
    }
    Err(Failure::usage(format!("task {task}: it would write the file it reads: {}", from.input.origin()))
        .with_help("write to another file"))
}

fn stream(from: &LinesFrom, progress: &Progress) -> Result<Source, Failure> {
    let chunks = Chunks::open(&from.input, from.on_bad_message)?;
    if let Some(total) = chunks.total() {
        progress.ends_at(total);
    }
    Ok(Source::Stream(chunks))
}

fn is_special(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|about| !about.is_file() && !about.is_dir())
}

/// A pipe or a device: there is no going back in it, so no position is kept.
fn special(
    job: &Job,
    from: &LinesFrom,
    path: &Path,
    positions: &Positions,
    console: &Console,
    progress: &Progress,
) -> Result<Source, Failure> {
    if positions.mode != Mode::Full {
        return Err(Failure::usage(format!(
            "task {}: {} is no regular file and has no positions for mode {}",
            job.name,
            path.display(),
            positions.mode
        ))
        .with_help("use mode = \"full\": it reads the pipe until its writers close it"));
    }
    console.say(&format!("{}: {} is no regular file, so no position is kept", job.name, path.display()));
    stream(from, progress)
}

impl<'j> FromLines<'j> {
    /// Opens the source, the target and the way there.
    async fn begin(
        job: &Job,
        from: &'j LinesFrom,
        console: &Arc<Console>,
        progress: &Arc<Progress>,
    ) -> Result<Self, Failure> {
        let mut source = open(job, from, console, progress).await?;
        let policies = Policies {
            on_bad_message: from.on_bad_message,
            on_push_error: job.target.on_push_error(),
            command: job.command,
        };
        let target = job.target.open(&job.name, console, &job.timing).await?;
        refuse_loop(&job.name, from, &source, &target)?;
        let mut pump = Pump::new(&job.name, target, policies, job.timing.commit, console, Arc::clone(progress));
        let route = pump.target.route(SourceTopic { name: None, partitions: 1 }).await?;
        pump.say_news();
        if let (Source::Kept(keeper), Some(now)) = (&mut source, pump.target.placement(route))
            && let Some(before) = keeper.place_by(&now)?
            && now.moves_records(&before, 1)
        {
            console.say(&format!("warning: {}: {}", job.name, now.change(&before, "lines")));
        }
        let watched = super::watched(&job.target, &pump.target).into_iter().collect();
        let watch = outage::watch(&job.name, watched, console);
        let (console, name) = (Arc::clone(console), job.name.clone());
        let mut task =
            Self { from, pump, route, current: None, at_end: false, keeper: None, console, name, _watch: watch };
        match source {
            Source::Stream(chunks) => {
                let lane = task.pump.add(from.input.origin(), 0);
                task.current = Some(Current { chunks, lines: Lines::default(), lane, fresh: true });
            }
            Source::Kept(keeper) => {
                task.keeper = Some(*keeper);
                task.start_next()?;
            }
        }
        Ok(task)
    }

    /// Begins the next file, if there is one.
    fn start_next(&mut self) -> Result<(), Failure> {
        let Some(keeper) = &mut self.keeper else { return Ok(()) };
        let Some((opened, at)) = keeper.next() else {
            self.at_end = true;
            return Ok(());
        };
        let end = keeper.end_of(&opened);
        let chunks = Chunks::of_file(&opened.path, &opened.file, at.offset, end)?;
        let lane = self.pump.add(Origin::File(opened.path.clone()), at.line);
        keeper.started(opened, lane, at);
        self.current = Some(Current { chunks, lines: Lines::at(at), lane, fresh: at.offset == 0 });
        self.at_end = false;
        Ok(())
    }

    async fn run(&mut self, shutdown: &mut Shutdown) -> Result<Ending, Failure> {
        let mut looks = tokio::time::interval_at(Instant::now() + LOOK_EVERY, LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            if self.pump.is_stopped() {
                return Ok(Ending::Complete);
            }
            let deadline = self.pump.batcher.deadline();
            let crowded = self.pump.is_crowded();
            tokio::select! {
                biased;
                () = requested(shutdown) => return Ok(Ending::Interrupted),
                () = tokio::time::sleep_until(deadline.unwrap_or_else(std::time::Instant::now).into()), if deadline.is_some() => {
                    self.commit().await?;
                }
                settled = self.pump.target.settled() => self.pump.apply(settled),
                _ = looks.tick(), if self.at_end => self.look().await?,
                chunk = next_chunk(&mut self.current), if !crowded && !self.at_end => match chunk? {
                    Some(chunk) => {
                        self.take(&chunk).await?;
                        if let Some(current) = &mut self.current {
                            current.chunks.recycle(chunk);
                        }
                    }
                    None if self.end_of_file().await? => return Ok(Ending::Complete),
                    None => {}
                },
            }
            if crowded || self.pump.batcher.is_due(std::time::Instant::now()) {
                self.commit().await?;
            }
        }
    }

    /// The end of what is read was met. `true`: there is nothing more to come.
    async fn end_of_file(&mut self) -> Result<bool, Failure> {
        let (followed, follows) = match &self.keeper {
            None => (false, false),
            Some(keeper) => (keeper.is_followed()?, keeper.follows()),
        };
        if followed {
            self.next_file().await?;
            return Ok(false);
        }
        if follows {
            self.at_end = true;
            return Ok(false);
        }
        self.take_last().await?;
        Ok(true)
    }

    /// Ends a file and begins the next one.
    async fn next_file(&mut self) -> Result<(), Failure> {
        self.take_last().await?;
        if self.pump.is_stopped() {
            return Ok(());
        }
        self.start_next()?;
        if let Some(current) = &self.current {
            self.console.say(&format!("{}: goes on with the next file, {}", self.name, self.pump.origin(current.lane)));
        }
        Ok(())
    }

    async fn look(&mut self) -> Result<(), Failure> {
        let read = self.current.as_ref().map_or(0, |current| current.lines.taken());
        let Some(keeper) = &mut self.keeper else { return Ok(()) };
        match keeper.look(read).await? {
            Look::Same => {}
            Look::Followed if self.current.is_none() => {
                self.start_next()?;
                // Which file it is has to be known before it can be rotated away.
                self.commit().await?;
            }
            Look::Followed => self.next_file().await?,
            Look::Grown => {
                if let Some(current) = &mut self.current {
                    current.chunks.read_on();
                }
                self.at_end = false;
            }
        }
        Ok(())
    }

    /// Makes durable what was handed over, and keeps the position that is safe.
    async fn commit(&mut self) -> Result<(), Failure> {
        self.pump.sync().await?;
        if let Some(keeper) = &mut self.keeper {
            keeper.keep(&mut self.pump.checkpoint).await?;
        }
        let settled = self.pump.checkpoint.all_settled();
        self.pump.batcher.restarted(settled, std::time::Instant::now());
        Ok(())
    }

    /// Keeps the last position.
    async fn keep(&mut self) -> Result<(), Failure> {
        match &mut self.keeper {
            Some(keeper) => keeper.keep(&mut self.pump.checkpoint).await,
            None => Ok(()),
        }
    }

    /// Hands over the lines of a chunk.
    async fn take(&mut self, chunk: &Chunk) -> Result<(), Failure> {
        let Some(current) = &mut self.current else { return Ok(()) };
        if std::mem::take(&mut current.fresh) {
            let origin = self.pump.origin(current.lane);
            if let Err(foreign) = refuse_foreign_bytes(chunk.bytes(), false, origin, self.from.on_bad_message) {
                self.pump.stop(foreign);
                return Ok(());
            }
        }
        let first = current.lines.number();
        // How many lines it has is known only at its end; what matters is that no position is behind it before.
        let mut batch = self.pump.begin(current.lane, self.route, 0, i64::MAX);
        let mut cutter = current.lines.cut(chunk);
        let mut next = first;
        loop {
            match cutter.line() {
                Ok(Cut::Line(number, line)) => {
                    let event = Event::from_line(line);
                    if !self.pump.take(&mut batch, number, event, line).await? {
                        break;
                    }
                    next = number + 1;
                }
                Ok(Cut::Empty) => break,
                Err(fault) => {
                    stop_at_line(&mut self.pump, &mut batch, current.lane, next, fault);
                    break;
                }
            }
        }
        let place = current.lines.position();
        self.pump.ends_at(&batch, place.line);
        self.pump.end(&batch, chunk.len() as u64);
        self.met(place);
        Ok(())
    }

    fn met(&mut self, place: LinePosition) {
        if let Some(keeper) = &mut self.keeper {
            keeper.met(place);
        }
    }

    /// Hands over the last line if it has no line break.
    async fn take_last(&mut self) -> Result<(), Failure> {
        let Some(current) = &mut self.current else { return Ok(()) };
        let mut batch = self.pump.begin(current.lane, self.route, 0, i64::MAX);
        let number = current.lines.number();
        match current.lines.last() {
            Ok(Some((number, line))) => {
                self.pump.take(&mut batch, number, Event::from_line(line), line).await?;
            }
            Ok(None) => {}
            Err(fault) => stop_at_line(&mut self.pump, &mut batch, current.lane, number, fault),
        }
        let end = current.lines.end();
        self.pump.ends_at(&batch, end.line);
        self.pump.end(&batch, 0);
        if let Some(keeper) = &mut self.keeper {
            keeper.ended(end);
        }
        Ok(())
    }
}

async fn next_chunk(current: &mut Option<Current>) -> Result<Option<Chunk>, Failure> {
    match current {
        Some(current) => current.chunks.next().await,
        None => Ok(None),
    }
}

#[cold]
fn stop_at_line(pump: &mut Pump, batch: &mut Batch, lane: Lane, number: i64, fault: LineFault) {
    let failure = Failure::data(format!("{}: {fault}", pump.origin(lane).at(number)));
    let failure = failure.with_help(match fault {
        LineFault::TooLong => "one JSON object a line is expected; the position stays before it",
        LineFault::Grown => {
            "let the producer end each line with a line break in one write; `run --from-start` begins again"
        }
    });
    pump.stop_in(batch, number);
    pump.stop(failure);
}
