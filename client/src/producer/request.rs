//! Batches into one Produce request, and its answer back to each of them.

use std::sync::Arc;

use bytes::Bytes;
use ottla_protocol::messages::{
    PartitionProduceData, PartitionProduceResponse, ProduceRequest, ProduceResponse, TopicProduceData,
};
use ottla_protocol::{ApiKey, ErrorCode};

use super::options::ProducerOptions;
use super::shared::Partition;
use crate::core::accumulator::batch::Batch;
use crate::core::accumulator::{Attempt, INVALID_RECORD};
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
            let error = Error::new(ErrorKind::Protocol, "the answer leaves this partition out").written_maybe(true);
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
            error: locate(advised(named(code)), parcel, peer),
        },
    }
}

/// Adds where it happened.
pub(super) fn locate(error: Error, parcel: &Parcel, peer: &Arc<str>) -> Error {
    error.at(&parcel.partition.place).in_api(ApiKey::PRODUCE).on_broker(peer.clone())
}

/// The code as an error, with its name where that is younger than Kafka 2.3.
fn named(code: ErrorCode) -> Error {
    let words = "INVALID_RECORD: the topic does not take one of the batch's records";
    Error::from_code(code).said((code == INVALID_RECORD).then_some(words))
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
        Some(ErrorCode::CORRUPT_MESSAGE | INVALID_RECORD) => "a compacted topic takes no record without a key",
        Some(ErrorCode::UNSUPPORTED_COMPRESSION_TYPE) => "compress with another codec: zstd needs Kafka 2.1",
        Some(ErrorCode::INVALID_REQUIRED_ACKS) => "acks has to be 0, 1 or -1",
        Some(ErrorCode::INVALID_TOPIC_EXCEPTION) => "nobody but the brokers writes to an internal topic",
        Some(ErrorCode::UNSUPPORTED_FOR_MESSAGE_FORMAT) => "raise the topic's message.format.version",
        Some(ErrorCode::KAFKA_STORAGE_ERROR) => "look at the broker's disk and log",
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

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use ottla_protocol::messages::TopicProduceResponse;

    use super::super::shared::Desk;
    use super::*;
    use crate::TopicPartition;
    use crate::core::accumulator::memory::Budget;
    use crate::core::accumulator::{Append, Drain, Limits, Outgoing, PartitionQueue};

    fn peer() -> Arc<str> {
        "broker 1 at kafka:9092".into()
    }

    /// A parcel of one record from a partition of its own.
    fn parcel(topic: &str, partition: i32) -> Parcel {
        let limits = Limits {
            linger: Duration::ZERO,
            batch_bytes: 1024,
            delivery_timeout: Duration::from_mins(2),
            retry_backoff: Duration::ZERO,
            retry_backoff_max: Duration::ZERO,
            idempotent: false,
            stop_at_failure: false,
        };
        let mut queue = PartitionQueue::new(partition, Arc::new(limits));
        queue.grant(Budget::new(1 << 20, || ()).overdraw(1024), None, Instant::now());
        let record = Outgoing { value: Some(b"x"), ..Outgoing::default() };
        let Append::Taken(..) = queue.append(&record, record.size_bound(), 0) else { panic!("no room") };
        let Drain::Send(batch) = queue.drain(Instant::now(), usize::MAX, true) else { panic!("nothing due") };
        let partition = Partition::new(0, TopicPartition::new(topic, partition), queue, Desk::new(None));
        Parcel { partition, batch }
    }

    fn parcels() -> Vec<Parcel> {
        let mut parcels = vec![parcel("b", 0), parcel("a", 2), parcel("b", 10), parcel("a", 1)];
        sort(&mut parcels);
        parcels
    }

    /// Partition `p` of topic `a` got offset `p`, of topic `b` offset `100 + p`; `b-0` was refused. Nothing is in the order
    /// of the request.
    fn answer() -> ProduceResponse {
        let at = |partition_index: i32, base_offset| PartitionProduceResponse {
            partition_index,
            base_offset,
            ..PartitionProduceResponse::default()
        };
        let refused = PartitionProduceResponse { error_code: ErrorCode::NOT_LEADER_FOR_PARTITION, ..at(0, -1) };
        let topic = |name: &str, partitions| TopicProduceResponse { name: name.to_owned(), partitions };
        let responses = vec![topic("b", vec![at(10, 110), refused]), topic("a", vec![at(2, 2), at(1, 1)])];
        ProduceResponse { responses, ..ProduceResponse::default() }
    }

    fn told(attempts: &[Attempt]) -> Vec<String> {
        let tell = |attempt: &Attempt| match attempt {
            Attempt::Acknowledged { base_offset } => format!("{}", base_offset.unwrap()),
            Attempt::Refused { error, .. } | Attempt::Lost(error) | Attempt::Unsendable(error) => error.to_string(),
        };
        attempts.iter().map(tell).collect()
    }

    #[test]
    fn each_batch_gets_its_own_answer_in_whatever_order_they_come() {
        let attempts = told(&attempts(&parcels(), &answer(), &peer()));
        assert_eq!((&*attempts[0], &*attempts[1], &*attempts[3]), ("1", "2", "110"));
        assert!(attempts[2].starts_with("b-0, Produce to broker 1 at kafka:9092: NOT_LEADER"), "{}", attempts[2]);
    }

    #[test]
    fn a_partition_left_out_may_be_written_and_one_not_asked_for_is_passed_over() {
        let mut answer = answer();
        answer.responses[1].partitions[0].partition_index = 7;
        let attempts = attempts(&parcels(), &answer, &peer());
        let Attempt::Lost(error) = &attempts[1] else { panic!("{attempts:?}") };
        assert!(error.maybe_written() && error.to_string().contains("a-2"), "{error}");
        assert_eq!(told(&attempts)[0], "1");
    }

    #[test]
    fn a_request_names_each_topic_once_and_says_who_has_to_have_it() {
        let options = ProducerOptions::default();
        let parcels = parcels();
        let bytes = |parcel: &Parcel| Bytes::from(parcel.partition.place.to_string());
        let request = request(&options, parcels.iter().map(|parcel| (parcel, bytes(parcel))));
        assert_eq!((request.acks, request.timeout_ms), (-1, 30_000));
        let topics: Vec<_> = request.topics.iter().map(|topic| (&*topic.name, topic.partitions.len())).collect();
        assert_eq!(topics, [("a", 2), ("b", 2)]);
        let last = &request.topics[1].partitions[1];
        assert_eq!((last.partition_index, last.records.as_deref()), (10, Some(&b"b-10"[..])));
    }
}
