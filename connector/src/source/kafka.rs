//! Topics of a Kafka cluster as a source: which partitions there are, where each starts by the rules of
//! [`plan`](mod@crate::core::plan), and where its position is kept ([`mode`](mod@crate::mode) says under which names).

use std::collections::{HashMap, HashSet};

use ottla_client::{
    Client, CommitOffset, Committed, Consumer, ConsumerOptions, Error, ErrorKind, OffsetAt, Topic, TopicPartition,
};

use crate::config::model::TopicExpression;
use crate::core::plan::{self, Appeared, COMMIT_NOTE, Course, Gap, Known};
use crate::exit::Failure;
use crate::mode::{self, Mode};
use crate::task::failure::client_failure;

/// How much may be fetched ahead; with the producer's buffer it bounds the memory of a task.
const BUFFER_BYTES: usize = 12 << 20;

/// How many gaps an error lists.
const GAPS_SHOWN: usize = 10;

/// Which topics are read.
#[derive(Debug, Clone)]
pub enum Selection {
    /// Those whose whole name matches, those that are created later too.
    Matching(TopicExpression),
    /// This one, which has to exist.
    Topic(String),
}

/// What the reading is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reading {
    /// A task with a mode, a name and a record of how far it is.
    Task {
        /// The group under which its positions are kept.
        group: String,
        /// Its mode.
        mode: Mode,
    },
    /// Once from the earliest offset to the end, without any trace in the cluster.
    Once,
}

impl Reading {
    fn mode(&self) -> Mode {
        match self {
            Self::Task { mode, .. } => *mode,
            Self::Once => Mode::Full,
        }
    }

    /// Does it come to an end by itself?
    pub fn ends(&self) -> bool {
        self.mode() == Mode::Full
    }
}

/// A partition to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// Which one.
    pub place: TopicPartition,
    /// How many partitions its topic has.
    pub siblings: i32,
    /// From where to where.
    pub course: Course,
}

/// Reads topics.
#[derive(Debug)]
pub struct KafkaSource {
    client: Client,
    /// Hands out what was fetched.
    pub consumer: Consumer,
    selection: Selection,
    reading: Reading,
    /// As errors name the cluster.
    place: String,
    seen: HashSet<TopicPartition>,
    /// The first look around has been taken.
    looked: bool,
}

impl KafkaSource {
    /// Prepares to read. `place` is how errors name the cluster.
    ///
    /// # Errors
    /// No consumer can be had.
    pub fn open(client: Client, selection: Selection, reading: Reading, place: &str) -> Result<Self, Failure> {
        let options = ConsumerOptions { buffer_bytes: BUFFER_BYTES, ..ConsumerOptions::default() };
        let consumer = client.consumer(options).map_err(|error| client_failure(place, &error))?;
        let place = place.to_owned();
        Ok(Self { client, consumer, selection, reading, place, seen: HashSet::new(), looked: false })
    }

    /// Partitions that were not seen before, each with its course.
    ///
    /// # Errors
    /// The cluster cannot be asked, the topic of [`Selection::Topic`] does not exist, or a committed offset lies outside
    /// the log (exit 4, with every gap's size).
    pub async fn discover(&mut self) -> Result<Vec<Start>, Failure> {
        let topics = self.topics().await?;
        let mut siblings = HashMap::new();
        let mut new = Vec::new();
        for topic in &topics {
            siblings.insert(topic.name.clone(), topic.partitions.len() as i32);
            let places = topic.partitions.iter().map(|partition| TopicPartition::new(topic.name.clone(), partition.id));
            new.extend(places.filter(|place| !self.seen.contains(place)));
        }
        let first = !std::mem::replace(&mut self.looked, true);
        if new.is_empty() {
            return Ok(Vec::new());
        }
        let courses = self.courses(&new, first).await?;
        self.seen.extend(new.iter().cloned());
        let start = |(place, course): (TopicPartition, Course)| {
            let siblings = siblings.get(&place.topic).copied().unwrap_or(0);
            Start { place, siblings, course }
        };
        Ok(new.into_iter().zip(courses).map(start).collect())
    }

    async fn topics(&self) -> Result<Vec<Topic>, Failure> {
        match &self.selection {
            Selection::Matching(expression) => {
                let mut topics = self.client.topics().await.map_err(|error| self.failed(&error))?;
                topics.retain(|topic| !topic.internal && expression.matches(&topic.name));
                Ok(topics)
            }
            Selection::Topic(name) => match self.client.topic(name).await.map_err(|error| self.failed(&error))? {
                Some(topic) => Ok(vec![topic]),
                None => Err(Failure::environment(format!("{}: there is no topic {name}", self.place))
                    .with_help("check its name; it is not created by being read")),
            },
        }
    }

