//! Who reads what where: the consumer's state between its tasks and its user. Pure; time and chance are arguments.
//!
//! A partition is *seated* at the broker that leads it, or homeless until its leader is known. Each broker has a *desk*:
//! the list of partitions that its fetch task has to look at again before its next request. So a request costs what
//! changed, not what is assigned.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::buffer::Item;
use crate::core::backoff::Backoff;
use crate::core::fetch_session::{FetchSession, Want};
use crate::core::metadata::NodeId;
use crate::core::position::{Arrival, Position, Span};
use crate::{Error, TopicPartition};

/// How long to leave a partition alone after a failure (Kafka's `retry.backoff.ms`), and at most.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));

/// Answers in a row that may hold nothing but the head of a batch.
const CUT_ANSWERS: u32 = 3;

pub(super) struct Board {
    seats: HashMap<TopicPartition, Seat>,
    homeless: HashSet<TopicPartition>,
    desks: HashMap<NodeId, Desk>,
    queue: VecDeque<Item>,
    stall_timeout: Duration,
}

/// An assigned partition.
struct Seat {
    position: Position,
    home: Home,
    trouble: Option<Trouble>,
    cut_answers: u32,
    /// Up to where the partition can be read, by the last good answer that named it.
    end: Option<i64>,
    /// The first request that asks for the present offset, by its desk's count; `None` before there is one.
    asked_in: Option<u64>,
    /// Since when its leader is asked for it, or an answer was last in doubt; `None` while no leader is asked.
    watched_since: Option<Instant>,
}

#[derive(Clone, Copy, PartialEq)]
enum Home {
    /// Waits for a leader; none is looked for before this time.
    Nowhere(Instant),
    At(NodeId),
}

/// A run of failures without a good answer.
struct Trouble {
    since: Instant,
    failures: u32,
    backoff: Backoff,
}

/// A broker's fetch task, seen from here.
struct Desk {
    dirty: HashSet<TopicPartition>,
    wake: Arc<Notify>,
    seated: usize,
    /// Requests so far.
    requests: u64,
    /// The last of them whose answer held no data of any partition; 0 is none.
    silent: u64,
    /// Since when it answers without a gap; `None` before the first answer.
    watched_since: Option<Instant>,
}

/// What came of placing the homeless.
#[derive(Default)]
pub(super) struct Placing {
    /// Brokers that need a fetch task, and what wakes it.
    pub(super) new_desks: Vec<(NodeId, Arc<Notify>)>,
    /// Some partition has no known leader.
    pub(super) leaderless: bool,
    /// When to look again at the latest.
    pub(super) again: Option<Instant>,
}

impl Board {
    pub(super) fn new(stall_timeout: Duration) -> Self {
        Self {
            seats: HashMap::new(),
            homeless: HashSet::new(),
            desks: HashMap::new(),
            queue: VecDeque::new(),
            stall_timeout,
        }
    }

    /// Reads `partition` from `offset` on; if it was assigned already, that is a seek.
    pub(super) fn assign(&mut self, partition: &TopicPartition, offset: i64, now: Instant) {
        if self.seek(partition, offset) {
            return;
        }
        let seat = Seat {
            position: Position::at(offset),
            home: Home::Nowhere(now),
            trouble: None,
            cut_answers: 0,
            end: None,
            asked_in: None,
            watched_since: None,
        };
        self.seats.insert(partition.clone(), seat);
        self.homeless.insert(partition.clone());
    }

    /// Drops `partition` and everything of it that was fetched.
    pub(super) fn unassign(&mut self, partition: &TopicPartition) {
        let Some(seat) = self.seats.remove(partition) else { return };
        self.homeless.remove(partition);
        self.leave(partition, seat.home);
        self.queue.retain(|item| !item.is_of(partition));
    }

    /// Moves the position and drops everything of the partition that was fetched; `false` if it is not assigned.
    pub(super) fn seek(&mut self, partition: &TopicPartition, offset: i64) -> bool {
        let Some(seat) = self.seats.get_mut(partition) else { return false };
        seat.position.seek(offset);
        (seat.cut_answers, seat.asked_in) = (0, None);
        let home = seat.home;
        self.queue.retain(|item| !item.is_of(partition));
        self.look_again(partition, home);
        true
    }

