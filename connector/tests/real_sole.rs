//! A task runs once at a time, on a real Kafka of the release that `OTTLA_KAFKA` names.

mod support;

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use ottla_brokers::{Error, Kafka};
use support::{Running, Task, kafka, produce, unique, until};

const RECORDS: i64 = 1000;
/// A start that need not wait for anybody takes no longer than this, also on a busy machine; a session lasts ten seconds.
const AT_ONCE: Duration = Duration::from_secs(8);

fn lines(offsets: std::ops::Range<i64>) -> String {
    offsets.fold(String::new(), |mut text, offset| {
        let _ = writeln!(text, "{{\"n\":{offset}}}");
        text
    })
}

fn topic(kafka: &Kafka) -> Result<String, Error> {
    let topic = unique("sole");
    kafka.admin()?.create_topic(&topic, 1, 1)?;
    produce(kafka, &topic, 0, &lines(0..RECORDS));
    Ok(topic)
}

fn task(kafka: &Kafka, topic: &str) -> Task {
    let task = Task::new("sole");
    task.topic_to_file(kafka, topic, "full+incremental", "");
    task
}

/// The task as another process would run it, into a file of its own.
fn again(kafka: &Kafka, task: &Task, topic: &str) -> Task {
    let task = task.again();
    task.topic_to_file(kafka, topic, "full+incremental", "");
    task
}

fn until_committed(kafka: &Kafka, task: &Task, topic: &str, offset: i64) {
    until(&format!("the commit of {offset}"), || {
        let committed = kafka.admin().and_then(|admin| admin.committed(&task.group(), topic));
        committed.is_ok_and(|committed| committed == [Some(offset)])
    });
}

fn describe(kafka: &Kafka, task: &Task) -> String {
    let described = kafka.tools().consumer_groups(&kafka.bootstrap(), &["--describe", "--group", &task.group()]);
    described.unwrap_or_else(|error| panic!("{error}")).text()
}

/// How many members the task's group has.
fn members(kafka: &Kafka, task: &Task) -> usize {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.unwrap_or_else(|error| panic!("{error}"));
    let described = runtime.block_on(async {
        let client = ottla_client::Client::builder().bootstrap([kafka.bootstrap()]).connect().await?;
        client.describe_group(&task.group()).await
    });
    described.unwrap_or_else(|error| panic!("{error}")).members.len()
}

#[test]
#[ignore = "needs a real Kafka (Java, Maven, kcat): run testdata/test"]
fn a_second_process_is_refused_by_name_and_no_record_is_doubled() -> Result<(), Error> {
    let (kafka, topic) = (kafka(), topic(kafka())?);
    let first = task(kafka, &topic);
    let running = first.start();
    until_committed(kafka, &first, &topic, RECORDS);
    let second = again(kafka, &first, &topic);
    let mut refused = second.start();
    until("the refusal", || refused.ended().is_some());
    assert_eq!(refused.ended().and_then(|status| status.code()), Some(3), "{}", refused.log());
    for part in ["another process runs it already", "client \"ottla\"", &format!("process {}", running.id()), "UTC"] {
        assert!(refused.log().contains(part), "{part} is not in {}", refused.log());
    }
    assert!(!second.output().exists(), "the target was touched");
    produce(kafka, &topic, 0, &lines(RECORDS..RECORDS + 10));
    until_committed(kafka, &first, &topic, RECORDS + 10);
    assert!(running.terminate().success());
    assert_eq!(first.written(), lines(0..RECORDS + 10));
    // The group is free: a start waits for `group.initial.rebalance.delay.ms` (3 s) at most.
    let third = second.start();
    until("the next one runs", || third.log().contains("starts at"));
    assert!(!third.log().contains("waiting"), "{}", third.log());
    assert!(third.terminate().success());
    Ok(())
}

#[test]
#[ignore = "needs a real Kafka (Java, Maven, kcat): run testdata/test"]
fn of_two_processes_that_start_at_the_same_moment_one_runs() -> Result<(), Error> {
    for _ in 0..3 {
        let (kafka, topic) = (kafka(), topic(kafka())?);
        let tasks = {
            let one = task(kafka, &topic);
            let two = again(kafka, &one, &topic);
            [one, two]
        };
        let mut running: Vec<Running> = tasks.iter().map(Task::start).collect();
        until("one is refused", || running.iter_mut().any(|process| process.ended().is_some()));
        let at = running.iter_mut().position(|process| process.ended().is_some()).unwrap_or_default();
        let mut refused = running.remove(at);
        assert_eq!(refused.ended().and_then(|status| status.code()), Some(3), "{}", refused.log());
        until_committed(kafka, &tasks[0], &topic, RECORDS);
        assert!(running.remove(0).terminate().success());
        assert_eq!(tasks.iter().map(Task::written).collect::<String>(), lines(0..RECORDS), "every record once");
    }
    Ok(())
}

