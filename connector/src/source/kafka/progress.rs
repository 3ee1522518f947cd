//! What Kafka keeps of a task: its positions, its marks, and which topics it has read.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use ottla_client::{Client, CommitOffset, Committed, Error, ErrorKind, TopicPartition};

use crate::core::evidence::Evidence;
use crate::core::placement::Placement;
use crate::core::plan::COMMIT_NOTE;
use crate::core::seen_topics::{KEPT_IN, SeenTopics};
use crate::mode;
use crate::task::sole::Sole;

/// Stands beside the commit, in the group of the marks, that says that a task reads a partition. [`COMMIT_NOTE`] alone says
/// there that a full sync of it completed.
const BEGUN_NOTE: &str = "ottla begun";

/// What is committed for each partition.
pub type Offsets = HashMap<TopicPartition, Committed>;

/// A position to commit.
#[derive(Debug, Clone)]
pub struct Position {
    /// The partition.
    pub place: TopicPartition,
    /// The next offset to read.
    pub offset: i64,
    /// What is known of the log that it belongs to.
    pub evidence: Evidence,
    /// Where the records before it were put, if the target has partitions.
    pub placement: Option<Placement>,
}

impl Position {
    /// What stands beside the offset: the log's evidence, and the placement.
    fn note(&self) -> String {
        match self.placement.as_ref().and_then(Placement::note) {
            Some(placement) => format!("{} {placement}", self.evidence),
            None => self.evidence.to_string(),
        }
    }
}

/// Where a task keeps how far it is.
#[derive(Debug, Clone)]
pub struct Progress {
    client: Client,
    group: String,
    sole: Arc<Sole>,
    seen: Seen,
}

/// What is known of the topics that the task has read.
#[derive(Debug, Clone)]
enum Seen {
    NotRead,
    Kept(SeenTopics),
    /// The brokers do not keep it, for this reason.
    Refused(String),
}

/// What Kafka keeps of some partitions.
#[derive(Debug, Default)]
pub struct Stored {
    /// The committed offsets.
    pub offsets: Offsets,
    /// The marks of completed full syncs, and of partitions that the task has begun to read.
    marks: Offsets,
}

impl Stored {
    /// Whether a full sync of the task completed the partition.
    pub fn full_completed(&self, place: &TopicPartition) -> bool {
        self.marks.get(place).is_some_and(is_completed)
    }

    /// Whether the task has read the partition, in a topic that was not deleted since.
    pub fn has_mark(&self, place: &TopicPartition) -> bool {
        self.marks.contains_key(place)
    }

    /// The topics of which anything is kept.
    pub fn topics(&self) -> HashSet<&str> {
        self.offsets.keys().chain(self.marks.keys()).map(|place| &*place.topic).collect()
    }
}

impl Progress {
    /// The progress of the task whose positions are kept under `group`, and which `sole` lets commit.
    pub fn new(client: Client, group: String, sole: Arc<Sole>) -> Self {
        Self { client, group, sole, seen: Seen::NotRead }
    }

    /// What is kept of these partitions.
    ///
    /// # Errors
    /// As the client says.
    pub async fn read(&mut self, places: &[TopicPartition]) -> Result<Stored, Error> {
        let offsets = self.client.committed(&self.group, places).await?;
        let marks = self.client.committed(&mode::marks_group(&self.group), places).await?;
        Ok(Stored { offsets, marks })
    }

    /// Reads which topics the task has read. Returns why that is not known, if it is not.
    ///
    /// # Errors
    /// As the client says, where trying again may help.
    pub async fn read_seen(&mut self) -> Result<Option<&str>, Error> {
        if matches!(self.seen, Seen::NotRead) {
            self.seen = match self.seen_topics().await {
                Ok(seen) => seen,
                Err(error) if is_refusal(&error) => Seen::Refused(error.to_string()),
                Err(error) => return Err(error),
            };
        }
        Ok(match &self.seen {
            Seen::Refused(why) => Some(why),
            Seen::Kept(_) | Seen::NotRead => None,
        })
    }

    async fn seen_topics(&self) -> Result<Seen, Error> {
        let group = mode::marks_group(&self.group);
        // The first commit of a group makes brokers create the topic; to look for the group is enough.
        self.client.committed(&group, &[TopicPartition::new(KEPT_IN, 0)]).await?;
        let Some(topic) = self.client.topic(KEPT_IN).await? else {
            return Ok(Seen::Refused(format!("this user does not see topic {KEPT_IN}")));
        };
        let place = |partition: usize| TopicPartition { topic: topic.name.clone(), partition: partition as i32 };
        let places: Vec<_> = (0..topic.partitions.len()).map(place).collect();
        let committed = self.client.committed(&group, &places).await?;
        let texts: Vec<_> = places.iter().map(|place| committed.get(place)?.metadata.as_deref()).collect();
        Ok(Seen::Kept(SeenTopics::read(&texts)))
    }

