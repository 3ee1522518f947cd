//! One partition's records on their way out: encoded into the open batch, sealed, sent, and resolved in the end.
//!
//! A [`PartitionQueue`] is driven from two sides under one lock: users [`append`](PartitionQueue::append); a sender asks
//! when something is [due](PartitionQueue::due), [drains](PartitionQueue::drain) a batch, sends it, and hands it back with
//! what happened ([`complete`](PartitionQueue::complete)). Batches move out to the sender, so compression and sending
//! happen without the lock.
//!
//! # What it keeps
//!
//! - Batches are sent in the order in which their records were handed over, retries included. With idempotence five may be
//!   under way; a repeat goes alone at the head. Without it only one is ever under way, since a retry behind a successor
//!   would swap the two, and nobody would notice.
//! - Every batch ends exactly once: acknowledged, refused for good, or given up after its delivery timeout. It is given up
//!   only while it is not under way, so the verdict says for certain whether the broker may have it; the request's own
//!   timeout bounds how much later than the delivery timeout that can be.
//! - Only the record at fault fails: a batch that is refused for its size or for one of its records is halved until that
//!   record is alone. The halves have the numbers of the whole, which the broker has not used.
//! - Memory is taken from a [`Budget`] before a byte is written, in steps that double, and returns with the batch's end.

pub(crate) mod agenda;
pub(crate) mod batch;
pub(crate) mod cell;
pub(crate) mod memory;
mod outgoing;
mod refusal;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
pub(crate) mod trouble;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ottla_protocol::ErrorCode;
use ottla_protocol::records::{BatchBuilder, HEADER_LEN};

use self::batch::{Batch, Finished, OpenBatch, Order};
use self::cell::Cell;
use self::memory::Grant;
use self::refusal::{CORRUPT_BELIEVED, Concern, may_be_written};
use self::trouble::QueueTrouble;
use super::backoff::Backoff;
use super::sequence::{Identity, Lineage, Permit, Standing, Verdict};
use crate::error::{Error, ErrorKind};

pub use self::outgoing::{Outgoing, OutgoingHeaders};
pub(crate) use self::refusal::{INVALID_RECORD, is_final};

/// How many batches of a partition may be under way with idempotence: as many as a broker remembers (KIP-98).
pub(crate) const MAX_IN_FLIGHT: usize = 5;
/// What an open batch takes at first, before the partition has shown how large its batches get.
const FIRST_GRANT: usize = 4 * 1024;
/// A split never leads to a size limit below this.
const SMALLEST_LIMIT: usize = 1024;

/// The options that decide here.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    /// How long a batch waits for more records.
    pub(crate) linger: Duration,
    /// At this many uncompressed bytes a batch is sealed. A larger record gets a batch of its own.
    pub(crate) batch_bytes: usize,
    /// From a batch's first record, or the last time that a batch before it was halved, to its end.
    pub(crate) delivery_timeout: Duration,
    /// Before a batch is sent again, after the first failure.
    pub(crate) retry_backoff: Duration,
    /// What that grows to while nothing succeeds.
    pub(crate) retry_backoff_max: Duration,
    pub(crate) idempotent: bool,
    /// After a batch has failed, those after it are not sent.
    pub(crate) stop_at_failure: bool,
}

/// A partition's batches.
#[derive(Debug)]
pub(crate) struct PartitionQueue {
    partition: i32,
    limits: Arc<Limits>,
    open: Option<OpenBatch>,
    /// What can be sent, in order; after a retry its head comes before what is under way.
    ready: VecDeque<Batch>,
    /// What is under way, in order.
    in_flight: Vec<Sent>,
    /// `None` without idempotence, and once the topic's message format has shown to have no room for it.
    lineage: Option<Lineage>,
    blocked: Blocked,
    paused_until: Option<Instant>,
    backoff: Backoff,
    /// Why batches are sent again at the moment.
    trouble: Option<QueueTrouble>,
    /// CORRUPT_MESSAGE was a record's fault before, so it is not tried again first.
    corrupt_by_record: bool,
    /// When a refused batch was halved last: the search for a record at fault goes on, and no batch is given up for the time
    /// that it takes.
    halved: Option<Instant>,
    /// The first batch that failed and why: nothing after it is sent. Only with [`Limits::stop_at_failure`].
    stopped: Option<(Order, Error)>,
    next_number: u64,
    /// The size at which batches are sealed; lowered when a broker finds them too large.
    batch_bytes: usize,
    /// How large the last batches got.
    hint: usize,
    stage: Stage,
}

