//! The whole table of sync modes: with and without stored positions, empty partitions, and partitions that retention cut.

mod support;

use ottla_brokers::{Error, Kafka, skipped};
use support::{Running, Task, kafka, produce, unique};

/// What a partition holds: `{"at":"<partition>-<offset>"}` for each offset.
fn line(partition: i32, offset: i64) -> String {
    format!("{{\"at\":\"{partition}-{offset}\"}}\n")
}

fn lines(partition: i32, offsets: std::ops::Range<i64>) -> String {
    offsets.map(|offset| line(partition, offset)).collect()
}

/// Three partitions: 0 with five records of which retention cut the first two, 1 with four records, 2 empty.
fn topic(kafka: &Kafka) -> Result<String, Error> {
    let (topic, admin) = (unique("modes"), kafka.admin()?);
    admin.create_topic(&topic, 3, 1)?;
    produce(kafka, &topic, 0, &lines(0, 0..5));
    produce(kafka, &topic, 1, &lines(1, 0..4));
    admin.delete_records_before(&topic, 0, 2)?;
    assert_eq!(admin.start_offsets(&topic)?, [2, 0, 0]);
    assert_eq!(admin.end_offsets(&topic)?, [5, 4, 0]);
    Ok(topic)
}

fn sorted(text: &str) -> Vec<String> {
    let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

/// Checks that a task wrote exactly these lines, whatever the order between partitions.
fn assert_written(task: &Task, expected: &[String]) {
    assert_eq!(sorted(&task.written()), sorted(&expected.concat()));
}

/// Waits until a task that never ends has written these lines, ends it, and checks that it wrote no others.
fn settle(task: &Task, mut running: Running, expected: &[String]) {
    let wanted = sorted(&expected.concat());
    running.until(&format!("{wanted:?}"), || sorted(&task.written()).len() >= wanted.len());
    let log = running.log();
    assert!(running.terminate().success(), "SIGTERM did not end the task with 0:\n{log}");
    assert_written(task, expected);
}

fn started(task: &Task, topic: &str, starts: [i64; 3]) -> Running {
    let mut running = task.start();
    let wanted = starts.map(Some);
    running.until(&format!("the starts {starts:?} as committed positions"), || {
        let committed = kafka().admin().and_then(|admin| admin.committed(&task.group(), topic));
        committed.is_ok_and(|committed| committed == wanted)
    });
    running
}

#[test]
#[ignore = "needs a real Kafka (Java, Maven, kcat): run testdata/test"]
fn full_without_positions_reads_from_the_earliest_to_the_captured_end() -> Result<(), Error> {
    let (kafka, topic) = (kafka(), topic(kafka())?);
    let task = Task::new("full");
    task.topic_to_file(kafka, &topic, "full", "");
    task.run_ok();
    assert_written(&task, &[lines(0, 2..5), lines(1, 0..4)]);
    let committed = kafka.admin()?.committed(&task.group(), &topic)?;
    assert_eq!(committed[..2], [Some(5), Some(4)]);
    Ok(())
}

#[test]
#[ignore = "needs a real Kafka (Java, Maven, kcat): run testdata/test"]
fn full_with_positions_reads_on_from_them() -> Result<(), Error> {
    let (kafka, topic) = (kafka(), topic(kafka())?);
    let task = Task::new("full-stored");
    kafka.admin()?.commit(&task.group(), &topic, 0, 4)?;
    kafka.admin()?.commit(&task.group(), &topic, 1, 1)?;
    task.topic_to_file(kafka, &topic, "full", "");
    task.run_ok();
    assert_written(&task, &[lines(0, 4..5), lines(1, 1..4)]);
    Ok(())
}

#[test]
#[ignore = "needs a real Kafka (Java, Maven, kcat): run testdata/test"]
fn full_that_was_completed_reads_nothing_twice() -> Result<(), Error> {
    let (kafka, topic) = (kafka(), topic(kafka())?);
    let task = Task::new("full-again");
    task.topic_to_file(kafka, &topic, "full", "");
    task.run_ok();
    task.run_ok();
    assert_written(&task, &[lines(0, 2..5), lines(1, 0..4)]);
    produce(kafka, &topic, 2, &lines(2, 0..1));
    task.run_ok();
    assert_written(&task, &[lines(0, 2..5), lines(1, 0..4), lines(2, 0..1)]);
    Ok(())
}

#[test]
#[ignore = "needs a real Kafka (Java, Maven, kcat): run testdata/test"]
fn full_of_a_topic_without_records_is_complete_at_once() -> Result<(), Error> {
    let (kafka, topic) = (kafka(), unique("empty"));
    kafka.admin()?.create_topic(&topic, 3, 1)?;
    let task = Task::new("full-empty");
    task.topic_to_file(kafka, &topic, "full", "");
    let done = task.run_ok();
    assert!(done.stderr.contains(&topic), "the chosen starts are not printed:\n{}", done.stderr);
    assert_eq!(task.written(), "");
    Ok(())
}

#[test]
#[ignore = "needs a real Kafka (Java, Maven, kcat): run testdata/test"]
fn full_ends_with_partitions_that_retention_emptied() -> Result<(), Error> {
    let (kafka, topic) = (kafka(), topic(kafka())?);
    kafka.admin()?.delete_records_before(&topic, 1, 4)?;
    let task = Task::new("full-emptied");
    task.topic_to_file(kafka, &topic, "full", "");
    task.run_ok();
    assert_written(&task, &[lines(0, 2..5)]);
    Ok(())
}

#[test]
#[ignore = "needs a real Kafka (Java, Maven, kcat): run testdata/test"]
fn incremental_without_positions_commits_the_latest_first_and_reads_what_comes() -> Result<(), Error> {
    let (kafka, topic) = (kafka(), topic(kafka())?);
    let task = Task::new("incremental");
    task.topic_to_file(kafka, &topic, "incremental", "");
    let running = started(&task, &topic, [5, 4, 0]);
    produce(kafka, &topic, 0, &lines(0, 5..7));
    produce(kafka, &topic, 2, &lines(2, 0..2));
    settle(&task, running, &[lines(0, 5..7), lines(2, 0..2)]);
    assert_eq!(kafka.admin()?.committed(&task.group(), &topic)?, [Some(7), Some(4), Some(2)]);
    Ok(())
}

#[test]
#[ignore = "needs a real Kafka (Java, Maven, kcat): run testdata/test"]
fn incremental_that_was_killed_before_its_first_record_misses_none() -> Result<(), Error> {
    let (kafka, topic) = (kafka(), topic(kafka())?);
    let task = Task::new("incremental-killed");
    task.topic_to_file(kafka, &topic, "incremental", "");
    started(&task, &topic, [5, 4, 0]).kill();
    produce(kafka, &topic, 1, &lines(1, 4..6));
    settle(&task, task.start(), &[lines(1, 4..6)]);
    Ok(())
}

#[test]
#[ignore = "needs a real Kafka (Java, Maven, kcat): run testdata/test"]
fn incremental_with_positions_reads_on_from_them() -> Result<(), Error> {
    let (kafka, topic) = (kafka(), topic(kafka())?);
    let task = Task::new("incremental-stored");
    for (partition, offset) in [(0, 3), (1, 4), (2, 0)] {
        kafka.admin()?.commit(&task.group(), &topic, partition, offset)?;
    }
    task.topic_to_file(kafka, &topic, "incremental", "");
    settle(&task, task.start(), &[lines(0, 3..5)]);
    Ok(())
}

#[test]
#[ignore = "needs a real Kafka (Java, Maven, kcat): run testdata/test"]
fn full_and_incremental_without_a_completed_full_starts_at_the_earliest() -> Result<(), Error> {
    let (kafka, topic) = (kafka(), topic(kafka())?);
    let task = Task::new("both");
    task.topic_to_file(kafka, &topic, "full+incremental", "");
    let mut running = task.start();
    running.until("what the topic held", || task.written().lines().count() >= 7);
    produce(kafka, &topic, 2, &lines(2, 0..1));
    settle(&task, running, &[lines(0, 2..5), lines(1, 0..4), lines(2, 0..1)]);
    Ok(())
}

#[test]
#[ignore = "needs a real Kafka (Java, Maven, kcat): run testdata/test"]
fn full_and_incremental_with_positions_reads_on_from_them() -> Result<(), Error> {
    let (kafka, topic) = (kafka(), topic(kafka())?);
    let task = Task::new("both-stored");
    for (partition, offset) in [(0, 4), (1, 2), (2, 0)] {
        kafka.admin()?.commit(&task.group(), &topic, partition, offset)?;
    }
    task.topic_to_file(kafka, &topic, "full+incremental", "");
    settle(&task, task.start(), &[lines(0, 4..5), lines(1, 2..4)]);
    Ok(())
}

#[test]
#[ignore = "needs a real Kafka (Java, Maven, kcat): run testdata/test"]
fn full_and_incremental_after_a_completed_full_starts_at_the_latest() -> Result<(), Error> {
    let (kafka, topic) = (kafka(), topic(kafka())?);
    let task = Task::new("both-after-full");
    task.topic_to_file(kafka, &topic, "full", "");
    task.run_ok();
    if kafka.release().at_least(1, 1) {
        // The mark of the completed full sync stands apart from the positions and outlives them.
        kafka.admin()?.delete_group(&task.group())?;
        assert_eq!(kafka.admin()?.committed(&task.group(), &topic)?, [None, None, None]);
    } else {
        let test = "full_and_incremental_after_a_completed_full_starts_at_the_latest";
        skipped(test, kafka.release(), "in part: it cannot delete a group's positions, so the mark is not tried alone");
    }
    task.topic_to_file(kafka, &topic, "full+incremental", "");
    let running = started(&task, &topic, [5, 4, 0]);
    produce(kafka, &topic, 1, &lines(1, 4..6));
    settle(&task, running, &[lines(0, 2..5), lines(1, 0..4), lines(1, 4..6)]);
    Ok(())
}

#[test]
#[ignore = "needs a real Kafka (Java, Maven, kcat): run testdata/test"]
fn a_position_that_retention_overtook_stops_the_task_and_names_the_gap() -> Result<(), Error> {
    let (kafka, topic) = (kafka(), topic(kafka())?);
    for mode in ["full", "incremental", "full+incremental"] {
        let task = Task::new("overtaken");
        for (partition, offset) in [(0, 1), (1, 0), (2, 0)] {
            kafka.admin()?.commit(&task.group(), &topic, partition, offset)?;
        }
        task.topic_to_file(kafka, &topic, mode, "");
        let done = task.run();
        assert!(matches!(done.status.code(), Some(3 | 4)), "{mode}: {}\n{}", done.status, done.stderr);
        assert!(done.stderr.contains(&topic) && done.stderr.contains('1'), "{mode}: {}", done.stderr);
        assert!(!task.written().contains("\"0-"), "{mode}: it jumped");
        assert_eq!(kafka.admin()?.committed(&task.group(), &topic)?[0], Some(1), "{mode}");
    }
    Ok(())
}
