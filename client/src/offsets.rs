//! Offsets: where partitions begin and end, and what groups have committed.

use std::collections::HashMap;
use std::sync::Arc;

use ottla_protocol::messages::{
    ListOffsetPartition, ListOffsetPartitionResponse, ListOffsetRequest, ListOffsetResponse, ListOffsetTopic, Message,
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic, OffsetCommitResponse,
    OffsetFetchRequest, OffsetFetchRequestTopic, OffsetFetchResponse,
};
use ottla_protocol::{ErrorCode, IsolationLevel};
use tokio::task::JoinSet;

use crate::TopicPartition;
use crate::client::Client;
use crate::core::metadata::{Metadata, Node};
use crate::error::{Error, ErrorKind};
use crate::net::Lane;
use crate::net::cluster::Cluster;
use crate::net::retry::Retry;

/// A partition may be missing this often in a row before it is said not to exist: right after a topic's creation brokers
/// differ.
const MISSES_BELIEVED: u32 = 3;

/// Which offset of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OffsetAt {
    /// The first record that is still there.
    Earliest,
    /// After the last record that all in-sync replicas have (the high watermark).
    Latest,
    /// Before the first open transaction, or [`OffsetAt::Latest`] if none is open. Needs Kafka 0.11.
    LatestStable,
    /// The first record that is not older than this, in milliseconds since 1970.
    Timestamp(i64),
}

/// What a group has committed for a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The next offset to be read.
    pub offset: i64,
    /// The text committed with it.
    pub metadata: Option<String>,
}

impl Client {
    /// The offsets of partitions, asked from their leaders. For a timestamp a partition without a record that young is missing
    /// from the result; otherwise every partition is in it, or the call fails.
    pub async fn offsets(
        &self,
        partitions: &[TopicPartition],
        at: OffsetAt,
    ) -> Result<HashMap<TopicPartition, i64>, Error> {
        let options = self.cluster.options();
        let mut retry = Retry::new(options, options.api_timeout);
        let mut open = partitions.to_vec();
        open.sort_unstable();
        open.dedup();
        let mut found = HashMap::with_capacity(open.len());
        let mut misses = 0;
        loop {
            let failures = match retry.within(self.ask_leaders(&open, at, &mut found)).await {
                Ok(failures) => failures,
                Err(error) => open.iter().map(|place| (place.clone(), error.clone())).collect(),
            };
            let Some(error) = worst(&failures) else { return Ok(found) };
            misses += u32::from(error.kind() == ErrorKind::UnknownTopic);
            if misses >= MISSES_BELIEVED {
                return Err(error);
            }
            retry.pause(error).await?;
            open = failures.into_iter().map(|failure| failure.0).collect();
            let topics: Vec<_> = open.iter().map(|place| place.topic.clone()).collect();
            // Whatever it says: without leaders the next turn fails as this one did.
            let _ = retry.within(self.cluster.refresh(&topics)).await;
        }
    }

    /// Asks every leader once, all at the same time. Gives what failed and why.
    async fn ask_leaders(
        &self,
        places: &[TopicPartition],
        at: OffsetAt,
        found: &mut HashMap<TopicPartition, i64>,
    ) -> Result<Vec<(TopicPartition, Error)>, Error> {
        let mut metadata = self.cluster.snapshot();
        if places.iter().any(|place| metadata.leader(&place.topic, place.partition).is_none()) {
            let topics: Vec<_> = places.iter().map(|place| place.topic.clone()).collect();
            metadata = self.cluster.refresh(&topics).await?;
        }
        let (by_leader, mut failures) = by_leader(places, &metadata);
        let mut asked = JoinSet::new();
        for (node, places) in by_leader {
            asked.spawn(ask_leader(self.cluster.clone(), node, places, at));
        }
        while let Some(results) = asked.join_next().await {
            let results =
                results.map_err(|e| Error::new(ErrorKind::Closed, format!("the question was cut off: {e}")))?;
            for (place, result) in results {
                match result {
                    Ok(Some(offset)) => drop(found.insert(place, offset)),
                    Ok(None) => {}
                    Err(error) => failures.push((place, error)),
                }
            }
        }
        Ok(failures)
    }

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

