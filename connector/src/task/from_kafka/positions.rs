//! Positions of a task whose source is Kafka: used and committed only on the log they were taken from.

use std::time::{Duration, Instant};

use ottla_client::{Error, ErrorKind, RecordFingerprint, TopicPartition};
use ottla_protocol::records::Record;

use super::{FromKafka, Seat};
use crate::core::checkpoint::{Lane, Proof, Proven};
use crate::core::evidence::Evidence;
use crate::exit::Failure;
use crate::source::kafka::identity::Held;
use crate::source::kafka::progress::Position;
use crate::task::failure::client_failure;
use crate::task::{Shutdown, requested};

/// How long after its last batch a partition may be committed although its leader is not asked any more: deleting a topic,
/// creating it and filling it takes longer.
const FRESH: Duration = Duration::from_secs(1);

/// How long the check of partitions may hold up the use of what lies ready.
const CHECK_BEFORE_USE: Duration = Duration::from_secs(5);

/// How long the check of a partition that cannot be watched may hold up the commit of the others, while the task runs and at
/// its end.
const CHECK_BEFORE_COMMIT: Duration = Duration::from_secs(1);
const CHECK_BEFORE_LAST_COMMIT: Duration = Duration::from_secs(5);

/// How long a partition is left out of commits after it could not be checked or committed.
const AGAIN_AFTER: Duration = Duration::from_secs(10);

/// So many commits in a row may fail in a way that can pass.
const COMMITS_MAY_FAIL: u32 = 2;

/// What is known of the log that a seat reads.
#[derive(Debug)]
pub(super) struct Log {
    /// What was known at the start.
    at_start: Evidence,
    /// A record of the last batch that was read.
    read: Option<Proven>,
    /// When that batch was read.
    read_at: Option<Instant>,
    /// When the log was last held against what is known of it.
    checked: Option<Instant>,
    /// Not committed before this time.
    commit_after: Option<Instant>,
}

impl Log {
    /// A log that was checked at the start of the task, or not at all.
    pub(super) fn new(at_start: Evidence) -> Self {
        Self { at_start, read: None, read_at: None, checked: None, commit_after: None }
    }

    /// Whether what came from a partition that is watched since then belongs to this log.
    fn is_checked(&self, watched_since: Instant) -> bool {
        self.checked.is_some_and(|checked| watched_since <= checked)
    }

    fn evidence(&self, proven: Option<Proven>) -> Evidence {
        match proven {
            Some(proven) => Evidence {
                record: Some(proven.record),
                leader_epoch: proven.leader_epoch,
                log_start: self.at_start.log_start,
            },
            None => self.at_start,
        }
    }

    /// Everything that is known, for a check. Nothing, if any log would pass it.
    fn to_check(&self) -> Option<Evidence> {
        let evidence = self.evidence(self.read);
        let says_something =
            evidence.record.is_some() || evidence.log_start > Some(0) || evidence.leader_epoch > Some(0);
        says_something.then_some(evidence)
    }
}

/// Notes which records of a batch prove its log, at the cost of two checksums a batch.
#[derive(Debug, Default)]
pub(super) struct Prover<'a> {
    first: Option<RecordFingerprint>,
    last: Option<Record<'a>>,
}

impl<'a> Prover<'a> {
    /// A record is about to be handed over. Returns the proof that the batch's first record gives, once.
    #[inline]
    pub(super) fn saw(&mut self, record: &Record<'a>, leader_epoch: Option<i32>) -> Option<Proof> {
        if self.first.is_some() {
            return None;
        }
        let first = RecordFingerprint::of(record);
        self.first = Some(first);
        Some(Proof { first, last: first, leader_epoch })
    }

    /// The record was handed over.
    #[inline]
    pub(super) fn handed_over(&mut self, record: Record<'a>) {
        self.last = Some(record);
    }

    /// The proof of the whole batch.
    pub(super) fn proof(&self, leader_epoch: Option<i32>) -> Option<Proof> {
        let first = self.first?;
        let last = self.last.as_ref().map_or(first, RecordFingerprint::of);
        Some(Proof { first, last, leader_epoch })
    }
}

impl Seat {
    pub(super) fn was_read(&mut self, proof: Option<Proof>, now: Instant) {
        self.log.read_at = Some(now);
        if let Some(proof) = proof {
            self.log.read = Some(Proven { record: proof.last, leader_epoch: proof.leader_epoch });
        }
    }
}