/// How far it is from its end.
#[derive(Debug)]
enum Stage {
    Open,
    /// It takes no more records; those it has still go out.
    Closing(Error),
    /// Nothing is sent any more.
    Closed(Error),
}

/// What the queue remembers of a batch that is under way.
#[derive(Debug)]
struct Sent {
    order: Order,
    cell: Arc<Cell>,
    /// Nothing before it was unresolved when it was sent.
    first: bool,
    at: Instant,
}

/// Why the head cannot be sent although it is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Blocked {
    No,
    /// What is under way decides.
    Answer,
    /// A new identity is on its way.
    Identity,
}

/// What became of an append.
#[derive(Debug)]
pub(crate) enum Append {
    /// It is in: its batch's cell and its number there.
    Taken(Arc<Cell>, u32),
    /// It is not in. [Grant](PartitionQueue::grant) so many bytes and append again; `opens`: they are for a new batch.
    Needs { bytes: usize, opens: bool },
    /// It is not in and will not be.
    Closed(Error),
}

/// What can be sent.
#[derive(Debug)]
pub(crate) enum Drain {
    /// This batch, to be handed back by [`PartitionQueue::complete`].
    Send(Batch),
    /// Nothing now; [`PartitionQueue::due`] says when.
    Nothing,
    /// Something that is larger than the room given.
    Larger,
    /// Nothing until there is an identity other than this; see [`PartitionQueue::adopt`].
    Identity(Option<Identity>),
}

/// How an attempt to send a batch ended.
#[derive(Debug)]
pub(crate) enum Attempt {
    /// The broker has it; with acks 0 the socket has it, and no offset is known.
    Acknowledged { base_offset: Option<i64> },
    /// The broker said no. `error` says so in words.
    Refused { code: ErrorCode, log_start_offset: i64, error: Error },
    /// No answer came. The error knows whether the broker may have got it.
    Lost(Error),
    /// It could not be made ready to be sent.
    Unsendable(Error),
}

/// The moment of a failure, and the chance that spreads the next attempt.
#[derive(Debug, Clone, Copy)]
struct When {
    now: Instant,
    chance: f64,
}

/// What follows from it.
#[derive(Debug)]
#[must_use = "a finished batch has to be delivered"]
pub(crate) enum Completion {
    /// It is over.
    Finished(Finished),
    /// It will be sent again.
    Requeued,
    /// It is too large, or one of its records is at fault: [split](Batch::split) it and
    /// [hand the halves back](PartitionQueue::requeue_halves).
    Split(Batch),
}

impl PartitionQueue {
    pub(crate) fn new(partition: i32, limits: Arc<Limits>) -> Self {
        Self {
            partition,
            open: None,
            ready: VecDeque::new(),
            in_flight: Vec::new(),
            lineage: limits.idempotent.then(Lineage::new),
            blocked: Blocked::No,
            paused_until: None,
            backoff: Backoff::new(limits.retry_backoff, limits.retry_backoff_max),
            trouble: None,
            corrupt_by_record: false,
            halved: None,
            stopped: None,
            next_number: 0,
            batch_bytes: limits.batch_bytes,
            hint: FIRST_GRANT.min(limits.batch_bytes),
            stage: Stage::Open,
            limits,
        }
    }

    /// Encodes a record of `size` bytes at most ([`Outgoing::size_bound`]) into the open batch. The path of every record.
    #[inline]
    pub(crate) fn append(&mut self, record: &Outgoing<'_>, size: usize, timestamp_ms: i64) -> Append {
        match &mut self.open {
            Some(open) if open.builder.len() + size <= open.grant.bytes() => {
                let index = open.append(record, timestamp_ms);
                Append::Taken(open.cell.clone(), index)
            }
            _ => self.make_room(size),
        }
    }

    /// What has to happen before a record of this size fits. Seals the open batch if that is full.
    #[cold]
    fn make_room(&mut self, size: usize) -> Append {
        if let Stage::Closing(error) | Stage::Closed(error) = &self.stage {
            return Append::Closed(error.clone());
        }
        if let Some(open) = &self.open {
            let (len, granted) = (open.builder.len() + size, open.grant.bytes());
            if len <= self.batch_bytes {
                return Append::Needs { bytes: (2 * granted).clamp(len, self.batch_bytes) - granted, opens: false };
            }
            self.seal();
        }
        Append::Needs { bytes: self.hint.min(self.batch_bytes).max(HEADER_LEN + size), opens: true }
    }

