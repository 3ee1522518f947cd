//! Records into the topics of a Kafka cluster.
//!
//! - **Topic**: the one that the connection's `topics` names if it is a plain name, else the one of the same name as the
//!   source's. A missing one is created with 1 partition and 1 replica before the first record; an existing one is never
//!   altered.
//! - **Partition**: by the rule that `partition_by` names, see [`super::partitioning`]. It is printed when a topic is
//!   opened, before its first record.
//! - Value, key, headers and time are those of the source; a record without a value (a tombstone) stays one.
//! - Acknowledgements count by rows: the records of one source batch that went into the same batch of the producer. So
//!   nothing is kept per record, but for the offsets of a row that has gaps.

use std::collections::{HashMap, HashSet, VecDeque};
use std::ops::Range;
use std::time::Duration;

use ottla_client::{
    Acks, Client, Created, Delivery, Error, ErrorKind, NewTopic, Outgoing, OutgoingHeaders, Producer, ProducerOptions,
    TopicProducer,
};
use ottla_protocol::compression::Compression;
use ottla_protocol::{ApiKey, ErrorCode};

use super::partitioning::{Chosen, PartitionBy, Partitioning};
use super::{Push, Refused, Route, Settled, SourceTopic, Ticket};
use crate::config::model::AckLevel;
use crate::core::checkpoint::{Checkpoint, Span};
use crate::core::placement::Placement;
use crate::event::Event;
use crate::exit::Failure;
use crate::task::failure::{client_failure, in_connection};

/// How much a producer may hold; with the consumer's buffer it bounds the memory of a task.
const BUFFER_BYTES: usize = 16 << 20;

/// So many topics are named when they are opened, each with the rule of its partitions; the others under `-v` only.
const TOPICS_NAMED: usize = 20;

/// One attempt of a record takes no longer, so that there is time for another.
const LONGEST_REQUEST: Duration = Duration::from_secs(30);

/// How long a question may take whose answer makes an error clearer.
const SHORT_QUESTION: Duration = Duration::from_secs(2);

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
    /// Which partition a record goes to; `None` is the source's for topics, and spread for lines.
    pub partition_by: Option<PartitionBy>,
    /// How large a request and a record may be; `None` leaves a record's size to the topic.
    pub max_request_bytes: Option<usize>,
    /// Whether nothing of a partition is sent after a record that failed.
    pub stop_at_failure: bool,
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
    /// What the user is to know, a line each.
    news: Vec<String>,
}

/// The way from a source topic.
#[derive(Debug)]
struct Way {
    topic: TopicProducer,
    partitioning: Partitioning,
    /// By target partition: the number of the run that may grow.
    growing: Vec<Option<u64>>,
    /// The user was told that a record lacks the field that the rule looks at.
    lacked_field: bool,
    /// The user was told that the topic has more partitions than when it was opened.
    told_growth: bool,
}

/// Records of one span that went into the same batch one after the other.
#[derive(Debug)]
struct Run {
    span: Span,
    delivery: Delivery,
    count: u32,
    first: i64,
    last: i64,
    /// Where the offsets do not follow one another: the record's number in the run, and its offset.
    jumps: Vec<(u32, i64)>,
}

