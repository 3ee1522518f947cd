//! Sends records: encoded on the caller's side, batched a partition, sent by one task a broker.
//!
//! The way of a record: [`TopicProducer::send`] picks the partition (`core/partitioner`) and encodes the record into that
//! partition's open batch (`core/accumulator`), under that partition's lock and no other; size or linger time seals the
//! batch; `sender` drains it by leader, stamps (`core/sequence`) and compresses it, and sends it; the answer resolves all its
//! records at once through the cell that they share. `router` follows the leaders, `identity` gets producer ids.

mod delivery;
mod identity;
mod options;
mod request;
mod router;
mod sender;
mod shared;
mod trouble;

use std::fmt;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ottla_protocol::ErrorCode;
use ottla_protocol::records::HEADER_LEN;
use tokio::task::AbortHandle;

use self::shared::{Partition, Shared, Slot, Topic};
use crate::client::Client;
use crate::core::accumulator::cell::Cell;
use crate::core::accumulator::{Append, Outgoing};
use crate::core::partitioner::Choice;
use crate::error::{Error, ErrorKind};
use crate::net::cluster::Cluster;
use crate::net::retry::Retry;

pub use self::delivery::{Ack, Delivery};
pub use self::options::{Acks, ProducerOptions};
pub use self::trouble::Trouble;

/// How often a topic has to be missing before it is said not to exist: right after its creation brokers differ.
const MISSES_BELIEVED: u32 = 3;

/// Sends records to a cluster. Cheap to clone; every clone is the same producer, with one memory and one set of tasks.
///
/// ```
/// use std::time::Duration;
/// use ottla_client::{Client, Outgoing, ProducerOptions};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let broker = ottla_devbroker::DevBroker::builder().start().await?;
/// # broker.create_topic("orders", 3)?;
/// # let client = Client::builder().bootstrap(broker.bootstrap()).connect().await?;
/// let producer = client.producer(ProducerOptions::default()).await?;
/// let orders = producer.topic("orders").await?;
///
/// let mut deliveries = Vec::new();
/// for id in 0..1000 {
///     let (key, value) = (format!("{id}"), format!(r#"{{"id":{id}}}"#));
///     let record = Outgoing { key: Some(key.as_bytes()), value: Some(value.as_bytes()), ..Outgoing::default() };
///     deliveries.push(orders.send(record).await?); // waits only while the memory is full
/// }
/// for delivery in deliveries {
///     let ack = delivery.await?; // the brokers have it
/// #   assert!(ack.offset.is_some());
/// }
/// producer.close(Duration::from_secs(30)).await?;
/// # Ok(())
/// # }
/// ```
///
/// [`topic`](Self::topic) gives the handle that takes records. Order is kept within a partition, for records that are handed
/// over one after the other, retries included.
///
/// # Time
///
/// A record without a time of its own gets that of the producer's coarse clock, which is set when a batch is opened and
/// whenever a task has something to do: a few milliseconds old under load, at most as old as its batch.
///
/// # End
///
/// [`close`](Self::close) sends what there is. If the last handle (this and every [`TopicProducer`]) is dropped instead, what
/// is not acknowledged by then is given up, and its [`Delivery`] says so; dropping never blocks and leaves no task behind.
#[derive(Clone)]
pub struct Producer {
    handle: Arc<Handle>,
}

/// Sends records to one topic. Cheap to clone.
#[derive(Clone)]
pub struct TopicProducer {
    handle: Arc<Handle>,
    topic: Arc<Topic>,
}

/// Ends the tasks when the last handle is dropped.
struct Handle {
    shared: Arc<Shared>,
    tasks: [AbortHandle; 2],
}

impl Handle {
    fn end(&self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.end();
        self.shared.give_up(&closed());
    }
}

fn closed() -> Error {
    Error::closed("the producer")
}

impl Client {
    /// A producer, ready to send. Several may be made; each has a memory and tasks of its own.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] for options that cannot work; [`ErrorKind::Unsupported`] if a broker's release lacks the codec,
    /// see [`check_compression`](Self::check_compression); the broker's refusal of a producer id. Nothing is left behind then.
    pub async fn producer(&self, options: ProducerOptions) -> Result<Producer, Error> {
        options.check()?;
        self.check_compression(options.compression).await?;
        Producer::start(self.cluster.clone(), options).await
    }
}

impl Producer {
    /// Gets a producer id if batches are numbered, and starts the tasks.
    async fn start(cluster: Cluster, options: ProducerOptions) -> Result<Self, Error> {
        let identity = if options.is_idempotent() { Some(identity::init(&cluster).await?) } else { None };
        let shared = Shared::new(cluster, options);
        if let Some(identity) = identity {
            shared.identities.set(identity);
        }
        let tasks = [
            tokio::spawn(router::run(shared.clone())).abort_handle(),
            tokio::spawn(identity::run(shared.clone())).abort_handle(),
        ];
        Ok(Self { handle: Arc::new(Handle { shared, tasks }) })
    }