impl FromKafka {
    /// Holds the logs of partitions that were unwatched since their last check against what was read of them, before anything
    /// of `index` is used. Returns false if nothing of it may be used now: the task is to end, the log is another one, or its
    /// leader went away and the batch is read again later.
    pub(super) async fn check_before_use(&mut self, index: usize, shutdown: &mut Shutdown) -> Result<bool, Failure> {
        // What lies ready is checked with it, in one go; another partition's leader may hold that up, but not this one.
        for due in [self.unchecked_with(index), vec![index]] {
            let checked = tokio::select! {
                biased;
                () = requested(shutdown) => return Ok(false),
                checked = tokio::time::timeout(CHECK_BEFORE_USE, self.check_logs(&due)) => checked,
            };
            match checked {
                Ok(Ok(())) => return Ok(!self.pump.is_stopped()),
                Ok(Err(error)) if !error.is_retriable() && error.kind() != ErrorKind::UnknownTopic => {
                    let place = format!("task {}: it cannot be checked that its topics are still the same", self.name);
                    return Err(client_failure(&place, &error));
                }
                Ok(Err(_)) | Err(_) => {}
            }
        }
        let seat = &self.seats[index];
        self.source.consumer.seek(&seat.place, seat.position).map_err(|error| self.failed(&error))?;
        Ok(false)
    }

    /// A partition, and the others of which something lies ready that is still to be checked.
    fn unchecked_with(&self, index: usize) -> Vec<usize> {
        let unwatched = |index: &usize| {
            let seat = &self.seats[*index];
            let since = self.source.consumer.watched_since(&seat.place);
            !seat.done && since.is_some_and(|since| !seat.log.is_checked(since))
        };
        let ready = self.source.consumer.ready();
        let others = ready.iter().filter_map(|place| self.by_place.get(place).copied());
        let mut due: Vec<_> = others.filter(|other| *other != index).filter(unwatched).collect();
        due.push(index);
        due
    }

    /// Whether it is a task with positions, and not a copy.
    fn keeps_positions(&self) -> bool {
        self.source.sole.is_some()
    }

    /// Whether what the batch of `index` brings still has to be held against what was read before.
    pub(super) fn needs_check(&self, index: usize, watched_since: Instant) -> bool {
        self.keeps_positions() && !self.seats[index].log.is_checked(watched_since)
    }

    /// Holds the logs of some seats against what is known of them. One that is another one stops the task.
    async fn check_logs(&mut self, due: &[usize]) -> Result<(), Error> {
        let now = Instant::now();
        let held = due.iter().filter_map(|index| {
            let seat = &self.seats[*index];
            Some(Held { place: seat.place.clone(), position: seat.position, evidence: seat.log.to_check()? })
        });
        let held: Vec<_> = held.collect();
        let results = self.source.check(&held).await?;
        let gaps = held.into_iter().zip(results).filter_map(|(held, result)| Some((held.place, result.err()?)));
        let gaps: Vec<_> = gaps.collect();
        for index in due {
            let seat = &mut self.seats[*index];
            let is_other = gaps.iter().any(|(place, _)| *place == seat.place);
            seat.log.checked = (!is_other).then_some(now);
        }
        if !gaps.is_empty() {
            self.pump.stop(self.source.gap_failure(&gaps));
        }
        Ok(())
    }

    /// An error of the consumer as the end of the task.
    pub(super) async fn read_failure(&self, error: &Error) -> Failure {
        let place = error.topic().zip(error.partition()).map(|(topic, id)| TopicPartition::new(topic, id));
        let seat = place.and_then(|place| self.by_place.get(&place)).map(|index| &self.seats[*index]);
        self.source.read_failure(error, seat.and_then(|seat| seat.log.to_check())).await
    }

    /// Makes durable what was handed over and commits every position that is safe.
    pub(super) async fn commit(&mut self) -> Result<(), Failure> {
        self.pump.sync().await?;
        let moved: Vec<_> = self.pump.checkpoint.to_commit().collect();
        let committed = self.commit_positions(&moved, CHECK_BEFORE_COMMIT).await;
        let settled = self.pump.checkpoint.all_settled() && committed.is_ok();
        self.pump.batcher.restarted(settled, Instant::now());
        self.bear(committed)
    }

