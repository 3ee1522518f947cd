//! OffsetCommit: keeps positions, of members and of consumers that are none.

use ottla_protocol::messages::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitResponse, OffsetCommitResponsePartition,
    OffsetCommitResponseTopic,
};
use ottla_protocol::{ApiKey, ErrorCode};

use super::{Call, Reply, Serve};
use crate::groups::{Committed, Committer};

/// The longest text beside a position (`offset.metadata.max.bytes`).
const MAX_METADATA: usize = 4096;

impl Serve for OffsetCommitRequest {
    fn refuse(&self, _: i16, error: ErrorCode) -> Reply<OffsetCommitResponse> {
        Reply::Answer(self.each(|_, _| error))
    }

    async fn serve(self, call: &mut Call<'_>) -> Reply<OffsetCommitResponse> {
        let committer = Committer {
            group: &self.group_id,
            generation: self.generation_id,
            member_id: &self.member_id,
            instance_id: self.group_instance_id.as_deref(),
        };
        let now = call.shared.now();
        let may = || call.shared.coordinator.with(|groups| groups.may_commit(now, &committer));
        if let Err(error) = call.check_coordinator(&self.group_id).and_then(|()| may()) {
            return self.refuse(call.version, error);
        }
        Reply::Answer(self.each(|topic, position| match commit(call, &self.group_id, topic, position) {
            Ok(()) => ErrorCode::NONE,
            Err(error) => error,
        }))
    }
}

trait Each {
    fn each(&self, result: impl Fn(&str, &OffsetCommitRequestPartition) -> ErrorCode) -> OffsetCommitResponse;
}

impl Each for OffsetCommitRequest {
    fn each(&self, result: impl Fn(&str, &OffsetCommitRequestPartition) -> ErrorCode) -> OffsetCommitResponse {
        let topics = self.topics.iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|position| OffsetCommitResponsePartition {
                partition_index: position.partition_index,
                error_code: result(&topic.name, position),
            });
            OffsetCommitResponseTopic { name: topic.name.clone(), partitions: partitions.collect() }
        });
        OffsetCommitResponse { topics: topics.collect(), ..OffsetCommitResponse::default() }
    }
}

fn commit(call: &Call<'_>, group: &str, topic: &str, position: &OffsetCommitRequestPartition) -> Result<(), ErrorCode> {
    let partition = position.partition_index;
    if let Some(error) = call.shared.faults().partition(call.node, ApiKey::OFFSET_COMMIT, topic, partition) {
        return Err(error);
    }
    if call.shared.cluster().partition(topic, partition).is_none() {
        return Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    }
    let metadata = position.committed_metadata.clone().unwrap_or_default();
    if metadata.len() > MAX_METADATA {
        return Err(ErrorCode::OFFSET_METADATA_TOO_LARGE);
    }
    let leader_epoch = position.committed_leader_epoch;
    let committed = Committed { offset: position.committed_offset, leader_epoch, metadata };
    call.shared.coordinator.with(|groups| groups.commit(group, topic, partition, committed));
    Ok(())
}
