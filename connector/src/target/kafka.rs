//! Records into the topics of a Kafka cluster.
//!
//! - **Topic**: the one that the connection's `topics` names if it is a plain name, else the one of the same name as the
//!   source's. A missing one is created with 1 partition and 1 replica before the first record; an existing one is never
//!   altered.
//! - **Partition**: the source's own if the target topic has as many as the source topic; else by the key, hashed as
//!   Kafka's own clients do; a record without a key goes to the source partition's number modulo the count. All three
//!   keep the order of a source partition's records with equal keys, and of those without a key. Lines of a file have
//!   neither key nor partition and all go to partition 0, in their order.
//! - Value, key, headers and time are those of the source; a record without a value (a tombstone) stays one.
//! - Acknowledgements count by rows: the records of one source batch that went into the same batch of the producer. So
//!   nothing is kept per record.

use std::collections::{HashMap, HashSet, VecDeque};
use std::ops::Range;
use std::time::Duration;

use ottla_client::{
    Acks, Client, Created, Delivery, Error, ErrorKind, NewTopic, Outgoing, OutgoingHeaders, Producer, ProducerOptions,
    TopicProducer,
};
use ottla_protocol::compression::Compression;
use ottla_protocol::partition_for_key;

use super::{Push, Refused, Route, Settled, SourceTopic, Ticket};
use crate::config::model::AckLevel;
use crate::core::checkpoint::{Checkpoint, Span};
use crate::event::Event;
use crate::exit::Failure;
use crate::task::failure::{client_failure, in_connection};

/// How much a producer may hold; with the consumer's buffer it bounds the memory of a task.
const BUFFER_BYTES: usize = 16 << 20;

/// One attempt of a record takes no longer, so that there is time for another.
const LONGEST_REQUEST: Duration = Duration::from_secs(30);

/// Which topic records go to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Naming {
    /// All to this one.
    Fixed(String),
    /// To the one of the source topic's name.
    Same,
}

/// How a target is written to.
#[derive(Debug, Clone)]
pub struct KafkaTargetOptions {
    /// The connection's name, for errors.
    pub connection: String,
    /// Which topic.
    pub naming: Naming,
    /// When a record counts as written.
    pub acks: AckLevel,
    /// How batches are compressed.
    pub compression: Compression,
    /// How long a record may take before it has failed, all attempts counted.
    pub delivery_timeout: Duration,
}

/// Writes records to topics.
#[derive(Debug)]
pub struct KafkaTarget {
    client: Client,
    producer: Producer,
    options: KafkaTargetOptions,
    routes: Vec<Way>,
    by_source: HashMap<Option<String>, Route>,
    runs: VecDeque<Run>,
    /// The number of the first run that is still to be settled.
    first_run: u64,
    /// Created topics, to be told to the user.
    created: Vec<String>,
}

/// The way from a source topic.
#[derive(Debug)]
struct Way {
    topic: TopicProducer,
    partitioning: Partitioning,
    /// By target partition: the number of the run that may grow.
    growing: Vec<Option<u64>>,
}

/// How a source topic's records are spread over the target topic's partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Partitioning {
    /// Partitions of the target topic, at least 1.
    partitions: i32,
    /// Both topics have as many.
    keep: bool,
}

/// Records of one span that went into the same batch one after the other.
#[derive(Debug)]
struct Run {
    span: Span,
    delivery: Delivery,
    count: u32,
    first: i64,
    last: i64,
}

impl KafkaTarget {
    /// Prepares a producer.
    ///
    /// # Errors
    /// The cluster's release lacks the codec, or no producer identity can be had. Nothing was sent.
    pub async fn open(client: Client, options: KafkaTargetOptions) -> Result<Self, Failure> {
        let producer_options = ProducerOptions {
            acks: match options.acks {
                AckLevel::None => Acks::None,
                AckLevel::Leader => Acks::Leader,
                AckLevel::Majority | AckLevel::All => Acks::All,
            },
            compression: options.compression,
            buffer_bytes: BUFFER_BYTES,
            delivery_timeout: options.delivery_timeout,
            request_timeout: options.delivery_timeout.mul_f64(0.4).min(LONGEST_REQUEST),
            ..ProducerOptions::default()
        };
        let producer = client.producer(producer_options).await;
        let producer = producer.map_err(|error| client_failure(&in_connection(&options.connection), &error))?;
        Ok(Self {
            client,
            producer,
            options,
            routes: Vec::new(),
            by_source: HashMap::new(),
            runs: VecDeque::new(),
            first_run: 0,
            created: Vec::new(),
        })
    }

