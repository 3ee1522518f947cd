//! Offsets: where partitions begin and end, and what groups have committed.

pub(crate) mod commit;
mod fingerprint;
mod leader;

use std::collections::HashMap;

use ottla_protocol::messages::{ListOffsetRequest, Message};
use tokio::task::JoinSet;

use crate::TopicPartition;
use crate::client::Client;
use crate::core::high_watermark::LogEnds;
use crate::core::metadata::Metadata;
use crate::error::{Error, ErrorKind};
use crate::net::retry::Retry;

pub use commit::{CommitOffset, Committed};
pub use fingerprint::RecordFingerprint;
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
