//! Bytes from a peer that is broken or bad: every decoder answers with an error that has an address, and none panics.

mod support;

use bytes::{Bytes, BytesMut};
use ottla_protocol::frame::{self, FrameError};
use ottla_protocol::messages::*;
use ottla_protocol::wire::{DecodeErrorKind, EncodeErrorKind};
use support::{bodies, read};

#[test]
fn a_body_cut_anywhere_is_an_error_that_names_message_and_version() {
    let mut cuts = 0;
    for (message, version, body) in bodies() {
        for end in 0..body.len() {
            let error = read(message, version, &body[..end]).expect_err("a cut body is not a body");
            assert!(error.starts_with(&format!("{} v{version}: ", message.name)), "{error}");
            cuts += 1;
        }
    }
    println!("{cuts} cuts");
    assert!(cuts > 41_000);
}

#[test]
fn an_error_has_the_address_of_its_field() {
    let response = MetadataResponse {
        topics: vec![
            MetadataResponseTopic::default(),
            MetadataResponseTopic {
                partitions: vec![MetadataResponsePartition { isr_nodes: vec![1, 2, 3], ..Default::default() }],
                ..Default::default()
            },
        ],
        ..Default::default()
    };
    let body = response.write(8).expect("encodes").concat();
    // From the end: two bit fields of four bytes, an empty array of four; the next four are the last in-sync replica.
    let cut = Bytes::copy_from_slice(&body[..body.len() - 13]);
    let error = MetadataResponse::read(8, cut).expect_err("cut");
    let place = "MetadataResponse v8: topics[1].partitions[0].isr_nodes[2]: need 4 bytes, left 3";
    assert!(error.to_string().starts_with(place), "{error}");
}

#[test]
fn a_count_that_the_frame_cannot_hold_sets_nothing_aside() {
    let mut body = vec![0; 4];
    body.extend(i32::MAX.to_be_bytes());
    let error = MetadataResponse::read(8, body.into()).expect_err("two billion brokers");
    assert!(matches!(error.kind(), DecodeErrorKind::TooMany { count: 2_147_483_647, left: 0 }), "{error}");
}

#[test]
fn bytes_left_over_are_an_error() {
    let mut body = HeartbeatResponse::default().write(0).expect("encodes").concat();
    body.push(0);
    let error = HeartbeatResponse::read(0, body.into()).expect_err("left over");
    assert_eq!(error.kind(), &DecodeErrorKind::Trailing(1));
}

#[test]
fn null_where_the_version_has_none_is_an_error_both_ways() {
    let all_topics = MetadataRequest { topics: None, ..Default::default() };
    let error = all_topics.write(0).expect_err("version 0 has no null");
    assert_eq!(error.kind(), &EncodeErrorKind::Null);
    assert!(error.to_string().starts_with("MetadataRequest v0: topics: null"), "{error}");
    assert!(MetadataRequest::read(0, Bytes::from_static(&[255; 4])).is_err());
    assert_eq!(MetadataRequest::read(1, Bytes::from_static(&[255; 4])).expect("null"), all_topics);
}

#[test]
fn a_value_that_the_version_cannot_carry_is_an_error_unless_it_may_be_dropped() {
    let transactional = ProduceRequest { transactional_id: Some("t".into()), ..Default::default() };
    let error = transactional.write(2).expect_err("there are no transactions in version 2");
    assert_eq!(
        error.to_string(),
        "ProduceRequest v2: transactional_id: has a value, but is there only from version 3 on"
    );
    let racked = FetchRequest { rack_id: "a".into(), ..Default::default() };
    assert!(racked.write(10).is_ok(), "rack_id is ignorable");
}

#[test]
fn a_version_that_a_message_lacks_is_an_error_both_ways() {
    assert!(FetchRequest::default().write(12).is_err());
    let error = FetchRequest::read(12, Bytes::new()).expect_err("no version 12");
    assert!(error.to_string().contains("no such version, it has 0 to 11"), "{error}");
}

#[test]
fn a_frame_comes_whole_however_it_is_cut_on_the_way() {
    let request = MetadataRequest { topics: None, ..Default::default() };
    let bytes = frame::request_frame(1, Some("me"), 8, &request).expect("encodes").into_chunks().concat();
    let mut buffer = BytesMut::new();
    for byte in &bytes[..bytes.len() - 1] {
        buffer.extend_from_slice(&[*byte]);
        assert_eq!(frame::split_frame(&mut buffer, 1000), Ok(None));
    }
    buffer.extend_from_slice(&bytes[bytes.len() - 1..]);
    assert_eq!(frame::split_frame(&mut buffer, 1000), Ok(Some(Bytes::copy_from_slice(&bytes[4..]))));
}

#[test]
fn a_frame_size_below_zero_or_above_the_limit_is_an_error() {
    let split = |size: i32| frame::split_frame(&mut BytesMut::from(&size.to_be_bytes()[..]), 1000);
    assert_eq!(split(-1), Err(FrameError::Negative(-1)));
    assert_eq!(split(1001), Err(FrameError::TooLarge { size: 1001, limit: 1000 }));
}

#[test]
fn record_data_is_a_chunk_by_reference_and_the_size_counts_it() {
    let records = Bytes::from(vec![7; 100_000]);
    let request = ProduceRequest {
        acks: -1,
        topics: vec![TopicProduceData {
            name: "orders".into(),
            partitions: vec![PartitionProduceData { partition_index: 3, records: Some(records.clone()) }],
        }],
        ..Default::default()
    };
    let frame = frame::request_frame(1, None, 7, &request).expect("encodes");
    assert!(frame.chunks().iter().any(|chunk| chunk.as_ptr() == records.as_ptr()), "the batch was copied");
    let bytes = frame.chunks().concat();
    assert_eq!((frame.len(), bytes.len()), (bytes.len(), 4 + bytes_claimed(&bytes)));
}

fn bytes_claimed(frame: &[u8]) -> usize {
    frame.first_chunk().map_or(0, |size| i32::from_be_bytes(*size) as usize)
}
