//! What a Kafka target does with what goes wrong in it, and where it puts records.

mod tasks_support;

use std::time::Duration;

use ottla_client::{Outgoing, ProducerOptions};
use ottla_connector::config::model::OnError;
use ottla_connector::exit::Exit;
use ottla_connector::mode::{Mode, group};
use ottla_connector::source::jsonl::Input;
use ottla_connector::task::{Command, Job, LinesFrom, SourceSpec, TargetSpec};
use ottla_devbroker::{DevBroker, Fault};
use ottla_protocol::compression::Compression;
use ottla_protocol::{ApiKey, ErrorCode, partition_for_key};

use tasks_support::{
    broker, client, committed, fill, from_topics, heard, job, objects, ottla, produce, produce_keyed, quick, run,
    run_ok, said, to_topic, until, values,
};

const INVALID_RECORD: ErrorCode = ErrorCode(87);

async fn two_topics(from: i32, to: i32) -> DevBroker {
    let broker = broker().await;
    broker.create_topic("from", from).expect("created");
    broker.create_topic("to", to).expect("created");
    broker
}

fn full(broker: &DevBroker, on_push_error: OnError) -> Job {
    let mut to = to_topic(broker, "to");
    to.on_push_error = on_push_error;
    job("t", from_topics(broker, "from", Mode::Full), TargetSpec::Kafka(to))
}

/// Objects with the one at `bad` replaced by one that the target refuses.
async fn fill_with_bad(broker: &DevBroker, bad: usize, count: usize) -> Vec<String> {
    let mut records = objects(0, 0..count as i64);
    r#"{"at":"bad"}"#.clone_into(&mut records[bad]);
    let pairs: Vec<_> = records.iter().map(|value| (None, Some(value.as_bytes()))).collect();
    produce_keyed(broker, "from", 0, &pairs).await;
    records.remove(bad);
    records
}

