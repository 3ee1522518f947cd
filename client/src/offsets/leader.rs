//! What one leader says of its partitions' offsets.

use std::ops::RangeInclusive;

use ottla_protocol::messages::{
    ListOffsetPartition, ListOffsetPartitionResponse, ListOffsetRequest, ListOffsetResponse, ListOffsetTopic, Message,
};
use ottla_protocol::{ErrorCode, IsolationLevel};

use super::{OffsetAt, by_topic};
use crate::TopicPartition;
use crate::core::high_watermark::FIRST_HONEST;
use crate::core::metadata::Node;
use crate::error::{Error, ErrorKind};
use crate::net::Lane;
use crate::net::cluster::Cluster;

/// A broker, and what it is thought to lead.
pub(super) struct Leader {
    pub(super) node: Node,
    pub(super) places: Vec<TopicPartition>,
}

/// What a leader says of a partition.
pub(super) struct Told {
    /// `None` if no record is as young as was asked for.
    pub(super) offset: Option<i64>,
    /// Of a broker whose high watermark may be behind without its saying so: its log end, and after that its high watermark.
    pub(super) ends: Option<(i64, i64)>,
}

/// One question of a ListOffsets request.
#[derive(Debug, Clone, Copy)]
struct Question {
    replica_id: i32,
    timestamp: i64,
    isolation_level: IsolationLevel,
    /// The first version it can be asked in.
    since: i16,
}

impl Question {
    /// Where the log ends, whatever is committed. What caps the latest offset at the high watermark is the replica id -1 of
    /// consumers; -2 is `ListOffsetRequest.DEBUGGING_REPLICA_ID`, takes no further right than they need, and is answered by
    /// followers too (`KafkaApis.handleListOffsetRequestV1AndAbove`, 0.11 to 2.1).
    const LOG_END: Self = Self { replica_id: -2, ..Self::of(OffsetAt::Latest) };

    const fn of(at: OffsetAt) -> Self {
        let timestamp = match at {
            OffsetAt::Earliest => -2,
            OffsetAt::Latest | OffsetAt::LatestStable => -1,
            OffsetAt::Timestamp(ms) => ms,
        };
        // Version 0 answers with segment starts; isolation came with version 2.
        let (isolation_level, since) = match at {
            OffsetAt::LatestStable => (IsolationLevel::READ_COMMITTED, 2),
            _ => (IsolationLevel::READ_UNCOMMITTED, 1),
        };
        Self { replica_id: -1, timestamp, isolation_level, since }
    }

    fn versions(self) -> RangeInclusive<i16> {
        self.since..=*ListOffsetRequest::VERSIONS.end()
    }

    fn about(self, places: &[TopicPartition]) -> ListOffsetRequest {
        let partition = |place: &TopicPartition| ListOffsetPartition {
            partition_index: place.partition,
            timestamp: self.timestamp,
            ..ListOffsetPartition::default()
        };
        let topics = by_topic(places.iter().map(|place| (place, partition(place))));
        let topics = topics.into_iter().map(|(name, partitions)| ListOffsetTopic { name, partitions }).collect();
        ListOffsetRequest { replica_id: self.replica_id, isolation_level: self.isolation_level, topics }
    }
}

/// An answer for each of a leader's places, in their order.
type Answers<T> = Vec<Result<T, Error>>;

impl Leader {
    /// Asks once; for a latest offset that has to be checked, the questions that this takes.
    pub(super) async fn tell(&self, cluster: &Cluster, at: OffsetAt) -> Answers<Told> {
        let question = Question::of(at);
        let checked = match at {
            OffsetAt::Latest | OffsetAt::LatestStable => self.may_be_behind(cluster, question).await,
            OffsetAt::Earliest | OffsetAt::Timestamp(_) => Ok(false),
        };
        match checked {
            Ok(true) => self.tell_checked(cluster, at).await,
            Ok(false) => {
                let offsets = self.ask(cluster, question).await.into_iter();
                offsets.map(|offset| offset.map(|offset| Told { offset, ends: None })).collect()
            }
            Err(error) => self.places.iter().map(|_| Err(error.clone())).collect(),
        }
    }

    async fn may_be_behind(&self, cluster: &Cluster, question: Question) -> Result<bool, Error> {
        let timeout = cluster.options().request_timeout;
        let version = cluster.version::<ListOffsetRequest>(&self.node, Lane::Other, question.versions(), timeout);
        Ok(version.await? < FIRST_HONEST)
    }

