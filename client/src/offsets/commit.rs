//! What groups have committed: OffsetCommit and OffsetFetch, asked of a group's coordinator.

use std::collections::HashMap;
use std::sync::Arc;

use ottla_protocol::ErrorCode;
use ottla_protocol::messages::{
    Message, OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic, OffsetCommitResponse,
    OffsetFetchRequest, OffsetFetchRequestTopic, OffsetFetchResponse,
};

use super::by_topic;
use crate::TopicPartition;
use crate::client::Client;
use crate::error::Error;
use crate::net::retry::Retry;

/// What a group has committed for a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Committed {
    /// The next offset to be read.
    pub offset: i64,
    /// The leader epoch of the last record read before it (KIP-320); `None` if none was committed, or the broker is older than
    /// 2.1.
    pub leader_epoch: Option<i32>,
    /// The text committed with it.
    pub metadata: Option<String>,
}

/// A position to commit for a group: the next offset to be read of a partition.
///
/// ```
/// use ottla_client::{CommitOffset, TopicPartition};
///
/// let position = CommitOffset::new(TopicPartition::new("orders", 0), 42).leader_epoch(Some(3)).metadata("nightly run");
/// assert_eq!((position.offset, position.metadata.as_deref()), (42, Some("nightly run")));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CommitOffset {
    /// The partition.
    pub partition: TopicPartition,
    /// The next offset to be read.
    pub offset: i64,
    /// The leader epoch of the last record read (KIP-320). Brokers before 2.1 do not keep it.
    pub leader_epoch: Option<i32>,
    /// Text to keep beside the offset; brokers take 4096 bytes unless `offset.metadata.max.bytes` says otherwise.
    pub metadata: Option<String>,
}

impl CommitOffset {
    /// A position without leader epoch or metadata.
    pub fn new(partition: TopicPartition, offset: i64) -> Self {
        Self { partition, offset, leader_epoch: None, metadata: None }
    }

    /// Sets the leader epoch of the last record read.
    #[must_use]
    pub fn leader_epoch(mut self, leader_epoch: Option<i32>) -> Self {
        self.leader_epoch = leader_epoch;
        self
    }

    /// Sets the text to keep beside the offset.
    #[must_use]
    pub fn metadata(mut self, metadata: impl Into<String>) -> Self {
        self.metadata = Some(metadata.into());
        self
    }

    fn on_wire(&self) -> OffsetCommitRequestPartition {
        OffsetCommitRequestPartition {
            partition_index: self.partition.partition,
            committed_offset: self.offset,
            committed_leader_epoch: self.leader_epoch.unwrap_or(-1),
            committed_metadata: self.metadata.clone(),
            ..OffsetCommitRequestPartition::default()
        }
    }
}

/// A member's place in a generation of its group.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Generation<'a> {
    pub(crate) id: i32,
    pub(crate) member_id: &'a str,
}

impl Client {
    /// What a group has committed for these partitions; a partition without a commit is missing from the result.
    pub async fn committed(
        &self,
        group: &str,
        partitions: &[TopicPartition],
    ) -> Result<HashMap<TopicPartition, Committed>, Error> {
        if partitions.is_empty() {
            return Ok(HashMap::new());
        }
        let topics = by_topic(partitions.iter().map(|place| (place, place.partition)));
        let topics =
            topics.into_iter().map(|(name, partition_indexes)| OffsetFetchRequestTopic { name, partition_indexes });
        let request = OffsetFetchRequest { group_id: group.to_owned(), topics: Some(topics.collect()) };
        // Version 0 reads ZooKeeper, not the group.
        let versions = 1..=*OffsetFetchRequest::VERSIONS.end();
        let answer = self.cluster.ask_coordinator(group, versions, |_| request.clone(), fetch_code).await;
        let answer = answer.map_err(|e| in_group(e, group))?;
        committed_in(answer).map_err(|e| in_group(e, group))
    }

    /// Commits positions for a group without live members: a coordinator refuses it while there are some. A
    /// [`SoleMember`](crate::SoleMember) commits by itself.
    ///
    /// # Errors
    /// The first partition that was refused, or why none was committed. [`commit_each`](Self::commit_each) has each of them.
    pub async fn commit(&self, group: &str, offsets: &[CommitOffset]) -> Result<(), Error> {
        match self.commit_each(group, offsets).await?.into_iter().next() {
            None => Ok(()),
            Some((_, error)) => Err(error),
        }
    }

    /// Commits positions for a group as [`commit`](Self::commit) does, and returns the partitions that were refused, each with
    /// the reason; the others are committed.
    ///
    /// A partition that does not exist is refused with [`ErrorKind::UnknownTopic`](crate::ErrorKind::UnknownTopic) and never
    /// tried again: by the next try its topic may have been created again, and the offset would belong to another log.
    ///
    /// # Errors
    /// Why nothing is known to be committed: no coordinator, no answer in time, or the group itself is refused.
    pub async fn commit_each(
        &self,
        group: &str,
        offsets: &[CommitOffset],
    ) -> Result<Vec<(TopicPartition, Error)>, Error> {
        self.commit_each_as(group, None, offsets).await
    }