    /// Gives memory to the open batch, or to a new one in `buffer`.
    pub(crate) fn grant(&mut self, grant: Grant, buffer: Option<Vec<u8>>, now: Instant) {
        if let Some(open) = &mut self.open {
            return open.grant.merge(grant);
        }
        let builder = match buffer {
            Some(buffer) if buffer.capacity() >= grant.bytes() => BatchBuilder::in_buffer(buffer),
            _ => BatchBuilder::with_capacity(grant.bytes()),
        };
        self.open = Some(OpenBatch { builder, cell: Cell::new(self.partition), grant, created: now });
    }

    /// Closes the open batch for more records. Without one nothing happens.
    pub(crate) fn seal(&mut self) {
        // A grant without a record is no batch.
        let Some(open) = self.open.take_if(|open| !open.builder.is_empty()) else { return };
        let size = open.builder.len().next_power_of_two();
        // Follows growth at once and shrinks by halves, so that one small batch does not make the next one grow in steps.
        self.hint = size.max(self.hint / 2).max(FIRST_GRANT).min(self.limits.batch_bytes);
        self.ready.push_back(Batch::seal(open, self.next_number));
        self.next_number += 1;
    }

    /// From when on [`PartitionQueue::drain`] or [`PartitionQueue::expire`] has something to do. `None`: not before
    /// something else happens.
    pub(crate) fn due(&self) -> Option<Instant> {
        let created = self.head_created()?;
        if self.stopped.as_ref().is_some_and(|(order, _)| self.has_after(*order)) {
            return Some(created);
        }
        if self.can_send() {
            let lingering = self.ready.is_empty();
            let due = if lingering { created + self.limits.linger } else { created };
            return Some(self.paused_until.map_or(due, |until| due.max(until)));
        }
        // What is under way will end, and then this is asked again.
        self.in_flight.is_empty().then(|| self.deadline(created))
    }

    fn head_created(&self) -> Option<Instant> {
        let open = self.open.as_ref().filter(|open| !open.builder.is_empty());
        self.ready.front().map(|batch| batch.created).or_else(|| open.map(|open| open.created))
    }

    /// Whether anything that was handed over after this batch waits to be sent.
    fn has_after(&self, order: Order) -> bool {
        let open = self.open.as_ref().is_some_and(|open| !open.builder.is_empty());
        open || self.ready.back().is_some_and(|batch| batch.order > order)
    }

    fn can_send(&self) -> bool {
        let allowed = if self.lineage.is_some() { MAX_IN_FLIGHT } else { 1 };
        self.blocked == Blocked::No && self.in_flight.len() < allowed
    }

    /// Takes out the batch to send next, if it is no larger than `room`. `early` does not wait for the linger time.
    pub(crate) fn drain(&mut self, now: Instant, room: usize, early: bool) -> Drain {
        if !self.can_send() || self.paused_until.is_some_and(|until| until > now) {
            return Drain::Nothing;
        }
        if self.ready.is_empty() {
            match &self.open {
                Some(open) if early || open.created + self.limits.linger <= now => self.seal(),
                _ => return Drain::Nothing,
            }
        }
        let Some(head) = self.ready.front_mut() else { return Drain::Nothing };
        if head.len() > room {
            return Drain::Larger;
        }
        if self.stopped.as_ref().is_some_and(|(order, _)| head.order > *order) {
            return Drain::Nothing;
        }
        let first = self.in_flight.first().is_none_or(|sent| head.order < sent.order);
        let standing = head.standing(first);
        match self.permit(standing) {
            None => {}
            Some(Permit::Send(stamp)) => {
                if let Some(head) = self.ready.front_mut() {
                    head.stamp = Some(stamp);
                }
            }
            Some(Permit::Wait) => {
                self.blocked = Blocked::Answer;
                return Drain::Nothing;
            }
            Some(Permit::Identity(other)) => {
                self.blocked = Blocked::Identity;
                return Drain::Identity(other);
            }
        }
        let Some(mut head) = self.ready.pop_front() else { return Drain::Nothing };
        head.under_way = true;
        head.attempts += 1;
        let at = self.in_flight.partition_point(|sent| sent.order < head.order);
        self.in_flight.insert(at, Sent { order: head.order, cell: head.cell().clone(), first, at: now });
        Drain::Send(head)
    }