    /// The course of each partition, in the order given.
    async fn courses(&self, places: &[TopicPartition], first: bool) -> Result<Vec<Course>, Failure> {
        let (records, marks) = self.stored(places).await?;
        // The start first: what retention deletes in between is then a gap that shows, not one that hides.
        let earliest = self.client.offsets(places, OffsetAt::Earliest).await.map_err(|error| self.failed(&error))?;
        let latest = self.client.offsets(places, OffsetAt::LatestStable).await.map_err(|error| self.failed(&error))?;
        let begun = records.values().any(|committed| committed.metadata.as_deref() == Some(COMMIT_NOTE));
        let appeared = if first && !begun { Appeared::AtFirstStart } else { Appeared::Later };
        let (mut courses, mut gaps) = (Vec::with_capacity(places.len()), Vec::new());
        for place in places {
            let (Some(&earliest), Some(&latest)) = (earliest.get(place), latest.get(place)) else {
                return Err(Failure::environment(format!(
                    "{}: {place}: the cluster does not say its offsets",
                    self.place
                )));
            };
            let record = records.get(place).map(|committed| committed.offset);
            let full_completed = marks.contains_key(place);
            match plan::course(self.reading.mode(), appeared, Known { record, full_completed, earliest, latest }) {
                Ok(course) => courses.push(course),
                Err(gap) => gaps.push((place.clone(), gap)),
            }
        }
        if gaps.is_empty() { Ok(courses) } else { Err(self.gap_failure(&gaps)) }
    }

    /// The records and the marks of these partitions.
    async fn stored(&self, places: &[TopicPartition]) -> Result<(Stored, Stored), Failure> {
        let Reading::Task { group, mode } = &self.reading else { return Ok((Stored::new(), Stored::new())) };
        let records = self.client.committed(group, places).await.map_err(|error| self.failed(&error))?;
        let marks = match mode {
            Mode::FullIncremental => self.client.committed(&mode::marks_group(group), places).await,
            _ => Ok(Stored::new()),
        };
        Ok((records, marks.map_err(|error| self.failed(&error))?))
    }

    /// Commits positions of the task; nothing to do when it is read [once](Reading::Once).
    ///
    /// # Errors
    /// As the client says; a retriable one after it has been tried for a while.
    pub async fn commit(&self, positions: &[(TopicPartition, i64)]) -> Result<(), Error> {
        match &self.reading {
            Reading::Task { group, .. } if !positions.is_empty() => self.commit_to(group, positions).await,
            _ => Ok(()),
        }
    }

    /// Marks a full sync as completed up to these ends.
    ///
    /// # Errors
    /// As of [`commit`](Self::commit).
    pub async fn mark_completed(&self, ends: &[(TopicPartition, i64)]) -> Result<(), Error> {
        let Reading::Task { group, .. } = &self.reading else { return Ok(()) };
        self.commit_to(&mode::marks_group(group), ends).await
    }

    /// Commits the marks of these partitions again, so that brokers do not forget them. Only `full+incremental` ever
    /// looks at them; a full sync makes them anew.
    ///
    /// # Errors
    /// As of [`commit`](Self::commit).
    pub async fn renew_marks(&self, places: &[TopicPartition]) -> Result<(), Error> {
        let Reading::Task { group, mode: Mode::FullIncremental } = &self.reading else {
            return Ok(());
        };
        let group = mode::marks_group(group);
        let marks = self.client.committed(&group, places).await?;
        let marks: Vec<_> = marks.into_iter().map(|(place, mark)| (place, mark.offset)).collect();
        if marks.is_empty() { Ok(()) } else { self.commit_to(&group, &marks).await }
    }

    async fn commit_to(&self, group: &str, positions: &[(TopicPartition, i64)]) -> Result<(), Error> {
        let position =
            |(place, offset): &(TopicPartition, i64)| CommitOffset::new(place.clone(), *offset).metadata(COMMIT_NOTE);
        let positions: Vec<_> = positions.iter().map(position).collect();
        self.client.commit(group, &positions).await
    }

    /// An error of the consumer as the end of the task. One about a position that is not in the log any more says how
    /// much is missing.
    pub async fn read_failure(&self, error: &Error) -> Failure {
        let plain = self.failed(error);
        let (ErrorKind::OffsetOutOfRange, Some(topic), Some(partition)) =
            (error.kind(), error.topic(), error.partition())
        else {
            return plain;
        };
        let place = TopicPartition::new(topic, partition);
        let Some(position) = error.offset().or_else(|| self.consumer.position(&place)) else { return plain };
        let places = [place.clone()];
        let earliest = self.client.offsets(&places, OffsetAt::Earliest).await;
        let latest = self.client.offsets(&places, OffsetAt::LatestStable).await;
        let (Ok(earliest), Ok(latest)) = (earliest, latest) else { return plain };
        let (Some(&earliest), Some(&latest)) = (earliest.get(&place), latest.get(&place)) else { return plain };
        match plan::inside(position, earliest, latest) {
            Err(gap) => self.gap_failure(&[(place, gap)]),
            Ok(()) => plain,
        }
    }

    fn gap_failure(&self, gaps: &[(TopicPartition, Gap)]) -> Failure {
        let mut text = format!("{}: ", self.place);
        for (index, (place, gap)) in gaps.iter().take(GAPS_SHOWN).enumerate() {
            let line = if index > 0 { "\n  " } else { "" };
            text = format!("{text}{line}topic {}, partition {}: {gap}", place.topic, place.partition);
        }
        if gaps.len() > GAPS_SHOWN {
            text = format!("{text}\n  and {} more partitions", gaps.len() - GAPS_SHOWN);
        }
        let failure = Failure::data(text);
        match &self.reading {
            Reading::Task { group, .. } => failure.with_help(format!(
                "nothing was passed over; to go on behind the gap, set the offsets of the group {group} (kafka-consumer-groups \
                 --reset-offsets --to-earliest), or give the task another `group`"
            )),
            Reading::Once => failure.with_help("start the copy again"),
        }
    }

    fn failed(&self, error: &Error) -> Failure {
        client_failure(&self.place, error)
    }
}

type Stored = HashMap<TopicPartition, Committed>;