    /// Commits positions, but none of a partition whose log may be another one by now.
    async fn commit_positions(&mut self, positions: &[(Lane, i64)], patience: Duration) -> Result<(), Error> {
        let now = Instant::now();
        let is_due = |seat: &Seat| seat.log.commit_after.is_none_or(|after| now >= after);
        let due = positions.iter().filter(|(lane, _)| is_due(&self.seats[lane.index()]));
        let due: Vec<_> = due.copied().collect();
        self.check_before_commit(&due, now, patience).await;
        let fit = due.into_iter().filter(|(lane, _)| self.may_be_committed(&self.seats[lane.index()], now));
        let fit: Vec<_> = fit.collect();
        let position = |(lane, offset): &(Lane, i64)| {
            let seat = &self.seats[lane.index()];
            let evidence = seat.log.evidence(self.pump.checkpoint.proven(*lane));
            Position { place: seat.place.clone(), offset: *offset, evidence, placement: seat.placement.clone() }
        };
        let named: Vec<_> = fit.iter().map(position).collect();
        let refused = self.source.commit(&named).await?;
        for (lane, offset) in &fit {
            if !refused.iter().any(|(place, _)| *place == self.seats[lane.index()].place) {
                self.pump.checkpoint.committed(*lane, *offset);
            }
        }
        self.refused(refused, now)
    }

    /// Whether the partition was watched until a moment ago, or its log was just checked.
    fn may_be_committed(&self, seat: &Seat, now: Instant) -> bool {
        if !self.keeps_positions() {
            return true;
        }
        let watched = self.source.consumer.watched_since(&seat.place).filter(|_| !seat.done);
        let is_fresh = seat.log.read_at.is_some_and(|at| now.duration_since(at) < FRESH);
        let is_checked = watched.map_or_else(|| seat.log.is_checked(now), |since| seat.log.is_checked(since));
        is_checked || (is_fresh && seat.log.checked.is_some())
    }

    /// Checks the partitions that cannot be committed without; those that cannot be checked now are tried later.
    async fn check_before_commit(&mut self, positions: &[(Lane, i64)], now: Instant, patience: Duration) {
        let due = positions.iter().map(|(lane, _)| lane.index());
        let due: Vec<_> = due.filter(|index| !self.may_be_committed(&self.seats[*index], now)).collect();
        if due.is_empty() {
            return;
        }
        let checked = tokio::time::timeout(patience, self.check_logs(&due)).await;
        if let Ok(Ok(())) = checked {
            return;
        }
        for index in due {
            let log = &mut self.seats[index].log;
            (log.checked, log.commit_after) = (None, Some(now + AGAIN_AFTER));
        }
    }

    /// A position in a topic that is gone is not committed: if the topic comes back, it is another one.
    fn refused(&mut self, refused: Vec<(TopicPartition, Error)>, now: Instant) -> Result<(), Error> {
        let mut failed = Ok(());
        for (place, error) in refused {
            if error.kind() != ErrorKind::UnknownTopic {
                failed = Err(error);
                continue;
            }
            if let Some(index) = self.by_place.get(&place) {
                let log = &mut self.seats[*index].log;
                (log.checked, log.commit_after) = (None, Some(now + AGAIN_AFTER));
            }
            self.console.say(&format!("{}: {place}: the topic is gone; its position is not committed", self.name));
        }
        failed
    }

    /// A commit that failed is tried again with the next one; only when that goes on, the task ends.
    fn bear(&mut self, committed: Result<(), Error>) -> Result<(), Failure> {
        let Err(error) = committed else {
            self.failed_commits = 0;
            return Ok(());
        };
        self.failed_commits += 1;
        if error.is_retriable() && self.failed_commits < COMMITS_MAY_FAIL {
            tracing::warn!("task {}: positions could not be committed, trying again: {error}", self.name);
            return Ok(());
        }
        let place = format!("task {}: positions cannot be committed", self.name);
        Err(client_failure(&place, &error))
    }

    /// Commits everything again, so that brokers do not forget it.
    pub(super) async fn renew(&mut self) -> Result<(), Failure> {
        let places: Vec<_> = self.seats.iter().map(|seat| seat.place.clone()).collect();
        let all: Vec<_> = self.pump.checkpoint.positions().collect();
        let mut renewed = self.source.renew_marks(&places).await;
        if renewed.is_ok() {
            renewed = self.commit_positions(&all, CHECK_BEFORE_COMMIT).await;
        }
        self.bear(renewed)
    }

    /// Commits what is safe at the end of the task.
    pub(super) async fn commit_last(&mut self) -> Result<(), Failure> {
        let moved: Vec<_> = self.pump.checkpoint.to_commit().collect();
        let place = format!("task {}: the last positions cannot be committed", self.name);
        self.commit_positions(&moved, CHECK_BEFORE_LAST_COMMIT).await.map_err(|error| client_failure(&place, &error))
    }
}
