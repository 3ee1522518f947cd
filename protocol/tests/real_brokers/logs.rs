//! Record data: written in every version of Produce, read in every version of Fetch, and its offsets.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use ottla_brokers::Release;
use ottla_protocol::compression::{Compression, Compressor, Decompressor};
use ottla_protocol::messages::*;
use ottla_protocol::records::{Attributes, BatchBuilder, Batches, MessageFormat, MessageSetBuilder, ProducerStamp};
use ottla_protocol::{ErrorCode, IsolationLevel};

use crate::peer::{Peer, fine, is_settling};
use crate::topics::ORDERS;

const KEY: &[u8] = b"key";
const LIMIT: usize = 1 << 20;

/// InitProducerId without a transaction, Produce, Fetch, ListOffsets, OffsetForLeaderEpoch.
pub(crate) fn written_and_read(peer: &mut Peer, release: &Release) {
    // On ZooKeeper the ids come from a block that the broker has to get first.
    for version in peer.versions::<InitProducerIdRequest>() {
        let answer = peer.until(version, &InitProducerIdRequest::default(), |answer| {
            answer.error_code != ErrorCode::COORDINATOR_LOAD_IN_PROGRESS
        });
        fine(answer.error_code, "InitProducerId");
        assert!(answer.producer_id >= 0 && answer.producer_epoch == 0, "v{version}");
    }
    let mut written = 0;
    for version in peer.versions::<ProduceRequest>() {
        if !crate::apis::refuses(release, ProduceRequest::KEY, version) {
            written += produced(peer, version, written);
        }
    }
    for version in peer.versions::<FetchRequest>() {
        fetched(peer, version, written);
        if version >= 7 {
            fetched_in_a_session(peer, version);
        }
    }
    asked_for_offsets(peer, written);
}

/// One record in the newest format that the version may carry; its value names the version.
fn record_data(version: i16) -> Bytes {
    let value = format!("by v{version}").into_bytes();
    match version {
        0..=1 => message(MessageFormat::V0, &value),
        2 => message(MessageFormat::V1, &value),
        _ => batch(&value, ProducerStamp::NONE, false),
    }
}

fn message(format: MessageFormat, value: &[u8]) -> Bytes {
    let mut set = MessageSetBuilder::new(format, Compression::None).expect("no codec");
    set.append(now_ms(), Some(KEY), Some(value));
    set.seal(None, &mut Compressor::new()).expect("a message set")
}

fn batch(value: &[u8], stamp: ProducerStamp, transactional: bool) -> Bytes {
    let mut builder = BatchBuilder::with_capacity(256).with_attributes(Attributes(i16::from(transactional) << 4));
    builder.append(now_ms(), Some(KEY), Some(value), &[]);
    builder.seal_stamped(Compression::None, None, &mut Compressor::new(), stamp).expect("a batch").bytes()
}

fn produce(topic: &str, partition: i32, records: Bytes) -> ProduceRequest {
    ProduceRequest {
        acks: -1,
        timeout_ms: 30_000,
        topics: vec![TopicProduceData {
            name: topic.into(),
            partitions: vec![PartitionProduceData { partition_index: partition, records: Some(records) }],
        }],
        ..Default::default()
    }
}

/// The present, in milliseconds: records of long ago would begin a new segment, and Fetch stops at a segment's end.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    i64::try_from(since.as_millis()).expect("a time")
}

/// How many records were written.
fn produced(peer: &mut Peer, version: i16, before: i64) -> i64 {
    let request = produce(ORDERS, 0, record_data(version));
    let answer = peer.until(version, &request, |answer| !is_settling(answer.responses[0].partitions[0].error_code));
    let partition = &answer.responses[0].partitions[0];
    fine(partition.error_code, &format!("Produce v{version}"));
    assert_eq!(partition.base_offset, before, "v{version}");
    1
}

/// A record of an open transaction, in partition 0.
pub(crate) fn produce_transactional(peer: &mut Peer, transactional_id: &str, producer_id: i64, producer_epoch: i16) {
    let stamp = ProducerStamp { producer_id, producer_epoch, base_sequence: 0 };
    let mut request = produce(ORDERS, 0, batch(b"transactional", stamp, true));
    request.transactional_id = Some(transactional_id.into());
    let version = *peer.versions::<ProduceRequest>().end();
    fine(peer.ask(version, &request).responses[0].partitions[0].error_code, "Produce in a transaction");
}

fn fetch(version: i16, offset: i64) -> FetchRequest {
    let partition = |partition_index, fetch_offset| FetchPartition {
        partition_index,
        fetch_offset,
        max_bytes: 1 << 20,
        ..Default::default()
    };
    FetchRequest {
        replica_id: -1,
        max_wait: 200,
        min_bytes: 1,
        topics: vec![FetchableTopic {
            name: ORDERS.into(),
            fetch_partitions: vec![partition(0, offset), partition(1, 0)],
        }],
        epoch: -1,
        isolation_level: if version >= 4 { IsolationLevel::READ_COMMITTED } else { IsolationLevel::READ_UNCOMMITTED },
        ..Default::default()
    }
}