    /// The first offset not handed out.
    pub(super) fn position(&self, partition: &TopicPartition) -> Option<i64> {
        Some(self.seats.get(partition)?.position.next())
    }

    /// Brokers with partitions to read.
    pub(super) fn busy_brokers(&self) -> usize {
        self.desks.values().filter(|desk| desk.seated > 0).count()
    }

    /// Seats the homeless whose time has come at their leaders.
    pub(super) fn place(&mut self, now: Instant, leader: impl Fn(&TopicPartition) -> Option<NodeId>) -> Placing {
        let mut placing = Placing::default();
        for partition in std::mem::take(&mut self.homeless) {
            let Some(seat) = self.seats.get_mut(&partition) else { continue };
            let Home::Nowhere(not_before) = seat.home else { continue };
            if let Some(node) = leader(&partition).filter(|_| not_before <= now) {
                (seat.home, seat.watched_since) = (Home::At(node), Some(now));
                self.sit(partition, node, &mut placing);
                continue;
            }
            placing.leaderless |= not_before <= now;
            let again = if not_before <= now { now + RETRY.0 } else { not_before };
            placing.again = Some(placing.again.map_or(again, |at| at.min(again)));
            self.homeless.insert(partition);
        }
        placing
    }

    /// Notes that partitions that have come due still have no leader.
    pub(super) fn complain(&mut self, now: Instant, error: impl Fn(&TopicPartition) -> Error) {
        for partition in &self.homeless {
            let Some(seat) = self.seats.get_mut(partition) else { continue };
            let Home::Nowhere(not_before) = seat.home else { continue };
            if not_before > now {
                continue;
            }
            let trouble = seat.trouble.get_or_insert_with(|| Trouble::new(now));
            if let Some((failures, after)) = trouble.stalled(now, self.stall_timeout) {
                let error = error(partition).gave_up(failures, after);
                self.queue.push_back(Item::Failed { partition: Some(partition.clone()), error });
            }
        }
    }

    /// New metadata: a partition that another broker leads now moves there.
    pub(super) fn follow_leaders(&mut self, now: Instant, leader: impl Fn(&TopicPartition) -> Option<NodeId>) {
        let mut moved = Vec::new();
        for (partition, seat) in &self.seats {
            if let (Home::At(here), Some(there)) = (seat.home, leader(partition))
                && here != there
            {
                moved.push(partition.clone());
            }
        }
        for partition in moved {
            self.unseat(&partition, now);
        }
    }

    /// Brings a broker's session up to date with what changed since its last request.
    pub(super) fn brief(&mut self, node: NodeId, session: &mut FetchSession<TopicPartition>, max_bytes: i32) {
        let Some(desk) = self.desks.get_mut(&node) else { return };
        desk.requests += 1;
        for partition in desk.dirty.drain() {
            let seat = self.seats.get_mut(&partition).filter(|seat| seat.home == Home::At(node));
            let wanted = seat.and_then(|seat| {
                seat.asked_in = Some(desk.requests);
                seat.position.wanted()
            });
            match wanted {
                Some(offset) => session.want(&partition, Want { offset, max_bytes }),
                None => session.forget(&partition),
            }
        }
    }

    /// A good answer of `node` for `partition`, asked from `asked`, whose last whole batch ends at `end`.
    pub(super) fn arrive(&mut self, node: NodeId, partition: &TopicPartition, asked: i64, end: Option<i64>) -> Arrival {
        let Some(seat) = self.seats.get_mut(partition).filter(|seat| seat.home == Home::At(node)) else {
            return Arrival::Stale;
        };
        let arrival = seat.position.arrive(asked, end);
        match arrival {
            Arrival::Stale | Arrival::Backwards => {}
            Arrival::Empty => seat.trouble = None,
            Arrival::Data => {
                (seat.trouble, seat.cut_answers, seat.asked_in) = (None, 0, None);
                self.look_again(partition, Home::At(node));
            }
        }
        arrival
    }

    /// `node` did not answer for a while: what it led may be another log now.
    pub(super) fn unwatched(&mut self, node: NodeId, now: Instant) {
        if let Some(desk) = self.desks.get_mut(&node) {
            desk.watched_since = Some(now);
        }
    }