impl KafkaTarget {
    /// Prepares a producer.
    ///
    /// # Errors
    /// The cluster's release lacks the codec, or no producer identity can be had. Nothing was sent.
    pub async fn open(client: Client, options: KafkaTargetOptions) -> Result<Self, Failure> {
        let defaults = ProducerOptions::default();
        let producer_options = ProducerOptions {
            acks: match options.acks {
                AckLevel::None => Acks::None,
                AckLevel::Leader => Acks::Leader,
                AckLevel::Majority | AckLevel::All => Acks::All,
            },
            compression: options.compression,
            buffer_bytes: BUFFER_BYTES,
            max_request_bytes: options.max_request_bytes,
            stop_at_failure: options.stop_at_failure,
            ignore_keys: options.partition_by == Some(PartitionBy::Spread),
            // A batch is no larger than a request.
            batch_bytes: defaults.batch_bytes.min(options.max_request_bytes.unwrap_or(usize::MAX)),
            delivery_timeout: options.delivery_timeout,
            request_timeout: options.delivery_timeout.mul_f64(0.4).min(LONGEST_REQUEST),
            ..defaults
        };
        let mut news = Vec::new();
        let mut producer = client.producer(producer_options.clone()).await;
        if let Err(error) = &producer
            && is_without_idempotent_write(error)
        {
            news.push(format!(
                "{}: this user may not write with idempotence (CLUSTER_AUTHORIZATION_FAILED), so records are written without: a batch that is sent \
                 again may be in the topic twice; `kafka-acls --add --allow-principal User:NAME --operation IdempotentWrite \
                 --cluster` grants it",
                in_connection(&options.connection)
            ));
            producer = client.producer(ProducerOptions { idempotent: false, ..producer_options }).await;
        }
        let producer = producer.map_err(|error| client_failure(&in_connection(&options.connection), &error))?;
        Ok(Self {
            client,
            producer,
            options,
            routes: Vec::new(),
            by_source: HashMap::new(),
            runs: VecDeque::new(),
            first_run: 0,
            news,
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

    /// What the user is to know and was not told yet, a line each: topics that were created, and how their partitions are
    /// chosen.
    pub fn take_news(&mut self) -> Vec<String> {
        std::mem::take(&mut self.news)
    }

    /// How large a batch of this topic may be, if the cluster says so soon.
    pub async fn max_message_bytes(&self, topic: &str) -> Option<String> {
        let asked = tokio::time::timeout(SHORT_QUESTION, self.client.topic_config(topic, "max.message.bytes"));
        asked.await.ok()?.ok()?
    }

    /// The producer, to ask it what keeps it waiting.
    pub fn producer(&self) -> &Producer {
        &self.producer
    }

    /// Whether a record counts as written without anybody's word for it.
    pub fn is_unconfirmed(&self) -> bool {
        self.options.acks == AckLevel::None
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
        let default = || if source.name.is_some() { PartitionBy::Source } else { PartitionBy::Spread };
        let by = self.options.partition_by.clone().unwrap_or_else(default);
        let partitioning = Partitioning { by, partitions };
        self.tell_rule(source, &name, &partitioning);
        let growing = vec![None; partitions as usize];
        self.routes.push(Way { topic, partitioning, growing, lacked_field: false, told_growth: false });
        let route = Route(self.routes.len() - 1);
        self.by_source.insert(key, route);
        Ok(route)
    }

    /// How the records of a route are placed, for the task to remember.
    pub(super) fn placement(&self, route: Route) -> Placement {
        let Way { topic, partitioning, .. } = &self.routes[route.0];
        Placement {
            topic: topic.topic().to_string(),
            partitions: partitioning.partitions,
            by: partitioning.by.to_string(),
        }
    }

    /// Notes for the user how the partitions of a topic are chosen.
    fn tell_rule(&mut self, source: SourceTopic<'_>, target: &str, rule: &Partitioning) {
        let Partitioning { by, partitions } = rule;
        let from = source.name.map_or_else(|| "lines".to_owned(), |name| format!("topic {name}"));
        let how = rule.describe(source.partitions);
        let plural = if *partitions == 1 { "" } else { "s" };
        let line = format!("{from} to topic {target}, {partitions} partition{plural}: partition_by = \"{by}\", {how}");
        match self.routes.len() {
            TOPICS_NAMED.. => tracing::info!("{line}"),
            count => {
                self.news.push(line);
                if count + 1 == TOPICS_NAMED {
                    self.news
                        .push("the partitions of further topics are chosen by the same rule; -v names them".to_owned());
                }
            }
        }
    }

    /// The topic to write to, created if it is missing.
    async fn topic(&mut self, name: &str) -> Result<TopicProducer, Failure> {
        let place = in_connection(&self.options.connection);
        let failed = |error: &Error| client_failure(&place, error);
        if self.client.topic(name).await.map_err(|error| failed(&error))?.is_none() {
            let topic = NewTopic { name: name.to_owned(), partitions: 1, replicas: 1 };
            if self.client.create_topic(&topic).await.map_err(|error| failed(&error))? == Created::New {
                self.news.push(format!("created topic {name} with 1 partition and 1 replica"));
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
        let partition = match way.partitioning.choose(ticket.partition, event) {
            Chosen::Partition(partition) => Some(partition),
            Chosen::Any => None,
            Chosen::WithoutField(partition) => {
                if !std::mem::replace(&mut way.lacked_field, true) {
                    let topic = way.topic.topic();
                    let by = &way.partitioning.by;
                    self.news.push(format!(
                        "a record has no string, number or boolean for partition_by = \"{by}\"; all such records go to \
                         partition {partition} of topic {topic}"
                    ));
                }
                Some(partition)
            }
        };
        let outgoing = Outgoing {
            partition,
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
        let Some(growing) = way.growing.get_mut(delivery.partition() as usize) else {
            return self.took_in_new_partition(checkpoint, ticket, delivery);
        };
        if let Some(run) = growing.and_then(|number| self.runs.get_mut(number.checked_sub(self.first_run)? as usize))
            && run.span == ticket.span
            && run.delivery.same_batch(&delivery)
        {
            if run.last + 1 != ticket.offset {
                run.jumps.push((run.count, ticket.offset));
            }
            run.count += 1;
            run.last = ticket.offset;
            return Push::Taken;
        }
        *growing = Some(self.first_run + self.runs.len() as u64);
        if way.topic.partitions() > way.partitioning.partitions && !std::mem::replace(&mut way.told_growth, true) {
            self.tell_growth(route);
        }
        self.start_run(checkpoint, ticket, delivery);
        Push::Taken
    }

    fn start_run(&mut self, checkpoint: &mut Checkpoint, ticket: Ticket, delivery: Delivery) {
        checkpoint.hold(ticket.span);
        let (first, last) = (ticket.offset, ticket.offset);
        self.runs.push_back(Run { span: ticket.span, delivery, count: 1, first, last, jumps: Vec::new() });
    }

    /// A rule holds as long as the task runs, so that no key or partition changes its place in the middle.
    #[cold]
    fn tell_growth(&mut self, route: Route) {
        let way = &self.routes[route.0];
        let (topic, known, now) = (way.topic.topic(), way.partitioning.partitions, way.topic.partitions());
        if way.partitioning.by != PartitionBy::Spread {
            self.news.push(format!(
                "topic {topic} has {now} partitions now; until the next start of the task its records go to the first {known}, \
                 then partition_by = \"{}\" counts all of them",
                way.partitioning.by
            ));
        }
    }

    /// The topic has more partitions than when the route was opened, and the producer spreads over them too.
    #[cold]
    fn took_in_new_partition(&mut self, checkpoint: &mut Checkpoint, ticket: Ticket, delivery: Delivery) -> Push {
        self.start_run(checkpoint, ticket, delivery);
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
        let failed: u64 = refused.iter().map(|(records, _)| u64::from(length(records))).sum();
        let settled = Settled {
            span: run.span,
            written: u64::from(run.count).saturating_sub(failed),
            refused: refusals(run, refused),
        };
        self.runs.pop_front();
        self.first_run += 1;
        settled
    }
}

/// Whether the user lacks the right that brokers before 2.8 want for a producer id (KIP-679 gave it to all who may write).
fn is_without_idempotent_write(error: &Error) -> bool {
    error.code() == Some(ErrorCode::CLUSTER_AUTHORIZATION_FAILED) && error.api() == Some(ApiKey::INIT_PRODUCER_ID)
}

fn length(records: &Range<u32>) -> u32 {
    records.end.saturating_sub(records.start)
}

/// The refused records of a run, in their order.
fn refusals(run: &Run, mut refused: Vec<(Range<u32>, Error)>) -> Vec<Refused> {
    refused.sort_by_key(|(records, _)| records.start);
    let refused = refused.into_iter().map(|(records, error)| Refused {
        count: u64::from(length(&records)),
        first: run.offset(records.start),
        last: run.offset(records.end.saturating_sub(1)),
        error,
    });
    refused.collect()
}

impl Run {
    /// The source offset of the record with this number in the run.
    fn offset(&self, number: u32) -> i64 {
        let after = self.jumps.partition_point(|(at, _)| *at <= number);
        let (at, offset) =
            after.checked_sub(1).and_then(|last| self.jumps.get(last)).copied().unwrap_or((0, self.first));
        offset + i64::from(number - at)
    }
}
