//! Reads records: fetched ahead by one task a broker, handed out a batch at a time.
//!
//! The way of a batch: `router` seats a partition at its leader, `fetcher` asks that broker and lays the answer's slices,
//! undecoded, into `board`'s queue under `buffer`'s budget; `deliver` checks, decompresses and filters one batch when the
//! user takes it, and `fetched` lends its records.

mod board;
mod buffer;
mod deliver;
mod errors;
mod fetched;
mod fetcher;
mod log_ends;
mod options;
mod router;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ottla_protocol::compression::Decompressor;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use self::board::Board;
use self::buffer::{Budget, Item};
pub use self::fetched::{Fetched, Records};
pub use self::options::ConsumerOptions;
use crate::core::metadata::Metadata;
use crate::net::cluster::Cluster;
use crate::{Client, Error, ErrorKind, TopicPartition};

/// How long to wait for a new topic to be known, from one question to the next, in milliseconds.
const KNOWN_AFTER_MS: [u64; 4] = [50, 150, 400, 1000];

/// Reads the partitions it is given, each from the position it is given.
///
/// Reading goes on in the background, bounded by [`ConsumerOptions::buffer_bytes`]; [`next`](Self::next) gives what came,
/// answer by answer, so that no partition starves another. Nothing is committed: the caller stores
/// [`Fetched::next_offset`] where it wants to.
///
/// # Errors
///
/// An error from `next` that names a partition and is not [retriable](Error::is_retriable) halts that partition, and only
/// that one, until [`seek`](Self::seek). A retriable one says that a partition could not be read for
/// [`ConsumerOptions::stall_timeout`]; it is tried on.
///
/// Dropping a consumer ends its tasks and does not block.
pub struct Consumer {
    shared: Arc<Shared>,
    decompressor: Decompressor,
    router: AbortHandle,
}

/// What the consumer and its tasks share.
struct Shared {
    cluster: Cluster,
    options: ConsumerOptions,
    request_timeout: Duration,
    budget: Arc<Budget>,
    board: Mutex<Board>,
    /// Something lies in the board's queue.
    arrived: Notify,
    /// Some partition waits for a leader.
    homeless: Notify,
}

impl Shared {
    /// Held for moments, never across an await. A panic while it was held left no partition half moved: go on.
    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The client is closed: the user is told, once.
    fn cluster_closed(&self) {
        self.board().enqueue(Item::Failed { partition: None, error: Error::closed("the client") });
        self.arrived.notify_one();
    }
}

impl Client {
    /// A consumer that reads nothing yet. To be called within a Tokio runtime.
    ///
    /// Consumers of one client share a connection to each broker, and a broker handles one fetch of a connection at a
    /// time: where several consumers must not wait for each other, give each a client.
    pub fn consumer(&self, options: ConsumerOptions) -> Result<Consumer, Error> {
        Consumer::start(self.cluster.clone(), options)
    }
}

impl Consumer {
    /// Starts the background tasks.
    fn start(cluster: Cluster, options: ConsumerOptions) -> Result<Self, Error> {
        options.check()?;
        let shared = Arc::new(Shared {
            request_timeout: cluster.options().request_timeout,
            cluster,
            budget: Budget::new(options.buffer_bytes),
            board: Mutex::new(Board::new(options.stall_timeout)),
            options,
            arrived: Notify::new(),
            homeless: Notify::new(),
        });
        let router = tokio::spawn(router::run(shared.clone())).abort_handle();
        Ok(Self { shared, decompressor: Decompressor::new(), router })
    }

    /// Reads these partitions too, each from its offset on. One that was assigned already is sought there.
    ///
    /// All or none: if one of them does not exist, the error ([`ErrorKind::UnknownTopic`]) names it. Dropping the future
    /// leaves the assignment as it was.
    pub async fn assign(&self, positions: &[(TopicPartition, i64)]) -> Result<(), Error> {
        if let Some((partition, offset)) = positions.iter().find(|(_, offset)| *offset < 0) {
            return Err(Error::new(ErrorKind::Config, "a position is 0 or more").at(partition).at_offset(*offset));
        }
        self.make_known(positions).await?;
        let now = Instant::now();
        let mut board = self.shared.board();
        for (partition, offset) in positions {
            board.assign(partition, *offset, now);
        }
        drop(board);
        self.shared.homeless.notify_one();
        Ok(())
    }

    /// Stops reading these partitions, and drops what was fetched of them. The others do not notice.
    pub fn unassign(&self, partitions: &[TopicPartition]) {
        let mut board = self.shared.board();
        for partition in partitions {
            board.unassign(partition);
        }
    }

