//! What keeps records from being acknowledged at the moment, for whoever wants to say so before they fail.

use std::time::{Duration, Instant};

use ottla_protocol::ErrorCode;

use super::shared::{Partition, Shared};
use super::{Producer, TopicProducer};
use crate::TopicPartition;
use crate::core::accumulator::trouble::QueueTrouble;
use crate::error::Error;

/// A partition without a leader is worth a word after this long: a new one is usually elected sooner.
const LEADERLESS_AFTER: Duration = Duration::from_secs(1);

/// A partition whose records are not acknowledged although they were handed over: something failed and is tried again, or no
/// answer comes. As [`Producer::trouble`] has it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Trouble {
    /// The partition.
    pub place: TopicPartition,
    /// When it began.
    pub since: Instant,
    /// The failed attempts since then; 0 if there is no leader to send to, or no answer comes.
    pub attempts: u32,
    /// The last failure: what is wrong and what to do about it.
    pub error: Error,
}

impl Producer {
    /// The partitions whose records cannot be written at the moment, by name; empty while all goes well. It is a look at one
    /// moment, cheap enough for every second: it takes each partition's lock once and allocates only for those in trouble.
    ///
    /// ```
    /// # use ottla_client::{Client, ErrorKind, ProducerOptions};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let broker = ottla_devbroker::DevBroker::builder().start().await?;
    /// # let client = Client::builder().bootstrap(broker.bootstrap()).connect().await?;
    /// let producer = client.producer(ProducerOptions::default()).await?;
    /// for trouble in producer.trouble() {
    ///     eprintln!("{}: {} attempts failed: {}", trouble.place, trouble.attempts, trouble.error);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn trouble(&self) -> Vec<Trouble> {
        let shared = &self.handle.shared;
        let now = Instant::now();
        let mut found = Vec::new();
        for topic in shared.open_topics() {
            let of_topic = topic.partitions.iter().filter_map(|partition| {
                let QueueTrouble { since, attempts, error } = shared.trouble_of(partition, now)?;
                let place = partition.place.clone();
                Some(Trouble { since, attempts, error: error.at(&place), place })
            });
            found.extend(of_topic);
        }
        found.sort_unstable_by(|one, other| one.place.cmp(&other.place));
        found
    }
}

impl TopicProducer {
    /// Whether every batch so far was numbered, so that none can be in the topic twice ([`ProducerOptions::idempotent`]).
    /// False, from the first refusal on, for a topic whose `message.format.version` is older than 0.11: it is written without
    /// numbers, one batch of a partition at a time.
    ///
    /// [`ProducerOptions::idempotent`]: crate::ProducerOptions::idempotent
    pub fn is_idempotent(&self) -> bool {
        let left = |partition: &std::sync::Arc<Partition>| partition.lock().queue.has_left_numbers();
        self.handle.shared.options.is_idempotent() && !self.topic.newest().partitions.iter().any(left)
    }
}

impl Shared {
    fn trouble_of(&self, partition: &Partition, now: Instant) -> Option<QueueTrouble> {
        let slot = partition.lock();
        if let Some(trouble) = slot.queue.trouble(now) {
            return Some(trouble);
        }
        let waiting_since = slot.queue.waiting_since()?;
        if slot.queue.waits_for_identity() {
            return self.identities.trouble();
        }
        let desk = slot.desk();
        match desk.node {
            Some(_) => desk.trouble(),
            None if waiting_since + LEADERLESS_AFTER <= now => Some(QueueTrouble {
                since: waiting_since,
                attempts: 0,
                error: Error::from_code(ErrorCode::LEADER_NOT_AVAILABLE).advice("start the brokers that hold its replicas"),
            }),
            None => None,
        }
    }
}