    /// The log end first: what it was then has to be committed by now. The last stable offset last: it is never beyond the
    /// high watermark, but may well stay before it as long as a transaction is open.
    async fn tell_checked(&self, cluster: &Cluster, at: OffsetAt) -> Answers<Told> {
        let log_ends = self.ask(cluster, Question::LOG_END).await;
        let high_watermarks = self.ask(cluster, Question::of(OffsetAt::Latest)).await;
        let offsets = match at {
            OffsetAt::LatestStable => self.ask(cluster, Question::of(at)).await,
            _ => high_watermarks.clone(),
        };
        let told = log_ends.into_iter().zip(high_watermarks).zip(offsets);
        told.map(|((log_end, high_watermark), offset)| together(log_end, high_watermark, offset)).collect()
    }

    async fn ask(&self, cluster: &Cluster, question: Question) -> Answers<Option<i64>> {
        let request = question.about(&self.places);
        let timeout = cluster.options().request_timeout;
        let answer = cluster.ask_node(&self.node, Lane::Other, question.versions(), |_| request.clone(), timeout).await;
        let offset = |place| answer.as_ref().map_err(Error::clone).and_then(|answer| offset_in(answer, place));
        self.places.iter().map(offset).collect()
    }
}

/// A log end counts only beside a high watermark, which leaders alone give out.
fn together(
    log_end: Result<Option<i64>, Error>,
    high_watermark: Result<Option<i64>, Error>,
    offset: Result<Option<i64>, Error>,
) -> Result<Told, Error> {
    let (Some(high_watermark), offset) = (high_watermark?, offset?) else {
        return Ok(Told { offset: None, ends: None });
    };
    match log_end {
        Ok(Some(log_end)) => Ok(Told { offset, ends: Some((log_end, high_watermark)) }),
        Ok(None) => Err(Error::new(ErrorKind::Protocol, "the answer does not say where the log ends")),
        // It held no replica then, and leads now.
        Err(error) if error.code() == Some(ErrorCode::REPLICA_NOT_AVAILABLE) => {
            Err(Error::from_code(ErrorCode::NOT_LEADER_FOR_PARTITION))
        }
        Err(error) => Err(error),
    }
}

/// A partition's offset; that the answer leaves it out is an error too.
fn offset_in(answer: &ListOffsetResponse, place: &TopicPartition) -> Result<Option<i64>, Error> {
    let topics = answer.topics.iter().filter(|topic| *topic.name == *place.topic);
    let mut partitions = topics.flat_map(|topic| &topic.partitions);
    match partitions.find(|partition| partition.partition_index == place.partition) {
        Some(partition) => offset_of(partition),
        None => Err(Error::new(ErrorKind::Protocol, "the answer does not speak of this partition")),
    }
}

fn offset_of(partition: &ListOffsetPartitionResponse) -> Result<Option<i64>, Error> {
    match partition.error_code {
        ErrorCode::NONE => Ok((partition.offset >= 0).then_some(partition.offset)),
        // A message format without times: no record is known to be that young.
        ErrorCode::UNSUPPORTED_FOR_MESSAGE_FORMAT => Ok(None),
        code => Err(Error::from_code(code)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_fits_every_version_it_may_be_asked_in() {
        let places = [TopicPartition::new("t", 0)];
        let questions = [OffsetAt::Earliest, OffsetAt::Latest, OffsetAt::LatestStable, OffsetAt::Timestamp(7)];
        for question in questions.map(Question::of) {
            assert_eq!(question.about(&places).replica_id, -1);
            for version in question.versions() {
                question.about(&places).write(version).unwrap();
            }
        }
        for version in Question::LOG_END.versions() {
            Question::LOG_END.about(&places).write(version).unwrap();
        }
        assert!(Question::of(OffsetAt::LatestStable).about(&places).write(1).is_err());
    }

    #[test]
    fn a_broker_that_was_no_leader_when_its_log_end_was_asked_for_is_asked_again() {
        let refused = |code| Err(Error::from_code(code));
        let error = together(refused(ErrorCode::REPLICA_NOT_AVAILABLE), Ok(Some(7)), Ok(Some(7))).err().unwrap();
        assert!(error.is_retriable(), "{error}");
        let error = together(Ok(Some(9)), refused(ErrorCode::NOT_LEADER_FOR_PARTITION), Ok(Some(7))).err().unwrap();
        assert_eq!(error.code(), Some(ErrorCode::NOT_LEADER_FOR_PARTITION), "a follower's log end counts for nothing");
    }
}
