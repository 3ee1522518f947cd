//! Topics of a Kafka cluster as a source: which partitions there are, where each starts by the rules of
//! [`plan`](mod@crate::core::plan), and where its position is kept ([`mode`](mod@crate::mode) says under which names).

pub mod identity;
pub mod progress;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use ottla_client::{Client, Committed, Consumer, ConsumerOptions, Error, ErrorKind, Topic, TopicPartition};

use crate::config::model::TopicExpression;
use crate::config::nearest::nearest_few;
use crate::core::evidence::{Evidence, Identity};
use crate::core::placement::Placement;
use crate::core::plan::{self, Appeared, Course, Gap, Known};
use crate::core::seen_topics::KEPT_IN;
use crate::exit::{Exit, Failure};
use crate::mode::Mode;
use crate::outage::PATIENCE;
use crate::task::failure::client_failure;
use crate::task::sole::Sole;

use self::identity::{Ends, Held};
use self::progress::{Position, Progress, Stored};

/// How much may be fetched ahead; with the producer's buffer it bounds the memory of a task.
const BUFFER_BYTES: usize = 12 << 20;

/// How long a partition may be unavailable before that is said, and the start of the others waits for it.
const SOON: Duration = Duration::from_secs(10);

/// How many gaps an error lists.
const GAPS_SHOWN: usize = 10;

/// How many topics an error names that may have been meant.
const NEAR_SHOWN: usize = 3;

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
    /// What is known of its log.
    pub evidence: Evidence,
    /// Where the last run put its records, if it said so.
    pub placement: Option<Placement>,
}

/// Where a partition starts, by what is committed.
struct Choice {
    course: Course,
    evidence: Evidence,
    placement: Option<Placement>,
}

/// Reads topics.
#[derive(Debug)]
pub struct KafkaSource {
    client: Client,
    /// The right to run the task; a reading without a task needs none.
    pub sole: Option<Arc<Sole>>,
    /// Hands out what was fetched.
    pub consumer: Consumer,
    selection: Selection,
    reading: Reading,
    /// As errors name the cluster.
    place: String,
    /// Where the task keeps how far it is; `None` when it is read [once](Reading::Once).
    progress: Option<Progress>,
    /// Topics to read from their earliest offsets, whatever is committed.
    from_earliest: Vec<String>,
    /// How the task is started again, for errors that say so; empty if it cannot be.
    command: String,
    seen: HashSet<TopicPartition>,
    unproven: Vec<TopicPartition>,
    skips_unavailable: bool,
    /// Partitions without a leader, which are left for later.
    leaderless: HashSet<TopicPartition>,
    /// Those of them that were not told of yet.
    new_leaderless: Vec<TopicPartition>,
    /// The first look around has been taken.
    looked: bool,
}

impl KafkaSource {
    /// Prepares to read. `place` is how errors name the cluster. `skips_unavailable`: partitions without a leader are left for
    /// later, and ones that cannot be read are told of soon.
    ///
    /// # Errors
    /// No consumer can be had.
    pub fn open(
        client: Client,
        sole: Option<Arc<Sole>>,
        selection: Selection,
        reading: Reading,
        place: &str,
        skips_unavailable: bool,
    ) -> Result<Self, Failure> {
        let mut options = ConsumerOptions { buffer_bytes: BUFFER_BYTES, ..ConsumerOptions::default() };
        if skips_unavailable {
            options.stall_timeout = SOON;
        }
        let consumer = client.consumer(options).map_err(|error| client_failure(place, &error))?;
        let progress = match (&reading, &sole) {
            (Reading::Task { group, .. }, Some(sole)) => {
                Some(Progress::new(client.clone(), group.clone(), Arc::clone(sole)))
            }
            _ => None,
        };
        Ok(Self {
            client,
            sole,
            consumer,
            selection,
            reading,
            place: place.to_owned(),
            progress,
            from_earliest: Vec::new(),
            command: String::new(),
            seen: HashSet::new(),
            unproven: Vec::new(),
            skips_unavailable,
            leaderless: HashSet::new(),
            new_leaderless: Vec::new(),
            looked: false,
        })
    }

