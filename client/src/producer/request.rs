//! Batches into one Produce request, and its answer back to each of them.

use bytes::Bytes;
use ottla_protocol::messages::{
    PartitionProduceData, PartitionProduceResponse, ProduceRequest, ProduceResponse, TopicProduceData,
};
use ottla_protocol::{ApiKey, ErrorCode};

use std::sync::Arc;

use super::options::ProducerOptions;
use super::shared::Partition;
use crate::core::accumulator::Attempt;
use crate::core::accumulator::batch::Batch;
use crate::error::{Error, ErrorKind};

/// A batch on its way, and the partition that it came from.
pub(super) struct Parcel {
    pub(super) partition: Arc<Partition>,
    pub(super) batch: Batch,
}

/// The request that carries these parcels with their bytes. They have to be [sorted](sort) by place.
pub(super) fn request<'a>(
    options: &ProducerOptions,
    parcels: impl Iterator<Item = (&'a Parcel, Bytes)>,
) -> ProduceRequest {
    let mut topics: Vec<TopicProduceData> = Vec::new();
    for (parcel, bytes) in parcels {
        let place = &parcel.partition.place;
        let data = PartitionProduceData { partition_index: place.partition, records: Some(bytes) };
        match topics.last_mut().filter(|topic| *topic.name == *place.topic) {
            Some(topic) => topic.partitions.push(data),
            None => topics.push(TopicProduceData { name: place.topic.to_string(), partitions: vec![data] }),
        }
    }
    ProduceRequest {
        transactional_id: None,
        acks: options.acks.code(),
        timeout_ms: options.request_timeout_ms(),
        topics,
    }
}

/// By topic and partition, as [`request`] and [`attempts`] want them.
pub(super) fn sort(parcels: &mut [Parcel]) {
    parcels.sort_unstable_by(|a, b| a.partition.place.cmp(&b.partition.place));
}

/// What the answer says about each parcel, in the order of the parcels. The broker answers in any order.
pub(super) fn attempts(parcels: &[Parcel], answer: &ProduceResponse, peer: &Arc<str>) -> Vec<Attempt> {
    let mut attempts: Vec<Option<Attempt>> = parcels.iter().map(|_| None).collect();
    for topic in &answer.responses {
        for partition in &topic.partitions {
            let wanted = (&*topic.name, partition.partition_index);
            let found = parcels.binary_search_by(|parcel| {
                let place = &parcel.partition.place;
                (&*place.topic, place.partition).cmp(&wanted)
            });
            if let Ok(at) = found
                && let (Some(slot), Some(parcel)) = (attempts.get_mut(at), parcels.get(at))
            {
                *slot = Some(attempt(parcel, partition, peer));
            }
        }
    }
    let filled = attempts.into_iter().zip(parcels).map(|(attempt, parcel)| {
        attempt.unwrap_or_else(|| {
            let error = Error::new(ErrorKind::Corrupt, "the answer leaves this partition out").written_maybe(true);
            Attempt::Lost(locate(error, parcel, peer))
        })
    });
    filled.collect()
}

fn attempt(parcel: &Parcel, answer: &PartitionProduceResponse, peer: &Arc<str>) -> Attempt {
    match answer.error_code {
        ErrorCode::NONE => Attempt::Acknowledged { base_offset: Some(answer.base_offset) },
        code => Attempt::Refused {
            code,
            log_start_offset: answer.log_start_offset,
            error: locate(advised(Error::from_code(code)), parcel, peer),
        },
    }
}

/// Adds where it happened.
pub(super) fn locate(error: Error, parcel: &Parcel, peer: &Arc<str>) -> Error {
    error.at(&parcel.partition.place).in_api(ApiKey::PRODUCE).on_broker(peer.clone())
}

/// Adds what to do, where the broker's own words leave that open.
fn advised(error: Error) -> Error {
    let advice = match error.code() {
        Some(ErrorCode::MESSAGE_TOO_LARGE | ErrorCode::RECORD_LIST_TOO_LARGE) => {
            "send smaller records, compress them, or raise the topic's max.message.bytes"
        }
        Some(ErrorCode::INVALID_TIMESTAMP) => {
            "compare the record's time with the broker's clock, or raise message.timestamp.difference.max.ms"
        }
        Some(ErrorCode::CORRUPT_MESSAGE) => "a compacted topic takes no record without a key",
        Some(ErrorCode::TOPIC_AUTHORIZATION_FAILED) => "grant the user WRITE on the topic",
        Some(ErrorCode::CLUSTER_AUTHORIZATION_FAILED) => "grant the user IDEMPOTENT_WRITE on the cluster",
        Some(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER | ErrorCode::UNKNOWN_PRODUCER_ID) => {
            "records acknowledged before may have been lost by the brokers (an unclean leader election?)"
        }
        Some(ErrorCode::NOT_ENOUGH_REPLICAS | ErrorCode::NOT_ENOUGH_REPLICAS_AFTER_APPEND) => {
            "bring the replicas back, or lower the topic's min.insync.replicas"
        }
        _ => return error,
    };
    error.advice(advice)
}