    /// Goes on at `offset` in an assigned partition, and ends a halt. What was fetched of it is dropped; what is under
    /// way is not delivered when it comes.
    pub fn seek(&self, partition: &TopicPartition, offset: i64) -> Result<(), Error> {
        if offset < 0 {
            return Err(Error::new(ErrorKind::Config, "a position is 0 or more").at(partition).at_offset(offset));
        }
        if self.shared.board().seek(partition, offset) {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Config, "the partition is not assigned; assign it before a seek").at(partition))
    }

    /// The next offset to be handed out; `None` if the partition is not assigned.
    pub fn position(&self, partition: &TopicPartition) -> Option<i64> {
        self.shared.board().position(partition)
    }

    /// The partitions of which batches lie ready for [`next`](Self::next), each once.
    pub fn ready(&self) -> Vec<TopicPartition> {
        self.shared.board().ready().into_iter().collect()
    }

    /// Since when a partition's leader answers for it without a gap, as in [`Fetched::watched_since`]; `None` while it has
    /// no leader, an error is waited out, or it is not assigned.
    pub fn watched_since(&self, partition: &TopicPartition) -> Option<std::time::Instant> {
        self.shared.board().watched_since(partition).map(Instant::into_std)
    }

    /// Up to where it is certain that nothing is to be read from the [position](Self::position) on: the last stable offset
    /// or, with [`Isolation::ReadUncommitted`](crate::Isolation), the high watermark that the leader named last, once
    /// everything fetched was handed out and the leader then had no data at all. `None` otherwise: after data or a seek
    /// until the next answer, and while other partitions of that broker bring data, since they may fill its answers.
    ///
    /// Compaction can remove a log's last records; then the position never reaches the end, and this tells so.
    pub fn known_end(&self, partition: &TopicPartition) -> Option<i64> {
        self.shared.board().known_end(partition)
    }

    /// How many fetched bytes lie ready, as they came.
    pub fn buffered_bytes(&self) -> usize {
        self.shared.budget.held()
    }

    /// The next batch. Waits for as long as none comes, for ever if nothing is assigned.
    ///
    /// Cancel safe: a batch is either returned or still there.
    pub async fn next(&mut self) -> Result<Fetched, Error> {
        // A program that always finds data ready would else never let others run on its thread.
        tokio::task::coop::consume_budget().await;
        loop {
            if let Some(next) = self.take_next() {
                return next;
            }
            // A notice given between the two is kept as a permit.
            self.shared.arrived.notified().await;
        }
    }

    fn take_next(&mut self) -> Option<Result<Fetched, Error>> {
        loop {
            let item = self.shared.board().pop()?;
            let mut chunk = match item {
                Item::Failed { error, .. } => return Some(Err(error)),
                Item::Data(chunk) => chunk,
            };
            match deliver::next_batch(&mut chunk, &mut self.decompressor, &self.shared.options) {
                None => {}
                Some(Ok(ready)) => {
                    let mut board = self.shared.board();
                    let from = board.deliver(&chunk.partition, ready.span);
                    let fetched = from.map(|from| ready.fetched(&chunk, from));
                    if chunk.left > 0 {
                        board.put_back(Item::Data(chunk));
                    }
                    if let Some(fetched) = fetched {
                        return Some(Ok(fetched));
                    }
                }
                Some(Err(broken)) => {
                    let mut board = self.shared.board();
                    let offset = board.position(&chunk.partition).unwrap_or(-1);
                    board.give_up(&chunk.partition);
                    return Some(Err(broken.error(&chunk.partition, offset)));
                }
            }
        }
    }

    /// Sees to it that the metadata has these partitions, and keeps them in it. A topic made a moment ago may not have
    /// reached the broker that is asked.
    async fn make_known(&self, positions: &[(TopicPartition, i64)]) -> Result<(), Error> {
        let topics: BTreeSet<Arc<str>> = positions.iter().map(|(partition, _)| partition.topic.clone()).collect();
        let topics: Vec<Arc<str>> = topics.into_iter().collect();
        if topics.is_empty() {
            return Ok(());
        }
        let mut delays = KNOWN_AFTER_MS.into_iter().map(Duration::from_millis);
        loop {
            let metadata = self.shared.cluster.refresh_until_deadline(&topics).await?;
            let Some(error) = positions.iter().find_map(|(partition, _)| unknown(&metadata, partition)) else {
                return Ok(());
            };
            let Some(delay) = delays.next().filter(|_| error.kind() == ErrorKind::UnknownTopic || error.is_retriable())
            else {
                return Err(error);
            };
            tokio::time::sleep(delay).await;
        }
    }
}

/// Why a partition cannot be assigned. One without a leader can: the leader will come.
fn unknown(metadata: &Metadata, partition: &TopicPartition) -> Option<Error> {
    let topic = metadata.topic(&partition.topic);
    if topic.is_some_and(|topic| topic.partition(partition.partition).is_some()) {
        return None;
    }
    let error = match topic {
        None => Error::new(ErrorKind::UnknownTopic, "the brokers know no such topic; check its name, or create it"),
        Some(topic) => topic.error.map_or_else(|| no_such_partition(topic.partitions.len()), Error::from_code),
    };
    Some(error.at(partition))
}

fn no_such_partition(count: usize) -> Error {
    let message = format!("the topic has {count} partitions, counted from 0; this is none of them");
    Error::new(ErrorKind::UnknownTopic, message)
}

impl std::fmt::Debug for Consumer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Consumer").field("buffered_bytes", &self.buffered_bytes()).finish_non_exhaustive()
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        // The router owns the fetch tasks: they end with it.
        self.router.abort();
    }
}