    /// Whether the task has begun before, by the list of its topics.
    pub fn has_begun(&self) -> bool {
        matches!(&self.seen, Seen::Kept(seen) if seen.has_begun())
    }

    /// Whether the task has read a topic of this name.
    pub fn has_read(&self, topic: &str) -> bool {
        matches!(&self.seen, Seen::Kept(seen) if seen.contains(topic))
    }

    /// Stores that the task reads these partitions, which must be done before the first of their records is read. Returns
    /// the number of topics for which there was no room.
    ///
    /// # Errors
    /// As the client says.
    pub async fn begin(&mut self, places: &[TopicPartition]) -> Result<usize, Error> {
        let marks_group = mode::marks_group(&self.group);
        let marks = self.client.committed(&marks_group, places).await?;
        let renewed = |place: &TopicPartition| match marks.get(place) {
            Some(mark) if is_completed(mark) => CommitOffset::new(place.clone(), mark.offset).metadata(COMMIT_NOTE),
            _ => CommitOffset::new(place.clone(), 0).metadata(BEGUN_NOTE),
        };
        let commits: Vec<_> = places.iter().map(renewed).collect();
        for (_, error) in self.client.commit_each(&marks_group, &commits).await? {
            // A topic that is gone keeps no mark, and one that was just created gets it with the next commit.
            if error.kind() != ErrorKind::UnknownTopic {
                return Err(error);
            }
        }
        self.store_seen(&marks_group, places).await
    }

    async fn store_seen(&mut self, marks_group: &str, places: &[TopicPartition]) -> Result<usize, Error> {
        let Seen::Kept(seen) = &mut self.seen else { return Ok(0) };
        let topics = super::identity::topics_of(places);
        let without_room = topics.iter().filter(|topic| !seen.insert(topic)).count();
        let commits = list_commits(seen.to_commit());
        match self.client.commit(marks_group, &commits).await {
            Ok(()) => seen.committed(),
            Err(error) if is_refusal(&error) => self.seen = Seen::Refused(error.to_string()),
            Err(error) => return Err(error),
        }
        Ok(without_room)
    }

    /// Commits the marks and the list of topics again, so that brokers do not forget them.
    ///
    /// # Errors
    /// As the client says.
    pub async fn renew(&mut self, places: &[TopicPartition]) -> Result<(), Error> {
        self.begin(places).await?;
        if let Seen::Kept(seen) = &self.seen {
            let commits = list_commits(seen.to_renew());
            self.client.commit(&mode::marks_group(&self.group), &commits).await?;
        }
        Ok(())
    }

    /// Commits positions. Returns the partitions that were refused; the others are committed.
    ///
    /// # Errors
    /// As the client says: nothing is known to be committed.
    pub async fn commit(&self, positions: &[Position]) -> Result<Vec<(TopicPartition, Error)>, Error> {
        let commit = |position: &Position| {
            CommitOffset::new(position.place.clone(), position.offset)
                .leader_epoch(position.evidence.leader_epoch)
                .metadata(position.note())
        };
        let commits: Vec<_> = positions.iter().map(commit).collect();
        self.sole.commit_each(&commits).await
    }

    /// Marks a full sync as completed up to these ends.
    ///
    /// # Errors
    /// As the client says.
    pub async fn mark_completed(&self, ends: &[(TopicPartition, i64)]) -> Result<(), Error> {
        let mark = |(place, end): &(TopicPartition, i64)| CommitOffset::new(place.clone(), *end).metadata(COMMIT_NOTE);
        let marks: Vec<_> = ends.iter().map(mark).collect();
        self.client.commit(&mode::marks_group(&self.group), &marks).await
    }
}

/// Whether a mark says that a full sync completed, as every one does that another tool set.
fn is_completed(mark: &Committed) -> bool {
    mark.metadata.as_deref() != Some(BEGUN_NOTE)
}

fn list_commits(lists: Vec<(i32, String)>) -> Vec<CommitOffset> {
    let commit = |(partition, text)| CommitOffset::new(TopicPartition::new(KEPT_IN, partition), 0).metadata(text);
    lists.into_iter().map(commit).collect()
}

/// Whether the brokers do not let this user, or anyone, keep the list of topics: trying again does not help.
fn is_refusal(error: &Error) -> bool {
    !error.is_retriable() || error.kind() == ErrorKind::UnknownTopic
}