    /// Commits, for a group, the next offset to be read of each partition, with any text beside it. For groups without live
    /// members: a coordinator refuses it while there are some.
    pub async fn commit(&self, group: &str, positions: &[(TopicPartition, i64, &str)]) -> Result<(), Error> {
        if positions.is_empty() {
            return Ok(());
        }
        let partition = |(place, offset, metadata): &(TopicPartition, i64, &str)| OffsetCommitRequestPartition {
            partition_index: place.partition,
            committed_offset: *offset,
            committed_metadata: Some((*metadata).to_owned()),
            ..OffsetCommitRequestPartition::default()
        };
        let topics = by_topic(positions.iter().map(|position| (&position.0, partition(position))));
        let topics = topics.into_iter().map(|(name, partitions)| OffsetCommitRequestTopic { name, partitions });
        let request = OffsetCommitRequest {
            group_id: group.to_owned(),
            topics: topics.collect(),
            ..OffsetCommitRequest::default()
        };
        // Version 0 writes to ZooKeeper, not to the group.
        let versions = 1..=*OffsetCommitRequest::VERSIONS.end();
        let again = |answer: &OffsetCommitResponse| commit_failures(answer).map(|f| f.1).find(|c| c.is_retriable());
        let code = |answer: &OffsetCommitResponse| again(answer).unwrap_or_default();
        let answer = self.cluster.ask_coordinator(group, versions, |_| request.clone(), code).await;
        let answer = answer.map_err(|e| in_group(e, group))?;
        match commit_failures(&answer).next() {
            None => Ok(()),
            Some((place, code)) => {
                Err(in_group(commit_refused(code).at(&place).in_api(OffsetCommitRequest::KEY), group))
            }
        }
    }
}

/// The failure to report: one that no retry can mend, or the first.
fn worst(failures: &[(TopicPartition, Error)]) -> Option<Error> {
    let worst = failures.iter().find(|failure| !failure.1.is_retriable()).or(failures.first());
    worst.map(|failure| failure.1.clone())
}

type ByLeader = Vec<(Node, Vec<TopicPartition>)>;

fn by_leader(places: &[TopicPartition], metadata: &Metadata) -> (ByLeader, Vec<(TopicPartition, Error)>) {
    let mut by_leader: HashMap<_, (Node, Vec<_>)> = HashMap::new();
    let mut failures = Vec::new();
    for place in places {
        let leader = metadata.leader(&place.topic, place.partition);
        match leader.and_then(|id| metadata.node(id)) {
            Some(node) => by_leader.entry(node.id).or_insert_with(|| (node.clone(), Vec::new())).1.push(place.clone()),
            None => failures.push((place.clone(), crate::net::cluster::leaderless(metadata, place))),
        }
    }
    (by_leader.into_values().collect(), failures)
}

type Offsets = Vec<(TopicPartition, Result<Option<i64>, Error>)>;

/// Asks one leader once.
async fn ask_leader(cluster: Cluster, node: Node, places: Vec<TopicPartition>, at: OffsetAt) -> Offsets {
    let request = list_offsets(&places, at);
    // Version 0 answers with segment starts; isolation came with version 2.
    let first = if at == OffsetAt::LatestStable { 2 } else { 1 };
    let versions = first..=*ListOffsetRequest::VERSIONS.end();
    let timeout = cluster.options().request_timeout;
    match cluster.ask_node(&node, Lane::Other, versions, |_| request.clone(), timeout).await {
        Ok(answer) => offsets_in(&answer, places, &node),
        Err(error) => places.into_iter().map(|place| (place.clone(), Err(error.clone().at(&place)))).collect(),
    }
}

