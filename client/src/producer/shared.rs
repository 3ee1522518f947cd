//! What the handles and the tasks of a producer share: topics, partitions, desks, memory, the clock.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Instant, SystemTime};

use tokio::sync::Notify;

use super::identity::Identities;
use super::options::ProducerOptions;
use crate::TopicPartition;
use crate::core::accumulator::agenda::Agenda;
use crate::core::accumulator::batch::Finished;
use crate::core::accumulator::memory::Budget;
use crate::core::accumulator::trouble::QueueTrouble;
use crate::core::accumulator::{Limits, PartitionQueue};
use crate::core::metadata::NodeId;
use crate::core::partitioner::Spread;
use crate::error::Error;
use crate::net::cluster::Cluster;

/// How many buffers are kept for the next batches.
const SPARE_BUFFERS: usize = 16;

/// What all of a producer's handles and tasks share.
pub(super) struct Shared {
    pub(super) cluster: Cluster,
    pub(super) options: ProducerOptions,
    limits: Arc<Limits>,
    pub(super) budget: Arc<Budget>,
    /// Wakes one of those who wait for memory.
    pub(super) room: Arc<Notify>,
    starving: AtomicUsize,
    pub(super) clock: Clock,
    topics: Mutex<HashMap<Arc<str>, Arc<Topic>>>,
    desks: Mutex<HashMap<NodeId, Arc<Desk>>>,
    /// Where partitions without a leader wait.
    pub(super) nowhere: Arc<Desk>,
    pub(super) identities: Identities,
    /// A topic is new: its partitions want a desk.
    pub(super) unplaced: Notify,
    closed: OnceLock<Error>,
    buffers: Mutex<Vec<Vec<u8>>>,
    next_id: AtomicU64,
}

/// A clock that is cheap to read: the tasks set it whenever they turn, and whoever opens a batch does.
pub(super) struct Clock(AtomicI64);

impl Clock {
    fn new() -> Self {
        let clock = Self(AtomicI64::new(0));
        clock.set();
        clock
    }

    pub(super) fn set(&self) {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        self.0.store(i64::try_from(since.as_millis()).unwrap_or(i64::MAX), Ordering::Relaxed);
    }