    /// What the lineage says about the head; `None` without idempotence.
    fn permit(&mut self, head: Standing) -> Option<Permit> {
        let lineage = self.lineage.as_mut()?;
        let permit = lineage.permit(head, self.in_flight.len());
        if let Permit::Identity(Some(_)) = permit
            && !self.ready.iter().any(|batch| batch.uncertain)
            && lineage.refill()
        {
            self.ready.iter_mut().for_each(|batch| batch.stamp = None);
            return Some(lineage.permit(Standing { stamp: None, ..head }, self.in_flight.len()));
        }
        Some(permit)
    }

    /// Goes on under this identity, after [`Drain::Identity`].
    pub(crate) fn adopt(&mut self, identity: Identity) {
        if self.blocked != Blocked::Identity {
            return;
        }
        self.blocked = Blocked::No;
        if let Some(lineage) = &mut self.lineage {
            lineage.adopt(identity);
        }
        for batch in &mut self.ready {
            batch.stamp = None;
            batch.uncertain = false;
        }
    }

    /// Takes back a batch that was drained. `chance`, in `0.0..1.0`, spreads the time until it is sent again.
    pub(crate) fn complete(&mut self, mut batch: Batch, attempt: Attempt, now: Instant, chance: f64) -> Completion {
        if let Attempt::Refused { code, error, .. } = &attempt
            && self.is_to_be_split(&mut batch, *code)
        {
            batch.last_error = Some(error.clone());
            self.halved = Some(now);
            self.recovered();
            return Completion::Split(batch);
        }
        batch.under_way = false;
        let first = self.landed(batch.order);
        let when = When { now, chance };
        match attempt {
            Attempt::Acknowledged { base_offset } => self.acknowledged(batch, base_offset),
            Attempt::Refused { code, log_start_offset, error } => {
                self.refused(batch, code, log_start_offset, error, first, when)
            }
            Attempt::Lost(error) => {
                batch.uncertain |= error.maybe_written();
                if is_final(&error) { self.give_up(batch, error) } else { self.retry(batch, error, when) }
            }
            Attempt::Unsendable(error) => self.give_up(batch, error),
        }
    }

    /// Whether parts of a refused batch may be taken although the whole was not.
    fn is_to_be_split(&mut self, batch: &mut Batch, code: ErrorCode) -> bool {
        match Concern::of(code) {
            Concern::Size => {
                if batch.count() > 1 {
                    // The halves are encoded again only later; without compression they are half as large.
                    self.batch_bytes = self.batch_bytes.min((batch.uncompressed_len() / 2).max(SMALLEST_LIMIT));
                }
                batch.count() > 1
            }
            Concern::Record => batch.count() > 1,
            Concern::RecordOrBytes => {
                batch.corrupt += 1;
                batch.count() > 1 && (self.corrupt_by_record || batch.corrupt >= CORRUPT_BELIEVED)
            }
            Concern::Numbers | Concern::Format | Concern::Passing | Concern::Whole => false,
        }
    }

    /// A batch is not under way any more. Says whether it was the first when it was sent.
    fn landed(&mut self, order: Order) -> bool {
        if self.blocked == Blocked::Answer {
            self.blocked = Blocked::No;
        }
        let at = self.in_flight.iter().position(|sent| sent.order == order);
        at.is_some_and(|at| self.in_flight.remove(at).first)
    }

    fn acknowledged(&mut self, batch: Batch, base_offset: Option<i64>) -> Completion {
        if let (Some(lineage), Some(stamp)) = (&mut self.lineage, batch.stamp) {
            lineage.acknowledged(stamp, base_offset.map(|base| base + i64::from(batch.count()) - 1));
        }
        self.recovered();
        Completion::Finished(Finished { batch, outcome: Ok(base_offset) })
    }

    /// The broker has answered with something other than "later".
    fn recovered(&mut self) {
        self.backoff.reset();
        self.trouble = None;
    }

