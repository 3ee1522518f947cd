//! What the ways out of every source have in common: check, hand over, acknowledge, and the two error policies.

use std::sync::Arc;
use std::time::Instant;

use ottla_protocol::ErrorCode;

use crate::config::model::OnError;
use crate::core::batcher::{Batcher, Limits};
use crate::core::checkpoint::{Checkpoint, Lane, Proof, Span};
use crate::event::{Event, Origin};
use crate::exit::{Exit, Failure};
use crate::format::{NotAnObject, clipped};
use crate::progress::{Console, Progress};
use crate::target::{Push, Refused, Route, Settled, Target, Ticket};

use super::Command;
use super::failure::blames_the_record;
use super::trouble::Watch;

/// So many rows may wait for their acknowledgement before no more is read. A row is what one fetched batch put into one
/// produced batch, so this is far beyond what keeps a connection busy; it bounds the memory of tiny batches.
const MOST_UNSETTLED: usize = 8192;

/// How a pump treats what cannot go on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Policies {
    /// A record that is not a JSON object.
    pub(super) on_bad_message: OnError,
    /// A record that the target refuses.
    pub(super) on_push_error: OnError,
    /// What was typed, so that advice names keys and flags it has.
    pub(super) command: Command,
}

/// Why the task stops.
struct Stop {
    /// The first record that was not passed, if it is about one.
    at: Option<(Lane, i64)>,
    failure: Failure,
    /// The target topic for which the record is too large.
    too_large_for: Option<String>,
}

/// Moves records of any source into a target.
pub(super) struct Pump {
    pub(super) target: Target,
    pub(super) checkpoint: Checkpoint,
    pub(super) batcher: Batcher,
    /// By lane.
    origins: Vec<Origin>,
    policies: Policies,
    progress: Arc<Progress>,
    console: Arc<Console>,
    name: String,
    skipped: u64,
    stopped: Option<Stop>,
    /// Where the reader stopped last.
    reader_at: Option<(Lane, i64)>,
    watch: Option<Watch>,
}

/// A batch that is being handed over.
#[derive(Debug)]
pub(super) struct Batch {
    span: Span,
    lane: Lane,
    route: Route,
    partition: i32,
    records: u64,
    bytes: u64,
    /// The reader has stopped in it.
    stopped: bool,
}

impl Pump {
    pub(super) fn new(
        name: &str,
        target: Target,
        policies: Policies,
        limits: Limits,
        console: &Arc<Console>,
        progress: Arc<Progress>,
    ) -> Self {
        let watch = Watch::start(name, &target, console);
        Self {
            watch,
            target,
            checkpoint: Checkpoint::default(),
            batcher: Batcher::new(limits),
            origins: Vec::new(),
            policies,
            progress,
            console: Arc::clone(console),
            name: name.to_owned(),
            skipped: 0,
            stopped: None,
            reader_at: None,
        }
    }

    /// Takes in a row of records that begins at `start`.
    pub(super) fn add(&mut self, origin: Origin, start: i64) -> Lane {
        self.origins.push(origin);
        self.checkpoint.add(start)
    }