    /// The handle for a topic, which has to exist: it is not created, however the brokers are set.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UnknownTopic`] if there is none of this name, [`ErrorKind::Closed`] after [`close`](Self::close); a
    /// retriable error if no broker could say within the client's `api_timeout`. Dropping the future changes nothing.
    pub async fn topic(&self, name: &str) -> Result<TopicProducer, Error> {
        let shared = &self.handle.shared;
        if let Some(error) = shared.closed() {
            return Err(error.clone());
        }
        let topic = match shared.topic(name) {
            Some(topic) => topic,
            None => find_topic(shared, &name.into()).await?,
        };
        Ok(TopicProducer { handle: self.handle.clone(), topic })
    }

    /// Waits until every record that was handed over before is resolved, sending without regard to the linger time.
    ///
    /// # Errors
    ///
    /// The first failure among those that were not resolved when it was called; each record's [`Delivery`] has its own.
    /// Dropping the future takes nothing back.
    pub async fn flush(&self) -> Result<(), Error> {
        settle(self.handle.shared.flush()).await
    }

    /// Takes no more records, on this and all other handles, sends what there is, and ends the tasks. Closing twice is
    /// allowed.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Timeout`] if not all was resolved before the deadline: the rest is given up, and each record's
    /// [`Delivery`] says whether it may have been written. Else the first failure, as [`flush`](Self::flush) has it. If the
    /// future is dropped, the records still go out as long as a handle is left.
    pub async fn close(&self, deadline: Duration) -> Result<(), Error> {
        let shared = &self.handle.shared;
        shared.refuse(&closed());
        let flushed = tokio::time::timeout(deadline, settle(shared.flush())).await;
        self.handle.end();
        let waiting = shared.give_up(&closed());
        flushed.unwrap_or_else(|_| {
            let message = format!(
                "closed after {deadline:?} before all records were acknowledged; {waiting} that were not under way were given up"
            );
            Err(Error::new(ErrorKind::Timeout, message).written_maybe(true))
        })
    }

    /// How many bytes of [`ProducerOptions::buffer_bytes`] are taken.
    pub fn buffered_bytes(&self) -> usize {
        self.handle.shared.budget.used()
    }
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shared = &self.handle.shared;
        f.debug_struct("Producer").field("options", &shared.options).field("memory", &shared.budget).finish()
    }
}

impl fmt::Debug for TopicProducer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TopicProducer").field("topic", &self.topic()).field("partitions", &self.partitions()).finish()
    }
}

