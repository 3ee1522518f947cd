//! The three sync modes against a development broker: the whole table of starts and stops, with and without records,
//! empty partitions, partitions that retention cut, and topics that appear later.

mod tasks_support;

use ottla_connector::core::plan::COMMIT_NOTE;
use ottla_connector::exit::Exit;
use ottla_connector::mode::{Mode, full_group, group};
use ottla_connector::task::Ending;
use ottla_devbroker::{DevBroker, Fault, Release};
use ottla_protocol::{ApiKey, ErrorCode};
use std::time::Duration;
use tasks_support::*;

const TOPIC: &str = "orders";

/// Three partitions: 0 with five records of which retention cut the first two, 1 with four records, 2 empty.
async fn topic() -> DevBroker {
    let broker = broker().await;
    broker.create_topic(TOPIC, 3).expect("created");
    // Batches of their own, since retention deletes whole ones.
    for offset in 0..5 {
        fill(&broker, TOPIC, 0, offset..offset + 1).await;
    }
    fill(&broker, TOPIC, 1, 0..4).await;
    broker.delete_records_before(TOPIC, 0, 2).expect("deleted");
    assert_eq!(broker.offsets(TOPIC, 0).expect("offsets"), (2, 5));
    broker
}

async fn record(broker: &DevBroker, task: &str) -> Vec<Option<i64>> {
    committed(broker, &group(task), TOPIC, 3).await
}

