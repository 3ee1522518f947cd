//! What keeps records from being acknowledged at the moment, for whoever wants to say so before they fail.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ottla_protocol::ErrorCode;

use super::shared::{Partition, Shared, Topic};
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

    /// The topics that are written without numbers although the producer is idempotent, since their message format has no
    /// room for them; see [`TopicProducer::is_idempotent`].
    pub fn unnumbered_topics(&self) -> Vec<Arc<str>> {
        let shared = &self.handle.shared;
        let topics = shared.open_topics().into_iter();
        topics.filter(|topic| topic.has_left_numbers()).map(|topic| topic.name.clone()).collect()
    }
}

impl Topic {
    fn has_left_numbers(&self) -> bool {
        self.partitions.iter().any(|partition| partition.lock().queue.has_left_numbers())
    }
}

impl TopicProducer {
    /// Whether every batch so far was numbered, so that none can be in the topic twice ([`ProducerOptions::idempotent`]).
    /// False, from the first refusal on, for a topic whose `message.format.version` is older than 0.11: it is written without
    /// numbers, one batch of a partition at a time.
    ///
    /// [`ProducerOptions::idempotent`]: crate::ProducerOptions::idempotent
    pub fn is_idempotent(&self) -> bool {
        self.handle.shared.options.is_idempotent() && !self.topic.newest().has_left_numbers()
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
                error: Error::from_code(ErrorCode::LEADER_NOT_AVAILABLE)
                    .advice("start the brokers that hold its replicas"),
            }),
            None => None,
        }
    }
}
