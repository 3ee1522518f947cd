//! The example `decode`, run in this process: lines in, lines and an exit code out.

mod support;
#[path = "../examples/decode/tool/mod.rs"]
mod tool;

use bytes::Bytes;
use ottla_protocol::compression::{Compression, Compressor};
use ottla_protocol::frame::{Frame, request_frame, response_frame};
use ottla_protocol::messages::*;
use ottla_protocol::records::{BatchBuilder, Header, MessageFormat, MessageSetBuilder, ProducerStamp};
use support::{bodies, hex};

/// Runs the tool. Gives its exit code and what it printed.
fn run(args: &[&str], input: &str) -> (u8, String) {
    let mut out = Vec::new();
    let code = tool::run(args.iter().map(|arg| (*arg).to_owned()), input.as_bytes(), &mut out).expect("no I/O fails");
    (code, String::from_utf8(out).expect("text"))
}

/// A line of input for a golden body, a header put in front.
fn line(row: &Body, version: i16, body: &[u8]) -> String {
    let mut frame = Vec::new();
    if row.direction == Direction::Request {
        frame.extend(row.key.0.to_be_bytes());
        frame.extend(version.to_be_bytes());
        frame.extend(7_i32.to_be_bytes());
        // ControlledShutdown v0 alone has no client id.
        if (row.key.0, version) != (7, 0) {
            frame.extend(b"\0\x05ottla");
        }
    } else {
        frame.extend(7_i32.to_be_bytes());
    }
    frame.extend(body);
    format!("{}\t{version}\t{}\t{}\n", row.key.0, row.direction, hex(&frame))
}

/// A frame's hex, without the length prefix.
fn frame_hex(frame: &Frame) -> String {
    hex(&frame.chunks().concat()[4..])
}

#[test]
fn every_golden_body_behind_a_header_passes_the_check() {
    let bodies = bodies();
    let lines: String = bodies.iter().map(|(row, version, body)| line(row, *version, body)).collect();
    let (code, printed) = run(&["--check"], &lines);
    assert_eq!((code, printed), (0, format!("{} frames, 0 wrong\n", bodies.len())));
}

#[test]
fn a_request_needs_no_more_than_its_hex() {
    let lines: Vec<_> = bodies().iter().map(|(row, version, body)| line(row, *version, body)).collect();
    let plain: Vec<_> = lines
        .iter()
        .filter(|line| line.contains("request"))
        .map(|line| line.rsplit('\t').next().expect("hex"))
        .collect();
    let (code, printed) = run(&["--check"], &plain.concat());
    assert_eq!((code, printed), (0, format!("{} frames, 0 wrong\n", plain.len())));
}

#[test]
fn a_frame_that_does_not_decode_is_named_with_its_line_and_the_exit_is_1() {
    let good = line(Body::find(ottla_protocol::ApiKey::HEARTBEAT, Direction::Response).expect("a row"), 1, &[0; 6]);
    let input = format!("# a comment\n\n{good}{}\n{good}", &good.trim_end()[..good.len() - 3]);
    let (code, printed) = run(&["--check"], &input);
    let expected = "line 4: HeartbeatResponse v1: error_code: need 2 bytes, left 1 (byte 4)\n3 frames, 1 wrong\n";
    assert_eq!((code, printed.as_str()), (1, expected));
}

#[test]
fn a_frame_that_comes_back_different_is_named_with_its_first_byte_and_the_exit_is_1() {
    let request = MetadataRequest { topics: None, ..Default::default() };
    let frame = frame_hex(&request_frame(1, None, 4, &request).expect("encodes"));
    // A bool of 5 is true, and comes back as 1.
    let odd = format!("{}05", &frame[..frame.len() - 2]);
    let (code, printed) = run(&["--check"], &format!("{frame}\n{odd}\n"));
    let expected = "line 2: MetadataRequest v4: comes back different: byte 14 was 05 and is 01\n2 frames, 1 wrong\n";
    assert_eq!((code, printed.as_str()), (1, expected));
}

#[test]
fn bytes_that_come_back_fewer_or_more_are_different() {
    assert_eq!(tool::check::compare(b"ab", b"a"), Err("2 bytes became 1".to_owned()));
    assert_eq!(tool::check::compare(b"a", b"ab"), Err("1 bytes became 2".to_owned()));
    assert_eq!(tool::check::compare(b"ab", b"ab"), Ok(()));
}