    fn refused(
        &mut self,
        mut batch: Batch,
        code: ErrorCode,
        log_start_offset: i64,
        error: Error,
        first: bool,
        when: When,
    ) -> Completion {
        let concern = Concern::of(code);
        if concern == Concern::Numbers
            && let Some(lineage) = &mut self.lineage
        {
            let standing = batch.standing(true);
            return match lineage.refused(standing, code, log_start_offset, first) {
                Verdict::Written => self.acknowledged(batch, None),
                // It was in flight behind a batch that was refused. It is sent again once it is the first, without a delay:
                // that would be one for each record at fault.
                Verdict::Retry if !first => self.repeat(batch, error, when.now),
                Verdict::Retry => self.retry(batch, error, when),
                Verdict::Fail => self.give_up(batch, error),
            };
        }
        batch.uncertain |= may_be_written(code);
        match concern {
            // A record alone: bytes that change on the way do so once, so it is tried again at once.
            Concern::RecordOrBytes if batch.count() == 1 && batch.corrupt < CORRUPT_BELIEVED => {
                self.repeat(batch, error, when.now)
            }
            Concern::RecordOrBytes if batch.count() == 1 => {
                self.corrupt_by_record = true;
                self.give_up(batch, error)
            }
            Concern::RecordOrBytes | Concern::Passing => self.retry(batch, error, when),
            Concern::Format if batch.stamp.is_some() => {
                self.leave_numbers();
                batch.stamp = None;
                self.repeat(batch, error, when.now)
            }
            _ => self.give_up(batch, error),
        }
    }

    /// Goes on without idempotence: the topic's message format is older than producer ids (KIP-98). Whatever is in flight
    /// is refused as well, and comes back before anything else is sent.
    fn leave_numbers(&mut self) {
        self.lineage = None;
        self.ready.iter_mut().for_each(|batch| batch.stamp = None);
    }

    /// Whether the topic's message format has no room for producer ids.
    pub(crate) fn has_left_numbers(&self) -> bool {
        self.limits.idempotent && self.lineage.is_none()
    }

    fn retry(&mut self, batch: Batch, error: Error, when: When) -> Completion {
        // A batch that only lacks the one before it says nothing about the cause.
        if error.code().is_none_or(|code| Concern::of(code) != Concern::Numbers) {
            QueueTrouble::count(&mut self.trouble, &error, when.now);
        }
        let completion = self.repeat(batch, error, when.now);
        // The batches that were in flight together fail together: they count once.
        if self.paused_until.is_none_or(|until| until <= when.now) {
            self.paused_until = Some(when.now + self.backoff.fail(when.chance));
        }
        completion
    }

    /// Puts the batch back in its place, if there is time left for it.
    fn repeat(&mut self, mut batch: Batch, error: Error, now: Instant) -> Completion {
        batch.last_error = Some(error);
        if let Stage::Closed(error) = &self.stage {
            let error = error.clone();
            return self.give_up(batch, error);
        }
        if self.is_expired(batch.created, now) {
            let error = self.timed_out(&batch, None);
            return self.give_up(batch, error);
        }
        self.put_back(batch);
        Completion::Requeued
    }

    /// Into its place by order.
    fn put_back(&mut self, batch: Batch) {
        let at = self.ready.partition_point(|other| other.order < batch.order);
        self.ready.insert(at, batch);
    }

    fn give_up(&mut self, batch: Batch, error: Error) -> Completion {
        Completion::Finished(self.fail(batch, error))
    }

    fn fail(&mut self, batch: Batch, error: Error) -> Finished {
        if let Some(lineage) = &mut self.lineage {
            lineage.given_up(batch.standing(true));
        }
        if self.limits.stop_at_failure && self.stopped.as_ref().is_none_or(|(order, _)| batch.order < *order) {
            self.stopped = Some((batch.order, error.clone()));
        }
        let error = error.written_maybe(batch.uncertain);
        Finished { batch, outcome: Err(error) }
    }

    /// Takes back the halves of a batch, both before all that came after it.
    pub(crate) fn requeue_halves(&mut self, halves: [Batch; 2]) {
        let [first, second] = halves;
        self.landed(first.order);
        self.put_back(first);
        self.put_back(second);
    }

    /// Takes back a batch that could not be split.
    pub(crate) fn give_up_split(&mut self, finished: Finished) -> Finished {
        self.landed(finished.batch.order);
        match finished.outcome {
            Err(error) => self.fail(finished.batch, error),
            Ok(_) => finished,
        }
    }