    /// An answer for `partition` may be of another log than those before.
    pub(super) fn doubt(&mut self, partition: &TopicPartition, now: Instant) {
        if let Some(seat) = self.seats.get_mut(partition).filter(|seat| seat.watched_since.is_some()) {
            seat.watched_since = Some(now);
        }
    }

    /// Since when a partition's leader answers for it without a gap; `None` while no leader is asked.
    pub(super) fn watched_since(&self, partition: &TopicPartition) -> Option<Instant> {
        let seat = self.seats.get(partition)?;
        let Home::At(node) = seat.home else { return None };
        let desk = self.desks.get(&node)?.watched_since;
        seat.watched_since.map(|since| desk.map_or(since, |desk| desk.max(since)))
    }

    /// The partitions of which something lies ready, each once.
    pub(super) fn ready(&self) -> HashSet<TopicPartition> {
        let partition = |item: &Item| match item {
            Item::Data(chunk) => Some(chunk.partition.clone()),
            Item::Failed { .. } => None,
        };
        self.queue.iter().filter_map(partition).collect()
    }

    /// A good answer named `end` as the end of what may be read.
    pub(super) fn named_end(&mut self, partition: &TopicPartition, end: i64) {
        if let Some(seat) = self.seats.get_mut(partition) {
            seat.end = Some(end);
        }
    }

    /// A whole answer of `node` came without a byte of data: there is none for any of the offsets that it was asked for.
    /// One partition's lack of data says less: others may have used up the answer's space, and a session passes over
    /// partitions that have nothing new to say.
    pub(super) fn silent(&mut self, node: NodeId) {
        if let Some(desk) = self.desks.get_mut(&node) {
            desk.silent = desk.requests;
        }
    }

    /// Up to where it is known that there is nothing to read from the position on.
    pub(super) fn known_end(&self, partition: &TopicPartition) -> Option<i64> {
        let seat = self.seats.get(partition).filter(|seat| seat.position.is_drained())?;
        let Home::At(node) = seat.home else { return None };
        let desk = self.desks.get(&node)?;
        seat.end.filter(|_| seat.asked_in.is_some_and(|request| request <= desk.silent))
    }

    /// An answer held nothing but the head of a batch. A few times is a broker's whim; then `true`: it is an error.
    pub(super) fn cut_answer(&mut self, partition: &TopicPartition) -> bool {
        let Some(seat) = self.seats.get_mut(partition) else { return false };
        seat.cut_answers += 1;
        seat.cut_answers >= CUT_ANSWERS
    }

    /// Whether an answer from `node` to a fetch of `partition` from `asked` is still waited for.
    pub(super) fn is_awaited(&self, node: NodeId, partition: &TopicPartition, asked: i64) -> bool {
        let seat = self.seats.get(partition).filter(|seat| seat.home == Home::At(node));
        seat.is_some_and(|seat| seat.position.wanted() == Some(asked))
    }

    /// Whether `partition` was halted at `offset` and not sought since.
    pub(super) fn is_halted_at(&self, partition: &TopicPartition, offset: i64) -> bool {
        self.seats.get(partition).is_some_and(|seat| seat.position.halted_at() == Some(offset))
    }

    /// Reading `partition` failed in a way that may pass: it is placed anew after a while.
    pub(super) fn retry_later(&mut self, partition: &TopicPartition, error: &Error, now: Instant, chance: f64) {
        let Some(seat) = self.seats.get_mut(partition) else { return };
        let trouble = seat.trouble.get_or_insert_with(|| Trouble::new(now));
        let delay = trouble.backoff.fail(chance);
        if let Some((failures, after)) = trouble.stalled(now, self.stall_timeout) {
            let error = error.clone().at(partition).gave_up(failures, after);
            self.queue.push_back(Item::Failed { partition: Some(partition.clone()), error });
        }
        self.unseat(partition, now + delay);
    }

    /// A broker could not be asked, or did not answer.
    pub(super) fn broker_failed(&mut self, node: NodeId, error: &Error, now: Instant, chance: f64) {
        for partition in self.seated_at(node) {
            self.retry_later(&partition, error, now, chance);
        }
    }