#[test]
#[ignore = "needs a real Kafka (Java, Maven, kcat): run testdata/test"]
fn after_a_kill_the_next_start_on_this_machine_waits_for_no_session() -> Result<(), Error> {
    let (kafka, topic) = (kafka(), topic(kafka())?);
    let task = task(kafka, &topic);
    let mut quickest = Duration::MAX;
    for life in 0..4 {
        let started = Instant::now();
        let mut running = task.start();
        running.until("its start", || starts(&task) > life);
        if life > 0 {
            quickest = quickest.min(started.elapsed());
        }
        assert!(!running.log().contains("waiting"), "{}", running.log());
        running.kill();
    }
    println!("the quickest start after a kill took {quickest:?}");
    // The best of three: what else the machine is busy with is not ours. Waiting for a session takes ten seconds each time.
    assert!(quickest < AT_ONCE, "{quickest:?}");
    Ok(())
}

/// How often the task has said where it starts.
fn starts(task: &Task) -> usize {
    std::fs::read_to_string(task.path("ottla.log")).unwrap_or_default().matches("starts at").count()
}

#[test]
#[ignore = "needs a real Kafka (Java, Maven, kcat): run testdata/test"]
fn one_that_was_stopped_until_another_took_over_commits_nothing_and_says_so() -> Result<(), Error> {
    let (kafka, topic) = (kafka(), topic(kafka())?);
    let first = task(kafka, &topic);
    let stopped = first.start();
    until_committed(kafka, &first, &topic, RECORDS);
    stopped.signal("STOP");
    // It is alive, so another one is refused until the coordinator has thrown it out.
    until("its session ends", || members(kafka, &first) == 0);
    let second = again(kafka, &first, &topic);
    let running = second.start();
    produce(kafka, &topic, 0, &lines(RECORDS..RECORDS + 10));
    until_committed(kafka, &first, &topic, RECORDS + 10);
    stopped.signal("CONT");
    let log = first.path("ottla.log");
    let status = stopped.wait();
    let said = std::fs::read_to_string(log).unwrap_or_default();
    assert_eq!(status.code(), Some(3), "{said}");
    assert!(said.contains("another process has taken it over"), "{said}");
    assert!(said.contains(&format!("process {}", running.id())), "{said}");
    produce(kafka, &topic, 0, &lines(RECORDS + 10..RECORDS + 20));
    until_committed(kafka, &first, &topic, RECORDS + 20);
    assert!(running.terminate().success());
    assert_eq!(second.written(), lines(RECORDS..RECORDS + 20));
    Ok(())
}

#[test]
#[ignore = "needs a real Kafka (Java, Maven, kcat): run testdata/test"]
fn kafkas_tools_show_the_offsets_of_a_running_task_and_do_not_reset_them() -> Result<(), Error> {
    let (kafka, topic) = (kafka(), topic(kafka())?);
    let task = task(kafka, &topic);
    let running = task.start();
    until_committed(kafka, &task, &topic, RECORDS);
    let shown = describe(kafka, &task);
    let row = shown.lines().find(|line| line.contains(&topic)).unwrap_or_default();
    let columns: Vec<_> = row.split_whitespace().collect();
    assert_eq!(columns.iter().filter(|column| **column == "1000").count(), 2, "offset and end: {shown}");
    let reset = ["--reset-offsets", "--to-earliest", "--execute", "--all-topics", "--group", &task.group()];
    // Refused with exit 0 or 1, by release.
    drop(kafka.tools().consumer_groups(&kafka.bootstrap(), &reset));
    assert_eq!(kafka.admin()?.committed(&task.group(), &topic)?, [Some(RECORDS)], "not while it runs");
    assert!(running.terminate().success());
    kafka.tools().consumer_groups(&kafka.bootstrap(), &reset)?;
    assert_eq!(kafka.admin()?.committed(&task.group(), &topic)?, [Some(0)], "when it has ended");
    Ok(())
}
