//! Offsets: where partitions begin and end, and what groups have committed.

mod leader;

use std::collections::HashMap;
use std::sync::Arc;

use ottla_protocol::ErrorCode;
use ottla_protocol::messages::{
    ListOffsetRequest, Message, OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
    OffsetCommitResponse, OffsetFetchRequest, OffsetFetchRequestTopic, OffsetFetchResponse,
};
use tokio::task::JoinSet;

use crate::TopicPartition;
use crate::client::Client;
use crate::core::high_watermark::LogEnds;
use crate::core::metadata::Metadata;
use crate::error::{Error, ErrorKind};
use crate::net::retry::Retry;

use leader::{Leader, Told};

/// A partition may be missing this often in a row before it is said not to exist: right after a topic's creation brokers
/// differ.
const MISSES_BELIEVED: u32 = 3;

/// Which offset of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OffsetAt {
    /// The first record that is still there.
    Earliest,
    /// After the last record that all in-sync replicas have (the high watermark). A leader that does not know it yet, having
    /// just been elected, is asked again, also one from before Kafka 2.2, which does not say so (KIP-207).
    Latest,
    /// Before the first open transaction, or [`OffsetAt::Latest`] if none is open. Needs Kafka 0.11.
    LatestStable,
    /// The first record that is not older than this, in milliseconds since 1970. A leader that was just elected may not see
    /// the last records yet, and one from before Kafka 2.2 does not say so.
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
    /// from the result; otherwise every partition is in it, or the call fails. [`OffsetAt::Latest`] is
    /// past every record that was committed when the call began: where a leader does not learn in time how far its log is
    /// committed, the error is the retriable OFFSET_NOT_AVAILABLE (78).
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
        let mut found = Found { offsets: HashMap::with_capacity(open.len()), log_ends: LogEnds::default() };
        let mut misses = 0;
        loop {
            let failures = match retry.within(self.ask_leaders(&open, at, &mut found)).await {
                Ok(failures) => failures,
                Err(error) => open.iter().map(|place| (place.clone(), error.clone())).collect(),
            };
            let Some(error) = worst(&failures) else { return Ok(found.offsets) };
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
        found: &mut Found,
    ) -> Result<Vec<(TopicPartition, Error)>, Error> {
        let mut metadata = self.cluster.snapshot();
        if places.iter().any(|place| metadata.leader(&place.topic, place.partition).is_none()) {
            let topics: Vec<_> = places.iter().map(|place| place.topic.clone()).collect();
            metadata = self.cluster.refresh(&topics).await?;
        }
        let (leaders, mut failures) = by_leader(places, &metadata);
        let mut asked = JoinSet::new();
        for leader in leaders {
            let cluster = self.cluster.clone();
            asked.spawn(async move { (leader.tell(&cluster, at).await, leader) });
        }
        while let Some(answers) = asked.join_next().await {
            let (answers, leader) =
                answers.map_err(|e| Error::new(ErrorKind::Closed, format!("the question was cut off: {e}")))?;
            for (place, told) in leader.places.into_iter().zip(answers) {
                if let Err(error) = told.and_then(|told| found.take(&place, &told)) {
                    let error = error.at(&place).in_api(ListOffsetRequest::KEY).on_broker(leader.node.to_string());
                    failures.push((place, error));
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

fn by_leader(places: &[TopicPartition], metadata: &Metadata) -> (Vec<Leader>, Vec<(TopicPartition, Error)>) {
    let mut leaders: HashMap<_, Leader> = HashMap::new();
    let mut failures = Vec::new();
    for place in places {
        let leader = metadata.leader(&place.topic, place.partition);
        match leader.and_then(|id| metadata.node(id)) {
            Some(node) => {
                let leader = leaders.entry(node.id);
                let leader = leader.or_insert_with(|| Leader { node: node.clone(), places: Vec::new() });
                leader.places.push(place.clone());
            }
            None => failures.push((place.clone(), crate::net::cluster::leaderless(metadata, place))),
        }
    }
    (leaders.into_values().collect(), failures)
}

/// What a call has found so far.
struct Found {
    offsets: HashMap<TopicPartition, i64>,
    log_ends: LogEnds,
}

impl Found {
    fn take(&mut self, place: &TopicPartition, told: &Told) -> Result<(), Error> {
        if let Some((log_end, high_watermark)) = told.ends {
            self.log_ends.judge(place, log_end, high_watermark)?;
        }
        if let Some(offset) = told.offset {
            self.offsets.insert(place.clone(), offset);
        }
        Ok(())
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
}
