//! Whether records may be read, without reading any.

use std::collections::HashMap;

use ottla_protocol::ErrorCode;
use ottla_protocol::messages::{FetchPartition, FetchRequest, FetchableTopic, Message};

use crate::TopicPartition;
use crate::client::Client;
use crate::core::metadata::NodeId;
use crate::error::Error;
use crate::net::Lane;

/// No log is so long: brokers answer that the offset is not in it, and send no record.
const BEYOND_EVERY_LOG: i64 = i64::MAX;

impl Client {
    /// Whether the user may read these partitions, asked once from each leader; nothing is read. The error names the first
    /// topic that may not be read. Partitions that have no leader at the moment are passed over: see
    /// [`Partition::leader`](crate::Partition::leader).
    pub async fn check_read(&self, partitions: &[TopicPartition]) -> Result<(), Error> {
        let names: Vec<_> = partitions.iter().map(|place| place.topic.clone()).collect();
        let metadata = self.cluster.refresh_until_deadline(&names).await?;
        let mut by_leader: HashMap<NodeId, Vec<&TopicPartition>> = HashMap::new();
        for place in partitions {
            if let Some(leader) = metadata.leader(&place.topic, place.partition) {
                by_leader.entry(leader).or_default().push(place);
            }
        }
        for (leader, places) in by_leader {
            self.check_read_on(leader, &places).await?;
        }
        Ok(())
    }

    async fn check_read_on(&self, leader: NodeId, places: &[&TopicPartition]) -> Result<(), Error> {
        let answer = self.cluster.ask(leader, Lane::Other, &request(places)).await?;
        for topic in &answer.topics {
            let refused = topic.partitions.iter().find(|p| p.error_code == ErrorCode::TOPIC_AUTHORIZATION_FAILED);
            let Some(refused) = refused else { continue };
            let place = TopicPartition::new(topic.name.as_str(), refused.partition_index);
            return Err(Error::from_code(refused.error_code).at_topic(&place.topic).in_api(FetchRequest::KEY));
        }
        match answer.error_code {
            ErrorCode::NONE => Ok(()),
            code => Err(Error::from_code(code).in_api(FetchRequest::KEY)),
        }
    }
}

fn request(places: &[&TopicPartition]) -> FetchRequest {
    let mut topics: HashMap<&str, Vec<FetchPartition>> = HashMap::new();
    for place in places {
        topics.entry(&place.topic).or_default().push(FetchPartition {
            partition_index: place.partition,
            current_leader_epoch: -1,
            fetch_offset: BEYOND_EVERY_LOG,
            log_start_offset: -1,
            max_bytes: 1,
        });
    }
    let topics = topics.into_iter();
    let topics = topics.map(|(name, fetch_partitions)| FetchableTopic { name: name.to_owned(), fetch_partitions });
    FetchRequest { replica_id: -1, max_bytes: 1, epoch: -1, topics: topics.collect(), ..FetchRequest::default() }
}