    /// The cluster that is written to.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Which topics are written to.
    pub fn naming(&self) -> &Naming {
        &self.options.naming
    }

    /// A topic that records of these source topics would go to and that does not exist yet.
    ///
    /// # Errors
    /// The cluster cannot be asked.
    pub async fn missing_topic(&self, sources: &[&str]) -> Result<Option<String>, Failure> {
        let place = in_connection(&self.options.connection);
        let topics = self.client.topics().await.map_err(|error| client_failure(&place, &error))?;
        let there: HashSet<&str> = topics.iter().map(|topic| topic.name.as_ref()).collect();
        let mut wanted = sources.iter().map(|source| match &self.options.naming {
            Naming::Fixed(name) => name.as_str(),
            Naming::Same => source,
        });
        Ok(wanted.find(|name| !there.contains(name)).map(str::to_owned))
    }

    /// The topics that were created since the last call.
    pub fn take_created(&mut self) -> Vec<String> {
        std::mem::take(&mut self.created)
    }

    pub(super) async fn route(&mut self, source: SourceTopic<'_>) -> Result<Route, Failure> {
        let key = source.name.map(str::to_owned);
        if let Some(route) = self.by_source.get(&key) {
            return Ok(*route);
        }
        let name = match (&self.options.naming, source.name) {
            (Naming::Fixed(name), _) => name.clone(),
            (Naming::Same, Some(name)) => name.to_owned(),
            (Naming::Same, None) => {
                return Err(Failure::usage(format!(
                    "{}: lines have no topic, and `topics` does not name one",
                    in_connection(&self.options.connection)
                ))
                .with_help("give the target connection a plain topic name: topics = \"orders\""));
            }
        };
        let topic = self.topic(&name).await?;
        let partitions = topic.partitions().max(1);
        let keep = source.name.is_some() && source.partitions == partitions;
        let growing = vec![None; partitions as usize];
        self.routes.push(Way { topic, partitioning: Partitioning { partitions, keep }, growing });
        let route = Route(self.routes.len() - 1);
        self.by_source.insert(key, route);
        Ok(route)
    }

    /// The topic to write to, created if it is missing.
    async fn topic(&mut self, name: &str) -> Result<TopicProducer, Failure> {
        let place = in_connection(&self.options.connection);
        let failed = |error: &Error| client_failure(&place, error);
        if self.client.topic(name).await.map_err(|error| failed(&error))?.is_none() {
            let topic = NewTopic { name: name.to_owned(), partitions: 1, replicas: 1 };
            if self.client.create_topic(&topic).await.map_err(|error| failed(&error))? == Created::New {
                self.created.push(name.to_owned());
            }
        }
        self.producer.topic(name).await.map_err(|error| failed(&error))
    }

    #[inline]
    pub(super) fn push(
        &mut self,
        checkpoint: &mut Checkpoint,
        route: Route,
        ticket: Ticket,
        event: &Event<'_>,
    ) -> Push {
        let way = &mut self.routes[route.0];
        let partition = way.partitioning.choose(ticket.partition, event.key);
        let outgoing = Outgoing {
            partition: Some(partition),
            timestamp_ms: event.timestamp_ms,
            key: event.key,
            value: event.value,
            headers: event.headers.map_or(OutgoingHeaders::None, OutgoingHeaders::Raw),
        };
        let delivery = match way.topic.try_send(outgoing) {
            Ok(delivery) => delivery,
            Err(error) if error.kind() == ErrorKind::BufferFull => return Push::Full,
            Err(error) => return Push::Refused(error),
        };
        let growing = &mut way.growing[partition as usize];
        if let Some(run) = growing.and_then(|number| self.runs.get_mut(number.checked_sub(self.first_run)? as usize))
            && run.span == ticket.span
            && run.delivery.same_batch(&delivery)
        {
            run.count += 1;
            run.last = ticket.offset;
            return Push::Taken;
        }
        checkpoint.hold(ticket.span);
        *growing = Some(self.first_run + self.runs.len() as u64);
        let (first, last) = (ticket.offset, ticket.offset);
        self.runs.push_back(Run { span: ticket.span, delivery, count: 1, first, last });
        Push::Taken
    }

