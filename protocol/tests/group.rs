//! Group payloads against Kafka's bytes, against later versions, and against what nobody should have written.

mod support;

use bytes::Bytes;
use ottla_protocol::group::{Assignment, GroupTopicPartitions, StickyUserData, Subscription, coordinator_partition};
use support::{golden, hex, unhex};

fn of(topic: &str, partitions: &[i32]) -> GroupTopicPartitions {
    GroupTopicPartitions { topic: topic.to_owned(), partitions: partitions.to_vec() }
}

fn subscription() -> Subscription {
    Subscription {
        topics: vec!["orders".to_owned(), "订单".to_owned()],
        user_data: Some(Bytes::from_static(b"mine")),
        owned_partitions: vec![of("orders", &[0, 7]), of("订单", &[])],
    }
}

fn assignment() -> Assignment {
    Assignment { partitions: vec![of("orders", &[3, 4, 5]), of("t", &[])], user_data: None }
}

#[test]
fn every_golden_payload_has_its_values_and_encodes_to_the_same_bytes() {
    let mut rows = 0;
    for row in golden("primitives-2.3.1.tsv") {
        let [kind, input, output] = &row[..] else { panic!("{row:?}") };
        let bytes = || Bytes::from(unhex(output));
        let again = match (kind.as_str(), input.as_str()) {
            ("consumer_subscription_v0", values) => {
                let read = Subscription::read(bytes()).expect("reads");
                let (topics, user_data) = match values {
                    // Kafka's `Subscription(topics)` has empty user data, which the file's description calls null.
                    "topics=[t1,t2],user_data=null" => (vec!["t1".to_owned(), "t2".to_owned()], Some(Bytes::new())),
                    "topics=[t1],user_data=0102" => (vec!["t1".to_owned()], Some(Bytes::from_static(&[1, 2]))),
                    other => panic!("a new row: {other}"),
                };
                assert_eq!(read.version, 0);
                assert_eq!(read.body, Subscription { topics, user_data, owned_partitions: Vec::new() });
                read.body.write(0)
            }
            ("consumer_assignment_v0", values) => {
                let read = Assignment::read(bytes()).expect("reads");
                let (partitions, user_data) = match values {
                    "t1=[0,1],user_data=null" => (vec![of("t1", &[0, 1])], None),
                    "empty,user_data=empty" => (Vec::new(), Some(Bytes::new())),
                    other => panic!("a new row: {other}"),
                };
                assert_eq!(read.version, 0);
                assert_eq!(read.body, Assignment { partitions, user_data });
                read.body.write(0)
            }
            _ => continue,
        };
        assert_eq!(hex(&again.expect("writes")), *output, "{kind} {input}");
        rows += 1;
    }
    assert_eq!(rows, 4);
}

#[test]
fn a_subscription_of_version_1_says_what_is_owned_and_version_0_drops_it() {
    let ours = subscription();
    let read = Subscription::read(ours.write(1).expect("writes")).expect("reads");
    assert_eq!((read.version, &read.body), (1, &ours));
    // KIP-429: after the user data an array of topic and partitions.
    let owned = "00000002 00066f7264657273 00000002 00000000 00000007 0006e8aea2e58d95 00000000".replace(' ', "");
    assert!(hex(&ours.write(1).expect("writes")).ends_with(&owned));
    let read = Subscription::read(ours.write(0).expect("writes")).expect("reads");
    assert_eq!(read.body, Subscription { owned_partitions: Vec::new(), ..ours });
}

#[test]
fn of_a_later_version_what_is_known_is_read_and_the_rest_passed_over() {
    for (version, known) in [(2_i16, 1), (i16::MAX, 1), (0, 0), (1, 1)] {
        let mut bytes = subscription().write(known).expect("writes").to_vec();
        bytes[..2].copy_from_slice(&version.to_be_bytes());
        bytes.extend(b"what a later version has");
        let read = Subscription::read(bytes.into()).expect("reads");
        assert_eq!((read.version, read.body.topics), (version, subscription().topics));
        assert_eq!(read.body.owned_partitions.len(), if known == 1 { 2 } else { 0 });
        let mut bytes = assignment().write(0).expect("writes").to_vec();
        bytes[..2].copy_from_slice(&version.to_be_bytes());
        bytes.push(1);
        let read = Assignment::read(bytes.into()).expect("reads");
        assert_eq!((read.version, read.body), (version, assignment()));
    }
}

