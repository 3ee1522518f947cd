//! Produce, Fetch and ListOffsets over a socket.

mod support;

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use ottla_devbroker::{DevBroker, Release};
use ottla_protocol::ErrorCode;
use ottla_protocol::compression::{Compression, Compressor};
use ottla_protocol::messages::{
    ApiVersionsRequest, FetchRequest, ForgottenTopic, InitProducerIdRequest, ListOffsetPartition,
    ListOffsetPartitionResponse, ListOffsetRequest, ListOffsetTopic,
};
use ottla_protocol::records::{BatchBuilder, ProducerStamp};
use support::{Client, bases, batch, compressed, fetch, produce, stamp, stamped, values};

async fn one_topic() -> (DevBroker, Client) {
    let broker = DevBroker::builder().start().await.unwrap();
    broker.create_topic("t", 3).unwrap();
    let client = Client::connect(&broker).await;
    (broker, client)
}

/// A batch with one byte changed after its checksum was made, or before it.
fn changed(at: usize, value: u8, repair: bool) -> Bytes {
    let mut bytes = BytesMut::from(&batch(&["a", "b"])[..]);
    bytes[at] = value;
    if repair {
        let crc = crc32c(&bytes[21..]);
        bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    }
    bytes.freeze()
}

/// The checksum, bit by bit: slow, and independent of what it checks.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0_u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg()))
    })
}

#[tokio::test]
async fn what_is_produced_is_fetched_as_it_was_with_its_offsets() {
    let (broker, mut client) = one_topic().await;
    assert_eq!(client.produce("t", 0, batch(&["a", "b"])).await.base_offset, 0);
    let second = client.produce("t", 0, batch(&["c"])).await;
    assert_eq!((second.base_offset, second.error_code, second.log_append_time_ms), (2, ErrorCode::NONE, -1));
    let answer = client.fetch("t", 0, 0).await;
    assert_eq!(bases(&answer), [0, 2]);
    assert_eq!(answer.topics[0].partitions[0].high_watermark, 3);
    assert_eq!(values(&broker, "t", 0), ["a", "b", "c"]);
    assert_eq!(values(&broker, "t", 1), Vec::<String>::new());
}

#[tokio::test]
async fn every_version_of_produce_and_fetch_carries_batches_or_says_that_it_cannot() {
    let (_broker, mut client) = one_topic().await;
    for version in 0..=7 {
        let mut answer = client.ask(version, &produce("t", 0, batch(&["a"]))).await;
        let answer = answer.responses.remove(0).partitions.remove(0);
        let expected = if version < 3 { ErrorCode::UNSUPPORTED_FOR_MESSAGE_FORMAT } else { ErrorCode::NONE };
        assert_eq!(answer.error_code, expected, "Produce v{version}");
    }
    for version in 0..=11 {
        let mut answer = client.ask(version, &fetch("t", &[(0, 0)])).await;
        let answer = answer.topics.remove(0).partitions.remove(0);
        let expected = if version < 4 { ErrorCode::UNSUPPORTED_VERSION } else { ErrorCode::NONE };
        assert_eq!(answer.error_code, expected, "Fetch v{version}");
        assert_eq!(answer.records.unwrap().is_empty(), version < 4);
    }
}

