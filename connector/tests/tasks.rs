//! What a task does with records: as they came, in order, at least once; and with those that cannot go on.

mod tasks_support;

use std::time::Duration;

use ottla_client::{Outgoing, OutgoingHeaders, ProducerOptions};
use ottla_connector::config::model::OnError;
use ottla_connector::exit::Exit;
use ottla_connector::mode::{Mode, group};
use ottla_connector::source::jsonl::Input;
use ottla_connector::target::kafka::Naming;
use ottla_connector::task::{Command, Ending, Job, KafkaTo, LinesFrom, SourceSpec, TargetSpec};
use ottla_devbroker::{DevBroker, Fault, LogRecord};
use ottla_protocol::compression::Compression;
use ottla_protocol::records::Header;
use ottla_protocol::{ApiKey, ErrorCode, partition_for_key};
use tasks_support::*;

async fn two_topics(from: i32, to: i32) -> DevBroker {
    let broker = broker().await;
    broker.create_topic("from", from).expect("created");
    broker.create_topic("to", to).expect("created");
    broker
}

fn full(broker: &DevBroker, name: &str) -> Job {
    job(name, from_topics(broker, "from", Mode::Full), TargetSpec::Kafka(to_topic(broker, "to")))
}

/// What of a record has to arrive as it was.
fn essence(records: Vec<LogRecord>) -> Vec<impl PartialEq + std::fmt::Debug> {
    records.into_iter().map(|record| (record.key, record.value, record.headers, record.timestamp_ms)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn key_value_headers_and_time_arrive_as_they_were_in_their_partition_and_order() {
    let broker = two_topics(3, 3).await;
    let producer = client(&broker).await.producer(ProducerOptions::default()).await.expect("a producer");
    let topic = producer.topic("from").await.expect("the topic");
    for n in 0..300i64 {
        let value = format!("{{ \"n\" : {n}.10, \"big\":9007199254740993,\n\"客户\":\"\\u5c0f\" , \"n\":null }}");
        let headers = [Header { key: "mqOp", value: Some(b"update") }, Header { key: "x", value: None }];
        let outgoing = Outgoing {
            partition: Some((n % 3) as i32),
            timestamp_ms: Some(1_600_000_000_000 + n * 7),
            key: (n % 4 > 0).then_some(b"key"),
            value: Some(value.as_bytes()),
            headers: if n % 2 == 0 { OutgoingHeaders::List(&headers) } else { OutgoingHeaders::None },
        };
        drop(topic.send(outgoing).await.expect("sent"));
    }
    producer.flush().await.expect("flushed");
    let outcome = run_ok(full(&broker, "t")).await;
    assert_eq!((outcome.counts.read, outcome.counts.written), (300, 300));
    for partition in 0..3 {
        assert_eq!(essence(log(&broker, "to", partition)), essence(log(&broker, "from", partition)), "{partition}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn by_key_equal_keys_meet_as_kafkas_clients_place_them_and_keep_their_order() {
    let broker = two_topics(3, 2).await;
    for partition in 0..3 {
        let values: Vec<_> =
            (0..50).map(|n| (format!("k{}", n % 5), format!("{{\"n\":{n},\"p\":{partition}}}"))).collect();
        let records: Vec<_> =
            values.iter().map(|(key, value)| (Some(key.as_bytes()), Some(value.as_bytes()))).collect();
        produce_keyed(&broker, "from", partition, &records).await;
    }
    let mut to = to_topic(&broker, "to");
    to.partition_by = Some("key".parse().expect("a rule"));
    run_ok(job("t", from_topics(&broker, "from", Mode::Full), TargetSpec::Kafka(to))).await;
    for target in 0..2 {
        let records = log(&broker, "to", target);
        for record in &records {
            let key = record.key.as_ref().expect("a key");
            assert_eq!(partition_for_key(key, 2), target, "{key:?}");
        }
        for source in 0..3 {
            let mark = format!("\"p\":{source}");
            let of = |r: &&LogRecord| String::from_utf8_lossy(r.value.as_ref().expect("a value")).contains(&mark);
            let offsets: Vec<_> = records.iter().filter(of).map(|record| record.value.clone()).collect();
            let mut sorted = offsets.clone();
            sorted.sort_by_key(|value| value.as_ref().map(|value| (value.len(), value.clone())));
            assert_eq!(offsets, sorted, "order of source partition {source} in {target}");
        }
    }
    let all: usize = (0..2).map(|partition| log(&broker, "to", partition).len()).sum();
    assert_eq!(all, 150);
}

#[tokio::test(flavor = "multi_thread")]
async fn records_without_a_key_stay_with_their_source_partition() {
    let broker = two_topics(3, 2).await;
    for partition in 0..3 {
        fill(&broker, "from", partition, 0..20).await;
    }
    run_ok(full(&broker, "t")).await;
    let of = |values: Vec<String>, mark: &str| values.into_iter().filter(|v| v.contains(mark)).collect::<Vec<_>>();
    assert_eq!(of(values(&broker, "to", 0), "\"0-"), objects(0, 0..20));
    assert_eq!(of(values(&broker, "to", 0), "\"2-"), objects(2, 0..20));
    assert_eq!(values(&broker, "to", 1), objects(1, 0..20));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_topic_is_made_with_one_partition_and_one_replica_and_an_existing_one_is_left_alone() {
    let broker = two_topics(3, 2).await;
    let other = DevBroker::builder().auto_create(false).partitions(7).start().await.expect("a broker");
    fill(&broker, "from", 1, 0..3).await;
    let mut to = to_topic(&other, "");
    to.naming = Naming::Same;
    run_ok(job("t", from_topics(&broker, "from", Mode::Full), TargetSpec::Kafka(to))).await;
    assert_eq!(other.topics(), [("from".to_owned(), 1)]);
    assert_eq!(values(&other, "from", 0), objects(1, 0..3));
    run_ok(full(&broker, "u")).await;
    assert!(broker.topics().contains(&("to".to_owned(), 2)), "{:?}", broker.topics());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_stays_one_in_kafka_and_leaves_no_line_in_a_file() {
    let (broker, out) = (two_topics(1, 1).await, OutFile::new());
    let records: [Pair<'_>; 3] = [(Some(b"a"), Some(b"{\"a\":1}")), (Some(b"a"), None), (Some(b"b"), Some(b"{}"))];
    produce_keyed(&broker, "from", 0, &records).await;
    run_ok(full(&broker, "to-kafka")).await;
    assert_eq!(essence(log(&broker, "to", 0)), essence(log(&broker, "from", 0)));
    let outcome = run_ok(job("to-file", from_topics(&broker, "from", Mode::Full), out.target())).await;
    assert_eq!(out.lines(), ["{\"a\":1}", "{}"]);
    assert_eq!((outcome.counts.read, outcome.counts.written, outcome.counts.deletions), (3, 2, 1));
    assert_eq!(committed(&broker, &group("to-file"), "from", 1).await, [Some(3)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_with_line_breaks_becomes_one_line() {
    let (broker, out) = (two_topics(1, 1).await, OutFile::new());
    produce(&broker, "from", 0, &[b"{\n  \"a\": \"x\\ny\"\r\n}", b"{}"]).await;
    run_ok(job("t", from_topics(&broker, "from", Mode::Full), out.target())).await;
    assert_eq!(out.lines(), ["{   \"a\": \"x\\ny\"  }", "{}"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_message_stops_the_task_before_it_every_time_and_skip_passes_it() {
    let long = format!("[\"{}\"]", "长\u{1b}".repeat(500));
    for to_kafka in [false, true] {
        let (broker, out) = (two_topics(2, 2).await, OutFile::new());
        let name = if to_kafka { "k" } else { "f" };
        fill(&broker, "from", 1, 0..5).await;
        produce(&broker, "from", 0, &[b"{\"n\":0}", b"{\"n\":1}", long.as_bytes(), b"{\"n\":3}"]).await;
        let target = || if to_kafka { TargetSpec::Kafka(to_topic(&broker, "to")) } else { out.target() };
        let arrived = || {
            if to_kafka {
                values(&broker, "to", 0)
            } else {
                out.lines().into_iter().filter(|l| l.contains("\"n\"")).collect()
            }
        };
        for turn in ["first", "second"] {
            let outcome = run(job(name, from_topics(&broker, "from", Mode::Full), target())).await;
            let failure = outcome.result.expect_err("stopped");
            assert_eq!(failure.exit, Exit::StoppedByData, "{turn}");
            for part in ["topic from, partition 0, offset 2", "an array", "[\"长\\u{1b}长"] {
                assert!(failure.message.contains(part), "{turn}: {part} is not in {failure}");
            }
            assert!(failure.message.chars().count() < 400, "{turn}: not clipped: {failure}");
            assert_eq!(arrived(), ["{\"n\":0}", "{\"n\":1}"], "{turn}: what is before it is delivered, once");
            assert_eq!(
                committed(&broker, &group(name), "from", 1).await,
                [Some(2)],
                "{turn}: its position is not passed"
            );
        }
        let skipping = job(
            name,
            ottla_connector::task::KafkaFrom {
                on_bad_message: OnError::Skip,
                ..from_topics(&broker, "from", Mode::Full)
            },
            target(),
        );
        let outcome = run_ok(skipping).await;
        assert_eq!(outcome.counts.skipped, 1);
        assert_eq!(arrived(), ["{\"n\":0}", "{\"n\":1}", "{\"n\":3}"]);
        assert_eq!(committed(&broker, &group(name), "from", 2).await, [Some(4), Some(5)]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_record_stops_the_task_with_its_position_before_it() {
    let broker = two_topics(1, 1).await;
    fill(&broker, "from", 0, 0..10).await;
    broker.inject(Fault::error(ApiKey::PRODUCE, ErrorCode::TOPIC_AUTHORIZATION_FAILED).on_partition("to", 0));
    for _ in 0..2 {
        let failure = run(full(&broker, "t")).await.result.expect_err("refused");
        assert_eq!(failure.exit, Exit::Environment);
        for part in ["topic from, partition 0, offset 0 and 9 more, up to offset 9", "TOPIC_AUTHORIZATION_FAILED"] {
            assert!(failure.message.contains(part), "{part} is not in {failure}");
        }
        assert_eq!(committed(&broker, &group("t"), "from", 1).await, [Some(0)]);
    }
    broker.clear_faults();
    run_ok(full(&broker, "t")).await;
    assert_eq!(values(&broker, "to", 0), objects(0, 0..10));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_is_too_large_is_the_only_one_that_skip_passes() {
    let broker = two_topics(1, 1).await;
    fill(&broker, "from", 0, 0..3).await;
    let large = format!("{{\"pad\":\"{}\"}}", "x".repeat(2 << 20));
    let large_options = ProducerOptions {
        max_request_bytes: Some(8 << 20),
        compression: Compression::Gzip,
        ..ProducerOptions::default()
    };
    let producer = client(&broker).await.producer(large_options).await.expect("a producer");
    let outgoing = Outgoing { partition: Some(0), value: Some(large.as_bytes()), ..Outgoing::default() };
    producer.topic("from").await.expect("the topic").send(outgoing).await.expect("sent").await.expect("stored");
    fill(&broker, "from", 0, 4..6).await;

    // Compressed it would be small enough.
    let mut to = to_topic(&broker, "to");
    to.compression = Compression::None;
    let task = |to: &KafkaTo| job("t", from_topics(&broker, "from", Mode::Full), TargetSpec::Kafka(to.clone()));
    let failure = run(task(&to)).await.result.expect_err("refused");
    assert_eq!(failure.exit, Exit::StoppedByData, "{failure}");
    assert!(failure.message.contains("topic from, partition 0, offset 3"), "{failure}");
    assert_eq!(values(&broker, "to", 0), objects(0, 0..3));
    assert_eq!(committed(&broker, &group("t"), "from", 1).await, [Some(3)]);

    to.on_push_error = OnError::Skip;
    let outcome = run_ok(task(&to)).await;
    assert_eq!((outcome.counts.skipped, outcome.counts.written), (1, 2));
    assert_eq!(values(&broker, "to", 0), [objects(0, 0..3), objects(0, 4..6)].concat());
    assert_eq!(committed(&broker, &group("t"), "from", 1).await, [Some(6)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn skip_passes_what_the_target_refuses_and_never_sends_it_again() {
    let broker = two_topics(1, 1).await;
    fill(&broker, "from", 0, 0..10).await;
    broker.inject(Fault::error(ApiKey::PRODUCE, ErrorCode::INVALID_TIMESTAMP));
    let mut to = to_topic(&broker, "to");
    to.on_push_error = OnError::Skip;
    let outcome = run_ok(job("t", from_topics(&broker, "from", Mode::Full), TargetSpec::Kafka(to))).await;
    assert_eq!((outcome.counts.read, outcome.counts.written, outcome.counts.skipped), (10, 0, 10));
    broker.clear_faults();
    run_ok(full(&broker, "t")).await;
    assert_eq!(values(&broker, "to", 0), Vec::<String>::new());
    assert_eq!(committed(&broker, &group("t"), "from", 1).await, [Some(10)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn skip_does_not_pass_records_because_the_target_is_away() {
    let (broker, target) = (two_topics(1, 1).await, broker().await);
    target.create_topic("to", 1).expect("created");
    fill(&broker, "from", 0, 0..10).await;
    target.inject(Fault::close_before(ApiKey::PRODUCE));
    let mut to = to_topic(&target, "to");
    to.on_push_error = OnError::Skip;
    let outcome = run(job("t", from_topics(&broker, "from", Mode::Full), TargetSpec::Kafka(to))).await;
    assert_eq!((outcome.exit(), outcome.counts.skipped), (Exit::Environment, 0), "{:?}", outcome.result);
    assert_eq!(committed(&broker, &group("t"), "from", 1).await, [Some(0)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_committed_before_the_target_has_acknowledged_it() {
    let broker = two_topics(1, 1).await;
    fill(&broker, "from", 0, 0..100).await;
    // Never answered for as long as the fault is there.
    let silent = broker.inject(Fault::silence(ApiKey::PRODUCE));
    // Endless, because a full sync would wait for the acknowledgements at its end, whatever it commits on the way.
    let mut job =
        job("t", from_topics(&broker, "from", Mode::FullIncremental), TargetSpec::Kafka(to_topic(&broker, "to")));
    job.timing.delivery = Duration::from_mins(1);
    let running = start(job);
    until("the produce request", async || silent.hits() > 0).await;
    let commits = broker.requests(ApiKey::OFFSET_COMMIT);
    // Twenty commit intervals long.
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(committed(&broker, &group("t"), "from", 1).await, [Some(0)]);
    assert_eq!(broker.requests(ApiKey::OFFSET_COMMIT), commits, "there was nothing to commit");
    running.kill().await;
    broker.clear_faults();
    run_ok(full(&broker, "t")).await;
    assert_eq!(committed(&broker, &group("t"), "from", 1).await, [Some(100)]);
    let arrived = values(&broker, "to", 0);
    assert!(arrived.ends_with(&objects(0, 0..100)), "{arrived:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_committed_before_it_is_in_the_file() {
    let (broker, out) = (two_topics(1, 1).await, OutFile::new());
    let running = start(job("t", from_topics(&broker, "from", Mode::FullIncremental), out.target()));
    // So few bytes at a time that nothing but the commit makes the writer write.
    for end in (10..=100).step_by(10) {
        fill(&broker, "from", 0, end - 10..end).await;
        until("the commit", async || committed(&broker, &group("t"), "from", 1).await == [Some(end)]).await;
        assert_eq!(out.lines(), objects(0, 0..end), "committed up to {end}");
    }
    running.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_is_asked_to_end_drains_and_commits() {
    let broker = two_topics(2, 2).await;
    for partition in 0..2 {
        fill(&broker, "from", partition, 0..500).await;
    }
    let endless =
        job("t", from_topics(&broker, "from", Mode::FullIncremental), TargetSpec::Kafka(to_topic(&broker, "to")));
    let running = start(endless.clone());
    until("the first records", async || !values(&broker, "to", 0).is_empty()).await;
    let outcome = running.stop().await;
    assert!(matches!(outcome.result, Ok(Ending::Interrupted)));
    assert_eq!(outcome.counts.read, outcome.counts.written, "what was read is delivered");
    let record = committed(&broker, &group("t"), "from", 2).await;
    for (partition, position) in (0..2).zip(record) {
        assert_eq!(values(&broker, "to", partition), objects(partition, 0..position.expect("committed")));
    }
    let again = start(endless);
    until("the rest", async || (0..2).all(|p| values(&broker, "to", p).len() >= 500)).await;
    again.stop().await;
    for partition in 0..2 {
        assert_eq!(values(&broker, "to", partition), objects(partition, 0..500), "nothing twice after an orderly end");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_acknowledgements_and_moving_leaders_lose_and_swap_nothing() {
    let broker = DevBroker::builder().nodes(2).replicas(2).auto_create(false).start().await.expect("a broker");
    broker.create_topic("from", 2).expect("created");
    broker.create_topic("to", 2).expect("created");
    for partition in 0..2 {
        fill(&broker, "from", partition, 0..2000).await;
    }
    broker.inject(Fault::close_after_applying(ApiKey::PRODUCE).times(2));
    broker.inject(Fault::error(ApiKey::PRODUCE, ErrorCode::NOT_LEADER_FOR_PARTITION).after(1).times(2));
    broker.inject(Fault::close_before(ApiKey::FETCH).times(2));
    let mut job = full(&broker, "t");
    job.timing.delivery = Duration::from_secs(30);
    let running = start(job);
    broker.move_leader("to", 0, 1).expect("moved");
    broker.move_leader("from", 1, 0).expect("moved");
    let outcome = running.end().await;
    assert!(outcome.result.is_ok(), "{:?}", outcome.result);
    for partition in 0..2 {
        assert_eq!(
            values(&broker, "to", partition),
            objects(partition, 0..2000),
            "an idempotent producer, so exactly once"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_that_fail_for_a_while_are_made_later() {
    let broker = two_topics(1, 1).await;
    fill(&broker, "from", 0, 0..100).await;
    broker.inject(Fault::error(ApiKey::OFFSET_COMMIT, ErrorCode::COORDINATOR_LOAD_IN_PROGRESS).after(1).times(3));
    run_ok(full(&broker, "t")).await;
    assert_eq!(committed(&broker, &group("t"), "from", 1).await, [Some(100)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_is_never_written_into_itself() {
    let broker = two_topics(1, 1).await;
    let itself = TargetSpec::Kafka(to_topic(&broker, "from"));
    let failure = run(job("t", from_topics(&broker, "from|to", Mode::Full), itself)).await.result.expect_err("a loop");
    assert_eq!(failure.exit, Exit::Usage);
    assert!(failure.message.contains("topic from would be written into itself"), "{failure}");
    assert_eq!(broker.requests(ApiKey::PRODUCE), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_source_topics_meet_in_one_target_topic() {
    let broker = two_topics(1, 1).await;
    broker.create_topic("from2", 2).expect("created");
    fill(&broker, "from", 0, 0..50).await;
    fill(&broker, "from2", 1, 50..80).await;
    run_ok(job("t", from_topics(&broker, "from2?", Mode::Full), TargetSpec::Kafka(to_topic(&broker, "to")))).await;
    let arrived = values(&broker, "to", 0);
    let of = |mark: &str| arrived.iter().filter(|value| value.contains(mark)).cloned().collect::<Vec<_>>();
    assert_eq!((of("\"0-"), of("\"1-")), (objects(0, 0..50), objects(1, 50..80)));
}

fn lines(input: Input, target: TargetSpec, on_bad_message: OnError) -> Job {
    Job {
        group: group("lines"),
        name: "lines".to_owned(),
        command: Command::Run,
        source: SourceSpec::Lines(LinesFrom { input, on_bad_message, positions: None }),
        target,
        timing: quick(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_line_stops_behind_the_good_ones_and_skip_passes_it() {
    let broker = two_topics(1, 1).await;
    let input = Input::Memory(b"{\"n\":0}\n\n{\"n\":1}\nnot json\n{\"n\":3}");
    let to = || TargetSpec::Kafka(to_topic(&broker, "to"));
    let failure = run(lines(input.clone(), to(), OnError::Stop)).await.result.expect_err("stopped");
    assert_eq!(failure.exit, Exit::StoppedByData);
    assert!(failure.message.contains("line 4") && failure.message.contains("not json"), "{failure}");
    assert_eq!(values(&broker, "to", 0), ["{\"n\":0}", "{\"n\":1}"]);
    let outcome = run_ok(lines(input, to(), OnError::Skip)).await;
    assert_eq!((outcome.counts.read, outcome.counts.written, outcome.counts.skipped), (4, 3, 1));
    assert_eq!(values(&broker, "to", 0)[2..], ["{\"n\":0}", "{\"n\":1}", "{\"n\":3}"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn first_puts_lines_into_one_partition_in_their_order() {
    let broker = two_topics(1, 3).await;
    let out = OutFile::new();
    let text =
        (0..50_000).map(|n| format!("{{\"n\":{n},\"pad\":\"some bytes to carry\"}}\n")).collect::<Vec<_>>().concat();
    std::fs::write(out.path(), &text).expect("written");
    let mut to = to_topic(&broker, "to");
    to.partition_by = Some("first".parse().expect("a rule"));
    run_ok(lines(Input::File(out.path()), TargetSpec::Kafka(to), OnError::Stop)).await;
    assert_eq!(values(&broker, "to", 0).join("\n") + "\n", text);
    assert_eq!((log(&broker, "to", 1).len(), log(&broker, "to", 2).len()), (0, 0));
}
