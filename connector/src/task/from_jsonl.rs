//! The way of a task whose source is lines: a file, standard input, or memory.

use std::sync::Arc;

use crate::event::Event;
use crate::exit::Failure;
use crate::progress::{Console, Progress};
use crate::source::jsonl::{Chunk, Chunks, Cut, Lines};
use crate::target::{Route, SourceTopic};

use super::pump::{Policies, Pump};
use super::{End, Ending, Job, LinesFrom, Shutdown, requested};

struct FromLines {
    pump: Pump,
    lines: Lines,
    lane: crate::core::checkpoint::Lane,
    route: Route,
}

/// Reads lines to their end, until a signal comes, or a line stops it.
pub(super) async fn run(job: &Job, from: &LinesFrom, console: &Arc<Console>, end: &mut End) -> Result<(), Failure> {
    let mut chunks = Chunks::open(&from.input)?;
    if let Some(total) = chunks.total() {
        end.progress.ends_at(total);
    }
    let mut shutdown = end.shutdown.clone();
    let mut task = tokio::select! {
        biased;
        () = requested(&mut shutdown) => {
            end.ending = Ending::Interrupted;
            return Ok(());
        }
        task = FromLines::begin(job, from, console, &end.progress) => task?,
    };
    let ran = task.run(&mut chunks, &mut shutdown).await;
    let settled = task.pump.finish().await;
    end.ending = ran?;
    if let Some(stop) = task.pump.take_stop() {
        return Err(stop);
    }
    settled
}

impl FromLines {
    /// Opens the target and the way there.
    async fn begin(
        job: &Job,
        from: &LinesFrom,
        console: &Arc<Console>,
        progress: &Arc<Progress>,
    ) -> Result<Self, Failure> {
        let policies = Policies { on_bad_message: from.on_bad_message, on_push_error: job.target.on_push_error() };
        let target = job.target.open(&job.name, console, &job.timing).await?;
        let mut pump = Pump::new(&job.name, target, policies, job.timing.commit, console, Arc::clone(progress));
        let route = pump.target.route(SourceTopic { name: None, partitions: 1 }).await?;
        super::say_created(&job.name, &mut pump.target, console);
        let lane = pump.add(from.input.origin(), 0);
        Ok(Self { pump, lines: Lines::default(), lane, route })
    }

    async fn run(&mut self, chunks: &mut Chunks, shutdown: &mut Shutdown) -> Result<Ending, Failure> {
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
                    self.sync().await?;
                }
                settled = self.pump.target.settled() => self.pump.apply(settled),
                chunk = chunks.next(), if !crowded => {
                    let Some(chunk) = chunk? else {
                        self.take_last().await?;
                        return Ok(Ending::Complete);
                    };
                    self.take(&chunk).await?;
                    chunks.recycle(chunk);
                }
            }
            if crowded || self.pump.batcher.is_due(std::time::Instant::now()) {
                self.sync().await?;
            }
        }
    }

    async fn sync(&mut self) -> Result<(), Failure> {
        self.pump.sync().await?;
        let settled = self.pump.checkpoint.all_settled();
        self.pump.batcher.restarted(settled, std::time::Instant::now());
        Ok(())
    }

    /// Hands over the lines of a chunk.
    async fn take(&mut self, chunk: &Chunk) -> Result<(), Failure> {
        let first = self.lines.number();
        // How many lines it has is known only at its end; what matters is that no position is behind it before.
        let mut batch = self.pump.begin(self.lane, self.route, 0, i64::MAX);
        let mut cutter = self.lines.cut(chunk);
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
                Err(too_long) => {
                    self.pump.stop_in(&mut batch, next);
                    self.pump.stop(too_long_failure(next, &too_long));
                    break;
                }
            }
        }
        self.pump.end(&batch, chunk.len() as u64);
        Ok(())
    }

    /// Hands over the last line if it has no line break.
    async fn take_last(&mut self) -> Result<(), Failure> {
        let Some((number, line)) = self.lines.last() else { return Ok(()) };
        let mut batch = self.pump.begin(self.lane, self.route, 0, i64::MAX);
        self.pump.take(&mut batch, number, Event::from_line(line), line).await?;
        self.pump.end(&batch, 0);
        Ok(())
    }
}

fn too_long_failure(number: i64, error: &dyn std::fmt::Display) -> Failure {
    Failure::data(format!("line {}: {error}", number + 1)).with_help("one JSON object a line is expected")
}
