//! Every codec in and out, with every acknowledgement, byte for byte.

mod support;

use ottla_brokers::{Error, kcat};
use support::{Task, consume, json_lines, kafka, ottla_ok, unique, until};

const COUNT: usize = 500;

/// The codecs that the release under test accepts.
fn codecs() -> impl Iterator<Item = &'static str> {
    let zstd = kafka().release().accepts_zstd();
    ["none", "gzip", "snappy", "lz4", "zstd"].into_iter().filter(move |codec| zstd || *codec != "zstd")
}

#[test]
#[ignore = "needs a real Kafka (Java, Maven, kcat): run testdata/test"]
fn json_lines_go_in_with_every_codec_and_every_acknowledgement() -> Result<(), Error> {
    let kafka = kafka();
    let admin = kafka.admin()?;
    let lines = json_lines(COUNT);
    for codec in codecs() {
        for acks in ["none", "leader", "majority", "all"] {
            let topic = unique(&format!("in-{codec}-{acks}"));
            let url = format!("kafka://{}/{topic}?acks={acks}&compression={codec}", kafka.address(0));
            ottla_ok(&["copy", "-", &url], lines.as_bytes());
            // Without an acknowledgement the broker may still be writing when the copy has ended.
            until(&format!("all records in {topic}"), || {
                admin.end_offsets(&topic).is_ok_and(|ends| ends == [COUNT as i64])
            });
            assert_eq!(consume(kafka, &topic, 0, 0), lines, "{codec}, acks {acks}");
        }
    }
    Ok(())
}

#[test]
#[ignore = "needs a real Kafka (Java, Maven, kcat): run testdata/test"]
fn the_broker_stores_the_codec_that_was_asked_for() -> Result<(), Error> {
    let kafka = kafka();
    for codec in codecs() {
        let topic = unique(&format!("stored-{codec}"));
        let url = format!("kafka://{}/{topic}?acks=all&compression={codec}", kafka.address(0));
        ottla_ok(&["copy", "-", &url], json_lines(COUNT).as_bytes());
        let dump = kafka.dump_log(0, &topic, 0, &[])?.text().to_lowercase();
        let batches: Vec<_> = dump.lines().filter(|line| line.contains("compresscodec: ")).collect();
        // 0.11 and 1.x name "no codec" NoCompressionCodec and suffix the others in the same way.
        let named = if codec == "none" { "compresscodec: no".to_owned() } else { format!("compresscodec: {codec}") };
        assert!(!batches.is_empty() && batches.iter().all(|line| line.contains(&named)), "{codec}:\n{dump}");
    }
    Ok(())
}

#[test]
#[ignore = "needs a real Kafka (Java, Maven, kcat): run testdata/test"]
fn what_kcat_wrote_with_any_codec_comes_out_byte_equal() -> Result<(), Error> {
    let kafka = kafka();
    let lines = json_lines(COUNT);
    for codec in codecs() {
        let topic = unique(&format!("out-{codec}"));
        kafka.admin()?.create_topic(&topic, 1, 1)?;
        kcat(&["-b", &kafka.bootstrap(), "-P", "-t", &topic, "-z", codec], lines.as_bytes())?;
        let task = Task::new("out");
        task.topic_to_file(kafka, &topic, "full", "");
        task.run_ok();
        assert_eq!(task.written(), lines, "{codec}");
        assert_eq!(kafka.admin()?.committed(&task.group(), &topic)?, [Some(COUNT as i64)], "{codec}");
    }
    Ok(())
}

#[test]
#[ignore = "needs a real Kafka (Java, Maven, kcat): run testdata/test"]
fn a_task_writes_with_each_configured_acknowledgement() -> Result<(), Error> {
    let kafka = kafka();
    let lines = json_lines(COUNT);
    for acks in ["none", "leader", "majority", "all"] {
        let (from, to) = (unique("acks-from"), unique("acks-to"));
        kafka.admin()?.create_topic(&from, 1, 1)?;
        support::produce(kafka, &from, 0, &lines);
        let task = Task::new("acks");
        task.topic_to_topic(kafka, &from, &to, "full", &format!("acks = \"{acks}\"\ncompression = \"gzip\""));
        task.run_ok();
        until(&format!("all records in {to}"), || {
            kafka.admin().and_then(|admin| admin.end_offsets(&to)).is_ok_and(|ends| ends == [COUNT as i64])
        });
        assert_eq!(consume(kafka, &to, 0, 0), lines, "acks {acks}");
    }
    Ok(())
}
