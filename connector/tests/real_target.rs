//! Records that a real Kafka refuses, topics of an old message format, and records of several megabytes.

mod support;

use std::fmt::Write as _;

use ottla_brokers::{Error, kcat, skipped};
use support::{Task, consume, json_lines, kafka, ottla, produce, unique};

/// `count` lines `key<TAB>value`, those numbered in `keyless` without a key; and the values of the others.
fn keyed(count: usize, keyless: &[usize]) -> (Vec<(Option<String>, String)>, String) {
    let records: Vec<_> = json_lines(count)
        .lines()
        .enumerate()
        .map(|(number, value)| ((!keyless.contains(&number)).then(|| format!("k{number}")), value.to_owned()))
        .collect();
    let mut others = String::new();
    for (_, value) in records.iter().filter(|(key, _)| key.is_some()) {
        let _ = writeln!(others, "{value}");
    }
    (records, others)
}

/// Writes them by kcat, in order: rows with keys and rows without in calls of their own.
fn produce_keyed(topic: &str, records: &[(Option<String>, String)]) {
    for row in records.chunk_by(|one, other| one.0.is_some() == other.0.is_some()) {
        let text = row.iter().fold(String::new(), |mut text, (key, value)| {
            let _ = match key {
                Some(key) => writeln!(text, "{key}\t{value}"),
                None => writeln!(text, "{value}"),
            };
            text
        });
        let mut args = vec!["-b".to_owned(), kafka().bootstrap(), "-P".to_owned(), "-t".to_owned(), topic.to_owned()];
        args.extend(["-p", "0"].map(str::to_owned));
        if row[0].0.is_some() {
            args.extend(["-K", "\t"].map(str::to_owned));
        }
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        kcat(&args, text.as_bytes()).unwrap_or_else(|error| panic!("{error}"));
    }
}

#[test]
#[ignore = "needs a real Kafka (Java, Maven, kcat): run testdata/test"]
fn of_a_thousand_records_a_compacted_topic_refuses_only_those_without_a_key() -> Result<(), Error> {
    let kafka = kafka();
    let (from, to) = (unique("from"), unique("compacted"));
    let admin = kafka.admin()?;
    admin.create_topic(&from, 1, 1)?;
    admin.create_topic_with(&to, 1, 1, &[("cleanup.policy", "compact")])?;
    let (records, others) = keyed(1000, &[617, 940]);
    produce_keyed(&from, &records);

    let task = Task::new("compacted");
    task.topic_to_topic(kafka, &from, &to, "full", "");
    let done = task.run();
    assert_eq!(done.status.code(), Some(4), "{}", done.stderr);
    assert!(done.stderr.contains("partition 0, offset 617: the target did not take it"), "{}", done.stderr);
    assert!(done.stderr.contains("everything before it was delivered"), "{}", done.stderr);
    assert_eq!(admin.committed(&task.group(), &from)?[0], Some(617));
    let before: String = others.split_inclusive('\n').take(617).collect();
    assert_eq!(consume(kafka, &to, 0, 0), before);

    task.topic_to_topic(kafka, &from, &to, "full", "on_push_error = \"skip\"");
    let done = task.run_ok();
    assert!(done.stderr.contains("381 written, 2 skipped"), "{}", done.stderr);
    assert!(done.stderr.contains("offset 617") && done.stderr.contains("offset 940"), "{}", done.stderr);
    assert_eq!(consume(kafka, &to, 0, 0), others);
    Ok(())
}

#[test]
#[ignore = "needs a real Kafka (Java, Maven, kcat): run testdata/test"]
fn a_topic_of_message_format_0_10_is_written_without_idempotence() -> Result<(), Error> {
    let test = "a_topic_of_message_format_0_10_is_written_without_idempotence";
    let kafka = kafka();
    let (from, to) = (unique("from"), unique("old"));
    let admin = kafka.admin()?;
    admin.create_topic(&from, 1, 1)?;
    // Kafka 4 has no old formats.
    if admin.create_topic_with(&to, 1, 1, &[("message.format.version", "0.10.2")]).is_err() {
        skipped(test, kafka.release(), "it has no message.format.version");
        return Ok(());
    }
    produce(kafka, &from, 0, &json_lines(5000));
    let task = Task::new("old-format");
    task.topic_to_topic(kafka, &from, &to, "full", "on_push_error = \"skip\"");
    let done = task.run_ok();
    assert!(done.stderr.contains("5,000 written, 0 skipped"), "{}", done.stderr);
    assert_eq!(consume(kafka, &to, 0, 0), json_lines(5000));
    if !done.stderr.contains("without idempotence") {
        // From Kafka 3.0 on the setting is read as at least 0.11.
        skipped(test, kafka.release(), "in part: it takes numbered batches whatever the setting says");
    }
    Ok(())
}

#[test]
#[ignore = "needs a real Kafka (Java, Maven, kcat): run testdata/test"]
fn a_record_is_as_large_as_its_topic_takes() -> Result<(), Error> {
    let kafka = kafka();
    let (large, small) = (unique("large"), unique("small"));
    let admin = kafka.admin()?;
    admin.create_topic_with(&large, 1, 1, &[("max.message.bytes", "20000000")])?;
    admin.create_topic(&small, 1, 1)?;
    // Random digits, so that compression does not make it small.
    let mut seed = 7_u64;
    let digits: String = (0..6_000_000)
        .map(|_| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            char::from(b'!' + (seed >> 33) as u8 % 90)
        })
        .filter(|c| *c != '"' && *c != '\\')
        .collect();
    let line = format!("{{\"pad\":\"{digits}\"}}\n");
    let url = |topic: &str| format!("kafka://{}/{topic}", kafka.bootstrap());
    let done = ottla(&["copy", "-", &url(&large)], line.as_bytes());
    assert_eq!(done.status.code(), Some(0), "{}", done.stderr);
    assert_eq!(consume(kafka, &large, 0, 0).len(), line.len());
    let done = ottla(&["copy", "-", &url(&small)], line.as_bytes());
    assert_eq!(done.status.code(), Some(4), "{}", done.stderr);
    assert!(done.stderr.contains("max.message.bytes") && done.stderr.contains("line 1"), "{}", done.stderr);
    assert!(done.stderr.contains(&format!("max.message.bytes of topic {small} is 10")), "{}", done.stderr);
    // From topic to topic, with a codec and without, and several of them.
    ottla(&["copy", "-", &url(&large)], line.repeat(5).as_bytes()).success()?;
    for codec in ["none", "lz4", "zstd"] {
        if codec == "zstd" && !kafka.release().at_least(2, 1) {
            continue;
        }
        let to = unique(codec);
        admin.create_topic_with(&to, 1, 1, &[("max.message.bytes", "20000000")])?;
        let task = Task::new(codec);
        task.topic_to_topic(kafka, &large, &to, "full", &format!("compression = \"{codec}\""));
        task.run_ok();
        assert!(consume(kafka, &to, 0, 0) == line.repeat(6), "{codec}");
    }
    Ok(())
}
