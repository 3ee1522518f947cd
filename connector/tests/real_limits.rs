//! What a release lacks is refused before anything is sent, with its limit by name.

mod support;

use ottla_brokers::Error;
use support::{Task, consume, json_lines, kafka, ottla, produce, unique};

#[test]
#[ignore = "needs a real Kafka (Java, Maven, kcat): run testdata/test"]
fn zstd_is_refused_before_2_1_and_nothing_was_sent() -> Result<(), Error> {
    let (kafka, topic) = (kafka(), unique("zstd"));
    let url = format!("kafka://{}/{topic}?acks=all&compression=zstd", kafka.address(0));
    let done = ottla(&["copy", "-", &url], json_lines(10).as_bytes());
    if kafka.release().accepts_zstd() {
        done.success()?;
        assert_eq!(consume(kafka, &topic, 0, 0), json_lines(10));
        return Ok(());
    }
    assert_eq!(done.status.code(), Some(3), "{}", done.stderr);
    assert!(done.stderr.contains("zstd") && done.stderr.contains("2.1"), "{}", done.stderr);
    assert_eq!(kafka.admin()?.topic(&topic)?, None, "the topic was created");
    Ok(())
}

#[test]
#[ignore = "needs a real Kafka (Java, Maven, kcat): run testdata/test"]
fn a_task_whose_target_lacks_the_codec_sends_and_commits_nothing() -> Result<(), Error> {
    let (kafka, from, to) = (kafka(), unique("zstd-from"), unique("zstd-to"));
    for topic in [&from, &to] {
        kafka.admin()?.create_topic(topic, 1, 1)?;
    }
    produce(kafka, &from, 0, &json_lines(10));
    let task = Task::new("zstd");
    task.topic_to_topic(kafka, &from, &to, "full", "compression = \"zstd\"");
    let done = task.run();
    if kafka.release().accepts_zstd() {
        done.success()?;
        assert_eq!(consume(kafka, &to, 0, 0), json_lines(10));
        return Ok(());
    }
    assert_eq!(done.status.code(), Some(3), "{}", done.stderr);
    assert!(done.stderr.contains("zstd") && done.stderr.contains("2.1"), "{}", done.stderr);
    assert_eq!(kafka.admin()?.end_offsets(&to)?, [0]);
    let position = kafka.admin()?.committed(&task.group(), &from)?[0];
    assert!(position.unwrap_or(0) == 0, "the position moved to {position:?}");
    Ok(())
}
