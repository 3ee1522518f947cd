//! Too few replicas in sync on a real cluster of three brokers.

mod support;

use ottla_brokers::{Error, Kafka, KafkaOptions, Release};
use support::{Task, json_lines, produce, until};

#[test]
#[ignore = "needs a real Kafka (Java, Maven, kcat): run testdata/test"]
fn unmet_min_isr_ends_the_task_with_the_brokers_error_and_its_position_stays() -> Result<(), Error> {
    let release = Release::from_env()?;
    let options = KafkaOptions::default().brokers(3).property("replica.lag.time.max.ms", "2000");
    let kafka = Kafka::start_with(release, options)?;
    let admin = kafka.admin()?;
    admin.create_topic("from", 1, 3)?;
    admin.create_topic_with("to", 1, 3, &[("min.insync.replicas", "3")])?;
    produce(&kafka, "from", 0, &json_lines(100));
    // The topic of committed offsets wants three live brokers when it is made, which is when a group is first asked for.
    admin.committed("nobody", "from")?;

    // `to` keeps its leader; `from` may lose its own, and then a new one has to find out how far its log is committed.
    let doomed = admin.topic("to")?.expect("the topic").replicas[0][2];
    kafka.kill(doomed as usize - 1);
    let admin = kafka.admin()?;
    until("two replicas in sync", || {
        admin.topic("to").is_ok_and(|topic| topic.is_some_and(|topic| topic.in_sync[0].len() == 2))
    });

    let task = Task::new("min-isr");
    task.topic_to_topic(&kafka, "from", "to", "full", "acks = \"majority\"");
    let done = task.run();
    assert_eq!(done.status.code(), Some(3), "{}", done.stderr);
    assert!(done.stderr.contains("NOT_ENOUGH_REPLICAS"), "{}", done.stderr);
    let position = admin.committed(&task.group(), "from")?[0];
    assert!(position.unwrap_or(0) == 0, "the position moved to {position:?}");

    // Once the replica is back, the same task carries all of it over.
    kafka.start_again(doomed as usize - 1)?;
    until("three replicas in sync", || {
        admin.topic("to").is_ok_and(|topic| topic.is_some_and(|topic| topic.in_sync[0].len() == 3))
    });
    task.run_ok();
    assert_eq!(support::consume(&kafka, "to", 0, 0), json_lines(100));
    Ok(())
}