/// Asks for the topic until it is there or is known not to be.
async fn find_topic(shared: &Shared, name: &Arc<str>) -> Result<Arc<Topic>, Error> {
    let options = shared.cluster.options();
    let mut retry = Retry::new(options, options.api_timeout);
    let mut misses = 0;
    loop {
        let error = match retry.within(shared.cluster.refresh(std::slice::from_ref(name))).await {
            Ok(metadata) => match metadata.topic(name).map(|topic| (topic.error, topic.partitions.len())) {
                Some((None, partitions)) if partitions > 0 => return Ok(shared.open_topic(name, partitions)),
                Some((Some(code), _)) => Error::from_code(code),
                Some((None, _)) => Error::from_code(ErrorCode::LEADER_NOT_AVAILABLE),
                None => Error::from_code(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
            },
            Err(error) => error,
        };
        let error = error.at_topic(name);
        misses += u32::from(error.kind() == ErrorKind::UnknownTopic);
        if misses >= MISSES_BELIEVED {
            return Err(error.advice("create it first"));
        }
        retry.pause(error).await?;
    }
}

/// Waits for all of these, and gives the first failure.
async fn settle(cells: Vec<Arc<Cell>>) -> Result<(), Error> {
    let mut result = Ok(());
    for cell in cells {
        let mut place = None;
        poll_fn(|cx| cell.poll_all(&mut place, cx)).await;
        result = result.and(cell.failure().map_or(Ok(()), Err));
    }
    result
}

impl Shared {
    /// Seals all that is open, and names what is not resolved.
    fn flush(&self) -> Vec<Arc<Cell>> {
        let mut cells = Vec::new();
        for topic in self.open_topics() {
            for partition in &topic.partitions {
                let mut slot = partition.lock();
                cells.extend(slot.queue.flush());
                partition.schedule(&mut slot);
            }
        }
        cells
    }
}

impl TopicProducer {
    /// The topic's name.
    pub fn topic(&self) -> &str {
        &self.topic.name
    }

    /// How many partitions it has. Grows if the topic does.
    pub fn partitions(&self) -> i32 {
        self.topic.newest().count()
    }

    /// Hands a record over. Waits only while there is no memory for it; the [`Delivery`] tells what becomes of it.
    ///
    /// Dropping the future before it is ready means that the record was not handed over.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TooLarge`] if it can never fit, [`ErrorKind::UnknownTopic`] for a partition that the topic has not,
    /// [`ErrorKind::Closed`] after [`Producer::close`].
    #[inline]
    pub async fn send(&self, record: Outgoing<'_>) -> Result<Delivery, Error> {
        match self.offer(&record)? {
            Some(delivery) => Ok(delivery),
            None => self.send_when_there_is_room(record).await,
        }
    }

    /// Hands a record over, or says that there is no memory for it at the moment ([`ErrorKind::BufferFull`]). Otherwise as
    /// [`send`](Self::send).
    #[inline]
    pub fn try_send(&self, record: Outgoing<'_>) -> Result<Delivery, Error> {
        self.offer(&record)?.ok_or_else(|| self.buffer_full())
    }

    #[cold]
    fn buffer_full(&self) -> Error {
        let message = format!("the producer's buffer of {} bytes is full", self.handle.shared.budget.limit());
        Error::new(ErrorKind::BufferFull, message).at_topic(&self.topic.name)
    }

    #[cold]
    async fn send_when_there_is_room(&self, record: Outgoing<'_>) -> Result<Delivery, Error> {
        let shared = &self.handle.shared;
        let _starving = shared.starve();
        loop {
            let mut room = pin!(shared.room.notified());
            // Before looking, so that what is freed in between is noticed.
            room.as_mut().enable();
            if let Some(delivery) = self.offer(&record)? {
                // There may be room for the next one too, and only one is woken at a time.
                shared.room.notify_one();
                return Ok(delivery);
            }
            room.await;
        }
    }

    /// Encodes the record into its partition's open batch; `None` if there is no memory. The path of every record.
    #[inline]
    fn offer(&self, record: &Outgoing<'_>) -> Result<Option<Delivery>, Error> {
        let topic = self.topic.newest();
        let available = |partition| topic.is_available(partition);
        let key = record.key.filter(|_| !self.handle.shared.options.ignore_keys);
        let choice = topic.spread.choose(record.partition, key, topic.count(), available);
        let (Choice::Fixed(number) | Choice::Loose(number) | Choice::Unknown(number)) = choice;
        let Some(partition) = topic.partition(number) else { return Err(self.no_partition(number)) };
        let timestamp_ms = record.timestamp_ms.unwrap_or_else(|| self.handle.shared.clock.ms());
        let size = record.size_bound();
        let mut slot = partition.lock();
        match slot.queue.append(record, size, timestamp_ms) {
            Append::Taken(cell, index) => Ok(Some(Delivery::new(cell, index))),
            Append::Needs { opens: true, .. } if matches!(choice, Choice::Loose(_)) => {
                // What was sealed just now is due.
                partition.schedule(&mut slot);
                drop(slot);
                let next = topic.spread.move_on(number, topic.count(), available);
                let partition = topic.partition(next).unwrap_or(partition);
                self.offer_with_memory(partition, partition.lock(), record, size)
            }
            Append::Needs { .. } => self.offer_with_memory(partition, slot, record, size),
            Append::Closed(error) => Err(error),
        }
    }

    /// Takes the memory that the record's batch needs, then encodes the record. Once a batch, or a few times while it grows.
    #[cold]
    fn offer_with_memory(
        &self,
        partition: &Arc<Partition>,
        mut slot: std::sync::MutexGuard<'_, Slot>,
        record: &Outgoing<'_>,
        size: usize,
    ) -> Result<Option<Delivery>, Error> {
        let shared = &self.handle.shared;
        let limit = shared.options.record_bytes();
        if HEADER_LEN + size > limit {
            let message = format!("the record takes up to {size} bytes; {limit} are allowed");
            let error = Error::new(ErrorKind::TooLarge, message)
                .advice("raise max_request_bytes or leave it out, or send smaller records");
            return Err(error.at(&partition.place));
        }
        shared.clock.set();
        let timestamp_ms = record.timestamp_ms.unwrap_or_else(|| shared.clock.ms());
        let offered = loop {
            match slot.queue.append(record, size, timestamp_ms) {
                Append::Taken(cell, index) => break Ok(Some(Delivery::new(cell, index))),
                Append::Closed(error) => break Err(error),
                Append::Needs { bytes, opens } => {
                    let Some(grant) = shared.budget.take(bytes) else { break Ok(None) };
                    let buffer = if opens { shared.buffer(bytes) } else { None };
                    slot.queue.grant(grant, buffer, Instant::now());
                }
            }
        };
        partition.schedule(&mut slot);
        offered
    }

    #[cold]
    fn no_partition(&self, partition: i32) -> Error {
        let message = format!("the topic has {} partitions, counted from 0", self.partitions());
        let place = crate::TopicPartition::new(self.topic.name.clone(), partition);
        Error::new(ErrorKind::UnknownTopic, message).at(&place)
    }
}