    /// Reads these topics from their earliest offsets at their first look, whatever is committed, and names `command` in errors
    /// as the way to start the task again.
    #[must_use]
    pub fn started_by(mut self, command: &str, from_earliest: &[String]) -> Self {
        command.clone_into(&mut self.command);
        self.from_earliest = from_earliest.to_vec();
        self
    }

    /// Partitions that were not seen before, each with its course.
    ///
    /// # Errors
    /// The cluster cannot be asked, the topic of [`Selection::Topic`] does not exist, or a committed offset lies outside
    /// the log (exit 4, with every gap's size).
    pub async fn discover(&mut self) -> Result<Vec<Start>, Failure> {
        loop {
            let topics = self.topics().await?;
            let new = self.new_partitions(&topics);
            let left_out = self.leaderless.len();
            if !self.skips_unavailable {
                return self.start_new(&topics, new).await;
            }
            let discovered = tokio::time::timeout(SOON, self.start_new(&topics, new.clone())).await;
            match discovered {
                Ok(Err(failure)) if failure.exit == Exit::Environment => {
                    if !self.has_lost_more_leaders(left_out).await? {
                        return Err(failure);
                    }
                }
                Ok(discovered) => return discovered,
                Err(_) => {
                    if !self.has_lost_more_leaders(left_out).await? {
                        return self.start_new(&topics, new).await;
                    }
                }
            }
        }
    }

    /// Whether there are more partitions without a leader by now than were left out: then the others start without them.
    async fn has_lost_more_leaders(&mut self, left_out: usize) -> Result<bool, Failure> {
        let topics = self.topics().await?;
        self.new_partitions(&topics);
        Ok(self.leaderless.len() > left_out)
    }

    /// Partitions that were not seen before and can be read.
    fn new_partitions(&mut self, topics: &[Topic]) -> Vec<TopicPartition> {
        let mut new = Vec::new();
        let before = std::mem::take(&mut self.leaderless);
        for topic in topics {
            for partition in &topic.partitions {
                let place = TopicPartition { topic: topic.name.clone(), partition: partition.id };
                if self.seen.contains(&place) {
                    continue;
                }
                if partition.leader.is_some() || !self.skips_unavailable {
                    new.push(place);
                    continue;
                }
                if !before.contains(&place) {
                    self.new_leaderless.push(place.clone());
                }
                self.leaderless.insert(place);
            }
        }
        new
    }

    /// Whether partitions without a leader were left for later.
    pub fn has_leaderless(&self) -> bool {
        !self.leaderless.is_empty()
    }

    /// The partitions that have been left for later since the last call.
    pub fn take_new_leaderless(&mut self) -> Vec<TopicPartition> {
        std::mem::take(&mut self.new_leaderless)
    }

    async fn start_new(&mut self, topics: &[Topic], new: Vec<TopicPartition>) -> Result<Vec<Start>, Failure> {
        let siblings: HashMap<_, _> =
            topics.iter().map(|topic| (topic.name.clone(), topic.partitions.len() as i32)).collect();
        let first = !self.looked;
        if first {
            self.read_seen_topics().await?;
        }
        if new.is_empty() {
            self.looked = true;
            return Ok(Vec::new());
        }
        let starts = self.starts(&new, first).await?;
        self.looked = true;
        self.seen.extend(new.iter().cloned());
        let start = |(place, choice): (TopicPartition, Choice)| {
            let siblings = siblings.get(&place.topic).copied().unwrap_or(0);
            let Choice { course, evidence, placement } = choice;
            Start { place, siblings, course, evidence, placement }
        };
        Ok(new.into_iter().zip(starts).map(start).collect())
    }

    async fn read_seen_topics(&mut self) -> Result<(), Failure> {
        let Some(progress) = &mut self.progress else { return Ok(()) };
        match progress.read_seen().await {
            Ok(None) => {}
            Ok(Some(why)) => tracing::warn!(
                "which topics were read cannot be kept in {KEPT_IN}, so one that is deleted and created again while the task is \
                 stopped is not noticed: {why}"
            ),
            Err(error) => {
                let failure = client_failure(&self.place, &error);
                return Err(failure);
            }
        }
        Ok(())
    }