/// Everything that Produce wrote comes back, in whichever format the version has.
fn fetched(peer: &mut Peer, version: i16, written: i64) {
    let answer = peer.ask(version, &fetch(version, 0));
    fine(answer.error_code, "Fetch");
    let partition = answer.topics[0].partitions.iter().find(|partition| partition.partition_index == 0);
    let partition = partition.expect("partition 0");
    fine(partition.error_code, &format!("Fetch v{version}"));
    assert_eq!(partition.high_watermark, written, "v{version}");
    let values = values(partition.records.clone().unwrap_or_default());
    assert_eq!(i64::try_from(values.len()), Ok(written), "v{version}: {values:?}");
    assert!(values.iter().all(|value| value.starts_with("by v")), "v{version}: {values:?}");
}

fn values(records: Bytes) -> Vec<String> {
    let mut values = Vec::new();
    for batch in Batches::new(records) {
        let batch = batch.expect("a batch");
        batch.verify_crc().expect("a good checksum");
        let open = batch.open(&mut Decompressor::new(), LIMIT).expect("its records");
        for record in &open {
            let record = record.expect("a record");
            assert_eq!(record.key, Some(KEY));
            values.push(String::from_utf8_lossy(record.value.expect("a value")).into_owned());
        }
    }
    values
}

/// A session is opened, goes on with a change and a forgotten partition, and is closed (KIP-227).
fn fetched_in_a_session(peer: &mut Peer, version: i16) {
    let opened = peer.ask(version, &FetchRequest { epoch: 0, ..fetch(version, 0) });
    fine(opened.error_code, "a session is opened");
    assert!(opened.session_id > 0, "v{version}");
    let session_id = opened.session_id;
    let forgotten = ForgottenTopic { name: ORDERS.into(), forgotten_partition_indexes: vec![1] };
    let next =
        FetchRequest { session_id, epoch: 1, topics: Vec::new(), forgotten: vec![forgotten], ..fetch(version, 0) };
    fine(peer.ask(version, &next).error_code, "a session goes on");
    let closed = FetchRequest { session_id, epoch: -1, ..fetch(version, 0) };
    fine(peer.ask(version, &closed).error_code, "a session is closed");
    let gone = FetchRequest { session_id, epoch: 2, topics: Vec::new(), ..fetch(version, 0) };
    assert_eq!(peer.ask(version, &gone).error_code, ErrorCode::FETCH_SESSION_ID_NOT_FOUND, "v{version}");
}

/// How many aborted transactions Fetch names.
pub(crate) fn aborted(peer: &mut Peer, version: i16) -> usize {
    // The markers are written after EndTxn was answered: until the last stable offset has passed them.
    let settled = |answer: &FetchResponse| {
        answer.topics.iter().flat_map(|topic| &topic.partitions).all(|p| p.last_stable_offset == p.high_watermark)
    };
    let answer = peer.until(version, &fetch(version, 0), settled);
    let partitions = answer.topics.iter().flat_map(|topic| &topic.partitions);
    partitions.map(|partition| partition.aborted.as_ref().map_or(0, Vec::len)).sum()
}

fn asked_for_offsets(peer: &mut Peer, written: i64) {
    const LATEST: i64 = -1;
    const EARLIEST: i64 = -2;
    for (timestamp, expected) in [(LATEST, written), (EARLIEST, 0)] {
        peer.each(
            |_| ListOffsetRequest {
                replica_id: -1,
                topics: vec![ListOffsetTopic {
                    name: ORDERS.into(),
                    partitions: vec![ListOffsetPartition { partition_index: 0, timestamp, ..Default::default() }],
                }],
                ..Default::default()
            },
            |version, answer: ListOffsetResponse| {
                let partition = &answer.topics[0].partitions[0];
                fine(partition.error_code, "ListOffsets");
                let offset = if version == 0 { partition.old_style_offsets[0] } else { partition.offset };
                assert_eq!(offset, expected, "v{version}");
            },
        );
    }
    peer.each(
        |version| OffsetForLeaderEpochRequest {
            replica_id: if version >= 3 { -1 } else { OffsetForLeaderEpochRequest::default().replica_id },
            topics: vec![OffsetForLeaderTopic {
                name: ORDERS.into(),
                partitions: vec![OffsetForLeaderPartition {
                    partition_index: 0,
                    leader_epoch: 0,
                    ..Default::default()
                }],
            }],
        },
        |version, answer: OffsetForLeaderEpochResponse| {
            let partition = &answer.topics[0].partitions[0];
            fine(partition.error_code, "OffsetForLeaderEpoch");
            assert_eq!(partition.end_offset, written, "v{version}");
        },
    );
}