#[test]
fn no_byte_is_no_partition_but_no_subscription() {
    assert_eq!(Assignment::read(Bytes::new()).expect("none").body, Assignment::default());
    let error = Subscription::read(Bytes::new()).expect_err("a member says something");
    assert_eq!(error.to_string(), "Subscription v1: version: need 2 bytes, left 0 (byte 0)");
}

#[test]
fn a_version_that_there_cannot_be_is_an_error_both_ways() {
    let mut bytes = subscription().write(0).expect("writes").to_vec();
    bytes[0] = 0x80;
    assert!(Subscription::read(bytes.into()).expect_err("negative").to_string().contains("no such version"));
    assert!(subscription().write(2).expect_err("not known here").to_string().contains("it has 0 to 1"));
    assert!(assignment().write(-1).is_err());
}

#[test]
fn sticky_user_data_has_a_generation_or_is_of_the_first_form() {
    let previous_assignment = vec![of("orders", &[1, 2])];
    for generation in [None, Some(-1), Some(42)] {
        let ours = StickyUserData { previous_assignment: previous_assignment.clone(), generation };
        let bytes = ours.write().expect("writes");
        let first = "00000001 00066f7264657273 00000002 00000001 00000002".replace(' ', "");
        let last = generation.map_or(String::new(), |generation| hex(&generation.to_be_bytes()));
        assert_eq!(hex(&bytes), first + &last, "as StickyAssignor.serializeTopicPartitionAssignment writes it");
        assert_eq!(StickyUserData::read(bytes).expect("reads"), ours);
    }
    let empty = StickyUserData::read(Bytes::from_static(&[0; 4])).expect("reads");
    assert_eq!(empty, StickyUserData::default());
}

#[test]
fn a_payload_cut_anywhere_is_an_error_that_names_it() {
    let whole = subscription().write(1).expect("writes");
    for end in 0..whole.len() {
        let error = Subscription::read(whole.slice(..end)).expect_err("cut");
        assert!(error.to_string().starts_with("Subscription v1: "), "{error}");
    }
    let whole = assignment().write(0).expect("writes");
    for end in 1..whole.len() {
        let error = Assignment::read(whole.slice(..end)).expect_err("cut");
        assert!(error.to_string().starts_with("Assignment v"), "{error}");
    }
    let data = StickyUserData { previous_assignment: vec![of("orders", &[1, 2])], generation: Some(9) };
    let whole = data.write().expect("writes");
    for end in 0..whole.len() {
        match StickyUserData::read(whole.slice(..end)) {
            Ok(read) => assert!(end + 4 >= whole.len() && read.generation.is_none(), "cut at {end}"),
            Err(error) => assert!(error.to_string().starts_with("StickyUserData v1: previous_assignment"), "{error}"),
        }
    }
    let mut absurd = assignment().write(0).expect("writes").to_vec();
    absurd[14..18].copy_from_slice(&i32::MAX.to_be_bytes());
    let error = Assignment::read(absurd.into()).expect_err("two billion partitions");
    assert!(error.to_string().starts_with("Assignment v0: partitions[0].partitions: 2147483647 elements"), "{error}");
}

#[test]
fn a_coordinator_is_found_as_a_broker_finds_it() {
    // `Utils.abs("…".hashCode) % n`, from the JDK.
    for (id, partitions, expected) in [
        ("", 50, 0),
        ("a", 50, 47),
        ("hello", 50, 22),
        ("hello", 7, 99_162_322 % 7),
        ("polygenelubricants", 50, 0),
        ("😀", 50, 49),
        ("a", 0, 0),
        ("a", -50, 0),
    ] {
        assert_eq!(coordinator_partition(id, partitions), expected, "{id} of {partitions}");
    }
}