fn list_offsets(places: &[TopicPartition], at: OffsetAt) -> ListOffsetRequest {
    let timestamp = match at {
        OffsetAt::Earliest => -2,
        OffsetAt::Latest | OffsetAt::LatestStable => -1,
        OffsetAt::Timestamp(ms) => ms,
    };
    let partition = |place: &TopicPartition| ListOffsetPartition {
        partition_index: place.partition,
        timestamp,
        ..ListOffsetPartition::default()
    };
    let topics = by_topic(places.iter().map(|place| (place, partition(place))));
    let topics = topics.into_iter().map(|(name, partitions)| ListOffsetTopic { name, partitions }).collect();
    let isolation_level = match at {
        OffsetAt::LatestStable => IsolationLevel::READ_COMMITTED,
        _ => IsolationLevel::READ_UNCOMMITTED,
    };
    ListOffsetRequest { replica_id: -1, isolation_level, topics }
}

/// Each asked partition's offset; one that the answer leaves out is an error too.
fn offsets_in(answer: &ListOffsetResponse, places: Vec<TopicPartition>, node: &Node) -> Offsets {
    let result = |place: &TopicPartition| {
        let topics = answer.topics.iter().filter(|topic| *topic.name == *place.topic);
        let mut partitions = topics.flat_map(|topic| &topic.partitions);
        match partitions.find(|partition| partition.partition_index == place.partition) {
            Some(partition) => offset_of(partition),
            None => Err(Error::new(ErrorKind::Corrupt, "the answer does not speak of this partition")),
        }
        .map_err(|e| e.at(place).in_api(ListOffsetRequest::KEY).on_broker(node.to_string()))
    };
    places.into_iter().map(|place| (place.clone(), result(&place))).collect()
}

fn offset_of(partition: &ListOffsetPartitionResponse) -> Result<Option<i64>, Error> {
    match partition.error_code {
        ErrorCode::NONE => Ok((partition.offset >= 0).then_some(partition.offset)),
        // A message format without times: no record is known to be that young.
        ErrorCode::UNSUPPORTED_FOR_MESSAGE_FORMAT => Ok(None),
        code => Err(Error::from_code(code)),
    }
}

/// Things of partitions, gathered by topic.
fn by_topic<'a, T>(items: impl Iterator<Item = (&'a TopicPartition, T)>) -> Vec<(String, Vec<T>)> {
    let mut topics: Vec<(String, Vec<T>)> = Vec::new();
    let mut places = HashMap::new();
    for (place, item) in items {
        let at = *places.entry(place.topic.clone()).or_insert_with(|| {
            topics.push((place.topic.to_string(), Vec::new()));
            topics.len() - 1
        });
        if let Some(topic) = topics.get_mut(at) {
            topic.1.push(item);
        }
    }
    topics
}

/// The group's error, or a partition's that a moment later may be different. A partition that does not exist has no commit.
fn fetch_code(answer: &OffsetFetchResponse) -> ErrorCode {
    if !answer.error_code.is_ok() {
        return answer.error_code;
    }
    let codes = answer.topics.iter().flat_map(|topic| &topic.partitions).map(|partition| partition.error_code);
    let again = |code: &ErrorCode| code.is_retriable() && *code != ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
    codes.into_iter().find(again).unwrap_or_default()
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
                committed.insert(place, Committed { offset: partition.committed_offset, metadata: partition.metadata });
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

fn in_group(error: Error, group: &str) -> Error {
    error.said(Some(&format!("group {group}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_gathered_by_topic_in_the_order_they_came() {
        let places = ["b", "a", "b"].map(|topic| TopicPartition::new(topic, 0));
        let topics = by_topic(places.iter().zip(0..));
        assert_eq!(topics, [("b".to_owned(), vec![0, 2]), ("a".to_owned(), vec![1])]);
    }

    #[test]
    fn a_request_fits_every_version_it_may_be_sent_in() {
        let places = [TopicPartition::new("t", 0)];
        for at in [OffsetAt::Earliest, OffsetAt::Latest, OffsetAt::Timestamp(7)] {
            let request = list_offsets(&places, at);
            assert_eq!(request.replica_id, -1);
            for version in 1..=5 {
                request.write(version).unwrap();
            }
        }
        list_offsets(&places, OffsetAt::LatestStable).write(2).unwrap();
        assert!(list_offsets(&places, OffsetAt::LatestStable).write(1).is_err());
    }
}
