//! A position is used and committed only on the log it was taken from: topics that are deleted and created again while a task
//! runs, is stopped, or pauses.

mod tasks_support;

use std::time::Duration;

use ottla_client::TopicPartition;
use ottla_connector::core::evidence::Evidence;
use ottla_connector::exit::Exit;
use ottla_connector::mode::{Mode, full_group, group};
use ottla_connector::task::{Ending, Outcome};
use ottla_devbroker::{DevBroker, Fault, Release};
use ottla_protocol::{ApiKey, ErrorCode};
use tasks_support::*;

const TOPIC: &str = "orders";
const TASK: &str = "sync";

/// The values of the topic's second life.
fn second_life(partition: i32, count: i64) -> Vec<String> {
    (0..count).map(|offset| format!("{{\"second\":\"{partition}-{offset}\"}}")).collect()
}

async fn fill_second(broker: &DevBroker, partition: i32, count: i64) {
    let values = second_life(partition, count);
    let values: Vec<&[u8]> = values.iter().map(String::as_bytes).collect();
    produce(broker, TOPIC, partition, &values).await;
}

async fn recreate(broker: &DevBroker, partitions: i32, gone_for: Duration) {
    broker.delete_topic(TOPIC).expect("deleted");
    // On a real broker deletion and creation take a controller several steps; here they would take none.
    tokio::time::sleep(gone_for).await;
    broker.create_topic(TOPIC, partitions).expect("created");
}

fn is_stopped_by_data(outcome: &Outcome) {
    let failure = outcome.result.as_ref().expect_err("the topic is another one");
    assert_eq!(failure.exit, Exit::StoppedByData, "{failure}");
    let help = failure.help.as_deref().unwrap_or_default();
    assert!(help.contains(&format!("--from-earliest {TOPIC}")), "{failure}");
}

fn source(broker: &DevBroker, mode: Mode) -> ottla_connector::task::KafkaFrom {
    from_topics(broker, TOPIC, mode)
}

/// Everything of the second life arrives once the user says so, and nothing of it before.
async fn goes_on_from_the_earliest(broker: &DevBroker, out: &OutFile, mode: Mode, expected: &[Vec<String>]) {
    let is_second = |line: &String| line.contains("second");
    assert_eq!(out.lines().into_iter().filter(is_second).count(), 0, "nothing of the new log was used");
    let again = ottla_connector::task::KafkaFrom { from_earliest: vec![TOPIC.to_owned()], ..source(broker, mode) };
    let running = start(job(TASK, again, out.target()));
    let expected = sorted(expected);
    let arrived = || sorted(&[out.lines().into_iter().filter(is_second).collect()]);
    until("the second life", async || arrived().len() >= expected.len() || running.is_over()).await;
    let outcome = running.stop().await;
    assert!(outcome.result.is_ok(), "{:?}", outcome.result);
    assert_eq!(arrived(), expected, "nothing is skipped");
    // And the positions are good ones from then on.
    let outcome = start(job(TASK, source(broker, mode), out.target())).stop().await;
    assert!(outcome.result.is_ok(), "{:?}", outcome.result);
}