    /// A broker cannot be read from for good: one error for the user, and its partitions are halted.
    pub(super) fn broker_refused(&mut self, node: NodeId, error: Error) {
        for partition in self.seated_at(node) {
            self.halt(&partition);
        }
        self.queue.push_back(Item::Failed { partition: None, error });
    }

    /// `partition` is not fetched any more until a seek. What is buffered of it stays.
    pub(super) fn halt(&mut self, partition: &TopicPartition) {
        let Some(seat) = self.seats.get_mut(partition) else { return };
        seat.position.halt();
        let home = seat.home;
        self.look_again(partition, home);
    }

    /// Halts `partition`, and tells so once what is buffered of it was handed out.
    pub(super) fn fail(&mut self, partition: &TopicPartition, error: Error) {
        self.halt(partition);
        self.enqueue(Item::Failed { partition: Some(partition.clone()), error });
    }

    /// Halts `partition` and drops what is buffered of it.
    pub(super) fn give_up(&mut self, partition: &TopicPartition) {
        self.halt(partition);
        self.queue.retain(|item| !item.is_of(partition));
    }

    /// Puts an item at the end of the queue.
    pub(super) fn enqueue(&mut self, item: Item) {
        self.queue.push_back(item);
    }

    /// The next thing for the user.
    pub(super) fn pop(&mut self) -> Option<Item> {
        self.queue.pop_front()
    }

    /// More of it is to come: it stays first.
    pub(super) fn put_back(&mut self, item: Item) {
        self.queue.push_front(item);
    }

    /// See [`Position::deliver`].
    pub(super) fn deliver(&mut self, partition: &TopicPartition, batch: Span) -> Option<i64> {
        self.seats.get_mut(partition)?.position.deliver(batch)
    }

    /// A fetch task ended: its partitions are placed anew.
    pub(super) fn desk_closed(&mut self, node: NodeId, now: Instant) {
        for partition in self.seated_at(node) {
            self.unseat(&partition, now + RETRY.0);
        }
        self.desks.remove(&node);
    }

    fn seated_at(&self, node: NodeId) -> Vec<TopicPartition> {
        let seated = self.seats.iter().filter(|(_, seat)| seat.home == Home::At(node));
        seated.map(|(partition, _)| partition.clone()).collect()
    }

    fn sit(&mut self, partition: TopicPartition, node: NodeId, placing: &mut Placing) {
        let desk = self.desks.entry(node).or_insert_with(|| {
            let desk = Desk {
                dirty: HashSet::new(),
                wake: Arc::new(Notify::new()),
                seated: 0,
                requests: 0,
                silent: 0,
                watched_since: None,
            };
            placing.new_desks.push((node, desk.wake.clone()));
            desk
        });
        desk.seated += 1;
        desk.dirty.insert(partition);
        desk.wake.notify_one();
    }

    fn unseat(&mut self, partition: &TopicPartition, not_before: Instant) {
        let Some(seat) = self.seats.get_mut(partition) else { return };
        let home = std::mem::replace(&mut seat.home, Home::Nowhere(not_before));
        (seat.asked_in, seat.watched_since) = (None, None);
        self.homeless.insert(partition.clone());
        self.leave(partition, home);
    }

    fn leave(&mut self, partition: &TopicPartition, home: Home) {
        if let Home::At(node) = home
            && let Some(desk) = self.desks.get_mut(&node)
        {
            desk.seated -= 1;
        }
        self.look_again(partition, home);
    }

    fn look_again(&mut self, partition: &TopicPartition, home: Home) {
        if let Home::At(node) = home
            && let Some(desk) = self.desks.get_mut(&node)
        {
            desk.dirty.insert(partition.clone());
            desk.wake.notify_one();
        }
    }
}

impl Trouble {
    fn new(now: Instant) -> Self {
        Self { since: now, failures: 0, backoff: Backoff::new(RETRY.0, RETRY.1) }
    }

    /// Counts a failure. If this has gone on for too long: how often and how long; the count begins anew.
    fn stalled(&mut self, now: Instant, limit: Duration) -> Option<(u32, Duration)> {
        self.failures += 1;
        let after = now.duration_since(self.since);
        if after < limit {
            return None;
        }
        let failures = std::mem::take(&mut self.failures);
        self.since = now;
        Some((failures, after))
    }
}

#[cfg(test)]
mod tests;