#[test]
fn a_bad_line_is_an_error_that_names_its_number_and_what_is_wrong() {
    for (line, what) in [
        ("00xx", "character 3 of the hex is no hex digit"),
        ("000", "3 hex digits are no whole bytes"),
        ("3\t8\t00", "3 cells between tabs: one (hex) or four (key, version, direction, hex) are needed"),
        ("x\t8\trequest\t00", "the first cell is no API key: a number is needed"),
        ("3\t70000\trequest\t00", "the second cell is no version: a number is needed"),
        ("3\t8\tanswer\t00", "the third cell is neither request nor response"),
        ("99\t0\tresponse\t00000000", "API 99 is none of Kafka 2.3's"),
        ("3\t9\tresponse\t00000000", "MetadataResponse has no version 9: it has 0 to 8"),
        ("3\t8\tresponse\t0000", "ResponseHeader v0: correlation_id: need 4 bytes, left 2 (byte 0)"),
        ("3\t8\trequest\t0003000700000001ffff", "the line says Metadata (3) v8, the header Metadata (3) v7"),
    ] {
        let (code, printed) = run(&[], &format!("#\n{line}\n"));
        assert_eq!((code, printed), (1, format!("line 2: error: {what}\n")));
        let (code, printed) = run(&["--check"], line);
        assert_eq!((code, printed), (1, format!("line 1: {what}\n1 frames, 1 wrong\n")));
    }
}

#[test]
fn a_frame_is_printed_a_line_a_value_each_with_its_first_byte() {
    let response = HeartbeatResponse { throttle_time_ms: 9, error_code: ottla_protocol::ErrorCode(27) };
    let hex = frame_hex(&response_frame(7, 1, &response).expect("encodes"));
    let (code, printed) = run(&[], &format!("12\t1\tresponse\t{hex}"));
    let expected = "\
line 1: HeartbeatResponse v1, 10 bytes
       0  correlation_id: 7
       4  throttle_time_ms: 9
       8  error_code: 27 (REBALANCE_IN_PROGRESS)
";
    assert_eq!((code, printed.as_str()), (0, expected));
}

#[test]
fn a_refusal_of_the_version_of_apiversions_is_read_in_the_layout_of_version_0() {
    let input = "18\t2\tresponse\t00000007002300000000\n18\t3\tresponse\t00000007002300000000\n";
    assert_eq!(run(&["--check"], input), (0, "2 frames, 0 wrong\n".to_owned()));
    let (_, printed) = run(&[], input);
    assert!(printed.starts_with("line 1: ApiVersionsResponse v0, 10 bytes\n"), "{printed}");
    assert!(printed.contains("error_code: 35 (UNSUPPORTED_VERSION)"), "{printed}");
    let (code, _) = run(&["--check"], "18\t2\tresponse\t00000007000000000000");
    assert_eq!(code, 1, "a good answer in another layout is damage");
}