#[tokio::test(flavor = "multi_thread")]
async fn one_refused_record_among_a_thousand_is_the_only_one_that_skip_passes() {
    for code in [INVALID_RECORD, ErrorCode::CORRUPT_MESSAGE] {
        let broker = two_topics(1, 1).await;
        let good = fill_with_bad(&broker, 617, 1000).await;
        broker.inject(Fault::refuse_records_with("bad", code).on_partition("to", 0));
        let outcome = run_ok(full(&broker, OnError::Skip)).await;
        assert_eq!((outcome.counts.written, outcome.counts.skipped), (999, 1));
        assert_eq!(values(&broker, "to", 0), good);
        assert_eq!(committed(&broker, &group("t"), "from", 1).await, [Some(1000)]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_record_stops_the_task_before_it_with_all_before_it_delivered() {
    for code in [INVALID_RECORD, ErrorCode::CORRUPT_MESSAGE] {
        let broker = two_topics(1, 1).await;
        let good = fill_with_bad(&broker, 617, 1000).await;
        broker.inject(Fault::refuse_records_with("bad", code).on_partition("to", 0));
        let failure = run(full(&broker, OnError::Stop)).await.result.expect_err("refused");
        assert_eq!(failure.exit, Exit::StoppedByData, "{failure}");
        let text = failure.to_string();
        assert!(text.contains("topic from, partition 0, offset 617: the target did not take it"), "{text}");
        assert!(text.contains("everything before it was delivered; on_push_error = \"skip\""), "{text}");
        assert_eq!(values(&broker, "to", 0), good[..617]);
        assert_eq!(committed(&broker, &group("t"), "from", 1).await, [Some(617)]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_records_are_named_where_offsets_are_scattered_over_partitions() {
    let broker = two_topics(1, 4).await;
    let mut records = objects(0, 0..400);
    records[123] = r#"{"at":"bad"}"#.to_owned();
    let keys: Vec<String> = (0..400).map(|number| format!("key-{number}")).collect();
    let pairs: Vec<_> =
        keys.iter().zip(&records).map(|(key, value)| (Some(key.as_bytes()), Some(value.as_bytes()))).collect();
    produce_keyed(&broker, "from", 0, &pairs).await;
    for partition in 0..4 {
        broker.inject(Fault::refuse_records_with("bad", INVALID_RECORD).on_partition("to", partition));
    }
    let mut to = to_topic(&broker, "to");
    to.partition_by = Some("key".parse().expect("a rule"));
    let failure = run(job("t", from_topics(&broker, "from", Mode::Full), TargetSpec::Kafka(to))).await.result;
    let text = failure.expect_err("refused").to_string();
    assert!(text.contains("partition 0, offset 123: the target did not take it"), "{text}");
    assert_eq!(committed(&broker, &group("t"), "from", 1).await, [Some(123)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_concerns_the_whole_topic_is_never_skipped() {
    for code in [
        ErrorCode::TOPIC_AUTHORIZATION_FAILED,
        ErrorCode::CLUSTER_AUTHORIZATION_FAILED,
        ErrorCode::INVALID_REQUIRED_ACKS,
        ErrorCode::UNSUPPORTED_COMPRESSION_TYPE,
        ErrorCode::UNSUPPORTED_FOR_MESSAGE_FORMAT,
        ErrorCode::POLICY_VIOLATION,
        ErrorCode::INVALID_TOPIC_EXCEPTION,
        ErrorCode::UNKNOWN_SERVER_ERROR,
        ErrorCode::NOT_ENOUGH_REPLICAS,
        ErrorCode::KAFKA_STORAGE_ERROR,
        ErrorCode(115),
    ] {
        let broker = two_topics(1, 1).await;
        fill(&broker, "from", 0, 0..100).await;
        broker.inject(Fault::error(ApiKey::PRODUCE, code).on_partition("to", 0));
        let outcome = run(full(&broker, OnError::Skip)).await;
        assert_eq!((outcome.exit(), outcome.counts.skipped), (Exit::Environment, 0), "{code}: {:?}", outcome.result);
        assert_eq!(committed(&broker, &group("t"), "from", 1).await, [Some(0)], "{code}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_of_an_old_format_is_written_without_idempotence() {
    let broker = two_topics(1, 1).await;
    fill(&broker, "from", 0, 0..500).await;
    broker.inject(Fault::refuse_numbered_batches().on_partition("to", 0));
    let outcome = run_ok(full(&broker, OnError::Skip)).await;
    assert_eq!((outcome.counts.written, outcome.counts.skipped), (500, 0));
    assert_eq!(values(&broker, "to", 0), objects(0, 0..500));
}

/// The reader meets a record that is no JSON while the answer for an earlier one is not there yet.
#[tokio::test(flavor = "multi_thread")]
async fn the_earliest_failure_is_the_one_that_is_reported_and_nothing_is_claimed_beyond_it() {
    let broker = two_topics(1, 1).await;
    let mut records = objects(0, 0..20);
    records[5] = r#"{"at":"bad"}"#.to_owned();
    records[10] = "no json".to_owned();
    let pairs: Vec<_> = records.iter().map(|value| (None, Some(value.as_bytes()))).collect();
    produce_keyed(&broker, "from", 0, &pairs).await;
    broker.inject(Fault::refuse_records_with("bad", INVALID_RECORD).on_partition("to", 0));
    broker.inject(Fault::delay(ApiKey::PRODUCE, Duration::from_millis(100)));
    let text = run(full(&broker, OnError::Stop)).await.result.expect_err("refused").to_string();
    assert!(text.contains("offset 5: the target did not take it"), "{text}");
    assert!(text.contains("everything before it was delivered"), "{text}");
    assert_eq!(values(&broker, "to", 0), objects(0, 0..5));
    assert_eq!(committed(&broker, &group("t"), "from", 1).await, [Some(5)]);
}

/// A target that is away while the reader meets a record that is no JSON.
#[tokio::test(flavor = "multi_thread")]
async fn delivery_is_claimed_only_of_what_was_delivered() {
    let (broker, target) = (two_topics(1, 1).await, broker().await);
    target.create_topic("to", 2).expect("created");
    // The keys of the first two records go to two partitions, of which the second takes nothing; the third is no JSON.
    let mut keys = (b'a'..=b'z').map(|key| vec![key]);
    let taken = keys.find(|key| partition_for_key(key, 2) == 0).expect("a key for partition 0");
    let waiting = keys.find(|key| partition_for_key(key, 2) == 1).expect("a key for partition 1");
    let records = [(&taken, r#"{"n":0}"#), (&waiting, r#"{"n":1}"#), (&taken, "no json")];
    let pairs: Vec<_> = records.iter().map(|(key, value)| (Some(key.as_slice()), Some(value.as_bytes()))).collect();
    produce_keyed(&broker, "from", 0, &pairs).await;
    target.inject(Fault::error(ApiKey::PRODUCE, ErrorCode::NOT_ENOUGH_REPLICAS).on_partition("to", 1));
    let mut to = to_topic(&target, "to");
    to.partition_by = Some("key".parse().expect("a rule"));
    let text = run(job("t", from_topics(&broker, "from", Mode::Full), TargetSpec::Kafka(to))).await.result;
    let text = text.expect_err("stopped").to_string();
    // What was not delivered is the earlier failure, and before it everything was.
    assert!(text.contains("partition 0, offset 1: the target did not take it"), "{text}");
    assert!(text.contains("everything before it was delivered"), "{text}");
    assert!(!text.contains("no json"), "{text}");
    let position = committed(&broker, &group("t"), "from", 1).await[0].expect("a position");
    assert_eq!(position, 1);
}

fn lines(text: &'static str, broker: &DevBroker, partition_by: Option<&str>) -> Job {
    let mut to = to_topic(broker, "to");
    to.partition_by = partition_by.map(|rule| rule.parse().expect("a rule"));
    Job {
        name: "lines".to_owned(),
        group: group("lines"),
        command: Command::Copy,
        source: SourceSpec::Lines(LinesFrom {
            input: Input::Memory(text.as_bytes()),
            on_bad_message: OnError::Stop,
            positions: None,
        }),
        target: TargetSpec::Kafka(to),
        timing: quick(),
    }
}

/// A megabyte of lines, `{"id":n,…}`.
fn megabyte() -> &'static str {
    let pad = "x".repeat(100);
    let line = |number: u32| format!("{{\"id\":{},\"n\":{number},\"pad\":\"{pad}\"}}", number % 50);
    let text = (0..8000).map(line).collect::<Vec<_>>().join("\n") + "\n";
    Box::leak(text.into_boxed_str())
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_are_spread_over_all_partitions_in_large_batches() {
    let broker = two_topics(1, 4).await;
    run_ok(lines(megabyte(), &broker, None)).await;
    let counts: Vec<_> = (0..4).map(|partition| values(&broker, "to", partition).len()).collect();
    assert_eq!(counts.iter().sum::<usize>(), 8000);
    assert!(counts.iter().all(|count| *count > 800), "{counts:?}");
    let batches: std::collections::BTreeSet<_> = (0..4)
        .flat_map(|partition| {
            tasks_support::log(&broker, "to", partition).into_iter().map(move |record| (partition, record.batch))
        })
        .collect();
    assert!(batches.len() < 40, "{} batches", batches.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn first_keeps_the_order_of_the_file_and_a_field_the_order_of_its_values_through_retries() {
    for rule in ["first", "key:/id"] {
        let broker = two_topics(1, 4).await;
        broker.inject(Fault::error(ApiKey::PRODUCE, ErrorCode::NOT_LEADER_FOR_PARTITION).after(2).times(2));
        broker.inject(Fault::close_after_applying(ApiKey::PRODUCE).after(5).times(2));
        run_ok(lines(megabyte(), &broker, Some(rule))).await;
        let all: Vec<Vec<String>> = (0..4).map(|partition| values(&broker, "to", partition)).collect();
        if rule == "first" {
            assert_eq!(all[0].join("\n"), megabyte().trim_end());
            continue;
        }
        for id in 0..50 {
            let home = partition_for_key(id.to_string().as_bytes(), 4) as usize;
            let of_id = |lines: &Vec<String>| {
                lines.iter().filter(|line| line.starts_with(&format!("{{\"id\":{id},"))).cloned().collect::<Vec<_>>()
            };
            let expected = of_id(&megabyte().lines().map(str::to_owned).collect());
            assert_eq!(of_id(&all[home]), expected, "id {id} in partition {home}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_stays_in_its_partition_when_the_source_gains_one() {
    let (before, after) = (two_topics(2, 2).await, two_topics(3, 2).await);
    for (broker, partitions) in [(&before, 2), (&after, 3)] {
        for partition in 0..partitions {
            fill(broker, "from", partition, 0..10).await;
        }
        run_ok(full(broker, OnError::Stop)).await;
        for partition in 0..2 {
            let own: Vec<_> = values(broker, "to", partition)
                .into_iter()
                .filter(|value| value.contains(&format!("\"{partition}-")))
                .collect();
            assert_eq!(own, objects(partition, 0..10), "{partitions} source partitions");
        }
    }
}

/// What a run says of records that go elsewhere than before.
async fn said_of_a_move(broker: &DevBroker, partition_by: Option<&str>) -> Vec<String> {
    let mut to = to_topic(broker, "to");
    to.partition_by = partition_by.map(|rule| rule.parse().expect("a rule"));
    let (outcome, said) = heard(job("t", from_topics(broker, "from", Mode::Full), TargetSpec::Kafka(to))).await;
    assert!(outcome.result.is_ok(), "{:?}", outcome.result);
    said.into_iter().filter(|line| line.contains("than in the last run")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_says_when_records_go_to_other_partitions_than_in_the_last_run() {
    const NOTHING: [String; 0] = [];
    let broker = two_topics(3, 2).await;
    let more = async |at| {
        for partition in 0..3 {
            fill(&broker, "from", partition, at..at + 10).await;
        }
    };
    more(0).await;
    assert_eq!(said_of_a_move(&broker, None).await, NOTHING, "the first run");
    assert_eq!(said_of_a_move(&broker, None).await, NOTHING, "nothing to place");
    more(10).await;
    assert_eq!(said_of_a_move(&broker, None).await, NOTHING, "the same rule over as many partitions");
    more(20).await;
    let said = said_of_a_move(&broker, Some("key")).await;
    assert_eq!(said.len(), 1, "once for the topic: {said:?}");
    assert!(said[0].starts_with("warning: t: records of topic from go to other partitions of topic to "), "{said:?}");
    assert!(
        said[0].contains(r#"partition_by = "key" over 2 partitions now, "source" over 2 partitions then"#),
        "{said:?}"
    );
    assert!(said[0].contains(r#"partition_by = "source" in the target connection"#), "{said:?}");
    // A run that reads nothing keeps what it knows.
    assert_eq!(said_of_a_move(&broker, Some("key")).await, NOTHING);
    broker.delete_topic("to").expect("deleted");
    broker.create_topic("to", 5).expect("created");
    more(30).await;
    let said = said_of_a_move(&broker, Some("key")).await;
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains(r#""key" over 5 partitions now, "key" over 2 partitions then"#), "{said:?}");
    more(40).await;
    assert_eq!(said_of_a_move(&broker, Some("key")).await, NOTHING);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_of_several_megabytes_is_written_and_a_limit_of_ours_is_a_key() {
    let broker = DevBroker::builder().auto_create(false).max_message_bytes(32 << 20).start().await.expect("a broker");
    broker.create_topic("from", 1).expect("created");
    broker.create_topic("to", 1).expect("created");
    let large = format!("{{\"pad\":\"{}\"}}", "x".repeat(20 << 20));
    let producer = client(&broker).await.producer(ProducerOptions::default()).await.expect("a producer");
    let outgoing = Outgoing { partition: Some(0), value: Some(large.as_bytes()), ..Outgoing::default() };
    producer.topic("from").await.expect("the topic").send(outgoing).await.expect("sent").await.expect("stored");
    let mut small = to_topic(&broker, "to");
    small.max_request_bytes = Some(1 << 20);
    let from = || from_topics(&broker, "from", Mode::Full);
    let text = run(job("t", from(), TargetSpec::Kafka(small))).await.result.expect_err("too large").to_string();
    assert!(text.contains("raise max_request_bytes"), "{text}");
    run_ok(job("t", from(), TargetSpec::Kafka(to_topic(&broker, "to")))).await;
    assert_eq!(values(&broker, "to", 0), [large]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_its_topic_does_not_take_is_named_with_the_topics_limit() {
    let broker = DevBroker::builder().auto_create(false).max_message_bytes(3 << 20).start().await.expect("a broker");
    broker.create_topic("to", 1).expect("created");
    let directory = tempfile::tempdir().expect("a directory");
    let input = directory.path().join("in.jsonl");
    let line = |size: usize| format!("{{\"pad\":\"{}\"}}\n", "x".repeat(size));
    // Two in one batch are too large only together.
    let fine = line(2 << 20).repeat(2);
    std::fs::write(&input, format!("{fine}{}{}", line(4 << 20), line(10))).expect("written");
    let target = format!("kafka://{}/to?compression=none", broker.bootstrap()[0]);
    let input = input.display().to_string();
    let done = ottla(&["copy", &input, &target], b"").await;
    let text = said(&done);
    assert_eq!(done.status.code(), Some(4), "{text}");
    assert!(text.contains("line 3") && text.contains("max.message.bytes of topic to is 3145728"), "{text}");
    assert_eq!(values(&broker, "to", 0).iter().map(String::len).collect::<Vec<_>>(), [(2 << 20) + 10; 2]);
    let done = ottla(&["copy", &input, &format!("{target}&on_push_error=skip")], b"").await;
    assert_eq!(done.status.code(), Some(0), "{}", said(&done));
    assert_eq!(values(&broker, "to", 0).len(), 5);

    // Whoever may not ask for the limit is told what sets it.
    broker.inject(Fault::error(ApiKey::DESCRIBE_CONFIGS, ErrorCode::TOPIC_AUTHORIZATION_FAILED));
    let text = said(&ottla(&["copy", &input, &target], b"").await);
    assert!(text.contains("line 3") && text.contains("raise the topic's max.message.bytes"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_records_of_five_megabytes_go_from_topic_to_topic_with_each_codec() {
    let broker = DevBroker::builder().auto_create(false).max_message_bytes(10_000_000).start().await.expect("a broker");
    broker.create_topic("from", 1).expect("created");
    let large: Vec<_> = (0..20).map(|n| format!("{{\"n\":{n},\"pad\":\"{}\"}}", "x".repeat(5_000_000))).collect();
    let values_of: Vec<&[u8]> = large.iter().map(String::as_bytes).collect();
    produce(&broker, "from", 0, &values_of).await;
    for compression in [Compression::None, Compression::Lz4, Compression::Zstd] {
        let name = format!("to-{}", compression.name());
        broker.create_topic(&name, 1).expect("created");
        let mut to = to_topic(&broker, &name);
        to.compression = compression;
        run_ok(job(&name, from_topics(&broker, "from", Mode::Full), TargetSpec::Kafka(to))).await;
        assert!(values(&broker, &name, 0) == large, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_without_idempotent_write_writes_without_idempotence_and_is_told_once() {
    let broker = two_topics(1, 1).await;
    fill(&broker, "from", 0, 0..500).await;
    let refused = broker.inject(Fault::error(ApiKey::INIT_PRODUCER_ID, ErrorCode::CLUSTER_AUTHORIZATION_FAILED));
    let outcome = run_ok(full(&broker, OnError::Stop)).await;
    assert_eq!((outcome.counts.written, refused.hits()), (500, 1));
    assert_eq!(values(&broker, "to", 0), objects(0, 0..500));
    let target = format!("kafka://{}/to", broker.bootstrap()[0]);
    let done = ottla(&["copy", "-", &target], b"{\"a\":1}\n{\"a\":2}\n").await;
    let text = said(&done);
    assert_eq!(done.status.code(), Some(0), "{text}");
    assert_eq!(text.matches("IdempotentWrite").count(), 1, "{text}");
    // Another refusal is no reason to do without.
    refused.remove();
    broker.inject(Fault::error(ApiKey::INIT_PRODUCER_ID, ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED));
    let done = ottla(&["copy", "-", &target], b"{\"a\":1}\n").await;
    assert_eq!(done.status.code(), Some(3), "{}", said(&done));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_names_its_rule_and_why_it_waits_before_it_is_over() {
    let broker = two_topics(1, 3).await;
    let fault = broker.inject(Fault::error(ApiKey::PRODUCE, ErrorCode::NOT_ENOUGH_REPLICAS));
    let directory = tempfile::tempdir().expect("a directory");
    let input = directory.path().join("in.jsonl");
    std::fs::write(&input, "{\"a\":1}\n").expect("written");
    let (input, target) = (input.display().to_string(), format!("kafka://{}/to", broker.bootstrap()[0]));
    let config = ["copy", &input, &target];
    let mut running = tasks_support::Process::start(directory.path(), &config);
    until("the reason", async || running.log().contains("NOT_ENOUGH_REPLICAS")).await;
    assert!(running.ended().is_none());
    fault.remove();
    assert_eq!(running.wait().await, Some(0), "{}", running.log());
    let log = running.log();
    assert!(log.contains("topic to, 3 partitions: partition_by = \"spread\""), "{log}");
    assert_eq!(log.matches("NOT_ENOUGH_REPLICAS").count(), 1, "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn advice_of_a_copy_names_what_a_copy_has() {
    let broker = two_topics(1, 1).await;
    broker.inject(Fault::refuse_records_with("bad", INVALID_RECORD));
    let target = format!("kafka://{}/to", broker.bootstrap()[0]);
    let done = ottla(&["copy", "-", &target], b"{\"a\":1}\n{\"a\":\"bad\"}\n").await;
    assert_eq!(done.status.code(), Some(4));
    let text = said(&done);
    assert!(text.contains("standard input, line 2: the target did not take it"), "{text}");
    assert!(text.contains("?on_push_error=skip") && !text.contains("on_push_error = "), "{text}");
    let done = ottla(&["copy", "-", &format!("{target}?on_push_error=skip")], b"{\"a\":1}\n{\"a\":\"bad\"}\n").await;
    assert_eq!(done.status.code(), Some(0), "{}", said(&done));
    let done = ottla(&["copy", "-", &target], b"no json\n").await;
    assert!(said(&done).contains("--skip-bad") && !said(&done).contains("on_bad_message ="), "{}", said(&done));
}