/// What a task of this mode reads of `count` records, which are there before it or come while it runs.
async fn read_first_life(broker: &DevBroker, out: &OutFile, mode: Mode, count: i64) -> Running {
    if mode != Mode::Incremental {
        fill(broker, TOPIC, 0, 0..count).await;
    }
    let running = start(job(TASK, source(broker, mode), out.target()));
    if mode == Mode::Incremental {
        until("the first position", async || committed(broker, &group(TASK), TOPIC, 1).await == [Some(0)]).await;
        fill(broker, TOPIC, 0, 0..count).await;
    }
    until("the first life", async || {
        out.lines().len() as i64 >= count && committed(broker, &group(TASK), TOPIC, 1).await == [Some(count)]
    })
    .await;
    running
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_recreated_while_the_task_is_stopped_stops_it_at_its_start() {
    for (mode, refilled) in
        [Mode::Full, Mode::Incremental, Mode::FullIncremental].iter().flat_map(|m| [(*m, 5), (*m, 90)])
    {
        let (broker, out) = (broker().await, OutFile::new());
        broker.create_topic(TOPIC, 1).expect("created");
        read_first_life(&broker, &out, mode, 30).await.stop().await;
        recreate(&broker, 1, Duration::ZERO).await;
        fill_second(&broker, 0, refilled).await;
        for _ in 0..2 {
            let outcome = run(job(TASK, source(&broker, mode), out.target())).await;
            is_stopped_by_data(&outcome);
            let failure = outcome.result.expect_err("stopped");
            assert!(failure.message.contains("deleted and created again"), "{failure}");
        }
        goes_on_from_the_earliest(&broker, &out, mode, &[second_life(0, refilled)]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_recreated_while_the_task_runs_stops_it_and_its_old_position_is_not_used_again() {
    for (mode, refilled) in [Mode::Incremental, Mode::FullIncremental].iter().flat_map(|m| [(*m, 5), (*m, 90)]) {
        let (broker, out) = (broker().await, OutFile::new());
        broker.create_topic(TOPIC, 1).expect("created");
        let running = read_first_life(&broker, &out, mode, 30).await;
        recreate(&broker, 1, Duration::from_millis(200)).await;
        fill_second(&broker, 0, refilled).await;
        is_stopped_by_data(&running.end().await);
        is_stopped_by_data(&run(job(TASK, source(&broker, mode), out.target())).await);
        goes_on_from_the_earliest(&broker, &out, mode, &[second_life(0, refilled)]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_recreated_and_refilled_during_a_pause_is_noticed_before_anything_of_it_is_used() {
    // As if the process stood still, or as a fetch of Kafka 2.3 that outlives the topic: the broker looks at it this much later.
    for held_for in [200, 1000].map(Duration::from_millis) {
        let (broker, out) = (broker().await, OutFile::new());
        broker.create_topic(TOPIC, 1).expect("created");
        let running = read_first_life(&broker, &out, Mode::FullIncremental, 30).await;
        let held = broker.inject(Fault::delay(ApiKey::FETCH, held_for).times(1));
        until("a fetch that is held", async || held.hits() > 0).await;
        recreate(&broker, 1, Duration::ZERO).await;
        fill_second(&broker, 0, 90).await;
        is_stopped_by_data(&running.end().await);
        goes_on_from_the_earliest(&broker, &out, Mode::FullIncremental, &[second_life(0, 90)]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_for_a_topic_that_is_gone_is_not_put_on_the_one_that_comes_after() {
    let (broker, out) = (broker().await, OutFile::new());
    broker.create_topic(TOPIC, 1).expect("created");
    let running = read_first_life(&broker, &out, Mode::FullIncremental, 30).await;
    // The target holds the records back, so that their commit comes after the topic's end.
    let held = broker.inject(Fault::error(ApiKey::OFFSET_COMMIT, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION).times(1));
    fill(&broker, TOPIC, 0, 30..40).await;
    until("the refused commit", async || held.hits() > 0).await;
    recreate(&broker, 1, Duration::from_millis(200)).await;
    fill_second(&broker, 0, 90).await;
    is_stopped_by_data(&running.end().await);
    assert_eq!(committed(&broker, &group(TASK), TOPIC, 1).await, [None], "nothing was committed in the new topic");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_began_before_any_topic_matched_reads_the_first_one_from_its_beginning() {
    let (broker, out) = (broker().await, OutFile::new());
    start(job(TASK, source(&broker, Mode::Incremental), out.target())).stop_when(&broker).await;
    broker.create_topic(TOPIC, 1).expect("created");
    fill(&broker, TOPIC, 0, 0..20).await;
    let running = start(job(TASK, source(&broker, Mode::Incremental), out.target()));
    until("all of it", async || out.lines().len() >= 20 || running.is_over()).await;
    running.stop().await;
    assert_eq!(out.lines(), objects(0, 0..20));
}

#[tokio::test(flavor = "multi_thread")]
async fn removed_offsets_of_a_topic_that_is_still_there_are_no_reason_to_stop() {
    let (broker, out) = (broker().await, OutFile::new());
    broker.create_topic(TOPIC, 1).expect("created");
    read_first_life(&broker, &out, Mode::Full, 30).await.end().await;
    broker.forget_offsets(&group(TASK));
    run_ok(job(TASK, source(&broker, Mode::Full), out.target())).await;
    assert_eq!(out.lines().len(), 60, "it was read again, as its user asked by removing the offsets");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_is_gone_is_no_reason_to_stop_and_a_log_that_begins_earlier_is() {
    let (broker, out) = (broker().await, OutFile::new());
    broker.create_topic(TOPIC, 1).expect("created");
    read_first_life(&broker, &out, Mode::FullIncremental, 30).await.stop().await;
    broker.delete_records_before(TOPIC, 0, 30).expect("deleted");
    let running = start(job(TASK, source(&broker, Mode::FullIncremental), out.target()));
    fill(&broker, TOPIC, 0, 30..31).await;
    until("the next record", async || out.lines().len() == 31 || running.is_over()).await;
    assert!(matches!(running.stop().await.result, Ok(Ending::Interrupted)));
    // Nothing was read since: only the log's start is known.
    broker.delete_records_before(TOPIC, 0, 31).expect("deleted");
    start(job(TASK, source(&broker, Mode::FullIncremental), out.target())).stop_when(&broker).await;
    recreate(&broker, 1, Duration::ZERO).await;
    fill_second(&broker, 0, 90).await;
    commit_with(&broker, &group(TASK), 31, "ottla log_start=31").await;
    is_stopped_by_data(&run(job(TASK, source(&broker, Mode::FullIncremental), out.target())).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_commit_says_which_log_it_belongs_to() {
    let (broker, out) = (broker().await, OutFile::new());
    broker.create_topic(TOPIC, 1).expect("created");
    read_first_life(&broker, &out, Mode::FullIncremental, 30).await.stop().await;
    let place = TopicPartition::new(TOPIC, 0);
    let found = client(&broker).await.committed(&group(TASK), std::slice::from_ref(&place)).await.expect("offsets");
    let evidence = Evidence::of_commit(&found[&place]).expect("ours");
    assert_eq!(evidence.record.map(|record| record.offset), Some(29), "the last record that was read");
    assert_eq!((evidence.log_start, evidence.leader_epoch), (Some(0), Some(0)));
    let marks = client(&broker).await.committed(&full_group(TASK), std::slice::from_ref(&place)).await.expect("marks");
    assert!(marks.contains_key(&place));
}

async fn commit_with(broker: &DevBroker, group: &str, offset: i64, metadata: &str) {
    let position = ottla_client::CommitOffset::new(TopicPartition::new(TOPIC, 0), offset).metadata(metadata);
    client(broker).await.commit(group, &[position]).await.expect("committed");
}

/// Random trials: `OTTLA_TRIALS` sets how many for each release.
#[tokio::test(flavor = "multi_thread")]
async fn whenever_a_topic_is_recreated_nothing_is_skipped() {
    let trials = std::env::var("OTTLA_TRIALS").ok().and_then(|text| text.parse().ok()).unwrap_or(6);
    let seed = std::env::var("OTTLA_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
    for release in [Release::V0_11, Release::V2_3] {
        for trial in 0..trials {
            let seed: u64 = seed + trial;
            println!("{release}: trial {trial}, OTTLA_SEED={seed}");
            recreated_at_a_random_moment(release, &mut fastrand::Rng::with_seed(seed)).await;
        }
    }
}

/// When the topic is recreated.
#[derive(Debug, Clone, Copy)]
enum When {
    Running,
    Stopped,
    Paused,
}

async fn recreated_at_a_random_moment(release: Release, random: &mut fastrand::Rng) {
    let broker = DevBroker::builder().release(release).auto_create(false).start().await.expect("a broker");
    let partitions = random.i32(1..4);
    broker.create_topic(TOPIC, partitions).expect("created");
    let out = OutFile::new();
    let mode = [Mode::Incremental, Mode::FullIncremental][random.usize(0..2)];
    let when = [When::Running, When::Stopped, When::Paused][random.usize(0..3)];
    let count = random.i64(1..400);
    println!("  {mode} {when:?} {partitions} partitions, {count} records");
    let mut running = Some(read_first_life(&broker, &out, mode, count).await);
    // More is under way when it happens.
    fill(&broker, TOPIC, 0, count..count + random.i64(1..200)).await;
    let lines = out.lines().len() + random.usize(0..50);
    let task = running.as_ref().expect("it runs");
    let mut polls = random.u32(0..40);
    until("a random moment", async || {
        polls = polls.saturating_sub(1);
        polls == 0 || out.lines().len() >= lines || task.is_over()
    })
    .await;
    match when {
        When::Stopped => drop(running.take().expect("it runs").stop().await),
        When::Paused => {
            let held =
                broker.inject(Fault::delay(ApiKey::FETCH, Duration::from_millis(random.u64(200..1200))).times(1));
            until("a fetch that is held", async || held.hits() > 0).await;
        }
        When::Running => {}
    }
    let gone_for = if matches!(when, When::Running) { random.u64(150..400) } else { random.u64(0..100) };
    recreate(&broker, partitions, Duration::from_millis(gone_for)).await;
    let refilled = random.i64(1..900);
    fill_second(&broker, 0, refilled).await;
    if let Some(running) = running {
        // Refilled up to just where it stood, it has nothing to read until more comes.
        let its_end = async {
            until("its end", async || running.is_over()).await;
        };
        if tokio::time::timeout(Duration::from_secs(3), its_end).await.is_err() {
            produce(&broker, TOPIC, 0, &[b"{\"second\":\"one more\"}"]).await;
        }
        is_stopped_by_data(&running.end().await);
    }
    is_stopped_by_data(&run(job(TASK, source(&broker, mode), out.target())).await);
    goes_on_from_the_earliest(&broker, &out, mode, &[values(&broker, TOPIC, 0)]).await;
}
