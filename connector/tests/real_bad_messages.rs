//! A message that is not a JSON object: stopped at, twice, or counted and passed.

mod support;

use ottla_brokers::Error;
use support::{Task, kafka, produce, unique};

const GOOD: [&str; 3] = ["{\"n\":0}\n", "{\"n\":1}\n", "{\"n\":3}\n"];

#[test]
#[ignore = "needs a real Kafka (Java, Maven, kcat): run testdata/test"]
fn stop_ends_before_the_message_every_time_and_skip_passes_it() -> Result<(), Error> {
    let (kafka, topic) = (kafka(), unique("bad"));
    kafka.admin()?.create_topic(&topic, 1, 1)?;
    let long = format!("[\"{}\"]\n", "0123456789".repeat(2_000));
    produce(kafka, &topic, 0, &[GOOD[0], GOOD[1], &long, GOOD[2]].concat());
    let task = Task::new("bad");
    task.topic_to_file(kafka, &topic, "full", "on_bad_message = \"stop\"");
    for turn in ["first", "second"] {
        let done = task.run();
        assert_eq!(done.status.code(), Some(4), "{turn}: {}", done.stderr);
        for part in [topic.as_str(), "partition 0", "offset 2", "0123456789"] {
            assert!(done.stderr.contains(part), "{turn}: {part} is not in\n{}", done.stderr);
        }
        assert!(done.stderr.len() < 4_000, "{turn}: the value was not clipped");
        assert_eq!(task.written(), [GOOD[0], GOOD[1]].concat(), "{turn}");
        assert_eq!(kafka.admin()?.committed(&task.group(), &topic)?, [Some(2)], "{turn}");
    }
    task.topic_to_file(kafka, &topic, "full", "on_bad_message = \"skip\"");
    let done = task.run_ok();
    assert!(done.stderr.contains("skipped"), "{}", done.stderr);
    assert_eq!(task.written(), GOOD.concat());
    assert_eq!(kafka.admin()?.committed(&task.group(), &topic)?, [Some(4)]);
    Ok(())
}

#[test]
#[ignore = "needs a real Kafka (Java, Maven, kcat): run testdata/test"]
fn whatever_is_no_object_is_a_bad_message() -> Result<(), Error> {
    let kafka = kafka();
    for bad in ["text", "1", "null", "[{}]", "{\"a\":1", "{\"a\":1}}", "{'a':1}", "{\"a\":01}", "\"{}\""] {
        let topic = unique("no-object");
        kafka.admin()?.create_topic(&topic, 1, 1)?;
        produce(kafka, &topic, 0, &format!("{bad}\n"));
        let task = Task::new("no-object");
        task.topic_to_file(kafka, &topic, "full", "");
        let done = task.run();
        assert_eq!(done.status.code(), Some(4), "{bad}: {}", done.stderr);
        assert_eq!(task.written(), "", "{bad}");
    }
    Ok(())
}