    /// Memory comes back when the oldest batch ends, one way or the other.
    pub(super) async fn make_room(&mut self) -> Option<Settled> {
        if self.runs.is_empty() {
            // All has ended, and its memory is on its way back.
            tokio::task::yield_now().await;
            return None;
        }
        Some(self.settled().await)
    }

    pub(super) fn unsettled(&self) -> usize {
        self.runs.len()
    }

    pub(super) async fn flush(&mut self) {
        // What failed is told by the deliveries.
        let _ = self.producer.flush().await;
    }

    pub(super) async fn settled(&mut self) -> Settled {
        let Some(run) = self.runs.front_mut() else { return std::future::pending().await };
        let refused = run.delivery.refused(run.count).await;
        let settled = Settled {
            span: run.span,
            written: u64::from(run.count) - refused.iter().map(|(records, _)| u64::from(length(records))).sum::<u64>(),
            refused: refusal(run, refused),
        };
        self.runs.pop_front();
        self.first_run += 1;
        settled
    }
}

impl Partitioning {
    /// The target partition of a record.
    #[inline]
    fn choose(self, source_partition: i32, key: Option<&[u8]>) -> i32 {
        if self.keep && source_partition < self.partitions {
            return source_partition;
        }
        match key {
            Some(key) => partition_for_key(key, self.partitions),
            None => source_partition.rem_euclid(self.partitions),
        }
    }
}

fn length(records: &Range<u32>) -> u32 {
    records.end.saturating_sub(records.start)
}

/// The refused records of a run. Their offsets are exact where no offset between the run's first and last is missing or
/// went elsewhere; else they are bounds, and the lower one is the run's first offset.
fn refusal(run: &Run, refused: Vec<(Range<u32>, Error)>) -> Option<Refused> {
    let count = refused.iter().map(|(records, _)| u64::from(length(records))).sum();
    let (lowest, highest) = (
        refused.iter().map(|(records, _)| records.start).min()?,
        refused.iter().map(|(records, _)| records.end).max()?,
    );
    let dense = run.last - run.first + 1 == i64::from(run.count);
    let (first, last) =
        if dense { (run.first + i64::from(lowest), run.first + i64::from(highest) - 1) } else { (run.first, run.last) };
    let (_, error) = refused.into_iter().next()?;
    Some(Refused { count, first, last, error })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_counts_keep_the_partition_whatever_the_key() {
        let same = Partitioning { partitions: 3, keep: true };
        for partition in 0..3 {
            assert_eq!(same.choose(partition, None), partition);
            assert_eq!(same.choose(partition, Some(b"any key")), partition);
        }
    }

    #[test]
    fn other_counts_go_by_the_key_as_kafkas_own_clients_do() {
        let fewer = Partitioning { partitions: 2, keep: false };
        for key in [&b"a"[..], b"b", b"", "长".as_bytes()] {
            let chosen: Vec<_> = (0..5).map(|partition| fewer.choose(partition, Some(key))).collect();
            assert_eq!(chosen, [partition_for_key(key, 2); 5], "a key's records meet in one partition");
        }
    }

    #[test]
    fn without_a_key_a_source_partition_stays_together() {
        let fewer = Partitioning { partitions: 2, keep: false };
        assert_eq!((0..5).map(|partition| fewer.choose(partition, None)).collect::<Vec<_>>(), [0, 1, 0, 1, 0]);
    }

    #[test]
    fn a_partition_that_the_source_gained_later_finds_a_place() {
        let kept = Partitioning { partitions: 2, keep: true };
        assert_eq!(kept.choose(3, None), 1);
    }
}
