//! Topics of a target: made with one partition and one replica where they are missing, never altered where they exist.

mod support;

use ottla_brokers::Error;
use support::{Task, consume, json_lines, kafka, ottla, ottla_ok, produce, unique};

#[test]
#[ignore = "needs a real Kafka (Java, Maven, kcat): run testdata/test"]
fn a_missing_topic_is_created_with_one_partition_and_one_replica() -> Result<(), Error> {
    // The broker itself would make two partitions.
    let (kafka, topic) = (kafka(), unique("missing"));
    ottla_ok(&["copy", "-", &format!("kafka://{}/{topic}", kafka.address(0))], json_lines(10).as_bytes());
    let layout = kafka.admin()?.topic(&topic)?.expect("the topic was created");
    assert_eq!(layout.replicas, [[1]]);
    assert_eq!(consume(kafka, &topic, 0, 0), json_lines(10));
    Ok(())
}

#[test]
#[ignore = "needs a real Kafka (Java, Maven, kcat): run testdata/test"]
fn an_existing_topic_is_never_altered() -> Result<(), Error> {
    let (kafka, topic) = (kafka(), unique("existing"));
    kafka.admin()?.create_topic_with(&topic, 3, 1, &[("retention.ms", "123456789")])?;
    let before = kafka.topics_tool(&["--describe", "--topic", &topic])?.text();
    ottla_ok(&["copy", "-", &format!("kafka://{}/{topic}", kafka.address(0))], json_lines(30).as_bytes());
    assert_eq!(kafka.topics_tool(&["--describe", "--topic", &topic])?.text(), before);
    assert!(before.contains("123456789"), "{before}");
    assert_eq!(kafka.admin()?.end_offsets(&topic)?.iter().sum::<i64>(), 30);
    Ok(())
}

#[test]
#[ignore = "needs a real Kafka (Java, Maven, kcat): run testdata/test"]
fn a_missing_source_topic_is_named_and_not_created() -> Result<(), Error> {
    let (kafka, topic) = (kafka(), unique("no-such"));
    let done = ottla(&["copy", &format!("kafka://{}/{topic}", kafka.address(0)), "-"], &[]);
    assert_eq!(done.status.code(), Some(3), "{}", done.stderr);
    assert!(done.stderr.contains(&topic), "{}", done.stderr);
    assert_eq!(kafka.admin()?.topic(&topic)?, None);
    Ok(())
}

#[test]
#[ignore = "needs a real Kafka (Java, Maven, kcat): run testdata/test"]
fn an_expression_takes_whole_names_only() -> Result<(), Error> {
    let (kafka, stem) = (kafka(), unique("whole"));
    for name in [format!("{stem}.a"), format!("{stem}.b"), format!("x{stem}.a"), format!("{stem}.ab")] {
        kafka.admin()?.create_topic(&name, 1, 1)?;
        produce(kafka, &name, 0, &format!("{{\"from\":\"{name}\"}}\n"));
    }
    let task = Task::new("whole");
    task.topic_to_file(kafka, &format!("{stem}[.][ab]"), "full", "");
    task.run_ok();
    let mut written: Vec<_> = task.written().lines().map(str::to_owned).collect();
    written.sort();
    assert_eq!(written, [format!("{{\"from\":\"{stem}.a\"}}"), format!("{{\"from\":\"{stem}.b\"}}")]);
    Ok(())
}