    /// Gives up what was not delivered in time and is not under way. `why` is what keeps batches from being sent.
    pub(crate) fn expire(&mut self, now: Instant, why: Option<&Error>) -> Vec<Finished> {
        let mut finished = Vec::new();
        while self.head_created().is_some_and(|created| self.is_expired(created, now)) {
            if self.ready.is_empty() {
                self.seal();
            }
            let Some(batch) = self.ready.pop_front() else { break };
            let error = self.timed_out(&batch, why);
            finished.push(self.fail(batch, error));
        }
        finished.append(&mut self.fail_stopped());
        if !finished.is_empty() && self.blocked == Blocked::Answer {
            self.blocked = Blocked::No;
        }
        finished
    }

    /// Gives up what comes after a batch that failed, if nothing is to be sent after one.
    fn fail_stopped(&mut self) -> Vec<Finished> {
        let Some((order, cause)) = self.stopped.clone().filter(|(order, _)| self.has_after(*order)) else {
            return Vec::new();
        };
        self.seal();
        let after = self.ready.partition_point(|batch| batch.order <= order);
        let message = format!("not sent, since a record before it failed: {cause}");
        let error = Error::new(ErrorKind::Closed, message).with_source(cause);
        let after = self.ready.split_off(after);
        after.into_iter().map(|batch| self.fail(batch, error.clone())).collect()
    }

    fn is_expired(&self, created: Instant, now: Instant) -> bool {
        self.deadline(created) <= now
    }

    /// When a batch of this age is given up.
    fn deadline(&self, created: Instant) -> Instant {
        self.halved.map_or(created, |halved| created.max(halved)) + self.limits.delivery_timeout
    }

    fn timed_out(&self, batch: &Batch, why: Option<&Error>) -> Error {
        let limit = self.limits.delivery_timeout;
        let message = format!("not delivered within the delivery timeout of {limit:?}");
        let error = match batch.last_error.as_ref().or(why) {
            Some(cause) => Error::new(ErrorKind::Timeout, format!("{message}: {cause}")).with_source(cause.clone()),
            None => Error::new(ErrorKind::Timeout, message).advice("its partition had no leader that could be reached"),
        };
        error.gave_up(batch.attempts, limit)
    }

    /// What keeps its batches from being acknowledged, if anything does: a failure that is tried again, or an answer that is
    /// overdue.
    pub(crate) fn trouble(&self, now: Instant) -> Option<QueueTrouble> {
        self.trouble.clone().or_else(|| QueueTrouble::overdue(self.in_flight.first()?.at, now))
    }

    /// Whether nothing is sent before there is a producer id.
    pub(crate) fn waits_for_identity(&self) -> bool {
        self.blocked == Blocked::Identity
    }

    /// When the first record that is not sent yet was handed over.
    pub(crate) fn waiting_since(&self) -> Option<Instant> {
        self.head_created()
    }

    /// Seals what there is, and names all that is not resolved yet.
    pub(crate) fn flush(&mut self) -> Vec<Arc<Cell>> {
        self.seal();
        let sent = self.in_flight.iter().map(|sent| sent.cell.clone());
        sent.chain(self.ready.iter().map(|batch| batch.cell().clone())).collect()
    }

    /// Takes no more records from now on. What there is still goes out.
    pub(crate) fn refuse(&mut self, error: &Error) {
        self.seal();
        self.open = None;
        if let Stage::Open = self.stage {
            self.stage = Stage::Closing(error.clone());
        }
    }

    /// Takes no more records, and gives up what is not under way. What is under way is told when it comes back.
    pub(crate) fn close(&mut self, error: &Error) -> Vec<Finished> {
        self.refuse(error);
        self.stage = Stage::Closed(error.clone());
        self.fail_ready(error)
    }

    /// The identity that it waits for did not come: it will say again that it wants one.
    pub(crate) fn want_identity_again(&mut self) {
        if self.blocked == Blocked::Identity {
            self.blocked = Blocked::No;
        }
    }

    /// Gives up what is not under way, since something is wrong that time does not heal.
    pub(crate) fn fail_ready(&mut self, error: &Error) -> Vec<Finished> {
        self.seal();
        self.blocked = Blocked::No;
        let ready = std::mem::take(&mut self.ready);
        ready.into_iter().map(|batch| self.fail(batch, error.clone())).collect()
    }
}