    /// Whether a broker cannot be reached or does not answer now.
    pub fn has_troubles(&self) -> bool {
        !self.client.troubles(PATIENCE).is_empty()
    }

    /// The names of topics that are most like the one that was asked for, the likest first; none if nothing is like it.
    pub async fn near_names(&self) -> Vec<String> {
        let Ok(topics) = self.client.topics().await else { return Vec::new() };
        let wanted = match &self.selection {
            Selection::Matching(expression) => expression.as_str(),
            Selection::Topic(name) => name,
        };
        let names = topics.iter().filter(|topic| !topic.internal).map(|topic| topic.name.as_ref());
        nearest_few(wanted, names, NEAR_SHOWN).into_iter().map(str::to_owned).collect()
    }

    async fn topics(&self) -> Result<Vec<Topic>, Failure> {
        match &self.selection {
            Selection::Matching(expression) => {
                let mut topics = self.client.topics().await.map_err(|error| self.failed(&error))?;
                topics.retain(|topic| !topic.internal && expression.matches(&topic.name));
                Ok(topics)
            }
            Selection::Topic(name) => {
                if let Some(topic) = self.client.topic(name).await.map_err(|error| self.failed(&error))? {
                    return Ok(vec![topic]);
                }
                let near = self.near_names().await;
                let help = if near.is_empty() {
                    "check its name; it is not created by being read".to_owned()
                } else {
                    let near: Vec<_> = near.iter().map(|name| format!("{name:?}")).collect();
                    format!("did you mean {}?", near.join(", "))
                };
                Err(Failure::environment(format!("{}: there is no topic {name}", self.place)).with_help(help))
            }
        }
    }

    /// The start of each partition, in the order given.
    async fn starts(&mut self, places: &[TopicPartition], first: bool) -> Result<Vec<Choice>, Failure> {
        let stored = match &mut self.progress {
            Some(progress) => progress.read(places).await,
            None => Ok(Stored::default()),
        };
        let stored = stored.map_err(|error| self.failed(&error))?;
        let ends = identity::ends(&self.client, places).await.map_err(|error| self.failed(&error))?;
        let mut gaps = Vec::new();
        self.check_identity(places, &stored, &ends, &mut gaps).await?;
        let begun = stored.offsets.values().any(|committed| Evidence::of_commit(committed).is_some());
        let mut starts = Vec::with_capacity(places.len());
        for place in places {
            let Some(&(earliest, latest)) = ends.get(place) else {
                return Err(Failure::environment(format!(
                    "{}: {place}: the cluster does not say its offsets",
                    self.place
                )));
            };
            let committed = stored.offsets.get(place);
            let record = committed.map(|committed| committed.offset);
            let known = Known { record, full_completed: stored.full_completed(place), earliest, latest };
            let appeared = self.appeared(place, first && !begun, &stored);
            match self.course(place, appeared, known) {
                Ok(course) => starts.push(Choice {
                    course,
                    evidence: evidence(committed, &course, earliest),
                    placement: committed.and_then(Placement::of_commit),
                }),
                Err(gap) => gaps.push((place.clone(), gap)),
            }
        }
        // One reason for each partition: that it is another log says more than where it begins.
        let mut named = HashSet::new();
        gaps.retain(|(place, _)| named.insert(place.clone()));
        if !gaps.is_empty() {
            return Err(self.gap_failure(&gaps));
        }
        self.look_before(places, &mut starts, &ends).await?;
        Ok(starts)
    }

    fn course(&self, place: &TopicPartition, appeared: Appeared, known: Known) -> Result<Course, Gap> {
        if self.is_asked_from_earliest(place) {
            return Ok(plan::course_from_earliest(self.reading.mode(), known));
        }
        plan::course(self.reading.mode(), appeared, known)
    }

    /// Where someone removed the group's offsets but the topic is the one that the task has read, the task begins again as it
    /// began first.
    fn appeared(&self, place: &TopicPartition, first: bool, stored: &Stored) -> Appeared {
        let begun = self.progress.as_ref().is_some_and(Progress::has_begun);
        if first && (!begun || stored.has_mark(place)) { Appeared::AtFirstStart } else { Appeared::Later }
    }

    fn is_asked_from_earliest(&self, place: &TopicPartition) -> bool {
        self.from_earliest.iter().any(|topic| **topic == *place.topic)
    }