fn produce(compression: Compression) -> String {
    let mut batch = BatchBuilder::with_capacity(1024);
    let headers = [Header { key: "from", value: Some(b"shop") }, Header { key: "none", value: None }];
    batch.append(1_571_356_231_000, Some(b"1"), Some(br#"{"id":1}"#), &headers);
    batch.append(1_571_356_231_005, None, Some(&[0xff, 0]), &[]);
    let mut sealed = batch.seal(compression, None, &mut Compressor::new()).expect("seals");
    sealed.stamp(ProducerStamp::NONE);
    produce_of(7, sealed.bytes())
}

fn produce_of(version: i16, records: Bytes) -> String {
    let partitions = vec![PartitionProduceData { partition_index: 3, records: Some(records) }];
    let topics = vec![TopicProduceData { name: "orders".into(), partitions }];
    let request = ProduceRequest { acks: -1, timeout_ms: 1000, topics, ..Default::default() };
    frame_hex(&request_frame(7, Some("ottla"), version, &request).expect("encodes"))
}

#[test]
fn messages_of_the_formats_before_0_11_are_printed_with_their_own_fields() {
    for (codec, records) in [(Compression::None, 0), (Compression::Gzip, 1)] {
        let mut set = MessageSetBuilder::new(MessageFormat::V1, codec).expect("it has the codec").with_base_offset(4);
        set.append(70, Some(b"k"), Some(b"one"));
        set.append(71, None, Some(b"two"));
        let set = set.seal(None, &mut Compressor::new()).expect("seals");
        let (code, printed) = run(&[], &produce_of(2, set));
        assert!(printed.contains("magic: 1\n") && !printed.contains("producer_id"), "{printed}");
        assert!(printed.contains("record [0]: offset 4, timestamp 70\n"), "{printed}");
        assert!(printed.contains(&format!("record [{records}]: offset 5, timestamp 71\n")), "{printed}");
        assert_eq!(code, 0);
    }
}

#[test]
fn record_data_is_printed_down_to_keys_values_and_headers() {
    let (code, printed) = run(&[], &produce(Compression::None));
    let expected = "\
      23  topics: 1 element
      27    [0]: TopicProduceData
      27      name: \"orders\"
      35      partitions: 1 element
      39        [0]: PartitionProduceData
      39          partition_index: 3
      43          records: 102 bytes
      47            batch of 102 bytes
      47              base_offset: 0
      55              batch_length: 90
";
    assert!(printed.contains(expected), "{printed}");
    let records = "\
     104              count: 2
     108              record [0]: offset 0, timestamp 1571356231000
                        key: \"1\"
                        value: \"{\\\"id\\\":1}\"
                        header \"from\": \"shop\"
                        header \"none\": null
     140              record [1]: offset 1, timestamp 1571356231005
                        key: null
                        value: 0xff00
";
    assert!(printed.ends_with(records), "{printed}");
    assert_eq!(code, 0);
}

#[test]
fn records_in_every_codec_are_printed_without_a_place_in_the_frame() {
    for codec in [Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd] {
        let (code, printed) = run(&[], &produce(codec));
        assert!(printed.contains(&format!(", codec {codec}\n")), "{printed}");
        let record = "\n                      record [0]: offset 0, timestamp 1571356231000\n";
        assert!(printed.contains(record) && code == 0, "{printed}");
    }
}

#[test]
fn a_batch_with_a_wrong_checksum_is_shown_and_the_exit_is_1() {
    let frame = produce(Compression::None);
    let (code, printed) = run(&[], &format!("{}01\n", &frame[..frame.len() - 2]));
    assert!(printed.contains(", error: batch at offset 0 (byte 0): wrong CRC-32C"), "{printed}");
    assert!(printed.contains("value: \"{\\\"id\\\":1}\""), "{printed}");
    assert_eq!(code, 1);
}

#[test]
fn what_stands_before_a_fault_is_printed_and_the_fault_has_its_address() {
    let frame = frame_hex(&request_frame(7, None, 0, &FindCoordinatorRequest::default()).expect("encodes"));
    let (code, printed) = run(&[], &format!("{frame}00"));
    let expected = "\
      10  key: \"\"
error: FindCoordinatorRequest v0: 1 bytes left over after the end (byte 2), byte 12 of the frame
";
    assert!(printed.ends_with(expected), "{printed}");
    assert_eq!(code, 1);
}

#[test]
fn a_token_is_shown_by_its_length_alone() {
    let request = SaslAuthenticateRequest { auth_bytes: Bytes::from_static(b"\0etl\0hunter2").into() };
    let (code, printed) = run(&[], &frame_hex(&request_frame(7, None, 1, &request).expect("encodes")));
    assert!(printed.ends_with("      10  auth_bytes: 12 secret bytes\n"), "{printed}");
    assert!(code == 0 && !printed.contains("hunter") && !printed.contains("68756e746572"), "{printed}");
}

#[test]
fn damaged_frames_never_end_the_tool() {
    let mut input = String::new();
    for (i, (row, version, body)) in bodies().iter().enumerate() {
        for at in (i % 3..body.len()).step_by(3) {
            let mut bad = body.clone();
            bad[at] = !bad[at];
            input += &line(row, *version, &bad);
        }
    }
    let (_, printed) = run(&[], &input);
    assert!(printed.lines().filter(|line| line.starts_with("line ")).count() == input.lines().count());
    let (code, printed) = run(&["--check"], &input);
    assert!(code == 1 && printed.contains(&format!("\n{} frames, ", input.lines().count())));
}

#[test]
fn help_says_what_goes_in_and_an_unknown_argument_is_refused() {
    assert_eq!(run(&["--help"], ""), (0, tool::HELP.to_owned()));
    let error = tool::run(["--chekc".to_owned()].into_iter(), &b""[..], Vec::new()).expect_err("no such argument");
    assert_eq!(error.to_string(), "there is no argument \"--chekc\"; --help says what there is");
}
