//! Produce: checks each partition's batch and appends it.

use ottla_protocol::compression::Decompressor;
use ottla_protocol::messages::{
    PartitionProduceData, PartitionProduceResponse, ProduceRequest, ProduceResponse, TopicProduceResponse,
};
use ottla_protocol::records::{Batches, Record};
use ottla_protocol::{ApiKey, ErrorCode};
use tracing::warn;

use super::{Call, OPEN_LIMIT, Reply, Serve};
use crate::batch::{self, Checked};
use crate::faults::BatchTest;

impl Serve for ProduceRequest {
    fn refuse(&self, _: i16, error: ErrorCode) -> Reply<ProduceResponse> {
        if self.acks == 0 {
            return Reply::Close(format!("Produce with acks 0 failed: {error}"));
        }
        let responses = self.topics.iter().map(|topic| TopicProduceResponse {
            name: topic.name.clone(),
            partitions: topic.partitions.iter().map(|data| failed(data.partition_index, error)).collect(),
        });
        Reply::Answer(ProduceResponse { responses: responses.collect(), ..ProduceResponse::default() })
    }

    async fn serve(self, call: &mut Call<'_>) -> Reply<ProduceResponse> {
        if !(-1..=1).contains(&self.acks) {
            warn!(acks = self.acks, client = call.client_id, "acks is neither -1, 0 nor 1");
            return self.refuse(call.version, ErrorCode::INVALID_REQUIRED_ACKS);
        }
        let responses: Vec<TopicProduceResponse> = self
            .topics
            .into_iter()
            .map(|topic| TopicProduceResponse {
                partitions: topic.partitions.into_iter().map(|data| append(call, &topic.name, data)).collect(),
                name: topic.name,
            })
            .collect();
        if self.acks != 0 {
            return Reply::Answer(ProduceResponse { responses, ..ProduceResponse::default() });
        }
        let mut answers = responses.iter().flat_map(|topic| &topic.partitions);
        match answers.find(|answer| !answer.error_code.is_ok()) {
            Some(failed) => Reply::Close(format!("Produce with acks 0 failed: {}", failed.error_code)),
            None => Reply::Nothing,
        }
    }
}

/// The error of a fault that refuses the batch for what is in it.
fn fault_in(call: &Call<'_>, topic: &str, partition: i32, checked: &Checked) -> Option<ErrorCode> {
    if !call.shared.faults().any_of_batches() {
        return None;
    }
    let batch = Batches::new(checked.bytes.clone()).next()?.ok()?;
    let open = batch.open(&mut Decompressor::new(), OPEN_LIMIT).ok()?;
    let any = |test: &dyn Fn(&Record<'_>) -> bool| open.iter().flatten().any(|record| test(&record));
    let contains = |value: Option<&[u8]>, text: &str| {
        value.is_some_and(|value| value.windows(text.len()).any(|window| window == text.as_bytes()))
    };
    call.shared.faults().batch(call.node, topic, partition, |test| match test {
        BatchTest::RecordWithoutKey => any(&|record| record.key.is_none()),
        BatchTest::RecordWith(text) => any(&|record| contains(record.value, text)),
        BatchTest::ProducerId => checked.stamp.is_some(),
    })
}

fn failed(partition_index: i32, error_code: ErrorCode) -> PartitionProduceResponse {
    PartitionProduceResponse { partition_index, error_code, base_offset: -1, ..PartitionProduceResponse::default() }
}

fn append(call: &Call<'_>, topic: &str, data: PartitionProduceData) -> PartitionProduceResponse {
    let partition = data.partition_index;
    let fault = call.shared.faults().partition(call.node, ApiKey::PRODUCE, topic, partition);
    if let Some(error) = fault {
        return failed(partition, error);
    }
    let limit = call.shared.cluster().topic(topic).map_or(usize::MAX, |topic| topic.max_message_bytes);
    // Outside the lock: the checksum is most of the work.
    let checked = match batch::check(call.version, data.records, limit) {
        Ok(checked) => checked,
        Err(refused) => {
            warn!(topic, partition, client = call.client_id, error = %refused.error, "batch refused: {}", refused.why);
            return failed(partition, refused.error);
        }
    };
    if let Some(error) = fault_in(call, topic, partition, &checked) {
        return failed(partition, error);
    }
    let mut cluster = call.shared.cluster();
    let found = match cluster.led(call.node, topic, partition, -1) {
        Ok(found) => found,
        Err(error) => return failed(partition, error),
    };
    let log_start_offset = found.log.start();
    match found.log.append(&checked, found.leader_epoch) {
        Ok(appended) => {
            found.wake();
            let deleted = if appended.repeat { 0 } else { cluster.retain(checked.bytes.len() as u64) };
            if deleted > 0 {
                warn!(deleted, "the logs hold more bytes than they may: the oldest records are deleted");
            }
            PartitionProduceResponse {
                partition_index: partition,
                base_offset: appended.base_offset,
                log_start_offset,
                ..PartitionProduceResponse::default()
            }
        }
        Err(error) => {
            drop(cluster);
            warn!(topic, partition, client = call.client_id, stamp = ?checked.stamp, %error, "batch refused");
            PartitionProduceResponse { log_start_offset, ..failed(partition, error) }
        }
    }
}