    /// Milliseconds since 1970, as of the last time it was set.
    pub(super) fn ms(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A topic with the partitions it had when it was looked at.
pub(super) struct Topic {
    pub(super) name: Arc<str>,
    pub(super) spread: Arc<Spread>,
    pub(super) partitions: Box<[Arc<Partition>]>,
    /// The same topic after it was given more partitions.
    newer: OnceLock<Arc<Topic>>,
}

impl Topic {
    /// As it is by now. Costs one load as long as the number of partitions is the same.
    pub(super) fn newest(&self) -> &Self {
        let mut topic = self;
        while let Some(newer) = topic.newer.get() {
            topic = newer;
        }
        topic
    }

    pub(super) fn is_available(&self, partition: i32) -> bool {
        self.partition(partition).is_some_and(|partition| partition.led.load(Ordering::Relaxed))
    }

    pub(super) fn partition(&self, partition: i32) -> Option<&Arc<Partition>> {
        self.partitions.get(usize::try_from(partition).ok()?)
    }

    pub(super) fn count(&self) -> i32 {
        self.partitions.len() as i32
    }
}

/// A partition: its queue, and at which desk it is served.
pub(super) struct Partition {
    id: u64,
    pub(super) place: TopicPartition,
    led: AtomicBool,
    slot: Mutex<Slot>,
}

/// What a partition's lock guards.
pub(super) struct Slot {
    pub(super) queue: PartitionQueue,
    desk: Arc<Desk>,
    /// When it stands in the desk's agenda for.
    scheduled: Option<Instant>,
}

/// Where one task serves the partitions that a broker leads.
pub(super) struct Desk {
    pub(super) node: Option<NodeId>,
    agenda: Mutex<Agenda<Arc<Partition>>>,
    /// Why there is no connection.
    trouble: Mutex<Option<QueueTrouble>>,
    /// Something is due earlier than before.
    pub(super) wake: Notify,
}

impl Desk {
    pub(super) fn new(node: Option<NodeId>) -> Arc<Self> {
        Arc::new(Self { node, agenda: Mutex::new(Agenda::new()), trouble: Mutex::default(), wake: Notify::new() })
    }

    /// Why there is no connection, if there is none.
    pub(super) fn trouble(&self) -> Option<QueueTrouble> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// No connection could be made.
    pub(super) fn failed(&self, error: &Error, now: Instant) {
        QueueTrouble::count(&mut self.trouble.lock().unwrap_or_else(PoisonError::into_inner), error, now);
    }

    /// There is a connection.
    pub(super) fn recovered(&self) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn agenda(&self) -> MutexGuard<'_, Agenda<Arc<Partition>>> {
        // Nothing panics under this lock.
        self.agenda.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn pop(&self, now: Instant, early: bool) -> Option<Arc<Partition>> {
        self.agenda().pop(now, early)
    }

    pub(super) fn next_due(&self) -> Option<Instant> {
        self.agenda().next_due()
    }

    /// Everyone who waits for something here.
    pub(super) fn waiting(&self) -> Vec<Arc<Partition>> {
        self.agenda().items().cloned().collect()
    }
}

impl Partition {
    /// At this desk until the router knows better.
    pub(super) fn new(id: u64, place: TopicPartition, queue: PartitionQueue, desk: Arc<Desk>) -> Arc<Self> {
        let slot = Mutex::new(Slot { queue, desk, scheduled: None });
        Arc::new(Self { id, place, led: AtomicBool::new(false), slot })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Slot> {
        // A panic under this lock would be a bug in the queue; the batches it may have lost have told their records.
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts the partition into its desk's agenda for when it is due next, if that has changed.
    pub(super) fn schedule(self: &Arc<Self>, slot: &mut Slot) {
        let due = slot.queue.due();
        if due == slot.scheduled {
            return;
        }
        slot.unschedule(self.id);
        slot.scheduled = due;
        if let Some(due) = due
            && slot.desk.agenda().insert(due, self.id, self.clone())
        {
            slot.desk.wake.notify_one();
        }
    }

    /// Takes its place in the agenda away and gives the slot, if it belongs to this desk.
    pub(super) fn serve<'a>(&'a self, desk: &Arc<Desk>) -> Option<MutexGuard<'a, Slot>> {
        let mut slot = self.lock();
        if !Arc::ptr_eq(&slot.desk, desk) {
            return None;
        }
        slot.unschedule(self.id);
        Some(slot)
    }

    fn move_to(self: &Arc<Self>, desk: &Arc<Desk>) {
        self.led.store(desk.node.is_some(), Ordering::Relaxed);
        let mut slot = self.lock();
        if !Arc::ptr_eq(&slot.desk, desk) {
            slot.unschedule(self.id);
            slot.desk = desk.clone();
            self.schedule(&mut slot);
        }
    }
}

impl Slot {
    pub(super) fn desk(&self) -> &Desk {
        &self.desk
    }

    fn unschedule(&mut self, id: u64) {
        if let Some(due) = self.scheduled.take() {
            self.desk.agenda().remove(due, id);
        }
    }
}

/// Counts one who waits for memory, as long as it lives.
pub(super) struct Starving<'a>(&'a Shared);

impl Drop for Starving<'_> {
    fn drop(&mut self) {
        self.0.starving.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Shared {
    pub(super) fn new(cluster: Cluster, options: ProducerOptions) -> Arc<Self> {
        let room = Arc::new(Notify::new());
        let released = room.clone();
        Arc::new(Self {
            limits: Arc::new(options.limits()),
            budget: Budget::new(options.buffer_bytes, move || released.notify_one()),
            room,
            starving: AtomicUsize::new(0),
            clock: Clock::new(),
            topics: Mutex::default(),
            desks: Mutex::default(),
            nowhere: Desk::new(None),
            identities: Identities::new(),
            unplaced: Notify::new(),
            closed: OnceLock::new(),
            buffers: Mutex::default(),
            next_id: AtomicU64::new(0),
            cluster,
            options,
        })
    }

    fn topics(&self) -> MutexGuard<'_, HashMap<Arc<str>, Arc<Topic>>> {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn desks(&self) -> MutexGuard<'_, HashMap<NodeId, Arc<Desk>>> {
        self.desks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn buffers(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
        self.buffers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The topic, if it was opened before.
    pub(super) fn topic(&self, name: &str) -> Option<Arc<Topic>> {
        self.topics().get(name).cloned()
    }

    /// Opens a topic, or gives it more partitions; it never loses any, since records may lie in them.
    pub(super) fn open_topic(&self, name: &Arc<str>, partitions: usize) -> Arc<Topic> {
        let mut topics = self.topics();
        let old = topics.get(name).cloned();
        if let Some(old) = &old
            && old.partitions.len() >= partitions
        {
            return old.clone();
        }
        let known = old.as_ref().map_or(&[][..], |old| &old.partitions);
        let added = (known.len()..partitions).map(|id| self.new_partition(name, id as i32));
        let spread = match &old {
            Some(old) => old.spread.clone(),
            None => Arc::new(Spread::new(self.options.unkeyed, fastrand::u32(..))),
        };
        let topic = Arc::new(Topic {
            name: name.clone(),
            spread,
            partitions: known.iter().cloned().chain(added).collect(),
            newer: OnceLock::new(),
        });
        topics.insert(name.clone(), topic.clone());
        drop(topics);
        if let Some(old) = old {
            let _ = old.newer.set(topic.clone());
        }
        self.unplaced.notify_one();
        topic
    }

    fn new_partition(&self, topic: &Arc<str>, partition: i32) -> Arc<Partition> {
        let mut queue = PartitionQueue::new(partition, self.limits.clone());
        if let Some(error) = self.closed.get() {
            queue.refuse(error);
        }
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        Partition::new(id, TopicPartition::new(topic.clone(), partition), queue, self.nowhere.clone())
    }

    /// Every topic that was opened.
    pub(super) fn open_topics(&self) -> Vec<Arc<Topic>> {
        self.topics().values().cloned().collect()
    }

    /// Seats every partition at its leader's desk; `leader` knows it. Gives the desks that are new.
    pub(super) fn place(&self, leader: impl Fn(&TopicPartition) -> Option<NodeId>) -> Vec<Arc<Desk>> {
        let mut new = Vec::new();
        for topic in self.open_topics() {
            for partition in &topic.partitions {
                match leader(&partition.place) {
                    None => partition.move_to(&self.nowhere),
                    Some(node) => partition.move_to(&self.desk(node, &mut new)),
                }
            }
        }
        new
    }

    fn desk(&self, node: NodeId, new: &mut Vec<Arc<Desk>>) -> Arc<Desk> {
        let mut desks = self.desks();
        let desk = desks.entry(node).or_insert_with(|| {
            let desk = Desk::new(Some(node));
            new.push(desk.clone());
            desk
        });
        desk.clone()
    }

    /// Says that someone waits for memory: what is open is sent without waiting for its linger time.
    pub(super) fn starve(&self) -> Starving<'_> {
        self.starving.fetch_add(1, Ordering::Relaxed);
        let desks: Vec<_> = self.desks().values().cloned().collect();
        for desk in desks {
            desk.wake.notify_one();
        }
        Starving(self)
    }

    pub(super) fn is_starving(&self) -> bool {
        self.starving.load(Ordering::Relaxed) > 0
    }

    /// A buffer for a batch of so many bytes. One much larger than that stays where it is, since it would not be counted.
    pub(super) fn buffer(&self, bytes: usize) -> Option<Vec<u8>> {
        self.buffers().pop_if(|buffer| (bytes..=2 * bytes).contains(&buffer.capacity()))
    }

    /// Keeps a buffer for a later batch.
    pub(super) fn keep(&self, buffer: Option<Vec<u8>>) {
        let Some(buffer) = buffer.filter(|buffer| buffer.capacity() <= 2 * self.options.batch_bytes) else { return };
        let mut buffers = self.buffers();
        if buffers.len() < SPARE_BUFFERS {
            buffers.push(buffer);
        }
    }

    /// Tells everyone who waits for these records. No lock may be held.
    pub(super) fn deliver(&self, finished: impl IntoIterator<Item = Finished>) {
        for finished in finished {
            self.keep(finished.deliver());
        }
    }

    /// Why it is closed.
    pub(super) fn closed(&self) -> Option<&Error> {
        self.closed.get()
    }

    /// Lets no more records in. Those that are in still go out.
    pub(super) fn refuse(&self, error: &Error) {
        let _ = self.closed.set(error.clone());
        for topic in self.open_topics() {
            for partition in &topic.partitions {
                let mut slot = partition.lock();
                slot.queue.refuse(error);
                partition.schedule(&mut slot);
            }
        }
        self.room.notify_waiters();
    }

    /// Gives up every record that is not under way, and says how many.
    pub(super) fn give_up(&self, error: &Error) -> usize {
        let _ = self.closed.set(error.clone());
        let mut records = 0;
        for topic in self.open_topics() {
            for partition in &topic.partitions {
                let mut slot = partition.lock();
                let finished = slot.queue.close(error);
                partition.schedule(&mut slot);
                drop(slot);
                records += finished.iter().map(|finished| finished.count() as usize).sum::<usize>();
                self.deliver(finished);
            }
        }
        self.room.notify_waiters();
        records
    }
}
