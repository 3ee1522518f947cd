//! OffsetFetch: a group's positions, those asked for or all.

use ottla_protocol::ErrorCode;
use ottla_protocol::messages::{
    OffsetFetchRequest, OffsetFetchResponse, OffsetFetchResponsePartition, OffsetFetchResponseTopic,
};

use super::{Call, Reply, Serve};
use crate::groups::{Committed, Groups};

/// The first version with an error for the group; before, each partition has it.
const FIRST_WITH_ERROR: i16 = 2;

impl Serve for OffsetFetchRequest {
    fn refuse(&self, version: i16, error_code: ErrorCode) -> Reply<OffsetFetchResponse> {
        if version >= FIRST_WITH_ERROR {
            return Reply::Answer(OffsetFetchResponse { error_code, ..OffsetFetchResponse::default() });
        }
        let topics =
            self.asked(|_, partition| OffsetFetchResponsePartition { error_code, ..position(partition, None) });
        Reply::Answer(OffsetFetchResponse { topics, ..OffsetFetchResponse::default() })
    }

    async fn serve(self, call: &mut Call<'_>) -> Reply<OffsetFetchResponse> {
        if let Err(error) = call.check_coordinator(&self.group_id) {
            return self.refuse(call.version, error);
        }
        let topics = call.shared.coordinator.with(|groups| {
            if self.topics.is_none() {
                return all(groups, &self.group_id);
            }
            self.asked(|topic, partition| position(partition, groups.committed(&self.group_id, topic, partition)))
        });
        Reply::Answer(OffsetFetchResponse { topics, ..OffsetFetchResponse::default() })
    }
}

trait Asked {
    fn asked(&self, answer: impl Fn(&str, i32) -> OffsetFetchResponsePartition) -> Vec<OffsetFetchResponseTopic>;
}

impl Asked for OffsetFetchRequest {
    fn asked(&self, answer: impl Fn(&str, i32) -> OffsetFetchResponsePartition) -> Vec<OffsetFetchResponseTopic> {
        let topics = self.topics.iter().flatten().map(|topic| OffsetFetchResponseTopic {
            name: topic.name.clone(),
            partitions: topic.partition_indexes.iter().map(|partition| answer(&topic.name, *partition)).collect(),
        });
        topics.collect()
    }
}

fn all(groups: &Groups, group: &str) -> Vec<OffsetFetchResponseTopic> {
    let mut topics: Vec<OffsetFetchResponseTopic> = Vec::new();
    for (name, partition, committed) in groups.all_committed(group) {
        let answer = position(partition, Some(committed));
        match topics.last_mut() {
            Some(topic) if topic.name == name => topic.partitions.push(answer),
            _ => topics.push(OffsetFetchResponseTopic { name: name.to_owned(), partitions: vec![answer] }),
        }
    }
    topics
}

/// -1 and an empty text stand for no position.
fn position(partition_index: i32, committed: Option<&Committed>) -> OffsetFetchResponsePartition {
    OffsetFetchResponsePartition {
        partition_index,
        committed_offset: committed.map_or(-1, |committed| committed.offset),
        committed_leader_epoch: committed.map_or(-1, |committed| committed.leader_epoch),
        metadata: Some(committed.map_or_else(String::new, |committed| committed.metadata.clone())),
        error_code: ErrorCode::NONE,
    }
}