#[tokio::test]
async fn acks_0_has_no_answer_and_an_error_closes() {
    let (broker, mut client) = one_topic().await;
    let mut request = produce("t", 0, batch(&["a"]));
    request.acks = 0;
    client.send(7, &request).await;
    client.ask(0, &ApiVersionsRequest::default()).await;
    assert_eq!(values(&broker, "t", 0), ["a"]);
    let mut request = produce("unknown", 0, batch(&["a"]));
    request.acks = 0;
    client.send(7, &request).await;
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn other_acks_are_refused_and_nothing_is_written() {
    let (broker, mut client) = one_topic().await;
    for acks in [2, -2, i16::MAX] {
        let mut request = produce("t", 0, batch(&["a"]));
        request.acks = acks;
        let answer = client.ask(7, &request).await;
        assert_eq!(answer.responses[0].partitions[0].error_code, ErrorCode::INVALID_REQUIRED_ACKS);
    }
    assert_eq!(broker.offsets("t", 0).unwrap(), (0, 0));
}

#[tokio::test]
async fn a_batch_that_is_not_a_producer_s_is_refused_and_nothing_is_written() {
    let (broker, mut client) = one_topic().await;
    let good = batch(&["a", "b"]);
    let cases: [(&str, Bytes); 11] = [
        ("nothing", Bytes::new()),
        ("a cut batch", good.slice(..good.len() - 1)),
        ("two batches", [&good[..], &good[..]].concat().into()),
        ("a wrong checksum", changed(good.len() - 1, 0x55, false)),
        ("an offset", changed(7, 1, false)),
        ("magic 1", changed(16, 1, false)),
        ("more records than the offsets say", changed(60, 3, true)),
        ("fewer offsets than records", changed(26, 0, true)),
        ("a control batch", changed(22, 0x20, true)),
        ("an unknown codec", changed(22, 7, true)),
        ("a producer without a sequence", stamped(&["a"], ProducerStamp { base_sequence: -1, ..stamp(0) })),
    ];
    for (what, records) in cases {
        let answer = client.produce("t", 0, records).await;
        assert_eq!((answer.error_code, answer.base_offset), (ErrorCode::CORRUPT_MESSAGE, -1), "{what}");
    }
    assert_eq!(broker.offsets("t", 0).unwrap(), (0, 0));
}

#[tokio::test]
async fn too_large_a_batch_and_a_codec_too_new_have_codes_of_their_own() {
    let broker = DevBroker::builder().max_message_bytes(200).start().await.unwrap();
    broker.create_topic("t", 1).unwrap();
    let mut client = Client::connect(&broker).await;
    let large = client.produce("t", 0, batch(&[&"x".repeat(200)])).await;
    assert_eq!(large.error_code, ErrorCode::MESSAGE_TOO_LARGE);
    let zstd = produce("t", 0, compressed(&["a"], Compression::Zstd, ProducerStamp::NONE));
    let answer = client.ask(6, &zstd).await;
    assert_eq!(answer.responses[0].partitions[0].error_code, ErrorCode::UNSUPPORTED_COMPRESSION_TYPE);
    assert_eq!(client.ask(7, &zstd).await.responses[0].partitions[0].error_code, ErrorCode::NONE);
    assert_eq!(broker.log("t", 0).unwrap()[0].compression, Compression::Zstd);
}

#[tokio::test]
async fn every_codec_is_stored_as_it_came_and_can_be_looked_at() {
    let (broker, mut client) = one_topic().await;
    for codec in Compression::ALL {
        client.produce("t", 0, compressed(&["a", "b"], codec, ProducerStamp::NONE)).await;
    }
    let log = broker.log("t", 0).unwrap();
    assert_eq!(values(&broker, "t", 0), ["a", "b"].repeat(5));
    assert_eq!(log.iter().step_by(2).map(|record| record.compression).collect::<Vec<_>>(), Compression::ALL);
    assert_eq!(log.iter().map(|record| record.offset).collect::<Vec<_>>(), (0..10).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_repeated_batch_of_an_idempotent_producer_is_written_once() {
    let (broker, mut client) = one_topic().await;
    let batches: Vec<Bytes> = (0..6).map(|i| stamped(&["a", "b"], stamp(i * 2))).collect();
    for (i, batch) in (0..).zip(&batches) {
        assert_eq!(client.produce("t", 0, batch.clone()).await.base_offset, i * 2);
    }
    for (i, batch) in (0..).zip(&batches).skip(1) {
        let again = client.produce("t", 0, batch.clone()).await;
        assert_eq!((again.error_code, again.base_offset), (ErrorCode::NONE, i * 2));
    }
    assert_eq!(broker.offsets("t", 0).unwrap(), (0, 12));
    let too_old = client.produce("t", 0, batches[0].clone()).await;
    assert_eq!(too_old.error_code, ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER);
    let elsewhere = client.produce("t", 1, batches[0].clone()).await;
    assert_eq!((elsewhere.error_code, elsewhere.base_offset), (ErrorCode::NONE, 0), "each partition counts for itself");
}

#[tokio::test]
async fn a_gap_a_stranger_and_a_fenced_producer_are_refused() {
    let (broker, mut client) = one_topic().await;
    let send = async |client: &mut Client, stamp| client.produce("t", 0, stamped(&["a"], stamp)).await.error_code;
    let unknown = send(&mut client, ProducerStamp { producer_id: 6, ..stamp(3) }).await;
    assert_eq!(unknown, ErrorCode::UNKNOWN_PRODUCER_ID);
    assert_eq!(send(&mut client, stamp(0)).await, ErrorCode::NONE);
    assert_eq!(send(&mut client, stamp(2)).await, ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER);
    let newer = ProducerStamp { producer_epoch: 1, ..stamp(0) };
    assert_eq!(send(&mut client, newer).await, ErrorCode::NONE);
    assert_eq!(send(&mut client, stamp(1)).await, ErrorCode::INVALID_PRODUCER_EPOCH);
    broker.delete_records_before("t", 0, 2).unwrap();
    let next = ProducerStamp { base_sequence: 1, ..newer };
    let forgotten = client.produce("t", 0, stamped(&["a"], next)).await;
    assert_eq!((forgotten.error_code, forgotten.log_start_offset), (ErrorCode::UNKNOWN_PRODUCER_ID, 2));
}

#[tokio::test]
async fn producer_ids_differ_and_transactions_are_refused() {
    let (_broker, mut client) = one_topic().await;
    let first = client.ask(1, &InitProducerIdRequest::default()).await;
    let second = client.ask(0, &InitProducerIdRequest::default()).await;
    assert_ne!(first.producer_id, second.producer_id);
    assert_eq!((first.producer_epoch, first.error_code), (0, ErrorCode::NONE));
    let transactional =
        InitProducerIdRequest { transactional_id: Some("tx".to_owned()), ..InitProducerIdRequest::default() };
    let refused = client.ask(1, &transactional).await;
    assert_eq!((refused.error_code, refused.producer_id), (ErrorCode::INVALID_REQUEST, -1));
}

#[tokio::test]
async fn a_fetch_waits_for_records_and_is_woken_by_them() {
    let (broker, mut client) = one_topic().await;
    let mut waiting = Client::connect(&broker).await;
    let request = FetchRequest { max_wait: 60_000, min_bytes: 1, ..fetch("t", &[(0, 0), (1, 0)]) };
    let id = waiting.send(11, &request).await;
    assert!(waiting.is_silent().await, "there is nothing yet");
    client.produce("t", 2, batch(&["elsewhere"])).await;
    assert!(waiting.is_silent().await);
    client.produce("t", 1, batch(&["a"])).await;
    let answer = waiting.answer::<FetchRequest>(11, id).await;
    let with_records: Vec<bool> =
        answer.topics[0].partitions.iter().map(|p| p.records.as_ref().is_some_and(|r| !r.is_empty())).collect();
    assert_eq!(with_records, [false, true]);
}

#[tokio::test]
async fn a_fetch_waits_for_as_many_bytes_as_it_asks_but_no_longer_than_it_asks() {
    let (broker, mut client) = one_topic().await;
    let mut waiting = Client::connect(&broker).await;
    let len = batch(&["a"]).len() as i32;
    let request = FetchRequest { max_wait: 60_000, min_bytes: len * 2, ..fetch("t", &[(0, 0)]) };
    let id = waiting.send(11, &request).await;
    client.produce("t", 0, batch(&["a"])).await;
    assert!(waiting.is_silent().await, "one is not enough");
    client.produce("t", 0, batch(&["b"])).await;
    assert_eq!(bases(&waiting.answer::<FetchRequest>(11, id).await), [0, 1]);
    let started = Instant::now();
    let request = FetchRequest { max_wait: 80, min_bytes: 1 << 20, ..fetch("t", &[(0, 0)]) };
    assert_eq!(bases(&waiting.ask(11, &request).await), [0, 1]);
    assert!(started.elapsed() >= Duration::from_millis(80));
}

#[tokio::test]
async fn limits_hold_but_one_batch_always_comes() {
    let (_broker, mut client) = one_topic().await;
    for partition in 0..2 {
        for value in ["a", "b", "c"] {
            client.produce("t", partition, batch(&[value])).await;
        }
    }
    let len = batch(&["a"]).len();
    let lens = |answer: &ottla_protocol::messages::FetchResponse| -> Vec<usize> {
        answer.topics[0].partitions.iter().map(|p| p.records.as_ref().unwrap().len() / len).collect()
    };
    let mut request = fetch("t", &[(0, 0), (1, 0)]);
    request.max_bytes = 1;
    assert_eq!(lens(&client.ask(11, &request).await), [1, 0], "one batch, of the first partition");
    request.max_bytes = len as i32 * 4;
    assert_eq!(lens(&client.ask(11, &request).await), [3, 1]);
    request.topics[0].fetch_partitions[0].max_bytes = len as i32 * 2;
    assert_eq!(lens(&client.ask(11, &request).await), [2, 2]);
}

#[tokio::test]
async fn a_fetch_outside_the_log_or_from_the_wrong_place_says_so_at_once() {
    let (broker, mut client) = one_topic().await;
    client.produce("t", 0, batch(&["a", "b", "c"])).await;
    broker.delete_records_before("t", 0, 1).unwrap();
    let code = async |client: &mut Client, partition, offset, epoch| {
        let mut request = FetchRequest { max_wait: 60_000, min_bytes: 1, ..fetch("t", &[(partition, offset)]) };
        request.topics[0].fetch_partitions[0].current_leader_epoch = epoch;
        let answer = client.ask(11, &request).await.topics.remove(0).partitions.remove(0);
        (answer.error_code, answer.log_start_offset)
    };
    assert_eq!(code(&mut client, 0, 0, -1).await, (ErrorCode::OFFSET_OUT_OF_RANGE, -1));
    assert_eq!(code(&mut client, 0, 4, -1).await, (ErrorCode::OFFSET_OUT_OF_RANGE, -1));
    assert_eq!(code(&mut client, 0, 1, -1).await, (ErrorCode::NONE, 1));
    assert_eq!(code(&mut client, 7, 0, -1).await.0, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    assert_eq!(code(&mut client, 0, 1, 0).await.0, ErrorCode::NONE);
    assert_eq!(code(&mut client, 0, 1, 1).await.0, ErrorCode::UNKNOWN_LEADER_EPOCH);
}

#[tokio::test]
async fn a_session_names_only_what_changed() {
    let (_broker, mut client) = one_topic().await;
    client.produce("t", 0, batch(&["a"])).await;
    let opening = FetchRequest { epoch: 0, ..fetch("t", &[(0, 0), (1, 0)]) };
    let opened = client.ask(11, &opening).await;
    assert_ne!(opened.session_id, 0);
    assert_eq!(opened.topics[0].partitions.len(), 2, "a full answer has all");
    let session = |epoch, partitions: &[(i32, i64)]| {
        let mut request = FetchRequest { session_id: opened.session_id, epoch, ..fetch("t", partitions) };
        request.topics.retain(|topic| !topic.fetch_partitions.is_empty());
        request
    };
    let moved = client.ask(11, &session(1, &[(0, 1)])).await;
    assert_eq!((moved.session_id, moved.topics), (opened.session_id, vec![]), "nothing new");
    client.produce("t", 1, batch(&["b"])).await;
    let woken = client.ask(11, &session(2, &[])).await;
    assert_eq!(woken.topics[0].partitions[0].partition_index, 1);
    assert_eq!(bases(&woken), [0]);
    let mut forgetting = session(3, &[]);
    forgetting.forgotten = vec![ForgottenTopic { name: "t".to_owned(), forgotten_partition_indexes: vec![1] }];
    assert_eq!(client.ask(11, &forgetting).await.topics, []);
    assert_eq!(client.ask(11, &session(9, &[])).await.error_code, ErrorCode::INVALID_FETCH_SESSION_EPOCH);
    client.ask(11, &session(-1, &[])).await;
    assert_eq!(client.ask(11, &session(4, &[])).await.error_code, ErrorCode::FETCH_SESSION_ID_NOT_FOUND);
}

#[tokio::test]
async fn an_older_release_has_no_sessions() {
    let broker = DevBroker::builder().release(Release::V1_0).start().await.unwrap();
    broker.create_topic("t", 1).unwrap();
    let mut client = Client::connect(&broker).await;
    assert_eq!(client.ask(6, &fetch("t", &[(0, 0)])).await.session_id, 0);
}

async fn offset_for(client: &mut Client, version: i16, timestamp: i64) -> ListOffsetPartitionResponse {
    let partition = ListOffsetPartition { timestamp, ..ListOffsetPartition::default() };
    let topics = vec![ListOffsetTopic { name: "t".to_owned(), partitions: vec![partition] }];
    let request = ListOffsetRequest { replica_id: -1, topics, ..ListOffsetRequest::default() };
    client.ask(version, &request).await.topics.remove(0).partitions.remove(0)
}

#[tokio::test]
async fn offsets_are_found_by_name_and_by_time() {
    let (broker, mut client) = one_topic().await;
    for codec in [Compression::None, Compression::Lz4] {
        // Times 1000, 1001, 1002.
        client.produce("t", 0, compressed(&["a", "b", "c"], codec, ProducerStamp::NONE)).await;
    }
    let mut late = BatchBuilder::with_capacity(100);
    late.append(5000, None, None, &[]);
    late.append(4000, None, None, &[]);
    let mut late = late.seal(Compression::None, None, &mut Compressor::new()).unwrap();
    late.stamp(ProducerStamp::NONE);
    client.produce("t", 0, late.bytes()).await;
    for version in 1..=5 {
        let mut found = async |time| {
            let answer = offset_for(&mut client, version, time).await;
            (answer.offset, answer.timestamp)
        };
        assert_eq!(found(-1).await, (8, -1));
        assert_eq!(found(-2).await, (0, -1));
        assert_eq!(found(0).await, (0, 1000));
        assert_eq!(found(1002).await, (2, 1002));
        assert_eq!(found(1003).await, (6, 5000));
        assert_eq!(found(5001).await, (-1, -1));
    }
    broker.delete_records_before("t", 0, 4).unwrap();
    assert_eq!(offset_for(&mut client, 5, -2).await.offset, 4);
    assert_eq!(offset_for(&mut client, 5, 0).await.offset, 4, "deleted records are not found");
}

#[tokio::test]
async fn version_0_lists_one_offset() {
    let (_broker, mut client) = one_topic().await;
    client.produce("t", 0, batch(&["a", "b"])).await;
    for (timestamp, offset) in [(-1, 2), (-2, 0)] {
        let partition = ListOffsetPartition { timestamp, max_num_offsets: 1, ..ListOffsetPartition::default() };
        let topics = vec![ListOffsetTopic { name: "t".to_owned(), partitions: vec![partition] }];
        let request = ListOffsetRequest { replica_id: -1, topics, ..ListOffsetRequest::default() };
        let answer = client.ask(0, &request).await;
        assert_eq!(answer.topics[0].partitions[0].old_style_offsets, [offset]);
    }
}