    /// Has a record stopped the task?
    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.is_some()
    }

    /// Why the task has to stop, if it has to. To be asked once everything was settled: whether all records before were
    /// delivered is read from the checkpoint.
    fn take_stop(&mut self) -> Option<Failure> {
        let Stop { at, failure, .. } = self.stopped.take()?;
        let Some((lane, offset)) = at else { return Some(failure) };
        let before = self.delivered_before(lane, offset);
        let help = failure.help.as_deref().map_or_else(|| before.clone(), |help| format!("{before}; {help}"));
        Some(failure.with_help(help))
    }

    /// What the task ends with. `settled` is what became of the records that were handed over: if the target failed with them,
    /// that came before the record at which the reader stopped.
    pub(super) fn outcome(&mut self, settled: Result<(), Failure>) -> Result<(), Failure> {
        match (self.take_stop(), settled) {
            (Some(stop), Ok(())) => Err(stop),
            (Some(stop), Err(failure)) => {
                let also = format!("after that: {}", stop.message);
                let help = failure.help.as_deref().map_or_else(|| also.clone(), |help| format!("{help}; {also}"));
                Err(failure.with_help(help))
            }
            (None, settled) => settled,
        }
    }

    /// What the checkpoint says about the records before this one.
    fn delivered_before(&self, lane: Lane, offset: i64) -> String {
        let safe = self.checkpoint.safe(lane);
        if safe < offset {
            let first = self.origins[lane.index()].at(safe);
            let again = match self.policies.command {
                Command::Run => "; the next start sends them again",
                Command::Copy => "",
            };
            return format!("not all records before it were delivered, the first of them is {first}{again}");
        }
        if self.target.is_unconfirmed() {
            return "everything before it was sent, and without acks nobody confirms it".to_owned();
        }
        "everything before it was delivered".to_owned()
    }

    /// Stops the task for a reason that is none of the pump's.
    pub(super) fn stop(&mut self, failure: Failure) {
        let at = self.reader_at.take();
        self.stop_for(Stop { at, failure, too_large_for: None });
    }

    /// The first reason in time counts, unless another one is about an earlier record of the same partition: the answer for
    /// a record can come after the reader has met a later one.
    fn stop_for(&mut self, stop: Stop) {
        let is_earlier = |known: &Stop| match (known.at, stop.at) {
            (Some((known_lane, known)), Some((lane, offset))) => lane == known_lane && offset < known,
            _ => false,
        };
        if self.stopped.as_ref().is_none_or(is_earlier) {
            self.stopped = Some(stop);
        }
    }

    /// Is so much on its way that the next batch should wait?
    pub(super) fn is_crowded(&self) -> bool {
        self.target.unsettled() >= MOST_UNSETTLED
    }

    /// Where the records of a lane come from.
    pub(super) fn origin(&self, lane: Lane) -> &Origin {
        &self.origins[lane.index()]
    }

    /// Opens a batch; `next` is the position behind it.
    pub(super) fn begin(&mut self, lane: Lane, route: Route, partition: i32, next: i64) -> Batch {
        let span = self.checkpoint.read(lane, next);
        Batch { span, lane, route, partition, records: 0, bytes: 0, stopped: false }
    }

    /// Takes the next record of a batch. `false`: stop reading here.
    #[inline]
    pub(super) async fn take(
        &mut self,
        batch: &mut Batch,
        offset: i64,
        event: Result<Event<'_>, NotAnObject>,
        value: &[u8],
    ) -> Result<bool, Failure> {
        batch.records += 1;
        batch.bytes += value.len() as u64;
        let event = match event {
            Ok(event) => event,
            Err(why) => return Ok(self.bad_message(batch, offset, value, why)),
        };
        let ticket = Ticket { span: batch.span, partition: batch.partition, offset };
        loop {
            match self.target.push(&mut self.checkpoint, batch.route, ticket, &event) {
                Push::Taken => return Ok(true),
                Push::Passed => {
                    self.progress.deletions(1);
                    return Ok(true);
                }
                Push::Refused(error) => return Ok(self.refused_at_once(batch, offset, error)),
                Push::Full => {
                    if let Some(settled) = self.target.make_room().await? {
                        self.apply(settled);
                    }
                    if self.is_stopped() {
                        self.stop_in(batch, offset);
                        return Ok(false);
                    }
                }
            }
        }
    }

    /// The reader cannot go on in the batch: the record at `offset` is the first that was not handed over.
    pub(super) fn stop_in(&mut self, batch: &mut Batch, offset: i64) {
        if !std::mem::replace(&mut batch.stopped, true) {
            self.checkpoint.stop_at(batch.span, offset);
        }
        self.reader_at = Some((batch.lane, offset));
    }

    /// Says which records of a batch prove its log.
    pub(super) fn prove(&mut self, batch: &Batch, proof: Proof) {
        self.checkpoint.prove(batch.span, proof);
    }

    /// The position behind a batch is known only now that it was read.
    pub(super) fn ends_at(&mut self, batch: &Batch, next: i64) {
        self.checkpoint.ends_at(batch.span, next);
    }

    /// The batch was handed over, as far as it went. `advance`: how much nearer the end that is.
    pub(super) fn end(&mut self, batch: &Batch, advance: u64) {
        if !batch.stopped {
            self.checkpoint.finish(batch.span);
        }
        self.say_news();
        self.progress.read(batch.records, batch.bytes, advance);
        self.batcher.took(batch.bytes, Instant::now());
    }

    /// Notes what became of a row.
    pub(super) fn apply(&mut self, settled: Settled) {
        let Settled { span, written, refused } = settled;
        self.progress.written(written);
        if refused.is_empty() {
            self.checkpoint.written(span);
        } else {
            self.refused(span, refused);
        }
    }

    /// Tells the user what the target has to say.
    pub(super) fn say_news(&mut self) {
        for line in self.target.take_news() {
            let told = format!("{}: {line}", self.name);
            if line.starts_with("created topic") {
                self.console.say_some(&format!("{}: created topics", self.name), &told);
            } else {
                self.console.say(&told);
            }
        }
    }

    /// Settles everything that was handed over.
    pub(super) async fn finish(&mut self) -> Result<(), Failure> {
        let mut rows = Vec::new();
        if let Some(watch) = &self.watch {
            watch.look();
        }
        let finished = self.target.finish(|settled| rows.push(settled)).await;
        if let Some(watch) = &self.watch {
            watch.look();
        }
        for settled in rows {
            self.apply(settled);
        }
        self.say_notes();
        self.name_the_limit().await;
        finished
    }

    /// Adds to the failure of a record that is too large how large its topic takes them, if the cluster says it.
    async fn name_the_limit(&mut self) {
        let (Some(stop), Target::Kafka(kafka)) = (&mut self.stopped, &self.target) else { return };
        let Some(topic) = stop.too_large_for.take() else { return };
        if let Some(limit) = kafka.max_message_bytes(&topic).await {
            let message = &stop.failure.message;
            stop.failure.message = format!("{message}; max.message.bytes of topic {topic} is {limit}");
        }
    }

    /// The run came to a good end: lets the target do what it does only then.
    pub(super) async fn complete(&mut self) -> Result<(), Failure> {
        let completed = self.target.complete().await;
        self.say_notes();
        completed
    }

    fn say_notes(&mut self) {
        for note in self.target.take_notes() {
            self.console.say(&format!("{}: {note}", self.name));
        }
    }

    /// Makes durable what was handed over, where that does not happen by itself.
    pub(super) async fn sync(&mut self) -> Result<(), Failure> {
        let mut rows = Vec::new();
        let synced = self.target.sync(|settled| rows.push(settled)).await;
        for settled in rows {
            self.apply(settled);
        }
        self.say_notes();
        synced
    }

    #[cold]
    fn bad_message(&mut self, batch: &mut Batch, offset: i64, value: &[u8], why: NotAnObject) -> bool {
        let place = self.origins[batch.lane.index()].at(offset);
        let what = format!("{place}: the value is no JSON object: {why}; it is: {}", clipped(value));
        match self.policies.on_bad_message {
            OnError::Skip => {
                self.skip(1, &what);
                true
            }
            OnError::Stop => {
                let help = match self.policies.command {
                    Command::Run => {
                        "mend the producer, or pass such records: on_bad_message = \"skip\" in the source connection"
                    }
                    Command::Copy => "mend the producer, or pass such records: --skip-bad",
                };
                let failure = Failure::data(format!("task {}: {what}", self.name)).with_help(help);
                self.stop_for(Stop { at: Some((batch.lane, offset)), failure, too_large_for: None });
                self.stop_in(batch, offset);
                false
            }
        }
    }

    /// The client refused the record before it was in any batch.
    #[cold]
    fn refused_at_once(&mut self, batch: &mut Batch, offset: i64, error: ottla_client::Error) -> bool {
        let refused = Refused { count: 1, first: offset, last: offset, error };
        if self.passes_refused(batch.lane, &refused) {
            return true;
        }
        self.stop_in(batch, offset);
        false
    }

    #[cold]
    fn refused(&mut self, span: Span, refused: Vec<Refused>) {
        let stopped = refused.into_iter().find(|refused| !self.passes_refused(span.lane(), refused));
        match stopped {
            None => self.checkpoint.written(span),
            Some(refused) => self.checkpoint.failed(span, refused.first),
        }
    }

    /// Counts and passes a refused record, or stops the task. Only a record that is refused for itself is ever passed, never
    /// several at once: a target that cannot be reached or lets nobody in says nothing about records, and passing all of them
    /// would empty the source into nowhere.
    fn passes_refused(&mut self, lane: Lane, refused: &Refused) -> bool {
        let place = self.origins[lane.index()].range(refused.first, refused.last, refused.count);
        let what = format!("{place}: the target did not take it: {}", refused.error);
        let blamed = blames_the_record(&refused.error);
        if self.policies.on_push_error == OnError::Skip && blamed && refused.count == 1 {
            self.skip(refused.count, &what);
            return true;
        }
        let (exit, help) = match (blamed, self.policies.command) {
            (true, Command::Run) => {
                (Exit::StoppedByData, "on_push_error = \"skip\" in the target connection passes such records")
            }
            (true, Command::Copy) => {
                (Exit::StoppedByData, "?on_push_error=skip behind the target's topic passes such records")
            }
            (false, Command::Run) => (Exit::Environment, "start the task again once this is mended"),
            (false, Command::Copy) => (Exit::Environment, "copy again once this is mended"),
        };
        let failure = Failure::new(exit, format!("task {}: {what}", self.name)).with_help(help);
        let too_large = refused.error.code() == Some(ErrorCode::MESSAGE_TOO_LARGE);
        let too_large_for = refused.error.topic().filter(|_| too_large).map(str::to_owned);
        self.stop_for(Stop { at: Some((lane, refused.first)), failure, too_large_for });
        false
    }

    fn skip(&mut self, count: u64, what: &str) {
        self.progress.skipped(count);
        let before = self.skipped;
        self.skipped += count;
        if is_worth_a_line(before, self.skipped) {
            self.console.say(&format!("{}: skipped ({} so far): {what}", self.name, self.skipped));
        }
    }
}

/// The first five skipped records are shown, then every power of ten: a topic full of bad messages does not flood the
/// log, and no clock is asked.
fn is_worth_a_line(before: u64, after: u64) -> bool {
    before < 5 || (1..20).map(|power| 10u64.pow(power)).any(|mark| before < mark && mark <= after)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skipped_records_are_shown_ever_more_rarely() {
        let shown: Vec<u64> = (0..2000).filter(|before| is_worth_a_line(*before, before + 1)).map(|n| n + 1).collect();
        assert_eq!(shown, [1, 2, 3, 4, 5, 10, 100, 1000]);
        assert!(is_worth_a_line(90, 150));
        assert!(!is_worth_a_line(101, 999));
    }
}