    /// Finds the partitions whose log is not the one that the task has read.
    async fn check_identity(
        &mut self,
        places: &[TopicPartition],
        stored: &Stored,
        ends: &Ends,
        gaps: &mut Vec<(TopicPartition, Gap)>,
    ) -> Result<(), Failure> {
        let Some(progress) = &self.progress else { return Ok(()) };
        let held = places.iter().filter(|place| !self.is_asked_from_earliest(place)).filter_map(|place| {
            let committed = stored.offsets.get(place)?;
            let evidence = Evidence::of_commit(committed)?;
            Some(Held { place: place.clone(), position: committed.offset, evidence })
        });
        let held: Vec<_> = held.collect();
        let results = identity::check(&self.client, &held, Some(ends)).await.map_err(|error| self.failed(&error))?;
        for (held, result) in held.iter().zip(results) {
            match result {
                Ok(Identity::RecordGone) => self.unproven.push(held.place.clone()),
                Ok(_) => {}
                Err(gap) => gaps.push((held.place.clone(), gap)),
            }
        }
        let mut kept = stored.topics();
        kept.extend(self.seen.iter().map(|place| &*place.topic));
        for place in places {
            let forgotten =
                progress.has_read(&place.topic) && !kept.contains(&*place.topic) && !self.is_asked_from_earliest(place);
            if let Some(&(earliest, latest)) = ends.get(place).filter(|_| forgotten) {
                gaps.push((place.clone(), Gap::Forgotten { earliest, latest }));
            }
        }
        Ok(())
    }

    /// A position after records of which none was read (the latest offset, or one that another tool set) is proven by the
    /// record before it.
    async fn look_before(&self, places: &[TopicPartition], starts: &mut [Choice], ends: &Ends) -> Result<(), Failure> {
        if self.progress.is_none() {
            return Ok(());
        }
        let after_some = |place: &TopicPartition, start: i64| ends.get(place).is_some_and(|(first, _)| start > *first);
        let wanted = places
            .iter()
            .zip(starts.iter())
            .filter(|(place, choice)| choice.evidence.record.is_none() && after_some(place, choice.course.start));
        let wanted: Vec<_> = wanted.map(|(place, choice)| (place.clone(), choice.course.start - 1)).collect();
        let records = self.client.fingerprints(&wanted).await.map_err(|error| self.failed(&error))?;
        for (place, Choice { evidence, .. }) in places.iter().zip(starts) {
            evidence.record = evidence.record.or_else(|| records.get(place).copied().flatten());
        }
        Ok(())
    }

    /// Stores that these partitions are read, and the positions where that begins. Returns those whose topic is not there for
    /// the group's coordinator.
    ///
    /// # Errors
    /// As the client says.
    pub async fn begin(&mut self, positions: &[Position]) -> Result<Vec<TopicPartition>, Error> {
        let Some(progress) = &mut self.progress else { return Ok(Vec::new()) };
        let places: Vec<_> = positions.iter().map(|position| position.place.clone()).collect();
        let without_room = progress.begin(&places).await?;
        if without_room > 0 {
            tracing::warn!(
                "{without_room} topics more than can be remembered: if one of them is deleted and created again while the task is stopped, that is not noticed"
            );
        }
        let mut refused = Vec::new();
        for (place, error) in progress.commit(positions).await? {
            if error.kind() != ErrorKind::UnknownTopic {
                return Err(error);
            }
            refused.push(place);
        }
        Ok(refused)
    }

    /// Holds positions against the logs they were taken from, in the order given.
    ///
    /// # Errors
    /// A leader cannot be asked.
    pub async fn check(&self, held: &[Held]) -> Result<Vec<Result<Identity, Gap>>, Error> {
        identity::check(&self.client, held, None).await
    }

    /// The partitions whose committed position could not be held against the log, since its last record was last read and then
    /// removed. Each is returned once.
    pub fn take_unproven(&mut self) -> Vec<TopicPartition> {
        std::mem::take(&mut self.unproven)
    }