/// Waits until a task that never ends has written so many lines, ends it, and checks that it wrote these.
async fn settle(running: Running, out: &OutFile, expected: &[Vec<String>]) {
    let expected = sorted(expected);
    until("all lines", async || out.lines().len() >= expected.len() || running.is_over()).await;
    let outcome = running.stop().await;
    assert!(matches!(outcome.result, Ok(Ending::Interrupted)), "{:?}", outcome.result);
    assert_eq!(out.sorted(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn full_without_a_record_reads_from_the_earliest_to_the_captured_end() {
    let (broker, out) = (topic().await, OutFile::new());
    let outcome = run_ok(job("t", from_topics(&broker, TOPIC, Mode::Full), out.target())).await;
    assert_eq!(out.sorted(), sorted(&[objects(0, 2..5), objects(1, 0..4)]));
    assert_eq!((outcome.counts.read, outcome.counts.written), (7, 7));
    assert_eq!(record(&broker, "t").await, [Some(5), Some(4), Some(0)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn full_ends_at_the_end_as_it_was_at_its_start_however_much_comes_later() {
    let (broker, out) = (topic().await, OutFile::new());
    // The end is captured, and then the first fetch has to wait until more has come.
    let held = broker.inject(Fault::delay(ApiKey::FETCH, Duration::from_millis(300)).times(1));
    let running = start(job("t", from_topics(&broker, TOPIC, Mode::Full), out.target()));
    until("the first fetch", async || held.hits() > 0).await;
    fill(&broker, TOPIC, 0, 5..9).await;
    fill(&broker, TOPIC, 2, 0..1).await;
    assert!(matches!(running.end().await.result, Ok(Ending::Complete)));
    assert_eq!(out.sorted(), sorted(&[objects(0, 2..5), objects(1, 0..4)]));
    assert_eq!(record(&broker, "t").await, [Some(5), Some(4), Some(0)]);
    run_ok(job("t", from_topics(&broker, TOPIC, Mode::Full), out.target())).await;
    assert_eq!(out.sorted(), sorted(&[objects(0, 2..9), objects(1, 0..4), objects(2, 0..1)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn full_carries_everything_although_a_new_leader_names_an_end_too_early() {
    for release in [Release::V0_11, Release::V2_1, Release::V2_3] {
        let broker = DevBroker::builder().release(release).auto_create(false).start().await.expect("a broker");
        broker.create_topic(TOPIC, 1).expect("created");
        fill(&broker, TOPIC, 0, 0..5).await;
        let held = broker.inject(Fault::stale_high_watermark(0).times(2));
        let out = OutFile::new();
        run_ok(job("t", from_topics(&broker, TOPIC, Mode::Full), out.target())).await;
        assert_eq!((out.sorted(), held.hits()), (sorted(&[objects(0, 0..5)]), 2), "{release}");
        assert_eq!(committed(&broker, &group("t"), TOPIC, 1).await, [Some(5)], "{release}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn full_resumes_in_the_middle_of_a_batch() {
    let (broker, out) = (topic().await, OutFile::new());
    commit(&broker, &group("t"), TOPIC, &[Some(5), Some(2), Some(0)]).await;
    // Partition 1 holds its four records in one batch; two of them were read before.
    run_ok(job("t", from_topics(&broker, TOPIC, Mode::Full), out.target())).await;
    assert_eq!(out.sorted(), objects(1, 2..4));
    assert_eq!(record(&broker, "t").await, [Some(5), Some(4), Some(0)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn full_stops_in_the_middle_of_a_batch_that_goes_beyond_its_end() {
    let (broker, out) = (topic().await, OutFile::new());
    let held = broker.inject(Fault::error(ApiKey::FETCH, ErrorCode::NOT_LEADER_FOR_PARTITION));
    let running = start(job("t", from_topics(&broker, TOPIC, Mode::Full), out.target()));
    until("the first fetch", async || held.hits() > 0).await;
    // The end of partition 1 was captured at 4; now its log is made anew with one batch of six records.
    assert_eq!(broker.truncate_log(TOPIC, 1, 0).expect("truncated"), 0);
    fill(&broker, TOPIC, 1, 0..6).await;
    held.remove();
    assert!(matches!(running.end().await.result, Ok(Ending::Complete)));
    assert_eq!(out.sorted(), sorted(&[objects(0, 2..5), objects(1, 0..4)]));
    assert_eq!(record(&broker, "t").await, [Some(5), Some(4), Some(0)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn full_that_was_completed_reads_nothing_twice() {
    let (broker, out) = (topic().await, OutFile::new());
    for _ in 0..2 {
        run_ok(job("t", from_topics(&broker, TOPIC, Mode::Full), out.target())).await;
        assert_eq!(out.lines().len(), 7);
    }
    fill(&broker, TOPIC, 2, 0..2).await;
    run_ok(job("t", from_topics(&broker, TOPIC, Mode::Full), out.target())).await;
    assert_eq!(out.sorted(), sorted(&[objects(0, 2..5), objects(1, 0..4), objects(2, 0..2)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn full_of_nothing_is_complete_at_once() {
    let (broker, out) = (broker().await, OutFile::new());
    let mut nothing = from_topics(&broker, "none.*", Mode::Full);
    nothing.allow_empty = true;
    run_ok(job("t", nothing, out.target())).await;
    broker.create_topic(TOPIC, 3).expect("created");
    run_ok(job("t", from_topics(&broker, TOPIC, Mode::Full), out.target())).await;
    assert_eq!(out.lines(), Vec::<String>::new());
    assert_eq!(broker.requests(ApiKey::FETCH), 0);
    assert_eq!(committed(&broker, &full_group("t"), TOPIC, 3).await, [Some(0); 3], "and it is marked as completed");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_mark_of_a_completed_full_sync_is_stored_apart_from_the_positions() {
    let (broker, out) = (topic().await, OutFile::new());
    run_ok(job("t", from_topics(&broker, TOPIC, Mode::Full), out.target())).await;
    assert_eq!(committed(&broker, &full_group("t"), TOPIC, 3).await, [Some(5), Some(4), Some(0)]);
    // The positions are gone, as after a reset of the group: a task of this name finds the mark alone.
    let marks = committed(&broker, &full_group("t"), TOPIC, 3).await;
    commit(&broker, &full_group("forgetful"), TOPIC, &marks).await;
    let forgetful = OutFile::new();
    let running = start(job("forgetful", from_topics(&broker, TOPIC, Mode::FullIncremental), forgetful.target()));
    until("the starts", async || record(&broker, "forgetful").await == [Some(5), Some(4), Some(0)]).await;
    fill(&broker, TOPIC, 1, 4..6).await;
    settle(running, &forgetful, &[objects(1, 4..6)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_sync_that_was_interrupted_is_not_marked_as_completed() {
    let (broker, out) = (topic().await, OutFile::new());
    let held = broker.inject(Fault::delay(ApiKey::FETCH, Duration::from_secs(5)));
    let running = start(job("t", from_topics(&broker, TOPIC, Mode::Full), out.target()));
    until("the first fetch", async || held.hits() > 0).await;
    assert!(matches!(running.stop().await.result, Ok(Ending::Interrupted)));
    assert_eq!(record(&broker, "t").await, [Some(2), Some(0), Some(0)]);
    // That it has begun is kept there too; what counts is that an incremental stage does not take it for completed.
    broker.forget_offsets(&group("t"));
    drop(held);
    broker.clear_faults();
    let running = start(job("t", from_topics(&broker, TOPIC, Mode::FullIncremental), out.target()));
    settle(running, &out, &[objects(0, 2..5), objects(1, 0..4)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn incremental_without_a_record_commits_the_latest_and_reads_what_comes() {
    let (broker, out) = (topic().await, OutFile::new());
    let running = start(job("t", from_topics(&broker, TOPIC, Mode::Incremental), out.target()));
    until("the starts", async || record(&broker, "t").await == [Some(5), Some(4), Some(0)]).await;
    fill(&broker, TOPIC, 0, 5..7).await;
    fill(&broker, TOPIC, 2, 0..2).await;
    settle(running, &out, &[objects(0, 5..7), objects(2, 0..2)]).await;
    assert_eq!(record(&broker, "t").await, [Some(7), Some(4), Some(2)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_fetched_before_the_starts_are_committed() {
    for mode in [Mode::Full, Mode::Incremental, Mode::FullIncremental] {
        let (broker, out) = (topic().await, OutFile::new());
        broker.inject(Fault::error(ApiKey::OFFSET_COMMIT, ErrorCode::GROUP_AUTHORIZATION_FAILED));
        let outcome = run(job("t", from_topics(&broker, TOPIC, mode), out.target())).await;
        assert_eq!(outcome.exit(), Exit::Environment, "{mode}: {:?}", outcome.result);
        // The record before the latest offset is looked at, so that the position can be proven later.
        let looks = u64::from(mode == Mode::Incremental);
        assert_eq!(broker.requests(ApiKey::FETCH), looks, "{mode}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn incremental_that_was_killed_before_its_first_record_misses_none() {
    let (broker, out) = (topic().await, OutFile::new());
    let running = start(job("t", from_topics(&broker, TOPIC, Mode::Incremental), out.target()));
    until("the starts", async || record(&broker, "t").await == [Some(5), Some(4), Some(0)]).await;
    running.kill().await;
    fill(&broker, TOPIC, 1, 4..6).await;
    let running = start(job("t", from_topics(&broker, TOPIC, Mode::Incremental), out.target()));
    settle(running, &out, &[objects(1, 4..6)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_wins_in_every_endless_mode() {
    for mode in [Mode::Incremental, Mode::FullIncremental] {
        let (broker, out) = (topic().await, OutFile::new());
        commit(&broker, &group("t"), TOPIC, &[Some(3), Some(4), Some(0)]).await;
        commit(&broker, &full_group("t"), TOPIC, &[Some(5), Some(4), Some(0)]).await;
        let running = start(job("t", from_topics(&broker, TOPIC, mode), out.target()));
        settle(running, &out, &[objects(0, 3..5)]).await;
        assert_eq!(record(&broker, "t").await, [Some(5), Some(4), Some(0)], "{mode}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_start_commits_positions_and_marks_again_so_that_brokers_do_not_forget_them() {
    let (broker, out) = (topic().await, OutFile::new());
    for group in [group("t"), full_group("t")] {
        commit(&broker, &group, TOPIC, &[Some(5), Some(4), Some(0)]).await;
    }
    let running = start(job("t", from_topics(&broker, TOPIC, Mode::FullIncremental), out.target()));
    until("reading", async || broker.requests(ApiKey::FETCH) > 0).await;
    running.stop().await;
    for group in [group("t"), full_group("t")] {
        let places: Vec<_> = (0..3).map(|partition| ottla_client::TopicPartition::new(TOPIC, partition)).collect();
        let found = client(&broker).await.committed(&group, &places).await.expect("the group's offsets");
        let is_ours = |c: &ottla_client::Committed| c.metadata.as_deref().is_some_and(|m| m.starts_with(COMMIT_NOTE));
        assert!(found.values().all(is_ours), "{group}: {found:?}");
        assert_eq!(committed(&broker, &group, TOPIC, 3).await, [Some(5), Some(4), Some(0)], "{group}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn full_and_incremental_that_was_never_full_starts_at_the_earliest() {
    let (broker, out) = (topic().await, OutFile::new());
    let running = start(job("t", from_topics(&broker, TOPIC, Mode::FullIncremental), out.target()));
    until("what was there", async || out.lines().len() >= 7).await;
    fill(&broker, TOPIC, 2, 0..1).await;
    settle(running, &out, &[objects(0, 2..5), objects(1, 0..4), objects(2, 0..1)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_appears_later_is_read_from_its_beginning() {
    for mode in [Mode::Incremental, Mode::FullIncremental] {
        let (broker, out) = (topic().await, OutFile::new());
        commit(&broker, &group("t"), TOPIC, &[Some(5), Some(4), Some(0)]).await;
        let running = start(job("t", from_topics(&broker, "orders.*", mode), out.target()));
        until("reading", async || broker.requests(ApiKey::FETCH) > 0).await;
        broker.create_topic("orders.eu", 1).expect("created");
        broker.create_topic("other", 1).expect("created");
        fill(&broker, "orders.eu", 0, 0..3).await;
        fill(&broker, "other", 0, 7..8).await;
        settle(running, &out, &[objects(0, 0..3)]).await;
        assert_eq!(committed(&broker, &group("t"), "orders.eu", 1).await, [Some(3)], "{mode}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_topic_is_looked_for_every_second_however_rarely_later_ones_are() {
    let (broker, out) = (broker().await, OutFile::new());
    let mut job = job("t", from_topics(&broker, TOPIC, Mode::FullIncremental), out.target());
    job.timing.discover = Duration::from_hours(24);
    let running = start(job);
    until("the look that finds nothing", async || broker.requests(ApiKey::METADATA) > 2).await;
    broker.create_topic(TOPIC, 1).expect("created");
    fill(&broker, TOPIC, 0, 0..3).await;
    settle(running, &out, &[objects(0, 0..3)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_appears_while_the_task_is_down_is_read_from_its_beginning() {
    for mode in [Mode::Incremental, Mode::FullIncremental] {
        let (broker, out) = (topic().await, OutFile::new());
        commit(&broker, &full_group("t"), TOPIC, &[Some(5), Some(4), Some(0)]).await;
        let running = start(job("t", from_topics(&broker, "orders.*", mode), out.target()));
        until("the starts", async || record(&broker, "t").await == [Some(5), Some(4), Some(0)]).await;
        running.stop().await;
        broker.create_topic("orders.eu", 1).expect("created");
        fill(&broker, "orders.eu", 0, 0..3).await;
        let running = start(job("t", from_topics(&broker, "orders.*", mode), out.target()));
        settle(running, &out, &[objects(0, 0..3)]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_retention_overtook_stops_the_task_with_the_size_of_the_gap() {
    for mode in [Mode::Full, Mode::Incremental, Mode::FullIncremental] {
        let (broker, out) = (topic().await, OutFile::new());
        commit(&broker, &group("t"), TOPIC, &[Some(0), Some(1), Some(0)]).await;
        for turn in ["first", "second"] {
            let outcome = run(job("t", from_topics(&broker, TOPIC, mode), out.target())).await;
            let failure = outcome.result.expect_err("a gap");
            assert_eq!(failure.exit, Exit::StoppedByData);
            for part in ["topic orders, partition 0", "is 0, but the log now begins at 2", "2 offsets were deleted"] {
                assert!(failure.message.contains(part), "{mode}, {turn}: {failure}");
            }
            assert_eq!(out.lines(), Vec::<String>::new(), "{mode}, {turn}: it jumped");
            assert_eq!(record(&broker, "t").await, [Some(0), Some(1), Some(0)], "{mode}, {turn}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn retention_that_overtakes_a_running_task_is_a_gap_and_no_jump() {
    let (broker, out) = (topic().await, OutFile::new());
    // The start is chosen, and then its records are deleted before the first fetch gets through.
    let held = broker.inject(Fault::error(ApiKey::FETCH, ErrorCode::NOT_LEADER_FOR_PARTITION));
    let running = start(job("t", from_topics(&broker, TOPIC, Mode::FullIncremental), out.target()));
    until("the first fetch", async || held.hits() > 0).await;
    broker.delete_records_before(TOPIC, 0, 4).expect("deleted");
    held.remove();
    let failure = running.end().await.result.expect_err("a gap");
    assert_eq!(failure.exit, Exit::StoppedByData, "{failure}");
    assert!(failure.message.contains("2 offsets were deleted"), "{failure}");
    assert!(!out.lines().iter().any(|line| line.contains("0-4")), "it jumped");
    assert_eq!(record(&broker, "t").await[0], Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_behind_the_end_stops_the_task() {
    let (broker, out) = (topic().await, OutFile::new());
    commit(&broker, &group("t"), TOPIC, &[Some(5), Some(9), Some(0)]).await;
    let outcome = run(job("t", from_topics(&broker, TOPIC, Mode::Full), out.target())).await;
    let failure = outcome.result.expect_err("behind the end");
    assert!(failure.message.contains("partition 1") && failure.message.contains("the log ends at 4"), "{failure}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_without_a_leader_holds_up_no_other_and_is_read_once_it_has_one() {
    for mode in [Mode::Incremental, Mode::FullIncremental] {
        let broker = DevBroker::builder().nodes(2).auto_create(false).start().await.expect("a broker");
        broker.create_topic(TOPIC, 2).expect("created");
        let (dead, alive) = (broker.leader(TOPIC, 1).expect("a leader").expect("one"), 0);
        assert_ne!(broker.leader(TOPIC, alive).expect("a leader"), Some(dead));
        fill(&broker, TOPIC, 1, 0..3).await;
        // At the start.
        broker.kill_node(dead).await.expect("killed");
        let out = OutFile::new();
        let running = start(job("t", from_topics(&broker, TOPIC, mode), out.target()));
        until("the start of the other", async || {
            committed(&broker, &group("t"), TOPIC, 2).await[0] == Some(0) || running.is_over()
        })
        .await;
        fill(&broker, TOPIC, alive, 0..3).await;
        until("the records of the other", async || out.lines().len() == 3 || running.is_over()).await;
        broker.restart_node(dead).await.expect("restarted");
        until("those of the partition", async || out.lines().len() == 6 || running.is_over()).await;
        // And while it runs.
        broker.kill_node(dead).await.expect("killed");
        fill(&broker, TOPIC, alive, 3..6).await;
        until("more of the other", async || out.lines().len() == 9 || running.is_over()).await;
        broker.restart_node(dead).await.expect("restarted");
        fill(&broker, TOPIC, 1, 3..5).await;
        settle(running, &out, &[objects(0, 0..6), objects(1, 0..5)]).await;
    }
}