    /// Commits as a member in its generation, or as none.
    pub(crate) async fn commit_each_as(
        &self,
        group: &str,
        generation: Option<Generation<'_>>,
        offsets: &[CommitOffset],
    ) -> Result<Vec<(TopicPartition, Error)>, Error> {
        let options = self.cluster.options();
        let mut retry = Retry::new(options, options.api_timeout);
        let mut open: Vec<&CommitOffset> = offsets.iter().collect();
        let mut refused = Vec::new();
        while !open.is_empty() {
            let answer = self.commit_once(group, generation, &open).await?;
            let failures: HashMap<_, _> = commit_failures(&answer).collect();
            open.retain(|offset| failures.get(&offset.partition).is_some_and(|code| is_coordinators(*code)));
            let error = |(place, code): (TopicPartition, ErrorCode)| {
                let error = in_group(commit_refused(code).at(&place).in_api(OffsetCommitRequest::KEY), group);
                (place, error)
            };
            let (again, last): (Vec<_>, Vec<_>) = failures.into_iter().partition(|(_, code)| is_coordinators(*code));
            refused.extend(last.into_iter().map(error));
            if let Some((_, error)) = again.into_iter().map(error).next() {
                retry.pause(error).await?;
            }
        }
        Ok(refused)
    }

    /// One answer in which some partition was settled.
    async fn commit_once(
        &self,
        group: &str,
        generation: Option<Generation<'_>>,
        offsets: &[&CommitOffset],
    ) -> Result<OffsetCommitResponse, Error> {
        let topics = by_topic(offsets.iter().map(|offset| (&offset.partition, offset.on_wire())));
        let topics = topics.into_iter().map(|(name, partitions)| OffsetCommitRequestTopic { name, partitions });
        let request = OffsetCommitRequest {
            group_id: group.to_owned(),
            generation_id: generation.map_or(-1, |generation| generation.id),
            member_id: generation.map_or_else(String::new, |generation| generation.member_id.to_owned()),
            topics: topics.collect(),
            ..OffsetCommitRequest::default()
        };
        // Version 0 writes to ZooKeeper, not to the group.
        let versions = 1..=*OffsetCommitRequest::VERSIONS.end();
        let count = offsets.len();
        let code = |answer: &OffsetCommitResponse| {
            let codes = commit_failures(answer).map(|failure| failure.1).filter(|code| is_coordinators(*code));
            let codes: Vec<_> = codes.collect();
            if codes.len() == count { codes.first().copied().unwrap_or_default() } else { ErrorCode::NONE }
        };
        let answer = self.cluster.ask_coordinator(group, versions, |_| request.clone(), code).await;
        answer.map_err(|e| in_group(e, group))
    }
}

/// Whether the code of a partition is about the coordinator, so that nothing was committed for the partition and another try
/// may succeed. A topic that is not there is none of these, although Kafka's own class calls it retriable.
fn is_coordinators(code: ErrorCode) -> bool {
    code.is_retriable() && code != ErrorCode::UNKNOWN_TOPIC_OR_PARTITION
}

/// The group's error, or a partition's that a moment later may be different. A partition that does not exist has no commit.
fn fetch_code(answer: &OffsetFetchResponse) -> ErrorCode {
    if !answer.error_code.is_ok() {
        return answer.error_code;
    }
    let codes = answer.topics.iter().flat_map(|topic| &topic.partitions).map(|partition| partition.error_code);
    codes.into_iter().find(|code| is_coordinators(*code)).unwrap_or_default()
}

fn committed_in(answer: OffsetFetchResponse) -> Result<HashMap<TopicPartition, Committed>, Error> {
    let mut committed = HashMap::new();
    for topic in answer.topics {
        let name: Arc<str> = topic.name.into();
        for partition in topic.partitions {
            let place = TopicPartition { topic: name.clone(), partition: partition.partition_index };
            match partition.error_code {
                ErrorCode::NONE | ErrorCode::UNKNOWN_TOPIC_OR_PARTITION => {}
                code => return Err(Error::from_code(code).at(&place).in_api(OffsetFetchRequest::KEY)),
            }
            if partition.committed_offset >= 0 {
                let leader_epoch = Some(partition.committed_leader_epoch).filter(|epoch| *epoch >= 0);
                let metadata = partition.metadata;
                committed.insert(place, Committed { offset: partition.committed_offset, leader_epoch, metadata });
            }
        }
    }
    Ok(committed)
}

fn commit_failures(answer: &OffsetCommitResponse) -> impl Iterator<Item = (TopicPartition, ErrorCode)> {
    let partitions = answer.topics.iter().flat_map(|topic| topic.partitions.iter().map(move |p| (&topic.name, p)));
    let failed = partitions.filter(|(_, partition)| !partition.error_code.is_ok());
    failed.map(|(name, p)| (TopicPartition::new(name.as_str(), p.partition_index), p.error_code))
}

fn commit_refused(code: ErrorCode) -> Error {
    let error = Error::from_code(code);
    match code {
        ErrorCode::ILLEGAL_GENERATION | ErrorCode::UNKNOWN_MEMBER_ID | ErrorCode::REBALANCE_IN_PROGRESS => {
            error.advice("the group has live members, which alone may commit: stop them, or use another group")
        }
        _ => error,
    }
}

pub(crate) fn in_group(error: Error, group: &str) -> Error {
    error.said(Some(&format!("group {group}")))
}