    /// Commits positions of the task; nothing to do when it is read [once](Reading::Once). Returns the partitions that were
    /// refused, each with the reason.
    ///
    /// # Errors
    /// As the client says; a retriable one after it has been tried for a while.
    pub async fn commit(&self, positions: &[Position]) -> Result<Vec<(TopicPartition, Error)>, Error> {
        match &self.progress {
            Some(progress) if !positions.is_empty() => progress.commit(positions).await,
            _ => Ok(Vec::new()),
        }
    }

    /// Marks a full sync as completed up to these ends.
    ///
    /// # Errors
    /// As of [`commit`](Self::commit).
    pub async fn mark_completed(&self, ends: &[(TopicPartition, i64)]) -> Result<(), Error> {
        match &self.progress {
            Some(progress) => progress.mark_completed(ends).await,
            None => Ok(()),
        }
    }

    /// Commits the marks of these partitions again, so that brokers do not forget them.
    ///
    /// # Errors
    /// As of [`commit`](Self::commit).
    pub async fn renew_marks(&mut self, places: &[TopicPartition]) -> Result<(), Error> {
        match &mut self.progress {
            Some(progress) => progress.renew(places).await,
            None => Ok(()),
        }
    }

    /// An error of the consumer as the end of the task. One about a position that is not in the log any more says how much is
    /// missing, or that the log is another one by what is known of it.
    pub async fn read_failure(&self, error: &Error, evidence: Option<Evidence>) -> Failure {
        let plain = self.failed(error);
        let (ErrorKind::OffsetOutOfRange, Some(topic), Some(partition)) =
            (error.kind(), error.topic(), error.partition())
        else {
            return plain;
        };
        let place = TopicPartition::new(topic, partition);
        let Some(position) = error.offset().or_else(|| self.consumer.position(&place)) else { return plain };
        let held = Held { place: place.clone(), position, evidence: evidence.unwrap_or_default() };
        let Ok(ends) = identity::ends(&self.client, std::slice::from_ref(&place)).await else { return plain };
        let Some(&(earliest, latest)) = ends.get(&place) else { return plain };
        let other = match identity::check(&self.client, std::slice::from_ref(&held), Some(&ends)).await {
            Ok(results) => results.into_iter().find_map(Result::err),
            Err(_) => None,
        };
        // The log may have grown past the position since the broker refused it.
        let gap = other.or_else(|| plan::inside(position, earliest, latest).err());
        self.gap_failure(&[(place, gap.unwrap_or(Gap::Refused { record: position, earliest, latest }))])
    }

    /// The end of a task whose positions do not fit their logs, with the facts and the command that goes on.
    pub fn gap_failure(&self, gaps: &[(TopicPartition, Gap)]) -> Failure {
        let mut text = format!("{}: ", self.place);
        for (index, (place, gap)) in gaps.iter().take(GAPS_SHOWN).enumerate() {
            let line = if index > 0 { "\n  " } else { "" };
            text = format!("{text}{line}topic {}, partition {}: {gap}", place.topic, place.partition);
        }
        if gaps.len() > GAPS_SHOWN {
            text = format!("{text}\n  and {} more partitions", gaps.len() - GAPS_SHOWN);
        }
        let failure = Failure::data(text);
        let Reading::Task { group, .. } = &self.reading else { return failure.with_help("start the copy again") };
        let places: Vec<_> = gaps.iter().map(|(place, _)| place.clone()).collect();
        let topics = identity::topics_of(&places);
        let mut command = self.command.clone();
        for topic in topics.iter().take(GAPS_SHOWN) {
            command = format!("{command} --from-earliest {topic}");
        }
        failure.with_help(format!(
            "nothing was skipped and no position was moved; `{command}` reads what is there now from the beginning, or set \
             the offsets of the group {group} (kafka-consumer-groups --reset-offsets)"
        ))
    }

    fn failed(&self, error: &Error) -> Failure {
        client_failure(&self.place, error)
    }
}

/// What is known of the log of a position that is chosen: what was committed with it, where it is the committed one.
fn evidence(committed: Option<&Committed>, course: &Course, earliest: i64) -> Evidence {
    let committed = committed.filter(|committed| committed.offset == course.start).and_then(Evidence::of_commit);
    Evidence { log_start: Some(earliest), ..committed.unwrap_or_default() }
}
